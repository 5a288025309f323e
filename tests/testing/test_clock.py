"""The clock of a simulation moves when told to, when someone sleeps on it, and past a silence."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from majordomo_cascade import LLMCascade
from majordomo_cascade.testing import ManualClock, simulate


async def test_a_manual_clock_moves_when_it_is_told_to() -> None:
    clock = ManualClock()
    await clock.sleep(2.5)
    clock.advance(1.5)
    assert (clock.now(), clock.slept) == (4.0, [2.5])
    clock.pass_silence()  # nobody waits for anything: nothing happens
    assert clock.now() == 4.0


async def test_a_manual_clocks_time_limits_run_out_when_it_gets_there() -> None:
    clock, outcomes = ManualClock(), list[Any]()

    async def wait(seconds: float | None) -> None:
        try:
            async with clock.timeout(seconds):
                await asyncio.Event().wait()
        except TimeoutError:
            outcomes.append(seconds)

    async with clock.timeout(1):
        pass  # over before its time
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(wait(seconds)) for seconds in (5, 3, None)]
        await asyncio.sleep(0)
        clock.advance(2)
        await asyncio.sleep(0)
        assert outcomes == []
        clock.pass_silence()
        await asyncio.gather(tasks[1])
        assert (outcomes, clock.now()) == ([3], 3.0)
        clock.advance(2)
        await asyncio.gather(tasks[0])
        assert outcomes == [3, 5]
        tasks[2].cancel()


async def test_a_time_limit_of_zero_is_over_at_once_and_none_is_no_limit() -> None:
    clock = ManualClock()
    for seconds in (0, -1):
        when = clock.timeout(seconds).when()
        assert when is not None
        assert when <= asyncio.get_running_loop().time()
        with pytest.raises(TimeoutError):
            async with clock.timeout(seconds):
                await asyncio.get_running_loop().create_future()
    async with clock.timeout(None):
        clock.advance(1_000_000)
        await asyncio.sleep(0)


async def test_a_sleep_on_the_clock_lets_other_tasks_run() -> None:
    clock, ran = ManualClock(), list[int]()
    asyncio.get_running_loop().call_soon(ran.append, 1)
    await clock.sleep(5)
    assert (ran, clock.slept, clock.now()) == ([1], [5], 5)
    asleep = clock.sleep(5)
    assert asleep.send(None) is None  # for one round of the event loop, whatever time that takes
    with pytest.raises(StopIteration):
        asleep.send(None)


async def test_a_time_limit_runs_out_when_the_clock_is_there_and_not_before() -> None:
    clock = ManualClock()
    clock.advance(10)

    async def wait(seconds: float) -> str:
        try:
            async with clock.timeout(seconds):
                await asyncio.get_running_loop().create_future()
        except TimeoutError:
            return f"{clock.now():g}"
        raise AssertionError

    waiting = [asyncio.ensure_future(wait(seconds)) for seconds in (2, 3, 2)]
    await asyncio.sleep(0)
    clock.advance(1.5)
    await asyncio.sleep(0)
    assert not any(task.done() for task in waiting)
    clock.advance(0.5)
    assert [await waiting[0], await waiting[2]] == ["12", "12"]
    assert not waiting[1].done()
    clock.advance(7)
    assert await waiting[1] == "19"


async def settled(clock: ManualClock) -> float:
    """Return the time once the clock has stopped jumping."""
    before = -1.0
    while before != clock.now():
        before = clock.now()
        for _ in range(10_000):
            await asyncio.sleep(0)
    return before


async def test_a_silence_passes_limit_by_limit_until_someone_starts_something_new() -> None:
    clock, ended = ManualClock(), list[float]()
    clock.pass_silence()  # nobody has waited yet

    async def wait(seconds: float, *, goes_on: bool = False) -> None:
        try:
            async with clock.timeout(seconds):
                await asyncio.get_running_loop().create_future()
        except TimeoutError:
            ended.append(clock.now())
            if goes_on:
                await wait(seconds)

    silent = [True]
    clock.is_silent = lambda: silent[0]
    tasks = [asyncio.ensure_future(wait(seconds)) for seconds in (7, 3, 3)]
    async with clock.timeout(1):
        pass  # over: it is passed by
    clock.pass_silence()
    assert await settled(clock) == 7  # nobody said anything, and all waited for it
    assert ended == [3, 3, 7]
    ended.clear()
    tasks += [asyncio.ensure_future(wait(3, goes_on=True)), asyncio.ensure_future(wait(9))]
    await asyncio.sleep(0)
    clock.pass_silence()
    assert (
        await settled(clock) == 10
    )  # one began something: it is for the provider to tell of a new silence
    assert ended == [10]
    silent[0] = False
    async with clock.timeout(1):
        pass
    clock.pass_silence()
    assert await settled(clock) == 13
    assert ended == [10, 13]
    tasks.append(asyncio.ensure_future(wait(0.5)))
    await asyncio.sleep(0)
    clock.pass_silence()
    assert await settled(clock) == 13.5
    for task in tasks:
        task.cancel()


async def test_the_clock_of_a_simulation_knows_whether_a_provider_is_silent() -> None:
    with simulate(LLMCascade(["openai/gpt-4.1", "openai/gpt-4o"])) as simulation:
        assert simulation.clock.is_silent() is False
        simulation.providers[1].silent = 1
        assert simulation.clock.is_silent() is True
        assert [provider.on_silence for provider in simulation.providers] == [
            simulation.clock.pass_silence
        ] * 2
    assert ManualClock().is_silent() is False
