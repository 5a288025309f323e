"""Facts about LiteLLM: those that this package relies on, and the faults that it works around.

Each test is one fact. None uses a cascade: ``litellm.acompletion`` is called bare, against a fake
provider. A fact without ``workaround=`` is relied on, and fails the suite if it is no longer so.
One with it is a fault that the named module works around: if a version of LiteLLM has mended it,
the test is reported as xfailed, and ``make canary`` says that the workaround may go. (Only if an
assertion says so: any other error in such a test is a failure.) The tests of that module show what
would break without the workaround.
"""

from __future__ import annotations

import asyncio
import json
import socket
import subprocess
import sys
import traceback
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import httpx
import litellm as the_module
import pytest
from conftest import WIRES, Serve, until

import majordomo_cascade
from majordomo_cascade import ConfigurationError
from majordomo_cascade.testing import (
    BrokenStream,
    CutBody,
    Exchange,
    FakeProvider,
    Garbage,
    Hang,
    Reply,
    Reset,
    Status,
)

litellm: Any = the_module  # for type checkers: its own types change weekly

OPENAI, ANTHROPIC, GEMINI = WIRES
MISTRAL = ("mistral", "mistral-small-latest")
#: A Claude that LiteLLM lets answer a schema by a tool.
OLDER_CLAUDE = ("anthropic", "claude-3-haiku-20240307")
#: The tool by which LiteLLM lets it answer.
JSON_TOOL = "json_tool_call"
BEDROCK = {"aws_access_key_id": "a", "aws_secret_access_key": "b", "aws_region_name": "us-east-1"}
MESSAGES = [{"role": "user", "content": "Hello"}]
TOOL = {
    "type": "function",
    "function": {"name": "f", "parameters": {"type": "object", "properties": {}}},
}

fact = pytest.mark.litellm_fact


def each(*wires: tuple[str, str]) -> pytest.MarkDecorator:
    """Run a test for each of the wires."""
    return pytest.mark.parametrize("wire", wires, ids=[wire[0] for wire in wires])


async def ask(server: FakeProvider, wire: tuple[str, str], **params: Any) -> Any:
    """Return LiteLLM's answer, asked as the gateway asks it."""
    try:
        address = server.target(*wire).api_base
    except ConfigurationError:  # the fake provider does not speak its format
        address = server.url
    defaults: dict[str, Any] = {"api_key": "loopback-key", "api_base": address, "timeout": 30.0}
    sent = {"messages": MESSAGES, "max_retries": 0, "num_retries": 0, **defaults, **params}
    return await litellm.acompletion(model="/".join(wire), **sent)


async def error_of(server: FakeProvider, wire: tuple[str, str], **params: Any) -> Exception:
    """Return what LiteLLM raises, for a stream also while it is read."""
    try:
        raw = await ask(server, wire, **params)
        if params.get("stream"):
            [chunk async for chunk in raw]
    except Exception as error:
        return error
    raise AssertionError("nothing was raised")


async def streamed(
    server: FakeProvider, wire: tuple[str, str], **params: Any
) -> tuple[Any, list[Any]]:
    """Return LiteLLM's stream, and its chunks up to the end or the error."""
    raw = await ask(server, wire, stream=True, **params)
    chunks: list[Any] = []
    with suppress(Exception):
        async for chunk in raw:
            chunks.append(chunk)  # noqa: PERF401 - what came before an error counts
    return raw, chunks


def text_of(chunks: Iterable[Any]) -> str:
    return "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)


def reasons_of(chunks: Iterable[Any]) -> list[str]:
    return [
        reason for chunk in chunks if chunk.choices and (reason := chunk.choices[0].finish_reason)
    ]


def chain(error: BaseException | None) -> Iterator[BaseException]:
    """Yield an exception and its causes."""
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def names_of(error: BaseException) -> set[str]:
    """Return the names of all classes in the chain of an exception, bases included."""
    return {base.__name__ for link in chain(error) for base in type(link).__mro__}


def skip_if_it_never_returns() -> None:
    """Skip on LiteLLM 1.83.

    It waits for ever for the rest of an event of Gemini's that it can't read, and blocks the loop.
    """
    if metadata.version("litellm") == "1.83.0":
        pytest.skip("this LiteLLM would never return")


@dataclass
class Raw:
    """A stream of bytes."""

    pieces: Sequence[str]

    async def perform(self, exchange: Exchange) -> None:
        await exchange.begin_stream()
        for piece in self.pieces:
            exchange.writer.write(b"%x\r\n%b\r\n" % (len(data := piece.encode()), data))
        await exchange.writer.drain()
        await exchange.end_stream()


@dataclass
class Unescaped:
    """A good answer as a stream, its letters not escaped, and something said between the events."""

    text: str
    between: str = ""

    async def perform(self, exchange: Exchange) -> None:
        events = Reply(self.text).events(exchange.request)
        said = [
            event if isinstance(event, str) else json.dumps(event, ensure_ascii=False)
            for event in events
        ]
        await Raw([f"{self.between}data: {event}\n\n" for event in said]).perform(exchange)


def claudes_answer(content: list[dict[str, Any]], stop_reason: str) -> Garbage:
    """Return a body on Anthropic's wire."""
    body = {"id": "1", "type": "message", "role": "assistant", "model": "claude"}
    usage = {"input_tokens": 1, "output_tokens": 9}
    ending = {"stop_reason": stop_reason, "stop_sequence": None, "usage": usage}
    return Garbage({**body, "content": content, **ending})


# One call, one request.


@fact("with max_retries=0 and num_retries=0 one call is one request", topic="requests")
@each(*WIRES, MISTRAL, ("groq", "some-model"), ("deepseek", "deepseek-chat"))
async def test_one_call_is_one_request(serve: Serve, wire: tuple[str, str]) -> None:
    server = serve(Status(500))
    await error_of(server, wire)
    assert len(server.requests) == 1


@fact(
    "without max_retries the OpenAI client asks three times",
    topic="requests",
    workaround="gateway/client.py",
)
async def test_the_openai_client_retries_by_itself(serve: Serve) -> None:
    server = serve(Status(500, headers={"retry-after-ms": "1"}))
    with pytest.raises(litellm.InternalServerError):
        await litellm.acompletion(
            model="openai/gpt-4.1", messages=MESSAGES, api_key="k", api_base=f"{server.url}/v1"
        )
    assert len(server.requests) == 3


@fact("a request whose connection was reset is sent once more", topic="requests", workaround="docs")
@each(ANTHROPIC, GEMINI, MISTRAL)
async def test_a_reset_connection_is_asked_again(serve: Serve, wire: tuple[str, str]) -> None:
    server = serve(Reset())
    await error_of(server, wire)
    assert len(server.requests) == 2


@fact("the caller's metadata is written into", topic="requests", workaround="request.py")
async def test_metadata_is_written_into(serve: Serve) -> None:
    metadata: dict[str, Any] = {"mine": 1}
    await ask(serve(), ANTHROPIC, metadata=metadata)
    assert metadata != {"mine": 1}


@fact(
    "allowed_openai_params has a parameter sent that LiteLLM does not know of a model",
    topic="requests",
)
async def test_a_parameter_can_be_allowed(serve: Serve) -> None:
    server, model = serve(), ("groq", "some-model")
    await ask(
        server,
        model,
        response_format={"type": "json_object"},
        allowed_openai_params=["response_format"],
    )
    assert server.requests[0].json["response_format"] == {"type": "json_object"}


@fact(
    "calls with tools need the package mcp", topic="requests", workaround="gateway/error_mapping.py"
)
@pytest.mark.skipif(find_spec("mcp") is not None, reason="it is installed")
async def test_tools_need_a_package(serve: Serve) -> None:
    error = await error_of(serve(), OPENAI, tools=[TOOL])
    assert any(
        isinstance(link, ImportError) and str(link.name).startswith("mcp") for link in chain(error)
    )


# Errors: what the exceptions tell.


@fact(
    "behind an HTTP error stands an httpx.HTTPStatusError, with its status, headers and body",
    topic="errors",
)
@each(
    *WIRES,
    MISTRAL,
    ("cohere_chat", "command-r"),
    ("bedrock", "anthropic.claude-3-sonnet-20240229-v1:0"),
)
@pytest.mark.parametrize("status", [400, 401, 403, 404, 413, 429, 500, 503, 529])
async def test_the_http_answer_is_at_the_end_of_the_chain(
    serve: Serve, wire: tuple[str, str], status: int
) -> None:
    server = serve(
        Status(status, "some words", headers={"x-request-id": "req_7", "retry-after": "3"})
    )
    error: Any = await error_of(server, wire, **(BEDROCK if wire[0] == "bedrock" else {}))
    answers: list[Any] = [link for link in chain(error) if type(link).__name__ == "HTTPStatusError"]
    assert answers
    for answer in answers:
        assert answer.response.status_code == status
        assert answer.response.headers["x-request-id"] == "req_7"
        assert "some words" in answer.response.text


@fact("behind a stream that was refused stands the same", topic="errors")
@each(*WIRES, MISTRAL)
async def test_the_http_answer_of_a_stream_is_there_too(
    serve: Serve, wire: tuple[str, str]
) -> None:
    error = await error_of(serve(Status(503)), wire, stream=True)
    assert "HTTPStatusError" in names_of(error)


@fact("behind a connection that failed stands a network error", topic="errors")
@each(*WIRES, MISTRAL)
async def test_a_network_error_is_in_the_chain(wire: tuple[str, str]) -> None:
    with socket.socket() as unused:  # bound, but nobody listens
        unused.bind(("127.0.0.1", 0))
        nobody = FakeProvider()
        nobody.url = f"http://127.0.0.1:{unused.getsockname()[1]}"
        error = await error_of(nobody, wire)
    assert names_of(error) & {"TransportError", "ClientError", "ConnectionError", "gaierror"}


@fact("a client that was closed while in use is told by httpx's words", topic="errors")
async def test_the_words_for_a_closed_client() -> None:
    client = httpx.AsyncClient()
    await client.aclose()
    with pytest.raises(RuntimeError, match="the client has been closed"):
        await client.get("http://127.0.0.1:9")


@fact("behind a client that gave up waiting stands a timeout", topic="errors")
@each(*WIRES, MISTRAL)
async def test_a_timeout_is_in_the_chain(serve: Serve, wire: tuple[str, str]) -> None:
    error = await error_of(serve(Hang()), wire, timeout=0.05)
    timeouts = {"TimeoutException", "APITimeoutError", "TimeoutError", "ServerTimeoutError"}
    assert names_of(error) & timeouts


#: The modules in which LiteLLM reads answers, and its names for one.
READERS = ("litellm.llms.", "litellm.litellm_core_utils.llm_response_utils.")
ANSWERS = (
    "response", "raw_response", "response_object", "completion_response", "httpx_response",
)  # fmt: skip


@fact(
    "what is raised while an answer is read has the answer in a frame of LiteLLM's", topic="errors"
)
@each(*WIRES, MISTRAL, ("deepseek", "deepseek-chat"), ("cohere_chat", "command-r"))
@pytest.mark.parametrize("body", ["<html>", "", "[1]"])
async def test_an_unreadable_answer_is_in_a_frame(
    serve: Serve, wire: tuple[str, str], body: str
) -> None:
    server = serve(Garbage(body))
    try:
        answer = await ask(server, wire)
    except Exception as error:
        tracebacks = [link.__traceback__ for link in chain(error)]
        frames = [frame for each in tracebacks for frame, _ in traceback.walk_tb(each)]
        theirs = [frame for frame in frames if frame.f_globals["__name__"].startswith(READERS)]
        assert any(frame.f_locals.get(name) is not None for frame in theirs for name in ANSWERS)
    else:
        assert not getattr(answer, "choices", None)  # OpenAI's "success"


@fact("a missing key is told by openai's bare OpenAIError, or in words", topic="errors")
@each(*WIRES, ("azure", "my-deployment"))
async def test_a_missing_key_can_be_told(serve: Serve, wire: tuple[str, str]) -> None:
    server = serve()
    error = await error_of(server, wire, api_key=None, api_version="2024-10-21")
    is_bare = any(
        (type(x).__module__, type(x).__name__) == ("openai", "OpenAIError") for x in chain(error)
    )
    words = " ".join(map(str, chain(error))).lower()
    assert is_bare or (
        "missing" in words and ("api key" in words or "api_key" in words or "credentials" in words)
    )
    assert server.requests == []


@fact(
    "a parameter that LiteLLM knows a provider can't take is an UnsupportedParamsError, unsent",
    topic="errors",
)
async def test_an_unsupported_parameter_is_refused_unsent(serve: Serve) -> None:
    server = serve()
    error = await error_of(server, ANTHROPIC, logit_bias={"1": 2})
    assert type(error) is litellm.UnsupportedParamsError
    assert server.requests == []


@fact("a spent litellm.max_budget is a BudgetExceededError, unwrapped", topic="errors")
async def test_a_spent_budget_is_raised_unwrapped(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(litellm, "max_budget", 0.001)
    monkeypatch.setattr(litellm, "_current_cost", 1.0)
    assert type(await error_of(serve(), OPENAI)) is litellm.BudgetExceededError


@fact("an error event of OpenAI's stream is in the body of openai's APIError", topic="errors")
async def test_openais_error_event_is_handed_on(serve: Serve) -> None:
    error = await error_of(serve(BrokenStream("error")), OPENAI, stream=True)
    bodies = [
        getattr(link, "body", None) for link in chain(error) if type(link).__name__ == "APIError"
    ]
    assert any(isinstance(body, dict) and body.get("code") == "overloaded_error" for body in bodies)


@fact(
    "words beat the status: a 500 that speaks of a rate limit",
    topic="errors",
    workaround="gateway/error_mapping.py",
)
async def test_words_beat_the_status_on_openai(serve: Serve) -> None:
    assert isinstance(
        await error_of(serve(Status(500, "rate limit on our side")), OPENAI), litellm.RateLimitError
    )


@fact(
    "words beat the status: a 500 of Gemini's that speaks of a 403",
    topic="errors",
    workaround="gateway/error_mapping.py",
)
async def test_words_beat_the_status_on_gemini(serve: Serve) -> None:
    assert isinstance(
        await error_of(serve(Status(500, "upstream said 403")), GEMINI), litellm.BadRequestError
    )


@fact(
    "Gemini's 200 with HTML is a 422 that nobody sent",
    topic="errors",
    workaround="gateway/evidence.py",
)
async def test_geminis_garbage_is_a_made_up_422(serve: Serve) -> None:
    error: Any = await error_of(serve(Garbage()), GEMINI)
    assert (type(error), error.status_code) == (litellm.BadRequestError, 422)


@fact(
    "a quota that is used up is called a rate limit",
    topic="errors",
    workaround="gateway/error_mapping.py",
)
async def test_a_used_up_quota_is_called_a_rate_limit(serve: Serve) -> None:
    error = await error_of(
        serve(Status(429, "You exceeded your current quota", "insufficient_quota")), OPENAI
    )
    assert type(error) is litellm.RateLimitError


@fact(
    "credit that is used up is called a bad request",
    topic="errors",
    workaround="gateway/error_mapping.py",
)
async def test_used_up_credit_is_called_a_bad_request(serve: Serve) -> None:
    error = await error_of(
        serve(Status(400, "Your credit balance is too low to access the API.")), ANTHROPIC
    )
    assert type(error) is litellm.BadRequestError


@fact(
    "a bug of LiteLLM's own is an APIConnectionError",
    topic="errors",
    workaround="gateway/error_mapping.py",
)
async def test_a_local_bug_looks_like_a_network_error(serve: Serve) -> None:
    assert type(
        await error_of(serve(), ANTHROPIC, messages=[{"role": "user", "content": object()}])
    ) in {
        litellm.APIConnectionError,
        litellm.InternalServerError,
    }


@fact(
    "Groq's answer without service_tier breaks LiteLLM",
    topic="errors",
    workaround="gateway/format_refusal.py",
)
async def test_groqs_answer_without_a_tier(serve: Serve) -> None:
    body = json.dumps(
        {"choices": [{"index": 0, "message": {"role": "assistant", "content": "{}"}}]}
    )
    error = await error_of(serve(Garbage(body, "application/json")), ("groq", "some-model"))
    assert "'ModelResponse' object has no attribute" in str(error)


# Answers.


@fact(
    "an answer without choices, or with a null in place of its text, is a success",
    topic="answers",
    workaround="gateway/completion.py",
)
@pytest.mark.parametrize(
    "choices", [[], [{"index": 0, "message": {"role": "assistant", "content": None}}]], ids=str
)
async def test_an_answer_without_text_is_a_success(serve: Serve, choices: list[Any]) -> None:
    try:
        await ask(serve(Garbage({"choices": choices, "model": "gpt-4.1"})), OPENAI)
    except litellm.APIError as error:
        raise AssertionError("it is an error now") from error


@fact(
    "a safety system that held an answer back is the finish reason content_filter", topic="answers"
)
@each(*WIRES)
async def test_a_held_back_answer_says_content_filter(serve: Serve, wire: tuple[str, str]) -> None:
    raw = await ask(serve(Reply("half", finish_reason="content_filter")), wire)
    assert raw.choices[0].finish_reason == "content_filter"


@fact("a prompt that Gemini blocked is the same", topic="answers")
async def test_a_blocked_prompt_says_content_filter(serve: Serve) -> None:
    body = {
        "promptFeedback": {"blockReason": "SAFETY"},
        "usageMetadata": {"promptTokenCount": 3, "totalTokenCount": 3},
    }
    raw = await ask(serve(Garbage(body)), GEMINI)
    assert raw.choices[0].finish_reason == "content_filter"


@fact("an answer that max_tokens cut is the finish reason length", topic="answers")
@each(*WIRES)
async def test_a_cut_answer_says_length(serve: Serve, wire: tuple[str, str]) -> None:
    assert (await ask(serve(Reply("half", finish_reason="length")), wire)).choices[
        0
    ].finish_reason == "length"


@fact(
    "a context window that Claude's answer filled is called length or, earlier, stop",
    topic="answers",
)
async def test_a_filled_context_window_has_no_finish_reason_of_its_own(serve: Serve) -> None:
    content = [{"type": "text", "text": "half"}]
    raw = await ask(serve(claudes_answer(content, "model_context_window_exceeded")), ANTHROPIC)
    expected = "stop" if metadata.version("litellm") == "1.83.0" else "length"
    assert raw.choices[0].finish_reason == expected


@fact("OpenAI's refusal stands in the message, or in its provider_specific_fields", topic="answers")
async def test_a_refusal_stands_in_the_message(serve: Serve) -> None:
    message = {"role": "assistant", "content": None, "refusal": "I won't."}
    body = {
        "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
        "model": "gpt-4.1",
    }
    got = (await ask(serve(Garbage(body)), OPENAI)).choices[0].message
    assert "I won't." in (
        getattr(got, "refusal", None),
        (got.provider_specific_fields or {}).get("refusal"),
    )


@fact("usage is in OpenAI's words on every wire", topic="answers")
@each(*WIRES)
async def test_usage_is_in_openais_words(serve: Serve, wire: tuple[str, str]) -> None:
    usage = (await ask(serve(), wire)).usage
    assert (usage.prompt_tokens, usage.completion_tokens, usage.total_tokens) == (10, 5, 15)


@fact("_hidden_params has the response_cost", topic="cost")
@each(*WIRES)
async def test_the_cost_is_hidden_in_the_answer(serve: Serve, wire: tuple[str, str]) -> None:
    raw = await ask(serve(), wire)
    price = litellm.model_cost[wire[1]]
    expected = 10 * price["input_cost_per_token"] + 5 * price["output_cost_per_token"]
    assert raw._hidden_params["response_cost"] == pytest.approx(expected)


@fact(
    "an answer whose tokens were not counted costs 0.0",
    topic="cost",
    workaround="gateway/completion.py",
)
async def test_a_missing_count_is_a_price_of_zero(serve: Serve) -> None:
    body = {
        "choices": [
            {"index": 0, "message": {"role": "assistant", "content": "Hi"}, "finish_reason": "stop"}
        ]
    }
    raw = await ask(serve(Garbage(body)), OPENAI)
    assert raw._hidden_params["response_cost"] == 0.0


@fact("completion_cost prices an answer of a model by its name", topic="cost")
async def test_an_answer_can_be_priced(serve: Serve) -> None:
    raw = await ask(serve(), OPENAI)
    cost = litellm.completion_cost(completion_response=raw, model="openai/gpt-4.1")
    assert cost == pytest.approx(raw._hidden_params["response_cost"])


@fact(
    "an answer from LiteLLM's cache says so, a stream's provider is cached_response",
    topic="cost",
)
async def test_cached_answers_say_so(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("input_callback", "success_callback", "_async_success_callback"):
        monkeypatch.setattr(litellm, name, list(getattr(litellm, name)))
    monkeypatch.setattr(litellm, "cache", litellm.Cache())
    server = serve()
    await ask(server, ANTHROPIC, caching=True)
    await until(lambda: litellm.cache.cache.cache_dict)
    try:
        again = await ask(server, ANTHROPIC, caching=True)
    except ModuleNotFoundError as error:
        pytest.skip(f"this LiteLLM's cache needs the package {error.name}")
    assert again._hidden_params["cache_hit"] is True
    raw = await ask(server, ANTHROPIC, caching=True, stream=True)
    if raw.custom_llm_provider != "cached_response":  # the first of it: now it is in the cache
        [chunk async for chunk in raw]
        await until(lambda: len(litellm.cache.cache.cache_dict) > 1)
        raw = await ask(server, ANTHROPIC, caching=True, stream=True)
    assert raw.custom_llm_provider == "cached_response"


# JSON.


@fact("LiteLLM knows which models take a response_format, and which a schema", topic="json")
def test_abilities_of_models_are_known() -> None:
    for provider, model in WIRES:
        assert "response_format" in litellm.get_supported_openai_params(
            model=model, custom_llm_provider=provider
        )
        assert litellm.supports_response_schema(model=model, custom_llm_provider=provider) is True
    assert (
        litellm.supports_response_schema(model="gpt-3.5-turbo", custom_llm_provider="openai")
        is False
    )
    assert "response_format" not in (
        litellm.get_supported_openai_params("x", custom_llm_provider="petals") or ()
    )


CITY = {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]}


def as_format(schema: dict[str, Any]) -> dict[str, Any]:
    return {
        "type": "json_schema",
        "json_schema": {"name": "answer", "schema": schema, "strict": False},
    }


def by_tool(values: dict[str, Any], stop_reason: str) -> Garbage:
    """Return an answer of Claude's by LiteLLM's tool."""
    content = [{"type": "tool_use", "id": "1", "name": JSON_TOOL, "input": values}]
    return claudes_answer(content, stop_reason)


@fact("an older Claude is asked for a schema by a forced tool named json_tool_call", topic="json")
async def test_a_schema_is_asked_for_by_a_tool(serve: Serve) -> None:
    server = serve(by_tool({"a": 1}, "tool_use"))
    raw = await ask(server, OLDER_CLAUDE, response_format=as_format(CITY))
    assert [tool["name"] for tool in server.requests[0].json["tools"]] == [JSON_TOOL]
    assert json.loads(raw.choices[0].message.content) == {"a": 1}


@fact(
    "an answer by that tool that max_tokens cut is called a stop",
    topic="json",
    workaround="gateway/client.py",
)
async def test_a_cut_answer_by_a_tool_is_called_a_stop(serve: Serve) -> None:
    server = serve(by_tool({"a": 1}, "max_tokens"))
    raw = await ask(server, OLDER_CLAUDE, response_format=as_format(CITY))
    assert raw.choices[0].finish_reason == "stop"


@fact("get_optional_params shows whether LiteLLM would ask for a schema by its tool", topic="json")
@pytest.mark.parametrize(
    ("provider", "model", "by_tool"),
    [
        (*OPENAI, False),
        (*GEMINI, False),
        ("anthropic", "claude-sonnet-4-5", False),
        (*OLDER_CLAUDE, True),
        ("vertex_ai", "claude-sonnet-4-5", True),
        ("groq", "llama-3.3-70b-versatile", True),
        ("groq", "openai/gpt-oss-120b", False),
    ],
)
def test_an_answer_by_tool_can_be_foreseen(provider: str, model: str, *, by_tool: bool) -> None:
    sent = litellm.utils.get_optional_params(
        model=model, custom_llm_provider=provider, response_format=as_format(CITY)
    )
    assert (JSON_TOOL in str(sent.get("tools"))) is by_tool


@fact("in JSON mode no model is asked by a tool", topic="json")
@each(OLDER_CLAUDE, ("groq", "llama-3.3-70b-versatile"))
async def test_json_mode_needs_no_tool(serve: Serve, wire: tuple[str, str]) -> None:
    server = serve(Reply("{}"))
    await ask(server, wire, response_format={"type": "json_object"})
    assert "tools" not in server.requests[0].json


@fact(
    "a type that refers to itself reaches Claude with a reference that leads nowhere",
    topic="json",
    workaround="structured/dialects.py",
)
async def test_references_are_broken(serve: Serve) -> None:
    node = {"type": "object", "properties": {"next": {"$ref": "#/$defs/Node"}}}
    server = serve(Reply("{}"))
    schema = {"type": "object", "properties": {"first": node}, "$defs": {"Node": node}}
    await ask(server, ANTHROPIC, response_format=as_format(schema))
    sent = json.dumps(server.requests[0].json)
    assert '"$ref"' in sent
    assert '"$defs": {"Node"' not in sent


@fact(
    "an object of any keys is closed on its way to Claude, or asked for by a tool",
    topic="json",
    workaround="structured/dialects.py",
)
async def test_open_objects_are_closed(serve: Serve) -> None:
    server = serve(Reply("{}"))
    schema = {"type": "object", "properties": {}, "additionalProperties": {"type": "integer"}}
    await ask(server, ANTHROPIC, response_format=as_format(schema))
    sent = server.requests[0].json
    assert "tools" in sent or '"additionalProperties": false' in json.dumps(sent)


@fact(
    "a tuple is told to Claude in words only",
    topic="json",
    workaround="structured/dialects.py",
)
async def test_tuples_are_moved_into_words(serve: Serve) -> None:
    server = serve(Reply("{}"))
    pair = {"type": "array", "prefixItems": [{"type": "string"}, {"type": "integer"}]}
    schema = {"type": "object", "properties": {"pair": pair}, "required": ["pair"]}
    await ask(server, ANTHROPIC, response_format=as_format(schema))
    assert '"prefixItems": [' not in json.dumps(server.requests[0].json)


@fact(
    "a property named $ref breaks LiteLLM on its way to Claude",
    topic="json",
    workaround="structured/dialects.py",
)
async def test_a_property_named_like_a_reference_breaks_litellm(serve: Serve) -> None:
    schema = {"type": "object", "properties": {"$ref": {"type": "string"}}, "required": ["$ref"]}
    server = serve(Reply("{}"))
    with suppress(Exception):
        await ask(server, ANTHROPIC, response_format=as_format(schema))
    assert server.requests == []


@fact("JSON mode sends nothing at all to Claude", topic="json", workaround="structured/forms.py")
@each(ANTHROPIC, OLDER_CLAUDE)
async def test_json_mode_is_not_claudes(serve: Serve, wire: tuple[str, str]) -> None:
    server = serve(Reply("{}"), Reply("{}"))
    await ask(server, wire)
    await ask(server, wire, response_format={"type": "json_object"})
    assert server.requests[0].json == server.requests[1].json


# Streams.


@fact("include_usage brings a chunk with the usage", topic="streams")
@each(*WIRES)
async def test_the_usage_of_a_stream(serve: Serve, wire: tuple[str, str]) -> None:
    _, chunks = await streamed(serve(), wire, stream_options={"include_usage": True})
    assert [chunk.usage.total_tokens for chunk in chunks if getattr(chunk, "usage", None)] == [15]


@fact(
    "httpx's lines are in completion_stream.streaming_response, and are read from there",
    topic="streams",
)
@each(ANTHROPIC, MISTRAL, ("groq", "some-model"), ("xai", "some-model"))
async def test_where_the_lines_are(serve: Serve, wire: tuple[str, str]) -> None:
    raw = await ask(serve(Reply("One two.")), wire, stream=True)
    lines, seen = raw.completion_stream.streaming_response, []

    async def tapped() -> Any:
        async for line in lines:
            seen.append(line)
            yield line

    raw.completion_stream.streaming_response = tapped()
    assert text_of([chunk async for chunk in raw]) == "One two."
    assert any('"One"' in line for line in seen)


@fact("OpenAI's completion_stream is the OpenAI client's own", topic="streams")
async def test_where_openais_chunks_are(serve: Serve) -> None:
    raw = await ask(serve(), OPENAI, stream=True)
    assert type(raw.completion_stream).__module__.partition(".")[0] == "openai"
    await raw.aclose()


@fact("where Gemini is asked late, it is by the stream's make_call", topic="streams")
async def test_where_geminis_lines_are(serve: Serve) -> None:
    server = serve()
    raw = await ask(server, GEMINI, stream=True)
    if raw.completion_stream is None:
        assert server.requests == []
        raw.completion_stream = await raw.make_call(client=litellm.module_level_aclient)
    assert hasattr(raw.completion_stream.streaming_response, "__aiter__")
    await raw.aclose()


@fact(
    "Gemini is asked for a stream when it is read", topic="streams", workaround="gateway/stream.py"
)
async def test_gemini_is_asked_late(serve: Serve) -> None:
    server = serve()
    raw = await ask(server, GEMINI, stream=True)
    asked = len(server.requests)
    await raw.aclose()
    assert asked == 0


@fact(
    "a stream that ends without a finish reason is given a stop",
    topic="streams",
    workaround="gateway/inspector.py",
)
@each(*WIRES, MISTRAL)
async def test_a_stop_is_made_up(serve: Serve, wire: tuple[str, str]) -> None:
    _, chunks = await streamed(serve(BrokenStream("end")), wire)
    assert reasons_of(chunks)[-1:] == ["stop"]


@fact("the stream's received_finish_reason is empty where the vendor gave none", topic="streams")
@each(OPENAI, ANTHROPIC)
async def test_a_made_up_stop_can_be_told(serve: Serve, wire: tuple[str, str]) -> None:
    raw, _ = await streamed(serve(BrokenStream("end")), wire)
    assert (raw.received_finish_reason, raw.intermittent_finish_reason) == (None, None)
    raw, _ = await streamed(serve(), wire)
    assert raw.received_finish_reason == "stop"


@fact(
    "an event that can't be read is dropped in silence, and a stop made up",
    topic="streams",
    workaround="gateway/inspector.py",
)
@each(ANTHROPIC, GEMINI, MISTRAL)
async def test_an_unreadable_event_is_dropped(serve: Serve, wire: tuple[str, str]) -> None:
    if wire == GEMINI:
        skip_if_it_never_returns()
    _, chunks = await streamed(serve(BrokenStream("garbage")), wire)
    assert reasons_of(chunks)[-1:] == ["stop"]


@fact(
    "a comment between Gemini's events costs the rest of the text",
    topic="streams",
    workaround="gateway/inspector.py",
)
async def test_a_comment_costs_text(serve: Serve) -> None:
    skip_if_it_never_returns()
    _, chunks = await streamed(serve(Unescaped("One two three.", between=": ping\n\n")), GEMINI)
    assert text_of(chunks) != "One two three."


@fact("a text with U+2028 in it is torn", topic="streams", workaround="gateway/inspector.py")
@each(ANTHROPIC, GEMINI, MISTRAL, ("hosted_vllm", "some-model"))
async def test_a_line_separator_tears_a_text(serve: Serve, wire: tuple[str, str]) -> None:
    _, chunks = await streamed(serve(Unescaped("One\u2028two three.")), wire)
    assert text_of(chunks) != "One\u2028two three."


@fact('a text with "[DONE]" in it is dropped', topic="streams", workaround="gateway/inspector.py")
@each(MISTRAL, ("hosted_vllm", "some-model"))
async def test_a_text_that_looks_like_the_end_is_dropped(
    serve: Serve, wire: tuple[str, str]
) -> None:
    _, chunks = await streamed(serve(Unescaped("One [DONE] three.")), wire)
    assert text_of(chunks) != "One [DONE] three."


@fact("closing OpenAI's stream closes the connection", topic="streams")
async def test_openais_wire_is_closed(serve: Serve) -> None:
    server = serve(BrokenStream("stall"))
    raw = await ask(server, OPENAI, stream=True)
    await anext(raw)
    await raw.aclose()
    await until(lambda: server.pending == 0)


@fact(
    "closing Anthropic's stream leaves the connection open",
    topic="streams",
    workaround="gateway/stream.py",
)
async def test_anthropics_wire_stays_open(serve: Serve) -> None:
    claudes, other = serve(BrokenStream("stall")), serve(BrokenStream("stall"))
    raw, others = await ask(claudes, ANTHROPIC, stream=True), await ask(other, OPENAI, stream=True)
    lines = raw.completion_stream.streaming_response  # held, or the garbage collector closes it
    for stream in (raw, others):
        await anext(stream)
        await stream.aclose()
    await until(lambda: other.pending == 0)
    for _ in range(2_000):  # many times what the other took, though it was closed later
        await asyncio.sleep(0)
    is_open = claudes.pending == 1
    await lines.aclose()
    await until(lambda: claudes.pending == 0)
    assert is_open


@fact("a mocked stream's completion_stream is async_mock_completion_streaming_obj", topic="streams")
async def test_a_mocked_stream_can_be_told() -> None:
    raw = await litellm.acompletion(
        model="openai/gpt-4.1", messages=MESSAGES, stream=True, mock_response="Hi"
    )
    assert raw.completion_stream.__name__ == "async_mock_completion_streaming_obj"
    assert text_of([chunk async for chunk in raw]) == "Hi"


@fact(
    "a mocked stream that is whole has no finish reason of its own",
    topic="streams",
    workaround="gateway/stream.py",
)
async def test_a_mocked_stream_has_no_finish_reason() -> None:
    raw = await litellm.acompletion(
        model="openai/gpt-4.1", messages=MESSAGES, stream=True, mock_response="Hi"
    )
    [chunk async for chunk in raw]
    assert (raw.received_finish_reason, raw.intermittent_finish_reason) == (None, None)


@fact("stream_chunk_builder puts a stream's chunks together: text, usage, model", topic="streams")
@each(*WIRES)
async def test_chunks_can_be_put_together(serve: Serve, wire: tuple[str, str]) -> None:
    _, chunks = await streamed(
        serve(Reply("One two.")), wire, stream_options={"include_usage": True}
    )
    whole = litellm.stream_chunk_builder(chunks)
    assert (whole.choices[0].message.content, whole.usage.total_tokens) == ("One two.", 15)


@fact(
    "putting them together loses a finish reason", topic="streams", workaround="gateway/client.py"
)
@each(*WIRES)
async def test_a_finish_reason_is_lost(serve: Serve, wire: tuple[str, str]) -> None:
    _, chunks = await streamed(
        serve(Reply("One", "length")), wire, stream_options={"include_usage": True}
    )
    assert litellm.stream_chunk_builder(chunks).choices[0].finish_reason != "length"


@fact("a body that was cut short is an error, or has no choices", topic="answers")
@each(*WIRES, MISTRAL)
async def test_a_cut_body_is_an_error_or_has_no_choices(
    serve: Serve, wire: tuple[str, str]
) -> None:
    try:
        raw = await ask(serve(CutBody()), wire)
    except Exception:
        return
    assert not getattr(raw, "choices", None)


# Names, keys and the import.


@fact("a model's provider is told by its name, and its kind by the price list", topic="names")
def test_a_model_is_known_by_its_name() -> None:
    assert litellm.get_llm_provider("gpt-4.1")[:2] == ("gpt-4.1", "openai")
    assert litellm.model_cost["gpt-4.1"]["mode"] == "chat"
    info = litellm.get_model_info("gpt-4.1", custom_llm_provider="openai")
    assert info["input_cost_per_token"] > 0 < info["output_cost_per_token"]


@fact("provider_list has the providers, custom_provider_map the application's own", topic="names")
def test_providers_are_listed() -> None:
    names = {str(getattr(provider, "value", provider)) for provider in litellm.provider_list}
    assert {"openai", "anthropic", "gemini", "azure", "bedrock", "vertex_ai"} <= names
    assert {"groq", "mistral", "deepseek", "hosted_vllm", "openrouter", "xai"} <= names
    assert litellm.custom_provider_map == []


@fact("validate_environment names the variables in which a key is missing", topic="keys")
@pytest.mark.parametrize(
    ("name", "variable"),
    [
        ("openai/gpt-4.1", "OPENAI_API_KEY"),
        ("anthropic/claude-sonnet-4-5", "ANTHROPIC_API_KEY"),
        ("gemini/gemini-2.5-flash", "GEMINI_API_KEY"),
        ("groq/some-model", "GROQ_API_KEY"),
        ("mistral/some-model", "MISTRAL_API_KEY"),
    ],
)
def test_the_variable_of_a_missing_key_is_named(
    name: str, variable: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert variable in litellm.validate_environment(model=name)["missing_keys"]
    monkeypatch.setenv(variable, "a-key")
    assert litellm.validate_environment(model=name)["missing_keys"] == []


@fact("the variables that validate_environment names are those that are read", topic="keys")
@pytest.mark.parametrize(
    ("wire", "variable"),
    [
        (OPENAI, "OPENAI_API_KEY"),
        (ANTHROPIC, "ANTHROPIC_API_KEY"),
        (GEMINI, "GEMINI_API_KEY"),
        (GEMINI, "GOOGLE_API_KEY"),
        (MISTRAL, "MISTRAL_API_KEY"),
    ],
)
async def test_keys_are_read_from_their_variables(
    serve: Serve, wire: tuple[str, str], variable: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, "a-key-by-its-variable")
    server = serve()
    await ask(server, wire, api_key=None)
    assert "a-key-by-its-variable" in " ".join(server.requests[0].headers.values())


@fact("the globals that hold a key for all providers, and for one, are there", topic="keys")
@pytest.mark.parametrize("name", ["api_key", "openai_key", "anthropic_key"])
async def test_globals_that_hold_keys(
    serve: Serve, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(litellm, name, "a-key-by-its-global")
    server = serve()
    await ask(server, ANTHROPIC if name == "anthropic_key" else OPENAI, api_key=None)
    assert "a-key-by-its-global" in " ".join(server.requests[0].headers.values())


@fact("an answer and a chunk can be made by hand, from dicts", topic="names")
def test_an_answer_can_be_made() -> None:
    answer = litellm.ModelResponse(
        choices=[{"message": {"role": "assistant", "content": "x"}, "finish_reason": "length"}]
    )
    assert (answer.choices[0].message.content, answer.choices[0].finish_reason) == ("x", "length")


def run(program: str) -> str:
    """Return what a program prints in an interpreter of its own."""
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


LOOKED_UP = """
import socket
looked_up = []
def getaddrinfo(*address, **_):
    looked_up.append(address[0])
    raise socket.gaierror("there is no network")
socket.getaddrinfo = getaddrinfo
import litellm
print(looked_up)
"""


@fact("with LITELLM_LOCAL_MODEL_COST_MAP its import asks no network", topic="import")
def test_the_import_asks_no_network() -> None:
    assert run(LOOKED_UP) == "[]\n"


@fact(
    "without suppress_debug_info every error prints on stdout",
    topic="import",
    workaround="gateway/catalog.py",
)
async def test_an_error_prints(
    serve: Serve, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(litellm, "suppress_debug_info", False)
    await error_of(serve(Status(500)), OPENAI)
    assert "LiteLLM" in capsys.readouterr().out


@fact("with suppress_debug_info no error prints on stdout", topic="import")
async def test_an_error_can_be_kept_from_printing(
    serve: Serve, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(litellm, "suppress_debug_info", True)
    await error_of(serve(Status(500)), OPENAI)
    assert capsys.readouterr().out == ""


TOPICS = (
    "requests", "errors", "answers", "cost", "json", "streams", "names", "keys", "import",
)  # fmt: skip


def test_every_fact_is_one_sentence_of_one_test_with_a_topic(
    request: pytest.FixtureRequest,
) -> None:
    told: dict[str, str] = {}
    for item in request.session.items:
        for mark in item.iter_markers("litellm_fact"):
            (sentence,) = mark.args
            assert set(mark.kwargs) <= {"topic", "workaround"}
            assert mark.kwargs["topic"] in TOPICS
            name = item.nodeid.partition("[")[0]
            assert told.setdefault(sentence, name) == name
    assert told


def test_every_workaround_names_a_file_that_is_there(request: pytest.FixtureRequest) -> None:
    package = Path(majordomo_cascade.__file__).parent
    for item in request.session.items:
        for mark in item.iter_markers("litellm_fact"):
            named = mark.kwargs.get("workaround")
            assert named in (None, "docs") or (package / named).is_file(), named
