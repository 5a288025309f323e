"""The measurements that need a process of their own, because of heaps and caches.

The result is a line of JSON.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from .chunks import chunk_times
from .contenders import BACKUP, CONTENDERS, KEY, MESSAGES, PRIMARY, Contender, Terms, quiet
from .figures import percentile, rest
from .own import own_times
from .server import Server

#: The calls in flight, and how many are made at that level; in an outage, half as many.
LEVELS = {1: 100, 50: 400, 500: 1_000}
#: Calls of an outage before its throughput is measured.
INTO_OUTAGE = 10
#: Calls that wait while memory is measured.
WAITING = 500

#: The import, the construction and the call of each, for `imports`.
BUILDS: dict[str, tuple[str, str, str]] = {
    "openai": (
        "import openai",
        "openai.AsyncOpenAI()",
        "it.chat.completions.create(model=PRIMARY, messages=MESSAGES)",
    ),
    "litellm": (
        "import litellm",
        "None",
        "litellm.acompletion(model=f'openai/{PRIMARY}', messages=MESSAGES)",
    ),
    "cascade": (
        "import majordomo_cascade",
        "majordomo_cascade.LLMCascade([('openai', PRIMARY), ('openai', BACKUP)])",
        "it.get_response(messages=MESSAGES)",
    ),
    "router": (
        "from litellm import Router",
        (
            "Router(model_list=[{'model_name': n, 'litellm_params': {'model': n}} "
            "for n in (PRIMARY, BACKUP)])"
        ),
        "it.acompletion(model=PRIMARY, messages=MESSAGES)",
    ),
    "pydantic_ai": (
        (
            "from pydantic_ai import ModelRequest\n"
            "from pydantic_ai.direct import model_request\n"
            "from pydantic_ai.models.fallback import FallbackModel\n"
            "from pydantic_ai.models.openai import OpenAIChatModel"
        ),
        "FallbackModel(OpenAIChatModel(PRIMARY), OpenAIChatModel(BACKUP))",
        "model_request(it, [ModelRequest.user_text_prompt(MESSAGES[1]['content'])])",
    ),
    "langchain": (
        "from langchain_openai import ChatOpenAI",
        "ChatOpenAI(model=PRIMARY).with_fallbacks([ChatOpenAI(model=BACKUP)])",
        "it.ainvoke(MESSAGES)",
    ),
}


def resident() -> float:
    """Return the process's resident memory in MB."""
    statm = Path("/proc/self/statm")
    pages = int(statm.read_text().split()[1]) if statm.exists() else 0
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def imports(name: str, server: Server) -> dict[str, float]:
    """7. Seconds and MB of the import, the construction, and until the first answer."""
    base = server.base(f"imports-{name}")
    os.environ.update(OPENAI_API_KEY=KEY, OPENAI_BASE_URL=base, OPENAI_API_BASE=base)
    module, building, asking = BUILDS[name]
    names: dict[str, Any] = {"MESSAGES": MESSAGES, "PRIMARY": PRIMARY, "BACKUP": BACKUP}

    async def ask() -> None:
        await eval(asking, names)

    sizes, times = [resident()], [time.perf_counter()]
    steps: tuple[Callable[[], object], ...] = (
        lambda: exec(module, names),
        lambda: exec(f"it = {building}", names),
        lambda: asyncio.run(ask()),
    )
    for step in steps:
        step()
        sizes.append(resident())
        times.append(time.perf_counter())
    return {
        **{
            f"{what}_s": times[n] - times[0]
            for n, what in enumerate(("import", "built", "answered"), 1)
        },
        **{
            f"{what}_mb": sizes[n] - sizes[0]
            for n, what in enumerate(("import", "built", "answered"), 1)
        },
    }


async def load(name: str, server: Server, share: float) -> dict[str, Any]:
    """5. Throughput, latency and memory with many calls in flight."""
    quiet()
    slot = f"load-{name}-{os.getpid()}"
    primary, backup = f"{slot}-primary", f"{slot}-backup"
    contender = CONTENDERS[name](
        Terms(server.base(primary), server.base(backup), equal=True, timeout=60)
    )
    for _ in range(INTO_OUTAGE):
        await contender.ask()
    found: dict[str, Any] = {"memory_kb": await _memory(contender, server, primary)}
    found["healthy"] = {
        level: await _crowd(contender, level, int(n * share)) for level, n in LEVELS.items()
    }
    if contender.fails_over:
        server.tell(primary, "down")
        for _ in range(INTO_OUTAGE):
            await contender.ask()
        found["outage"] = {
            level: await _crowd(contender, level, int(n * share / 2)) for level, n in LEVELS.items()
        }
    return found


async def _memory(contender: Contender, server: Server, slot: str) -> float:
    """Return the KB of resident memory of a call that waits for its answer."""
    await rest()
    server.tell(slot, "hung")
    before = resident()
    calls = [asyncio.create_task(contender.ask()) for _ in range(WAITING)]
    for _ in range(3_000):
        await asyncio.sleep(0.01)
        if await asyncio.to_thread(server.waiting, slot) == WAITING:
            break
    grown = resident() - before
    server.tell(slot, "healthy")
    await asyncio.gather(*calls)
    await rest()
    return grown * 1e3 / WAITING


async def _crowd(contender: Contender, level: int, number: int) -> dict[str, float]:
    """Make so many calls, ``level`` of them at a time."""
    left = iter(range(max(number, level)))
    took: list[float] = []

    async def caller() -> None:
        for _ in left:
            began = time.perf_counter()
            await contender.ask()
            took.append(time.perf_counter() - began)

    cpu, began = time.process_time(), time.perf_counter()
    await asyncio.gather(*(caller() for _ in range(level)))
    await rest()  # work that was put off counts
    whole = time.perf_counter() - began
    return {
        "rate": len(took) / whole,
        "p50_ms": percentile(took, 0.5) * 1e3,
        "p99_ms": percentile(took, 0.99) * 1e3,
        "cpu_ms": (time.process_time() - cpu) * 1e3 / len(took),
    }


def main(what: str, url: str, *rest_of: str) -> None:
    """Measure and print."""
    server = Server(url)
    match what:
        case "imports":
            found: Any = imports(rest_of[0], server)
        case "load":
            found = asyncio.run(load(rest_of[0], server, float(rest_of[1])))
        case "chunks":
            found = asyncio.run(chunk_times(server, int(rest_of[0])))
        case _:
            found = asyncio.run(own_times(server, int(rest_of[0])))
    print(json.dumps(found))


if __name__ == "__main__":
    main(*sys.argv[1:])
