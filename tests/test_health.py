"""The circuit breaker: a target that fails is asked last, never skipped, and comes back at the first probe."""

from __future__ import annotations

import asyncio
import itertools
import logging
import pickle
from typing import Any

import pytest
from conftest import WIRES, Gate, Serve, until

from majordomo_cascade import (
    CircuitBreaker,
    ConfigurationError,
    ContextWindowExceededError,
    DeadlineExceededError,
    InvalidRequestError,
    LLMCascade,
    ProviderError,
    ProviderTimeoutError,
    ProviderUnavailableError,
    ResponseParsingError,
    RetryPolicy,
    TargetHealth,
    UnsupportedRequestError,
)
from majordomo_cascade.health import Breaker
from majordomo_cascade.testing import Behaviour, BrokenStream, Hang, Rehearsal, Reply, Status, rehearse

ONCE = RetryPolicy(attempts=1)
TWO = LLMCascade(WIRES[:2], retry=ONCE)


def states(rehearsal: Rehearsal) -> list[str]:
    return [health.state for health in rehearsal.cascade.health]


def requests(rehearsal: Rehearsal) -> list[int]:
    return [len(provider.requests) for provider in rehearsal.providers]


async def ask(rehearsal: Rehearsal, times: int = 1) -> list[str]:
    """Who served."""
    return [(await rehearsal.cascade.get_response("Hello")).provider for _ in range(times)]


async def test_a_target_that_fails_three_calls_in_a_row_is_moved_to_the_end() -> None:
    with rehearse(TWO, Status(503)) as rehearsal:
        assert await ask(rehearsal, 2) == ["anthropic", "anthropic"]
        assert rehearsal.cascade.health[0] == TargetHealth(
            "openai", "gpt-4.1", "closed", failures=2, cooldown=0.0, structured_output="json_schema"
        )
        await ask(rehearsal)
        assert rehearsal.cascade.health == (
            TargetHealth("openai", "gpt-4.1", "open", failures=3, cooldown=10.0, structured_output="json_schema"),
            TargetHealth(
                "anthropic", "claude-sonnet-4-5", "closed", failures=0, cooldown=0.0, structured_output="json_schema"
            ),
        )
        assert requests(rehearsal) == [3, 3]
        response = await rehearsal.cascade.get_response("Hello")
        assert requests(rehearsal) == [3, 4]
        assert response.failed_over
        assert [attempt.provider for attempt in response.attempts] == ["anthropic"]


async def test_retries_within_a_call_are_one_failure_and_one_that_helps_is_none() -> None:
    cascade = LLMCascade(WIRES[:2], retry=RetryPolicy(attempts=3, base=0))
    with rehearse(cascade, [*[Status(503)] * 5, Reply("back"), *[Status(503)] * 9]) as rehearsal:
        assert await ask(rehearsal, 2) == ["anthropic", "openai"]
        assert rehearsal.cascade.health[0].failures == 0
        await ask(rehearsal, 2)
        assert rehearsal.cascade.health[0].failures == 2


async def test_an_open_target_is_still_asked_where_the_others_fail_too() -> None:
    with rehearse(TWO, [*[Status(503)] * 3, Reply("back")], [*[Reply("fine")] * 3, Status(500)]) as rehearsal:
        await ask(rehearsal, 3)
        response = await rehearsal.cascade.get_response("Hello")
        assert (response.content, response.provider, response.failed_over) == ("back", "openai", False)
        assert [attempt.provider for attempt in response.attempts] == ["anthropic", "openai"]
        assert states(rehearsal) == ["closed", "closed"]


async def test_all_targets_open_are_tried_in_order() -> None:
    with rehearse(LLMCascade(WIRES, retry=ONCE), *[Status(503)] * 3) as rehearsal:
        for _ in range(4):
            with pytest.raises(ProviderUnavailableError) as caught:
                await rehearsal.cascade.get_response("Hello")
            assert [attempt.provider for attempt in caught.value.attempts] == ["openai", "anthropic", "gemini"]
        assert states(rehearsal) == ["open"] * 3
        assert requests(rehearsal) == [4, 4, 4]


async def test_after_the_cooldown_one_call_probes_with_one_attempt_and_a_success_closes() -> None:
    cascade = LLMCascade(WIRES[:2], retry=RetryPolicy(attempts=3, base=0))
    with rehearse(cascade, [*[Status(503)] * 10, Reply("back")]) as rehearsal:
        await ask(rehearsal, 3)
        rehearsal.clock.advance(9.9)
        await ask(rehearsal)
        assert requests(rehearsal)[0] == 9
        rehearsal.clock.advance(0.1)
        assert states(rehearsal)[0] == "half_open"
        assert await ask(rehearsal) == ["anthropic"]
        assert requests(rehearsal)[0] == 10
        assert rehearsal.cascade.health[0].cooldown == 20
        rehearsal.clock.advance(20)
        assert await ask(rehearsal) == ["openai"]
        assert rehearsal.cascade.health[0] == TargetHealth(
            "openai", "gpt-4.1", "closed", failures=0, cooldown=0.0, structured_output="json_schema"
        )


async def test_the_cooldown_doubles_up_to_its_maximum_and_starts_small_again() -> None:
    script: list[Behaviour] = [*[Status(503)] * 6, Reply("back"), Status(503)]
    with rehearse(TWO, script) as rehearsal:
        await ask(rehearsal, 3)
        cooldowns = []
        for _ in range(4):
            cooldowns.append(rehearsal.cascade.health[0].cooldown)
            rehearsal.clock.advance(cooldowns[-1])
            await ask(rehearsal)
        assert cooldowns == [10, 20, 30, 30]
        assert states(rehearsal)[0] == "closed"
        await ask(rehearsal, 3)
        assert rehearsal.cascade.health[0].cooldown == 10


async def test_a_probe_is_retried_where_nobody_else_is_left() -> None:
    cascade = LLMCascade(WIRES[:1], retry=RetryPolicy(attempts=3, base=0), breaker=CircuitBreaker(failures=1))
    with rehearse(cascade, [*[Status(503)] * 4, Reply("back")]) as rehearsal:
        with pytest.raises(ProviderUnavailableError):
            await ask(rehearsal)
        rehearsal.clock.advance(10)
        assert await ask(rehearsal) == ["openai"]


async def test_of_many_calls_at_once_one_probes() -> None:
    gate = Gate(Reply("back"))
    script: list[Behaviour] = [*[Status(503)] * 3, gate]
    with rehearse(TWO, script) as rehearsal:
        await ask(rehearsal, 3)
        rehearsal.clock.advance(10)
        calls = [asyncio.ensure_future(rehearsal.cascade.get_response("Hello")) for _ in range(20)]
        await until(lambda: sum(call.done() for call in calls) == 19)
        assert requests(rehearsal) == [4, 22]
        assert states(rehearsal)[0] == "half_open"
        gate.give()
        served = [(await call).provider for call in calls]
    assert sorted(served) == ["anthropic"] * 19 + ["openai"]
    assert states(rehearsal)[0] == "closed"


async def test_a_probe_that_is_cancelled_leaves_the_next_one_to_another_call() -> None:
    script: list[Behaviour] = [*[Status(503)] * 3, Gate(Reply("never")), Reply("back")]
    with rehearse(TWO, script) as rehearsal:
        await ask(rehearsal, 3)
        rehearsal.clock.advance(10)
        probe = asyncio.ensure_future(rehearsal.cascade.get_response("Hello"))
        await until(lambda: requests(rehearsal)[0] == 4)
        probe.cancel()
        with pytest.raises(asyncio.CancelledError):
            await probe
        assert await ask(rehearsal) == ["openai"]


async def test_a_probing_stream_closes_the_breaker_with_its_first_content() -> None:
    with rehearse(TWO, [*[Status(503)] * 3, BrokenStream("cut"), Reply("back")]) as rehearsal:
        await ask(rehearsal, 3)
        rehearsal.clock.advance(10)
        stream = await rehearsal.cascade.get_response_stream("Hello")
        assert rehearsal.cascade.health[0].state == "closed"
        assert (await stream.collect()).provider == "anthropic"
        assert rehearsal.cascade.health[0].failures == 1
        assert await ask(rehearsal) == ["openai"]


async def test_a_retry_after_longer_than_the_cooldown_extends_it() -> None:
    with rehearse(TWO, [Status(429, retry_after=45)] * 3, Reply("fine")) as rehearsal:
        await ask(rehearsal, 3)
        assert rehearsal.cascade.health[0].cooldown == 45
    with rehearse(TWO, [Status(429, retry_after=5)] * 3, Reply("fine")) as rehearsal:
        await ask(rehearsal, 3)
        assert rehearsal.cascade.health[0].cooldown == 10


@pytest.mark.parametrize(
    "behaviour",
    [
        Status(400, error_code="context_length_exceeded"),
        Status(400, "tools are not supported"),
        Status(400),
    ],
)
async def test_what_the_request_caused_counts_neither_way(behaviour: Behaviour) -> None:
    cascade = LLMCascade(WIRES[:2], retry=ONCE, failover_on=lambda _: True)
    with rehearse(cascade, [Status(503), Status(503), *[behaviour] * 5, Status(503)]) as rehearsal:
        await ask(rehearsal, 7)
        assert rehearsal.cascade.health[0].failures == 2
        await ask(rehearsal)
        assert states(rehearsal)[0] == "open"


async def test_an_answer_of_no_use_is_an_answer() -> None:
    cascade = LLMCascade(WIRES[:2], retry=ONCE)
    with rehearse(cascade, [Status(503), Status(503), Reply("no JSON")]) as rehearsal:
        await ask(rehearsal, 2)
        with pytest.raises(ResponseParsingError):
            await rehearsal.cascade.get_json_response("Hello")
        assert rehearsal.cascade.health[0].failures == 0


async def test_a_local_bug_counts_neither_way() -> None:
    with rehearse(TWO, Status(503)) as rehearsal:
        await ask(rehearsal, 2)
        with pytest.raises(TypeError):
            await rehearsal.cascade.get_response("Hello", stop=object())
        assert rehearsal.cascade.health[0].failures == 2


async def test_a_deadline_counts_against_the_target_that_was_being_asked_and_no_other() -> None:
    with rehearse(LLMCascade(WIRES, retry=ONCE, deadline=5), Status(401), Hang()) as rehearsal:
        with pytest.raises(DeadlineExceededError):
            await ask(rehearsal)
        assert [health.failures for health in rehearsal.cascade.health] == [1, 1, 0]


async def test_a_target_that_a_spent_deadline_kept_from_being_asked_is_as_it_was() -> None:
    clocks: list[Any] = []
    cascade = LLMCascade(WIRES[:2], retry=ONCE, deadline=5, on_attempt=lambda _: clocks[0].advance(9))
    with rehearse(cascade, Status(503)) as rehearsal:
        clocks.append(rehearsal.clock)
        with pytest.raises(DeadlineExceededError):
            await ask(rehearsal)
        assert [health.failures for health in rehearsal.cascade.health] == [1, 0]


async def test_a_stream_that_breaks_is_a_failure_and_one_that_ends_is_none() -> None:
    with rehearse(TWO, [BrokenStream("cut"), BrokenStream("end"), Reply("whole"), *[BrokenStream("cut")] * 3]) as one:
        for failures in (1, 2, 0, 1, 2, 3):
            await (await one.cascade.get_response_stream("Hello")).collect()
            assert one.cascade.health[0].failures == failures
        assert states(one)[0] == "open"


async def test_a_stream_that_is_stopped_after_some_content_was_well() -> None:
    with rehearse(TWO, [Status(503), Status(503), Reply("One two three.")]) as rehearsal:
        await ask(rehearsal, 2)
        async with await rehearsal.cascade.get_response_stream("Hello") as stream:
            assert stream.provider == "openai"
        assert rehearsal.cascade.health[0].failures == 0


async def test_a_stream_that_is_stopped_while_it_is_read_was_well_too() -> None:
    with rehearse(TWO, [Status(503), Status(503), Reply("One two three.")]) as rehearsal:
        await ask(rehearsal, 2)
        async with await rehearsal.cascade.get_response_stream("Hello") as stream:
            async for _ in stream:
                break
        assert rehearsal.cascade.health[0].failures == 0


async def test_a_stream_that_is_given_up_in_a_silence_tells_nothing(serve: Serve) -> None:
    server = serve(Status(503), Status(503), BrokenStream("stall"))
    cascade = LLMCascade([server.target(), serve().target()], retry=ONCE)
    for _ in range(2):
        await cascade.get_response("Hello")
    reading = asyncio.ensure_future((await cascade.get_response_stream("Hello")).collect())
    for _ in range(100):
        await asyncio.sleep(0)
    reading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reading
    assert cascade.health[0].failures == 2


async def test_a_deadline_that_a_slow_reader_spent_is_not_the_targets_fault() -> None:
    with rehearse(LLMCascade(WIRES[:1], deadline=5), BrokenStream("stall", "One")) as rehearsal:
        texts = aiter(await rehearsal.cascade.get_response_stream("Hello"))
        assert await anext(texts) == "One"
        rehearsal.clock.advance(6)
        with pytest.raises(DeadlineExceededError):
            [_ async for _ in texts]
        assert rehearsal.cascade.health[0].failures == 0


@pytest.mark.parametrize(("spent", "failures"), [(4.5, 1), (5, 0)])
async def test_a_deadline_counts_against_who_was_waited_for_until_it_was_spent(spent: float, failures: int) -> None:
    with rehearse(LLMCascade(WIRES[:1], deadline=5), BrokenStream("stall", "One")) as rehearsal:
        texts = aiter(await rehearsal.cascade.get_response_stream("Hello"))
        assert await anext(texts) == "One"
        rehearsal.clock.advance(spent)
        with pytest.raises(DeadlineExceededError):
            [_ async for _ in texts]
        assert rehearsal.cascade.health[0].failures == failures


async def test_opening_and_closing_are_logged(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, logger="majordomo_cascade")
    with rehearse(TWO, [*[Status(503)] * 3, Reply("back")]) as rehearsal:
        await ask(rehearsal, 3)
        rehearsal.clock.advance(10)
        await ask(rehearsal)
    told = [(record.levelname, record.getMessage()) for record in caplog.records if "breaker" in record.getMessage()]
    assert told == [
        ("WARNING", "openai/gpt-4.1 is asked last for 10 s: its breaker opened"),
        ("INFO", "openai/gpt-4.1 is asked in its turn again: its breaker closed"),
    ]


async def test_without_a_breaker_the_order_never_changes() -> None:
    with rehearse(LLMCascade(WIRES[:2], retry=ONCE, breaker=None), Status(503)) as rehearsal:
        await ask(rehearsal, 5)
        assert requests(rehearsal) == [5, 5]
        assert rehearsal.cascade.health[0] == TargetHealth(
            "openai", "gpt-4.1", "closed", failures=5, cooldown=0.0, structured_output="json_schema"
        )


async def test_a_minute_of_outage_under_a_call_every_four_seconds() -> None:
    class DownForAMinute:
        """503 from second 20 to second 80 of the clock."""

        async def perform(self, exchange: Any) -> None:
            down = 20 <= rehearsal.clock.now() < 80
            asked.append((rehearsal.clock.now(), down))
            await (Status(503) if down else Reply("primary")).perform(exchange)

    asked: list[tuple[float, bool]] = []
    with rehearse(TWO, DownForAMinute(), Reply("fallback")) as rehearsal:
        served = []
        for _ in range(40):
            served.append((await rehearsal.cascade.get_response("Hello")).content)
            rehearsal.clock.advance(4)
    assert served[:5] == ["primary"] * 5
    probes = [when for when, down in asked if down][2:]  # three calls open it; from then on
    assert probes[0] == 28
    assert all(later - earlier >= 10 for earlier, later in itertools.pairwise(probes))
    first_back = served.index("primary", 5)
    assert served[5:first_back] == ["fallback"] * (first_back - 5)
    assert served[first_back:] == ["primary"] * (40 - first_back)
    assert first_back * 4 <= 80 + 30 + 4  # the first probe after the recovery, at most a cooldown later


def test_what_calls_of_an_earlier_epoch_report_is_old_news() -> None:
    breaker = Breaker(CircuitBreaker(failures=2))
    slow = [breaker.enter(0) for _ in range(5)]
    for given in slow[:2]:
        breaker.leave(given, ProviderTimeoutError(), 1)
    assert breaker.state(1) == "open"
    breaker.leave(slow[2], None, 2)
    assert breaker.state(2) == "open"
    probe = breaker.enter(11)
    assert probe.is_probe
    breaker.leave(probe, None, 12)
    for given in slow[3:]:
        breaker.leave(given, ProviderTimeoutError(), 13)
    assert (breaker.state(13), breaker.failures, breaker.cooldown(13)) == ("closed", 0, 0.0)


def test_what_was_asked_while_open_is_old_news_once_it_is_closed() -> None:
    breaker = Breaker(CircuitBreaker(failures=1))
    breaker.leave(breaker.enter(0), ProviderUnavailableError(), 0)
    early, late = breaker.enter(1), breaker.enter(1)
    breaker.leave(early, None, 2)
    breaker.leave(late, ProviderUnavailableError(), 3)
    assert (breaker.state(3), breaker.failures, breaker.cooldown(3)) == ("closed", 0, 0.0)


def test_a_probe_of_an_earlier_epoch_blocks_nobody() -> None:
    breaker = Breaker(CircuitBreaker(failures=1))
    breaker.leave(breaker.enter(0), ProviderError(), 0)
    slow_probe = breaker.enter(10)
    breaker.leave(breaker.enter(11), None, 11)  # served at the end of the order: closed
    breaker.leave(breaker.enter(12), ProviderError(), 12)
    assert not breaker.takes_turns(21)
    probe = breaker.enter(22)
    assert probe.is_probe
    breaker.leave(slow_probe, None, 23)
    assert not breaker.takes_turns(23)
    assert breaker.failures == 1


def test_a_probe_that_nobody_holds_any_more_is_over() -> None:
    breaker = Breaker(CircuitBreaker(failures=1))
    breaker.leave(breaker.enter(0), ProviderError(), 0)
    probe = breaker.enter(10)
    assert not breaker.takes_turns(11)
    del probe
    assert breaker.takes_turns(11)


def test_a_retry_after_of_years_is_an_hour() -> None:
    breaker = Breaker(CircuitBreaker(failures=1))
    breaker.leave(breaker.enter(0), ProviderError(retry_after=1e12), 0)
    assert breaker.cooldown(0) == 3600


def test_an_open_targets_failure_at_the_end_of_the_order_does_not_double_its_cooldown() -> None:
    breaker = Breaker(CircuitBreaker(failures=1))
    breaker.leave(breaker.enter(0), ProviderUnavailableError(), 0)
    breaker.leave(breaker.enter(4), ProviderUnavailableError(), 4)
    assert breaker.cooldown(4) == 6
    breaker.leave(breaker.enter(5), ProviderUnavailableError(retry_after=20), 5)
    assert breaker.cooldown(5) == 20


def test_a_cooldown_longer_than_the_longest_is_kept() -> None:
    breaker = Breaker(CircuitBreaker(failures=1, cooldown=60))
    breaker.leave(breaker.enter(0), ProviderUnavailableError(), 0)
    assert breaker.cooldown(0) == 60
    breaker.leave(breaker.enter(60), ProviderUnavailableError(), 60)
    assert breaker.cooldown(60) == 60


def test_a_cooldown_of_less_than_a_second_is_kept() -> None:
    breaker = Breaker(CircuitBreaker(failures=1, cooldown=0.25))
    breaker.leave(breaker.enter(0), ProviderUnavailableError(), 0)
    assert breaker.cooldown(0) == 0.25


@pytest.mark.parametrize("error", [ContextWindowExceededError, UnsupportedRequestError, InvalidRequestError])
def test_a_probe_that_tells_nothing_leaves_the_target_due(error: type[Exception]) -> None:
    breaker = Breaker(CircuitBreaker(failures=1))
    breaker.leave(breaker.enter(0), ProviderError(), 0)
    probe = breaker.enter(10)
    breaker.leave(probe, error(), 11)
    assert breaker.takes_turns(11)
    assert breaker.state(11) == "half_open"


def test_health_is_not_part_of_a_pickle_and_twins_have_their_own() -> None:
    cascade = LLMCascade(WIRES[:1], breaker=CircuitBreaker(failures=7))
    copy = pickle.loads(pickle.dumps(cascade))
    assert copy.health == cascade.health
    assert copy._config["breaker"] == CircuitBreaker(failures=7)


@pytest.mark.parametrize(
    ("field", "wrong"), [("failures", 0), ("cooldown", 0), ("max_cooldown", -1), ("failures", 1.5), ("cooldown", "10")]
)
def test_a_breaker_that_makes_no_sense_is_refused(field: str, wrong: Any) -> None:
    with pytest.raises(ConfigurationError, match=f"CircuitBreaker: {field}: Input should be"):
        CircuitBreaker(**{field: wrong})


@pytest.mark.parametrize("wrong", [3, True, RetryPolicy()])
def test_a_breaker_is_a_breaker(wrong: Any) -> None:
    with pytest.raises(ConfigurationError, match="breaker must be a CircuitBreaker, such as"):
        LLMCascade(WIRES[:1], breaker=wrong)
