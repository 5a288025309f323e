"""LiteLLM, imported when the first cascade is built, and its names of providers and models."""

import contextlib
import difflib
import importlib
import sys
from typing import Any

from ..errors import ConfigurationError
from ..options import Target

#: Modules that LiteLLM would import in the middle of a first call: the tokenizer, its loggers'
#: types, and the OpenAI client's.
LOADED_EARLY = (
    "litellm.litellm_core_utils.default_encoding",
    "litellm.proxy._types",
    "openai.resources.chat",
)

#: Names that people give to providers, and LiteLLM's.
SLIPS = {
    "aws": "'bedrock'",
    "claude": "'anthropic'",
    "google": "'gemini' or 'vertex_ai'",
    "gpt": "'openai'",
}


def load() -> Any:
    """Return LiteLLM; if this is its first import, without its habit of printing at every error.

    No other part of its global state is ever written.
    """
    is_first = "litellm" not in sys.modules
    litellm: Any = importlib.import_module("litellm")
    if is_first:
        litellm.suppress_debug_info = True
    for name in LOADED_EARLY:
        with contextlib.suppress(ImportError):
            importlib.import_module(name)
    return litellm


async def close_clients() -> None:
    """Close the connections that LiteLLM keeps open."""
    await load().close_litellm_async_clients()


def resolve(entry: Any) -> Target:
    """Return the target that an entry of a cascade means.

    Raises:
        ConfigurationError: it means none, or LiteLLM has no such provider.
    """
    litellm = load()
    custom = [each["provider"] for each in litellm.custom_provider_map]
    known = [getattr(each, "value", each) for each in [*litellm.provider_list, *custom]]
    target = _target_of(entry, litellm)
    if target is not None and target.provider in known:
        return target
    raise ConfigurationError(_problem(entry, target, known))


def _target_of(entry: Any, litellm: Any) -> Target | None:
    match entry:
        case Target():
            return entry
        case [str(provider), str(model)]:
            return Target(provider, model)
        case str() if "/" in entry:
            return Target(*entry.split("/", 1))
        case str() if litellm.model_cost.get(entry, {}).get("mode") in ("chat", "responses"):
            model, provider, *_ = litellm.get_llm_provider(entry)
            return Target(provider, model)
    return None


def _problem(entry: Any, target: Target | None, known: list[str]) -> str:
    """Tell why an entry means no target, or one of an unknown provider."""
    if target is not None:
        provider = target.provider
        if target.model in known:
            return f"the provider comes first: ({target.model!r}, {provider!r})"
        name = provider.lower()
        near = SLIPS.get(name) or " or ".join(map(repr, difflib.get_close_matches(name, known)))
        hint = f"did you mean {near}?" if near else "litellm.provider_list has their names"
        return f"LiteLLM has no provider {provider!r}: {hint}"
    if not isinstance(entry, str):
        return (
            "a provider must be a pair such as ('openai', 'gpt-5.5'), a string such as "
            f"'openai/gpt-5.5', or a Target, not {type(entry).__name__}"
        )
    if entry in known:
        return f"{entry!r} is a provider; give its model, too, as ({entry!r}, '…') or '{entry}/…'"
    return (
        f"{entry!r} is not the name of a chat model that LiteLLM knows: give its provider, too, "
        f"as ('provider', {entry!r}) or 'provider/{entry}'"
    )
