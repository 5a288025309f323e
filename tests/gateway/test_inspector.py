"""What is noted of a stream on its way from the wire, line by line, and chunk by chunk."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any

import pytest

from majordomo_cascade.gateway import StreamState
from majordomo_cascade.gateway.inspector import BROKEN_OFF, NotWholeError, WireInspector


class Response:
    """An answer of httpx's, in pieces."""

    def __init__(self, *pieces: str, error: Exception | None = None) -> None:
        self.pieces = pieces
        self.error = error
        self.closed = 0

    async def __aiter__(self) -> AsyncIterator[str]:
        yield "data: never read, for U+2028 ends a line of these"

    async def aiter_text(self) -> AsyncIterator[str]:
        for piece in self.pieces:
            yield piece
        if self.error:
            raise self.error

    async def aiter_lines(self) -> AsyncIterator[str]:
        async for line in self:
            yield line

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
    choices = [
        {"index": number, "delta": {}, "finish_reason": reason}
        for number, reason in enumerate(reasons)
    ]
    return {"choices": choices}


class Read:
    """What came through an inspector: ``passed`` on, and the ``error`` at the end, if any."""

    def __init__(self, source: Any) -> None:
        self.inspector = WireInspector(source, unlimited)
        self.passed: list[Any] = []
        self.error: Exception | None = None

    @classmethod
    async def of(cls, source: Any) -> Read:
        read = cls(source)
        try:
            async for item in read.inspector:
                read.passed.append(item)
        except Exception as error:
            read.error = error
        return read

    @classmethod
    async def lines(cls, *lines: str, error: Exception | None = None) -> Read:
        return await cls.of(Response(*(f"{line}\n" for line in lines), error=error))

    @classmethod
    async def events(cls, *events: Any) -> Read:
        read = await cls.lines(*map(line, events))
        assert read.passed == [line(event) for event in events][: len(read.passed)]
        return read

    def assert_whole(self, passed: int) -> None:
        assert (len(self.passed), self.error) == (passed, None)
        assert (self.inspector.state, self.inspector.problem) == (StreamState.FINISHED, "")
        assert self.inspector.error_event is None

    def assert_broken(self, problem: str, passed: int, event: Any = None) -> None:
        assert (type(self.error), str(self.error)) == (NotWholeError, problem)
        assert (self.inspector.state, self.inspector.problem) == (StreamState.BROKEN, problem)
        assert (len(self.passed), self.inspector.error_event) == (passed, event)


LINES = [line({"text": "one\u2028two"}).replace("\\u2028", "\u2028"), line(openai("stop"))]
TEXT = f"{LINES[0]}\r\n\n{LINES[1]}"


@pytest.mark.parametrize("size", [1, 2, 7, len(LINES[0]), len(LINES[0]) + 1, len(TEXT)])
async def test_lines_end_where_they_end_whatever_the_pieces(size: int) -> None:
    pieces = [TEXT[start : start + size] for start in range(0, len(TEXT), size)]
    for end in ("", "\n", "\n\n"):
        read = await Read.of(Response("", *pieces, "", end))
        assert read.passed == LINES


async def test_only_data_is_passed_on() -> None:
    data = [line(openai(None)), line(openai("stop")), "data: [DONE]"]
    asides = ["", "  ", "event: x", "id: 1", "retry: 5", ": ping", ":", "data:", "data: "]
    read = await Read.lines(*asides, data[0], *asides, data[1], *asides, data[2], *asides)
    assert read.passed == data
    read.assert_whole(3)


async def test_data_may_come_without_a_name_or_a_blank() -> None:
    bare, glued = json.dumps(openai("stop")), "data:" + json.dumps(openai("stop"))
    for text in (bare, glued):
        read = await Read.lines(text, "data:[DONE]", "[DONE] ")
        assert read.passed == [text, "data:[DONE]", "[DONE] "]
        assert read.inspector.reasons == {0: "stop"}


async def test_the_word_for_the_end_inside_a_text_is_spelt_otherwise() -> None:
    event = {"choices": [{"delta": {"content": "[DONE] and [DONE]"}, "finish_reason": "stop"}]}
    (passed,) = (await Read.lines(line(event))).passed
    assert "[DONE]" not in passed
    assert json.loads(passed.removeprefix("data:")) == event


@pytest.mark.parametrize("broken", ["data: {", "data: " + "[" * 100_000, "<html>"], ids=len)
async def test_a_stream_is_broken_by_what_cannot_be_read_unless_all_was_said(broken: str) -> None:
    read = await Read.lines(line(openai(None)), broken, line(openai("stop")))
    read.assert_broken("it sent what can't be read", passed=1)
    (await Read.lines(line(openai("stop")), broken, line(openai(None)))).assert_whole(1)


@pytest.mark.parametrize(
    "event", [{"error": {"message": "busy"}}, {"error": "busy"}, {"object": "error"}]
)
async def test_a_stream_is_broken_by_an_error_event_unless_all_was_said(event: Any) -> None:
    read = await Read.events(openai(None), event, openai("stop"))
    read.assert_broken("it reported an error", 1, event)
    (await Read.events(openai("stop"), event, openai(None))).assert_whole(1)
    (await Read.events([event])).assert_broken("it reported an error", 0, event)


async def test_other_events_are_no_errors() -> None:
    read = await Read.events(
        {"error": None, **openai(None)},
        {"object": "chunk", **openai("stop")},
        [],
        [openai(None)],
        7,
        "x",
        None,
    )
    read.assert_whole(7)


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
        ([openai("stop"), openai(None, None)], {0: "stop", 1: ""}),
        ([{"choices": [{"finish_reason": "stop"}, {"index": None}]}], {0: "stop"}),
        ([{"choices": []}, {"choices": None, "candidates": None}, {}], {}),
        ([{"candidates": [{"index": 1}, {}]}], {0: "", 1: ""}),
        ([{"candidates": [{"index": 1, "finishReason": "STOP"}]}], {1: "STOP"}),
        ([{"type": "message_start", "message": {}}], {0: ""}),
        ([{"type": "content_block_start"}, {"type": "ping"}], {0: ""}),
        (
            [
                {"type": "message_delta", "delta": {"stop_reason": "end_turn"}},
                {"type": "message_stop"},
            ],
            {0: "end_turn"},
        ),
        ([{"type": "message_delta", "delta": None}], {0: ""}),
        ([{"type": "ping"}, {"type": "other", "delta": {"stop_reason": "end_turn"}}], {}),
    ],
)
async def test_a_stream_is_finished_when_every_choice_has_a_finish_reason(
    events: list[Any], reasons: dict[int, str]
) -> None:
    read = await Read.events(*events)
    assert read.inspector.reasons == reasons
    if not all(reasons.values()):
        read.assert_broken("it ended without a finish reason", len(events))
    elif reasons:
        read.assert_whole(len(events))
    else:  # the format is not known
        assert (read.inspector.state, read.error) == (StreamState.OPEN, None)


async def test_the_word_for_the_end_ends_a_stream_without_a_finish_reason() -> None:
    read = await Read.lines(line(openai(None)), "data: [DONE]", line(openai("stop")))
    read.assert_broken("it ended without a finish reason", passed=1)


@pytest.mark.parametrize("reason", BROKEN_OFF)
async def test_some_finish_reasons_say_that_the_answer_did_not_finish(reason: str) -> None:
    read = await Read.events(openai(reason))
    read.assert_broken(f"the provider broke it off ({reason})", passed=0)


async def test_chunks_of_openais_client_are_looked_at_too() -> None:
    def chunk(*choices: tuple[int | None, str | None]) -> Any:
        made = [SimpleNamespace(index=index, finish_reason=reason) for index, reason in choices]
        return SimpleNamespace(choices=made)

    chunks = [SimpleNamespace(), SimpleNamespace(choices=None)]
    chunks += [chunk((None, None), (1, None)), chunk((1, "stop"))]
    read = await Read.of(objects(*chunks))
    assert read.passed == chunks
    assert read.inspector.reasons == {0: "", 1: "stop"}
    read.assert_broken("it ended without a finish reason", passed=4)
    (await Read.of(objects(*chunks, chunk((0, "stop"))))).assert_whole(5)


async def test_behind_the_finish_reason_a_cut_takes_nothing_away() -> None:
    (await Read.lines(line(openai("stop")), error=ConnectionError())).assert_whole(1)
    read = await Read.lines(line(openai(None)), error=ConnectionError())
    assert isinstance(read.error, ConnectionError)


async def test_only_behind_the_finish_reason_is_there_a_time_limit() -> None:
    asked = []

    def at_once() -> asyncio.Timeout:
        asked.append(1)
        return asyncio.timeout(0)

    async def silent() -> AsyncIterator[Any]:
        yield line(openai(None))
        await asyncio.sleep(0)
        yield line(openai("stop"))
        assert asked == []
        await asyncio.get_running_loop().create_future()

    inspector = WireInspector(silent(), at_once)
    assert len([item async for item in inspector]) == 2
    assert [item async for item in inspector] == []  # LiteLLM asks once more
    assert asked == [1]
    assert inspector.state is StreamState.FINISHED


@pytest.mark.parametrize("kind", ["response", "lines"])
async def test_closing_reaches_the_response(kind: str) -> None:
    response = Response(line(openai(None)) + "\n", line(openai(None)) + "\n")
    source = response if kind == "response" else response.aiter_lines()
    inspector = WireInspector(source, unlimited)
    items = aiter(inspector)
    assert await anext(items) == line(openai(None))
    await inspector.aclose()
    assert response.closed == 1
    assert [item async for item in inspector] == []


async def test_a_stream_is_closed_by_the_name_that_its_client_has_for_it() -> None:
    closed = []

    class Stream:
        async def __aiter__(self) -> AsyncIterator[Any]:
            yield 1

        async def close(self) -> None:
            closed.append(1)

    await WireInspector(Stream(), unlimited).aclose()
    assert closed == [1]


async def test_closing_while_another_task_reads_reaches_the_response() -> None:
    class Hanging(Response):
        async def aiter_text(self) -> AsyncIterator[str]:
            await asyncio.get_running_loop().create_future()
            yield ""

    response = Hanging()
    inspector = WireInspector(response, unlimited)
    reading = asyncio.ensure_future(anext(aiter(inspector)))
    await asyncio.sleep(0)
    await inspector.aclose()
    assert response.closed == 1
    reading.cancel()
