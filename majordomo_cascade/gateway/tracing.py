"""OpenTelemetry's names of providers, and LiteLLM's own callbacks for OpenTelemetry."""

import os

import litellm
from litellm.integrations.opentelemetry import OpenTelemetry

#: The providers that have another name in OpenTelemetry's conventions.
CONVENTIONAL_NAMES = {
    "azure": "azure.ai.openai",
    "azure_ai": "azure.ai.inference",
    "bedrock": "aws.bedrock",
    "cohere_chat": "cohere",
    "gemini": "gcp.gemini",
    "mistral": "mistral_ai",
    "vertex_ai": "gcp.vertex_ai",
    "vertex_ai_beta": "gcp.vertex_ai",
    "watsonx": "ibm.watsonx.ai",
    "xai": "x_ai",
}

#: The callbacks that LiteLLM makes an ``OpenTelemetry`` of, at its first call.
CALLBACK_NAMES = (
    "agentops",
    "arize",
    "arize_phoenix",
    "langfuse_otel",
    "langtrace",
    "levo",
    "logfire",
    "otel",
    "signoz",
    "weave_otel",
)


def conventional_name(provider: str) -> str:
    return CONVENTIONAL_NAMES.get(provider, provider)


def takes_current_span() -> bool:
    """Return whether a callback of LiteLLM's writes on the current span instead of its own."""
    if os.environ.get("USE_OTEL_LITELLM_REQUEST_SPAN", "").lower() == "true":
        return False
    lists = (
        litellm.callbacks,
        litellm.success_callback,
        litellm.failure_callback,
        litellm._async_success_callback,
        litellm._async_failure_callback,
    )
    return any(_writes(callback) for each in lists for callback in each or ())


def _writes(callback: object) -> bool:
    if isinstance(callback, str):
        return callback in CALLBACK_NAMES
    return isinstance(callback, OpenTelemetry)
