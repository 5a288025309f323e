"""The circuit breaker: a failing target is asked last, never skipped, and probed to come back."""

from __future__ import annotations

import asyncio
import itertools
import logging
import pickle
from typing import Any

import pytest
from conftest import WIRES, Gate, Serve, until

from majordomo_cascade import (
    BadRequestError,
    CircuitBreaker,
    ConfigurationError,
    DeadlineExceededError,
    LLMCascade,
    LLMResponse,
    MajordomoError,
    ProviderError,
    ProviderUnavailableError,
    ResponseParsingError,
    RetryPolicy,
    TargetHealth,
)
from majordomo_cascade.failover import Breaker, Verdict
from majordomo_cascade.testing import (
    Behaviour,
    BrokenStream,
    Hang,
    Reply,
    Simulation,
    Status,
    simulate,
)

ONCE = RetryPolicy(attempts=1)
TWO = LLMCascade(WIRES[:2], retry=ONCE)


def states(simulation: Simulation) -> list[str]:
    return [health.state for health in simulation.cascade.health]


def requests(simulation: Simulation) -> list[int]:
    return [len(provider.requests) for provider in simulation.providers]


async def asked_at_once(
    simulation: Simulation, number: int
) -> list[asyncio.Task[LLMResponse[str]]]:
    """Begin calls, and return when their requests have reached the first target."""
    expected = requests(simulation)[0] + number
    cascade = simulation.cascade
    calls = [asyncio.create_task(cascade.get_response("Hello")) for _ in range(number)]
    await until(lambda: requests(simulation)[0] == expected)
    return calls


async def ask(simulation: Simulation, times: int = 1) -> list[str]:
    """Return the providers that served."""
    return [(await simulation.cascade.get_response("Hello")).provider for _ in range(times)]


async def test_a_target_that_fails_three_calls_in_a_row_is_moved_to_the_end() -> None:
    with simulate(TWO, Status(503)) as simulation:
        assert await ask(simulation, 2) == ["anthropic", "anthropic"]
        assert simulation.cascade.health[0] == TargetHealth(
            "openai", "gpt-4.1", "closed", failures=2, cooldown=0.0, structured_output="json_schema"
        )
        await ask(simulation)
        assert simulation.cascade.health == (
            TargetHealth(
                "openai",
                "gpt-4.1",
                "open",
                failures=3,
                cooldown=10.0,
                structured_output="json_schema",
            ),
            TargetHealth(
                "anthropic",
                "claude-sonnet-4-5",
                "closed",
                failures=0,
                cooldown=0.0,
                structured_output="json_schema",
            ),
        )
        assert requests(simulation) == [3, 3]
        response = await simulation.cascade.get_response("Hello")
        assert requests(simulation) == [3, 4]
        assert response.failed_over
        assert [attempt.provider for attempt in response.attempts] == ["anthropic"]


async def test_a_call_is_one_failure_with_all_its_retries_and_none_if_one_of_them_helps() -> None:
    cascade = LLMCascade(WIRES[:2], retry=RetryPolicy(attempts=3, base=0))
    with simulate(cascade, [*[Status(503)] * 5, Reply("back"), *[Status(503)] * 9]) as simulation:
        assert await ask(simulation, 2) == ["anthropic", "openai"]
        assert simulation.cascade.health[0].failures == 0
        await ask(simulation, 2)
        assert simulation.cascade.health[0].failures == 2


async def test_an_open_target_is_still_asked_if_the_others_fail_too() -> None:
    with simulate(
        TWO, [*[Status(503)] * 3, Reply("back")], [*[Reply("fine")] * 3, Status(500)]
    ) as simulation:
        await ask(simulation, 3)
        response = await simulation.cascade.get_response("Hello")
        assert (response.content, response.provider, response.failed_over) == (
            "back",
            "openai",
            False,
        )
        assert [attempt.provider for attempt in response.attempts] == ["anthropic", "openai"]
        assert states(simulation) == ["closed", "closed"]


async def test_all_targets_open_are_tried_in_order() -> None:
    with simulate(LLMCascade(WIRES, retry=ONCE), *[Status(503)] * 3) as simulation:
        for _ in range(4):
            with pytest.raises(ProviderUnavailableError) as caught:
                await simulation.cascade.get_response("Hello")
            assert [attempt.provider for attempt in caught.value.attempts] == [
                "openai",
                "anthropic",
                "gemini",
            ]
        assert states(simulation) == ["open"] * 3
        assert requests(simulation) == [4, 4, 4]


async def test_after_the_cooldown_one_call_probes_with_one_attempt_and_a_success_closes() -> None:
    cascade = LLMCascade(WIRES[:2], retry=RetryPolicy(attempts=3, base=0))
    with simulate(cascade, [*[Status(503)] * 10, Reply("back")]) as simulation:
        await ask(simulation, 3)
        simulation.clock.advance(9.9)
        await ask(simulation)
        assert requests(simulation)[0] == 9
        simulation.clock.advance(0.1)
        assert states(simulation)[0] == "half_open"
        assert await ask(simulation) == ["anthropic"]
        assert requests(simulation)[0] == 10
        assert simulation.cascade.health[0].cooldown == 20
        simulation.clock.advance(20)
        assert await ask(simulation) == ["openai"]
        assert simulation.cascade.health[0] == TargetHealth(
            "openai", "gpt-4.1", "closed", failures=0, cooldown=0.0, structured_output="json_schema"
        )


async def test_the_cooldown_doubles_up_to_its_maximum_and_starts_small_again() -> None:
    script: list[Behaviour] = [*[Status(503)] * 6, Reply("back"), Status(503)]
    with simulate(TWO, script) as simulation:
        await ask(simulation, 3)
        cooldowns = []
        for _ in range(4):
            cooldowns.append(simulation.cascade.health[0].cooldown)
            simulation.clock.advance(cooldowns[-1])
            await ask(simulation)
        assert cooldowns == [10, 20, 30, 30]
        assert states(simulation)[0] == "closed"
        await ask(simulation, 3)
        assert simulation.cascade.health[0].cooldown == 10


async def test_a_probe_is_retried_if_no_other_target_is_left() -> None:
    cascade = LLMCascade(
        WIRES[:1], retry=RetryPolicy(attempts=3, base=0), breaker=CircuitBreaker(failures=1)
    )
    with simulate(cascade, [*[Status(503)] * 4, Reply("back")]) as simulation:
        with pytest.raises(ProviderUnavailableError):
            await ask(simulation)
        simulation.clock.advance(10)
        assert await ask(simulation) == ["openai"]


async def test_one_of_many_calls_at_once_probes() -> None:
    gate = Gate(Reply("back"))
    script: list[Behaviour] = [*[Status(503)] * 3, gate]
    with simulate(TWO, script) as simulation:
        await ask(simulation, 3)
        simulation.clock.advance(10)
        calls = [asyncio.ensure_future(simulation.cascade.get_response("Hello")) for _ in range(20)]
        await until(lambda: sum(call.done() for call in calls) == 19)
        assert requests(simulation) == [4, 22]
        assert states(simulation)[0] == "half_open"
        gate.give()
        served = [(await call).provider for call in calls]
    assert sorted(served) == ["anthropic"] * 19 + ["openai"]
    assert states(simulation)[0] == "closed"


async def test_a_probe_that_is_cancelled_leaves_the_next_one_to_another_call() -> None:
    script: list[Behaviour] = [*[Status(503)] * 3, Gate(Reply("never")), Reply("back")]
    with simulate(TWO, script) as simulation:
        await ask(simulation, 3)
        simulation.clock.advance(10)
        probe = asyncio.ensure_future(simulation.cascade.get_response("Hello"))
        await until(lambda: requests(simulation)[0] == 4)
        probe.cancel()
        with pytest.raises(asyncio.CancelledError):
            await probe
        assert await ask(simulation) == ["openai"]


async def test_a_probing_stream_closes_the_breaker_with_its_first_content() -> None:
    with simulate(TWO, [*[Status(503)] * 3, BrokenStream("cut"), Reply("back")]) as simulation:
        await ask(simulation, 3)
        simulation.clock.advance(10)
        stream = await simulation.cascade.get_response_stream("Hello")
        assert simulation.cascade.health[0].state == "closed"
        assert (await stream.collect()).provider == "anthropic"
        assert simulation.cascade.health[0].failures == 1
        assert await ask(simulation) == ["openai"]


async def test_a_retry_after_longer_than_the_cooldown_extends_it() -> None:
    with simulate(TWO, [Status(429, retry_after=45)] * 3, Reply("fine")) as simulation:
        await ask(simulation, 3)
        assert simulation.cascade.health[0].cooldown == 45
    with simulate(TWO, [Status(429, retry_after=5)] * 3, Reply("fine")) as simulation:
        await ask(simulation, 3)
        assert simulation.cascade.health[0].cooldown == 10


#: What the request itself causes: too long, not for this model, at fault.
CAUSED_BY_REQUEST: list[Behaviour] = [
    Status(400, error_code="context_length_exceeded"),
    Status(400, "tools are not supported"),
]


async def test_what_a_wider_rule_moves_on_counts() -> None:
    cascade = LLMCascade(WIRES[:2], retry=ONCE, failover_on=MajordomoError)
    script: list[Behaviour] = [Status(400), Reply("", "content_filter"), Reply("no JSON")]
    with simulate(cascade, script, Reply("[]")) as simulation:
        await ask(simulation, 2)
        await simulation.cascade.get_json_response("Hello")
        assert [health.failures for health in simulation.cascade.health] == [3, 0]
    narrow = LLMCascade(WIRES[:2], retry=ONCE)
    with simulate(narrow, Status(400)) as simulation:
        with pytest.raises(BadRequestError):
            await ask(simulation)
        assert simulation.cascade.health[0].failures == 0


async def test_a_refusal_by_accept_counts_as_an_answer_under_every_rule() -> None:
    cascade = LLMCascade(
        WIRES[:2],
        failover_on=MajordomoError,
        accept=lambda response: response.provider != "openai",
    )
    with simulate(cascade) as simulation:
        assert await ask(simulation, 5) == ["anthropic"] * 5
        assert simulation.cascade.health[0].failures == 0


@pytest.mark.parametrize("behaviour", CAUSED_BY_REQUEST)
async def test_an_error_that_the_request_caused_counts_neither_way(behaviour: Behaviour) -> None:
    cascade = LLMCascade(WIRES[:2], retry=ONCE, failover_on=lambda _: True)
    with simulate(cascade, [Status(503), Status(503), *[behaviour] * 5, Status(503)]) as simulation:
        await ask(simulation, 7)
        assert simulation.cascade.health[0].failures == 2
        await ask(simulation)
        assert states(simulation)[0] == "open"


async def test_an_answer_that_cannot_be_used_counts_as_one() -> None:
    cascade = LLMCascade(WIRES[:2], retry=ONCE)
    with simulate(cascade, [Status(503), Status(503), Reply("no JSON")]) as simulation:
        await ask(simulation, 2)
        with pytest.raises(ResponseParsingError):
            await simulation.cascade.get_json_response("Hello")
        assert simulation.cascade.health[0].failures == 0


async def test_a_local_bug_counts_neither_way() -> None:
    with simulate(TWO, Status(503)) as simulation:
        await ask(simulation, 2)
        with pytest.raises(TypeError):
            await simulation.cascade.get_response("Hello", stop=object())
        assert simulation.cascade.health[0].failures == 2


async def test_a_deadline_counts_against_the_target_that_was_being_asked_and_no_other() -> None:
    with simulate(LLMCascade(WIRES, retry=ONCE, deadline=5), Status(401), Hang()) as simulation:
        with pytest.raises(DeadlineExceededError):
            await ask(simulation)
        assert [health.failures for health in simulation.cascade.health] == [1, 1, 0]


async def test_a_target_that_a_spent_deadline_kept_from_being_asked_is_as_it_was() -> None:
    clocks: list[Any] = []
    cascade = LLMCascade(
        WIRES[:2], retry=ONCE, deadline=5, on_attempt=lambda _: clocks[0].advance(9)
    )
    with simulate(cascade, Status(503)) as simulation:
        clocks.append(simulation.clock)
        with pytest.raises(DeadlineExceededError):
            await ask(simulation)
        assert [health.failures for health in simulation.cascade.health] == [1, 0]


async def test_a_stream_that_breaks_is_a_failure_and_one_that_ends_is_none() -> None:
    with simulate(
        TWO, [BrokenStream("cut"), BrokenStream("end"), Reply("whole"), *[BrokenStream("cut")] * 3]
    ) as one:
        for failures in (1, 2, 0, 1, 2, 3):
            await (await one.cascade.get_response_stream("Hello")).collect()
            assert one.cascade.health[0].failures == failures
        assert states(one)[0] == "open"


async def test_a_stream_that_is_stopped_after_some_content_was_well() -> None:
    with simulate(TWO, [Status(503), Status(503), Reply("One two three.")]) as simulation:
        await ask(simulation, 2)
        async with await simulation.cascade.get_response_stream("Hello") as stream:
            assert stream.provider == "openai"
        assert simulation.cascade.health[0].failures == 0


async def test_a_stream_that_is_stopped_while_it_is_read_was_well_too() -> None:
    with simulate(TWO, [Status(503), Status(503), Reply("One two three.")]) as simulation:
        await ask(simulation, 2)
        async with await simulation.cascade.get_response_stream("Hello") as stream:
            async for _ in stream:
                break
        assert simulation.cascade.health[0].failures == 0


async def test_a_stream_that_is_given_up_in_a_silence_tells_nothing(serve: Serve) -> None:
    server = serve(Status(503), Status(503), BrokenStream("stall"))
    cascade = LLMCascade([server.target(), serve().target()], retry=ONCE)
    for _ in range(2):
        await cascade.get_response("Hello")
    reading = asyncio.ensure_future((await cascade.get_response_stream("Hello")).collect())
    for _ in range(100):  # until it waits in the silence
        await asyncio.sleep(0)
    reading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reading
    assert cascade.health[0].failures == 2


async def test_a_deadline_that_a_slow_reader_spent_is_not_the_targets_fault() -> None:
    with simulate(LLMCascade(WIRES[:1], deadline=5), BrokenStream("stall", "One")) as simulation:
        texts = aiter(await simulation.cascade.get_response_stream("Hello"))
        assert await anext(texts) == "One"
        simulation.clock.advance(6)
        with pytest.raises(DeadlineExceededError):
            [_ async for _ in texts]
        assert simulation.cascade.health[0].failures == 0


@pytest.mark.parametrize(("spent", "failures"), [(4.5, 1), (5, 0)])
async def test_a_deadline_counts_against_a_silent_target_unless_it_was_spent_before(
    spent: float, failures: int
) -> None:
    with simulate(LLMCascade(WIRES[:1], deadline=5), BrokenStream("stall", "One")) as simulation:
        texts = aiter(await simulation.cascade.get_response_stream("Hello"))
        assert await anext(texts) == "One"
        simulation.clock.advance(spent)
        with pytest.raises(DeadlineExceededError):
            [_ async for _ in texts]
        assert simulation.cascade.health[0].failures == failures


async def test_opening_and_closing_are_logged(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, logger="majordomo_cascade")
    with simulate(TWO, [*[Status(503)] * 3, Reply("back")]) as simulation:
        await ask(simulation, 3)
        simulation.clock.advance(10)
        await ask(simulation)
    told = [
        (record.levelname, record.getMessage())
        for record in caplog.records
        if "breaker" in record.getMessage()
    ]
    assert told == [
        ("WARNING", "openai/gpt-4.1 is asked last for 10 s: its breaker opened"),
        ("INFO", "openai/gpt-4.1 is asked in its turn again: its breaker closed"),
    ]


async def test_without_a_breaker_the_order_never_changes() -> None:
    with simulate(LLMCascade(WIRES[:2], retry=ONCE, breaker=None), Status(503)) as simulation:
        await ask(simulation, 5)
        assert requests(simulation) == [5, 5]
        assert simulation.cascade.health[0] == TargetHealth(
            "openai", "gpt-4.1", "closed", failures=5, cooldown=0.0, structured_output="json_schema"
        )


async def test_a_minute_of_outage_under_a_call_every_four_seconds() -> None:
    class DownForAMinute:
        """503 from second 20 to second 80 of the clock."""

        async def perform(self, exchange: Any) -> None:
            down = 20 <= simulation.clock.now() < 80
            asked.append((simulation.clock.now(), down))
            await (Status(503) if down else Reply("primary")).perform(exchange)

    asked: list[tuple[float, bool]] = []
    with simulate(TWO, DownForAMinute(), Reply("fallback")) as simulation:
        served = []
        for _ in range(40):
            served.append((await simulation.cascade.get_response("Hello")).content)
            simulation.clock.advance(4)
    assert served[:5] == ["primary"] * 5
    probes = [when for when, down in asked if down][2:]  # three calls open it; from then on
    assert probes[0] == 28
    assert all(later - earlier >= 10 for earlier, later in itertools.pairwise(probes))
    first_back = served.index("primary", 5)
    assert served[5:first_back] == ["fallback"] * (first_back - 5)
    assert served[first_back:] == ["primary"] * (40 - first_back)
    assert (
        first_back * 4 <= 80 + 30 + 4
    )  # the first probe after the recovery, at most a cooldown later


async def test_reports_from_before_an_opening_or_a_closing_change_nothing() -> None:
    late = [Gate(Status(503)), Gate(Status(503)), Gate(Reply("late")), Gate(Status(503))]
    cascade = LLMCascade(WIRES[:2], retry=ONCE, breaker=CircuitBreaker(failures=2))
    with simulate(cascade, [*late, Reply("probe")]) as simulation:
        calls = await asked_at_once(simulation, 4)
        late[0].give()
        late[1].give()
        await until(lambda: states(simulation)[0] == "open")
        late[2].give()
        await until(lambda: sum(call.done() for call in calls) == 3)
        assert states(simulation)[0] == "open"
        simulation.clock.advance(10)
        assert await ask(simulation) == ["openai"]
        late[3].give()
        await asyncio.gather(*calls)
        assert states(simulation)[0] == "closed"
        assert simulation.cascade.health[0].failures == 0


async def test_a_failure_of_a_call_from_before_the_closing_changes_nothing() -> None:
    cascade = LLMCascade(WIRES[:2], retry=ONCE, breaker=CircuitBreaker(failures=1))
    early, late = Gate(Reply("back")), Gate(Status(503))
    with simulate(cascade, [Status(503), early, late], Status(503)) as simulation:
        with pytest.raises(ProviderUnavailableError):
            await ask(simulation)
        calls = await asked_at_once(simulation, 2)
        early.give()
        await until(lambda: states(simulation)[0] == "closed")
        late.give()
        await asyncio.wait(calls)
        assert states(simulation)[0] == "closed"
        assert simulation.cascade.health[0].failures == 0


async def test_a_probe_from_before_the_closing_does_not_block_the_next_one() -> None:
    cascade = LLMCascade(WIRES[:2], retry=ONCE, breaker=CircuitBreaker(failures=1))
    slow, probe = Gate(Reply("slow")), Gate(Reply("probe"))
    script: list[Behaviour] = [Status(503), slow, Reply("at the end"), Status(503), probe]
    with simulate(cascade, script, [Reply(), Status(503), Reply()]) as simulation:
        assert await ask(simulation) == ["anthropic"]
        simulation.clock.advance(10)
        calls = await asked_at_once(simulation, 1)
        assert await ask(simulation) == ["openai"]  # asked last, and closed by its answer
        assert states(simulation)[0] == "closed"
        assert await ask(simulation) == ["anthropic"]
        simulation.clock.advance(10)
        calls += await asked_at_once(simulation, 1)
        slow.give()
        assert (await calls[0]).content == "slow"
        assert states(simulation)[0] == "half_open"
        assert await ask(simulation) == ["anthropic"]  # while the second probe is under way
        probe.give()
        assert (await calls[1]).content == "probe"
        assert states(simulation)[0] == "closed"


def test_a_probe_that_was_dropped_is_over() -> None:
    breaker = Breaker(CircuitBreaker(failures=1))
    breaker.leave(breaker.enter(0), Verdict.FAILED, 0)
    probe = breaker.enter(10)
    assert not breaker.takes_turns(11)
    del probe
    assert breaker.takes_turns(11)


async def test_a_retry_after_of_years_is_an_hour() -> None:
    cascade = LLMCascade(WIRES[:2], retry=ONCE, breaker=CircuitBreaker(failures=1))
    with simulate(cascade, Status(429, retry_after=1e12)) as simulation:
        await ask(simulation)
        assert simulation.cascade.health[0].cooldown == 3600


async def test_an_open_target_that_fails_when_it_is_asked_last_does_not_double_its_cooldown() -> (
    None
):
    cascade = LLMCascade(WIRES[:2], retry=ONCE, breaker=CircuitBreaker(failures=1))
    script = [Status(503), Status(503), Status(429, retry_after=20)]
    cooldowns = []
    with simulate(cascade, script, Status(401)) as simulation:
        for pause in (4, 1, 0):
            with pytest.raises(ProviderError):
                await ask(simulation)
            cooldowns.append(simulation.cascade.health[0].cooldown)
            simulation.clock.advance(pause)
    assert cooldowns == [10, 6, 20]


@pytest.mark.parametrize("cooldown", [60, 0.25])
async def test_a_cooldown_may_be_longer_than_the_longest_or_less_than_a_second(
    cooldown: float,
) -> None:
    breaker = CircuitBreaker(failures=1, cooldown=cooldown, max_cooldown=min(cooldown, 30))
    with simulate(LLMCascade(WIRES[:2], retry=ONCE, breaker=breaker), Status(503)) as simulation:
        for _ in range(2):
            await ask(simulation)
            assert simulation.cascade.health[0].cooldown == cooldown
            simulation.clock.advance(cooldown)


@pytest.mark.parametrize("behaviour", CAUSED_BY_REQUEST)
async def test_a_probe_that_tells_nothing_leaves_the_target_due(behaviour: Behaviour) -> None:
    cascade = LLMCascade(
        WIRES[:2], retry=ONCE, breaker=CircuitBreaker(failures=1), failover_on=lambda _: True
    )
    with simulate(cascade, [Status(503), behaviour, Reply("back")]) as simulation:
        await ask(simulation)
        simulation.clock.advance(10)
        assert await ask(simulation) == ["anthropic"]
        assert states(simulation)[0] == "half_open"
        assert await ask(simulation) == ["openai"]


#: Credentials of a call, for the one gateway that serves all targets or for the only provider.
OWN_CREDENTIALS: list[dict[str, Any]] = [
    {"api_key": "sk-of-the-call"},
    {"extra_headers": {"Authorization": "Bearer of-the-call"}},
    {"headers": {"authorization": "Bearer of-the-call"}},
]


@pytest.mark.parametrize("own", OWN_CREDENTIALS, ids=lambda own: next(iter(own)))
@pytest.mark.parametrize("status", [401, 402, 403, 429])
async def test_failures_of_a_calls_own_credentials_are_not_the_targets(
    serve: Serve, own: dict[str, Any], status: int
) -> None:
    server = serve(*[Status(status)] * 3, Reply("well"))
    cascade = LLMCascade([server.target()], retry=ONCE, breaker=CircuitBreaker(failures=3))
    for _ in range(3):
        with pytest.raises(ProviderError):
            await cascade.get_response("Hello", **own)
    assert (cascade.health[0].state, cascade.health[0].failures) == ("closed", 0)
    assert (await cascade.get_response("Hello")).content == "well"


@pytest.mark.parametrize("own", OWN_CREDENTIALS, ids=lambda own: next(iter(own)))
@pytest.mark.parametrize("status", [503, 404])
async def test_an_outage_counts_even_with_a_calls_own_credentials(
    serve: Serve, own: dict[str, Any], status: int
) -> None:
    cascade = LLMCascade([serve(Status(status)).target()], retry=ONCE)
    for _ in range(3):
        with pytest.raises(ProviderError):
            await cascade.get_response("Hello", **own)
    assert (cascade.health[0].state, cascade.health[0].failures) == ("open", 3)


@pytest.mark.parametrize("status", [401, 429])
async def test_other_headers_and_the_targets_own_key_are_no_credentials_of_the_call(
    serve: Serve, status: int
) -> None:
    cascade = LLMCascade([serve(Status(status)).target()], retry=ONCE)
    for _ in range(3):
        with pytest.raises(ProviderError):
            await cascade.get_response("Hello", extra_headers={"x-tenant": "acme"})
    assert cascade.health[0].state == "open"


async def test_a_streams_own_credentials_are_not_the_targets_either(serve: Serve) -> None:
    cascade = LLMCascade([serve(Status(429)).target()], retry=ONCE)
    for _ in range(3):
        with pytest.raises(ProviderError):
            await cascade.get_response_stream("Hello", api_key="sk-of-the-call")
    assert cascade.health[0].failures == 0


async def test_a_pickle_keeps_the_breaker_but_not_the_health(serve: Serve) -> None:
    server = serve(Status(503), Status(503), Reply("well"), Status(503))
    cascade = LLMCascade([server.target()], retry=ONCE, breaker=CircuitBreaker(failures=2))
    for _ in range(2):
        with pytest.raises(ProviderUnavailableError):
            await cascade.get_response("Hello")
    copy = pickle.loads(pickle.dumps(cascade))
    assert (cascade.health[0].state, copy.health[0].state) == ("open", "closed")
    await copy.get_response("Hello")
    for state in ("closed", "open"):
        with pytest.raises(ProviderUnavailableError):
            await copy.get_response("Hello")
        assert copy.health[0].state == state


@pytest.mark.parametrize(
    ("field", "wrong"),
    [("failures", 0), ("cooldown", 0), ("max_cooldown", -1), ("failures", 1.5), ("cooldown", "10")],
)
def test_a_breaker_that_makes_no_sense_is_refused(field: str, wrong: Any) -> None:
    with pytest.raises(ConfigurationError, match=f"CircuitBreaker: {field}: Input should be"):
        CircuitBreaker(**{field: wrong})


@pytest.mark.parametrize("wrong", [3, True, RetryPolicy()])
def test_breaker_must_be_a_breaker(wrong: Any) -> None:
    with pytest.raises(ConfigurationError, match="breaker must be a CircuitBreaker, such as"):
        LLMCascade(WIRES[:1], breaker=wrong)
