"""One list of LLM providers in, one honest answer out, whoever is down. A thin layer over LiteLLM.

from majordomo_cascade import LLMCascade

cascade = LLMCascade([("anthropic", "claude-sonnet-4-5"), ("openai", "gpt-4.1")])
response = await cascade.get_response("Summarize this document: …")
print(response.content, response.provider, response.cost)
"""

from .cascade import LLMCascade
from .errors import (
    AuthenticationError,
    ConfigurationError,
    ContentPolicyError,
    ContextWindowExceededError,
    DeadlineExceededError,
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
    ResponseError,
    ResponseParsingError,
    ResponseTruncatedError,
    ResponseValidationError,
    StreamInterruptedError,
    UnsupportedRequestError,
)
from .health import CircuitBreaker, TargetHealth
from .responses import Attempt, LLMJSONResponse, LLMResponse, LLMStructuredResponse, Usage
from .retry import RetryPolicy
from .streaming import LLMStreamResponse, StreamRestarted, TextDelta
from .target import Target

__all__ = [
    "Attempt",
    "AuthenticationError",
    "CircuitBreaker",
    "ConfigurationError",
    "ContentPolicyError",
    "ContextWindowExceededError",
    "DeadlineExceededError",
    "InvalidRequestError",
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
    "RequestError",
    "ResponseError",
    "ResponseParsingError",
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
