"""What the door makes of LiteLLM's answers and errors, by itself."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

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
from majordomo_cascade.gateway import LONGEST_EXCERPT, Completion, Endpoint
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


def test_an_empty_answer() -> None:
    with pytest.raises(InvalidResponseError) as caught:
        completion(SimpleNamespace(content=" ")).text()
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
