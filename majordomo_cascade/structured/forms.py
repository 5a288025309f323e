"""The form of an answer: how a request asks for it, and how the text is read."""

from __future__ import annotations

import json
import pickle
import re
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Generic, TypeVar, get_args

from pydantic import TypeAdapter, ValidationError
from pydantic.json_schema import GenerateJsonSchema

from ..errors import BadRequestError, ResponseParsingError, ResponseValidationError
from ..options import MODES, Dialect, Mode, Target
from ..request import Message
from .dialects import WRAPPER, response_format, with_object_root
from .parsing import Found, find_json

if TYPE_CHECKING:
    from typing_extensions import TypeForm

T = TypeVar("T")

#: Problems that an error names, and that a model is told of.
MAX_NAMED, MAX_TOLD = 3, 20
#: Characters of a problem's place, and of its message: both may quote the answer.
MAX_QUOTED = 200


class Form(Generic[T]):
    """The form that an answer is wanted in."""

    label = wanted = "value"
    types: tuple[type, ...] = (object,)
    instruction: str
    #: Parameters that ask for it, pickled: copying takes thrice as long.
    formats: Mapping[Dialect, bytes] = {}

    def modes(self, dialect: Dialect) -> tuple[Mode, ...]:
        """Return the ways to ask for it, best first. "prompt" is always among them."""
        return MODES if dialect in self.formats else MODES[1:]

    def request(
        self, messages: list[Message], mode: Mode, dialect: Dialect
    ) -> tuple[list[Message], dict[str, Any]]:
        """Return messages and parameters that ask for it, which nobody else holds."""
        if mode == "json_schema":
            made = pickle.loads(self.formats[dialect])  # noqa: S301 - our own
            return list(messages), {"response_format": made}
        params = {"response_format": {"type": "json_object"}} if mode == "json_mode" else {}
        return _instruct(messages, self.instruction), params

    def read(self, text: str, target: Target) -> T:
        """Return the value in an answer's text.

        Raises:
            ResponseParsingError: it is not JSON.
            ResponseValidationError: it is JSON, but not of the type.
        """
        found = find_json(text)
        problems: list[Any] = []
        if found and isinstance(found.value, self.types):
            try:
                return self._validate(found)
            except ValidationError as error:
                problems = error.errors(include_url=False, include_context=False)
        answer = f"the answer of {target.name}"
        fields = {"provider": target.provider, "model": target.model, "raw_content": text}
        if problems:
            told = "; ".join(_tell(problems, MAX_NAMED))
            message = f"{answer} is JSON, but not of type {self.label}: {told} (see errors)"
            raise ResponseValidationError(message, errors=problems, **fields)
        size = f"{len(text)} characters; see raw_content"
        message = f"{answer} holds no complete JSON {self.wanted} ({size})"
        raise ResponseParsingError(message, **fields)

    def _validate(self, found: Found) -> T:
        value: T = found.value
        return value


class JSONForm(Form[dict[str, Any] | list[Any]]):
    """Any JSON object or array."""

    wanted = "object or array"
    types = (dict, list)
    # Without the word JSON, OpenAI refuses JSON mode.
    instruction = "Answer with JSON only: one object or array, no other text."


class ValueForm(Form[T]):
    """A value of a type that pydantic validates."""

    def __init__(self, kind: Any) -> None:
        self.label = label = _label(kind)
        try:
            self._adapter: TypeAdapter[T] = TypeAdapter(kind)
            described = self._adapter.json_schema(schema_generator=_Generator)
            schema = json.loads(json.dumps(described, default=float))  # Decimals
        except Exception as error:  # pydantic's and Python's
            reason = str(error).partition("\n")[0]
            raise BadRequestError(
                f"response_model {label} can't be used: expected a pydantic model, or any type "
                f"that pydantic's TypeAdapter takes and that has a JSON Schema ({reason})"
            ) from error
        # OpenAI's rule: https://platform.openai.com/docs/api-reference/chat/create
        self.name = re.sub(r"[^a-zA-Z0-9_-]+", "_", label)[:64]
        schema, self._is_wrapped = with_object_root(schema)
        self.instruction = (
            "Answer with JSON only, no other text, that matches this JSON Schema:\n"
            + json.dumps(schema, ensure_ascii=False)
        )
        asked = {each: response_format(self.name, schema, each) for each in get_args(Dialect)}
        self.formats = {each: pickle.dumps(asked[each]) for each in asked if asked[each]}

    def _validate(self, found: Found) -> T:
        text, value = found
        # Some models forget to wrap it.
        if self._is_wrapped and isinstance(value, dict) and value.keys() == {WRAPPER}:
            try:
                text = json.dumps(value[WRAPPER])
            except RecursionError:  # pydantic refuses such depth
                text = found.text
        return self._adapter.validate_json(text)


def type_form(response_model: TypeForm[T]) -> ValueForm[T]:
    """Return the form of a type.

    Raises:
        BadRequestError: pydantic can't validate it, or can't describe it as a JSON Schema.
    """
    try:
        return _cached_form(response_model, str(response_model))  # type: ignore[arg-type]
    except TypeError:  # some Annotated ones can't be hashed
        return ValueForm(response_model)


@lru_cache(maxsize=256)
def _cached_form(kind: Any, spelling: str) -> ValueForm[Any]:
    """Make a form once. Unions are equal in any order, but spelt apart."""
    return ValueForm(kind)


def _label(kind: Any) -> str:
    """Return a type's name as its user writes it, without modules."""
    if hasattr(kind, "__metadata__"):  # Annotated
        kind = kind.__origin__
    name = kind.__name__ if isinstance(kind, type) else str(kind)
    return re.sub(r"(\w+\.)+(?=\w)", "", name)


class _Generator(GenerateJsonSchema):
    """Ask for Decimals as strings, which keep every digit; the format is OpenAPI's."""

    def decimal_schema(self, schema: Any) -> dict[str, Any]:
        described = {"type": "string", "format": "decimal"}
        digits = {"max_digits": "maxDigits", "decimal_places": "maxDecimalPlaces"}
        self.update_with_validations(described, schema, self.ValidationsMapping.numeric | digits)
        return described


def corrected(messages: list[Message], error: ResponseParsingError) -> list[Message]:
    """Return the messages, then the answer that can't be used, then what is wrong with it."""
    problems = ["it is not one complete JSON value, and nothing else, as was asked for"]
    if isinstance(error, ResponseValidationError):
        problems = list(_tell(error.errors, MAX_TOLD))
    listed = "\n- ".join(["Your answer can't be used:", *problems])
    wish = f"{listed}\nAnswer again: all of it, corrected, as JSON only, no other text."
    # JSON can bring in lone surrogates, which no request can hold.
    answer = error.raw_content.strip().encode(errors="replace").decode()
    # Some vendors refuse an empty turn.
    turns = [{"role": "assistant", "content": answer}] if answer else []
    return [*messages, *turns, {"role": "user", "content": wish}]


def _tell(problems: list[dict[str, Any]], limit: int) -> Iterator[str]:
    for problem in problems[:limit]:
        place = ".".join(map(str, problem["loc"])) or "the answer"
        yield f"{_one_line(place)}: {_one_line(problem['msg'])}"
    if len(problems) > limit:
        yield f"and {len(problems) - limit} more"


def _one_line(text: str) -> str:
    shown = "".join(char if char.isprintable() else " " for char in text[:MAX_QUOTED])
    return f"{shown}…" if len(text) > MAX_QUOTED else shown


def _instruct(messages: list[Message], instruction: str) -> list[Message]:
    """Add an instruction to the system prompt, or as one."""
    first, *others = messages
    if first["role"] not in ("system", "developer"):
        return [{"role": "system", "content": instruction}, *messages]
    content = first["content"]
    added = f"\n\n{instruction}"
    if isinstance(content, str):
        content += added
    else:  # LiteLLM joins parts without a blank for Gemini
        content = [*content, {"type": "text", "text": added}]
    return [{**first, "content": content}, *others]
