"""What the tests of the frameworks share: a house whose first provider is down."""

from __future__ import annotations

import ast
import asyncio
import contextlib
import inspect
import io
import os
import re
import sys
from collections.abc import Coroutine, Iterator
from pathlib import Path
from typing import Any, NamedTuple

# Before LiteLLM and the frameworks are imported: they would fetch data, or send it.
os.environ |= {
    "LITELLM_LOCAL_MODEL_COST_MAP": "True",
    "LITELLM_LOCAL_ANTHROPIC_BETA_HEADERS": "True",
    "HF_HUB_OFFLINE": "1",
    "OTEL_SDK_DISABLED": "true",
    "CREWAI_DISABLE_TELEMETRY": "true",
    "CREWAI_DISABLE_TRACKING": "true",
    "CREWAI_TRACING_ENABLED": "false",
    "LANGSMITH_TRACING": "false",
    "MEM0_TELEMETRY": "False",
    "OPENAI_AGENTS_DISABLE_TRACING": "1",
}

import pytest

from majordomo_cascade import CircuitBreaker, LLMCascade, RetryPolicy
from majordomo_cascade.gateway import portal
from majordomo_cascade.testing import Behaviour, FakeProvider, Request, Status

PAGE = (Path(__file__).parents[2] / "docs" / "frameworks.md").read_text()
BLOCK = re.compile(r"```python\n(.*?)```", re.DOTALL)

#: The page's first block, which the others need.
[INTRODUCTION] = BLOCK.findall(PAGE.partition("\n## ")[0])

#: The target that is down, and the one that answers.
ROUTES = {
    "openai answers": (("anthropic", "claude-sonnet-4-5"), ("openai", "gpt-4.1")),
    "anthropic answers": (("openai", "gpt-4.1"), ("anthropic", "claude-sonnet-4-5")),
    "gemini answers": (("openai", "gpt-4.1"), ("gemini", "gemini-2.5-flash")),
}


#: Who was asked for besides the fake providers. A framework may swallow the error.
strangers: list[str] = []


def refuse_the_network(event: str, args: tuple[Any, ...]) -> None:
    """Let nobody reach more than this machine."""
    host = None
    if event == "socket.getaddrinfo":
        host = args[0]
    elif event == "socket.connect" and isinstance(args[1], tuple):
        host = args[1][0]
    if host not in (None, "", "localhost", "127.0.0.1", "::1", b"localhost", b"127.0.0.1"):
        strangers.append(str(host))
        raise PermissionError(f"the tests of the frameworks may not reach {host}")


sys.addaudithook(refuse_the_network)


def blocks_under(heading: str) -> list[str]:
    """Return the code blocks of a section of the page."""
    _, _, section = PAGE.partition(f"\n## {heading}\n")
    section, _, _ = section.partition("\n## ")
    return BLOCK.findall(section)


async def finish(program: Coroutine[Any, Any, None]) -> None:
    """Run a program, and close LiteLLM's clients with its event loop."""
    await program
    await forget_clients()


async def forget_clients() -> None:
    """Close LiteLLM's clients, those of blocking callers too, and let it make new ones."""
    import litellm  # not before this package, which keeps it from printing at every error

    portal.stop()
    await litellm.close_litellm_async_clients()
    litellm.in_memory_llm_clients_cache.flush_cache()


class House(NamedTuple):
    """A cascade that is registered as ``house``: its two providers, and the page about it."""

    down: FakeProvider
    up: FakeProvider
    folder: Path
    names: dict[str, Any]
    """The names that the blocks of the page have set so far."""

    def run(self, block: str, *answers: Behaviour) -> str:
        """Run a block of the page, and return what it prints."""
        self.up.behaviours[:] = answers
        file = self.folder / f"block_{len(list(self.folder.iterdir()))}.py"
        file.write_text(block)  # smolagents reads the source of a tool
        flags = ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
        program = compile(block, file, "exec", flags, dont_inherit=True)
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            pending = eval(program, self.names)
            if inspect.iscoroutine(pending):
                asyncio.run(finish(pending))
        return printed.getvalue()

    def asked(self, times: int) -> list[Request]:
        """Check that each provider was asked so often since the last time.

        Returns the requests that were answered.
        """
        down, up = self.down.requests[:], self.up.requests[:]
        self.down.requests.clear()
        self.up.requests.clear()
        assert (len(down), len(up)) == (times, times)
        return up


@pytest.fixture(params=ROUTES)
def house(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Iterator[House]:
    """Register a cascade whose first target is down; take it away after the test."""
    for name in os.environ:
        if name.endswith(("_API_KEY", "_API_BASE", "_BASE_URL")):
            monkeypatch.delenv(name)
    first, second = ROUTES[request.param]
    names: dict[str, Any] = {"__name__": "page"}
    with FakeProvider(Status(503)) as down, FakeProvider() as up:
        house = House(down, up, tmp_path, names)
        house.run(INTRODUCTION)
        names["cascade"] = LLMCascade(
            [down.target(*first), up.target(*second)],
            retry=RetryPolicy(attempts=1),
            breaker=CircuitBreaker(failures=1000),  # so each call tries the first target
        )
        names["cascade"].register("house")  # instead of the page's
        yield house
        LLMCascade.unregister("house")
        asyncio.run(forget_clients())
    assert strangers == []
