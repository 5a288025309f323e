"""Ask the next target beside a slow one; the first answer wins."""

import asyncio
import contextlib
from typing import Any

from ..errors import BadRequestError, DeadlineExceededError, MajordomoError
from .call import C, Call, logger
from .turn import Ask, T, Turn

#: Turns that run at once, in the order in which they began.
Race = dict[asyncio.Task[T], Turn[C]]

#: Seconds that a cancelled request may take to end before the answer is handed out all the same.
CANCEL_GRACE = 1.0


async def hedged(call: Call[C], ask: Ask[C, T], hedge_after: float) -> tuple[Turn[C], T]:
    """Return the turn that answers first, and its answer; as ``serve``.

    Whenever ``hedge_after`` seconds brought no answer, the next target is asked as well.
    """
    race: Race[T, C] = {}

    def start() -> None:
        turn = Turn(call)
        race[asyncio.create_task(turn.take(ask))] = turn

    try:
        start()
        while True:
            with contextlib.suppress(TimeoutError):
                async with call.rules.clock.timeout(hedge_after if call.left else None):
                    await asyncio.wait(race, return_when=asyncio.FIRST_COMPLETED)
            done = [task for task in race if task.done()]
            if not done:
                name = call.following().name
                logger.info("no answer within %g s; asking %s beside", hedge_after, name)
                start()
                continue
            first = min(done, key=_has_failed)  # an answer before an error
            try:
                answer = await first
            except MajordomoError as error:
                failed = race.pop(first)
                is_end = call.ends_with(error)
                if is_end:
                    call.left.clear()  # but those that were asked already may still answer
                    if isinstance(error, BadRequestError | DeadlineExceededError):
                        _leave(race, error)  # a spent deadline counts against all of them
                        await _give_up(race)
                if call.left:
                    call.log_failover(failed.last)
                    start()
                elif not race:
                    call.trail.write_into(error, all_failed=not is_end)
                    raise
            else:
                _leave(race, DeadlineExceededError(), until=first)  # the others were too slow
                await _give_up(race, winner=first)
                return race.pop(first), answer
    finally:
        await _give_up(race)


def _leave(race: Race[T, C], error: MajordomoError, until: asyncio.Task[T] | None = None) -> None:
    """Tell the breakers of all that were asked before ``until`` of an error."""
    for task, turn in race.items():
        if task is until:
            break
        turn.leave(error)


async def _give_up(race: Race[T, C], winner: asyncio.Task[T] | None = None) -> None:
    """Cancel all but the winner, on the wire, and see them end."""
    losers = [task for task in race if task is not winner]
    for task in losers:
        task.cancel()
        task.add_done_callback(_has_failed)  # or asyncio complains that nobody saw its error
    if losers:
        await asyncio.wait(losers, timeout=CANCEL_GRACE)
    for task in losers:
        await race.pop(task).close_stream()


def _has_failed(task: asyncio.Task[Any]) -> bool:
    return task.cancelled() or task.exception() is not None
