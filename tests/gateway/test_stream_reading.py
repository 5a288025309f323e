"""LiteLLM's streams as they are read: to the first content, to the end, and to a break."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any

import litellm
import pytest

from majordomo_cascade import InvalidResponseError, ProviderUnavailableError, Target
from majordomo_cascade.gateway import ChunkReader, is_usage_only, text_of
from majordomo_cascade.gateway.boundary import ErrorBoundary
from majordomo_cascade.gateway.inspector import WireInspector
from majordomo_cascade.gateway.stream import LITELLM_REASONS, OTHER_CONTENT, has_content

NAME = r"^openai/gpt-4\.1: "
UNFINISHED = f"{NAME}it ended without a finish reason$"


def chunk(content: Any = None, finish_reason: Any = None, index: Any = 0, **delta: Any) -> Any:
    choice = SimpleNamespace(
        index=index, delta=SimpleNamespace(content=content, **delta), finish_reason=finish_reason
    )
    return SimpleNamespace(choices=[choice])


USAGE: Any = SimpleNamespace(choices=[], usage=object())


class Raw:
    """LiteLLM's stream: chunks, or what it raises."""

    def __init__(self, *items: Any, **attributes: Any) -> None:
        self.items = items
        self.closed = 0
        vars(self).update(attributes)

    async def __aiter__(self) -> AsyncIterator[Any]:
        for item in self.items:
            if isinstance(item, Exception):
                raise item
            yield item

    async def aclose(self) -> None:
        self.closed += 1


def unlimited() -> asyncio.Timeout:
    return asyncio.timeout(None)


def read(raw: Any) -> ChunkReader:
    boundary = ErrorBoundary(litellm, Target("openai", "gpt-4.1"), {})
    return ChunkReader(raw, boundary, unlimited, shows_usage=False)


async def all_of(chunks: ChunkReader) -> list[Any]:
    received = []
    while (chunk := await chunks.next()) is not None:
        received.append(chunk)
    return received


class Lines:
    """The answer of a vendor, whose lines LiteLLM reads."""

    def __init__(self, *events: Any) -> None:
        self.events = events

    async def __aiter__(self) -> AsyncIterator[str]:
        for event in self.events:
            yield event if isinstance(event, str) else f"data: {json.dumps(event)}"


class Wired(Raw):
    """LiteLLM's stream over a vendor's lines: a chunk for each line, and the rest at the end."""

    def __init__(self, *items: Any, lines: Any) -> None:
        super().__init__(*items, completion_stream=SimpleNamespace(streaming_response=lines))
        self.completion_stream: Any

    async def __aiter__(self) -> AsyncIterator[Any]:
        items = iter(self.items)
        async for _ in self.completion_stream.streaming_response:
            if isinstance(item := next(items), Exception):
                raise item
            yield item
        for item in items:
            yield item


def event(*reasons: str | None) -> dict[str, Any]:
    return {
        "choices": [
            {"index": index, "finish_reason": reason} for index, reason in enumerate(reasons)
        ]
    }


@pytest.mark.parametrize(
    ("given", "text", "content"),
    [
        (chunk("x"), "x", True),
        (chunk(" \n"), " \n", False),
        (chunk(""), "", False),
        (chunk(None), "", False),
        (chunk(7), "", False),
        (chunk("x", index=1), "", False),
        (chunk("x", index=None), "x", True),
        (SimpleNamespace(choices=[*chunk("x", index=1).choices, *chunk("y").choices]), "y", True),
        (SimpleNamespace(choices=[SimpleNamespace(delta=SimpleNamespace(content="x"))]), "x", True),
        (SimpleNamespace(choices=[SimpleNamespace()]), "", False),
        (SimpleNamespace(choices=[SimpleNamespace(delta=SimpleNamespace())]), "", False),
        (SimpleNamespace(choices=None), "", False),
        (SimpleNamespace(), "", False),
        *((chunk(None, **{name: ["some"]}), "", True) for name in OTHER_CONTENT),
        *((chunk(None, **{name: None}), "", False) for name in OTHER_CONTENT),
        (chunk(None, role="assistant"), "", False),
    ],
)
def test_a_chunk_brings_text_or_other_content(given: Any, text: str, *, content: bool) -> None:
    assert text_of(given) == text
    assert has_content(given) is content


def test_the_extra_chunk_with_the_usage_is_told_from_others() -> None:
    def used(chunk: Any) -> Any:
        chunk.usage = object()
        return chunk

    assert is_usage_only(USAGE)
    assert is_usage_only(used(chunk("")))
    assert not is_usage_only(used(chunk("x")))
    assert not is_usage_only(used(chunk("", "stop")))
    assert not is_usage_only(chunk(""))
    assert not is_usage_only(SimpleNamespace(choices=[], usage=None))


async def test_a_stream_begins_with_its_first_content_and_nothing_is_lost() -> None:
    items = [
        chunk(None, role="assistant"),
        chunk(" "),
        chunk("a"),
        chunk("b"),
        chunk(None, "stop"),
        USAGE,
    ]
    chunks = read(Raw(*items))
    assert await chunks.begin() is True
    assert (chunks.received, chunks.text, chunks.finish_reason) == (items[:3], " a", None)
    assert await all_of(chunks) == items
    assert (chunks.received, chunks.text, chunks.finish_reason) == (items, " ab", "stop")
    assert await chunks.next() is None


async def test_a_stream_that_ends_without_any_content_has_not_begun() -> None:
    chunks = read(Raw(chunk(" "), chunk(None, "stop")))
    assert await chunks.begin() is False
    assert chunks.finish_reason == "stop"


async def test_a_stream_that_only_ends_is_not_whole() -> None:
    chunks = read(Raw(chunk("a")))
    assert await chunks.next() is not None
    with pytest.raises(InvalidResponseError, match=UNFINISHED) as caught:
        await chunks.next()
    assert (caught.value.provider, caught.value.model) == ("openai", "gpt-4.1")


@pytest.mark.parametrize(
    ("attributes", "is_whole"),
    [
        ({"intermittent_finish_reason": None, "received_finish_reason": "stop"}, True),
        ({"intermittent_finish_reason": "stop", "received_finish_reason": None}, True),
        ({"intermittent_finish_reason": None, "received_finish_reason": None}, False),
        ({"custom_llm_provider": "cached_response"}, True),
        ({"custom_llm_provider": "openai"}, False),
        (
            {"completion_stream": SimpleNamespace(__name__="async_mock_completion_streaming_obj")},
            True,
        ),
        ({"completion_stream": SimpleNamespace(__name__="another")}, False),
    ],
)
async def test_where_the_wire_cannot_be_seen_litellms_word_counts(
    attributes: Any, *, is_whole: bool
) -> None:
    chunks = read(Raw(chunk("a"), **attributes))
    assert chunks.is_cached is ("cached_response" in attributes.values())
    if is_whole:
        assert len(await all_of(chunks)) == 1
    else:
        with pytest.raises(InvalidResponseError, match=UNFINISHED):
            await all_of(chunks)


async def test_a_mocks_name_is_known_when_litellm_has_dropped_it() -> None:
    class Dropping(Raw):
        async def __aiter__(self) -> AsyncIterator[Any]:
            yield chunk("a")
            self.completion_stream = None

    generator = SimpleNamespace(__name__="async_mock_completion_streaming_obj")
    assert len(await all_of(read(Dropping(completion_stream=generator)))) == 1


async def test_litellms_own_word_counts_more_than_the_chunks() -> None:
    with pytest.raises(InvalidResponseError, match=UNFINISHED):
        await all_of(read(Raw(chunk("a", "stop"), **dict.fromkeys(LITELLM_REASONS))))


async def test_an_error_is_a_bug_before_anything_came_and_a_broken_answer_after() -> None:
    error = ValueError("broken")
    with pytest.raises(ValueError, match=r"^broken$") as bug:
        await read(Raw(error)).next()
    assert bug.value is error
    with pytest.raises(InvalidResponseError) as broken:
        await all_of(read(Raw(chunk("a"), error)))
    assert broken.value.__cause__ is error


async def test_an_exception_that_the_caller_is_handling_is_no_part_of_an_error() -> None:
    outside = KeyError("of the caller's")
    error = ValueError()
    try:
        raise outside
    except KeyError:
        with pytest.raises(InvalidResponseError):
            await all_of(read(Raw(chunk("a"), error)))
    assert error.__context__ is None


async def test_on_the_wire_a_stream_is_whole_by_the_vendors_finish_reason() -> None:
    items = [chunk("a"), chunk("b"), chunk(None, "stop")]
    raw = Wired(*items, lines=Lines(event(None), event("length"), "data: [DONE]"))
    chunks = read(raw)
    assert isinstance(raw.completion_stream.streaming_response, WireInspector)
    assert await all_of(chunks) == items
    assert chunks.finish_reason == "stop"  # LiteLLM's own word, for one choice
    with pytest.raises(InvalidResponseError, match=UNFINISHED):
        await all_of(read(Wired(*items, lines=Lines(event(None), event(None), "data: [DONE]"))))


@pytest.mark.parametrize("end", [[], ["data: [DONE]"]])
async def test_a_finish_reason_that_litellm_made_up_is_not_shown(end: list[str]) -> None:
    items = [chunk("a"), chunk(None, "stop")]
    chunks = read(Wired(*items, lines=Lines(event(None), *end)))
    assert await chunks.next() is items[0]
    with pytest.raises(InvalidResponseError, match=UNFINISHED):
        await chunks.next()


async def test_the_end_of_one_choice_is_not_the_end_of_another() -> None:
    first, second = chunk("a", "stop"), chunk("b", "stop", index=1)
    lines = [event(None, None), event(None, "length"), event("stop")]
    chunks = read(Wired(first, second, first, lines=Lines(*lines)))
    assert await chunks.next() is first  # LiteLLM says "stop", the vendor does not
    assert chunks.finish_reason == ""
    await all_of(chunks)
    assert chunks.finish_reason == "stop"
    with pytest.raises(InvalidResponseError, match=UNFINISHED):
        await all_of(read(Wired(first, second, lines=Lines(*lines[:2]))))


@pytest.mark.parametrize(
    ("fault", "problem"),
    [
        ("data: {", "it sent what can't be read"),
        (event("error"), r"the provider broke it off \(error\)"),
    ],
)
async def test_a_fault_on_the_wire_counts_more_than_litellms_account_of_it(
    fault: Any, problem: str
) -> None:
    class Wrapping(Wired):
        async def __aiter__(self) -> AsyncIterator[Any]:
            try:
                async for item in super().__aiter__():
                    yield item
            except ValueError as error:
                raise litellm.APIConnectionError("its account", "openai", "gpt-4.1") from error

    class Swallowing(Wired):
        async def __aiter__(self) -> AsyncIterator[Any]:
            try:
                async for item in super().__aiter__():
                    yield item
            except ValueError:
                yield chunk(None, "stop")

    for kind in (Wrapping, Swallowing):
        with pytest.raises(InvalidResponseError, match=f"{NAME}{problem}$"):
            await all_of(read(kind(chunk("a"), lines=Lines(event(None), fault))))


async def test_an_error_event_is_told_in_the_vendors_words() -> None:
    busy = {"error": {"type": "overloaded_error", "message": "busy"}}
    with pytest.raises(
        ProviderUnavailableError, match=f"{NAME}the stream reported overloaded_error: busy$"
    ):
        await all_of(read(Wired(chunk("a"), lines=Lines(event(None), busy))))


async def test_an_error_of_litellms_once_the_wire_was_reached_is_a_broken_answer() -> None:
    with pytest.raises(InvalidResponseError):
        await read(Wired(ValueError(), lines=Lines(event(None)))).next()


class Late(Raw):
    """LiteLLM's stream of a vendor who is asked at the first read."""

    def __init__(self, lines: Lines) -> None:
        super().__init__(completion_stream=None)
        self.lines = lines

    async def __aiter__(self) -> AsyncIterator[Any]:
        stream = await self.make_call("client", model="m")
        async for _ in stream.streaming_response:
            yield chunk("a")

    async def make_call(self, *args: Any, **kwargs: Any) -> Any:
        assert (args, kwargs) == (("client",), {"model": "m"})
        return SimpleNamespace(streaming_response=self.lines)


async def test_a_vendor_that_is_asked_at_the_first_read_is_looked_at_then() -> None:
    assert (
        len(await all_of(read(Late(Lines(event("stop")))))) == 1
    )  # by the vendor's word: LiteLLM has none
    with pytest.raises(InvalidResponseError, match=UNFINISHED):
        await all_of(read(Late(Lines(event(None)))))


class Objects:
    """The stream of a client that makes objects of a vendor's lines."""

    def __aiter__(self) -> AsyncIterator[Any]:
        return self._items()

    async def _items(self) -> AsyncIterator[Any]:
        yield chunk("a", "stop")


@pytest.mark.parametrize(("module", "is_seen"), [("openai.lib.streaming", True), ("httpx", False)])
async def test_the_chunks_of_openais_client_are_looked_at(module: str, *, is_seen: bool) -> None:
    raw: Any = Raw(completion_stream=type("Stream", (Objects,), {"__module__": module})())
    read(raw)
    assert isinstance(raw.completion_stream, WireInspector) is is_seen
    assert [text_of(each) async for each in raw.completion_stream] == ["a"]


async def test_closing_reaches_litellm_and_the_wire_whatever_either_does() -> None:
    closed = []

    class Response(Lines):
        async def aclose(self) -> None:
            closed.append("wire")

    class Stubborn(Wired):
        async def aclose(self) -> None:
            closed.append("litellm")
            raise RuntimeError

    chunks = read(Stubborn(chunk("a"), lines=Response(event(None))))
    await chunks.next()
    await chunks.aclose()
    assert closed[:2] == ["litellm", "wire"]
    closed.clear()
    await chunks.aclose()
    assert closed == ["litellm", "wire"]


async def test_closing_while_another_task_reads() -> None:
    class Hanging(Raw):
        async def __aiter__(self) -> AsyncIterator[Any]:
            await asyncio.get_running_loop().create_future()
            yield None

    raw = Hanging()
    chunks = read(raw)
    reading = asyncio.ensure_future(chunks.next())
    await asyncio.sleep(0)
    await chunks.aclose()
    assert raw.closed == 1
    reading.cancel()


async def test_a_stream_that_is_read_to_its_end_is_closed() -> None:
    raw = Raw(chunk("a", "stop"))
    await all_of(read(raw))
    assert raw.closed == 1
