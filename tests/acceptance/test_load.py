"""A thousand calls at once, while one provider fails in every way: all are answered, none leaks."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import itertools
import json
import logging
import re
import sys
import warnings
from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, replace
from pathlib import Path
from types import AsyncGeneratorType, CoroutineType, GeneratorType, TracebackType
from typing import Any, Self

import litellm
import pytest
from conftest import WIRES, Serve, until
from litellm.litellm_core_utils.logging_worker import GLOBAL_LOGGING_WORKER
from openai import AsyncOpenAI

from majordomo_cascade import (
    CircuitBreaker,
    InvalidResponseError,
    LLMCascade,
    LLMResponse,
    ProviderConnectionError,
    ProviderError,
    ProviderTimeoutError,
    ProviderUnavailableError,
    RateLimitError,
    RetryPolicy,
    StreamInterruptedError,
    testing,
)
from majordomo_cascade.failover import SystemClock
from majordomo_cascade.testing import (
    Behaviour,
    BrokenStream,
    CutBody,
    Exchange,
    FakeProvider,
    Garbage,
    Hang,
    Reply,
    Reset,
    Status,
)

CALLS = 1_000
FIRST, SECOND = "gpt-4.1", "gpt-4.1-mini"
ANSWER = "Another's answer."
SHORT = 0.05  # seconds that a call has for a provider that never answers

#: The modules of this package, without its fake providers.
OURS = {
    name
    for name in sys.modules
    if name.startswith("majordomo_cascade.") and not name.startswith(testing.__name__)
}
FILES = {sys.modules[name].__file__ for name in OURS}

Way = Callable[[LLMCascade, str], Awaitable[LLMResponse]]
Fault = tuple[Behaviour, tuple[type[ProviderError], ...]]

HANG: Fault = (Hang(), (ProviderTimeoutError,))

#: Behaviours, and the errors that they may be told as: the end of a connection can overtake what
#: was sent before it.
FAULTS: tuple[Fault, ...] = (
    (Status(500), (ProviderUnavailableError,)),
    (Status(429), (RateLimitError,)),
    (Status(503), (ProviderUnavailableError,)),
    (Reset(), (ProviderConnectionError,)),
    HANG,
    (Garbage(), (InvalidResponseError,)),
    (CutBody(), (ProviderConnectionError, InvalidResponseError)),
)
STREAM_FAULTS: tuple[Fault, ...] = (
    *FAULTS,
    (BrokenStream("cut"), (StreamInterruptedError, ProviderConnectionError)),
    (BrokenStream("stall"), (StreamInterruptedError, ProviderTimeoutError)),
    (BrokenStream("garbage"), (StreamInterruptedError,)),
    (BrokenStream("error"), (StreamInterruptedError,)),
    (BrokenStream("end"), (StreamInterruptedError,)),
    (BrokenStream("cut", ""), (ProviderConnectionError, InvalidResponseError)),
    (BrokenStream("stall", ""), (ProviderTimeoutError,)),
    (BrokenStream("garbage", ""), (InvalidResponseError,)),
    (BrokenStream("error", ""), (ProviderUnavailableError,)),
    (BrokenStream("end", ""), (InvalidResponseError,)),
)

#: The call that a task works for, here and in the provider's thread.
CALL: ContextVar[int] = ContextVar("CALL")


class Silences(SystemClock):
    """A clock that stands still until a provider falls silent: then the shortest limit runs out.

    By the machine's own, a thousand calls at once would run out of time before they reach the wire.
    """

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._silent: set[int] = set()
        self._limits: defaultdict[int, list[tuple[float, asyncio.Timeout]]] = defaultdict(list)

    def timeout(self, seconds: float | None) -> asyncio.Timeout:
        """Return a scope that is cancelled by a silence in this call, now or later."""
        scope = asyncio.timeout(None)
        if seconds is not None:
            self._limits[CALL.get()].append((seconds, scope))
            if CALL.get() in self._silent:
                self._loop.call_soon(self._end, CALL.get())
        return scope

    def note(self) -> None:
        """Hear of a silence, in the provider's thread."""
        self._loop.call_soon_threadsafe(self._fall_silent, CALL.get())

    def _fall_silent(self, call: int) -> None:
        self._silent.add(call)
        self._end(call)

    def _end(self, call: int) -> None:
        """Let the shortest limit run out, once: what comes then is another provider's."""
        limits = sorted(self._limits[call], key=lambda limit: limit[0])
        if any(scope.expired() for _, scope in limits):
            return
        for _, scope in limits:
            with contextlib.suppress(RuntimeError):  # it is over
                scope.reschedule(self._loop.time())
                return


class Trouble:
    """A behaviour that fails in another way with each request; ``met`` has the faults by call."""

    def __init__(self, faults: Sequence[Fault]) -> None:
        self.met: defaultdict[int, list[Fault]] = defaultdict(list)
        self._faults = itertools.cycle(faults)

    async def perform(self, exchange: Exchange) -> None:
        """Fail in the way whose turn it is."""
        called = re.search(r"call (\d+)\.", json.dumps(exchange.request.json))
        assert called is not None
        CALL.set(number := int(called[1]))
        fault = next(self._faults)
        self.met[number].append(fault)
        await fault[0].perform(exchange)


@pytest.fixture(autouse=True)
def quiet(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    """Log nothing: thousands of lines would take longer than the calls."""
    monkeypatch.setattr(litellm, "suppress_debug_info", True)
    for name in ("majordomo_cascade", "LiteLLM"):
        caplog.set_level(logging.CRITICAL, name)


@dataclass
class Leftovers:
    """Things that are there when all calls are over, and were not before."""

    complaints: list[str]
    """Words of event loops, and warnings of the interpreter as it collected garbage."""
    pending: int
    """Requests that the providers still answer."""
    tasks: list[str]
    files: list[str]
    objects: Counter[str]

    def __bool__(self) -> bool:
        return bool(self.complaints or self.pending or self.tasks or self.files or self.objects)


class Inventory(logging.Handler):
    """Counts before a test and again after it, and hears the complaints in between."""

    def __init__(self, *providers: FakeProvider) -> None:
        super().__init__(logging.ERROR)
        self.complaints: list[str] = []
        self._providers = providers
        self._tasks = asyncio.all_tasks()
        self._files = open_files()

    def emit(self, record: logging.LogRecord) -> None:
        """Take a complaint of an event loop's: a provider has its own, in its thread."""
        self.complaints.append(f"{record.getMessage()} {record.exc_info}")

    def __enter__(self) -> Self:
        self._warned = warnings.catch_warnings(record=True)
        self._warnings = self._warned.__enter__()
        warnings.simplefilter("always", ResourceWarning)
        logging.getLogger("asyncio").addHandler(self)
        gc.collect()
        gc.freeze()  # all that is there now is not counted
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        gc.unfreeze()
        logging.getLogger("asyncio").removeHandler(self)
        self._warned.__exit__(kind, error, traceback)

    async def leftovers(self) -> Leftovers:
        """Return what is left once LiteLLM's sockets are closed and all had time to end."""
        await GLOBAL_LOGGING_WORKER.flush()
        with contextlib.suppress(AssertionError):  # it is told below
            await until(lambda: not self._pending())
        pending = self._pending()  # before anybody but the cascade closes a wire
        await close_clients()
        for _ in range(3):  # the event loop closes generators that are garbage, and frees more
            gc.collect()
            await asyncio.sleep(0)
        with contextlib.suppress(AssertionError):  # the providers close theirs in their threads
            await until(lambda: not self._new_tasks() and not open_files() - self._files)
        for provider in self._providers:
            provider.requests.clear()
        objects = our_objects()
        warned = [each for each in self._warnings or () if each.category is ResourceWarning]
        return Leftovers(
            complaints=self.complaints + [str(each.message) for each in warned],
            pending=pending,
            tasks=list(map(str, self._new_tasks())),
            files=sorted(open_files() - self._files),
            objects=objects,
        )

    def _pending(self) -> int:
        return sum(provider.pending for provider in self._providers)

    def _new_tasks(self) -> list[asyncio.Task[Any]]:
        return [task for task in asyncio.all_tasks() - self._tasks if not is_litellms(task)]


async def close_clients() -> None:
    """Close all of LiteLLM's clients: each of its versions leaves out another one."""
    cached = list(litellm.in_memory_llm_clients_cache.cache_dict.values())
    await litellm.close_litellm_async_clients()
    for client in (litellm.module_level_aclient, *cached):
        if isinstance(client, AsyncOpenAI | type(litellm.module_level_aclient)):
            await client.close()


def is_litellms(task: asyncio.Task[Any]) -> bool:
    """Return whether a task is LiteLLM's background worker, which every event loop has."""
    return getattr(task.get_coro(), "__qualname__", "") == "LoggingWorker._worker_loop"


def open_files() -> set[str]:
    """Return the files and sockets that this process has open; none if that can't be seen."""
    found = set()
    folder = Path("/proc/self/fd")
    for entry in list(folder.iterdir()) if folder.exists() else ():
        with contextlib.suppress(FileNotFoundError):  # it is closed by now, as the folder itself
            found.add(f"{entry.name}: {entry.readlink()}")
    return found


def our_objects() -> Counter[str]:
    """Return this package's living instances, coroutines and generators by name."""
    gc.collect()
    found: Counter[str] = Counter()
    for thing in gc.get_objects():
        kind = type(thing)
        if kind.__module__ in OURS:
            found[kind.__qualname__] += 1
        elif issubclass(kind, CoroutineType | GeneratorType | AsyncGeneratorType):
            names = ("cr_code", "gi_code", "ag_code")
            code = next(filter(None, (getattr(thing, name, None) for name in names)))
            if code.co_filename in FILES:
                found[thing.__qualname__] += 1
    return found


def cascade_of(
    failing: FakeProvider, well: FakeProvider, wire: tuple[str, str] = WIRES[0], **options: Any
) -> LLMCascade:
    """Return a cascade of two targets that asks each of them once."""
    targets = [failing.target(*wire), well.target(model=SECOND)]
    defaults = {"retry": RetryPolicy(attempts=1), "timeout": 600, "stall_timeout": 600}
    return LLMCascade(targets, **{**defaults, **options})


async def ask(cascade: LLMCascade, prompt: str) -> LLMResponse:
    """Ask for a whole answer."""
    return await cascade.get_response(prompt)


async def ask_for_stream(cascade: LLMCascade, prompt: str) -> LLMResponse:
    """Ask for a stream, and read it to its end."""
    return await (await cascade.get_response_stream(prompt)).collect()


async def ask_either_way(cascade: LLMCascade, prompt: str) -> LLMResponse:
    """Every other call asks for a stream."""
    return await (ask_for_stream if CALL.get() % 2 else ask)(cascade, prompt)


async def storm(
    cascade: LLMCascade, way: Way, failing: FakeProvider, calls: int = CALLS
) -> list[LLMResponse | BaseException]:
    """Make so many calls at once; time is that of the failing provider's silences."""

    async def call(number: int) -> LLMResponse:
        CALL.set(number)
        return await way(cascade, f"call {number}.")

    rules, clock = cascade._rules, Silences()
    cascade._rules, failing.on_silence = replace(rules, clock=clock), clock.note
    try:
        return await asyncio.gather(*map(call, range(calls)), return_exceptions=True)
    finally:
        cascade._rules, failing.on_silence = rules, lambda: None


def all_answered(
    responses: Sequence[LLMResponse | BaseException], trouble: Trouble
) -> Counter[str]:
    """See that the second target answered every call; count the outcomes at the first one."""
    told: Counter[str] = Counter()
    for number, response in enumerate(responses):
        assert isinstance(response, LLMResponse), repr(response)
        answer = (response.content, response.finish_reason, response.failed_over)
        assert answer == (ANSWER, "stop", True)
        *failures, last = response.attempts
        assert (last.model, last.outcome, last.error) == (SECOND, "ok", None)
        assert last.usage == response.usage
        for failure in failures:
            assert (failure.model, failure.usage, failure.cost) == (FIRST, None, None)
            told[failure.outcome] += 1
            if failure.outcome == "cancelled":
                assert failure.error is None
            else:
                names = [name for _, names in trouble.met[number] for name in names]
                assert isinstance(failure.error, tuple(names)), (failure.error, trouble.met[number])
    return told


@pytest.mark.parametrize(
    ("way", "faults"), [(ask, FAULTS), (ask_for_stream, STREAM_FAULTS)], ids=["whole", "stream"]
)
async def test_a_thousand_calls_at_once_survive_a_provider_that_fails_in_every_way(
    serve: Serve, way: Way, faults: Sequence[Fault]
) -> None:
    failing, well = serve(trouble := Trouble(faults)), serve(Reply(ANSWER))
    cascade = cascade_of(failing, well, breaker=None)
    with Inventory(failing, well) as inventory:
        responses = await storm(cascade, way, failing)
        assert all_answered(responses, trouble) == {"failed": CALLS}
        assert [len(trouble.met[number]) for number in range(CALLS)] == [1] * CALLS
        del responses
        assert not (left := await inventory.leftovers()), left


async def test_a_thousand_calls_at_once_are_hedged_where_a_provider_is_silent(serve: Serve) -> None:
    failing, well = serve(trouble := Trouble([HANG, HANG, HANG, FAULTS[0]])), serve(Reply(ANSWER))
    cascade = cascade_of(failing, well, breaker=None, hedge_after=60)
    with Inventory(failing, well) as inventory:
        responses = await storm(cascade, ask_either_way, failing)
        told = all_answered(responses, trouble)
        assert told == {"cancelled": CALLS * 3 // 4, "failed": CALLS // 4}
        del responses
        assert not (left := await inventory.leftovers()), left


async def test_a_thousand_calls_at_once_spare_a_provider_that_cools_down(serve: Serve) -> None:
    failing, well = serve(trouble := Trouble(FAULTS)), serve(Reply(ANSWER))
    cascade = cascade_of(failing, well, breaker=CircuitBreaker(cooldown=3600, max_cooldown=3600))
    with Inventory(failing, well) as inventory:
        told = all_answered(await storm(cascade, ask, failing, calls=10), trouble)
        assert told == {"failed": 10}
        assert cascade.health[0].state == "open"
        assert all_answered(await storm(cascade, ask, failing), trouble) == {}
        assert len(failing.requests) == 10
        assert not (left := await inventory.leftovers()), left


async def test_a_thousand_calls_that_run_out_of_time_at_once_all_move_on(serve: Serve) -> None:
    failing, well = serve(Hang()), serve(Reply(ANSWER))
    targets = [failing.target(timeout=SHORT), well.target(model=SECOND)]
    cascade = LLMCascade(targets, timeout=600, breaker=None)
    with Inventory(failing, well) as inventory:
        responses = await asyncio.gather(*(ask(cascade, "Hello") for _ in range(CALLS)))
        assert {response.content for response in responses} == {ANSWER}
        attempts = [attempt for response in responses for attempt in response.attempts]
        assert [attempt.outcome for attempt in attempts] == ["failed", "ok"] * CALLS
        assert {type(attempt.error) for attempt in attempts[::2]} == {ProviderTimeoutError}
        del responses, attempts
        assert not (left := await inventory.leftovers()), left
