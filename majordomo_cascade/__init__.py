"""Ask a list of LLM providers through LiteLLM; the first that works answers."""

import logging

from .cascade import LLMCascade
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
from .streaming import LLMStreamResponse, StreamRestarted, TextDelta

__all__ = [
    "Attempt",
    "AuthenticationError",
    "BadRequestError",
    "CircuitBreaker",
    "ConfigurationError",
    "ContentPolicyError",
    "ContextWindowExceededError",
    "DeadlineExceededError",
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
    "UnsupportedRequestError",
    "Usage",
]

# Nothing is printed where the application has not configured logging.
logging.getLogger("majordomo_cascade").addHandler(logging.NullHandler())
