"""``accept``: an answer that the application says no to moves the call on."""

from __future__ import annotations

import asyncio
import gc
import pickle
from functools import partial
from typing import Any

import litellm
import pytest
from conftest import WIRES, Gate, until

from majordomo_cascade import (
    ConfigurationError,
    LLMCascade,
    LLMResponse,
    RateLimitError,
    ResponseError,
    ResponseRejectedError,
    RetryPolicy,
)
from majordomo_cascade.testing import Reply, Simulation, Status, simulate

USER = {"role": "user", "content": "Hello"}


def is_good(response: LLMResponse[Any]) -> bool:
    """Say no to answers with the word "bad"."""
    return "bad" not in str(response.content)


STRICT = LLMCascade(WIRES, accept=is_good)


def requests(simulation: Simulation) -> list[int]:
    return [len(provider.requests) for provider in simulation.providers]


async def test_an_answer_that_accept_refuses_moves_on_and_is_paid_for() -> None:
    with simulate(STRICT, Reply("a bad answer"), Reply("a good answer")) as simulation:
        response = await simulation.cascade.get_response("Hello")
    assert (response.content, response.provider) == ("a good answer", "anthropic")
    assert response.failed_over
    assert requests(simulation) == [1, 1, 0]
    refused, served = response.attempts
    assert (refused.outcome, served.outcome) == ("rejected", "ok")
    assert isinstance(refused.error, ResponseRejectedError)
    assert refused.cost is not None
    assert served.cost is not None
    assert response.cost == served.cost
    assert response.total_cost == pytest.approx(refused.cost + served.cost)


async def test_a_refused_answer_moves_on_even_if_failover_on_is_narrow() -> None:
    for failover_on in (RateLimitError, lambda _: False):
        cascade = LLMCascade(WIRES, accept=is_good, failover_on=failover_on)
        with simulate(cascade, Reply("bad"), Reply("good")) as simulation:
            assert (await simulation.cascade.get_response("Hello")).content == "good"


async def test_if_all_answers_are_refused_the_last_one_is_in_the_error() -> None:
    with simulate(STRICT, Reply("bad"), Status(401), Reply("also bad")) as simulation:
        with pytest.raises(ResponseRejectedError) as caught:
            await simulation.cascade.get_response("Hello")
    error = caught.value
    assert isinstance(error, ResponseError)
    refused = "gemini/gemini-2.5-flash: accept refused the answer, which is in response"
    assert error.message == refused
    assert str(error).startswith("all 3 targets failed: openai/gpt-4.1: accept refused")
    assert str(error).endswith(refused)
    assert (error.provider, error.model) == WIRES[2]
    assert [attempt.outcome for attempt in error.attempts] == ["rejected", "failed", "rejected"]
    assert error.response is not None
    assert (error.response.content, error.response.provider) == ("also bad", "gemini")
    costs = [attempt.cost for attempt in error.attempts if attempt.cost is not None]
    assert error.response.total_cost == pytest.approx(sum(costs))


async def test_the_last_error_is_raised_even_if_an_answer_was_refused_before() -> None:
    with simulate(STRICT, Reply("bad"), Reply("bad"), Status(401)) as simulation:
        with pytest.raises(Exception, match="401") as caught:
            await simulation.cascade.get_response("Hello")
    assert type(caught.value).__name__ == "AuthenticationError"


async def test_a_refused_answer_does_not_count_against_health() -> None:
    with simulate(STRICT, Reply("bad"), Reply("good")) as simulation:
        for _ in range(4):
            await simulation.cascade.get_response("Hello")
        health = simulation.cascade.health[0]
    assert (health.state, health.failures) == ("closed", 0)
    assert requests(simulation) == [4, 4, 0]


async def test_a_refused_answer_is_neither_retried_nor_corrected() -> None:
    cascade = LLMCascade(WIRES, accept=is_good, validation_retries=3)
    with simulate(cascade, Reply('{"a": "bad"}'), Reply('{"a": "good"}')) as simulation:
        response = await simulation.cascade.get_json_response("Hello")
    assert response.content == {"a": "good"}
    assert requests(simulation) == [1, 1, 0]


async def test_accept_sees_the_finished_answer_of_every_way_to_ask() -> None:
    seen: list[LLMResponse[Any]] = []

    def accept(response: LLMResponse[Any]) -> bool:
        seen.append(response)
        return True

    with simulate(LLMCascade(WIRES[:1], accept=accept), Reply("7")) as simulation:
        cascade = simulation.cascade
        responses: list[Any] = [
            await cascade.get_response("Hello"),
            await cascade.get_structured_json_response(int, "Hello"),
        ]
        raw = await cascade.acompletion([USER])
    with simulate(LLMCascade(WIRES[:1], accept=accept), Reply('{"a": 1}')) as simulation:
        responses.insert(1, await simulation.cascade.get_json_response("Hello"))
    assert [response.content for response in seen] == ["7", 7, "7", {"a": 1}]
    assert seen[2].raw is raw
    assert seen[2].provider == "openai"
    text = responses[0]
    names = ("content", "provider", "model", "usage", "cost", "total_cost", "finish_reason", "raw")
    for name in names:
        assert getattr(seen[0], name) == getattr(text, name), name
    assert [attempt.outcome for attempt in seen[0].attempts] == ["ok"]


async def test_accept_sees_the_attempts_before() -> None:
    seen: list[LLMResponse[Any]] = []

    def accept(response: LLMResponse[Any]) -> bool:
        seen.append(response)
        return is_good(response)

    cascade = LLMCascade(WIRES, accept=accept, retry=RetryPolicy(attempts=1))
    with simulate(cascade, Status(503), Reply("bad"), Reply("good")) as simulation:
        await simulation.cascade.get_response("Hello")
    trails = [[attempt.outcome for attempt in response.attempts] for response in seen]
    assert trails == [["failed", "ok"], ["failed", "rejected", "ok"]]
    assert [response.failed_over for response in seen] == [True, True]


async def test_accept_does_not_see_streams() -> None:
    cascade = LLMCascade(WIRES, accept=lambda _: False)
    with simulate(cascade, Reply("bad")) as simulation:
        stream = await simulation.cascade.get_response_stream("Hello")
        assert (await stream.collect()).content == "bad"
        chunks = await simulation.cascade.acompletion([USER], stream=True)
        assert "".join([c.choices[0].delta.content or "" async for c in chunks]) == "bad"


async def test_accepts_own_exception_comes_out_as_it_is() -> None:
    broken = ZeroDivisionError("the judge is ill")

    def accept(response: LLMResponse[Any]) -> bool:
        raise broken

    with simulate(LLMCascade(WIRES, accept=accept), Reply("7")) as simulation:
        cascade = simulation.cascade
        asked = [
            cascade.get_response("Hello"),
            cascade.get_structured_json_response(int, "Hello"),
            cascade.acompletion([USER]),
        ]
        for coroutine in asked:
            with pytest.raises(ZeroDivisionError) as caught:
                await coroutine
            assert caught.value is broken
            assert broken.__cause__ is None
    assert requests(simulation) == [3, 0, 0]


async def test_litellms_exception_in_accept_is_no_providers_error() -> None:
    def accept(response: LLMResponse[Any]) -> bool:
        raise litellm.RateLimitError("the judge is busy", "openai", "gpt-4.1")

    with simulate(LLMCascade(WIRES, accept=accept), Reply("7")) as simulation:
        for ask in (
            simulation.cascade.get_response,
            partial(simulation.cascade.get_structured_json_response, int),
        ):
            with pytest.raises(litellm.RateLimitError):
                await ask("Hello")
    assert requests(simulation) == [2, 0, 0]


async def test_an_exception_from_inside_litellm_in_accept_comes_out_as_it_is() -> None:
    def accept(response: LLMResponse[Any]) -> bool:
        return bool(litellm.get_llm_provider("no-such-model"))

    with simulate(LLMCascade(WIRES[:1], accept=accept), Reply("7")) as simulation:
        with pytest.raises(litellm.BadRequestError):
            await simulation.cascade.get_structured_json_response(int, "Hello")
        health = simulation.cascade.health[0]
    assert requests(simulation) == [1]
    assert health.structured_output == "json_schema"


async def test_beside_a_refused_hedge_the_slow_target_may_still_win() -> None:
    slow = Gate(Reply("good"))
    cascade = LLMCascade(WIRES[:2], accept=is_good, hedge_after=2)
    with simulate(cascade, slow, Reply("bad")) as simulation:
        call = asyncio.create_task(simulation.cascade.get_response("Hello"))
        await until(lambda: requests(simulation)[0])
        simulation.clock.advance(2)
        await until(lambda: requests(simulation)[1] and not simulation.providers[1].pending)
        slow.give()
        response = await call
    assert (response.content, response.provider) == ("good", "openai")


async def test_a_refusal_pickles_with_its_response() -> None:
    with simulate(LLMCascade(WIRES[:1], accept=is_good), Reply("bad")) as simulation:
        with pytest.raises(ResponseRejectedError) as caught:
            await simulation.cascade.get_response("Hello")
    copy = pickle.loads(pickle.dumps(caught.value))
    assert str(copy) == str(caught.value)
    assert copy.response.content == "bad"
    assert copy.attempts[0].outcome == "rejected"


async def later(response: LLMResponse[Any]) -> bool:
    return False


class Later:
    async def __call__(self, response: LLMResponse[Any]) -> bool:
        return False


@pytest.mark.parametrize("wrong", [later, Later(), partial(later), 5, "yes"])
def test_accept_must_be_a_plain_function(wrong: Any) -> None:
    complaint = (
        r"^accept must be a plain function that takes an LLMResponse and returns True or False; "
        r"it is not awaited$"
    )
    with pytest.raises(ConfigurationError, match=complaint):
        LLMCascade(WIRES, accept=wrong)


@pytest.mark.filterwarnings("error:coroutine .* was never awaited:RuntimeWarning")
@pytest.mark.filterwarnings("error::pytest.PytestUnraisableExceptionWarning")
async def test_an_accept_that_returns_a_coroutine_is_no_yes() -> None:
    given: Any = lambda response: later(response)  # noqa: E731, PLW0108 - a type checker would see it
    with simulate(LLMCascade(WIRES, accept=given)) as simulation:
        for ask in (simulation.cascade.get_response, simulation.cascade.get_json_response):
            simulation.providers[0].behaviours[:] = [Reply("{}")]
            with pytest.raises(ConfigurationError) as caught:
                await ask("Hello")
            assert str(caught.value).startswith(
                "accept gave coroutine, which would have to be awaited; expected a plain function"
            )
        gc.collect()  # a coroutine that was never awaited would warn now
    assert requests(simulation) == [2, 0, 0]
