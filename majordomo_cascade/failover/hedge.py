"""Ask the next target beside a slow one; the first answer wins."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Iterable
from typing import Generic, TypeVar

from ..errors import BadRequestError, DeadlineExceededError, MajordomoError
from .call import C, Call
from .turn import Ask, Turn

T = TypeVar("T")

logger = logging.getLogger("majordomo_cascade")

#: Seconds that a cancelled request may take to end before the answer is handed out all the same.
CANCEL_GRACE = 1.0


async def hedged(call: Call[C], ask: Ask[C, T], hedge_after: float) -> tuple[Turn[C], T]:
    """Return the turn that answers first, and its answer; as ``serve``.

    Whenever ``hedge_after`` seconds brought no answer, the next target is asked as well.
    """
    race = Race(call, ask)
    try:
        race.start()
        while True:
            task = await race.first_done(hedge_after if call.left else None)
            if task is None:
                name = call.following().name
                logger.info("no answer within %g s; asking %s beside", hedge_after, name)
                race.start()
                continue
            slower = race.turns_before(task)
            turn = race.turns.pop(task)
            try:
                answer = await task
            except MajordomoError as error:
                await race.go_on(turn, error)
                continue
            try:
                await race.give_up(overtaken=slower)
            except BaseException:
                await _give_up_stream(turn)
                raise
            return turn, answer
    finally:
        await race.give_up()


class Race(Generic[C, T]):
    """Turns that run at once, in the order in which they began."""

    def __init__(self, call: Call[C], ask: Ask[C, T]) -> None:
        self.call = call
        self.turns: dict[asyncio.Task[T], Turn[C]] = {}
        self._ask = ask

    def start(self) -> None:
        turn = Turn(self.call, self.call.take_next())
        self.turns[asyncio.create_task(turn.take(self._ask))] = turn

    def turns_before(self, task: asyncio.Task[T]) -> list[Turn[C]]:
        """Return the turns that began earlier than a task and still run."""
        number = list(self.turns).index(task)
        return list(self.turns.values())[:number]

    async def first_done(self, seconds: float | None) -> asyncio.Task[T] | None:
        """Return the first task that ended, an answer before an error; None if none is in time."""
        with contextlib.suppress(TimeoutError):
            async with self.call.rules.clock.timeout(seconds):
                await asyncio.wait(self.turns, return_when=asyncio.FIRST_COMPLETED)
        done = [task for task in self.turns if task.done()]
        return min(done, key=_has_failed, default=None)

    async def go_on(self, turn: Turn[C], error: MajordomoError) -> None:
        """Go on after a turn that failed, with the next target or those that still run.

        Raises:
            MajordomoError: ``error``, if it ends the call or nobody is left.
        """
        call = self.call
        is_end = call.ends_with(error)
        if is_end:
            call.left.clear()  # but those that were asked already may still answer
        ends_all = is_end and isinstance(error, BadRequestError | DeadlineExceededError)
        if ends_all or not (self.turns or call.left):
            is_late = isinstance(error, DeadlineExceededError)
            await self.give_up(overtaken=list(self.turns.values()) if is_late else ())
            call.trail.write_into(error)
            raise error
        if call.left:
            call.log_failover(turn.last)
            self.start()

    async def give_up(self, overtaken: Iterable[Turn[C]] = ()) -> None:
        """Cancel what still runs, on the wire, and see it end.

        Targets that were ``overtaken`` were too slow, which their breakers hear.
        """
        for turn in overtaken:
            turn.leave(DeadlineExceededError())
        for task in self.turns:
            task.cancel()
            task.add_done_callback(_retrieve)
        if self.turns:
            await asyncio.wait(self.turns, timeout=CANCEL_GRACE)
        for task, turn in self.turns.items():
            if task.done() and not _has_failed(task):
                await _give_up_stream(turn)
        self.turns.clear()


async def _give_up_stream(turn: Turn[C]) -> None:
    if turn.open_attempt is not None:
        await turn.open_attempt.give_up()


def _has_failed(task: asyncio.Task[T]) -> bool:
    return task.cancelled() or task.exception() is not None


def _retrieve(task: asyncio.Task[T]) -> None:
    """See a task's exception, of which nobody else wants to know."""
    if not task.cancelled():
        task.exception()
