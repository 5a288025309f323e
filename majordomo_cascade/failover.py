"""Who is asked next, when, and for how long: the one loop that every way of asking goes through."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
import time
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import EllipsisType
from typing import Any, Generic, Protocol, TypeVar

from .errors import DeadlineExceededError, MajordomoError, ProviderError, ProviderTimeoutError, RequestError
from .gateway import Completion, Endpoint
from .health import Breaker, Pass
from .responses import Attempt, Outcome, Usage
from .retry import RetryPolicy

T = TypeVar("T")
R = TypeVar("R")

logger = logging.getLogger("majordomo_cascade")

#: Seconds that a cancelled request may take to end before the winner's answer is handed out all the same.
LONGEST_FAREWELL = 1.0


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
    usage: Usage | None = None
    cost: float | None = None
    close: Callable[[], Awaitable[None]] | None = None
    """Set for a stream, which has only begun: whoever reads it tells how it ends (``Turn.end``); this gives it up."""


class Rejected(Exception):  # noqa: N818 - a signal to the loop, not an error that users see
    """Raised in an ask: what came can't be used because of ``error``; what it used was paid for.

    With ``again``, the same target is asked that next, at once, and this doesn't count: not as one of its retries, not
    against its health, not as a failover.
    """

    def __init__(
        self,
        error: Exception,
        usage: Usage | None = None,
        cost: float | None = None,
        again: Ask[Any] | None = None,
    ) -> None:
        super().__init__(error)
        self.error = error
        self.usage = usage
        self.cost = cost
        self.again = again


#: One request to one target.
Ask = Callable[[Endpoint], Coroutine[Any, Any, Answer[T]]]


@dataclass(frozen=True, slots=True)
class Limits:
    """Times in seconds; None for no limit, or never."""

    timeout: float | EllipsisType | None = ...
    """For one attempt; left out, each target's own."""
    first_token_timeout: float | None = None
    """For the first content of a stream; whole answers have none."""
    stall_timeout: float | None = None
    deadline: float | None = None
    hedge_after: float | None = None


@dataclass(frozen=True, slots=True)
class Rules:
    """What is the same for all calls of a cascade."""

    retry: RetryPolicy
    moves_on: Callable[[MajordomoError], bool]
    """Whether an error moves a call on to the next target."""
    on_attempt: Callable[[Attempt], object] | None
    clock: Clock
    breakers: Mapping[Endpoint, Breaker]


class Call(Generic[T]):
    """One call's way down its targets: who is left, what was tried, what time is left.

    ``ask`` makes one request to one target. ``serve`` can be entered again: it goes on with the targets that are left.
    """

    def __init__(
        self,
        rules: Rules,
        endpoints: Sequence[Endpoint],
        limits: Limits,
        ask: Ask[T],
        *,
        is_stream: bool = False,
    ) -> None:
        self.rules = rules
        self.limits = limits
        self.ask = ask
        self.is_stream = is_stream
        self.left = list(endpoints)
        self._first = endpoints[0]
        self._attempts: list[Attempt] = []
        self._started = rules.clock.now()

    @property
    def attempts(self) -> tuple[Attempt, ...]:
        """What was tried, in the order in which it began."""
        return tuple(sorted(self._attempts, key=lambda attempt: attempt.started))

    def has_failed_over(self, turn: Turn[T]) -> bool:
        """Whether a turn is another target's than the first one's."""
        return turn.endpoint is not self._first

    def elapsed(self) -> float:
        """Seconds since the call began."""
        return self.rules.clock.now() - self._started

    def remaining(self) -> float:
        """Seconds until the deadline, infinite without one."""
        return math.inf if self.limits.deadline is None else self.limits.deadline - self.elapsed()

    async def serve(self) -> Turn[T]:
        """The turn of the first target, by the order, that answers.

        Raises:
            MajordomoError: the last one, with every attempt in ``attempts`` and in its notes.
            Exception: what else ``ask`` raised, at once.
        """
        if self.limits.hedge_after is not None:
            return await self._race(self.limits.hedge_after)
        while True:
            turn = self._next_turn()
            try:
                await turn.take()
            except MajordomoError as error:
                self.move_on(turn, error)
            else:
                return turn

    def move_on(self, turn: Turn[T], error: MajordomoError) -> None:
        """See that there is another target to ask after an error.

        Raises:
            MajordomoError: ``error``, where it ends the call.
        """
        if self._ends_with(error) or not self.left:
            self.leave_trail(error)
            raise error
        self._log_failover(turn)

    def record(self, attempt: Attempt) -> None:
        """Put an attempt on the record and tell whoever wants to know."""
        self._attempts.append(attempt)
        if attempt.outcome != "ok":
            logger.info("%s", attempt, extra=_fields(attempt))
        if self.rules.on_attempt is not None:
            try:
                self.rules.on_attempt(attempt)
            except Exception as error:
                error.__cause__ = error.__context__ = None  # these may quote keys and prompts
                logger.exception("on_attempt raised; the call goes on")

    def leave_trail(self, error: MajordomoError) -> None:
        """Let the error tell the whole story in an ordinary traceback (PEP 678)."""
        error.attempts = self.attempts
        for attempt in error.attempts:
            own = attempt.error if isinstance(attempt.error, MajordomoError) else ""  # others may quote anything
            reason = str(own).removeprefix(f"{attempt.provider}/{attempt.model}: ")
            error.add_note(f"{attempt}: {reason}" if reason else str(attempt))

    def _ends_with(self, error: MajordomoError) -> bool:
        """Whether nobody else is asked after this error."""
        return isinstance(error, DeadlineExceededError) or not self.rules.moves_on(error)

    def _following(self) -> Endpoint:
        """Who is next: the first one that is well, or due to be probed; where none is, the first one."""
        now = self.rules.clock.now()
        return next((e for e in self.left if self.rules.breakers[e].takes_turns(now)), self.left[0])

    def _next_turn(self) -> Turn[T]:
        """The turn of the target that is next."""
        endpoint = self._following()
        self.left.remove(endpoint)
        return Turn(self, endpoint, self.rules.breakers[endpoint])

    async def _race(self, hedge_after: float) -> Turn[T]:
        """As ``serve``, but whenever so many seconds brought no answer, the next target is asked beside the others."""
        running: dict[asyncio.Task[None], Turn[T]] = {}  # in the order in which they began

        def start() -> None:
            turn = self._next_turn()
            running[asyncio.create_task(turn.take())] = turn

        try:
            start()
            while True:
                task = await self._first_done(running, hedge_after if self.left else None)
                if task is None:
                    logger.info("no answer within %g s; asking %s beside", hedge_after, self._following().name)
                    start()
                    continue
                turn, slower = running[task], list(running)[: list(running).index(task)]
                del running[task]
                try:
                    await task
                except MajordomoError as error:
                    if self._ends_with(error):
                        self.left.clear()  # but who was asked already may still answer
                    if not (running or self.left) or isinstance(error, RequestError | DeadlineExceededError):
                        await _give_up(running, overtaken=running if isinstance(error, DeadlineExceededError) else ())
                        self.leave_trail(error)
                        raise
                    if self.left:
                        self._log_failover(turn)
                        start()
                else:
                    try:
                        await _give_up(running, overtaken=slower)
                    except BaseException:
                        await turn.give_up()
                        raise
                    return turn
        finally:
            await _give_up(running)

    async def _first_done(
        self, running: Mapping[asyncio.Task[None], Turn[T]], seconds: float | None
    ) -> asyncio.Task[None] | None:
        """The first task that has ended, one with an answer before others; None if none has within so many seconds."""
        with contextlib.suppress(TimeoutError):
            async with self.rules.clock.timeout(seconds):
                await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
        done = [task for task in running if task.done()]
        return min(done, key=lambda task: task.cancelled() or task.exception() is not None, default=None)

    def _log_failover(self, turn: Turn[T]) -> None:
        """One WARNING a failover: who failed, with what, who is next; nobody's words."""
        following = self._following()
        logger.warning(
            "%s; failing over to %s",
            turn.last,
            following.name,
            extra={**_fields(turn.last), "next_provider": following.provider, "next_model": following.model},
        )


class Turn(Generic[T]):
    """One target's turn in a call: its attempts, one after the other, and the answer that came of them."""

    def __init__(self, call: Call[T], endpoint: Endpoint, breaker: Breaker) -> None:
        self.endpoint = endpoint
        self.answer: Answer[T]
        self.last: Attempt
        self._call = call
        self._breaker = breaker
        self._pass: Pass | None = breaker.enter(call.rules.clock.now())
        self._is_probe = self._pass.is_probe
        self._is_last = not call.left
        self._ask = call.ask
        self._number = 0
        self._tries = 0
        self._is_asked_again = False
        self._waited = 0.0
        self._began = 0.0

    async def take(self) -> None:
        """Ask, as often as the retry policy and the deadline allow, until there is an ``answer``.

        Raises:
            MajordomoError: the last attempt's.
            Exception: what else ``ask`` raised.
        """
        try:
            while True:
                try:
                    self.answer = await self._attempt()
                    break
                except Rejected as rejected:
                    self._ask, self._waited, self._is_asked_again = rejected.again or self._ask, 0.0, True
                except MajordomoError as error:
                    self._tries += 1
                    wait = self._wait(error)
                    if wait is None:
                        raise
                    self._waited = wait
                    if wait:
                        await self._call.rules.clock.sleep(wait)
        except BaseException as error:
            self.leave(error)
            raise
        if self.answer.close is None:
            self.leave(None)
        elif self._is_probe:  # it is back; how the stream goes on is another matter
            self.leave(None)
            self._pass = self._breaker.enter(self._call.rules.clock.now())

    async def within(self, limit: float | None, what: str, coroutine: Coroutine[Any, Any, R]) -> R:
        """What the coroutine returns, if it comes before the limit (called ``what``) and the deadline.

        Raises:
            ProviderTimeoutError, DeadlineExceededError: it did not.
        """
        remaining = self._call.remaining()
        seconds = remaining if limit is None else min(limit, remaining)
        scope = self._call.rules.clock.timeout(None if seconds == math.inf else seconds)
        try:
            async with scope:
                return await coroutine
        except Exception:
            if not scope.expired():
                raise
        raise self._out_of_time() if remaining <= seconds else self._too_slow(what, seconds)

    def end(
        self, outcome: Outcome, error: Exception | None = None, usage: Usage | None = None, cost: float | None = None
    ) -> None:
        """Put the attempt that was under way on the record."""
        took = self._call.elapsed() - self._began
        target = self.endpoint
        self.last = Attempt(
            target.provider, target.model, self._number, outcome, error, self._began, took, self._waited, usage, cost
        )
        self._call.record(self.last)

    def leave(self, error: BaseException | None) -> None:
        """Tell the target's breaker, once, what came of asking it: an answer (None), or an error."""
        if self._is_asked_again and isinstance(error, DeadlineExceededError):
            self.forget()  # that it was asked more than once is what took the time
        if self._pass is None:
            return
        was_open, now = self._breaker.is_open, self._call.rules.clock.now()
        self._breaker.leave(self._pass, error, now)
        self._pass = None
        if self._breaker.is_open and not was_open:
            cooldown = self._breaker.cooldown(now)
            logger.warning("%s is asked last for %g s: its breaker opened", self.endpoint.name, cooldown)
        elif was_open and not self._breaker.is_open:
            logger.info("%s is asked in its turn again: its breaker closed", self.endpoint.name)

    def overtake(self) -> None:
        """Tell the breaker that the target was too slow; not if it was asked more than once, which doesn't count."""
        self.forget() if self._is_asked_again else self.leave(ProviderTimeoutError())

    def forget(self) -> None:
        """Tell the breaker nothing: the target had no chance to show how it is."""
        self._pass = None

    def report(self, value: Any, completion: Completion) -> dict[str, Any]:
        """The fields of a Response, from the record of the call."""
        call, attempts = self._call, self._call.attempts
        paid = [a.cost for a in attempts if a.outcome == "ok" or (a.usage and a.usage.total_tokens)]
        return {
            "content": value,
            "provider": self.endpoint.provider,
            "model": self.endpoint.model,
            "usage": completion.usage,
            "cost": completion.cost,
            "total_cost": None if None in paid else math.fsum(cost for cost in paid if cost),
            "latency": call.elapsed(),
            "finish_reason": completion.finish_reason,
            "attempts": attempts,
            "failed_over": call.has_failed_over(self),
            "raw": completion.raw,
        }

    async def give_up(self) -> None:
        """Close an answer that is not wanted any more."""
        if self.answer.close is not None:
            await self.answer.close()
            self.end("cancelled")

    async def _attempt(self) -> Answer[T]:
        """One request, within its time, on the record.

        Raises:
            Rejected: the target is to be asked something else.
            Exception: what keeps it from answering.
        """
        limits, endpoint = self._call.limits, self.endpoint
        if self._call.remaining() <= 0:
            if not self._number:
                self.forget()
            raise self._out_of_time()
        self._number += 1
        self._began = self._call.elapsed()
        timeout, what = endpoint.timeout if limits.timeout is ... else limits.timeout, "timeout"
        first = limits.first_token_timeout if self._call.is_stream else None
        if first is not None and (timeout is None or first < timeout):
            timeout, what = first, "first_token_timeout"
        try:
            answer = await self.within(timeout, what, self._ask(endpoint))
        except asyncio.CancelledError:
            self.end("cancelled")
            raise
        except Rejected as rejected:
            error, came = rejected.error, rejected.usage is not None
            outcome: Outcome = "rejected" if came and not isinstance(error, ProviderError) else "failed"
            self.end(outcome, error, rejected.usage, rejected.cost)
            if rejected.again:
                raise
            raise error from error.__cause__
        except Exception as error:
            self.end("failed", error)
            raise
        if answer.close is None:
            self.end("ok", None, answer.usage, answer.cost)
        return answer

    def _wait(self, error: MajordomoError) -> float | None:
        """Seconds until the next attempt at this target, None to leave it."""
        if self._is_probe and not self._is_last:
            return None
        wait = self._call.rules.retry.wait(error, self._tries, last=self._is_last)
        return wait if wait is not None and wait < self._call.remaining() else None

    def _out_of_time(self) -> DeadlineExceededError:
        target, deadline = self.endpoint, self._call.limits.deadline or 0
        where = "was being asked" if self._number else "would have been next"
        spent = f"the deadline of {deadline:g} s is spent; {target.name} {where}"
        return DeadlineExceededError(spent, provider=target.provider, model=target.model)

    def _too_slow(self, what: str, seconds: float) -> ProviderTimeoutError:
        target = self.endpoint
        silent = f"{target.name}: no answer within its {what} of {seconds:g} s"
        return ProviderTimeoutError(silent, provider=target.provider, model=target.model)


async def _give_up(running: dict[asyncio.Task[None], Turn[T]], *, overtaken: Iterable[asyncio.Task[None]] = ()) -> None:
    """Cancel turns on the wire and see them end. Those that were overtaken were too slow, which their breakers hear."""
    for task in overtaken:
        running[task].overtake()
    for task in running:
        task.cancel()
        task.add_done_callback(_retrieve)
    if running:
        await asyncio.wait(running, timeout=LONGEST_FAREWELL)
    for task, turn in running.items():
        if task.done() and not task.cancelled() and task.exception() is None:
            await turn.give_up()
    running.clear()


def _retrieve(task: asyncio.Task[None]) -> None:
    """See a task's exception, of which nobody else wants to know."""
    if not task.cancelled():
        task.exception()


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
