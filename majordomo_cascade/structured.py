"""JSON and values of a type: how a target is asked for them, and how its answer's text becomes one. Pure."""

from __future__ import annotations

import json
import pickle
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from functools import cached_property, lru_cache
from itertools import islice
from typing import TYPE_CHECKING, Annotated, Any, Generic, Literal, NamedTuple, Protocol, TypeVar, get_args, get_origin

from pydantic import TypeAdapter, ValidationError
from pydantic.json_schema import GenerateJsonSchema
from pydantic_core.core_schema import ErrorType

from .errors import InvalidRequestError, ResponseParsingError, ResponseValidationError
from .fitting import DECIMAL, fit, has_decimals, unmarked
from .parsing import Found, dump_exactly, find_json, load_exactly, load_for_check
from .request import Message
from .schemas import Schema, check_references, property_names
from .scrubbing import scrub
from .wire import (
    WRAPPER,
    EndlessError,
    NotStrictError,
    for_wire,
    inlined,
    is_bent_for_claude,
    is_portable,
    rooted,
)

if TYPE_CHECKING:
    from pydantic_core import core_schema
    from typing_extensions import TypeForm  # unions are no `type` to a type checker

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)

Rung = Literal["json_schema", "json_mode", "prompt"]
Shape = Literal["strict", "plain", "inlined"]

#: From the surest to the one that every model takes: the schema as a parameter that the vendor's decoder keeps to; JSON
#: mode, with the schema in the prompt; the schema in the prompt alone.
RUNGS: tuple[Rung, ...] = get_args(Rung)

#: Calls in a row that got no JSON from a rung (refused, or answered in prose), after which it is not used again.
MOST_STRIKES = 2

#: Problems that an error's message names, that a model is told of, and that are looked for by a JSON Schema.
MOST_NAMED, MOST_TOLD, MOST_KEPT = 3, 20, 100
#: Characters of a path, of what a JSON Schema expects there, and of a problem in pydantic's words.
LONGEST_PATH, LONGEST_EXPECTED, LONGEST_PROBLEM = 80, 100, 300

#: The problems whose words are pydantic's own; others may quote the answer.
TOLD_TYPES = {*get_args(ErrorType)} - {"assertion_error", "union_tag_invalid", "value_error"}


@dataclass(frozen=True, slots=True)
class Abilities:
    """What LiteLLM, or the caller, says that a target can do."""

    rung: Rung
    """The highest that it takes."""
    shape: Shape
    """What its vendor, and LiteLLM on the way there, leave of a schema: OpenAI's strict mode where the schema can be
    said in it, all of its structure, or that without references."""


class Ladder:
    """How one target is asked for JSON. What it refused, or did not keep, is not asked of it again."""

    __slots__ = ("_left", "_strikes")

    def __init__(self, highest: Rung) -> None:
        self._left = list(RUNGS[RUNGS.index(highest) :])
        self._strikes: Counter[Rung] = Counter()

    def rung(self, among: Sequence[Rung] = RUNGS) -> Rung:
        """The highest that is left; the lowest one is never lost."""
        return next(rung for rung in self._left if rung in among)

    def leave(self, rung: Rung) -> bool:
        """Do without a rung from now on; False if that is so already."""
        if rung not in self._left[:-1]:
            return False
        self._left.remove(rung)
        return True

    def strike(self, rung: Rung) -> bool:
        """Note that a rung brought no JSON; True if that was once too often, and it is left."""
        self._strikes[rung] += 1
        return self._strikes[rung] >= MOST_STRIKES and self.leave(rung)

    def forgive(self, rung: Rung) -> None:
        """Note that a rung brought JSON, or was not what kept it from coming."""
        self._strikes[rung] = 0


class Asked(NamedTuple):
    """A request, as far as the form of the answer shapes it."""

    messages: list[Message]
    params: dict[str, Any]
    """Nobody else's: whoever gets them may write into them."""


class Form(Protocol[T_co]):
    """What is asked for: how the request asks for it, and how the answer's text is read."""

    @property
    def is_json(self) -> bool:
        """Whether half of an answer is of no use."""
        ...

    def rungs(self, shape: Shape) -> Sequence[Rung]:
        """The ways to ask for it, the best one first; "prompt" is always among them."""
        ...

    def ask(self, messages: list[Message], rung: Rung, shape: Shape) -> Asked:
        """The request for it."""
        ...

    def read(self, text: str, provider: str, model: str) -> T_co:
        """The value that the text holds.

        Raises:
            ResponseParsingError: it is not what was asked for.
        """
        ...


class TextForm:
    """Text as it comes."""

    is_json = False

    def rungs(self, shape: Shape) -> Sequence[Rung]:
        """One."""
        return ("prompt",)

    def ask(self, messages: list[Message], rung: Rung, shape: Shape) -> Asked:
        """The messages, with nothing added."""
        return Asked(messages, {})

    def read(self, text: str, provider: str, model: str) -> str:
        """The text."""
        return text


class JSONForm:
    """Any JSON object or array, of any shape."""

    is_json = True

    def rungs(self, shape: Shape) -> Sequence[Rung]:
        """There is no schema to send."""
        return RUNGS[1:]

    def ask(self, messages: list[Message], rung: Rung, shape: Shape) -> Asked:
        """In words always: OpenAI's JSON mode needs them, and Anthropic has nothing else."""
        return _in_words(messages, rung, "Answer with JSON only: one object or array, no other text.")

    def read(self, text: str, provider: str, model: str) -> dict[str, Any] | list[Any]:
        """The object or array in the text."""
        found = _found(text, provider, model)
        if not isinstance(found.value, dict | list):
            raise _not_json("is JSON, but neither an object nor an array", text, provider, model)
        return found.value


class SchemaForm(Generic[T]):
    """A value that a JSON Schema describes, and that ``validate`` makes from its text.

    Args:
        label: what a user calls it.
        schema: of the value itself; what is no object is wrapped in one for the wire.
        validate: raises ``Unfit`` for a text of another value.
    """

    is_json = True

    def __init__(self, label: str, schema: Schema, validate: Callable[[str], T]) -> None:
        self.label = label
        self.name = re.sub(r"[^a-zA-Z0-9_-]+", "_", label).strip("_")[:64] or "answer"  # OpenAI's rule for names
        self._value_schema = schema
        root, self._is_wrapped = rooted(schema)
        self.schema = unmarked(root)
        self._has_decimals = has_decimals(schema)
        self._validate = validate
        self._pickled: dict[Shape, bytes] = {}

    def rungs(self, shape: Shape) -> Sequence[Rung]:
        """All, if the schema gets through to the target as it is meant."""
        gets_through = self._is_portable if shape != "inlined" else self._inlined is not None
        return RUNGS if gets_through else RUNGS[1:]

    def ask(self, messages: list[Message], rung: Rung, shape: Shape) -> Asked:
        """With the schema: as a parameter, or in the prompt."""
        if rung != "json_schema":
            return _in_words(messages, rung, self._instruction)
        if shape not in self._pickled:
            self._pickled[shape] = pickle.dumps(self._response_format(shape))
        # Our own bytes; a quarter of the time that copying a dict of fifty fields takes.
        return Asked(messages, {"response_format": pickle.loads(self._pickled[shape])})  # noqa: S301

    def read(self, text: str, provider: str, model: str) -> T:
        """The validated value in the text."""
        found = _found(text, provider, model)
        try:
            return self._validate(self._text(found))
        except Unfit as unfit:
            problems, shown = unfit.problems, unfit.shown
        more = f"; and {len(problems) - MOST_NAMED} more" if len(problems) > MOST_NAMED else ""
        raise ResponseValidationError(
            f"the answer of {provider}/{model} is JSON, but not of type {self.label}: {'; '.join(shown)}{more} "
            "(see errors)",
            provider=provider,
            model=model,
            raw_content=text,
            errors=problems,
        )

    def _text(self, found: Found) -> str:
        """The JSON text of the value: as it came, or unwrapped and led back to what the schema meant."""
        is_wrapped = self._is_wrapped and isinstance(found.value, dict) and found.value.keys() == {WRAPPER}
        if not self._has_decimals and "null" not in found.text:
            return json.dumps(found.value[WRAPPER]) if is_wrapped else found.text
        try:
            value = load_exactly(found.text)
            return dump_exactly(fit(value[WRAPPER] if is_wrapped else value, self._value_schema))
        except RecursionError:  # nested so deeply that pydantic refuses it, too
            return found.text

    def _response_format(self, shape: Shape) -> dict[str, Any]:
        """OpenAI's parameter, which LiteLLM translates for every vendor."""
        strict = self._strict if shape == "strict" else None
        schema = strict or (self._inlined if shape == "inlined" else self._plain)
        named = {"name": self.name, "schema": schema, "strict": strict is not None}
        return {"type": "json_schema", "json_schema": named}

    @cached_property
    def _instruction(self) -> str:
        wanted = json.dumps(self.schema, ensure_ascii=False)
        return f"Answer with JSON only, no other text, that matches this JSON Schema:\n{wanted}"

    @cached_property
    def _is_portable(self) -> bool:
        return is_portable(self._value_schema)

    @cached_property
    def _strict(self) -> Schema | None:
        try:
            return for_wire(self.schema, strict=True)
        except NotStrictError:
            return None

    @cached_property
    def _plain(self) -> Schema:
        return for_wire(self.schema, strict=False)

    @cached_property
    def _inlined(self) -> Schema | None:
        try:
            schema = for_wire(inlined(self.schema), strict=False)
        except EndlessError:
            return None
        return None if is_bent_for_claude(schema) else schema


class Unfit(Exception):  # noqa: N818 - a signal, not an error that users see
    """A JSON text is not of the type that was asked for.

    ``problems`` are dicts with ``type``, ``loc`` and ``msg``, as pydantic's; ``shown`` tells the first ones without
    quoting the answer.
    """

    def __init__(self, problems: list[dict[str, Any]], shown: list[str]) -> None:
        super().__init__()
        self.problems = problems
        self.shown = shown


def type_form(response_model: TypeForm[T]) -> SchemaForm[T]:
    """The form of anything that pydantic's ``TypeAdapter`` takes: a model, dataclass, TypedDict, ``list[Item]`` ….

    Raises:
        InvalidRequestError: pydantic can't validate the type, or can't describe it as a JSON Schema.
    """
    try:
        return _cached_type_form(response_model, str(response_model))  # type: ignore[arg-type]
    except TypeError:  # it can't be hashed, as some Annotated ones
        return _type_form(response_model)


def schema_form(schema: Any) -> SchemaForm[dict[str, Any] | list[Any]]:
    """The form of an object or array that a JSON Schema describes.

    Raises:
        InvalidRequestError: it is no JSON Schema, or one that refers to what is not in it.
    """
    if not isinstance(schema, Mapping):
        hint = "; for a type use get_structured_json_response" if isinstance(schema, type) else ""
        raise InvalidRequestError(f"schema must be a JSON Schema as a dict, not {type(schema).__name__}{hint}")
    try:
        return _cached_schema_form(json.dumps(dict(schema), allow_nan=False))
    except (TypeError, ValueError, RecursionError) as error:
        raise InvalidRequestError(f"schema can't be used as a JSON Schema: {error}") from error


def instruct(messages: list[Message], instruction: str) -> list[Message]:
    """The messages with an instruction behind the first system prompt, or as a system prompt of their own."""
    first = messages[0]
    if first["role"] not in ("system", "developer"):
        return [{"role": "system", "content": instruction}, *messages]
    content = first["content"]
    if isinstance(content, str):
        content = f"{content}\n\n{instruction}"
    else:
        content = [*content, {"type": "text", "text": f"\n\n{instruction}"}]  # LiteLLM joins the parts for Gemini
    return [{**first, "content": content}, *messages[1:]]


def correct(messages: list[Message], error: ResponseParsingError) -> list[Message]:
    """The messages, and behind them one answer and what is wrong with it, as plain turns that every vendor takes."""
    problems = ["it is not one complete JSON value, and nothing else, as was asked for"]
    if isinstance(error, ResponseValidationError):
        problems = [f"{'.'.join(map(str, each['loc']))}: {each['msg']}" for each in error.errors[:MOST_TOLD]]
        if len(error.errors) > MOST_TOLD:
            problems.append(f"and {len(error.errors) - MOST_TOLD} more")
    answer = _sendable(error.raw_content.strip())
    answered = [{"role": "assistant", "content": answer}] if answer else []  # some vendors refuse an empty turn
    told = "\n".join(f"- {problem}" for problem in problems)
    wish = f"Your answer can't be used:\n{told}\nAnswer again: all of it, corrected, as JSON only, no other text."
    return [*messages, *answered, {"role": "user", "content": _sendable(wish)}]


def _sendable(text: str) -> str:
    """A text without the lone surrogates that JSON can bring in, and that no request can hold."""
    return text.encode(errors="replace").decode()


class _SchemaGenerator(GenerateJsonSchema):
    """Pydantic's own, but Decimals can be told from other numbers."""

    def decimal_schema(self, schema: core_schema.DecimalSchema) -> dict[str, Any]:
        return {**super().decimal_schema(schema), DECIMAL: True}


@lru_cache(maxsize=256)
def _cached_type_form(response_model: Any, spelling: str) -> SchemaForm[Any]:
    """A type's form, built once: pydantic takes milliseconds. Unions are equal in any order, but not spelt alike."""
    return _type_form(response_model)


def _type_form(response_model: Any) -> SchemaForm[Any]:
    named = get_args(response_model)[0] if get_origin(response_model) is Annotated else response_model
    name = named.__name__ if isinstance(named, type) else str(named)
    label = re.sub(r"(\w+\.)+(?=\w)", "", name)  # without the modules that it comes from
    try:
        adapter: TypeAdapter[Any] = TypeAdapter(response_model)
        schema = adapter.json_schema(schema_generator=_SchemaGenerator)
    except Exception as error:  # of many kinds, pydantic's and Python's
        raise InvalidRequestError(
            f"response_model {label} can't be used: expected a pydantic model, or any type that pydantic's "
            f"TypeAdapter takes and that has a JSON Schema ({str(error).partition(chr(10))[0]})"
        ) from error

    names = property_names(schema)

    def validate(text: str) -> Any:
        try:
            return adapter.validate_json(text)
        except ValidationError as error:
            problems: list[dict[str, Any]] = [
                dict(problem) for problem in error.errors(include_url=False, include_context=False)
            ]
        shown = [
            f"{_path(each['loc'], text, names)}: {each['msg' if each['type'] in TOLD_TYPES else 'type']}"
            for each in problems[:MOST_NAMED]
        ]
        raise Unfit(problems, [scrub(problem, ())[:LONGEST_PROBLEM] for problem in shown])  # a UUID's quotes a letter

    return SchemaForm(label, schema, validate)


@lru_cache(maxsize=256)
def _cached_schema_form(written: str) -> SchemaForm[dict[str, Any] | list[Any]]:
    """A schema's form, from its text.

    Raises:
        ValueError: it can't be used.
    """
    from jsonschema import Draft202012Validator, SchemaError, validators  # noqa: PLC0415 - LiteLLM's, and slow to load
    from referencing import Registry  # noqa: PLC0415 - likewise

    schema = json.loads(written)
    kind = validators.validator_for(schema, default=Draft202012Validator)
    try:
        kind.check_schema(schema)
    except SchemaError as error:
        raise ValueError(f"at {'.'.join(map(str, error.absolute_path)) or 'its root'}, {error.message}") from None
    check_references(schema)
    types = schema.get("type", ["object", "array"])
    if not {"object", "array"}.intersection([types] if isinstance(types, str) else types):
        raise ValueError(f"it is for {types!r}; for what is no object or array use get_structured_json_response")
    checks = validators.extend(kind, {"uniqueItems": _check_unique})
    validator = checks(load_for_check(written), registry=Registry())  # an empty one: nothing is fetched
    names = property_names(schema)

    def validate(text: str) -> Any:
        value = json.loads(text)
        if not isinstance(value, dict | list):
            raise _unfit("expected an object or an array")
        try:
            errors = list(islice(validator.iter_errors(load_for_check(text)), MOST_KEPT))
        except Exception as error:  # too deep, too large a number, a keyword that leads nowhere
            raise _unfit(f"can't be checked ({type(error).__name__})") from None
        errors.sort(key=lambda error: list(map(str, error.absolute_path)))
        if errors:
            problems: list[dict[str, Any]] = [
                {"type": e.validator, "loc": tuple(e.absolute_path), "msg": _expected(e)} for e in errors
            ]
            shown = [f"{_path(each['loc'], text, names)}: {each['msg']}" for each in problems[:MOST_NAMED]]
            raise Unfit(problems, shown)
        return value

    return SchemaForm(str(schema.get("title", "schema"))[:64], schema, validate)


def _unfit(problem: str) -> Unfit:
    """The signal for one problem with all of an answer."""
    return Unfit([{"type": "schema", "loc": (), "msg": problem}], [f"the answer: {problem}"])


def _check_unique(validator: Any, wanted: bool, value: Any, schema: Any) -> Iterator[Exception]:  # noqa: FBT001
    """``uniqueItems`` in linear time, where jsonschema compares each item with each."""
    from jsonschema import ValidationError  # noqa: PLC0415 - LiteLLM's, and slow to load

    if wanted and isinstance(value, list):
        spelt = {json.dumps(item, sort_keys=True, default=str) for item in value}
        if len(spelt) < len(value):
            yield ValidationError("has items that are alike")


def _expected(error: Any) -> str:
    """What the schema expects where an answer differs: the caller's words, none of the answer's."""
    if error.validator == "required":
        return str(error.message)[:LONGEST_EXPECTED]  # which of them it lacks
    expected = json.dumps(error.validator_value, ensure_ascii=False, default=float)  # Decimals
    return f"expected {error.validator} {expected}"[:LONGEST_EXPECTED]


def _in_words(messages: list[Message], rung: Rung, instruction: str) -> Asked:
    """A request that asks for JSON in the prompt, and by JSON mode where there is one."""
    params = {"response_format": {"type": "json_object"}} if rung == "json_mode" else {}
    return Asked(instruct(messages, instruction), params)


def _found(text: str, provider: str, model: str) -> Found:
    """The JSON in a text.

    Raises:
        ResponseParsingError: there is none.
    """
    if (found := find_json(text)) is None:
        raise _not_json("holds no complete JSON value", text, provider, model)
    return found


def _path(location: Sequence[Any], text: str, names: AbstractSet[str]) -> str:
    """Where in the answer: by indices and the schema's own words; keys that the model chose are not shown."""
    value = _opened(text)
    steps = []
    for step in location:
        if isinstance(value, str):  # pydantic's Json: an answer within the answer
            value = _opened(value)
        is_inside = isinstance(value, dict) and step in value
        steps.append(
            "[key]" if is_inside and step not in names else str(step)
        )  # what is not inside, pydantic put there
        if is_inside or (isinstance(value, list) and isinstance(step, int) and step < len(value)):
            value = value[step]
    path = ".".join(steps) or "the answer"
    return path if len(path) <= LONGEST_PATH else f"{path[:LONGEST_PATH]}…"


def _opened(text: str) -> Any:
    """The value of a JSON text; of any other, the text."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


def _not_json(problem: str, text: str, provider: str, model: str) -> ResponseParsingError:
    """The error for an answer without the JSON that was asked for; it tells the length, not the text."""
    return ResponseParsingError(
        f"the answer of {provider}/{model} {problem} ({len(text)} characters; see raw_content)",
        provider=provider,
        model=model,
        raw_content=text,
    )
