"""What a vendor's stream says on the wire, under LiteLLM's reading of it.

LiteLLM makes up a "stop" for a stream that ends without a finish reason, and on most wires it drops what it can't read,
with the text in it, in silence. So the lines (or, from openai's client, the chunks) are looked at on their way to
LiteLLM: whether a finish reason was among them, and whether all of them could be read.
"""

from __future__ import annotations

import contextlib
import json
from asyncio import Timeout
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator
from typing import Any, Self

#: How the types of Anthropic's events begin.
ANTHROPIC = ("message_", "content_block_")

#: What a line of server-sent events begins with, besides "data:"
#: (https://html.spec.whatwg.org/multipage/server-sent-events.html). LiteLLM needs none of these, and for Gemini one of
#: them, a proxy's ": ping" say, makes it lose the rest of the text.
ASIDES = ("event:", "id:", "retry:", ":")

#: Finish reasons which say that the answer did not finish: of OpenRouter, Mistral, vLLM, DeepSeek, Zhipu and Gemini.
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


class Tap:
    """Passes on what comes from the wire, and notes how it ends.

    ``last_words`` makes the time limit for what may come behind the finish reason: the usage, and the end.
    """

    def __init__(self, source: Any, last_words: Callable[[], Timeout]) -> None:
        self.problem = ""
        """Why the answer can't be whole, in words."""
        self.error: Any = None
        """The vendor's error event, if one came."""
        self.reasons: dict[int, str] = {}
        """The vendor's finish reason of each choice by its index, "" so far."""
        self._unfinished: set[int] = set()
        self._source = source
        frame = getattr(source, "ag_frame", None)  # httpx's Response.aiter_lines() has the only hold of its response
        self._response = frame.f_locals.get("self", source) if frame else source
        self._last_words = last_words
        self._items = self._read()

    @property
    def can_tell(self) -> bool:
        """Whether anything came in a format that is known here: OpenAI's, Anthropic's or Gemini's."""
        return bool(self.reasons)

    @property
    def is_finished(self) -> bool:
        """Whether the vendor gave a finish reason, for every choice that was begun."""
        return self.can_tell and not self._unfinished

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Any:
        return await anext(self._items)

    async def aclose(self) -> None:
        """Close the wire, which LiteLLM's iterator for Anthropic has no hold of."""
        with contextlib.suppress(RuntimeError):  # another task is reading, and fails as the wire closes
            await self._items.aclose()
        close = getattr(self._response, "aclose", None) or getattr(self._response, "close", None)
        if close is not None:
            await close()

    async def _read(self) -> AsyncGenerator[Any, None]:
        """Chunks, and lines with data. Ends at what can't be read: some versions of LiteLLM never come back from it."""
        async for item in self._raw():
            if not isinstance(item, str):
                self._look(item)
            elif item.strip() and not item.startswith(ASIDES) and not _is_end(item):
                if not self._note(item.removeprefix("data:")):
                    return
                # LiteLLM takes a "[DONE]" in a text for the end, and drops the text: the same, spelt otherwise.
                item = item.replace("[DONE]", "\\u005bDONE]")  # noqa: PLW2901
            elif not _is_end(item):
                continue
            yield item

    async def _raw(self) -> AsyncIterator[Any]:
        """What comes from the wire; behind the finish reason neither silence nor a cut takes anything away."""
        items = _lines(self._response) if hasattr(self._response, "aiter_text") else aiter(self._source)
        while True:
            try:
                if self.is_finished:
                    async with self._last_words():
                        item = await anext(items)
                else:
                    item = await anext(items)
            except StopAsyncIteration:
                return
            except Exception:
                if self.is_finished:
                    return
                raise
            yield item

    def _note(self, data: str) -> bool:
        """Look at an event's data; False if there is nothing more to come of this stream."""
        try:
            event = json.loads(data)
        except (ValueError, RecursionError):
            self.problem = "" if self.is_finished else "it sent what can't be read"
            return False
        event = event[0] if isinstance(event, list) and event else event
        if isinstance(event, dict):
            if event.get("error") or event.get("object") == "error":
                if self.is_finished:
                    return False
                self.error = event
                return True
            if (event.get("promptFeedback") or {}).get("blockReason"):  # Gemini's refusal
                self.error = {"error": {"code": 400, "status": "content_filter", "message": "the prompt was blocked"}}
        self._look(event)
        return True

    def _look(self, event: Any) -> None:
        """Note the finish reasons in an event: JSON, or an object of openai's."""
        for index, reason in _finish_reasons(event):
            if reason in BROKEN_OFF:
                self.problem = f"the provider broke it off ({reason})"
            if reason and reason != "null":
                self.reasons[index] = str(reason)
                self._unfinished.discard(index)
            elif index not in self.reasons:
                self.reasons[index] = ""
                self._unfinished.add(index)


async def _lines(response: Any) -> AsyncIterator[str]:
    """The lines of an answer. httpx's own end at U+2028 and its like as well, in the middle of a text."""
    parts: list[str] = []  # of a line that has not ended: joined once, however small they are
    async for text in response.aiter_text():
        parts.append(text)
        if "\n" in text:
            *whole, rest = "".join(parts).replace("\r\n", "\n").split("\n")
            parts = [rest]
            for line in whole:
                yield line
    if rest := "".join(parts):
        yield rest


def _is_end(line: str) -> bool:
    """Whether this is OpenAI's last event."""
    return line.removeprefix("data:").strip() == "[DONE]"


def _finish_reasons(event: Any) -> Iterator[tuple[int, Any]]:
    """Index and finish reason, None so far, of each choice in an event; nothing where the format is not known."""
    if not isinstance(event, dict):
        for choice in getattr(event, "choices", None) or ():
            yield choice.index or 0, choice.finish_reason
    elif str(event.get("type")).startswith(ANTHROPIC):
        yield 0, (event.get("delta") or {}).get("stop_reason")
    else:
        for choice in event.get("choices") or event.get("candidates") or ():
            yield choice.get("index") or 0, choice.get("finish_reason") or choice.get("finishReason")
