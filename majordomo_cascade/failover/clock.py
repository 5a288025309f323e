"""The loop's source of time; tests replace it."""

import asyncio
import time
from typing import Protocol


class Clock(Protocol):
    """A source of time, in seconds; ``majordomo_cascade.testing.ManualClock`` is another one."""

    def now(self) -> float: ...
    async def sleep(self, seconds: float, /) -> None: ...
    def timeout(self, seconds: float | None, /) -> asyncio.Timeout: ...


class SystemClock:
    """The machine's own time."""

    now = staticmethod(time.monotonic)
    sleep = staticmethod(asyncio.sleep)
    timeout = staticmethod(asyncio.timeout)
