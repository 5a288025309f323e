"""What a vendor's stream says on the wire, under LiteLLM's reading of it.

LiteLLM makes up a "stop" for a stream that ends without a finish reason, and on most wires it drops an event that it
can't read, with its text, in silence. So the lines (or, from openai's client, the chunks) are looked at on their way
to LiteLLM: whether a finish reason was among them, and whether all of them could be read.
"""

from __future__ import annotations

import json
from asyncio import Timeout
from collections.abc import AsyncIterator, Callable
from typing import Any, Self

#: Seconds of silence behind the finish reason that end a stream: what may still come is its usage.
LAST_WORDS = 1.0

#: Where vendors keep a finish reason, and what it is called there.
PLACES = ("choices", "candidates", "delta")
NAMES = ("finish_reason", "finishReason", "stop_reason")

#: How the types of Anthropic's events begin.
ANTHROPIC = ("message_", "content_block_")

#: How a line of server-sent events begins (https://html.spec.whatwg.org/multipage/server-sent-events.html).
FIELDS = ("data:", "event:", "id:", "retry:", ":")


class Tap:
    """Passes on what comes from the wire, and notes how it ends.

    ``time_limit`` makes a scope that is cancelled after so many seconds, None for never.
    """

    def __init__(self, source: Any, time_limit: Callable[[float | None], Timeout]) -> None:
        self.can_tell = False
        """Whether anything came in a format that is known here: OpenAI's, Anthropic's or Gemini's."""
        self.is_finished = False
        """Whether the vendor gave a finish reason."""
        self.is_broken = False
        """Whether there was an event that can't be read."""
        self.error: Any = None
        """The vendor's error event, if one came."""
        self._source = source
        frame = getattr(source, "ag_frame", None)  # httpx's Response.aiter_lines() has the only hold of its response
        self._holder = frame.f_locals.get("self", source) if frame else source
        self._time_limit = time_limit
        self._items = self._read()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Any:
        return await anext(self._items)

    async def aclose(self) -> None:
        """Close the wire, which LiteLLM's iterator for Anthropic has no hold of."""
        close = getattr(self._holder, "aclose", None) or getattr(self._holder, "close", None)
        if close is not None:
            await close()

    async def _read(self) -> AsyncIterator[Any]:
        """Lines and chunks as they come; an event that was broken in two is put together again.

        httpx takes U+2028 and its like for the end of a line, in the middle of a JSON string too, and most of LiteLLM's
        iterators drop the halves.
        """
        halves: list[str] = []
        async for item in self._raw():
            if not isinstance(item, str):  # a chunk of openai's
                self._look(item)
                yield item
                continue
            if halves and item and not item.startswith(FIELDS):
                halves.append(item)
                continue
            if halves:
                yield self._mend(halves)
            if data := _data(item):
                if not self._note(data):
                    halves = [data]
                    continue
            elif item and not item.startswith(FIELDS) and not _is_json(item):  # the lines of some vendors are bare JSON
                self.is_broken = True
            if self.is_broken:
                return  # before LiteLLM sees it: some of its versions never come back from what they can't read
            yield item if _is_end(item) else _hide_end(item)
        if halves:
            yield self._mend(halves)

    def _mend(self, halves: list[str]) -> str:
        """The line that was broken, whole; empty if it can't be read."""
        data = "\\u2028".join(halves)
        halves.clear()
        self.is_broken = not self._note(data)
        return "" if self.is_broken else f"data: {_hide_end(data)}"

    async def _raw(self) -> AsyncIterator[Any]:
        """What comes from the wire; behind the finish reason neither silence nor a cut takes anything away."""
        items = aiter(self._source)
        while True:
            try:
                async with self._time_limit(LAST_WORDS if self.is_finished else None):
                    item = await anext(items)
            except StopAsyncIteration:
                return
            except Exception:
                if self.is_finished:
                    return
                raise
            yield item

    def _note(self, data: str) -> bool:
        """Look at an event's data; False if it is no JSON."""
        try:
            event = json.loads(data)
        except (ValueError, RecursionError):
            return False
        self._look(event)
        if isinstance(event, dict) and event.get("error"):
            self.error = event
        elif isinstance(event, dict) and (event.get("promptFeedback") or {}).get("blockReason"):  # Gemini's refusal
            self.error = {"error": {"code": 400, "status": "content_filter", "message": "the prompt was blocked"}}
        return True

    def _look(self, event: Any) -> None:
        self.can_tell = self.can_tell or _is_known(event)
        self.is_finished = self.is_finished or _is_finish(event)


def _data(line: str) -> str:
    """The JSON that a line should hold, "" where it holds none."""
    return line[5:].strip() if line.startswith("data:") and not _is_end(line) else ""


def _is_end(line: str) -> bool:
    """Whether this is OpenAI's last event."""
    return line.removeprefix("data:").strip() == "[DONE]"


def _hide_end(line: str) -> str:
    """The same JSON spelt so that LiteLLM does not take a "[DONE]" in a text for the end, and drop the text."""
    return line.replace("[DONE]", "\\u005bDONE]")


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True


def _is_known(event: Any) -> bool:
    """Whether an event is of a format in which finish reasons are found."""
    if isinstance(event, dict):
        return "choices" in event or "candidates" in event or str(event.get("type")).startswith(ANTHROPIC)
    return hasattr(event, "choices")


def _is_finish(event: Any) -> bool:
    """Whether there is a finish reason in an event: JSON, or an object of openai's."""
    if isinstance(event, list):
        return any(map(_is_finish, event))
    found = event if isinstance(event, dict) else {name: getattr(event, name, None) for name in (*NAMES, *PLACES)}
    return any(found.get(name) for name in NAMES) or any(_is_finish(found[name]) for name in PLACES if found.get(name))
