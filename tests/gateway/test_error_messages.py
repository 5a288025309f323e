"""The messages and fields of errors: the vendor's words, or ours where there are none."""

from __future__ import annotations

import json
from itertools import islice
from typing import Any

import httpx
import litellm
import openai
import pytest

from majordomo_cascade import (
    AuthenticationError,
    BadRequestError,
    ContentPolicyError,
    InvalidResponseError,
    MajordomoError,
    PermissionDeniedError,
    ProviderConnectionError,
    ProviderError,
    ProviderSetupError,
    ProviderTimeoutError,
    ProviderUnavailableError,
    RateLimitError,
    Target,
    UnsupportedRequestError,
)
from majordomo_cascade.gateway import format_blame
from majordomo_cascade.gateway.boundary import ErrorBoundary
from majordomo_cascade.gateway.error_mapping import UNFIT_KEY, our_error
from majordomo_cascade.gateway.evidence import chain, gather

GPT = Target("openai", "gpt-4.1")


def made_of(*causes: BaseException) -> Exception:
    """Return LiteLLM's error with a chain of causes below it."""
    error: Exception = litellm.APIConnectionError("what LiteLLM makes of it", "openai", "gpt-4.1")
    link: BaseException = error
    for cause in causes:
        link.__cause__ = cause
        link = cause
    return error


def answered(status: int, body: Any, headers: dict[str, str] | None = None) -> Exception:
    """Return LiteLLM's error for an HTTP answer."""
    request = httpx.Request("POST", "http://host/v1")
    text = body if isinstance(body, str) else json.dumps(body)
    response = httpx.Response(status, request=request, text=text, headers=headers)
    return made_of(httpx.HTTPStatusError("status", request=request, response=response))


def mapped(error: Exception, advice: str = "; set OPENAI_API_KEY", **known: Any) -> Any:
    """Return our error for one of LiteLLM's."""
    return our_error(gather(error, **known), GPT, lambda: advice)


def told(error: Exception, **known: Any) -> tuple[type[Exception], str]:
    """Return the class of our error, and its message without the target's name."""
    ours = mapped(error, **known)
    assert isinstance(ours, MajordomoError)
    return type(ours), str(ours).removeprefix("openai/gpt-4.1: ")


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"error": {"message": "no", "code": "c", "type": "t"}}, "HTTP 418 c: no"),
        ({"error": {"message": "no", "type": "t"}}, "HTTP 418 t: no"),
        ({"error": {"message": "no", "status": "S"}}, "HTTP 418 S: no"),
        ({"error": {"message": "no", "code": 7}}, "HTTP 418: no"),
        ({"error": {"code": "c"}}, "HTTP 418 c"),
        ([{"error": {"message": "no", "code": "c"}}, {}], "HTTP 418 c: no"),
        ({"error": "no"}, "HTTP 418: no"),
        ({"message": "no", "type": "t"}, "HTTP 418 t: no"),
        ({"detail": "no"}, "HTTP 418: no"),
        ({"detail": ["no"]}, "HTTP 418"),
        ({}, "HTTP 418"),
        ([], "HTTP 418"),
        ("<html>no</html>", "HTTP 418"),
    ],
)
def test_the_vendors_words_are_quoted(body: Any, words: str) -> None:
    assert told(answered(418, body)) == (ProviderError, words)


def test_a_vendors_code_may_be_in_capitals() -> None:
    assert told(answered(400, {"error": {"code": "CONTENT_FILTER"}}))[0] is ContentPolicyError


class OpenAIError(Exception):
    """An exception of LiteLLM's with openai's name."""

    __module__ = "litellm.llms.openai.common_utils"
    status_code = 503


READING = "the answer can't be read; LiteLLM's account of it is in __cause__"
REFUSED = "LiteLLM refused the request; why is in __cause__"


@pytest.mark.parametrize(
    ("error", "expected", "words"),
    [
        (made_of(httpx.ReadTimeout("x")), ProviderTimeoutError, "no answer in time"),
        (
            made_of(httpx.ConnectError("x")),
            ProviderConnectionError,
            "no HTTP answer (ConnectError)",
        ),
        (
            made_of(RuntimeError("Cannot send a request, as the client has been closed.")),
            ProviderConnectionError,
            "no HTTP answer (RuntimeError)",
        ),
        (
            made_of(httpx.LocalProtocolError("Illegal header value b'sk-1\\n'")),
            AuthenticationError,
            f"{UNFIT_KEY}; set OPENAI_API_KEY",
        ),
        (made_of(OpenAIError()), InvalidResponseError, READING),
        (OpenAIError(), ProviderUnavailableError, "LiteLLM raised OpenAIError"),
        (made_of(Exception("x")), BadRequestError, REFUSED),
        (
            made_of(type("ImageFetchError", (Exception,), {})(), httpx.ConnectError("x")),
            UnsupportedRequestError,
            "LiteLLM can't fetch the image, and this provider takes no links",
        ),
        (
            made_of(openai.OpenAIError("Missing credentials. Please pass an `api_key`")),
            AuthenticationError,
            "no API key; set OPENAI_API_KEY",
        ),
        (  # older versions
            made_of(openai.OpenAIError("The api_key client option must be set either by …")),
            AuthenticationError,
            "no API key; set OPENAI_API_KEY",
        ),
        (
            made_of(ValueError("Missing Gemini API key")),
            AuthenticationError,
            "no API key; set OPENAI_API_KEY",
        ),
        (
            made_of(ValueError("missing some credentials")),
            AuthenticationError,
            "no API key; set OPENAI_API_KEY",
        ),
        (
            litellm.AuthenticationError("who are you?", "openai", "gpt-4.1"),
            AuthenticationError,
            "LiteLLM raised AuthenticationError; set OPENAI_API_KEY",
        ),
        (litellm.Timeout("x", "gpt-4.1", "openai"), ProviderTimeoutError, "no answer in time"),
        (litellm.RateLimitError("x", "openai", "gpt-4.1"), None, "LiteLLM raised RateLimitError"),
    ],
)
def test_an_error_without_an_http_answer_is_told_in_our_words(
    error: Exception, expected: type[Exception] | None, words: str
) -> None:
    kind, said = told(error)
    assert said == words
    assert expected in (None, kind)


MOCKED = {"mock_response": "x"}


def test_a_mocked_error_is_told_by_its_class() -> None:
    error = made_of(httpx.ReadTimeout("x"))
    assert told(error, sent=MOCKED) == (
        ProviderConnectionError,
        "LiteLLM raised APIConnectionError",
    )


def test_a_status_that_is_no_number_is_none() -> None:
    error = OpenAIError()
    error.status_code = "429"  # type: ignore[assignment] # pyright: ignore[reportAttributeAccessIssue]
    assert told(error)[0] is ProviderError


def told_of_a_stream(event: Any, *causes: BaseException) -> tuple[type[Exception], str]:
    sent = {"api_key": "sk-1234567890"}
    return told(made_of(*causes), advice="", sent=sent, is_reading=True, event=event)


@pytest.mark.parametrize(
    ("event", "expected", "words"),
    [
        (
            {"error": {"type": "overloaded_error", "message": "busy"}},
            ProviderUnavailableError,
            "overloaded_error: busy",
        ),
        ({"error": {"code": "rate_limit_exceeded"}}, RateLimitError, "rate_limit_exceeded"),
        ({"error": {"code": "new", "type": "authentication_error"}}, AuthenticationError, "new"),
        ({"error": {"code": 429, "status": "S", "message": "slow"}}, RateLimitError, "S: slow"),
        ({"error": {"code": 7, "message": "down"}}, ProviderUnavailableError, ": down"),
        (
            {"error": {"type": "new", "message": "not sk-1234567890"}},
            ProviderUnavailableError,
            "new: not […]",
        ),
    ],
)
def test_an_error_event_becomes_the_error_of_its_http_status(
    event: Any, expected: type[Exception], words: str
) -> None:
    assert told_of_a_stream(event) == (expected, f"the stream reported {words}".replace(" :", ":"))


def test_an_error_event_is_found_in_the_body_of_openais_exception() -> None:
    request: Any = httpx.Request("POST", "http://host/v1")
    body = {"type": "overloaded_error", "message": "busy"}
    expected = (ProviderUnavailableError, "the stream reported overloaded_error: busy")
    assert (
        told_of_a_stream(None, ValueError(), openai.APIError("x", request, body=body)) == expected
    )


def test_a_stream_that_broke_without_an_event_is_an_invalid_response() -> None:
    request: Any = httpx.Request("POST", "http://host/v1")
    another_clients = type("APIError", (Exception,), {})
    for cause in (ValueError(), openai.APIError("x", request, body=None), another_clients()):
        assert told_of_a_stream(None, cause) == (InvalidResponseError, READING)


def test_a_body_of_openais_exception_is_an_event_in_streams_alone() -> None:
    request: Any = httpx.Request("POST", "http://host/v1")
    cause = openai.APIError("x", request, body={"type": "overloaded_error"})
    assert told(cause) == (ProviderError, "LiteLLM raised APIError")


def test_a_circle_of_exceptions_is_walked_once() -> None:
    first, second = ValueError(), TypeError()
    first.__cause__, second.__cause__ = second, first
    assert list(islice(chain(first), 5)) == [first, second]


def test_an_error_event_of_an_unknown_code_is_a_server_error() -> None:
    ours = mapped(made_of(), is_reading=True, event={"error": {"type": "new"}})
    assert ours.status_code == 500


def test_an_error_event_may_be_nested_without_end() -> None:
    nested: list[Any] = []
    for _ in range(100_000):
        nested = [nested]
    ours = mapped(made_of(), is_reading=True, event={"error": {"message": "no", "more": nested}})
    assert str(ours) == "openai/gpt-4.1: the stream reported: no"


@pytest.mark.parametrize(
    ("code", "status"),
    [(400, None), (401, 401), (599, 599), (399, 500), (600, 500), (True, 500)],
)
def test_a_number_in_an_error_event_is_its_status_if_it_can_be_one(
    code: int, status: int | None
) -> None:
    event = {"error": {"code": code, "message": "no"}}
    ours = mapped(made_of(), is_reading=True, event=event)
    assert getattr(ours, "status_code", None) == status


def test_the_status_is_the_answers_or_that_of_an_error_without_a_cause() -> None:
    def status(error: Exception, **known: Any) -> Any:
        ours = mapped(error, **known)
        assert ours.original_error is error
        return ours.status_code

    assert status(answered(503, {})) == 503
    assert status(litellm.RateLimitError("x", "openai", "gpt-4.1")) == 429
    assert status(made_of(httpx.ConnectError("x"))) is None  # LiteLLM made up its 500
    assert status(made_of(httpx.ConnectError("x")), sent=MOCKED) == 500


def test_without_advice_on_the_variable_no_key_is_all_that_is_said() -> None:
    said = "openai/gpt-4.1: no API key"
    assert str(mapped(made_of(ValueError("Missing API key")), advice="")) == said


@pytest.mark.parametrize("name", ["x-request-id", "request-id"])
def test_the_vendors_id_of_a_request_is_kept(name: str) -> None:
    assert mapped(answered(503, {}, {name: "req_1"})).request_id == "req_1"
    assert mapped(answered(503, {})).request_id is None


def test_a_vendors_words_are_quoted_up_to_a_length() -> None:
    said = told(answered(418, {"error": {"message": "x" * 1000}}))[1]
    assert said == f"HTTP 418: {'x' * 290}…"


@pytest.mark.parametrize(
    ("status", "module", "expected"),
    [
        (401, "litellm.llms.new_vendor.chat", AuthenticationError),
        (403, "litellm.main", PermissionDeniedError),
        (400, "litellm.llms.new_vendor.chat", ProviderSetupError),
        (500, "litellm.litellm_core_utils.prompt_templates.factory", ProviderSetupError),
        (500, "litellm.utils", ValueError),
        (500, "litellm.integrations.custom_logger", ValueError),
        (500, "application", ValueError),
    ],
)
def test_what_litellm_does_for_one_provider_is_told_from_what_it_does_for_all(
    status: int, module: str, expected: type[Exception]
) -> None:
    cause = ValueError("nothing that has a row")
    with pytest.raises(ValueError, match="nothing"):
        exec("raise cause", {"__name__": module, "cause": cause})
    error = OpenAIError()
    error.status_code, error.__cause__ = status, cause
    assert type(mapped(error)) is expected


def test_a_bug_is_handed_back_as_it_is() -> None:
    bug = KeyError("of a callback")
    assert mapped(made_of(bug)) is bug
    assert mapped(bug) is bug


def test_the_exception_that_the_caller_is_handling_is_cut_off() -> None:
    raised = litellm.APIConnectionError("cut", "openai", "gpt-4.1")

    def call() -> None:
        with ErrorBoundary(litellm, GPT, {}):
            raise raised

    try:
        raise TimeoutError
    except TimeoutError:
        with pytest.raises(ProviderConnectionError) as caught:
            call()
    assert list(chain(caught.value)) == [caught.value, raised]


@pytest.mark.parametrize(
    ("module", "error", "blamed"),
    [
        ("litellm.main", RuntimeError(), "refused"),
        ("litellm.main", litellm.BudgetExceededError(2.0, 1.0), None),
        ("application", RuntimeError(), None),
        ("application", AttributeError("'ModelResponse' object has no attribute 'x'"), None),
    ],
)
def test_a_bug_inside_litellm_counts_as_a_refusal_of_the_format(
    module: str, error: Exception, blamed: str | None
) -> None:
    with pytest.raises(type(error)) as raised:
        exec("raise error", {"__name__": module, "error": error})
    frames = raised.value.__traceback__
    assert frames is not None
    last = raised.value.with_traceback(frames.tb_next)  # without this test's own
    assert format_blame(last) == blamed


@pytest.mark.parametrize(
    ("body", "blamed"),
    [
        ({"error": {"message": "no", "param": "response_format"}}, "refused"),
        ({"error": {"message": "no", "metadata": {"raw": "json_schema is new"}}}, "refused"),
        ({"error": {"message": "no", "code": "json_validate_failed"}}, "failed"),
        ("the guided decoder failed", "refused"),
        ({"detail": [{"msg": "Field required", "input": {"text": "a schema"}}]}, None),
        ({"error": {"message": "no", "failed_generation": "a schema"}}, None),
        ({"error": {"message": "no"}}, None),
    ],
)
def test_the_format_is_blamed_by_the_words_of_the_body_but_not_by_its_echoes(
    body: Any, blamed: str | None
) -> None:
    cause = answered(400, body)
    ours = mapped(cause)
    ours.__cause__ = cause
    assert format_blame(ours) == blamed
