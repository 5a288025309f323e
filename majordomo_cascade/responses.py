"""What comes back: the answer, who gave it, what it cost, and everything that was tried on the way."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Generic, Literal, TypeVar

T = TypeVar("T")

Outcome = Literal["ok", "failed", "rejected", "cancelled"]


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens of one answer, as the provider counted them; 0 where it did not say."""

    input_tokens: int = 0
    output_tokens: int = 0
    total_tokens: int = 0
    cached_tokens: int = 0
    """The part of the input that came from the provider's prompt cache."""
    reasoning_tokens: int = 0
    """The part of the output that was spent on thinking."""


@dataclass(frozen=True, slots=True)
class Attempt:
    """One request to one target, and what became of it."""

    provider: str
    model: str
    number: int
    """1-based, per target."""
    outcome: Outcome
    """"rejected" is an answer that came, and was paid for, but could not be used."""
    error: Exception | None
    started: float
    """Seconds from the start of the call."""
    seconds: float
    """How long it took."""
    waited: float
    """Seconds slept before it."""
    usage: Usage | None
    """None where no answer came."""
    cost: float | None
    """US dollars; None where no answer came or LiteLLM has no price."""

    def __str__(self) -> str:
        """One line for a traceback: ``anthropic/claude-x #2: 529 ProviderUnavailableError after 0.41 s``."""
        status = getattr(self.error, "status_code", None)
        what = type(self.error).__name__ if self.error else self.outcome
        what = f"{status} {what}" if status else what
        return f"{self.provider}/{self.model} #{self.number}: {what} after {self.seconds:.2f} s"


@dataclass(frozen=True, slots=True, kw_only=True)
class Response(Generic[T]):
    """What all answers share. The repr leaves out ``content`` and ``raw``: answers do not belong in logs."""

    content: T = field(repr=False)
    provider: str
    """The provider of the target that served."""
    model: str
    """The model of the target that served, as it was configured."""
    usage: Usage
    cost: float | None
    """US dollars for this answer, by LiteLLM's price list; None (never 0) where it has no price."""
    total_cost: float | None
    """``cost`` and that of the answers that were paid for and rejected; None if one of them has no price."""
    latency: float
    """Seconds from call to answer: all targets, retries and waits."""
    finish_reason: str | None
    """"stop", "length", "tool_calls" …, as LiteLLM reports it."""
    attempts: tuple[Attempt, ...]
    failed_over: bool
    """True if another target than the first one served."""
    raw: Any = field(repr=False)
    """LiteLLM's own ``ModelResponse``: tool calls, log probabilities, everything else."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LLMResponse(Response[str]):
    """A text answer; ``content`` is "" where the model answered with tool calls (they are in ``raw``)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LLMJSONResponse(Response[dict[str, Any] | list[Any]]):
    """A JSON answer; ``content`` is the decoded object or array."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LLMStructuredResponse(Response[T], Generic[T]):
    """A validated answer; ``content`` is an instance of the ``response_model`` that was asked for."""
