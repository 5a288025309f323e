"""Batches on a vendor that limits its rate: wait, or ask the next one. Runs without keys."""

import asyncio
from collections import Counter

from majordomo_cascade import LLMCascade, RetryPolicy
from majordomo_cascade.testing import Reply, Status, simulate

PROMPTS = [f"Translate sentence {number}." for number in range(8)]


async def wait() -> None:
    """With one vendor, ask two prompts at once, and wait as long as it says."""
    cascade = LLMCascade(["anthropic/claude-sonnet-5-5"], retry=RetryPolicy(max_retry_after=60))
    limit = Status(429, retry_after=20)
    with simulate(cascade, [Reply(), Reply(), limit, Reply()]) as simulation:
        items = [item async for item in simulation.cascade.batch(PROMPTS, concurrency=2)]
        failed = sum(item.error is not None for item in items)
        print(f"{len(items) - failed} answers, {failed} failed; waited {simulation.clock.slept} s")


async def move_on() -> None:
    """With two vendors, do not wait: what the first one refuses is asked of the second."""
    cascade = LLMCascade(
        ["anthropic/claude-sonnet-5-5", "openai/gpt-5.4-mini"], retry=RetryPolicy(attempts=1)
    )
    limit = Status(429, retry_after=20)
    with simulate(cascade, [Reply(), Reply(), Reply(), limit]) as simulation:
        served: Counter[str] = Counter()
        async for item in simulation.cascade.batch(PROMPTS, concurrency=2):
            served[item.response.provider if item.response else "nobody"] += 1
        print(dict(sorted(served.items())), f"waited {simulation.clock.slept} s")
        print("the first is", simulation.cascade.health[0].state)


async def main() -> None:
    await wait()
    await move_on()


if __name__ == "__main__":
    asyncio.run(main())
