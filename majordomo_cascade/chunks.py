"""A streamed answer, in LiteLLM's chunks: read to its first content, to its end, and closed."""

from __future__ import annotations

import contextlib
import sys
from asyncio import Timeout
from collections import deque
from collections.abc import AsyncGenerator, Callable
from typing import Any, Protocol

from .tap import Tap

#: Makes the time limit for what comes behind the finish reason.
LastWords = Callable[[], Timeout]

#: What a model says besides text.
OTHER_CONTENT = ("tool_calls", "function_call", "reasoning_content", "thinking_blocks", "images", "audio", "refusal")


class Translate(Protocol):
    """Makes this package's error of what went wrong."""

    def __call__(
        self, error: Exception, *, outside: BaseException | None, is_reading: bool, reported: Any = None
    ) -> Exception:
        """``is_reading`` says that the answer had begun; ``reported`` is the vendor's error event."""
        ...


class NotWholeError(ValueError):
    """The stream ended, but not as a whole answer does."""


class Chunks:
    """What ``litellm.acompletion(stream=True)`` gave back; what it raises is this package's."""

    def __init__(self, raw: Any, translate: Translate, last_words: LastWords, *, shows_usage: bool) -> None:
        self.shows_usage = shows_usage
        """Whether the caller asked for the extra chunk with the usage."""
        self.received: list[Any] = []
        self._raw = raw
        self._translate = translate
        self.is_cached = getattr(raw, "custom_llm_provider", None) == "cached_response"
        self._has_wire = not (self.is_cached or _is_mock(raw))
        self._taps = _tap(raw, last_words)
        self._ahead: deque[Any] = deque()
        self._items = _read(raw, self._taps)

    @property
    def text(self) -> str:
        """The text so far."""
        return "".join(map(text_of, self.received))

    @property
    def finish_reason(self) -> str | None:
        """Why the model stopped, None so far."""
        if self._has_choices():  # LiteLLM takes the end of any of them for the first one's
            return self._taps[0].reasons.get(0)
        return next(filter(None, map(_finish_reason, reversed(self.received))), None)

    async def begin(self) -> bool:
        """Read up to the first content (some vendors are asked only now); False if the answer ended without any.

        Raises: as ``next``.
        """
        while (chunk := await self._pull()) is not None:
            self._ahead.append(chunk)
            if has_content(chunk):
                return True
        return False

    async def next(self) -> Any:
        """The next chunk, None behind the last one of a whole answer.

        Raises:
            MajordomoError: it broke off: an answer without a finish reason, or with a part missing, is not whole.
        """
        return self._ahead.popleft() if self._ahead else await self._pull()

    async def aclose(self) -> None:
        """Close the wire, wherever the answer is."""
        with contextlib.suppress(RuntimeError):  # another task is reading, and fails as the wire closes
            await self._items.aclose()
        await _close(self._raw, self._taps)

    async def _pull(self) -> Any:
        outside = sys.exception()
        try:
            chunk = await anext(self._items, None)
            if chunk is not None:
                self.received.append(chunk)
            if chunk is None or (_finish_reason(chunk) and not self._has_choices()):
                self._check_whole()
        except Exception as error:
            tap = self._taps[0] if self._taps else None
            told = NotWholeError(tap.problem) if tap and tap.problem else error  # what LiteLLM makes of it differs
            is_reading, reported = bool(self.received or tap), tap.error if tap else None
            problem = self._translate(told, outside=outside, is_reading=is_reading, reported=reported)
        else:
            return chunk
        try:
            raise problem  # outside of the handler: its context is what LiteLLM made it, and nothing more
        finally:
            del problem

    def _has_choices(self) -> bool:
        """Whether the vendor gives several answers at once (``n=2``)."""
        return bool(self._taps) and len(self._taps[0].reasons) > 1

    def _check_whole(self) -> None:
        """Tell a whole answer from one that only ended: LiteLLM says "stop" in either case."""
        tap = self._taps[0] if self._taps else None
        if tap is not None and (tap.problem or tap.error):  # some versions of LiteLLM pass over an error
            raise NotWholeError(tap.problem or "it reported an error")
        if tap is not None and tap.can_tell:
            is_finished = tap.is_finished
        else:
            names = ("received_finish_reason", "intermittent_finish_reason")
            reasons = [getattr(self._raw, name) for name in names if hasattr(self._raw, name)]
            is_finished = not self._has_wire or any(reasons or (self.finish_reason,))
        if not is_finished:
            raise NotWholeError("it ended without a finish reason")


async def _read(raw: Any, taps: list[Tap]) -> AsyncGenerator[Any, None]:
    """LiteLLM's chunks. A generator, because the event loop closes one that nobody holds any more, and so the wire."""
    try:
        async for chunk in raw:
            yield chunk
    finally:
        await _close(raw, taps)


async def _close(raw: Any, taps: list[Tap]) -> None:
    """Close the wire: LiteLLM's own way, and then its end in the tap, which Anthropic's needs."""
    for stream in (raw, *taps):
        if hasattr(stream, "aclose"):
            with contextlib.suppress(Exception):
                await stream.aclose()


def _tap(raw: Any, last_words: LastWords) -> list[Tap]:
    """Look at what reaches LiteLLM's stream: at once, or once the vendor is asked. Empty where it can't be seen."""
    taps: list[Tap] = []

    def tapped(stream: Any) -> Any:
        lines = getattr(stream, "streaming_response", None)
        if hasattr(lines, "__aiter__"):  # httpx's lines: Anthropic, Gemini, Mistral, Groq, vLLM …
            stream.streaming_response = tap = Tap(lines, last_words)
        elif type(stream).__module__.partition(".")[0] == "openai":
            stream = tap = Tap(stream, last_words)
        else:
            return stream
        taps.append(tap)
        return stream

    if getattr(raw, "completion_stream", None) is not None:
        raw.completion_stream = tapped(raw.completion_stream)
    elif ask_later := getattr(raw, "make_call", None):  # Gemini is asked at the first read

        async def make_call(*args: Any, **kwargs: Any) -> Any:
            return tapped(await ask_later(*args, **kwargs))

        raw.make_call = make_call
    return taps


def _is_mock(raw: Any) -> bool:
    """Whether LiteLLM answers by itself (``mock_response``); such a stream knows no finish reason."""
    return getattr(getattr(raw, "completion_stream", None), "__name__", "") == "async_mock_completion_streaming_obj"


def text_of(chunk: Any) -> str:
    """The text that a chunk adds to the first choice."""
    text = getattr(_delta(chunk), "content", None)
    return text if isinstance(text, str) else ""


def has_content(chunk: Any) -> bool:
    """Whether a chunk brings any of the answer: text, thoughts, tool calls …; a role alone is none."""
    delta = _delta(chunk)
    return bool(text_of(chunk).strip()) or any(getattr(delta, name, None) for name in OTHER_CONTENT)


def is_usage_only(chunk: Any) -> bool:
    """Whether this is the extra chunk that ``stream_options={"include_usage": True}`` brings."""
    return getattr(chunk, "usage", None) is not None and not has_content(chunk) and not _finish_reason(chunk)


def _first(chunk: Any) -> Any:
    """What a chunk has of the first choice, None where it has nothing of it."""
    choices = getattr(chunk, "choices", None) or ()
    return next((choice for choice in choices if not getattr(choice, "index", 0)), None)


def _delta(chunk: Any) -> Any:
    return getattr(_first(chunk), "delta", None)


def _finish_reason(chunk: Any) -> str | None:
    return getattr(_first(chunk), "finish_reason", None)
