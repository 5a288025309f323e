"""An answer led back to what its schema meant: numbers to their digits, nulls to the defaults they stand for. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from .parsing import Number
from .schemas import Schema, each, inside, is_schema, resolve, types

#: A keyword of our own that marks a number that is a ``Decimal`` to pydantic; it is never sent.
DECIMAL = "x-majordomo-decimal"


def has_decimals(schema: Schema) -> bool:
    """Whether there is a Decimal anywhere in a schema."""
    return DECIMAL in schema or any(map(has_decimals, inside(schema)))


def unmarked(schema: Schema) -> Schema:
    """The schema without our own marks."""
    return {key: value for key, value in each(schema, unmarked).items() if key != DECIMAL}


def fit(value: Any, schema: Schema) -> Any:
    """A value as ``load_exactly`` gave it, made to fit the schema that it was asked for by.

    A number that can only be a Decimal becomes a string of its digits: pydantic reads a JSON number as a float first.
    A null that can only stand for a default is left out, or in a union the default put in its place: strict mode, where
    every property is required, asks for it.
    """

    def fitted(value: Any, schemas: list[Schema]) -> Any:
        options = [option for one in schemas for option in _options(one, schema)]
        if not options:
            return value
        if isinstance(value, Number):
            takers = [option for option in options if _may_be_number_or_text(option)]
            return str(value) if takers and all(DECIMAL in option for option in takers) else value
        if isinstance(value, list):
            return [fitted(item, list(_items(options, index))) for index, item in enumerate(value)]
        if not isinstance(value, dict):
            return value
        meant = _meant(options, value)
        made = {}
        for key, item in value.items():
            if item is not None or not _is_default(meant, key, schema):
                made[key] = fitted(item, list(_properties(meant, key)))
            elif len(options) > 1 and "default" in (own := next(_properties(meant, key), {})):
                made[key] = own["default"]  # without it, pydantic may take another of a union
        return made

    return fitted(value, [schema])


def _options(schema: Schema, root: Schema) -> Iterator[Schema]:
    """The schemas of which one is meant: what a union or a reference comes to."""
    if "$ref" in schema:
        yield from _options(resolve(schema["$ref"], root), root)
    elif DECIMAL not in schema and ("anyOf" in schema or "oneOf" in schema):
        for inner in filter(is_schema, (*schema.get("anyOf", ()), *schema.get("oneOf", ()))):
            yield from _options(inner, root)
    else:
        yield schema


def _may_be_number_or_text(option: Schema) -> bool:
    """Whether a number may be meant by an option, or could be taken for its text."""
    named = types(option)  # a Decimal's are further down
    return not ("enum" in option or "const" in option) and (not named or bool({"number", "string"} & set(named)))


def _meant(options: list[Schema], value: dict[str, Any]) -> list[Schema]:
    """The options that an object may be meant by: in strict mode it has all properties of one, and no others."""
    likely = [option for option in options if _matches(option, value)]
    exact = [option for option in likely if value.keys() == option.get("properties", {}).keys()]
    return exact or likely


def _matches(option: Schema, value: dict[str, Any]) -> bool:
    """Whether an object has what an option requires, and its tags are that option's."""
    if "object" not in (types(option) or ("object",)):
        return False
    if not value.keys() >= set(option.get("required", ())):
        return False
    for name, one in option.get("properties", {}).items():
        allowed = one.get("enum", [one["const"]] if "const" in one else None) if is_schema(one) else None
        if allowed is not None and value.get(name) is not None and value[name] not in allowed:
            return False
    return True


def _items(options: list[Schema], index: int) -> Iterator[Schema]:
    """The schemas for an item of a list."""
    for option in options:
        first = option.get("prefixItems", ())
        yield from _as_schema(first[index] if index < len(first) else option.get("items", True))


def _properties(options: list[Schema], key: str) -> Iterator[Schema]:
    """The schemas for a property of an object."""
    for option in options:
        yield from _as_schema(option.get("properties", {}).get(key, option.get("additionalProperties", False)))


def _as_schema(value: Any) -> Iterator[Schema]:
    """A sub-schema, if anything matches it; anything at all matches True."""
    if value is True or is_schema(value):
        yield {} if value is True else value


def _is_default(options: list[Schema], key: str, root: Schema) -> bool:
    """Whether a null there can only stand for a default."""
    return bool(options) and all(
        key in option.get("properties", {})
        and key not in option.get("required", ())
        and not any(_takes_null(one) for own in _properties([option], key) for one in _options(own, root))
        for option in options
    )


def _takes_null(option: Schema) -> bool:
    """Whether null is a value of an option, and stands for itself."""
    allowed = option.get("enum", [option["const"]] if "const" in option else [None])
    return DECIMAL not in option and None in allowed and (not types(option) or "null" in types(option))
