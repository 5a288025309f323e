"""Everything this package raises, in one tree.

    MajordomoError                          .attempts
    ├── ConfigurationError (ValueError)     the cascade cannot be built, or used, as asked
    ├── BadRequestError                     the request is at fault: no other provider is asked
    │   └── ContentPolicyError
    ├── ResponseError                       an answer came, but this call cannot use it
    │   ├── ResponseParsingError            not JSON
    │   │   └── ResponseValidationError     JSON, but not of the type
    │   ├── ResponseTruncatedError          cut by max_tokens
    │   └── ResponseRejectedError           refused by ``accept``: the next provider is asked
    └── ProviderError                       this provider cannot serve now: the next one is asked
        ├── RateLimitError                  retried first
        ├── ProviderUnavailableError        retried first
        ├── ProviderConnectionError         retried first
        ├── InvalidResponseError            retried first
        ├── ProviderTimeoutError            (TimeoutError) retried only if no other target is left
        ├── StreamInterruptedError
        ├── DeadlineExceededError           (TimeoutError) ends the call
        ├── AuthenticationError
        ├── PermissionDeniedError
        ├── QuotaExceededError
        ├── ModelNotFoundError
        ├── ContextWindowExceededError
        └── UnsupportedRequestError

All of them pickle, without ``original_error`` and ``__cause__``: LiteLLM's exceptions do not all
pickle, and they may quote the prompt.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from .responses import Attempt, LLMResponse


class MajordomoError(Exception):
    """Anything that goes wrong in a cascade."""

    attempts: tuple[Attempt, ...] = ()
    """Every attempt of the call that raised this, in the order in which they began."""

    def __init__(self, message: str = "") -> None:
        super().__init__(message)

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...], dict[str, Any]]:
        return _rebuild, (type(self), self.args), {**self.__dict__, "original_error": None}


def _rebuild(kind: type[MajordomoError], args: tuple[Any, ...]) -> MajordomoError:
    """Make an unpickled error without its ``__init__``; its attributes follow as state."""
    error = kind.__new__(kind)
    error.args = args
    return error


class ConfigurationError(MajordomoError, ValueError):
    """The cascade cannot be built, or used, as asked."""


class BadRequestError(MajordomoError):
    """The request itself is at fault: a check found it, or a provider answered 400 or 422."""


class ContentPolicyError(BadRequestError):
    """A safety system refused the request, or held back the answer."""


class ResponseError(MajordomoError):
    """An answer came and was paid for, but this call cannot use it."""

    def __init__(self, message: str = "", *, provider: str = "", model: str = "") -> None:
        super().__init__(message)
        self.provider = provider
        self.model = model


class ResponseParsingError(ResponseError):
    """The answer, in ``raw_content``, is not JSON. A note in the traceback shows its start."""

    def __init__(self, message: str = "", *, raw_content: str = "", **fields: Any) -> None:
        super().__init__(message, **fields)
        self.raw_content = raw_content


class ResponseValidationError(ResponseParsingError):
    """The answer is JSON, but not of the type; ``errors`` is pydantic's list of problems."""

    def __init__(
        self, message: str = "", *, errors: list[dict[str, Any]] | None = None, **fields: Any
    ) -> None:
        super().__init__(message, **fields)
        self.errors = errors or []


class ResponseTruncatedError(ResponseError):
    """``max_tokens`` cut the answer: JSON that ends early, or no text at all."""

    def __init__(self, message: str = "", *, partial_content: str = "", **fields: Any) -> None:
        super().__init__(message, **fields)
        self.partial_content = partial_content


class ResponseRejectedError(ResponseError):
    """``accept`` said no to the answer, which is in ``response``. The next target is asked."""

    def __init__(
        self, message: str = "", *, response: LLMResponse[Any] | None = None, **fields: Any
    ) -> None:
        super().__init__(message, **fields)
        self.response = response


class ProviderError(MajordomoError):
    """This provider cannot serve now. ``provider`` and ``model`` are the target's."""

    def __init__(
        self,
        message: str = "",
        *,
        provider: str = "",
        model: str = "",
        status_code: int | None = None,
        retry_after: float | None = None,
        request_id: str | None = None,
        original_error: BaseException | None = None,
    ) -> None:
        super().__init__(message)
        self.provider = provider
        self.model = model
        self.status_code = status_code
        """The HTTP status of the answer (or of a mock's); None if there was no answer."""
        self.retry_after = retry_after
        """Seconds that the provider asks to wait, from the header or, for Gemini, the body."""
        self.request_id = request_id
        """The provider's own id of the request, for its support."""
        self.original_error = original_error
        """The exception that LiteLLM raised; None after unpickling."""


class RateLimitError(ProviderError):
    """429: too many requests or tokens in this minute."""


class ProviderUnavailableError(ProviderError):
    """5xx and 529: overloaded or broken."""


class ProviderConnectionError(ProviderError):
    """No HTTP answer: DNS, refused, reset, TLS, a body cut short."""


class InvalidResponseError(ProviderError):
    """Success in status only: garbage, no choices, empty content."""


class ProviderTimeoutError(ProviderError, TimeoutError):
    """408, 504, or our own ``timeout``."""


class StreamInterruptedError(ProviderError):
    """A stream broke after its first content. ``partial_content`` is the text that came."""

    def __init__(self, message: str = "", *, partial_content: str = "", **fields: Any) -> None:
        super().__init__(message, **fields)
        self.partial_content = partial_content


class DeadlineExceededError(ProviderError, TimeoutError):
    """The call's ``deadline`` is spent. Always ends the call."""


class AuthenticationError(ProviderError):
    """401, or no key, or a key that cannot be sent."""


class PermissionDeniedError(ProviderError):
    """403: the key is good, but not for this."""


class QuotaExceededError(ProviderError):
    """402, or a quota or credit that is used up, whatever the status."""


class ModelNotFoundError(ProviderError):
    """404 and 410: no such model, or no such address."""


class ContextWindowExceededError(ProviderError):
    """The prompt is too long for this model or this account; another may take it."""


class UnsupportedRequestError(ProviderError):
    """A parameter, tool or schema that this provider cannot take; another may."""
