"""A verdict on every exception class of LiteLLM's. A new one fails here until somebody decides."""

from __future__ import annotations

import inspect
import socket
from typing import Any

import httpx
import litellm
import litellm.exceptions
import openai
import pytest
from conftest import WIRES, Serve

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
    ProviderTimeoutError,
    ProviderUnavailableError,
    QuotaExceededError,
    RateLimitError,
    RetryPolicy,
    UnsupportedRequestError,
)
from majordomo_cascade.testing import Reply

#: The exception is raised as it is.
AS_IT_IS = None

#: Every class of ``litellm.exceptions``, in all versions that this package allows, and the error
#: that it becomes if nothing else is known: no HTTP answer behind it, no cause.
VERDICTS: dict[str, type[MajordomoError] | None] = {
    "APIConnectionError": ProviderConnectionError,
    "APIError": ProviderUnavailableError,  # by its status, a 500 here
    "APIResponseValidationError": InvalidResponseError,
    "AuthenticationError": AuthenticationError,
    "BadGatewayError": ProviderUnavailableError,
    "BadRequestError": BadRequestError,
    "BlockedPiiEntityError": ContentPolicyError,
    "BudgetExceededError": AS_IT_IS,
    "CallerCredentialAuthenticationError": AuthenticationError,  # from 1.109: a user's account
    "CallerCredentialRateLimitError": RateLimitError,  # likewise
    "ContentPolicyViolationError": ContentPolicyError,
    "ContextWindowExceededError": ContextWindowExceededError,
    "EndpointNotSupportedByModelError": UnsupportedRequestError,  # from 1.109, and the router's
    "GuardrailInterventionNormalStringError": ContentPolicyError,  # up to 1.83
    "GuardrailRaisedException": ContentPolicyError,
    "ImageFetchError": UnsupportedRequestError,  # OpenAI fetches it by itself
    "InternalServerError": ProviderUnavailableError,
    "InvalidRequestError": BadRequestError,  # of old; LiteLLM raises it no more
    "JSONSchemaValidationError": InvalidResponseError,  # litellm.enable_json_schema_validation
    "LiteLLMUnknownProvider": ModelNotFoundError,  # a provider that has no chat
    "MalformedRequestFieldError": BadRequestError,  # from 1.109
    "MidStreamFallbackError": ProviderUnavailableError,  # a stream's: what it wraps is in its cause
    "MockException": ProviderUnavailableError,  # by its status, a 500 here
    "ModelNotMappedError": ProviderError,  # of the price list, and caught inside of LiteLLM
    "ModifyResponseException": AS_IT_IS,
    "NotFoundError": ModelNotFoundError,
    "OpenAIError": ProviderError,  # of old; LiteLLM raises it no more
    "PaymentRequiredError": QuotaExceededError,
    "PermissionDeniedError": PermissionDeniedError,
    "RateLimitError": RateLimitError,
    "RejectedRequestError": ContentPolicyError,
    "SensitiveDataRouteException": AS_IT_IS,
    "ServiceUnavailableError": ProviderUnavailableError,
    "Timeout": ProviderTimeoutError,
    "UnprocessableEntityError": BadRequestError,
    "UnsupportedEndpointError": UnsupportedRequestError,  # from 1.109
    "UnsupportedParamsError": UnsupportedRequestError,
    "VectorStoreSearchError": BadRequestError,  # the application's own store
}

#: The same for other exceptions that ``litellm.acompletion``, or a patch of it, can raise.
FROM_ELSEWHERE: dict[str, tuple[BaseException, type[MajordomoError] | None]] = {
    "a bare Exception": (Exception("All fallback attempts failed"), BadRequestError),
    "a callback's bug": (RuntimeError("a bug in a callback"), AS_IT_IS),
    "metadata that is no dict": (AttributeError("'str' object has no attribute 'get'"), AS_IT_IS),
    "a wrong signature": (TypeError("got an unexpected keyword argument"), AS_IT_IS),
    "asyncio's timeout": (TimeoutError(), ProviderTimeoutError),
    "the socket's": (ConnectionResetError(), ProviderConnectionError),
}

REQUEST: Any = httpx.Request("POST", "https://vendor.invalid")  # openai 3 has its own httpx


def answer(status: int) -> Any:
    return httpx.Response(status, request=REQUEST)


def exceptions_of_litellm() -> dict[str, type[BaseException]]:
    """Return the exception classes of the installed ``litellm.exceptions``."""
    module = litellm.exceptions
    classes = {name: value for name, value in vars(module).items() if inspect.isclass(value)}
    return {
        name: each
        for name, each in classes.items()
        if issubclass(each, BaseException) and each.__module__ == module.__name__
    }


def an_instance(kind: type[BaseException]) -> BaseException:
    """Make an exception with the arguments that its signature requires, and no other."""
    status = {"PermissionDeniedError": 403, "UnprocessableEntityError": 422}.get(kind.__name__, 400)
    values: dict[str, Any] = {
        "current_cost": 2.0,
        "entity_type": "EMAIL",
        "failures": [],
        "llm_provider": "openai",
        "max_budget": 1.0,
        "message": "some words",
        "model": "gpt-4.1",
        "raw_response": "{}",
        "request_data": {},
        "response": answer(status),
        "route_to_model": "gpt-4.1",
        "schema": "{}",
        "session_id": "1",
        "status_code": 500,
    }
    parameters = list(inspect.signature(kind.__init__).parameters.values())[1:]
    needed = [
        each.name
        for each in parameters
        if each.default is each.empty and each.kind is each.POSITIONAL_OR_KEYWORD
    ]
    unknown = [name for name in needed if name not in values]
    assert not unknown, f"give an_instance values for {kind.__name__}: {', '.join(unknown)}"
    return kind(**{name: values[name] for name in needed})


async def verdict_on(raised: BaseException, monkeypatch: pytest.MonkeyPatch) -> BaseException:
    """Return what a cascade raises if ``litellm.acompletion`` raises an exception."""

    async def patched(**_: Any) -> None:
        raise raised

    monkeypatch.setattr(litellm, "acompletion", patched)
    with pytest.raises(BaseException) as caught:  # noqa: PT011 - which one is the question
        await LLMCascade(["openai/gpt-4.1"], retry=RetryPolicy(attempts=1)).get_response("Hello")
    return caught.value


def check(
    error: BaseException, raised: BaseException, expected: type[MajordomoError] | None
) -> None:
    """Check that the verdict is exactly the one expected, and on record."""
    if expected is AS_IT_IS:
        assert error is raised
        return
    assert type(error) is expected
    assert isinstance(error, MajordomoError)
    assert error.__cause__ is raised
    (attempt,) = error.attempts
    assert (attempt.error, attempt.outcome) == (error, "failed")


@pytest.mark.litellm_fact("every class of litellm.exceptions has a verdict", topic="errors")
def test_there_is_a_verdict_on_every_exception_class_of_litellm() -> None:
    undecided = sorted(exceptions_of_litellm().keys() - VERDICTS.keys())
    assert not undecided, (
        f"this LiteLLM has exception classes without a verdict: {', '.join(undecided)}. "
        "Read where LiteLLM raises them, decide which error they become, and write it into "
        "VERDICTS here, and into error_mapping.py (BY_CLASS, HOST_GUARDS) if it is not so already."
    )


@pytest.mark.parametrize("name", VERDICTS)
async def test_the_verdict_on_each_of_litellms_exceptions(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    kind = exceptions_of_litellm().get(name)
    if kind is None:
        pytest.skip("not in this version of LiteLLM")
    raised = an_instance(kind)
    check(await verdict_on(raised, monkeypatch), raised, VERDICTS[name])


@pytest.mark.parametrize("name", FROM_ELSEWHERE)
async def test_the_verdict_on_exceptions_from_elsewhere(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    raised, expected = FROM_ELSEWHERE[name]
    check(await verdict_on(raised, monkeypatch), raised, expected)


@pytest.mark.parametrize(
    ("raised", "expected"),
    [
        (openai.APIConnectionError(request=REQUEST), ProviderConnectionError),
        (openai.APITimeoutError(REQUEST), ProviderTimeoutError),
        (openai.RateLimitError("x", response=answer(429), body=None), RateLimitError),
        (
            openai.InternalServerError("x", response=answer(500), body=None),
            ProviderUnavailableError,
        ),
        (openai.BadRequestError("x", response=answer(400), body=None), BadRequestError),
        (openai.APIError("x", REQUEST, body=None), ProviderError),
        (openai.OpenAIError("Missing credentials"), AuthenticationError),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, BaseException) else "",
)
async def test_the_verdict_on_openais_own_exceptions_from_a_patch(
    raised: BaseException, expected: type[MajordomoError], monkeypatch: pytest.MonkeyPatch
) -> None:
    check(await verdict_on(raised, monkeypatch), raised, expected)


async def test_a_provider_without_chat_is_passed_over(serve: Serve) -> None:
    cascade = LLMCascade(["deepgram/nova-2", serve(Reply("served")).target()])
    response = await cascade.get_response("Hello")
    assert (response.content, [type(attempt.error) for attempt in response.attempts]) == (
        "served",
        [ModelNotFoundError, type(None)],
    )


@pytest.mark.parametrize("wire", WIRES[1:], ids=[wire[0] for wire in WIRES[1:]])
@pytest.mark.parametrize("host", ["127.0.0.1", "host.invalid"])
async def test_an_image_that_litellm_cannot_fetch_moves_on_and_is_no_outage(
    serve: Serve, wire: tuple[str, str], host: str
) -> None:
    """Show that LiteLLM sends Anthropic and Gemini the image, and OpenAI the link."""
    first, second = serve(), serve(Reply("a cat"))
    cascade = LLMCascade([first.target(*wire), second.target()])
    with socket.socket() as unused:  # bound, but nobody listens
        unused.bind(("127.0.0.1", 0))
        url = f"http://{host}:{unused.getsockname()[1]}/cat.png"
        image = {"type": "image_url", "image_url": {"url": url}}
        parts = [{"type": "text", "text": "What is it?"}, image]
        response = await cascade.get_response(messages=[{"role": "user", "content": parts}])
    assert (response.content, first.requests) == ("a cat", [])
    assert [type(attempt.error) for attempt in response.attempts] == [
        UnsupportedRequestError,
        type(None),
    ]
    assert second.requests[0].json["messages"][0]["content"][1]["image_url"]["url"] == url
    assert cascade.health[0].failures == 0
