"""What all tests share: no key of yours, no network, and loopback providers."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack

# Before LiteLLM is imported: it would fetch these from the network.
os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"
os.environ["LITELLM_LOCAL_ANTHROPIC_BETA_HEADERS"] = "True"

import backoff
import litellm
import pytest

from majordomo_cascade.testing import Behaviour, LoopbackProvider

#: One model of each wire that LiteLLM has a price and capabilities for.
WIRES = (("openai", "gpt-4.1"), ("anthropic", "claude-sonnet-4-5"), ("gemini", "gemini-2.5-flash"))

Serve = Callable[..., LoopbackProvider]


@pytest.fixture(autouse=True)
async def no_leftover_sockets() -> AsyncIterator[None]:
    """Close LiteLLM's pool with the event loop of each test: it would be reported as unclosed at exit."""
    yield
    await litellm.close_litellm_async_clients()


@pytest.fixture(autouse=True)
def no_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hide the keys and settings of whoever runs the tests."""
    for name in os.environ:
        if name.endswith(("_API_KEY", "_API_BASE", "_BASE_URL", "_AUTH_TOKEN")) or name.startswith("MAJORDOMO_"):
            monkeypatch.delenv(name)


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Start loopback providers that act out behaviours; all stop after the test."""
    with ExitStack() as stack:

        def start(*behaviours: Behaviour) -> LoopbackProvider:
            return stack.enter_context(LoopbackProvider(*behaviours))

        yield start


@pytest.fixture
def no_jitter(monkeypatch: pytest.MonkeyPatch) -> None:
    """Waits are as long as they can get, so that tests can name them."""
    monkeypatch.setattr(backoff, "full_jitter", lambda value: value)
