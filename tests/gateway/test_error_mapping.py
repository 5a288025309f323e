"""Failures on the OpenAI, Anthropic and Gemini wires, and the errors that they become."""

from __future__ import annotations

import email.utils
import socket
from dataclasses import dataclass
from typing import Any, ClassVar

import litellm
import pytest
from conftest import ALL_WIRES, WIRES, Serve

from majordomo_cascade import (
    AuthenticationError,
    BadRequestError,
    ContentPolicyError,
    ContextWindowExceededError,
    InvalidResponseError,
    LLMCascade,
    MajordomoError,
    ModelNotFoundError,
    PermissionDeniedError,
    ProviderConnectionError,
    ProviderError,
    ProviderSetupError,
    ProviderTimeoutError,
    ProviderUnavailableError,
    QuotaExceededError,
    RateLimitError,
    RetryPolicy,
    Target,
    UnsupportedRequestError,
)
from majordomo_cascade.gateway import TargetClient
from majordomo_cascade.testing import (
    Behaviour,
    CutBody,
    Exchange,
    FakeProvider,
    Garbage,
    Hang,
    Reply,
    Reset,
    Status,
)

EVERY_WIRE = pytest.mark.parametrize(("provider", "model"), ALL_WIRES)
ONCE = RetryPolicy(attempts=1)


async def ask(server: FakeProvider, provider: str, model: str, **params: Any) -> MajordomoError:
    """The error of one attempt."""
    cascade = LLMCascade([server.target(provider, model)], retry=ONCE)
    with pytest.raises(MajordomoError) as caught:
        await cascade.get_response("Summarize this document", **params)
    return caught.value


@EVERY_WIRE
@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (400, BadRequestError),
        (401, AuthenticationError),
        (402, QuotaExceededError),
        (403, PermissionDeniedError),
        (404, ModelNotFoundError),
        (408, ProviderTimeoutError),
        (409, ProviderUnavailableError),
        (410, ModelNotFoundError),
        (413, ContextWindowExceededError),
        (418, ProviderError),
        (422, BadRequestError),
        (425, ProviderUnavailableError),
        (429, RateLimitError),
        (500, ProviderUnavailableError),
        (502, ProviderUnavailableError),
        (503, ProviderUnavailableError),
        (504, ProviderTimeoutError),
        (529, ProviderUnavailableError),
    ],
)
async def test_each_status_becomes_its_error(
    serve: Serve, provider: str, model: str, status: int, expected: type[MajordomoError]
) -> None:
    server = serve(Status(status, "some words", "some_code", headers={"x-request-id": "req_42"}))
    error = await ask(server, provider, model)
    assert type(error) is expected
    assert str(error) == f"{provider}/{model}: HTTP {status} some_code: some words"
    assert len(server.requests) == 1
    if isinstance(error, ProviderError):
        told = (error.provider, error.model, error.status_code, error.request_id, error.retry_after)
        assert told == (provider, model, status, "req_42", None)


@EVERY_WIRE
@pytest.mark.parametrize(
    ("behaviour", "expected"),
    [
        # text does not beat status
        (Status(400, "Unknown parameter: 'rate_limit_foo'"), BadRequestError),
        (Status(500, "rate limit on our side"), ProviderUnavailableError),
        (Status(500, "upstream said 403"), ProviderUnavailableError),
        (Status(503, "The model is overloaded"), ProviderUnavailableError),
        (Status(401, "who are you", "invalid_request_error"), AuthenticationError),
        (Status(402, "pay first", "invalid_request_error"), QuotaExceededError),
        (Status(400, "Unknown parameter: 'foo'"), BadRequestError),
        # what status can't tell
        (Status(429, "You exceeded your current quota", "insufficient_quota"), QuotaExceededError),
        (Status(400, "Your credit balance is too low to access the API."), QuotaExceededError),
        (Status(400, "You have reached your specified API usage limits."), QuotaExceededError),
        (
            Status(429, "Request too large for gpt-4.1 on tokens per min (TPM)"),
            ContextWindowExceededError,
        ),
        (
            Status(413, "Request too large for model on tokens per minute"),
            ContextWindowExceededError,
        ),
        (Status(400, "too long", "context_length_exceeded"), ContextWindowExceededError),
        (
            Status(400, "This model's maximum context length is 8192 tokens."),
            ContextWindowExceededError,
        ),
        (
            Status(400, "prompt is too long: 210000 tokens > 200000 maximum"),
            ContextWindowExceededError,
        ),
        (
            Status(
                400,
                "The input token count (9) exceeds the maximum number of tokens allowed (8).",
            ),
            ContextWindowExceededError,
        ),
        (
            Status(400, "input length and `max_tokens` exceed context limit: 9 + 9 > 8"),
            ContextWindowExceededError,
        ),
        (
            Status(400, "Input tokens exceed the configured limit of 8 tokens."),
            ContextWindowExceededError,
        ),
        (
            Status(400, "This model's maximum prompt length is 8 but the request has 9."),
            ContextWindowExceededError,
        ),
        (Status(400, "too many tokens: size limit exceeded"), ContextWindowExceededError),
        (Status(400, "This response_format type is unavailable now"), UnsupportedRequestError),
        (Status(400, "no", "content_policy_violation"), ContentPolicyError),
        (
            Status(400, "Your request was rejected as a result of our safety system."),
            ContentPolicyError,
        ),
        (Status(400, "Output blocked by content filtering policy"), ContentPolicyError),
        (Status(400, "API key not valid. Please pass a valid API key."), AuthenticationError),
        (Status(400, "no such model", "model_not_found"), ModelNotFoundError),
        (Status(400, "no", "unsupported_parameter"), UnsupportedRequestError),
        (
            Status(400, "'temperature' does not support 0.2 with this model"),
            UnsupportedRequestError,
        ),
        (Status(422, "tools are not supported by this model"), UnsupportedRequestError),
        (Status(403, "no", "unsupported_country_region_territory"), PermissionDeniedError),
    ],
)
async def test_words_decide_only_what_the_status_leaves_open(
    serve: Serve, provider: str, model: str, behaviour: Behaviour, expected: type[MajordomoError]
) -> None:
    assert type(await ask(serve(behaviour), provider, model)) is expected


@EVERY_WIRE
@pytest.mark.parametrize(
    "body",
    [
        "<html><body>Bad gateway</body></html>",
        "",
        '{"choices": [{',
        "null",
        "[]",
        {},
        {"choices": []},
        {"choices": None},
        {
            "choices": [
                {
                    "index": 0,
                    "message": {"role": "assistant", "content": None},
                    "finish_reason": "stop",
                }
            ]
        },
        {
            "content": [],
            "role": "assistant",
            "type": "message",
            "usage": {"input_tokens": 1, "output_tokens": 0},
        },
        {"candidates": [], "usageMetadata": {"promptTokenCount": 1, "totalTokenCount": 1}},
        {"error": None},
    ],
    ids=repr,
)
async def test_a_success_without_an_answer_is_an_invalid_response(
    serve: Serve, provider: str, model: str, body: Any
) -> None:
    error = await ask(serve(Garbage(body)), provider, model)
    assert type(error) is InvalidResponseError
    assert (error.provider, error.model) == (provider, model)


@dataclass(frozen=True)
class BadGzip:
    """A body that is not what its headers say."""

    async def perform(self, exchange: Exchange) -> None:
        await exchange.send(200, b"abcde", headers={"content-encoding": "gzip"})


BEDROCK = {"aws_access_key_id": "a", "aws_secret_access_key": "b", "aws_region_name": "us-east-1"}


@pytest.mark.parametrize(
    ("provider", "model", "params"),
    [
        *((*wire, {}) for wire in WIRES),
        ("azure", "my-deployment", {"api_version": "2024-10-21"}),
        ("bedrock", "anthropic.claude-3-sonnet-20240229-v1:0", BEDROCK),
        ("mistral", "mistral-large-latest", {}),
        ("deepseek", "deepseek-chat", {}),
        ("cohere_chat", "command-r", {}),
    ],
)
@pytest.mark.parametrize(
    "behaviour",
    [BadGzip(), Garbage(), Garbage(""), Garbage({}), Garbage({"choices": None}), Garbage("[1]")],
    ids=repr,
)
async def test_garbage_instead_of_an_answer_fails_over(
    serve: Serve, provider: str, model: str, params: dict[str, Any], behaviour: Behaviour
) -> None:
    broken, well = serve(behaviour), serve(Reply("served"))
    target = Target(provider, model, api_key="loopback-key", api_base=broken.url, params=params)
    response = await LLMCascade([target, well.target()], retry=ONCE).get_response("Hello")
    assert (response.content, len(broken.requests)) == ("served", 1)
    assert type(response.attempts[0].error) in {InvalidResponseError, ProviderConnectionError}


@EVERY_WIRE
async def test_a_page_about_missing_keys_is_an_invalid_response(
    serve: Serve, provider: str, model: str
) -> None:
    server = serve(Garbage("<html>Missing credentials: is your API key missing?</html>"))
    assert type(await ask(server, provider, model)) is InvalidResponseError


@EVERY_WIRE
@pytest.mark.parametrize("handled", [400, 401, None])
async def test_an_exception_that_the_caller_is_handling_does_not_decide(
    serve: Serve, provider: str, model: str, handled: int | None
) -> None:
    earlier = LLMCascade([serve(Status(handled or 400)).target(provider, model)], retry=ONCE)
    broken, well = serve(Garbage()), serve(Reply("served"))
    cascade = LLMCascade([broken.target(provider, model), well.target()], retry=ONCE)
    response = None
    try:
        if handled is None:
            raise TimeoutError
        await earlier.get_response("Hello")
    except (MajordomoError, TimeoutError):
        response = await cascade.get_response("Hello")
    assert response is not None
    assert (response.content, type(response.attempts[0].error)) == ("served", InvalidResponseError)


@EVERY_WIRE
@pytest.mark.parametrize("text", [None, "", "  \n"])
async def test_an_empty_answer_is_an_invalid_response(
    serve: Serve, provider: str, model: str, text: str | None
) -> None:
    assert type(await ask(serve(Reply(text)), provider, model)) is InvalidResponseError


@EVERY_WIRE
@pytest.mark.parametrize("text", [None, "half an ans"])
async def test_an_answer_held_back_by_a_safety_system_is_a_content_policy_error(
    serve: Serve, provider: str, model: str, text: str | None
) -> None:
    server = serve(Reply(text, finish_reason="content_filter"))
    error = await ask(server, provider, model)
    assert type(error) is ContentPolicyError
    assert [attempt.outcome for attempt in error.attempts] == ["rejected"]
    assert error.attempts[0].usage is not None


async def test_a_refusal_in_openais_own_field_is_a_content_policy_error(serve: Serve) -> None:
    message = {"role": "assistant", "content": None, "refusal": "I won't."}
    body = {
        "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
        "model": "gpt-4.1",
    }
    assert type(await ask(serve(Garbage(body)), *WIRES[0])) is ContentPolicyError


async def test_a_prompt_that_gemini_blocks_is_a_content_policy_error(serve: Serve) -> None:
    body = {
        "promptFeedback": {"blockReason": "SAFETY"},
        "usageMetadata": {"promptTokenCount": 3, "totalTokenCount": 3},
    }
    assert type(await ask(serve(Garbage(body)), *WIRES[2])) is ContentPolicyError


@EVERY_WIRE
async def test_a_refused_connection_is_a_connection_error(
    serve: Serve, provider: str, model: str
) -> None:
    with socket.socket() as unused:  # bound, but nobody listens
        unused.bind(("127.0.0.1", 0))
        closed = FakeProvider()
        closed.url = f"http://127.0.0.1:{unused.getsockname()[1]}"
        error = await ask(closed, provider, model)
    assert type(error) is ProviderConnectionError
    assert str(error) == f"{provider}/{model}: no HTTP answer (ConnectionRefusedError)"
    assert error.status_code is None


@EVERY_WIRE
async def test_an_unknown_host_is_a_connection_error(provider: str, model: str) -> None:
    nowhere = FakeProvider()
    nowhere.url = "http://host.invalid"  # RFC 2606: never resolves
    assert type(await ask(nowhere, provider, model)) is ProviderConnectionError


@EVERY_WIRE
async def test_a_failed_tls_handshake_is_a_connection_error(
    serve: Serve, provider: str, model: str
) -> None:
    server = serve()
    server.url = server.url.replace("http://", "https://")
    assert type(await ask(server, provider, model)) is ProviderConnectionError


@EVERY_WIRE
async def test_a_reset_connection_is_a_connection_error(
    serve: Serve, provider: str, model: str
) -> None:
    assert type(await ask(serve(Reset()), provider, model)) is ProviderConnectionError


@EVERY_WIRE
async def test_a_body_cut_short_is_a_failure_of_the_provider(
    serve: Serve, provider: str, model: str
) -> None:
    error = await ask(serve(CutBody()), provider, model)
    assert type(error) in {
        ProviderConnectionError,
        InvalidResponseError,
    }  # openai 3 hands out the half it got


@EVERY_WIRE
async def test_a_timeout_of_the_vendors_client_is_a_timeout(
    serve: Serve, provider: str, model: str
) -> None:
    client = TargetClient(serve(Hang()).target(provider, model), {}, 30.0)
    # LiteLLM's own limit, without ours around it.
    with pytest.raises(ProviderTimeoutError, match="no answer in time"):
        await client.complete([{"role": "user", "content": "Hello"}], {"timeout": 0.05})


@EVERY_WIRE
@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry-after": "7"}, 7.0),
        ({"retry-after": "0.5"}, 0.5),
        ({"retry-after-ms": "250", "retry-after": "9"}, 0.25),
        ({"retry-after": "-3"}, 0.0),
        ({"retry-after-ms": "-250", "retry-after": "9"}, 9.0),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "inf"}, None),
        ({"retry-after-ms": "nan", "retry-after": "9"}, 9.0),
        ({}, None),
    ],
)
async def test_retry_after_is_read_from_the_headers(
    serve: Serve, provider: str, model: str, headers: dict[str, str], seconds: float | None
) -> None:
    error = await ask(serve(Status(429, headers=headers)), provider, model)
    assert isinstance(error, RateLimitError)
    assert error.retry_after == seconds


async def test_retry_after_may_be_an_http_date(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("majordomo_cascade.gateway.evidence.time.time", lambda: 1_000_000_000.0)
    date = email.utils.formatdate(1_000_000_012, usegmt=True)
    error = await ask(serve(Status(503, retry_after=date)), *WIRES[0])
    assert isinstance(error, ProviderError)
    assert error.retry_after == 12.0


async def test_geminis_retry_delay_is_read_from_the_body(serve: Serve) -> None:
    details = [{"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "34.5s"}]
    body = {
        "error": {
            "code": 429,
            "message": "slow down",
            "status": "RESOURCE_EXHAUSTED",
            "details": details,
        }
    }
    error = await ask(serve(Garbage(body, status=429)), *WIRES[2])
    assert isinstance(error, RateLimitError)
    assert error.retry_after == 34.5


async def test_geminis_400_for_an_invalid_key_is_an_authentication_error(serve: Serve) -> None:
    details = [{"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": "API_KEY_INVALID"}]
    body = {
        "error": {"code": 400, "message": "Bad.", "status": "INVALID_ARGUMENT", "details": details}
    }
    assert type(await ask(serve(Garbage(body, status=400)), *WIRES[2])) is AuthenticationError


@EVERY_WIRE
@pytest.mark.parametrize(
    "body",
    ["<html>502</html>", "", "[]", "7", {"error": "down"}, {"detail": "down"}, [{"error": 3}]],
    ids=repr,
)
async def test_an_error_body_may_have_any_shape(
    serve: Serve, provider: str, model: str, body: Any
) -> None:
    body = str(body) if isinstance(body, list) else body
    assert (
        type(await ask(serve(Garbage(body, status=502)), provider, model))
        is ProviderUnavailableError
    )


async def test_a_parameter_that_the_provider_cannot_take_is_unsupported(serve: Serve) -> None:
    server = serve()
    error = await ask(server, *WIRES[1], logit_bias={"1": 2})
    assert type(error) is UnsupportedRequestError
    assert server.requests == []


async def test_another_provider_is_asked_when_one_cannot_take_a_parameter(serve: Serve) -> None:
    first, second = serve(), serve(Reply("biased"))
    cascade = LLMCascade([first.target(*WIRES[1]), second.target(*WIRES[0])])
    response = await cascade.get_response("Hello", logit_bias={"1": 2})
    assert (response.content, response.provider, first.requests) == ("biased", "openai", [])


@EVERY_WIRE
async def test_a_message_that_litellm_cannot_translate_is_a_bad_request(
    provider: str, model: str
) -> None:
    with FakeProvider() as server:
        cascade = LLMCascade([server.target(provider, model)])
        with pytest.raises(BadRequestError) as caught:
            await cascade.get_response(messages=[{"role": "user", "content": [{"type": "weird"}]}])
        assert server.requests == []
    assert "LiteLLM refused the request" in str(caught.value)
    assert caught.value.__cause__ is not None


async def test_a_tool_result_without_its_call_is_a_bad_request_on_anthropic(serve: Serve) -> None:
    server = serve()
    cascade = LLMCascade([server.target(*WIRES[1])])
    with pytest.raises(BadRequestError):
        await cascade.get_response(messages=[{"role": "tool", "content": "42"}])
    assert server.requests == []


@pytest.mark.parametrize(
    ("mock", "expected"),
    [
        ("litellm.RateLimitError", RateLimitError),
        ("litellm.ContextWindowExceededError", ContextWindowExceededError),
        ("litellm.InternalServerError", ProviderUnavailableError),
        (Exception("boom"), ProviderUnavailableError),
        (litellm.BadRequestError("bad", "m", "openai"), BadRequestError),
        (litellm.AuthenticationError("who", "openai", "m"), AuthenticationError),
        (litellm.NotFoundError("no", "m", "openai"), ModelNotFoundError),
        (litellm.Timeout("slow", "m", "openai"), ProviderTimeoutError),
        (litellm.APIConnectionError("cut", "openai", "m"), ProviderConnectionError),
        (litellm.ContentPolicyViolationError("no", "m", "openai"), ContentPolicyError),
        (litellm.ServiceUnavailableError("down", "openai", "m"), ProviderUnavailableError),
        (litellm.BadGatewayError("down", "openai", "m"), ProviderUnavailableError),
    ],
    ids=repr,
)
async def test_a_mocked_error_becomes_ours_by_its_class(
    mock: Any, expected: type[MajordomoError]
) -> None:
    with pytest.raises(MajordomoError) as caught:
        await LLMCascade(["openai/gpt-4.1"], retry=ONCE).get_response("Hello", mock_response=mock)
    assert type(caught.value) is expected


@pytest.mark.parametrize(
    ("raised", "expected"),
    [
        (litellm.RateLimitError("slow", "openai", "m"), RateLimitError),
        (litellm.BadRequestError("bad", "m", "openai"), BadRequestError),
        (TimeoutError(), ProviderTimeoutError),
        (ConnectionResetError(), ProviderConnectionError),
        (litellm.BudgetExceededError(2.0, 1.0), litellm.BudgetExceededError),
        (RuntimeError("a bug in a callback"), RuntimeError),
        (KeyError("a bug in a callback"), KeyError),
    ],
    ids=repr,
)
async def test_an_exception_from_a_patched_acompletion_is_mapped(
    monkeypatch: pytest.MonkeyPatch, raised: Exception, expected: type[Exception]
) -> None:
    async def patched(**_: Any) -> None:
        raise raised

    monkeypatch.setattr(litellm, "acompletion", patched)
    with pytest.raises(expected) as caught:
        await LLMCascade(["openai/gpt-4.1"], retry=ONCE).get_response("Hello")
    assert type(caught.value) is expected
    if isinstance(caught.value, ProviderError | BadRequestError):
        assert caught.value.__cause__ is raised


async def test_litellms_exceptions_about_each_other_are_an_invalid_response(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def patched(**_: Any) -> None:
        try:
            raise litellm.APIError(500, "inner", "openai", "m")
        except litellm.APIError as error:
            raise litellm.InternalServerError("outer", "openai", "m") from error

    monkeypatch.setattr(litellm, "acompletion", patched)
    with pytest.raises(InvalidResponseError):
        await LLMCascade(["openai/gpt-4.1"], retry=ONCE).get_response("Hello")


async def test_a_package_that_litellm_lacks_is_named(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def patched(**_: Any) -> None:
        try:
            import no_such_package  # type: ignore[import-not-found] # pyright: ignore[reportMissingImports] # noqa: F401
        except ImportError as error:
            raise litellm.APIConnectionError("No module named", "openai", "m") from error

    monkeypatch.setattr(litellm, "acompletion", patched)
    with pytest.raises(ProviderSetupError, match=r"pip install no_such_package$"):
        await LLMCascade(["openai/gpt-4.1"]).get_response("Hello")


async def test_a_retry_after_in_the_past_is_now(serve: Serve) -> None:
    past = email.utils.formatdate(1_000_000_000, usegmt=True)
    error = await ask(serve(Status(503, retry_after=past)), *WIRES[0])
    assert isinstance(error, ProviderError)
    assert error.retry_after == 0.0


class Unread:
    """An HTTP answer whose body was never read."""

    status_code = 503
    headers: ClassVar[dict[str, str]] = {}

    @property
    def text(self) -> str:
        raise RuntimeError("not read")


class HTTPStatusError(Exception):
    """Httpx's, by its name."""

    response = Unread()


async def test_an_error_whose_body_was_never_read_is_mapped_by_its_status(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def patched(**_: Any) -> Any:
        raise litellm.APIError(500, "?", "openai", "gpt-4.1") from HTTPStatusError()

    monkeypatch.setattr(litellm, "acompletion", patched)
    with pytest.raises(ProviderUnavailableError, match="HTTP 503"):
        await LLMCascade(["openai/gpt-4.1"], retry=RetryPolicy(attempts=1)).get_response("Hello")
