"""Who is asked next, when, and for how long: the one loop that every way of asking goes through."""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections import deque
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from types import EllipsisType
from typing import Generic, Protocol, TypeVar

from .errors import DeadlineExceededError, MajordomoError, ProviderError, ProviderTimeoutError
from .gateway import Endpoint
from .responses import Attempt, Outcome, Usage
from .retry import RetryPolicy

T = TypeVar("T")

logger = logging.getLogger("majordomo_cascade")


class Clock(Protocol):
    """Where time comes from; ``majordomo_cascade.testing.ManualClock`` is another."""

    def now(self) -> float:
        """Seconds since some point in the past; never goes back."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Return when the seconds have passed."""

    def timeout(self, seconds: float | None) -> asyncio.Timeout:
        """A scope that is cancelled when the seconds have passed; None for never."""
        ...


class SystemClock:
    """The machine's own time."""

    def now(self) -> float:
        """Seconds on the monotonic clock."""
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        """Sleep on the running event loop."""
        await asyncio.sleep(seconds)

    def timeout(self, seconds: float | None) -> asyncio.Timeout:
        """Asyncio's own."""
        return asyncio.timeout(seconds)


@dataclass(frozen=True, slots=True)
class Answer(Generic[T]):
    """What one attempt gave, and what it used."""

    value: T
    usage: Usage
    cost: float | None


class Rejected(Exception):  # noqa: N818 - a signal to the loop, not an error that users see
    """Raised in an ask: an answer came, and was paid for, but can't be used because of ``error``."""

    def __init__(self, error: MajordomoError, usage: Usage, cost: float | None) -> None:
        super().__init__(error)
        self.error = error
        self.usage = usage
        self.cost = cost


@dataclass(frozen=True, slots=True)
class Rules:
    """What is the same for all calls of a cascade."""

    retry: RetryPolicy
    moves_on: Callable[[MajordomoError], bool]
    """Whether an error moves a call on to the next target."""
    on_attempt: Callable[[Attempt], object] | None
    clock: Clock


@dataclass(frozen=True, slots=True)
class Served(Generic[T]):
    """A call's answer, and who gave it."""

    answer: Answer[T]
    endpoint: Endpoint
    failed_over: bool


class Call:
    """One call's way down its targets: who is left, what was tried, what time is left.

    ``serve`` can be entered again: it goes on with the targets that are left.
    """

    def __init__(
        self,
        rules: Rules,
        endpoints: Iterable[Endpoint],
        *,
        timeout: float | EllipsisType | None,
        deadline: float | None,
    ) -> None:
        self.attempts: list[Attempt] = []
        self._rules = rules
        self._left = deque(endpoints)
        self._first = self._left[0]
        self._timeout = timeout
        self._deadline = deadline
        self._started = rules.clock.now()

    def elapsed(self) -> float:
        """Seconds since the call began."""
        return self._rules.clock.now() - self._started

    async def serve(self, ask: Callable[[Endpoint], Awaitable[Answer[T]]]) -> Served[T]:
        """The first answer that the order allows.

        Raises:
            MajordomoError: the last one, with every attempt in ``attempts`` and in its notes.
            Exception: what else ``ask`` raised, at once.
        """
        while True:
            endpoint = self._left.popleft()
            try:
                answer = await self._ask_in_turn(endpoint, ask)
                return Served(answer, endpoint, failed_over=endpoint is not self._first)
            except MajordomoError as error:
                if not self._moves_on(error):
                    self._leave_trail(error)
                    raise
                self._log_failover(self._left[0])

    def _moves_on(self, error: MajordomoError) -> bool:
        """Whether another target is asked after this error."""
        return bool(self._left) and not isinstance(error, DeadlineExceededError) and self._rules.moves_on(error)

    async def _ask_in_turn(self, endpoint: Endpoint, ask: Callable[[Endpoint], Awaitable[Answer[T]]]) -> Answer[T]:
        """One target's answer, asked as often as the retry policy and the deadline allow."""
        number, waited = 1, 0.0
        while True:
            try:
                return await self._attempt(endpoint, ask, number, waited)
            except MajordomoError as error:
                wait = self._rules.retry.wait(error, number, last=not self._left)
                if wait is None or wait >= self._remaining():
                    raise
            if wait:
                await self._rules.clock.sleep(wait)
            number, waited = number + 1, wait

    async def _attempt(
        self, endpoint: Endpoint, ask: Callable[[Endpoint], Awaitable[Answer[T]]], number: int, waited: float
    ) -> Answer[T]:
        """One request to one target, within its time, on the record."""
        seconds, too_late = self._limit(endpoint)
        if seconds is not None and seconds <= 0:
            raise too_late
        started = self.elapsed()

        def record(
            outcome: Outcome, error: Exception | None, usage: Usage | None = None, cost: float | None = None
        ) -> None:
            took = self.elapsed() - started
            self._record(
                Attempt(endpoint.provider, endpoint.model, number, outcome, error, started, took, waited, usage, cost)
            )

        scope = self._rules.clock.timeout(seconds)
        try:
            async with scope:
                answer = await ask(endpoint)
        except asyncio.CancelledError:
            record("cancelled", None)
            raise
        except Rejected as rejected:
            error = rejected.error
            record("failed" if isinstance(error, ProviderError) else "rejected", error, rejected.usage, rejected.cost)
            raise error from error.__cause__
        except Exception as raised:
            if not scope.expired():
                record("failed", raised)
                raise
            record("failed", too_late)
            raise too_late from None
        record("ok", None, answer.usage, answer.cost)
        return answer

    def _limit(self, endpoint: Endpoint) -> tuple[float | None, ProviderError]:
        """Seconds that an attempt may take, None for no limit, and the error if it takes longer."""
        name = f"{endpoint.provider}/{endpoint.model}"
        limit = endpoint.timeout if self._timeout is ... else self._timeout
        remaining = self._remaining()
        if limit is None or remaining <= limit:
            out_of_time = f"the deadline of {self._deadline or 0:g} s is spent; {name} was being asked"
            error: ProviderError = DeadlineExceededError(out_of_time, provider=endpoint.provider, model=endpoint.model)
            return None if remaining == math.inf else remaining, error
        too_slow = f"{name}: no answer within its timeout of {limit:g} s"
        return limit, ProviderTimeoutError(too_slow, provider=endpoint.provider, model=endpoint.model)

    def _remaining(self) -> float:
        """Seconds until the deadline, infinite without one."""
        return math.inf if self._deadline is None else self._deadline - self.elapsed()

    def _record(self, attempt: Attempt) -> None:
        """Put an attempt on the record and tell whoever wants to know."""
        self.attempts.append(attempt)
        if attempt.outcome in ("failed", "rejected"):
            logger.info("%s", attempt, extra=_fields(attempt))
        if self._rules.on_attempt is not None:
            try:
                self._rules.on_attempt(attempt)
            except Exception as error:
                error.__cause__ = error.__context__ = None  # these may quote keys and prompts
                logger.exception("on_attempt raised; the call goes on")

    def _log_failover(self, following: Endpoint) -> None:
        """One WARNING a failover: who failed, with what, who is next; nobody's words."""
        last = self.attempts[-1]
        logger.warning(
            "%s; failing over to %s/%s",
            last,
            following.provider,
            following.model,
            extra={**_fields(last), "next_provider": following.provider, "next_model": following.model},
        )

    def _leave_trail(self, error: MajordomoError) -> None:
        """Let the error tell the whole story in an ordinary traceback (PEP 678)."""
        error.attempts = tuple(self.attempts)
        for attempt in self.attempts:
            reason = str(attempt.error or "").removeprefix(f"{attempt.provider}/{attempt.model}: ")
            error.add_note(f"{attempt}: {reason}" if reason else str(attempt))


def _fields(attempt: Attempt) -> dict[str, object]:
    """An attempt as the ``extra`` fields of a log record."""
    return {
        "provider": attempt.provider,
        "model": attempt.model,
        "attempt": attempt.number,
        "outcome": attempt.outcome,
        "error_type": type(attempt.error).__name__,
        "status_code": getattr(attempt.error, "status_code", None),
        "seconds": attempt.seconds,
    }
