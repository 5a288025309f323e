"""Keys: named when they are missing, sent to their owner alone, and shown to nobody."""

from __future__ import annotations

import copy
import logging
import pickle
import traceback
from typing import Any

import litellm
import pytest
from conftest import WIRES, Serve
from pydantic import SecretStr

from majordomo_cascade import (
    AuthenticationError,
    BadRequestError,
    ConfigurationError,
    LLMCascade,
    MajordomoError,
    RetryPolicy,
    Target,
)
from majordomo_cascade.testing import Exchange, Reply, Status

ONCE = RetryPolicy(attempts=1)
KEY = "sk-a-key-that-nobody-may-see"
PROMPT = "The prompt is confidential."
ANSWER = "And so is the answer."
#: The variables of the three wires.
VARIABLES = ("OPENAI_API_KEY", "ANTHROPIC_API_KEY", "GEMINI_API_KEY")


@pytest.mark.parametrize(
    ("provider", "model", "variables"),
    [
        ("openai", "gpt-4.1", "OPENAI_API_KEY"),
        ("anthropic", "claude-sonnet-4-5", "ANTHROPIC_API_KEY"),
        ("gemini", "gemini-2.5-flash", "GOOGLE_API_KEY or GEMINI_API_KEY"),
        ("azure", "my-deployment", "AZURE_API_KEY"),
    ],
)
async def test_a_missing_key_that_litellm_complains_of_is_named(
    serve: Serve, provider: str, model: str, variables: str
) -> None:
    server = serve()
    cascade = LLMCascade([Target(provider, model, api_base=server.url)], api_version="2024-10-21")
    with pytest.raises(AuthenticationError) as caught:
        await cascade.get_response("Hello")
    said = f"{provider}/{model}: no API key; set {variables}, or api_key=… on its Target"
    assert str(caught.value) == said
    assert (server.requests, len(caught.value.attempts)) == ([], 1)


@pytest.mark.parametrize(
    ("provider", "model", "variable"),
    [
        ("mistral", "mistral-large-latest", "MISTRAL_API_KEY"),
        ("groq", "llama-3.3-70b-versatile", "GROQ_API_KEY"),
    ],
)
async def test_a_missing_key_that_the_vendor_complains_of_is_named(
    serve: Serve, provider: str, model: str, variable: str
) -> None:
    server = serve(Status(401, "who are you?"))
    cascade = LLMCascade([Target(provider, model, api_base=f"{server.url}/v1")])
    with pytest.raises(AuthenticationError) as caught:
        await cascade.get_response("Hello")
    assert str(caught.value) == (
        f"{provider}/{model}: HTTP 401 loopback_error: who are you?; "
        f"set {variable}, or api_key=… on its Target"
    )


@pytest.mark.parametrize("provider", ["hosted_vllm", "ollama_chat"])
async def test_of_a_vendor_whose_variable_litellm_does_not_know_none_is_named(
    serve: Serve, provider: str
) -> None:
    server = serve(Status(401, "who are you?"))
    cascade = LLMCascade([Target(provider, "some-model", api_base=f"{server.url}/v1")])
    with pytest.raises(AuthenticationError) as caught:
        await cascade.get_response("Hello")
    said = f"{provider}/some-model: HTTP 401 loopback_error: who are you?"
    assert str(caught.value) == said


@pytest.mark.parametrize(
    "params",
    [{"api_key": KEY}, {"extra_headers": {"Authorization": f"Bearer {KEY}"}}],
    ids=["api_key", "extra_headers"],
)
@pytest.mark.parametrize("level", ["target", "call"])
async def test_a_given_key_that_is_refused_is_not_called_missing(
    serve: Serve, params: dict[str, Any], level: str
) -> None:
    server = serve(Status(401, "who are you?"))
    own = params if level == "target" else {}
    base = f"{server.url}/v1"
    key = own.get("api_key")
    headers = {name: value for name, value in own.items() if name != "api_key"}
    target = Target("mistral", "mistral-large-latest", api_base=base, api_key=key, params=headers)
    with pytest.raises(AuthenticationError) as caught:
        await LLMCascade([target]).get_response("Hello", **({} if own else params))
    said = "mistral/mistral-large-latest: HTTP 401 loopback_error: who are you?"
    assert str(caught.value) == said


async def test_a_missing_key_moves_on(serve: Serve) -> None:
    server = serve(Reply("served"))
    cascade = LLMCascade([("openai", "gpt-4.1"), server.target(*WIRES[1])])
    response = await cascade.get_response("Hello")
    kinds = [type(attempt.error) for attempt in response.attempts]
    assert (response.content, kinds) == ("served", [AuthenticationError, type(None)])


async def test_mocked_calls_need_no_key() -> None:
    for wire in WIRES:
        response = await LLMCascade([wire]).get_response("Hello", mock_response="fine")
        assert response.content == "fine"


@pytest.mark.parametrize(("wire", "variable"), list(zip(WIRES, VARIABLES, strict=True)))
@pytest.mark.parametrize("bad", ["sk-123\r\n4567890", "sk-ключ-1234567"])
async def test_a_key_in_the_environment_that_cannot_be_sent_moves_on(
    serve: Serve, wire: tuple[str, str], variable: str, bad: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, bad)
    first, second = serve(), serve(Reply("served"))
    target = first.target(*wire, api_key=None)
    response = await LLMCascade([target, second.target()]).get_response("Hello")
    error = response.attempts[0].error
    assert (response.content, type(error), first.requests) == ("served", AuthenticationError, [])
    assert str(error) == (
        f"{target.provider}/{target.model}: the API key can't be sent: "
        "it holds a line break, or a character that is not ASCII"
    )


async def test_each_target_gets_its_own_key(serve: Serve) -> None:
    servers = [serve(Status(500)), serve(Status(500)), serve()]
    keys = ["key-of-openai", "key-of-anthropic", "key-of-gemini"]
    targets = [
        server.target(*wire, api_key=key)
        for server, wire, key in zip(servers, WIRES, keys, strict=True)
    ]
    await LLMCascade(targets, retry=ONCE).get_response("Hello")
    for server, key in zip(servers, keys, strict=True):
        headers = " ".join(server.requests[0].headers.values())
        assert [other for other in keys if other in headers] == [key]


async def test_one_key_for_several_providers_is_refused() -> None:
    complaint = r"one api_key can't be meant for anthropic, openai: give each its own with Target"
    with pytest.raises(ConfigurationError, match=complaint):
        LLMCascade(["openai/gpt-4.1", "anthropic/claude-sonnet-4-5"], api_key=KEY)
    with pytest.raises(BadRequestError, match=complaint):
        await LLMCascade(["openai/gpt-4.1", "anthropic/claude-sonnet-4-5"]).get_response(
            "Hello", api_key=KEY
        )


async def test_one_key_for_one_provider_or_one_gateway_is_fine(serve: Serve) -> None:
    server = serve(Status(500), Reply("a"), Reply("b"), Reply("c"))
    same = [
        server.target("openai", "gpt-4.1", api_key=None),
        server.target("openai", "gpt-4o", api_key=None),
    ]
    assert (await LLMCascade(same, api_key=KEY, retry=ONCE).get_response("Hello")).content == "a"
    mixed = LLMCascade(
        ["openai/gpt-4.1", "mistral/mistral-large-latest"], api_key=KEY, api_base=f"{server.url}/v1"
    )
    assert (await mixed.get_response("Hello")).content == "b"
    bare = LLMCascade(["openai/gpt-4.1", "mistral/mistral-large-latest"])
    assert (
        await bare.get_response("Hello", api_key=KEY, api_base=f"{server.url}/v1")
    ).content == "c"
    assert (await mixed.get_response("Hello", api_key=KEY)).content == "c"
    assert {request.headers["authorization"] for request in server.requests} == {f"Bearer {KEY}"}


async def test_a_gateways_key_does_not_go_to_a_target_elsewhere(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    gateway, elsewhere = serve(Status(500)), serve()
    own = Target("mistral", "mistral-large-latest", api_base=f"{elsewhere.url}/v1")
    cascade = LLMCascade(
        ["openai/gpt-4.1", own], retry=ONCE, api_key=KEY, api_base=f"{gateway.url}/v1"
    )
    monkeypatch.setenv("MISTRAL_API_KEY", "the-key-of-mistral")
    await cascade.get_response("Hello")
    assert gateway.requests[0].headers["authorization"] == f"Bearer {KEY}"
    assert elsewhere.requests[0].headers["authorization"] == "Bearer the-key-of-mistral"


async def test_a_calls_key_for_the_gateway_does_not_go_to_a_target_elsewhere(serve: Serve) -> None:
    gateway, elsewhere = serve(Status(500)), serve()
    own = elsewhere.target("openai", "gpt-4.1")
    cascade = LLMCascade(
        ["mistral/mistral-large-latest", own], retry=ONCE, api_key=KEY, api_base=f"{gateway.url}/v1"
    )
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
    with pytest.raises(ConfigurationError, match="params: must not hold 'base_url'"):
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


@pytest.mark.parametrize("wrong", [5, ""])
def test_a_key_for_all_must_be_a_key(wrong: Any) -> None:
    complaint = "^api_key must be a string, not empty; left out, LiteLLM reads the environment$"
    with pytest.raises(ConfigurationError, match=complaint):
        LLMCascade(["openai/gpt-4.1"], api_key=wrong)


def test_an_api_base_for_all_must_be_a_url() -> None:
    for wrong in ("nope", f"user:{KEY}@host/v1", 5):
        with pytest.raises(ConfigurationError) as caught:
            LLMCascade(["openai/gpt-4.1"], api_base=wrong)
        assert str(caught.value) == "api_base must be a URL such as 'https://host/v1'"


def story(error: BaseException) -> str:
    """Return all that this package says of an error, without LiteLLM's own words in the cause."""
    own = copy.copy(error)
    own.__cause__ = own.__context__ = None
    attempts = getattr(error, "attempts", "")
    return f"{error} {error!r} {attempts} {''.join(traceback.format_exception(own))}"


@pytest.mark.parametrize(("provider", "model"), WIRES)
@pytest.mark.parametrize("where", ["target", "environment", "call", "headers", "global"])
@pytest.mark.parametrize("status", [400, 401, 429, 500])
async def test_a_key_that_the_vendor_echoes_is_shown_nowhere(
    serve: Serve,
    provider: str,
    model: str,
    where: str,
    status: int,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG, logger="majordomo_cascade")
    server = serve(Status(status, f"Incorrect API key provided: {KEY}. I say: no.", KEY))
    target = server.target(provider, model, api_key=KEY if where == "target" else None)
    params: dict[str, Any] = {}
    if where == "environment":
        monkeypatch.setenv(f"{provider.upper()}_API_KEY", KEY)
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
    records = [vars(each) for each in caplog.records if each.name == "majordomo_cascade"]
    told = f"{story(caught.value)} {records}"
    assert f"HTTP {status} […]: Incorrect API key provided: […]" in told
    assert KEY not in told
    assert PROMPT not in told
    assert KEY not in pickle.dumps(caught.value).decode("latin-1")


async def test_a_key_that_a_streams_error_event_echoes_is_shown_nowhere(serve: Serve) -> None:
    server = serve(EchoOfTheKey())
    cascade = LLMCascade([server.target(api_key=KEY)], retry=ONCE)
    with pytest.raises(MajordomoError) as caught:
        await cascade.get_response_stream(PROMPT)
    told = story(caught.value)
    assert "the stream reported […]: who is […]?" in told
    assert KEY not in told


class EchoOfTheKey:
    """Begins a stream, and reports an error that quotes the key."""

    async def perform(self, exchange: Exchange) -> None:
        await exchange.begin_stream()
        await exchange.send_event({"error": {"message": f"who is {KEY}?", "code": KEY}})
        await exchange.end_stream()


async def test_a_broken_on_attempt_does_not_log_what_it_was_told(
    serve: Serve, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(attempt: Any) -> None:
        raise RuntimeError("the metrics server is down") from attempt.error

    server = serve(Status(400, KEY))
    with pytest.raises(BadRequestError):
        await LLMCascade([server.target(api_key=KEY)], on_attempt=broken).get_response(PROMPT)
    records = [record for record in caplog.records if record.name == "majordomo_cascade"]
    told = "".join(map(logging.Formatter().format, records))
    assert "the metrics server is down" in told
    assert KEY not in told
    assert PROMPT not in told


@pytest.mark.parametrize("text", [f"prose: {ANSWER}", f'{{"value": "{ANSWER}"}}', f'["{ANSWER}"]'])
async def test_an_error_about_an_answer_quotes_it_in_its_traceback_alone(
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


async def test_an_answer_in_a_traceback_is_short_on_one_line_and_without_the_key(
    serve: Serve,
) -> None:
    text = f"{ANSWER}\x1b[31m\n{KEY} " + "and so on " * 100
    with pytest.raises(MajordomoError) as caught:
        await LLMCascade([serve(Reply(text)).target(api_key=KEY)]).get_json_response(PROMPT)
    shown = "".join(traceback.format_exception(caught.value))
    assert KEY not in shown
    (line,) = (line for line in shown.splitlines() if line.startswith("the answer began: "))
    assert line.startswith(f"the answer began: {ANSWER} [31m […] and so on and so on")
    assert line.endswith("…")
    assert len(line) < 250


def test_the_reprs_of_targets_and_cascades_show_no_key() -> None:
    target = Target(
        "openai",
        "gpt-4.1",
        api_key=KEY,
        params={"extra_headers": {"Authorization": f"Bearer {KEY}"}},
    )
    cascade = LLMCascade(
        [target, Target("openai", "x", api_base=f"http://user:{KEY}@host/v1")], user=KEY
    )
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
