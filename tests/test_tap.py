"""What is noted of a stream on its way from the wire, line by line, and chunk by chunk."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any

import pytest

from majordomo_cascade.tap import BROKEN_OFF, Tap, _lines


class Response:
    """An answer of httpx's, in pieces."""

    def __init__(self, *pieces: str, error: Exception | None = None) -> None:
        self.pieces = pieces
        self.error = error
        self.closed = 0

    async def aiter_text(self) -> AsyncIterator[str]:
        for piece in self.pieces:
            yield piece
        if self.error:
            raise self.error

    async def aiter_lines(self) -> AsyncIterator[str]:
        yield "data: never read, for U+2028 ends a line of these"

    async def aclose(self) -> None:
        self.closed += 1


async def objects(*items: Any) -> AsyncIterator[Any]:
    for item in items:
        yield item


def unlimited() -> asyncio.Timeout:
    return asyncio.timeout(None)


def line(event: Any) -> str:
    return f"data: {json.dumps(event)}"


def openai(*reasons: Any) -> dict[str, Any]:
    """An event with so many choices."""
    return {"choices": [{"index": n, "delta": {}, "finish_reason": reason} for n, reason in enumerate(reasons)]}


async def drunk(*lines: str, error: Exception | None = None) -> tuple[Tap, list[Any]]:
    """A tap, and what came through it."""
    tap = Tap(Response(*(f"{line}\n" for line in lines), error=error), unlimited)
    return tap, [item async for item in tap]


async def noted(*events: Any) -> Tap:
    tap, passed = await drunk(*map(line, events))
    assert passed == [line(event) for event in events]
    return tap


@pytest.mark.parametrize(
    "pieces",
    [
        ["a\nb\u2028c\r\n\nd"],
        ["a", "\nb\u2028", "c\r", "\n", "\n", "d"],
        list("a\nb\u2028c\r\n\nd"),
        ["", "a\nb\u2028c\n\n", "", "d", ""],
    ],
)
async def test_lines_end_where_they_end_whatever_the_pieces(pieces: list[str]) -> None:
    assert [text async for text in _lines(Response(*pieces))] == ["a", "b\u2028c", "", "d"]
    assert [text async for text in _lines(Response("a\n"))] == ["a"]


async def test_only_data_is_passed_on() -> None:
    data = [line(openai(None)), line(openai("stop")), "data: [DONE]"]
    asides = ["", "  ", "event: x", "id: 1", "retry: 5", ": ping", ":"]
    tap, passed = await drunk(*asides, data[0], *asides, data[1], *asides, data[2], *asides)
    assert passed == data
    assert tap.is_finished


async def test_data_may_come_without_a_name_or_a_blank() -> None:
    bare, glued = json.dumps(openai("stop")), "data:" + json.dumps(openai("stop"))
    for text in (bare, glued):
        tap, passed = await drunk(text, "data:[DONE]", "[DONE] ")
        assert passed == [text, "data:[DONE]", "[DONE] "]
        assert tap.reasons == {0: "stop"}


async def test_the_word_for_the_end_in_a_text_is_spelt_otherwise() -> None:
    event = {"choices": [{"delta": {"content": "[DONE] and [DONE]"}}]}
    _, (passed,) = await drunk(line(event))
    assert "[DONE]" not in passed
    assert json.loads(passed.removeprefix("data:")) == event


async def test_what_can_not_be_read_ends_it() -> None:
    for broken in ("data: {", "data: " + "[" * 100_000, "<html>"):
        tap, passed = await drunk(line(openai(None)), broken, line(openai("stop")))
        assert (len(passed), tap.problem, tap.is_finished) == (1, "it sent what can't be read", False)
        tap, passed = await drunk(line(openai("stop")), broken, line(openai(None)))
        assert (len(passed), tap.problem, tap.is_finished) == (1, "", True)


@pytest.mark.parametrize("event", [{"error": {"message": "busy"}}, {"error": "busy"}, {"object": "error"}])
async def test_an_error_event_is_kept_unless_all_was_said(event: Any) -> None:
    tap = await noted(openai(None), event, openai("stop"))
    assert tap.error == event
    tap, passed = await drunk(line(openai("stop")), line(event), line(openai(None)))
    assert (tap.error, tap.problem, len(passed)) == (None, "", 1)
    tap = await noted([event], openai("stop"))
    assert tap.error == event


async def test_what_is_no_error() -> None:
    tap = await noted(
        {"error": None, **openai(None)}, {"object": "chunk", **openai("stop")}, [], [openai(None)], 7, "x", None
    )
    assert (tap.error, tap.problem, tap.reasons) == (None, "", {0: "stop"})


async def test_a_prompt_that_gemini_blocks_is_an_error() -> None:
    tap = await noted({"promptFeedback": {"blockReason": "SAFETY"}})
    assert tap.error == {"error": {"code": 400, "status": "content_filter", "message": "the prompt was blocked"}}
    assert (await noted({"promptFeedback": {}}, {"promptFeedback": None})).error is None


@pytest.mark.parametrize(
    ("events", "reasons"),
    [
        ([openai(None)], {0: ""}),
        ([openai(None), openai("stop"), openai(None)], {0: "stop"}),
        ([openai("null"), openai("length")], {0: "length"}),
        ([openai("null")], {0: ""}),
        ([openai("")], {0: ""}),
        ([openai(7)], {0: "7"}),
        ([openai(None, None), openai("stop")], {0: "stop", 1: ""}),
        ([openai("stop", "length")], {0: "stop", 1: "length"}),
        ([{"choices": [{"finish_reason": "stop"}, {"index": None}]}], {0: "stop"}),
        ([{"choices": []}, {"choices": None, "candidates": None}, {}], {}),
        ([{"candidates": [{"index": 1}, {}]}], {0: "", 1: ""}),
        ([{"candidates": [{"index": 1, "finishReason": "STOP"}]}], {1: "STOP"}),
        ([{"type": "message_start", "message": {}}], {0: ""}),
        ([{"type": "content_block_start"}, {"type": "ping"}], {0: ""}),
        ([{"type": "message_delta", "delta": {"stop_reason": "end_turn"}}, {"type": "message_stop"}], {0: "end_turn"}),
        ([{"type": "message_delta", "delta": None}], {0: ""}),
        ([{"type": "ping"}, {"type": "other", "delta": {"stop_reason": "end_turn"}}], {}),
    ],
)  # fmt: skip
async def test_the_finish_reasons_of_the_choices(events: list[Any], reasons: dict[int, str]) -> None:
    tap = await noted(*events)
    assert tap.reasons == reasons
    assert tap.can_tell is bool(reasons)
    assert tap.is_finished is (bool(reasons) and all(reasons.values()))
    assert tap.problem == ""


@pytest.mark.parametrize("reason", BROKEN_OFF)
async def test_a_finish_reason_that_says_that_it_did_not_finish(reason: str) -> None:
    assert (await noted(openai(reason))).problem == f"the provider broke it off ({reason})"


async def test_objects_of_openais_are_looked_at_too() -> None:
    def chunk(*choices: tuple[int | None, str | None]) -> Any:
        made = [SimpleNamespace(index=index, finish_reason=reason) for index, reason in choices]
        return SimpleNamespace(choices=made)

    chunks = [SimpleNamespace(), SimpleNamespace(choices=None), chunk((None, None), (1, None)), chunk((1, "stop"))]
    tap = Tap(objects(*chunks), unlimited)
    assert [item async for item in tap] == chunks
    assert tap.reasons == {0: "", 1: "stop"}
    assert not tap.is_finished


async def test_a_cut_takes_nothing_away_behind_the_finish_reason() -> None:
    tap, passed = await drunk(line(openai("stop")), error=ConnectionError())
    assert (len(passed), tap.is_finished) == (1, True)
    with pytest.raises(ConnectionError):
        await drunk(line(openai(None)), error=ConnectionError())


async def test_patience_ends_behind_the_finish_reason_alone() -> None:
    asked = []

    def none() -> asyncio.Timeout:
        asked.append(1)
        return asyncio.timeout(0)

    async def silent() -> AsyncIterator[Any]:
        yield line(openai(None))
        await asyncio.sleep(0)
        yield line(openai("stop"))
        assert asked == []
        await asyncio.get_running_loop().create_future()

    tap = Tap(silent(), none)
    assert len([item async for item in tap]) == 2
    assert asked == [1]
    assert tap.is_finished


@pytest.mark.parametrize("kind", ["response", "lines"])
async def test_closing_reaches_the_response(kind: str) -> None:
    response = Response(line(openai(None)) + "\n")
    tap = Tap(response if kind == "response" else response.aiter_lines(), unlimited)
    assert await anext(tap) == line(openai(None))
    await tap.aclose()
    assert response.closed == 1
    with pytest.raises(StopAsyncIteration):
        await anext(tap)


async def test_closing_by_the_name_that_openai_has_for_it() -> None:
    closed = []

    class Stream:
        async def close(self) -> None:
            closed.append(1)

    await Tap(Stream(), unlimited).aclose()
    assert closed == [1]
    await Tap(object(), unlimited).aclose()  # nothing to close


async def test_closing_while_another_task_reads() -> None:
    class Hanging(Response):
        async def aiter_text(self) -> AsyncIterator[str]:
            await asyncio.get_running_loop().create_future()
            yield ""

    response = Hanging()
    tap = Tap(response, unlimited)
    reading = asyncio.ensure_future(anext(tap))
    await asyncio.sleep(0)
    await tap.aclose()
    assert response.closed == 1
    reading.cancel()
