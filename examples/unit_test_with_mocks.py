"""How an application tests its own cascade: with LiteLLM's mocks, and in a rehearsed outage.

Run it with pytest.
"""

import asyncio
from typing import Any

import pytest

from majordomo_cascade import LLMCascade, RateLimitError
from majordomo_cascade.testing import Hang, Status, rehearse

# What the application has: one cascade, and a function that uses it.
cascade = LLMCascade([("anthropic", "claude-sonnet-4-5"), ("openai", "gpt-4.1")], timeout=20)


async def summarize(text: str, cascade: LLMCascade = cascade, **params: Any) -> str:
    response = await cascade.get_response(f"Summarize: {text}", **params)
    return response.content


def test_with_litellms_mock() -> None:
    assert asyncio.run(summarize("a long text", mock_response="short")) == "short"


def test_with_litellms_mocked_error() -> None:
    with pytest.raises(RateLimitError) as caught:
        asyncio.run(summarize("a long text", mock_response="litellm.RateLimitError"))
    assert [attempt.provider for attempt in caught.value.attempts] == ["anthropic"] * 3 + ["openai"] * 3


def test_my_cascade_survives_a_dead_primary() -> None:
    with rehearse(cascade, Status(503)) as rehearsal:  # the first target is down; waits take no time
        assert asyncio.run(summarize("a long text", cascade=rehearsal.cascade))
    assert [len(provider.requests) for provider in rehearsal.providers] == [3, 1]


def test_my_cascade_survives_a_hung_primary() -> None:
    with rehearse(cascade, Hang()) as rehearsal:  # 20 seconds of silence pass at once
        assert asyncio.run(summarize("a long text", cascade=rehearsal.cascade))
    assert rehearsal.clock.now() == 20
