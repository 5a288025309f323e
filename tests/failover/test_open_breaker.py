"""Calls that begin elsewhere, because a breaker is open: they say so."""

from __future__ import annotations

import logging

import pytest

from majordomo_cascade import CircuitBreaker, LLMCascade, RetryPolicy
from majordomo_cascade.testing import Reply, Status, simulate

ONCE = RetryPolicy(attempts=1)
FIRST, SECOND, THIRD = "openai/gpt-4.1", "anthropic/claude-sonnet-4-5", "gemini/gemini-2.5-flash"
DOWN = Status(503)
FRAGILE = CircuitBreaker(failures=1, cooldown=10, max_cooldown=10)


def detours(caplog: pytest.LogCaptureFixture) -> list[tuple[int, str]]:
    """Return the log records about calls that began elsewhere."""
    return [
        (record.levelno, record.getMessage())
        for record in caplog.records
        if "whose breaker is open" in record.msg
    ]


async def test_the_response_and_its_attempts_name_the_targets_that_were_passed_by() -> None:
    cascade = LLMCascade([FIRST, SECOND, THIRD], retry=ONCE, breaker=FRAGILE)
    with simulate(cascade, DOWN) as simulation:
        failed_over = await simulation.cascade.get_response("Hello")
        assert failed_over.short_circuited == ()
        response = await simulation.cascade.get_response("Hello")
        stream = await simulation.cascade.get_response_stream("Hello")
        streamed = await stream.collect()
    for answer in (response, streamed):
        assert (answer.provider, answer.failed_over) == ("anthropic", True)
        assert answer.short_circuited == (FIRST,)
        assert [attempt.short_circuited for attempt in answer.attempts] == [(FIRST,)]


async def test_all_open_breakers_on_the_way_are_named() -> None:
    cascade = LLMCascade([FIRST, SECOND, THIRD], retry=ONCE, breaker=FRAGILE)
    with simulate(cascade, DOWN, DOWN) as simulation:
        await simulation.cascade.get_response("Hello")
        response = await simulation.cascade.get_response("Hello")
        assert response.short_circuited == (FIRST, SECOND)


async def test_a_target_that_is_asked_last_after_all_was_passed_by_first() -> None:
    cascade = LLMCascade([FIRST, SECOND], retry=ONCE, breaker=FRAGILE)
    with simulate(cascade, [DOWN, Reply("back")], [Reply(), DOWN]) as simulation:
        await simulation.cascade.get_response("Hello")
        response = await simulation.cascade.get_response("Hello")
    assert (response.content, response.short_circuited) == ("back", (FIRST,))
    assert [attempt.short_circuited for attempt in response.attempts] == [(FIRST,), ()]


async def test_the_log_warns_once_a_cooldown(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "majordomo_cascade")
    cascade = LLMCascade([FIRST, SECOND], retry=ONCE, breaker=FRAGILE)
    said = f"{SECOND} is asked instead of {FIRST}, whose breaker is open"
    with simulate(cascade, DOWN) as simulation:
        await simulation.cascade.get_response("Hello")
        assert detours(caplog) == []
        for _ in range(3):
            await simulation.cascade.get_response("Hello")
        assert detours(caplog) == [(logging.WARNING, said), *[(logging.INFO, said)] * 2]
        simulation.clock.advance(10)
        await simulation.cascade.get_response("Hello")  # a probe, which fails
        caplog.clear()
        for _ in range(2):
            await simulation.cascade.get_response("Hello")
        assert detours(caplog) == [(logging.WARNING, said), (logging.INFO, said)]


async def test_the_record_names_the_call_and_both_targets(
    caplog: pytest.LogCaptureFixture,
) -> None:
    cascade = LLMCascade([FIRST, SECOND], retry=ONCE, breaker=FRAGILE)
    with simulate(cascade, DOWN) as simulation:
        await simulation.cascade.get_response("Hello")
        response = await simulation.cascade.get_response("Hello")
    [record] = [each for each in caplog.records if "whose breaker" in each.msg]
    assert vars(record)["call_id"] == response.attempts[0].call_id
    assert (vars(record)["target"], vars(record)["next_target"]) == (FIRST, SECOND)


async def test_the_attempts_of_a_call_share_its_id() -> None:
    with simulate(LLMCascade([FIRST, SECOND], retry=ONCE), DOWN) as simulation:
        first = await simulation.cascade.get_response("Hello")
        second = await simulation.cascade.get_response("Hello")
    ids = [{attempt.call_id for attempt in each.attempts} for each in (first, second)]
    assert [len(each) for each in ids] == [1, 1]
    assert ids[0] != ids[1]
    assert "" not in ids[0] | ids[1]


async def test_health_can_be_reset() -> None:
    cascade = LLMCascade([FIRST, SECOND], retry=ONCE, breaker=FRAGILE)
    fresh = cascade.health
    refusal = Status(400, "response_format is not supported")
    with simulate(cascade, [DOWN, refusal, Reply("[]"), Reply("well")]) as simulation:
        await simulation.cascade.get_response("Hello")
        twin = simulation.cascade.with_options(deadline=5)
        assert twin.health[0].state == "open"
        simulation.cascade.reset_health()
        assert simulation.cascade.health == twin.health == fresh
        await simulation.cascade.get_structured_json_response(list[str], "Hello")
        assert simulation.cascade.health[0].structured_output == "json_mode"
        simulation.cascade.reset_health()
        assert twin.health == fresh
        assert (await twin.get_response("Hello")).content == "well"
