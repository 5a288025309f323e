"""The loopback provider and the rehearsal do what users' tests rely on."""

from __future__ import annotations

import asyncio
import json
import os
import urllib.request
from collections.abc import Iterator
from typing import Any

import pytest
from conftest import WIRES

from majordomo_cascade import ConfigurationError, LLMCascade, ProviderTimeoutError, RetryPolicy, Target
from majordomo_cascade.testing import (
    OPENAI_WIRE,
    Exchange,
    Garbage,
    Hang,
    LoopbackProvider,
    Reply,
    Status,
    rehearse,
)


@pytest.fixture
def provider() -> Iterator[LoopbackProvider]:
    """Usable as a fixture."""
    with LoopbackProvider(Reply("from a fixture")) as provider:
        yield provider


async def test_as_a_fixture(provider: LoopbackProvider) -> None:
    assert (await LLMCascade([provider.target()]).get_response("Hello")).content == "from a fixture"


async def test_behaviours_are_acted_out_in_order_and_the_last_repeats() -> None:
    with LoopbackProvider(Status(500), Reply("a"), Reply("b")) as provider:
        cascade = LLMCascade([provider.target()], retry=RetryPolicy(base=0))
        answers = [(await cascade.get_response("Hello")).content for _ in range(3)]
    assert answers == ["a", "b", "b"]


@pytest.mark.parametrize("name", OPENAI_WIRE)
async def test_every_provider_of_the_openai_wire_reaches_it(name: str) -> None:
    with LoopbackProvider() as provider:
        response = await LLMCascade([provider.target(name, "some-model")]).get_response("Hello")
    assert response.content == "Hello from the loopback provider."
    assert provider.requests[0].wire == "openai"
    assert provider.requests[0].model.endswith("some-model")


@pytest.mark.parametrize(("name", "model"), WIRES)
async def test_requests_are_on_record(name: str, model: str) -> None:
    with LoopbackProvider() as provider:
        await LLMCascade([provider.target(name, model)]).get_response("What is on record?")
    (request,) = provider.requests
    assert (request.wire, request.model) == (name, model)
    assert "What is on record?" in json.dumps(request.json)
    assert "loopback-key" in " ".join(request.headers.values())
    assert "loopback-key" not in repr(request)


def test_a_request_that_is_not_json_is_on_record_too() -> None:
    with LoopbackProvider(Garbage("text", status=200)) as provider:
        with urllib.request.urlopen(f"{provider.url}/v1/chat/completions", data=b"not JSON") as answer:
            assert answer.read() == b"text"
    assert provider.requests[0].json is None


async def test_a_behaviour_of_ones_own() -> None:
    class Teapot:
        async def perform(self, exchange: Exchange) -> None:
            await exchange.send(418, b'{"error": {"message": "short and stout"}}')

    with LoopbackProvider(Teapot()) as provider:
        with pytest.raises(Exception, match="HTTP 418: short and stout"):
            await LLMCascade([provider.target()]).get_response("Tea?")


def test_a_provider_that_hangs_can_still_be_closed() -> None:
    with LoopbackProvider(Hang()) as provider:
        with pytest.raises(ProviderTimeoutError):
            asyncio.run(LLMCascade([provider.target(timeout=0.05)], retry=RetryPolicy(attempts=1)).get_response("?"))


def test_a_wire_that_it_does_not_speak_is_refused() -> None:
    with pytest.raises(ConfigurationError) as caught:
        LoopbackProvider().target("bedrock", "x")
    assert str(caught.value) == (
        "the loopback provider can't stand in for 'bedrock': it speaks the wires of OpenAI (cerebras, deepseek, "
        "fireworks_ai, groq, hosted_vllm, mistral, openai, openrouter, perplexity, together_ai, xai), anthropic and "
        "gemini"
    )


async def test_a_rehearsal_keeps_the_cascades_own_settings() -> None:
    target = Target("openai", "gpt-4.1", timeout=7, params={"seed": 5}, api_key="a-real-key", api_base="http://real")
    cascade = LLMCascade([target], retry=RetryPolicy(attempts=2), temperature=0.5)
    with rehearse(cascade, Hang()) as rehearsal:
        with pytest.raises(ProviderTimeoutError):
            await rehearsal.cascade.get_response("Hello")
    assert rehearsal.clock.now() >= 14
    (provider,) = rehearsal.providers
    assert [(r.json["seed"], r.json["temperature"]) for r in provider.requests] == [(5, 0.5)] * 2
    assert all("a-real-key" not in str(request.headers) for request in provider.requests)
    assert cascade.targets == (target,)


async def test_a_rehearsal_never_reaches_the_real_providers() -> None:
    with LoopbackProvider() as real:
        ways_out: dict[str, Any] = {"extra_headers": {"Authorization": "Bearer real"}, "client": object()}
        target = Target("openai", "gpt-4.1", params=ways_out)
        cascade = LLMCascade([target], api_key="a-real-key", base_url=f"{real.url}/v1", **ways_out)
        with rehearse(cascade) as rehearsal:
            await rehearsal.cascade.get_response("Hello")
    assert real.requests == []
    assert "real" not in str(rehearsal.providers[0].requests[0].headers)


async def test_a_proxy_is_not_asked_for_a_loopback_address(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "http_proxy"):
        monkeypatch.setenv(name, "http://proxy.invalid:9")
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.setenv(name, "intranet")
    with LoopbackProvider(Reply("not through a proxy")) as provider:
        response = await LLMCascade([provider.target()]).get_response("Hello")
    assert response.content == "not through a proxy"
    assert os.environ["NO_PROXY"] == os.environ["no_proxy"] == "intranet,127.0.0.1"


def test_more_scripts_than_targets_are_refused() -> None:
    with pytest.raises(
        ConfigurationError, match=r"2 scripts were given for 1 target\(s\); a list makes one target's script"
    ):
        with rehearse(LLMCascade(["openai/gpt-4.1"]), Status(500), Status(500)):
            pass


@pytest.mark.parametrize("wrong", [503, "hello", Status, None, [503]])
def test_a_script_of_anything_but_behaviours_is_refused(wrong: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"made of behaviours such as Status\(503\), not "):
        with rehearse(LLMCascade(["openai/gpt-4.1"]), wrong):
            pass


def test_a_rehearsal_is_of_a_cascade() -> None:
    with pytest.raises(ConfigurationError, match="rehearse takes an LLMCascade, not str"):
        with rehearse("openai/gpt-4.1"):  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]
            pass
