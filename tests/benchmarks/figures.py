"""What was measured, as a median with its spread."""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import asdict, dataclass
from typing import Any

#: Seconds of a slice of waiting, CPU that a process at rest may use in one, and the most slices that are waited.
SLICE, AT_REST, SLICES = 0.002, 0.0003, 100


@dataclass(frozen=True)
class Figure:
    """A median, its quartiles, and how many values they are of."""

    median: float
    lower: float
    upper: float
    n: int

    @classmethod
    def of(cls, values: Iterable[float]) -> Figure:
        """The figure of some values, four digits each."""
        ordered = sorted(values)
        n = len(ordered)
        quartiles = statistics.quantiles(ordered if n > 1 else ordered * 2, n=4, method="inclusive")
        lower, median, upper = (float(f"{each:.4g}") for each in quartiles)
        return cls(median, lower, upper, n)


def percentile(values: Iterable[float], share: float) -> float:
    """The smallest value that so large a share of them does not exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def plain(value: Any) -> Any:
    """Figures as dicts, for JSON."""
    if isinstance(value, Figure):
        return asdict(value)
    if isinstance(value, dict):
        return {str(name): plain(each) for name, each in value.items()}
    return [plain(each) for each in value] if isinstance(value, list | tuple) else value


async def rest() -> None:
    """Wait until the process is at rest: LiteLLM does its logging after it has answered."""
    for _ in range(SLICES):
        before = time.process_time()
        await asyncio.sleep(SLICE)
        if time.process_time() - before < AT_REST:
            return


async def timed(call: Callable[[], Awaitable[object]]) -> tuple[float, float]:
    """Milliseconds until a call has answered, and of CPU until what it left behind is done, too."""
    cpu, began = time.process_time(), time.perf_counter()
    await call()
    took = time.perf_counter() - began
    await rest()
    return took * 1e3, (time.process_time() - cpu) * 1e3
