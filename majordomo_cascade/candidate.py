"""One target of a cascade, and the response that its answer makes."""

import math
from typing import TypeVar

from .failover import Breaker, Peers, RunningAttempt, TargetHealth, Turn
from .gateway import Completion, TargetClient
from .options import MODES, CircuitBreaker, Mode
from .responses import Attempt, LLMResponse

T = TypeVar("T")


class Candidate:
    """A target's client, its breaker, and the modes in which it is asked for JSON, surest first."""

    __slots__ = ("breaker", "client", "model", "modes", "name", "provider", "timeout")

    def __init__(
        self, client: TargetClient, breaker: CircuitBreaker | None, peers: Peers | None = None
    ) -> None:
        self.client = client
        self.breaker = Breaker(breaker, peers)
        self.modes: list[Mode] = []
        self._reset_modes()
        self.provider = client.target.provider
        self.model = client.target.model
        self.name = client.target.name
        self.timeout = client.timeout

    def reset(self) -> None:
        """Forget how the target did."""
        self.breaker.reset()
        self._reset_modes()

    def _reset_modes(self) -> None:
        self.modes[:] = MODES[MODES.index(self.client.surest_mode) :]  # other cascades share it

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
            self.name,
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
        target=turn.target.name,
        provider=turn.target.provider,
        model=turn.target.model,
        usage=completion.usage,
        cost=completion.cost,
        total_cost=total_cost(attempts),
        latency=call.elapsed(),
        finish_reason=completion.finish_reason,
        attempts=attempts,
        failed_over=turn.target is not call.first,
        short_circuited=call.short_circuited,
        raw=completion.raw,
        tool_calls=completion.tool_calls,
    )


def total_cost(attempts: tuple[Attempt, ...]) -> float | None:
    """Add up the cost of the answers that came, in US dollars; None if one has no price."""
    costs = []
    for attempt in attempts:
        if attempt.outcome == "ok" or (attempt.usage and attempt.usage.total_tokens):
            if attempt.cost is None:
                return None
            costs.append(attempt.cost)
    return math.fsum(costs)
