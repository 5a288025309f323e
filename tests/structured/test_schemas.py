"""What each vendor is sent for a type, and that the answer comes back as the value it means."""

from __future__ import annotations

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

from majordomo_cascade import (
    LLMCascade,
    ResponseParsingError,
    ResponseValidationError,
    Target,
)
from majordomo_cascade.structured import type_form
from majordomo_cascade.testing import Reply, Request

OPENAI, CLAUDE, GEMINI = WIRES
TARGET = Target("openai", "gpt-4.1")
EVERYONE = pytest.mark.parametrize("target", WIRES, ids=["openai", "claude", "gemini"])

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
    '{"value": 1, "properties": {"x": 1}, "type": "object", "items": [], "anyOf": "", '
    '"required": true, "default": null, "enum": 1, "description": ""}'
)
DECIMALS = json.dumps(
    {"a": "1.10", "b": [LONG, "1E+400"], "c": {"x": "-0.0"}, "d": LONG, "e": "1.50", "f": LONG}
)

#: A type, an answer with all its keys as it is sent, and the value that it means.
CLOSED: dict[str, tuple[Any, str, Any]] = {
    "model": (City, ROME, HOME),
    "nested": (
        Trip,
        f'{{"start": {ROME}, "end": {ROME}, "via": [{ROME}], "mood": "bad"}}',
        Trip(start=HOME, end=HOME, via=[HOME], mood=Mood.BAD),
    ),
    "discriminated": (Pet, '{"value": {"kind": "dog", "size": 3}}', Dog(kind="dog", size=Size.L)),
    "discriminated list": (
        list[Pet],
        '{"value": [{"kind": "cat", "lives": 7}]}',
        [Cat(kind="cat", lives=7)],
    ),
    "union of models": (City | Cat, f'{{"value": {ROME}}}', HOME),
    "union": (int | str | None, '{"value": "7"}', "7"),
    "literal": (Literal["red", 2, True] | None, '{"value": 2}', 2),
    "enum": (Mood, '{"value": "good"}', Mood.GOOD),
    "int enum": (Size, '{"value": 1}', Size.S),
    "mixed enum": (list[Mixed], '{"value": [null, "two", 1]}', [Mixed.NONE, Mixed.TWO, Mixed.ONE]),
    "decimal": (Decimal, f'{{"value": "{LONG}"}}', Decimal(LONG)),
    "decimals": (
        list[Decimal | None],
        '{"value": ["1.10", "7", null]}',
        [Decimal("1.10"), Decimal(7), None],
    ),
    "decimal or int": (list[int | Decimal], '{"value": [7, "1.50"]}', [7, Decimal("1.50")]),
    "decimal or float": (list[float | Decimal], '{"value": [1.5, "1.50"]}', [1.5, Decimal("1.50")]),
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
    "generic of models": (
        Box[list[City]],
        f'{{"inside": [{ROME}]}}',
        Box[list[City]](inside=[HOME]),
    ),
    "aliases": (
        Aliased,
        '{"first-one": 1, "$defs": 2, "c": 3}',
        Aliased.model_validate({"first-one": 1, "$defs": 2, "c": 3}),
    ),
    "alias generator": (Camel, '{"NAME": "x"}', Camel.model_validate({"NAME": "x"})),
    "computed field": (Computed, '{"side": 3}', Computed(side=3)),
    "dataclass": (River, f'{{"length": 1.5, "source": {ROME}}}', River(1.5, HOME)),
    "pydantic dataclass": (Hill, '{"height": 1}', Hill(1)),
    "typed dict": (Lake, '{"depth": "1.10", "name": "x"}', {"depth": Decimal("1.10"), "name": "x"}),
    "typed dict, not total": (Sea, '{"depth": 1, "name": null}', {"depth": 1, "name": None}),
    "list of models": (list[City], f'{{"value": [{ROME}]}}', [HOME]),
    "model or none": (City | None, '{"value": null}', None),
    "optional text": (str | None, '{"value": "x"}', "x"),
    "bool": (bool, '{"value": true}', True),
    "none": (None, '{"value": null}', None),
    "root model": (RootModel[list[int]], '{"value": [1]}', RootModel[list[int]]([1])),
    "root model of a model": (RootModel[City], ROME, RootModel[City](HOME)),
    "bytes": (bytes, '{"value": "abc"}', b"abc"),
    "url": (
        AnyUrl,
        '{"value": "https://example.org/"}',
        TypeAdapter(AnyUrl).validate_python("https://example.org/"),
    ),
    "a field called value": (Value, '{"value": 7}', Value(value=7)),
    "models with a field called value": (
        list[Value],
        '{"value": [{"value": 7}]}',
        [Value(value=7)],
    ),
    "a field called values": (Values, '{"values": [1]}', Values(values=[1])),
    "a field called values, inside": (
        Box[Values],
        '{"inside": {"values": []}}',
        Box[Values](inside=Values(values=[])),
    ),
    "forbids more": (Closed, '{"a": 1}', Closed(a=1)),
    "empty": (Empty, "{}", Empty()),
    "strict": (
        Strict,
        '{"when": "2024-02-29T12:30:00", "size": 3, "price": "1.10"}',
        Strict(when=MOMENT, size=Size.L, price=Decimal("1.10")),
    ),
}

#: Those that Claude is asked for in words: they are recursive, or LiteLLM would change them.
ENDLESS: dict[str, tuple[Any, str, Any]] = {
    "recursive": (
        Node,
        '{"item": 1, "after": {"item": 2, "after": null}}',
        Node(item=1, after=Node(item=2, after=None)),
    ),
    "mutually recursive": (
        list[Egg],
        '{"value": [{"hen": {"eggs": []}}]}',
        [Egg(hen=Hen(eggs=[]))],
    ),
    "recursive through a union": (
        Zoo,
        '{"beast": {"kind": "wolf", "pack": {"beast": {"kind": "cat", "lives": 1}}}}',
        Zoo(beast=Wolf(kind="wolf", pack=Zoo(beast=Cat(kind="cat", lives=1)))),
    ),
    "a field called $ref": (Referring, '{"$ref": 1}', Referring.model_validate({"$ref": 1})),
}

#: Those that OpenAI's strict mode cannot say and LiteLLM would change on the way to Claude.
OPEN: dict[str, tuple[Any, str, Any]] = {
    "dict": (dict[str, int], '{"a": 1, "value": 2}', {"a": 1, "value": 2}),
    "dict by pattern": (dict[Annotated[str, Field(pattern="^a")], int], '{"a": 1}', {"a": 1}),
    "dict called value": (dict[str, int], '{"value": 2}', {"value": 2}),
    "dict of models": (dict[str, City], f'{{"a": {ROME}}}', {"a": HOME}),
    "dict of decimals": (dict[str, Decimal], '{"a": "1.10"}', {"a": Decimal("1.10")}),
    "recursive dict": (
        Tree,
        '{"name": "a", "branches": [{"name": "b", "branches": [], "twigs": {}}], "twigs": null}',
        Tree(name="a", branches=[Tree(name="b", branches=[], twigs={})], twigs=None),
    ),
    "tuple": (tuple[int, City], f'{{"value": [1, {ROME}]}}', (1, HOME)),
    "tuple of decimals": (
        tuple[Decimal, str],
        f'{{"value": ["{LONG}", "x"]}}',
        (Decimal(LONG), "x"),
    ),
    "named tuple": (Point, '{"value": [1, 2]}', Point(1, 2)),
    "money": (
        Money,
        DECIMALS,
        Money(a="1.10", b=[LONG, "1E+400"], c={"x": "-0.0"}, d=LONG, e="1.50", f=LONG),  # type: ignore[arg-type,list-item,dict-item] # pyright: ignore[reportArgumentType]
    ),
    "extra": (Open, '{"a": 1, "b": [2]}', Open(a=1, b=[2])),  # type: ignore[call-arg] # pyright: ignore[reportCallIssue]
    "object of anything": (dict[str, Any], '{"a": [1.5, null]}', {"a": [1.5, None]}),
    "odd names": (Odd, ODD, Odd.model_validate_json(ODD)),
}

#: Those that OpenAI's strict mode cannot say, but Claude can.
VAGUE: dict[str, tuple[Any, str, Any]] = {
    "anything": (Box[Any], '{"inside": {"a": [1.5]}}', Box[Any](inside={"a": [1.5]})),
    "list of anything": (list, '{"value": [1, "a"]}', [1, "a"]),
}
ALL = CLOSED | ENDLESS | OPEN | VAGUE
EVERY_TYPE = pytest.mark.parametrize("name", ALL)


class Sent(NamedTuple):
    """How an answer was asked for."""

    way: Literal["openai", "native", "gemini", "words"]
    schema: dict[str, Any]
    strict: bool | None = None


def sent(request: Request) -> Sent:
    body = request.json
    if request.wire == "openai" and "response_format" in body:
        return Sent(
            "openai", (named := body["response_format"]["json_schema"])["schema"], named["strict"]
        )
    if "output_format" in body:
        return Sent("native", body["output_format"]["schema"])
    assert "tools" not in body
    if "response_json_schema" in body.get("generationConfig", {}):
        return Sent("gemini", body["generationConfig"]["response_json_schema"])
    return Sent(
        "words", json.loads(body["system"][0]["text"].partition("matches this JSON Schema:\n")[2])
    )


async def ask(serve: Serve, target: tuple[str, str], kind: Any, answer: str) -> tuple[Any, Sent]:
    """The value that comes back for an answer, and how it was asked for."""
    server = serve(Reply(answer))
    response = await LLMCascade([server.target(*target)]).get_structured_json_response(
        kind, "Hello"
    )
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
            inner = (
                [value]
                if key in ("items", "additionalProperties", "not", "if", "then", "else", "contains")
                else []
            )
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
    keywords = {
        "additionalProperties",
        "anyOf",
        "description",
        "enum",
        "format",
        "items",
        "properties",
        "required",
    }
    formats = {"date", "date-time", "duration", "email", "hostname", "ipv4", "ipv6", "time", "uuid"}
    for node in nodes(schema):
        if "$ref" in node:
            assert node.keys() == {"$ref"}
            assert node["$ref"] == "#" or (
                node["$ref"].startswith("#/$defs/") and node["$ref"].count("/") == 2
            )
            continue
        assert node.keys() <= keywords | {"title", "type"} | (
            {"$defs"} if node is schema else set()
        )
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
    if asked.way == "native":
        assert not any(node.keys() & {"$ref", "$defs"} for node in nodes(asked.schema))
    ways = {OPENAI: "openai", CLAUDE: "native", GEMINI: "gemini"}
    is_in_words = target == CLAUDE and name in ENDLESS | OPEN
    assert asked.way == ("words" if is_in_words else ways[target])
    assert asked.strict == ((name in CLOSED | ENDLESS) if target == OPENAI else None)


@pytest.mark.parametrize("target", [OPENAI, GEMINI], ids=["openai", "gemini"])
@pytest.mark.parametrize(
    ("kind", "part"),
    [
        (dict[str, int], {"type": "object", "additionalProperties": {"type": "integer"}}),
        (Open, {"additionalProperties": True, "type": "object"}),
        (
            Box[dict[str, City]],
            {"additionalProperties": {"$ref": "#/$defs/City"}, "title": "Inside", "type": "object"},
        ),
        (
            Point,
            {"prefixItems": [{"title": "X", "type": "integer"}, {"title": "Y", "type": "integer"}]},
        ),
        (
            tuple[Annotated[int, Field(ge=3)]],
            {"prefixItems": [{"type": "integer", "description": "(minimum: 3)"}]},
        ),
        (tuple[()], {"type": "array"}),
        (Box[Any], {"title": "Inside"}),
        (list, {"type": "array", "items": {}}),
    ],
)
async def test_what_strict_mode_cannot_say_is_sent_unchanged(
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
    said = {
        name: sorted(node["description"].strip("()").split("; "))
        for name, node in properties.items()
    }
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
    [
        ("date", "date"),
        ("datetime", "date-time"),
        ("time", "time"),
        ("timedelta", "duration"),
        ("uuid", "uuid"),
        ("url", None),
        ("bytes", None),
        ("decimal", None),
    ],
)
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
    assert any(
        node.get("enum") == ["good", "bad"] and node["title"] == "Mood" for node in nodes(schema)
    )
    kind, answer, _ = CLOSED["discriminated"]
    schema = (await ask(serve, target, kind, answer))[1].schema
    assert [node["enum"] for node in nodes(schema) if node.get("title") == "Kind"] == [
        ["cat"],
        ["dog"],
    ]


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


Purse = list[Annotated[Coin | Note, Field(discriminator="kind")]]
WHOLE = (
    '{"a": "x", "b": null, "c": [{"a": 1}], "d": {"text": "x", "more": null}, "e": "1.10", '
    '"f": "bad"}'
)

#: A type with defaults, a whole answer, one that leaves all defaults out, and what that means.
OPTIONAL: dict[str, tuple[Any, str, str, Any]] = {
    "defaults": (Options, WHOLE, "{}", Options()),
    "recursive": (Chain, '{"item": 1, "after": {"item": 2, "after": null}}', "{}", Chain()),
    "typed dict": (Sea, '{"depth": 1, "name": null}', "{}", {}),
    "in a list": (
        list[Hint],
        '{"value": [{"text": "x", "more": null}]}',
        '{"value": [{}]}',
        [Hint()],
    ),
    "by tag": (
        Purse,
        '{"value": [{"kind": "note", "worth": 1}]}',
        '{"value": [{"kind": "note"}]}',
        [Note(kind="note")],
    ),
}


@pytest.mark.parametrize("name", OPTIONAL)
async def test_strict_mode_requires_what_has_a_default_and_the_others_may_leave_it_out(
    serve: Serve, name: str
) -> None:
    kind, whole, short, expected = OPTIONAL[name]
    _, strict = await ask(serve, OPENAI, kind, whole)
    assert strict.strict is True
    assert_strict(strict.schema)
    assert_sound(strict.schema)
    assert Draft202012Validator(strict.schema).is_valid(json.loads(whole))
    assert not Draft202012Validator(strict.schema).is_valid(json.loads(short))
    content, plain = await ask(serve, GEMINI, kind, short)
    assert content == expected
    assert Draft202012Validator(plain.schema).is_valid(json.loads(short))


@pytest.mark.parametrize(
    ("kind", "answer", "where"),
    [
        (City, '{"name": "Rome", "people": null}', ("people",)),
        (Options, '{"c": [{"a": null}]}', ("c", 0, "a")),
        (list[int], '{"value": [null]}', (0,)),
        (Note, '{"kind": null, "worth": null}', ("kind",)),
        (Hint, '{"text": null, "more": null}', ("text",)),
    ],
)
async def test_a_null_for_what_takes_no_null_is_an_error(
    serve: Serve, kind: Any, answer: str, where: Any
) -> None:
    with pytest.raises(ResponseValidationError) as caught:
        await ask(serve, OPENAI, kind, answer)
    assert [problem["loc"] for problem in caught.value.errors] == [where]
    assert caught.value.errors[0]["type"] != "missing"


@pytest.mark.parametrize(("depth", "is_in_words"), [(6, False), (11, True)])
async def test_a_schema_that_would_be_too_long_without_references_is_sent_to_claude_in_words(
    serve: Serve, depth: int, is_in_words: bool
) -> None:
    kind: Any = City
    for level in range(depth):
        either: Any = kind | None
        kind = create_model(f"Level{level}", left=(either, ...), right=(either, ...))
    _, asked = await ask(serve, CLAUDE, kind, '{"left": null, "right": null}')
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
    way = (
        draw(st.sampled_from(["simple", "list", "optional", "model", "union"]))
        if depth
        else "simple"
    )
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
    for name in draw(
        st.lists(
            st.sampled_from(["a", "value", "values", "type", "items"]), unique=True, min_size=1
        )
    ):
        kind, values[name] = draw(kinds(depth))
        default = draw(st.just(...) | values[name])
        fields[name] = (
            kind,
            draw(st.sampled_from([default, Field(default, description="a field")])),
        )
    model = create_model("Model", **fields)
    return model, st.builds(model, **values)


@settings(max_examples=100, derandomize=True, deadline=None)
@given(st.data())
def test_what_a_model_dumps_is_read_as_its_equal_and_fits_the_strict_schema(
    data: st.DataObject,
) -> None:
    kind, values = data.draw(models())
    value = data.draw(values)
    form = type_form(kind)
    dumped = value.model_dump_json()
    assert form.read(dumped, TARGET) == value
    strict, plain = (
        form.request([], "json_schema", dialect)[1]["response_format"]["json_schema"]
        for dialect in ("strict", "plain")
    )
    assert strict["strict"] is True
    assert_strict(strict["schema"])
    assert_sound(strict["schema"])
    assert_sound(plain["schema"])
    whole = Draft202012Validator(strict["schema"])
    assert whole.is_valid(json.loads(dumped))
    assert not whole.is_valid({})
    short = value.model_dump_json(exclude_defaults=True)
    assert form.read(short, TARGET) == value
    assert Draft202012Validator(plain["schema"]).is_valid(json.loads(short))


@pytest.mark.parametrize(
    ("kind", "answer", "expected"),
    [
        (list[int], "[1]", [1]),
        (City | Cat, ROME, HOME),
        (dict[str, int] | None, '{"value": 1, "a": 2}', {"value": 1, "a": 2}),
    ],
)
async def test_an_answer_that_was_not_wrapped_is_taken_as_it_is(
    serve: Serve, kind: Any, answer: str, expected: Any
) -> None:
    assert (await ask(serve, GEMINI, kind, answer))[0] == expected


class Loop(BaseModel):
    name: str
    next: Loop | None = Field(default=None, description="the next one")


async def test_a_recursive_field_with_a_description_is_strict(serve: Serve) -> None:
    server = serve(Reply('{"name": "a", "next": {"name": "b", "next": null}}'))
    response = await LLMCascade([server.target()]).get_structured_json_response(Loop, "Hello")
    assert response.content == Loop(name="a", next=Loop(name="b"))
    asked = sent(server.requests[0])
    assert asked.strict is True
    assert_strict(asked.schema)


def test_a_type_is_called_by_its_name() -> None:
    assert type_form(Pet).label == "Cat | Dog"
