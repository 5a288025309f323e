"""A clock for tests, by which waits and time limits take no time."""

import asyncio
from collections.abc import Callable

# Rounds of the event loop, each of which polls all sockets.
READING = 200
REACTING = 3000


class ManualClock:
    """A clock in seconds that moves when told to, when someone sleeps on it, and past silences."""

    def __init__(self) -> None:
        self.slept: list[float] = []
        self.is_silent: Callable[[], bool] = lambda: False  # tells whether a caller waits in vain
        self._now = 0.0
        self._limits: dict[asyncio.Timeout, float] = {}
        self._started = 0
        self._loop: asyncio.AbstractEventLoop | None = None

    def now(self) -> float:
        """Return the seconds that have passed."""
        return self._now

    async def sleep(self, seconds: float) -> None:
        """Move on without waiting, and note it in ``slept``."""
        self.slept.append(seconds)
        self.advance(seconds)
        await asyncio.sleep(0)

    def timeout(self, seconds: float | None) -> asyncio.Timeout:
        """Return a scope that is cancelled when the clock has moved so far; None is never."""
        if seconds is None or seconds <= 0:
            return asyncio.timeout(seconds)
        scope = asyncio.timeout(None)
        self._limits[scope] = self._now + seconds
        self._started += 1
        self._loop = asyncio.get_running_loop()
        return scope

    def advance(self, seconds: float) -> None:
        """Move on. Time limits that are reached run out."""
        self._now += seconds
        for scope, end in list(self._limits.items()):
            if end <= self._now:
                self._expire(scope)

    def pass_silence(self) -> None:
        """Move on to the next time limit, from any thread, when all that was sent is read.

        Move on once more if the silence goes on and no time limit was started in reaction.
        """
        if self._loop:
            self._loop.call_soon_threadsafe(self._jump, READING)

    def _jump(self, rounds: int, started: int | None = None) -> None:
        if rounds:
            asyncio.get_running_loop().call_soon(self._jump, rounds - 1, started)
        elif started is None or (started == self._started and self.is_silent()):
            for scope, end in sorted(self._limits.items(), key=lambda limit: limit[1]):
                if self._expire(scope):
                    self.advance(end - self._now)
                    self._jump(REACTING, self._started)
                    break

    def _expire(self, scope: asyncio.Timeout) -> bool:
        """Let a time limit run out. Return False if its scope was left before."""
        del self._limits[scope]
        try:
            scope.reschedule(0)  # the loop's time is later
        except RuntimeError:
            return False
        return True
