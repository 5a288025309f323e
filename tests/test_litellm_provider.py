"""A cascade as a model of LiteLLM's: ``model="cascade/<name>"``, asked as any program asks."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import httpx
import litellm
import pytest
from conftest import IS_NEW, WIRES, Serve, until
from litellm.integrations.custom_logger import CustomLogger

from majordomo_cascade import (
    ConfigurationError,
    LLMCascade,
    MajordomoError,
    RetryPolicy,
    StreamInterruptedError,
)
from majordomo_cascade.litellm_provider import handler
from majordomo_cascade.testing import BrokenStream, FakeProvider, Reply, Reset, Status

ROOT = Path(__file__).parents[1]
ONCE = RetryPolicy(attempts=1)
MESSAGES = [{"role": "user", "content": "Hello"}]
WEATHER = {
    "type": "function",
    "function": {"name": "get_weather", "parameters": {"type": "object", "properties": {}}},
}
NAMES = ("support", "other", "inner", "outer", "A-b_c.9")

#: LiteLLM's parameter for a call that callbacks do not hear of.
UNLOGGED: dict[str, Any] = {"no-log": True}

PLAIN = ("completion", "acompletion")
STREAMED = ("streamed completion", "streamed acompletion")


@pytest.fixture(autouse=True)
def litellms_own_providers(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """End each test without a registered cascade."""
    monkeypatch.setattr(litellm, "suppress_debug_info", True)
    # The loop for synchronous hosts lives on, but its clients were closed after the last test.
    litellm.in_memory_llm_clients_cache.flush_cache()
    yield
    for name in NAMES:
        LLMCascade.unregister(name)


@pytest.fixture(params=[*PLAIN, *STREAMED])
def way(request: pytest.FixtureRequest) -> str:
    return str(request.param)


async def ask(way: str, name: str = "support", **params: Any) -> Any:
    """Ask LiteLLM for ``cascade/<name>``; put the chunks of a stream together."""
    params = {"model": f"cascade/{name}", "messages": MESSAGES, **params}
    if way == "completion":
        return litellm.completion(**params)
    if way == "acompletion":
        return await litellm.acompletion(**params)
    chunks = await chunks_of(way, **params)
    answer: Any = litellm.stream_chunk_builder(chunks)
    [answer.choices[0].finish_reason] = reasons_of(chunks)  # LiteLLM 1.83 loses it here
    return answer


def reasons_of(chunks: list[Any]) -> list[str]:
    choices = [choice for chunk in chunks for choice in chunk.choices]
    return [choice.finish_reason for choice in choices if choice.finish_reason]


async def chunks_of(way: str, **params: Any) -> list[Any]:
    params = {
        "model": "cascade/support",
        "messages": MESSAGES,
        "stream": True,
        "stream_options": {"include_usage": True},
        **params,
    }
    stream: Any
    if way == "streamed completion":
        stream = litellm.completion(**params)
        return list(stream)
    stream = await litellm.acompletion(**params)
    return [chunk async for chunk in stream]


async def failure_of(way: str, **params: Any) -> Any:
    """Return what LiteLLM raises, without the wrapper that it puts around errors of streams."""
    with pytest.raises(Exception) as caught:  # noqa: PT011 - any is looked at
        await ask(way, **params)
    return getattr(caught.value, "original_exception", None) or caught.value


def serve_as(name: str, *providers: FakeProvider, **options: Any) -> LLMCascade:
    """Register a cascade of fake providers, each of another vendor, asked once."""
    targets = [each.target(*wire) for each, wire in zip(providers, WIRES, strict=False)]
    cascade = LLMCascade(targets, **{"retry": ONCE, **options})
    cascade.register(name)
    return cascade


# Answers.


async def test_all_four_ways_answer(serve: Serve, way: str) -> None:
    serve_as("support", serve(Reply("At your service.")))
    answer = await ask(way)
    assert answer.choices[0].message.content == "At your service."
    assert answer.choices[0].finish_reason == "stop"


@pytest.mark.parametrize("wire", WIRES)
async def test_usage_is_the_vendors_in_all_ways(
    serve: Serve, way: str, wire: tuple[str, str]
) -> None:
    server = serve(Reply("Fine.", input_tokens=123, output_tokens=45))
    LLMCascade([server.target(*wire)]).register("support")
    usage = (await ask(way)).usage
    assert (usage.prompt_tokens, usage.completion_tokens) == (123, 45)


@pytest.mark.parametrize("way", STREAMED)
async def test_a_stream_shows_its_usage_only_if_asked(serve: Serve, way: str) -> None:
    serve_as("support", serve(Reply("One two three", input_tokens=123, output_tokens=45)))
    shown = [chunk.usage.total_tokens for chunk in await chunks_of(way) if _usage(chunk)]
    assert shown == [168]
    assert not any(map(_usage, await chunks_of(way, stream_options=None)))


def _usage(chunk: Any) -> Any:
    return getattr(chunk, "usage", None)


@pytest.mark.parametrize("way", STREAMED)
async def test_a_stream_comes_word_by_word_with_one_finish_reason(serve: Serve, way: str) -> None:
    serve_as("support", serve(Reply("One two three", finish_reason="length")))
    chunks = await chunks_of(way)
    texts = [choice.delta.content for chunk in chunks for choice in chunk.choices]
    assert [text for text in texts if text] == ["One", " two", " three"]
    assert reasons_of(chunks) == ["length"]


@pytest.mark.parametrize("wire", WIRES)
async def test_tools_are_sent_and_their_calls_come_back(
    serve: Serve, way: str, wire: tuple[str, str]
) -> None:
    server = serve(Reply(None, tool_calls=[("get_weather", {"city": "Rome"}), ("get_time", {})]))
    LLMCascade([server.target(*wire)]).register("support")
    answer = await ask(way, tools=[WEATHER], tool_choice="auto")
    calls = [call.function for call in answer.choices[0].message.tool_calls]
    assert [(call.name, json.loads(call.arguments)) for call in calls] == [
        ("get_weather", {"city": "Rome"}),
        ("get_time", {}),
    ]
    assert answer.choices[0].finish_reason == "tool_calls"
    assert "get_weather" in json.dumps(server.requests[0].json["tools"])


@pytest.mark.parametrize("wire", WIRES)
async def test_reasoning_comes_through(serve: Serve, way: str, wire: tuple[str, str]) -> None:
    LLMCascade([serve(Reply("42", reasoning="Let me think")).target(*wire)]).register("support")
    message = (await ask(way)).choices[0].message
    assert (message.reasoning_content, message.content) == ("Let me think", "42")


async def test_parameters_reach_the_target(serve: Serve, way: str) -> None:
    server = serve(Reply("{}"))
    serve_as("support", server)
    form = {"type": "json_schema", "json_schema": {"name": "x", "schema": {"type": "object"}}}
    await ask(
        way,
        response_format=form,
        n=1,
        logprobs=True,
        top_logprobs=2,
        temperature=0.5,
        max_tokens=50,
        seed=7,
        extra_headers={"x-team": "blue"},
    )
    [request] = server.requests
    sent = {name: request.json[name] for name in ("n", "logprobs", "top_logprobs", "temperature")}
    assert sent == {"n": 1, "logprobs": True, "top_logprobs": 2, "temperature": 0.5}
    assert (request.json["response_format"], request.json["seed"]) == (form, 7)
    assert request.json["max_tokens"] == 50
    assert request.headers["x-team"] == "blue"
    assert "no-log" not in request.json
    assert "max_retries" not in request.json


class Scripted:
    """Answers by OpenAI's own JSON, whole or as a stream."""

    def __init__(self, whole: dict[str, Any], *chunks: dict[str, Any]) -> None:
        self.whole = whole
        self.chunks = chunks

    async def perform(self, exchange: Any) -> None:
        """Answer."""
        if not exchange.request.wants_stream:
            await exchange.send(200, self.whole)
            return
        await exchange.begin_stream()
        for chunk in self.chunks:
            await exchange.send_event({"id": "1", "object": "chat.completion.chunk", **chunk})
        await exchange.send_event("[DONE]")
        await exchange.end_stream()


LOGPROBS = {
    "content": [{"token": "a", "logprob": -0.5, "bytes": [97], "top_logprobs": []}],
    "refusal": None,
}


def answer_of(choices: list[dict[str, Any]], usage: dict[str, Any]) -> dict[str, Any]:
    return {
        "id": "1",
        "object": "chat.completion",
        "model": "gpt-4.1",
        "choices": choices,
        "usage": usage,
    }


async def test_the_details_of_the_usage_come_through(serve: Serve, way: str) -> None:
    usage = {
        "prompt_tokens": 50,
        "completion_tokens": 20,
        "total_tokens": 70,
        "prompt_tokens_details": {"cached_tokens": 40},
        "completion_tokens_details": {"reasoning_tokens": 15},
    }
    said = {"role": "assistant", "content": "Fine."}
    whole = answer_of([{"index": 0, "message": said, "finish_reason": "stop"}], usage)
    first = {"choices": [{"index": 0, "delta": said, "finish_reason": None}]}
    end = {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}
    serve_as("support", serve(Scripted(whole, first, end, {"choices": [], "usage": usage})))
    counted = (await ask(way)).usage
    assert counted.prompt_tokens_details.cached_tokens == 40
    assert counted.completion_tokens_details.reasoning_tokens == 15


async def test_two_choices_and_log_probabilities_come_through(serve: Serve, way: str) -> None:
    def choice(index: int, text: str, part: str) -> dict[str, Any]:
        said = {"role": "assistant", "content": text}
        return {"index": index, part: said, "logprobs": LOGPROBS, "finish_reason": None}

    def end(index: int) -> dict[str, Any]:
        return {"choices": [{"index": index, "delta": {}, "finish_reason": "stop"}]}

    choices = [choice(0, "a", "message"), choice(1, "b", "message")]
    usage = {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3}
    whole = answer_of([{**each, "finish_reason": "stop"} for each in choices], usage)
    said = [{"choices": [choice(0, "a", "delta")]}, {"choices": [choice(1, "b", "delta")]}]
    serve_as("support", serve(Scripted(whole, *said, end(0), end(1))))
    if way in PLAIN:
        found = (await ask(way, n=2, logprobs=True)).choices
        texts = {each.index: each.message.content for each in found}
    else:
        chunks = await chunks_of(way, n=2, logprobs=True)
        found = [each for chunk in chunks for each in chunk.choices if each.delta.content]
        texts = {each.index: each.delta.content for each in found}
    assert texts == {0: "a", 1: "b"}
    assert [each.logprobs.content[0].logprob for each in found] == [-0.5, -0.5]


async def test_litellms_mock_answers_and_nobody_is_asked(serve: Serve, way: str) -> None:
    server = serve()
    serve_as("support", server)
    assert (await ask(way, mock_response="mocked")).choices[0].message.content == "mocked"
    assert server.requests == []


# Time.


class Seen:
    """Keeps the timeouts with which a target was asked, and answers."""

    def __init__(self) -> None:
        self.timeouts: list[Any] = []

    async def acompletion(self, **sent: Any) -> Any:
        """Stand in for ``litellm.acompletion`` below the cascade."""
        self.timeouts.append(sent["timeout"])
        message = {"role": "assistant", "content": "in time"}
        return litellm.ModelResponse(choices=[{"message": message}])


@pytest.mark.parametrize(
    ("given", "used"), [(7, 7.0), (httpx.Timeout(9), 9.0), (None, 33.0), (600, 33.0)]
)
async def test_a_timeout_is_for_an_attempt_and_600_is_none_given(
    monkeypatch: pytest.MonkeyPatch, given: Any, used: float
) -> None:
    seen = Seen()
    LLMCascade(["openai/gpt-4.1"], timeout=33).register("support")
    ask_litellm = litellm.acompletion
    monkeypatch.setattr(litellm, "acompletion", seen.acompletion)
    options = {} if given is None else {"timeout": given}
    await ask_litellm(model="cascade/support", messages=MESSAGES, **options)
    assert seen.timeouts == [used]


# Failover.


async def test_a_target_that_is_down_is_not_noticed(serve: Serve, way: str) -> None:
    down, up = serve(Status(503)), serve(Reply("I am well."))
    serve_as("support", down, up)
    assert (await ask(way)).choices[0].message.content == "I am well."
    assert (len(down.requests), len(up.requests)) == (1, 1)


@pytest.mark.parametrize("way", STREAMED)
async def test_a_stream_that_breaks_before_its_first_word_fails_over(
    serve: Serve, way: str
) -> None:
    serve_as("support", serve(BrokenStream("cut", text="")), serve(Reply("I am well.")))
    assert (await ask(way)).choices[0].message.content == "I am well."


@pytest.mark.parametrize("way", STREAMED)
async def test_a_stream_that_breaks_in_the_middle_says_so(serve: Serve, way: str) -> None:
    other = serve(Reply("never asked"))
    serve_as("support", serve(BrokenStream("cut", text="The first half")), other)
    error = await failure_of(way)
    assert isinstance(error, litellm.APIConnectionError)
    assert "the stream broke off after" in str(error)
    assert "Traceback" not in str(error)
    assert isinstance(error.__cause__, StreamInterruptedError)
    # LiteLLM 1.83 may lose the last words that came before the cut.
    assert error.__cause__.partial_content in ("The first", "The first half")
    assert other.requests == []


async def test_a_host_that_leaves_a_stream_closes_the_wire(serve: Serve) -> None:
    server = serve(BrokenStream("stall"))
    serve_as("support", server)
    stream: Any = await litellm.acompletion(model="cascade/support", messages=MESSAGES, stream=True)
    await anext(stream)
    await stream.completion_stream.aclose()
    await until(lambda: server.pending == 0)


def test_a_synchronous_host_that_leaves_a_stream_closes_the_wire(serve: Serve) -> None:
    server = serve(BrokenStream("stall"))
    serve_as("support", server)
    stream: Any = litellm.completion(model="cascade/support", messages=MESSAGES, stream=True)
    next(stream)
    stream.completion_stream.close()
    asyncio.run(until(lambda: server.pending == 0))


async def test_a_cascade_may_be_a_target_of_another(serve: Serve, way: str) -> None:
    serve_as("inner", serve(Status(503)), serve(Reply("from within")))
    LLMCascade([serve(Status(500)).target(), "cascade/inner"], retry=ONCE).register("outer")
    assert (await ask(way, "outer")).choices[0].message.content == "from within"


async def test_a_stream_of_a_cascade_within_is_not_free(serve: Serve) -> None:
    inner = serve_as("inner", serve(Reply("from within")))
    cost = (await inner.get_response("Hello")).cost
    stream = await LLMCascade(["cascade/inner"]).get_response_stream("Hello")
    assert (await stream.collect()).content == "from within"
    assert stream.cost in (None, pytest.approx(cost))  # LiteLLM 1.83 does not know it


async def test_a_cascade_that_is_its_own_target_ends_at_once(serve: Serve) -> None:
    serve_as("support", serve())
    LLMCascade(["cascade/support"], retry=ONCE).register("support")
    with pytest.raises(litellm.BadRequestError, match="would go on without end"):
        await ask("acompletion")


# Errors.

CONTEXT = "This model's maximum context length is 8192 tokens"
POLICY = "Your request was rejected by our safety system"
FAILURES: list[tuple[Any, Any, int]] = [
    (Status(400), litellm.BadRequestError, 400),
    (Status(400, CONTEXT), litellm.ContextWindowExceededError, 400),
    (Status(400, POLICY), litellm.ContentPolicyViolationError, 400),
    (Status(400, "tools is not supported"), litellm.UnsupportedParamsError, 400),
    (Status(401), litellm.AuthenticationError, 401),
    (Status(403), litellm.PermissionDeniedError, 403),
    (Status(404), litellm.NotFoundError, 404),
    (Status(408), litellm.Timeout, 408),
    (Status(429), litellm.RateLimitError, 429),
    (Status(500), litellm.ServiceUnavailableError, 503),
    (Status(529), litellm.ServiceUnavailableError, 503),
    (Reset(), litellm.APIConnectionError, 500),
    (Reply(""), litellm.InternalServerError, 500),
]


@pytest.mark.parametrize(
    ("behaviour", "kind", "status"), FAILURES, ids=[str(each[1].__name__) for each in FAILURES]
)
async def test_failures_are_litellms_own_with_message_and_trail(
    serve: Serve, way: str, behaviour: Any, kind: Any, status: int
) -> None:
    serve_as("support", serve(behaviour))
    error = await failure_of(way)
    assert isinstance(error, kind)
    assert error.status_code == status
    ours = error.__cause__
    assert isinstance(ours, MajordomoError)
    assert ours.message in str(error)
    assert error.__notes__ == ours.__notes__
    assert "openai/gpt-4.1 #1" in error.__notes__[0]
    assert "Traceback" not in str(error)
    assert "github.com" not in str(error)


def kinds(kind: type[MajordomoError] = MajordomoError) -> list[type[MajordomoError]]:
    return [kind, *(below for child in kind.__subclasses__() for below in kinds(child))]


#: LiteLLM's class for each of ours: a new error needs a row.
TABLE = {
    "MajordomoError": "InternalServerError",
    "ConfigurationError": "BadRequestError",
    "BadRequestError": "BadRequestError",
    "ContentPolicyError": "ContentPolicyViolationError",
    "ResponseError": "APIResponseValidationError",
    "ResponseParsingError": "APIResponseValidationError",
    "ResponseValidationError": "APIResponseValidationError",
    "ResponseTruncatedError": "APIResponseValidationError",
    "ResponseRejectedError": "APIResponseValidationError",
    "ProviderError": "InternalServerError",
    "RateLimitError": "RateLimitError",
    "ProviderUnavailableError": "ServiceUnavailableError",
    "ProviderConnectionError": "APIConnectionError",
    "InvalidResponseError": "InternalServerError",
    "ProviderTimeoutError": "Timeout",
    "StreamInterruptedError": "APIConnectionError",
    "DeadlineExceededError": "Timeout",
    "AuthenticationError": "AuthenticationError",
    "PermissionDeniedError": "PermissionDeniedError",
    "QuotaExceededError": "RateLimitError",
    "ModelNotFoundError": "NotFoundError",
    "ContextWindowExceededError": "ContextWindowExceededError",
    "UnsupportedRequestError": "UnsupportedParamsError",
    "ProviderRuleError": "BadRequestError",
    "ProviderSetupError": "InternalServerError",
}


@pytest.mark.parametrize("kind", kinds(), ids=lambda kind: kind.__name__)
async def test_every_error_of_ours_is_one_of_litellms(
    serve: Serve, way: str, kind: type[MajordomoError]
) -> None:
    ours = kind("it went wrong")

    def rule(_: object) -> bool:
        raise ours

    serve_as("support", serve(Status(500)), failover_on=rule)
    with pytest.raises(getattr(litellm, TABLE[kind.__name__]) if IS_NEW else Exception):
        await ask(way)
    error = await failure_of(way)
    assert isinstance(error, getattr(litellm, TABLE[kind.__name__]))
    assert "it went wrong" in str(error)
    assert error.__cause__ is ours
    assert "Traceback" not in str(error)


async def test_the_wait_that_a_vendor_asks_for_is_in_the_headers(serve: Serve, way: str) -> None:
    serve_as("support", serve(Status(429, retry_after=7)))
    error = await failure_of(way)
    assert error.response.headers["retry-after"] == "7"


async def test_a_wrong_argument_is_a_bad_request(serve: Serve, way: str) -> None:
    server = serve()
    serve_as("support", server)
    error = await failure_of(way, messages=[{"role": "nobody", "content": "x"}])
    assert type(error) is litellm.BadRequestError
    assert "the role 'nobody'" in str(error)
    assert server.requests == []


async def test_an_outage_of_a_stream_is_caught_by_its_class(serve: Serve) -> None:
    serve_as("support", serve(Status(429)))
    expected = litellm.RateLimitError if IS_NEW else litellm.ServiceUnavailableError
    with pytest.raises(expected) as caught:
        await ask("streamed acompletion")
    error: Any = caught.value
    assert error.status_code == 429
    if not IS_NEW:  # LiteLLM wraps it
        assert isinstance(error.original_exception, litellm.RateLimitError)
    serve_as("support", serve(Status(401)))
    with pytest.raises(litellm.AuthenticationError):
        await ask("streamed acompletion")


# Retries of the host's.


class Tenacity(ModuleType):
    """Stands in for tenacity, by which LiteLLM retries: the same number of times, no waits."""

    def __init__(self) -> None:
        super().__init__("tenacity")
        self.calls = 0

    def stop_after_attempt(self, number: int) -> int:
        return number

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return lambda *_, **__: None

    def Retrying(self, stop: int, **_: Any) -> Callable[..., Any]:  # noqa: N802
        def retry(function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
            for left in reversed(range(stop)):
                self.calls += 1
                try:
                    return function(*args, **kwargs)
                except Exception:
                    if not left:
                        raise
            return None

        return retry

    def AsyncRetrying(self, stop: int, **_: Any) -> Callable[..., Any]:  # noqa: N802
        async def retry(function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
            for left in reversed(range(stop)):
                self.calls += 1
                try:
                    return await function(*args, **kwargs)
                except Exception:
                    if not left:
                        raise
            return None

        return retry


@pytest.fixture
def tenacity(monkeypatch: pytest.MonkeyPatch) -> Tenacity:
    stand_in = Tenacity()
    monkeypatch.setitem(sys.modules, "tenacity", stand_in)
    return stand_in


@pytest.mark.parametrize("option", ["num_retries", "max_retries"])
@pytest.mark.parametrize("status", [429, 503])
async def test_the_hosts_retries_do_not_multiply_ours(
    serve: Serve, way: str, option: str, status: int, tenacity: Tenacity
) -> None:
    server = serve(Status(status))
    serve_as("support", server, retry=RetryPolicy(attempts=2, base=0))
    error = await failure_of(way, **{option: 3})
    assert error.status_code == status
    assert len(server.requests) == 2


@pytest.mark.parametrize("way", [*PLAIN, "streamed completion"])
async def test_a_global_num_retries_does_not_multiply_either(
    serve: Serve, way: str, monkeypatch: pytest.MonkeyPatch, tenacity: Tenacity
) -> None:
    monkeypatch.setattr(litellm, "num_retries", 3)
    server = serve(Status(503))
    serve_as("support", server)
    error = await failure_of(way)
    assert type(error) is litellm.ServiceUnavailableError
    assert len(server.requests) == 1
    assert tenacity.calls == 3  # LiteLLM did retry


async def test_a_call_after_a_failed_one_is_asked_anew(serve: Serve, way: str) -> None:
    serve_as("support", serve(Status(503), Reply("well again")))
    await failure_of(way)
    assert (await ask(way)).choices[0].message.content == "well again"


# Callbacks.


class Observer(CustomLogger):  # type: ignore[misc] # LiteLLM's types are not read
    """Keeps the model, cost and metadata of each event."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[tuple[str, str, float | None, Any]] = []
        self.came = threading.Event()

    def note(self, outcome: str, kwargs: Any) -> None:
        metadata = (kwargs["litellm_params"].get("metadata") or {}).get("team")
        self.seen.append((outcome, kwargs["model"], kwargs.get("response_cost"), metadata))
        self.came.set()

    def log_success_event(
        self, kwargs: Any, response_obj: Any, start_time: Any, end_time: Any
    ) -> None:
        self.note("ok", kwargs)

    def log_failure_event(
        self, kwargs: Any, response_obj: Any, start_time: Any, end_time: Any
    ) -> None:
        self.note("failed", kwargs)

    async def async_log_success_event(
        self, kwargs: Any, response_obj: Any, start_time: Any, end_time: Any
    ) -> None:
        self.note("ok", kwargs)

    async def async_log_failure_event(
        self, kwargs: Any, response_obj: Any, start_time: Any, end_time: Any
    ) -> None:
        self.note("failed", kwargs)


@pytest.fixture
def observer(monkeypatch: pytest.MonkeyPatch) -> Observer:
    observer = Observer()
    for name in ("success_callback", "failure_callback", "input_callback"):
        monkeypatch.setattr(litellm, name, [])
        monkeypatch.setattr(litellm, f"_async_{name}", [])
    monkeypatch.setattr(litellm, "callbacks", [observer])
    return observer


@pytest.mark.parametrize("wire", WIRES)
async def test_the_hosts_callbacks_hear_of_an_answer_once_with_its_cost(
    serve: Serve, way: str, observer: Observer, wire: tuple[str, str]
) -> None:
    targets = [serve(Status(503)).target(), serve(Reply("Fine.")).target(*wire)]
    cascade = LLMCascade(targets, retry=ONCE)
    cascade.register("support")
    cost = (await cascade.get_response("Hello", **UNLOGGED)).cost
    await ask(way, metadata={"team": "blue"})
    await until(observer.came.is_set)
    events: list[Any] = observer.seen
    assert events == [("ok", "support", pytest.approx(cost), "blue")]


@pytest.mark.parametrize("way", PLAIN)
async def test_the_cost_includes_answers_that_were_paid_and_refused(
    serve: Serve, way: str, observer: Observer
) -> None:
    servers = serve(Reply("No.")), serve(Reply("Yes."))
    cascade = serve_as("support", *servers, accept=lambda answer: answer.content == "Yes.")
    response = await cascade.get_response("Hello", **UNLOGGED)
    await ask(way)
    await until(observer.came.is_set)
    [(_, _, cost, _)] = observer.seen
    assert cost == pytest.approx(response.total_cost)
    assert cost != pytest.approx(response.cost)


async def test_a_cost_that_is_unknown_is_not_zero(
    serve: Serve, way: str, observer: Observer
) -> None:
    LLMCascade([serve().target("openai", "of-my-own")]).register("support")
    await ask(way)
    await until(observer.came.is_set)
    assert observer.seen == [("ok", "support", None, None)]


async def test_the_callbacks_hear_of_a_failure_once(
    serve: Serve, way: str, observer: Observer
) -> None:
    serve_as("support", serve(Status(503)), serve(Status(503)))
    await failure_of(way)
    await until(observer.came.is_set)
    assert {event[:2] for event in observer.seen} == {("failed", "support")}


# What LiteLLM is told.


def test_litellm_knows_the_smallest_window_and_what_all_targets_can() -> None:
    chain = [("openai", "gpt-4.1"), ("anthropic", "claude-sonnet-4-5"), ("openai", "gpt-4")]
    LLMCascade(chain).register("support")
    known: list[Any] = [litellm.get_model_info(model, provider) for provider, model in chain]
    told: Any = litellm.get_model_info("cascade/support")
    for name in ("max_input_tokens", "max_output_tokens"):
        assert told[name] == min(each[name] for each in known)
    assert litellm.get_max_tokens("cascade/support") == told["max_output_tokens"]
    assert litellm.supports_function_calling("cascade/support")
    assert not litellm.supports_vision("cascade/support")  # GPT-4 can't
    LLMCascade(chain[:2]).register("support")
    assert litellm.supports_vision("cascade/support")
    LLMCascade(chain[2:]).register("support")
    assert not litellm.supports_vision("cascade/support")


def test_what_is_unknown_of_one_target_is_left_out() -> None:
    LLMCascade(["openai/gpt-4.1", "openai/of-my-own"]).register("support")
    told = litellm.model_cost["cascade/support"]
    assert not [name for name in told if name.startswith(("max_", "supports_"))]
    assert not litellm.supports_function_calling("cascade/support")


# Names.


@pytest.mark.parametrize("name", ["", "env", "two words", "a/b", "a,b", "naïve", "x\n", None, 7])
def test_a_name_is_checked(name: Any) -> None:
    with pytest.raises(ConfigurationError, match="can't be registered as"):
        LLMCascade(["openai/gpt-4.1"]).register(name)
    assert litellm.custom_provider_map == []


async def test_a_name_may_have_letters_digits_and_signs(serve: Serve) -> None:
    serve_as("A-b_c.9", serve(Reply("here")))
    assert (await ask("acompletion", "A-b_c.9")).choices[0].message.content == "here"


async def test_registering_again_replaces(serve: Serve, way: str) -> None:
    serve_as("support", serve(Reply("the first")))
    serve_as("support", serve(Reply("the second")))
    assert (await ask(way)).choices[0].message.content == "the second"
    assert len(litellm.custom_provider_map) == 1


async def test_unregistering_takes_away(serve: Serve, way: str) -> None:
    serve_as("support", serve()).unregister("support")
    serve_as("other", serve())
    assert "cascade/support" not in litellm.model_cost
    error = await failure_of(way)
    assert type(error) is litellm.NotFoundError
    assert "registered: other" in str(error)
    LLMCascade.unregister("support")  # once more is no error


def test_nothing_of_litellms_is_written_before_register() -> None:
    program = """
import copy, litellm
def state():
    kinds = bool, int, float, str, type(None), list, dict, set, tuple
    return {name: copy.copy(value) for name, value in vars(litellm).items()
            if isinstance(value, kinds) and not name.startswith("__")}
import litellm.litellm_core_utils.default_encoding, litellm.proxy._types, openai.resources.chat
list(map(str, litellm.provider_list)); litellm.CustomLLM; litellm.utils
before = state()
from majordomo_cascade import LLMCascade
from majordomo_cascade.litellm_provider import handler
cascade = LLMCascade(["openai/gpt-4.1"])
after = state()
print(sorted(name for name in after if before.get(name, after[name]) != after[name]))
cascade.register("support")
print(litellm.custom_provider_map[0]["custom_handler"] is handler)
print("cascade" in litellm.provider_list)
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, cwd=ROOT, check=False
    )
    assert done.stdout == "[]\nTrue\nTrue\n", done.stderr


# The handler of a configuration file.


@pytest.fixture
def configured(monkeypatch: pytest.MonkeyPatch) -> None:
    own: Any = [{"provider": "cascade", "custom_handler": handler}]
    monkeypatch.setattr(litellm, "custom_provider_map", own)


async def test_a_name_may_spell_the_chain(
    serve: Serve, way: str, configured: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    down, up = serve(Status(401)), serve(Reply("from the second"))
    for vendor, server in (("ANTHROPIC", down), ("OPENAI", up)):
        monkeypatch.setenv(f"{vendor}_API_KEY", "a-key")
        monkeypatch.setenv(f"{vendor}_API_BASE", server.url + ("/v1" if server is up else ""))
    name = f"anthropic/claude-sonnet-4-5,openai/gpt-4.1-{way.replace(' ', '-')}"
    assert (await ask(way, name)).choices[0].message.content == "from the second"
    assert (await ask(way, name)).choices[0].message.content == "from the second"
    assert (len(down.requests), len(up.requests)) == (2, 2)


async def test_a_spelled_chain_is_built_once_and_keeps_its_health(
    serve: Serve, configured: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    down, up = serve(Status(401)), serve(Reply("from the second"))
    monkeypatch.setenv("ANTHROPIC_API_KEY", "a-key")
    monkeypatch.setenv("ANTHROPIC_API_BASE", down.url)
    monkeypatch.setenv("OPENAI_API_KEY", "a-key")
    monkeypatch.setenv("OPENAI_API_BASE", f"{up.url}/v1")
    for _ in range(5):
        await ask("acompletion", "anthropic/claude-haiku-4-5,openai/gpt-4.1")
    assert len(down.requests) == 3  # then its breaker is open
    assert len(up.requests) == 5


async def test_the_environment_may_tell_the_chain(
    serve: Serve, configured: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    error = await failure_of("acompletion", model="cascade/env")
    assert type(error) is litellm.BadRequestError
    assert "MAJORDOMO_PROVIDERS is not set" in str(error)
    server = serve(Reply("from the environment"))
    monkeypatch.setenv("MAJORDOMO_PROVIDERS", "openai/gpt-4.1")
    monkeypatch.setenv("OPENAI_API_KEY", "a-key")
    monkeypatch.setenv("OPENAI_API_BASE", f"{server.url}/v1")
    answer = await ask("acompletion", "env")
    assert answer.choices[0].message.content == "from the environment"


async def test_a_chain_that_cannot_be_built_is_a_bad_request(way: str, configured: None) -> None:
    error = await failure_of(way, model="cascade/claude/x")
    assert type(error) is litellm.BadRequestError
    assert "did you mean 'anthropic'?" in str(error)
