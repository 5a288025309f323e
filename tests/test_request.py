"""The parameters and messages that are sent, and those that are refused before any request."""

from __future__ import annotations

import inspect
import re
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from functools import partial
from types import SimpleNamespace
from typing import Any
from unittest.mock import AsyncMock, MagicMock

import litellm
import pytest
from conftest import WIRES, Serve
from openai.types.chat import ChatCompletionMessage

from majordomo_cascade import (
    BadRequestError,
    ConfigurationError,
    LLMCascade,
    ProviderError,
    RetryPolicy,
    Target,
)
from majordomo_cascade.request import check_messages, copy
from majordomo_cascade.testing import Reply, Status

ANY = LLMCascade(["openai/gpt-4.1", "anthropic/claude-sonnet-4-5"])
USER = {"role": "user", "content": "Hello"}


async def test_the_prompts_become_messages(serve: Serve) -> None:
    server = serve()
    cascade = LLMCascade([server.target()])
    await cascade.get_response("Hello", "Be concise.")
    await cascade.get_response("Hello")
    await cascade.get_response(messages=[USER, {"role": "assistant", "content": "Hi"}, USER])
    system, alone, turns = (request.json["messages"] for request in server.requests)
    assert system == [{"role": "system", "content": "Be concise."}, USER]
    assert alone == [USER]
    assert turns == [USER, {"role": "assistant", "content": "Hi"}, USER]


async def test_unset_sampling_parameters_are_not_sent(serve: Serve) -> None:
    server = serve()
    cascade = LLMCascade([server.target()])
    await cascade.get_response("Hello")
    await cascade.get_response("Hello", temperature=0.0, top_p=0.5, max_tokens=7)
    plain, sampled = (request.json for request in server.requests)
    assert plain.keys() == {"model", "messages"}
    assert (sampled["temperature"], sampled["top_p"], sampled["max_tokens"]) == (0.0, 0.5, 7)


Way = Callable[..., Awaitable[Any]]

#: The ways to ask, as a call with the same arguments.
WAYS: dict[str, Callable[[LLMCascade], Way]] = {
    "text": lambda cascade: cascade.get_response,
    "json": lambda cascade: cascade.get_json_response,
    "structured": lambda cascade: partial(cascade.get_structured_json_response, dict[str, Any]),
    "stream": lambda cascade: cascade.get_response_stream,
}


@pytest.mark.parametrize("way", WAYS)
async def test_every_way_to_ask_sends_what_it_is_given(
    way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[dict[str, Any]] = []
    acompletion = litellm.acompletion

    async def recording(**sent: Any) -> Any:
        seen.append(sent)
        return await acompletion(**sent)

    monkeypatch.setattr(litellm, "acompletion", recording)
    ask = partial(WAYS[way](LLMCascade(["openai/gpt-4.1"], mock_response="{}")), timeout=7)
    await ask("Hello", "Be brief.", temperature=0.1, top_p=0.2, max_tokens=3)
    await ask(messages=[USER])
    sampled, plain = seen
    assert [sampled[name] for name in ("temperature", "top_p", "max_tokens")] == [0.1, 0.2, 3]
    assert not plain.keys() & {"temperature", "top_p", "max_tokens"}
    assert [message["role"] for message in sampled["messages"]] == ["system", "user"]
    assert "Be brief." in sampled["messages"][0]["content"]
    assert plain["messages"][-1] == USER
    assert sampled["timeout"] == (
        30 if way == "stream" else 7
    )  # at least the silence that a stream may keep


@pytest.mark.parametrize("way", [*WAYS, "acompletion"])
async def test_every_way_to_ask_checks_its_limits(way: str) -> None:
    ask = (
        partial(ANY.acompletion, [USER])
        if way == "acompletion"
        else partial(WAYS[way](ANY), "Hello")
    )
    for name in ("timeout", "deadline"):
        wrong: dict[str, Any] = {name: -1}
        with pytest.raises(BadRequestError) as caught:
            await ask(**wrong, mock_response="never asked")
        expected = f"{name} must be a positive number of seconds, or None for no limit, not -1"
        assert str(caught.value) == expected


async def test_a_calls_parameters_beat_the_targets_which_beat_the_cascades(serve: Serve) -> None:
    server = serve()
    target = server.target(params={"seed": 2, "top_p": 0.2, "user": "target"})
    cascade = LLMCascade([target], seed=1, top_p=0.1, user="cascade", presence_penalty=0.1)
    await cascade.get_response("Hello", seed=3, temperature=0.3)
    sent = server.requests[0].json
    expected = {
        "seed": 3,
        "top_p": 0.2,
        "user": "target",
        "presence_penalty": 0.1,
        "temperature": 0.3,
    }
    assert {name: sent[name] for name in expected} == expected


async def test_litellms_parameters_pass_through_untouched(monkeypatch: pytest.MonkeyPatch) -> None:
    sent: dict[str, Any] = {}

    async def patched(**kwargs: Any) -> Any:
        sent.update(kwargs)
        return litellm.ModelResponse(choices=[{"message": {"role": "assistant", "content": "x"}}])

    monkeypatch.setattr(litellm, "acompletion", patched)
    client = object()
    params: dict[str, Any] = {
        "tools": [{"type": "function", "function": {"name": "f", "parameters": {}}}],
        "metadata": {"trace": {"id": 1}},
        "extra_headers": {"x-tenant": "t"},
        "drop_params": True,
        "some_vendor_option": 5,
        "client": client,
    }
    await ANY.get_response("Hello", **params)
    assert {name: sent[name] for name in params} == params
    assert sent["client"] is client
    assert (sent["model"], sent["max_retries"], sent["num_retries"]) == ("openai/gpt-4.1", 0, 0)


def test_a_copy_shares_its_leaves_alone() -> None:
    leaf = object()
    given: dict[str, Any] = {"stop": ["END", leaf, ["deep", {"a": leaf}]], "none": None}
    made = copy(given)
    assert made == given
    assert made["stop"] is not given["stop"]
    assert made["stop"][2] is not given["stop"][2]
    assert made["stop"][2][1]["a"] is leaf


async def test_the_callers_own_objects_are_not_written_to(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scribbling(**sent: Any) -> Any:
        sent["metadata"]["deep"]["written"] = True
        sent["messages"][0]["content"] = "written"
        raise litellm.RateLimitError("slow", "openai", "m")

    seen: list[Any] = []

    async def reading(**sent: Any) -> Any:
        seen.append((sent["metadata"], sent["messages"]))
        return litellm.ModelResponse(choices=[{"message": {"role": "assistant", "content": "x"}}])

    metadata: dict[str, Any] = OrderedDict({"deep": {}})
    messages = [dict(USER)]
    monkeypatch.setattr(litellm, "acompletion", scribbling)
    with pytest.raises(Exception, match="RateLimitError"):
        await LLMCascade([WIRES[0]], metadata=metadata, max_tokens=1).get_response(
            messages=messages, timeout=5
        )
    assert (metadata, messages) == ({"deep": {}}, [USER])

    async def first_scribbles(**sent: Any) -> Any:
        return await (scribbling if sent["model"].startswith("openai") else reading)(**sent)

    monkeypatch.setattr(litellm, "acompletion", first_scribbles)
    await ANY.get_response(messages=messages, metadata=metadata)
    assert (metadata, messages) == ({"deep": {}}, [USER])
    assert seen == [({"deep": {}}, [USER])]


async def test_a_change_of_params_after_building_changes_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seen: list[Any] = []

    async def patched(**sent: Any) -> Any:
        seen.append(sent["metadata"])
        return litellm.ModelResponse(choices=[{"message": {"role": "assistant", "content": "x"}}])

    monkeypatch.setattr(litellm, "acompletion", patched)
    params: dict[str, Any] = {"metadata": {"deep": {}}}
    cascades = (
        LLMCascade([Target("openai", "gpt-4.1", params=params)]),
        LLMCascade(["openai/gpt-4.1"], **params),
    )
    params["metadata"]["deep"]["late"] = True
    for cascade in cascades:
        await cascade.get_response("Hello")
    assert seen == [{"deep": {}}, {"deep": {}}]


class Xylophone:
    """Is no content, and does not begin with a vowel."""


@pytest.mark.parametrize(
    ("kwargs", "complaint"),
    [
        ({}, r"nothing was asked: give user_prompt='…' or messages=\[\{'role': 'user', …\}\]$"),
        ({"user_prompt": ""}, "user_prompt is empty$"),
        ({"user_prompt": "  "}, "user_prompt is empty"),
        ({"user_prompt": 5}, "user_prompt must be a string .*, not int"),
        ({"user_prompt": [USER]}, "user_prompt must be a string .*, not list"),
        ({"user_prompt": "x", "system_prompt": 5}, "system_prompt must be a string .*, not int"),
        (
            {"user_prompt": "x", "messages": [USER]},
            r"give either user_prompt \(and system_prompt\) or messages, not both$",
        ),
        (
            {"system_prompt": "x", "messages": [USER]},
            r"give either user_prompt \(and system_prompt\) or messages",
        ),
        ({"messages": "text"}, "messages must be a list .*, not str"),
        ({"messages": USER}, "messages must be a list .*, not dict"),
        ({"messages": 5}, "messages must be a list .*, not int"),
        (
            {"messages": []},
            r"messages is empty; expected a list such as \[\{'role': 'user', 'content': '…'\}\]$",
        ),
        (
            {"messages": ["text"]},
            r"messages\[0\] must be a dict with a role and a content, not str",
        ),
        (
            {"messages": [USER, None]},
            r"messages\[1\] must be a dict with a role and a content, not NoneType",
        ),
        (
            {"messages": [{"content": "x"}]},
            r"messages\[0\] has no role; expected one of system, developer, user",
        ),
        ({"messages": [{"role": 5, "content": "x"}]}, r"messages\[0\] has no role"),
        (
            {"messages": [{"role": "usr", "content": "x"}]},
            r"messages\[0\] has the role 'usr'; expected one of",
        ),
        (
            {"messages": [{"role": "user", "function_call": {"name": "f"}}]},
            r"messages\[0\] has no content",
        ),
        ({"messages": [{"role": "user"}]}, r"messages\[0\] has no content"),
        (
            {"messages": [{"role": "assistant", "content": "x", "tool_calls": "now()"}]},
            r"messages\[0\]\['tool_calls'\] must be a list of tool calls .*, not str",
        ),
        (
            {"messages": [{"role": "assistant", "content": "x", "tool_calls": ["now()"]}]},
            r"messages\[0\]\['tool_calls'\] must be a list of tool calls",
        ),
        ({"messages": [{"role": "assistant", "content": None}]}, r"messages\[0\] has no content"),
        (
            {"messages": [{"role": "user", "content": object()}]},
            r"messages\[0\]\['content'\] must be a string or a list of .*, not object",
        ),
        (
            {"messages": [{"role": "user", "content": Xylophone()}]},
            r"messages\[0\]\['content'\] must be a string or a list of .*, not Xylophone",
        ),
        (
            {"messages": [{"role": "user", "content": []}]},
            r"messages\[0\]\['content'\] must be a string or a list of one part or more, not list",
        ),
        (
            {"messages": [{"role": "user", "content": ["x"]}]},
            r"messages\[0\]\['content'\]\[0\] must be a dict",
        ),
        (
            {"messages": [{"role": "user", "content": [{"text": "x"}]}]},
            r"messages\[0\]\['content'\]\[0\] must be a dict such as \{'type': 'text'",
        ),
        (
            {"messages": [{"role": "user", "content": [{"type": "text"}]}]},
            r"messages\[0\]\['content'\]\[0\]\['text'\] must be a string",
        ),
        (
            {"messages": [{"role": "user", "content": [{"type": "text", "text": object()}]}]},
            r"messages\[0\]\['content'\]\[0\]\['text'\] must be a string",
        ),
    ],
)
async def test_a_mistake_in_a_call_is_seen_before_any_request(
    kwargs: dict[str, Any], complaint: str
) -> None:
    for ask in (ANY.get_response, ANY.get_json_response):
        with pytest.raises(BadRequestError, match=f"^{complaint}") as caught:
            await ask(**kwargs, mock_response="never asked")
        assert caught.value.attempts == ()
    with pytest.raises(BadRequestError, match=f"^{complaint}"):
        await ANY.get_structured_json_response(int, **kwargs, mock_response="never asked")


async def test_stream_true_is_for_acompletion_only() -> None:
    for ask in (ANY.get_response, ANY.get_json_response, ANY.get_response_stream):
        with pytest.raises(BadRequestError) as caught:
            await ask("Hello", stream=True, mock_response="never asked")
        assert str(caught.value) == (
            "'stream' is not passed on to LiteLLM: use get_response_stream, or acompletion, "
            "which takes it"
        )
    assert (await ANY.get_response("Hello", stream=False, mock_response="fine")).content == "fine"


async def test_acompletion_checks_its_messages_too() -> None:
    with pytest.raises(BadRequestError, match=r"^nothing was asked: give .* or messages="):
        await ANY.acompletion(messages=None, mock_response="never asked")  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize(
    "message",
    [
        {"role": "developer", "content": "x"},
        {"role": "tool", "tool_call_id": "1", "content": "42"},
        {
            "role": "user",
            "content": [{"type": "image_url", "image_url": {"url": "https://host/cat.png"}}],
        },
        {"role": "user", "content": ({"type": "text", "text": "x"},)},
        {"role": "user", "content": "x", "name": "ann", "cache_control": {"type": "ephemeral"}},
        {"role": "assistant", "content": None, "tool_calls": [{"id": "1"}]},
        {"role": "assistant", "content": None, "function_call": {"name": "f", "arguments": "{}"}},
        litellm.Message(role="assistant", content="an earlier answer"),
    ],
    ids=repr,
)
async def test_messages_that_openais_format_allows_are_taken(message: Any) -> None:
    response = await ANY.get_response(messages=[message], mock_response="fine")
    assert response.content == "fine"


OPTIONS = (
    "accept",
    "failover_on",
    "first_token_timeout",
    "hedge_after",
    "on_attempt",
    "retry",
    "stall_timeout",
)

#: Names that LiteLLM must not get, and the beginning of what to use instead.
REFUSED = {
    "breaker": "LLMCascade(…, breaker=…)",
    "context_window_fallback_dict": "the cascade's own list of providers",
    "fallbacks": "the cascade's own list of providers",
    "max_retries": "retry=RetryPolicy(attempts=…)",
    "model": "the cascade's own list of providers",
    "model_list": "the cascade's own list of providers",
    "num_retries": "retry=RetryPolicy(attempts=…)",
    "providers": "LLMCascade([…])",
    "request_timeout": "timeout=…",
    "retry_policy": "retry=RetryPolicy(…)",
    "retry_strategy": "retry=RetryPolicy(…)",
    "schema": "response_format=…",
    "validation_retries": "get_json_response or get_structured_json_response",
}


@pytest.mark.parametrize("name", REFUSED)
async def test_a_name_that_litellm_must_not_get_is_refused(name: str) -> None:
    complaint = f"^'{name}' is not passed on to LiteLLM: use {re.escape(REFUSED[name])}"
    params: dict[str, Any] = {name: 1}
    for level in ("params", "overrides") if name != "model" else ():
        fields: dict[str, Any] = {level: params}
        with pytest.raises(ConfigurationError, match=complaint):
            LLMCascade([Target("openai", "gpt-4.1", **fields)])
    if name not in {"breaker", "providers", "validation_retries"}:
        with pytest.raises(ConfigurationError, match=complaint):
            LLMCascade(["openai/gpt-4.1"], **params)
    if name != "validation_retries":
        with pytest.raises(BadRequestError, match=complaint):
            await ANY.get_response("Hello", mock_response="never asked", **params)
        with pytest.raises(BadRequestError, match=complaint):
            await ANY.acompletion([USER], mock_response="never asked", **params)


@pytest.mark.parametrize("name", OPTIONS)
async def test_an_option_of_a_cascade_is_refused_as_a_parameter(name: str) -> None:
    complaint = rf"^'{name}' is not passed on to LiteLLM: use cascade\.with_options\({name}=…\)$"
    params: dict[str, Any] = {name: 1}
    for level in ("params", "overrides"):
        fields: dict[str, Any] = {level: params}
        with pytest.raises(ConfigurationError, match=complaint):
            LLMCascade([Target("openai", "gpt-4.1", **fields)])
    with pytest.raises(BadRequestError, match=complaint):
        await ANY.get_response("Hello", mock_response="never asked", **params)
    with pytest.raises(BadRequestError, match=complaint):
        await ANY.acompletion([USER], mock_response="never asked", **params)


@pytest.mark.parametrize("name", ["max_retries", "num_retries"])
@pytest.mark.parametrize("nothing", [0, None])
async def test_no_retries_of_litellms_may_be_said(serve: Serve, name: str, nothing: Any) -> None:
    params: dict[str, Any] = {name: nothing}
    server = serve(Status(503))
    cascade = LLMCascade([server.target(params=params)], retry=RetryPolicy(attempts=1), **params)
    with pytest.raises(ProviderError):
        await cascade.get_response("Hello", **params)
    assert len(server.requests) == 1
    assert not server.requests[0].json.keys() & {name}


@pytest.mark.parametrize(
    "name", ["top_k", "top_a", "min_p", "timeout_ms", "keep_alive", "max_completion_tokens"]
)
async def test_a_name_that_only_resembles_one_of_ours_passes(name: str) -> None:
    params: dict[str, Any] = {name: 1}
    assert (await ANY.get_response("Hello", mock_response="fine", **params)).content == "fine"


async def test_validation_retries_are_refused_where_no_json_is_asked_for() -> None:
    complaint = (
        "validation_retries is for answers that are JSON: ask with get_json_response or "
        "get_structured_json_response"
    )
    for ask in (ANY.get_response, ANY.get_response_stream):
        for number in (0, 1):
            with pytest.raises(BadRequestError) as caught:
                await ask("Hello", validation_retries=number, mock_response="never asked")
            assert str(caught.value) == complaint
    with pytest.raises(BadRequestError, match=f"^{complaint}$"):
        await ANY.acompletion([USER], validation_retries=1, mock_response="never asked")


@pytest.mark.parametrize("wrong", [-1, 1.5, True, None, "2"])
async def test_validation_retries_must_be_a_count(wrong: Any) -> None:
    complaint = "^validation_retries must be 0 or a positive whole number, not"
    with pytest.raises(ConfigurationError, match=complaint):
        LLMCascade(["openai/gpt-4.1"], validation_retries=wrong)
    with pytest.raises(BadRequestError, match=complaint):
        await ANY.get_json_response("Hello", validation_retries=wrong, mock_response="never asked")


async def test_response_format_is_refused_beside_a_type() -> None:
    complaint = r"^response_format is made from response_model here; give only one of them$"
    form = {"type": "json_object"}
    with pytest.raises(BadRequestError, match=complaint):
        await ANY.get_structured_json_response(int, "Hello", response_format=form)
    response = await ANY.get_json_response("Hello", response_format=form, mock_response="{}")
    assert response.content == {}


#: The arguments of all ways to ask but acompletion, in order.
SHARED = [
    "self",
    "user_prompt",
    "system_prompt",
    "messages",
    "temperature",
    "top_p",
    "max_tokens",
    "timeout",
    "deadline",
    "validation_retries",
    "params",
]


WAYS_BY_NAME = (
    "get_response",
    "get_json_response",
    "get_structured_json_response",
    "get_response_stream",
)


def test_the_ways_to_ask_show_their_arguments() -> None:
    cascade = LLMCascade
    for way in (cascade.get_response, cascade.get_json_response, cascade.get_response_stream):
        assert list(inspect.signature(way).parameters) == SHARED
    structured: Any = cascade.get_structured_json_response
    assert list(inspect.signature(structured).parameters) == [
        "self",
        "response_model",
        *SHARED[1:],
    ]
    assert list(inspect.signature(ANY.get_response).parameters) == SHARED[1:]
    assert list(inspect.signature(ANY.get_structured_json_response).parameters) == [
        "response_model",
        *SHARED[1:],
    ]
    for name in WAYS_BY_NAME:
        way = getattr(cascade, name)
        assert (way.__name__, way.__qualname__) == (name, f"LLMCascade.{name}")
        assert way.__doc__.startswith("Ask for ")


@pytest.mark.parametrize("name", WAYS_BY_NAME)
def test_a_mock_of_a_cascade_is_asynchronous_too(name: str) -> None:
    assert inspect.iscoroutinefunction(getattr(LLMCascade, name))
    assert isinstance(getattr(MagicMock(spec=LLMCascade), name), AsyncMock)


async def test_arguments_may_be_given_by_place_or_by_name() -> None:
    ask = ANY.get_structured_json_response
    assert (await ask(int, "Hello", mock_response="7")).content == 7
    by_name = await ask(response_model=int, user_prompt="Hello", mock_response="7")
    assert by_name.content == 7
    text = await ANY.get_response(user_prompt="Hello", system_prompt="x", mock_response="Hi")
    assert text.content == "Hi"


async def test_a_wrong_number_of_arguments_is_a_type_error() -> None:
    ask: Any = ANY.get_response
    with pytest.raises(TypeError):
        await ask("Hello", "Be brief.", [USER])
    structured: Any = ANY.get_structured_json_response
    with pytest.raises(TypeError):
        await structured(user_prompt="Hello")


@pytest.mark.parametrize(
    ("slip", "meant"), [("opnai", "openai"), ("antropic", "anthropic"), ("OpenAI", "openai")]
)
def test_a_slip_in_a_providers_name(slip: str, meant: str) -> None:
    hint = rf"^LiteLLM has no provider '{slip}': did you mean '{meant}'(?: or '\w+'){{0,2}}\?$"
    with pytest.raises(ConfigurationError, match=hint):
        LLMCascade([(slip, "model")])


A_LIST = "providers must be a list such as [('openai', 'gpt-5.5')], not"
A_PAIR = (
    "a provider must be a pair such as ('openai', 'gpt-5.5'), a string such as 'openai/gpt-5.5', "
    "or a Target, not"
)


def unknown(provider: str, hint: str) -> str:
    return f"LiteLLM has no provider {provider!r}: {hint}"


def unknown_model(model: str) -> str:
    return (
        f"{model!r} is not the name of a chat model that LiteLLM knows: give its provider, too, "
        f"as ('provider', {model!r}) or 'provider/{model}'"
    )


@pytest.mark.parametrize(
    ("providers", "complaint"),
    [
        ([], "providers is empty; expected a list such as [('openai', 'gpt-5.5')]"),
        ("openai/gpt-4.1", f"{A_LIST} str"),
        (None, f"{A_LIST} NoneType"),
        ({"openai": "gpt-4.1"}, f"{A_LIST} dict"),
        (Target("openai", "gpt-4.1"), f"{A_LIST} Target"),
        (
            ("openai", "gpt-4.1"),
            "providers must be a list such as [('openai', 'gpt-5.5')], not one pair",
        ),
        ([("openai",)], f"{A_PAIR} tuple"),
        ([("openai", "gpt-4.1", "key")], f"{A_PAIR} tuple"),
        ([["openai", 4]], f"{A_PAIR} list"),
        ([None], f"{A_PAIR} NoneType"),
        (
            [("google", "gemini-2.5-flash")],
            unknown("google", "did you mean 'gemini' or 'vertex_ai'?"),
        ),
        ([("Claude", "claude-sonnet-4-5")], unknown("Claude", "did you mean 'anthropic'?")),
        ([("aws", "claude-sonnet-4-5")], unknown("aws", "did you mean 'bedrock'?")),
        ([("gpt", "gpt-4.1")], unknown("gpt", "did you mean 'openai'?")),
        ([("qqqqqqqq", "x")], unknown("qqqqqqqq", "litellm.provider_list has their names")),
        (
            ["openai", "gpt-4.1"],
            "'openai' is a provider; give its model, too, as ('openai', '…') or 'openai/…'",
        ),
        ([("gpt-4.1", "openai")], "the provider comes first: ('openai', 'gpt-4.1')"),
        (["no-such-model"], unknown_model("no-such-model")),
        (["text-embedding-3-small"], unknown_model("text-embedding-3-small")),
        ([("openai", "")], "Target: model: String should have at least 1 character"),
        ([("", "gpt-4.1")], "Target: provider: String should have at least 1 character"),
        (["openai/"], "Target: model: String should have at least 1 character"),
    ],
)
def test_a_cascade_that_cannot_be_built(
    providers: Any, complaint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(ConfigurationError) as caught:
        LLMCascade(providers)
    assert str(caught.value) == complaint
    assert isinstance(caught.value, ValueError)
    assert capsys.readouterr().out == ""  # LiteLLM likes to print its list of providers


@pytest.mark.parametrize(
    ("entry", "expected"),
    [
        (("openai", "gpt-4.1"), ("openai", "gpt-4.1")),
        (["openai", "gpt-4.1"], ("openai", "gpt-4.1")),
        ("openai/gpt-4.1", ("openai", "gpt-4.1")),
        ("openrouter/anthropic/claude-sonnet-4.5", ("openrouter", "anthropic/claude-sonnet-4.5")),
        (Target("gemini", "gemini-2.5-flash"), ("gemini", "gemini-2.5-flash")),
        ("gpt-4.1", ("openai", "gpt-4.1")),
        ("claude-sonnet-4-5", ("anthropic", "claude-sonnet-4-5")),
        (("openai", "a-model-of-tomorrow"), ("openai", "a-model-of-tomorrow")),
    ],
)
def test_the_ways_to_name_a_target(entry: Any, expected: tuple[str, str]) -> None:
    (target,) = LLMCascade([entry]).targets
    assert (target.provider, target.model) == expected


def test_two_models_in_a_tuple_are_no_pair_of_provider_and_model() -> None:
    both = ("openai/gpt-4.1", "anthropic/claude-sonnet-4-5")
    assert [(target.provider, target.model) for target in LLMCascade(both).targets] == list(
        WIRES[:2]
    )


def test_a_provider_that_the_application_registered_with_litellm(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    custom = [{"provider": "in_house", "custom_handler": SimpleNamespace()}]
    monkeypatch.setattr(litellm, "custom_provider_map", custom)
    assert LLMCascade(["in_house/model"]).targets[0].provider == "in_house"


NOT_SENT = (
    "holds a line break, a space at an end, or a character that is not ASCII; was it copied whole?"
)
ELSEWHERE = "which is a field of Target or an argument of the call"
TARGETS_OWN = ("api_key", "api_base", "base_url", "timeout", "model", "messages")
FIELDS = "provider, model, api_key, api_base, timeout, params, overrides, structured_output, name"


@pytest.mark.parametrize(
    ("fields", "complaint"),
    [
        (
            {"api_key": ""},
            "api_key: must be a string, not empty; left out, LiteLLM reads the environment",
        ),
        ({"api_key": "sk-1234567890\n"}, f"api_key: {NOT_SENT}"),
        ({"api_key": " sk-1234567890"}, f"api_key: {NOT_SENT}"),
        ({"api_key": "sk-12345\x0067890"}, f"api_key: {NOT_SENT}"),
        ({"api_key": "sk-ключ"}, f"api_key: {NOT_SENT}"),
        ({"api_key": 5}, "api_key: Input should be a valid string, not 5"),
        ({"api_key": ["sk-1234567890"]}, "api_key: Input should be a valid string"),
        ({"api_base": "localhost:8000"}, "api_base: must be a URL such as 'https://host/v1'"),
        ({"api_base": "ftp://localhost/v1"}, "api_base: must be a URL such as 'https://host/v1'"),
        ({"api_base": "http:///v1"}, "api_base: must be a URL such as 'https://host/v1'"),
        ({"timeout": 0}, "timeout: Input should be greater than 0, not 0"),
        ({"timeout": "5"}, "timeout: Input should be a valid number"),
        ({"params": 5}, "params: Input should be a valid dictionary, not 5"),
        ({"parms": {}}, f"there is no 'parms'; expected {FIELDS}"),
        ({"apikey": "sk-1234567890"}, f"there is no 'apikey'; expected {FIELDS}"),
        *(
            (
                {level: {name: "sk-1234567890"}},
                f"{level}: must not hold {name!r}, {ELSEWHERE}",
            )
            for level in ("params", "overrides")
            for name in TARGETS_OWN
        ),
    ],
)
def test_a_target_that_cannot_be_built(fields: dict[str, Any], complaint: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        Target("openai", "gpt-4.1", **fields)
    assert str(caught.value) == f"Target: {complaint}"


def test_a_target_keeps_what_it_was_given() -> None:
    given: dict[str, Any] = {
        "api_base": "https://host/v1",
        "timeout": 5.0,
        "params": {"a": 1},
        "overrides": {"b": None},
        "structured_output": "json_mode",
    }
    target = Target("openai", "gpt-4.1", api_key="sk-1234567890", **given)
    kept = target.model_dump(exclude={"api_key"})
    named = {"provider": "openai", "model": "gpt-4.1", "name": "openai/gpt-4.1"}
    assert kept == {**named, **given}
    assert target.api_key is not None
    assert target.api_key.get_secret_value() == "sk-1234567890"
    assert Target("openai", "gpt-4.1", api_key=target.api_key) == Target(
        "openai", "gpt-4.1", api_key="sk-1234567890"
    )


def test_a_target_is_frozen_and_keeps_its_params_to_itself() -> None:
    params = {"metadata": {"a": 1}}
    target = Target("openai", "gpt-4.1", params=params)
    with pytest.raises(ValueError, match="frozen"):
        target.model = "gpt-5"  # pyright: ignore[reportAttributeAccessIssue]
    params["metadata"] = {}
    assert target.params == {"metadata": {"a": 1}}


def test_a_cascade_takes_no_attributes() -> None:
    with pytest.raises(AttributeError, match=r"with_options\(timeout=…\)"):
        ANY.timeout = 5  # pyright: ignore[reportAttributeAccessIssue]


@pytest.mark.parametrize(
    ("params", "complaint"),
    [
        ({"extra_headers": 5}, "extra_headers must be a dict, not int"),
        ({"extra_headers": {"x-a": None}}, "extra_headers must be a dict of strings"),
        ({"headers": {"x-a": b"b"}}, "headers must be a dict of strings"),
        ({"metadata": "x"}, "metadata must be a dict, not str"),
        ({"schema": {}}, "'schema' is not passed on to LiteLLM: use response_format="),
    ],
)
async def test_a_parameter_of_a_wrong_kind_is_seen_before_any_request(
    params: dict[str, Any], complaint: str
) -> None:
    with pytest.raises(ConfigurationError, match=complaint):
        LLMCascade(["openai/gpt-4.1"], **params)
    with pytest.raises(BadRequestError, match=complaint):
        await ANY.get_response("Hello", mock_response="never asked", **params)


@pytest.mark.parametrize("wrong", [5, "print"])
def test_on_attempt_must_be_callable(wrong: Any) -> None:
    with pytest.raises(ConfigurationError, match="on_attempt must be a plain function"):
        LLMCascade(["openai/gpt-4.1"], on_attempt=wrong)


def test_on_attempt_is_not_awaited() -> None:
    async def late(attempt: Any) -> None: ...

    class Late:
        async def __call__(self, attempt: Any) -> None: ...

    for wrong in (late, Late()):
        with pytest.raises(ConfigurationError, match="it is not awaited"):
            LLMCascade(["openai/gpt-4.1"], on_attempt=wrong)


@pytest.mark.parametrize("kind", [litellm.Message, ChatCompletionMessage])
async def test_an_earlier_answer_is_sent_without_its_empty_fields(serve: Serve, kind: Any) -> None:
    server = serve()
    turn: Any = kind(role="assistant", content="An earlier answer.", tool_calls=None)
    await LLMCascade([server.target()]).get_response(
        messages=[turn, {"role": "user", "content": "Go on."}]
    )
    assert server.requests[0].json["messages"][0] == {
        "role": "assistant",
        "content": "An earlier answer.",
    }
    assert check_messages([turn]) == [{"role": "assistant", "content": "An earlier answer."}]


async def test_acompletion_returns_litellms_own_response(serve: Serve) -> None:
    server = serve(Reply("Hi"))
    cascade = LLMCascade([server.target()])
    response = await cascade.acompletion(messages=[USER], temperature=0.5, timeout=5)
    assert isinstance(response, litellm.ModelResponse)
    assert response.choices[0].message.content == "Hi"  # pyright: ignore[reportAttributeAccessIssue]
    assert (await cascade.acompletion([USER])).usage.total_tokens == 15
    assert server.requests[0].json["temperature"] == 0.5
