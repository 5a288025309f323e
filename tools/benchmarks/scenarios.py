"""The scenarios of one call at a time: all contenders in this process, in random order.

A call begins when the process is at rest, so that no one pays for the work of the call before.
"""

from __future__ import annotations

import asyncio
import itertools
import random
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from .contenders import CONTENDERS, Contender, Terms
from .figures import Figure, rest, timed
from .server import Server

#: Calls before anything is measured.
WARM_UP = 3
#: The call that is deep in an outage, how many are timed from there, and for at most how long.
DEEP, DEEP_TIMED, DEEP_SECONDS = 100, 20, 2.5
#: The first calls that are made with default waits, which are random, and the seconds between them.
#: Each mostly sleeps, so they hardly meet.
FIRST_CALLS, APART = 8, 0.06
#: Seconds for one attempt at a hung target.
HUNG_TIMEOUT = 0.5


@dataclass(frozen=True)
class Stage:
    """A contender, and the two slots that it asks."""

    contender: Contender
    primary: str
    backup: str


Samples = defaultdict[str, list[float]]
_numbers = itertools.count()
#: Everything that was ever staged. A client that is dropped unclosed may be collected in one of
#: LiteLLM's threads while the event loop keeps its sockets. A new socket of the same number is then
#: never read, and another contender's call hangs.
_kept: list[Stage] = []


def shuffled(names: list[str]) -> list[str]:
    """Return the names in random order."""
    return random.sample(names, len(names))


def floor_of(name: str) -> str:
    """Return the bare call that a contender is built on."""
    return "litellm" if CONTENDERS[name].over_litellm else "openai"


async def staged(server: Server, name: str, **terms: Any) -> Stage:
    """Build a contender on new slots, with a warm connection to the primary but not the backup."""
    number = next(_numbers)
    primary, backup = f"{name}-{number}-primary", f"{name}-{number}-backup"
    contender = CONTENDERS[name](Terms(server.base(primary), server.base(backup), **terms))
    for _ in range(WARM_UP):
        await contender.ask()
    await rest()
    stage = Stage(contender, primary, backup)
    _kept.append(stage)
    return stage


async def _rounds(
    server: Server, rounds: int, measure: Callable[[Contender], Any]
) -> dict[str, dict[str, Figure]]:
    """Return time and CPU of each contender, and how much more that is than its floor's."""
    stages = {name: await staged(server, name, equal=True) for name in CONTENDERS}
    for stage in stages.values():
        for _ in range(WARM_UP):
            await measure(stage.contender)
    times, cpu = Samples(list), Samples(list)
    for _ in range(rounds):
        for name in shuffled(list(stages)):
            took, used = await measure(stages[name].contender)
            times[name].append(took)
            cpu[name].append(used)
    return {
        name: {
            "time": Figure.of(times[name]),
            "cpu": Figure.of(cpu[name]),
            "time_added": _added(times, name),
            "cpu_added": _added(cpu, name),
        }
        for name in CONTENDERS
    }


def _added(samples: Samples, name: str) -> Figure:
    return Figure.of(
        one - floor for one, floor in zip(samples[name], samples[floor_of(name)], strict=True)
    )


async def healthy(server: Server, rounds: int) -> dict[str, Any]:
    """1. A healthy call."""
    return await _rounds(server, rounds, lambda contender: timed(contender.ask))


async def streams(server: Server, rounds: int) -> dict[str, Any]:
    """6. The first text of a stream; the rest comes later, and is read untimed."""

    async def first_text(contender: Contender) -> tuple[float, float]:
        cpu, began = time.process_time(), time.perf_counter()
        text = contender.stream()
        async for piece in text:
            if piece:
                break
        took = time.perf_counter() - began
        async for _ in text:
            pass
        await rest()
        return took * 1e3, (time.process_time() - cpu) * 1e3

    return await _rounds(server, rounds, first_text)


async def structured(server: Server, rounds: int) -> dict[str, Any]:
    """8. A value of 50 fields: the schema built, the answer parsed."""
    return await _rounds(server, rounds, lambda contender: timed(contender.fill_in))


async def outages(server: Server, rounds: int, *, equal: bool) -> dict[str, Any]:
    """2 and 3. The first call of an outage, and the hundredth."""
    names = [name for name, kind in CONTENDERS.items() if kind.fails_over]
    floors = {name: await staged(server, name, equal=equal) for name in ("openai", "litellm")}
    series: dict[str, Samples] = {name: Samples(list) for name in names}
    for _ in range(rounds):
        for name in shuffled(names):
            stages = [
                await staged(server, name, equal=equal) for _ in range(1 if equal else FIRST_CALLS)
            ]
            await _outage(server, stages, floors[floor_of(name)], series[name], equal=equal)
    return {
        name: {what: Figure.of(values) for what, values in series[name].items()} for name in names
    }


async def _first_calls(server: Server, stages: list[Stage], samples: Samples) -> None:
    """Make the first call of an outage on each stage, one shortly after the other."""

    async def first(stage: Stage, delay: float) -> None:
        seen = server.requests(stage.primary)
        server.tell(stage.primary, "down")
        await asyncio.sleep(delay)
        began = time.perf_counter()
        await stage.contender.ask()
        samples["first"].append((time.perf_counter() - began) * 1e3)
        samples["first_requests"].append(server.requests(stage.primary) - seen)

    await asyncio.gather(*(first(stage, APART * number) for number, stage in enumerate(stages)))
    await rest()


async def _outage(
    server: Server, stages: list[Stage], floor: Stage, samples: Samples, *, equal: bool
) -> None:
    """Play one outage: the first call on each stage, and a hundred more on the first stage."""
    await _first_calls(server, stages, samples)
    stage, ask = stages[0], stages[0].contender.ask
    seen = server.requests(stage.primary)

    def requests() -> int:
        nonlocal seen
        before, seen = seen, server.requests(stage.primary)
        return seen - before

    if equal:
        for _ in range(DEEP - 2):
            await ask()
    else:  # with the default waits, one after the other would take minutes
        await asyncio.gather(*(ask() for _ in range(DEEP - 2)))
    samples["requests_2_to_99"].append(requests())
    await rest()
    end = time.monotonic() + DEEP_SECONDS
    calls = 0
    while calls < DEEP_TIMED and time.monotonic() < end:
        pair: dict[str, float] = {}
        for who in shuffled(["deep", "bare"]):
            pair[who], used = await timed(ask if who == "deep" else floor.contender.ask)
            if who == "deep":
                samples["deep_cpu"].append(used)
        samples["deep"].append(pair["deep"])
        samples["bare"].append(pair["bare"])
        calls += 1
    samples["deep_requests"].append(requests() / calls)


async def hung(server: Server, rounds: int, *, equal: bool) -> dict[str, Any]:
    """4. The first call at a primary that takes requests and stays silent."""
    names = [name for name, kind in CONTENDERS.items() if kind.fails_over]
    series: dict[str, Samples] = {name: Samples(list) for name in names}
    for _ in range(rounds):
        for name in shuffled(names):
            stage = await staged(server, name, equal=equal, timeout=HUNG_TIMEOUT)
            server.tell(stage.primary, "hung")
            seen = server.requests(stage.primary)
            took, _ = await timed(stage.contender.ask)
            series[name]["first"].append(took)
            series[name]["first_requests"].append(server.requests(stage.primary) - seen)
            server.tell(stage.primary, "down")
    return {
        name: {what: Figure.of(values) for what, values in series[name].items()} for name in names
    }
