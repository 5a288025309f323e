"""Make a conversation's history fit for the target that gets it.

An answer may hold parts that only its writer can use: signed thoughts, encrypted reasoning. The
writer gets them back whole, so that its thinking and its prompt cache go on. Everyone else gets the
fields that all vendors know, and tool-call ids that it allows.
"""

import hashlib
import logging
import re
from typing import Any

from pydantic import BaseModel

from ..errors import BadRequestError, UnsupportedRequestError
from ..request import Message
from .evidence import gather
from .profiles import Profile, profile_of

logger = logging.getLogger("majordomo_cascade")

#: The name of an answer's writer in LiteLLM's ``provider_specific_fields``.
MARK = "majordomo_cascade_writer"

#: The fields of an assistant's message, and of a tool call in it, that every vendor knows.
PUBLIC = ("role", "content", "name", "tool_calls", "function_call")
PUBLIC_IN_CALL = ("id", "type", "function", "custom")
#: The fields in which LiteLLM keeps private parts.
PRIVATE = ("reasoning_content", "reasoning_items", "thinking_blocks", "audio")
FIELDS = "provider_specific_fields"
#: The types of the parts of a content that are private.
THOUGHTS = ("thinking", "redacted_thinking")

#: LiteLLM appends Gemini's signature to the id of a tool call behind this.
SIGNATURE = "__thought__"

#: A 400 with these words refuses a private part of a message.
BLAME = re.compile(
    # Anthropic (cline#7620) and Gemini (CLIProxyAPI#1584)
    "signature|expected `?thinking|corrupted thought"
    # OpenAI, for reasoning that another organization encrypted, or that it does not keep
    "|encrypted.content|of type 'reasoning'|item with id"
    # OpenAI, Mistral, Groq (jan#8136) and vLLM
    "|unknown (parameter|name|field)|unrecognized request argument|additional properties"
    "|extra_forbidden|extra inputs|property '.*' is unsupported",
    re.IGNORECASE,
)


class History:
    """The messages of a call, as one target gets them."""

    __slots__ = ("_has_private", "_is_bare", "_name", "_profile")

    def __init__(self, name: str, profile: Profile) -> None:
        self._name = name
        self._profile = profile
        self._is_bare = False
        self._has_private = False

    def fit(self, messages: list[Message]) -> list[Message]:
        """Return the messages as the target takes them. Those given stay as they are."""
        # Most messages are a role and a text.
        if all(len(each) == 2 and isinstance(each.get("content"), str) for each in messages):
            return messages
        ids: dict[str, str] = {}
        removed: set[str] = set()
        fitted = [self._fit(message, ids, removed) for message in messages]
        if removed:
            logger.debug("%s gets the history without %s", self._name, ", ".join(sorted(removed)))
        return fitted

    def gives_way_to(self, error: Exception) -> bool:
        """Return whether the history is to be sent once more, without any private parts."""
        if self._has_private and not self._is_bare:
            is_refused = isinstance(error, BadRequestError | UnsupportedRequestError)
            self._is_bare = is_refused and BLAME.search(gather(error).text) is not None
            return self._is_bare
        return False

    def _fit(self, message: Message, ids: dict[str, str], removed: set[str]) -> Message:
        if message["role"] == "tool":
            given = str(message.get("tool_call_id"))
            return {**message, "tool_call_id": ids.get(given, given)}
        if message["role"] != "assistant":
            return message
        calls = [_as_dict(call) for call in message.get("tool_calls") or ()]
        if calls:
            message = {**message, "tool_calls": calls}
        if not self._is_bare and self._wrote(message, calls):
            self._has_private = True
            return _without_mark(message)
        removed.update(name for name in message if message[name] and name not in PUBLIC)
        public = {name: message[name] for name in PUBLIC if name in message}
        if calls:
            public["tool_calls"] = [self._fit_call(call, ids, removed) for call in calls]
        if isinstance(public.get("content"), list):
            public["content"] = [part for part in public["content"] if part["type"] not in THOUGHTS]
        return public

    def _wrote(self, message: Message, calls: list[dict[str, Any]]) -> bool:
        """Return whether the target can use the private parts of a message."""
        family = self._profile.family
        writer = _fields_of(message).get(MARK) or _writer_by_form(calls)
        if family is None or not writer:
            return False
        return writer == self._name or (family != "" and profile_of(writer).family == family)

    def _fit_call(
        self, call: dict[str, Any], ids: dict[str, str], removed: set[str]
    ) -> dict[str, Any]:
        removed.update(name for name in call if name == FIELDS)
        public = {name: call[name] for name in PUBLIC_IN_CALL if name in call}
        given = str(call.get("id"))
        public["id"] = ids[given] = self._fit_id(given.partition(SIGNATURE)[0])
        return public

    def _fit_id(self, call_id: str) -> str:
        """Return an id that the target allows: always the same, so that its prompt cache holds."""
        if re.fullmatch(self._profile.call_ids, call_id):
            return call_id
        return hashlib.sha256(call_id.encode()).hexdigest()[:9]


def sign(raw: Any, name: str) -> None:
    """Write the target's name into an answer that has private parts."""
    for choice in getattr(raw, "choices", None) or ():
        message: Any = getattr(choice, "message", None)
        if not isinstance(message, BaseModel):  # not LiteLLM's, but an application's own
            continue
        held = vars(message)  # pydantic is slow to miss an attribute
        if message.model_extra:
            held = held | message.model_extra
        calls = held.get("tool_calls") or ()
        if any(map(held.get, PRIVATE)) or any(getattr(call, FIELDS, None) for call in calls):
            setattr(message, FIELDS, {**(held.get(FIELDS) or {}), MARK: name})


def lacks_thoughts(messages: list[Message]) -> bool:
    """Return whether the tool calls that are to be answered come without thoughts."""
    for message in reversed(messages):
        if message["role"] == "assistant":
            return bool(message.get("tool_calls")) and not message.get("thinking_blocks")
        if message["role"] != "tool":
            break
    return False


def _as_dict(call: Any) -> dict[str, Any]:
    """Return a tool call that may be LiteLLM's object."""
    return call.model_dump(exclude_none=True) if isinstance(call, BaseModel) else call


def _fields_of(part: dict[str, Any]) -> dict[str, Any]:
    """Return LiteLLM's fields of a message or of a tool call."""
    fields = part.get(FIELDS)
    return fields if isinstance(fields, dict) else {}


def _without_mark(message: Message) -> Message:
    fields = {name: value for name, value in _fields_of(message).items() if name != MARK}
    rest = {name: value for name, value in message.items() if name != FIELDS}
    return {**rest, FIELDS: fields} if fields else rest


def _writer_by_form(calls: list[dict[str, Any]]) -> str:
    """Tell the writer of a message without a mark by the ids of its tool calls."""
    for call in calls:
        call_id = str(call.get("id"))
        if SIGNATURE in call_id or _fields_of(call).get("thought_signature"):
            return "gemini"
        if call_id.startswith("toolu"):
            return "claude"
    return ""
