"""The client of a target: what is sent, and what is made of LiteLLM's answer."""

from __future__ import annotations

import asyncio
import importlib
import sys
from types import SimpleNamespace
from typing import Any

import litellm
import pytest
from conftest import Serve

from majordomo_cascade import (
    BadRequestError,
    ContentPolicyError,
    InvalidResponseError,
    LLMCascade,
    ResponseTruncatedError,
    Target,
    Usage,
)
from majordomo_cascade.gateway import NO_LIMIT, Completion, TargetClient
from majordomo_cascade.gateway.catalog import load
from majordomo_cascade.gateway.client import LONGEST_EXCERPT
from majordomo_cascade.testing import Reply, Status

MESSAGES = [{"role": "user", "content": "Hello"}]
GPT = Target("openai", "gpt-4.1", api_key="sk-1234567890")


def completion(message: Any, finish_reason: str = "stop") -> Completion:
    raw = SimpleNamespace(choices=[SimpleNamespace(message=message, finish_reason=finish_reason)])
    return Completion(raw, GPT, Usage(), None)


def client_of(
    target: Target = GPT, params: dict[str, Any] | None = None, timeout: float | None = None
) -> TargetClient:
    return TargetClient(target, params or {}, timeout)


class Answering:
    """LiteLLM, patched: it notes what it is sent, and answers."""

    def __init__(self, content: str = "x", tokens: int = 5, **hidden: Any) -> None:
        self.sent: list[dict[str, Any]] = []
        self._choice = {"message": {"role": "assistant", "content": content}}
        self._tokens = tokens
        self._hidden = hidden

    async def __call__(self, **sent: Any) -> Any:
        self.sent.append(sent)
        total = 1 + self._tokens
        usage = litellm.Usage(prompt_tokens=1, completion_tokens=self._tokens, total_tokens=total)
        raw: Any = litellm.ModelResponse(choices=[self._choice], usage=usage)
        raw._hidden_params = self._hidden
        return raw


async def sent_by(
    client: TargetClient, monkeypatch: pytest.MonkeyPatch, **params: Any
) -> dict[str, Any]:
    """Return what LiteLLM gets of a call with these parameters."""
    answering = Answering()
    monkeypatch.setattr(litellm, "acompletion", answering)
    await client.complete(MESSAGES, params)
    return answering.sent[0]


def test_a_model_of_the_responses_api_is_known_by_its_name() -> None:
    assert litellm.model_cost["o1-pro"]["mode"] == "responses"
    assert LLMCascade(["o1-pro"]).targets[0].provider == "openai"


# What is made of an answer.


@pytest.mark.parametrize(
    ("text", "partial", "where"),
    [('{"a": ', '{"a": ', "after 6 characters"), (None, "", "before any text came")],
)
def test_a_truncated_answer_is_told_with_what_to_do(
    text: str | None, partial: str, where: str
) -> None:
    with pytest.raises(ResponseTruncatedError) as caught:
        completion(SimpleNamespace(content=text), "length").whole_text()
    assert str(caught.value) == (
        f"openai/gpt-4.1: the answer was cut {where}, by max_tokens or by the end of the context "
        "window; raise max_tokens, or ask for less"
    )
    assert (caught.value.provider, caught.value.model) == ("openai", "gpt-4.1")
    assert caught.value.partial_content == partial


@pytest.mark.parametrize(
    "raw",
    [
        SimpleNamespace(),
        SimpleNamespace(choices=[]),
        SimpleNamespace(choices=None),
        SimpleNamespace(choices=[object()]),
    ],
)
def test_an_answer_without_a_choice_is_invalid(raw: Any) -> None:
    answer = Completion(raw, GPT, Usage(), None)
    assert (answer.finish_reason, answer.tool_calls) == (None, ())
    with pytest.raises(InvalidResponseError) as caught:
        answer.text()
    assert str(caught.value) == "openai/gpt-4.1: the answer has no choices"
    assert (caught.value.provider, caught.value.model) == ("openai", "gpt-4.1")


@pytest.mark.parametrize(
    "message", [SimpleNamespace(content=" "), SimpleNamespace(content=7), SimpleNamespace()]
)
def test_an_empty_answer_is_invalid(message: Any) -> None:
    with pytest.raises(InvalidResponseError) as caught:
        completion(message).text()
    assert str(caught.value) == "openai/gpt-4.1: the answer is empty"


@pytest.mark.parametrize(
    "message",
    [
        SimpleNamespace(content="x", refusal="I won't."),
        SimpleNamespace(
            content="x", refusal=None, provider_specific_fields={"refusal": "I won't."}
        ),
    ],
)
def test_a_refusal_is_found_wherever_litellm_keeps_it(message: Any) -> None:
    with pytest.raises(ContentPolicyError) as caught:
        completion(message).text()
    assert str(caught.value) == (
        "openai/gpt-4.1 refused: the answer was held back by a safety system"
    )


def test_other_fields_are_no_refusal() -> None:
    for fields in ({"refusal": None}, {"refusal": object()}, None, "refusal"):
        message = SimpleNamespace(content="x", provider_specific_fields=fields)
        assert completion(message).text() == "x"
    assert completion(SimpleNamespace(content="x", refusal=object())).text() == "x"


@pytest.mark.parametrize("part", ["tool_calls", "function_call", "images", "audio"])
def test_an_answer_without_text_may_be_of_something_else(part: str) -> None:
    assert completion(SimpleNamespace(content=None, **{part: ["something"]})).text() == ""


@pytest.mark.parametrize(
    ("calls", "expected"), [(["a", "b"], ("a", "b")), ([], ()), (None, ()), (object(), ())]
)
def test_tool_calls_are_a_tuple(calls: Any, expected: tuple[str, ...]) -> None:
    assert completion(SimpleNamespace(content="x", tool_calls=calls)).tool_calls == expected


def test_json_is_read_from_the_text_even_beside_tool_calls() -> None:
    tool = SimpleNamespace(name="json_tool_call", arguments='{"a": 1}')
    message = SimpleNamespace(content="the text", tool_calls=[SimpleNamespace(function=tool)])
    assert completion(message).whole_text() == "the text"


async def test_an_answer_that_spent_max_tokens_is_whole_if_its_vendor_says_so(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(litellm, "acompletion", Answering('{"a": 1}', tokens=5))
    response = await LLMCascade(["openai/gpt-4.1"]).get_json_response("Hello", max_tokens=5)
    assert (response.content, response.finish_reason) == ({"a": 1}, "stop")


@pytest.mark.parametrize(("length", "end"), [(LONGEST_EXCERPT, ""), (LONGEST_EXCERPT + 1, "…")])
def test_an_excerpt_has_a_length(length: int, end: str) -> None:
    assert client_of().excerpt("x" * length, {}) == "x" * LONGEST_EXCERPT + end


def test_an_excerpt_shows_no_key() -> None:
    shown = client_of().excerpt("sk-1234567890\nsk-0987654321", {"api_key": "sk-0987654321"})
    assert "sk-" not in shown


# Costs.


async def test_litellms_own_word_of_the_cost_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(litellm, "acompletion", Answering(response_cost=1.5))
    assert (await LLMCascade(["openai/gpt-4.1"]).get_response("Hello")).cost == 1.5


async def test_a_price_of_nothing_is_believed_of_a_model_that_costs_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    price = {
        "input_cost_per_token": 0,
        "output_cost_per_token": 0,
        "litellm_provider": "together_ai",
        "mode": "chat",
    }
    monkeypatch.setitem(litellm.model_cost, "together_ai/costs-nothing", price)
    monkeypatch.setattr(litellm, "acompletion", Answering(response_cost=0.0))
    for model, cost in (("costs-nothing", 0.0), ("nobody-knows", None)):
        response = await LLMCascade([("together_ai", model)]).get_response("Hello")
        assert response.cost == cost


async def test_a_price_that_litellm_cannot_work_out_is_none(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(**_: Any) -> Any:
        raise RuntimeError

    monkeypatch.setattr(litellm, "completion_cost", fail)
    monkeypatch.setattr(litellm, "acompletion", Answering())
    assert (await client_of().complete(MESSAGES, {})).cost is None


# What is sent.


async def test_every_request_has_these_parameters(monkeypatch: pytest.MonkeyPatch) -> None:
    client = client_of(params={"seed": 1}, timeout=7)
    assert await sent_by(client, monkeypatch, top_p=0.5) == {
        "model": "openai/gpt-4.1",
        "api_key": "sk-1234567890",
        "messages": MESSAGES,
        "timeout": 7,
        "seed": 1,
        "top_p": 0.5,
        "max_retries": 0,
        "num_retries": 0,
    }
    assert (await sent_by(client_of(), monkeypatch))["timeout"] == NO_LIMIT


async def test_added_parameters_are_sent_as_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    answering = Answering()
    monkeypatch.setattr(litellm, "acompletion", answering)
    added = {"response_format": {"type": "json_object"}}
    await client_of().complete(MESSAGES, {"response_format": None}, added)
    assert answering.sent[0]["response_format"] is added["response_format"]


@pytest.mark.parametrize(
    ("target", "params", "is_sent"),
    [
        (GPT, {}, False),
        (GPT, {"tools": []}, True),
        (GPT, {"tools": None}, False),
        (Target("openai", "gpt-4.1", params={"tools": []}), {}, True),
        (Target("openai", "gpt-4.1", params={"tools": []}), {"tools": None}, False),
        (Target("openai", "gpt-4.1", overrides={"tools": None}), {"tools": []}, False),
        (Target("openai", "gpt-4.1", overrides={"tools": []}), {}, True),
    ],
)
def test_whether_a_parameter_is_sent(
    target: Target, params: dict[str, Any], *, is_sent: bool
) -> None:
    assert client_of(target).sends("tools", params) is is_sent


def test_a_targets_own_time_comes_before_the_cascades() -> None:
    for own, expected in ((7, 7), (None, 9)):
        assert client_of(Target("openai", "gpt-4.1", timeout=own), timeout=9).timeout == expected
    assert client_of().timeout is None


async def test_a_calls_key_goes_to_the_address_that_the_call_gives(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    own = Target("openai", "gpt-4.1", api_key="its-own", api_base="http://its-own")
    gateway = {"api_base": "http://gateway", "api_key": "the-gateways"}
    elsewhere = client_of(own, gateway)
    for given, expected in (
        ({}, ("its-own", "http://its-own")),
        ({"api_key": "the-calls"}, ("its-own", "http://its-own")),
        (
            {"api_key": "the-calls", "api_base": "http://the-calls"},
            ("the-calls", "http://the-calls"),
        ),
    ):
        sent = await sent_by(elsewhere, monkeypatch, **given)
        assert (sent["api_key"], sent["api_base"]) == expected
    keyless = Target("openai", "gpt-4.1", api_base="http://its-own")
    assert "api_key" not in await sent_by(client_of(keyless, gateway), monkeypatch)


async def test_roles_and_types_are_no_secrets(serve: Serve) -> None:
    complaint = "assistant can't have an image_url"
    server = serve(Status(400, complaint))
    parts = [{"type": "image_url", "image_url": {"url": "https://host/cat.png"}}]
    with pytest.raises(BadRequestError, match=complaint):
        await LLMCascade([server.target()]).get_response(
            messages=[
                {"role": "user", "content": parts},
                {"role": "assistant", "content": "A cat."},
            ]
        )


# Ways to ask for JSON.


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
async def test_litellm_is_told_to_let_a_format_pass_if_the_caller_knows_better(
    said: Any, known: Any, *, must_allow: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(litellm, "get_supported_openai_params", lambda **_: known)
    target = Target("openai", "gpt-4.1", structured_output=said)
    sent = await sent_by(client_of(target), monkeypatch)
    assert sent.get("allowed_openai_params") == (["response_format"] if must_allow else None)


async def test_the_callers_own_allowances_are_kept_beside_ours(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(litellm, "get_supported_openai_params", lambda **_: [])
    own = {"allowed_openai_params": ["seed"]}
    target = Target("hosted_vllm", "m", structured_output="json_schema", params=own)
    sent = await sent_by(client_of(target), monkeypatch)
    assert sent["allowed_openai_params"] == ["seed", "response_format"]
    assert own == {"allowed_openai_params": ["seed"]}


@pytest.mark.parametrize(
    ("entry", "dialect"),
    [
        ("openai/gpt-4.1", "strict"),
        ("anthropic/claude-sonnet-4-5", "inlined"),
        ("openrouter/anthropic/claude-sonnet-4.5", "inlined"),
        ("gemini/gemini-2.5-flash", "plain"),
        ("gemini/gemma-3-27b-it", "plain"),
        ("vertex_ai/gemini-2.5-flash", "plain"),
    ],
)
def test_a_schema_is_sent_in_the_dialect_of_its_vendor(entry: str, dialect: str) -> None:
    assert client_of(Target(*entry.split("/", 1))).dialect == dialect


OLDER_CLAUDE = ("anthropic", "claude-3-haiku-20240307")


@pytest.mark.parametrize(
    ("target", "mode"),
    [
        (GPT, "json_schema"),
        (Target("anthropic", "claude-sonnet-4-5"), "json_schema"),
        (Target("gemini", "gemini-2.5-flash"), "json_schema"),
        (Target("openai", "gpt-3.5-turbo"), "json_mode"),
        (Target(*OLDER_CLAUDE), "json_mode"),
        (Target(*OLDER_CLAUDE, structured_output="json_schema"), "json_mode"),
        (Target("vertex_ai", "claude-sonnet-4-5"), "json_mode"),
        (Target("groq", "llama-3.3-70b-versatile"), "json_mode"),
        (Target("openai", "gpt-4.1", structured_output="prompt"), "prompt"),
        (Target("openai", "gpt-4.1", structured_output="json_mode"), "json_mode"),
        (Target("hosted_vllm", "m", structured_output="json_schema"), "json_schema"),
    ],
    ids=str,
)
def test_the_surest_way_to_ask_for_json(target: Target, mode: str) -> None:
    assert client_of(target).surest_mode == mode


def test_without_a_word_of_litellms_json_is_asked_for_in_the_prompt(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for known in (None, [], ["tools"]):
        monkeypatch.setattr(litellm, "get_supported_openai_params", lambda known=known, **_: known)
        assert client_of().surest_mode == "prompt"


async def test_a_model_that_litellm_would_have_answer_by_tool_is_not_asked_by_schema(
    serve: Serve,
) -> None:
    server = serve(Reply('{"value": 7}'))
    cascade = LLMCascade([server.target(*OLDER_CLAUDE)])
    response = await cascade.get_structured_json_response(int, "Hello")
    assert response.content == 7
    assert "tools" not in server.requests[0].json
    assert '"value"' in str(server.requests[0].json["system"])


# Streams.


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
    client = client_of(Target("openai", "gpt-4.1", params=own))
    params = {"seed": 1, **params}
    stream = await client.stream(MESSAGES, params, lambda: asyncio.timeout(None))
    assert (sent["stream"], sent["stream_options"]) == (True, options)
    assert (sent["seed"], sent["messages"]) == (1, MESSAGES)
    assert stream.shows_usage is shows
    assert await stream.next() is not None
    with pytest.raises(InvalidResponseError, match=r"^openai/gpt-4\.1: "):
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
        return litellm.ModelResponse(
            model="gpt-4.1", choices=[{"message": {"content": "x"}}], usage=usage
        )

    monkeypatch.setattr(litellm, "stream_chunk_builder", builder)
    ended: Any = Ended()
    whole = await client_of().assemble(ended)
    assert seen == [("a", "b")]
    assert whole.target == GPT
    assert (whole.text(), whole.finish_reason) == ("x", "length")
    assert whole.usage.input_tokens == 1000
    assert whole.cost is not None
    assert whole.cost > 0
    ended.is_cached = True
    assert (await client_of().assemble(ended)).cost == 0.0


@pytest.mark.parametrize("built", [None, ZeroDivisionError()])
async def test_a_stream_that_litellm_cannot_put_together_is_put_together_here(
    built: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def builder(chunks: Any) -> Any:
        if built:
            raise built
        return built

    monkeypatch.setattr(litellm, "stream_chunk_builder", builder)
    ended: Any = Ended()
    whole = await client_of().assemble(ended)
    assert (whole.text(), whole.finish_reason, whole.usage) == ("The text.", "length", Usage())
    assert whole.raw.choices[0].message.role == "assistant"


# The import of LiteLLM.


def test_the_first_import_of_litellm_ends_its_habit_of_printing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
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
