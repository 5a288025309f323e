"""Ask a list of LLM providers through LiteLLM; the first that works answers."""

import logging
import typing

from .batch import BatchItem
from .cascade import LLMCascade
from .check import CheckReport, CheckRow
from .drill import DrillReport, DrillRow
from .errors import (
    AuthenticationError,
    BadRequestError,
    ConfigurationError,
    ContentPolicyError,
    ContextWindowExceededError,
    DeadlineExceededError,
    InvalidResponseError,
    MajordomoError,
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
    ResponseError,
    ResponseParsingError,
    ResponseRejectedError,
    ResponseTruncatedError,
    ResponseValidationError,
    StreamInterruptedError,
    UnsupportedRequestError,
)
from .failover import TargetHealth
from .options import CircuitBreaker, RetryPolicy, Target
from .responses import Attempt, LLMJSONResponse, LLMResponse, LLMStructuredResponse, Usage
from .streaming import LLMStreamResponse, StreamRestarted, TextDelta, ToolCallDelta

__all__ = [
    "Attempt",
    "AuthenticationError",
    "BadRequestError",
    "BatchItem",
    "CheckReport",
    "CheckRow",
    "CircuitBreaker",
    "ConfigurationError",
    "ContentPolicyError",
    "ContextWindowExceededError",
    "DeadlineExceededError",
    "DrillReport",
    "DrillRow",
    "InvalidResponseError",
    "LLMCascade",
    "LLMJSONResponse",
    "LLMResponse",
    "LLMStreamResponse",
    "LLMStructuredResponse",
    "MajordomoError",
    "ModelNotFoundError",
    "PermissionDeniedError",
    "ProviderConnectionError",
    "ProviderError",
    "ProviderRuleError",
    "ProviderSetupError",
    "ProviderTimeoutError",
    "ProviderUnavailableError",
    "QuotaExceededError",
    "RateLimitError",
    "ResponseError",
    "ResponseParsingError",
    "ResponseRejectedError",
    "ResponseTruncatedError",
    "ResponseValidationError",
    "RetryPolicy",
    "StreamInterruptedError",
    "StreamRestarted",
    "Target",
    "TargetHealth",
    "TextDelta",
    "ToolCallDelta",
    "UnsupportedRequestError",
    "Usage",
]

# Nothing is printed where the application has not configured logging.
logging.getLogger("majordomo_cascade").addHandler(logging.NullHandler())

__version__: str

if not typing.TYPE_CHECKING:

    def __getattr__(name: str) -> str:
        """Read the version when it is asked for: importing the package must stay quick."""
        if name != "__version__":
            raise AttributeError(f"module 'majordomo_cascade' has no attribute {name!r}")
        from importlib.metadata import version  # noqa: PLC0415

        return version("majordomo-cascade")
