"""One circuit breaker a target: who is asked in turn, and who last. Time is handed in."""

from __future__ import annotations

import weakref
from dataclasses import dataclass
from enum import Enum
from typing import Literal

from ..errors import (
    AuthenticationError,
    ContextWindowExceededError,
    PermissionDeniedError,
    ProviderError,
    QuotaExceededError,
    RateLimitError,
    ResponseError,
    UnsupportedRequestError,
)
from ..options import CircuitBreaker, Mode

State = Literal["closed", "open", "half_open"]

#: Errors that the request itself caused: they tell nothing about the target's health.
NEUTRAL = (ContextWindowExceededError, UnsupportedRequestError)
#: Errors that the credentials may have caused.
OF_CREDENTIALS = (AuthenticationError, PermissionDeniedError, QuotaExceededError, RateLimitError)

#: Seconds. A longer Retry-After is a mistake, or of no use: nobody would ask the target again.
LONGEST_RETRY_AFTER = 3600.0


class Verdict(Enum):
    """The word of a call's attempts on a target's health."""

    SERVED = "served"
    FAILED = "failed"
    UNKNOWN = "unknown"


def verdict_on(error: BaseException | None, *, own_credentials: bool = False) -> Verdict:
    """Judge a target by the error that ended a call's attempts at it; None is an answer.

    ``own_credentials`` says that the call brought its own: what these caused is not the target's.
    """
    if error is None or isinstance(error, ResponseError):  # an answer came
        return Verdict.SERVED
    if not isinstance(error, ProviderError) or isinstance(error, NEUTRAL):
        return Verdict.UNKNOWN
    if own_credentials and isinstance(error, OF_CREDENTIALS):
        return Verdict.UNKNOWN
    return Verdict.FAILED


@dataclass(frozen=True, slots=True)
class TargetHealth:
    """The health of a target."""

    provider: str
    model: str
    state: State
    """"closed" is well, "open" cools down and is asked last, "half_open" is due for one probe."""
    failures: int
    """Failed calls in a row."""
    cooldown: float
    """Seconds until one call asks the target in its turn again, 0.0 if it is not open."""
    structured_output: Mode
    """How it is asked for JSON: as the Target or LiteLLM says, or lower if it refused that."""


@dataclass(frozen=True, slots=True, weakref_slot=True)
class Pass:
    """A call's leave to ask a target, handed back with a verdict."""

    epoch: int
    is_probe: bool


class Breaker:
    """The circuit breaker of one target; without settings it never opens.

    Every opening and closing begins a new epoch: verdicts from an earlier one are old news.
    """

    __slots__ = ("_cooldown", "_epoch", "_failures", "_open_until", "_probe", "_settings")

    def __init__(self, settings: CircuitBreaker | None) -> None:
        self._settings = settings
        self._cooldown = 0.0
        self._epoch = 0
        self._failures = 0
        self._open_until: float | None = None
        # Weak, because a stream may be dropped and never report.
        self._probe: weakref.ref[Pass] | None = None

    @property
    def is_open(self) -> bool:
        """True if the target is asked last, or due for a probe."""
        return self._open_until is not None

    @property
    def failures(self) -> int:
        return self._failures

    def cooldown(self, now: float) -> float:
        return max(0.0, (self._open_until or now) - now)

    def state(self, now: float) -> State:
        if self._open_until is None:
            return "closed"
        return "open" if self.cooldown(now) else "half_open"

    def takes_turns(self, now: float) -> bool:
        """Return whether the target is asked in its turn: it is well, or due and not yet probed."""
        if self._open_until is None:
            return True
        return now >= self._open_until and not (self._probe and self._probe())

    def enter(self, now: float) -> Pass:
        """Begin to ask the target; the first call after the cooldown is the probe."""
        is_probe = self._open_until is not None and self.takes_turns(now)
        given = Pass(self._epoch, is_probe)
        if is_probe:
            self._probe = weakref.ref(given)
        return given

    def leave(self, given: Pass, verdict: Verdict, now: float, retry_after: float = 0.0) -> None:
        if self._probe and self._probe() is given:
            self._probe = None
        if given.epoch != self._epoch:
            return
        if verdict is Verdict.SERVED:
            self._close()
        elif verdict is Verdict.FAILED:
            self._fail(now, retry_after, is_probe=given.is_probe)

    def _close(self) -> None:
        self._failures = 0
        self._cooldown = 0.0
        if self._open_until is not None:
            self._open_until = None
            self._begin_epoch()

    def _fail(self, now: float, retry_after: float, *, is_probe: bool) -> None:
        self._failures += 1
        if self._settings is None or self._failures < self._settings.failures:
            return
        if self._open_until is None or is_probe:
            self._cooldown = self._next_cooldown(self._settings)
            self._open_until = now + self._cooldown
            self._begin_epoch()
        self._open_until = max(self._open_until, now + min(retry_after, LONGEST_RETRY_AFTER))

    def _next_cooldown(self, settings: CircuitBreaker) -> float:
        """Return the first cooldown, or twice the last one."""
        if self._cooldown == 0.0:
            return settings.cooldown
        return min(self._cooldown * 2, max(settings.cooldown, settings.max_cooldown))

    def _begin_epoch(self) -> None:
        self._epoch += 1
        self._probe = None
