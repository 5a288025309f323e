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
from contextlib import closing, suppress
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple, Protocol, Self
from urllib.request import getproxies_environment

from ..errors import ConfigurationError
from ..options import Target
from .wires import BASES, Event, Json, Request, find_wire, split


class Exchange(NamedTuple):
    """A request, and the open connection on which it is answered."""

    request: Request
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    provider: FakeProvider

    async def send(
        self,
        status: int,
        body: bytes | str | Mapping[str, Any],
        *,
        content_type: str = "application/json",
        headers: Mapping[str, str] | None = None,
        promise: int | None = None,
    ) -> None:
        """Send a whole answer, a mapping as JSON. ``promise`` is a Content-Length that may lie."""
        text = json.dumps(body) if isinstance(body, Mapping) else body
        data = text.encode() if isinstance(text, str) else text
        length = len(data) if promise is None else promise
        fields = {"content-type": content_type, "content-length": length, **(headers or {})}
        lines = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
        await self._write(f"HTTP/1.1 {status} -\r\n{lines}\r\n".encode() + data)

    async def begin_stream(self) -> None:
        """Send the head of a streamed answer."""
        head = b"HTTP/1.1 200 -\r\ncontent-type: text/event-stream\r\nx-request-id: req_1\r\n"
        await self._write(head + b"transfer-encoding: chunked\r\n\r\n")

    async def send_event(self, data: Mapping[str, Any] | str) -> None:
        """Send one event: text as it is, anything else as JSON."""
        name = ""
        if isinstance(data, Mapping) and "type" in data:
            name = f"event: {data['type']}\n"
        text = data if isinstance(data, str) else json.dumps(data)
        event = f"{name}data: {text}\n\n".encode()
        await self._write(b"%x\r\n%b\r\n" % (len(event), event))

    async def end_stream(self) -> None:
        """Send the regular end of a streamed answer."""
        await self._write(b"0\r\n\r\n")

    async def stay_silent(self) -> None:
        """Send nothing until the caller leaves or the provider closes."""
        self.provider.silent += 1
        try:
            if self.provider.on_silence:
                self.provider.on_silence()
            await self.reader.read()
        finally:
            self.provider.silent -= 1

    async def _write(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()


class Behaviour(Protocol):
    """What the provider does with a request. Write your own if these do not suffice."""

    async def perform(self, exchange: Exchange) -> None: ...


@dataclass(frozen=True, slots=True)
class Reply:
    """A good answer, which is streamed word by word.

    A tool call is ``("get_weather", {"city": "Rome"})``, or in OpenAI's format. With calls, "stop"
    becomes the vendor's word for them.

    Raises:
        ConfigurationError: a tool call is malformed.
    """

    text: str | None = "Hello from the fake provider."
    finish_reason: Literal["stop", "length", "content_filter"] = "stop"
    input_tokens: int = 10
    output_tokens: int = 5
    tool_calls: Sequence[tuple[str, Mapping[str, Any] | str] | Mapping[str, Any]] = ()

    def __post_init__(self) -> None:
        self.read_calls()

    async def perform(self, exchange: Exchange) -> None:
        whole, events = find_wire(exchange.request).answer(self, exchange.request)
        if exchange.request.wants_stream:
            await exchange.begin_stream()
            for event in events:
                await exchange.send_event(event)
            await exchange.end_stream()
        else:
            await exchange.send(200, whole, headers={"x-request-id": "req_1"})

    def events(self, request: Request) -> list[Event]:
        """Return the events of the answer's stream."""
        return find_wire(request).answer(self, request)[1]

    def read_calls(self, prefix: str = "call") -> list[tuple[str, str, Json]]:
        """Return each tool call's id (or else the prefix and its number), name and arguments."""
        calls = enumerate(self.tool_calls, start=1)
        return [_read_call(call, f"{prefix}_{number}") for number, call in calls]


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


@dataclass(frozen=True, slots=True)
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


@dataclass(frozen=True, slots=True)
class Garbage:
    """A success in status only: a proxy's HTML page, or the body that is given; a dict as JSON."""

    body: bytes | str | Json = "<html><body>Bad gateway</body></html>"
    content_type: str = "text/html"
    status: int = 200

    async def perform(self, exchange: Exchange) -> None:
        kind = "application/json" if isinstance(self.body, dict) else self.content_type
        await exchange.send(self.status, self.body, content_type=kind)


@dataclass(frozen=True, slots=True)
class Hang:
    """Silence, until the caller leaves or the provider closes."""

    async def perform(self, exchange: Exchange) -> None:
        await exchange.stay_silent()


@dataclass(frozen=True, slots=True)
class Reset:
    """A connection that is reset (TCP RST)."""

    async def perform(self, exchange: Exchange) -> None:
        connection: socket.socket = exchange.writer.get_extra_info("socket")
        # SO_LINGER with 0 seconds: closing sends RST.
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        exchange.writer.transport.abort()


@dataclass(frozen=True, slots=True)
class CutBody:
    """A connection that closes in the middle of a good answer."""

    async def perform(self, exchange: Exchange) -> None:
        body = b'{"choices": [{"index": 0, "message": {"role": "assistant", "conte'
        await exchange.send(200, body, promise=len(body) * 2)
        exchange.writer.close()


@dataclass(frozen=True, slots=True)
class BrokenStream:
    """A stream that breaks after ``text``. A request for no stream gets a ``CutBody``.

    Then comes "cut" (the connection closes), "stall" (silence), "garbage" (an event that is not
    JSON, and the rest), "error" (the vendor's error event), "end" (a regular end, but no finish
    reason) or "unclosed" (the rest, but neither the last event nor the end).
    """

    fault: Literal["cut", "stall", "garbage", "error", "end", "unclosed"]
    text: str = "The first half of"
    rest: str = " an answer."

    async def perform(self, exchange: Exchange) -> None:
        if not exchange.request.wants_stream:
            await CutBody().perform(exchange)
            return
        wire = find_wire(exchange.request)
        events = Reply(self.text + self.rest).events(exchange.request)
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

    Without behaviours, it answers well. It speaks all formats at once.

    Raises:
        ConfigurationError: an argument is not a behaviour.
    """

    def __init__(self, *behaviours: Behaviour) -> None:
        for behaviour in behaviours:
            if isinstance(behaviour, type) or not hasattr(behaviour, "perform"):
                raise ConfigurationError(
                    f"a script must be made of behaviours such as Status(503), not {behaviour!r}"
                )
        self.behaviours: list[Behaviour] = list(behaviours) or [Reply()]
        self.requests: list[Request] = []
        self.url = ""  # the root of the server, once it runs
        self.connections = 0  # how many were opened
        self.pending = 0  # requests that are being answered
        self.silent = 0  # those of them that met a silence
        self.on_silence: Callable[[], None] | None = None  # called in the server's thread
        self._ready = threading.Event()
        self._closing = asyncio.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()), daemon=True)

    def __enter__(self) -> Self:
        _bypass_proxies()
        self._thread.start()
        if not self._ready.wait(timeout=10):
            raise RuntimeError("the fake provider did not start within 10 s")
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._closing.set)
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
        defaults = {"api_key": "loopback-key", "api_base": self.url + BASES[provider]}
        return Target(provider, model, **{**defaults, **fields})

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        server = await asyncio.start_server(self._answer, "127.0.0.1", 0, backlog=2048)
        self.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        self._ready.set()
        await self._closing.wait()
        server.close()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer the requests of a connection, until the caller leaves or the server closes."""
        self.connections += 1
        with closing(writer), suppress(ConnectionError, EOFError, asyncio.CancelledError):
            while not writer.is_closing():
                await self._perform(Exchange(await _read(reader), reader, writer, self))

    async def _perform(self, exchange: Exchange) -> None:
        self.requests.append(exchange.request)
        behaviour = self.behaviours.pop(0) if len(self.behaviours) > 1 else self.behaviours[0]
        self.pending += 1
        try:
            await behaviour.perform(exchange)
        finally:
            self.pending -= 1


async def _read(reader: asyncio.StreamReader) -> Request:
    if await reader.readexactly(4) != b"POST":
        raise ConnectionError("not a request, but perhaps a TLS handshake")
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    first, *lines = head.strip().split("\r\n")
    fields = [line.partition(":") for line in lines]
    headers = {name.strip().lower(): value.strip() for name, _, value in fields}
    body = await reader.readexactly(int(headers.get("content-length", 0)))
    decoded = None
    with suppress(ValueError):
        decoded = json.loads(body)
    return Request(first.split()[0].partition("?")[0], headers, decoded)


def _bypass_proxies() -> None:
    """Add 127.0.0.1 to ``NO_PROXY`` for good, or else LiteLLM would ask a proxy for it."""
    if getproxies_environment().keys() - {"no"}:
        for name in ("NO_PROXY", "no_proxy"):
            hosts = os.environ.get(name, "")
            if "127.0.0.1" not in hosts:
                os.environ[name] = f"{hosts},127.0.0.1".lstrip(",")
