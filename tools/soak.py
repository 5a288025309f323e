"""Make 1,000 calls at once, again and again, while providers fail in every way: ``make soak``.

Runs for $SECONDS (60), and prints one line a round. Exits with 1 if a call was lost, or if tasks,
files, objects or memory are left over.
"""

from __future__ import annotations

import asyncio
import logging
import os
import sys
import time
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import litellm
from conftest import WIRES
from test_load import (
    ANSWER,
    CALLS,
    FAULTS,
    SECOND,
    STREAM_FAULTS,
    Inventory,
    Leftovers,
    Trouble,
    Way,
    ask,
    ask_either_way,
    ask_for_stream,
    cascade_of,
    storm,
)

from majordomo_cascade import LLMCascade, LLMResponse, ProviderError
from majordomo_cascade.testing import FakeProvider, Reply

#: Rounds after which everything is imported and the heap has its size.
WARM_UP = 2
#: Megabytes that the process may grow after that: heaps fragment.
MAX_GROWTH = 40.0


@dataclass(frozen=True)
class Lane:
    """A share of a round's calls: one wire, one way to ask, and a provider that fails."""

    cascade: LLMCascade
    way: Way
    failing: FakeProvider


def memory() -> float:
    """Return the process's resident memory in MB, or 0 where that is unknown."""
    statm = Path("/proc/self/statm")
    if not statm.exists():
        return 0.0
    pages = int(statm.read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def is_answered(response: LLMResponse | BaseException) -> bool:
    """Tell whether the second target answered in full, and the attempts say why it had to."""
    if not isinstance(response, LLMResponse):
        return False
    *failures, last = response.attempts
    if not failures or last.outcome != "ok":
        return False
    if (response.content, response.model) != (ANSWER, SECOND):
        return False
    return all(
        isinstance(attempt.error, ProviderError)
        if attempt.outcome == "failed"
        else attempt.outcome == "cancelled"
        for attempt in failures
    )


async def play(lanes: list[Lane], providers: list[FakeProvider]) -> tuple[int, Leftovers]:
    """Play one round; return how many calls were lost, and what is left over."""
    # The round before closed LiteLLM's clients.
    litellm.in_memory_llm_clients_cache.flush_cache()
    client_class = type(litellm.module_level_aclient)
    litellm.module_level_aclient = client_class(timeout=litellm.request_timeout)
    share, rest = divmod(CALLS, len(lanes))
    with Inventory(*providers) as inventory:
        storms = []
        for number, lane in enumerate(lanes):
            calls = share + (number < rest)
            storms.append(storm(lane.cascade, lane.way, lane.failing, calls))
        answers = await asyncio.gather(*storms)
        lost = [repr(one) for responses in answers for one in responses if not is_answered(one)]
        for response in lost[:3]:
            print(f"lost: {response}", file=sys.stderr)
        answers.clear()
        return len(lost), await inventory.leftovers()


async def soak(seconds: float) -> bool:
    """Play rounds for so many seconds; tell whether all went well."""
    is_well = True
    size = 0.0
    with ExitStack() as stack:

        def serve(behaviour: Reply | Trouble) -> FakeProvider:
            return stack.enter_context(FakeProvider(behaviour))

        well = serve(Reply(ANSWER))
        lanes = []
        for wire in WIRES:
            for way, faults, hedge_after in (
                (ask, FAULTS, None),
                (ask_for_stream, STREAM_FAULTS, None),
                (ask_either_way, FAULTS, 60),
            ):
                failing = serve(Trouble(faults))
                cascade = cascade_of(failing, well, wire, breaker=None, hedge_after=hedge_after)
                lanes.append(Lane(cascade, way, failing))
        providers = [well, *(lane.failing for lane in lanes)]
        print(f"before: {memory():.0f} MB")
        end = time.monotonic() + seconds
        number = 0
        while number <= WARM_UP or time.monotonic() < end:
            number += 1
            began = time.monotonic()
            lost, left = await play(lanes, providers)
            took = time.monotonic() - began
            print(
                f"round {number}: {CALLS - lost} answered, {lost} lost, {len(left.tasks)} tasks, "
                f"{len(left.files)} files, {left.objects.total()} objects, {memory():.0f} MB, "
                f"{took:.1f} s",
                flush=True,
            )
            if lost or left:
                is_well = False
                print(left, file=sys.stderr)
            if number == WARM_UP:
                size = memory()
    growth = memory() - size
    if growth > MAX_GROWTH:
        print(f"grew by {growth:.0f} MB, more than {MAX_GROWTH:.0f} MB", file=sys.stderr)
        return False
    return is_well


def main() -> int:
    """Soak; return 0 if all went well."""
    litellm.suppress_debug_info = True
    for name in ("majordomo_cascade", "LiteLLM"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    return 0 if asyncio.run(soak(float(os.environ.get("SECONDS") or 60))) else 1


if __name__ == "__main__":
    sys.exit(main())
