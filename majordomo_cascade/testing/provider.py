"""A fake provider: an HTTP server on 127.0.0.1 that answers, or fails as told."""
# ruff: noqa: D102 - the class says what `perform` does

from __future__ import annotations

import asyncio
import json
import os
import socket
import struct
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from contextlib import closing, suppress
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple, Protocol, Self
from urllib.request import getproxies_environment

from ..errors import ConfigurationError
from ..options import Target
from .strictness import complaint
from .wires import BASES, Event, Json, Request, find_wire, split

Body = bytes | str | Mapping[str, Any]


class Exchange(NamedTuple):
    """A request, and the connection on which it is answered."""

    request: Request
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    provider: FakeProvider

    async def send(self, status: int, body: Body, *, headers: Mapping[str, str] = {}) -> None:
        """Send a whole answer, a mapping as JSON. A Content-Length in ``headers`` may lie."""
        text = json.dumps(body) if isinstance(body, Mapping) else body
        data = text.encode() if isinstance(text, str) else text
        fields = {"content-type": "application/json", "content-length": len(data), **headers}
        lines = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
        await self._write(f"HTTP/1.1 {status} -\r\n{lines}\r\n".encode() + data)

    async def begin_stream(self) -> None:
        """Send the head of a stream."""
        head = b"HTTP/1.1 200 -\r\ncontent-type: text/event-stream\r\nx-request-id: req_1\r\n"
        await self._write(head + b"transfer-encoding: chunked\r\n\r\n")

    async def send_event(self, data: Mapping[str, Any] | str) -> None:
        """Send one event, a mapping as JSON."""
        event = f"data: {data if isinstance(data, str) else json.dumps(data)}\n\n"
        if isinstance(data, Mapping) and "type" in data:
            event = f"event: {data['type']}\n{event}"
        await self._send_chunk(event.encode())

    async def end_stream(self) -> None:
        """Send the regular end of a stream."""
        await self._send_chunk(b"")

    async def stay_silent(self) -> None:
        """Wait until the caller leaves or the provider closes."""
        self.provider.silent += 1
        try:
            self.provider.on_silence()
            await self.reader.read()
        finally:
            self.provider.silent -= 1

    async def _send_chunk(self, data: bytes) -> None:
        await self._write(b"%x\r\n%b\r\n" % (len(data), data))

    async def _write(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()


class Behaviour(Protocol):
    """A way to answer a request. Write your own if these do not suffice."""

    async def perform(self, exchange: Exchange) -> None: ...


@dataclass(frozen=True)
class Reply:
    """A good answer, which is streamed word by word.

    A tool call is ``("get_weather", {"city": "Rome"})``, or in OpenAI's format. With calls, the
    vendor's word for them stands for "stop".

    Raises:
        ConfigurationError: a tool call is malformed.
    """

    text: str | None = "Hello from the fake provider."
    finish_reason: Literal["stop", "length", "content_filter"] = "stop"
    input_tokens: int = 10
    output_tokens: int = 5
    tool_calls: Sequence[tuple[str, Mapping[str, Any] | str] | Mapping[str, Any]] = ()
    reasoning: str | None = None  # signed thoughts, which only this provider can read

    def __post_init__(self) -> None:
        self.read_calls()

    async def perform(self, exchange: Exchange) -> None:
        request = exchange.request
        whole, events = find_wire(request).answer(self, request)
        if not request.wants_stream:
            await exchange.send(200, whole, headers={"x-request-id": "req_1"})
            return
        await exchange.begin_stream()
        for event in events:
            await exchange.send_event(event)
        await exchange.end_stream()

    def events(self, request: Request) -> list[Event]:
        """Return the events of the answer's stream."""
        return find_wire(request).answer(self, request)[1]

    def read_calls(self, prefix: str = "call") -> list[tuple[str, str, Json]]:
        """Return each tool call's id (or else a numbered one), name and arguments."""
        return [_read_call(call, f"{prefix}_{i}") for i, call in enumerate(self.tool_calls, 1)]


def _read_call(call: Any, call_id: str) -> tuple[str, str, Json]:
    name = arguments = ""
    match call:
        case (str(name), arguments):
            pass
        case {"function": {"name": str(name), "arguments": arguments}}:
            call_id = call.get("id") or call_id
    try:
        text = arguments if isinstance(arguments, str) else json.dumps(arguments)
        return call_id, name, {**json.loads(text)}
    except (TypeError, ValueError) as error:
        raise ConfigurationError(
            f'a tool call must be ("name", {{…}}), or in OpenAI\'s format, not {call!r}'
        ) from error


@dataclass(frozen=True)
class Status:
    """An error in the vendor's format."""

    code: int
    message: str = "The fake provider was told to fail."
    error_code: str = "loopback_error"  # OpenAI's code, Anthropic's type, Gemini's status
    retry_after: float | str | None = None  # seconds, or an HTTP date
    headers: Mapping[str, str] = field(default_factory=dict)

    async def perform(self, exchange: Exchange) -> None:
        headers = {"x-request-id": "req_1", **self.headers}
        if self.retry_after is not None:
            headers["retry-after"] = str(self.retry_after)
        error = find_wire(exchange.request).error(self.code, self.error_code, self.message)
        await exchange.send(self.code, error, headers=headers)


@dataclass(frozen=True)
class Garbage:
    """A body that is no answer, such as a proxy's HTML page; a mapping is sent as JSON."""

    body: Body = "<html><body>Bad gateway</body></html>"
    content_type: str = "text/html"
    status: int = 200

    async def perform(self, exchange: Exchange) -> None:
        headers = {} if isinstance(self.body, Mapping) else {"content-type": self.content_type}
        await exchange.send(self.status, self.body, headers=headers)


@dataclass(frozen=True)
class Hang:
    """Silence, until the caller leaves or the provider closes."""

    async def perform(self, exchange: Exchange) -> None:
        await exchange.stay_silent()


@dataclass(frozen=True)
class Reset:
    """A connection that is reset (TCP RST)."""

    async def perform(self, exchange: Exchange) -> None:
        # SO_LINGER with 0 seconds: closing sends RST.
        connection = exchange.writer.get_extra_info("socket")
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        exchange.writer.transport.abort()


@dataclass(frozen=True)
class CutBody:
    """A connection that closes in the middle of a good answer."""

    async def perform(self, exchange: Exchange) -> None:
        body = '{"choices": [{"index": 0, "message": {"role": "assistant", "conte'
        await exchange.send(200, body, headers={"content-length": str(len(body) * 2)})
        exchange.writer.close()


@dataclass(frozen=True)
class BrokenStream:
    """A stream that breaks after ``text``. A request for no stream gets a ``CutBody``.

    Then comes "cut" (the connection closes), "stall" (silence), "garbage" (an event that is not
    JSON, then the rest), "error" (the vendor's error event), "end" (a regular end without a finish
    reason) or "unclosed" (the rest without its end mark, then silence).
    """

    fault: Literal["cut", "stall", "garbage", "error", "end", "unclosed"]
    text: str = "The first half of"
    rest: str = " an answer."

    async def perform(self, exchange: Exchange) -> None:
        request = exchange.request
        if not request.wants_stream:
            await CutBody().perform(exchange)
            return
        wire = find_wire(request)
        events = Reply(self.text + self.rest).events(request)
        number = wire.before_text + len(split(self.text))
        rest = events[number:]
        then: dict[str, list[Event]] = {
            "garbage": ['{"choices": [{"delta": {"con', *rest],
            "error": [wire.error(529, "overloaded_error", "The provider broke off.")],
            "unclosed": rest[: len(rest) - wire.after_finish],
        }
        await exchange.begin_stream()
        for event in events[:number] + then.get(self.fault, []):
            await exchange.send_event(event)
        if self.fault == "unclosed":
            # LiteLLM puts Anthropic's answer together in a thread before it reads on.
            await asyncio.sleep(0.05)
        if self.fault == "cut":
            exchange.writer.close()
        elif self.fault in ("stall", "unclosed"):
            await exchange.stay_silent()
        else:
            await exchange.end_stream()


class FakeProvider:
    """A server that answers each request with the next behaviour; the last one repeats.

    Without behaviours it answers well. It speaks all formats at once. If it is ``strict``, it first
    refuses a history that its vendor refuses: by a 400 in the vendor's words.

    Raises:
        ConfigurationError: an argument is not a behaviour.
    """

    def __init__(self, *behaviours: Behaviour, strict: bool = False) -> None:
        for behaviour in behaviours:
            if isinstance(behaviour, type) or not hasattr(behaviour, "perform"):
                raise ConfigurationError(
                    f"a script must be made of behaviours such as Status(503), not {behaviour!r}"
                )
        self.behaviours: list[Behaviour] = list(behaviours) or [Reply()]
        self.strict = strict
        self.requests: list[Request] = []
        self.url = ""  # the server's root, once it runs
        self.connections = 0  # opened so far
        self.pending = 0  # requests that are being answered
        self.silent = 0  # those that met a silence
        self.on_silence: Callable[[], None] = lambda: None  # called in the server's thread
        self._running = Future[None]()
        self._closed = Future[None]()

    def __enter__(self) -> Self:
        _bypass_proxies()
        listener = socket.create_server(("127.0.0.1", 0))
        # Connections inherit it. Without it, what follows a stream's head comes 40 ms late.
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        serving = self._serve(listener)
        self._thread = threading.Thread(target=asyncio.run, args=[serving], daemon=True)
        self._thread.start()
        self._running.result()
        return self

    def __exit__(self, *_: object) -> None:
        self._closed.set_result(None)
        self._thread.join()

    def target(self, provider: str = "openai", model: str = "gpt-4.1", **fields: Any) -> Target:
        """Return a target that reaches this server instead of the vendor.

        Raises:
            ConfigurationError: the vendor's format is not spoken here.
        """
        if provider not in BASES:
            known = ", ".join(sorted(BASES))
            raise ConfigurationError(
                f"the fake provider can't stand in for {provider!r}; it can for {known}"
            )
        base = self.url + BASES[provider]
        fields = {"api_key": "loopback-key", "api_base": base, **fields}
        return Target(provider, model, **fields)

    async def _serve(self, listener: socket.socket) -> None:
        server = await asyncio.start_server(self._answer, sock=listener, backlog=2048)
        self._running.set_result(None)
        await asyncio.wrap_future(self._closed)
        server.close()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        with closing(writer), suppress(ConnectionError, EOFError, asyncio.CancelledError):
            while not writer.is_closing():
                request = await _read(reader)
                self.requests.append(request)
                behaviour = self._behaviour_for(request)
                self.pending += 1
                try:
                    await behaviour.perform(Exchange(request, reader, writer, self))
                finally:
                    self.pending -= 1

    def _behaviour_for(self, request: Request) -> Behaviour:
        if self.strict and (words := complaint(request)):
            return Status(400, words, "invalid_request_error")
        behaviour, *left = self.behaviours
        self.behaviours[:] = left or [behaviour]
        return behaviour


async def _read(reader: asyncio.StreamReader) -> Request:
    if await reader.readexactly(4) != b"POST":
        raise ConnectionError("not a request, but perhaps a TLS handshake")
    head = await reader.readuntil(b"\r\n\r\n")
    first, *lines = head.decode("latin-1").strip().split("\r\n")
    headers = {}
    for line in lines:
        name, _, value = line.partition(":")
        headers[name.lower()] = value.strip()
    body = await reader.readexactly(int(headers.get("content-length", 0)))
    decoded = None
    with suppress(ValueError):
        decoded = json.loads(body)
    return Request(first.split()[0].partition("?")[0], headers, decoded)


def _bypass_proxies() -> None:
    """Add 127.0.0.1 to ``NO_PROXY`` for good, or else LiteLLM asks a proxy for it."""
    if getproxies_environment().keys() - {"no"}:
        for name in ("NO_PROXY", "no_proxy"):
            hosts = os.environ.get(name, "")
            if "127.0.0.1" not in hosts:
                os.environ[name] = f"{hosts},127.0.0.1".lstrip(",")
