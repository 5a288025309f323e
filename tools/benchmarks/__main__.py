"""Measure everything in one run, and write the table, the JSON, the plot and docs/benchmarks.md.

make bench              # eight to ten minutes on two cores
make bench QUICK=1      # three minutes, to see the goals; writes nothing
make bench REPORT=1     # the plot and docs/benchmarks.md again, from results.json
"""

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
from .report import PAGE, RESULTS, check_goals, rewrite, table
from .server import CHUNKS, Server
from .worker import BUILDS, INTO_OUTAGE, LEVELS, WAITING

ROOT = Path(__file__).parents[2]
PACKAGES = (
    "litellm",
    "openai",
    "pydantic-ai-slim",
    "langchain-core",
    "langchain-openai",
    "pydantic",
    "httpx",
    "aiohttp",
    "tenacity",
)

#: Rounds of each scenario: of a full run, and of a quick one.
ROUNDS = {
    "healthy": (200, 15),
    "stream": (80, 5),
    "structured": (80, 5),
    "outage_equal": (10, 1),
    "outage_default": (3, 1),
    "hung_equal": (6, 1),
    "hung_default": (3, 1),
    "load": (3, 1),
    "imports": (5, 1),
    "chunks": (150, 30),
    "own": (200, 10),
}
BEGAN = time.monotonic()
#: Seconds after which something must be hanging.
LONGEST = 1_200
#: The share of a load's calls that a quick look makes.
QUICK_LOAD = 0.1


def say(text: str) -> None:
    """Tell how far it is."""
    print(f"{time.monotonic() - BEGAN:4.0f} s  {text}", file=sys.stderr, flush=True)


def work(what: str, server: Server, *args: object) -> Any:
    """Return what a worker process measures."""
    command = [sys.executable, "-m", "benchmarks.worker", what, server.url, *map(str, args)]
    done = subprocess.run(
        command, cwd=ROOT / "tools", stdout=subprocess.PIPE, text=True, check=True, timeout=LONGEST
    )
    return json.loads(done.stdout.splitlines()[-1])


def merged(rounds: list[Any]) -> Any:
    """Turn the same numbers of several rounds into figures."""
    if isinstance(rounds[0], dict):
        return {name: merged([each[name] for each in rounds]) for name in rounds[0]}
    return Figure.of(rounds)


def figures_of(series: dict[str, list[float]]) -> dict[str, Figure]:
    """Turn series of values into figures."""
    return {name: Figure.of(values) for name, values in series.items()}


async def one_by_one(server: Server, rounds: dict[str, int]) -> dict[str, Any]:
    """Measure one call at a time, all in this process."""
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
    """Measure what needs a new process each time, in random order."""
    found: dict[str, Any] = {}
    for title, what, names, args in (
        ("5. load", "load", list(CONTENDERS), (share,)),
        ("7. imports", "imports", list(BUILDS), ()),
    ):
        series: defaultdict[str, list[Any]] = defaultdict(list)
        for number in range(rounds[what]):
            say(f"{title}, round {number + 1} of {rounds[what]}")
            for name in random.sample(names, len(names)):
                series[name].append(work(what, server, name, *args))
        found[what] = {name: merged(series[name]) for name in names}
    say("9. chunks of a stream, and own times")
    chunks = work("chunks", server, rounds["chunks"])
    own = work("own", server, rounds["own"] * 100)
    found["chunks"] = {way: figures_of(series) for way, series in chunks.items()}
    found["own"] = figures_of(own)
    return found


def allow_sockets() -> None:
    """Raise the limit of open files: outages and crowds take a few thousand sockets."""
    import resource

    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def machine() -> dict[str, Any]:
    """Describe the machine, without names of hosts or users."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return {
        "cpu": models[0] if models else platform.machine(),
        "cores": os.cpu_count(),
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "system": f"{platform.system()} {platform.release()}",
    }


def measure(rounds: dict[str, int], share: float) -> dict[str, Any]:
    """Measure everything, in one run, on one server."""
    with Server() as server:
        found = {
            **asyncio.run(asyncio.wait_for(one_by_one(server, rounds), LONGEST)),
            **in_processes(server, rounds, share),
        }
    settings = {
        "rounds": rounds,
        "hung_timeout_s": scenarios.HUNG_TIMEOUT,
        "deep_call": scenarios.DEEP,
        "chunks": CHUNKS,
        "calls_at_level": {level: int(number * share) for level, number in LEVELS.items()},
        "calls_into_outage": INTO_OUTAGE,
        "calls_waiting_for_memory": WAITING,
    }
    results: dict[str, Any] = plain(
        {
            "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
            "machine": machine(),
            "versions": {name: metadata.version(name) for name in PACKAGES},
            "settings": settings,
            "contenders": {
                name: {"label": kind.label, "note": kind.note, "floor": scenarios.floor_of(name)}
                for name, kind in CONTENDERS.items()
            },
            **found,
        }
    )
    return results


def main() -> int:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description="What failover costs."
    )
    parser.add_argument("--quick", action="store_true", help="a short run, which writes nothing")
    parser.add_argument(
        "--report",
        action="store_true",
        help="no run: the table, the plot and the page from the JSON",
    )
    options = parser.parse_args()
    if options.report:
        results = json.loads(RESULTS.read_text())
    else:
        allow_sockets()
        os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"
        os.environ["NO_PROXY"] = os.environ["no_proxy"] = "127.0.0.1"
        rounds = {name: pair[options.quick] for name, pair in ROUNDS.items()}
        results = measure(rounds, QUICK_LOAD if options.quick else 1)
    results["goals"] = check_goals(results)
    print(table(results))
    if options.quick:
        return 0
    from .plot import draw

    RESULTS.write_text(json.dumps(results, indent=1) + "\n")
    PAGE.write_text(rewrite(PAGE.read_text(), results))
    draw(results, RESULTS.with_suffix(".svg"))
    return 0


if __name__ == "__main__":
    sys.exit(main())
