"""LiteLLM itself, imported late, and its names of providers and models.

LiteLLM is imported when the first cascade is built, never when this package is. Nothing of its
global state is written, with one exception: see ``load``.
"""

from __future__ import annotations

import contextlib
import difflib
import importlib
import sys
from typing import Any

from ..errors import ConfigurationError
from ..options import Target

#: Modules that LiteLLM would import in the middle of a first call: the OpenAI client's 450, the
#: tokenizer, its loggers.
LOADED_EARLY = (
    "openai.resources",
    "openai.resources.chat",
    "litellm.litellm_core_utils.default_encoding",
    "litellm._service_logger",
    "litellm.proxy._types",
)

#: Names that people give to providers.
SLIPS = {
    "aws": ["bedrock"],
    "claude": ["anthropic"],
    "google": ["gemini", "vertex_ai"],
    "gpt": ["openai"],
}


def load() -> Any:
    """Return LiteLLM; if this is its first import, without its habit of printing at every error."""
    is_first = "litellm" not in sys.modules
    litellm: Any = importlib.import_module("litellm")
    if is_first:
        litellm.suppress_debug_info = True
    for name in LOADED_EARLY:
        with contextlib.suppress(ImportError):
            importlib.import_module(name)
    return litellm


def resolve(entry: Any) -> Target:
    """Return the target that an entry of a cascade means.

    Raises:
        ConfigurationError: it means none, or LiteLLM has no such provider.
    """
    target = _as_target(entry)
    known = _known_providers()
    if target.provider in known:
        return target
    if target.model in known:
        raise ConfigurationError(
            f"the provider comes first: ({target.model!r}, {target.provider!r})"
        )
    name = target.provider.lower()
    near = SLIPS.get(name) or difflib.get_close_matches(name, known)
    hint = "litellm.provider_list has their names"
    if near:
        hint = f"did you mean {' or '.join(map(repr, near))}?"
    raise ConfigurationError(f"LiteLLM has no provider {target.provider!r}: {hint}")


def _as_target(entry: Any) -> Target:
    match entry:
        case Target():
            return entry
        case str() if "/" in entry:
            return Target(*entry.split("/", 1))
        case str():
            return _target_of_model(entry)
        case [str(provider), str(model)]:
            return Target(provider, model)
    raise ConfigurationError(
        "a provider must be a pair such as ('openai', 'gpt-5.5'), a string such as "
        f"'openai/gpt-5.5', or a Target, not {type(entry).__name__}"
    )


def _target_of_model(model: str) -> Target:
    """Return the target of a bare model name, if it is a chat model of LiteLLM's price list."""
    litellm = load()
    if litellm.model_cost.get(model, {}).get("mode") in ("chat", "responses"):
        name, provider, *_ = litellm.get_llm_provider(model)
        return Target(provider, name)
    if model in _known_providers():
        raise ConfigurationError(
            f"{model!r} is a provider; give its model, too, as ({model!r}, '…') or '{model}/…'"
        )
    raise ConfigurationError(
        f"{model!r} is not the name of a chat model that LiteLLM knows: give its provider, too, "
        f"as ('provider', {model!r}) or 'provider/{model}'"
    )


def _known_providers() -> list[str]:
    """Return LiteLLM's providers, and those that the application registered with it."""
    litellm = load()
    custom = [str(entry["provider"]) for entry in litellm.custom_provider_map]
    return [str(getattr(each, "value", each)) for each in litellm.provider_list] + custom
