"""For users' tests: a real provider on a loopback port that breaks as told.

    with rehearse(my_cascade, Status(503)) as rehearsal:      # the first target is down
        response = await rehearsal.cascade.get_response("Hello")
    assert response.failed_over

Nothing of LiteLLM or of this package is patched: requests go over a real socket to a server that
speaks the OpenAI, Anthropic and Gemini wires. It needs the standard library only, runs in a thread
of its own, and works in any event loop, in pytest and in notebooks.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import socket
import struct
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from itertools import chain, repeat
from types import TracebackType
from typing import Any, Literal, Protocol, Self

from .cascade import WAYS_OUT, LLMCascade
from .errors import ConfigurationError
from .target import Target

__all__ = [
    "Behaviour",
    "BrokenStream",
    "CutBody",
    "Exchange",
    "Garbage",
    "Hang",
    "LoopbackProvider",
    "ManualClock",
    "Rehearsal",
    "Reply",
    "Request",
    "Reset",
    "Status",
    "rehearse",
]

Wire = Literal["openai", "anthropic", "gemini"]

#: LiteLLM's providers that post OpenAI's format to ``{api_base}/chat/completions``.
OPENAI_WIRE = (
    "cerebras",
    "deepseek",
    "fireworks_ai",
    "groq",
    "hosted_vllm",
    "mistral",
    "openai",
    "openrouter",
    "perplexity",
    "together_ai",
    "xai",
)


@dataclass(frozen=True, slots=True)
class Request:
    """One request that reached the provider."""

    path: str
    headers: Mapping[str, str] = field(repr=False)
    """Header names in lower case."""
    json: Any = field(repr=False)
    """The decoded body, None where it was not JSON."""

    @property
    def wire(self) -> Wire:
        """Which vendor's format the caller speaks, told by the path."""
        if self.path.endswith("/chat/completions"):
            return "openai"
        return "anthropic" if self.path.endswith("/messages") else "gemini"

    @property
    def model(self) -> str:
        """The model asked for: in the body, or for Gemini in the path."""
        if self.wire == "gemini":
            return self.path.rpartition("/")[2].partition(":")[0]
        return str(self.json["model"])

    @property
    def wants_stream(self) -> bool:
        """Whether the answer shall come in pieces."""
        return self.path.endswith(":streamGenerateContent") or bool(self.json.get("stream"))


@dataclass(frozen=True, slots=True)
class Exchange:
    """A request and the open connection that waits for its answer."""

    request: Request
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    provider: LoopbackProvider

    async def send(
        self,
        status: int,
        body: bytes,
        *,
        content_type: str = "application/json",
        headers: Mapping[str, str] | None = None,
        promise: int | None = None,
    ) -> None:
        """Send an answer; ``promise`` is the Content-Length, if it shall be a lie."""
        lines = [f"HTTP/1.1 {status} -", f"content-type: {content_type}"]
        lines += [f"{name}: {value}" for name, value in (headers or {}).items()]
        lines += [f"content-length: {len(body) if promise is None else promise}", "", ""]
        self.writer.write("\r\n".join(lines).encode() + body)
        await self.writer.drain()

    async def begin_stream(self) -> None:
        """Send the head of an answer that comes as server-sent events."""
        head = "HTTP/1.1 200 -\r\ncontent-type: text/event-stream\r\nx-request-id: req_1\r\n"
        self.writer.write(f"{head}transfer-encoding: chunked\r\n\r\n".encode())
        await self.writer.drain()

    async def send_event(self, data: Mapping[str, Any] | str) -> None:
        """Send one event; a dict goes as JSON, with its ``type`` as the event's name if it has one."""
        name = f"event: {data['type']}\n" if isinstance(data, Mapping) and "type" in data else ""
        event = f"{name}data: {data if isinstance(data, str) else json.dumps(data)}\n\n".encode()
        self.writer.write(b"%x\r\n%b\r\n" % (len(event), event))
        await self.writer.drain()

    async def end_stream(self) -> None:
        """Send the regular end of a stream's body."""
        self.writer.write(b"0\r\n\r\n")
        await self.writer.drain()

    async def stay_silent(self) -> None:
        """Say nothing until the caller goes away or the provider closes."""
        self.provider.silent += 1
        try:
            if self.provider.on_silence is not None:
                self.provider.on_silence()
            await self.reader.read()
        finally:
            self.provider.silent -= 1


class Behaviour(Protocol):
    """What the provider does with one request. Write your own if these do not reach."""

    async def perform(self, exchange: Exchange) -> None:
        """Answer, or don't."""


@dataclass(frozen=True, slots=True)
class Reply:
    """A good answer in the caller's wire format; a word an event where a stream was asked for."""

    text: str | None = "Hello from the loopback provider."
    finish_reason: Literal["stop", "length", "content_filter"] = "stop"
    input_tokens: int = 10
    output_tokens: int = 5

    async def perform(self, exchange: Exchange) -> None:
        """Answer 200 with a whole completion."""
        if exchange.request.wants_stream:
            await exchange.begin_stream()
            for event in self.events(exchange.request):
                await exchange.send_event(event)
            await exchange.end_stream()
            return
        body = {"openai": self._openai, "anthropic": self._anthropic, "gemini": self._gemini}[exchange.request.wire]
        await exchange.send(200, json.dumps(body(exchange.request.model)).encode(), headers={"x-request-id": "req_1"})

    def events(self, request: Request) -> list[dict[str, Any] | str]:
        """The answer as the events of a stream."""
        words = _words(self.text or "")
        events = {"openai": self._openai_events, "anthropic": self._anthropic_events, "gemini": self._gemini_events}
        return events[request.wire](request, words)

    def _openai_events(self, request: Request, words: list[str]) -> list[dict[str, Any] | str]:
        whole = self._openai(request.model)
        usage = whole.pop("usage")
        chunk = {**whole, "object": "chat.completion.chunk"}

        def event(delta: dict[str, str], finish_reason: str | None = None) -> dict[str, Any]:
            return {**chunk, "choices": [{"index": 0, "delta": delta, "finish_reason": finish_reason}]}

        role = event({"role": "assistant", "content": ""})
        asked = (request.json.get("stream_options") or {}).get("include_usage")
        usages = [{**chunk, "choices": [], "usage": usage}] if asked else []
        return [role, *(event({"content": word}) for word in words), event({}, self.finish_reason), *usages, "[DONE]"]

    def _anthropic_events(self, request: Request, words: list[str]) -> list[dict[str, Any] | str]:
        message = self._anthropic(request.model)
        start = {**message, "content": [], "stop_reason": None, "usage": {**message["usage"], "output_tokens": 1}}
        delta = {"stop_reason": message["stop_reason"], "stop_sequence": None}
        return [
            {"type": "message_start", "message": start},
            {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
            *(
                {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": word}}
                for word in words
            ),
            {"type": "content_block_stop", "index": 0},
            {"type": "message_delta", "delta": delta, "usage": {"output_tokens": self.output_tokens}},
            {"type": "message_stop"},
        ]

    def _gemini_events(self, request: Request, words: list[str]) -> list[dict[str, Any] | str]:
        whole = self._gemini(request.model)

        def event(word: str) -> dict[str, Any]:
            candidate = {"content": {"role": "model", "parts": [{"text": word}]}, "index": 0}
            return {**whole, "candidates": [candidate]}

        last = {**whole, "candidates": [{**whole["candidates"][0], "content": {"role": "model"}}]}
        return [*map(event, words), last]

    def _openai(self, model: str) -> dict[str, Any]:
        message = {"role": "assistant", "content": self.text}
        return {
            "id": "chatcmpl-1",
            "object": "chat.completion",
            "created": 1,
            "model": model,
            "service_tier": "default",
            "choices": [{"index": 0, "message": message, "finish_reason": self.finish_reason}],
            "usage": {
                "prompt_tokens": self.input_tokens,
                "completion_tokens": self.output_tokens,
                "total_tokens": self.input_tokens + self.output_tokens,
            },
        }

    def _anthropic(self, model: str) -> dict[str, Any]:
        reasons = {"stop": "end_turn", "length": "max_tokens", "content_filter": "refusal"}
        return {
            "id": "msg_1",
            "type": "message",
            "role": "assistant",
            "model": model,
            "content": [{"type": "text", "text": self.text}] if self.text is not None else [],
            "stop_reason": reasons[self.finish_reason],
            "stop_sequence": None,
            "usage": {"input_tokens": self.input_tokens, "output_tokens": self.output_tokens},
        }

    def _gemini(self, model: str) -> dict[str, Any]:
        reasons = {"stop": "STOP", "length": "MAX_TOKENS", "content_filter": "SAFETY"}
        content: dict[str, Any] = {"role": "model"}
        if self.text is not None:
            content["parts"] = [{"text": self.text}]
        candidate = {"content": content, "finishReason": reasons[self.finish_reason], "index": 0}
        return {
            "candidates": [candidate],
            "modelVersion": model,
            "usageMetadata": {
                "promptTokenCount": self.input_tokens,
                "candidatesTokenCount": self.output_tokens,
                "totalTokenCount": self.input_tokens + self.output_tokens,
            },
        }


@dataclass(frozen=True, slots=True)
class Status:
    """An error answer in the caller's wire format."""

    code: int
    message: str = "The loopback provider was told to fail."
    error_code: str = "loopback_error"
    """OpenAI's ``code``, Anthropic's ``type``, Gemini's ``status``."""
    retry_after: float | str | None = None
    """The ``Retry-After`` header: seconds, or an HTTP date."""
    headers: Mapping[str, str] = field(default_factory=dict)

    async def perform(self, exchange: Exchange) -> None:
        """Answer with the status and the vendor's error body."""
        payload = _error(exchange.request.wire, self.code, self.error_code, self.message)
        headers = {"x-request-id": "req_1", **self.headers}
        if self.retry_after is not None:
            headers["retry-after"] = str(self.retry_after)
        await exchange.send(self.code, json.dumps(payload).encode(), headers=headers)


@dataclass(frozen=True, slots=True)
class Garbage:
    """Success in status only: by default a proxy's HTML page, or any body that is given."""

    body: bytes | str | dict[str, Any] = "<html><body>Bad gateway</body></html>"
    content_type: str = "text/html"
    status: int = 200

    async def perform(self, exchange: Exchange) -> None:
        """Answer with the body as it is; a dict is sent as JSON."""
        if isinstance(self.body, dict):
            await exchange.send(self.status, json.dumps(self.body).encode())
        else:
            body = self.body.encode() if isinstance(self.body, str) else self.body
            await exchange.send(self.status, body, content_type=self.content_type)


@dataclass(frozen=True, slots=True)
class Hang:
    """Take the request and stay silent until the caller goes away or the provider closes."""

    async def perform(self, exchange: Exchange) -> None:
        """Say nothing."""
        await exchange.stay_silent()


@dataclass(frozen=True, slots=True)
class Reset:
    """Take the request and reset the connection (TCP RST)."""

    async def perform(self, exchange: Exchange) -> None:
        """Drop the connection without an answer."""
        connection: socket.socket = exchange.writer.get_extra_info("socket")
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # close() sends RST
        exchange.writer.transport.abort()


@dataclass(frozen=True, slots=True)
class CutBody:
    """Send the first half of a good answer, then close the connection."""

    async def perform(self, exchange: Exchange) -> None:
        """Promise more bytes than come."""
        body = b'{"choices": [{"index": 0, "message": {"role": "assistant", "conte'
        await exchange.send(200, body, promise=len(body) * 2)
        exchange.writer.close()


@dataclass(frozen=True, slots=True)
class BrokenStream:
    """A stream that begins well and then breaks; for a request that wants no stream, the body is cut.

    ``fault`` is "cut" (the connection breaks), "stall" (silence), "garbage" (an event that is no JSON, then the rest),
    "error" (the vendor's error event), "end" (a regular end, but no finish reason) or "unclosed" (all is said, but
    neither the last event nor the connection's end comes). With ``text=""`` nothing but the role comes before it.
    """

    fault: Literal["cut", "stall", "garbage", "error", "end", "unclosed"]
    text: str = "The first half of"
    rest: str = " an answer."
    """What "garbage" and "unclosed" send after ``text``."""

    async def perform(self, exchange: Exchange) -> None:
        """Stream, then break."""
        if not exchange.request.wants_stream:
            await CutBody().perform(exchange)
            return
        request, wire = exchange.request, exchange.request.wire
        whole, first = Reply(self.text + self.rest).events(request), {"openai": 1, "anthropic": 2, "gemini": 0}[wire]
        said = first + len(_words(self.text))
        after: dict[str, list[Any]] = {
            "garbage": ['{"choices": [{"delta": {"con', *whole[said:]],
            "error": [_error(wire, 529, "overloaded_error", "The provider broke off.")],
            "unclosed": [event for event in whole[said:] if event not in ("[DONE]", {"type": "message_stop"})],
        }
        await exchange.begin_stream()
        for event in (*whole[:said], *after.get(self.fault, ())):
            await exchange.send_event(event)
        if self.fault == "cut":
            exchange.writer.close()
        elif self.fault in ("stall", "unclosed"):
            if self.fault == "unclosed":
                await asyncio.sleep(
                    0.05
                )  # for Anthropic, LiteLLM puts the answer together in a thread before it reads on
            await exchange.stay_silent()
        else:
            await exchange.end_stream()


def _words(text: str) -> list[str]:
    """The pieces that a text is streamed in."""
    return re.findall(r"\s*\S+", text)


def _error(wire: Wire, status: int, code: str, message: str) -> dict[str, Any]:
    """An error as the vendor puts it, in a body or in a stream."""
    error: dict[str, Any] = {"message": message}
    match wire:
        case "openai":
            return {"error": error | {"type": code, "param": None, "code": code}}
        case "anthropic":
            return {"type": "error", "error": error | {"type": code}}
        case "gemini":
            return {"error": error | {"code": status, "status": code}}


class LoopbackProvider:
    """An HTTP server on 127.0.0.1 that acts out behaviours, one a request; the last one repeats.

    Without any it answers every request. It speaks the three wires at once, by the path:

        with LoopbackProvider(Status(429, retry_after=1), Reply("Hi")) as provider:
            cascade = LLMCascade([provider.target("openai", "gpt-4.1")])
    """

    def __init__(self, *behaviours: Behaviour) -> None:
        for behaviour in behaviours:
            if isinstance(behaviour, type) or not hasattr(behaviour, "perform"):
                raise ConfigurationError(f"a script must be made of behaviours such as Status(503), not {behaviour!r}")
        self.behaviours: list[Behaviour] = list(behaviours) or [Reply()]
        self.requests: list[Request] = []
        """What the wire saw, in order."""
        self.connections = 0
        """Connections that were opened."""
        self.pending = 0
        """Requests that are still being answered."""
        self.silent = 0
        """Those of them that met a silence."""
        self.url = ""
        """The server's root, known once it runs."""
        self.on_silence: Callable[[], None] | None = None
        """Called, in the provider's own thread, when a request meets ``Hang``."""
        self._ready = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()), daemon=True)
        self._loop: asyncio.AbstractEventLoop
        self._closing: asyncio.Event
        self._connections: set[asyncio.Task[None] | None] = set()  # a loop alone holds its tasks weakly

    def __enter__(self) -> Self:
        _keep_from_proxies()
        self._thread.start()
        if not self._ready.wait(timeout=10):
            raise RuntimeError("the loopback provider did not start within 10 s")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._loop.call_soon_threadsafe(self._closing.set)
        self._thread.join()

    def target(self, provider: str = "openai", model: str = "gpt-4.1", **fields: Any) -> Target:
        """A cascade entry that reaches this server instead of the vendor.

        Raises:
            ConfigurationError: the vendor's wire is not one of the three.
        """
        return Target(provider, model, **{"api_key": "loopback-key", "api_base": self._base(provider), **fields})

    def _base(self, provider: str) -> str:
        if provider in OPENAI_WIRE:
            return f"{self.url}/v1"
        if provider in ("anthropic", "gemini"):
            return self.url
        raise ConfigurationError(
            f"the loopback provider can't stand in for {provider!r}: it speaks the wires of OpenAI "
            f"({', '.join(OPENAI_WIRE)}), anthropic and gemini"
        )

    async def _serve(self) -> None:
        self._loop, self._closing = asyncio.get_running_loop(), asyncio.Event()
        server = await asyncio.start_server(self._connection, "127.0.0.1", 0, backlog=2048)
        self.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        self._ready.set()
        await self._closing.wait()
        server.close()

    async def _connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._connections.add(task := asyncio.current_task())
        self.connections += 1
        try:
            while not writer.is_closing() and (request := await _read(reader)) is not None:
                self.requests.append(request)
                behaviour = self.behaviours.pop(0) if len(self.behaviours) > 1 else self.behaviours[0]
                self.pending += 1
                try:
                    await behaviour.perform(Exchange(request, reader, writer, self))
                finally:
                    self.pending -= 1
        except (ConnectionError, asyncio.CancelledError):
            pass  # the caller went away, or the server is closing
        finally:
            self._connections.discard(task)
            writer.close()


#: Rounds of the event loop in which whoever ran out of time may begin something new, before the clock jumps once more.
PATIENCE = 3000


class ManualClock:
    """A clock that moves only when it is told to, or when somebody sleeps on it; ``slept`` lists for how long."""

    def __init__(self) -> None:
        self.slept: list[float] = []
        self._now = 0.0
        self._limits: list[tuple[float, asyncio.Timeout]] = []
        self._registered = 0
        self._loop: asyncio.AbstractEventLoop | None = None
        self.is_silent: Callable[[], bool] = lambda: False
        """Whether anybody still waits for an answer that won't come."""

    def now(self) -> float:
        """Seconds since the clock was made."""
        return self._now

    async def sleep(self, seconds: float) -> None:
        """Move on by so many seconds, without waiting."""
        self.slept.append(seconds)
        self.advance(seconds)
        await asyncio.sleep(0)

    def timeout(self, seconds: float | None) -> asyncio.Timeout:
        """A scope that is cancelled when this clock has moved so far."""
        if seconds is not None and seconds <= 0:
            return asyncio.timeout(0)
        scope = asyncio.timeout(None)
        if seconds is not None:
            self._loop = asyncio.get_running_loop()
            self._limits.append((self._now + seconds, scope))
            self._registered += 1
        return scope

    def advance(self, seconds: float) -> None:
        """Move on by so many seconds; time limits that this reaches run out."""
        self._now += seconds
        for limit in [limit for limit in self._limits if limit[0] <= self._now]:
            self._run_out(limit)

    def pass_silence(self) -> None:
        """Move on to where the next time limit runs out. May be called from any thread."""
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._jump)

    def _jump(self, rounds: int = 200, registered: int | None = None) -> None:
        """Jump when the loop has had time to read what came before the silence: its rounds poll all sockets.

        And again, with more patience, as long as the silence goes on and nobody began anything new because of it.
        """
        if rounds:
            asyncio.get_running_loop().call_soon(self._jump, rounds - 1, registered)
            return
        if registered is not None and (registered != self._registered or not self.is_silent()):
            return
        for limit in sorted(self._limits, key=lambda limit: limit[0]):
            if self._run_out(limit):
                self.advance(max(0.0, limit[0] - self._now))
                self._jump(rounds=PATIENCE, registered=self._registered)
                return

    def _run_out(self, limit: tuple[float, asyncio.Timeout]) -> bool:
        """Let a time limit run out; False if what it limited is over already."""
        self._limits.remove(limit)
        try:
            limit[1].reschedule(asyncio.get_running_loop().time())
        except RuntimeError:
            return False
        return True


@dataclass(frozen=True, slots=True)
class Rehearsal:
    """A cascade's twin whose targets are loopback providers, one each, in the same order."""

    cascade: LLMCascade
    providers: Sequence[LoopbackProvider]
    clock: ManualClock
    """Waits and timeouts go by this clock, so they take no time; ``clock.slept`` tells how long the waits were."""


@contextmanager
def rehearse(cascade: LLMCascade, *scripts: Behaviour | Sequence[Behaviour]) -> Iterator[Rehearsal]:
    """Let your own cascade, with its own settings, meet failures: one behaviour, or a list of them, for each target.

    It is the twin in ``Rehearsal.cascade`` that meets them, so hand that to the code under test.

    Targets without one answer normally. Keys, addresses, headers and clients of the real targets are not used. Calls
    that run at once share one clock: a silence that one of them meets passes for all.

    Raises:
        ConfigurationError: a script is no behaviour, there are more scripts than targets, or a target's vendor speaks
            none of the three wires.
    """
    if not isinstance(cascade, LLMCascade):
        raise ConfigurationError(f"rehearse takes an LLMCascade, not {type(cascade).__name__}")
    if len(scripts) > len(cascade.targets):
        raise ConfigurationError(
            f"{len(scripts)} scripts were given for {len(cascade.targets)} target(s); a list makes one target's script"
        )
    clock = ManualClock()
    with ExitStack() as stack:
        providers, targets = [], []
        for target, script in zip(cascade.targets, chain(scripts, repeat(())), strict=False):
            behaviours = script if isinstance(script, Sequence) else (script,)
            provider = stack.enter_context(LoopbackProvider(*behaviours))
            provider.on_silence = clock.pass_silence
            providers.append(provider)
            params = {name: value for name, value in target.params.items() if name not in WAYS_OUT}
            kept = {"timeout": target.timeout, "params": params, "structured_output": target.structured_output}
            targets.append(provider.target(target.provider, target.model, **kept))
        clock.is_silent = lambda: any(provider.silent for provider in providers)
        yield Rehearsal(cascade._rehearsed(targets, clock), tuple(providers), clock)


def _keep_from_proxies() -> None:
    """Where HTTP_PROXY is set, LiteLLM would ask the proxy for 127.0.0.1; NO_PROXY is extended for good."""
    if not any(name.endswith("_proxy") for name in {name.lower() for name in os.environ} - {"no_proxy"}):
        return
    for name in ("NO_PROXY", "no_proxy"):
        hosts = os.environ.get(name, "")
        if "127.0.0.1" not in hosts:
            os.environ[name] = f"{hosts},127.0.0.1".lstrip(",")


async def _read(reader: asyncio.StreamReader) -> Request | None:
    """The next request of a connection, None at its end, or where it is not HTTP (a TLS handshake, say)."""
    try:
        method = await reader.readexactly(4)
        if method != b"POST":
            return None
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    except asyncio.IncompleteReadError:
        return None
    first, *lines = head.strip().split("\r\n")
    headers = {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    body = await reader.readexactly(int(headers.get("content-length", 0)))
    try:
        decoded = json.loads(body)
    except ValueError:
        decoded = None
    return Request(first.split(" ")[0].partition("?")[0], headers, decoded)
