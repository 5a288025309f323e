"""Answers show themselves, and errors say it in one line."""

from __future__ import annotations

import dataclasses
import json
import logging
from typing import Any, cast

import pytest
from pydantic import BaseModel, SecretStr

import majordomo_cascade
from majordomo_cascade import (
    Attempt,
    AuthenticationError,
    CircuitBreaker,
    LLMCascade,
    LLMResponse,
    ProviderError,
    RetryPolicy,
    Usage,
)
from majordomo_cascade.testing import Hang, Reply, Status, simulate

ONCE = RetryPolicy(attempts=1)
BOTH = ["openai/gpt-4.1", "anthropic/claude-sonnet-4-5"]


async def test_a_response_shows_its_content_and_who_served_and_the_cost() -> None:
    with simulate(LLMCascade(BOTH[:1]), Reply("Rome is\nthe capital.")) as simulation:
        response = await simulation.cascade.get_response("Hello")
    assert response.cost == pytest.approx(0.00006)
    assert repr(response) == str(response)
    assert repr(response) == (
        "<LLMResponse 'Rome is the capital.' from openai/gpt-4.1, 0.00 s, $0.00006>"
    )


def test_a_long_content_is_cut_and_a_key_in_it_is_blotted_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-1234567890")
    shown = repr(LLMResponse(content=f"It is sk-1234567890. {'x' * 1000}"))
    assert shown.startswith("<LLMResponse 'It is […]. xxx")
    assert len(shown) < 300


@pytest.mark.parametrize(
    ("cost", "shown"), [(None, "unknown cost"), (0.0, "$0"), (3e-7, "$0.0000003"), (12.5, "$12.5")]
)
def test_a_cost_is_shown_in_plain_digits(cost: float | None, shown: str) -> None:
    assert repr(LLMResponse(content="x", total_cost=cost)).endswith(f", {shown}>")


def test_a_response_is_built_from_a_content_alone() -> None:
    response = LLMResponse(content="x")
    assert (response.content, response.usage, response.attempts) == ("x", Usage(), ())
    assert (response.failed_over, response.cost, response.tool_calls) == (False, None, ())
    assert Attempt("openai", "gpt-4.1").outcome == "ok"


class City(BaseModel):
    name: str
    key: SecretStr = SecretStr("sk-1234567890")


@dataclasses.dataclass
class Point:
    x: int


async def test_a_response_becomes_a_dict_that_json_takes() -> None:
    call = Reply("", tool_calls=[("get_weather", {"city": "Rome"})])
    with simulate(LLMCascade(BOTH, retry=ONCE), Status(503, "Busy"), call) as simulation:
        response = await simulation.cascade.get_response("Hello")
    told = json.loads(json.dumps(response.to_dict()))
    assert told.keys() == {each.name for each in dataclasses.fields(response)} - {"raw"}
    assert (told["content"], told["target"], told["failed_over"]) == ("", BOTH[1], True)
    assert told["usage"]["total_tokens"] == 15
    assert told["tool_calls"][0]["function"]["name"] == "get_weather"
    assert [attempt["outcome"] for attempt in told["attempts"]] == ["failed", "ok"]
    assert told["attempts"][0]["error"] == {
        "type": "ProviderUnavailableError",
        "message": f"{BOTH[0]}: HTTP 503 loopback_error: Busy",
    }
    assert told["attempts"][1]["error"] is None


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("x", "x"),
        ({"a": [1]}, {"a": [1]}),
        (City(name="Rome"), {"name": "Rome", "key": "**********"}),
        ([Point(1)], [{"x": 1}]),
        ({"Rome"}, ["Rome"]),
    ],
)
def test_every_kind_of_content_becomes_json(content: object, told: object) -> None:
    assert json.loads(json.dumps(LLMResponse(content=content).to_dict()))["content"] == told


async def test_an_error_says_in_one_line_that_all_failed_and_why(
    caplog: pytest.LogCaptureFixture,
) -> None:
    cascade = LLMCascade(BOTH, retry=RetryPolicy(attempts=2), timeout=5)
    with simulate(cascade, Status(503, "Busy"), Hang()) as simulation:
        with pytest.raises(ProviderError) as caught:
            await simulation.cascade.get_response("Hello")
    said = (
        f"all 2 targets failed: {BOTH[0]}: HTTP 503 loopback_error: Busy; "
        f"{BOTH[1]}: no answer within its timeout of 5 s"
    )
    assert str(caught.value) == said
    assert caught.value.message == f"{BOTH[1]}: no answer within its timeout of 5 s"
    logging.getLogger("application").error("%s", caught.value)
    assert caplog.messages[-1] == said


async def test_a_hedged_cascade_says_so_as_well() -> None:
    with simulate(LLMCascade(BOTH, retry=ONCE, hedge_after=1), Status(503), Status(401)) as one:
        with pytest.raises(
            ProviderError, match=r"^all 2 targets failed: openai/gpt-4\.1: HTTP 503"
        ):
            await one.cascade.get_response("Hello")


async def test_one_target_or_a_mistake_is_told_as_it_is() -> None:
    with simulate(LLMCascade(BOTH[:1], retry=ONCE), Status(503, "Busy")) as simulation:
        with pytest.raises(ProviderError) as caught:
            await simulation.cascade.get_response("Hello")
    assert str(caught.value) == f"{BOTH[0]}: HTTP 503 loopback_error: Busy"
    with simulate(LLMCascade(BOTH, retry=ONCE), Status(503), Status(400, "No.")) as simulation:
        with pytest.raises(majordomo_cascade.BadRequestError) as wrong:
            await simulation.cascade.get_response("Hello")
    assert str(wrong.value) == f"{BOTH[1]}: HTTP 400 loopback_error: No."


def test_the_version_is_the_installed_one() -> None:
    from importlib.metadata import version

    assert majordomo_cascade.__version__ == version("majordomo_cascade")


async def test_an_error_and_the_health_show_themselves_in_a_notebook() -> None:
    breaker = CircuitBreaker(failures=1, cooldown=10)
    cascade = LLMCascade(BOTH, retry=ONCE, breaker=breaker)
    with simulate(cascade, Status(503, "<b>busy</b>"), Status(401)) as simulation:
        with pytest.raises(AuthenticationError) as caught:
            await simulation.cascade.get_response("Hello")
        health = simulation.cascade.health
    shown = caught.value._repr_html_()
    assert "AuthenticationError: all 2 targets failed" in shown
    for text in ("openai/gpt-4.1", "503 ProviderUnavailableError", "401 AuthenticationError"):
        assert f">{text}</td>" in shown
    assert "<b>" not in shown
    shown = cast("Any", health)._repr_html_()
    for text in ("openai/gpt-4.1", "open", "10.0", "json_schema"):
        assert f">{text}</td>" in shown
    line = str(health).splitlines()[1]
    assert line.split() == ["openai/gpt-4.1", "open", "1", "10.0", "json_schema"]


def test_an_error_without_attempts_shows_its_message() -> None:
    shown = ProviderError("a < b")._repr_html_()
    assert "ProviderError: a &lt; b" in shown
    assert "<tbody></tbody>" in shown
