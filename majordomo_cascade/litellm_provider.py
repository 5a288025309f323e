"""The handler for LiteLLM's ``custom_provider_map``: it serves ``model="cascade/<name>"``.

A name is one that ``LLMCascade.register`` was given, ``env`` for ``LLMCascade.from_env()``, or a
chain, as in ``cascade/anthropic/claude-sonnet-5-5,openai/gpt-5.5``.
"""

from .cascade import build_by_name
from .gateway.provider import provider_of

__all__ = ["handler"]

handler = provider_of(build_by_name)
