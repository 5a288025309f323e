"""What of a JSON Schema goes on the wire, keyword by keyword."""

from __future__ import annotations

from typing import Any

import pytest

from majordomo_cascade.wire import (
    AGAINST_STRICT,
    LONGEST_INLINED,
    EndlessError,
    NotStrictError,
    for_wire,
    inlined,
    is_bent_for_claude,
    is_portable,
    rooted,
)

TEXT: dict[str, Any] = {"type": "string"}
NULL: dict[str, Any] = {"type": "null"}
EMPTY: dict[str, Any] = {"type": "object", "properties": {}}
CITY: dict[str, Any] = {"type": "object", "properties": {"name": TEXT}}


def to(reference: str, /, **beside: Any) -> dict[str, Any]:
    return {"$ref": reference, **beside}


def items(of: Any) -> dict[str, Any]:
    return {"type": "array", "items": of}


def wrapped(value: Any, /, **defs: Any) -> dict[str, Any]:
    made = {"type": "object", "properties": {"value": value}, "required": ["value"]}
    return {**made, "$defs": defs} if defs else made


@pytest.mark.parametrize(
    ("schema", "root"),
    [
        (CITY, CITY),
        ({**to("#/$defs/City"), "$defs": {"City": CITY}}, {**CITY, "$defs": {"City": CITY}}),
        (
            {"type": "object", "properties": {"a": to("#/definitions/A")}, "definitions": {"A": TEXT}},
            {"type": "object", "properties": {"a": to("#/$defs/A")}, "$defs": {"A": TEXT}},
        ),
        (
            {"type": "object", "definitions": {"A": True}, "$defs": {"B": items(to("#/definitions/A"))}},
            {"type": "object", "$defs": {"A": True, "B": items(to("#/$defs/A"))}},
        ),
        (
            {"type": "object", "properties": {"a": to("#"), "b": to("#/properties/a")}},
            {"type": "object", "properties": {"a": to("#"), "b": to("#/properties/a")}},
        ),
    ],
)
def test_what_has_an_object_at_its_root_stays_as_it_is(schema: Any, root: Any) -> None:
    assert rooted(schema) == (root, False)


@pytest.mark.parametrize(
    ("schema", "root"),
    [
        (TEXT, wrapped(TEXT)),
        ({"anyOf": [TEXT, NULL]}, wrapped({"anyOf": [TEXT, NULL]})),
        ({"type": ["object", "null"]}, wrapped({"type": ["object", "null"]})),
        ({**items(to("#/$defs/City")), "$defs": {"City": CITY}}, wrapped(items(to("#/$defs/City")), City=CITY)),
        (
            {**to("#/definitions/Names"), "definitions": {"Names": items(TEXT)}},
            wrapped(items(TEXT), Names=items(TEXT)),
        ),
        (
            {"anyOf": [TEXT, to("#/anyOf/0")]},
            wrapped({"anyOf": [TEXT, to("#/properties/value/anyOf/0")]}),
        ),
        (items(to("#")), wrapped(to("#/$defs/value"), value=items(to("#/$defs/value")))),
        (
            {**items(to("#")), "$defs": {"value": to("#/definitions/value")}},
            wrapped(to("#/$defs/0"), **{"value": to("#/$defs/value"), "0": items(to("#/$defs/0"))}),
        ),
        (
            {**items(to("#/$defs/1")), "$defs": {"value": TEXT, "0": TEXT, "1": items(to("#"))}},
            wrapped(
                to("#/$defs/2"),
                **{"value": TEXT, "0": TEXT, "1": items(to("#/$defs/2")), "2": items(to("#/$defs/1"))},
            ),
        ),
    ],
)
def test_what_has_none_is_wrapped_in_one(schema: Any, root: Any) -> None:
    assert rooted(schema) == (root, True)


@pytest.mark.parametrize(
    ("reference", "survives"),
    [
        ("#", True),
        ("#/$defs/City", True),
        ("#/definitions/City", True),
        ("#/$defs/City/properties/name", False),
        ("#/properties/name", False),
        ("#/$defs/", False),
        ("#/", False),
    ],
)
def test_which_references_survive(reference: str, *, survives: bool) -> None:
    assert is_portable(to(reference)) is survives
    assert is_portable(items({"anyOf": [TEXT, to(reference)]})) is survives
    assert is_portable({**CITY, "$defs": {"A": TEXT}})


@pytest.mark.parametrize(
    ("schema", "sent"),
    [
        ({"type": "string", "minLength": 1}, {"type": "string", "description": "(minLength: 1)"}),
        (
            {"type": "string", "title": "T", "description": "A name.", "pattern": "^é$", "examples": ["é", None]},
            {"type": "string", "title": "T", "description": 'A name. (pattern: ^é$; examples: ["é", null])'},
        ),
        ({"type": "string", "format": "date"}, {"type": "string", "format": "date"}),
        ({"type": "string", "format": "path"}, {"type": "string", "description": "(format: path)"}),
        ({**TEXT, "$id": "x", "$schema": "y", "$comment": "z", "discriminator": {"propertyName": "a"}}, TEXT),
        ({**TEXT, "default": None}, TEXT),
        ({**TEXT, "default": "x"}, {**TEXT, "description": "(default: x)"}),
        ({**TEXT, "x-own": None}, {**TEXT, "description": "(x-own: null)"}),
        ({"const": "a"}, {"enum": ["a"], "type": "string"}),
        ({"const": True}, {"enum": [True], "type": "boolean"}),
        ({"const": None}, {"enum": [None], "type": "null"}),
        ({"enum": ["a", 1, "b", 1.5]}, {"enum": ["a", 1, "b", 1.5], "type": ["string", "integer", "number"]}),
        ({"enum": [[], {}]}, {"enum": [[], {}], "type": ["array", "object"]}),
        ({"enum": [1], "type": "number"}, {"enum": [1], "type": "number"}),
        ({"enum": []}, {"enum": []}),
        ({"oneOf": [TEXT, {"const": 1}]}, {"anyOf": [TEXT, {"enum": [1], "type": "integer"}]}),
        ({"oneOf": [TEXT], "anyOf": [NULL]}, {"oneOf": [TEXT], "anyOf": [NULL]}),
        ({"type": "array", "items": [TEXT, NULL]}, {"type": "array", "prefixItems": [TEXT, NULL]}),
        ({"allOf": [TEXT], "description": "d"}, {**TEXT, "description": "d"}),
        ({"allOf": [{"allOf": [{**TEXT, "title": "inner"}], "title": "outer"}]}, {**TEXT, "title": "outer"}),
        ({"allOf": [TEXT, NULL]}, {"allOf": [TEXT, NULL]}),
        ({"allOf": [True]}, {"allOf": [True]}),
        ({"allOf": []}, {"allOf": []}),
        (to("#/$defs/A"), to("#/$defs/A")),
        (to("#/$defs/A", description="d"), {"anyOf": [to("#/$defs/A")], "description": "d"}),
        (to("#/$defs/A", title="t"), {"anyOf": [to("#/$defs/A")], "title": "t"}),
        (to("#/$defs/A", default=3), {"anyOf": [to("#/$defs/A")], "description": "(default: 3)"}),
        (
            {"$defs": {"A": {"minimum": 1}}, "type": "object", "properties": {"b": {"maximum": 2}}, "required": ["b"]},
            {
                "$defs": {"A": {"description": "(minimum: 1)"}},
                "type": "object",
                "properties": {"b": {"description": "(maximum: 2)"}},
                "required": ["b"],
            },
        ),
        (
            {"type": "object", "additionalProperties": {"minimum": 1}},
            {"type": "object", "additionalProperties": {"description": "(minimum: 1)"}},
        ),
        ({"not": {"const": 1}}, {"description": '(not: {"enum": [1], "type": "integer"})'}),
    ],
)
def test_what_is_sent_as_it_is_what_in_other_words_and_what_not_at_all(schema: Any, sent: Any) -> None:
    assert for_wire(schema, strict=False) == sent


def closed(required: list[str], **properties: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": required, "additionalProperties": False}


@pytest.mark.parametrize(
    ("schema", "sent"),
    [
        (TEXT, TEXT),
        (items(TEXT), items(TEXT)),
        (EMPTY, closed([])),
        ({**CITY, "required": ["name"]}, closed(["name"], name=TEXT)),
        ({**CITY, "additionalProperties": False}, closed(["name"], name={"anyOf": [TEXT, NULL]})),
        (
            {"type": ["object", "null"], "properties": {"name": TEXT}, "required": ["name"]},
            {**closed(["name"], name=TEXT), "type": ["object", "null"]},
        ),
        (
            {"type": "object", "properties": {"a": {"type": ["string", "null"]}, "b": {"anyOf": [TEXT, NULL]}}},
            closed(["a", "b"], a={"type": ["string", "null"]}, b={"anyOf": [TEXT, NULL]}),
        ),
        (
            {"type": "object", "properties": {"a": {"anyOf": [TEXT, items(TEXT)]}, "b": NULL}},
            closed(["a", "b"], a={"anyOf": [TEXT, items(TEXT), NULL]}, b=NULL),
        ),
        (
            {"type": "object", "properties": {"a": to("#/$defs/City")}, "$defs": {"City": EMPTY}},
            {**closed(["a"], a={"anyOf": [to("#/$defs/City"), NULL]}), "$defs": {"City": closed([])}},
        ),
        ({"anyOf": [CITY, TEXT]}, {"anyOf": [closed(["name"], name={"anyOf": [TEXT, NULL]}), TEXT]}),
        (
            {"type": "object", "properties": {"a": to("#/$defs/A", title="t")}},
            closed(["a"], a={"anyOf": [to("#/$defs/A"), NULL], "title": "t"}),
        ),
        ({**to("#/$defs/A"), "$defs": {"A": TEXT}}, {**to("#/$defs/A"), "$defs": {"A": TEXT}}),
    ],
)
def test_strict_mode_closes_every_object_and_requires_everything(schema: Any, sent: Any) -> None:
    assert for_wire(schema, strict=True) == sent


@pytest.mark.parametrize(
    "schema",
    [
        *({**EMPTY, keyword: {}} for keyword in AGAINST_STRICT),
        {},
        {"description": "anything"},
        {"type": "object"},
        {**CITY, "additionalProperties": True},
        {**CITY, "additionalProperties": TEXT},
        {"type": "array"},
        items(True),
        {"type": ["array", "null"], "items": True},
        {**CITY, "required": ["name", "age"]},
        {"anyOf": [TEXT, True]},
        {"type": "object", "properties": {"a": True}},
        {**TEXT, "$defs": {"A": True}},
        {**TEXT, "allOf": [TEXT, TEXT]},
        {**TEXT, "oneOf": [TEXT], "anyOf": [TEXT]},
        {**items(TEXT), "prefixItems": [TEXT]},
        {**EMPTY, "anyOf": [CITY]},
        to("#/$defs/A", type="string"),
        to("#/$defs/A", enum=["a"]),
        {"type": "object", "properties": {"a": {"type": "object"}}},
    ],
)
def test_what_strict_mode_has_no_way_to_say(schema: Any) -> None:
    with pytest.raises(NotStrictError):
        for_wire(schema, strict=True)
    for_wire(schema, strict=False)


@pytest.mark.parametrize(
    ("schema", "expected"),
    [
        (TEXT, TEXT),
        ({**items(to("#/$defs/City")), "$defs": {"City": CITY}}, items(CITY)),
        (
            {"anyOf": [to("#/$defs/A"), to("#/$defs/A")], "$defs": {"A": items(to("#/$defs/B")), "B": TEXT}},
            {"anyOf": [items(TEXT), items(TEXT)]},
        ),
        (
            {**to("#/$defs/A", title="mine"), "$defs": {"A": to("#/$defs/B", title="A"), "B": {**TEXT, "title": "B"}}},
            {**TEXT, "title": "mine"},
        ),
        ({"type": "array", "items": [True, to("#/$defs/A")], "$defs": {"A": False}}, {
            "type": "array", "items": [True, {"not": {}}],
        }),
    ],
)  # fmt: skip
def test_without_references(schema: Any, expected: Any) -> None:
    assert inlined(schema) == expected


@pytest.mark.parametrize(
    "schema",
    [
        items(to("#")),
        {**to("#/$defs/A"), "$defs": {"A": items(to("#/$defs/A"))}},
        {**to("#/$defs/A"), "$defs": {"A": items(to("#/$defs/B")), "B": items(to("#/$defs/A"))}},
    ],
)
def test_what_is_recursive_can_not_do_without_references(schema: Any) -> None:
    with pytest.raises(EndlessError):
        inlined(schema)


def test_how_long_a_schema_may_become_without_its_references() -> None:
    def long(schemas: int) -> dict[str, Any]:
        """A schema whose last reference is so many schemas in."""
        return {"anyOf": [TEXT] * (schemas - 2) + [to("#/$defs/A")], "$defs": {"A": TEXT}}

    assert inlined(long(LONGEST_INLINED))["anyOf"][-1] == TEXT
    with pytest.raises(EndlessError):
        inlined(long(LONGEST_INLINED + 1))


@pytest.mark.parametrize(
    ("schema", "is_bent"),
    [
        (CITY, False),
        ({**CITY, "additionalProperties": False}, False),
        ({**CITY, "additionalProperties": True}, True),
        ({**CITY, "additionalProperties": TEXT}, True),
        ({"type": "object"}, True),
        ({"type": ["object", "null"]}, True),
        (TEXT, False),
        ({"type": "array", "prefixItems": [TEXT]}, True),
        ({"type": "object", "properties": {"$ref": TEXT}}, True),
        ({"type": "object", "properties": {"values": TEXT}}, True),
        ({"type": "object", "properties": {"a": {"type": "object", "properties": {"values": TEXT}}}}, False),
        ({"type": "object", "properties": {"a": {"type": "object"}, "b": TEXT}}, True),
        ({"type": "object", "properties": {"a": TEXT, "b": items({"type": "object"})}}, True),
    ],
)
def test_what_litellm_would_bend_on_its_way_to_claude(schema: Any, *, is_bent: bool) -> None:
    assert is_bent_for_claude(schema) is is_bent
