"""Who is cooling down: one circuit breaker a target. Pure: time is handed in."""

from __future__ import annotations

import weakref
from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import Field

from .errors import (
    ContextWindowExceededError,
    ProviderError,
    ResponseError,
    UnsupportedRequestError,
)
from .settings import Settings

State = Literal["closed", "open", "half_open"]

#: What the request itself caused: it tells nothing about the target's health.
NEUTRAL = (ContextWindowExceededError, UnsupportedRequestError)

#: Seconds. A longer Retry-After is a mistake, or of no use: nobody would ask the target again.
LONGEST_RETRY_AFTER = 3600.0


class CircuitBreaker(Settings):
    """When a target that fails is asked last instead of in its turn. Times are seconds.

    The pattern is Michael Nygard's ("Release It!", 2007); what differs is that nobody is ever skipped.
    """

    failures: Annotated[int, Field(ge=1)] = 3
    """Calls in a row that the target could not serve, retries included, until it is moved to the end of the order."""
    cooldown: Annotated[float, Field(gt=0)] = 10.0
    """How long, the first time; then one call asks it in its turn again. It doubles with each that fails."""
    max_cooldown: Annotated[float, Field(gt=0)] = 30.0
    """The longest cooldown; only a Retry-After of the target's own can be longer, up to an hour."""


@dataclass(frozen=True, slots=True)
class TargetHealth:
    """How a target is doing."""

    provider: str
    model: str
    state: State
    """"closed" is well, "open" is cooling down and asked last, "half_open" is due to be asked by one call."""
    failures: int
    """Calls in a row that it could not serve."""
    cooldown: float
    """Seconds until one call asks it in its turn again, 0.0 if it is not open."""
    structured_output: Literal["json_schema", "json_mode", "prompt"]
    """How it is asked for JSON of a schema: as it can do by the word of the caller or LiteLLM, or, where it has refused
    that or brought none, one rung lower."""


@dataclass(frozen=True, slots=True, weakref_slot=True)
class Pass:
    """A call's leave to ask a target, handed back with what came of it."""

    epoch: int
    is_probe: bool


class Breaker:
    """One target's circuit breaker; without settings it never opens.

    Every opening and closing begins a new epoch: what a call of an earlier one reports is old news.
    """

    __slots__ = ("_cooldown", "_epoch", "_failures", "_open_until", "_probe", "_settings")

    def __init__(self, settings: CircuitBreaker | None) -> None:
        self._settings = settings
        self._cooldown = 0.0
        self._epoch = 0
        self._failures = 0
        self._open_until: float | None = None
        self._probe: weakref.ref[Pass] | None = None  # weak: a stream may be dropped, and never report

    @property
    def is_open(self) -> bool:
        """Whether the target is asked last, or due to be probed."""
        return self._open_until is not None

    @property
    def failures(self) -> int:
        """Calls in a row that the target could not serve."""
        return self._failures

    def cooldown(self, now: float) -> float:
        """Seconds until the target is due to be probed, 0.0 if it is not open."""
        return max(0.0, (self._open_until or now) - now)

    def state(self, now: float) -> State:
        """How the target is."""
        return "closed" if self._open_until is None else "open" if self.cooldown(now) else "half_open"

    def takes_turns(self, now: float) -> bool:
        """Whether the target is asked in its turn: it is well, or it is due and nobody is probing it yet."""
        return self._open_until is None or (now >= self._open_until and not (self._probe and self._probe()))

    def enter(self, now: float) -> Pass:
        """Begin to ask; the first call after the cooldown is the probe."""
        given = Pass(self._epoch, is_probe=self._open_until is not None and self.takes_turns(now))
        if given.is_probe:
            self._probe = weakref.ref(given)
        return given

    def leave(self, given: Pass, error: BaseException | None, now: float) -> None:
        """Hand in what came of asking: an answer (None), or the error that kept the call from being served."""
        if self._probe and self._probe() is given:
            self._probe = None
        if given.epoch != self._epoch:
            return
        if error is None or isinstance(error, ResponseError):  # an answer came
            self._close()
        elif isinstance(error, ProviderError) and not isinstance(error, NEUTRAL):
            self._fail(error, now, is_probe=given.is_probe)

    def _close(self) -> None:
        self._failures = 0
        self._cooldown = 0.0
        if self._open_until is not None:
            self._open_until = None
            self._begin_epoch()

    def _fail(self, error: ProviderError, now: float, *, is_probe: bool) -> None:
        self._failures += 1
        if self._settings is None or self._failures < self._settings.failures:
            return
        if self._open_until is None or is_probe:
            longest = max(self._settings.cooldown, self._settings.max_cooldown)
            self._cooldown = min(self._cooldown * 2, longest) or self._settings.cooldown
            self._open_until = now + self._cooldown
            self._begin_epoch()
        self._open_until = max(self._open_until, now + min(error.retry_after or 0.0, LONGEST_RETRY_AFTER))

    def _begin_epoch(self) -> None:
        self._epoch += 1
        self._probe = None
