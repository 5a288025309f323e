"""The tokens and the cost of an answer."""

from collections.abc import Mapping
from typing import Any

from ..options import Target
from ..responses import Usage


def usage_of(raw: Any) -> Usage:
    usage = getattr(raw, "usage", None)
    return Usage(
        _count(usage, "prompt_tokens"),
        _count(usage, "completion_tokens"),
        _count(usage, "total_tokens"),
        _count(getattr(usage, "prompt_tokens_details", None), "cached_tokens"),
        _count(getattr(usage, "completion_tokens_details", None), "reasoning_tokens"),
    )


def _count(counts: Any, name: str) -> int:
    count = getattr(counts, name, None)
    return count if isinstance(count, int) else 0


def notes_of(raw: Any) -> dict[str, Any]:
    """Return the notes that LiteLLM keeps in an answer, such as its cost."""
    notes = getattr(raw, "_hidden_params", None)
    return notes if isinstance(notes, dict) else {}


def cost_of(litellm: Any, raw: Any, notes: Mapping[str, Any], target: Target) -> float | None:
    """Return what an answer cost in US dollars; None if LiteLLM has no price.

    It then says 0.0, or raises a bare Exception.
    """
    if notes.get("cache_hit"):  # LiteLLM repeats what the answer cost when it was made
        return 0.0
    cost = notes.get("response_cost")
    try:
        if cost is None:
            name = f"{target.provider}/{target.model}"
            cost = litellm.completion_cost(completion_response=raw, model=name)
        if cost:
            return float(cost)
        prices = litellm.get_model_info(target.model, custom_llm_provider=target.provider)
        prices = litellm.model_cost.get(prices["key"], prices)  # where an unknown price is not 0
        is_free = prices["input_cost_per_token"] == prices["output_cost_per_token"] == 0
    except Exception:
        return None
    return 0.0 if is_free else None
