"""The fake provider and the simulation do what users' tests rely on."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import pickle
import urllib.request
from collections.abc import Iterator
from typing import Any
from unittest import mock

import litellm
import pytest
from conftest import ALL_WIRES

from majordomo_cascade import (
    ConfigurationError,
    LLMCascade,
    LLMResponse,
    ProviderTimeoutError,
    RateLimitError,
    RetryPolicy,
    Target,
)
from majordomo_cascade.testing import (
    Exchange,
    FakeProvider,
    Garbage,
    Hang,
    Reply,
    Status,
    simulate,
)
from majordomo_cascade.testing.wires import OPENAI_COMPATIBLE


@pytest.fixture
def provider() -> Iterator[FakeProvider]:
    """Start a fake provider, as a fixture of the user's would."""
    with FakeProvider(Reply("from a fixture")) as provider:
        yield provider


async def test_as_a_fixture(provider: FakeProvider) -> None:
    assert (await LLMCascade([provider.target()]).get_response("Hello")).content == "from a fixture"


async def test_behaviours_are_acted_out_in_order_and_the_last_repeats() -> None:
    with FakeProvider(Status(500), Reply("a"), Reply("b")) as provider:
        cascade = LLMCascade([provider.target()], retry=RetryPolicy(base=0))
        answers = [(await cascade.get_response("Hello")).content for _ in range(3)]
    assert answers == ["a", "b", "b"]


@pytest.mark.parametrize("name", OPENAI_COMPATIBLE)
async def test_every_provider_of_the_openai_wire_reaches_it(name: str) -> None:
    with FakeProvider() as provider:
        response = await LLMCascade([provider.target(name, "some-model")]).get_response("Hello")
    assert response.content == "Hello from the fake provider."
    assert provider.requests[0].wire == "openai"
    assert provider.requests[0].model.endswith("some-model")


@pytest.mark.parametrize(("name", "model"), ALL_WIRES)
async def test_requests_are_on_record(name: str, model: str) -> None:
    with FakeProvider() as provider:
        await LLMCascade([provider.target(name, model)]).get_response("What is on record?")
    (request,) = provider.requests
    wire = "responses" if model.startswith("responses/") else name
    assert (request.wire, request.model) == (wire, model.removeprefix("responses/"))
    assert "What is on record?" in json.dumps(request.json)
    assert "loopback-key" in " ".join(request.headers.values())
    assert "loopback-key" not in repr(request)


def test_a_request_that_is_not_json_is_on_record_too() -> None:
    with FakeProvider(Garbage("text", status=200)) as provider:
        with urllib.request.urlopen(
            f"{provider.url}/v1/chat/completions", data=b"not JSON"
        ) as answer:
            assert answer.read() == b"text"
    assert provider.requests[0].json is None


async def test_a_behaviour_of_ones_own() -> None:
    class Teapot:
        async def perform(self, exchange: Exchange) -> None:
            await exchange.send(418, b'{"error": {"message": "short and stout"}}')

    with FakeProvider(Teapot()) as provider:
        with pytest.raises(Exception, match="HTTP 418: short and stout"):
            await LLMCascade([provider.target()]).get_response("Tea?")


def test_a_provider_that_hangs_can_still_be_closed() -> None:
    with FakeProvider(Hang()) as provider:
        with pytest.raises(ProviderTimeoutError):
            asyncio.run(
                LLMCascade(
                    [provider.target(timeout=0.05)], retry=RetryPolicy(attempts=1)
                ).get_response("?")
            )


def test_a_wire_that_it_does_not_speak_is_refused() -> None:
    with pytest.raises(ConfigurationError) as caught:
        FakeProvider().target("bedrock", "x")
    assert str(caught.value) == (
        "the fake provider can't stand in for 'bedrock'; it can for anthropic, cerebras, deepseek, "
        "fireworks_ai, gemini, groq, hosted_vllm, mistral, openai, openrouter, perplexity, "
        "together_ai, xai"
    )


async def test_a_simulation_keeps_the_cascades_own_settings() -> None:
    target = Target(
        "openai",
        "gpt-4.1",
        timeout=7,
        params={"seed": 5},
        api_key="a-real-key",
        api_base="http://real",
    )
    cascade = LLMCascade([target], retry=RetryPolicy(attempts=2), temperature=0.5)
    with simulate(cascade, Hang()) as simulation:
        with pytest.raises(ProviderTimeoutError):
            await simulation.cascade.get_response("Hello")
    assert simulation.clock.now() >= 14
    (provider,) = simulation.providers
    assert [(r.json["seed"], r.json["temperature"]) for r in provider.requests] == [(5, 0.5)] * 2
    assert all("a-real-key" not in str(request.headers) for request in provider.requests)
    assert cascade.targets == (target,)


async def test_a_simulation_never_reaches_the_real_providers() -> None:
    with FakeProvider() as real:
        ways_out: dict[str, Any] = {
            "extra_headers": {"Authorization": "Bearer real"},
            "client": object(),
        }
        target = Target("openai", "gpt-4.1", params=ways_out)
        cascade = LLMCascade([target], api_key="a-real-key", base_url=f"{real.url}/v1", **ways_out)
        with simulate(cascade) as simulation:
            await simulation.cascade.get_response("Hello")
    assert real.requests == []
    assert "real" not in str(simulation.providers[0].requests[0].headers)


async def test_a_simulation_keeps_overrides_but_for_ways_to_the_real_provider() -> None:
    overrides: dict[str, Any] = {
        "seed": None,
        "max_tokens": 5,
        "extra_headers": {"Authorization": "Bearer real"},
        "client": object(),
    }
    target = Target("openai", "gpt-4.1", params={"seed": 5}, overrides=overrides)
    with simulate(LLMCascade([target])) as simulation:
        await simulation.cascade.get_response("Hello")
    (request,) = simulation.providers[0].requests
    assert ("seed" in request.json, request.json["max_tokens"]) == (False, 5)
    assert "real" not in str(request.headers)


TOOLS = [
    {
        "type": "function",
        "function": {
            "name": name,
            "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
        },
    }
    for name in ("get_weather", "now")
]
CALLS: list[Any] = [
    ("get_weather", {"city": "R\u00edo"}),
    {"id": "own-1", "function": {"name": "now", "arguments": "{}"}},
]
IDS = {"openai": ["call_1", "own-1"], "anthropic": ["toolu_1", "own-1"]}


@pytest.mark.parametrize(("name", "model"), ALL_WIRES)
@pytest.mark.parametrize("text", [None, "Let me see."])
@pytest.mark.parametrize("stream", [False, True])
async def test_litellm_reads_the_tool_calls(
    name: str, model: str, text: str | None, *, stream: bool
) -> None:
    with FakeProvider(Reply(text, tool_calls=CALLS)) as provider:
        raw: Any = await litellm.acompletion(
            model=f"{name}/{model}",
            messages=[{"role": "user", "content": "How is the weather?"}],
            tools=TOOLS,
            stream=stream,
            api_base=provider.target(name, model).api_base,
            api_key="loopback-key",
            max_retries=0,
            num_retries=0,
        )
        if stream:
            raw = litellm.stream_chunk_builder([chunk async for chunk in raw])
    (choice,) = raw.choices
    assert choice.finish_reason == "tool_calls"
    assert (choice.message.content or None) == text
    calls = choice.message.tool_calls
    assert [(call.function.name, json.loads(call.function.arguments)) for call in calls] == [
        ("get_weather", {"city": "R\u00edo"}),
        ("now", {}),
    ]
    if not model.startswith("responses/"):  # LiteLLM takes the items' ids there
        ids = [call.id for call in calls]
        assert ids == IDS.get(name, ids)  # LiteLLM makes up those of Gemini


@pytest.mark.parametrize(("name", "model"), ALL_WIRES)
async def test_a_cascade_gives_the_tool_calls(name: str, model: str) -> None:
    reply = Reply(None, tool_calls=[("get_weather", {"city": "Rome"})])
    with simulate(LLMCascade([(name, model)]), reply) as simulation:
        response = await simulation.cascade.get_response("How is the weather?", tools=TOOLS)
    (call,) = response.tool_calls
    assert call.function.name == "get_weather"
    assert json.loads(call.function.arguments) == {"city": "Rome"}
    assert (response.content, response.finish_reason) == ("", "tool_calls")


async def test_a_proxy_is_not_asked_for_a_loopback_address(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "http_proxy"):
        monkeypatch.setenv(name, "http://proxy.invalid:9")
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.setenv(name, "intranet")
    with FakeProvider(Reply("not through a proxy")) as provider:
        response = await LLMCascade([provider.target()]).get_response("Hello")
    assert response.content == "not through a proxy"
    assert os.environ["NO_PROXY"] == os.environ["no_proxy"] == "intranet,127.0.0.1"


def test_more_scripts_than_targets_are_refused() -> None:
    with pytest.raises(
        ConfigurationError,
        match=r"2 scripts were given for 1 target\(s\); a list makes one target's script",
    ):
        with simulate(LLMCascade(["openai/gpt-4.1"]), Status(500), Status(500)):
            pass


@pytest.mark.parametrize("wrong", [503, "hello", Status, None, [503]])
def test_a_script_of_anything_but_behaviours_is_refused(wrong: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"made of behaviours such as Status\(503\), not "):
        with simulate(LLMCascade(["openai/gpt-4.1"]), wrong):
            pass


def test_a_simulation_is_of_a_cascade() -> None:
    with pytest.raises(ConfigurationError, match="simulate takes an LLMCascade, not str"):
        with simulate("openai/gpt-4.1"):  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]
            pass


@pytest.mark.parametrize(
    "target",
    [
        Target(
            "azure",
            "my-deployment",
            api_key="sk-1234567890",
            api_base="https://mine.openai.azure.invalid",
            params={"api_version": "2024-10-21", "azure_ad_token": "ey-1234567890"},
        ),
        Target(
            "bedrock",
            "anthropic.claude-3-sonnet-20240229-v1:0",
            params={"aws_secret_access_key": "aws-1234567890", "aws_region_name": "eu-west-1"},
        ),
        Target("vertex_ai", "gemini-2.5-flash", params={"vertex_credentials": "vx-1234567890"}),
    ],
    ids=lambda target: target.provider,
)
async def test_a_vendor_whose_format_is_not_spoken_has_a_stand_in_of_the_same_name(
    target: Target, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "majordomo_cascade")
    cascade = LLMCascade([target, "openai/gpt-4.1"], retry=RetryPolicy(attempts=1))
    with simulate(cascade, [Reply('["Rome"]'), Status(503)]) as simulation:
        twin = simulation.cascade
        first = await twin.get_structured_json_response(list[str], "Hello")
        second = await twin.get_response("Hello")
        stood_in = simulation.providers[0].requests
        modes = [twin.health[0].structured_output, cascade.health[0].structured_output]
    assert (first.content, first.target, first.provider) == (["Rome"], target.name, "openai")
    assert [attempt.target for attempt in second.attempts] == [target.name, "openai/gpt-4.1"]
    assert modes[0] == modes[1]
    assert caplog.messages[0] == (
        f"{target.name} is simulated by a stand-in that speaks OpenAI's format"
    )
    assert "1234567890" not in str([(each.headers, each.json) for each in stood_in])


@pytest.mark.parametrize("where", ["call", "cascade", "target"])
async def test_nothing_is_waited_for_under_a_mocked_response(
    where: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    monkeypatch.setattr("majordomo_cascade.failover.clock.SystemClock.sleep", staticmethod(sleep))
    mocked: dict[str, Any] = {
        "mock_response": litellm.RateLimitError("slow down", "openai", "gpt-4.1")
    }
    params = {each: mocked if each == where else {} for each in ("call", "cascade", "target")}
    target = Target("openai", "gpt-4.1", params=params["target"])
    cascade = LLMCascade([target], **params["cascade"])
    with pytest.raises(RateLimitError) as caught:
        await cascade.get_response("Hello", **params["call"])
    assert [attempt.waited for attempt in caught.value.attempts] == [0.0] * 3
    assert slept == []


async def test_a_method_can_be_replaced_on_one_cascade(monkeypatch: pytest.MonkeyPatch) -> None:
    async def patched(*_: Any, **__: Any) -> LLMResponse[str]:
        return LLMResponse(content="patched")

    cascade = LLMCascade(["openai/gpt-4.1"], mock_response="real")
    with monkeypatch.context() as patch:
        patch.setattr(cascade, "get_response", patched)
        assert (await cascade.get_response("Hello")).content == "patched"
    with mock.patch.object(cascade, "get_response", patched):
        assert (await cascade.get_response("Hello")).content == "patched"
    assert (await cascade.get_response("Hello")).content == "real"
    assert (await pickle.loads(pickle.dumps(cascade)).get_response("Hello")).content == "real"
