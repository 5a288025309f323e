"""One target of a cascade, and the response that its answer makes."""

from __future__ import annotations

import math
from collections.abc import Collection
from typing import TypeVar, get_args

from .failover import Breaker, RunningAttempt, TargetHealth, Turn
from .gateway import Completion, TargetClient
from .options import Mode
from .responses import Attempt, LLMResponse

T = TypeVar("T")

MODES: tuple[Mode, ...] = get_args(Mode)


class Ladder:
    """The modes in which a target may be asked for JSON; those that it refused are left."""

    __slots__ = ("_modes",)

    def __init__(self, surest: Mode) -> None:
        self._modes = list(MODES[MODES.index(surest) :])

    @property
    def surest(self) -> Mode:
        """The best mode that is left."""
        return self._modes[0]

    def modes(self, among: Collection[Mode]) -> list[Mode]:
        """Return those of some modes that are left, the best one first."""
        return [mode for mode in self._modes if mode in among]

    def leave(self, mode: Mode) -> bool:
        """Do without a mode from now on; False if that is so already. "prompt" is never left."""
        if mode not in self._modes[:-1]:
            return False
        self._modes.remove(mode)
        return True


class Candidate:
    """A target as the loop sees it: its client, its breaker, and its memory of JSON modes."""

    __slots__ = ("breaker", "client", "ladder", "model", "name", "provider", "timeout")

    def __init__(self, client: TargetClient, breaker: Breaker, ladder: Ladder) -> None:
        self.client = client
        self.breaker = breaker
        self.ladder = ladder
        self.provider = client.provider
        self.model = client.model
        self.name = client.name
        self.timeout = client.timeout

    def health(self, now: float) -> TargetHealth:
        """Return how the target is doing."""
        breaker = self.breaker
        return TargetHealth(
            self.provider,
            self.model,
            breaker.state(now),
            breaker.failures,
            breaker.cooldown(now),
            self.ladder.surest,
        )


def respond(
    turn: Turn[Candidate],
    content: T,
    completion: Completion,
    pending: RunningAttempt | None = None,
) -> LLMResponse[T]:
    """Return the response of a call; ``pending`` is an attempt that is not yet on the trail."""
    call = turn.call
    attempts = call.trail.attempts
    if pending is not None:
        attempts = (*attempts, pending.record("ok"))
    return LLMResponse(
        content=content,
        provider=turn.target.provider,
        model=turn.target.model,
        usage=completion.usage,
        cost=completion.cost,
        total_cost=_total_cost(attempts),
        latency=call.elapsed(),
        finish_reason=completion.finish_reason,
        attempts=attempts,
        failed_over=turn.target is not call.first,
        raw=completion.raw,
        tool_calls=completion.tool_calls,
    )


def _total_cost(attempts: tuple[Attempt, ...]) -> float | None:
    """Add up the cost of the answers that came, in US dollars; None if one has no price."""
    costs = []
    for attempt in attempts:
        if attempt.outcome == "ok" or (attempt.usage and attempt.usage.total_tokens):
            if attempt.cost is None:
                return None
            costs.append(attempt.cost)
    return math.fsum(costs)
