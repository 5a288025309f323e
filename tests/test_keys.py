"""Keys: seen when they are missing, sent to nobody but their owner, shown to no one."""

from __future__ import annotations

import copy
import functools
import logging
import pickle
import traceback
import unittest.mock
from typing import Any

import litellm
import openai
import pytest
from conftest import WIRES, Serve
from pydantic import SecretStr

from majordomo_cascade import (
    AuthenticationError,
    ConfigurationError,
    InvalidRequestError,
    LLMCascade,
    MajordomoError,
    RetryPolicy,
    Target,
)
from majordomo_cascade.gateway import KEY_NAMES
from majordomo_cascade.scrubbing import scrub
from majordomo_cascade.testing import Reply, Status

ONCE = RetryPolicy(attempts=1)
KEY = "sk-a-key-that-nobody-may-see"
PROMPT = "The prompt is confidential, too."
ANSWER = "And so is what the model says."

NEEDS_KEY = [
    ("openai", "gpt-4.1", "OPENAI_API_KEY"),
    ("anthropic", "claude-sonnet-4-5", "ANTHROPIC_API_KEY"),
    ("gemini", "gemini-2.5-flash", "GEMINI_API_KEY"),
    ("azure", "my-deployment", "AZURE_API_KEY"),
    ("mistral", "mistral-large-latest", "MISTRAL_API_KEY"),
    ("groq", "llama-3.3-70b-versatile", "GROQ_API_KEY"),
    ("cohere", "command-r", "COHERE_API_KEY"),
    ("cohere_chat", "command-r", "COHERE_API_KEY"),
    ("deepseek", "deepseek-chat", "DEEPSEEK_API_KEY"),
]


@pytest.mark.parametrize(("provider", "model", "variable"), NEEDS_KEY)
async def test_a_missing_key_is_named_without_a_request_or_a_wait(
    provider: str, model: str, variable: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_request(*_: Any, **__: Any) -> Any:
        raise AssertionError("a request was made")

    monkeypatch.setattr("aiohttp.ClientSession._request", no_request)
    with pytest.raises(AuthenticationError) as caught:
        await LLMCascade([(provider, model)]).get_response("Hello")
    expected = f"{provider}/{model}: no API key: set {variable}, or api_key=… on its Target"
    assert str(caught.value) == expected
    assert len(caught.value.attempts) == 1


@pytest.mark.parametrize(("provider", "model", "variable"), NEEDS_KEY[:4])
async def test_a_missing_key_that_litellm_sees_is_named_too(
    serve: Serve, provider: str, model: str, variable: str
) -> None:
    server = serve()
    target = Target(provider, model, api_base=server.url)  # a gateway may need no key, so it is LiteLLM that complains
    with pytest.raises(AuthenticationError, match=f"no API key: set {variable}"):
        await LLMCascade([target]).get_response("Hello", api_version="2024-10-21")
    assert server.requests == []


async def test_openais_clients_own_word_for_a_missing_key(monkeypatch: pytest.MonkeyPatch) -> None:
    async def patched(**_: Any) -> None:
        try:
            raise openai.OpenAIError("in words of another version")
        except openai.OpenAIError as error:
            raise litellm.InternalServerError("wrapped", "openai", "gpt-4.1") from error

    monkeypatch.setattr(litellm, "acompletion", patched)
    with pytest.raises(AuthenticationError, match="no API key: set OPENAI_API_KEY"):
        await LLMCascade(["openai/gpt-4.1"]).get_response("Hello")


async def test_a_missing_key_moves_on(serve: Serve) -> None:
    server = serve(Reply("served"))
    cascade = LLMCascade([("openai", "gpt-4.1"), server.target(*WIRES[1])])
    response = await cascade.get_response("Hello")
    assert (response.content, type(response.attempts[0].error)) == ("served", AuthenticationError)


@pytest.mark.parametrize("bad", ["sk-1234567890\n", " sk-1234567890", "sk-ключ-1234567"])
async def test_a_malformed_key_in_the_environment_is_seen_before_the_request(
    bad: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", bad)
    with pytest.raises(AuthenticationError, match="the key in OPENAI_API_KEY holds a line break, a space") as caught:
        await LLMCascade(["openai/gpt-4.1"]).get_response("Hello")
    assert bad.strip() not in str(caught.value)


@pytest.mark.parametrize(("provider", "model", "variable"), NEEDS_KEY)
async def test_a_key_in_the_environment_is_enough(
    provider: str, model: str, variable: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, KEY)
    cascade = LLMCascade([(provider, model)])
    cascade._endpoints[0]._check_key({})


@pytest.mark.parametrize(
    ("params", "environment", "global_name"),
    [
        ({"extra_headers": {"Authorization": "Bearer x"}}, None, None),
        ({"client": object()}, None, None),
        ({"litellm_credential_name": "shared"}, None, None),
        ({"api_base": "http://gateway"}, None, None),
        ({}, "MISTRAL_API_BASE", None),
        ({}, "MISTRAL_BASE_URL", None),
        ({}, "MISTRAL_CLIENT_ID", None),
        ({}, "MISTRAL_AD_TOKEN", None),
        ({}, None, "api_key"),
        ({}, None, "secret_manager_client"),
        ({}, None, "mistral_key"),
        ({}, None, "acompletion"),
    ],
    ids=lambda value: ", ".join(value) if isinstance(value, dict) else value,
)
def test_credentials_that_come_another_way_are_not_second_guessed(
    params: dict[str, Any], environment: str | None, global_name: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    (endpoint,) = LLMCascade([("mistral", "mistral-large-latest")])._endpoints
    with pytest.raises(AuthenticationError) as caught:
        endpoint._check_key({})
    assert (caught.value.provider, caught.value.model) == ("mistral", "mistral-large-latest")
    if environment:
        monkeypatch.setenv(environment, "http://gateway")
    if global_name:
        monkeypatch.setattr(litellm, global_name, KEY, raising=False)
    endpoint._check_key(params)


@pytest.mark.parametrize(
    "patch",
    [
        unittest.mock.AsyncMock(),
        unittest.mock.MagicMock(),
        unittest.mock.create_autospec(litellm.acompletion),
        functools.wraps(litellm.acompletion)(lambda **_: None),
        functools.partial(litellm.acompletion, mock_response="x"),
    ],
    ids=["async mock", "mock", "autospec", "wrapper", "partial"],
)
def test_a_patched_acompletion_needs_no_key(patch: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    (endpoint,) = LLMCascade([("openai", "gpt-4.1")])._endpoints
    with pytest.raises(AuthenticationError):
        endpoint._check_key({})
    monkeypatch.setattr(litellm, "acompletion", patch)
    endpoint._check_key({})


def test_a_provider_of_the_applications_own_needs_no_key_and_others_do(monkeypatch: pytest.MonkeyPatch) -> None:
    (endpoint,) = LLMCascade([("mistral", "mistral-large-latest")])._endpoints
    monkeypatch.setattr(litellm, "custom_provider_map", [{"provider": "in_house"}])
    with pytest.raises(AuthenticationError):
        endpoint._check_key({})
    monkeypatch.setattr(litellm, "custom_provider_map", [{"provider": "mistral"}])
    endpoint._check_key({})


@pytest.mark.parametrize("entry", ["bedrock/anthropic.claude-v2", "ollama/llama3", "hosted_vllm/x", "vertex_ai/x"])
def test_where_a_key_is_not_the_only_way_in_none_is_asked_for(entry: str) -> None:
    assert entry.partition("/")[0] not in KEY_NAMES


async def test_an_empty_mock_is_none() -> None:
    with pytest.raises(AuthenticationError):
        await LLMCascade(["openai/gpt-4.1"]).get_response("Hello", mock_response="")


async def test_mocked_calls_need_no_key() -> None:
    for provider, model, _ in NEEDS_KEY:
        response = await LLMCascade([(provider, model)]).get_response("Hello", mock_response="fine")
        assert response.content == "fine"


async def test_each_target_gets_its_own_key(serve: Serve) -> None:
    servers = [serve(Status(500)), serve(Status(500)), serve()]
    keys = ["key-of-openai", "key-of-anthropic", "key-of-gemini"]
    targets = [server.target(*wire, api_key=key) for server, wire, key in zip(servers, WIRES, keys, strict=True)]
    await LLMCascade(targets, retry=ONCE).get_response("Hello")
    for server, key in zip(servers, keys, strict=True):
        headers = " ".join(server.requests[0].headers.values())
        assert [other for other in keys if other in headers] == [key]


async def test_one_key_for_several_providers_is_refused() -> None:
    complaint = r"one api_key can't be meant for anthropic, openai: give each its own with Target"
    with pytest.raises(ConfigurationError, match=complaint):
        LLMCascade(["openai/gpt-4.1", "anthropic/claude-sonnet-4-5"], api_key=KEY)
    with pytest.raises(InvalidRequestError, match=complaint):
        await LLMCascade(["openai/gpt-4.1", "anthropic/claude-sonnet-4-5"]).get_response("Hello", api_key=KEY)


async def test_one_key_for_one_provider_or_one_gateway_is_fine(serve: Serve) -> None:
    server = serve(Status(500), Reply("a"), Reply("b"), Reply("c"))
    same = [server.target("openai", "gpt-4.1", api_key=None), server.target("openai", "gpt-4o", api_key=None)]
    assert (await LLMCascade(same, api_key=KEY, retry=ONCE).get_response("Hello")).content == "a"
    mixed = LLMCascade(["openai/gpt-4.1", "mistral/mistral-large-latest"], api_key=KEY, api_base=f"{server.url}/v1")
    assert (await mixed.get_response("Hello")).content == "b"
    bare = LLMCascade(["openai/gpt-4.1", "mistral/mistral-large-latest"])
    assert (await bare.get_response("Hello", api_key=KEY, api_base=f"{server.url}/v1")).content == "c"
    assert (await mixed.get_response("Hello", api_key=KEY)).content == "c"
    assert {request.headers["authorization"] for request in server.requests} == {f"Bearer {KEY}"}


async def test_a_gateways_key_does_not_go_to_a_target_elsewhere(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    gateway, elsewhere = serve(Status(500)), serve()
    own = Target("mistral", "mistral-large-latest", api_base=f"{elsewhere.url}/v1")
    cascade = LLMCascade(["openai/gpt-4.1", own], retry=ONCE, api_key=KEY, api_base=f"{gateway.url}/v1")
    monkeypatch.setenv("MISTRAL_API_KEY", "the-key-of-mistral")
    await cascade.get_response("Hello")
    assert gateway.requests[0].headers["authorization"] == f"Bearer {KEY}"
    assert elsewhere.requests[0].headers["authorization"] == "Bearer the-key-of-mistral"


async def test_a_calls_key_for_the_gateway_does_not_go_to_a_target_elsewhere(serve: Serve) -> None:
    gateway, elsewhere = serve(Status(500)), serve()
    own = elsewhere.target("openai", "gpt-4.1")
    cascade = LLMCascade(["mistral/mistral-large-latest", own], retry=ONCE, api_key=KEY, api_base=f"{gateway.url}/v1")
    await cascade.get_response("Hello", api_key="another-key-of-the-gateway")
    assert gateway.requests[0].headers["authorization"] == "Bearer another-key-of-the-gateway"
    assert elsewhere.requests[0].headers["authorization"] == "Bearer loopback-key"


async def test_base_url_is_another_name_for_api_base(serve: Serve) -> None:
    gateway, elsewhere, third = serve(Status(500)), serve(Status(500)), serve()
    own = elsewhere.target("openai", "gpt-4.1")
    both: list[Any] = ["mistral/mistral-large-latest", own]
    cascade = LLMCascade(both, api_key=KEY, base_url=f"{gateway.url}/v1", retry=ONCE)
    with pytest.raises(MajordomoError):
        await cascade.get_response("Hello")
    assert gateway.requests[0].headers["authorization"] == f"Bearer {KEY}"
    assert elsewhere.requests[0].headers["authorization"] == "Bearer loopback-key"
    await cascade.get_response("Hello", base_url=f"{third.url}/v1")
    assert (len(gateway.requests), len(third.requests)) == (1, 1)
    with pytest.raises(ConfigurationError, match="params must not hold 'base_url'"):
        Target("openai", "gpt-4.1", params={"base_url": "http://host"})


async def test_a_key_that_is_none_is_not_given(serve: Serve) -> None:
    server = serve()
    cascade = LLMCascade([server.target()], api_key=None, api_base=None)
    await cascade.get_response("Hello", api_key=None)
    assert server.requests[0].headers["authorization"] == "Bearer loopback-key"


async def test_a_key_for_all_may_be_a_secret_string(serve: Serve) -> None:
    server = serve()
    cascade = LLMCascade([server.target(api_key=None)], api_key=SecretStr(KEY))
    await cascade.get_response("Hello")
    assert server.requests[0].headers["authorization"] == f"Bearer {KEY}"


@pytest.mark.parametrize(("wrong", "complaint"), [(5, "api_key must be a string, not an int"), ("", "is empty")])
def test_a_key_for_all_must_be_a_key(wrong: Any, complaint: str) -> None:
    with pytest.raises(ConfigurationError, match=complaint):
        LLMCascade(["openai/gpt-4.1"], api_key=wrong)


def test_an_api_base_for_all_must_be_a_url() -> None:
    with pytest.raises(ConfigurationError, match=r"api_base must be a URL such as .*, not 'nope'"):
        LLMCascade(["openai/gpt-4.1"], api_base="nope")


def story(error: BaseException) -> str:
    """All that this package says about an error: not LiteLLM's own words, which stand in the cause."""
    parts = [str(error), repr(error), str(getattr(error, "attempts", "")), str(getattr(error, "__notes__", ""))]
    own = copy.copy(error)
    own.__cause__ = own.__context__ = None
    return " ".join([*parts, "".join(traceback.format_exception(own))])


@pytest.mark.parametrize(("provider", "model"), WIRES)
@pytest.mark.parametrize("where", ["target", "environment", "call", "headers", "global"])
@pytest.mark.parametrize("status", [400, 401, 429, 500])
async def test_a_vendor_that_echoes_key_and_prompt_makes_us_tell_neither(
    serve: Serve,
    provider: str,
    model: str,
    where: str,
    status: int,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG, logger="majordomo_cascade")
    server = serve(Status(status, f"Incorrect API key provided: {KEY}. You said: {PROMPT}. I say: no."))
    target = server.target(provider, model, api_key=KEY if where == "target" else None)
    params: dict[str, Any] = {}
    if where == "environment":
        monkeypatch.setenv(KEY_NAMES[provider][0], KEY)
    elif where == "global":
        monkeypatch.setattr(litellm, "api_key", KEY)
    elif where == "call":
        params["api_key"] = KEY
    elif where == "headers":
        target = server.target(provider, model, api_key="another-key")
        params["extra_headers"] = {"x-api-key": KEY, "Authorization": f"Bearer {KEY}"}
    cascade = LLMCascade([target, target], retry=ONCE)
    with pytest.raises(MajordomoError) as caught:
        await cascade.get_response(PROMPT, PROMPT, **params)
    told = story(caught.value) + " ".join(str(vars(r)) for r in caplog.records if r.name == "majordomo_cascade")
    assert "Incorrect API key provided: […]" in told
    assert KEY not in told
    assert PROMPT not in told
    assert KEY not in pickle.dumps(caught.value).decode("latin-1")


async def test_codes_and_prompts_in_parts_are_blotted_out_too(serve: Serve) -> None:
    system = "You are the system prompt."
    server = serve(Status(400, f"{system} {PROMPT}", error_code=KEY))
    cascade = LLMCascade([server.target(api_key=KEY)])
    with pytest.raises(InvalidRequestError) as caught:
        await cascade.get_json_response(messages=[
            {"role": "system", "content": system},
            {"role": "user", "content": ({"type": "text", "text": PROMPT},)},
        ])  # fmt: skip
    assert str(caught.value) == "openai/gpt-4.1: HTTP 400 […]: […] […]"


async def test_a_broken_on_attempt_does_not_log_what_it_was_told(
    serve: Serve, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(attempt: Any) -> None:
        raise RuntimeError("the metrics server is down") from attempt.error

    server = serve(Status(400, f"{KEY} {PROMPT}"))
    with pytest.raises(InvalidRequestError):
        await LLMCascade([server.target(api_key=KEY)], on_attempt=broken).get_response(PROMPT)
    own = logging.Formatter()
    told = "".join(own.format(record) for record in caplog.records if record.name == "majordomo_cascade")
    assert "the metrics server is down" in told
    assert KEY not in told
    assert PROMPT not in told


async def test_a_response_shows_no_answer(serve: Serve) -> None:
    cascade = LLMCascade([serve(Reply(ANSWER), Reply(f'["{ANSWER}"]')).target()])
    response = await cascade.get_response(PROMPT)
    assert response.content == ANSWER
    assert ANSWER not in repr(response)
    structured = await cascade.get_structured_json_response(list[str], PROMPT)
    assert structured.content == [ANSWER]
    assert ANSWER not in repr(structured)


@pytest.mark.parametrize("text", [f"prose: {ANSWER}", f'{{"value": "{ANSWER}"}}', f'["{ANSWER}"]'])
async def test_an_error_about_an_answer_shows_none_of_it_but_in_a_traceback(
    serve: Serve, text: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, logger="majordomo_cascade")
    cascade = LLMCascade([serve(Reply(text)).target()])
    with pytest.raises(MajordomoError) as caught:
        await cascade.get_structured_json_response(int, PROMPT)
    error = caught.value
    assert ANSWER not in f"{error} {error!r} {error.attempts}" + caplog.text
    shown = "".join(traceback.format_exception(error))  # with its causes
    assert shown.count(ANSWER) == 1
    assert f"\nthe answer began: {text}\n" in shown
    assert getattr(error, "raw_content", None) == text


async def test_an_answer_in_a_traceback_is_short_on_one_line_and_without_key_and_prompt(serve: Serve) -> None:
    text = f"{PROMPT}\x1b[31m\n{KEY} " + "and so on " * 100
    with pytest.raises(MajordomoError) as caught:
        await LLMCascade([serve(Reply(text)).target(api_key=KEY)]).get_json_response(PROMPT)
    shown = "".join(traceback.format_exception(caught.value))
    assert KEY not in shown
    assert PROMPT not in shown
    (line,) = (line for line in shown.splitlines() if line.startswith("the answer began: "))
    assert line.startswith("the answer began: […] [31m […] and so on and so on")
    assert line.endswith("…")
    assert len(line) < 250


def test_nothing_that_can_be_printed_shows_a_key() -> None:
    target = Target("openai", "gpt-4.1", api_key=KEY, params={"extra_headers": {"Authorization": f"Bearer {KEY}"}})
    cascade = LLMCascade([target, Target("openai", "x", api_base=f"http://user:{KEY}@host/v1")], user=KEY)
    for shown in (repr(target), str(target), repr(cascade), str(cascade), repr(cascade.targets)):
        assert KEY not in shown
    assert repr(cascade) == "LLMCascade(['openai/gpt-4.1', 'openai/x'])"


async def test_a_huge_hostile_error_text_is_cut_and_kept_on_one_line(serve: Serve) -> None:
    hostile = "\x1b[31mred\x1b[0m\r\n\u2028 " + "A" * 1_000_000
    cascade = LLMCascade([serve(Status(500, hostile)).target()], retry=ONCE)
    with pytest.raises(MajordomoError) as caught:
        await cascade.get_response("Hello")
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 400
    assert len(scrub(hostile, ())) <= 4000  # what is searched for hints, too
