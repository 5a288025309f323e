"""Everything this package raises, in one tree.

    MajordomoError
    ├── ConfigurationError              (ValueError)
    ├── BadRequestError                 no other provider is asked
    │   └── ContentPolicyError
    ├── ResponseError
    │   ├── ResponseParsingError
    │   │   └── ResponseValidationError
    │   ├── ResponseTruncatedError
    │   └── ResponseRejectedError       the next provider is asked
    └── ProviderError                   the next provider is asked
        ├── RateLimitError              retried first
        ├── ProviderUnavailableError    retried first
        ├── ProviderConnectionError     retried first
        ├── InvalidResponseError        retried first
        ├── ProviderTimeoutError        (TimeoutError) retried only if no other target is left
        ├── StreamInterruptedError
        ├── DeadlineExceededError       (TimeoutError) ends the call
        ├── AuthenticationError
        ├── PermissionDeniedError
        ├── QuotaExceededError
        ├── ModelNotFoundError
        ├── ContextWindowExceededError
        ├── UnsupportedRequestError
        │   └── ProviderRuleError
        └── ProviderSetupError

All of them pickle, without ``original_error`` and ``__cause__``: LiteLLM's exceptions do not all
pickle, and they may quote the prompt.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from html import escape
from typing import TYPE_CHECKING, Any

from .tables import html_trail

if TYPE_CHECKING:
    from .responses import Attempt, LLMResponse


@dataclass(eq=False, repr=False)
class MajordomoError(Exception):
    """Anything that goes wrong in a cascade."""

    message: str = ""
    attempts: tuple[Attempt, ...] = field(default=(), init=False)
    """Every attempt of the call that raised this, in the order in which they began."""

    def __post_init__(self) -> None:
        super().__init__(self.message)

    def _repr_html_(self) -> str:
        return f"<p>{type(self).__name__}: {escape(str(self))}</p>{html_trail(self.attempts)}"

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), self.args, {**self.__dict__, "original_error": None}


class ConfigurationError(MajordomoError, ValueError):
    """The cascade cannot be built, or used, as asked."""


class BadRequestError(MajordomoError):
    """The request itself is at fault: a check found it, or a provider answered 400 or 422."""


class ContentPolicyError(BadRequestError):
    """A safety system refused the request, or held back the answer."""


@dataclass(eq=False, repr=False, kw_only=True)
class ResponseError(MajordomoError):
    """An answer came and was paid for, but this call cannot use it."""

    provider: str = ""
    model: str = ""


@dataclass(eq=False, repr=False, kw_only=True)
class ResponseParsingError(ResponseError):
    """The answer, in ``raw_content``, is not JSON. A note in the traceback shows its start."""

    raw_content: str = ""


@dataclass(eq=False, repr=False, kw_only=True)
class ResponseValidationError(ResponseParsingError):
    """The answer is JSON, but not of the type; ``errors`` is pydantic's list of problems."""

    errors: list[dict[str, Any]] = field(default_factory=list)


@dataclass(eq=False, repr=False, kw_only=True)
class ResponseTruncatedError(ResponseError):
    """``max_tokens`` cut the answer: JSON that ends early, or no text at all."""

    partial_content: str = ""


@dataclass(eq=False, repr=False, kw_only=True)
class ResponseRejectedError(ResponseError):
    """``accept`` said no to the answer, which is in ``response``."""

    response: LLMResponse[Any] | None = None


@dataclass(eq=False, repr=False, kw_only=True)
class ProviderError(MajordomoError):
    """This provider cannot serve now. ``provider`` and ``model`` are the target's."""

    provider: str = ""
    model: str = ""
    status_code: int | None = None
    """The HTTP status of the answer (or of a mock's); None if there was no answer."""
    retry_after: float | None = None
    """Seconds that the provider asks to wait, from the header or, for Gemini, the body."""
    request_id: str | None = None
    """The provider's own id of the request, for its support."""
    original_error: BaseException | None = None
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


@dataclass(eq=False, repr=False, kw_only=True)
class StreamInterruptedError(ProviderError):
    """A stream broke after its first content. ``partial_content`` is the text that came."""

    partial_content: str = ""


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


class ProviderRuleError(UnsupportedRequestError):
    """A rule of this vendor's own: for images, schemas, ids, fields. Counts against its health."""


class ProviderSetupError(ProviderError):
    """LiteLLM could not make the request: it lacks a package or a setting, or a translation."""
