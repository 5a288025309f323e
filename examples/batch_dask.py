"""A batch on the workers of a Dask cluster: a cascade is simply sent to them. Runs without keys.

Needs ``pip install distributed``.
"""

import logging
from typing import Any

from distributed import Client, LocalCluster

from majordomo_cascade import LLMCascade
from majordomo_cascade.testing import FakeProvider, Reply, Status

PROMPTS = [f"Classify ticket {number}." for number in range(12)]


def classify(cascade: LLMCascade, prompts: list[str]) -> list[tuple[str, str]]:
    """Ask, in a worker, which has event loop, connections and breakers of its own."""
    answers = []
    for item in cascade.sync.batch(prompts, concurrency=5):
        told = item.response.content if item.response else f"failed: {item.error}"
        answers.append((prompts[item.index], told))
    return answers


def main(cascade: LLMCascade) -> None:
    parts = [PROMPTS[start : start + 6] for start in range(0, len(PROMPTS), 6)]
    quiet: dict[str, Any] = {"dashboard_address": None, "silence_logs": logging.ERROR}
    answers: dict[str, str] = {}
    with (
        LocalCluster(n_workers=2, threads_per_worker=1, **quiet) as cluster,
        Client(cluster) as client,
    ):
        for future in client.map(classify, [cascade] * len(parts), parts):
            answers.update(future.result())
    print(len(answers), "answers, such as", repr(answers[PROMPTS[-1]]))


if __name__ == "__main__":
    # Fake providers, so that this runs anywhere. With keys: LLMCascade(["anthropic/…", "openai/…"])
    with FakeProvider(Status(503)) as down, FakeProvider(Reply("A complaint.")) as well:
        main(LLMCascade([down.target("anthropic", "claude-sonnet-5-5"), well.target()]))
        print("the second provider was asked", len(well.requests), "times")
