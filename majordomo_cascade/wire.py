"""What of a JSON Schema goes on the wire. Pure.

A vendor takes a part of JSON Schema, each another part, and refuses the request over the rest. So the structure is sent
(objects, lists, unions, enums, references), and what only narrows it down (bounds, patterns, defaults) is said in the
description: the model still reads it, and the answer is checked against the whole schema here.

Sources: https://platform.openai.com/docs/guides/structured-outputs#supported-schemas,
https://platform.claude.com/docs/en/build-with-claude/structured-outputs#json-schema-limitations,
https://ai.google.dev/gemini-api/docs/structured-output#json_schema_support. The openai package's own
``to_strict_json_schema`` keeps defaults, ``oneOf`` and open objects, which its API refuses, and has no end for some
recursive types.
"""

from __future__ import annotations

import json
import re
from typing import Any

from .schemas import Schema, each, inside, is_schema, resolve, resolved, types

#: The field that carries what is not an object by itself, such as ``list[Item]``: vendors want one at the root.
WRAPPER = "value"

#: Keywords that are sent as they are. All others but UNSAID are said in the description.
STRUCTURE = (
    "$defs", "$ref", "additionalProperties", "allOf", "anyOf", "description", "enum", "items", "oneOf", "prefixItems",
    "properties", "required", "title", "type",
)  # fmt: skip
UNSAID = ("$comment", "$id", "$schema", "discriminator")

#: The formats that OpenAI's and Anthropic's decoders both know.
FORMATS = ("date", "date-time", "duration", "email", "hostname", "ipv4", "ipv6", "time", "uuid")

#: What an object that is closed, with all of its properties required, could not keep to.
AGAINST_STRICT = (
    "dependencies", "dependentRequired", "dependentSchemas", "if", "maxProperties", "not", "patternProperties",
    "propertyNames", "unevaluatedProperties",
)  # fmt: skip

#: A schema that is longer than this without its references (in sub-schemas) is sent in words.
LONGEST_INLINED = 2_000

JSON_TYPES: dict[type, str] = {
    bool: "boolean", dict: "object", float: "number", int: "integer", list: "array", str: "string", type(None): "null",
}  # fmt: skip


class NotStrictError(Exception):
    """OpenAI's strict mode has no way to say this schema."""


class EndlessError(Exception):
    """A schema can't do without references: it is recursive, or would become too long."""


def rooted(schema: Schema) -> tuple[Schema, bool]:
    """The schema with an object at its root, and its definitions there in ``$defs``; and whether it had to be wrapped.

    All vendors want an object there, and OpenAI's references lead to definitions only.
    """
    root = resolved(schema, schema)
    defs = {**schema.get("definitions", {}), **schema.get("$defs", {})}
    body = {key: value for key, value in root.items() if key not in ("$defs", "definitions")}
    is_wrapped = root.get("type") != "object"
    if is_wrapped and not _refers_to_root(schema):
        body = {"type": "object", "properties": {WRAPPER: _redirected(body, f"#/properties/{WRAPPER}")}}
    elif is_wrapped:
        name = next(name for name in (WRAPPER, *map(str, range(len(defs) + 1))) if name not in defs)
        defs = {key: _redirected(value, f"#/$defs/{name}") for key, value in {**defs, name: body}.items()}
        body = {"type": "object", "properties": {WRAPPER: {"$ref": f"#/$defs/{name}"}}}
    if is_wrapped:
        body["required"] = [WRAPPER]
    made = {**body, "$defs": defs} if defs else body
    return _redirected(made, "#"), is_wrapped


def is_portable(schema: Schema) -> bool:
    """Whether all references survive ``rooted`` and ``for_wire``: those to definitions and to the root do."""
    is_safe = re.fullmatch(r"#(/(\$defs|definitions)/[^/]+)?", schema.get("$ref", "#"))
    return is_safe is not None and all(map(is_portable, inside(schema)))


def for_wire(schema: Schema, *, strict: bool) -> Schema:
    """What is sent of a schema: its structure, and the rest in words.

    ``strict`` is for OpenAI's strict mode: every object closed, every property required, the optional ones nullable.

    Raises:
        NotStrictError: strict mode has no way to say it: an open object, a tuple, anything at all.
    """
    if strict and schema.keys() & set(AGAINST_STRICT):
        raise NotStrictError
    while len(schema.get("allOf", ())) == 1 and is_schema(schema["allOf"][0]):
        schema = {**schema["allOf"][0], **{key: value for key, value in schema.items() if key != "allOf"}}
    node: Schema = {}
    told = []
    for name, value in each(schema, lambda inner: for_wire(inner, strict=strict)).items():
        key, sent = _by_todays_name(name, value, schema)
        if key in STRUCTURE or (key == "format" and sent in FORMATS):
            node[key] = sent
        elif key not in UNSAID and (key, sent) != ("default", None):
            told.append(f"{key}: {sent if isinstance(sent, str) else json.dumps(sent, ensure_ascii=False)}")
    if told:
        node["description"] = f"{node.get('description', '')} ({'; '.join(told)})".lstrip()
    if node.get("enum") and "type" not in node:
        named = list(dict.fromkeys(JSON_TYPES[type(value)] for value in node["enum"]))
        node["type"] = named[0] if len(named) == 1 else named
    if "$ref" in node and node.keys() & {"description", "title"}:  # OpenAI allows no siblings of $ref, but of anyOf
        node["anyOf"] = [{"$ref": node.pop("$ref")}]
    return _strictly(node) if strict else node


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
            beside = {key: value for key, value in node.items() if key != "$ref"}
            node = {**resolve(node["$ref"], schema), **beside}
        return each({key: value for key, value in node.items() if key != "$defs"}, lambda inner: inline(inner, above))

    return inline(schema, ())


def is_bent_for_claude(schema: Schema) -> bool:
    """Whether LiteLLM would change what a schema without references means on its way to Claude, or break on it.

    It closes every object, which leaves a ``dict[str, X]`` empty; it moves tuples into words; it takes a property
    ``$ref`` for a reference; and where it uses a tool for the answer, it takes a field ``values`` for all of it
    (llms/anthropic/chat/transformation.py).
    """

    def bends(node: Schema) -> bool:
        properties = node.get("properties", ())
        is_open = node.get("additionalProperties", False) is not False or "properties" not in node
        bent = ("object" in types(node) and is_open) or "prefixItems" in node or "$ref" in properties
        return bent or any(map(bends, inside(node)))

    return "values" in schema.get("properties", ()) or bends(schema)


def _redirected(schema: Schema, base: str) -> Schema:
    """A schema whose root is found at ``base`` now, and its definitions in ``#/$defs``."""
    if not is_schema(schema):
        return schema
    moved = each(schema, lambda inner: _redirected(inner, base))
    if isinstance(reference := moved.get("$ref"), str):
        reference = re.sub("^#/definitions/", "#/$defs/", reference)
        moved["$ref"] = reference if reference.startswith("#/$defs/") else f"{base}{reference[1:]}"
    return moved


def _refers_to_root(schema: Schema) -> bool:
    """Whether a schema is recursive by way of its root."""
    return schema.get("$ref") == "#" or any(map(_refers_to_root, inside(schema)))


def _by_todays_name(key: str, value: Any, schema: Schema) -> tuple[str, Any]:
    """A keyword and its value as more vendors know them."""
    if key == "oneOf" and "anyOf" not in schema:
        return "anyOf", value
    if key == "items" and isinstance(value, list):  # before draft 2020-12
        return "prefixItems", value
    return ("enum", [value]) if key == "const" else (key, value)


def _strictly(node: Schema) -> Schema:
    """A node for strict mode.

    Raises:
        NotStrictError: there is no way.
    """
    properties, required = node.get("properties", {}), node.get("required", ())
    is_object, is_list = "object" in types(node), "array" in types(node)
    is_anything = not node.keys() & {"$ref", "anyOf", "type"}
    is_several_at_once = bool(node.keys() & {"allOf", "oneOf", "prefixItems"}) or ("anyOf" in node and is_object)
    is_mixed = "$ref" in node and bool(node.keys() - {"$ref", "$defs"})
    is_open = is_object and ("properties" not in node or node.get("additionalProperties", False) is not False)
    is_loose = is_list and not is_schema(node.get("items"))
    others = (*node.get("anyOf", ()), *properties.values(), *node.get("$defs", {}).values())
    has_booleans = not all(map(is_schema, others))
    is_impossible = not set(required) <= set(properties)
    if is_anything or is_several_at_once or is_mixed or is_open or is_loose or has_booleans or is_impossible:
        raise NotStrictError
    if not is_object:
        return node
    nullable = {name: inner if name in required else _or_null(inner) for name, inner in properties.items()}
    return {**node, "properties": nullable, "required": list(nullable), "additionalProperties": False}


def _or_null(node: Schema) -> Schema:
    """A schema that takes null as well."""
    if _takes_null(node):
        return node
    if "anyOf" in node:
        return {**node, "anyOf": [*node["anyOf"], {"type": "null"}]}
    return {"anyOf": [node, {"type": "null"}]}


def _takes_null(node: Schema) -> bool:
    return "null" in types(node) or any(map(_takes_null, node.get("anyOf", ())))
