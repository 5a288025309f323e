"""What is sent of which type, to which vendor, and that the answer comes back as the value that was meant."""

from __future__ import annotations

import contextlib
import dataclasses
import json
from collections.abc import Iterator
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum, IntEnum
from typing import Annotated, Any, Generic, Literal, NamedTuple, NotRequired, TypeVar
from uuid import UUID

import pytest
from conftest import WIRES, Serve
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from pydantic import (
    AliasGenerator,
    AnyUrl,
    BaseModel,
    ConfigDict,
    Field,
    RootModel,
    TypeAdapter,
    computed_field,
    conlist,
    create_model,
)
from pydantic.dataclasses import dataclass as pydantic_dataclass
from typing_extensions import TypedDict

from majordomo_cascade import InvalidRequestError, LLMCascade, ResponseParsingError, ResponseValidationError
from majordomo_cascade.structured import type_form
from majordomo_cascade.testing import LoopbackProvider, Reply, Request

OPENAI, CLAUDE, GEMINI = WIRES
CLAUDE_BY_TOOL = ("anthropic", "claude-opus-4-1")
EVERYONE = pytest.mark.parametrize("target", [*WIRES, CLAUDE_BY_TOOL], ids=["openai", "claude", "gemini", "by_tool"])
EVERY_CLAUDE = pytest.mark.parametrize("target", [CLAUDE, CLAUDE_BY_TOOL], ids=["native", "by_tool"])

T = TypeVar("T")


class Mood(Enum):
    """How one feels."""

    GOOD = "good"
    BAD = "bad"


class Size(IntEnum):
    S = 1
    L = 3


class Mixed(Enum):
    ONE = 1
    TWO = "two"
    NONE = None


class City(BaseModel):
    """A place with a name."""

    name: str = Field(description="in English", max_length=9)
    people: int = Field(ge=1, description="who live there")


class Trip(BaseModel):
    start: City
    end: City = Field(description="where it goes")
    via: list[City] = []
    mood: Mood | None = None


class Node(BaseModel):
    item: int
    after: Node | None


class Tree(BaseModel):
    name: str
    branches: list[Tree]
    twigs: dict[str, Tree] | None


class Egg(BaseModel):
    hen: Hen | None


class Hen(BaseModel):
    eggs: list[Egg]


class Cat(BaseModel):
    kind: Literal["cat"]
    lives: int


class Dog(BaseModel):
    kind: Literal["dog"]
    size: Size


class Wolf(BaseModel):
    kind: Literal["wolf"]
    pack: Zoo | None


Pet = Annotated[Cat | Dog, Field(discriminator="kind")]


class Zoo(BaseModel):
    beast: Annotated[Pet | Wolf, Field(discriminator="kind")]


class Box(BaseModel, Generic[T]):
    inside: T


class Aliased(BaseModel):
    a: int = Field(alias="first-one")
    b: int = Field(validation_alias="$defs")
    c: int = Field(serialization_alias="see")


class Camel(BaseModel):
    model_config = ConfigDict(alias_generator=AliasGenerator(validation_alias=str.upper))
    name: str


class Computed(BaseModel):
    side: int

    @computed_field  # type: ignore[prop-decorator]
    @property
    def area(self) -> int:
        return self.side**2


class Odd(BaseModel):
    """Fields that have the names of keywords."""

    value: int
    properties: dict[Literal["x"], int] | None
    type: Literal["object"]
    items: list[str]
    anyOf: str = Field(description="no union")  # noqa: N815
    required: bool
    default: None
    enum: int
    description: str


class Referring(BaseModel):
    a: int = Field(alias="$ref")


class Value(BaseModel):
    value: int


class Values(BaseModel):
    values: list[int]


class Strict(BaseModel, strict=True):
    when: datetime
    size: Size
    price: Decimal


class Open(BaseModel, extra="allow"):
    a: int


class Closed(BaseModel, extra="forbid"):
    a: int


class Empty(BaseModel):
    pass


@dataclasses.dataclass
class River:
    length: float
    source: City


@pydantic_dataclass
class Hill:
    height: Annotated[int, Field(gt=0)]


class Lake(TypedDict):
    depth: Decimal
    name: NotRequired[str]


class Sea(TypedDict, total=False):
    depth: int
    name: str | None


class Point(NamedTuple):
    x: int
    y: int


class Money(BaseModel):
    a: Decimal
    b: list[Decimal]
    c: dict[str, Decimal]
    d: Decimal | None
    e: Decimal | bool
    f: Annotated[Decimal, Field(ge=0, max_digits=40)]


class Bounds(BaseModel):
    a: Annotated[int, Field(ge=1, lt=9, multiple_of=2)]
    b: Annotated[str, Field(min_length=1, max_length=3, pattern="^a")]
    c: conlist(int, min_length=1, max_length=2)  # type: ignore[valid-type] # pyright: ignore[reportInvalidTypeForm]


LONG = "3.141592653589793238462643"
MOMENT = datetime(2024, 2, 29, 12, 30)  # noqa: DTZ001
ROME = '{"name": "Rome", "people": 2}'
HOME = City(name="Rome", people=2)
ID = UUID("12345678123456781234567812345678")
ODD = (
    '{"value": 1, "properties": {"x": 1}, "type": "object", "items": [], "anyOf": "", "required": true, '
    '"default": null, "enum": 1, "description": ""}'
)
DECIMALS = f'{{"a": 1.10, "b": [{LONG}, 1e400], "c": {{"x": -0.0}}, "d": {LONG}, "e": 1.50, "f": {LONG}}}'

#: A type, an answer with all its keys as it is sent, and the value that it means.
CLOSED: dict[str, tuple[Any, str, Any]] = {
    "model": (City, ROME, HOME),
    "nested": (
        Trip,
        f'{{"start": {ROME}, "end": {ROME}, "via": [{ROME}], "mood": "bad"}}',
        Trip(start=HOME, end=HOME, via=[HOME], mood=Mood.BAD),
    ),
    "discriminated": (Pet, '{"value": {"kind": "dog", "size": 3}}', Dog(kind="dog", size=Size.L)),
    "discriminated list": (list[Pet], '{"value": [{"kind": "cat", "lives": 7}]}', [Cat(kind="cat", lives=7)]),
    "union of models": (City | Cat, f'{{"value": {ROME}}}', HOME),
    "union": (int | str | None, '{"value": "7"}', "7"),
    "literal": (Literal["red", 2, True] | None, '{"value": 2}', 2),
    "enum": (Mood, '{"value": "good"}', Mood.GOOD),
    "int enum": (Size, '{"value": 1}', Size.S),
    "mixed enum": (list[Mixed], '{"value": [null, "two", 1]}', [Mixed.NONE, Mixed.TWO, Mixed.ONE]),
    "decimal": (Decimal, f'{{"value": {LONG}}}', Decimal(LONG)),
    "decimal as text": (Decimal, f'{{"value": "{LONG}"}}', Decimal(LONG)),
    "decimals": (list[Decimal | None], '{"value": [1.10, 7, null]}', [Decimal("1.10"), Decimal(7), None]),
    "decimal or int": (list[int | Decimal], '{"value": [7, 1.5]}', [7, Decimal("1.5")]),
    "decimal or float": (list[float | Decimal], '{"value": [1.5]}', [1.5]),
    "decimal or text": (list[str | Decimal], '{"value": [1.5, "1.5"]}', [Decimal("1.5"), "1.5"]),
    "float": (list[float], '{"value": [1.10, 1e3]}', [1.1, 1000.0]),
    "datetime": (datetime, '{"value": "2024-02-29T12:30:00"}', MOMENT),
    "date": (date, '{"value": "2024-02-29"}', date(2024, 2, 29)),
    "time": (time, '{"value": "12:30:00"}', time(12, 30)),
    "timedelta": (timedelta, '{"value": "PT1H"}', timedelta(hours=1)),
    "uuid": (UUID, f'{{"value": "{ID}"}}', ID),
    "bounds": (Bounds, '{"a": 2, "b": "abc", "c": [1]}', Bounds(a=2, b="abc", c=[1])),
    "bounded int": (Annotated[int, Field(ge=3)], '{"value": 3}', 3),
    "variadic tuple": (tuple[int, ...], '{"value": [1, 2]}', (1, 2)),
    "set": (set[int], '{"value": [1]}', {1}),
    "frozenset": (frozenset[Mood], '{"value": ["bad"]}', frozenset({Mood.BAD})),
    "generic": (Box[int], '{"inside": 1}', Box[int](inside=1)),
    "generic of models": (Box[list[City]], f'{{"inside": [{ROME}]}}', Box[list[City]](inside=[HOME])),
    "aliases": (
        Aliased,
        '{"first-one": 1, "$defs": 2, "c": 3}',
        Aliased.model_validate({"first-one": 1, "$defs": 2, "c": 3}),
    ),
    "alias generator": (Camel, '{"NAME": "x"}', Camel.model_validate({"NAME": "x"})),
    "computed field": (Computed, '{"side": 3}', Computed(side=3)),
    "dataclass": (River, f'{{"length": 1.5, "source": {ROME}}}', River(1.5, HOME)),
    "pydantic dataclass": (Hill, '{"height": 1}', Hill(1)),
    "typed dict": (Lake, '{"depth": 1.10, "name": "x"}', {"depth": Decimal("1.10"), "name": "x"}),
    "typed dict, not total": (Sea, '{"depth": 1, "name": null}', {"depth": 1, "name": None}),
    "list of models": (list[City], f'{{"value": [{ROME}]}}', [HOME]),
    "model or none": (City | None, '{"value": null}', None),
    "optional text": (str | None, '{"value": "x"}', "x"),
    "bool": (bool, '{"value": true}', True),
    "none": (None, '{"value": null}', None),
    "root model": (RootModel[list[int]], '{"value": [1]}', RootModel[list[int]]([1])),
    "root model of a model": (RootModel[City], ROME, RootModel[City](HOME)),
    "bytes": (bytes, '{"value": "abc"}', b"abc"),
    "url": (AnyUrl, '{"value": "https://example.org/"}', TypeAdapter(AnyUrl).validate_python("https://example.org/")),
    "a field called value": (Value, '{"value": 7}', Value(value=7)),
    "models with a field called value": (list[Value], '{"value": [{"value": 7}]}', [Value(value=7)]),
    "a field called values, inside": (Box[Values], '{"inside": {"values": []}}', Box[Values](inside=Values(values=[]))),
    "forbids more": (Closed, '{"a": 1}', Closed(a=1)),
    "empty": (Empty, "{}", Empty()),
    "strict": (
        Strict,
        '{"when": "2024-02-29T12:30:00", "size": 3, "price": 1.10}',
        Strict(when=MOMENT, size=Size.L, price=Decimal("1.10")),
    ),
}

#: Those that Claude is asked for in words, since LiteLLM would bend them or they can't do without references.
ENDLESS: dict[str, tuple[Any, str, Any]] = {
    "recursive": (
        Node,
        '{"item": 1, "after": {"item": 2, "after": null}}',
        Node(item=1, after=Node(item=2, after=None)),
    ),
    "mutually recursive": (list[Egg], '{"value": [{"hen": {"eggs": []}}]}', [Egg(hen=Hen(eggs=[]))]),
    "recursive through a union": (
        Zoo,
        '{"beast": {"kind": "wolf", "pack": {"beast": {"kind": "cat", "lives": 1}}}}',
        Zoo(beast=Wolf(kind="wolf", pack=Zoo(beast=Cat(kind="cat", lives=1)))),
    ),
    "a field called $ref": (Referring, '{"$ref": 1}', Referring.model_validate({"$ref": 1})),  # LiteLLM falls over it
    "a field called values": (Values, '{"values": [1]}', Values(values=[1])),
}

#: Those that OpenAI's strict mode can't say and LiteLLM would bend on the way to Claude.
OPEN: dict[str, tuple[Any, str, Any]] = {
    "dict": (dict[str, int], '{"a": 1, "value": 2}', {"a": 1, "value": 2}),
    "dict by pattern": (dict[Annotated[str, Field(pattern="^a")], int], '{"a": 1}', {"a": 1}),
    "dict called value": (dict[str, int], '{"value": 2}', {"value": 2}),
    "dict of models": (dict[str, City], f'{{"a": {ROME}}}', {"a": HOME}),
    "dict of decimals": (dict[str, Decimal], '{"a": 1.10}', {"a": Decimal("1.10")}),
    "recursive dict": (
        Tree,
        '{"name": "a", "branches": [{"name": "b", "branches": [], "twigs": {}}], "twigs": null}',
        Tree(name="a", branches=[Tree(name="b", branches=[], twigs={})], twigs=None),
    ),
    "tuple": (tuple[int, City], f'{{"value": [1, {ROME}]}}', (1, HOME)),
    "tuple of decimals": (tuple[Decimal, str], f'{{"value": [{LONG}, "x"]}}', (Decimal(LONG), "x")),
    "named tuple": (Point, '{"value": [1, 2]}', Point(1, 2)),
    "money": (
        Money,
        DECIMALS,
        Money(a="1.10", b=[LONG, "1e400"], c={"x": "-0.0"}, d=LONG, e="1.50", f=LONG),  # type: ignore[arg-type,list-item,dict-item] # pyright: ignore[reportArgumentType]
    ),
    "extra": (Open, '{"a": 1, "b": [2]}', Open(a=1, b=[2])),  # type: ignore[call-arg] # pyright: ignore[reportCallIssue]
    "object of anything": (dict[str, Any], '{"a": [1.5, null]}', {"a": [1.5, None]}),
    "odd names": (Odd, ODD, Odd.model_validate_json(ODD)),
}

#: Those that OpenAI's strict mode can't say, but Claude can.
VAGUE: dict[str, tuple[Any, str, Any]] = {
    "anything": (Box[Any], '{"inside": {"a": [1.5]}}', Box[Any](inside={"a": [1.5]})),
    "list of anything": (list, '{"value": [1, "a"]}', [1, "a"]),
}
ALL = CLOSED | ENDLESS | OPEN | VAGUE
EVERY_TYPE = pytest.mark.parametrize("name", ALL)


class Sent(NamedTuple):
    """How an answer was asked for."""

    way: Literal["openai", "native", "tool", "gemini", "words"]
    schema: dict[str, Any]
    strict: bool | None = None


def sent(request: Request) -> Sent:
    body = request.json
    if request.wire == "openai" and "response_format" in body:
        return Sent("openai", (named := body["response_format"]["json_schema"])["schema"], named["strict"])
    if "output_format" in body:
        return Sent("native", body["output_format"]["schema"])
    if "tools" in body:
        return Sent("tool", body["tools"][0]["input_schema"])
    if "response_json_schema" in body.get("generationConfig", {}):
        return Sent("gemini", body["generationConfig"]["response_json_schema"])
    return Sent("words", json.loads(body["system"][0]["text"].partition("matches this JSON Schema:\n")[2]))


async def ask(serve: Serve, target: tuple[str, str], kind: Any, answer: str) -> tuple[Any, Sent]:
    """The value that comes back for an answer, and how it was asked for."""
    server: LoopbackProvider = serve(Reply(answer))
    response = await LLMCascade([server.target(*target)]).get_structured_json_response(kind, "Hello")
    assert len(server.requests) == 1
    return response.content, sent(server.requests[0])


def nodes(schema: Any) -> Iterator[dict[str, Any]]:
    """A schema and all the schemas in it, by the keywords that hold them in 2020-12."""
    if not isinstance(schema, dict):
        return
    yield schema
    for key, value in schema.items():
        if key in ("$defs", "properties", "patternProperties", "dependentSchemas"):
            inner = list(value.values())
        elif key in ("anyOf", "allOf", "oneOf", "prefixItems"):
            inner = value
        else:
            inner = [value] if key in ("items", "additionalProperties", "not", "if", "then", "else", "contains") else []
        for each in inner:
            yield from nodes(each)


def assert_sound(schema: dict[str, Any]) -> None:
    """It is a JSON Schema whose references lead somewhere in it."""
    Draft202012Validator.check_schema(schema)
    for node in nodes(schema):
        if "$ref" in node:
            found = schema
            for step in node["$ref"].removeprefix("#").split("/")[1:]:
                found = found[step.replace("~1", "/").replace("~0", "~")]
            assert any(found is each for each in nodes(schema))


def assert_strict(schema: dict[str, Any]) -> None:
    """It keeps OpenAI's rules (https://platform.openai.com/docs/guides/structured-outputs#supported-schemas)."""
    assert schema["type"] == "object"
    assert "anyOf" not in schema
    keywords = {"additionalProperties", "anyOf", "description", "enum", "format", "items", "properties", "required"}
    formats = {"date", "date-time", "duration", "email", "hostname", "ipv4", "ipv6", "time", "uuid"}
    for node in nodes(schema):
        if "$ref" in node:
            assert node.keys() == {"$ref"}
            assert node["$ref"] == "#" or (node["$ref"].startswith("#/$defs/") and node["$ref"].count("/") == 2)
            continue
        assert node.keys() <= keywords | {"title", "type"} | ({"$defs"} if node is schema else set())
        assert node.keys() & {"type", "anyOf"}
        assert node.get("format", "date") in formats
        assert all(node["anyOf"].count(branch) == 1 for branch in node.get("anyOf", ()))
        types = node.get("type", ())
        if types == "object" or "object" in types:
            assert node["additionalProperties"] is False
            assert sorted(node["required"]) == sorted(node["properties"])
        if types == "array" or "array" in types:
            assert isinstance(node["items"], dict)


@EVERYONE
@EVERY_TYPE
async def test_an_answer_comes_back_as_the_value_and_fits_the_schema_that_was_sent(
    serve: Serve, name: str, target: tuple[str, str]
) -> None:
    kind, answer, expected = ALL[name]
    content, asked = await ask(serve, target, kind, answer)
    assert (content, repr(content), type(content)) == (expected, repr(expected), type(expected))
    assert_sound(asked.schema)
    assert Draft202012Validator(asked.schema).is_valid(json.loads(answer))
    assert not Draft202012Validator(asked.schema).is_valid([])
    if asked.schema.get("properties", {}).keys() == {"value"}:
        assert not Draft202012Validator(asked.schema).is_valid({})
    if asked.strict:
        assert_strict(asked.schema)
    if asked.way != "words":
        assert not any("default" in node for node in nodes(asked.schema))
        assert "default: null" not in json.dumps(asked.schema)
        assert "discriminator" not in json.dumps(asked.schema)
    if asked.way in ("native", "tool"):
        assert not any(node.keys() & {"$ref", "$defs"} for node in nodes(asked.schema))
    is_in_words = target[0] == "anthropic" and name in ENDLESS | OPEN
    ways = {OPENAI: ["openai"], CLAUDE: ["native"], GEMINI: ["gemini"], CLAUDE_BY_TOOL: ["tool", "native"]}
    assert asked.way in (["words"] if is_in_words else ways[target])  # some versions of LiteLLM take no tool
    assert asked.strict == ((name in CLOSED | ENDLESS) if target == OPENAI else None)


@pytest.mark.parametrize("target", [OPENAI, GEMINI], ids=["openai", "gemini"])
@pytest.mark.parametrize(
    ("kind", "part"),
    [
        (dict[str, int], {"type": "object", "additionalProperties": {"type": "integer"}}),
        (Open, {"additionalProperties": True, "type": "object"}),
        (Box[dict[str, City]], {"additionalProperties": {"$ref": "#/$defs/City"}, "title": "Inside", "type": "object"}),
        (Point, {"prefixItems": [{"title": "X", "type": "integer"}, {"title": "Y", "type": "integer"}]}),
        (tuple[Annotated[int, Field(ge=3)]], {"prefixItems": [{"type": "integer", "description": "(minimum: 3)"}]}),
        (tuple[()], {"type": "array"}),
        (Box[Any], {"title": "Inside"}),
        (list, {"type": "array", "items": {}}),
    ],
)
async def test_what_strict_mode_can_not_say_is_sent_unbent(
    serve: Serve, target: tuple[str, str], kind: Any, part: dict[str, Any]
) -> None:
    server = serve()
    with pytest.raises(ResponseParsingError):
        await LLMCascade([server.target(*target)]).get_structured_json_response(kind, "Hello")
    asked = sent(server.requests[0])
    assert any(part.items() <= node.items() for node in nodes(asked.schema))
    assert not asked.strict


@EVERYONE
async def test_bounds_and_patterns_are_said_in_the_description_of_what_they_bound(
    serve: Serve, target: tuple[str, str]
) -> None:
    _, answer, _ = CLOSED["bounds"]
    properties = (await ask(serve, target, Bounds, answer))[1].schema["properties"]
    said = {name: sorted(node["description"].strip("()").split("; ")) for name, node in properties.items()}
    assert said == {
        "a": ["exclusiveMaximum: 9", "minimum: 1", "multipleOf: 2"],
        "b": ["maxLength: 3", "minLength: 1", "pattern: ^a"],
        "c": ["maxItems: 2", "minItems: 1"],
    }
    city = (await ask(serve, target, City, ROME))[1].schema
    assert [node["description"] for node in city["properties"].values()] == [
        "in English (maxLength: 9)",
        "who live there (minimum: 1)",
    ]


@EVERYONE
@pytest.mark.parametrize(
    ("name", "known"),
    [("date", "date"), ("datetime", "date-time"), ("time", "time"), ("timedelta", "duration"), ("uuid", "uuid"),
     ("url", None), ("bytes", None)],
)  # fmt: skip
async def test_a_format_that_decoders_do_not_know_is_said_in_words(
    serve: Serve, target: tuple[str, str], name: str, known: str | None
) -> None:
    kind, answer, _ = CLOSED[name]
    node = (await ask(serve, target, kind, answer))[1].schema["properties"]["value"]
    assert node.get("format") == known
    assert ("format: " in node.get("description", "")) == (known is None)


@EVERYONE
async def test_descriptions_titles_and_enums_survive(serve: Serve, target: tuple[str, str]) -> None:
    kind, answer, _ = CLOSED["nested"]
    schema = (await ask(serve, target, kind, answer))[1].schema
    said = {node.get("description") for node in nodes(schema)}
    assert {"A place with a name.", "How one feels.", "where it goes", "(default: [])"} <= said
    assert any(node.get("enum") == ["good", "bad"] and node["title"] == "Mood" for node in nodes(schema))
    kind, answer, _ = CLOSED["discriminated"]
    schema = (await ask(serve, target, kind, answer))[1].schema
    assert [node["enum"] for node in nodes(schema) if node.get("title") == "Kind"] == [["cat"], ["dog"]]


class Hint(BaseModel):
    text: str = Field(default="none", max_length=9)
    more: int | None = 3


class Options(BaseModel):
    a: str = "default"
    b: str | None = "not none"
    c: list[Closed] = Field(default_factory=lambda: [Closed(a=1)])
    d: Hint | None = None
    e: Decimal = Decimal("1.10")
    f: Mood = Field(default=Mood.GOOD, description="of the day")


class Chain(BaseModel):
    item: int = 7
    after: Chain | None = None


class Coin(BaseModel):
    kind: Literal["coin"] = "coin"
    worth: int = 1


class Note(BaseModel):
    kind: Literal["note"]
    worth: int | None = 5


class Left(BaseModel):
    left: int
    note: str = "default"


class Right(BaseModel):
    right: int
    note: str | None = "not none"


SIDES = '{"value": [{"left": 1, "note": null}, {"right": 1, "note": null}]}'
COINS = '{"value": [{"kind": "coin", "worth": null}, {"kind": "note", "worth": null}]}'
OPTIONAL: dict[str, tuple[Any, str, Any]] = {
    "defaults": (
        Options,
        '{"a": null, "b": null, "c": null, "d": {"text": null, "more": null}, "e": null, "f": null}',
        Options(b=None, d=Hint(more=None)),
    ),
    "recursive": (Chain, '{"item": null, "after": {"item": null, "after": null}}', Chain(after=Chain())),
    "typed dict": (Sea, '{"depth": null, "name": null}', {"name": None}),
    "in a list": (list[Hint], '{"value": [{"text": null, "more": null}]}', [Hint(more=None)]),
    "in a union": (list[Left | Right], SIDES, [Left(left=1), Right(right=1, note=None)]),
    "by tag": (
        list[Annotated[Coin | Note, Field(discriminator="kind")]],
        COINS,
        [Coin(), Note(kind="note", worth=None)],
    ),
}


@pytest.mark.parametrize("name", OPTIONAL)
async def test_in_strict_mode_a_null_stands_for_a_default_but_where_null_is_a_value(serve: Serve, name: str) -> None:
    kind, answer, expected = OPTIONAL[name]
    content, asked = await ask(serve, OPENAI, kind, answer)
    assert content == expected
    assert asked.strict is True
    assert_strict(asked.schema)
    assert_sound(asked.schema)
    assert Draft202012Validator(asked.schema).is_valid(json.loads(answer))
    assert not Draft202012Validator(asked.schema).is_valid({})
    _, plain = await ask(serve, GEMINI, kind, TypeAdapter(kind).dump_json(expected).decode())
    assert not Draft202012Validator(plain.schema).is_valid(json.loads(answer))


@pytest.mark.parametrize(
    ("kind", "answer", "where"),
    [
        (City, '{"name": "Rome", "people": null}', ("people",)),
        (Options, '{"c": [{"a": null}]}', ("c", 0, "a")),
        (list[int], '{"value": [null]}', (0,)),
        (Note, '{"kind": null, "worth": null}', ("kind",)),
    ],
)
async def test_a_null_for_what_is_required_is_an_error(serve: Serve, kind: Any, answer: str, where: Any) -> None:
    with pytest.raises(ResponseValidationError) as caught:
        await ask(serve, OPENAI, kind, answer)
    assert [problem["loc"] for problem in caught.value.errors] == [where]
    assert caught.value.errors[0]["type"] != "missing"


async def test_a_null_that_nobody_asked_for_is_no_default(serve: Serve) -> None:
    content, _ = await ask(serve, OPENAI, Hint, '{"text": null, "more": null, "less": null}')
    assert content == Hint(more=None)


@EVERY_CLAUDE
@pytest.mark.parametrize(("depth", "is_in_words"), [(6, False), (11, True)])
async def test_a_schema_that_would_be_too_long_without_references_is_sent_to_claude_in_words(
    serve: Serve, target: tuple[str, str], depth: int, is_in_words: bool
) -> None:
    kind: Any = City
    for level in range(depth):
        either: Any = kind | None
        kind = create_model(f"Level{level}", left=(either, ...), right=(either, ...))
    _, asked = await ask(serve, target, kind, '{"left": null, "right": null}')
    assert (asked.way == "words") == is_in_words


SIMPLE: list[tuple[Any, st.SearchStrategy[Any]]] = [
    (int, st.integers()),
    (str, st.text(st.characters(codec="utf-8"))),
    (bool, st.booleans()),
    (float, st.floats(allow_nan=False, allow_infinity=False)),
    (Decimal, st.decimals(allow_nan=False, allow_infinity=False)),
    (date, st.dates()),
    (UUID, st.uuids()),
    (Mood, st.sampled_from(Mood)),
    (Literal["a", 1] | None, st.sampled_from(["a", 1, None])),
    (Annotated[int, Field(ge=3, description="three or more")], st.integers(min_value=3)),
]


@st.composite
def kinds(draw: st.DrawFn, depth: int = 2) -> Any:
    """A type and what its values may be."""
    way = draw(st.sampled_from(["simple", "list", "optional", "model", "union"])) if depth else "simple"
    if way == "simple":
        return draw(st.sampled_from(SIMPLE))
    if way == "model":
        return draw(models(depth - 1))
    if way == "union":
        kind, values = draw(models(depth - 1))
        return kind | int | str, values | st.integers() | st.text(st.characters(codec="utf-8"))
    kind, values = draw(kinds(depth - 1))
    if way == "list":
        return list[kind], st.lists(values, max_size=3)  # type: ignore[valid-type]
    return kind | None, st.none() | values


@st.composite
def models(draw: st.DrawFn, depth: int = 2) -> Any:
    """A model whose fields are required or have a default, and its values."""
    fields: dict[str, Any] = {}
    values = {}
    for name in draw(st.lists(st.sampled_from(["a", "value", "values", "type", "items"]), unique=True, min_size=1)):
        kind, values[name] = draw(kinds(depth))
        default = draw(st.just(...) | values[name])
        fields[name] = (kind, draw(st.sampled_from([default, Field(default, description="a field")])))
    model = create_model("Model", **fields)
    return model, st.builds(model, **values)


@settings(max_examples=100, derandomize=True, deadline=None)
@given(st.data())
def test_what_a_model_dumps_is_read_as_its_equal_and_fits_the_strict_schema(data: st.DataObject) -> None:
    kind, values = data.draw(models())
    value = data.draw(values)
    form = type_form(kind)
    dumped = value.model_dump_json()
    assert form.read(dumped, "openai", "gpt-4.1") == value
    named = form.ask([], "json_schema", "strict").params["response_format"]["json_schema"]
    assert named["strict"] is True
    assert_strict(named["schema"])
    assert_sound(named["schema"])
    assert Draft202012Validator(named["schema"]).is_valid(json.loads(dumped))
    nulls = {name: None for name, field in kind.model_fields.items() if not field.is_required()}
    assert Draft202012Validator(named["schema"]).is_valid({**json.loads(dumped), **nulls})


CHAIN = {"type": "object", "properties": {"in": {"anyOf": [{"$ref": "#"}, {"type": "null"}]}}, "required": ["in"]}
LEAF = {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]}


@EVERYONE
@pytest.mark.parametrize(
    ("schema", "answer", "wrong"),
    [
        (LEAF, '{"a": 1}', '{"a": "x"}'),
        ({**LEAF, "not": {"required": ["b"]}}, '{"a": 1}', '{"a": 1, "b": 2}'),
        ({"$ref": "#/$defs/leaf", "$defs": {"leaf": LEAF}}, '{"a": 1}', "{}"),
        ({"type": "array", "items": LEAF, "minItems": 1}, '{"value": [{"a": 1}]}', '{"value": []}'),
        (
            {"type": "array", "items": {"$ref": "#/$defs/a~1b"}, "$defs": {"a/b": {"$ref": "#/$defs/c"}, "c": LEAF}},
            '{"value": [{"a": 1}]}',
            '[{"a": null}]',
        ),
        ({**CHAIN, "additionalProperties": False}, '{"in": {"in": null}}', '{"in": {"in": null, "out": 1}}'),
        (
            {
                "type": "array",
                "items": {"$ref": "#/$defs/x"},
                "$defs": {"x": {**LEAF, "properties": {"a": {"$ref": "#"}}}},
            },
            '{"value": [{"a": [{"a": []}]}]}',
            '{"value": [{"a": [{"a": 1}]}]}',
        ),
        ({"anyOf": [LEAF, {"type": "array", "items": {"$ref": "#"}}]}, '{"value": [[{"a": 1}]]}', '{"value": [1]}'),
        ({"properties": {"a": {"const": 1}, "b": False}}, '{"value": {"a": 1}}', '{"value": {"b": 1}}'),
        ({"oneOf": [LEAF, {"not": LEAF}]}, '{"value": [1]}', '{"value": 1}'),
    ],
)
async def test_a_json_schema_of_the_callers_own_is_sent_soundly_and_checked(
    serve: Serve, target: tuple[str, str], schema: dict[str, Any], answer: str, wrong: str
) -> None:
    server = serve(Reply(answer), Reply(wrong))
    cascade = LLMCascade([server.target(*target)])
    expected = json.loads(answer)
    assert (await cascade.get_json_response("Hello", schema=schema)).content == expected.get("value", expected)
    with pytest.raises(ResponseValidationError):
        await cascade.get_json_response("Hello", schema=schema)
    asked = sent(server.requests[0])
    assert_sound(asked.schema)
    assert Draft202012Validator(asked.schema).is_valid(expected)


@pytest.mark.parametrize(
    ("node", "is_strict"),
    [
        ({"allOf": [LEAF]}, True),
        ({"allOf": [LEAF, LEAF]}, False),
        ({**LEAF, "type": ["object", "null"]}, True),
        ({"type": ["array", "null"], "items": LEAF}, True),
        ({"type": "array", "prefixItems": [LEAF], "items": LEAF}, False),
        ({"anyOf": [LEAF], "oneOf": [LEAF]}, False),
        ({"anyOf": [LEAF, True]}, False),
        ({"$ref": "#/$defs/leaf", "minProperties": 1}, True),
        ({"$ref": "#/$defs/leaf", "enum": ["a"]}, False),
        ({"enum": ["a", 1, None]}, True),
        (True, False),
    ],
)
async def test_strict_mode_is_asked_for_where_a_schema_can_be_said_in_it(
    serve: Serve, node: Any, is_strict: bool
) -> None:
    server = serve(Reply('{"x": {"a": 1}}'))
    schema = {"type": "object", "properties": {"x": node}, "$defs": {"leaf": LEAF}}
    with contextlib.suppress(ResponseValidationError):
        await LLMCascade([server.target()]).get_json_response("Hello", schema=schema)
    asked = sent(server.requests[0])
    assert asked.strict is is_strict
    assert_sound(asked.schema)
    if is_strict:
        assert_strict(asked.schema)


@pytest.mark.parametrize(
    ("kind", "answer", "expected"),
    [(list[int], "[1]", [1]), (City | Cat, ROME, HOME), (dict[str, int] | None, '{"value": 1, "a": 2}',
      {"value": 1, "a": 2})],
)  # fmt: skip
async def test_an_answer_that_was_not_wrapped_is_taken_as_it_is(
    serve: Serve, kind: Any, answer: str, expected: Any
) -> None:
    assert (await ask(serve, GEMINI, kind, answer))[0] == expected


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "objekt"},
        {"type": 5},
        {"type": "object", "properties": {"a": {"minimum": "1"}}},
        {"type": "object", "properties": {"a": {"$ref": "#/$defs/none"}}},
        {"type": "array", "items": {"anyOf": [{"$ref": "#/$defs/none"}]}, "$defs": {}},
        {"type": "object", "properties": {"a": {"$ref": "#anchor"}}},
        {"type": "object", "properties": {"a": {"$id": "https://example.org"}}},
        {"type": "object", "properties": {"a": {"$dynamicRef": "#a"}}},
        {"type": "object", "not": {"$ref": "#/$defs/none"}},
        {"type": "object", "default": {1, 2}},
        {"type": "object", "default": float("nan")},
        [],
        "object",
        City,
    ],
    ids=str,
)
async def test_what_is_no_schema_is_refused_before_any_request(serve: Serve, schema: Any) -> None:
    server = serve()
    with pytest.raises(InvalidRequestError, match="schema"):
        await LLMCascade([server.target()]).get_json_response("Hello", schema=schema)
    assert server.connections == 0


@pytest.mark.parametrize(
    "schema",
    [
        {"$ref": "#"},
        {"anyOf": [{"$ref": "#/$defs/a"}], "$defs": {"a": {"oneOf": [{"$ref": "#/$defs/a"}]}}},
        {"type": "object", "properties": {"a": {"allOf": [{"$ref": "#/properties/a"}]}}},
    ],
)
async def test_a_schema_that_comes_back_to_itself_at_once_is_refused(serve: Serve, schema: Any) -> None:
    with pytest.raises(InvalidRequestError, match="refers to itself without an object or a list between"):
        await LLMCascade([serve().target()]).get_json_response("Hello", schema=schema)


@pytest.mark.parametrize("keyword", ["items", "additionalProperties", "not", "contains", "propertyNames", "then"])
async def test_a_remote_reference_is_refused_and_never_fetched(serve: Serve, keyword: str) -> None:
    server, remote = serve(), serve()
    schema = {"type": "object", "properties": {"a": {"if": True, keyword: {"$ref": f"{remote.url}/schema"}}}}
    with pytest.raises(InvalidRequestError, match="leads nowhere"):
        await LLMCascade([server.target()]).get_json_response("Hello", schema=schema)
    assert server.connections == remote.connections == 0


class A(BaseModel):
    a: int = 1


class B(BaseModel):
    b: int = 2


class PA(BaseModel):
    x: int
    note: str = "n"


class PB(BaseModel):
    x: int
    note: str | None = None
    z: int = 0


class TC(BaseModel):
    kind: Literal["e"]
    note: str = "y"


class TB(BaseModel):
    kind: Literal["c", "d"]
    note: str | None


class Loop(BaseModel):
    name: str
    next: Loop | None = Field(default=None, description="the next one")


class Dollar(BaseModel):
    ref: int = Field(alias="$ref")


def read(response_model: Any, text: str) -> Any:
    return type_form(response_model).read(text, "openai", "gpt-4.1")


@pytest.mark.parametrize(
    ("response_model", "text", "expected"),
    [
        (A | B, '{"value": {"a": null}}', A(a=1)),
        (A | B, '{"value": {"b": null}}', B(b=2)),
        (PA | PB, '{"value": {"x": 1, "note": null, "z": null}}', PB(x=1, note=None, z=0)),
        (PA | PB, '{"value": {"x": 1, "note": null}}', PA(x=1, note="n")),
        (Annotated[TC | TB, Field(discriminator="kind")], '{"value": {"kind": "e", "note": null}}', TC(kind="e")),
        (
            Annotated[TC | TB, Field(discriminator="kind")],
            '{"value": {"kind": "d", "note": null}}',
            TB(kind="d", note=None),
        ),
    ],
    ids=str,
)
def test_in_a_union_a_null_stands_for_the_default_of_the_branch_that_was_meant(
    response_model: Any, text: str, expected: Any
) -> None:
    assert read(response_model, text) == expected


@pytest.mark.parametrize("other", [Literal["much"], Mood, None])
def test_a_decimal_beside_what_no_number_can_be_keeps_its_digits(other: Any) -> None:
    assert str(read(Decimal | other, '{"value": 3.141592653589793238462643}')) == "3.141592653589793238462643"


LOOSE: dict[str, Any] = {
    "dependencies": {"a": ["b"]},
    "dependentRequired": {"a": ["b"]},
    "dependentSchemas": {"a": {"required": ["b"]}},
    "if": {"required": ["b"]},
    "maxProperties": 1,
    "not": {"required": ["b"]},
    "patternProperties": {"^x": {"type": "string"}},
    "propertyNames": {"maxLength": 1},
    "unevaluatedProperties": {"type": "string"},
}


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a", "b"]},
        {"type": "object", "properties": {}, "anyOf": [{"type": "object", "properties": {}}]},
        *({"type": "object", "properties": {"a": {"type": "string"}}, key: value} for key, value in LOOSE.items()),
        {"type": "object", "properties": {"a": {"enum": []}}},
        {"type": "object", "properties": {"a": True}},
        {"type": "object", "properties": {"a": {"type": "array"}}},
    ],
    ids=str,
)
async def test_what_a_closed_object_could_not_keep_to_is_not_called_strict(serve: Serve, schema: Any) -> None:
    server = serve(Reply("{}"))
    with contextlib.suppress(ResponseParsingError):
        await LLMCascade([server.target()]).get_json_response("Hello", schema=schema)
    sent = server.requests[0].json["response_format"]["json_schema"]
    assert sent["strict"] is False
    assert sent["schema"].get("required") == schema.get("required")
    assert "additionalProperties" not in sent["schema"]
    Draft202012Validator.check_schema(sent["schema"])


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "array", "items": {"$ref": "#"}},
        {
            "type": "array",
            "items": {"anyOf": [{"$ref": "#"}, {"$ref": "#/$defs/value"}]},
            "$defs": {"value": {"type": "null"}},
        },
        {"type": "object", "properties": {"a": {"$ref": "#/definitions/a"}}, "definitions": {"a": {"type": "null"}}},
        {"type": "object", "properties": {"a": {"$ref": "#"}}},
    ],
    ids=str,
)
async def test_references_in_strict_mode_lead_to_definitions_or_to_the_root(serve: Serve, schema: Any) -> None:
    server = serve(Reply("[]" if schema["type"] == "array" else "{}"))
    await LLMCascade([server.target()]).get_json_response("Hello", schema=schema)
    sent = server.requests[0].json["response_format"]["json_schema"]
    assert sent["strict"] is True
    assert_strict(sent["schema"])
    defs = {f"#/$defs/{name}" for name in sent["schema"].get("$defs", {})}
    assert {node["$ref"] for node in nodes(sent["schema"]) if "$ref" in node} <= {"#", *defs}
    assert "definitions" not in json.dumps(sent["schema"])


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "object", "properties": {"a": {"type": "object", "additionalProperties": {}, "properties": {}}}},
        {"type": "object", "properties": {"a": {"type": ["object", "null"]}}},
        {"type": "object", "properties": {"$ref": {"type": "string"}}},
    ],
    ids=str,
)
async def test_what_litellm_would_close_or_stumble_over_is_told_to_claude_in_words(serve: Serve, schema: Any) -> None:
    server = serve(Reply("{}"))
    await LLMCascade([server.target("anthropic", "claude-sonnet-4-5")]).get_json_response("Hello", schema=schema)
    assert "output_format" not in server.requests[0].json
    assert "JSON Schema" in str(server.requests[0].json["system"])


async def test_a_recursive_type_with_a_description_is_strict_which_openais_own_transform_has_no_end_for(
    serve: Serve,
) -> None:
    server = serve(Reply('{"name": "a", "next": {"name": "b", "next": null}}'))
    response = await LLMCascade([server.target()]).get_structured_json_response(Loop, "Hello")
    assert response.content == Loop(name="a", next=Loop(name="b"))
    sent = server.requests[0].json["response_format"]["json_schema"]
    assert sent["strict"] is True
    assert_strict(sent["schema"])


async def test_a_reference_to_what_is_no_schema_is_seen_before_any_request() -> None:
    schema = {"type": "object", "properties": {"a": {"$ref": "#/type"}}}
    with pytest.raises(InvalidRequestError, match="'#/type' leads nowhere"):
        await LLMCascade(["openai/gpt-4.1"]).get_json_response("Hello", schema=schema, mock_response="never asked")


@pytest.mark.parametrize(
    ("x", "expected"), [(True, {"x": None}), ({}, {"x": None}), ({"const": None}, {"x": None}), (False, {})]
)
async def test_a_property_of_any_shape_may_be_null(serve: Serve, x: Any, expected: Any) -> None:
    cascade = LLMCascade([serve(Reply('{"x": null}')).target()])
    schema = {"type": "object", "properties": {"x": x}}
    assert (await cascade.get_json_response("Hello", schema=schema)).content == expected


BY_NAME = ("$defs", "definitions", "dependencies", "dependentSchemas", "patternProperties", "properties")
IN_LIST = ("allOf", "anyOf", "items", "oneOf", "prefixItems")
AS_ONE = (
    "additionalItems", "additionalProperties", "contains", "else", "if", "items", "not", "propertyNames", "then",
    "unevaluatedItems", "unevaluatedProperties",
)  # fmt: skip


@pytest.mark.parametrize(
    "schema",
    [
        *({"type": "object", key: {"a": {"$ref": "#/none"}}} for key in BY_NAME),
        *({"type": "object", key: [{"$ref": "#/none"}]} for key in IN_LIST),
        *({"type": "object", key: {"$ref": "#/none"}} for key in AS_ONE),
    ],
    ids=str,
)
async def test_a_reference_that_leads_nowhere_is_seen_wherever_it_stands(schema: Any) -> None:
    schema["$schema"] = "http://json-schema.org/draft-07/schema#"  # in which items may be a list
    with pytest.raises(InvalidRequestError, match="'#/none' leads nowhere"):
        await LLMCascade(["openai/gpt-4.1"]).get_json_response("Hello", schema=schema, mock_response="never asked")


async def test_what_means_nothing_to_a_model_is_not_sent(serve: Serve) -> None:
    server = serve(Reply('{"a": "x"}'))
    formats = ["date", "date-time", "duration", "email", "hostname", "ipv4", "ipv6", "time", "uuid"]
    properties = {name: {"type": "string", "format": name, "$comment": "secret"} for name in formats}
    schema = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": "https://example.org/a",
        "type": "object",
        "properties": {
            **properties,
            "uri": {"type": "string", "format": "uri"},
            "level": {"type": "number", "enum": [1, 2]},
        },
    }
    await LLMCascade([server.target("gemini", "gemini-2.5-flash")]).get_json_response("Hello", schema=schema)
    sent = server.requests[0].json["generationConfig"]["response_json_schema"]
    assert sent == {
        "type": "object",
        "properties": {
            **{name: {"type": "string", "format": name} for name in formats},
            "uri": {"type": "string", "description": "(format: uri)"},
            "level": {"type": "number", "enum": [1, 2]},
        },
    }


async def test_definitions_may_be_booleans(serve: Serve) -> None:
    anything = {"anyOf": [{"$ref": "#"}, {"$ref": "#/$defs/all"}, {"$ref": "#/$defs/none"}]}
    schema = {"type": "array", "items": anything, "$defs": {"all": True, "none": False}}
    server = serve(Reply('{"value": [[], 1]}'))
    assert (await LLMCascade([server.target()]).get_json_response("Hello", schema=schema)).content == [[], 1]
    sent = server.requests[0].json["response_format"]["json_schema"]
    assert sent["strict"] is False
    assert sent["schema"]["$defs"]["all"] is True
    Draft202012Validator.check_schema(sent["schema"])


async def test_a_list_of_items_is_sent_by_its_newer_name(serve: Serve) -> None:
    pair = {"type": "array", "items": [{"type": "integer"}, {"type": "string"}]}
    schema = {"$schema": "http://json-schema.org/draft-07/schema#", "type": "object", "properties": {"a": pair}}
    server = serve(Reply('{"a": [1, "x"]}'))
    assert (await LLMCascade([server.target()]).get_json_response("Hello", schema=schema)).content == {"a": [1, "x"]}
    sent = server.requests[0].json["response_format"]["json_schema"]
    assert sent["strict"] is False
    assert sent["schema"]["properties"]["a"] == {"type": "array", "prefixItems": pair["items"]}


class Needs(BaseModel):
    x: int
    y: int


@pytest.mark.parametrize("text", ['{"value": {"x": 1, "note": null}}', '{"value": {"x": 1, "note": null, "more": 1}}'])
def test_who_lacks_what_a_branch_requires_does_not_mean_that_branch(text: str) -> None:
    assert read(Needs | PA, text) == PA(x=1, note="n")


async def test_a_null_is_a_default_in_an_object_without_a_type(serve: Serve) -> None:
    schema = {"properties": {"a": {"type": "integer"}}}
    cascade = LLMCascade([serve(Reply('{"a": null}')).target()])
    assert (await cascade.get_json_response("Hello", schema=schema)).content == {}


@pytest.mark.parametrize(("wrong", "more"), [(3, ""), (4, "; and 1 more")])
def test_three_problems_are_named_and_the_rest_counted(wrong: int, more: str) -> None:
    with pytest.raises(ResponseValidationError) as caught:
        read(list[int], json.dumps(["x"] * wrong))
    assert str(caught.value).count("valid integer") == 3
    assert str(caught.value).endswith(f"as an integer{more} (see errors)")


def test_a_type_is_called_by_its_name() -> None:
    assert type_form(Annotated[TC | TB, Field(discriminator="kind")]).label == "TC | TB"
    assert type_form(Annotated[A, Field(description="x")]).name == "A"
