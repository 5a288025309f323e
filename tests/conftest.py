"""What all tests share: no keys, no network, and fake providers on 127.0.0.1."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Generator, Iterator
from contextlib import ExitStack
from importlib.metadata import version
from typing import Any

# Before LiteLLM is imported: it would fetch these from the network.
os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"
os.environ["LITELLM_LOCAL_ANTHROPIC_BETA_HEADERS"] = "True"

import backoff
import litellm
import pytest

from majordomo_cascade.gateway import portal
from majordomo_cascade.testing import Behaviour, Exchange, FakeProvider, Reply

#: One model of each wire. Every supported LiteLLM knows its price and its abilities.
WIRES = (
    ("openai", "gpt-4.1"),
    ("anthropic", "claude-sonnet-4-5"),
    ("gemini", "gemini-2.5-flash"),
)
#: OpenAI's other wire. LiteLLM 1.83 takes its cut answers for whole ones.
RESPONSES = ("openai", "responses/gpt-4.1")
IS_NEW = tuple(map(int, version("litellm").split(".")[:2])) >= (1, 110)
ALL_WIRES = (*WIRES, RESPONSES) if IS_NEW else WIRES

Serve = Callable[..., FakeProvider]

#: Raised by `pytest.raises` if nothing was raised.
NOTHING_RAISED = pytest.fail.Exception

#: How the names of variables end that hold keys and addresses of providers.
PROVIDER_VARIABLES = ("_API_KEY", "_API_BASE", "_BASE_URL", "_AUTH_TOKEN")


@pytest.fixture(autouse=True)
async def no_leftover_sockets() -> AsyncIterator[None]:
    """Close LiteLLM's clients with the event loop of each test.

    They would be reported as unclosed at exit.
    """
    yield
    portal.stop()
    await litellm.close_litellm_async_clients()
    shared: Any = litellm.module_level_aclient
    # Older versions also close the client of Gemini's streams, and keep it.
    if shared.client.is_closed:
        litellm.module_level_aclient = type(shared)(timeout=litellm.request_timeout)


@pytest.fixture(autouse=True)
def no_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hide the keys and settings of the person who runs the tests."""
    for name in os.environ:
        if name.endswith(PROVIDER_VARIABLES) or name.startswith("MAJORDOMO_"):
            monkeypatch.delenv(name)


@pytest.fixture(autouse=True)
def no_registered_cascades(monkeypatch: pytest.MonkeyPatch) -> None:
    """Begin each test with LiteLLM's own providers, whatever the last one registered."""
    monkeypatch.setattr(litellm, "custom_provider_map", [])


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Start fake providers; all stop after the test."""
    with ExitStack() as stack:

        def start(*behaviours: Behaviour, strict: bool = False) -> FakeProvider:
            return stack.enter_context(FakeProvider(*behaviours, strict=strict))

        yield start


@pytest.fixture
def no_jitter(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make waits as long as they can get, so that tests can name them."""
    monkeypatch.setattr(backoff, "full_jitter", lambda value: value)


@pytest.fixture
def no_otel(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take OpenTelemetry's providers away from the process, to which a test may give its own."""
    from opentelemetry import trace
    from opentelemetry.metrics import _internal as metrics
    from opentelemetry.util._once import Once

    monkeypatch.setattr(trace, "_TRACER_PROVIDER", None)
    monkeypatch.setattr(trace, "_TRACER_PROVIDER_SET_ONCE", Once())
    monkeypatch.setattr(trace, "_PROXY_TRACER_PROVIDER", trace.ProxyTracerProvider())
    monkeypatch.setattr(metrics, "_METER_PROVIDER", None)
    monkeypatch.setattr(metrics, "_METER_PROVIDER_SET_ONCE", Once())
    monkeypatch.setattr(metrics, "_PROXY_METER_PROVIDER", metrics._ProxyMeterProvider())


async def until(condition: Callable[[], object]) -> None:
    """Let the event loop run until the condition holds.

    It counts rounds of the loop, each of which polls all sockets, and not time.
    """
    for _ in range(200_000):
        if condition():
            return
        await asyncio.sleep(0)
    raise AssertionError("the condition never held")


class Permission:
    """Lets a behaviour, in the provider's thread, wait for the test."""

    def __init__(self) -> None:
        self._given = 0
        self._waiting: list[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = []

    def give(self, times: int = 1) -> None:
        """Let the behaviours that wait go on."""
        self._given += times
        for loop, event in self._waiting:
            loop.call_soon_threadsafe(event.set)

    async def wait(self, exchange: Exchange, number: int = 1) -> bool:
        """Wait until it was given so many times; False if the caller left before."""
        event, gone = asyncio.Event(), asyncio.ensure_future(exchange.reader.read())
        self._waiting.append((asyncio.get_running_loop(), event))
        while self._given < number and not gone.done():
            event.clear()
            given = asyncio.ensure_future(event.wait())
            await asyncio.wait((given, gone), return_when=asyncio.FIRST_COMPLETED)
            given.cancel()
        is_here = gone.cancel()
        await asyncio.wait((gone,))  # only one may read
        return is_here


class Steps(Permission):
    """Streams an answer event by event, each with the test's leave. ``sent`` lists them."""

    def __init__(self, reply: Reply) -> None:
        super().__init__()
        self.reply = reply
        self.sent: list[Any] = []

    async def perform(self, exchange: Exchange) -> None:
        """Send the next event with each permission; then end."""
        await exchange.begin_stream()
        for event in self.reply.events(exchange.request):
            if not await self.wait(exchange, len(self.sent) + 1):
                return
            self.sent.append(event)
            await exchange.send_event(event)
        await exchange.end_stream()


class Gate(Permission):
    """Holds a request, which is on record, until the test gives leave."""

    def __init__(self, behaviour: Behaviour) -> None:
        super().__init__()
        self.behaviour = behaviour

    async def perform(self, exchange: Exchange) -> None:
        """Wait, then act."""
        if await self.wait(exchange):
            await self.behaviour.perform(exchange)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Report a test as "xfailed" if LiteLLM has mended the fault that the test pins.

    Only a failed assertion counts as that: a test that is broken fails.
    """
    report = yield
    mark = item.get_closest_marker("litellm_fact")
    workaround = mark.kwargs.get("workaround") if mark else None
    is_mended = call.excinfo and call.excinfo.errisinstance((AssertionError, NOTHING_RAISED))
    if workaround and report.when == "call" and is_mended:
        report.outcome = "skipped"
        report.wasxfail = f"LiteLLM has changed: the workaround in {workaround} may go"
    return report
