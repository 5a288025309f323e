"""Answers: the content, who gave it, what it cost, and every attempt on the way."""

from __future__ import annotations

from dataclasses import dataclass, fields
from html import escape
from typing import TYPE_CHECKING, Any, Generic, Literal

from pydantic_core import to_jsonable_python
from typing_extensions import TypeVar  # with a default, which Python has since 3.13

from .redaction import known_keys, redact
from .tables import dollars, html_trail

T = TypeVar("T", default=str)

#: Characters of a content that are shown.
LONGEST_EXCERPT = 200

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
    number: int = 1
    """1-based, per target."""
    outcome: Outcome = "ok"
    """"rejected" is an answer that came, and was paid for, but could not be used."""
    error: Exception | None = None
    started: float = 0.0
    """Seconds after the start of the call."""
    seconds: float = 0.0
    """How long it took."""
    waited: float = 0.0
    """Seconds slept before it."""
    usage: Usage | None = None
    """None if no answer came."""
    cost: float | None = None
    """US dollars; None if no answer came or LiteLLM has no price."""
    target: str = ""
    """The target's name: "provider/model", unless it was given another."""
    short_circuited: tuple[str, ...] = ()
    """The names of the targets that come before it, but are asked last: their breaker is open."""
    call_id: str = ""
    """The same for all attempts of a call, and in its log records."""

    @property
    def result(self) -> str:
        """The status and class of the error, as ``429 RateLimitError``, or else the outcome."""
        if self.error is None:
            return self.outcome
        status = getattr(self.error, "status_code", None)
        kind = type(self.error).__name__
        return f"{status} {kind}" if status else kind

    def __str__(self) -> str:
        """Return ``openai/gpt-5.5 #2: 429 RateLimitError after 0.41 s``."""
        name = self.target or f"{self.provider}/{self.model}"
        return f"{name} #{self.number}: {self.result} after {self.seconds:.2f} s"


@dataclass(frozen=True, slots=True, kw_only=True)
class LLMResponse(Generic[T]):
    """An answer. ``content`` is text, decoded JSON, or a value of the type that was asked for.

    ``provider`` and ``model`` are those of the target that served, as it was configured. Text is
    "" if the model answered with tool calls only. For a test, ``LLMResponse(content="x")`` will do.
    """

    content: T
    target: str = ""
    """The name of the target that served."""
    provider: str = ""
    model: str = ""
    usage: Usage = Usage()
    cost: float | None = None
    """US dollars for this answer, by LiteLLM's price list; None, never 0, if it has no price."""
    total_cost: float | None = None
    """``cost`` plus that of paid answers that could not be used; None if one has no price."""
    latency: float = 0.0
    """Seconds from call to answer: all targets, retries and waits."""
    finish_reason: str | None = None
    """"stop", "length", "tool_calls" …, as LiteLLM reports it."""
    attempts: tuple[Attempt, ...] = ()
    failed_over: bool = False
    """True if another target than the first one served."""
    short_circuited: tuple[str, ...] = ()
    """The names of the targets that the call passed by, because their breaker is open."""
    raw: Any = None
    """LiteLLM's own ``ModelResponse``: log probabilities, reasoning, everything else."""
    tool_calls: tuple[Any, ...] = ()
    """LiteLLM's own objects, such as ``call.function.name``."""

    def __repr__(self) -> str:
        """Return the beginning of the content on one line, who served, and the cost."""
        content = redact(str(self.content), known_keys({}), LONGEST_EXCERPT)
        return f"<LLMResponse {content!r} from {self._served()}>"

    def to_dict(self) -> dict[str, Any]:
        """Return all but ``raw``, as ``json.dumps`` takes it; of an error its class and message."""
        attempts = [_values(each) for each in self.attempts]
        for each in attempts:
            if error := each["error"]:
                message = getattr(error, "message", str(error))
                each["error"] = {"type": type(error).__name__, "message": message}
        told: dict[str, Any] = to_jsonable_python(
            {**_values(self), "attempts": attempts}, exclude={"raw"}, fallback=str
        )
        return told

    def _served(self) -> str:
        cost = "unknown cost" if self.total_cost is None else dollars(self.total_cost)
        name = self.target or f"{self.provider}/{self.model}"
        return f"{name}, {self.latency:.2f} s, {cost}"

    def _repr_html_(self) -> str:
        content = f"<pre style='white-space: pre-wrap'>{escape(str(self.content))}</pre>"
        return f"{content}<p>{escape(self._served())}</p>{html_trail(self.attempts)}"


def _values(record: Any) -> dict[str, Any]:
    """Return the fields of a dataclass, and not of those within."""
    return {each.name: getattr(record, each.name) for each in fields(record)}


LLMStructuredResponse = LLMResponse
"""A value of the type that was asked for: ``LLMStructuredResponse[City]``."""

if TYPE_CHECKING:
    LLMJSONResponse = LLMResponse[dict[str, Any] | list[Any]]
else:  # so that isinstance takes it
    LLMJSONResponse = LLMResponse
