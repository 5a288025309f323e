"""Streams of other vendors: whole, or interrupted; never a short answer that looks whole."""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple
from zlib import crc32

import pytest
from conftest import IS_NEW, RESPONSES, WIRES, Serve

from majordomo_cascade import (
    LLMCascade,
    LLMStreamResponse,
    RetryPolicy,
    StreamInterruptedError,
    Target,
)
from majordomo_cascade.testing import Behaviour, BrokenStream, Exchange, FakeProvider, Reply

ONCE = RetryPolicy(attempts=1)
HALF, REST = "The first half of", " an answer."
HALF_WORDS, REST_WORDS = ("The first", " half of"), (" an", " answer.")
FALLBACK = Reply("The whole answer, said by another.")


class Vendor(NamedTuple):
    """A vendor's good answer, and the faults that its stream can have after ``HALF``."""

    name: str
    model: str
    whole: Behaviour
    faults: Mapping[str, Behaviour]
    base: str = ""  # the path of its api_base
    params: Mapping[str, Any] = {}
    api_key: str | None = "loopback-key"

    def target(self, server: FakeProvider) -> Target:
        base, params = server.url + self.base, dict(self.params)
        return Target(self.name, self.model, api_key=self.api_key, api_base=base, params=params)


@dataclass(frozen=True)
class Then:
    """A stream in OpenAI's format: ``HALF``, then events in the vendor's shape, then its end."""

    events: Sequence[Mapping[str, Any] | str]

    async def perform(self, exchange: Exchange) -> None:
        number = 1 + len(HALF.split())  # the role comes first
        await exchange.begin_stream()
        for event in [*Reply(HALF + REST).events(exchange.request)[:number], *self.events]:
            await exchange.send_event(event)
        await exchange.end_stream()


@dataclass(frozen=True)
class Pieces:
    """A stream of bytes, one HTTP chunk each; then a regular end, a cut or silence."""

    content_type: str
    pieces: Sequence[bytes]
    then: Literal["end", "cut", "stall"] = "end"

    async def perform(self, exchange: Exchange) -> None:
        head = f"HTTP/1.1 200 -\r\ncontent-type: {self.content_type}\r\n"
        exchange.writer.write(f"{head}transfer-encoding: chunked\r\n\r\n".encode())
        for piece in self.pieces:
            exchange.writer.write(b"%x\r\n%b\r\n" % (len(piece), piece))
            await exchange.writer.drain()
        if self.then == "cut":
            exchange.writer.close()
        elif self.then == "stall":
            await exchange.stay_silent()
        else:
            await exchange.end_stream()


def chunk(delta: Mapping[str, Any], finish_reason: str | None = None, **more: Any) -> Any:
    """Return a chunk in OpenAI's format."""
    choice = {"index": 0, "delta": delta, "finish_reason": finish_reason}
    about = {"id": "1", "object": "chat.completion.chunk", "created": 1, "model": "some-model"}
    return {**about, "choices": [choice], **more}


def speaks_openai(name: str, *error: Mapping[str, Any] | str, **fields: Any) -> Vendor:
    """Return a vendor that speaks OpenAI's format, and reports errors in a shape of its own."""
    faults: dict[str, Behaviour] = {
        "cut": BrokenStream("cut"),
        "garbage": BrokenStream("garbage"),
        "error": Then(error),
        "end": BrokenStream("end"),
    }
    fields = {"whole": Reply(HALF + REST), "base": "/v1", **fields}
    return Vendor(name, "some-model", faults=faults, **fields)


def speaks_bytes(
    name: str,
    model: str,
    content_type: str,
    half: Sequence[bytes],
    rest: Sequence[bytes],
    *,
    garbage: Mapping[str, bytes],
    error: bytes,
    **fields: Any,
) -> Vendor:
    """Return a vendor with a wire of its own, each event in bytes."""
    faults: dict[str, Behaviour] = {
        "cut": Pieces(content_type, half, then="cut"),
        "cut-event": Pieces(content_type, [*half, rest[0][:-9]], then="cut"),
        "half-event": Pieces(content_type, [*half, rest[0][:-9]]),
        "error": Pieces(content_type, [*half, error]),
        "end": Pieces(content_type, half),
    }
    for fault, unreadable in garbage.items():
        faults[fault] = Pieces(content_type, [*half, unreadable, *rest])
    return Vendor(name, model, Pieces(content_type, [*half, *rest]), faults, **fields)


def line(**fields: Any) -> bytes:
    """Return a line of Ollama's (https://github.com/ollama/ollama/blob/main/docs/api.md)."""
    about = {"model": "llama3", "created_at": "2025-05-24T02:12:05.859654Z"}
    return json.dumps({**about, "done": False, **fields}).encode() + b"\n"


def ollamas_end(reason: str, **fields: Any) -> bytes:
    counts = {"prompt_eval_count": 10, "eval_count": 5}
    return line(**fields, done=True, done_reason=reason, **counts)


def said(text: str) -> dict[str, str]:
    """Return a message of Ollama's chat."""
    return {"role": "assistant", "content": text}


NDJSON = "application/x-ndjson"
OLLAMA = speaks_bytes(
    "ollama",
    "llama3",
    NDJSON,
    [line(response=text) for text in HALF_WORDS],
    [*[line(response=text) for text in REST_WORDS], ollamas_end("stop", response="")],
    garbage={"garbage": b'{"model": "llama3", "resp\n'},
    error=b'{"error": "the model runner stopped"}\n',
)
OLLAMA_CHAT = speaks_bytes(
    "ollama_chat",
    "llama3",
    NDJSON,
    [line(message=said(text)) for text in HALF_WORDS],
    [*[line(message=said(text)) for text in REST_WORDS], ollamas_end("stop", message=said(""))],
    garbage={"garbage": b'{"model": "llama3", "mess\n'},
    error=b'{"error": "the model runner stopped"}\n',
)


def frame(payload: bytes, **headers: str) -> bytes:
    """Return a message of AWS's event stream.

    It is made of the two lengths, their checksum, the headers, the payload and a checksum of all:
    https://docs.aws.amazon.com/transcribe/latest/dg/streaming-setting-up.html
    """
    fields = b""
    for name, value in {"content_type": "application/json", **headers}.items():
        key = b":" + name.replace("_", "-").encode()
        text = value.encode()
        fields += bytes([len(key)]) + key + b"\x07" + struct.pack("!H", len(text)) + text
    lengths = struct.pack("!II", 16 + len(fields) + len(payload), len(fields))
    message = lengths + struct.pack("!I", crc32(lengths)) + fields + payload
    return message + struct.pack("!I", crc32(message))


def event(kind: str, **payload: Any) -> bytes:
    """Return an event of Bedrock's ConverseStream."""
    return frame(json.dumps(payload).encode(), event_type=kind, message_type="event")


def spoken(text: str) -> bytes:
    return event("contentBlockDelta", contentBlockIndex=0, delta={"text": text})


def bedrocks_error(kind: str) -> bytes:
    payload = b'{"message": "The fake provider broke off."}'
    return frame(payload, exception_type=kind, message_type="exception")


USAGE = {"inputTokens": 10, "outputTokens": 5, "totalTokens": 15}
EVENT_STREAM = "application/vnd.amazon.eventstream"
BEDROCK = speaks_bytes(
    "bedrock",
    "anthropic.claude-3-sonnet-20240229-v1:0",
    EVENT_STREAM,
    [event("messageStart", role="assistant"), *map(spoken, HALF_WORDS)],
    [
        *map(spoken, REST_WORDS),
        event("contentBlockStop", contentBlockIndex=0),
        event("messageStop", stopReason="end_turn"),
        event("metadata", usage=USAGE, metrics={"latencyMs": 1}),
    ],
    garbage={
        "garbage": frame(b'{"delta": {"te', event_type="contentBlockDelta", message_type="event"),
        "checksum": spoken(" then").replace(b"then", b"than"),
    },
    error=bedrocks_error("modelStreamErrorException"),
    api_key=None,
    params={
        "aws_access_key_id": "a",
        "aws_secret_access_key": "b",
        "aws_region_name": "us-east-1",
    },
)

BUSY = {"message": "The model is busy.", "type": "server_error", "param": None, "code": 503}
#: https://openrouter.ai/docs/api-reference/streaming
DISCONNECTED = {"code": "server_error", "message": "Provider disconnected unexpectedly"}
#: DeepSeek's reason: https://api-docs.deepseek.com/api/create-chat-completion
NO_RESOURCES = chunk({}, "insufficient_system_resource")
#: Mistral tells the usage without being asked, with its finish reason.
MISTRALS_USAGE = {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15}
MISTRALS_REST = (chunk({"content": REST}), chunk({}, "stop", usage=MISTRALS_USAGE), "[DONE]")
VENDORS = (
    speaks_openai("azure", {"error": BUSY}, base="", params={"api_version": "2024-10-21"}),
    speaks_openai("mistral", {"object": "error", **BUSY}, whole=Then(MISTRALS_REST)),
    speaks_openai("groq", {"error": {**BUSY, "status_code": 503}}),
    speaks_openai("hosted_vllm", {"error": {"object": "error", **BUSY}}, "[DONE]"),
    speaks_openai("openrouter", chunk({"content": ""}, "error", error=DISCONNECTED)),
    speaks_openai("deepseek", NO_RESOURCES, "[DONE]"),
    speaks_openai("xai", {"code": "503", "error": "The model is busy."}),
    OLLAMA,
    OLLAMA_CHAT,
    BEDROCK,
)
#: What the vendors' errors say; BUSY["message"] if nothing else.
WORDS = {
    "openrouter": "Provider disconnected unexpectedly",
    "deepseek": "the provider broke it off (insufficient_system_resource)",
    "ollama": "the model runner stopped",
    "ollama_chat": "the model runner stopped",
}
EVERY_VENDOR = pytest.mark.parametrize("vendor", VENDORS, ids=[each.name for each in VENDORS])
EVERY_FAULT = pytest.mark.parametrize(
    ("vendor", "behaviour"),
    [
        pytest.param(vendor, vendor.faults[fault], id=f"{vendor.name}-{fault}")
        for vendor in VENDORS
        for fault in vendor.faults
    ],
)


async def ask(
    serve: Serve, vendor: Vendor, behaviour: Behaviour, **options: Any
) -> LLMStreamResponse:
    """Return a stream of the vendor's, with another vendor as its fallback."""
    if vendor is BEDROCK:
        pytest.importorskip("boto3")  # LiteLLM reads the frames with it
    targets = [vendor.target(serve(behaviour)), serve(FALLBACK).target()]
    return await LLMCascade(targets, retry=ONCE, **options).get_response_stream("Hello")


async def read(stream: LLMStreamResponse, shown: list[str]) -> None:
    """Read a stream; ``shown`` keeps what came before an error."""
    async for text in stream:
        shown.append(text)  # noqa: PERF401 - what came before the error counts


@EVERY_VENDOR
async def test_a_whole_answer(serve: Serve, vendor: Vendor) -> None:
    stream = await ask(serve, vendor, vendor.whole)
    assert "".join([text async for text in stream]) == HALF + REST
    assert (stream.provider, stream.finish_reason) == (vendor.name, "stop")
    assert stream.usage is not None
    assert (stream.usage.input_tokens, stream.usage.output_tokens) == (10, 5)


@EVERY_FAULT
async def test_a_broken_answer_raises_with_the_text_so_far(
    serve: Serve, vendor: Vendor, behaviour: Behaviour
) -> None:
    stream = await ask(serve, vendor, behaviour)
    shown: list[str] = []
    with pytest.raises(StreamInterruptedError) as caught:
        await read(stream, shown)
    assert "".join(shown) == caught.value.partial_content == HALF
    assert (caught.value.provider, caught.value.model) == (vendor.name, vendor.model)


@pytest.mark.parametrize(
    ("vendor", "words"),
    [
        (vendor, WORDS.get(vendor.name, BUSY["message"]))
        for vendor in VENDORS
        if vendor is not BEDROCK
    ],
    ids=lambda value: getattr(value, "name", ""),
)
async def test_an_error_in_the_stream_is_told_in_the_vendors_words(
    serve: Serve, vendor: Vendor, words: str
) -> None:
    stream = await ask(serve, vendor, vendor.faults["error"])
    with pytest.raises(StreamInterruptedError) as caught:
        await read(stream, [])
    assert words in str(caught.value)


async def test_known_limit_bedrocks_words_are_in_the_cause_alone(serve: Serve) -> None:
    """LiteLLM's stream of Bedrock has no wire that can be inspected."""
    stream = await ask(serve, BEDROCK, BEDROCK.faults["error"])
    with pytest.raises(StreamInterruptedError) as caught:
        await read(stream, [])
    assert "The fake provider broke off." not in str(caught.value)
    assert "The fake provider broke off." in str(caught.value.__cause__)


@EVERY_FAULT
async def test_a_broken_answer_is_collected_whole_from_the_next(
    serve: Serve, vendor: Vendor, behaviour: Behaviour
) -> None:
    response = await (await ask(serve, vendor, behaviour)).collect()
    assert (response.content, response.provider) == (FALLBACK.text, "openai")
    assert isinstance(response.attempts[0].error, StreamInterruptedError)


@pytest.mark.parametrize(
    ("vendor", "missing"),
    [
        pytest.param(OLLAMA, 0, id="ollama"),
        pytest.param(OLLAMA_CHAT, 0, id="ollama_chat"),
        pytest.param(BEDROCK, 0, id="bedrock"),
        pytest.param(BEDROCK, 1, id="bedrock-without-its-usage"),
    ],
)
async def test_a_cut_behind_the_finish_reason_takes_nothing_away(
    serve: Serve, vendor: Vendor, missing: int
) -> None:
    assert isinstance(vendor.whole, Pieces)
    pieces = vendor.whole.pieces[: len(vendor.whole.pieces) - missing]
    cut = Pieces(vendor.whole.content_type, pieces, then="cut")
    response = await (await ask(serve, vendor, cut)).collect()
    assert (response.content, response.provider) == (HALF + REST, vendor.name)


async def test_known_limit_a_silence_behind_bedrocks_finish_reason_is_a_stall(
    serve: Serve,
) -> None:
    """The answer is whole, but LiteLLM keeps its end back until the usage comes."""
    half = BEDROCK.faults["end"]
    assert isinstance(half, Pieces)
    # Before 1.110, LiteLLM passes nothing on until 1,024 bytes have come.
    padding = event("contentBlockDelta", contentBlockIndex=0, delta={"text": ""}, p="a" * 1024)
    end = event("messageStop", stopReason="end_turn")
    silent = Pieces(EVENT_STREAM, [*half.pieces, padding, spoken(REST), end], then="stall")
    response = await (await ask(serve, BEDROCK, silent, stall_timeout=0.05)).collect()
    assert (response.content, response.provider) == (FALLBACK.text, "openai")
    assert isinstance(response.attempts[0].error, StreamInterruptedError)


async def reason_after(serve: Serve, vendor: Vendor, end: bytes) -> str | None:
    """Return the finish reason of the first half of an answer and a vendor's end."""
    half = vendor.faults["end"]
    assert isinstance(half, Pieces)
    stream = await ask(serve, vendor, Pieces(half.content_type, [*half.pieces, end]))
    response = await stream.collect()
    assert (response.content, response.provider) == (HALF, vendor.name)
    return response.finish_reason


@pytest.mark.parametrize(
    ("vendor", "end"),
    [
        pytest.param(OLLAMA_CHAT, ollamas_end("length", message=said("")), id="ollama_chat"),
        pytest.param(BEDROCK, event("messageStop", stopReason="max_tokens"), id="bedrock"),
    ],
)
async def test_an_answer_cut_by_max_tokens_says_so(
    serve: Serve, vendor: Vendor, end: bytes
) -> None:
    assert await reason_after(serve, vendor, end) == "length"


async def test_known_limit_ollamas_generate_hides_that_max_tokens_cut_the_answer(
    serve: Serve,
) -> None:
    """LiteLLM says "stop" for every ``done_reason`` of ``ollama/``; ``ollama_chat/`` has it."""
    assert await reason_after(serve, OLLAMA, ollamas_end("length", response="")) == "stop"


@dataclass
class ResponsesEvents:
    """Streams a first word in the format of OpenAI's Responses, and then some events."""

    events: list[dict[str, Any]]

    async def perform(self, exchange: Exchange) -> None:
        await exchange.begin_stream()
        for event in Reply("One").events(exchange.request)[:4]:
            await exchange.send_event(event)
        for event in self.events:
            await exchange.send_event(event)
        await exchange.end_stream()


@pytest.mark.skipif(not IS_NEW, reason="LiteLLM 1.83 takes cut answers of this wire for whole ones")
@pytest.mark.parametrize(
    ("event", "kind"),
    [
        ({"type": "response.failed", "response": {"error": {"code": "rate_limit_exceeded"}}}, 429),
        ({"type": "response.failed", "response": {"error": {"code": "server_error"}}}, 500),
        ({"type": "error", "code": "rate_limit_exceeded", "message": "slower", "param": None}, 429),
        ({"type": "error", "error": {"type": "overloaded_error", "message": "busy"}}, 529),
    ],
)
async def test_a_failure_that_openais_responses_report_is_told_by_its_code(
    serve: Serve, event: dict[str, Any], kind: int
) -> None:
    first, second = serve(ResponsesEvents([event])), serve(Reply("whole"))
    cascade = LLMCascade([first.target(*RESPONSES), second.target(*WIRES[1])], retry=ONCE)
    stream = await cascade.get_response_stream("Hello")
    with pytest.raises(StreamInterruptedError) as caught:
        async for _ in stream:
            pass
    assert (caught.value.status_code, caught.value.partial_content) == (kind, "One")
    response = await (await cascade.get_response_stream("Hello")).collect()
    assert (response.content, response.failed_over) == ("whole", True)


@pytest.mark.skipif(not IS_NEW, reason="LiteLLM 1.83 asks on this wire only if it is told to")
async def test_tools_and_a_reasoning_effort_lead_to_openais_responses(serve: Serve) -> None:
    server = serve(Reply("One two."))
    cascade = LLMCascade([server.target("openai", "gpt-5.5")], retry=ONCE)
    tool = {"type": "function", "function": {"name": "now", "parameters": {"type": "object"}}}
    params: dict[str, Any] = {"tools": [tool], "reasoning_effort": "low"}
    stream = await cascade.get_response_stream("Hello", **params)
    assert (await stream.collect()).content == "One two."
    assert (await cascade.get_response("Hello", **params)).content == "One two."
    assert [request.wire for request in server.requests] == ["responses"] * 2
