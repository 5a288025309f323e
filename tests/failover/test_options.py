"""``with_options``, a target's ``overrides``, and how the levels of parameters are merged."""

from __future__ import annotations

import pickle
from typing import Any

import pytest
from conftest import WIRES, Serve

from majordomo_cascade import (
    Attempt,
    CircuitBreaker,
    ConfigurationError,
    DeadlineExceededError,
    LLMCascade,
    ProviderError,
    ProviderUnavailableError,
    RetryPolicy,
    Target,
)
from majordomo_cascade.testing import Hang, Reply, Status, simulate

ONCE = RetryPolicy(attempts=1)
NO_SCHEMA = Status(400, "response_format json_schema is not supported")


async def test_with_options_keeps_the_targets_and_the_other_options(serve: Serve) -> None:
    seen: list[Attempt] = []
    server = serve()
    cascade = LLMCascade(
        [server.target(params={"user": "target"})], on_attempt=seen.append, temperature=0.5
    )
    other = cascade.with_options(top_p=0.1, deadline=5)
    assert other.targets == cascade.targets
    await other.get_response("Hello")
    await cascade.get_response("Hello")
    changed, kept = (request.json for request in server.requests)
    assert (changed["temperature"], changed["top_p"], changed["user"]) == (0.5, 0.1, "target")
    assert "top_p" not in kept
    assert len(seen) == 2


async def test_with_options_changes_the_options_that_are_given() -> None:
    with simulate(LLMCascade(WIRES[:1]), Hang()) as simulation:
        for options in ({"deadline": 5}, {"deadline": 9, "timeout": 20, "retry": ONCE}):
            given: dict[str, Any] = options
            hurried = simulation.cascade.with_options(**given)
            with pytest.raises(DeadlineExceededError, match=f"{given['deadline']} s is spent"):
                await hurried.get_response("Hello")
        assert simulation.clock.now() == 14


@pytest.mark.usefixtures("no_jitter")
async def test_with_options_keeps_the_clock_of_a_simulation() -> None:
    with simulate(LLMCascade(WIRES[:1]), [Status(503), Status(503), Reply("back")]) as simulation:
        patient = simulation.cascade.with_options(retry=RetryPolicy(base=100, max_wait=1000))
        assert (await patient.get_response("Hello")).latency == 300
    assert simulation.clock.slept == [100, 200]


async def test_a_cascade_and_its_with_options_share_their_breakers() -> None:
    cascade = LLMCascade(WIRES[:2], retry=ONCE, breaker=CircuitBreaker(failures=2))
    with simulate(cascade, [*[Status(503)] * 2, Reply("back")]) as simulation:
        other = simulation.cascade.with_options(temperature=0.1)
        for each in (simulation.cascade, other):
            await each.get_response("Hello")
        assert [health.state for health in simulation.cascade.health] == ["open", "closed"]
        assert other.health == simulation.cascade.health
        assert (await other.get_response("Hello")).attempts[0].provider == "anthropic"
        simulation.clock.advance(10)
        assert (await other.get_response("Hello")).provider == "openai"
        assert simulation.cascade.health[0].state == "closed"
        assert other.with_options(deadline=9).health == simulation.cascade.health


@pytest.mark.parametrize("learns", ["the cascade", "its copy"])
async def test_a_cascade_and_its_with_options_share_the_memory_of_json_modes(learns: str) -> None:
    with simulate(LLMCascade(WIRES[:1]), [NO_SCHEMA, Reply("7")]) as simulation:
        other = simulation.cascade.with_options(temperature=0.1)
        cascades = [simulation.cascade, other]
        learner, knower = cascades if learns == "the cascade" else reversed(cascades)
        await learner.get_structured_json_response(int, "Hello")
        assert [each.health[0].structured_output for each in cascades] == ["json_mode"] * 2
        await knower.get_structured_json_response(int, "Hello")
    assert len(simulation.providers[0].requests) == 3


@pytest.mark.parametrize("name", ["providers", "breaker"])
def test_with_options_refuses_what_belongs_to_the_targets(name: str) -> None:
    options: dict[str, Any] = {name: None}
    with pytest.raises(ConfigurationError) as caught:
        LLMCascade(WIRES).with_options(**options)
    assert str(caught.value) == (
        f"{name} belongs to the targets, which with_options keeps: build another LLMCascade"
    )


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"deadline": -1}, "deadline must be a positive number of seconds"),
        ({"validation_retries": -1}, "validation_retries must be 0 or a positive whole number"),
        ({"failover_on": KeyError}, "failover_on has KeyError, which is never raised here"),
        ({"retry": 3}, "retry must be a RetryPolicy"),
        ({"model": "gpt-4.1"}, "'model' is not passed on to LiteLLM"),
        ({"api_key": "sk-1234567890"}, "one api_key can't be meant for anthropic, gemini, openai"),
    ],
)
def test_with_options_checks_as_the_cascade_does(options: dict[str, Any], complaint: str) -> None:
    with pytest.raises(ConfigurationError, match=f"^{complaint}"):
        LLMCascade(WIRES).with_options(**options)


async def test_a_cascade_with_other_options_pickles(serve: Serve) -> None:
    server = serve()
    cascade = LLMCascade([server.target()]).with_options(temperature=0.25)
    await pickle.loads(pickle.dumps(cascade)).get_response("Hello")
    assert server.requests[0].json["temperature"] == 0.25


async def test_overrides_beat_the_cascades_the_targets_and_the_calls_parameters(
    serve: Serve,
) -> None:
    server = serve()
    overrides = {"seed": 4, "top_p": 0.4, "user": "overrides", "max_tokens": 16}
    target = server.target(params={"top_p": 0.2, "user": "target"}, overrides=overrides)
    cascade = LLMCascade([target], seed=1, presence_penalty=0.1)
    for ask in (cascade.get_response, cascade.get_response_stream, cascade.get_json_response):
        server.behaviours[:] = [Reply("{}")]
        await ask("Hello", user="call", max_tokens=32_000)
        sent = server.requests[-1].json
        assert {name: sent[name] for name in overrides} == overrides
        assert sent["presence_penalty"] == 0.1


async def test_none_in_overrides_takes_a_parameter_away(serve: Serve) -> None:
    server = serve()
    names = ("seed", "top_p", "user", "stop")
    target = server.target(params={"top_p": 0.2}, overrides=dict.fromkeys(names))
    cascade = LLMCascade([target], seed=1)
    for ask in (cascade.get_response, cascade.get_response_stream):
        await ask("Hello", user="call", temperature=0.3)
        sent = server.requests[-1].json
        assert not sent.keys() & set(names)
        assert sent["temperature"] == 0.3


async def test_overrides_are_for_their_target_alone() -> None:
    small = Target(*WIRES[1], overrides={"max_tokens": 16, "seed": None})
    with simulate(LLMCascade([WIRES[0], small]), Status(401)) as simulation:
        await simulation.cascade.get_response("Hello", max_tokens=32_000, seed=7)
    first, second = (provider.requests[0].json for provider in simulation.providers)
    assert (first["max_tokens"], first["seed"]) == (32_000, 7)
    assert second["max_tokens"] == 16
    assert "seed" not in second


@pytest.mark.parametrize(
    "overrides", [{"num_retries": None, "max_retries": None}, {"num_retries": 0}]
)
async def test_overrides_do_not_bring_litellms_retries_back(
    serve: Serve, overrides: dict[str, Any]
) -> None:
    server = serve(Status(503))
    cascade = LLMCascade([server.target(overrides=overrides)], retry=ONCE)
    with pytest.raises(ProviderError):
        await cascade.get_response("Hello")
    assert len(server.requests) == 1


def test_a_targets_overrides_are_not_shown() -> None:
    target = Target("openai", "gpt-4.1", overrides={"extra_headers": {"x-key": "secret-1"}})
    assert "secret-1" not in repr(target)


@pytest.mark.parametrize(("provider", "model"), WIRES)
async def test_headers_are_merged_one_by_one_and_the_call_wins(
    serve: Serve, provider: str, model: str
) -> None:
    server = serve()
    target = server.target(
        provider,
        model,
        params={"extra_headers": {"x-tenant": "target", "X-Team": "target", "X-Target": "yes"}},
    )
    cascade = LLMCascade(
        [target], extra_headers={"X-Tenant": "cascade", "x-team": "cascade", "X-Cascade": "yes"}
    )
    given = {"X-TENANT": "call", "X-Call": "yes"}
    await cascade.get_response("Hello", extra_headers=given)
    await cascade.get_response_stream("Hello", extra_headers=given)
    await cascade.acompletion([{"role": "user", "content": "Hello"}], extra_headers=given)
    expected = {
        "x-tenant": "call",
        "x-team": "target",
        "x-cascade": "yes",
        "x-target": "yes",
        "x-call": "yes",
    }
    assert len(server.requests) == 3
    for request in server.requests:
        assert {name: request.headers.get(name) for name in expected} == expected
    assert given == {"X-TENANT": "call", "X-Call": "yes"}


async def test_a_header_among_the_overrides_beats_the_calls(serve: Serve) -> None:
    server = serve()
    target = server.target(overrides={"extra_headers": {"X-Tenant": "override"}})
    headers = {"x-tenant": "call", "x-other": "call"}
    await LLMCascade([target]).get_response("Hello", extra_headers=headers)
    sent = server.requests[0].headers
    assert (sent["x-tenant"], sent["x-other"]) == ("override", "call")


async def test_a_failing_cascade_and_its_with_options_tell_the_same_story(serve: Serve) -> None:
    cascade = LLMCascade([serve(Status(503)).target()], retry=ONCE)
    for each in (cascade, cascade.with_options(timeout=5)):
        with pytest.raises(ProviderUnavailableError) as caught:
            await each.get_response("Hello")
        assert [attempt.number for attempt in caught.value.attempts] == [1]
