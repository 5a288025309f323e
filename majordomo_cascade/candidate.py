"""One target of a cascade, and the response that its answer makes."""

import math
from typing import TypeVar

from .failover import Breaker, RunningAttempt, TargetHealth, Turn
from .gateway import Completion, TargetClient
from .options import MODES, CircuitBreaker
from .responses import Attempt, LLMResponse

T = TypeVar("T")


class Candidate:
    """A target's client, its breaker, and the modes in which it is asked for JSON, surest first."""

    __slots__ = ("breaker", "client", "model", "modes", "name", "provider", "timeout")

    def __init__(self, client: TargetClient, breaker: CircuitBreaker | None) -> None:
        self.client = client
        self.breaker = Breaker(breaker)
        self.modes = list(MODES[MODES.index(client.surest_mode) :])
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
            self.modes[0],
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
