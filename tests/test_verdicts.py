"""One verdict for every exception class that LiteLLM has: a new one fails here until somebody decides."""

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
    ContentPolicyError,
    ContextWindowExceededError,
    InvalidRequestError,
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

#: The verdict on what is handed back to the caller as it is: the host application's own guards.
HANDED_BACK = None

#: Every class of ``litellm.exceptions``, in all versions that this package allows, and what a cascade makes of it where
#: nothing else is known: no HTTP answer behind it, no cause. What a line holds is written in ``classify.py``.
VERDICTS: dict[str, type[MajordomoError] | None] = {
    "APIConnectionError": ProviderConnectionError,
    "APIError": ProviderUnavailableError,  # by its status, a 500 here
    "APIResponseValidationError": InvalidResponseError,
    "AuthenticationError": AuthenticationError,
    "BadGatewayError": ProviderUnavailableError,
    "BadRequestError": InvalidRequestError,
    "BlockedPiiEntityError": ContentPolicyError,
    "BudgetExceededError": HANDED_BACK,
    "CallerCredentialAuthenticationError": AuthenticationError,  # from 1.109: a user's own GitHub account
    "CallerCredentialRateLimitError": RateLimitError,  # likewise
    "ContentPolicyViolationError": ContentPolicyError,
    "ContextWindowExceededError": ContextWindowExceededError,
    "EndpointNotSupportedByModelError": UnsupportedRequestError,  # from 1.109, and the router's
    "GuardrailInterventionNormalStringError": ContentPolicyError,  # up to 1.83
    "GuardrailRaisedException": ContentPolicyError,
    "ImageFetchError": UnsupportedRequestError,  # OpenAI fetches it by itself
    "InternalServerError": ProviderUnavailableError,
    "InvalidRequestError": InvalidRequestError,  # of old; LiteLLM raises it no more
    "JSONSchemaValidationError": InvalidResponseError,  # litellm.enable_json_schema_validation
    "LiteLLMUnknownProvider": ModelNotFoundError,  # a provider that has no chat
    "MalformedRequestFieldError": InvalidRequestError,  # from 1.109
    "MidStreamFallbackError": ProviderUnavailableError,  # a stream's: what it wraps is in its cause
    "MockException": ProviderUnavailableError,  # by its status, a 500 here
    "ModelNotMappedError": ProviderError,  # of the price list, and caught inside of LiteLLM
    "ModifyResponseException": HANDED_BACK,
    "NotFoundError": ModelNotFoundError,
    "OpenAIError": ProviderError,  # of old; LiteLLM raises it no more
    "PaymentRequiredError": QuotaExceededError,
    "PermissionDeniedError": PermissionDeniedError,
    "RateLimitError": RateLimitError,
    "RejectedRequestError": ContentPolicyError,
    "SensitiveDataRouteException": HANDED_BACK,
    "ServiceUnavailableError": ProviderUnavailableError,
    "Timeout": ProviderTimeoutError,
    "UnprocessableEntityError": InvalidRequestError,
    "UnsupportedEndpointError": UnsupportedRequestError,  # from 1.109
    "UnsupportedParamsError": UnsupportedRequestError,
    "VectorStoreSearchError": InvalidRequestError,  # the application's own store: no other provider helps
}

#: The same for what can come out of ``litellm.acompletion``, or of a patch of it, from elsewhere.
FROM_ELSEWHERE: dict[str, tuple[BaseException, type[MajordomoError] | None]] = {
    "a bare Exception": (Exception("All fallback attempts failed"), InvalidRequestError),
    "a callback's bug": (RuntimeError("a bug in a callback"), HANDED_BACK),
    "metadata that is no dict": (AttributeError("'str' object has no attribute 'get'"), HANDED_BACK),
    "a wrong signature": (TypeError("got an unexpected keyword argument"), HANDED_BACK),
    "asyncio's timeout": (TimeoutError(), ProviderTimeoutError),
    "the socket's": (ConnectionResetError(), ProviderConnectionError),
}

REQUEST: Any = httpx.Request("POST", "https://vendor.invalid")  # openai 3 has its own httpx


def answer(status: int) -> Any:
    return httpx.Response(status, request=REQUEST)


def exceptions_of_litellm() -> dict[str, type[BaseException]]:
    """The exception classes that the installed LiteLLM defines in ``litellm.exceptions``."""
    module = litellm.exceptions
    classes = {name: value for name, value in vars(module).items() if inspect.isclass(value)}
    return {n: c for n, c in classes.items() if issubclass(c, BaseException) and c.__module__ == module.__name__}


def an_instance(kind: type[BaseException]) -> BaseException:
    """One as LiteLLM makes it: with what its signature requires, and nothing that it does not."""
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
    needed = [p.name for p in parameters if p.default is p.empty and p.kind is p.POSITIONAL_OR_KEYWORD]
    if unknown := [name for name in needed if name not in values]:
        pytest.fail(f"{kind.__name__} can't be made: give a value for {', '.join(unknown)} in an_instance")
    return kind(**{name: values[name] for name in needed})


async def verdict_on(raised: BaseException, monkeypatch: pytest.MonkeyPatch) -> BaseException:
    """What a cascade makes of an exception that ``litellm.acompletion`` raises."""

    async def patched(**_: Any) -> None:
        raise raised

    monkeypatch.setattr(litellm, "acompletion", patched)
    with pytest.raises(BaseException) as caught:  # noqa: PT011 - which one is the question
        await LLMCascade(["openai/gpt-4.1"], retry=RetryPolicy(attempts=1)).get_response("Hello")
    return caught.value


def check(error: BaseException, raised: BaseException, expected: type[MajordomoError] | None) -> None:
    """See that the verdict is exactly the one expected, and on record."""
    if expected is HANDED_BACK:
        assert error is raised
        return
    assert type(error) is expected
    assert isinstance(error, MajordomoError)
    assert error.__cause__ is raised
    (attempt,) = error.attempts
    assert (attempt.error, attempt.outcome) == (error, "failed")


@pytest.mark.litellm_fact("litellm.exceptions has no class but those on which a verdict was passed", topic="errors")
def test_there_is_a_verdict_on_every_exception_class_of_litellm() -> None:
    undecided = sorted(exceptions_of_litellm().keys() - VERDICTS.keys())
    assert not undecided, (
        f"this LiteLLM has exception classes without a verdict: {', '.join(undecided)}. Read where LiteLLM raises them,"
        " decide what a cascade makes of it, write it into VERDICTS here, and into classify.py (BY_CLASS, HANDED_BACK) "
        "if it is not treated so already."
    )


@pytest.mark.parametrize("name", VERDICTS)
async def test_the_verdict_on_each_of_litellms_exceptions(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    kind = exceptions_of_litellm().get(name)
    if kind is None:
        pytest.skip("not in this version of LiteLLM")
    raised = an_instance(kind)
    check(await verdict_on(raised, monkeypatch), raised, VERDICTS[name])


@pytest.mark.parametrize("name", FROM_ELSEWHERE)
async def test_the_verdict_on_what_comes_from_elsewhere(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
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
        (openai.BadRequestError("x", response=answer(400), body=None), InvalidRequestError),
        (openai.APIError("x", REQUEST, body=None), ProviderError),
        (openai.OpenAIError("Missing credentials"), AuthenticationError),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, BaseException) else "",
)
async def test_the_verdict_on_openais_own_exceptions_from_a_patch(
    raised: BaseException, expected: type[MajordomoError], monkeypatch: pytest.MonkeyPatch
) -> None:
    check(await verdict_on(raised, monkeypatch), raised, expected)


async def test_a_provider_that_has_no_chat_is_passed_over(serve: Serve) -> None:
    cascade = LLMCascade(["deepgram/nova-2", serve(Reply("served")).target()])
    response = await cascade.get_response("Hello")
    assert (response.content, [type(attempt.error) for attempt in response.attempts]) == (
        "served",
        [ModelNotFoundError, type(None)],
    )


@pytest.mark.parametrize("wire", WIRES[1:], ids=[wire[0] for wire in WIRES[1:]])
@pytest.mark.parametrize("host", ["127.0.0.1", "host.invalid"])
async def test_an_image_that_litellm_can_not_fetch_is_no_outage_and_another_may_take_its_link(
    serve: Serve, wire: tuple[str, str], host: str
) -> None:
    """LiteLLM sends Anthropic and Gemini the image, and OpenAI the link. Versions differ in what they block."""
    first, second = serve(), serve(Reply("a cat"))
    cascade = LLMCascade([first.target(*wire), second.target()])
    with socket.socket() as unused:  # bound, but nobody listens
        unused.bind(("127.0.0.1", 0))
        url = f"http://{host}:{unused.getsockname()[1]}/cat.png"
        parts = [{"type": "text", "text": "What is it?"}, {"type": "image_url", "image_url": {"url": url}}]
        response = await cascade.get_response(messages=[{"role": "user", "content": parts}])
    assert (response.content, first.requests) == ("a cat", [])
    assert [type(attempt.error) for attempt in response.attempts] == [UnsupportedRequestError, type(None)]
    assert second.requests[0].json["messages"][0]["content"][1]["image_url"]["url"] == url
    assert cascade.health[0].failures == 0
