"""What an error says of what went wrong, to the letter: the vendor's words, or ours where there are none."""

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
    ContentPolicyError,
    InvalidRequestError,
    InvalidResponseError,
    MajordomoError,
    ProviderConnectionError,
    ProviderError,
    ProviderTimeoutError,
    ProviderUnavailableError,
    RateLimitError,
    UnsupportedRequestError,
)
from majordomo_cascade.classify import blame_of_format, chain, classify


def made_of(*causes: BaseException) -> Exception:
    """LiteLLM's error for what was raised below it."""
    error: Exception = litellm.APIConnectionError("what LiteLLM makes of it", "openai", "gpt-4.1")
    link: BaseException = error
    for cause in causes:
        link.__cause__ = cause
        link = cause
    return error


def answered(status: int, body: Any, headers: dict[str, str] | None = None) -> Exception:
    """LiteLLM's error for an HTTP answer."""
    request = httpx.Request("POST", "http://host/v1")
    text = body if isinstance(body, str) else json.dumps(body)
    response = httpx.Response(status, request=request, text=text, headers=headers)
    return made_of(httpx.HTTPStatusError("status", request=request, response=response))


def told(error: Exception, **known: Any) -> tuple[type[Exception], str]:
    ours = classify(error, "openai", "gpt-4.1", key="set OPENAI_API_KEY", **known)
    assert isinstance(ours, MajordomoError)
    assert ours.__cause__ is error
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
def test_the_vendors_words(body: Any, words: str) -> None:
    assert told(answered(418, body)) == (ProviderError, words)


def test_a_vendors_code_may_be_spelt_in_capitals() -> None:
    assert told(answered(400, {"error": {"code": "CONTENT_FILTER"}}))[0] is ContentPolicyError


class OpenAIError(Exception):
    """LiteLLM has one of this name, too."""

    __module__ = "litellm.llms.openai.common_utils"
    status_code = 503


READING = "the answer can't be read; LiteLLM's account of it is in __cause__"
TRANSLATING = "LiteLLM can't put the request in this provider's terms; why is in __cause__"


@pytest.mark.parametrize(
    ("error", "expected", "words"),
    [
        (made_of(httpx.ReadTimeout("x")), ProviderTimeoutError, "no answer in time"),
        (made_of(httpx.ConnectError("x")), ProviderConnectionError, "no HTTP answer (ConnectError)"),
        (
            made_of(RuntimeError("Cannot send a request, as the client has been closed.")),
            ProviderConnectionError,
            "no HTTP answer (RuntimeError)",
        ),
        (made_of(OpenAIError()), InvalidResponseError, READING),
        (OpenAIError(), ProviderUnavailableError, "LiteLLM raised OpenAIError"),
        (made_of(Exception("x")), InvalidRequestError, TRANSLATING),
        (
            made_of(type("ImageFetchError", (Exception,), {})(), httpx.ConnectError("x")),
            UnsupportedRequestError,
            "LiteLLM can't fetch the image for this provider, which takes no links",
        ),
        (made_of(openai.OpenAIError("no credentials")), AuthenticationError, "no API key: set OPENAI_API_KEY"),
        (made_of(ValueError("Missing Gemini API key")), AuthenticationError, "no API key: set OPENAI_API_KEY"),
        (made_of(ValueError("missing some credentials")), AuthenticationError, "no API key: set OPENAI_API_KEY"),
        (
            litellm.AuthenticationError("who are you?", "openai", "gpt-4.1"),
            AuthenticationError,
            "LiteLLM raised AuthenticationError",
        ),
        (litellm.Timeout("x", "gpt-4.1", "openai"), ProviderTimeoutError, "LiteLLM raised Timeout"),
        (litellm.RateLimitError("x", "openai", "gpt-4.1"), None, "LiteLLM raised RateLimitError"),
    ],
)
def test_our_words_where_no_http_answer_tells(error: Exception, expected: type[Exception] | None, words: str) -> None:
    kind, said = told(error)
    assert said == words
    assert expected in (None, kind)


def test_of_a_mock_it_is_said_what_it_raised() -> None:
    error = made_of(httpx.ReadTimeout("x"))
    assert told(error, mocked=True) == (ProviderConnectionError, "LiteLLM raised APIConnectionError")


def test_a_status_that_is_no_number_is_none() -> None:
    error = OpenAIError()
    error.status_code = "429"  # type: ignore[assignment] # pyright: ignore[reportAttributeAccessIssue]
    assert told(error)[0] is ProviderError


def test_a_missing_package_is_named_with_what_to_do() -> None:
    missing = classify(made_of(ModuleNotFoundError("No module named 'mcp'", name="mcp")), "openai", "gpt-4.1")
    assert isinstance(missing, ModuleNotFoundError)
    assert missing.name == "mcp"
    assert str(missing) == (
        "LiteLLM needs the package 'mcp' for this call: install it, or the extra of LiteLLM that brings it "
        "(for tools=…: pip install 'litellm[mcp]')"
    )


def told_of_a_stream(event: Any, *causes: BaseException) -> tuple[type[Exception], str]:
    return told(made_of(*causes), is_reading=True, reported=event, secrets=["sk-1234567890"])


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
        ({"error": {"type": "new", "message": "not sk-1234567890"}}, ProviderUnavailableError, "new: not […]"),
    ],
)
def test_an_error_event_is_told_as_the_http_error_that_it_stands_for(
    event: Any, expected: type[Exception], words: str
) -> None:
    assert told_of_a_stream(event) == (expected, f"the stream reported {words}".replace(" :", ":"))


def test_openais_client_hands_the_event_on_in_a_body() -> None:
    request: Any = httpx.Request("POST", "http://host/v1")
    body = {"type": "overloaded_error", "message": "busy"}
    expected = (ProviderUnavailableError, "the stream reported overloaded_error: busy")
    assert told_of_a_stream(None, ValueError(), openai.APIError("x", request, body=body)) == expected


def test_a_stream_that_only_broke_reported_nothing() -> None:
    request: Any = httpx.Request("POST", "http://host/v1")
    another_clients = type("APIError", (Exception,), {})
    for cause in (ValueError(), openai.APIError("x", request, body=None), another_clients()):
        assert told_of_a_stream(None, cause) == (InvalidResponseError, READING)


def test_an_event_is_reported_by_streams_alone() -> None:
    request: Any = httpx.Request("POST", "http://host/v1")
    cause = openai.APIError("x", request, body={"type": "overloaded_error"})
    assert told(cause) == (ProviderError, "LiteLLM raised APIError")


def test_exceptions_that_lead_in_a_circle_are_looked_at_once() -> None:
    first, second = ValueError(), TypeError()
    first.__cause__, second.__cause__ = second, first
    assert list(islice(chain(first), 5)) == [first, second]


def test_an_error_event_stands_for_a_server_error_where_nobody_knows_its_code() -> None:
    ours: Any = classify(made_of(), "openai", "gpt-4.1", is_reading=True, reported={"error": {"type": "new"}})
    assert ours.status_code == 500


@pytest.mark.parametrize(("code", "status"), [(400, None), (401, 401), (599, 599), (399, 500), (600, 500), (True, 500)])
def test_a_number_in_an_error_event_is_a_status_if_it_can_be_one(code: int, status: int | None) -> None:
    event = {"error": {"code": code, "message": "no"}}
    ours = classify(made_of(), "openai", "gpt-4.1", is_reading=True, reported=event)
    assert getattr(ours, "status_code", None) == status


def test_a_status_is_the_wires_or_that_of_an_error_that_stands_alone() -> None:
    def status(error: Exception, **known: Any) -> Any:
        ours: Any = classify(error, "openai", "gpt-4.1", **known)
        assert ours.original_error is error
        return ours.status_code

    assert status(answered(503, {})) == 503
    assert status(litellm.RateLimitError("x", "openai", "gpt-4.1")) == 429
    assert status(made_of(httpx.ConnectError("x"))) is None  # LiteLLM made up its 500
    assert status(made_of(httpx.ConnectError("x")), mocked=True) == 500


def test_without_a_hint_about_the_key_there_is_none() -> None:
    assert str(classify(made_of(openai.OpenAIError()), "openai", "gpt-4.1")) == "openai/gpt-4.1: no API key: "


@pytest.mark.parametrize("name", ["x-request-id", "request-id"])
def test_the_vendors_own_id_of_a_request(name: str) -> None:
    ours: Any = classify(answered(503, {}, {name: "req_1"}), "openai", "gpt-4.1")
    assert ours.request_id == "req_1"
    nameless: Any = classify(answered(503, {}), "openai", "gpt-4.1")
    assert nameless.request_id is None


def test_a_vendors_words_are_quoted_up_to_a_length() -> None:
    for length, quoted in ((300, "x" * 300), (301, "x" * 300 + "…")):
        assert told(answered(418, {"error": {"message": "x" * length}}))[1] == f"HTTP 418: {quoted}"


class BudgetExceededError(Exception):
    """Of the host's own."""


@pytest.mark.parametrize(
    ("module", "error", "blamed"),
    [
        ("litellm.main", RuntimeError(), "refused"),
        ("litellm.main", BudgetExceededError(), None),
        ("application", RuntimeError(), None),
        ("application", AttributeError("'ModelResponse' object has no attribute 'service_tier'"), None),
    ],
)
def test_litellms_own_bug_on_the_way_is_no_word_of_the_provider(module: str, error: Exception, blamed: Any) -> None:
    with pytest.raises(type(error)) as raised:
        exec("raise error", {"__name__": module, "error": error})
    frames = raised.value.__traceback__
    assert frames is not None
    last = raised.value.with_traceback(frames.tb_next)  # without this test's own
    assert blame_of_format(last, has_tools=False, outside=None) == blamed
