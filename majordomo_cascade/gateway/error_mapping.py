"""LiteLLM's exceptions as errors of this package: evidence in, one row of a table decides.

LiteLLM's class cannot be trusted: it differs by vendor, and words in a text override the status. So
it counts only where nothing else is known: for mocks, patches, and LiteLLM's own checks.
"""

import re
from collections.abc import Callable, Container

from ..errors import (
    AuthenticationError,
    BadRequestError,
    ContentPolicyError,
    ContextWindowExceededError,
    InvalidResponseError,
    ModelNotFoundError,
    PermissionDeniedError,
    ProviderConnectionError,
    ProviderError,
    ProviderTimeoutError,
    ProviderUnavailableError,
    QuotaExceededError,
    RateLimitError,
    UnsupportedRequestError,
)
from .evidence import Evidence

ErrorClass = type[ProviderError] | type[BadRequestError]

# The vendors' codes and words that say more than a status.
QUOTA = (
    "insufficient_quota|billing_error|billing_hard_limit_reached|credit balance is too low"
    "|reached your specified api usage limits|insufficient (balance|credits)"
)
CONTEXT = (
    "context_length_exceeded|prompt is too long|input is too long|maximum context (length|limit)"
    "|context window|exceed context limit|input token count .*exceeds|input tokens exceed"
    "|`inputs` tokens|longer than the model's context|too many tokens|available context size"
    "|maximum prompt length|request too large"
)
POLICY = (
    "content_policy_violation|content_filter|ResponsibleAIPolicyViolation|safety system"
    "|content management policy|content filtering policy"
)
BAD_KEY = "API_KEY_INVALID|(incorrect|invalid) api key|api key (not valid|expired)"  # Gemini, xAI
#: More output than the model gives, in the words of OpenAI and vLLM; Groq and Mistral; Anthropic;
#: Gemini; DeepSeek; Bedrock. tests/gateway/test_ceilings.py has their sources.
CEILING = (
    "max_?((completion|output)_?)?tokens.{0,80}"
    r"(too large|above maximum|less than or equal|: \d+ > \d|supported range|valid range)"
    "|maximum tokens you requested exceeds"
)
UNSUPPORTED = (
    r"unsupported_\w|not supported|does(n't| not) support|response_format.* unavailable"
    "|cannot both be specified|may only be set to|deprecated for this|not enabled for"
    "|only works in thinking mode|reasoning_effort.{0,40} must be one of"
)

#: Statuses, words in the answer, and their error. The first match counts; if there is none, it is
#: a ProviderError.
BY_ANSWER: tuple[tuple[Container[int], str, ErrorClass], ...] = (
    ((400, 403, 429), QUOTA, QuotaExceededError),
    ((400, 422), CEILING, UnsupportedRequestError),
    ((400, 422, 429), CONTEXT, ContextWindowExceededError),
    ((400, 403, 422), POLICY, ContentPolicyError),
    ((400,), BAD_KEY, AuthenticationError),
    ((400,), "model_not_found", ModelNotFoundError),
    ((400, 422), UNSUPPORTED, UnsupportedRequestError),
    ((400, 422), "", BadRequestError),
    ((401,), "", AuthenticationError),
    ((402,), "", QuotaExceededError),
    ((403,), "", PermissionDeniedError),
    ((404, 410), "", ModelNotFoundError),
    ((408, 504), "", ProviderTimeoutError),
    ((413,), "", ContextWindowExceededError),
    ((429,), "", RateLimitError),
    # The vendors' own clients retry a 409: a lock, free in a moment.
    ((409, 425, *range(500, 1000)), "", ProviderUnavailableError),
)

#: Parts of the names of LiteLLM's classes. The first match counts, and comes before the status.
BY_CLASS: dict[str, ErrorClass] = {
    "Unsupported|NotSupported": UnsupportedRequestError,
    "ContextWindow": ContextWindowExceededError,
    "ContentPolicy|RejectedRequest|Guardrail|BlockedPii": ContentPolicyError,
    "UnknownProvider": ModelNotFoundError,  # a provider without chat
    "ResponseValidation": InvalidResponseError,
    "APIConnection": ProviderConnectionError,
}

# Words of LiteLLM and the clients below it.
NO_KEY = "missing .{,100}(api[ _]key|credentials)|api_key client option must be set"
UNFIT_HEADER = "header injection|illegal header value|'ascii' codec can't encode"
CLOSED_CLIENT = "the client has been closed"  # by LiteLLM's cache while in use (litellm#35492)

# Classes of the clients.
TIMEOUTS = ("TimeoutException", "APITimeoutError", "TimeoutError", "ServerTimeoutError")
NETWORK = ("RequestError", "ClientError", "ConnectionError", "gaierror", "SSLError")

#: The host application's own guards, which are handed back as they are.
HOST_GUARDS = ("BudgetExceededError", "ModifyResponseException", "SensitiveDataRouteException")

# Messages.
BY_NAME = "LiteLLM raised {cause}"
NO_IMAGE = "LiteLLM can't fetch the image, and this provider takes no links"
NO_ANSWER = "no HTTP answer ({cause})"
UNREADABLE = "the answer can't be read; LiteLLM's account of it is in __cause__"
UNFIT_KEY = "the API key can't be sent: it holds a line break, or a character that is not ASCII"
REFUSED = "LiteLLM refused the request; why is in __cause__"

#: Conditions, with the error (None: by class or status) and its message if the vendor sent none.
#: The first one that holds counts. If none does, it is a bug.
ROWS: tuple[tuple[Callable[[Evidence], object], ErrorClass | None, str], ...] = (
    (lambda e: e.quote, None, ""),
    # Before the network's errors, which may be of the image's host.
    (lambda e: e.has("ImageFetchError"), UnsupportedRequestError, NO_IMAGE),
    (lambda e: e.has(*TIMEOUTS), ProviderTimeoutError, "no answer in time"),
    (lambda e: e.says(UNFIT_HEADER), AuthenticationError, UNFIT_KEY),
    (lambda e: e.has(*NETWORK) or e.says(CLOSED_CLIENT), ProviderConnectionError, NO_ANSWER),
    (lambda e: e.has("NotWholeError"), InvalidResponseError, "{error}"),
    (lambda e: e.was_reading, InvalidResponseError, UNREADABLE),
    (lambda e: e.says(NO_KEY), AuthenticationError, "no API key"),
    (lambda e: len(e.links) == 1 and e.local is None, None, BY_NAME),
    (lambda e: 400 <= e.status < 500, None, REFUSED),
    (lambda e: e.local is None, InvalidResponseError, UNREADABLE),
    # LiteLLM's translations of a request raise a bare Exception.
    (lambda e: type(e.local) is Exception, BadRequestError, REFUSED),
)


def our_error(
    evidence: Evidence, provider: str, model: str, key_advice: Callable[[], str]
) -> Exception:
    """Return this package's error for the evidence, or the exception of a bug as it is.

    ``key_advice`` ends the message of an error about a key.
    """
    if type(evidence.error).__name__ in HOST_GUARDS:
        return evidence.error
    row = next((row for row in ROWS if row[0](evidence)), None)
    if row is None:
        bug = evidence.local or evidence.error
        if isinstance(bug, ImportError):
            bug.add_note(
                "LiteLLM needs it: install it, or LiteLLM's extra (for tools: litellm[mcp])"
            )
        return bug
    error = row[1] or _by_class(evidence)
    cause = type(evidence.links[-1]).__name__
    said = evidence.quote or row[2].format(error=evidence.error, cause=cause)
    message = f"{provider}/{model}: {said}"
    if error is AuthenticationError:
        message += key_advice()
    if not issubclass(error, ProviderError):
        return error(message)
    is_telling = evidence.quote or len(evidence.links) == 1
    return error(
        message,
        provider=provider,
        model=model,
        status_code=(is_telling and evidence.status) or None,
        retry_after=evidence.retry_after,
        request_id=evidence.request_id or None,
        original_error=evidence.error,
    )


def _by_class(evidence: Evidence) -> ErrorClass:
    """Return the error for LiteLLM's class, unless an answer came, or else for the status."""
    names = " ".join(base.__name__ for base in type(evidence.error).__mro__)
    for words, error in BY_CLASS.items():
        if re.search(words, names) and not evidence.quote:
            return error
    for statuses, words, error in BY_ANSWER:
        if evidence.status in statuses and re.search(words, evidence.text, re.IGNORECASE):
            return error
    return ProviderError
