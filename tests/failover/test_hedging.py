"""Hedging: the next provider is asked beside a slow one, and the loser is cancelled."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
from conftest import WIRES, Gate, Serve, Steps, until

from majordomo_cascade import (
    Attempt,
    AuthenticationError,
    BadRequestError,
    CircuitBreaker,
    ConfigurationError,
    DeadlineExceededError,
    LLMCascade,
    ProviderError,
    ProviderTimeoutError,
    RateLimitError,
    RetryPolicy,
    StreamInterruptedError,
    Target,
)
from majordomo_cascade.failover import Breaker, Call, Limits, Rules, Turn, serve
from majordomo_cascade.testing import (
    BrokenStream,
    Hang,
    ManualClock,
    Reply,
    Simulation,
    Status,
    simulate,
)

ONCE = RetryPolicy(attempts=1)
HEDGED = LLMCascade(WIRES[:2], retry=ONCE, hedge_after=2)


def tried(attempts: tuple[Attempt, ...]) -> list[tuple[str, str]]:
    return [(attempt.provider, attempt.outcome) for attempt in attempts]


def requests(simulation: Simulation) -> list[int]:
    return [len(provider.requests) for provider in simulation.providers]


async def all_answered(simulation: Simulation) -> None:
    """Wait until the losers are gone on the wire, too."""
    await until(lambda: not any(provider.pending for provider in simulation.providers))


async def test_a_slow_first_provider_costs_hedge_after_and_the_second_ones_time(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with simulate(HEDGED, Hang(), Reply("faster")) as simulation:
        response = await simulation.cascade.get_response("Hello")
        await all_answered(simulation)
    assert (response.content, response.latency, response.failed_over) == ("faster", 2.0, True)
    assert tried(response.attempts) == [("openai", "cancelled"), ("anthropic", "ok")]
    assert [(attempt.started, attempt.seconds) for attempt in response.attempts] == [(0, 2), (2, 0)]
    assert not [record for record in caplog.records if record.name == "asyncio"]


async def test_a_quick_first_provider_is_asked_alone() -> None:
    with simulate(HEDGED) as simulation:
        response = await simulation.cascade.get_response("Hello")
    assert (tried(response.attempts), requests(simulation)) == ([("openai", "ok")], [1, 0])


async def test_a_first_provider_that_fails_in_time_is_failed_over_as_usual() -> None:
    with simulate(HEDGED, Status(503)) as simulation:
        response = await simulation.cascade.get_response("Hello")
    assert (tried(response.attempts), simulation.clock.now()) == (
        [("openai", "failed"), ("anthropic", "ok")],
        0,
    )


async def test_hedging_is_off_by_default_and_can_be_turned_off() -> None:
    plain = LLMCascade(WIRES[:2], timeout=9)
    for cascade in (plain, HEDGED.with_options(hedge_after=None, timeout=9)):
        with simulate(cascade, Hang()) as simulation:
            response = await simulation.cascade.get_response("Hello")
        errors = [type(attempt.error) for attempt in response.attempts]
        assert errors == [ProviderTimeoutError, type(None)]
        assert simulation.clock.now() == 9


async def test_with_options_can_turn_it_on_for_some_calls() -> None:
    with simulate(LLMCascade(WIRES[:2]), Hang()) as simulation:
        hedged = simulation.cascade.with_options(hedge_after=3)
        assert (await hedged.get_response("Hello")).latency == 3
        assert (await hedged.get_json_response("Hello", mock_response="{}")).latency == 0


async def test_the_first_one_may_still_win() -> None:
    first, second = Gate(Reply("after all")), Gate(Reply("too late"))
    with simulate(HEDGED, first, second) as simulation:
        call = asyncio.ensure_future(simulation.cascade.get_response("Hello"))
        await until(lambda: requests(simulation) == [1, 0])
        simulation.clock.advance(2)
        await until(lambda: requests(simulation) == [1, 1])
        first.give()
        response = await call
        await all_answered(simulation)
        assert [health.failures for health in simulation.cascade.health] == [0, 0]
    assert (response.content, response.failed_over) == ("after all", False)
    assert tried(response.attempts) == [("openai", "ok"), ("anthropic", "cancelled")]


async def test_a_target_that_is_overtaken_again_and_again_is_asked_last() -> None:
    with simulate(HEDGED, Hang()) as simulation:
        latencies = [(await simulation.cascade.get_response("Hello")).latency for _ in range(5)]
        assert [health.state for health in simulation.cascade.health] == ["open", "closed"]
    assert latencies == [2, 2, 2, 0, 0]
    assert requests(simulation) == [3, 5]


async def test_each_further_target_is_asked_after_another_hedge_after() -> None:
    with simulate(LLMCascade(WIRES, hedge_after=2), Hang(), Hang(), Reply("third")) as simulation:
        response = await simulation.cascade.get_response("Hello")
        await all_answered(simulation)
    assert (response.content, response.latency) == ("third", 4)
    assert tried(response.attempts) == [
        ("openai", "cancelled"),
        ("anthropic", "cancelled"),
        ("gemini", "ok"),
    ]


async def test_a_failure_beside_a_slow_target_moves_on_at_once() -> None:
    with simulate(
        LLMCascade(WIRES, retry=ONCE, hedge_after=2), Hang(), Status(503), Reply("third")
    ) as simulation:
        response = await simulation.cascade.get_response("Hello")
    assert (response.content, response.latency) == ("third", 2)
    assert tried(response.attempts) == [
        ("openai", "cancelled"),
        ("anthropic", "failed"),
        ("gemini", "ok"),
    ]


async def test_a_failure_leaves_the_slow_target_its_chance() -> None:
    slow = Gate(Reply("slow, but well"))
    with simulate(HEDGED, slow, Status(503)) as simulation:
        call = asyncio.ensure_future(simulation.cascade.get_response("Hello"))
        await until(lambda: requests(simulation)[0])
        simulation.clock.advance(2)
        await until(lambda: any(health.failures for health in simulation.cascade.health))
        slow.give()
        response = await call
    assert response.content == "slow, but well"
    assert tried(response.attempts) == [("openai", "ok"), ("anthropic", "failed")]


@pytest.mark.parametrize("last", [0, 1])
async def test_if_both_fail_the_error_that_came_last_is_raised(last: int) -> None:
    gates = [Gate(Status(401)), Gate(Status(429))]
    with simulate(HEDGED, *gates) as simulation:
        call = asyncio.ensure_future(simulation.cascade.get_response("Hello"))
        await until(lambda: requests(simulation)[0])
        simulation.clock.advance(2)
        await until(lambda: requests(simulation)[1])
        gates[1 - last].give()
        await until(lambda: any(health.failures for health in simulation.cascade.health))
        gates[last].give()
        with pytest.raises((AuthenticationError, RateLimitError)) as caught:
            await call
    assert type(caught.value) is (AuthenticationError, RateLimitError)[last]
    assert tried(caught.value.attempts) == [("openai", "failed"), ("anthropic", "failed")]
    assert len(caught.value.__notes__) == 2


async def test_a_request_at_fault_ends_both() -> None:
    with simulate(HEDGED, Hang(), Status(400)) as simulation:
        with pytest.raises(BadRequestError) as caught:
            await simulation.cascade.get_response("Hello")
        await all_answered(simulation)
        assert [health.failures for health in simulation.cascade.health] == [0, 0]
    assert tried(caught.value.attempts) == [("openai", "cancelled"), ("anthropic", "failed")]
    assert caught.value.__notes__[0] == "openai/gpt-4.1 #1: cancelled after 2.00 s"


@pytest.mark.parametrize("failing", [Status(401), Reply("no JSON")], ids=["401", "prose"])
async def test_a_hedge_never_loses_a_call_that_the_first_one_serves(failing: Any) -> None:
    first = Gate(Reply('{"well": true}'))
    cascade = LLMCascade(WIRES, retry=ONCE, hedge_after=2, failover_on=RateLimitError)
    with simulate(cascade, first, failing) as simulation:
        call = asyncio.ensure_future(simulation.cascade.get_json_response("Hello"))
        await until(lambda: requests(simulation)[0])
        simulation.clock.advance(2)
        await until(lambda: requests(simulation)[1] and not simulation.providers[1].pending)
        for _ in range(200):  # until the failure has been read
            await asyncio.sleep(0)
        first.give()
        response = await call
    assert (response.content, response.provider) == ({"well": True}, "openai")
    assert requests(simulation) == [1, 1, 0]


async def test_with_a_hedge_beside_it_the_first_target_is_not_the_last() -> None:
    cascade = LLMCascade([Target(*WIRES[0], timeout=3), WIRES[1]], hedge_after=2)
    with simulate(cascade, Hang(), Hang()) as simulation, pytest.raises(ProviderTimeoutError):
        await simulation.cascade.get_response("Hello")
    assert requests(simulation) == [1, 3]


class StubTarget:
    """A target that is no server, for what must happen within one round of the event loop."""

    def __init__(self, provider: str) -> None:
        self.provider = provider
        self.model = "model"
        self.name = f"{provider}/model"
        self.timeout: float | None = None
        self.breaker = Breaker(CircuitBreaker())


StubTurn = Turn[StubTarget]


class StubRace:
    """A call of two targets whose first turn goes on when the second one begins."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.targets = [StubTarget("openai"), StubTarget("anthropic")]
        moves_on = Rules(ONCE, lambda error: isinstance(error, ProviderError), None, self.clock)
        limits = Limits(timeout=None, hedge_after=2)
        self.call: Call[StubTarget] = Call(moves_on, self.targets, limits)

    @property
    def failures(self) -> list[int]:
        return [target.breaker.failures for target in self.targets]

    async def run(self, ask: Callable[[StubTurn], Coroutine[Any, Any, str]]) -> asyncio.Task[Any]:
        """Begin both turns. The task returns the winner's turn, and its answer."""
        serving = asyncio.create_task(serve(self.call, ask))
        await until(lambda: len(self.call.left) == 1)
        await rounds()
        self.clock.advance(2)
        await until(lambda: not self.call.left)
        await rounds()
        return serving


async def rounds() -> None:
    """Let the event loop run for a few rounds."""
    for _ in range(10):
        await asyncio.sleep(0)


async def test_of_an_error_and_an_answer_in_the_same_moment_the_answer_counts() -> None:
    together = asyncio.Event()

    async def ask(turn: StubTurn) -> str:
        async with turn.attempt():
            await together.wait()
            if turn.target.provider == "openai":
                raise BadRequestError("no")
            return turn.target.provider

    race = StubRace()
    serving = await race.run(ask)
    together.set()
    turn, answer = await serving
    assert (turn.target.provider, answer) == ("anthropic", "anthropic")


async def test_of_two_streams_in_the_same_moment_the_second_one_is_closed() -> None:
    together = asyncio.Event()
    closed: list[str] = []

    async def ask(turn: StubTurn) -> str:
        async def close() -> None:
            closed.append(turn.target.provider)

        async with turn.attempt() as attempt:
            await together.wait()
            attempt.leave_open(close)
            return turn.target.provider

    race = StubRace()
    serving = await race.run(ask)
    together.set()
    _, answer = await serving
    assert (answer, closed, race.failures) == ("openai", ["anthropic"], [0, 0])
    # The winner's attempt ends with its stream.
    assert tried(race.call.trail.attempts) == [("anthropic", "cancelled")]


async def test_a_loser_that_does_not_end_keeps_the_answer_waiting_for_a_moment_only(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("majordomo_cascade.failover.hedge.CANCEL_GRACE", 0.01)
    may_end = asyncio.Event()

    async def ask(turn: StubTurn) -> str:
        async with turn.attempt():
            if turn.target.provider == "openai":
                with contextlib.suppress(asyncio.CancelledError):
                    await asyncio.get_running_loop().create_future()
                await may_end.wait()
                raise ZeroDivisionError
            return turn.target.provider

    serving = await StubRace().run(ask)
    _, answer = await serving
    assert answer == "anthropic"
    may_end.set()
    await until(lambda: len(asyncio.all_tasks()) == 1)


async def test_a_winner_is_closed_if_the_call_is_cancelled_while_the_loser_ends() -> None:
    closed: list[str] = []
    may_answer = asyncio.Event()

    async def ask(turn: StubTurn) -> str:
        async def close() -> None:
            closed.append(turn.target.provider)

        async with turn.attempt() as attempt:
            if turn.target.provider == "openai":
                try:
                    await asyncio.get_running_loop().create_future()
                finally:
                    serving.cancel()
                    await asyncio.sleep(0)
            await may_answer.wait()
            attempt.leave_open(close)
            return turn.target.provider

    race = StubRace()
    serving = await race.run(ask)
    may_answer.set()
    with pytest.raises(asyncio.CancelledError):
        await serving
    assert closed == ["anthropic"]
    assert tried(race.call.trail.attempts) == [("openai", "cancelled"), ("anthropic", "cancelled")]


async def test_a_deadline_that_one_turn_meets_first_counts_against_the_other_too() -> None:
    async def ask(turn: StubTurn) -> str:
        async with turn.attempt():
            if turn.target.provider == "anthropic":
                raise DeadlineExceededError("spent")
            return str(await asyncio.get_running_loop().create_future())

    race = StubRace()
    serving = await race.run(ask)
    with pytest.raises(DeadlineExceededError) as caught:
        await serving
    assert race.failures == [1, 1]
    assert tried(race.call.trail.attempts) == [("openai", "cancelled"), ("anthropic", "failed")]
    assert caught.value.__notes__ == [
        "openai/model #1: cancelled after 2.00 s",
        "anthropic/model #1: DeadlineExceededError after 0.00 s: spent",
    ]


async def test_a_local_bug_ends_both() -> None:
    def stumble(error: Any) -> bool:
        raise ZeroDivisionError

    with simulate(
        LLMCascade(WIRES[:2], retry=ONCE, hedge_after=2, failover_on=stumble), Hang(), Status(503)
    ) as one:
        with pytest.raises(ZeroDivisionError):
            await one.cascade.get_response("Hello")
        await all_answered(one)


async def test_a_deadline_ends_both_and_counts_against_both() -> None:
    with simulate(HEDGED, Hang(), Hang()) as simulation:
        with pytest.raises(DeadlineExceededError) as caught:
            await simulation.cascade.get_response("Hello", deadline=5)
        await all_answered(simulation)
        assert [health.failures for health in simulation.cascade.health] == [1, 1]
    assert simulation.clock.now() == 5
    assert [attempt.provider for attempt in caught.value.attempts] == ["openai", "anthropic"]
    assert DeadlineExceededError in {type(attempt.error) for attempt in caught.value.attempts}


async def test_cancellation_reaches_both() -> None:
    seen: list[Attempt] = []
    gates = [Gate(Reply()), Gate(Reply())]
    with simulate(
        LLMCascade(WIRES[:2], hedge_after=2, on_attempt=seen.append), *gates
    ) as simulation:
        call = asyncio.ensure_future(simulation.cascade.get_response("Hello"))
        await until(lambda: requests(simulation)[0])
        simulation.clock.advance(2)
        await until(lambda: requests(simulation)[1])
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        await all_answered(simulation)
        assert [health.failures for health in simulation.cascade.health] == [0, 0]
    assert tried(tuple(seen)) == [("openai", "cancelled"), ("anthropic", "cancelled")]


async def test_each_keeps_its_own_retries() -> None:
    cascade = LLMCascade(WIRES[:2], retry=RetryPolicy(attempts=2, base=0), hedge_after=2)
    with simulate(cascade, Hang(), [Status(503), Reply("second time")]) as simulation:
        response = await simulation.cascade.get_response("Hello")
    assert [(a.provider, a.number, a.outcome) for a in response.attempts] == [
        ("openai", 1, "cancelled"),
        ("anthropic", 1, "failed"),
        ("anthropic", 2, "ok"),
    ]


@pytest.mark.parametrize("silent", [Hang(), BrokenStream("stall", "")], ids=["nothing", "headers"])
async def test_of_two_streams_the_first_content_wins(silent: Any) -> None:
    with simulate(HEDGED, silent, Reply("One two three.")) as simulation:
        stream = await simulation.cascade.get_response_stream("Hello")
        assert [text async for text in stream] == ["One", " two", " three."]
        await all_answered(simulation)
    assert tried(stream.attempts) == [("openai", "cancelled"), ("anthropic", "ok")]
    assert (stream.provider, simulation.clock.now()) == ("anthropic", 2)


async def test_two_streams_that_begin_at_once_leave_one_open(serve: Serve) -> None:
    seen: list[Attempt] = []
    both = [Steps(Reply("One two three.")), Steps(Reply("One two three."))]
    servers = [serve(steps) for steps in both]
    ours = [server.target() for server in servers]
    cascade = LLMCascade(ours, hedge_after=0.001, on_attempt=seen.append, breaker=None)
    call = asyncio.ensure_future(cascade.get_response_stream("Hello"))
    await until(lambda: all(server.requests for server in servers))
    for steps in both:
        steps.give(2)
    stream = await call
    for steps in both:
        steps.give(10)
    assert "".join([text async for text in stream]) == "One two three."
    await until(lambda: not any(server.pending for server in servers))
    assert sorted(attempt.outcome for attempt in seen) == ["cancelled", "ok"]


async def test_a_stream_that_breaks_goes_on_with_the_targets_left_and_hedges_there_too() -> None:
    cascade = LLMCascade([*WIRES, ("mistral", "mistral-small-latest")], retry=ONCE, hedge_after=2)
    with simulate(cascade, Hang(), BrokenStream("cut"), Hang(), Reply("the fourth")) as simulation:
        response = await (await simulation.cascade.get_response_stream("Hello")).collect()
        await all_answered(simulation)
    assert (response.content, simulation.clock.now()) == ("the fourth", 4)
    assert tried(response.attempts) == [
        ("openai", "cancelled"),
        ("anthropic", "failed"),
        ("gemini", "cancelled"),
        ("mistral", "ok"),
    ]
    assert isinstance(response.attempts[1].error, StreamInterruptedError)


async def test_the_log_tells_of_a_hedge_and_names_the_target_that_failed(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO, logger="majordomo_cascade")
    with simulate(LLMCascade(WIRES, retry=ONCE, hedge_after=2), Hang(), Status(503)) as simulation:
        await simulation.cascade.get_response("Hello")
    assert [
        record.getMessage() for record in caplog.records if record.name == "majordomo_cascade"
    ] == [
        "no answer within 2 s; asking anthropic/claude-sonnet-4-5 beside",
        (failed := "anthropic/claude-sonnet-4-5 #1: 503 ProviderUnavailableError after 0.00 s"),
        f"{failed}; failing over to gemini/gemini-2.5-flash",
        "openai/gpt-4.1 #1: cancelled after 2.00 s",
    ]


async def test_an_open_target_is_not_hedged_with_before_those_that_are_well() -> None:
    breaker = CircuitBreaker(failures=1)
    cascade = LLMCascade(WIRES, retry=ONCE, breaker=breaker, hedge_after=2)
    with simulate(cascade, [Status(401), Reply(), Hang()], Status(429, retry_after=45)) as one:
        assert (await one.cascade.get_response("Hello")).provider == "gemini"
        one.clock.advance(10)
        assert (await one.cascade.get_response("Hello")).provider == "openai"
        assert [health.state for health in one.cascade.health] == ["closed", "open", "closed"]
        response = await one.cascade.get_response("Hello")
    assert tried(response.attempts) == [("openai", "cancelled"), ("gemini", "ok")]


@pytest.mark.parametrize("wrong", [0, -1, "2", True, float("inf")])
def test_a_hedge_that_is_no_time_is_refused(wrong: Any) -> None:
    with pytest.raises(
        ConfigurationError, match="hedge_after must be a positive number of seconds"
    ):
        LLMCascade(WIRES, hedge_after=wrong)
    with pytest.raises(
        ConfigurationError, match="hedge_after must be a positive number of seconds"
    ):
        HEDGED.with_options(hedge_after=wrong)
