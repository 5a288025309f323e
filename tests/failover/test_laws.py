"""Laws that hold for any script of provider behaviours."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

import litellm
from conftest import WIRES
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from majordomo_cascade import Attempt, CircuitBreaker, LLMCascade, ProviderError, RetryPolicy
from majordomo_cascade.testing import (
    Behaviour,
    BrokenStream,
    Garbage,
    Hang,
    Reply,
    Simulation,
    Status,
    simulate,
)

laws = settings(
    max_examples=40,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.too_slow],
)

Kind = tuple[Behaviour, str]
Script = list[list[Kind]]

#: What a provider may do, and whether the same one is asked again: yes ("again"), no ("leave"), or
#: only if no other target is left ("last").
PLAIN: list[Kind] = [
    (Reply("an answer"), "answers"),
    (Status(503), "again"),
    (Status(429, retry_after=2), "again"),
    (Status(429, retry_after=20), "last"),
    (Status(429, retry_after=99), "leave"),
    (Garbage({"choices": []}), "again"),
    (Status(401), "leave"),
    (Status(404), "leave"),
    (Hang(), "last"),
]
STREAMED: list[Kind] = [
    (Reply("an answer"), "answers"),
    (BrokenStream("cut", ""), "again"),
    (BrokenStream("end", ""), "again"),
    (BrokenStream("stall", ""), "last"),
    (BrokenStream("cut"), "leave"),
    (BrokenStream("garbage"), "leave"),
    (BrokenStream("error"), "leave"),
    (BrokenStream("end"), "leave"),
    (BrokenStream("stall"), "leave"),
    (Status(503), "again"),
    (Status(401), "leave"),
]


def scripts(kinds: list[Kind]) -> st.SearchStrategy[Script]:
    """Return scripts for one to three targets."""
    script = st.lists(st.sampled_from(kinds), min_size=1, max_size=4)
    return st.lists(script, min_size=1, max_size=3)


def acted_out(script: Script) -> list[list[Behaviour]]:
    return [[behaviour for behaviour, _ in behaviours] for behaviours in script]


def foretell(script: Script, attempts: int) -> tuple[list[int], bool]:
    """Tell how many requests each target gets, and whether the last of them is answered."""
    asked: list[int] = []
    for place, behaviours in enumerate(script):
        for number in range(1, attempts + 1):
            _, kind = behaviours[min(number, len(behaviours)) - 1]
            if kind == "answers":
                return [*asked, number], True
            if (
                kind == "leave"
                or (kind == "last" and place + 1 < len(script))
                or number == attempts
            ):
                asked.append(number)
                break
    return asked, False


def run(coroutine: Coroutine[Any, Any, None]) -> None:
    async def closing() -> None:
        try:
            await coroutine
        finally:
            await litellm.close_litellm_async_clients()

    asyncio.run(closing())


async def check(
    simulation: Simulation, ask: Coroutine[Any, Any, Any], expected: tuple[list[int], bool]
) -> None:
    asked, is_served = expected
    raised: ProviderError | None = None
    response: Any = None
    attempts: tuple[Attempt, ...]
    try:
        response = await ask
        attempts = response.attempts
    except ProviderError as error:
        raised, attempts = error, error.attempts
    assert is_served == (raised is None)
    assert attempts[-1].error is raised
    if response is not None:
        assert response.content == "an answer"
        assert (response.provider, response.failed_over) == (
            WIRES[len(asked) - 1][0],
            len(asked) > 1,
        )
        assert attempts[-1].outcome == "ok"
    assert all(attempt.outcome == "failed" for attempt in attempts[: -1 if is_served else None])
    assert [(a.provider, a.number) for a in attempts] == [
        (WIRES[place][0], number + 1)
        for place, count in enumerate(asked)
        for number in range(count)
    ]
    seen = [len(provider.requests) for provider in simulation.providers]
    assert seen == asked + [0] * (len(seen) - len(asked))
    for attempt in attempts:
        assert (
            attempt.waited <= 4 or attempt.waited == 20
        )  # max_wait, or the Retry-After that was obeyed on the last
    assert [attempt.waited for attempt in attempts if attempt.waited] == [
        wait for wait in simulation.clock.slept if wait
    ]


@laws
@given(script=scripts(PLAIN), attempts=st.integers(1, 3))
def test_a_call_gets_the_first_answer_that_the_order_allows(script: Script, attempts: int) -> None:
    cascade = LLMCascade(WIRES[: len(script)], retry=RetryPolicy(attempts=attempts), timeout=30)

    async def call() -> None:
        with simulate(cascade, *acted_out(script)) as simulation:
            expected = foretell(script, attempts)
            await check(simulation, simulation.cascade.get_response("Hello"), expected)

    run(call())


@laws
@given(script=scripts(STREAMED), attempts=st.integers(1, 3))
def test_a_collected_stream_is_the_first_whole_one_that_the_order_allows(
    script: Script, attempts: int
) -> None:
    cascade = LLMCascade(WIRES[: len(script)], retry=RetryPolicy(attempts=attempts), timeout=30)

    async def call() -> None:
        with simulate(cascade, *acted_out(script)) as simulation:

            async def ask() -> Any:
                return await (await simulation.cascade.get_response_stream("Hello")).collect()

            await check(simulation, ask(), foretell(script, attempts))

    run(call())


@laws
@given(
    script=scripts(PLAIN),
    pauses=st.lists(st.sampled_from([0, 4, 11, 31]), min_size=2, max_size=8),
    failures=st.integers(1, 3),
    hedge_after=st.sampled_from([None, 3]),
)
def test_neither_breaker_nor_hedge_ever_loses_a_call_that_could_be_served(
    script: Script, pauses: list[int], failures: int, hedge_after: float | None
) -> None:
    cascade = LLMCascade(
        WIRES[: len(script)],
        retry=RetryPolicy(attempts=1),
        breaker=CircuitBreaker(failures=failures),
        timeout=30,
        hedge_after=hedge_after,
    )

    async def calls() -> None:
        with simulate(cascade, *acted_out(script)) as simulation:
            seen = 0
            for pause in pauses:
                try:
                    attempts = (await simulation.cascade.get_response("Hello")).attempts
                    assert [attempt.outcome for attempt in attempts].count("ok") == 1
                except ProviderError as error:
                    attempts = error.attempts
                    assert {attempt.provider for attempt in attempts} == {
                        name for name, _ in WIRES[: len(script)]
                    }
                    assert {attempt.outcome for attempt in attempts} == {"failed"}
                seen += len(attempts)
                simulation.clock.advance(pause)
            assert seen == sum(len(provider.requests) for provider in simulation.providers)
            assert len(script) == len(simulation.cascade.health)

    run(calls())
