"""The types that mypy and pyright infer. Both read this file, and it runs as well.

The lines that they must refuse are in ``typing_must_fail.py``.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Sequence
from datetime import date
from pathlib import Path
from typing import Any, Literal, assert_type

import pytest
from pydantic import BaseModel, SecretStr

import majordomo_cascade
from majordomo_cascade import (
    Attempt,
    BatchItem,
    CheckReport,
    CheckRow,
    CircuitBreaker,
    ConfigurationError,
    DrillReport,
    DrillRow,
    LLMCascade,
    LLMJSONResponse,
    LLMResponse,
    LLMStreamResponse,
    LLMStructuredResponse,
    MajordomoError,
    ProviderError,
    RateLimitError,
    ResponseError,
    ResponseParsingError,
    ResponseRejectedError,
    ResponseTruncatedError,
    ResponseValidationError,
    RetryPolicy,
    StreamInterruptedError,
    StreamRestarted,
    Target,
    TargetHealth,
    TextDelta,
    ToolCallDelta,
    Usage,
    errors,
    testing,
)
from majordomo_cascade.batch import Batch
from majordomo_cascade.sync import SyncStream
from majordomo_cascade.testing import (
    Behaviour,
    BrokenStream,
    CutBody,
    Exchange,
    FakeProvider,
    Garbage,
    Hang,
    ManualClock,
    Reply,
    Request,
    Reset,
    Simulation,
    Status,
    simulate,
)


class City(BaseModel):
    name: str


async def test_types() -> None:
    cascade = LLMCascade(
        [("openai", "gpt-4.1"), "gemini/gemini-2.5-flash", Target("anthropic", "claude-sonnet-4-5")]
    )
    text = await cascade.get_response("Hello", mock_response="x")
    assert_type(text, LLMResponse)  # without an argument, it is that of text
    assert_type(text, LLMResponse[str])
    assert_type(text.content, str)
    assert_type(text.usage, Usage)
    assert_type(text.cost, float | None)
    assert_type(text.attempts, tuple[Attempt, ...])
    anything = await cascade.get_json_response("Hello", mock_response="{}")
    assert_type(anything, LLMJSONResponse)
    assert_type(anything.content, dict[str, Any] | list[Any])
    city = await cascade.get_structured_json_response(
        City, "Hello", mock_response='{"name": "Rome"}'
    )
    assert_type(city, LLMStructuredResponse[City])
    assert_type(city.content, City)
    assert_type(city, LLMResponse[City])
    by_keyword = await cascade.get_structured_json_response(
        response_model=City,
        messages=[{"role": "user", "content": "Hello"}],
        validation_retries=1,
        mock_response='{"name": "Rome"}',
    )
    assert_type(by_keyword.content, City)
    cities = await cascade.get_structured_json_response(list[City], "Hello", mock_response="[]")
    assert_type(cities.content, list[City])
    union = await cascade.get_structured_json_response(
        City | int, "Hello", mock_response='{"value": 5}'
    )
    assert_type(union.content, City | int)
    assert_type(cascade.health, tuple[TargetHealth, ...])
    assert_type(cascade.health[0].structured_output, Literal["json_schema", "json_mode", "prompt"])


async def test_types_of_reports() -> None:
    cascade = LLMCascade(["openai/gpt-4.1"], mock_response='{"city": "a", "country": "b"}')
    report = await cascade.check()
    assert_type(report, CheckReport)
    assert_type(report.rows, tuple[CheckRow, ...])
    assert_type(report.rows[0].key, Literal["found", "missing", "unknown"])
    assert_type(report.rows[0].retires, date | None)
    rows: list[DrillRow] = []
    drill = await cascade.drill(deadline=9, on_row=rows.append)
    assert_type(drill, DrillReport)
    assert_type(drill.rows, tuple[DrillRow, ...])
    assert_type(drill.rows[0].way, Literal["text", "json", "stream"])
    assert_type(drill.rows[0].error, Exception | None)


async def test_types_of_streams() -> None:
    cascade = LLMCascade(["openai/gpt-4.1"], mock_response="x")
    stream = await cascade.get_response_stream("Hello")
    assert_type(stream, LLMStreamResponse)
    async for text in stream:
        assert_type(text, str)
    assert_type(stream.usage, Usage | None)
    assert_type(stream.cost, float | None)
    async for event in (await cascade.get_response_stream("Hello")).events():
        assert_type(event, TextDelta | ToolCallDelta | StreamRestarted)
    async with await cascade.get_response_stream("Hello") as stream:
        assert_type(await stream.collect(), LLMResponse)


async def test_types_of_batches() -> None:
    cascade = LLMCascade(["openai/gpt-4.1"])
    texts = cascade.batch(["Hello"], concurrency=5, progress=False, mock_response="x")
    assert_type(texts, Batch[str])
    async for item in texts:
        assert_type(item, BatchItem)  # without an argument, it is that of text
        assert_type(item, BatchItem[str])
        assert_type(item.index, int)
        assert_type(item.response, LLMResponse[str] | None)
        assert_type(item.error, Exception | None)
    messages = [[{"role": "user", "content": "Hello"}]]
    mock = '{"name": "Rome"}'
    async for city in cascade.batch(messages, response_model=City, deadline=9, mock_response=mock):
        assert_type(city, BatchItem[City])
    unions = cascade.batch(["Hello"], response_model=City | int, mock_response='{"value": 5}')
    assert_type(unions, Batch[City | int])

    async def prompts() -> AsyncIterator[str]:
        yield "Hello"

    lists = cascade.batch(prompts(), response_model=list[City], mock_response='{"value": []}')
    assert_type(lists, Batch[list[City]])
    assert_type(await lists.aclose(), None)


def test_types_of_blocking_batches() -> None:
    cascade = LLMCascade(["openai/gpt-4.1"])
    for item in cascade.sync.batch(["Hello"], system_prompt="Be brief.", mock_response="x"):
        assert_type(item, BatchItem[str])
    for city in cascade.sync.batch(["Hello"], response_model=City, mock_response="{}"):
        assert_type(city, BatchItem[City])
    unions = cascade.sync.batch(["Hello"], response_model=City | int, mock_response="{}")
    for union in unions:
        assert_type(union, BatchItem[City | int])
    assert_type(unions.close(), None)


async def test_types_of_responses() -> None:
    response = await LLMCascade(["openai/gpt-4.1"]).get_response("Hello", mock_response="x")
    assert_type(response.provider, str)
    assert_type(response.model, str)
    assert_type(response.total_cost, float | None)
    assert_type(response.latency, float)
    assert_type(response.finish_reason, str | None)
    assert_type(response.failed_over, bool)
    assert_type(response.tool_calls, tuple[Any, ...])
    assert_type(response.usage.input_tokens, int)
    (attempt,) = response.attempts
    assert_type(attempt.provider, str)
    assert_type(attempt.number, int)
    assert_type(attempt.outcome, Literal["ok", "failed", "rejected", "cancelled"])
    assert_type(attempt.error, Exception | None)
    assert_type(attempt.started, float)
    assert_type(attempt.seconds, float)
    assert_type(attempt.waited, float)
    assert_type(attempt.usage, Usage | None)
    assert_type(attempt.cost, float | None)


async def test_types_of_the_drop_in() -> None:
    answer = await LLMCascade(["openai/gpt-4.1"]).acompletion(
        [{"role": "user", "content": "x"}], mock_response="x"
    )
    assert_type(answer, Any)  # LiteLLM's own


def test_types_of_the_blocking_side() -> None:
    cascade = LLMCascade(["openai/gpt-4.1"])
    text = cascade.sync.get_response("Hello", "Be brief.", max_tokens=9, mock_response="x")
    assert_type(text, LLMResponse[str])
    anything = cascade.sync.get_json_response("Hello", mock_response="{}")
    assert_type(anything.content, dict[str, Any] | list[Any])
    city = cascade.sync.get_structured_json_response(
        City, "Hello", mock_response='{"name": "Rome"}'
    )
    assert_type(city, LLMStructuredResponse[City])
    by_keyword = cascade.sync.get_structured_json_response(
        response_model=list[City], user_prompt="Hello", timeout=9, mock_response="[]"
    )
    assert_type(by_keyword.content, list[City])
    union = cascade.sync.get_structured_json_response(
        City | int, "Hello", mock_response='{"value": 5}'
    )
    assert_type(union.content, City | int)
    answer = cascade.sync.completion([{"role": "user", "content": "x"}], mock_response="x")
    assert_type(answer, Any)  # LiteLLM's own
    assert_type(cascade.sync.health, tuple[TargetHealth, ...])
    assert_type(cascade.sync.check(), CheckReport)
    assert_type(cascade.sync.drill(deadline=9), DrillReport)


def test_types_of_blocking_streams() -> None:
    cascade = LLMCascade(["openai/gpt-4.1"], mock_response="x")
    stream = cascade.sync.get_response_stream("Hello", deadline=9)
    assert_type(stream, SyncStream)
    for text in stream:
        assert_type(text, str)
    assert_type(stream.provider, str)
    assert_type(stream.failed_over, bool)
    assert_type(stream.attempts, tuple[Attempt, ...])
    assert_type(stream.usage, Usage | None)
    assert_type(stream.cost, float | None)
    assert_type(stream.finish_reason, str | None)
    for event in cascade.sync.get_response_stream("Hello").events():
        assert_type(event, TextDelta | ToolCallDelta | StreamRestarted)
    with cascade.sync.get_response_stream("Hello") as stream:
        assert_type(stream, SyncStream)
        assert_type(stream.collect(), LLMResponse)


def test_types_of_errors() -> None:
    problem = ProviderError(
        "down", provider="openai", model="gpt-4.1", status_code=503, retry_after=1.5, request_id="r"
    )
    assert_type(problem.attempts, tuple[Attempt, ...])
    assert_type(problem.provider, str)
    assert_type(problem.model, str)
    assert_type(problem.status_code, int | None)
    assert_type(problem.retry_after, float | None)
    assert_type(problem.request_id, str | None)
    assert_type(problem.original_error, BaseException | None)
    assert_type(StreamInterruptedError("cut", partial_content="Once").partial_content, str)
    assert_type(ResponseError("odd").provider, str)
    assert_type(ResponseParsingError("no JSON", raw_content="x").raw_content, str)
    assert_type(
        ResponseValidationError("no City", errors=[{"loc": ("name",)}]).errors, list[dict[str, Any]]
    )
    assert_type(ResponseTruncatedError("cut", partial_content="{").partial_content, str)
    assert_type(ResponseRejectedError("no").response, LLMResponse[Any] | None)
    handled: ValueError = ConfigurationError("no")  # they can be caught as what they are to Python
    late: list[TimeoutError] = [
        errors.ProviderTimeoutError("late"),
        errors.DeadlineExceededError("late"),
    ]
    assert (str(handled), len(late)) == ("no", 2)


def is_busy(error: MajordomoError) -> bool:
    return isinstance(error, RateLimitError)


def is_long(response: LLMResponse[Any]) -> bool:
    return len(str(response.content)) > 10


def note(attempt: Attempt) -> str:
    """Take an attempt; the return value of a callback is not used."""
    return str(attempt)


def test_types_of_options(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    providers = ["openai/gpt-4.1"]
    assert_type(LLMCascade(providers, failover_on=ProviderError), LLMCascade)
    assert_type(
        LLMCascade(providers, failover_on=(ProviderError, ResponseParsingError)), LLMCascade
    )
    assert_type(LLMCascade(providers, failover_on=is_busy, on_attempt=note), LLMCascade)
    assert_type(
        LLMCascade(providers, failover_on=lambda error: bool(error.attempts), on_attempt=print),
        LLMCascade,
    )
    assert_type(
        LLMCascade(providers, timeout=None, deadline=9, hedge_after=1.5, breaker=None), LLMCascade
    )
    assert_type(LLMCascade(providers, accept=is_long), LLMCascade)
    assert_type(LLMCascade(providers, accept=lambda answer: answer.cost is not None), LLMCascade)
    assert_type(LLMCascade(providers).with_options(deadline=5, hedge_after=1), LLMCascade)
    monkeypatch.setenv("MAJORDOMO_PROVIDERS", "openai/gpt-4.1")
    (tmp_path / "settings").touch()
    assert_type(LLMCascade.from_env(None), LLMCascade)
    assert_type(LLMCascade.from_env(tmp_path / "settings", timeout=5), LLMCascade)
    policy = RetryPolicy(attempts=2, base=1, factor=2, max_wait=3, max_retry_after=4)
    breaker = CircuitBreaker(failures=2)
    assert_type(policy.attempts, int)
    assert_type(policy.max_wait, float)
    assert_type(breaker.failures, int)
    assert_type(breaker.cooldown, float)
    assert_type(breaker.max_cooldown, float)
    target = Target(
        "openai",
        "gpt-4.1",
        api_key="a-secret-key",
        params={"seed": 1},
        overrides={"top_p": None},
        structured_output="json_mode",
    )
    assert_type(target.provider, str)
    assert_type(target.api_key, SecretStr | None)
    assert_type(target.api_base, str | None)
    assert_type(target.timeout, float | None)
    assert_type(target.params, dict[str, Any])
    assert_type(target.overrides, dict[str, Any])
    cascade = LLMCascade([target], retry=policy, breaker=breaker)
    assert_type(cascade.targets, tuple[Target, ...])
    assert_type(cascade.health[0].state, Literal["closed", "open", "half_open"])
    assert_type(cascade.health[0].cooldown, float)


async def test_types_of_events() -> None:
    stream = await LLMCascade(["openai/gpt-4.1"], mock_response="x").get_response_stream("Hello")
    assert_type(stream.provider, str)
    assert_type(stream.attempts, tuple[Attempt, ...])
    assert_type(stream.finish_reason, str | None)
    events = stream.events()
    assert_type(events, AsyncIterator[TextDelta | ToolCallDelta | StreamRestarted])
    async for event in events:
        if isinstance(event, TextDelta):
            assert_type(event.text, str)
        elif isinstance(event, ToolCallDelta):
            assert_type(event.arguments, str)
        else:
            assert_type(event, StreamRestarted)
            assert_type(event.error, MajordomoError)
            assert_type(event.provider, str)
    await stream.aclose()


class Late:
    """A user's own behaviour."""

    async def perform(self, exchange: Exchange) -> None:
        assert_type(exchange.request, Request)
        assert_type(exchange.request.wire, str)
        assert_type(exchange.provider, FakeProvider)
        await exchange.send(200, b"{}")


async def test_types_for_testing() -> None:
    cascade = LLMCascade(["openai/gpt-4.1", "gemini/gemini-2.5-flash"])
    behaviours: list[Behaviour] = [
        Late(),
        Reply("x"),
        Status(503),
        Hang(),
        Reset(),
        CutBody(),
        Garbage(),
        BrokenStream("cut"),
    ]
    with simulate(cascade, behaviours[2:3], Reply("Hi")) as simulation:
        assert_type(simulation, Simulation)
        assert_type(simulation.cascade, LLMCascade)
        assert_type(simulation.providers, Sequence[FakeProvider])
        assert_type(simulation.clock, ManualClock)
        assert_type(simulation.clock.slept, list[float])
        assert_type((await simulation.cascade.get_response("Hello")).content, str)
        assert_type(simulation.providers[0].requests, list[Request])
    with FakeProvider(*behaviours[:1]) as provider:
        assert_type(provider, FakeProvider)
        assert_type(provider.url, str)
        assert_type(provider.target("openai", "gpt-4.1"), Target)
        with pytest.raises(ProviderError):
            await LLMCascade([provider.target()], retry=RetryPolicy(attempts=1)).get_response(
                "Hello"
            )


def test_every_public_name_is_used_here() -> None:
    """Except for errors that add nothing to their base."""
    text = Path(__file__).read_text()
    names = {*majordomo_cascade.__all__, *testing.__all__}
    for name in sorted(names):
        adds_nothing = "__init__" not in vars(getattr(errors, name, object))
        if not (name.endswith("Error") and adds_nothing):
            assert len(re.findall(rf"\b{name}\b", text)) >= 2, name


def test_each_line_that_must_fail_says_how_both_type_checkers_refuse_it() -> None:
    lines = (Path(__file__).parent / "typing_must_fail.py").read_text().splitlines()
    refused = [line for line in lines if "# type: ignore[" in line]
    assert len(refused) > 60
    assert all("# pyright: ignore[" in line for line in refused)
    assert not [line for line in lines if "# pyright: ignore[" in line and line not in refused]
