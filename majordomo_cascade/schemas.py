"""What of a JSON Schema goes on the wire, and how an answer is led back to what the schema meant. Pure.

A vendor takes a part of JSON Schema, each another part, and refuses the request over the rest. So the structure is sent
(objects, lists, unions, enums, references), and what only narrows it down (bounds, patterns, defaults) is said in the
description: the model still reads it, and the answer is checked against the whole schema here.

Sources: https://platform.openai.com/docs/guides/structured-outputs#supported-schemas,
https://platform.claude.com/docs/en/build-with-claude/structured-outputs#json-schema-limitations,
https://ai.google.dev/gemini-api/docs/structured-output#json_schema_support.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import unquote

from .parsing import Number

Schema = dict[str, Any]

#: The field that carries what is not an object by itself, such as ``list[Item]``: vendors want one at the root.
WRAPPER = "value"

#: A keyword of our own that marks a number that is a ``Decimal`` to pydantic (see ``fit``); it is never sent.
DECIMAL = "x-majordomo-decimal"

#: Keywords that are sent as they are. All others but UNSAID are said in the description.
STRUCTURE = (
    "$defs", "$ref", "additionalProperties", "allOf", "anyOf", "definitions", "description", "enum", "items", "oneOf",
    "prefixItems", "properties", "required", "title", "type",
)  # fmt: skip
UNSAID = ("$comment", "$id", "$schema", "discriminator")

#: The formats that OpenAI's and Anthropic's decoders both know.
FORMATS = ("date", "date-time", "duration", "email", "hostname", "ipv4", "ipv6", "time", "uuid")

#: Where a schema holds other schemas: by name, in a list, or one.
BY_NAME = ("$defs", "definitions", "dependencies", "dependentSchemas", "patternProperties", "properties")
IN_LIST = ("allOf", "anyOf", "oneOf", "prefixItems")
AS_ONE = (
    "additionalItems", "additionalProperties", "contains", "else", "if", "items", "not", "propertyNames", "then",
    "unevaluatedItems", "unevaluatedProperties",
)  # fmt: skip

#: A schema that is longer than this without its references (in sub-schemas) is sent in words.
LONGEST_INLINED = 2_000


class NotStrictError(Exception):
    """OpenAI's strict mode has no way to say this schema."""


class EndlessError(Exception):
    """A schema can't do without references: it is recursive, or would become too long."""


def rooted(schema: Schema) -> tuple[Schema, bool]:
    """The schema with an object at its root, as all vendors want it, and whether it had to be wrapped."""
    root = schema
    while "$ref" in root:
        root = {**resolve(root["$ref"], schema), **{key: value for key, value in root.items() if key != "$ref"}}
    if root.get("type") == "object":
        return root, False
    inner = _moved({key: value for key, value in schema.items() if key != "$defs"})
    wrapped = {"type": "object", "properties": {WRAPPER: inner}, "required": [WRAPPER]}
    return {**wrapped, **({"$defs": _moved_all(schema["$defs"])} if "$defs" in schema else {})}, True


def for_wire(schema: Schema, *, strict: bool) -> Schema:
    """What is sent of a schema: its structure, and the rest in words.

    ``strict`` is for OpenAI's strict mode: every object closed, every property required, the optional ones nullable.

    Raises:
        NotStrictError: strict mode has no way to say it: an open object, a tuple, anything at all.
    """
    while len(schema.get("allOf", ())) == 1 and isinstance(schema["allOf"][0], dict):
        schema = {**schema["allOf"][0], **{key: value for key, value in schema.items() if key != "allOf"}}
    node: Schema = {}
    told = []
    for name, value in _each(schema, lambda inner: for_wire(inner, strict=strict)).items():
        key, sent = _by_todays_name(name, value, schema)
        if key in STRUCTURE or (key == "format" and sent in FORMATS):
            node[key] = sent
        elif key not in UNSAID and (key, sent) != ("default", None):
            told.append(f"{key}: {sent if isinstance(sent, str) else json.dumps(sent, ensure_ascii=False)}")
    if told:
        node["description"] = f"{node.get('description', '')} ({'; '.join(told)})".lstrip()
    if "enum" in node and "type" not in node:
        node["type"] = _types_of(node["enum"])
    if "$ref" in node and node.keys() & {"description", "title"}:  # OpenAI allows no siblings of $ref, but of anyOf
        node["anyOf"] = [{"$ref": node.pop("$ref")}]
    return _strictly(node) if strict else node


def _by_todays_name(key: str, value: Any, schema: Schema) -> tuple[str, Any]:
    """A keyword and its value as more vendors know them."""
    if key == "oneOf" and "anyOf" not in schema:
        return "anyOf", value
    if key == "items" and isinstance(value, list):  # before draft 2020-12
        return "prefixItems", value
    return ("enum", [value]) if key == "const" else (key, value)


def inlined(schema: Schema) -> Schema:
    """The schema with each reference replaced by what it refers to.

    Raises:
        EndlessError: it is recursive, or becomes too long.
    """
    count = 0

    def inline(node: Schema, above: tuple[str, ...]) -> Schema:
        nonlocal count
        count += 1
        while "$ref" in node:
            if node["$ref"] in above or count > LONGEST_INLINED:
                raise EndlessError
            above = (*above, node["$ref"])
            node = {**resolve(node["$ref"], schema), **{key: value for key, value in node.items() if key != "$ref"}}
        return _each(node, lambda inner: inline(inner, above))

    return inline({key: value for key, value in schema.items() if key not in ("$defs", "definitions")}, ())


def is_bent_for_claude(schema: Schema) -> bool:
    """Whether LiteLLM would change what a schema without references means on its way to Claude.

    It closes every object, which leaves a ``dict[str, X]`` empty; it moves tuples into words; and where it uses a tool
    for the answer, it takes a field ``values`` for all of it (llms/anthropic/chat/transformation.py).
    """

    def bends(node: Schema) -> bool:
        is_open = node.get("type") == "object" and (node.get("additionalProperties") or "properties" not in node)
        return bool(is_open or "prefixItems" in node or any(map(bends, _inner(node))))

    return "values" in schema.get("properties", ()) or bends(schema)


def resolve(reference: str, root: Schema) -> Schema:
    """What a reference such as ``#/$defs/City`` refers to (RFC 6901).

    Raises:
        ValueError: it leads out of the schema, or nowhere.
    """
    found: Any = root
    try:
        if not reference.startswith("#"):
            raise KeyError
        for step in reference.split("/")[1:]:
            name = unquote(step).replace("~1", "/").replace("~0", "~")
            found = found[int(name)] if isinstance(found, list) else found[name]
        if reference != "#" and not reference.startswith("#/"):
            raise KeyError
    except (KeyError, IndexError, TypeError, ValueError):
        raise ValueError(f"the reference {reference!r} leads nowhere; expected one such as '#/$defs/Name'") from None
    if not isinstance(found, dict):
        return {} if found is True else {"not": {}}
    return found


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
            for inner in filter(_is_schema, node.get(key, ())):
                follow(inner, above)
        ends.add(id(node))

    def check(node: Schema) -> None:
        if node.keys() & {"$dynamicRef", "$recursiveRef"} or ("$id" in node and node is not schema):
            raise ValueError(
                "$dynamicRef, $recursiveRef, and $id inside a schema can't be sent to any vendor; use $ref"
            )
        follow(node, ())
        for inner in _inner(node):
            check(inner)

    check(schema)


def fit(value: Any, schema: Schema, *, drop_nulls: bool) -> Any:
    """A value as ``load_exactly`` gave it, made to fit the schema that it was asked for by.

    A number that is a Decimal to pydantic becomes a string of its digits: it reads a JSON number as a float first.
    With ``drop_nulls``, a null that can only stand for a default is left out: strict mode, where every property is
    required, asks for it. Where several schemas may be meant, it happens if all of them agree.
    """

    def fitted(value: Any, schemas: list[Schema]) -> Any:
        options = [option for each in schemas for option in _options(each, schema)]
        if not options:
            return value
        if isinstance(value, Number):
            takers = [option for option in options if _takes(option, "number") or _takes(option, "string")]
            return str(value) if takers and all(DECIMAL in option for option in takers) else value
        if isinstance(value, list):
            return [fitted(item, list(_items(options, index))) for index, item in enumerate(value)]
        if not isinstance(value, dict):
            return value
        options = [option for option in options if _matches(option, value)]
        return {
            key: fitted(item, list(_properties(options, key)))
            for key, item in value.items()
            if not (drop_nulls and item is None and _is_default(options, key, schema))
        }

    return fitted(value, [schema])


def has_decimals(schema: Any) -> bool:
    """Whether there is a Decimal anywhere in a schema."""
    return DECIMAL in schema or any(map(has_decimals, _inner(schema)))


def unmarked(schema: Schema) -> Schema:
    """The schema without our own marks."""
    return {key: value for key, value in _each(schema, unmarked).items() if key != DECIMAL}


def property_names(schema: Schema) -> set[str]:
    """The names of all properties anywhere in a schema."""
    return set(schema.get("properties", ())).union(*map(property_names, _inner(schema)))


def is_portable(schema: Schema) -> bool:
    """Whether all references survive ``for_wire``: those to definitions and to the root do."""
    is_safe = re.fullmatch(r"#(/(\$defs|definitions)/[^/]+)?", schema.get("$ref", "#"))
    return is_safe is not None and all(map(is_portable, _inner(schema)))


def _is_schema(value: Any) -> bool:
    """Whether a sub-schema is no boolean (which are schemas, too)."""
    return isinstance(value, dict)


def _each(schema: Schema, change: Callable[[Schema], Schema]) -> Schema:
    """The schema with each of the schemas right inside it changed."""

    def changed(inner: Any) -> Any:
        return change(inner) if _is_schema(inner) else inner

    made: Schema = {}
    for key, value in schema.items():
        if key in BY_NAME and isinstance(value, dict):
            made[key] = {name: changed(inner) for name, inner in value.items()}
        elif key in (*IN_LIST, "items") and isinstance(value, list):
            made[key] = [changed(inner) for inner in value]
        else:
            made[key] = changed(value) if key in AS_ONE else value
    return made


def _inner(schema: Schema) -> list[Schema]:
    """The schemas right inside a schema."""
    found: list[Schema] = []

    def note(inner: Schema) -> Schema:
        found.append(inner)
        return inner

    _each(schema, note)
    return found


def _moved(schema: Schema) -> Schema:
    """A schema that is wrapped, its references to its own root corrected."""
    moved = _each(schema, _moved)
    if str(moved.get("$ref", "#/$defs/")).startswith("#/$defs/"):
        return moved
    return {**moved, "$ref": f"#/properties/{WRAPPER}{moved['$ref'][1:]}"}


def _moved_all(schemas: dict[str, Any]) -> dict[str, Any]:
    return {name: _moved(schema) if _is_schema(schema) else schema for name, schema in schemas.items()}


def _types(schema: Schema) -> list[str]:
    """The types that a schema names."""
    types = schema.get("type", [])
    return types if isinstance(types, list) else [types]


def _types_of(values: list[Any]) -> str | list[str]:
    """The types of an enum's values."""
    kinds: dict[type, str] = {bool: "boolean", int: "integer", float: "number", str: "string", type(None): "null"}
    kinds |= {dict: "object", list: "array"}
    types = list(dict.fromkeys(kinds[type(value)] for value in values))
    return types if len(types) != 1 else types[0]


def _strictly(node: Schema) -> Schema:
    """A node for strict mode.

    Raises:
        NotStrictError: there is no way.
    """
    types = _types(node)
    if not (types or "anyOf" in node or "$ref" in node) or node.keys() & {"allOf", "oneOf", "prefixItems"}:
        raise NotStrictError
    if "$ref" in node and node.keys() - {"$ref", "$defs", "definitions"}:
        raise NotStrictError
    if not all(map(_is_schema, node.get("anyOf", ()))) or ("array" in types and not _is_schema(node.get("items"))):
        raise NotStrictError
    if "object" not in types:
        return node
    properties = node.get("properties")
    if properties is None or node.get("additionalProperties", False) is not False:
        raise NotStrictError
    if not all(map(_is_schema, properties.values())):
        raise NotStrictError
    required = node.get("required", ())
    properties = {name: each if name in required else _or_null(each) for name, each in properties.items()}
    return {**node, "properties": properties, "required": list(properties), "additionalProperties": False}


def _or_null(node: Schema) -> Schema:
    """A schema that takes null as well."""
    if _takes_null(node):
        return node
    if "anyOf" in node:
        return {**node, "anyOf": [*node["anyOf"], {"type": "null"}]}
    return {"anyOf": [node, {"type": "null"}]}


def _takes_null(node: Schema) -> bool:
    return "null" in _types(node) or any(map(_takes_null, filter(_is_schema, node.get("anyOf", ()))))


def _options(schema: Any, root: Schema) -> Iterator[Schema]:
    """The schemas of which one is meant: what a union or a reference comes to."""
    if not _is_schema(schema):
        return
    if "$ref" in schema:
        yield from _options(resolve(schema["$ref"], root), root)
    elif DECIMAL not in schema and ("anyOf" in schema or "oneOf" in schema):
        for inner in (*schema.get("anyOf", ()), *schema.get("oneOf", ())):
            yield from _options(inner, root)
    else:
        yield schema


def _takes(option: Schema, kind: str) -> bool:
    """Whether an option may be meant by a value of this type."""
    if DECIMAL in option:
        return kind in ("number", "string")
    types = _types(option)
    return not types or kind in types


def _matches(option: Schema, value: dict[str, Any]) -> bool:
    """Whether an object may be meant by an option: it has what that requires, and its tags are that one's."""
    properties = option.get("properties", {})
    tags = ((name, each["const"]) for name, each in properties.items() if _is_schema(each) and "const" in each)
    return (
        _takes(option, "object")
        and value.keys() >= set(option.get("required", ()))
        and all(value.get(name, tag) == tag for name, tag in tags)
    )


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
    if value is True or _is_schema(value):
        yield {} if value is True else value


def _is_default(options: list[Schema], key: str, root: Schema) -> bool:
    """Whether a null there can only stand for a default."""
    return bool(options) and all(
        key in option.get("properties", {})
        and key not in option.get("required", ())
        and not any(_takes(each, "null") for each in _options(option["properties"][key], root))
        for option in options
    )
