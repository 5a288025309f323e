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
    ProviderRuleError,
    ProviderSetupError,
    ProviderTimeoutError,
    ProviderUnavailableError,
    QuotaExceededError,
    RateLimitError,
    UnsupportedRequestError,
)
from ..options import Target
from .evidence import Evidence

ErrorClass = type[ProviderError] | type[BadRequestError]

# The vendors' codes and words that say more than a status.
QUOTA = (
    "insufficient_quota|billing_error|billing_hard_limit_reached|credit balance is too low"
    "|reached your specified api usage limits|insufficient (balance|credits)|billing_not_active"
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
    "|may only be set to|deprecated for this|not enabled for"
    "|only works in thinking mode|reasoning_effort.{0,40} must be one of"
)

#: The account, the model, and what the model wrote, where a 400 speaks of them. The sources of
#: these and of the next are in tests/gateway/test_vendor_wordings.py.
ACCOUNT = "organization has been (disabled|restricted)|user location is not supported"
NO_MODEL = "model_not_found|model_decommissioned|with on-demand throughput isn.t supported"
BAD_CALL = "tool_use_failed|failed to call a function"
UPSTREAM = "provider returned error"  # OpenRouter
#: Rules that one vendor has, and another may not: for images, ids of tool calls, sampling, schemas
#: of functions, fields, numbers of things, and the order of messages.
RULES = (
    "image exceeds|image dimensions exceed|process (input )?image|unsupported image"
    r"|image (is not valid|does not match|input)|image\(s\) may be|too many images"
    "|the image field|only supported by certain models|content must be a string"
    r"|tool call id was|tool_calls\[\d+\]\.id|\.call_id|tool_use\.id: string should match"
    "|cannot both be specified"
    "|invalid schema for function|function_?declaration|input_schema"
    "|extra_forbidden|extra inputs are not permitted|property '.*' is unsupported"
    r"|(array|string) too long|number of stop_sequences|a maximum of \d+ (blocks|pdf)"
    "|unexpected role|expected last role|roles must alternate|turn comes immediately"
    "|message prefill"
)

#: Statuses, words in the answer, and their error. The first match counts; if there is none, it is
#: a ProviderError.
BY_ANSWER: tuple[tuple[Container[int], str, ErrorClass], ...] = (
    ((400, 403, 429), QUOTA, QuotaExceededError),
    ((400, 422), CEILING, UnsupportedRequestError),
    ((400, 422, 429), CONTEXT, ContextWindowExceededError),
    ((400, 403, 422), POLICY, ContentPolicyError),
    ((400,), BAD_KEY, AuthenticationError),
    ((400,), ACCOUNT, PermissionDeniedError),
    ((400,), NO_MODEL, ModelNotFoundError),
    ((400,), BAD_CALL, InvalidResponseError),
    ((400, 422), RULES, ProviderRuleError),
    ((400, 422), UNSUPPORTED, UnsupportedRequestError),
    ((400,), UPSTREAM, ProviderUnavailableError),
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
NO_KEY = (
    "missing .{,100}(api[ _]key|credentials|jwt key)|api_key client option must be set"
    "|(unable to locate|no) credentials|api[ _]key is (required|not set)"
)
UNFIT_HEADER = "header injection|illegal header value|'ascii' codec can't encode"
CLOSED_CLIENT = "the client has been closed"  # by LiteLLM's cache while in use (litellm#35492)
UNFIT_VALUE = "not JSON serializable"
SETTING = (
    "(api.?base|base url|tenant|project|region|location).{0,40}?(required|set)"
    "|`base_url` or `azure_endpoint`"
)

# Classes of the clients.
TIMEOUTS = ("TimeoutException", "APITimeoutError", "TimeoutError", "ServerTimeoutError")
NETWORK = ("RequestError", "ClientError", "ConnectionError", "gaierror", "SSLError")

#: The host application's own guards, which are handed back as they are.
HOST_GUARDS = ("BudgetExceededError", "ModifyResponseException", "SensitiveDataRouteException")

#: The packages that bring modules of another name.
PACKAGES = {
    "databricks": "databricks-sdk",
    "google": "google-auth",
    "mcp": "litellm[mcp]",
    "vertexai": "google-cloud-aiplatform",
}

# Messages.
BY_NAME = "LiteLLM raised {cause}"
NO_IMAGE = "LiteLLM can't fetch the image, and this provider takes no links"
NO_ANSWER = "no HTTP answer ({cause})"
UNREADABLE = "the answer can't be read; LiteLLM's account of it is in __cause__"
UNFIT_KEY = "the API key can't be sent: it holds a line break, or a character that is not ASCII"
REFUSED = "LiteLLM refused the request; why is in __cause__"
NO_PACKAGE = "LiteLLM needs a package for it: pip install {package}"
NO_SETTING = "LiteLLM lacks a setting ({setting}): give it to its Target, or in the environment"
NOT_MADE = "LiteLLM can't make its request ({cause}); why is in __cause__"
NOT_TAKEN = "it does not take {params}; overrides={overrides} on its Target takes that away"

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
    (lambda e: e.params and e.has("UnsupportedParamsError"), UnsupportedRequestError, NOT_TAKEN),
    (lambda e: len(e.links) == 1 and e.local is None, None, BY_NAME),
    (lambda e: e.has("ImportError"), ProviderSetupError, NO_PACKAGE),
    (lambda e: e.is_of_target and e.says(SETTING), ProviderSetupError, NO_SETTING),
    (lambda e: e.is_of_target and e.status in (401, 403), None, BY_NAME),
    (lambda e: e.is_of_target and not e.says(UNFIT_VALUE), ProviderSetupError, NOT_MADE),
    (lambda e: 400 <= e.status < 500, None, REFUSED),
    (lambda e: e.local is None, InvalidResponseError, UNREADABLE),
    # LiteLLM's translations of a request raise a bare Exception.
    (lambda e: type(e.local) is Exception, BadRequestError, REFUSED),
)


def our_error(evidence: Evidence, target: Target, key_advice: Callable[[], str]) -> Exception:
    """Return this package's error for the evidence, or the exception of a bug as it is.

    ``key_advice`` ends the message of an error about a key.
    """
    if type(evidence.error).__name__ in HOST_GUARDS:
        return evidence.error
    row = next((row for row in ROWS if row[0](evidence)), None)
    if row is None:
        return evidence.local or evidence.error
    error = row[1] or _by_class(evidence)
    *_, root = evidence.links
    module = str(getattr(root, "name", "")).partition(".")[0]
    said = evidence.quote or row[2].format(
        error=evidence.error,
        cause=type(root).__name__,
        package=PACKAGES.get(module, module) or "the one that __cause__ names",
        params=" or ".join(evidence.params),
        overrides=dict.fromkeys(evidence.params),
        setting=evidence.says(SETTING),
    )
    message = f"{target.name}: {said}"
    if error is AuthenticationError:
        message += key_advice()
    if not issubclass(error, ProviderError):
        return error(message)
    is_telling = evidence.quote or len(evidence.links) == 1
    return error(
        message,
        provider=target.provider,
        model=target.model,
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
