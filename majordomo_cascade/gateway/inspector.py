"""Inspect a vendor's stream on its way to LiteLLM.

Before 1.110 LiteLLM makes up a "stop" for a stream that ends without a finish reason (for Gemini's
still), and on some wires it drops in silence what it cannot read.
"""

import contextlib
import json
from asyncio import Timeout
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator
from enum import Enum
from typing import Any, NoReturn

#: Beginnings of lines without data
#: (https://html.spec.whatwg.org/multipage/server-sent-events.html). LiteLLM needs none of them,
#: and on Gemini's wire one, such as a proxy's ": ping", makes it lose the rest of the text.
ASIDES = ("event:", "id:", "retry:", ":")

#: Finish reasons of OpenRouter, Mistral, vLLM, DeepSeek, Zhipu and Gemini for a broken answer.
BROKEN_OFF = (
    "error",
    "abort",
    "aborted",
    "cancelled",
    "insufficient_system_resource",
    "network_error",
    "FINISH_REASON_UNSPECIFIED",
    "MALFORMED_FUNCTION_CALL",
    "OTHER",
    "UNEXPECTED_TOOL_CALL",
)


class StreamState(Enum):
    """The state of a stream."""

    OPEN = "open"
    FINISHED = "finished"
    BROKEN = "broken"
    CLOSED = "closed"


class NotWholeError(ValueError):
    """The stream ended, but not as a whole answer does."""


class WireInspector:
    """Passes on httpx's lines, or the chunks of openai's client, up to a fault, which it raises.

    ``last_words`` limits the time for what may come behind the finish reason.
    """

    def __init__(
        self, source: Any, last_words: Callable[[], Timeout], response: Any = None
    ) -> None:
        self.state = StreamState.OPEN
        self.problem = ""
        self.error_event: Any = None
        self.reasons: dict[int, str] = {}
        """The finish reason of each choice by its index, "" so far; {} in an unknown format."""
        self._unfinished: set[int] = set()
        self._last_words = last_words
        # Before LiteLLM 1.110, source is httpx's aiter_lines(). It has the only hold of the
        # response, which is needed to close the wire, and its lines also end at U+2028.
        frame = getattr(source, "ag_frame", None)
        owner = frame.f_locals.get("self", source) if frame else source
        has_text = hasattr(owner, "aiter_text")
        self._response = response or owner
        self._items = self._read(_lines(owner) if has_text else aiter(source))

    def __aiter__(self) -> AsyncIterator[Any]:
        return self._items

    async def aclose(self) -> None:
        """Close the wire. LiteLLM's own iterator for Anthropic does so since 1.110."""
        await close(self._items, self._response)

    async def _read(self, items: AsyncIterator[Any]) -> AsyncGenerator[Any, None]:
        """Yield chunks, and lines with data. Behind the finish reason, a fault is only the end."""
        item: Any = ""
        while item is not None:
            try:
                if self.state is StreamState.FINISHED:
                    async with self._last_words():
                        item = await anext(items, None)
                else:
                    item = await anext(items, None)
                passed_on = self._note(item)
            except Exception:
                if self.state is StreamState.FINISHED:
                    return
                raise
            if passed_on:
                yield passed_on

    def _note(self, item: Any) -> Any:
        """Note what an item, or the end (None), says; return what is passed on of it."""
        event = item
        line = getattr(item, "data", item)  # of OpenAI's Responses, since 1.110, an event's
        if isinstance(line, str):
            data = line.removeprefix("data:").strip()
            if not data or line.startswith(ASIDES):
                return None
            event = None if data == "[DONE]" else self._parse(data)
            if event is not None and line is item:
                # Before 1.110 LiteLLM takes this word in a text for the end.
                item = line.replace("[DONE]", "\\u005bDONE]")
        if event is None and self._unfinished:
            self._break("it ended without a finish reason")
        for index, reason in _finish_reasons(event):
            if not reason or reason == "null":
                if not self.reasons.setdefault(index, ""):
                    self._unfinished.add(index)
            elif reason in BROKEN_OFF:
                self._break(f"the provider broke it off ({reason})")
            else:
                self.reasons[index] = str(reason)
                self._unfinished.discard(index)
        if self.reasons:
            self.state = StreamState.OPEN if self._unfinished else StreamState.FINISHED
        return item

    def _parse(self, data: str) -> Any:
        try:
            event = json.loads(data) or {}
        except (ValueError, RecursionError):
            self._break("it sent what can't be read")
        if isinstance(event, list):
            event = event[0]
        if isinstance(event, dict):
            kinds = (event.get("type"), event.get("object"))
            if event.get("error") or "error" in kinds or "response.failed" in kinds:
                self._break("it reported an error", event.get("response") or event)
        return event

    def _break(self, problem: str, event: Any = None) -> NoReturn:
        if self.state is StreamState.OPEN:
            self.state = StreamState.BROKEN
            self.problem = problem
            self.error_event = event
        raise NotWholeError(problem)


async def close(*streams: Any) -> None:
    """Close each stream, whatever becomes of the others."""
    for stream in streams:
        with contextlib.suppress(Exception):
            await (stream.aclose if hasattr(stream, "aclose") else stream.close)()


async def _lines(response: Any) -> AsyncIterator[str]:
    """Yield the lines of an answer, each joined once, however small its pieces are."""
    parts: list[str] = []
    async for text in response.aiter_text():
        parts.append(text)
        if "\n" in text:
            *lines, rest = "".join(parts).replace("\r\n", "\n").split("\n")
            parts = [rest]
            for line in lines:
                yield line
    yield "".join(parts)


def _finish_reasons(event: Any) -> Iterator[tuple[int, Any]]:
    """Yield index and finish reason (None so far) of the choices in JSON, or openai's object."""
    if not isinstance(event, dict):
        for choice in getattr(event, "choices", None) or ():
            yield choice.index or 0, choice.finish_reason
    elif str(event.get("type")).startswith(("message_", "content_block_")):  # Anthropic's
        yield 0, (event.get("delta") or {}).get("stop_reason")
    elif str(event.get("type")).startswith("response."):  # of OpenAI's Responses
        is_end = event["type"] in ("response.completed", "response.incomplete")
        yield 0, event["response"]["status"] if is_end else None
    else:
        for choice in event.get("choices") or event.get("candidates") or ():
            reason = choice.get("finish_reason") or choice.get("finishReason")
            yield choice.get("index") or 0, reason
