"""The order in which targets are asked, how often, and what the caller is told."""

from __future__ import annotations

import asyncio
import gc
import logging
import subprocess
import sys
import traceback
from functools import partial
from typing import Any

import litellm
import pytest
from conftest import WIRES, Serve

from majordomo_cascade import (
    Attempt,
    AuthenticationError,
    BadRequestError,
    ConfigurationError,
    LLMCascade,
    MajordomoError,
    ProviderError,
    ProviderUnavailableError,
    RateLimitError,
    ResponseParsingError,
    ResponseValidationError,
    RetryPolicy,
    Target,
)
from majordomo_cascade.testing import Garbage, Hang, Reply, Status, simulate

THREE = LLMCascade(WIRES)
ONCE = RetryPolicy(attempts=1)


async def test_the_first_target_that_can_answer_does() -> None:
    with simulate(THREE) as simulation:
        response = await simulation.cascade.get_response("Hello")
    assert (response.provider, response.model, response.failed_over) == ("openai", "gpt-4.1", False)
    assert [len(provider.requests) for provider in simulation.providers] == [1, 0, 0]


async def test_a_failing_provider_is_retried_then_left() -> None:
    with simulate(THREE, Status(503), Status(429)) as simulation:
        response = await simulation.cascade.get_response("Hello")
    assert (response.provider, response.failed_over) == ("gemini", True)
    assert [len(provider.requests) for provider in simulation.providers] == [3, 3, 1]
    tried = [(a.provider, a.number, a.outcome, type(a.error).__name__) for a in response.attempts]
    assert tried == [
        *(("openai", n, "failed", "ProviderUnavailableError") for n in (1, 2, 3)),
        *(("anthropic", n, "failed", "RateLimitError") for n in (1, 2, 3)),
        ("gemini", 1, "ok", "NoneType"),
    ]


async def test_a_provider_that_recovers_between_retries_serves() -> None:
    with simulate(THREE, [Status(500), Status(529), Reply("back")]) as simulation:
        response = await simulation.cascade.get_response("Hello")
    assert (response.content, response.provider, response.failed_over) == ("back", "openai", False)
    assert [attempt.number for attempt in response.attempts] == [1, 2, 3]


@pytest.mark.parametrize("status", [401, 402, 403, 404, 410, 413])
async def test_an_error_that_waiting_cannot_mend_moves_on_at_once(status: int) -> None:
    with simulate(THREE, Status(status)) as simulation:
        response = await simulation.cascade.get_response("Hello")
    assert [len(provider.requests) for provider in simulation.providers] == [1, 1, 0]
    assert simulation.clock.slept == []
    assert response.provider == "anthropic"


@pytest.mark.parametrize("status", [400, 422])
async def test_a_request_at_fault_is_raised_at_once(status: int) -> None:
    with simulate(THREE, Status(status)) as simulation, pytest.raises(BadRequestError) as caught:
        await simulation.cascade.get_response("Hello")
    assert [len(provider.requests) for provider in simulation.providers] == [1, 0, 0]
    assert [attempt.outcome for attempt in caught.value.attempts] == ["failed"]


async def test_the_last_error_is_raised_with_every_attempt() -> None:
    with simulate(THREE, Status(500), Status(401), Status(429)) as simulation:
        with pytest.raises(RateLimitError) as caught:
            await simulation.cascade.get_response("Hello")
    error = caught.value
    assert (error.provider, error.model, error.status_code) == ("gemini", "gemini-2.5-flash", 429)
    assert [(a.provider, a.number) for a in error.attempts] == [
        *(("openai", n) for n in (1, 2, 3)),
        ("anthropic", 1),
        *(("gemini", n) for n in (1, 2, 3)),
    ]
    assert error.attempts[-1].error is error
    assert isinstance(error.attempts[3].error, AuthenticationError)


async def test_an_ordinary_traceback_tells_the_whole_story() -> None:
    script = (
        Status(500, "down", "load"),
        Status(401, "who?", "key"),
        Status(529, "no", "busy"),
    )
    with simulate(LLMCascade(WIRES, retry=ONCE), *script) as simulation:
        with pytest.raises(ProviderUnavailableError) as caught:
            await simulation.cascade.get_response("Hello")
    assert caught.value.__notes__ == [
        "openai/gpt-4.1 #1: 500 ProviderUnavailableError after 0.00 s: HTTP 500 load: down",
        "anthropic/claude-sonnet-4-5 #1: 401 AuthenticationError after 0.00 s: HTTP 401 key: who?",
        "gemini/gemini-2.5-flash #1: 529 ProviderUnavailableError after 0.00 s: HTTP 529 busy: no",
    ]
    told = "".join(traceback.format_exception(caught.value))
    assert all(note in told for note in caught.value.__notes__)
    assert type(caught.value.__cause__).__module__ == "litellm.exceptions"
    assert caught.value.original_error is caught.value.__cause__


async def test_failover_on_narrows_the_errors_that_move_on() -> None:
    cascade = LLMCascade(WIRES, retry=ONCE, failover_on=RateLimitError)
    with (
        simulate(cascade, Status(429), Status(500)) as simulation,
        pytest.raises(ProviderUnavailableError),
    ):
        await simulation.cascade.get_response("Hello")
    assert [len(provider.requests) for provider in simulation.providers] == [1, 1, 0]


async def test_failover_on_can_be_a_function() -> None:
    seen: list[MajordomoError] = []

    def only_anthropic(error: MajordomoError) -> bool:
        seen.append(error)
        return getattr(error, "provider", "") == "anthropic"

    cascade = LLMCascade([WIRES[1], WIRES[0], WIRES[2]], retry=ONCE, failover_on=only_anthropic)
    with (
        simulate(cascade, Status(500), Status(500)) as simulation,
        pytest.raises(ProviderUnavailableError),
    ):
        await simulation.cascade.get_response("Hello")
    assert [len(provider.requests) for provider in simulation.providers] == [1, 1, 0]
    assert [getattr(error, "provider", "") for error in seen] == ["anthropic", "openai"]


async def test_an_answer_that_fails_validation_is_raised_at_once_by_default() -> None:
    with (
        simulate(THREE, Reply("no JSON here")) as simulation,
        pytest.raises(ResponseParsingError) as caught,
    ):
        await simulation.cascade.get_json_response("Hello")
    assert [len(provider.requests) for provider in simulation.providers] == [1, 0, 0]
    assert [attempt.outcome for attempt in caught.value.attempts] == ["rejected"]


async def test_an_answer_that_fails_validation_can_move_on_and_is_paid_for() -> None:
    cascade = LLMCascade(WIRES, failover_on=(ProviderError, ResponseParsingError))
    with simulate(cascade, Reply('{"value": "seven"}'), Reply('{"value": 7}')) as simulation:
        response = await simulation.cascade.get_structured_json_response(int, "How many?")
    assert (response.content, response.provider, response.failed_over) == (7, "anthropic", True)
    assert [attempt.outcome for attempt in response.attempts] == ["rejected", "ok"]
    rejected, served = response.attempts
    assert isinstance(rejected.error, ResponseValidationError)
    assert rejected.usage is not None
    assert rejected.usage.total_tokens == 15
    assert rejected.cost is not None
    assert served.cost is not None
    assert response.cost == served.cost
    assert response.total_cost == pytest.approx(rejected.cost + served.cost)


async def test_the_same_model_can_stand_twice(serve: Serve) -> None:
    down, up = serve(Status(500)), serve(Reply("second"))
    cascade = LLMCascade([down.target(), up.target()], retry=ONCE)
    response = await cascade.get_response("Hello")
    assert (response.content, response.failed_over) == ("second", True)


async def test_each_failover_is_one_warning_with_its_fields(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO, logger="majordomo_cascade")
    with simulate(THREE, Status(503), Status(429)) as simulation:
        await simulation.cascade.get_response("Hello")
    records = [record for record in caplog.records if record.name == "majordomo_cascade"]
    warnings = [record for record in records if record.levelno == logging.WARNING]
    openai, anthropic, gemini = ("/".join(wire) for wire in WIRES)
    assert [record.getMessage() for record in warnings] == [
        f"{openai} #3: 503 ProviderUnavailableError after 0.00 s; failing over to {anthropic}",
        f"{anthropic} #3: 429 RateLimitError after 0.00 s; failing over to {gemini}",
    ]
    fields = (
        "provider",
        "model",
        "attempt",
        "error_type",
        "status_code",
        "next_provider",
        "next_model",
    )
    assert [getattr(warnings[0], name) for name in fields] == [
        "openai", "gpt-4.1", 3, "ProviderUnavailableError", 503, "anthropic", "claude-sonnet-4-5",
    ]  # fmt: skip
    told = [record for record in records if record.levelno == logging.INFO]
    assert len(told) == 6  # every failed attempt
    assert told[0].getMessage() == "openai/gpt-4.1 #1: 503 ProviderUnavailableError after 0.00 s"
    fields = ("provider", "model", "attempt", "outcome", "error_type", "status_code", "seconds")
    assert [getattr(told[0], name) for name in fields] == [
        "openai", "gpt-4.1", 1, "failed", "ProviderUnavailableError", 503, 0.0,
    ]  # fmt: skip


async def test_on_attempt_sees_every_attempt_as_it_ends() -> None:
    seen: list[Attempt] = []
    with simulate(
        LLMCascade(WIRES, retry=ONCE, on_attempt=seen.append), Status(500), Garbage()
    ) as simulation:
        response = await simulation.cascade.get_response("Hello")
    assert tuple(seen) == response.attempts
    assert [attempt.outcome for attempt in seen] == ["failed", "failed", "ok"]


async def test_on_attempt_cannot_break_a_call(caplog: pytest.LogCaptureFixture) -> None:
    def broken(attempt: Attempt) -> None:
        raise RuntimeError("the metrics server is down")

    with simulate(LLMCascade(WIRES, retry=ONCE, on_attempt=broken), Status(500)) as simulation:
        response = await simulation.cascade.get_response("Hello")
    assert response.provider == "anthropic"
    assert [
        record.getMessage()
        for record in caplog.records
        if (record.name, record.levelno) == ("majordomo_cascade", logging.ERROR)
    ] == ["on_attempt raised; the call goes on"] * 2


async def test_a_local_bug_is_raised_as_it_is_and_no_other_target_is_asked() -> None:
    seen: list[Attempt] = []
    with simulate(LLMCascade(WIRES, on_attempt=seen.append)) as simulation:
        with pytest.raises(TypeError, match="not JSON serializable"):
            await simulation.cascade.get_response("Hello", stop=object())
    assert [len(provider.requests) for provider in simulation.providers] == [0, 0, 0]
    assert [(attempt.outcome, type(attempt.error)) for attempt in seen] == [("failed", TypeError)]


@pytest.mark.litellm_fact("num_retries=0 beats litellm.num_retries", topic="requests")
async def test_a_target_gets_three_requests_even_if_the_application_set_litellms_retries(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(litellm, "num_retries", 3)
    with simulate(THREE, Status(500), Status(500), Status(500)) as simulation:
        with pytest.raises(ProviderUnavailableError):
            await simulation.cascade.get_response("Hello")
    assert [len(provider.requests) for provider in simulation.providers] == [3, 3, 3]


async def test_failover_on_can_be_a_list_of_types() -> None:
    cascade = LLMCascade(WIRES, retry=ONCE, failover_on=[RateLimitError, AuthenticationError])
    with simulate(cascade, Status(429), Status(401)) as simulation:
        response = await simulation.cascade.get_response("Hello")
    assert response.provider == "gemini"


async def test_failover_on_takes_the_builtin_bases_of_our_errors() -> None:
    cascade = LLMCascade(WIRES, retry=ONCE, failover_on=TimeoutError)
    with simulate(cascade, Hang(), Status(500)) as simulation:
        with pytest.raises(ProviderUnavailableError):
            await simulation.cascade.get_response("Hello")
    assert [len(provider.requests) for provider in simulation.providers] == [1, 1, 0]


@pytest.mark.parametrize("kind", [KeyError, litellm.RateLimitError, asyncio.CancelledError])
def test_a_type_that_is_never_raised_here_is_refused_by_name(kind: type[BaseException]) -> None:
    for given in (kind, (ProviderError, kind), [kind]):
        with pytest.raises(ConfigurationError) as caught:
            LLMCascade(WIRES, failover_on=given)
        assert str(caught.value) == (
            f"failover_on has {kind.__name__}, which is never raised here; expected types of "
            "majordomo_cascade, such as RateLimitError"
        )


def test_failover_on_is_not_awaited() -> None:
    async def rule(error: MajordomoError) -> bool:
        return True

    class Rule:
        async def __call__(self, error: MajordomoError) -> bool:
            return True

    for wrong in (rule, Rule(), partial(rule)):
        given: Any = wrong
        with pytest.raises(ConfigurationError, match="failover_on must be a plain function that"):
            LLMCascade(WIRES, failover_on=given)


@pytest.mark.filterwarnings("error:coroutine .* was never awaited:RuntimeWarning")
@pytest.mark.filterwarnings("error::pytest.PytestUnraisableExceptionWarning")
async def test_a_failover_on_that_returns_a_coroutine_is_no_yes() -> None:
    async def ask_somebody() -> bool:
        return False

    given: Any = lambda _: ask_somebody()  # noqa: E731 - Any, as a type checker would refuse it
    with simulate(LLMCascade(WIRES, retry=ONCE, failover_on=given), Status(500)) as simulation:
        with pytest.raises(ConfigurationError) as caught:
            await simulation.cascade.get_response("Hello")
        gc.collect()  # a coroutine that was never awaited would warn now
    assert str(caught.value) == (
        "failover_on gave coroutine, which would have to be awaited; "
        "expected a plain function that returns True or False"
    )
    assert [len(provider.requests) for provider in simulation.providers] == [1, 0, 0]


#: Fails over once, in an application that has not configured logging.
UNCONFIGURED = """
import asyncio
from majordomo_cascade import LLMCascade
from majordomo_cascade.testing import Status, simulate

async def ask():
    with simulate(LLMCascade(["openai/gpt-4.1", "openai/gpt-4.1"]), Status(401)) as simulation:
        response = await simulation.cascade.get_response("Hello")
        assert response.failed_over
    import litellm
    await litellm.close_litellm_async_clients()

asyncio.run(ask())
"""


def test_a_failover_prints_nothing_without_logging() -> None:
    command = [sys.executable, "-c", UNCONFIGURED]
    done = subprocess.run(command, capture_output=True, check=False, text=True)
    assert (done.stdout, done.stderr, done.returncode) == ("", "", 0)


@pytest.mark.parametrize("wrong", [5, "RateLimitError", (RateLimitError, "x"), int("3")])
def test_a_failover_on_that_is_neither_types_nor_a_function_is_refused(wrong: Any) -> None:
    complaint = r"^failover_on must be exception types such as \(ProviderError,\), or a function "
    with pytest.raises(ValueError, match=complaint):
        LLMCascade([Target("openai", "gpt-4.1")], failover_on=wrong)
