"""One call's way down its targets: who is left, what was tried, how much time is left."""

import asyncio
import logging
import math
import os
from collections.abc import Callable, Sequence
from dataclasses import InitVar, dataclass, field
from operator import attrgetter
from typing import Any, Generic, Protocol, TypeVar

from ..errors import (
    ConfigurationError,
    DeadlineExceededError,
    MajordomoError,
    ResponseRejectedError,
)
from ..options import NOT_GIVEN, NotGiven, RetryPolicy
from ..responses import Attempt
from .clock import Clock
from .health import Breaker

logger = logging.getLogger("majordomo_cascade")


class Candidate(Protocol):
    """A target, as far as the loop needs to know it."""

    provider: str
    model: str
    name: str
    """Provider and model, as ``openai/gpt-5.5``."""
    timeout: float | None
    breaker: Breaker


C = TypeVar("C", bound=Candidate)


@dataclass(frozen=True, slots=True)
class Limits:
    """The time limits of a call in seconds; None for no limit."""

    timeout: float | NotGiven | None = NOT_GIVEN
    """For one attempt; left out, each target's own."""
    first_token_timeout: float | None = None
    stall_timeout: float | None = None
    deadline: float | None = None
    hedge_after: float | None = None


@dataclass(frozen=True, slots=True)
class Rules:
    """The rules that all calls of a cascade share."""

    retry: RetryPolicy
    moves_on: Callable[[MajordomoError], bool]
    """Whether an error moves a call on to the next target."""
    on_attempt: Callable[[Attempt], object] | None
    clock: Clock
    asking: set[asyncio.Task[Any] | None] = field(default_factory=set)
    """The tasks that are inside a vendor's call."""

    def check_entry(self) -> None:
        """Raise ConfigurationError in another loop than asyncio's, and in a vendor's call."""
        try:
            task = asyncio.current_task()
        except RuntimeError:
            raise ConfigurationError(
                "majordomo_cascade needs asyncio: LiteLLM runs on no other event loop, such as "
                "trio's; ask in asyncio.run(…), in a thread of its own if need be"
            ) from None
        if task in self.asking:
            raise ConfigurationError(
                "this cascade was asked from inside its own call of litellm.acompletion, which "
                "would go on without end: don't patch litellm.acompletion with it, but give it to "
                "LiteLLM as a model with cascade.register(name)"
            )


@dataclass(slots=True)
class Trail:
    """The attempts of one call."""

    on_attempt: Callable[[Attempt], object] | None
    _ended: list[Attempt] = field(default_factory=list)

    @property
    def attempts(self) -> tuple[Attempt, ...]:
        """The attempts, in the order in which they began."""
        return tuple(sorted(self._ended, key=attrgetter("started")))

    def add(self, attempt: Attempt) -> None:
        """Keep an attempt that has ended, and tell of it."""
        self._ended.append(attempt)
        if attempt.outcome != "ok":
            # As text: a handler that shows arguments would show the vendor's words.
            logger.info("%s", str(attempt), extra=_log_fields(attempt))
        if self.on_attempt is None:
            return
        try:
            self.on_attempt(attempt)
        except Exception as error:
            error.__cause__ = error.__context__ = None  # these may quote keys and prompts
            logger.exception("on_attempt raised; the call goes on")

    def write_into(self, error: MajordomoError, *, all_failed: bool = False) -> None:
        """Let the error tell the whole story in its notes (PEP 678), and its text if all failed."""
        error.attempts = self.attempts
        for attempt in error.attempts:
            error.add_note(_note(attempt))
        reasons = {attempt.target: _reason(attempt) for attempt in error.attempts}
        if all_failed and len(reasons) > 1:
            told = "; ".join(f"{target}: {reason}" for target, reason in reasons.items())
            error.args = (f"all {len(reasons)} targets failed: {told}",)


@dataclass(eq=False)
class Call(Generic[C]):
    """The targets that are left, the trail, and the deadline of one call."""

    rules: Rules
    targets: InitVar[Sequence[C]]
    limits: Limits
    is_stream: bool = False
    has_own_credentials: bool = False
    is_mock: bool = False
    """Whether LiteLLM only pretends to ask, so that there is nothing to wait for."""

    def __post_init__(self, targets: Sequence[C]) -> None:
        self.id = os.urandom(8).hex()
        self.left = list(targets)
        self.first = targets[0]
        self.short_circuited: tuple[str, ...] = ()
        """The names of the targets that it passed by, because their breaker is open."""
        self.trail = Trail(self.rules.on_attempt)
        self._started = self.rules.clock.now()

    def elapsed(self) -> float:
        return self.rules.clock.now() - self._started

    def remaining(self) -> float:
        deadline = self.limits.deadline
        return math.inf if deadline is None else deadline - self.elapsed()

    def following(self) -> C:
        """Return the next target: the first that is asked in its turn; if none is, the first."""
        now = self.rules.clock.now()
        well = (target for target in self.left if target.breaker.takes_turns(now))
        return next(well, self.left[0])

    def pass_by(self, target: C) -> tuple[str, ...]:
        """Return the names of the targets that would have come before this one; tell of them."""
        if target is self.left[0]:
            return ()
        passed = self.left[: self.left.index(target)]
        for each in passed:
            if each.name not in self.short_circuited:
                self.short_circuited += (each.name,)
                self._log_detour(each, target)
        return tuple(each.name for each in passed)

    def ends_with(self, error: MajordomoError) -> bool:
        """Return whether no other target is asked after this error."""
        if isinstance(error, DeadlineExceededError):
            return True
        return not (isinstance(error, ResponseRejectedError) or self.rules.moves_on(error))

    def move_on(self, last: Attempt | None, error: MajordomoError) -> None:
        """Go on to the next target after an error that ended the attempt ``last``.

        Raises:
            MajordomoError: ``error``, with the trail, if it ends the call or no target is left.
        """
        is_end = self.ends_with(error)
        if is_end or not self.left:
            self.trail.write_into(error, all_failed=not is_end)
            raise error
        self.log_failover(last)

    def _log_detour(self, passed: C, target: C) -> None:
        """Tell that a breaker makes calls begin elsewhere: once a cooldown as a warning."""
        level = logging.WARNING if passed.breaker.is_first_detour() else logging.INFO
        fields = {"call_id": self.id, "target": passed.name, "next_target": target.name}
        text = "%s is asked instead of %s, whose breaker is open"
        logger.log(level, text, target.name, passed.name, extra=fields)

    def log_failover(self, last: Attempt | None) -> None:
        if last is None:  # nothing was sent
            return
        following = self.following()
        fields = _log_fields(last)
        fields |= {
            "next_target": following.name,
            "next_provider": following.provider,
            "next_model": following.model,
        }
        logger.warning("%s; failing over to %s", str(last), following.name, extra=fields)


def _log_fields(attempt: Attempt) -> dict[str, object]:
    """Return an attempt as the ``extra`` fields of a log record, without anybody's words."""
    return {
        "call_id": attempt.call_id,
        "target": attempt.target,
        "provider": attempt.provider,
        "model": attempt.model,
        "attempt": attempt.number,
        "outcome": attempt.outcome,
        "error_type": type(attempt.error).__name__,
        "status_code": getattr(attempt.error, "status_code", None),
        "seconds": attempt.seconds,
    }


def _note(attempt: Attempt) -> str:
    """Tell an attempt in a line, with our own error: a foreign one may quote anything."""
    reason = _reason(attempt) if isinstance(attempt.error, MajordomoError) else ""
    return f"{attempt}: {reason}".removesuffix(": ")


def _reason(attempt: Attempt) -> str:
    """Return our error's message, or else the outcome."""
    if isinstance(attempt.error, MajordomoError):
        return attempt.error.message.removeprefix(f"{attempt.target}: ")
    return attempt.outcome
