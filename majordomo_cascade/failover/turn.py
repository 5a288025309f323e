"""One target's turn in a call: its attempts, one after the other, and what they say of its health.

The asker loops, the turn hands out attempts::

    while True:
        try:
            async with turn.attempt() as attempt:
                completion = await turn.target.client.complete(messages, params)
                attempt.used(completion.usage, completion.cost)
                return completion.text()
        except MajordomoError as error:
            await turn.back_off(error)
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Generic, Self, TypeVar

from ..errors import (
    DeadlineExceededError,
    MajordomoError,
    ProviderError,
    ProviderTimeoutError,
)
from ..options import NOT_GIVEN
from ..responses import Attempt, Outcome, Usage
from .call import C, Call
from .health import Pass, Verdict, verdict_on
from .retry import wait_before_retry

T = TypeVar("T")

logger = logging.getLogger("majordomo_cascade")


class Turn(Generic[C]):
    """The attempts of one call at one target."""

    __slots__ = (
        "_is_last",
        "_is_probe",
        "_pass",
        "call",
        "last",
        "number",
        "open_attempt",
        "target",
        "tries",
        "waited",
    )

    def __init__(self, call: Call[C], target: C) -> None:
        self.call = call
        self.target = target
        self.number = 0
        """Attempts that have begun."""
        self.tries = 0
        """Attempts that failed and were followed by a retry."""
        self.waited = 0.0
        """Seconds slept since the last attempt."""
        self.last: Attempt | None = None
        """The attempt that ended last."""
        self.open_attempt: RunningAttempt | None = None
        """A stream's attempt, which goes on when the asker has returned."""
        self._pass: Pass | None = target.breaker.enter(call.rules.clock.now())
        self._is_probe = self._pass.is_probe
        self._is_last = not call.left

    def attempt(self) -> RunningAttempt:
        return RunningAttempt(self)

    async def take(self, ask: Ask[C, T]) -> T:
        """Return what ``ask`` returns, and tell the target's breaker how it went."""
        try:
            answer = await ask(self)
        except BaseException as error:
            self.leave(error)
            raise
        if self.open_attempt is None:
            self.leave(None)
        elif self._is_probe:  # it is back; how the stream goes on is another matter
            self.leave(None)
            self._pass = self.target.breaker.enter(self.call.rules.clock.now())
        return answer

    async def back_off(self, error: MajordomoError) -> None:
        """Wait until the target is asked once more after an error.

        Raises:
            MajordomoError: ``error``, if it is not asked again.
        """
        rules = self.call.rules
        wait = None
        if self._is_last or not self._is_probe:
            tries = self.tries + 1
            wait = wait_before_retry(rules.retry, error, tries, is_last=self._is_last)
        if wait is None or wait >= self.call.remaining():
            raise error
        self.tries += 1
        self.waited = wait
        if wait:
            await rules.clock.sleep(wait)

    def leave(self, error: BaseException | None) -> None:
        """Tell the breaker, once, how the attempts ended: with an answer (None), or an error."""
        was_asked_again = self.number > self.tries + 1  # in a lower mode, or for a correction
        if was_asked_again and isinstance(error, DeadlineExceededError):
            self.judge(Verdict.UNKNOWN)  # the time went into asking more than once
            return
        verdict = verdict_on(error, own_credentials=self.call.has_own_credentials)
        self.judge(verdict, getattr(error, "retry_after", None) or 0.0)

    def judge(self, verdict: Verdict, retry_after: float = 0.0) -> None:
        """Hand a verdict to the breaker; the first one counts."""
        given, self._pass = self._pass, None
        if given is None:
            return
        breaker = self.target.breaker
        was_open = breaker.is_open
        now = self.call.rules.clock.now()
        breaker.leave(given, verdict, now, retry_after)
        name = self.target.name
        if breaker.is_open and not was_open:
            cooldown = breaker.cooldown(now)
            logger.warning("%s is asked last for %g s: its breaker opened", name, cooldown)
        elif was_open and not breaker.is_open:
            logger.info("%s is asked in its turn again: its breaker closed", name)

    def attempt_limit(self) -> TimeLimit:
        limits = self.call.limits
        timeout = self.target.timeout if limits.timeout is NOT_GIVEN else limits.timeout
        first = limits.first_token_timeout if self.call.is_stream else None
        if first is not None and (timeout is None or first < timeout):
            return TimeLimit(self, first, "first_token_timeout")
        return TimeLimit(self, timeout, "timeout")

    def out_of_time(self) -> DeadlineExceededError:
        target = self.target
        where = "was being asked" if self.number else "would have been next"
        spent = f"the deadline of {self.call.limits.deadline or 0:g} s is spent"
        message = f"{spent}; {target.name} {where}"
        return DeadlineExceededError(message, provider=target.provider, model=target.model)


#: Asks one target, by as many attempts as it takes.
Ask = Callable[[Turn[C]], Coroutine[Any, Any, T]]


class TimeLimit:
    """A scope for the limit called ``name`` and the deadline; raises if one of them is spent."""

    __slots__ = ("_is_deadline", "_name", "_scope", "_seconds", "_turn")

    def __init__(self, turn: Turn[Any], limit: float | None, name: str) -> None:
        remaining = turn.call.remaining()
        self._turn = turn
        self._name = name
        self._is_deadline = limit is None or remaining <= limit
        self._seconds = remaining if limit is None else min(limit, remaining)
        seconds = None if self._seconds == math.inf else self._seconds
        self._scope = turn.call.rules.clock.timeout(seconds)

    async def __aenter__(self) -> None:
        await self._scope.__aenter__()

    async def __aexit__(self, kind: object, error: BaseException | None, traceback: object) -> None:
        try:
            await self._scope.__aexit__(type(error) if error else None, error, None)
        except TimeoutError:
            pass
        else:
            if not isinstance(error, Exception) or not self._scope.expired():
                return
        if self._is_deadline:
            raise self._turn.out_of_time() from None
        target = self._turn.target
        raise ProviderTimeoutError(
            f"{target.name}: no answer within its {self._name} of {self._seconds:g} s",
            provider=target.provider,
            model=target.model,
        ) from None


class RunningAttempt:
    """One request within its time limit; when it ends, it is on the call's trail."""

    __slots__ = ("_began", "_cost", "_limit", "_turn", "_usage", "_waited", "close")

    def __init__(self, turn: Turn[Any]) -> None:
        self._turn = turn
        self._usage: Usage | None = None
        self._cost: float | None = None
        self.close: Callable[[], Awaitable[None]] | None = None
        """Gives up a stream that has begun."""

    def used(self, usage: Usage, cost: float | None) -> None:
        """Note that an answer came, and what it used: tokens, and US dollars."""
        self._usage = usage
        self._cost = cost

    def leave_open(self, close: Callable[[], Awaitable[None]]) -> None:
        """Let the attempt go on until ``end``: a stream has only begun."""
        self.close = close
        self._turn.open_attempt = self

    def record(self, outcome: Outcome, error: Exception | None = None) -> Attempt:
        """Return the attempt as it would be on the trail if it ended now."""
        turn = self._turn
        return Attempt(
            turn.target.provider,
            turn.target.model,
            turn.number,
            outcome,
            error,
            self._began,
            turn.call.elapsed() - self._began,
            self._waited,
            self._usage,
            self._cost,
        )

    def end(self, error: BaseException | None = None) -> None:
        if error is None:
            attempt = self.record("ok")
        elif not isinstance(error, Exception):
            attempt = self.record("cancelled")
        elif self._usage is not None and not isinstance(error, ProviderError):
            attempt = self.record("rejected", error)
        else:
            attempt = self.record("failed", error)
        self._turn.open_attempt = None
        self._turn.last = attempt
        self._turn.call.trail.add(attempt)

    async def give_up(self) -> None:
        """Close a stream that is not wanted any more, and put the attempt on the trail."""
        if self.close is not None:
            await self.close()
        self.end(asyncio.CancelledError())

    async def __aenter__(self) -> Self:
        turn = self._turn
        if turn.call.remaining() <= 0:
            if not turn.number:
                turn.judge(Verdict.UNKNOWN)  # it had no chance to show how it is
            raise turn.out_of_time()
        turn.number += 1
        self._waited, turn.waited = turn.waited, 0.0
        self._began = turn.call.elapsed()
        self._limit = turn.attempt_limit()
        await self._limit.__aenter__()
        return self

    async def __aexit__(self, kind: object, error: BaseException | None, traceback: object) -> None:
        try:
            await self._limit.__aexit__(kind, error, traceback)
        except ProviderError as late:
            self.end(late)
            raise
        if self.close is None or error is not None:
            self.end(error)
