"""A cascade that is asked from inside its own vendor call ends at once, instead of never."""

from __future__ import annotations

import asyncio
import tracemalloc
from collections.abc import Awaitable, Callable
from typing import Any

import litellm
import pytest
from conftest import WIRES, Serve
from litellm.integrations.custom_logger import CustomLogger

from majordomo_cascade import ConfigurationError, LLMCascade, RetryPolicy
from majordomo_cascade.testing import Hang, Reply

ONCE = RetryPolicy(attempts=1)
ADVICE = "give it to LiteLLM as a model with cascade.register"


def patched_with(
    monkeypatch: pytest.MonkeyPatch, cascade: LLMCascade
) -> Callable[..., Awaitable[Any]]:
    """Let an application put a cascade in the place of ``litellm.acompletion``."""
    calls = 0

    async def acompletion(**params: Any) -> Any:
        nonlocal calls
        calls += 1
        assert calls < 100, "it recurses"
        return await cascade.acompletion(params["messages"], stream=params.get("stream"))

    monkeypatch.setattr(litellm, "acompletion", acompletion)
    return acompletion


def two_targets(**options: Any) -> LLMCascade:
    return LLMCascade(WIRES[:2], retry=ONCE, **options)


@pytest.mark.parametrize("hedge_after", [None, 60])
@pytest.mark.parametrize(
    "ask",
    [
        lambda cascade: cascade.get_response("Hello"),
        lambda cascade: cascade.get_json_response("Hello"),
        lambda cascade: cascade.get_structured_json_response(int, "Hello"),
        lambda cascade: cascade.get_response_stream("Hello"),
        lambda cascade: cascade.acompletion([{"role": "user", "content": "Hello"}], stream=True),
        lambda cascade: cascade.with_options(deadline=9).get_response("Hello"),
    ],
    ids=["text", "json", "value", "stream", "chunks", "other options"],
)
async def test_the_way_back_in_is_closed(
    monkeypatch: pytest.MonkeyPatch,
    ask: Callable[[LLMCascade], Awaitable[Any]],
    hedge_after: float | None,
) -> None:
    cascade = two_targets(hedge_after=hedge_after)
    patched_with(monkeypatch, cascade)
    with pytest.raises(ConfigurationError, match=ADVICE):
        await ask(cascade)
    assert cascade.health[0].failures == 0


async def test_many_calls_at_once_each_end_and_leave_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    cascade = two_targets()
    reentered = 0

    async def acompletion(**params: Any) -> Any:
        nonlocal reentered
        reentered += 1
        await asyncio.sleep(0)
        return await cascade.acompletion(**params)

    monkeypatch.setattr(litellm, "acompletion", acompletion)

    async def ask(number: int) -> list[Any]:
        calls = (cascade.get_response("Hello") for _ in range(number))
        outcomes: list[Any] = await asyncio.gather(*calls, return_exceptions=True)
        return outcomes

    await ask(100)
    tracemalloc.start()
    before, _ = tracemalloc.get_traced_memory()
    outcomes = await ask(500)
    after, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert {type(outcome) for outcome in outcomes} == {ConfigurationError}
    assert reentered == 600
    del outcomes
    assert after - before < 30_000_000


async def test_a_call_after_a_refused_one_is_free(
    monkeypatch: pytest.MonkeyPatch, serve: Serve
) -> None:
    cascade = LLMCascade([serve(Reply("fine")).target()], retry=ONCE)
    with monkeypatch.context() as patch:
        patched_with(patch, cascade)
        with pytest.raises(ConfigurationError):
            await cascade.get_response("Hello")
    assert (await cascade.get_response("Hello")).content == "fine"


async def test_a_cancelled_call_frees_its_task(serve: Serve) -> None:
    cascade = LLMCascade([serve(Hang()).target(), serve(Reply("fine")).target()], retry=ONCE)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0):
            await cascade.get_response("Hello")
    assert (await cascade.get_response("Hello", mock_response="fine")).content == "fine"


async def test_a_callback_of_litellms_may_ask_in_a_task_of_its_own(
    monkeypatch: pytest.MonkeyPatch, serve: Serve
) -> None:
    cascade = LLMCascade([serve(Reply("fine")).target()], retry=ONCE)
    asked: list[asyncio.Task[Any]] = []

    class Judge(CustomLogger):  # type: ignore[misc]
        def log_pre_api_call(self, *_: Any, **__: Any) -> None:
            if not asked:
                asked.append(asyncio.create_task(cascade.get_response("Is this fine?")))

    monkeypatch.setattr(litellm, "callbacks", [Judge()])
    response = await cascade.get_response("Hello")
    assert response.content == (await asked[0]).content == "fine"


async def test_one_cascade_may_be_asked_inside_another(
    monkeypatch: pytest.MonkeyPatch, serve: Serve
) -> None:
    inner = LLMCascade([serve(Reply("the inner one")).target()], retry=ONCE)
    original = litellm.acompletion

    async def acompletion(**params: Any) -> Any:
        if params["model"] == "openai/outer":
            return await inner.acompletion(params["messages"])
        return await original(**params)

    monkeypatch.setattr(litellm, "acompletion", acompletion)
    outer = LLMCascade(["openai/outer"], retry=ONCE)
    assert (await outer.get_response("Hello")).content == "the inner one"
