"""Who is asked, in which order, how often, and what the caller is told."""

from __future__ import annotations

import logging
import traceback
from typing import Any

import pytest
from conftest import WIRES, Serve

from majordomo_cascade import (
    Attempt,
    AuthenticationError,
    InvalidRequestError,
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
from majordomo_cascade.testing import Garbage, Reply, Status, rehearse

THREE = LLMCascade(WIRES)
ONCE = RetryPolicy(attempts=1)


async def test_the_first_target_that_can_answer_does() -> None:
    with rehearse(THREE) as rehearsal:
        response = await rehearsal.cascade.get_response("Hello")
    assert (response.provider, response.model, response.failed_over) == ("openai", "gpt-4.1", False)
    assert [len(provider.requests) for provider in rehearsal.providers] == [1, 0, 0]


async def test_a_failing_provider_is_retried_then_left() -> None:
    with rehearse(THREE, Status(503), Status(429)) as rehearsal:
        response = await rehearsal.cascade.get_response("Hello")
    assert (response.provider, response.failed_over) == ("gemini", True)
    assert [len(provider.requests) for provider in rehearsal.providers] == [3, 3, 1]
    tried = [(a.provider, a.number, a.outcome, type(a.error).__name__) for a in response.attempts]
    assert tried == [
        *(("openai", n, "failed", "ProviderUnavailableError") for n in (1, 2, 3)),
        *(("anthropic", n, "failed", "RateLimitError") for n in (1, 2, 3)),
        ("gemini", 1, "ok", "NoneType"),
    ]


async def test_a_provider_that_recovers_between_retries_serves() -> None:
    with rehearse(THREE, [Status(500), Status(529), Reply("back")]) as rehearsal:
        response = await rehearsal.cascade.get_response("Hello")
    assert (response.content, response.provider, response.failed_over) == ("back", "openai", False)
    assert [attempt.number for attempt in response.attempts] == [1, 2, 3]


@pytest.mark.parametrize("status", [401, 402, 403, 404, 410, 413])
async def test_what_waiting_can_not_mend_moves_on_at_once(status: int) -> None:
    with rehearse(THREE, Status(status)) as rehearsal:
        response = await rehearsal.cascade.get_response("Hello")
    assert [len(provider.requests) for provider in rehearsal.providers] == [1, 1, 0]
    assert rehearsal.clock.slept == []
    assert response.provider == "anthropic"


@pytest.mark.parametrize("status", [400, 422])
async def test_a_request_that_is_at_fault_is_raised_at_once(status: int) -> None:
    with rehearse(THREE, Status(status)) as rehearsal, pytest.raises(InvalidRequestError) as caught:
        await rehearsal.cascade.get_response("Hello")
    assert [len(provider.requests) for provider in rehearsal.providers] == [1, 0, 0]
    assert [attempt.outcome for attempt in caught.value.attempts] == ["failed"]


async def test_the_last_error_is_raised_with_every_attempt() -> None:
    with rehearse(THREE, Status(500), Status(401), Status(429)) as rehearsal:
        with pytest.raises(RateLimitError) as caught:
            await rehearsal.cascade.get_response("Hello")
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
    script = (Status(500, "down"), Status(401, "who?"), Status(529, "busy"))
    with rehearse(LLMCascade(WIRES, retry=ONCE), *script) as rehearsal:
        with pytest.raises(ProviderUnavailableError) as caught:
            await rehearsal.cascade.get_response("Hello")
    assert caught.value.__notes__ == [
        "openai/gpt-4.1 #1: 500 ProviderUnavailableError after 0.00 s: HTTP 500 loopback_error: down",
        "anthropic/claude-sonnet-4-5 #1: 401 AuthenticationError after 0.00 s: HTTP 401 loopback_error: who?",
        "gemini/gemini-2.5-flash #1: 529 ProviderUnavailableError after 0.00 s: HTTP 529 loopback_error: busy",
    ]
    told = "".join(traceback.format_exception(caught.value))
    assert all(note in told for note in caught.value.__notes__)
    assert type(caught.value.__cause__).__module__ == "litellm.exceptions"
    assert caught.value.original_error is caught.value.__cause__


async def test_failover_on_narrows_what_moves_on() -> None:
    cascade = LLMCascade(WIRES, retry=ONCE, failover_on=RateLimitError)
    with rehearse(cascade, Status(429), Status(500)) as rehearsal, pytest.raises(ProviderUnavailableError):
        await rehearsal.cascade.get_response("Hello")
    assert [len(provider.requests) for provider in rehearsal.providers] == [1, 1, 0]


async def test_failover_on_can_be_a_predicate() -> None:
    seen: list[MajordomoError] = []

    def only_anthropic(error: MajordomoError) -> bool:
        seen.append(error)
        return getattr(error, "provider", "") == "anthropic"

    cascade = LLMCascade([WIRES[1], WIRES[0], WIRES[2]], retry=ONCE, failover_on=only_anthropic)
    with rehearse(cascade, Status(500), Status(500)) as rehearsal, pytest.raises(ProviderUnavailableError):
        await rehearsal.cascade.get_response("Hello")
    assert [len(provider.requests) for provider in rehearsal.providers] == [1, 1, 0]
    assert [getattr(error, "provider", "") for error in seen] == ["anthropic", "openai"]


async def test_an_answer_that_fails_validation_is_raised_at_once_by_default() -> None:
    with rehearse(THREE, Reply("no JSON here")) as rehearsal, pytest.raises(ResponseParsingError) as caught:
        await rehearsal.cascade.get_json_response("Hello")
    assert [len(provider.requests) for provider in rehearsal.providers] == [1, 0, 0]
    assert [attempt.outcome for attempt in caught.value.attempts] == ["rejected"]


async def test_an_answer_that_fails_validation_can_move_on_and_is_paid_for() -> None:
    cascade = LLMCascade(WIRES, failover_on=(ProviderError, ResponseParsingError))
    with rehearse(cascade, Reply('{"value": "seven"}'), Reply('{"value": 7}')) as rehearsal:
        response = await rehearsal.cascade.get_structured_json_response(int, "How many?")
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


async def test_each_failover_is_one_warning_with_its_fields(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, logger="majordomo_cascade")
    with rehearse(THREE, Status(503), Status(429)) as rehearsal:
        await rehearsal.cascade.get_response("Hello")
    records = [record for record in caplog.records if record.name == "majordomo_cascade"]
    warnings = [record for record in records if record.levelno == logging.WARNING]
    assert [record.getMessage() for record in warnings] == [
        "openai/gpt-4.1 #3: 503 ProviderUnavailableError after 0.00 s; failing over to anthropic/claude-sonnet-4-5",
        "anthropic/claude-sonnet-4-5 #3: 429 RateLimitError after 0.00 s; failing over to gemini/gemini-2.5-flash",
    ]
    fields = ("provider", "model", "attempt", "error_type", "status_code", "next_provider", "next_model")
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
    with rehearse(LLMCascade(WIRES, retry=ONCE, on_attempt=seen.append), Status(500), Garbage()) as rehearsal:
        response = await rehearsal.cascade.get_response("Hello")
    assert tuple(seen) == response.attempts
    assert [attempt.outcome for attempt in seen] == ["failed", "failed", "ok"]


async def test_on_attempt_can_not_break_a_call(caplog: pytest.LogCaptureFixture) -> None:
    def broken(attempt: Attempt) -> None:
        raise RuntimeError("the metrics server is down")

    with rehearse(LLMCascade(WIRES, retry=ONCE, on_attempt=broken), Status(500)) as rehearsal:
        response = await rehearsal.cascade.get_response("Hello")
    assert response.provider == "anthropic"
    assert [record.getMessage() for record in caplog.records if record.levelno == logging.ERROR] == [
        "on_attempt raised; the call goes on"
    ] * 2


async def test_a_local_bug_is_raised_as_what_it_is_and_nobody_else_is_asked() -> None:
    seen: list[Attempt] = []
    with rehearse(LLMCascade(WIRES, on_attempt=seen.append)) as rehearsal:
        with pytest.raises(TypeError, match="not JSON serializable"):
            await rehearsal.cascade.get_response("Hello", stop=object())
    assert [len(provider.requests) for provider in rehearsal.providers] == [0, 0, 0]
    assert [(attempt.outcome, type(attempt.error)) for attempt in seen] == [("failed", TypeError)]


@pytest.mark.litellm_fact("num_retries=0 beats litellm.num_retries", topic="requests")
async def test_exactly_three_requests_also_where_the_host_has_set_retries(monkeypatch: pytest.MonkeyPatch) -> None:
    import litellm

    monkeypatch.setattr(litellm, "num_retries", 3)
    with rehearse(THREE, Status(500), Status(500), Status(500)) as rehearsal:
        with pytest.raises(ProviderUnavailableError):
            await rehearsal.cascade.get_response("Hello")
    assert [len(provider.requests) for provider in rehearsal.providers] == [3, 3, 3]


@pytest.mark.parametrize("wrong", [5, "RateLimitError", (RateLimitError, "x"), int("3")])
def test_a_failover_on_that_is_neither_types_nor_a_function_is_refused(wrong: Any) -> None:
    with pytest.raises(
        ValueError,
        match=r"^failover_on must be exception types such as \(ProviderError,\), or a function from an",
    ):
        LLMCascade([Target("openai", "gpt-4.1")], failover_on=wrong)
