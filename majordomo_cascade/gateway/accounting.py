"""The tokens and the cost of an answer."""

from __future__ import annotations

import contextlib
from typing import Any

from ..responses import Usage

#: Where an answer has the counts of a ``Usage``, in its order.
TOKENS = (
    "usage.prompt_tokens",
    "usage.completion_tokens",
    "usage.total_tokens",
    "usage.prompt_tokens_details.cached_tokens",
    "usage.completion_tokens_details.reasoning_tokens",
)


def usage_of(raw: Any) -> Usage:
    """Return the tokens of an answer."""
    counts = []
    for path in TOKENS:
        count = raw
        for name in path.split("."):
            count = getattr(count, name, None)
        counts.append(count if isinstance(count, int) else 0)
    return Usage(*counts)


def cost_of(litellm: Any, raw: Any, provider: str, model: str) -> float | None:
    """Return what an answer cost in US dollars; None if LiteLLM has no price.

    It then says 0.0, or raises a bare Exception.
    """
    noted = getattr(raw, "_hidden_params", None)
    noted = noted if isinstance(noted, dict) else {}
    if noted.get("cache_hit"):  # LiteLLM repeats what the answer cost when it was made
        return 0.0
    with contextlib.suppress(Exception):
        cost = noted.get("response_cost")
        if cost is None:
            name = f"{provider}/{model}"
            cost = litellm.completion_cost(completion_response=raw, model=name)
        if cost:
            return float(cost)
        prices = litellm.get_model_info(model, custom_llm_provider=provider)
        if prices["input_cost_per_token"] == prices["output_cost_per_token"] == 0:
            return 0.0
    return None
