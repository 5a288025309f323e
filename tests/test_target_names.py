"""Targets with names: two keys or regions of one model can be told apart."""

from __future__ import annotations

import logging

import pytest

from majordomo_cascade import ConfigurationError, LLMCascade, ProviderError, RetryPolicy, Target
from majordomo_cascade.testing import BrokenStream, Reply, Status, simulate

ONCE = RetryPolicy(attempts=1)
EU = Target("openai", "gpt-4.1", name="eu", api_base="https://eu.host.invalid/v1")
US = Target("openai", "gpt-4.1", name="us", api_base="https://us.host.invalid/v1")


async def test_the_trail_and_health_and_log_have_the_names(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO, "majordomo_cascade")
    with simulate(LLMCascade([EU, US], retry=ONCE), Status(503)) as simulation:
        response = await simulation.cascade.get_response("Hello")
        assert [health.target for health in simulation.cascade.health] == ["eu", "us"]
    assert (response.target, response.provider, response.model) == ("us", "openai", "gpt-4.1")
    assert [attempt.target for attempt in response.attempts] == ["eu", "us"]
    assert str(response.attempts[0]).startswith("eu #1: 503")
    assert str(response.attempts[0].error).startswith("eu: HTTP 503")
    [failover] = [each for each in caplog.records if "failing over to us" in each.getMessage()]
    fields = vars(failover)
    assert (fields["target"], fields["next_target"], fields["provider"]) == ("eu", "us", "openai")


@pytest.mark.parametrize(
    "behaviour", [Reply(""), Reply("no JSON"), Reply('{"a', "length"), Status(401)]
)
async def test_errors_begin_with_the_name(behaviour: Reply) -> None:
    with simulate(LLMCascade([EU], retry=ONCE), behaviour) as simulation:
        with pytest.raises(Exception, match=r"^(the answer of )?eu") as caught:
            await simulation.cascade.get_json_response("Hello")
    assert "openai/gpt-4.1" not in "\n".join(caught.value.__notes__)


async def test_a_broken_stream_begins_with_the_name() -> None:
    with simulate(LLMCascade([EU], retry=ONCE), BrokenStream("cut")) as simulation:
        stream = await simulation.cascade.get_response_stream("Hello")
        with pytest.raises(ProviderError, match=r"^eu: the stream broke off"):
            [text async for text in stream]


def test_without_a_name_it_is_the_providers_and_the_models() -> None:
    assert Target("openai", "gpt-4.1").name == "openai/gpt-4.1"
    assert LLMCascade(["openai/gpt-4.1"]).health[0].target == "openai/gpt-4.1"


def test_a_name_is_given_once_and_is_not_empty() -> None:
    with pytest.raises(ConfigurationError, match="two targets have the name 'eu'"):
        LLMCascade([EU, Target("gemini", "gemini-2.5-flash", name="eu")])
    with pytest.raises(ConfigurationError, match="name: "):
        Target("openai", "gpt-4.1", name=" ")


async def test_the_history_of_a_named_target_is_still_its_models(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG, "majordomo_cascade")
    cascade = LLMCascade([Target("anthropic", "claude-sonnet-4-5", name="claude")])
    with simulate(cascade, Reply("Rome.", reasoning="They ask for a city.")) as simulation:
        first = await simulation.cascade.get_response("Hello")
        messages = [{"role": "user", "content": "Hi"}, first.raw.choices[0].message]
        again = [*messages, {"role": "user", "content": "Why?"}]
        await simulation.cascade.get_response(messages=again)
        sent = simulation.providers[0].requests[1].json["messages"][1]["content"]
    assert [part["type"] for part in sent] == ["thinking", "text"]
