"""The vendors' formats. A new one is a function here, and a row of ``WIRES``."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from .provider import Reply

Json = dict[str, Any]
Event = Json | str
Answer = tuple[Json, list[Event]]  # as a whole, and as the events of a stream


@dataclass(frozen=True)
class Request:
    """A request that reached the provider. The names of headers are in lower case."""

    path: str
    headers: Mapping[str, str] = field(repr=False)
    json: Any = field(repr=False)
    """The decoded body; None if it is not JSON."""

    @property
    def wire(self) -> str:
        """The vendor's format: "openai", "responses", "anthropic" or "gemini"."""
        return find_wire(self).name

    @property
    def model(self) -> str:
        """The model that is asked for. Gemini has it in the path."""
        model, colon, _ = self.path.rpartition("/")[2].partition(":")
        return model if colon else str(self.json["model"])

    @property
    def wants_stream(self) -> bool:
        """True if a stream is asked for."""
        return self.path.endswith(":streamGenerateContent") or bool(self.json.get("stream"))


def split(text: str | None) -> list[str]:
    """Split a text into words, each with the blanks before it."""
    return re.findall(r"\s*\S+", text or "")


def signature(wire: str) -> str:
    """Return the signature under the thoughts that are written in a format."""
    return base64.b64encode(f"signed by the fake {wire}".encode()).decode()


def _openai(reply: Reply, request: Request) -> Answer:
    message: Json = {"role": "assistant", "content": reply.text}
    deltas: list[Json] = [{"role": "assistant", "content": ""}]
    if reply.reasoning:
        message["reasoning_content"] = reply.reasoning
        deltas.append({"reasoning_content": reply.reasoning})
    deltas += [{"content": word} for word in split(reply.text)]
    for index, (call_id, name, arguments) in enumerate(reply.read_calls()):
        function = {"name": name, "arguments": json.dumps(arguments)}
        call = {"id": call_id, "type": "function", "function": function}
        message.setdefault("tool_calls", []).append(call)
        deltas.append({"tool_calls": [{"index": index, **call}]})
    is_call = reply.tool_calls and reply.finish_reason == "stop"
    reason = "tool_calls" if is_call else reply.finish_reason
    usage = {
        "prompt_tokens": reply.input_tokens,
        "completion_tokens": reply.output_tokens,
        "total_tokens": reply.input_tokens + reply.output_tokens,
    }
    about = {"id": "chatcmpl-1", "created": 1, "model": request.model, "service_tier": "default"}
    choice: Json = {"index": 0, "message": message, "finish_reason": reason}
    whole = {**about, "object": "chat.completion", "choices": [choice], "usage": usage}
    chunk = {**about, "object": "chat.completion.chunk"}

    def event(delta: Json, reason: str | None = None) -> Event:
        return {**chunk, "choices": [{"index": 0, "delta": delta, "finish_reason": reason}]}

    events = [*map(event, deltas), event({}, reason)]
    if (request.json.get("stream_options") or {}).get("include_usage"):
        events.append({**chunk, "choices": [], "usage": usage})
    return whole, [*events, "[DONE]"]


def _responses(reply: Reply, request: Request) -> Answer:
    """Write https://platform.openai.com/docs/api-reference/responses-streaming."""
    items: list[Json] = []
    if reply.reasoning:
        thoughts = {"summary": [{"type": "summary_text", "text": reply.reasoning}]}
        secret = {"encrypted_content": signature("responses")}
        items.append({"type": "reasoning", "id": "rs_1", **thoughts, **secret})
    if reply.text is not None:
        part = {"type": "output_text", "text": reply.text, "annotations": []}
        about = {"id": "msg_1", "role": "assistant", "status": "completed"}
        items.append({"type": "message", **about, "content": [part]})
    for number, (call_id, name, arguments) in enumerate(reply.read_calls("call"), start=1):
        call = {"id": f"fc_{number}", "call_id": call_id, "name": name, "status": "completed"}
        items.append({"type": "function_call", **call, "arguments": json.dumps(arguments)})
    reasons = {"length": "max_output_tokens", "content_filter": "content_filter"}
    reason = reasons.get(reply.finish_reason)
    whole: Json = {
        "id": "resp_1",
        "object": "response",
        "created_at": 1,
        "model": request.model,
        "status": "incomplete" if reason else "completed",
        "incomplete_details": {"reason": reason} if reason else None,
        "error": None,
        "output": items,
        "parallel_tool_calls": True,
        "tool_choice": "auto",
        "tools": [],
        "usage": {
            "input_tokens": reply.input_tokens,
            "output_tokens": reply.output_tokens,
            "total_tokens": reply.input_tokens + reply.output_tokens,
        },
    }
    begun = {**whole, "status": "in_progress", "output": [], "usage": None}
    events: list[Event] = [{"type": "response.created", "response": begun}]
    for index, item in enumerate(items):
        events += [{**event, "output_index": index} for event in _responses_item(item)]
    events.append({"type": f"response.{whole['status']}", "response": whole})
    return whole, events


def _responses_item(item: Json) -> list[Json]:
    where = {"item_id": item["id"], "content_index": 0}
    begun = {**item, "status": "in_progress"}
    events: list[Json] = []
    if item["type"] == "message":
        begun["content"] = []
        part = item["content"][0]
        events.append({"type": "response.content_part.added", "part": {**part, "text": ""}})
        kind = "response.output_text"
        events += [{"type": f"{kind}.delta", "delta": word} for word in split(part["text"])]
        events.append({"type": f"{kind}.done", "text": part["text"]})
        events.append({"type": "response.content_part.done", "part": part})
    elif item["type"] == "function_call":
        begun["arguments"] = ""
        kind = "response.function_call_arguments"
        events.append({"type": f"{kind}.delta", "delta": item["arguments"]})
        events.append({"type": f"{kind}.done", "arguments": item["arguments"]})
    return [
        {"type": "response.output_item.added", "item": begun},
        *({**event, **where} for event in events),
        {"type": "response.output_item.done", "item": item},
    ]


def _anthropic(reply: Reply, request: Request) -> Answer:
    reasons = {"stop": "end_turn", "length": "max_tokens", "content_filter": "refusal"}
    if reply.tool_calls:
        reasons["stop"] = "tool_use"
    end = {"stop_reason": reasons[reply.finish_reason], "stop_sequence": None}
    about = {"id": "msg_1", "type": "message", "role": "assistant", "model": request.model}
    usage = {"input_tokens": reply.input_tokens, "output_tokens": reply.output_tokens}
    content: list[Json] = []
    whole = {**about, "content": content, **end, "usage": usage}
    begun: Json = {"content": [], "stop_reason": None, "usage": {**usage, "output_tokens": 1}}
    events: list[Event] = [{"type": "message_start", "message": whole | begun}]

    def add(block: Json, empty: Json, deltas: list[Json]) -> None:
        start: Json = {"type": "content_block_start", "content_block": block | empty}
        pieces = [{"type": "content_block_delta", "delta": delta} for delta in deltas]
        steps = [start, *pieces, {"type": "content_block_stop"}]
        events.extend({**step, "index": len(content)} for step in steps)
        content.append(block)

    if reply.reasoning:
        signed = {"signature": signature("anthropic")}
        deltas = [
            {"type": "thinking_delta", "thinking": reply.reasoning},
            {"type": "signature_delta", **signed},
        ]
        empty = {"thinking": "", "signature": ""}
        add({"type": "thinking", "thinking": reply.reasoning, **signed}, empty, deltas)
    if reply.text is not None:
        words = [{"type": "text_delta", "text": word} for word in split(reply.text)]
        add({"type": "text", "text": reply.text}, {"text": ""}, words)
    for call_id, name, arguments in reply.read_calls("toolu"):
        call = {"type": "tool_use", "id": call_id, "name": name, "input": arguments}
        delta = {"type": "input_json_delta", "partial_json": json.dumps(arguments)}
        add(call, {"input": {}}, [delta])
    usage = {"output_tokens": reply.output_tokens}
    events.append({"type": "message_delta", "delta": end, "usage": usage})
    return whole, [*events, {"type": "message_stop"}]


def _gemini(reply: Reply, request: Request) -> Answer:
    reasons = {"stop": "STOP", "length": "MAX_TOKENS", "content_filter": "SAFETY"}
    end = {"finishReason": reasons[reply.finish_reason]}
    usage = {
        "promptTokenCount": reply.input_tokens,
        "candidatesTokenCount": reply.output_tokens,
        "totalTokenCount": reply.input_tokens + reply.output_tokens,
    }

    def body(*parts: Json, **end: str) -> Json:
        content = {"role": "model", "parts": parts} if parts else {"role": "model"}
        candidates = [{"content": content, "index": 0, **end}]
        return {"candidates": candidates, "modelVersion": request.model, "usageMetadata": usage}

    text: list[Json] = [] if reply.text is None else [{"text": reply.text}]
    words: list[Json] = [{"text": word} for word in split(reply.text)]
    calls: list[Json] = [
        {"functionCall": {"name": name, "args": args}} for _, name, args in reply.read_calls()
    ]
    thoughts: list[Json] = []
    if reply.reasoning:
        thoughts.append({"text": reply.reasoning, "thought": True})
        for first in calls[:1]:
            first["thoughtSignature"] = signature("gemini")
    events = map(body, [*thoughts, *words, *calls])
    return body(*thoughts, *text, *calls, **end), [*events, body(**end)]


class Wire(NamedTuple):
    """A vendor's format."""

    name: str
    path: str  # a part of the paths that it serves
    answer: Callable[[Reply, Request], Answer]
    error: Callable[[int, str, str], Json]  # from a status, a code and a message
    before_text: int = 0  # events of a stream before its first word
    after_finish: int = 0  # events of a stream that only mark its end


WIRES = (
    Wire(
        "openai",
        "/chat/completions",
        _openai,
        lambda _, code, text: {
            "error": {"message": text, "type": code, "param": None, "code": code}
        },
        before_text=1,
        after_finish=1,
    ),
    Wire(
        "responses",
        "/responses",
        _responses,
        lambda _, code, text: {"type": "error", "error": {"message": text, "code": code}},
        before_text=3,
    ),
    Wire(
        "anthropic",
        "/messages",
        _anthropic,
        lambda _, code, text: {"type": "error", "error": {"message": text, "type": code}},
        before_text=2,
        after_finish=1,
    ),
    Wire(
        "gemini",
        "/models/",
        _gemini,
        lambda status, code, text: {"error": {"message": text, "code": status, "status": code}},
    ),
)

#: LiteLLM's providers that speak OpenAI's format.
OPENAI_COMPATIBLE = (
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

#: The paths of LiteLLM's ``api_base`` for its providers.
BASES = {"anthropic": "", "gemini": ""} | dict.fromkeys(OPENAI_COMPATIBLE, "/v1")


def find_wire(request: Request) -> Wire:
    """Return a request's wire, or else the first one."""
    return next((wire for wire in WIRES if wire.path in request.path), WIRES[0])
