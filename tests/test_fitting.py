"""An answer led back to what its schema meant, value by value."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from majordomo_cascade.fitting import DECIMAL, fit, has_decimals, unmarked
from majordomo_cascade.parsing import dump_exactly, load_exactly
from majordomo_cascade.structured import type_form

TEXT: dict[str, Any] = {"type": "string"}
WHOLE: dict[str, Any] = {"type": "integer"}
NUMBER: dict[str, Any] = {"type": "number"}
NULL: dict[str, Any] = {"type": "null"}
#: As pydantic describes one, with our mark.
EXACT: dict[str, Any] = {"anyOf": [NUMBER, TEXT], DECIMAL: True}


def thing(required: tuple[str, ...] = (), **properties: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": list(required)}


def kind(name: str, **properties: Any) -> dict[str, Any]:
    """A branch of a union with a tag."""
    return thing(("kind",), kind={"const": name}, **properties)


def fitted(schema: Any, text: str) -> str:
    return dump_exactly(fit(load_exactly(text), schema))


def test_where_decimals_are() -> None:
    assert has_decimals(EXACT)
    assert has_decimals({"type": "array", "items": {"anyOf": [NULL, EXACT]}})
    assert not has_decimals({"type": "array", "items": {"anyOf": [NULL, NUMBER]}})


def test_our_mark_is_never_sent() -> None:
    marked = thing(a=EXACT, b={"type": "array", "items": EXACT})
    plain = {"anyOf": [NUMBER, TEXT]}
    assert unmarked(marked) == thing(a=plain, b={"type": "array", "items": plain})
    assert DECIMAL in marked["properties"]["a"]


@pytest.mark.parametrize(
    ("schema", "text", "expected"),
    [
        (EXACT, "0.10", '"0.10"'),
        (EXACT, "10", "10"),
        (EXACT, '"0.10"', '"0.10"'),
        (EXACT, "null", "null"),
        (EXACT, "true", "true"),
        (NUMBER, "0.10", "0.10"),
        ({}, "0.10", "0.10"),
        ({"anyOf": [EXACT, NULL]}, "0.10", '"0.10"'),
        ({"anyOf": [EXACT, WHOLE]}, "1", "1"),
        ({"anyOf": [EXACT, NUMBER]}, "0.10", "0.10"),
        ({"anyOf": [EXACT, TEXT]}, "0.10", "0.10"),
        ({"anyOf": [EXACT, {}]}, "0.10", "0.10"),
        ({"anyOf": [EXACT, {"enum": [1.5, "a"]}]}, "0.10", '"0.10"'),
        ({"anyOf": [EXACT, {"const": "a", "type": "string"}]}, "0.10", '"0.10"'),
        ({"anyOf": [EXACT, {"type": ["boolean", "array"]}]}, "0.10", '"0.10"'),
        ({"anyOf": [EXACT, {"type": ["number", "null"]}]}, "0.10", "0.10"),
        ({"oneOf": [NULL, EXACT]}, "0.10", '"0.10"'),
        ({"anyOf": [NULL], "oneOf": [EXACT]}, "0.10", '"0.10"'),
        ({"anyOf": [True, EXACT]}, "0.10", '"0.10"'),
        ({"$ref": "#/$defs/A", "$defs": {"A": EXACT}}, "0.10", '"0.10"'),
        ({"anyOf": [{"$ref": "#/$defs/A"}], "$defs": {"A": EXACT}}, "0.10", '"0.10"'),
        ({"type": "array", "items": EXACT}, "[0.10, null]", '["0.10", null]'),
        ({"type": "array", "items": [EXACT]}, "[0.10, null]", "[0.10, null]"),
        ({"type": "array"}, "[0.10]", "[0.10]"),
        ({"type": "array", "items": True}, "[0.10]", "[0.10]"),
        ({"type": "array", "prefixItems": [EXACT, NUMBER], "items": EXACT}, "[0.1, 0.2, 0.3]", '["0.1", 0.2, "0.3"]'),
        (thing(a=EXACT), '{"a": 0.10, "b": 0.10}', '{"a": "0.10", "b": 0.10}'),
        ({"type": "object", "additionalProperties": EXACT}, '{"a": 0.10}', '{"a": "0.10"}'),
        ({"type": "object", "additionalProperties": True}, '{"a": 0.10}', '{"a": 0.10}'),
        ({**thing(a=NUMBER), "additionalProperties": EXACT}, '{"a": 0.1, "b": 0.2}', '{"a": 0.1, "b": "0.2"}'),
        ({"anyOf": [kind("x", a=EXACT), kind("y", a=NUMBER)]}, '{"kind": "x", "a": 0.1}', '{"kind": "x", "a": "0.1"}'),
        ({"anyOf": [kind("x", a=EXACT), kind("y", a=NUMBER)]}, '{"kind": "y", "a": 0.1}', '{"kind": "y", "a": 0.1}'),
        ({"anyOf": [kind("x", a=EXACT), kind("y", a=NUMBER)]}, '{"kind": "z", "a": 0.1}', '{"kind": "z", "a": 0.1}'),
        ({"anyOf": [thing(a=EXACT), thing(a=NUMBER, b=TEXT)]}, '{"a": 0.1}', '{"a": "0.1"}'),
        ({"anyOf": [thing(a=EXACT), thing(a=NUMBER, b=TEXT)]}, '{"a": 0.1, "b": "x"}', '{"a": 0.1, "b": "x"}'),
        ({"anyOf": [thing(a=EXACT, b=TEXT), thing(a=EXACT, c=TEXT)]}, '{"a": 0.1}', '{"a": "0.1"}'),
        ({"anyOf": [thing(("a", "b"), a=EXACT, b=TEXT), thing(a=NUMBER, c=TEXT)]}, '{"a": 0.1}', '{"a": 0.1}'),
        ({"anyOf": [EXACT, thing(a=EXACT)]}, '{"a": 0.1}', '{"a": "0.1"}'),
        ({"anyOf": [{**TEXT, "properties": {"a": EXACT}}, thing(a=NUMBER)]}, '{"a": 0.1}', '{"a": 0.1}'),
        ({"anyOf": [thing(("a", "b"), a=NUMBER, b=TEXT), thing(a=EXACT, c=TEXT)]}, '{"a": 0.1}', '{"a": "0.1"}'),
        ({"anyOf": [{**TEXT, "properties": {"a": NUMBER}}, thing(a=EXACT)]}, '{"a": 0.1}', '{"a": "0.1"}'),
        (
            {"anyOf": [thing(kind={"enum": ["x"]}, a=NUMBER), thing(kind={"enum": ["y"]}, a=EXACT)]},
            '{"kind": "y", "a": 0.1}',
            '{"kind": "y", "a": "0.1"}',
        ),
        (thing(("a",), a=EXACT), '{"a": 0.1}', '{"a": "0.1"}'),
        ({"properties": {"a": EXACT}}, '{"a": 0.1}', '{"a": "0.1"}'),
        ({"anyOf": [{"type": "array", "items": EXACT}, {"type": "array"}]}, "[0.1]", "[0.1]"),
        ({"anyOf": [thing(a=EXACT), {"type": "object"}]}, '{"a": 0.1, "b": 1}', '{"a": "0.1", "b": 1}'),
    ],
)
def test_a_number_that_can_only_be_a_decimal_keeps_its_digits(schema: Any, text: str, expected: str) -> None:
    assert fitted(schema, text) == expected.replace(" ", "")


@pytest.mark.parametrize(
    ("schema", "text", "expected"),
    [
        (thing(a={**WHOLE, "default": 3}), '{"a": null}', "{}"),
        (thing(a={**WHOLE, "default": 3}), '{"a": 1, "b": null}', '{"a": 1, "b": null}'),
        (thing(a=WHOLE), '{"a": null}', "{}"),
        (thing(("a",), a=WHOLE), '{"a": null}', '{"a": null}'),
        (thing(a={"type": ["integer", "null"]}), '{"a": null}', '{"a": null}'),
        (thing(a={"anyOf": [WHOLE, NULL]}), '{"a": null}', '{"a": null}'),
        (thing(a={"enum": [1, None]}), '{"a": null}', '{"a": null}'),
        (thing(a={"enum": [1, 2]}), '{"a": null}', "{}"),
        (thing(a={"const": None}), '{"a": null}', '{"a": null}'),
        (thing(a={"const": 1}), '{"a": null}', "{}"),
        (thing(a={}), '{"a": null}', '{"a": null}'),
        (thing(a=True), '{"a": null}', '{"a": null}'),
        (thing(a=EXACT), '{"a": null}', "{}"),
        (thing(a={"enum": [None], **WHOLE}), '{"a": null}', "{}"),
        (
            {**thing(a={"$ref": "#/$defs/A"}, b={"$ref": "#/$defs/B"}), "$defs": {"A": WHOLE, "B": NULL}},
            '{"a": null, "b": null}',
            '{"b": null}',
        ),
        ({"type": "object", "additionalProperties": WHOLE}, '{"a": null}', '{"a": null}'),
        ({"type": "array", "items": thing(a=WHOLE)}, '[{"a": null}, null]', "[{}, null]"),
        (thing(a=thing(b=WHOLE)), '{"a": {"b": null}}', '{"a": {}}'),
        (WHOLE, '{"a": null}', '{"a": null}'),
        (thing(a={**WHOLE, "default": 3}, b=TEXT), '{"a": null, "b": "x"}', '{"b": "x"}'),
        (
            {"anyOf": [kind("x", a={**WHOLE, "default": 3}), kind("y", a={**WHOLE, "default": 4})]},
            '{"kind": "y", "a": null}',
            '{"kind": "y", "a": 4}',
        ),
        (
            {"anyOf": [kind("x", a=WHOLE), kind("y", a=TEXT)]},
            '{"kind": "y", "a": null}',
            '{"kind": "y"}',
        ),
        (
            {"anyOf": [thing(a=WHOLE), thing(a=NULL)]},
            '{"a": null}',
            '{"a": null}',
        ),
        (
            {"anyOf": [kind("x", a=WHOLE), {**kind("x", a=WHOLE), "properties": {"kind": TEXT}}]},
            '{"kind": "x", "a": null}',
            '{"kind": "x"}',
        ),
        (
            {"anyOf": [thing(a={**WHOLE, "default": 3}, b=True), NULL]},
            '{"a": null, "b": null}',
            '{"a": 3, "b": null}',
        ),
        ({"anyOf": [thing(a=False), NULL]}, '{"a": null}', "{}"),
        (
            {"anyOf": [thing(tag={"enum": ["x", None]}, a={**WHOLE, "default": 3}), NULL]},
            '{"tag": null, "a": null}',
            '{"tag": null, "a": 3}',
        ),
    ],
)
def test_a_null_that_can_only_be_a_default_is_one(schema: Any, text: str, expected: str) -> None:
    assert fitted(schema, text) == expected.replace(" ", "")


def test_what_pydantic_says_of_a_decimal_has_the_mark() -> None:
    value = type_form(dict[str, Decimal]).read('{"a": 0.10}', "openai", "gpt-4.1")
    assert str(value["a"]) == "0.10"
