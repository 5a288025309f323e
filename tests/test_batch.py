"""``cascade.batch``: many prompts side by side; none is lost, none stops the others."""

from __future__ import annotations

import asyncio
import gc
import io
import pickle
import sys
from collections.abc import AsyncIterator, Callable, Generator
from contextlib import closing, suppress
from dataclasses import dataclass, field
from typing import Any

import pytest
from conftest import Gate, Serve, until
from pydantic import BaseModel

from majordomo_cascade import (
    BadRequestError,
    BatchItem,
    CircuitBreaker,
    ConfigurationError,
    LLMCascade,
    LLMResponse,
    ProviderUnavailableError,
    ResponseValidationError,
    RetryPolicy,
    batch,
)
from majordomo_cascade.testing import (
    Behaviour,
    Exchange,
    FakeProvider,
    Hang,
    Reply,
    Status,
    simulate,
)

ONCE = RetryPolicy(attempts=1)


@dataclass
class ByPrompt:
    """Answers a prompt with its behaviour, or else with its own words."""

    behaviours: dict[str, Behaviour] = field(default_factory=dict)

    async def perform(self, exchange: Exchange) -> None:
        assert exchange.request.json is not None
        prompt = exchange.request.json["messages"][-1]["content"]
        await self.behaviours.get(prompt, Reply(prompt)).perform(exchange)


class Source:
    """Prompts "0", "1" …, and what became of them."""

    def __init__(self, number: int, error: Exception | None = None) -> None:
        self.number = number
        self.error = error
        self.read = 0
        self.taken = 0
        self.furthest = 0
        self.is_closed = False

    def __iter__(self) -> Generator[str]:
        try:
            while self.read < self.number:
                self.read += 1
                self.furthest = max(self.furthest, self.read - self.taken)
                yield str(self.read - 1)
            if self.error:
                raise self.error
        finally:
            self.is_closed = True

    async def asynchronous(self) -> AsyncIterator[str]:
        with closing(iter(self)) as prompts:
            for prompt in prompts:
                yield prompt

    def of_kind(self, kind: str) -> Any:
        return iter(self) if kind == "plain" else self.asynchronous()


KINDS = pytest.mark.parametrize("kind", ["plain", "asynchronous"])


def cascade_of(*providers: FakeProvider, **options: Any) -> LLMCascade:
    return LLMCascade([provider.target() for provider in providers], retry=ONCE, **options)


def mocked(text: str = "x") -> LLMCascade:
    return LLMCascade(["openai/gpt-4.1"], mock_response=text)


def content_of(item: BatchItem[Any]) -> Any:
    assert item.response is not None
    return item.response.content


def contents(items: list[BatchItem[Any]]) -> list[Any]:
    """Return the contents in the order of the prompts."""
    assert sorted(item.index for item in items) == list(range(len(items)))
    return [content_of(item) for item in sorted(items, key=lambda item: item.index)]


# What goes in, and what comes out.


async def test_every_prompt_gets_its_answer(serve: Serve) -> None:
    messages = [{"role": "user", "content": "three"}]
    prompts: list[Any] = ["one", "two", messages]
    items = [item async for item in cascade_of(serve(ByPrompt())).batch(prompts)]
    assert contents(items) == ["one", "two", "three"]
    assert all(item.prompt is prompts[item.index] and item.error is None for item in items)


async def test_the_arguments_go_with_every_prompt(serve: Serve) -> None:
    provider = serve()
    cascade = cascade_of(provider)
    options: dict[str, Any] = {
        "temperature": 0.5,
        "max_tokens": 9,
        "seed": 7,
        "timeout": 9,
        "deadline": 9,
    }
    async for item in cascade.batch(["a", "b"], system_prompt="Be brief.", **options):
        assert item.error is None
    for request in provider.requests:
        assert request.json is not None
        assert request.json["messages"][0]["content"] == "Be brief."
        assert [request.json[name] for name in ("temperature", "seed")] == [0.5, 7]


class City(BaseModel):
    name: str


async def test_values_of_a_type_are_asked_for(serve: Serve) -> None:
    answers: dict[str, Behaviour] = {"a": Reply('{"name": "Rome"}'), "b": Reply('{"name": 5}')}
    cascade = cascade_of(serve(ByPrompt(answers)))
    items = {i.prompt: i async for i in cascade.batch(["a", "b"], response_model=City)}
    assert content_of(items["a"]) == City(name="Rome")
    assert isinstance(items["b"].error, ResponseValidationError)


async def test_items_come_as_they_are_done(serve: Serve) -> None:
    gate = Gate(Reply("at last"))
    cascade = cascade_of(serve(ByPrompt({"a": gate})))
    order = []
    async for item in cascade.batch(["a", "b", "c"], concurrency=2):
        order.append(item.index)
        if item.index == 2:
            gate.give()
    assert order == [1, 2, 0]


async def test_no_prompt_stops_the_others(serve: Serve) -> None:
    cascade = cascade_of(serve(ByPrompt({"bad": Status(400), "down": Status(503)})))
    prompts: list[Any] = ["bad", 5, None, "", {"role": "user"}, [], "down", "good"]
    items = {item.index: item async for item in cascade.batch(prompts, concurrency=3)}
    assert [items[i].prompt for i in range(8)] == prompts
    assert {type(items[i].error) for i in range(6)} == {BadRequestError}
    assert isinstance(items[6].error, ProviderUnavailableError)
    assert content_of(items[7]) == "good"


async def test_a_bug_in_the_users_code_is_the_error_of_its_item(serve: Serve) -> None:
    def accept(response: LLMResponse[Any]) -> bool:
        return response.content > 5  # type: ignore[no-any-return]

    cascade = cascade_of(serve(ByPrompt()), accept=accept)
    items = [item async for item in cascade.batch(["a", "b"])]
    assert [type(item.error) for item in items] == [TypeError, TypeError]


async def test_a_dead_provider_is_passed_by(serve: Serve) -> None:
    dead = serve(Status(503))
    cascade = cascade_of(dead, serve(ByPrompt()), breaker=CircuitBreaker(failures=2))
    items = [item async for item in cascade.batch(map(str, range(9)), concurrency=1)]
    assert contents(items) == list(map(str, range(9)))
    assert len(dead.requests) == 2


async def test_no_prompts_no_items() -> None:
    assert [item async for item in mocked().batch([])] == []


async def test_it_takes_no_time_in_a_simulation() -> None:
    cascade = LLMCascade(["anthropic/claude-sonnet-5-5", "openai/gpt-5.5"], timeout=20)
    with simulate(cascade, Hang()) as simulation:
        [item] = [item async for item in simulation.cascade.batch(["Hello"])]
    assert item.response is not None
    assert item.response.provider == "openai"


async def test_an_item_can_be_pickled(serve: Serve) -> None:
    cascade = cascade_of(serve(ByPrompt({"bad": Status(400)})))
    for item in [item async for item in cascade.batch(["good", "bad"])]:
        again = pickle.loads(pickle.dumps(item))
        assert (again.index, again.prompt) == (item.index, item.prompt)
        assert type(again.error) is type(item.error)


# Arguments that are wrong.


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ({"concurrency": 0}, "concurrency must be a positive whole number, not 0"),
        ({"concurrency": 2.5}, "concurrency"),
        ({"concurrency": True}, "concurrency"),
        ({"model": "gpt-4.1"}, "the cascade's own list"),
        ({"retry": ONCE}, "with_options"),
        ({"messages": [{"role": "user", "content": "x"}]}, "not both"),
        ({"timeout": "9"}, "timeout"),
        ({"system_prompt": 5}, "system_prompt"),
        ({"validation_retries": 1}, "JSON"),
        ({"response_model": 5}, "response_model 5 can't be used"),
        ({"response_model": City, "response_format": {}}, "only one of them"),
        ({"prompts": "Hello"}, "prompts must be an iterable of prompts, such as a list, not str"),
        ({"prompts": b"Hello"}, "not bytes"),
        ({"prompts": {"role": "user"}}, "not dict"),
        ({"prompts": 5}, "not int"),
    ],
)
async def test_wrong_arguments_are_told_at_the_call(
    serve: Serve, arguments: dict[str, Any], told: str
) -> None:
    provider, source = serve(), Source(5)
    with pytest.raises(BadRequestError, match=told):
        cascade_of(provider).batch(**{"prompts": iter(source), **arguments})
    await asyncio.sleep(0)
    assert (provider.requests, source.read) == ([], 0)


def test_a_batch_needs_an_event_loop() -> None:
    with pytest.raises(ConfigurationError, match="needs asyncio"):
        mocked().batch(["Hello"])


# How far it reads ahead, and what it keeps.


@KINDS
@pytest.mark.parametrize("concurrency", [1, 7])
async def test_it_never_reads_further_ahead_than_it_asks(kind: str, concurrency: int) -> None:
    source = Source(300)
    async for _ in mocked().batch(source.of_kind(kind), concurrency=concurrency):
        source.taken += 1
    assert source.taken == source.read == 300
    assert source.furthest == concurrency


async def test_nothing_is_read_while_nobody_takes_an_item(serve: Serve) -> None:
    source, provider = Source(100), serve(ByPrompt())

    def is_answered() -> bool:
        return len(provider.requests) == source.read == 4 + source.taken and not provider.pending

    items = cascade_of(provider).batch(iter(source), concurrency=4)
    for _ in range(5):
        await until(is_answered)
        for _ in range(20):  # the answers come, and nothing more is asked
            await asyncio.sleep(0)
        assert is_answered()
        await anext(items)
        source.taken += 1
    await until(is_answered)
    await items.aclose()


async def test_tasks_and_items_do_not_grow_with_the_prompts() -> None:
    def living() -> int:
        """Count this package's tasks: LiteLLM has some of its own."""
        places: list[Any] = [task.get_coro() for task in asyncio.all_tasks()]
        return sum(place.cr_code.co_filename == batch.__file__ for place in places)

    async for item in mocked().batch((str(i) for i in range(1_000)), concurrency=10):
        assert living() <= 10 + 1
        if item.index % 250 == 249:
            gc.collect()
            assert sum(isinstance(each, BatchItem) for each in gc.get_objects()) <= 10 + 1


async def test_items_come_while_the_iterable_is_silent(serve: Serve) -> None:
    more = asyncio.Event()

    async def prompts() -> AsyncIterator[str]:
        yield "a"
        await more.wait()
        yield "b"

    order = []
    async for item in cascade_of(serve(ByPrompt())).batch(prompts()):
        order.append(content_of(item))
        more.set()
    assert order == ["a", "b"]


# How it ends.


@KINDS
async def test_an_error_of_the_iterable_is_raised_after_all_answers(
    serve: Serve, kind: str
) -> None:
    gate, source = Gate(Reply("late")), Source(3, KeyError("no more"))
    cascade = cascade_of(serve(ByPrompt({"0": gate})))
    items = cascade.batch(source.of_kind(kind))
    come = [await anext(items), await anext(items)]
    gate.give()
    come.append(await anext(items))
    assert contents(come) == ["late", "1", "2"]
    for _ in range(2):
        with pytest.raises(KeyError, match="no more"):
            await anext(items)


async def test_it_stays_ended() -> None:
    items = mocked().batch(["Hello"])
    assert len([item async for item in items]) == 1
    assert [item async for item in items] == []
    await items.aclose()


@KINDS
async def test_break_cancels_what_is_on_the_wire_and_closes_the_iterable(
    serve: Serve, kind: str
) -> None:
    source, provider = Source(9), serve(Reply(), Hang())
    prompts = source.of_kind(kind)  # held, so that it is not closed because nobody holds it
    async for _ in cascade_of(provider).batch(prompts, concurrency=3):
        await until(lambda: provider.silent == 3)
        break
    await until(lambda: source.is_closed and not provider.pending)
    assert source.read < 9


@KINDS
async def test_the_end_of_the_readers_task_ends_the_batch(serve: Serve, kind: str) -> None:
    source, provider = Source(9), serve(Hang())

    async def read() -> None:
        async for _ in cascade_of(provider).batch(source.of_kind(kind), concurrency=3):
            pass

    reader = asyncio.create_task(read())
    await until(lambda: provider.silent == 3)
    reader.cancel()
    with suppress(asyncio.CancelledError):
        await reader
    await until(lambda: source.is_closed and not provider.pending)


@KINDS
async def test_what_had_come_can_be_read_after_aclose(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def get_response(**sent: Any) -> LLMResponse[str]:
        if sent["user_prompt"] == "1":
            await asyncio.Event().wait()
        return LLMResponse(content=sent["user_prompt"])

    source, cascade = Source(9), mocked()
    monkeypatch.setattr(cascade, "get_response", get_response)
    items = cascade.batch(source.of_kind(kind), concurrency=4)
    come = [await anext(items)]
    await until(lambda: source.read == 5)
    for _ in range(5):  # four prompts more than the one that was taken, of which one hangs
        await asyncio.sleep(0)
    await items.aclose()
    assert source.is_closed
    come.extend([item async for item in items])
    assert sorted(item.index for item in come) == [0, 2, 3, 4]
    assert len(asyncio.all_tasks()) == 1


async def test_aclose_waits_until_nothing_is_on_the_wire(serve: Serve) -> None:
    provider = serve(Hang())
    items = cascade_of(provider).batch(["a", "b"])
    await until(lambda: provider.silent == 2)
    await items.aclose()
    await items.aclose()
    assert [item async for item in items] == []
    await until(lambda: not provider.pending)


async def test_a_step_that_is_cancelled_loses_nothing(serve: Serve) -> None:
    gate = Gate(Reply("an answer"))
    provider = serve(gate)
    items = cascade_of(provider).batch(["a", "b", "c"])
    step = asyncio.ensure_future(anext(items))
    await until(lambda: provider.pending == 3)
    step.cancel()
    with pytest.raises(asyncio.CancelledError):
        await step
    gate.give()
    assert contents([item async for item in items]) == ["an answer"] * 3


async def test_a_cancellation_from_inside_a_call_is_not_lost(serve: Serve) -> None:
    def accept(response: LLMResponse[Any]) -> bool:
        if response.content == "1":
            raise asyncio.CancelledError
        return True

    items = cascade_of(serve(ByPrompt()), accept=accept).batch(map(str, range(4)), concurrency=1)
    assert content_of(await anext(items)) == "0"
    with pytest.raises(asyncio.CancelledError):
        await anext(items)
    assert [content_of(item) async for item in items] == ["2", "3"]


async def test_a_batch_that_others_cancel_does_not_end_as_if_it_were_whole() -> None:
    async def prompts() -> AsyncIterator[str]:
        yield "a"
        await asyncio.Event().wait()

    items = mocked().batch(prompts())
    assert content_of(await anext(items)) == "x"
    for task in asyncio.all_tasks() - {asyncio.current_task()}:
        task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await anext(items)


def test_a_batch_is_dropped_without_a_word(monkeypatch: pytest.MonkeyPatch) -> None:
    ignored: list[Any] = []
    monkeypatch.setattr(sys, "unraisablehook", ignored.append)

    async def begin() -> object:
        with pytest.raises(BadRequestError):
            mocked().batch("Hello")
        return mocked().batch(["a"])

    outlives_its_loop = asyncio.run(begin())
    del outlives_its_loop
    gc.collect()
    assert ignored == []


async def test_readers_may_share_a_batch() -> None:
    items = mocked().batch(map(str, range(50)), concurrency=5)

    async def read() -> list[int]:
        return [item.index async for item in items]

    first, second = await asyncio.gather(read(), read())
    assert sorted(first + second) == list(range(50))


# The bar.


async def test_the_bar_counts_what_was_done(serve: Serve, capsys: Any) -> None:
    first = serve(ByPrompt({"bad": Status(400), "moves on": Status(503)}))
    cascade = cascade_of(first, serve(ByPrompt()))
    prompts = ["good", "bad", "moves on"]
    items = [item async for item in cascade.batch(prompts, progress=True)]
    cost = sum(item.response.total_cost or 0 for item in items if item.response)
    shown = capsys.readouterr().err.split("\r")[-1]
    assert "3/3" in shown
    assert f"failed=1, failed over=1, cost=${cost:.4f}" in shown


async def test_the_bar_of_an_iterable_without_length_counts_alone(capsys: Any) -> None:
    items = mocked().batch(iter(["a", "b"]), progress=True)
    assert len([item async for item in items]) == 2
    assert "2 prompts [" in capsys.readouterr().err


async def test_there_is_no_bar_unless_it_is_asked_for_and_tqdm_is_there(
    capsys: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert len([item async for item in mocked().batch(["a"])]) == 1
    monkeypatch.setitem(sys.modules, "tqdm", None)
    assert len([item async for item in mocked().batch(["a"], progress=True)]) == 1
    assert capsys.readouterr().err == ""


# Blocking.


def test_a_blocking_batch_gives_the_same_items(serve: Serve) -> None:
    cascade = cascade_of(serve(ByPrompt({"bad": Status(400)})))
    items = {item.prompt: item for item in cascade.sync.batch(["a", "bad", "b"], concurrency=2)}
    assert content_of(items["a"]) == "a"
    assert isinstance(items["bad"].error, BadRequestError)
    assert items["b"].index == 2


def test_a_blocking_batch_gives_values_of_a_type() -> None:
    items = list(mocked('{"name": "Rome"}').sync.batch(["a", "b"], response_model=City))
    assert contents(items) == [City(name="Rome")] * 2


def test_a_blocking_batch_reads_as_needed() -> None:
    source = Source(100)
    for _ in mocked().sync.batch(iter(source), concurrency=3):
        source.taken += 1
    # The thread of the event loop may read on before this one has counted.
    assert source.read == 100
    assert source.furthest <= 3 + 1


def test_a_blocking_batch_raises_as_the_asynchronous_one() -> None:
    with pytest.raises(BadRequestError, match="concurrency"):
        mocked().sync.batch(["a"], concurrency=0)
    items = mocked().sync.batch(iter(Source(1, KeyError("no more"))))
    assert next(items).index == 0
    with pytest.raises(KeyError):
        next(items)


async def test_closing_a_blocking_batch_stops_everything(serve: Serve) -> None:
    source, provider = Source(9), serve(Reply(), Hang())
    items = cascade_of(provider).sync.batch(iter(source), concurrency=3)
    next(items)
    await until(lambda: provider.silent == 3)
    items.close()
    assert source.is_closed
    await until(lambda: not provider.pending)
    assert list(items) == []


async def test_leaving_the_loop_of_a_blocking_batch_stops_everything(serve: Serve) -> None:
    source, provider = Source(9), serve(Reply(), Hang())
    for _ in cascade_of(provider).sync.batch(iter(source), concurrency=3):
        await until(lambda: provider.silent == 3)
        break
    await until(lambda: source.is_closed and not provider.pending)


def test_a_callback_that_exits_the_program_ends_the_batch(serve: Serve) -> None:
    cascade = cascade_of(serve(ByPrompt()))
    leaving = cascade.with_options(on_attempt=lambda _: sys.exit(3))
    with pytest.raises(SystemExit):
        list(leaving.sync.batch(["a", "b"], concurrency=1))
    assert contents(list(cascade.sync.batch(["a"]))) == ["a"]


# Prompts and bars that misbehave.


async def swallowing() -> AsyncIterator[str]:
    yield "0"
    yield "1"
    with suppress(asyncio.CancelledError):
        await asyncio.Event().wait()


async def replacing() -> AsyncIterator[str]:
    yield "0"
    yield "1"
    try:
        await asyncio.Event().wait()
    except BaseException as error:
        raise ValueError("the database is gone") from error


def failing_to_close() -> Generator[str]:
    try:
        yield from map(str, range(9))
    finally:
        raise OSError("it can't be closed")


@pytest.mark.parametrize("prompts", [swallowing, replacing, failing_to_close])
async def test_prompts_that_keep_a_cancellation_to_themselves_leave_nothing_on_the_wire(
    serve: Serve, prompts: Callable[[], Any]
) -> None:
    provider = serve(Hang())
    batch = cascade_of(provider).batch(prompts(), concurrency=2)
    await until(lambda: provider.pending == 2)
    await batch.aclose()
    await until(lambda: provider.pending == 0)
    assert [item async for item in batch] == []


async def test_a_bar_that_cannot_be_shown_loses_no_item(monkeypatch: pytest.MonkeyPatch) -> None:
    class Pipe(io.StringIO):
        is_broken = False

        def write(self, text: str) -> int:
            if self.is_broken:
                raise BrokenPipeError
            return super().write(text)

    monkeypatch.setattr(sys, "stderr", pipe := Pipe())
    batch = mocked().batch(["a", "b", "c"], progress=True)
    pipe.is_broken = True
    assert contents([item async for item in batch]) == ["x"] * 3
