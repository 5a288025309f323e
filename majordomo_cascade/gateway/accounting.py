"""The tokens and the cost of an answer."""

from typing import Any

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


def cost_of(litellm: Any, raw: Any, provider: str, model: str) -> float | None:
    """Return what an answer cost in US dollars; None if LiteLLM has no price.

    It then says 0.0, or raises a bare Exception.
    """
    noted = getattr(raw, "_hidden_params", None)
    noted = noted if isinstance(noted, dict) else {}
    if noted.get("cache_hit"):  # LiteLLM repeats what the answer cost when it was made
        return 0.0
    cost = noted.get("response_cost")
    try:
        if cost is None:
            name = f"{provider}/{model}"
            cost = litellm.completion_cost(completion_response=raw, model=name)
        if cost:
            return float(cost)
        prices = litellm.get_model_info(model, custom_llm_provider=provider)
        is_free = prices["input_cost_per_token"] == prices["output_cost_per_token"] == 0
    except Exception:
        return None
    return 0.0 if is_free else None
