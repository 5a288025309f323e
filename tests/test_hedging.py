"""Hedging: a slow provider is not waited for alone, and whoever loses is gone."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from typing import Any

import pytest
from conftest import WIRES, Gate, Serve, Steps, until

from majordomo_cascade import (
    Attempt,
    AuthenticationError,
    ConfigurationError,
    DeadlineExceededError,
    InvalidRequestError,
    LLMCascade,
    ProviderTimeoutError,
    ProviderUnavailableError,
    RateLimitError,
    RetryPolicy,
    StreamInterruptedError,
    Target,
)
from majordomo_cascade.failover import Answer, Call, Limits
from majordomo_cascade.gateway import Endpoint
from majordomo_cascade.testing import BrokenStream, Hang, Rehearsal, Reply, Status, rehearse

ONCE = RetryPolicy(attempts=1)
HEDGED = LLMCascade(WIRES[:2], retry=ONCE, hedge_after=2)


def tried(attempts: tuple[Attempt, ...]) -> list[tuple[str, str]]:
    return [(attempt.provider, attempt.outcome) for attempt in attempts]


def requests(rehearsal: Rehearsal) -> list[int]:
    return [len(provider.requests) for provider in rehearsal.providers]


async def all_answered(rehearsal: Rehearsal) -> None:
    """Whoever lost is gone on the wire, too."""
    await until(lambda: not any(provider.pending for provider in rehearsal.providers))


async def test_a_slow_first_provider_costs_hedge_after_and_the_second_ones_time(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with rehearse(HEDGED, Hang(), Reply("faster")) as rehearsal:
        response = await rehearsal.cascade.get_response("Hello")
        await all_answered(rehearsal)
    assert (response.content, response.latency, response.failed_over) == ("faster", 2.0, True)
    assert tried(response.attempts) == [("openai", "cancelled"), ("anthropic", "ok")]
    assert [(attempt.started, attempt.seconds) for attempt in response.attempts] == [(0, 2), (2, 0)]
    assert not [record for record in caplog.records if record.name == "asyncio"]


async def test_a_quick_first_provider_is_asked_alone() -> None:
    with rehearse(HEDGED) as rehearsal:
        response = await rehearsal.cascade.get_response("Hello")
    assert (tried(response.attempts), requests(rehearsal)) == ([("openai", "ok")], [1, 0])


async def test_a_first_provider_that_fails_in_time_is_failed_over_as_ever() -> None:
    with rehearse(HEDGED, Status(503)) as rehearsal:
        response = await rehearsal.cascade.get_response("Hello")
    assert (tried(response.attempts), rehearsal.clock.now()) == ([("openai", "failed"), ("anthropic", "ok")], 0)


async def test_off_by_default_and_for_one_call() -> None:
    for cascade, options in ((LLMCascade(WIRES[:2], timeout=9), {}), (HEDGED, {"hedge_after": None, "timeout": 9})):
        given: dict[str, Any] = dict(options)
        with rehearse(cascade, Hang()) as rehearsal:
            response = await rehearsal.cascade.get_response("Hello", **given)
        assert [type(attempt.error) for attempt in response.attempts] == [ProviderTimeoutError, type(None)]
        assert rehearsal.clock.now() == 9


async def test_a_call_can_have_its_own() -> None:
    with rehearse(LLMCascade(WIRES[:2]), Hang()) as rehearsal:
        assert (await rehearsal.cascade.get_response("Hello", hedge_after=3)).latency == 3
        assert (await rehearsal.cascade.get_json_response("Hello", hedge_after=4, mock_response="{}")).latency == 0


async def test_the_first_one_may_still_win() -> None:
    first, second = Gate(Reply("after all")), Gate(Reply("too late"))
    with rehearse(HEDGED, first, second) as rehearsal:
        call = asyncio.ensure_future(rehearsal.cascade.get_response("Hello"))
        await until(lambda: requests(rehearsal) == [1, 0])
        rehearsal.clock.advance(2)
        await until(lambda: requests(rehearsal) == [1, 1])
        first.give()
        response = await call
        await all_answered(rehearsal)
        assert [health.failures for health in rehearsal.cascade.health] == [0, 0]
    assert (response.content, response.failed_over) == ("after all", False)
    assert tried(response.attempts) == [("openai", "ok"), ("anthropic", "cancelled")]


async def test_a_loser_that_was_overtaken_is_asked_last_in_the_end() -> None:
    with rehearse(HEDGED, Hang()) as rehearsal:
        latencies = [(await rehearsal.cascade.get_response("Hello")).latency for _ in range(5)]
        assert [health.state for health in rehearsal.cascade.health] == ["open", "closed"]
    assert latencies == [2, 2, 2, 0, 0]
    assert requests(rehearsal) == [3, 5]


async def test_every_further_target_is_a_hedge_later() -> None:
    with rehearse(LLMCascade(WIRES, hedge_after=2), Hang(), Hang(), Reply("third")) as rehearsal:
        response = await rehearsal.cascade.get_response("Hello")
        await all_answered(rehearsal)
    assert (response.content, response.latency) == ("third", 4)
    assert tried(response.attempts) == [("openai", "cancelled"), ("anthropic", "cancelled"), ("gemini", "ok")]


async def test_one_that_fails_beside_a_slow_one_moves_on_at_once() -> None:
    with rehearse(LLMCascade(WIRES, retry=ONCE, hedge_after=2), Hang(), Status(503), Reply("third")) as rehearsal:
        response = await rehearsal.cascade.get_response("Hello")
    assert (response.content, response.latency) == ("third", 2)
    assert tried(response.attempts) == [("openai", "cancelled"), ("anthropic", "failed"), ("gemini", "ok")]


async def test_one_that_fails_leaves_the_slow_one_its_chance() -> None:
    slow = Gate(Reply("slow, but well"))
    with rehearse(HEDGED, slow, Status(503)) as rehearsal:
        call = asyncio.ensure_future(rehearsal.cascade.get_response("Hello"))
        await until(lambda: requests(rehearsal)[0])
        rehearsal.clock.advance(2)
        await until(lambda: any(health.failures for health in rehearsal.cascade.health))
        slow.give()
        response = await call
    assert response.content == "slow, but well"
    assert tried(response.attempts) == [("openai", "ok"), ("anthropic", "failed")]


@pytest.mark.parametrize("last", [0, 1])
async def test_where_both_fail_the_error_that_came_last_is_raised(last: int) -> None:
    gates = [Gate(Status(401)), Gate(Status(429))]
    with rehearse(HEDGED, *gates) as rehearsal:
        call = asyncio.ensure_future(rehearsal.cascade.get_response("Hello"))
        await until(lambda: requests(rehearsal)[0])
        rehearsal.clock.advance(2)
        await until(lambda: requests(rehearsal)[1])
        gates[1 - last].give()
        await until(lambda: any(health.failures for health in rehearsal.cascade.health))
        gates[last].give()
        with pytest.raises((AuthenticationError, RateLimitError)) as caught:
            await call
    assert type(caught.value) is (AuthenticationError, RateLimitError)[last]
    assert tried(caught.value.attempts) == [("openai", "failed"), ("anthropic", "failed")]
    assert len(caught.value.__notes__) == 2


async def test_a_request_at_fault_ends_both() -> None:
    with rehearse(HEDGED, Hang(), Status(400)) as rehearsal:
        with pytest.raises(InvalidRequestError) as caught:
            await rehearsal.cascade.get_response("Hello")
        await all_answered(rehearsal)
        assert [health.failures for health in rehearsal.cascade.health] == [0, 0]
    assert tried(caught.value.attempts) == [("openai", "cancelled"), ("anthropic", "failed")]
    assert caught.value.__notes__[0] == "openai/gpt-4.1 #1: cancelled after 2.00 s"


@pytest.mark.parametrize("failing", [Status(401), Reply("no JSON")], ids=["401", "prose"])
async def test_a_hedge_never_loses_a_call_that_the_first_one_serves(failing: Any) -> None:
    first = Gate(Reply('{"well": true}'))
    cascade = LLMCascade(WIRES, retry=ONCE, hedge_after=2, failover_on=RateLimitError)
    with rehearse(cascade, first, failing) as rehearsal:
        call = asyncio.ensure_future(rehearsal.cascade.get_json_response("Hello"))
        await until(lambda: requests(rehearsal)[0])
        rehearsal.clock.advance(2)
        await until(lambda: requests(rehearsal)[1] and not rehearsal.providers[1].pending)
        for _ in range(200):
            await asyncio.sleep(0)
        first.give()
        response = await call
    assert (response.content, response.provider) == ({"well": True}, "openai")
    assert requests(rehearsal) == [1, 1, 0]


async def test_with_a_hedge_beside_it_the_first_one_is_not_the_last() -> None:
    cascade = LLMCascade([Target(*WIRES[0], timeout=3), WIRES[1]], hedge_after=2)
    with rehearse(cascade, Hang(), Hang()) as rehearsal, pytest.raises(ProviderTimeoutError):
        await rehearsal.cascade.get_response("Hello")
    assert requests(rehearsal) == [1, 3]


async def test_of_an_error_and_an_answer_in_the_same_moment_the_answer_counts() -> None:
    asked: list[str] = []
    together = asyncio.Event()

    async def ask(endpoint: Endpoint) -> Answer[str]:
        asked.append(endpoint.provider)
        await together.wait()
        if endpoint.provider == "openai":
            raise InvalidRequestError("no")
        return Answer(endpoint.provider)

    with rehearse(LLMCascade(WIRES)) as rehearsal:
        turn = await race(rehearsal, ask, together)
    assert (turn.answer.value, asked) == ("anthropic", ["openai", "anthropic"])


async def race(rehearsal: Rehearsal, ask: Any, together: asyncio.Event) -> Any:
    """Two turns beside one another, up to the moment when they may end together."""
    _, serving = await hedged(rehearsal, ask)
    for _ in range(5):
        await asyncio.sleep(0)
    together.set()
    return await serving


async def hedged(rehearsal: Rehearsal, ask: Any) -> tuple[Call[str], asyncio.Future[Any]]:
    """A call whose first turn goes on, and whose second one is about to begin."""
    cascade = rehearsal.cascade
    call: Call[str] = Call(cascade._rules, cascade._endpoints, Limits(timeout=None, hedge_after=2), ask)
    serving = asyncio.ensure_future(call.serve())
    for _ in range(5):
        await asyncio.sleep(0)
    rehearsal.clock.advance(2)
    return call, serving


async def test_a_loser_that_does_not_go_keeps_nobody_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("majordomo_cascade.failover.LONGEST_FAREWELL", 0.01)
    stubborn = asyncio.Event()

    async def ask(endpoint: Endpoint) -> Answer[str]:
        if endpoint.provider == "openai":
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.get_running_loop().create_future()
            await stubborn.wait()
            raise ZeroDivisionError
        return Answer(endpoint.provider)

    with rehearse(LLMCascade(WIRES[:2])) as rehearsal:
        turn = await race(rehearsal, ask, asyncio.Event())
        assert turn.answer.value == "anthropic"
        stubborn.set()
        await until(lambda: len(asyncio.all_tasks()) == 1)


async def test_a_winner_is_closed_if_the_call_is_cancelled_while_the_loser_goes() -> None:
    closed: list[str] = []

    async def ask(endpoint: Endpoint) -> Answer[str]:
        if endpoint.provider == "openai":
            try:
                await asyncio.get_running_loop().create_future()
            finally:
                serving.cancel()
                await asyncio.sleep(0)

        async def close() -> None:
            closed.append(endpoint.provider)

        return Answer(endpoint.provider, close=close)

    with rehearse(LLMCascade(WIRES[:2])) as rehearsal:
        call, serving = await hedged(rehearsal, ask)
        with pytest.raises(asyncio.CancelledError):
            await serving
    assert closed == ["anthropic"]
    assert tried(call.attempts) == [("openai", "cancelled"), ("anthropic", "cancelled")]


async def test_a_local_bug_ends_both() -> None:
    def stumble(error: Any) -> bool:
        raise ZeroDivisionError

    with rehearse(LLMCascade(WIRES[:2], retry=ONCE, hedge_after=2, failover_on=stumble), Hang(), Status(503)) as one:
        with pytest.raises(ZeroDivisionError):
            await one.cascade.get_response("Hello")
        await all_answered(one)


async def test_a_deadline_ends_both_and_counts_against_both() -> None:
    with rehearse(HEDGED, Hang(), Hang()) as rehearsal:
        with pytest.raises(DeadlineExceededError) as caught:
            await rehearsal.cascade.get_response("Hello", deadline=5)
        await all_answered(rehearsal)
        assert [health.failures for health in rehearsal.cascade.health] == [1, 1]
    assert rehearsal.clock.now() == 5
    assert [attempt.provider for attempt in caught.value.attempts] == ["openai", "anthropic"]
    assert DeadlineExceededError in {type(attempt.error) for attempt in caught.value.attempts}


async def test_a_deadline_that_one_of_them_meets_first_counts_against_the_other_too() -> None:
    async def ask(endpoint: Endpoint) -> Answer[str]:
        if endpoint.provider == "anthropic":
            raise DeadlineExceededError("spent")
        await asyncio.get_running_loop().create_future()
        raise AssertionError

    with rehearse(LLMCascade(WIRES[:2])) as rehearsal:
        call, serving = await hedged(rehearsal, ask)
        with pytest.raises(DeadlineExceededError) as caught:
            await serving
        assert [health.failures for health in rehearsal.cascade.health] == [1, 1]
    assert tried(call.attempts) == [("openai", "cancelled"), ("anthropic", "failed")]
    assert caught.value.__notes__ == [
        "openai/gpt-4.1 #1: cancelled after 2.00 s",
        "anthropic/claude-sonnet-4-5 #1: DeadlineExceededError after 0.00 s: spent",
    ]


async def test_cancellation_reaches_both() -> None:
    seen: list[Attempt] = []
    gates = [Gate(Reply()), Gate(Reply())]
    with rehearse(LLMCascade(WIRES[:2], hedge_after=2, on_attempt=seen.append), *gates) as rehearsal:
        call = asyncio.ensure_future(rehearsal.cascade.get_response("Hello"))
        await until(lambda: requests(rehearsal)[0])
        rehearsal.clock.advance(2)
        await until(lambda: requests(rehearsal)[1])
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        await all_answered(rehearsal)
        assert [health.failures for health in rehearsal.cascade.health] == [0, 0]
    assert tried(tuple(seen)) == [("openai", "cancelled"), ("anthropic", "cancelled")]


async def test_each_keeps_its_own_retries() -> None:
    cascade = LLMCascade(WIRES[:2], retry=RetryPolicy(attempts=2, base=0), hedge_after=2)
    with rehearse(cascade, Hang(), [Status(503), Reply("second time")]) as rehearsal:
        response = await rehearsal.cascade.get_response("Hello")
    assert [(a.provider, a.number, a.outcome) for a in response.attempts] == [
        ("openai", 1, "cancelled"),
        ("anthropic", 1, "failed"),
        ("anthropic", 2, "ok"),
    ]


@pytest.mark.parametrize("silent", [Hang(), BrokenStream("stall", "")], ids=["nothing", "headers"])
async def test_of_two_streams_the_first_content_wins(silent: Any) -> None:
    with rehearse(HEDGED, silent, Reply("One two three.")) as rehearsal:
        stream = await rehearsal.cascade.get_response_stream("Hello")
        assert [text async for text in stream] == ["One", " two", " three."]
        await all_answered(rehearsal)
    assert tried(stream.attempts) == [("openai", "cancelled"), ("anthropic", "ok")]
    assert (stream.provider, rehearsal.clock.now()) == ("anthropic", 2)


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


async def test_of_two_answers_in_the_same_moment_the_first_ones_counts_and_the_others_is_closed() -> None:
    closed: list[str] = []
    together = asyncio.Event()

    async def ask(endpoint: Endpoint) -> Answer[str]:
        await together.wait()

        async def close() -> None:
            closed.append(endpoint.provider)

        return Answer(endpoint.provider, close=close)

    with rehearse(LLMCascade(WIRES[:2])) as rehearsal:
        turn = await race(rehearsal, ask, together)
        assert [health.failures for health in rehearsal.cascade.health] == [0, 0]
    assert (turn.answer.value, closed) == ("openai", ["anthropic"])
    assert tried(turn._call.attempts) == [("anthropic", "cancelled")]  # the winner's ends with its stream


async def test_a_stream_that_breaks_goes_on_with_who_is_left_and_hedges_there_too() -> None:
    cascade = LLMCascade([*WIRES, ("mistral", "mistral-small-latest")], retry=ONCE, hedge_after=2)
    with rehearse(cascade, Hang(), BrokenStream("cut"), Hang(), Reply("the fourth")) as rehearsal:
        response = await (await rehearsal.cascade.get_response_stream("Hello")).collect()
        await all_answered(rehearsal)
    assert (response.content, rehearsal.clock.now()) == ("the fourth", 4)
    assert tried(response.attempts) == [
        ("openai", "cancelled"),
        ("anthropic", "failed"),
        ("gemini", "cancelled"),
        ("mistral", "ok"),
    ]
    assert isinstance(response.attempts[1].error, StreamInterruptedError)


async def test_the_log_tells_of_a_hedge_and_names_the_one_that_failed(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, logger="majordomo_cascade")
    with rehearse(LLMCascade(WIRES, retry=ONCE, hedge_after=2), Hang(), Status(503)) as rehearsal:
        await rehearsal.cascade.get_response("Hello")
    assert [record.getMessage() for record in caplog.records if record.name == "majordomo_cascade"] == [
        "no answer within 2 s; asking anthropic/claude-sonnet-4-5 beside",
        (failed := "anthropic/claude-sonnet-4-5 #1: 503 ProviderUnavailableError after 0.00 s"),
        f"{failed}; failing over to gemini/gemini-2.5-flash",
        "openai/gpt-4.1 #1: cancelled after 2.00 s",
    ]


async def test_an_open_target_is_not_hedged_with_before_those_that_are_well() -> None:
    with rehearse(LLMCascade(WIRES, retry=ONCE, hedge_after=2), [Reply(), Hang()], Status(503)) as rehearsal:
        for health in rehearsal.cascade._rules.breakers.values():
            if health is rehearsal.cascade._rules.breakers[rehearsal.cascade._endpoints[1]]:
                for _ in range(3):
                    health.leave(health.enter(0), ProviderUnavailableError(), 0)
        await rehearsal.cascade.get_response("Hello")
        response = await rehearsal.cascade.get_response("Hello")
    assert tried(response.attempts) == [("openai", "cancelled"), ("gemini", "ok")]


@pytest.mark.parametrize("wrong", [0, -1, "2", True, float("inf")])
async def test_a_hedge_that_is_no_time_is_refused(wrong: Any) -> None:
    with pytest.raises(ConfigurationError, match="hedge_after must be a positive number of seconds"):
        LLMCascade(WIRES, hedge_after=wrong)
    with pytest.raises(InvalidRequestError, match="hedge_after must be a positive number of seconds"):
        await HEDGED.get_response("Hello", hedge_after=wrong)
