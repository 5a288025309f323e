"""Answers: the content, who gave it, what it cost, and every attempt on the way."""

from __future__ import annotations

from dataclasses import dataclass, field
from html import escape
from typing import TYPE_CHECKING, Any, Generic, Literal

from typing_extensions import TypeVar  # with a default, which Python has since 3.13

T = TypeVar("T", default=str)

Outcome = Literal["ok", "failed", "rejected", "cancelled"]


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens of one answer, as the provider counted them; 0 if it did not say."""

    input_tokens: int = 0
    output_tokens: int = 0
    total_tokens: int = 0
    cached_tokens: int = 0
    """Input tokens that came from the provider's cache."""
    reasoning_tokens: int = 0
    """Output tokens that were spent on thinking."""


@dataclass(frozen=True, slots=True)
class Attempt:
    """One request to one target, and its outcome."""

    provider: str
    model: str
    number: int
    """1-based, per target."""
    outcome: Outcome
    """"rejected" is an answer that came, and was paid for, but could not be used."""
    error: Exception | None
    started: float
    """Seconds after the start of the call."""
    seconds: float
    """How long it took."""
    waited: float
    """Seconds slept before it."""
    usage: Usage | None
    """None if no answer came."""
    cost: float | None
    """US dollars; None if no answer came or LiteLLM has no price."""

    def __str__(self) -> str:
        """Return ``openai/gpt-5.5 #2: 429 RateLimitError after 0.41 s``."""
        status = getattr(self.error, "status_code", None)
        result = type(self.error).__name__ if self.error else self.outcome
        if status:
            result = f"{status} {result}"
        return f"{self.provider}/{self.model} #{self.number}: {result} after {self.seconds:.2f} s"


@dataclass(frozen=True, slots=True, kw_only=True)
class LLMResponse(Generic[T]):
    """An answer. ``content`` is text, decoded JSON, or a value of the type that was asked for.

    ``provider`` and ``model`` are those of the target that served, as it was configured. Text is
    "" if the model answered with tool calls only. The repr leaves out ``content`` and ``raw``:
    answers do not belong in logs. A notebook shows the content and the attempts.
    """

    content: T = field(repr=False)
    provider: str
    model: str
    usage: Usage
    cost: float | None
    """US dollars for this answer, by LiteLLM's price list; None, never 0, if it has no price."""
    total_cost: float | None
    """``cost`` plus that of paid answers that could not be used; None if one has no price."""
    latency: float
    """Seconds from call to answer: all targets, retries and waits."""
    finish_reason: str | None
    """"stop", "length", "tool_calls" …, as LiteLLM reports it."""
    attempts: tuple[Attempt, ...]
    failed_over: bool
    """True if another target than the first one served."""
    raw: Any = field(repr=False)
    """LiteLLM's own ``ModelResponse``: log probabilities, reasoning, everything else."""
    tool_calls: tuple[Any, ...] = field(default=(), repr=False)
    """LiteLLM's own objects, such as ``call.function.name``."""

    def _repr_html_(self) -> str:
        cost = "unknown" if self.total_cost is None else f"${self.total_cost:.6f}"
        served = f"{self.provider}/{self.model}, {self.latency:.2f} s, {cost}"
        rows = "".join(f"<tr><td>{escape(str(attempt))}</td></tr>" for attempt in self.attempts)
        return (
            f"<pre style='white-space: pre-wrap'>{escape(str(self.content))}</pre>"
            f"<p>{escape(served)}</p><table>{rows}</table>"
        )


LLMStructuredResponse = LLMResponse
"""A value of the type that was asked for: ``LLMStructuredResponse[City]``."""

if TYPE_CHECKING:
    LLMJSONResponse = LLMResponse[dict[str, Any] | list[Any]]
else:  # so that isinstance takes it
    LLMJSONResponse = LLMResponse
