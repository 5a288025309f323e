"""One command: measure everything in one run, print the table, write the JSON, the plot and the README's block.

make bench              # eight to ten minutes on two cores
make bench QUICK=1      # two minutes, to see that it works; writes nothing
make bench REPORT=1     # the plot and the README again, from results.json
"""

# ruff: noqa: T201 - it prints
from __future__ import annotations

import argparse
import asyncio
import datetime
import json
import os
import platform
import random
import subprocess
import sys
import time
from collections import defaultdict
from importlib import metadata
from pathlib import Path
from typing import Any

from . import scenarios
from .contenders import CONTENDERS, quiet
from .figures import Figure, plain
from .report import README, RESULTS, goals, rewrite, table
from .server import Server
from .worker import BUILDS, INTO_OUTAGE, LEVELS, WAITING

ROOT = Path(__file__).parents[2]
PACKAGES = (
    "litellm", "openai", "pydantic-ai-slim", "langchain-core", "langchain-openai", "pydantic", "httpx", "aiohttp",
    "tenacity",
)  # fmt: skip

#: Rounds of each scenario, and for a quick look.
ROUNDS = {
    "healthy": (200, 15), "stream": (80, 5), "structured": (80, 5), "outage_equal": (10, 1), "outage_default": (3, 1),
    "hung_equal": (6, 1), "hung_default": (3, 1), "load": (3, 1), "imports": (5, 1), "own": (200, 5),
}  # fmt: skip
BEGAN = time.monotonic()
#: Seconds after which something hangs.
LONGEST = 1_200
#: The share of a load's calls that a quick look makes.
QUICK_LOAD = 0.1


def say(text: str) -> None:
    """Tell how far it is."""
    print(f"{time.monotonic() - BEGAN:4.0f} s  {text}", file=sys.stderr, flush=True)


def work(what: str, server: Server, *args: object) -> Any:
    """What a worker process measures."""
    command = [sys.executable, "-m", "benchmarks.worker", what, server.url, *map(str, args)]
    done = subprocess.run(command, cwd=ROOT / "tests", stdout=subprocess.PIPE, text=True, check=True, timeout=LONGEST)
    return json.loads(done.stdout.splitlines()[-1])


def merged(rounds: list[Any]) -> Any:
    """The same numbers of several rounds as figures."""
    if isinstance(rounds[0], dict):
        return {name: merged([each[name] for each in rounds]) for name in rounds[0]}
    return Figure.of(rounds)


async def one_by_one(server: Server, rounds: dict[str, int]) -> dict[str, Any]:
    """The scenarios of one call at a time, all in this process."""
    quiet()
    found: dict[str, Any] = {}
    say("1. healthy calls")
    found["healthy"] = await scenarios.healthy(server, rounds["healthy"])
    say("2, 3. outages, no retries")
    found["outage_equal"] = await scenarios.outages(server, rounds["outage_equal"], equal=True)
    say("2, 3. outages, default settings")
    found["outage_default"] = await scenarios.outages(server, rounds["outage_default"], equal=False)
    say("4. a hung primary")
    found["hung_equal"] = await scenarios.hung(server, rounds["hung_equal"], equal=True)
    found["hung_default"] = await scenarios.hung(server, rounds["hung_default"], equal=False)
    say("6. streams")
    found["stream"] = await scenarios.streams(server, rounds["stream"])
    say("8. structured output")
    found["structured"] = await scenarios.structured(server, rounds["structured"])
    return found


def in_processes(server: Server, rounds: dict[str, int], share: float) -> dict[str, Any]:
    """The scenarios that each want a new process, in another order every round."""
    found: dict[str, Any] = {}
    for what, names, args in (("load", list(CONTENDERS), (share,)), ("imports", list(BUILDS), ())):
        series: defaultdict[str, list[Any]] = defaultdict(list)
        for number in range(rounds[what]):
            say(f"{'5. load' if what == 'load' else '7. imports'}, round {number + 1} of {rounds[what]}")
            for name in random.sample(names, len(names)):
                series[name].append(work(what, server, name, *args))
        found[what] = {name: merged(series[name]) for name in names}
    say("each layer's own time")
    own = work("own", server, rounds["own"] * 100)
    return {**found, "own": {name: Figure.of(values) for name, values in own.items()}}


def allow_sockets() -> None:
    """As many open files as the machine lets a process have: outages and crowds take a few thousand sockets."""
    import resource

    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def machine() -> dict[str, Any]:
    """Where it ran; no names of hosts or users."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    model = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "")
    return {
        "cpu": model or platform.machine(),
        "cores": os.cpu_count(),
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "system": f"{platform.system()} {platform.release()}",
    }


def size() -> dict[str, int]:
    """Modules of the package, and their lines, docstrings included."""
    texts = [path.read_text() for path in sorted((ROOT / "majordomo_cascade").glob("*.py"))]
    return {"modules": len(texts), "lines": sum(text.count("\n") for text in texts)}


def measure(rounds: dict[str, int], share: float) -> dict[str, Any]:
    """Everything, in one run, on one server."""
    with Server() as server:
        found = {
            **asyncio.run(asyncio.wait_for(one_by_one(server, rounds), LONGEST)),
            **in_processes(server, rounds, share),
        }
    settings = {
        "rounds": rounds,
        "hung_timeout_s": scenarios.HUNG_TIMEOUT,
        "deep_call": scenarios.DEEP,
        "calls_at_level": {level: int(number * share) for level, number in LEVELS.items()},
        "calls_into_outage": INTO_OUTAGE,
        "calls_waiting_for_memory": WAITING,
    }
    results = {
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "machine": machine(),
        "versions": {name: metadata.version(name) for name in PACKAGES},
        "settings": settings,
        "contenders": {
            name: {"label": kind.label, "note": kind.note, "floor": scenarios.floor_of(name)}
            for name, kind in CONTENDERS.items()
        },
        "size": size(),
        **found,
    }
    results = plain(results)
    return {**results, "goals": goals(results)}


def main() -> int:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="What failover costs.")
    parser.add_argument("--quick", action="store_true", help="a short run, which writes nothing")
    parser.add_argument(
        "--report", action="store_true", help="no run: the table, the plot and the README from the JSON"
    )
    options = parser.parse_args()
    if options.report:
        results = json.loads(RESULTS.read_text())
    else:
        allow_sockets()
        os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"
        os.environ["NO_PROXY"] = os.environ["no_proxy"] = "127.0.0.1"
        results = measure(
            {name: pair[options.quick] for name, pair in ROUNDS.items()}, QUICK_LOAD if options.quick else 1
        )
    print(table(results))
    if options.quick:
        return 0
    from .plot import draw

    RESULTS.write_text(json.dumps(results, indent=1) + "\n")
    README.write_text(rewrite(README.read_text(), results))
    draw(results, RESULTS.with_suffix(".svg"))
    return 0


if __name__ == "__main__":
    sys.exit(main())
