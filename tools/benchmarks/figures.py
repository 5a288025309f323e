"""Medians with their spread, and how a call is timed."""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import asdict, dataclass
from typing import Any

#: The seconds of a slice of waiting, and the most slices.
SLICE, SLICES = 0.002, 100
#: The seconds of CPU that a process at rest may use in a slice.
AT_REST = 0.0003


@dataclass(frozen=True)
class Figure:
    """A median, its quartiles, and the number of values."""

    median: float
    lower: float
    upper: float
    n: int

    @classmethod
    def of(cls, values: Iterable[float]) -> Figure:
        """Return the figure of some values, with four digits."""
        ordered = sorted(values)
        n = len(ordered)
        quartiles = statistics.quantiles(ordered if n > 1 else ordered * 2, n=4, method="inclusive")
        lower, median, upper = (float(f"{each:.4g}") for each in quartiles)
        return cls(median, lower, upper, n)


def percentile(values: Iterable[float], share: float) -> float:
    """Return the smallest value that so large a share of them does not exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def plain(value: Any) -> Any:
    """Turn figures into dicts, for JSON."""
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
    """Return the ms until a call has answered, and the ms of CPU with what it does afterwards."""
    cpu, began = time.process_time(), time.perf_counter()
    await call()
    took = time.perf_counter() - began
    await rest()
    return took * 1e3, (time.process_time() - cpu) * 1e3
