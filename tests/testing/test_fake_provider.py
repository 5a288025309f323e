"""The fake provider answers byte by byte as the vendors do."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from majordomo_cascade import ConfigurationError
from majordomo_cascade.testing import (
    Behaviour,
    BrokenStream,
    CutBody,
    Exchange,
    FakeProvider,
    Garbage,
    Hang,
    Reply,
    Reset,
    Status,
)

OPENAI, ANTHROPIC = "/v1/chat/completions", "/v1/messages"
GEMINI, GEMINI_STREAM = (
    "/v1beta/models/m:generateContent",
    "/v1beta/models/m:streamGenerateContent?alt=sse",
)
ASKED: dict[str, Any] = {"model": "m"}
STREAMED: dict[str, Any] = {"model": "m", "stream": True}
WIRES = {"openai": OPENAI, "anthropic": ANTHROPIC, "gemini": GEMINI}
STREAMS = {"openai": OPENAI, "anthropic": ANTHROPIC, "gemini": GEMINI_STREAM}
each_wire = pytest.mark.parametrize("wire", WIRES)


def request(path: str, body: Any, *headers: str) -> bytes:
    sent = body if isinstance(body, bytes) else json.dumps(body).encode()
    head = [f"POST {path} HTTP/1.1", "Host: x", f"Content-Length:  {len(sent)} ", *headers, "", ""]
    return "\r\n".join(head).encode() + sent


def connected(provider: FakeProvider) -> socket.socket:
    return socket.create_connection(("127.0.0.1", int(provider.url.rpartition(":")[2])), timeout=10)


def exchange(provider: FakeProvider, sent: bytes) -> bytes:
    """Return all bytes that come back."""
    with connected(provider) as wire:
        wire.sendall(sent)
        wire.shutdown(socket.SHUT_WR)
        return b"".join(iter(lambda: wire.recv(65536), b""))


def said(behaviour: Behaviour, path: str, body: Any = ASKED) -> tuple[str, dict[str, str], bytes]:
    """Return the first line, the headers and the body of an answer."""
    with FakeProvider(behaviour) as provider:
        head, _, text = exchange(provider, request(path, body)).partition(b"\r\n\r\n")
    first, *lines = head.decode().split("\r\n")
    return first, dict(line.split(": ", 1) for line in lines), text


def events(text: bytes) -> Iterator[str]:
    """Split a stream into its events. Its regular end is an empty one."""
    while text:
        size, _, rest = text.partition(b"\r\n")
        data, text = rest[: int(size, 16)], rest[int(size, 16) :]
        assert text.startswith(b"\r\n")
        text = text[2:]
        yield data.decode()


def streamed(behaviour: Behaviour, wire: str, **body: Any) -> list[Any]:
    """Return the data of a stream's events, and "" for its regular end."""
    first, headers, text = said(behaviour, STREAMS[wire], {**STREAMED, **body})
    assert (first, headers) == (
        "HTTP/1.1 200 -",
        {
            "content-type": "text/event-stream",
            "x-request-id": "req_1",
            "transfer-encoding": "chunked",
        },
    )
    made: list[Any] = []
    for event in events(text):
        if not event:
            made.append("")
            continue
        assert event.endswith("\n\n")
        *names, data = event[:-2].split("\n")
        value = data.removeprefix("data: ")
        made.append(json.loads(value) if value[0] == "{" and value[-1] == "}" else value)
        typed = isinstance(made[-1], dict) and "type" in made[-1]
        assert names == ([f"event: {made[-1]['type']}"] if typed else [])
    return made


def openais(text: Any, finish_reason: str = "stop") -> dict[str, Any]:
    message = {"role": "assistant", "content": text}
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1,
        "model": "m",
        "service_tier": "default",
        "choices": [{"index": 0, "message": message, "finish_reason": finish_reason}],
        "usage": {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15},
    }


def anthropics(
    content: list[Any], stop_reason: str | None = "end_turn", output_tokens: int = 5
) -> dict[str, Any]:
    return {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": "m",
        "content": content,
        "stop_reason": stop_reason,
        "stop_sequence": None,
        "usage": {"input_tokens": 10, "output_tokens": output_tokens},
    }


def geminis(content: dict[str, Any], finish_reason: str | None = "STOP") -> dict[str, Any]:
    reason = {"finishReason": finish_reason} if finish_reason else {}
    return {
        "candidates": [{"content": {"role": "model", **content}, "index": 0, **reason}],
        "modelVersion": "m",
        "usageMetadata": {"promptTokenCount": 10, "candidatesTokenCount": 5, "totalTokenCount": 15},
    }


@pytest.mark.parametrize(
    ("reply", "path", "body"),
    [
        (Reply("Hi"), OPENAI, openais("Hi")),
        (Reply(None, "length"), OPENAI, openais(None, "length")),
        (Reply("Hi", "content_filter"), OPENAI, openais("Hi", "content_filter")),
        (Reply("Hi"), ANTHROPIC, anthropics([{"type": "text", "text": "Hi"}])),
        (Reply(None, "length"), ANTHROPIC, anthropics([], "max_tokens")),
        (
            Reply("", "content_filter"),
            ANTHROPIC,
            anthropics([{"type": "text", "text": ""}], "refusal"),
        ),
        (Reply("Hi"), GEMINI, geminis({"parts": [{"text": "Hi"}]})),
        (Reply(None, "length"), GEMINI, geminis({}, "MAX_TOKENS")),
        (Reply("", "content_filter"), GEMINI, geminis({"parts": [{"text": ""}]}, "SAFETY")),
        (Reply(), OPENAI, openais("Hello from the fake provider.")),
    ],
)
def test_a_whole_answer(reply: Reply, path: str, body: Any) -> None:
    first, headers, text = said(reply, path)
    assert first == "HTTP/1.1 200 -"
    assert headers == {
        "content-type": "application/json",
        "x-request-id": "req_1",
        "content-length": str(len(text)),
    }
    assert json.loads(text) == body


def chunk(delta: dict[str, Any], finish_reason: str | None = None) -> dict[str, Any]:
    whole = {**openais(""), "object": "chat.completion.chunk"}
    del whole["usage"]
    return {**whole, "choices": [{"index": 0, "delta": delta, "finish_reason": finish_reason}]}


def text_delta(text: str) -> dict[str, Any]:
    return {
        "type": "content_block_delta",
        "index": 0,
        "delta": {"type": "text_delta", "text": text},
    }


USAGE = {**chunk({}), "choices": [], "usage": openais("")["usage"]}
ROLE = chunk({"role": "assistant", "content": ""})
START = [
    {"type": "message_start", "message": anthropics([], None, 1)},
    {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
]
#: The events of "Two words.", and what is behind the text.
WHOLE: dict[str, list[Any]] = {
    "openai": [
        ROLE,
        chunk({"content": "Two"}),
        chunk({"content": " words."}),
        chunk({}, "stop"),
        "[DONE]",
    ],
    "anthropic": [
        *START,
        text_delta("Two"),
        text_delta(" words."),
        {"type": "content_block_stop", "index": 0},
        {
            "type": "message_delta",
            "delta": {"stop_reason": "end_turn", "stop_sequence": None},
            "usage": {"output_tokens": 5},
        },
        {"type": "message_stop"},
    ],
    "gemini": [
        geminis({"parts": [{"text": "Two"}]}, None),
        geminis({"parts": [{"text": " words."}]}, None),
        geminis({}),
    ],
}
#: How many of them there are before the first word.
HEADS = {"openai": 1, "anthropic": 2, "gemini": 0}


@each_wire
def test_a_stream(wire: str) -> None:
    assert streamed(Reply("Two words."), wire) == [*WHOLE[wire], ""]


def test_a_stream_of_nothing_and_one_with_its_usage() -> None:
    asked = {"stream_options": {"include_usage": True}}
    assert streamed(Reply(None), "openai", **asked) == [
        ROLE,
        chunk({}, "stop"),
        USAGE,
        "[DONE]",
        "",
    ]
    assert streamed(Reply(""), "openai", stream_options=None) == [
        ROLE,
        chunk({}, "stop"),
        "[DONE]",
        "",
    ]
    (last, end) = streamed(Reply(None, "length"), "gemini")
    assert (last, end) == (geminis({}, "MAX_TOKENS"), "")
    assert streamed(Reply(None, "length"), "anthropic")[-3]["delta"]["stop_reason"] == "max_tokens"


def test_the_pieces_of_a_text_are_its_words_with_the_blanks_before_them() -> None:
    said = streamed(Reply("  Two\n words. "), "gemini")
    assert [event["candidates"][0]["content"]["parts"][0]["text"] for event in said[:-2]] == [
        "  Two",
        "\n words.",
    ]


ROME: tuple[str, dict[str, Any]] = ("get_weather", {"city": "Rome"})
OWN = {"id": "own-1", "type": "function", "function": {"name": "now", "arguments": "{}"}}
OPENAI_ROME = {
    "id": "call_1",
    "type": "function",
    "function": {"name": "get_weather", "arguments": '{"city": "Rome"}'},
}
ANTHROPIC_ROME = {
    "type": "tool_use",
    "id": "toolu_1",
    "name": "get_weather",
    "input": {"city": "Rome"},
}
ANTHROPIC_OWN = {"type": "tool_use", "id": "own-1", "name": "now", "input": {}}
GEMINI_ROME = {"functionCall": {"name": "get_weather", "args": {"city": "Rome"}}}
GEMINI_OWN = {"functionCall": {"name": "now", "args": {}}}


def openais_calls(text: str | None, *calls: dict[str, Any]) -> dict[str, Any]:
    whole = openais(text, "tool_calls")
    whole["choices"][0]["message"]["tool_calls"] = [*calls]
    return whole


@pytest.mark.parametrize(
    ("text", "path", "body"),
    [
        (None, OPENAI, openais_calls(None, OPENAI_ROME, OWN)),
        ("Hi", OPENAI, openais_calls("Hi", OPENAI_ROME, OWN)),
        (None, ANTHROPIC, anthropics([ANTHROPIC_ROME, ANTHROPIC_OWN], "tool_use")),
        (
            "Hi",
            ANTHROPIC,
            anthropics([{"type": "text", "text": "Hi"}, ANTHROPIC_ROME, ANTHROPIC_OWN], "tool_use"),
        ),
        (None, GEMINI, geminis({"parts": [GEMINI_ROME, GEMINI_OWN]})),
        ("Hi", GEMINI, geminis({"parts": [{"text": "Hi"}, GEMINI_ROME, GEMINI_OWN]})),
    ],
)
def test_a_whole_answer_with_tool_calls(text: str | None, path: str, body: Any) -> None:
    assert json.loads(said(Reply(text, tool_calls=[ROME, OWN]), path)[2]) == body


def json_delta(index: int, piece: str) -> dict[str, Any]:
    delta = {"type": "input_json_delta", "partial_json": piece}
    return {"type": "content_block_delta", "index": index, "delta": delta}


def openais_call(**call: Any) -> dict[str, Any]:
    return chunk({"tool_calls": [call]})


#: The events of "Two" and the tool calls ROME and OWN.
WHOLE_WITH_CALLS: dict[str, list[Any]] = {
    "openai": [
        ROLE,
        chunk({"content": "Two"}),
        openais_call(index=0, **OPENAI_ROME),
        openais_call(index=1, **OWN),
        chunk({}, "tool_calls"),
        "[DONE]",
    ],
    "anthropic": [
        *START,
        text_delta("Two"),
        {"type": "content_block_stop", "index": 0},
        {
            "type": "content_block_start",
            "index": 1,
            "content_block": {**ANTHROPIC_ROME, "input": {}},
        },
        json_delta(1, '{"city": "Rome"}'),
        {"type": "content_block_stop", "index": 1},
        {"type": "content_block_start", "index": 2, "content_block": ANTHROPIC_OWN},
        json_delta(2, "{}"),
        {"type": "content_block_stop", "index": 2},
        {
            "type": "message_delta",
            "delta": {"stop_reason": "tool_use", "stop_sequence": None},
            "usage": {"output_tokens": 5},
        },
        {"type": "message_stop"},
    ],
    "gemini": [
        geminis({"parts": [{"text": "Two"}]}, None),
        geminis({"parts": [GEMINI_ROME]}, None),
        geminis({"parts": [GEMINI_OWN]}, None),
        geminis({}),
    ],
}


@each_wire
def test_a_stream_with_tool_calls(wire: str) -> None:
    assert streamed(Reply("Two", tool_calls=[ROME, OWN]), wire) == [*WHOLE_WITH_CALLS[wire], ""]


def test_a_stream_of_tool_calls_alone_begins_with_them() -> None:
    events = streamed(Reply(None, tool_calls=[ROME]), "anthropic")
    assert events[1] == {
        "type": "content_block_start",
        "index": 0,
        "content_block": {**ANTHROPIC_ROME, "input": {}},
    }
    assert streamed(Reply(None, tool_calls=[ROME]), "gemini")[0] == geminis(
        {"parts": [GEMINI_ROME]}, None
    )


@pytest.mark.parametrize(
    ("wire", "reason"),
    [("openai", "length"), ("anthropic", "max_tokens"), ("gemini", "MAX_TOKENS")],
)
def test_tool_calls_that_were_cut_keep_their_finish_reason(wire: str, reason: str) -> None:
    text = said(Reply(None, "length", tool_calls=[ROME]), WIRES[wire])[2].decode()
    assert f'"{reason}"' in text
    assert "get_weather" in text


@pytest.mark.parametrize(
    "call",
    [
        ("get_weather", '{"city": "Rome"}'),
        ("get_weather", {"city": "Rome"}),
        ["get_weather", {"city": "Rome"}],
        {"function": {"name": "get_weather", "arguments": {"city": "Rome"}}},
        {"id": "call_1", "function": {"name": "get_weather", "arguments": '{"city": "Rome"}'}},
    ],
)
def test_a_tool_call_may_be_given_in_several_ways(call: Any) -> None:
    answer = json.loads(said(Reply(None, tool_calls=[call]), OPENAI)[2])
    assert answer == openais_calls(None, OPENAI_ROME)


@pytest.mark.parametrize(
    "call",
    [
        "get_weather",
        ("get_weather",),
        ("get_weather", None),
        ("get_weather", [1]),
        ("get_weather", "[1]"),
        ("get_weather", "{"),
        ("get_weather", {"city": {"Rome"}}),
        (5, {}),
        {"name": "get_weather", "arguments": {}},
        {"function": {"name": "get_weather"}},
        {"function": {"name": None, "arguments": {}}},
        None,
    ],
)
def test_a_malformed_tool_call_is_refused_when_the_reply_is_made(call: Any) -> None:
    with pytest.raises(ConfigurationError, match=r'^a tool call must be \("name", {…}\), or in '):
        Reply(tool_calls=[call])


@pytest.mark.parametrize("call", [ROME, OWN])
def test_a_tool_call_that_is_not_in_a_list_is_refused(call: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"^a tool call must be "):
        Reply(tool_calls=call)


def test_a_tool_call_without_an_id_of_its_own_is_numbered() -> None:
    unnamed = {**OWN, "id": None}
    answer = json.loads(said(Reply(tool_calls=[ROME, unnamed, OWN]), OPENAI)[2])
    calls = answer["choices"][0]["message"]["tool_calls"]
    assert [call["id"] for call in calls] == ["call_1", "call_2", "own-1"]
    answer = json.loads(said(Reply(tool_calls=[ROME, unnamed, OWN]), ANTHROPIC)[2])
    assert [block["id"] for block in answer["content"][1:]] == ["toolu_1", "toolu_2", "own-1"]


def test_a_path_that_no_vendor_serves_is_answered_as_openai_would() -> None:
    first, _, text = said(Status(404, "no", "c"), "/v1/embeddings")
    assert (first, json.loads(text)) == ("HTTP/1.1 404 -", ERRORS["openai"])


ERRORS = {
    "openai": {"error": {"message": "no", "type": "c", "param": None, "code": "c"}},
    "anthropic": {"type": "error", "error": {"message": "no", "type": "c"}},
    "gemini": {"error": {"message": "no", "code": 429, "status": "c"}},
}


@each_wire
def test_an_error(wire: str) -> None:
    status = Status(429, "no", error_code="c", retry_after=1.5, headers={"x-own": "1"})
    first, headers, text = said(status, WIRES[wire])
    assert first == "HTTP/1.1 429 -"
    assert headers == {
        "content-type": "application/json",
        "x-request-id": "req_1",
        "x-own": "1",
        "retry-after": "1.5",
        "content-length": str(len(text)),
    }
    assert json.loads(text) == ERRORS[wire]
    first, headers, text = said(Status(500), WIRES[wire])
    assert "retry-after" not in headers
    assert "The fake provider was told to fail." in text.decode()
    assert "loopback_error" in text.decode()


@pytest.mark.parametrize(
    ("garbage", "kind", "body"),
    [
        (Garbage(), "text/html", b"<html><body>Bad gateway</body></html>"),
        (Garbage("\u00e9", "text/plain", 502), "text/plain", "\u00e9".encode()),
        (Garbage(b"\xff"), "text/html", b"\xff"),
        (Garbage({"a": 1}, status=201), "application/json", b'{"a": 1}'),
    ],
)
def test_garbage_is_sent_as_it_is(garbage: Garbage, kind: str, body: bytes) -> None:
    first, headers, text = said(garbage, OPENAI)
    assert first == f"HTTP/1.1 {garbage.status} -"
    assert headers == {"content-type": kind, "content-length": str(len(body))}
    assert text == body


@pytest.mark.parametrize("behaviour", [CutBody(), BrokenStream("cut"), BrokenStream("stall")])
def test_a_body_that_is_cut(behaviour: Behaviour) -> None:
    with FakeProvider(behaviour) as provider:
        head, _, text = exchange(provider, request(OPENAI, ASKED) * 2).partition(b"\r\n\r\n")
    assert text.startswith(b'{"choices": [{"index": 0, ')
    assert f"content-length: {2 * len(text)}".encode() in head
    assert head.startswith(b"HTTP/1.1 200 -")
    assert len(provider.requests) == 1  # the connection is closed


def test_an_answer_may_promise_more_than_it_sends() -> None:
    class Liar:
        async def perform(self, exchange: Exchange) -> None:
            headers = {"content-type": "text/plain", "content-length": "9", "x-own": "1"}
            await exchange.send(201, "cut", headers=headers)
            exchange.writer.close()

    first, headers, text = said(Liar(), OPENAI)
    assert (first, text) == ("HTTP/1.1 201 -", b"cut")
    assert headers == {"content-type": "text/plain", "content-length": "9", "x-own": "1"}


def test_an_event_of_any_shape_is_sent() -> None:
    class Shapes:
        async def perform(self, exchange: Exchange) -> None:
            await exchange.begin_stream()
            for event in ({"type": "t"}, ["a", 1], "[DONE]"):
                await exchange.send_event(event)  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]
            await exchange.end_stream()

    assert streamed(Shapes(), "openai") == [{"type": "t"}, '["a", 1]', "[DONE]", ""]


@each_wire
@pytest.mark.parametrize("fault", ["cut", "stall", "garbage", "error", "end", "unclosed"])
def test_a_stream_that_breaks(wire: str, fault: Any) -> None:
    whole = WHOLE[wire]
    begun, rest = whole[: HEADS[wire] + 1], whole[HEADS[wire] + 1 :]
    busy = {"message": "The provider broke off."}
    error: Any = {
        "openai": {
            "error": {**busy, "type": "overloaded_error", "param": None, "code": "overloaded_error"}
        },
        "anthropic": {"type": "error", "error": {**busy, "type": "overloaded_error"}},
        "gemini": {"error": {**busy, "code": 529, "status": "overloaded_error"}},
    }
    expected = {
        "cut": begun,
        "stall": begun,
        "garbage": [*begun, '{"choices": [{"delta": {"con', *rest, ""],
        "error": [*begun, error[wire], ""],
        "end": [*begun, ""],
        "unclosed": [*begun, *(rest if wire == "gemini" else rest[:-1])],
    }
    broken = BrokenStream(fault, "Two", " words.")
    assert streamed(broken, wire) == expected[fault]
    nothing = streamed(BrokenStream(fault, "", ""), wire) if fault in ("cut", "end") else None
    assert nothing in (None, [*whole[: HEADS[wire]], *([""] if fault == "end" else [])])


@pytest.mark.parametrize(("fault", "is_closed"), [("cut", True), ("end", False), ("error", False)])
def test_whether_a_broken_stream_closes_its_connection(fault: Any, *, is_closed: bool) -> None:
    with FakeProvider(BrokenStream(fault, "Two")) as provider:
        exchange(provider, request(OPENAI, STREAMED) * 2)
    assert len(provider.requests) == (1 if is_closed else 2)


def test_a_connection_that_is_reset() -> None:
    with FakeProvider(Reset()) as provider, connected(provider) as wire:
        wire.sendall(request(OPENAI, ASKED))
        with pytest.raises(ConnectionResetError):
            wire.recv(1)


def test_every_silence_is_counted() -> None:
    told = threading.Semaphore(0)
    with FakeProvider(Hang()) as provider:
        provider.on_silence = told.release
        with connected(provider) as one, connected(provider) as another:
            for wire in (one, another):
                wire.sendall(request(OPENAI, ASKED))
                assert told.acquire(timeout=10)
            assert (provider.silent, provider.pending, provider.connections) == (2, 2, 2)


def test_nobody_else_in_the_network_reaches_it(monkeypatch: pytest.MonkeyPatch) -> None:
    hosts, start_server = list[str](), asyncio.start_server

    async def noting(*given: Any, **named: Any) -> asyncio.Server:
        server = await start_server(*given, **named)
        hosts.extend(each.getsockname()[0] for each in server.sockets)
        return server

    monkeypatch.setattr(asyncio, "start_server", noting)
    with FakeProvider() as provider:
        assert exchange(provider, request(OPENAI, ASKED))
        assert hosts == ["127.0.0.1"]


@pytest.mark.parametrize("behaviour", [Hang(), BrokenStream("stall")])
def test_a_silence_is_counted_and_told(behaviour: Behaviour) -> None:
    told = threading.Event()
    with FakeProvider(behaviour) as provider:
        provider.on_silence = told.set
        with connected(provider) as wire:
            wire.sendall(request(OPENAI, STREAMED))
            assert told.wait(10)
            assert (provider.silent, provider.pending, provider.connections) == (1, 1, 1)
            wire.shutdown(socket.SHUT_WR)
            while wire.recv(65536):
                pass
            assert (provider.silent, provider.pending, provider.connections) == (0, 0, 1)
        provider.on_silence = lambda: None
        exchange(provider, request(OPENAI, STREAMED))
        assert provider.connections == 2


def test_requests_of_one_connection_are_answered_one_after_the_other() -> None:
    with FakeProvider(Reply("a"), Reply("b")) as provider:
        answers = exchange(provider, request(OPENAI, ASKED, "X-Own: a:b", "EMPTY:") * 3)
    texts = [piece.partition(b'"')[0] for piece in answers.split(b'"content": "')[1:]]
    assert texts == [b"a", b"b", b"b"]
    assert provider.connections == 1
    assert provider.requests[2].headers == {
        "host": "x",
        "content-length": "14",
        "x-own": "a:b",
        "empty": "",
    }


@pytest.mark.parametrize(
    "sent",
    [
        b"GET / HTTP/1.1\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01",
        b"",
        b"POST / HTTP/1.1\r\nHost: x",
        b"PO",
    ],
)
def test_what_is_no_request_gets_no_answer(sent: bytes) -> None:
    with FakeProvider() as provider:
        assert exchange(provider, sent) == b""
        assert exchange(provider, request(OPENAI, ASKED))  # it lives
    assert len(provider.requests) == 1


@pytest.mark.parametrize(
    ("path", "wire", "model", "wants_stream"),
    [
        (OPENAI, "openai", "m", False),
        (f"{OPENAI}?x=1", "openai", "m", False),
        (ANTHROPIC, "anthropic", "m", False),
        (GEMINI, "gemini", "m", False),
        (GEMINI_STREAM, "gemini", "m", True),
    ],
)
def test_a_request_on_record(path: str, wire: str, model: str, *, wants_stream: bool) -> None:
    with FakeProvider() as provider:
        exchange(provider, request(path, ASKED))
    (made,) = provider.requests
    assert (made.path, made.wire, made.model, made.wants_stream) == (
        path.partition("?")[0],
        wire,
        model,
        wants_stream,
    )
    assert made.json == ASKED


def test_a_request_without_a_body_is_one() -> None:
    with FakeProvider(Garbage("")) as provider:
        assert exchange(provider, f"POST {OPENAI} HTTP/1.1\r\n\r\n".encode())
    assert (provider.requests[0].json, provider.requests[0].headers) == (None, {})


def test_a_provider_that_breaks_lets_the_next_caller_in() -> None:
    class Broken:
        async def perform(self, exchange: Exchange) -> None:
            raise ConnectionError

    with FakeProvider(Broken(), Reply("here")) as provider:
        assert exchange(provider, request(OPENAI, ASKED)) == b""
        assert b"here" in exchange(provider, request(OPENAI, ASKED))
        assert provider.pending == 0


def test_a_target_of_the_provider() -> None:
    with FakeProvider() as provider:
        target = provider.target()
        assert (target.provider, target.model, target.api_base) == (
            "openai",
            "gpt-4.1",
            f"{provider.url}/v1",
        )
        assert target.api_key is not None
        assert target.api_key.get_secret_value() == "loopback-key"
        assert (
            provider.target("anthropic", "m").api_base
            == provider.target("gemini", "m").api_base
            == provider.url
        )
        own = provider.target("groq", "m", api_key="mine-own-key", timeout=3)
        assert (own.timeout, own.api_base) == (3, f"{provider.url}/v1")
        assert own.api_key is not None
        assert own.api_key.get_secret_value() == "mine-own-key"


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({}, {}),
        ({"no_proxy": "intranet"}, {"no_proxy": "intranet"}),
        (
            {"https_proxy": "x"},
            {"https_proxy": "x", "NO_PROXY": "127.0.0.1", "no_proxy": "127.0.0.1"},
        ),
        (
            {"ALL_PROXY": "x", "NO_PROXY": "X.intranet", "no_proxy": "127.0.0.1,intranet"},
            {
                "ALL_PROXY": "x",
                "NO_PROXY": "X.intranet,127.0.0.1",
                "no_proxy": "127.0.0.1,intranet",
            },
        ),
    ],
)
def test_only_where_there_is_a_proxy_the_environment_is_changed(
    environment: dict[str, str], expected: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "environ", environment)
    with FakeProvider():
        assert environment == expected
