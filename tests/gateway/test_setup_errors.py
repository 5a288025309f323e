"""A target that LiteLLM cannot ask as it is set up: the next one is asked, and it counts."""

from __future__ import annotations

from typing import Any

import litellm
import pytest
from conftest import ALL_WIRES, IS_NEW, Serve
from litellm.integrations.custom_logger import CustomLogger

from majordomo_cascade import (
    AuthenticationError,
    BadRequestError,
    LLMCascade,
    ProviderError,
    ProviderSetupError,
    RetryPolicy,
    Target,
    UnsupportedRequestError,
)
from majordomo_cascade.testing import Reply

#: Targets that lack something, the error, and what its message says is lacking.
LACKING: list[tuple[Target, type[ProviderError], str]] = [
    (Target("azure", "my-deployment", api_key="sk-1234567890"), ProviderSetupError, "base_url"),
    (Target("azure_ai", "some-model", api_key="sk-1234567890"), ProviderSetupError, "api_base is"),
    (Target("custom", "some-model"), ProviderSetupError, "api_base not set"),
    (Target("databricks", "some-model"), ProviderSetupError, "pip install databricks-sdk"),
    (Target("predibase", "some-model", api_key="sk-1234567890"), ProviderSetupError, "Tenant ID"),
    (Target("vertex_ai", "gemini-2.5-flash"), ProviderSetupError, "pip install google-auth"),
    (Target("vllm", "some-model"), ProviderSetupError, "pip install vllm"),
    (Target("huggingface", "some-model", api_key="sk-1234567890"), ProviderSetupError, "ValueErr"),
    (Target("sagemaker", "some-endpoint"), AuthenticationError, "no API key"),
]

EVERY_ONE = pytest.mark.parametrize(
    ("target", "error", "words"), LACKING, ids=[target.provider for target, *_ in LACKING]
)


@pytest.fixture(autouse=True)
def no_cloud(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep the cloud's clients from looking for credentials on the network and on the disk."""
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_CONFIG_FILE", "/nowhere")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/nowhere")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)


@EVERY_ONE
async def test_the_next_target_is_asked(
    serve: Serve, target: Target, error: type[ProviderError], words: str
) -> None:
    cascade = LLMCascade([target, serve(Reply("served")).target()])
    response = await cascade.get_response("Hello")
    (failed, _) = response.attempts
    assert (response.content, type(failed.error)) == ("served", error)
    assert words in str(failed.error)
    assert failed.waited == 0.0
    assert [health.failures for health in cascade.health] == [1, 0]


@EVERY_ONE
async def test_a_stream_goes_to_the_next_target(
    serve: Serve, target: Target, error: type[ProviderError], words: str
) -> None:
    stream = await LLMCascade([target, serve(Reply("served")).target()]).get_response_stream("Hi")
    response = await stream.collect()
    assert (response.content, type(response.attempts[0].error)) == ("served", error)
    assert words in str(response.attempts[0].error)


async def test_if_all_targets_lack_something_the_last_one_is_raised_with_the_trail() -> None:
    cascade = LLMCascade([target for target, *_ in LACKING], retry=RetryPolicy(attempts=1))
    with pytest.raises(LACKING[-1][1]) as caught:
        await cascade.get_response("Hello")
    errors = [type(attempt.error) for attempt in caught.value.attempts]
    assert errors == [error for _, error, _ in LACKING]
    assert caught.value.__cause__ is not None


async def test_a_target_that_cannot_translate_a_message_fails_over(serve: Serve) -> None:
    unasked, well = serve(), serve(Reply("served"))
    target = unasked.target("anthropic", "claude-sonnet-4-5")
    tools: Any = [{"function": {"name": "f", "parameters": {}}}]  # Anthropic's needs the type
    response = await LLMCascade([target, well.target()]).get_response("Hello", tools=tools)
    assert (response.content, unasked.requests) == ("served", [])
    assert type(response.attempts[0].error) is ProviderSetupError


async def test_a_json_schema_that_litellm_cannot_translate_is_no_reason_to_ask_thrice(
    serve: Serve,
) -> None:
    cascade = LLMCascade([LACKING[0][0], serve(Reply('["a"]')).target()])
    response = await cascade.get_structured_json_response(list[str], "Hello")
    assert [attempt.outcome for attempt in response.attempts] == ["failed", "ok"]


@pytest.mark.parametrize(("provider", "model"), ALL_WIRES)
async def test_a_mistake_that_all_targets_share_is_raised_before_any_request(
    serve: Serve, provider: str, model: str
) -> None:
    servers = [serve(), serve()]
    cascade = LLMCascade([servers[0].target(provider, model), servers[1].target()])
    with pytest.raises(BadRequestError, match="tool_call_id"):
        await cascade.get_response(messages=[{"role": "tool", "content": "42"}])
    with pytest.raises(BadRequestError):
        await cascade.get_response(messages=[{"role": "user", "content": [{"type": "?"}]}])
    assert [server.requests for server in servers] == [[], []]


async def test_what_the_applications_own_callback_raises_is_handed_back(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Guard(CustomLogger):  # type: ignore[misc]
        async def async_pre_call_deployment_hook(self, *_: Any, **__: Any) -> None:
            raise LookupError("not today")

    server, other = serve(), serve()
    monkeypatch.setattr(litellm, "callbacks", [Guard()])
    with pytest.raises(LookupError, match="not today"):
        await LLMCascade([server.target(), other.target()]).get_response("Hello")
    assert (server.requests, other.requests) == ([], [])


@pytest.mark.parametrize(
    ("target", "params", "named"),
    [
        (("anthropic", "claude-sonnet-4-5"), {"logit_bias": {"1": 2}}, "logit_bias"),
        (("openai", "o3"), {"temperature": 0.2}, "temperature"),
        (("gemini", "gemini-2.5-flash"), {"logit_bias": {"1": 2}}, "logit_bias"),
    ],
)
async def test_a_parameter_that_litellm_knows_to_be_unsupported_is_named(
    serve: Serve, target: tuple[str, str], params: dict[str, Any], named: str
) -> None:
    server = serve()
    with pytest.raises(UnsupportedRequestError) as caught:
        await LLMCascade([server.target(*target)]).get_response("Hello", **params)
    name = "/".join(target)
    assert str(caught.value) == (
        f"{name}: it does not take {named}; overrides={{'{named}': None}} on its Target takes that "
        "away"
    )
    assert server.requests == []


@pytest.mark.skipif(not IS_NEW, reason="LiteLLM 1.83 has no such provider")
async def test_a_model_that_litellm_refuses_can_be_a_target(serve: Serve) -> None:
    cascade = LLMCascade([("scaledown", "no-such-model"), serve(Reply("served")).target()])
    assert (await cascade.get_response("Hello")).content == "served"
