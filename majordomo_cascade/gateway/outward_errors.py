"""This package's errors as LiteLLM's exceptions, for hosts that ask through LiteLLM."""

from functools import cache
from typing import Any

import httpx
import litellm

from .. import errors
from ..errors import MajordomoError

#: LiteLLM's class for each of ours, and for those below it.
OUTWARD: dict[type[MajordomoError], str] = {
    errors.MajordomoError: "InternalServerError",
    errors.ConfigurationError: "BadRequestError",
    errors.BadRequestError: "BadRequestError",
    errors.ContentPolicyError: "ContentPolicyViolationError",
    errors.ResponseError: "APIResponseValidationError",
    errors.ProviderError: "InternalServerError",
    errors.RateLimitError: "RateLimitError",
    errors.ProviderUnavailableError: "ServiceUnavailableError",
    errors.ProviderConnectionError: "APIConnectionError",
    errors.InvalidResponseError: "InternalServerError",
    errors.ProviderTimeoutError: "Timeout",
    errors.StreamInterruptedError: "APIConnectionError",
    errors.DeadlineExceededError: "Timeout",
    errors.AuthenticationError: "AuthenticationError",
    errors.PermissionDeniedError: "PermissionDeniedError",
    errors.QuotaExceededError: "RateLimitError",  # as LiteLLM has OpenAI's insufficient_quota
    errors.ModelNotFoundError: "NotFoundError",
    errors.ContextWindowExceededError: "ContextWindowExceededError",
    errors.UnsupportedRequestError: "UnsupportedParamsError",
    errors.ProviderRuleError: "BadRequestError",
    errors.ProviderSetupError: "InternalServerError",
}

WRAPPER: Any = litellm.exceptions.MidStreamFallbackError

#: The statuses of the classes that need a response, or hand its headers on.
STATUSES = {"PermissionDeniedError": 403, "RateLimitError": 429}


def keep_class(error: Exception) -> None:
    """Let a host's ``except`` catch the error of a stream by its class.

    LiteLLM raises a MidStreamFallbackError instead of whatever has the status 429 or 5xx. Since
    1.110 it hands on what is one already.
    """
    kind: Any = type(error)
    status = getattr(error, "status_code", 0)
    if (status == 429 or status >= 500) and not issubclass(WRAPPER, kind):
        error.__class__ = _both(kind)
        vars(error)["original_exception"] = None


@cache
def _both(kind: Any) -> Any:
    """Return a class that is of a kind, and LiteLLM's wrapper as well."""
    if issubclass(kind, WRAPPER):
        return kind
    return type(kind.__name__, (kind, WRAPPER), {"__module__": kind.__module__})


def outward(error: MajordomoError, provider: str, model: str) -> Exception:
    """Return LiteLLM's exception for an error, with its message and its notes."""
    name = next(OUTWARD[kind] for kind in type(error).__mro__ if kind in OUTWARD)
    details: dict[str, Any] = {"message": str(error), "llm_provider": provider, "model": model}
    if name in STATUSES:
        wait = getattr(error, "retry_after", None)
        headers = {} if wait is None else {"retry-after": f"{wait:g}"}
        request = httpx.Request("POST", f"https://{provider}")
        details["response"] = httpx.Response(STATUSES[name], headers=headers, request=request)
    theirs: Exception = getattr(litellm, name)(**details)
    for note in getattr(error, "__notes__", ()):
        theirs.add_note(note)
    return theirs
