"""References inside a JSON Schema: what they lead to, and which are refused."""

from __future__ import annotations

import re
from typing import Any

import pytest

from majordomo_cascade.schemas import check_references, resolve

ROOT: dict[str, Any] = {
    "$defs": {"a/b": {"type": "string"}, "a~b": {"type": "null"}, "all": True, "none": False, "number": 5},
    "anyOf": [{"type": "integer"}, {"type": "boolean"}],
}


@pytest.mark.parametrize(
    ("reference", "expected"),
    [
        ("#", ROOT),
        ("#/$defs/a~1b", {"type": "string"}),
        ("#/$defs/a~0b", {"type": "null"}),
        ("#/$defs/a%7E0b", {"type": "null"}),
        ("#/$defs/all", {}),
        ("#/$defs/none", {"not": {}}),
        ("#/anyOf/1", {"type": "boolean"}),
    ],
)
def test_what_a_reference_leads_to(reference: str, expected: Any) -> None:
    assert resolve(reference, ROOT) == expected


@pytest.mark.parametrize(
    "reference", ["#/$defs/c", "#/$defs/number", "#/anyOf/2", "#/anyOf/x", "#anchor", "other.json"]
)
def test_a_reference_that_leads_nowhere(reference: str) -> None:
    expected = f"the reference {reference!r} leads nowhere; expected one such as '#/$defs/Name'"
    with pytest.raises(ValueError, match=f"^{re.escape(expected)}$"):
        resolve(reference, ROOT)


@pytest.mark.parametrize("key", ["allOf", "anyOf", "oneOf"])
def test_a_schema_that_comes_back_to_itself_without_a_step(key: str) -> None:
    with pytest.raises(ValueError, match=r"^a schema refers to itself without an object or a list between$"):
        check_references({key: [{"$ref": "#"}]})
    check_references({key: [{"type": "object", "properties": {"inner": {"$ref": "#"}}}]})


@pytest.mark.parametrize("node", [{"$dynamicRef": "#a"}, {"$recursiveRef": "#"}, {"$id": "https://host/schema"}])
def test_a_reference_of_another_kind(node: Any) -> None:
    complaint = r"^\$dynamicRef, \$recursiveRef, and \$id inside a schema, reach no vendor; use \$ref$"
    with pytest.raises(ValueError, match=complaint):
        check_references({"type": "object", "properties": {"a": node}})
