"""Ask the targets one after the other."""

from ..errors import MajordomoError
from .call import C, Call
from .hedge import hedged
from .turn import Ask, T, Turn


async def serve(call: Call[C], ask: Ask[C, T]) -> tuple[Turn[C], T]:
    """Return the turn of the first target that answers, and its answer.

    A call can be served again: it goes on with the targets that are left.

    Raises:
        MajordomoError: the last one, with every attempt in ``attempts`` and in its notes.
        Exception: what else ``ask`` raised, at once.
    """
    if call.limits.hedge_after is not None:
        return await hedged(call, ask, call.limits.hedge_after)
    while True:
        turn = Turn(call)
        try:
            return turn, await turn.take(ask)
        except MajordomoError as error:
            call.move_on(turn.last, error)
