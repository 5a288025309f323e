"""1,000 calls at once, again and again, while providers fail in every way: nothing may be lost, or left over.

To be run by hand, for $SECONDS (60). One line a round; exits with 1 if a call was lost or anything leaks.
"""

# ruff: noqa: T201 - it prints
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
from majordomo_cascade.testing import LoopbackProvider, Reply

#: Rounds until all that is loaded late is loaded, and the heap has found its size.
WARM_UP = 2
#: How much the process may grow after that, in MB: heaps fragment.
MARGIN = 40.0


@dataclass(frozen=True)
class Lane:
    """A share of a round's calls: one wire, one way to ask, and a provider that fails."""

    cascade: LLMCascade
    way: Way
    failing: LoopbackProvider


def memory() -> float:
    """The process's resident memory in MB, 0 where that can't be seen."""
    statm = Path("/proc/self/statm")
    pages = int(statm.read_text().split()[1]) if statm.exists() else 0
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def is_answered(response: LLMResponse | BaseException) -> bool:
    """Whether the second target answered in full, and the attempts tell why it had to."""
    if not isinstance(response, LLMResponse):
        return False
    *failures, last = response.attempts
    return (
        (response.content, response.model, last.outcome) == (ANSWER, SECOND, "ok")
        and bool(failures)
        and all(
            isinstance(one.error, ProviderError) if one.outcome == "failed" else one.outcome == "cancelled"
            for one in failures
        )
    )


async def play(lanes: list[Lane], providers: list[LoopbackProvider]) -> tuple[int, Leftovers]:
    """One round: how many calls were lost, and what is left over."""
    litellm.in_memory_llm_clients_cache.flush_cache()  # the round before closed its clients
    litellm.module_level_aclient = type(litellm.module_level_aclient)(timeout=litellm.request_timeout)
    share, rest = divmod(CALLS, len(lanes))
    with Inventory(*providers) as inventory:
        answers = await asyncio.gather(
            *(storm(lane.cascade, lane.way, lane.failing, share + (number < rest)) for number, lane in enumerate(lanes))
        )
        lost = [repr(response) for responses in answers for response in responses if not is_answered(response)]
        print("".join(f"lost: {response}\n" for response in lost[:3]), end="", file=sys.stderr)
        answers.clear()
        return len(lost), await inventory.leftovers()


async def soak(seconds: float) -> bool:
    """Rounds for so many seconds; whether all went well."""
    is_well, size = True, 0.0
    with ExitStack() as stack:

        def serve(behaviour: Reply | Trouble) -> LoopbackProvider:
            return stack.enter_context(LoopbackProvider(behaviour))

        well, lanes = serve(Reply(ANSWER)), []
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
        end, number = time.monotonic() + seconds, 0
        print(f"before: {memory():.0f} MB")
        while number <= WARM_UP or time.monotonic() < end:
            number, began = number + 1, time.monotonic()
            lost, left = await play(lanes, providers)
            print(
                f"round {number}: {CALLS - lost} answered, {lost} lost, {len(left.tasks)} tasks, "
                f"{left.files:+d} files, {left.objects.total()} objects, {memory():.0f} MB, "
                f"{time.monotonic() - began:.1f} s",
                flush=True,
            )
            if lost or left:
                is_well = False
                print(left, file=sys.stderr)
            if number == WARM_UP:
                size = memory()
    grown = memory() - size
    if grown > MARGIN:
        print(f"grown by {grown:.0f} MB after {WARM_UP} rounds, {MARGIN:.0f} MB are allowed", file=sys.stderr)
    return is_well and grown <= MARGIN


def main() -> int:
    """Soak; 0 if all went well."""
    litellm.suppress_debug_info = True
    for name in ("majordomo_cascade", "LiteLLM"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    return 0 if asyncio.run(soak(float(os.environ.get("SECONDS") or 60))) else 1


if __name__ == "__main__":
    sys.exit(main())
