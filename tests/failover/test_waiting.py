"""How long the waits between attempts are, and how long an attempt and a call may take."""

from __future__ import annotations

import asyncio
import math
from typing import Any

import litellm
import pytest
from conftest import WIRES, Serve, until
from hypothesis import given
from hypothesis import strategies as st

from majordomo_cascade import (
    Attempt,
    BadRequestError,
    ConfigurationError,
    DeadlineExceededError,
    LLMCascade,
    ProviderTimeoutError,
    ProviderUnavailableError,
    QuotaExceededError,
    RateLimitError,
    RetryPolicy,
    Target,
)
from majordomo_cascade.failover import SystemClock
from majordomo_cascade.failover.retry import wait_before_retry
from majordomo_cascade.testing import Hang, ManualClock, Reply, Status, simulate

THREE = LLMCascade(WIRES)
ALONE = LLMCascade(WIRES[:1])
SLOW = 0.05  # seconds that a test waits for a provider that never answers


@pytest.mark.usefixtures("no_jitter")
async def test_the_waits_double() -> None:
    with simulate(THREE, Status(503)) as simulation:
        response = await simulation.cascade.get_response("Hello")
    assert simulation.clock.slept == [0.5, 1.0]
    assert [attempt.waited for attempt in response.attempts] == [0.0, 0.5, 1.0, 0.0]
    assert [attempt.started for attempt in response.attempts] == [0.0, 0.5, 1.5, 1.5]
    assert response.latency == 1.5


@pytest.mark.usefixtures("no_jitter")
async def test_the_waits_follow_the_policy_up_to_its_limit() -> None:
    policy = RetryPolicy(attempts=6, base=1, factor=3, max_wait=10)
    with simulate(LLMCascade(WIRES[:1], retry=policy), Status(503)) as simulation:
        with pytest.raises(ProviderUnavailableError):
            await simulation.cascade.get_response("Hello")
    assert simulation.clock.slept == [1.0, 3.0, 9.0, 10.0, 10.0]


@given(
    base=st.floats(0, 100),
    factor=st.floats(1, 10),
    max_wait=st.floats(0, 100),
    number=st.integers(1, 50),
    last=st.booleans(),
)
def test_a_wait_stays_within_its_bounds(
    base: float, factor: float, max_wait: float, number: int, last: bool
) -> None:
    policy = RetryPolicy(attempts=100, base=base, factor=factor, max_wait=max_wait)
    wait = wait_before_retry(policy, RateLimitError(), number, is_last=last)
    assert wait is not None
    assert 0 <= wait <= min(max_wait, base * factor ** (number - 1))


@given(
    asked=st.floats(0, 100),
    max_wait=st.floats(0, 50),
    longest=st.floats(0, 100),
    last=st.booleans(),
)
def test_a_retry_after_is_obeyed_to_the_letter_or_not_at_all(
    asked: float, max_wait: float, longest: float, last: bool
) -> None:
    policy = RetryPolicy(max_wait=max_wait, max_retry_after=longest)
    wait = wait_before_retry(policy, RateLimitError(retry_after=asked), 1, is_last=last)
    patience = max(max_wait, longest) if last else max_wait
    assert wait == (asked if asked <= patience else None)


async def test_a_short_retry_after_is_obeyed() -> None:
    with simulate(THREE, [Status(429, retry_after=3.5), Reply("thanks for waiting")]) as simulation:
        response = await simulation.cascade.get_response("Hello")
    assert simulation.clock.slept == [3.5]
    assert (response.content, response.provider) == ("thanks for waiting", "openai")


async def test_a_long_retry_after_moves_on_at_once() -> None:
    with simulate(THREE, Status(429, retry_after=20)) as simulation:
        response = await simulation.cascade.get_response("Hello")
    assert simulation.clock.slept == []
    assert response.provider == "anthropic"


async def test_a_long_retry_after_is_obeyed_if_no_other_target_is_left() -> None:
    with simulate(ALONE, [Status(429, retry_after=20), Reply("at last")]) as simulation:
        response = await simulation.cascade.get_response("Hello")
    assert simulation.clock.slept == [20.0]
    assert response.content == "at last"


async def test_a_retry_after_beyond_its_limit_is_not_shortened() -> None:
    with (
        simulate(ALONE, Status(429, retry_after=31)) as simulation,
        pytest.raises(RateLimitError) as caught,
    ):
        await simulation.cascade.get_response("Hello")
    assert simulation.clock.slept == []
    assert caught.value.retry_after == 31.0
    assert len(simulation.providers[0].requests) == 1


async def test_a_hung_provider_costs_its_timeout_and_one_request() -> None:
    with simulate(LLMCascade(WIRES, timeout=0.7), Hang(), Reply("here")) as simulation:
        response = await simulation.cascade.get_response("Hello")
    assert (response.content, response.provider, response.latency) == ("here", "anthropic", 0.7)
    assert [len(provider.requests) for provider in simulation.providers] == [1, 1, 0]
    timed_out = response.attempts[0]
    assert isinstance(timed_out.error, ProviderTimeoutError)
    assert isinstance(timed_out.error, TimeoutError)
    assert str(timed_out.error) == "openai/gpt-4.1: no answer within its timeout of 0.7 s"
    assert (timed_out.error.provider, timed_out.error.model) == WIRES[0]
    assert timed_out.seconds == 0.7


async def test_time_limits_hold_by_the_machines_own_clock(serve: Serve) -> None:
    hung, well = serve(Hang()), serve(Reply("here"))
    cascade = LLMCascade([hung.target(timeout=SLOW), well.target()])
    response = await cascade.get_response("Hello")
    assert (response.content, type(response.attempts[0].error)) == ("here", ProviderTimeoutError)
    assert response.latency >= response.attempts[0].seconds >= SLOW
    with pytest.raises(DeadlineExceededError):
        await LLMCascade([hung.target()]).get_response("Hello", deadline=SLOW)


@pytest.mark.parametrize("wire", WIRES)
async def test_a_silent_provider_is_asked_again_only_if_no_other_target_is_left(
    wire: tuple[str, str],
) -> None:
    with (
        simulate(LLMCascade([wire]), Hang()) as simulation,
        pytest.raises(ProviderTimeoutError) as caught,
    ):
        await simulation.cascade.get_response("Hello")
    assert len(simulation.providers[0].requests) == 3
    assert [attempt.seconds for attempt in caught.value.attempts] == pytest.approx([120.0] * 3)


async def test_a_calls_timeout_beats_the_targets_which_beats_the_cascades() -> None:
    two = [Target("openai", "gpt-4.1", timeout=7), Target("openai", "gpt-4o")]
    with simulate(LLMCascade(two, timeout=9), Hang(), Hang()) as simulation:
        with pytest.raises(ProviderTimeoutError) as by_configuration:
            await simulation.cascade.get_response("Hello")
        with pytest.raises(ProviderTimeoutError) as by_call:
            await simulation.cascade.get_response("Hello", timeout=3)
    assert [a.seconds for a in by_configuration.value.attempts] == pytest.approx([7, 9, 9, 9])
    assert [a.seconds for a in by_call.value.attempts] == pytest.approx([3, 3, 3, 3])


async def test_no_timeout_is_no_limit(serve: Serve) -> None:
    cascade = LLMCascade([serve().target()], timeout=None)
    assert (await cascade.get_response("Hello")).content
    assert (await cascade.get_response("Hello", timeout=None, deadline=None)).content


async def test_a_deadline_ends_the_call_at_any_target() -> None:
    with simulate(
        LLMCascade(WIRES, timeout=0.7, deadline=1.2), Hang(), Hang(), Hang()
    ) as simulation:
        with pytest.raises(DeadlineExceededError) as caught:
            await simulation.cascade.get_response("Hello")
    error = caught.value
    assert isinstance(error, TimeoutError)
    assert simulation.clock.now() == pytest.approx(1.2)
    assert [len(provider.requests) for provider in simulation.providers] == [1, 1, 0]
    assert [type(attempt.error) for attempt in error.attempts] == [
        ProviderTimeoutError,
        DeadlineExceededError,
    ]
    assert [attempt.seconds for attempt in error.attempts] == pytest.approx([0.7, 0.5])
    assert (
        str(error) == "the deadline of 1.2 s is spent; anthropic/claude-sonnet-4-5 was being asked"
    )
    assert (error.provider, error.model) == WIRES[1]


async def test_a_deadline_always_ends_the_call_whatever_failover_on_says() -> None:
    cascade = LLMCascade(WIRES, deadline=5, failover_on=lambda _: True)
    with simulate(cascade, Hang()) as simulation, pytest.raises(DeadlineExceededError):
        await simulation.cascade.get_response("Hello")
    assert [len(provider.requests) for provider in simulation.providers] == [1, 0, 0]


async def test_a_calls_deadline_beats_the_cascades() -> None:
    with simulate(LLMCascade(WIRES, deadline=99), Hang()) as simulation:
        with pytest.raises(
            DeadlineExceededError,
            match=r"^the deadline of 5 s is spent; openai/gpt-4.1 was being asked\n",
        ):
            await simulation.cascade.get_response("Hello", deadline=5)


@pytest.mark.usefixtures("no_jitter")
async def test_a_wait_that_would_outlast_the_deadline_is_not_begun() -> None:
    with simulate(THREE, Status(503), Status(503), Status(503)) as simulation:
        with pytest.raises(ProviderUnavailableError) as caught:
            await simulation.cascade.get_response("Hello", deadline=1.2)
    assert simulation.clock.slept == [0.5, 0.5]  # and then 1.0 would be too long, and then 0.5
    assert [(a.provider, a.number) for a in caught.value.attempts] == [
        ("openai", 1), ("openai", 2), ("anthropic", 1), ("anthropic", 2), ("gemini", 1),
    ]  # fmt: skip


@pytest.mark.usefixtures("no_jitter")
async def test_a_wait_that_would_leave_no_time_is_not_begun() -> None:
    with simulate(ALONE, Status(503)) as simulation, pytest.raises(ProviderUnavailableError):
        await simulation.cascade.get_response("Hello", deadline=0.5)
    assert simulation.clock.slept == []


@pytest.mark.parametrize("spent", [4, 5])
async def test_no_target_is_asked_once_the_deadline_has_passed(spent: float) -> None:
    clock: list[ManualClock] = []
    slow_metrics = LLMCascade(WIRES, on_attempt=lambda _: clock[0].advance(spent))
    with simulate(slow_metrics, Status(401)) as simulation:
        clock.append(simulation.clock)
        with pytest.raises(DeadlineExceededError) as caught:
            await simulation.cascade.get_response("Hello", deadline=4)
    assert [len(provider.requests) for provider in simulation.providers] == [1, 0, 0]
    assert len(caught.value.attempts) == 1
    expected = "the deadline of 4 s is spent; anthropic/claude-sonnet-4-5 would have been next"
    assert (str(caught.value), caught.value.provider, caught.value.model) == (expected, *WIRES[1])


async def test_the_machines_own_clock_sleeps_as_long_as_it_is_told(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    loop, asked = asyncio.get_running_loop(), []
    call_later = loop.call_later

    def at_once(delay: float, *rest: Any) -> asyncio.TimerHandle:
        asked.append(delay)
        return call_later(0, *rest)

    monkeypatch.setattr(loop, "call_later", at_once)
    await SystemClock().sleep(5)
    assert asked == [5]


async def test_cancellation_ends_the_call_and_asks_no_other_target(serve: Serve) -> None:
    hung, well = serve(Hang()), serve()
    seen: list[Attempt] = []
    cascade = LLMCascade([hung.target(), well.target()], on_attempt=seen.append)
    call = asyncio.ensure_future(cascade.get_response("Hello"))
    await until(lambda: hung.requests)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    assert [attempt.outcome for attempt in seen] == ["cancelled"]
    assert well.requests == []


async def test_litellm_is_handed_the_configured_timeout_never_the_remainder(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    handed: list[Any] = []

    async def patched(**sent: Any) -> Any:
        handed.append(sent["timeout"])
        return litellm.ModelResponse(choices=[{"message": {"role": "assistant", "content": "x"}}])

    monkeypatch.setattr(litellm, "acompletion", patched)
    cascade = LLMCascade(["openai/gpt-4.1"], timeout=30, deadline=10)
    await cascade.get_response("Hello")
    await cascade.get_response("Hello", timeout=20)
    await LLMCascade(["openai/gpt-4.1"], timeout=None).get_response("Hello")
    await cascade.get_response("Hello", timeout=None)
    assert handed == [30.0, 20.0, 86_400.0, 86_400.0]


async def test_a_spent_quota_is_not_retried_even_with_a_retry_after() -> None:
    spent = Status(429, error_code="insufficient_quota", retry_after=1)
    with simulate(ALONE, spent) as simulation, pytest.raises(QuotaExceededError):
        await simulation.cascade.get_response("Hello")
    assert len(simulation.providers[0].requests) == 1


@pytest.mark.usefixtures("no_jitter")
@pytest.mark.parametrize(
    "headers",
    [
        {"retry-after-ms": "-2000"},
        {"retry-after-ms": "nan"},
        {"retry-after": "inf"},
    ],
    ids=str,
)
async def test_a_retry_after_that_is_no_time_is_none(headers: dict[str, str]) -> None:
    with simulate(ALONE, [Status(429, headers=headers), Reply("well")]) as simulation:
        response = await simulation.cascade.get_response("Hello")
    assert simulation.clock.slept == [0.5]
    error = response.attempts[0].error
    assert isinstance(error, RateLimitError)
    assert error.retry_after is None


async def test_a_retry_after_in_milliseconds_beats_one_in_seconds() -> None:
    headers = {"retry-after-ms": "1500", "retry-after": "2"}
    with simulate(ALONE, [Status(429, headers=headers), Reply("well")]) as simulation:
        await simulation.cascade.get_response("Hello")
    assert simulation.clock.slept == [1.5]


@pytest.mark.parametrize("wrong", [0, -1, math.inf, math.nan, "10", True, object])
async def test_a_limit_that_is_no_positive_number_of_seconds_is_refused(wrong: Any) -> None:
    for name in ("timeout", "deadline"):
        with pytest.raises(
            ConfigurationError, match=f"{name} must be a positive number of seconds"
        ):
            LLMCascade(WIRES[:1], **{name: wrong})
        with pytest.raises(BadRequestError, match=f"{name} must be a positive number of seconds"):
            await ALONE.get_response("Hello", mock_response="never asked", **{name: wrong})


@pytest.mark.parametrize(
    ("field", "wrong"),
    [("attempts", 0), ("attempts", 1.5), ("base", -1), ("factor", 0.5), ("max_wait", math.inf)],
)
def test_a_policy_that_makes_no_sense_is_refused(field: str, wrong: Any) -> None:
    with pytest.raises(ConfigurationError, match=f"RetryPolicy: {field}: .*, not {wrong!r}"):
        RetryPolicy(**{field: wrong})
    with pytest.raises(ConfigurationError, match=f"RetryPolicy: {field}: Input should be a valid"):
        RetryPolicy(**{field: "3"})  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]


def test_a_policy_has_no_unknown_settings() -> None:
    with pytest.raises(
        ConfigurationError,
        match="RetryPolicy: there is no 'max_atempts'; expected attempts, base, factor",
    ):
        RetryPolicy(max_atempts=3)  # type: ignore[call-arg] # pyright: ignore[reportCallIssue]


def test_a_policys_settings_have_names() -> None:
    with pytest.raises(
        ConfigurationError, match="RetryPolicy takes its settings by name: attempts, base"
    ):
        RetryPolicy(3)  # type: ignore[call-arg] # pyright: ignore[reportCallIssue]


def test_retry_must_be_a_policy() -> None:
    with pytest.raises(
        ConfigurationError,
        match=r"^retry must be a RetryPolicy, such as RetryPolicy\(attempts=2\), not ",
    ):
        LLMCascade(WIRES[:1], retry=3)  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]
