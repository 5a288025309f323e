"""A JSON Schema as a tree: the schemas in it, and where its references lead. Pure."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeGuard
from urllib.parse import unquote

Schema = dict[str, Any]

#: Where a schema holds other schemas: by name, in a list, or one. (Those of older drafts, too.)
BY_NAME = ("$defs", "definitions", "dependencies", "dependentSchemas", "patternProperties", "properties")
IN_LIST = ("allOf", "anyOf", "items", "oneOf", "prefixItems")
AS_ONE = (
    "additionalItems", "additionalProperties", "contains", "else", "if", "items", "not", "propertyNames", "then",
    "unevaluatedItems", "unevaluatedProperties",
)  # fmt: skip

#: What refers to other schemas in ways that no vendor takes.
OTHER_REFERENCES = ("$dynamicRef", "$recursiveRef")


def is_schema(value: Any) -> TypeGuard[Schema]:
    """Whether a schema is none of the two booleans, which are schemas as well."""
    return isinstance(value, dict)


def each(schema: Schema, change: Callable[[Schema], Schema]) -> Schema:
    """The schema with each of the schemas right inside it changed."""

    def changed(inner: Any) -> Any:
        return change(inner) if is_schema(inner) else inner

    made: Schema = {}
    for key, value in schema.items():
        if key in BY_NAME and isinstance(value, dict):
            made[key] = {name: changed(inner) for name, inner in value.items()}
        elif key in IN_LIST and isinstance(value, list):
            made[key] = [changed(inner) for inner in value]
        else:
            made[key] = changed(value) if key in AS_ONE else value
    return made


def inside(schema: Schema) -> list[Schema]:
    """The schemas right inside a schema."""
    found: list[Schema] = []

    def note(inner: Schema) -> Schema:
        found.append(inner)
        return inner

    each(schema, note)
    return found


def types(schema: Schema) -> list[str]:
    """The types that a schema names."""
    named = schema.get("type", [])
    return named if isinstance(named, list) else [named]


def property_names(schema: Schema) -> set[str]:
    """The names of all properties anywhere in a schema."""
    return set(schema.get("properties", ())).union(*map(property_names, inside(schema)))


def resolve(reference: str, root: Schema) -> Schema:
    """What a reference such as ``#/$defs/City`` refers to (RFC 6901).

    Raises:
        ValueError: it leads out of the schema, or nowhere, or to what is no schema.
    """
    found: Any = root if reference == "#" or reference.startswith("#/") else None
    try:
        for step in reference.split("/")[1:]:
            name = unquote(step).replace("~1", "/").replace("~0", "~")
            found = found[int(name)] if isinstance(found, list) else found[name]
    except (KeyError, IndexError, TypeError, ValueError):
        found = None
    if isinstance(found, bool):
        found = {} if found else {"not": {}}
    if not is_schema(found):
        raise ValueError(f"the reference {reference!r} leads nowhere; expected one such as '#/$defs/Name'")
    return found


def resolved(schema: Schema, root: Schema) -> Schema:
    """A schema whose own reference is replaced by what it refers to; what stands beside the reference counts more."""
    while "$ref" in schema:
        beside = {key: value for key, value in schema.items() if key != "$ref"}
        schema = {**resolve(schema["$ref"], root), **beside}
    return schema


def check_references(schema: Schema) -> None:
    """See that every reference leads somewhere, and none back to itself without a step into the answer.

    Raises:
        ValueError: one does not.
    """
    ends: set[int] = set()  # what was followed already

    def follow(node: Schema, above: tuple[int, ...]) -> None:
        if id(node) in above:
            raise ValueError("a schema refers to itself without an object or a list between")
        if id(node) in ends:
            return
        above = (*above, id(node))
        if "$ref" in node:
            follow(resolve(node["$ref"], schema), above)
        for key in ("allOf", "anyOf", "oneOf"):
            for inner in filter(is_schema, node.get(key, ())):
                follow(inner, above)
        ends.add(id(node))

    def check(node: Schema) -> None:
        if node.keys() & set(OTHER_REFERENCES) or ("$id" in node and node is not schema):
            raise ValueError(f"{', '.join(OTHER_REFERENCES)}, and $id inside a schema, reach no vendor; use $ref")
        follow(node, ())
        for inner in inside(node):
            check(inner)

    check(schema)
