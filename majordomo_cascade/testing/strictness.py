"""The vendors' rules for a conversation's history, which real providers hold their callers to.

Sources: https://platform.openai.com/docs/api-reference/chat/create,
https://platform.claude.com/docs/en/build-with-claude/extended-thinking,
https://ai.google.dev/gemini-api/docs/thought-signatures, and for Mistral's ids
https://docs.mistral.ai/api/.
"""

import base64
import re
from collections.abc import Callable, Iterator
from typing import Any

from .wires import Json, Request, signature

#: The fields of messages in OpenAI's format, and of the tool calls in them.
MESSAGE = {
    "role",
    "content",
    "name",
    "refusal",
    "audio",
    "tool_calls",
    "function_call",
    "tool_call_id",
}
CALL = {"id", "type", "function", "custom", "index"}
#: The fields of messages in Anthropic's.
ANTHROPIC_MESSAGE = {"role", "content", "cache_control"}

#: Google's models that want a signature, and the models whose ids of tool calls are short.
SIGNING = re.compile("gemini-[3-9]")
SHORT_IDS = re.compile("mistral|codestral|magistral")

#: The signatures that are the fake provider's own.
RESPONSES, ANTHROPIC, GEMINI = map(signature, ("responses", "anthropic", "gemini"))

#: Google's documented placeholder for a signature that another vendor's history lacks.
PLACEHOLDER = base64.b64encode(b"skip_thought_signature_validator").decode()


def complaint(request: Request) -> str | None:
    """Return the words of the vendor for the first fault of a history, None if there is none."""
    rule = RULES[request.wire]
    return next(rule(request.json, request.model), None)


def _openai(body: Json, model: str) -> Iterator[str]:
    for index, message in enumerate(body["messages"]):
        where = f"messages[{index}]"
        for name in set(message) - MESSAGE:
            yield f"Unknown parameter: '{where}.{name}'."
        for number, call in enumerate(message.get("tool_calls") or []):
            for name in set(call) - CALL:
                yield f"Unknown parameter: '{where}.tool_calls[{number}].{name}'."
            if SHORT_IDS.search(model) and not re.fullmatch("[a-zA-Z0-9]{9}", call["id"]):
                yield (
                    f"Tool call id was {call['id']} but must be a-z, A-Z, 0-9, with a length of 9."
                )
            if len(call["id"]) > 40:
                yield (
                    f"Invalid '{where}.tool_calls[{number}].id': string too long. Expected a "
                    f"string with maximum length 40, but got one with length {len(call['id'])}."
                )


def _responses(body: Json, model: str) -> Iterator[str]:
    for index, item in enumerate(body["input"]):
        if item.get("encrypted_content", RESPONSES) != RESPONSES:
            yield f"The encrypted content for item {item.get('id')} could not be verified."
        if len(item.get("call_id", "")) > 64:
            yield f"Invalid 'input[{index}].call_id': string too long."


def _anthropic(body: Json, model: str) -> Iterator[str]:
    for index, message in enumerate(body["messages"]):
        for name in set(message) - ANTHROPIC_MESSAGE:
            yield f"messages.{index}.{name}: Extra inputs are not permitted"
        parts = message["content"] if isinstance(message["content"], list) else []
        for number, part in enumerate(parts):
            where = f"messages.{index}.content.{number}"
            if part["type"] == "thinking" and part["signature"] != ANTHROPIC:
                yield f"{where}: Invalid `signature` in `thinking` block"
            if part["type"] == "tool_use" and not re.fullmatch("[a-zA-Z0-9_-]+", part["id"]):
                yield f"{where}.tool_use.id: String should match pattern '^[a-zA-Z0-9_-]+$'"
    if (body.get("thinking") or {}).get("type") == "enabled":
        yield from _missing_thoughts(body["messages"])


def _missing_thoughts(messages: list[Json]) -> Iterator[str]:
    last = messages[-2] if len(messages) > 1 else {"content": ""}
    kinds = [part["type"] for part in last["content"] if isinstance(part, dict)]
    if "tool_use" in kinds and kinds[0] not in ("thinking", "redacted_thinking"):
        yield (
            f"messages.{len(messages) - 2}.content.0.type: Expected `thinking` or "
            f"`redacted_thinking`, but found `{kinds[0]}`. When `thinking` is enabled, a final "
            "`assistant` message must start with a thinking block"
        )


def _gemini(body: Json, model: str) -> Iterator[str]:
    for index, content in enumerate(body["contents"]):
        calls = 0
        for part in content["parts"]:
            call: Any = part.get("functionCall") or part.get("function_call")
            signed = part.get("thoughtSignature")
            if signed not in (None, PLACEHOLDER, GEMINI):
                yield "Corrupted thought signature."
            if call and not calls and not signed and SIGNING.match(model):
                yield (
                    "Function call is missing a thought_signature in functionCall parts. "
                    f"Additional data, function call `{call['name']}`, position {index + 1}."
                )
            calls += bool(call)


RULES: dict[str, Callable[[Json, str], Iterator[str]]] = {
    "openai": _openai,
    "responses": _responses,
    "anthropic": _anthropic,
    "gemini": _gemini,
}
