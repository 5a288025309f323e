"""Count the requests that an outage wastes, with and without ``shared_health``.

Eight processes make calls at random moments, on average one a second each. The first provider is
down for 30 seconds. Run by hand; it needs redis-server, and three minutes. Another rate, in calls a
second, is its argument::

    .venv/bin/python tools/shared_health_outage.py 5
"""

from __future__ import annotations

import asyncio
import json
import random
import socket
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from typing import Any

from majordomo_cascade import LLMCascade, Target
from majordomo_cascade.shared_health import RedisHealth
from majordomo_cascade.testing import Exchange, FakeProvider, Reply, Status

PROCESSES = 8
#: Seconds.
BEFORE, OUTAGE, AFTER = 3.0, 30.0, 36.0


@dataclass
class FailsForAWhile:
    """Is down from one moment to another, and counts the requests that it gets."""

    down_from: float = float("inf")
    down_until: float = float("inf")
    wasted: list[float] = field(default_factory=list)

    async def perform(self, exchange: Exchange) -> None:
        """Answer, or say 503."""
        now = time.monotonic()
        is_down = self.down_from <= now < self.down_until
        if is_down:
            self.wasted.append(now - self.down_from)
        await (Status(503) if is_down else Reply("first")).perform(exchange)


async def ask(first: str, second: str, redis_url: str, rate: str, seed: str) -> None:
    """Make calls as one of the processes, and print who served each."""
    moments = random.Random(seed)
    targets = [
        Target("openai", "gpt-4.1", api_base=first, api_key="sk-first"),
        Target("openai", "gpt-4.1", api_base=second, api_key="sk-second"),
    ]
    shared_health = RedisHealth(redis_url) if redis_url else None
    cascade = LLMCascade(targets, shared_health=shared_health)
    for _ in range(3):
        await cascade.get_response("Hello")  # imports, and connects
    print("ready", flush=True)
    end = float(await asyncio.to_thread(sys.stdin.readline))
    served: list[tuple[float, str]] = []

    async def call() -> None:
        content = (await cascade.get_response("Hello")).content
        served.append((time.monotonic(), content))

    async with asyncio.TaskGroup() as calls:
        while time.monotonic() < end:
            calls.create_task(call())
            await asyncio.sleep(moments.expovariate(float(rate)))
    print(json.dumps(served))


def measure(rate: str, redis_url: str) -> dict[str, Any]:
    """Return what an outage costs all processes together."""
    failing = FailsForAWhile()
    with FakeProvider(failing) as first, FakeProvider(Reply("second")) as second:
        arguments = (f"{first.url}/v1", f"{second.url}/v1", redis_url, rate)
        processes = [
            subprocess.Popen(
                [sys.executable, __file__, *arguments, str(seed)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
            for seed in range(PROCESSES)
        ]
        for each in processes:
            assert each.stdout is not None
            each.stdout.readline()
        failing.down_from = time.monotonic() + BEFORE
        failing.down_until = failing.down_from + OUTAGE
        served = []
        for each in processes:
            assert each.stdin is not None
            each.stdin.write(f"{failing.down_until + AFTER}\n")
            each.stdin.flush()
        for each in processes:
            out, _ = each.communicate()
            served.append(json.loads(out))
    back = [
        min(when for when, who in calls if who == "first" and when > failing.down_until)
        for calls in served
    ]
    return {
        "calls, all answered": sum(map(len, served)),
        "requests to the dead provider": len(failing.wasted),
        "of these after its first 10 seconds": sum(when > 10 for when in failing.wasted),
        "seconds until one process was back": round(min(back) - failing.down_until, 1),
        "seconds until all were back": round(max(back) - failing.down_until, 1),
    }


def main(rate: str = "1") -> None:
    """Print the figures of both."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with tempfile.TemporaryDirectory() as folder:
        command = ["redis-server", "--port", str(port), "--bind", "127.0.0.1", "--save", ""]
        server = subprocess.Popen([*command, "--dir", folder], stdout=subprocess.DEVNULL)
        try:
            for name, url in (("without", ""), ("with", f"redis://127.0.0.1:{port}")):
                print(f"{name} shared_health")
                for what, figure in measure(rate, url).items():
                    print(f"  {what:36} {figure:>6}", flush=True)
        finally:
            server.terminate()
            server.wait()


if __name__ == "__main__":
    if len(sys.argv) > 2:
        asyncio.run(ask(*sys.argv[1:]))
    else:
        main(*sys.argv[1:])
