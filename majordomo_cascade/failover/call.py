"""One call's way down its targets: who is left, what was tried, how much time is left."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from ..errors import DeadlineExceededError, MajordomoError, ResponseRejectedError
from ..options import NOT_GIVEN, NotGiven, RetryPolicy
from ..responses import Attempt
from .clock import Clock
from .health import Breaker
from .trail import Trail, log_fields

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


class Call(Generic[C]):
    """The targets that are left, the trail, and the deadline of one call."""

    def __init__(
        self,
        rules: Rules,
        targets: Sequence[C],
        limits: Limits,
        *,
        is_stream: bool = False,
        has_own_credentials: bool = False,
    ) -> None:
        self.rules = rules
        self.limits = limits
        self.is_stream = is_stream
        self.has_own_credentials = has_own_credentials
        self.left = list(targets)
        self.trail = Trail(rules.on_attempt)
        self.first = targets[0]
        self._started = rules.clock.now()

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

    def take_next(self) -> C:
        target = self.following()
        self.left.remove(target)
        return target

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
        if self.ends_with(error) or not self.left:
            self.trail.write_into(error)
            raise error
        self.log_failover(last)

    def log_failover(self, last: Attempt | None) -> None:
        """Log which attempt failed and who is next, without anybody's words."""
        if last is None:  # nothing was sent
            return
        following = self.following()
        fields = log_fields(last)
        fields |= {"next_provider": following.provider, "next_model": following.model}
        logger.warning("%s; failing over to %s", str(last), following.name, extra=fields)
