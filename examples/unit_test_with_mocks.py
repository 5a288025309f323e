"""How an application tests its own cascade: with LiteLLM's mocks, and in a simulated outage.

Run it with pytest.
"""

import asyncio
from typing import Any

import pytest

from majordomo_cascade import LLMCascade, RateLimitError
from majordomo_cascade.testing import Hang, Status, simulate

# The application has a cascade, and a function that uses it.
cascade = LLMCascade([("anthropic", "claude-sonnet-5-5"), ("openai", "gpt-5.5")], timeout=20)


async def summarize(text: str, cascade: LLMCascade = cascade, **params: Any) -> str:
    response = await cascade.get_response(f"Summarize: {text}", **params)
    return response.content


def test_with_litellms_mock() -> None:
    assert asyncio.run(summarize("a long text", mock_response="short")) == "short"


def test_with_litellms_mocked_error() -> None:
    # In a simulation the waits between the retries take no time.
    mock = {"mock_response": "litellm.RateLimitError"}
    with simulate(cascade) as simulation, pytest.raises(RateLimitError) as caught:
        asyncio.run(summarize("a long text", simulation.cascade, **mock))
    providers = [attempt.provider for attempt in caught.value.attempts]
    assert providers == ["anthropic"] * 3 + ["openai"] * 3


def test_my_cascade_survives_a_dead_primary() -> None:
    # The first target is down. Waits take no time.
    with simulate(cascade, Status(503)) as simulation:
        assert asyncio.run(summarize("a long text", simulation.cascade))
    assert [len(provider.requests) for provider in simulation.providers] == [3, 1]


def test_my_cascade_survives_a_hung_primary() -> None:
    # The first target says nothing for 20 seconds, which pass at once.
    with simulate(cascade, Hang()) as simulation:
        assert asyncio.run(summarize("a long text", simulation.cascade))
    assert simulation.clock.now() == 20
