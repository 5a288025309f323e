"""LiteLLM's exceptions, told apart: what they are in this package's tree.

LiteLLM's class alone can't be trusted: it differs by vendor, and words in a text override the status. So the
exception's chain of causes is read, the surest sign first:

1. the HTTP answer at its end: status, headers and the vendor's error body;
2. a timeout or a network error;
3. an exception raised while LiteLLM was reading an answer: the answer is at fault;
4. an exception raised before anything was sent: the caller is at fault, or LiteLLM;
5. LiteLLM's own status and class, where there is nothing else: mocks, patches, its own checks.

Classes are told by name: openai 3 brings its HTTP client along under another name than openai 2.
"""

from __future__ import annotations

import contextlib
import json
import math
import re
import time
import traceback
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from email.utils import parsedate_to_datetime
from typing import Any, Literal

from .errors import (
    AuthenticationError,
    ContentPolicyError,
    ContextWindowExceededError,
    InvalidRequestError,
    InvalidResponseError,
    MajordomoError,
    ModelNotFoundError,
    PermissionDeniedError,
    ProviderConnectionError,
    ProviderError,
    ProviderTimeoutError,
    ProviderUnavailableError,
    QuotaExceededError,
    RateLimitError,
    RequestError,
    UnsupportedRequestError,
)
from .scrubbing import LONGEST_TEXT, scrub, wanted

Verdict = type[ProviderError] | type[RequestError]

#: What a status means by itself. Any other 5xx is ProviderUnavailableError, any other at all ProviderError.
BY_STATUS: dict[int, Verdict] = {
    400: InvalidRequestError,
    401: AuthenticationError,
    402: QuotaExceededError,
    403: PermissionDeniedError,
    404: ModelNotFoundError,
    408: ProviderTimeoutError,
    409: ProviderUnavailableError,  # the vendors' own clients retry it: a lock that will be free in a moment
    410: ModelNotFoundError,
    413: ContextWindowExceededError,
    422: InvalidRequestError,
    425: ProviderUnavailableError,
    429: RateLimitError,
    504: ProviderTimeoutError,
}


#: The status that an error event in a stream stands for (Anthropic's types, OpenAI's codes). Any other is a 500.
IN_STREAM = {
    "invalid_request_error": 400,
    "authentication_error": 401,
    "billing_error": 402,
    "permission_error": 403,
    "not_found_error": 404,
    "request_too_large": 413,
    "rate_limit_error": 429,
    "rate_limit_exceeded": 429,
    "insufficient_quota": 429,
    "timeout_error": 504,
    "overloaded_error": 529,
}


@dataclass(frozen=True, slots=True)
class Answer:
    """The HTTP answer at the end of a chain of exceptions, as far as it tells why there is no completion."""

    status: int
    headers: Mapping[str, str]
    message: str = ""
    """The vendor's own words."""
    codes: tuple[str, ...] = ()
    """The vendor's codes: OpenAI's ``code`` and ``type``, Anthropic's ``type``, Gemini's ``status`` and ``reason``."""
    request_id: str | None = None
    """The vendor's id of the request."""
    body: Any = field(default=None, repr=False)
    in_stream: bool = False
    """Whether it is an error event in a stream; ``status`` is what it stands for."""

    @property
    def retry_after(self) -> float | None:
        """Seconds to wait: from ``retry-after-ms``, ``retry-after`` (RFC 9110: seconds or a date), or Gemini's body."""
        for name, unit in (("retry-after-ms", 0.001), ("retry-after", 1.0)):
            with contextlib.suppress(KeyError, ValueError):
                if math.isfinite(seconds := float(self.headers[name]) * unit):
                    return max(0.0, seconds)
        with contextlib.suppress(KeyError, ValueError, OverflowError):
            return max(0.0, parsedate_to_datetime(self.headers["retry-after"]).timestamp() - time.time())
        for detail in _details(self.body):
            delay = detail.get("retryDelay")
            if isinstance(delay, str) and (match := re.fullmatch(r"(\d{1,9}(\.\d{1,9})?)s", delay)):
                return float(match[1])
        return None


@dataclass(frozen=True, slots=True)
class Hint:
    """What a vendor's error code or words mean where the status can't tell."""

    verdict: Verdict
    statuses: tuple[int, ...]
    codes: str = ""
    """The vendor's codes, in full, as a regular expression."""
    words: str = ""
    """A regular expression for a part of the vendor's message."""

    def matches(self, answer: Answer) -> bool:
        """Whether the answer gives this hint."""
        return answer.status in self.statuses and (
            any(re.fullmatch(self.codes, code, re.IGNORECASE) for code in answer.codes)
            or bool(self.words and re.search(self.words, answer.message, re.IGNORECASE))
        )


#: The first that matches counts.
HINTS = (
    Hint(
        QuotaExceededError,
        statuses=(400, 403, 429),
        codes="insufficient_quota|billing_error|billing_hard_limit_reached",
        words="credit balance is too low|reached your specified api usage limits|insufficient (balance|credits)",
    ),
    Hint(
        ContextWindowExceededError,
        statuses=(400, 422, 429),
        codes="context_length_exceeded",
        words="prompt is too long|input is too long|maximum context (length|limit)|context window|exceed context limit"
        "|input token count .*exceeds|input tokens exceed|`inputs` tokens|longer than the model's context"
        "|too many tokens|available context size|maximum prompt length|request too large",
    ),
    Hint(
        ContentPolicyError,
        statuses=(400, 403, 422),
        codes="content_policy_violation|content_filter|ResponsibleAIPolicyViolation",
        words="safety system|content management policy|content filtering policy",
    ),
    Hint(
        AuthenticationError,
        statuses=(400,),  # Gemini's and xAI's word for it
        codes="API_KEY_INVALID",
        words="(incorrect|invalid) api key|api key (not valid|expired)",
    ),
    Hint(ModelNotFoundError, statuses=(400,), codes="model_not_found"),
    Hint(
        UnsupportedRequestError,
        statuses=(400, 422),
        codes=r"unsupported_\w+",
        words="not supported|does(n't| not) support|response_format.* unavailable",
    ),
)

#: LiteLLM's classes that say more than their status, for where there is no HTTP answer. Most derived first.
BY_CLASS: tuple[tuple[str, Verdict], ...] = (
    ("UnsupportedParamsError", UnsupportedRequestError),
    ("UnsupportedEndpointError", UnsupportedRequestError),
    ("EndpointNotSupportedByModelError", UnsupportedRequestError),
    ("ContextWindowExceededError", ContextWindowExceededError),
    ("ContentPolicyViolationError", ContentPolicyError),
    ("RejectedRequestError", ContentPolicyError),
    ("GuardrailRaisedException", ContentPolicyError),
    ("GuardrailInterventionNormalStringError", ContentPolicyError),  # older versions
    ("BlockedPiiEntityError", ContentPolicyError),
    ("LiteLLMUnknownProvider", ModelNotFoundError),  # one that has no chat; the request is not at fault
    ("PaymentRequiredError", QuotaExceededError),
    ("APIResponseValidationError", InvalidResponseError),
    ("Timeout", ProviderTimeoutError),
    ("APIConnectionError", ProviderConnectionError),
)

TIMEOUTS = ("TimeoutException", "APITimeoutError", "TimeoutError", "ServerTimeoutError")
NETWORK = ("TransportError", "ClientError", "ConnectionError", "gaierror", "SSLError")

#: What httpx says of a client that LiteLLM's cache has thrown out while it was in use (BerriAI/litellm#35492).
CLOSED_CLIENT = "the client has been closed"

#: What LiteLLM raises where it fetches an image for vendors that take no links. Its cause, a network error say, is the
#: image's host's: no word of the provider, which was not asked. Another (OpenAI) may fetch the image by itself.
NO_IMAGE = "ImageFetchError"

#: The host application's own guards: they are handed back as they are.
HANDED_BACK = ("BudgetExceededError", "ModifyResponseException", "SensitiveDataRouteException")

#: Where an answer is read, and what it is called there: what is raised with one in hand is the answer's fault.
READERS = ("litellm.llms.", "litellm.litellm_core_utils.llm_response_utils.")
ANSWERS = ("response", "raw_response", "response_object", "completion_response", "httpx_response")
#: An answer's body that is not what its headers say.
UNREADABLE = ("DecodingError", "ContentEncodingError")

#: What a 400 or 422 speaks of if the form of the answer is what it refuses, not what is asked.
FORMAT = re.compile(
    r"(response|output|text).?(format|mime|schema|json|config)|json.?(schema|mode|object)|schema|structured.?output"
    r"|grammar|guided|request contains an invalid argument",  # the last is Gemini's, for a schema that is too large
    re.IGNORECASE,
)
#: The same, where LiteLLM sends the schema as a tool.
TOOLS = re.compile(r"\btools?\b|tool_(choice|use)|function.?call", re.IGNORECASE)
#: Groq's word for a model that did not write what its format asked for.
FAILED_FORMAT = "json_validate_failed"
#: Where an error's body repeats the request or the answer.
ECHOES = ("ctx", "failed_generation", "input")

#: Characters of a vendor's text, code, and id of a request that are quoted.
LONGEST_QUOTE, LONGEST_CODE, LONGEST_ID = 300, 60, 100
#: Google's error details that are read.
MOST_DETAILS = 20


def classify(
    error: Exception,
    provider: str,
    model: str,
    *,
    mocked: bool = False,
    secrets: Iterable[str] = (),
    key: str = "",
    outside: BaseException | None = None,
    is_reading: bool = False,
    reported: Any = None,
) -> Exception:
    """This package's error for what LiteLLM raised, its ``__cause__`` set; a local bug comes back as what it is.

    ``mocked`` says that no request was made; ``secrets`` are the keys and texts that a vendor may have echoed; ``key``
    is what to do about a missing one; ``outside`` is the exception that the caller was handling when it called, which
    Python puts at the end of the chain, and which has nothing to do with it. ``is_reading`` says that a stream had
    begun; ``reported`` is the error event in it.
    """
    links, secrets = list(chain(error, outside)), wanted(secrets)
    answer = _reported(reported, links, secrets) if is_reading else None
    answer = answer or next((found for link in links if (found := _answer(link, secrets))), None)
    verdict = _by_answer(answer) if answer else _by_chain(error, links, mocked=mocked, is_reading=is_reading)
    if isinstance(verdict, Exception):
        return verdict
    said = _said(answer) if answer else _explain(verdict, error, links, mocked=mocked, key=key)
    message = f"{provider}/{model}: {said}"
    ours: Exception
    if issubclass(verdict, ProviderError):
        ours = verdict(
            message,
            provider=provider,
            model=model,
            status_code=answer.status if answer else (_status(error) if len(links) == 1 or mocked else None),
            retry_after=answer.retry_after if answer else None,
            request_id=answer.request_id if answer else None,
            original_error=error,
        )
    else:
        ours = verdict(message)
    ours.__cause__ = error
    return ours


def blame_of_format(
    error: Exception, *, has_tools: bool, outside: BaseException | None
) -> Literal["refused", "failed"] | None:
    """Whether the way in which JSON was asked for is at fault.

    It is "refused" by the provider, or by LiteLLM on the way, or "failed" by the model, by the word of a provider that
    sees to it. ``has_tools`` says that the caller sent tools, which a provider may complain of as well; ``outside`` is
    as for ``classify``.
    """
    links = list(chain(error, outside))
    if not isinstance(error, InvalidRequestError | UnsupportedRequestError):  # 400, 422, or LiteLLM's own word
        return "refused" if _is_litellms_bug(error, links) else None
    answer = next((found for link in links if (found := _answer(link, ()))), None)
    if answer and FAILED_FORMAT in answer.codes:
        return "failed"
    said = " ".join(_words(answer.body)) if answer else str(error.__cause__)
    is_blamed = FORMAT.search(said[:LONGEST_TEXT]) or (not has_tools and TOOLS.search(said[:LONGEST_TEXT]))
    return "refused" if is_blamed else None


def chain(error: BaseException | None, outside: BaseException | None = None) -> Iterator[BaseException]:
    """The exception and what caused it, outermost first, up to what was there before."""
    seen: set[int] = {id(outside)}
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or error.__context__


def _by_answer(answer: Answer) -> Verdict:
    """The verdict on an HTTP error, which is the provider's word."""
    hinted = next((hint.verdict for hint in HINTS if hint.matches(answer)), None)
    return hinted or _by_status(answer.status)


def _by_status(status: int | None) -> Verdict:
    """The verdict on a status alone."""
    if status is not None and status >= 500:
        return BY_STATUS.get(status, ProviderUnavailableError)
    return BY_STATUS.get(status or 0, ProviderError)


def _by_class(error: Exception) -> Verdict:
    """The verdict on LiteLLM's own class and status, where there is nothing else."""
    return next((verdict for name, verdict in BY_CLASS if _is(error, name)), None) or _by_status(_status(error))


def _by_chain(error: Exception, links: list[BaseException], *, mocked: bool, is_reading: bool) -> Verdict | Exception:
    """The verdict where no HTTP answer came; an exception that is none of ours is handed back."""
    if _is(error, *HANDED_BACK):
        return error
    if any(_is(link, NO_IMAGE) for link in links):
        return UnsupportedRequestError
    if mocked:
        return _by_class(error)
    if any(_is(link, *TIMEOUTS) for link in links):
        return ProviderTimeoutError
    if any(_is(link, *NETWORK) or CLOSED_CLIENT in str(link) for link in links):
        return ProviderConnectionError
    if is_reading or any(map(_was_reading, links)):
        return InvalidResponseError
    if len(links) == 1 and (_is_litellm(error) or _is_openais(error)):
        return _by_class(error)
    return AuthenticationError if any(map(_lacks_key, links)) else _before_sending(error, links)


def _before_sending(error: Exception, links: list[BaseException]) -> Verdict | Exception:
    """The verdict where no answer was in hand: LiteLLM refused the request, or a bug, which is handed back."""
    if 400 <= (status := _status(error) or 500) < 500:
        return _by_status(status)
    local = next((link for link in links if isinstance(link, Exception) and not _is_litellm(link)), None)
    if local is None:
        return InvalidResponseError
    if isinstance(local, ImportError):
        return _missing_package(local, error)
    return InvalidRequestError if type(local) is Exception else local


def _missing_package(local: ImportError, error: Exception) -> ImportError:
    """The same error, saying what to do: LiteLLM imports a vendor's packages when they are first needed."""
    missing = type(local)(
        f"LiteLLM needs the package {local.name!r} for this call: install it, or the extra of LiteLLM that brings it "
        "(for tools=…: pip install 'litellm[mcp]')",
        name=local.name,
    )
    missing.__cause__ = error
    return missing


def _is(error: BaseException, *names: str) -> bool:
    """Whether the exception's class, or one that it derives from, has one of the names."""
    return any(base.__name__ in names for base in type(error).__mro__)


def _words(body: Any) -> Iterator[str]:
    """What an error's body says in so many words, without what it echoes."""
    left = [body]
    while left:
        value = left.pop()
        if isinstance(value, str):
            yield value
        elif isinstance(value, dict):
            left.extend(reversed([item for name, item in value.items() if name not in ECHOES]))
        elif isinstance(value, list):
            left.extend(reversed(value))


def _is_litellms_bug(error: Exception, links: list[BaseException]) -> bool:
    """Whether LiteLLM's code broke on its own objects (Groq's answers, without service_tier), or before it sent any."""
    if isinstance(error, MajordomoError) or _is(error, *HANDED_BACK) or error.__traceback__ is None:
        return any("'ModelResponse' object has no attribute" in str(link) for link in links)
    *_, (frame, _) = traceback.walk_tb(error.__traceback__)
    return str(frame.f_globals.get("__name__", "")).startswith("litellm.")


def _is_litellm(error: BaseException) -> bool:
    """Whether the exception's class is LiteLLM's own."""
    return _home(error) == "litellm"


def _home(error: BaseException) -> str:
    """The package that an exception's class is from."""
    return type(error).__module__.partition(".")[0]


def _is_openais(error: BaseException) -> bool:
    """Whether the exception is of openai's client, from which LiteLLM's derive; a patch may raise one by itself."""
    return _home(error) == "openai" and _is(error, "APIError")


def _status(error: BaseException) -> int | None:
    """LiteLLM's status, made up where there was no answer."""
    status = getattr(error, "status_code", None)
    return status if isinstance(status, int) else None


def _lacks_key(error: BaseException) -> bool:
    """Whether the exception says that there is no key: openai's bare OpenAIError, or a ValueError of LiteLLM's."""
    if type(error).__name__ == "OpenAIError" and _home(error) == "openai":
        return True
    return bool(re.search(r"missing .{,100}(api[ _]key|credentials)", str(error)[:LONGEST_TEXT], re.IGNORECASE))


def _was_reading(error: BaseException) -> bool:
    """Whether LiteLLM had an answer in its hands when the exception was raised."""
    if _is(error, *UNREADABLE):
        return True
    return any(
        frame.f_locals.get(name) is not None
        for frame, _ in traceback.walk_tb(error.__traceback__)
        if frame.f_globals.get("__name__", "").startswith(READERS)
        for name in ANSWERS
    )


def _answer(error: BaseException, secrets: Iterable[str]) -> Answer | None:
    """The HTTP answer that an httpx (or httpx2) status error carries, without the secrets that it may echo."""
    if type(error).__name__ != "HTTPStatusError":
        return None
    response: Any = error.response  # type: ignore[attr-defined] # pyright: ignore[reportAttributeAccessIssue]
    try:
        body = json.loads(response.text)
    except ValueError:
        body = response.text
    except Exception:  # not read, or no text: the status must do
        body = None
    return _parse(body, response.status_code, response.headers, secrets)


def _reported(event: Any, links: list[BaseException], secrets: Iterable[str]) -> Answer | None:
    """The error event of a stream, as the HTTP error that it stands for; openai's client hands it on in a body."""
    if event is None:
        bodies = (getattr(link, "body", None) for link in links if type(link).__name__ == "APIError")
        event = next(filter(None, bodies), None)
    if event is None:
        return None
    said = _parse(event, 0, {}, secrets)
    return replace(
        said,
        in_stream=True,
        status=said.status or next((IN_STREAM[code] for code in said.codes if code in IN_STREAM), 500),
    )


def _parse(body: Any, status: int, headers: Mapping[str, str], secrets: Iterable[str]) -> Answer:
    """A vendor's error body, read."""
    outer = body[0] if isinstance(body, list) and body else body
    inner = outer.get("error", outer) if isinstance(outer, dict) else {}
    inner = inner if isinstance(inner, dict) else {"message": inner}
    message = inner.get("message") or inner.get("detail") or ""
    codes = [inner.get("code"), inner.get("type"), inner.get("status"), *(d.get("reason") for d in _details(outer))]
    code = inner.get("code")
    own = code if isinstance(code, int) and 400 <= code <= 599 else 0
    request_id = headers.get("x-request-id") or headers.get("request-id") or ""
    return Answer(
        status=status or own,
        headers=headers,
        message=scrub(message, secrets) if isinstance(message, str) else "",
        codes=tuple(scrub(code, secrets) for code in codes if isinstance(code, str)),
        request_id=scrub(request_id, secrets)[:LONGEST_ID] or None,
        body=outer,
    )


def _details(body: Any) -> Iterator[dict[str, Any]]:
    """Google's error details (https://google.aip.dev/193)."""
    error = body.get("error") if isinstance(body, dict) else None
    details = error.get("details") if isinstance(error, dict) else None
    details = details[:MOST_DETAILS] if isinstance(details, list) else []
    return (detail for detail in details if isinstance(detail, dict))


def _said(answer: Answer) -> str:
    """The provider's own words; never LiteLLM's, which may quote the prompt."""
    code = next(iter(answer.codes), "")[:LONGEST_CODE]
    words = answer.message if len(answer.message) <= LONGEST_QUOTE else f"{answer.message[:LONGEST_QUOTE]}…"
    where = "the stream reported" if answer.in_stream else f"HTTP {answer.status}"
    return f"{where} {code}".rstrip() + (f": {words}" if words else "")


def _explain(verdict: Verdict, error: Exception, links: list[BaseException], *, mocked: bool, key: str) -> str:
    """What happened where no HTTP answer tells it."""
    if verdict is AuthenticationError and any(map(_lacks_key, links)):
        return f"no API key: {key}"
    known: dict[Verdict, str] = {
        ProviderTimeoutError: "no answer in time",
        ProviderConnectionError: f"no HTTP answer ({type(links[-1]).__name__})",
        InvalidResponseError: "the answer can't be read; LiteLLM's account of it is in __cause__",
        InvalidRequestError: "LiteLLM can't put the request in this provider's terms; why is in __cause__",
        UnsupportedRequestError: "LiteLLM can't fetch the image for this provider, which takes no links",
    }
    alone = mocked or len(links) == 1
    return f"LiteLLM raised {type(error).__name__}" if alone or verdict not in known else known[verdict]
