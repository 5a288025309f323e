"""The CPU of a stream's chunk: the cascade's streams beside a bare one of LiteLLM's.

Two figures: the event loop's thread, which is what makes other calls wait, and the whole process,
because LiteLLM, or we, may put a finished stream together in another thread.
"""

from __future__ import annotations

import gc
import random
import time
from collections.abc import Awaitable, Callable
from typing import Any

from .contenders import KEY, MESSAGES, PRIMARY, STREAM, Terms, quiet, targets_of
from .figures import rest
from .server import CHUNKS, Server

#: Streams of each way before anything is measured.
WARM_UP = 3

#: The clocks of the event loop's thread and of the whole process.
CLOCKS = {"thread": time.thread_time, "process": time.process_time}

Way = Callable[[], Awaitable[Any]]


async def chunk_times(server: Server, rounds: int) -> dict[str, dict[str, list[float]]]:
    """Return the µs of CPU of a chunk, one value a round: bare LiteLLM's, and what others add."""
    quiet()
    server.tell("chunks", "long")
    ways = _ways(Terms(server.base("chunks"), server.base("chunks-backup")))
    for _ in range(WARM_UP):
        for way in ways.values():
            await _cpu_of(way)
    gc.collect()
    gc.freeze()  # no collection may look through LiteLLM's whole heap while a stream is measured
    found: dict[str, dict[str, list[float]]] = {
        name: {clock: [] for clock in CLOCKS} for name in ways
    }
    for _ in range(rounds):
        used = {name: await _cpu_of(ways[name]) for name in random.sample(list(ways), len(ways))}
        for name in ways:
            for clock in CLOCKS:
                floor = 0.0 if name == "litellm" else used["litellm"][clock]
                found[name][clock].append((used[name][clock] - floor) / CHUNKS * 1e6)
    return found


async def _cpu_of(way: Way) -> dict[str, float]:
    """Return the seconds of CPU of a whole stream, by each clock."""
    await rest()
    gc.collect()
    began = {name: clock() for name, clock in CLOCKS.items()}
    async for _ in await way():
        pass
    await rest()
    return {name: clock() - began[name] for name, clock in CLOCKS.items()}


def _ways(terms: Terms) -> dict[str, Way]:
    import litellm

    from majordomo_cascade import LLMCascade

    cascade = LLMCascade(targets_of(terms))
    sent = {"model": f"openai/{PRIMARY}", "api_key": KEY, "api_base": terms.primary}
    return {
        "litellm": lambda: litellm.acompletion(messages=MESSAGES, **sent, **STREAM),
        "cascade_acompletion": lambda: cascade.acompletion(MESSAGES, stream=True),
        "cascade_stream": lambda: cascade.get_response_stream(messages=MESSAGES),
    }
