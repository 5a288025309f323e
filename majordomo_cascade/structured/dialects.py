"""Make a JSON Schema, as pydantic writes it, fit for a vendor.

Each vendor refuses another part of JSON Schema, so only its structure is sent. Bounds, patterns and
defaults are said in the description: the model reads them, pydantic checks them.

Sources: https://platform.openai.com/docs/guides/structured-outputs#supported-schemas,
https://platform.claude.com/docs/en/build-with-claude/structured-outputs#json-schema-limitations,
https://ai.google.dev/gemini-api/docs/structured-output#json_schema_support
"""

import json
from typing import Any

from pydantic import TypeAdapter

from ..options import Dialect

Schema = dict[str, Any]

#: The field around a value that is no object.
WRAPPER = "value"
#: The most schemas that are sent without references.
MAX_INLINED = 2_000
#: All other references are URLs.
DEFINITIONS = "#/$defs/"

#: Keywords that are sent. Others are said in the description.
STRUCTURE = (
    "$defs", "$ref", "additionalProperties", "allOf", "anyOf", "description", "enum", "items",
    "prefixItems", "properties", "required", "title", "type",
)  # fmt: skip

#: Keywords that may hold schemas.
NESTED = {*STRUCTURE, "contentSchema", "oneOf"} - {"enum"}

#: Keywords that mean nothing to a model.
UNSAID = ("$comment", "$id", "$schema", "discriminator")

#: Formats that OpenAI's and Anthropic's decoders know.
FORMATS = ("date", "date-time", "duration", "email", "hostname", "ipv4", "ipv6", "time", "uuid")


def with_object_root(schema: Schema) -> tuple[Schema, bool]:
    """Return a schema with an object at its root, as vendors want; True if it was wrapped."""
    resolved = _resolve(schema, schema)
    if resolved.get("type") == "object":
        return resolved, False
    body = dict(schema)
    root: Schema = {"$defs": body.pop("$defs")} if "$defs" in body else {}
    return {**root, "type": "object", "properties": {WRAPPER: body}, "required": [WRAPPER]}, True


def response_format(name: str, schema: Schema, dialect: Dialect) -> dict[str, Any] | None:
    """Return OpenAI's parameter that asks for a schema; None if the dialect cannot say it."""
    converter = _Converter(schema, dialect)
    is_strict = dialect == "strict"
    named = {"name": name, "schema": converter.convert(schema), "strict": is_strict}
    if converter.fits:
        return {"type": "json_schema", "json_schema": named}
    return response_format(name, schema, "plain") if is_strict else None


class _Converter:
    """Convert a schema, and all inside it, to a dialect.

    For Claude, LiteLLM 1.83.0 to 1.110.2 closes open objects, moves tuples into words, and fails
    over a property named ``$ref`` (llms/anthropic/chat/transformation.py).
    """

    def __init__(self, root: Schema, dialect: Dialect) -> None:
        self.root = root
        self.dialect = dialect
        self.fits = True  # the dialect can say all of it
        self.count = 0
        self.followed: list[str] = []

    def convert(self, schema: Any) -> Any:
        if isinstance(schema, list):
            return [self.convert(each) for each in schema]
        if not isinstance(schema, dict):  # True is a schema, too
            return schema
        self.count += 1
        self.fits &= schema.get("$ref", DEFINITIONS).startswith(DEFINITIONS)
        if self.dialect == "inlined" and "$ref" in schema:
            return self.inline(schema)
        node = self.describe(schema)
        if node.get("enum") and "type" not in node:
            kinds = dict.fromkeys(map(type, node["enum"]))
            names = [TypeAdapter(kind).json_schema()["type"] for kind in kinds]
            node["type"] = names[0] if len(names) == 1 else names
        if "$ref" in node and len(node) > 1:  # OpenAI allows a description beside anyOf only
            node["anyOf"] = [{"$ref": node.pop("$ref")}]
        self.fits &= self.can_say(node)
        if self.dialect == "strict" and "properties" in node:
            node["required"] = list(node["properties"])
            node["additionalProperties"] = False
        return node

    def inline(self, schema: Schema) -> Any:
        reference = schema["$ref"]
        if reference in self.followed or self.count > MAX_INLINED:
            self.fits = False
            return None
        self.followed.append(reference)
        node = self.convert(_resolve(schema, self.root))
        self.followed.pop()
        return node

    def describe(self, schema: Schema) -> Schema:
        node: Schema = {}
        words = []
        for key, given in schema.items():
            if key == "$defs" and self.dialect == "inlined":
                continue
            value = self.convert_value(key, given)
            if key == "const":
                node["enum"] = [value]
            elif key == "oneOf":  # fewer vendors know it
                node["anyOf"] = value
            elif key in STRUCTURE or (key == "format" and value in FORMATS):
                node[key] = value
            elif key not in UNSAID and (key, value) != ("default", None):
                said = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
                words.append(f"{key}: {said}")
        if words:
            node["description"] = f"{node.get('description', '')} ({'; '.join(words)})".lstrip()
        return node

    def convert_value(self, key: str, value: Any) -> Any:
        if key in ("$defs", "properties"):
            return {name: self.convert(each) for name, each in value.items()}
        return self.convert(value) if key in NESTED else value

    def can_say(self, node: Schema) -> bool:
        if self.dialect == "plain":
            return True
        kinds = node.get("type", ())  # a name, or a list of names
        is_closed = "properties" in node and node.get("additionalProperties", False) is False
        if "prefixItems" in node or ("object" in kinds and not is_closed):
            return False
        if self.dialect == "inlined":
            return "$ref" not in node.get("properties", ())
        is_loose_list = "array" in kinds and not isinstance(node.get("items"), dict)
        is_anything = node.keys().isdisjoint(("$ref", "anyOf", "type"))
        return not (is_anything or is_loose_list or "allOf" in node)


def _resolve(schema: Schema, root: Schema) -> Schema:
    """Replace a schema's own reference by the definition."""
    beside = dict(schema)
    name = beside.pop("$ref", "").removeprefix(DEFINITIONS)
    return {**root.get("$defs", {}).get(name, {}), **beside}
