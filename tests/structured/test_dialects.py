"""How a JSON Schema is said in each dialect, keyword by keyword."""

from __future__ import annotations

from typing import Any

import pytest

from majordomo_cascade.options import Dialect
from majordomo_cascade.structured.dialects import MAX_INLINED, response_format, with_object_root

TEXT: dict[str, Any] = {"type": "string"}
NULL: dict[str, Any] = {"type": "null"}
EMPTY: dict[str, Any] = {"type": "object", "properties": {}}
CITY: dict[str, Any] = {"type": "object", "properties": {"name": TEXT}}


def to(name: str, /, **beside: Any) -> dict[str, Any]:
    return {"$ref": f"#/$defs/{name}", **beside}


def items(of: Any) -> dict[str, Any]:
    return {"type": "array", "items": of}


def wrapped(value: Any, /, **defs: Any) -> dict[str, Any]:
    made = {"type": "object", "properties": {"value": value}, "required": ["value"]}
    return {**made, "$defs": defs} if defs else made


def closed(**properties: Any) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


def said(node: Any, dialect: Dialect, /, **defs: Any) -> Any:
    """How a dialect says the schema of a field; None if it has no way."""
    asked = response_format("answer", wrapped(node, **defs), dialect)
    if asked is None or (dialect == "strict" and not asked["json_schema"]["strict"]):
        return None
    return asked["json_schema"]["schema"]["properties"]["value"]


def test_the_parameter_is_openais_which_litellm_translates() -> None:
    assert response_format("answer", CITY, "plain") == {
        "type": "json_schema",
        "json_schema": {"name": "answer", "schema": CITY, "strict": False},
    }


@pytest.mark.parametrize(
    ("schema", "root"),
    [
        (CITY, CITY),
        ({**to("City"), "$defs": {"City": CITY}}, {**CITY, "$defs": {"City": CITY}}),
        (
            {**to("City", title="Mine"), "$defs": {"City": {**CITY, "title": "City"}}},
            {**CITY, "title": "Mine", "$defs": {"City": {**CITY, "title": "City"}}},
        ),
    ],
)
def test_an_object_at_the_root_stays_there(schema: Any, root: Any) -> None:
    assert with_object_root(schema) == (root, False)


@pytest.mark.parametrize(
    ("schema", "root"),
    [
        (TEXT, wrapped(TEXT)),
        ({"anyOf": [TEXT, NULL]}, wrapped({"anyOf": [TEXT, NULL]})),
        ({"type": ["object", "null"]}, wrapped({"type": ["object", "null"]})),
        ({**items(to("City")), "$defs": {"City": CITY}}, wrapped(items(to("City")), City=CITY)),
        (
            {**to("Names"), "$defs": {"Names": items(to("Names"))}},
            wrapped(to("Names"), Names=items(to("Names"))),
        ),
        ({"$ref": "https://example.org"}, wrapped({"$ref": "https://example.org"})),
    ],
)
def test_any_other_value_is_wrapped_in_an_object(schema: Any, root: Any) -> None:
    assert with_object_root(schema) == (root, True)


@pytest.mark.parametrize("dialect", ["strict", "plain", "inlined"])
@pytest.mark.parametrize("node", [{"$ref": "https://example.org"}, items({"$ref": "http://a.b/c"})])
def test_no_vendor_follows_a_reference_to_a_url(node: Any, dialect: Dialect) -> None:
    assert said(node, dialect) is None


@pytest.mark.parametrize(
    ("schema", "sent"),
    [
        ({"type": "string", "minLength": 1}, {"type": "string", "description": "(minLength: 1)"}),
        (
            {**TEXT, "title": "T", "description": "A name.", "pattern": "^é$", "examples": ["é"]},
            {**TEXT, "title": "T", "description": 'A name. (pattern: ^é$; examples: ["é"])'},
        ),
        ({**TEXT, "format": "date"}, {**TEXT, "format": "date"}),
        ({**TEXT, "format": "path"}, {**TEXT, "description": "(format: path)"}),
        (
            {**TEXT, "format": "decimal", "minimum": 0, "maxDigits": 4},
            {**TEXT, "description": "(format: decimal; minimum: 0; maxDigits: 4)"},
        ),
        ({**TEXT, "$id": "x", "$schema": "y", "$comment": "z", "discriminator": {}}, TEXT),
        ({**TEXT, "default": None}, TEXT),
        ({**TEXT, "default": "x"}, {**TEXT, "description": "(default: x)"}),
        ({**TEXT, "x-own": None}, {**TEXT, "description": "(x-own: null)"}),
        ({"const": "a"}, {"enum": ["a"], "type": "string"}),
        ({"const": True}, {"enum": [True], "type": "boolean"}),
        ({"const": None}, {"enum": [None], "type": "null"}),
        (
            {"enum": ["a", 1, "b", 1.5]},
            {"enum": ["a", 1, "b", 1.5], "type": ["string", "integer", "number"]},
        ),
        ({"enum": [[], {}]}, {"enum": [[], {}], "type": ["array", "object"]}),
        ({"enum": [1], "type": "number"}, {"enum": [1], "type": "number"}),
        ({"enum": []}, {"enum": []}),
        ({"oneOf": [TEXT, {"const": 1}]}, {"anyOf": [TEXT, {"enum": [1], "type": "integer"}]}),
        ({"type": "array", "prefixItems": [TEXT]}, {"type": "array", "prefixItems": [TEXT]}),
        ({"allOf": [TEXT, NULL]}, {"allOf": [TEXT, NULL]}),
        (to("A"), to("A")),
        (to("A", description="d"), {"anyOf": [to("A")], "description": "d"}),
        (to("A", title="t"), {"anyOf": [to("A")], "title": "t"}),
        (to("A", default=3), {"anyOf": [to("A")], "description": "(default: 3)"}),
        (
            {"type": "object", "properties": {"b": {"maximum": 2}}, "required": ["b"]},
            {
                "type": "object",
                "properties": {"b": {"description": "(maximum: 2)"}},
                "required": ["b"],
            },
        ),
        (
            {"type": "object", "additionalProperties": {"minimum": 1}},
            {"type": "object", "additionalProperties": {"description": "(minimum: 1)"}},
        ),
        (
            {"type": "object", "additionalProperties": True},
            {"type": "object", "additionalProperties": True},
        ),
        (
            {"type": "object", "patternProperties": {"^a": {"const": 1}}},
            {
                "type": "object",
                "description": '(patternProperties: {"^a": {"const": 1}})',
            },
        ),
        ({"not": {"const": 1}}, {"description": '(not: {"const": 1})'}),
        (
            {**TEXT, "contentSchema": {"const": 1}},
            {**TEXT, "description": '(contentSchema: {"enum": [1], "type": "integer"})'},
        ),
    ],
)
def test_structure_is_sent_and_the_rest_is_said_in_the_description(schema: Any, sent: Any) -> None:
    assert said(schema, "plain") == sent


def test_definitions_are_said_like_any_other_schema() -> None:
    asked = response_format("answer", wrapped(to("A"), A={"minimum": 1}), "plain")
    assert asked is not None
    assert asked["json_schema"]["schema"]["$defs"] == {"A": {"description": "(minimum: 1)"}}


def test_the_schema_that_is_given_stays_as_it_is() -> None:
    schema = wrapped(to("City", title="t"), City=CITY)
    for dialect in ("strict", "plain", "inlined"):
        response_format("answer", schema, dialect)
    assert schema == wrapped(to("City", title="t"), City={**EMPTY, "properties": {"name": TEXT}})


@pytest.mark.parametrize(
    ("schema", "sent"),
    [
        (TEXT, TEXT),
        (items(TEXT), items(TEXT)),
        (EMPTY, closed()),
        ({**CITY, "required": ["name"]}, closed(name=TEXT)),
        ({**CITY, "additionalProperties": False}, closed(name=TEXT)),
        ({**CITY, "type": ["object", "null"]}, {**closed(name=TEXT), "type": ["object", "null"]}),
        ({"anyOf": [CITY, NULL]}, {"anyOf": [closed(name=TEXT), NULL]}),
        ({"oneOf": [CITY, TEXT]}, {"anyOf": [closed(name=TEXT), TEXT]}),
        (to("A"), to("A")),
        (to("A", title="t"), {"anyOf": [to("A")], "title": "t"}),
        (
            {"type": "object", "properties": {"a": {**TEXT, "default": "x"}, "b": NULL}},
            closed(a={**TEXT, "description": "(default: x)"}, b=NULL),
        ),
        (
            {**CITY, "maxProperties": 1},
            {**closed(name=TEXT), "description": "(maxProperties: 1)"},
        ),
    ],
)
def test_strict_mode_closes_every_object_and_requires_every_field(schema: Any, sent: Any) -> None:
    assert said(schema, "strict", A=TEXT) == sent


def test_in_strict_mode_no_field_takes_null_that_did_not() -> None:
    either = {"anyOf": [TEXT, NULL]}
    node = {"type": "object", "properties": {"a": TEXT, "b": either}, "required": ["b"]}
    assert said(node, "strict") == closed(a=TEXT, b=either)


@pytest.mark.parametrize("dialect", ["plain", "inlined"])
def test_the_other_dialects_leave_optional_fields_out_of_what_is_required(dialect: Dialect) -> None:
    node = {"type": "object", "properties": {"a": TEXT, "b": TEXT}, "required": ["b"]}
    assert said(node, dialect) == node


@pytest.mark.parametrize(
    "schema",
    [
        {},
        {"description": "anything"},
        {"enum": []},
        {"type": "object"},
        {**CITY, "additionalProperties": True},
        {**CITY, "additionalProperties": TEXT},
        {"type": "array"},
        items({}),
        {"type": ["array", "null"], "items": True},
        {"type": "object", "properties": {"a": {"type": "object"}}},
        {**items(TEXT), "prefixItems": [TEXT]},
        {**TEXT, "allOf": [TEXT, TEXT]},
        {**CITY, "anyOf": [{"required": ["name"]}]},
    ],
    ids=str,
)
def test_a_schema_that_strict_mode_cannot_say_is_sent_without_it(schema: Any) -> None:
    assert said(schema, "strict") is None
    asked = response_format("answer", wrapped(schema), "strict")
    assert asked is not None
    assert asked["json_schema"]["strict"] is False
    assert asked == response_format("answer", wrapped(schema), "plain")


@pytest.mark.parametrize(
    ("node", "defs", "sent"),
    [
        (TEXT, {}, TEXT),
        (items(to("City")), {"City": CITY}, items(CITY)),
        (
            {"anyOf": [to("A"), to("A")]},
            {"A": items(to("B")), "B": TEXT},
            {"anyOf": [items(TEXT), items(TEXT)]},
        ),
        (
            to("A", title="mine"),
            {"A": to("B", title="A"), "B": {**TEXT, "title": "B"}},
            {**TEXT, "title": "mine"},
        ),
        (
            {**TEXT, "contentSchema": to("A")},
            {"A": TEXT},
            {**TEXT, "description": '(contentSchema: {"type": "string"})'},
        ),
        ({**CITY, "additionalProperties": False}, {}, {**CITY, "additionalProperties": False}),
    ],
)
def test_claude_gets_definitions_instead_of_references(node: Any, defs: Any, sent: Any) -> None:
    assert said(node, "inlined", **defs) == sent


def test_claude_gets_no_definitions() -> None:
    asked = response_format("answer", wrapped(to("A"), A=TEXT), "inlined")
    assert asked is not None
    assert "$defs" not in asked["json_schema"]["schema"]


@pytest.mark.parametrize(
    "defs",
    [
        {"A": items(to("A"))},
        {"A": items(to("B")), "B": items(to("A"))},
        {"A": to("B"), "B": to("A")},
    ],
)
def test_a_recursive_schema_cannot_do_without_references(defs: Any) -> None:
    assert said(to("A"), "inlined", **defs) is None
    assert said(to("A"), "plain", **defs) == to("A")


def test_a_schema_that_is_too_long_without_references_is_not_sent() -> None:
    def long(definitions: int) -> dict[str, Any]:
        return {"anyOf": [to("A")] * definitions}

    fits = MAX_INLINED // 2 - 1  # the root, the union, and two for each reference
    assert said(long(fits), "inlined", A=TEXT) == {"anyOf": [TEXT] * fits}
    assert said(long(fits + 1), "inlined", A=TEXT) is None


@pytest.mark.parametrize(
    "node",
    [
        {**CITY, "additionalProperties": True},
        {**CITY, "additionalProperties": TEXT},
        {"type": "object"},
        {"type": ["object", "null"]},
        {"type": "array", "prefixItems": [TEXT]},
        {"type": "object", "properties": {"$ref": TEXT}},
        {"type": "object", "properties": {"a": {"type": "object"}, "b": TEXT}},
        {"type": "object", "properties": {"a": TEXT, "b": items({"type": "object"})}},
    ],
)
def test_claude_is_not_sent_a_schema_that_litellm_would_change(node: Any) -> None:
    assert said(node, "inlined") is None


@pytest.mark.parametrize("name", ["value", "values"])
def test_claude_is_sent_any_other_field(name: str) -> None:
    node = {"type": "object", "properties": {name: TEXT}}
    assert said(node, "inlined") == node
