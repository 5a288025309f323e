"""A batch that goes on after a crash: each answer is written down at once. Runs without keys."""

import asyncio
import json
import os
from contextlib import suppress
from multiprocessing import get_context
from pathlib import Path
from tempfile import TemporaryDirectory

from majordomo_cascade import LLMCascade
from majordomo_cascade.testing import Reply, Status, simulate

cascade = LLMCascade([("anthropic", "claude-sonnet-5-5"), ("openai", "gpt-5.4-mini")])

PROMPTS = [f"Summarize letter {number}." for number in range(10)]


def done_in(file: Path) -> set[int]:
    """Return the numbers of the prompts whose answer is in the file."""
    numbers = set()
    if file.exists():
        for line in file.read_text().splitlines():
            with suppress(ValueError):  # a crash may have cut a line
                numbers.add(json.loads(line)["number"])
    return numbers


async def answer_all(cascade: LLMCascade, file: Path, crash_at: int | None = None) -> None:
    """Ask the prompts that have no answer yet."""
    done = done_in(file)
    left = [number for number in range(len(PROMPTS)) if number not in done]
    print(f"{len(done)} answers are there, {len(left)} prompts are left", flush=True)
    with file.open("a") as lines:
        async for item in cascade.batch((PROMPTS[number] for number in left), concurrency=2):
            if item.response is None:
                print("failed, and asked again next time:", item.error)
                continue
            record = {"number": left[item.index], "answer": item.response.content}
            line = json.dumps(record)
            if item.index == crash_at:
                lines.write("\n" + line[:15])  # a crash in the middle of a line
                lines.flush()
                os._exit(1)
            lines.write("\n" + line)  # behind a line that was cut, a new one begins
            lines.flush()


def main(file: Path, crash_at: int | None = None) -> None:
    # A simulated outage, so that this runs anywhere. With keys, give cascade to answer_all.
    with simulate(cascade, Status(503), Reply("A short summary.")) as simulation:
        asyncio.run(answer_all(simulation.cascade, file, crash_at))


if __name__ == "__main__":
    with TemporaryDirectory() as folder:
        file = Path(folder) / "answers.jsonl"
        program = get_context("spawn").Process(target=main, args=(file, 6))
        program.start()
        program.join()
        print("the program crashed with status", program.exitcode)
        main(file)
        print(f"{len(done_in(file))} answers are there at the end")
