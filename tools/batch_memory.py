"""Ask a million lazy prompts in one batch, and print how much memory that takes.

``litellm.acompletion`` is replaced, because its own mock takes 3 ms a call. Run by hand; it takes
two minutes. Another number of prompts is its argument::

    .venv/bin/python tools/batch_memory.py 100000
"""

from __future__ import annotations

import asyncio
import resource
import sys
import time
from collections.abc import Iterator
from typing import Any

import litellm

from majordomo_cascade import LLMCascade

CONCURRENCY = 20


class Prompts:
    """Prompts that are made when they are read. ``ahead`` is how far that ever was ahead."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.taken = 0
        self.ahead = 0

    def __iter__(self) -> Iterator[str]:
        for index in range(self.number):
            self.ahead = max(self.ahead, index + 1 - self.taken)
            yield f"prompt {index}"


def peak() -> str:
    """Return the largest size that this process had."""
    return f"{resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MiB"


async def main(number: int) -> None:
    """Ask, and print the figures after each tenth."""
    messages = [{"role": "user", "content": "x"}]
    model = "openai/gpt-5.5"
    answer = await litellm.acompletion(model=model, messages=messages, mock_response="x")

    async def acompletion(**_: Any) -> Any:
        await asyncio.sleep(0)
        return answer

    litellm.acompletion = acompletion
    cascade = LLMCascade([model])
    await cascade.get_response("the first call imports")
    prompts = Prompts(number)
    indexes = failed = 0
    print(f"before: {peak()}")
    began = time.perf_counter()
    async for item in cascade.batch(prompts, concurrency=CONCURRENCY):
        prompts.taken += 1
        indexes += item.index
        failed += item.error is not None
        if prompts.taken % (number // 10) == 0:
            seconds = time.perf_counter() - began
            tasks = len(asyncio.all_tasks())
            print(f"{prompts.taken:,} in {seconds:.0f} s: {peak()}, {tasks} tasks", flush=True)
    lost = number * (number - 1) // 2 - indexes
    print(f"{failed} failed, lost: {lost}, at most {prompts.ahead} were read ahead")


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000))
