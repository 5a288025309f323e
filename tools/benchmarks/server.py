"""The provider that all contenders ask: a loopback server in a process of its own.

It speaks OpenAI's chat completions. The first part of the path is a slot, and a slot acts as it was
told last: ``healthy``, ``long`` (healthy, but its streams are long), ``down`` (503) or ``hung``
(silent, until it is told something else). All answers are prepared bytes, so it serves several
times as many requests as the quickest client here can send.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import urllib.request
from collections import Counter
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from .contenders import PRIMARY
from .form import FORM

#: A healthy provider's answer: 66 words, about as many tokens as a short answer has.
TEXT = " ".join(["The provider is well and says so in a sentence of ten."] * 6)
#: Seconds between the first word of a stream and the rest.
PAUSE = 0.02
#: The words of a long stream, a chunk each. They are sent at once.
CHUNKS = 200


def _completion(content: str) -> dict[str, Any]:
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1_700_000_000,
        "model": PRIMARY,
        "service_tier": "default",
        "system_fingerprint": "fp_1",
        "choices": [
            {
                "index": 0,
                "message": {
                    "role": "assistant",
                    "content": content,
                    "refusal": None,
                    "annotations": [],
                },
                "logprobs": None,
                "finish_reason": "stop",
            }
        ],
        "usage": {
            "prompt_tokens": 40,
            "completion_tokens": 70,
            "total_tokens": 110,
            "prompt_tokens_details": {"cached_tokens": 0, "audio_tokens": 0},
            "completion_tokens_details": {"reasoning_tokens": 0, "audio_tokens": 0},
        },
    }


def _response(status: str, body: dict[str, Any]) -> bytes:
    payload = json.dumps(body).encode()
    head = f"HTTP/1.1 {status}\r\ncontent-type: application/json\r\nx-request-id: req_1\r\n"
    return f"{head}content-length: {len(payload)}\r\n\r\n".encode() + payload


def _stream(text: str) -> tuple[bytes, bytes]:
    """Return the head with the first word, and the rest."""
    chunk = {
        name: value for name, value in _completion("").items() if name not in ("choices", "usage")
    }
    chunk["object"] = "chat.completion.chunk"

    def event(delta: dict[str, str], finish_reason: str | None = None) -> bytes:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish_reason}
        return framed(json.dumps({**chunk, "choices": [choice]}))

    def framed(data: str) -> bytes:
        line = f"data: {data}\n\n".encode()
        return b"%x\r\n%b\r\n" % (len(line), line)

    head = (
        b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
    )
    first, *others = text.split(" ")
    words = [event({"content": f" {word}"}) for word in others]
    usage = framed(json.dumps({**chunk, "choices": [], "usage": _completion("")["usage"]}))
    begun = head + event({"role": "assistant", "content": ""}) + event({"content": first})
    return begun, b"".join([*words, event({}, "stop"), usage, framed("[DONE]"), b"0\r\n\r\n"])


HEALTHY = _response("200 OK", _completion(TEXT))
STRUCTURED = _response("200 OK", _completion(json.dumps(FORM)))
DOWN = _response(
    "503 Service Unavailable",
    {
        "error": {
            "message": "The server is overloaded.",
            "type": "server_error",
            "param": None,
            "code": None,
        }
    },
)
STREAM_BEGUN, STREAM_REST = _stream(TEXT)
# No word twice: LiteLLM ends a stream that repeats itself.
LONG_STREAM = b"".join(_stream(" ".join(f"word{n}" for n in range(CHUNKS))))


class Provider:
    """The slots: how each acts, how many requests it saw, and which of them wait."""

    def __init__(self) -> None:
        self.modes: dict[str, str] = {}
        self.requests: Counter[str] = Counter()
        self.waiting: dict[str, list[Connection]] = {}

    def order(self, command: str, slot: str, mode: str) -> object:
        """Follow an order of ``Server``'s."""
        if command == "set":
            self.modes[slot] = mode
            if mode != "hung":
                for connection in self.waiting.pop(slot, []):
                    connection.send(HEALTHY if mode == "healthy" else DOWN)
        if command == "waiting":
            return len(self.waiting.get(slot, []))
        return self.requests[slot]


class Connection(asyncio.Protocol):
    """A kept-alive connection; its requests are answered one after the other."""

    def __init__(self, provider: Provider) -> None:
        self._provider = provider
        self._buffer = b""
        self._transport: Any = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Answer every request that has come in full."""
        self._buffer += data
        while (end := self._buffer.find(b"\r\n\r\n")) >= 0:
            head = self._buffer[:end].lower()
            at = head.find(b"content-length:")
            length = int(head[at + 15 :].split(b"\r\n", 1)[0]) if at >= 0 else 0
            if len(self._buffer) < end + 4 + length:
                return
            path = self._buffer[:end].split(b" ", 2)[1].decode()
            body, self._buffer = (
                self._buffer[end + 4 : end + 4 + length],
                self._buffer[end + 4 + length :],
            )
            self._answer(path, body)

    def send(self, answer: bytes) -> None:
        """Send, if the caller is still there."""
        if not self._transport.is_closing():
            self._transport.write(answer)

    def _answer(self, path: str, body: bytes) -> None:
        slot, *rest = path.strip("/").split("/")
        if slot == "control":
            self.send(_response("200 OK", {"value": self._provider.order(*rest)}))
            return
        self._provider.requests[slot] += 1
        mode = self._provider.modes.get(slot, "healthy")
        if mode == "hung":
            self._provider.waiting.setdefault(slot, []).append(self)
        elif mode == "down":
            self.send(DOWN)
        elif (b'"stream":true' in body or b'"stream": true' in body) and mode == "long":
            self.send(LONG_STREAM)
        elif b'"stream":true' in body or b'"stream": true' in body:
            self.send(STREAM_BEGUN)
            asyncio.get_running_loop().call_later(PAUSE, self.send, STREAM_REST)
        else:
            self.send(STRUCTURED if b'"response_format"' in body else HEALTHY)


class Server:
    """The server's process, and a way to tell it what to do."""

    def __init__(self, url: str = "") -> None:
        self.url = url
        self._process: subprocess.Popen[str] | None = None

    def __enter__(self) -> Self:
        command = [sys.executable, "-m", "benchmarks.server"]
        root = Path(__file__).parents[1]
        self._process = subprocess.Popen(command, cwd=root, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        self.url = f"http://127.0.0.1:{int(self._process.stdout.readline())}"
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        assert self._process is not None
        self._process.terminate()
        self._process.wait()

    def base(self, slot: str) -> str:
        """Return the ``base_url`` of a slot."""
        return f"{self.url}/{slot}/v1"

    def tell(self, slot: str, mode: str) -> None:
        """Let a slot be ``healthy``, ``long``, ``down`` or ``hung``."""
        self._order("set", slot, mode)

    def requests(self, slot: str) -> int:
        """Return how many requests the slot has seen."""
        return self._order("requests", slot, "-")

    def waiting(self, slot: str) -> int:
        """Return how many of them wait for an answer."""
        return self._order("waiting", slot, "-")

    def _order(self, command: str, slot: str, mode: str) -> int:
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(f"{self.url}/control/{command}/{slot}/{mode}", timeout=10) as answer:
            return int(json.load(answer)["value"])


async def serve() -> None:
    """Serve until terminated; the port is the first line of stdout."""
    provider = Provider()
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Connection(provider), "127.0.0.1", 0, backlog=4096)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(serve())
