"""One target's turn in a call.

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
import math
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Generic, Self, TypeVar

from ..errors import DeadlineExceededError, MajordomoError, ProviderError, ProviderTimeoutError
from ..options import NOT_GIVEN
from ..responses import Attempt, Outcome, Usage
from .call import C, Call, logger
from .health import Verdict, verdict_on
from .retry import wait_before_retry

T = TypeVar("T")


class Turn(Generic[C]):
    """The attempts of one call at the next of its targets."""

    def __init__(self, call: Call[C]) -> None:
        self.call = call
        self.target = call.following()
        self.short_circuited = call.pass_by(self.target)
        """The names of the targets before it whose breaker is open."""
        self.number = 0
        """Attempts that have begun."""
        self.tries = 0
        """Attempts that failed and were followed by a retry."""
        self.waited = 0.0
        """Seconds slept before this attempt."""
        self.last: Attempt | None = None
        """The attempt that ended last."""
        self.open_attempt: RunningAttempt | None = None
        """A stream's attempt, which goes on when the asker has returned."""
        call.left.remove(self.target)
        self._is_last = not call.left
        self._enter()

    @property
    def timeout(self) -> float | None:
        """Seconds for one attempt: the call's, or else the target's."""
        limit = self.call.limits.timeout
        return self.target.timeout if limit is NOT_GIVEN else limit

    async def take(self, ask: Ask[C, T]) -> T:
        """Return what ``ask`` returns, and tell the target's breaker how it went."""
        try:
            answer = await ask(self)
        except BaseException as error:
            self.leave(error)
            raise
        if self.open_attempt is None:
            self.leave(None)
        elif self._pass.is_probe:  # it is back; how the stream goes on is another matter
            self.leave(None)
            self._enter()
        return answer

    def attempt(self) -> RunningAttempt:
        """Begin an attempt; raise DeadlineExceededError if no time is left for it."""
        call = self.call
        if call.remaining() <= 0:
            raise self.out_of_time()
        self.number += 1
        timeout = self.timeout
        first = call.limits.first_token_timeout if call.is_stream else None
        if first is not None and (timeout is None or first < timeout):
            return RunningAttempt(self, first, "first_token_timeout")
        return RunningAttempt(self, timeout, "timeout")

    async def back_off(self, error: MajordomoError) -> None:
        """Wait until the target is asked once more after an error.

        Raises:
            MajordomoError: ``error``, if it is not asked again.
        """
        rules = self.call.rules
        wait = wait_before_retry(rules.retry, error, self.tries + 1, is_last=self._is_last)
        is_brief_probe = self._pass.is_probe and not self._is_last
        if wait is None or is_brief_probe or wait >= self.call.remaining():
            raise error
        if self.call.is_mock:
            wait = 0.0
        self.tries += 1
        self.waited = wait
        if wait:
            await rules.clock.sleep(wait)

    def leave(self, error: BaseException | None) -> None:
        """Tell the breaker how the attempts ended: with an answer (None), or an error."""
        own = self.call.has_own_credentials
        verdict = verdict_on(error, self.call.rules.moves_on, own_credentials=own)
        was_asked_once = 0 < self.number <= self.tries + 1  # not in lower modes, or for corrections
        if isinstance(error, DeadlineExceededError) and not was_asked_once:
            verdict = Verdict.UNKNOWN
        self.judge(verdict, getattr(error, "retry_after", None) or 0.0)

    def judge(self, verdict: Verdict, retry_after: float = 0.0) -> None:
        """Hand a verdict to the breaker; the first one counts."""
        name = self.target.name
        breaker = self.target.breaker
        now = self.call.rules.clock.now()
        before = breaker.state(now)
        breaker.leave(self._pass, verdict, now, retry_after)
        after = breaker.state(now)
        if before == "closed" and after == "open":
            cooldown = breaker.cooldown(now)
            logger.warning("%s is asked last for %g s: its breaker opened", name, cooldown)
        elif before != "closed" and after == "closed":
            logger.info("%s is asked in its turn again: its breaker closed", name)

    def out_of_time(self) -> DeadlineExceededError:
        target = self.target
        where = "was being asked" if self.number else "would have been next"
        spent = f"the deadline of {self.call.limits.deadline:g} s is spent"
        message = f"{spent}; {target.name} {where}"
        return DeadlineExceededError(message, provider=target.provider, model=target.model)

    async def close_stream(self) -> None:
        """Close a stream that is not wanted any more, and put its attempt on the trail."""
        attempt = self.open_attempt
        if attempt is not None:
            await attempt.close()
            attempt.end(asyncio.CancelledError())

    def _enter(self) -> None:
        self._pass = self.target.breaker.enter(self.call.rules.clock.now())


#: Asks one target, by as many attempts as it takes.
Ask = Callable[[Turn[C]], Coroutine[Any, Any, T]]


class TimeLimit:
    """A scope for the limit called ``name`` and the deadline; raises if one of them is spent."""

    __slots__ = ("_limit", "_name", "_scope", "_turn")

    def __init__(self, turn: Turn[Any], limit: float | None, name: str) -> None:
        remaining = turn.call.remaining()
        if limit is None or remaining <= limit:
            limit = None if remaining == math.inf else remaining
            name = "deadline"
        self._turn = turn
        self._limit = limit
        self._name = name
        self._scope = turn.call.rules.clock.timeout(limit)

    async def __aenter__(self) -> Self:
        await self._scope.__aenter__()
        return self

    async def __aexit__(self, kind: object, error: BaseException | None, traceback: object) -> None:
        try:
            await self._scope.__aexit__(type(error) if error else None, error, None)
            if not (isinstance(error, Exception) and self._scope.expired()):
                return
        except TimeoutError:
            pass
        if self._name == "deadline":
            raise self._turn.out_of_time() from None
        target = self._turn.target
        raise ProviderTimeoutError(
            f"{target.name}: no answer within its {self._name} of {self._limit:g} s",
            provider=target.provider,
            model=target.model,
        ) from None


class RunningAttempt(TimeLimit):
    """One request within its time limit; when it ends, it is on the call's trail."""

    __slots__ = ("_began", "_cost", "_task", "_usage", "close")

    def __init__(self, turn: Turn[Any], limit: float | None, name: str) -> None:
        super().__init__(turn, limit, name)
        self._began = turn.call.elapsed()
        self._usage: Usage | None = None
        self._cost: float | None = None

    async def __aenter__(self) -> Self:
        self._task = asyncio.current_task()
        self._turn.call.rules.asking.add(self._task)
        return await super().__aenter__()

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
            turn.waited,
            self._usage,
            self._cost,
            turn.target.name,
            turn.short_circuited,
            turn.call.id,
        )

    def end(self, error: BaseException | None = None) -> None:
        outcome: Outcome = "failed"
        if error is None:
            outcome = "ok"
        elif not isinstance(error, Exception):
            outcome = "cancelled"
            error = None
        elif self._usage and not isinstance(error, ProviderError):
            outcome = "rejected"
        turn = self._turn
        turn.open_attempt = None
        turn.last = self.record(outcome, error)
        turn.waited = 0.0
        turn.call.trail.add(turn.last)

    async def __aexit__(self, kind: object, error: BaseException | None, traceback: object) -> None:
        self._turn.call.rules.asking.discard(self._task)
        try:
            await super().__aexit__(kind, error, traceback)
        except ProviderError as late:
            self.end(late)
            raise
        if error is not None or self._turn.open_attempt is not self:
            self.end(error)
