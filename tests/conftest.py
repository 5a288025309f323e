"""What all tests share: no key of yours, no network, and loopback providers."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack
from typing import Any

# Before LiteLLM is imported: it would fetch these from the network.
os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"
os.environ["LITELLM_LOCAL_ANTHROPIC_BETA_HEADERS"] = "True"

import backoff
import litellm
import pytest

from majordomo_cascade.testing import Behaviour, Exchange, LoopbackProvider, Reply

#: One model of each wire that LiteLLM has a price and capabilities for.
WIRES = (("openai", "gpt-4.1"), ("anthropic", "claude-sonnet-4-5"), ("gemini", "gemini-2.5-flash"))

Serve = Callable[..., LoopbackProvider]


@pytest.fixture(autouse=True)
async def no_leftover_sockets() -> AsyncIterator[None]:
    """Close LiteLLM's pool with the event loop of each test: it would be reported as unclosed at exit."""
    yield
    await litellm.close_litellm_async_clients()
    shared: Any = litellm.module_level_aclient
    if shared.client.is_closed:  # older versions close the client of Gemini's streams as well, and keep it
        litellm.module_level_aclient = type(shared)(timeout=litellm.request_timeout)


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


async def until(condition: Callable[[], object]) -> None:
    """Let the event loop run until something is so; not a matter of time, but of rounds that poll all sockets."""
    for _ in range(200_000):
        if condition():
            return
        await asyncio.sleep(0)
    raise AssertionError("it never came to pass")


class Steps:
    """A behaviour that answers a stream event by event, each only when the test says so."""

    def __init__(self, reply: Reply) -> None:
        self.reply = reply
        self.sent: list[Any] = []
        self._allowed = 0
        self._may_go_on: asyncio.Event | None = None

    async def perform(self, exchange: Exchange) -> None:
        """Send the next event with each permission; then end."""
        self._may_go_on, self._loop = asyncio.Event(), asyncio.get_running_loop()
        gone = asyncio.ensure_future(exchange.reader.read())
        await exchange.begin_stream()
        for number, event in enumerate(self.reply.events(exchange.request)):
            while number >= self._allowed:
                self._may_go_on.clear()
                going_on = asyncio.ensure_future(self._may_go_on.wait())
                await asyncio.wait((going_on, gone), return_when=asyncio.FIRST_COMPLETED)
                going_on.cancel()
                if gone.done():
                    return
            self.sent.append(event)
            await exchange.send_event(event)
        gone.cancel()
        await exchange.end_stream()

    def allow(self, events: int) -> None:
        """Let so many more events go."""
        self._allowed += events
        if self._may_go_on is not None:
            self._loop.call_soon_threadsafe(self._may_go_on.set)
