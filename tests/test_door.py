"""What the door makes of LiteLLM's answers and errors, by itself."""

from __future__ import annotations

import asyncio
import importlib
import os
import sys
from types import SimpleNamespace
from typing import Any

import httpx
import litellm
import pytest
from conftest import Serve

from majordomo_cascade import (
    ContentPolicyError,
    InvalidRequestError,
    InvalidResponseError,
    LLMCascade,
    ResponseTruncatedError,
    Target,
    Usage,
)
from majordomo_cascade.chunks import NotWholeError
from majordomo_cascade.gateway import LONGEST_EXCERPT, NO_LIMIT, Completion, Endpoint, _keys, load
from majordomo_cascade.testing import Status


def completion(message: Any, finish_reason: str = "stop") -> Completion:
    raw = SimpleNamespace(choices=[SimpleNamespace(message=message, finish_reason=finish_reason)])
    return Completion(raw, "openai", "gpt-4.1", Usage(), None)


def endpoint() -> Endpoint:
    return LLMCascade(["openai/gpt-4.1"], api_key="sk-1234567890")._endpoints[0]


def test_a_model_of_the_responses_api_is_known_by_its_name() -> None:
    assert litellm.model_cost["o1-pro"]["mode"] == "responses"
    assert LLMCascade(["o1-pro"]).targets[0].provider == "openai"


def test_half_a_json_answer_is_told_with_what_to_do() -> None:
    with pytest.raises(ResponseTruncatedError) as caught:
        completion(SimpleNamespace(content='{"a": '), "length").json_text()
    assert str(caught.value) == (
        "openai/gpt-4.1: max_tokens cut the JSON answer after 6 characters; raise it, or ask for less"
    )
    assert (caught.value.provider, caught.value.model) == ("openai", "gpt-4.1")
    assert caught.value.partial_content == '{"a": '


def test_no_text_before_the_limit_is_told_with_what_to_do() -> None:
    with pytest.raises(ResponseTruncatedError) as caught:
        completion(SimpleNamespace(content=None), "length").text()
    assert str(caught.value) == "openai/gpt-4.1: max_tokens was spent before any text came; raise it"
    assert (caught.value.provider, caught.value.model) == ("openai", "gpt-4.1")


@pytest.mark.parametrize("raw", [SimpleNamespace(), SimpleNamespace(choices=[]), SimpleNamespace(choices=[object()])])
def test_an_answer_without_a_choice(raw: Any) -> None:
    answer = Completion(raw, "openai", "gpt-4.1", Usage(), None)
    assert answer.finish_reason is None
    with pytest.raises(InvalidResponseError) as caught:
        answer.text()
    assert str(caught.value) == "openai/gpt-4.1: the answer has no choices"
    assert (caught.value.provider, caught.value.model) == ("openai", "gpt-4.1")


@pytest.mark.parametrize("message", [SimpleNamespace(content=" "), SimpleNamespace(content=7), SimpleNamespace()])
def test_an_empty_answer(message: Any) -> None:
    with pytest.raises(InvalidResponseError) as caught:
        completion(message).text()
    assert str(caught.value) == "openai/gpt-4.1: the answer is empty"


@pytest.mark.parametrize(
    "message",
    [
        SimpleNamespace(content="x", refusal="I won't."),
        SimpleNamespace(content="x", refusal=None, provider_specific_fields={"refusal": "I won't."}),
    ],
)
def test_a_refusal_wherever_litellm_keeps_it(message: Any) -> None:
    with pytest.raises(ContentPolicyError) as caught:
        completion(message).text()
    assert str(caught.value) == "openai/gpt-4.1 refused: the answer was held back by a safety system"


def test_what_is_no_refusal() -> None:
    for fields in ({"refusal": None}, {"refusal": object()}, None, "refusal"):
        assert completion(SimpleNamespace(content="x", provider_specific_fields=fields)).text() == "x"
    assert completion(SimpleNamespace(content="x", refusal=object())).text() == "x"


@pytest.mark.parametrize(
    ("call", "expected"),
    [
        (SimpleNamespace(function=SimpleNamespace(name="json_tool_call", arguments='{"a": 1}')), '{"a": 1}'),
        (SimpleNamespace(function=SimpleNamespace(name="json_tool_call", arguments={"a": 1})), "beside it"),
        (SimpleNamespace(function=SimpleNamespace(name="weather", arguments="{}")), "beside it"),
        (SimpleNamespace(function=SimpleNamespace()), "beside it"),
        (SimpleNamespace(), "beside it"),
    ],
)
def test_the_tool_by_which_litellm_lets_a_model_answer(call: Any, expected: str) -> None:
    assert completion(SimpleNamespace(content="beside it", tool_calls=[call])).json_text() == expected
    assert completion(SimpleNamespace(content="alone")).json_text() == "alone"


def test_a_stream_that_is_not_whole_is_told_as_it_is() -> None:
    error: Any = endpoint()._translate({"messages": []}, NotWholeError("it only ended"), outside=None)
    assert isinstance(error, InvalidResponseError)
    assert (str(error), error.provider, error.model) == ("openai/gpt-4.1: it only ended", "openai", "gpt-4.1")


@pytest.mark.parametrize(("length", "end"), [(LONGEST_EXCERPT, "x"), (LONGEST_EXCERPT + 1, "…")])
def test_an_excerpt_is_as_long_as_it_may_be(length: int, end: str) -> None:
    shown = endpoint().excerpt("x" * length, [], {})
    assert shown == "x" * (LONGEST_EXCERPT) + end.strip("x")


async def test_a_price_of_nothing_is_believed_of_a_model_that_costs_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    async def patched(**_: Any) -> Any:
        raw: Any = litellm.ModelResponse(choices=[{"message": {"role": "assistant", "content": "x"}}])
        raw._hidden_params = {"response_cost": 0.0}
        return raw

    price = {"input_cost_per_token": 0, "output_cost_per_token": 0, "litellm_provider": "together_ai", "mode": "chat"}
    monkeypatch.setitem(litellm.model_cost, "together_ai/costs-nothing", price)
    monkeypatch.setattr(litellm, "acompletion", patched)
    for model, cost in (("costs-nothing", 0.0), ("nobody-knows", None)):
        response = await LLMCascade([("together_ai", model)]).get_response("Hello")
        assert response.cost == cost


@pytest.mark.parametrize("part", ["tool_calls", "function_call", "images", "audio"])
def test_an_answer_without_text_may_be_one(part: str) -> None:
    assert completion(SimpleNamespace(content=None, **{part: ["something"]})).text() == ""


def patch(monkeypatch: pytest.MonkeyPatch, content: str, tokens: int = 5, **hidden: Any) -> None:
    """Let LiteLLM answer by itself."""

    async def patched(**_: Any) -> Any:
        usage = litellm.Usage(prompt_tokens=1, completion_tokens=tokens, total_tokens=1 + tokens)
        raw: Any = litellm.ModelResponse(
            choices=[{"message": {"role": "assistant", "content": content}, "finish_reason": "stop"}], usage=usage
        )
        raw._hidden_params = hidden
        return raw

    monkeypatch.setattr(litellm, "acompletion", patched)


async def test_litellms_own_word_of_the_cost_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    patch(monkeypatch, "x", response_cost=1.5)
    assert (await LLMCascade(["openai/gpt-4.1"]).get_response("Hello")).cost == 1.5


async def test_an_answer_that_is_as_long_as_it_may_be_is_whole_where_its_vendor_says_so(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    patch(monkeypatch, '{"a": 1}', tokens=5)
    response = await LLMCascade(["openai/gpt-4.1"]).get_json_response("Hello", max_tokens=5)
    assert (response.content, response.finish_reason) == ({"a": 1}, "stop")


def test_a_key_that_is_given_is_not_looked_for() -> None:
    sent = endpoint()._request([{"role": "user", "content": "Hello"}], {})
    assert sent["api_key"] == "sk-1234567890"


def test_the_callers_own_allowances_are_kept_beside_ours() -> None:
    target = Target("hosted_vllm", "m", structured_output="json_schema", params={"allowed_openai_params": ["seed"]})
    (mine,) = LLMCascade([target])._endpoints
    mine._must_allow = True  # whatever this LiteLLM knows of the model
    assert mine._request([], {})["allowed_openai_params"] == ["seed", "response_format"]


async def test_roles_and_types_are_no_secrets(serve: Serve) -> None:
    complaint = "assistant can't have an image_url"
    server = serve(Status(400, complaint))
    parts = [{"type": "image_url", "image_url": {"url": "https://host/cat.png"}}]
    with pytest.raises(InvalidRequestError, match=complaint):
        await LLMCascade([server.target()]).get_response(
            messages=[{"role": "user", "content": parts}, {"role": "assistant", "content": "A cat."}]
        )


def test_an_endpoints_time_is_the_targets_or_else_the_cascades() -> None:
    for own, expected in ((7, 7), (None, 9)):
        assert Endpoint(Target("openai", "gpt-4.1", timeout=own), {}, 9).timeout == expected
    assert Endpoint(Target("openai", "gpt-4.1"), {}, None).timeout is None


@pytest.mark.parametrize(
    ("said", "known", "must_allow"),
    [
        (None, [], False),
        ("prompt", [], False),
        ("json_mode", [], True),
        ("json_schema", None, True),
        ("json_schema", ["response_format"], False),
    ],
)
def test_litellm_is_told_to_let_a_format_pass_where_the_caller_knows_better(
    said: Any, known: Any, *, must_allow: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(litellm, "get_supported_openai_params", lambda **_: known)
    sent = Endpoint(Target("openai", "gpt-4.1", api_key="k" * 9, structured_output=said), {}, None)._request([], {})
    assert sent.get("allowed_openai_params") == (["response_format"] if must_allow else None)


def test_where_claudes_json_may_be_cut_is_litellms_own_limit_for_the_model(monkeypatch: pytest.MonkeyPatch) -> None:
    config: Any = litellm.AnthropicConfig
    limit = config.get_config(model="anthropic/claude-sonnet-4-5")["max_tokens"]
    assert limit != config.get_config(model="anthropic/claude-3-haiku-20240307")["max_tokens"]

    def cuts() -> tuple[int, ...]:
        return Endpoint(Target("anthropic", "claude-sonnet-4-5"), {}, None)._cuts({"response_format": {}})

    assert cuts() == (limit,)

    def gone(**_: Any) -> Any:
        raise RuntimeError

    monkeypatch.setattr(config, "get_config", gone)
    assert cuts() == ()


def test_a_price_that_litellm_can_not_work_out_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    def gone(**_: Any) -> Any:
        raise RuntimeError

    price = {"input_cost_per_token": 0, "output_cost_per_token": 0, "litellm_provider": "openai", "mode": "chat"}
    monkeypatch.setitem(litellm.model_cost, "costs-nothing", price)
    monkeypatch.setattr(litellm, "completion_cost", gone)
    assert Endpoint(Target("openai", "costs-nothing"), {}, None)._price(None) is None


def refused(headers: dict[str, str], text: str = "") -> Exception:
    """What httpx raises for an error that a vendor sent."""
    request = httpx.Request("POST", "http://host/v1", headers=headers)
    return httpx.HTTPStatusError("status", request=request, response=httpx.Response(400, request=request, text=text))


@pytest.mark.parametrize(
    ("sent", "links", "expected"),
    [
        ({}, [], {""}),
        ({"api_key": "own", "model": "gpt-4.1", "azure_ad_token": "its", "max_tokens": 5}, [], {"own", "its", ""}),
        ({"extra_headers": {"Authorization": "Bearer  it", "x": "y"}}, [], {"Bearer  it", "it", ""}),
        ({"headers": {"x-api-key": "it"}}, [], {"it", ""}),
        ({"api_base": "https://me:p%40ss@host/v1"}, [], {"p@ss"}),
        ({"api_base": "https://[host/v1"}, [], set()),
        ({}, [ValueError(), refused({"x-api-key": "it", "x": "y"})], {"it", ""}),
    ],
)  # fmt: skip
def test_the_keys_of_a_request_wherever_they_are(
    sent: Any, links: Any, expected: set[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "environ", {"HOME": "/home", "SOME_VENDORS_TOKEN": "from-outside"})
    assert set(_keys(sent, links)) == expected | {"from-outside"}


@pytest.mark.parametrize("name", ["api_key", "openai_key"])
def test_the_keys_that_the_application_gave_to_litellm(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(litellm, name, "it")
    assert "it" in set(endpoint()._secrets({"messages": []}, ()))


def test_a_key_that_only_the_request_on_the_wire_has_is_blotted_out_too() -> None:
    error = refused({"x-api-key": "sk-0987654321"}, '{"error": {"message": "not sk-0987654321"}}')
    assert str(endpoint()._translate({"messages": []}, error, outside=None)) == "openai/gpt-4.1: HTTP 400: not […]"


def test_who_imports_litellm_first_ends_its_habit_of_printing(monkeypatch: pytest.MonkeyPatch) -> None:
    imported = SimpleNamespace(suppress_debug_info=False)

    def import_module(name: str) -> Any:
        if name == "litellm":
            return imported
        raise ImportError(name)  # another version has no such part

    with monkeypatch.context() as patching:
        patching.setattr(importlib, "import_module", import_module)
        assert load() is imported
        assert imported.suppress_debug_info is False
        patching.delitem(sys.modules, "litellm")
        load()
    assert imported.suppress_debug_info is True


@pytest.mark.parametrize(
    ("entry", "shape"),
    [
        ("openai/gpt-4.1", "strict"),
        ("anthropic/claude-sonnet-4-5", "inlined"),
        ("openrouter/anthropic/claude-sonnet-4.5", "inlined"),
        ("gemini/gemini-2.5-flash", "plain"),
        ("gemini/gemma-3-27b-it", "plain"),
        ("vertex_ai/gemini-2.5-flash", "plain"),
    ],
)
def test_what_is_left_of_a_schema_on_the_way_to_whom(entry: str, shape: str) -> None:
    assert LLMCascade([entry])._endpoints[0].abilities.shape == shape


def test_what_every_request_has() -> None:
    messages = [{"role": "user", "content": "Hello"}]
    sent = Endpoint(Target("openai", "gpt-4.1", api_key="k" * 9), {"seed": 1}, 7)._request(messages, {"top_p": 0.5})
    assert sent == {
        "model": "openai/gpt-4.1",
        "api_key": "k" * 9,
        "messages": messages,
        "timeout": 7,
        "seed": 1,
        "top_p": 0.5,
        "max_retries": 0,
        "num_retries": 0,
    }
    assert Endpoint(Target("openai", "gpt-4.1", api_key="k" * 9), {}, None)._request([], {})["timeout"] == NO_LIMIT


def test_a_calls_key_goes_where_the_call_says() -> None:
    own = Target("openai", "gpt-4.1", api_key="its-own", api_base="http://its-own")
    elsewhere = Endpoint(own, {"api_base": "http://gateway", "api_key": "the-gateways"}, None)

    def sent(**params: Any) -> tuple[str, str]:
        request = elsewhere._request([], params)
        return request["api_key"], request["api_base"]

    assert sent() == ("its-own", "http://its-own")
    assert sent(api_key="the-calls") == ("its-own", "http://its-own")
    assert sent(api_key="the-calls", api_base="http://the-calls") == ("the-calls", "http://the-calls")


def test_what_a_stream_reported_is_told() -> None:
    error: Any = litellm.APIConnectionError("x", "openai", "gpt-4.1")
    event = {"error": {"type": "overloaded_error", "message": "busy"}}
    told = endpoint()._translate({"messages": []}, error, outside=None, is_reading=True, reported=event)
    assert str(told) == "openai/gpt-4.1: the stream reported overloaded_error: busy"
    told = endpoint()._translate({"messages": []}, NotWholeError("x"), outside=None, is_reading=True, reported=event)
    assert str(told) == "openai/gpt-4.1: the stream reported overloaded_error: busy"


@pytest.mark.parametrize(
    ("own", "params", "options", "shows"),
    [
        ({}, {}, {"include_usage": True}, False),
        ({}, {"stream_options": {"include_usage": False}}, {"include_usage": False}, True),
        ({"stream_options": None}, {}, None, True),
    ],
)
async def test_a_stream_is_asked_for_with_its_usage(
    own: Any, params: Any, options: Any, *, shows: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent: dict[str, Any] = {}

    async def chunks() -> Any:
        yield litellm.ModelResponseStream()
        raise ValueError

    async def patched(**given: Any) -> Any:
        sent.update(given)
        return chunks()

    monkeypatch.setattr(litellm, "acompletion", patched)
    mine, messages = Endpoint(Target("openai", "gpt-4.1", params=own), {}, None), [{"role": "user", "content": "Hi"}]
    stream = await mine.stream(messages, {"seed": 1, **params}, lambda: asyncio.timeout(None))
    assert (sent["stream"], sent["stream_options"], sent["seed"], sent["messages"]) == (True, options, 1, messages)
    assert stream.shows_usage is shows
    assert await stream.next() is not None
    with pytest.raises(InvalidResponseError, match=r"^openai/gpt-4\.1: LiteLLM raised ValueError$"):
        await stream.next()


class Ended:
    """A stream that has ended."""

    received = ("a", "b")
    finish_reason = "length"
    text = "The text."
    is_cached = False


async def test_a_stream_is_put_together_by_litellm(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Any] = []

    def builder(chunks: Any) -> Any:
        seen.append(chunks)
        usage = litellm.Usage(prompt_tokens=1000, completion_tokens=5, total_tokens=1005)
        return litellm.ModelResponse(model="gpt-4.1", choices=[{"message": {"content": "x"}}], usage=usage)

    monkeypatch.setattr(litellm, "stream_chunk_builder", builder)
    ended: Any = Ended()
    whole = await endpoint().assemble(ended)
    assert seen == [("a", "b")]
    assert (whole.provider, whole.model, whole.text(), whole.finish_reason) == ("openai", "gpt-4.1", "x", "length")
    assert whole.usage.input_tokens == 1000
    assert whole.cost is not None
    assert whole.cost > 0
    ended.is_cached = True
    assert (await endpoint().assemble(ended)).cost == 0.0


@pytest.mark.parametrize("built", [None, ZeroDivisionError()])
async def test_what_litellm_can_not_put_together_is_put_together_here(
    built: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def builder(chunks: Any) -> Any:
        if built:
            raise built
        return built

    monkeypatch.setattr(litellm, "stream_chunk_builder", builder)
    ended: Any = Ended()
    whole = await endpoint().assemble(ended)
    assert (whole.text(), whole.finish_reason, whole.usage) == ("The text.", "length", Usage())
    assert whole.raw.choices[0].message.role == "assistant"
