"""LiteLLM's chunks of a stream, read to the first content, to the end, and closed."""

from asyncio import Timeout
from collections import deque
from collections.abc import AsyncGenerator, Callable
from typing import Any

from .boundary import ErrorBoundary
from .completion import OTHER_PARTS
from .inspector import NotWholeError, StreamState, WireInspector, close

#: The parts of a chunk besides text that are content.
OTHER_CONTENT = (*OTHER_PARTS, "reasoning_content", "thinking_blocks", "refusal")

#: Where LiteLLM's stream keeps a finish reason that the vendor gave.
LITELLM_REASONS = ("received_finish_reason", "intermittent_finish_reason")
#: LiteLLM's generator for ``mock_response``, which knows no finish reason.
MOCK_GENERATOR = "async_mock_completion_streaming_obj"


class ChunkReader:
    """The chunks of ``litellm.acompletion(stream=True)``; errors are this package's."""

    def __init__(
        self,
        raw: Any,
        boundary: ErrorBoundary,
        last_words: Callable[[], Timeout],
        *,
        shows_usage: bool,
    ) -> None:
        self.shows_usage = shows_usage
        """Whether the caller asked for the extra chunk with the usage."""
        self.is_cached = getattr(raw, "custom_llm_provider", None) == "cached_response"
        self.received: list[Any] = []
        generator = getattr(raw, "completion_stream", None)  # LiteLLM drops it at the end
        self._is_mock = getattr(generator, "__name__", "") == MOCK_GENERATOR
        self._raw = raw
        self._boundary = boundary
        self._wire = boundary.wire
        self._ahead: deque[Any] = deque()
        _inspect(raw, self._wire, last_words)
        self._items = _read(raw, self._wire)

    @property
    def text(self) -> str:
        return "".join(map(text_of, self.received))

    @property
    def finish_reason(self) -> str | None:
        for inspector in self._wire:
            if len(inspector.reasons) > 1:  # n=2: LiteLLM takes the end of either for the first's
                return inspector.reasons.get(0)
        reasons = (_of_first(chunk, "finish_reason") for chunk in reversed(self.received))
        return next(filter(None, reasons), None)

    async def begin(self) -> bool:
        """Read up to the first content; return False if the answer ended without any."""
        while (chunk := await self.next()) is not None:
            if has_content(chunk):
                self._ahead.extend(self.received)
                return True
        return False

    async def next(self) -> Any:
        """Return the next chunk, None behind the last one of a whole answer.

        Raises:
            MajordomoError: it broke, or a part of it or its finish reason is missing.
        """
        if self._ahead:
            return self._ahead.popleft()
        with self._boundary:
            chunk = await anext(self._items, None)
            if chunk is not None:
                self._boundary.has_begun = True
                self.received.append(chunk)
            elif not self._is_whole():
                raise NotWholeError("it ended without a finish reason")
            return chunk

    async def aclose(self) -> None:
        await close(self._items, self._raw, *self._wire)

    def _is_whole(self) -> bool:
        """Return whether the vendor finished, by the wire, or else by LiteLLM's word."""
        for inspector in self._wire:
            if inspector.reasons or inspector.problem:
                return inspector.state is StreamState.FINISHED
        if self.is_cached or self._is_mock:
            return True
        return any(getattr(self._raw, name, self.finish_reason) for name in LITELLM_REASONS)


async def _read(raw: Any, wire: list[WireInspector]) -> AsyncGenerator[Any, None]:
    """Yield LiteLLM's chunks. The event loop closes a generator that nobody holds any more."""
    try:
        async for chunk in raw:
            yield chunk
    finally:
        await close(raw, *wire)


def _inspect(raw: Any, wire: list[WireInspector], last_words: Callable[[], Timeout]) -> None:
    """Put an inspector under LiteLLM's stream, and into ``wire``, if the wire can be seen."""

    def inspected(stream: Any) -> Any:
        lines: Any = getattr(stream, "streaming_response", None)
        if hasattr(lines, "stream_iterator"):  # OpenAI's Responses
            wire.append(WireInspector(lines.stream_iterator, last_words, lines.response))
            lines.stream_iterator = aiter(wire[-1])
        elif hasattr(lines, "__aiter__"):  # httpx's: Anthropic, Gemini, Mistral, Groq, vLLM …
            stream.streaming_response = WireInspector(lines, last_words)
            wire.append(stream.streaming_response)
        elif type(stream).__module__.partition(".")[0] == "openai":
            stream = WireInspector(stream, last_words)
            wire.append(stream)
        return stream

    if getattr(raw, "completion_stream", None) is not None:
        raw.completion_stream = inspected(raw.completion_stream)
    elif ask := getattr(raw, "make_call", None):  # Gemini is asked at the first read

        async def make_call(*args: Any, **kwargs: Any) -> Any:
            return inspected(await ask(*args, **kwargs))

        raw.make_call = make_call


def text_of(chunk: Any) -> str:
    """Return the text that a chunk adds to the first choice."""
    text = getattr(_of_first(chunk, "delta"), "content", None)
    return text if isinstance(text, str) else ""


def tool_calls_of(chunk: Any) -> list[Any]:
    """Return the beginnings and pieces of tool calls that a chunk adds to the first choice."""
    return getattr(_of_first(chunk, "delta"), "tool_calls", None) or []


def has_content(chunk: Any) -> bool:
    """Return whether a chunk brings any of the answer; a role alone is none."""
    delta = _of_first(chunk, "delta")
    return bool(text_of(chunk).strip()) or any(getattr(delta, part, None) for part in OTHER_CONTENT)


def is_usage_only(chunk: Any) -> bool:
    """Return whether this is the extra chunk of ``stream_options={"include_usage": True}``."""
    has_usage = getattr(chunk, "usage", None) is not None
    return has_usage and not has_content(chunk) and not _of_first(chunk, "finish_reason")


def _of_first(chunk: Any, name: str) -> Any:
    """Return an attribute of the first choice, None if there is none."""
    for choice in getattr(chunk, "choices", None) or ():
        if not getattr(choice, "index", 0):
            return getattr(choice, name, None)
    return None
