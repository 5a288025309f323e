"""Errors and answers: what they hold, and how they show themselves."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from conftest import WIRES

from majordomo_cascade import (
    Attempt,
    ConfigurationError,
    LLMCascade,
    MajordomoError,
    ProviderError,
    RateLimitError,
    RetryPolicy,
    Target,
)
from majordomo_cascade.responses import Outcome
from majordomo_cascade.testing import Reply, Status, simulate


def kinds(root: type[MajordomoError]) -> Iterator[type[MajordomoError]]:
    """Yield a class and its subclasses."""
    yield root
    for kind in root.__subclasses__():
        yield from kinds(kind)


@pytest.mark.parametrize("kind", list(kinds(MajordomoError)))
def test_an_error_without_arguments_has_no_message(kind: type[MajordomoError]) -> None:
    error = kind()
    assert str(error) == ""
    assert error.attempts == ()
    assert not any(vars(error).values())


def attempt(error: Exception | None, outcome: Outcome = "failed") -> Attempt:
    return Attempt("openai", "gpt-4.1", 2, outcome, error, 0.0, 0.414, 0.0, None, None)


def test_an_attempt_is_told_in_one_line() -> None:
    assert (
        str(attempt(RateLimitError(status_code=429)))
        == "openai/gpt-4.1 #2: 429 RateLimitError after 0.41 s"
    )
    assert str(attempt(ProviderError())) == "openai/gpt-4.1 #2: ProviderError after 0.41 s"
    assert str(attempt(None, "ok")) == "openai/gpt-4.1 #2: ok after 0.41 s"


def test_one_error_names_all_problems_of_settings() -> None:
    with pytest.raises(ConfigurationError) as caught:
        Target("", "x", params={1: 2}, timeout=-1)  # type: ignore[dict-item] # pyright: ignore[reportArgumentType]
    assert str(caught.value) == (
        "Target: provider: String should have at least 1 character; "
        "timeout: Input should be greater than 0, not -1; "
        "params.1.[key]: Input should be a valid string, not 1"
    )


def test_a_setting_that_may_be_a_secret_is_not_quoted() -> None:
    with pytest.raises(ConfigurationError) as caught:
        RetryPolicy(attempts="sk-1234567890")  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]
    assert str(caught.value) == "RetryPolicy: attempts: Input should be a valid integer"


@pytest.mark.parametrize("wire", WIRES, ids=lambda wire: wire[0])
async def test_an_answer_of_tool_calls_has_them(wire: tuple[str, str]) -> None:
    reply = Reply(text=None, tool_calls=[("get_weather", {"city": "Rome"}), ("get_time", {})])
    function = {"name": "get_weather", "parameters": {"type": "object", "properties": {}}}
    with simulate(LLMCascade([wire]), reply) as simulation:
        response = await simulation.cascade.get_response(
            "How is the weather?", tools=[{"type": "function", "function": function}]
        )
    assert response.content == ""
    assert response.finish_reason == "tool_calls"
    assert isinstance(response.tool_calls, tuple)
    weather, time = response.tool_calls
    assert weather.function.name == "get_weather"
    assert json.loads(weather.function.arguments) == {"city": "Rome"}
    assert time.function.name == "get_time"
    assert [call.id for call in response.raw.choices[0].message.tool_calls] == [
        weather.id,
        time.id,
    ]


async def test_a_collected_stream_has_its_tool_calls_too() -> None:
    reply = Reply(text=None, tool_calls=[("get_weather", {"city": "Rome"})])
    with simulate(LLMCascade(WIRES[:1]), reply) as simulation:
        response = await (await simulation.cascade.get_response_stream("Hello")).collect()
    (weather,) = response.tool_calls
    assert json.loads(weather.function.arguments) == {"city": "Rome"}


async def test_an_answer_without_tool_calls_has_none() -> None:
    with simulate(LLMCascade(WIRES[:1])) as simulation:
        assert (await simulation.cascade.get_response("Hello")).tool_calls == ()
        stream = await simulation.cascade.get_response_stream("Hello")
        assert (await stream.collect()).tool_calls == ()


async def test_a_notebook_shows_the_answer_its_server_its_cost_and_the_trail() -> None:
    content = "<script>alert('1 & 2')</script>"
    cascade = LLMCascade(WIRES[:2], retry=RetryPolicy(attempts=1))
    with simulate(cascade, Status(503), Reply(content)) as simulation:
        response = await simulation.cascade.get_response("Hello")
    shown = response._repr_html_()
    assert "&lt;script&gt;alert(&#x27;1 &amp; 2&#x27;)&lt;/script&gt;" in shown
    assert "<script" not in shown
    assert "anthropic/claude-sonnet-4-5, 0.00 s" in shown
    assert response.total_cost is not None
    assert f"${response.total_cost:.6f}" in shown
    for attempt in response.attempts:
        assert f">{attempt.target}</td>" in shown
        assert f">{attempt.result}</td>" in shown


async def test_a_notebook_says_that_a_cost_is_unknown() -> None:
    with simulate(LLMCascade(["openai/a-model-of-tomorrow"])) as simulation:
        shown = (await simulation.cascade.get_response("Hello"))._repr_html_()
    assert "unknown" in shown
