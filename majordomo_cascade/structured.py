"""JSON and schemas: what is added to a request, and how an answer's text becomes a value. Pure."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, NamedTuple, Protocol, TypeVar

from pydantic import BaseModel, TypeAdapter, ValidationError, create_model

from .errors import InvalidRequestError, ResponseParsingError, ResponseValidationError
from .request import Message

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails
    from typing_extensions import TypeForm  # unions are no `type` to a type checker

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)

#: The field that carries what is not an object by itself, such as ``list[Item]``: vendors want one at the root.
WRAPPER = "value"

_OPENER = re.compile(r"[\[{]")
_CLOSER = {"[": "]", "{": "}"}
_TOKEN = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*"?|[][{}]', re.DOTALL)
_FENCE = re.compile(r"```[\w-]*[ \t]*\r?\n(.*)\n?[ \t]*```", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Abilities:
    """What LiteLLM says that a target's model takes as ``response_format``."""

    json_mode: bool
    json_schema: bool
    bends: bool = False
    """LiteLLM closes open objects and breaks references in the schemas it sends for this model."""


class Form(Protocol[T_co]):
    """What is asked for: how the request asks for it, and how the answer's text is read."""

    def ask(self, messages: list[Message], abilities: Abilities) -> tuple[list[Message], dict[str, Any]]:
        """The messages and the parameters to send to a target with these abilities."""
        ...

    def read(self, text: str, provider: str, model: str) -> T_co:
        """The value that the text holds.

        Raises:
            ResponseParsingError: it is not what was asked for.
        """
        ...


class JSONForm:
    """Any JSON object or array, of any shape."""

    def ask(self, messages: list[Message], abilities: Abilities) -> tuple[list[Message], dict[str, Any]]:
        """JSON mode where there is one; in words always, as OpenAI's JSON mode needs and Anthropic has nothing else."""
        params = {"response_format": {"type": "json_object"}} if abilities.json_mode else {}
        return instruct(messages, "Answer with JSON only: one object or array, no other text."), params

    def read(self, text: str, provider: str, model: str) -> dict[str, Any] | list[Any]:
        """The object or array in the text."""
        if (found := find_json(text)) is None:
            raise _not_json("holds no complete JSON value", text, provider, model)
        if not isinstance(found.value, dict | list):
            raise _not_json("is JSON, but neither an object nor an array", text, provider, model)
        return found.value


class SchemaForm(Generic[T]):
    """A value of a type that pydantic knows: a model, dataclass, TypedDict, ``list[Item]``, union, primitive.

    Raises:
        InvalidRequestError: pydantic can't validate the type, or can't describe it as a JSON Schema.
    """

    def __init__(self, response_model: TypeForm[T]) -> None:
        self._label = _label(response_model)
        self.name = re.sub(r"[^a-zA-Z0-9_-]+", "_", self._label).strip("_")[:64] or "answer"  # OpenAI's rule for names
        try:
            self._adapter: TypeAdapter[T] = TypeAdapter(response_model)
            self.schema = self._adapter.json_schema()
            self._wrapper: type[BaseModel] | None = None
            if not _is_object(self.schema):
                field: Any = {WRAPPER: (response_model, ...)}
                self._wrapper = wrapper = create_model(self.name, **field)
                self.schema = wrapper.model_json_schema()
            self._is_fragile = _is_fragile(self.schema)
        except Exception as error:  # of many kinds, pydantic's and Python's
            raise InvalidRequestError(
                f"response_model {self._label} can't be used: expected a pydantic model, or any type that pydantic's "
                f"TypeAdapter takes and that has a JSON Schema ({str(error).partition(chr(10))[0]})"
            ) from error

    def ask(self, messages: list[Message], abilities: Abilities) -> tuple[list[Message], dict[str, Any]]:
        """The native schema where there is one, otherwise the schema in the prompt (and JSON mode with it)."""
        if abilities.json_schema and not (abilities.bends and self._is_fragile):
            schema = {"name": self.name, "schema": self.schema, "strict": False}
            return messages, {"response_format": {"type": "json_schema", "json_schema": schema}}
        params = {"response_format": {"type": "json_object"}} if abilities.json_mode else {}
        wanted = json.dumps(self.schema, ensure_ascii=False)
        return instruct(
            messages, f"Answer with JSON only, no other text, that matches this JSON Schema:\n{wanted}"
        ), params

    def read(self, text: str, provider: str, model: str) -> T:
        """The validated value in the text."""
        if (found := find_json(text)) is None:
            raise _not_json("holds no complete JSON value", text, provider, model)
        try:
            return self._validate(found)
        except ValidationError as error:
            problems = error.errors(include_url=False, include_context=False)
        shown = "; ".join(f"{'.'.join(map(str, p['loc'])) or 'the answer'}: {_told(p)}" for p in problems[:3])
        more = f"; and {len(problems) - 3} more" if len(problems) > 3 else ""
        raise ResponseValidationError(
            f"the answer of {provider}/{model} is JSON, but not of type {self._label}: {shown}{more} (see errors)",
            provider=provider,
            model=model,
            raw_content=text,
            errors=[dict(problem) for problem in problems],
        )

    def _validate(self, found: Found) -> T:
        """The value, out of the object that carried it if there was one; from the text, so that pydantic sees JSON."""
        if self._wrapper and isinstance(found.value, dict) and found.value.keys() == {WRAPPER}:
            value: T = getattr(self._wrapper.model_validate_json(found.text), WRAPPER)
            return value
        return self._adapter.validate_json(found.text)


def instruct(messages: list[Message], instruction: str) -> list[Message]:
    """The messages with an instruction behind the first system prompt, or as a system prompt of their own."""
    first = messages[0]
    if first["role"] not in ("system", "developer"):
        return [{"role": "system", "content": instruction}, *messages]
    content = first["content"]
    if isinstance(content, str):
        content = f"{content}\n\n{instruction}"
    else:
        content = [*content, {"type": "text", "text": instruction}]
    return [{**first, "content": content}, *messages[1:]]


class Found(NamedTuple):
    """A JSON value, and the text that it was read from."""

    text: str
    value: Any


def find_json(text: str) -> Found | None:
    """The JSON in an answer: all of it, or what one fence around it all holds, or the last value in its prose.

    In prose only complete objects and arrays count, and an empty one only where there is no other: the first may be
    quoted from the prompt, which is how an injection gets in. A value that runs into the end of the text is a cut
    answer, and nothing inside it is taken. Takes linear time.
    """
    text = text.strip("\ufeff \t\r\n")
    if whole := _decode(text):
        return whole
    if (fence := _FENCE.fullmatch(text)) and (whole := _decode(fence[1])):
        return whole
    found, end = None, 0
    while opener := _OPENER.search(text, end):
        closed = _end_of_stretch(text, opener.start())
        if closed is None:
            return None
        end = closed
        stretch = text[opener.start() : end]
        value = _decode(stretch)
        if value is None and '"' in stretch:
            return None  # no JSON: where its strings end, and so where the next value starts, would be a guess
        if value and (value.value or found is None):
            found = value
    return found


def _end_of_stretch(text: str, start: int) -> int | None:
    """Behind the bracket that closes, or contradicts, the one at ``start``; None if the text ends first."""
    closers: list[str] = []
    for token in _TOKEN.finditer(text, start):
        if token[0] in _CLOSER:
            closers.append(_CLOSER[token[0]])
        elif token[0] in ("]", "}") and (closers.pop() != token[0] or not closers):
            return token.end()
    return None


def _decode(text: str) -> Found | None:
    """The one JSON value that is all of the text, by the letter of RFC 8259 (no NaN, no trailing comma)."""
    try:
        return Found(text, json.loads(text, parse_constant=_refuse_constant))
    except (ValueError, RecursionError):
        return None


def _refuse_constant(name: str) -> None:
    """Refuse Python's NaN and Infinity, which are not JSON."""
    raise ValueError(f"{name} is not JSON")


def _label(response_model: Any) -> str:
    """The name of a type, without the modules that it comes from."""
    name = response_model.__name__ if isinstance(response_model, type) else str(response_model)
    return re.sub(r"(\w+\.)+(?=\w)", "", name)


def _told(problem: ErrorDetails) -> str:
    """What is wrong, without quoting the answer as validators of the caller's own may do."""
    quoting = ("value_error", "assertion_error", "union_tag_invalid")
    return problem["type"] if problem["type"] in quoting else problem["msg"]


def _is_object(schema: dict[str, Any]) -> bool:
    """Whether the schema describes an object with named fields, by itself or by reference."""
    if "$ref" in schema:
        schema = schema["$defs"][schema["$ref"].rpartition("/")[2]]
    return schema.get("type") == "object"


def _is_fragile(schema: Any) -> bool:
    """Whether there is a reference or an open object in a schema: a ``dict[str, X]`` that is closed holds nothing."""
    if isinstance(schema, dict):
        is_open = schema.get("type") == "object" and "properties" not in schema
        return is_open or "$ref" in schema or any(map(_is_fragile, schema.values()))
    return isinstance(schema, list) and any(map(_is_fragile, schema))


def _not_json(problem: str, text: str, provider: str, model: str) -> ResponseParsingError:
    """The error for an answer without the JSON that was asked for; it tells the length, not the text."""
    return ResponseParsingError(
        f"the answer of {provider}/{model} {problem} ({len(text)} characters; see raw_content)",
        provider=provider,
        model=model,
        raw_content=text,
    )
