"""The structured answer: a pydantic model with 50 fields, and a value of it."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, create_model

#: Ten fields of each kind.
KINDS: tuple[tuple[str, Any, Any], ...] = (
    ("title", str, "a line of text"),
    ("count", int, 12),
    ("ratio", float, 0.25),
    ("is_known", bool, True),
    ("tags", list[str], ["one", "two"]),
)

#: The provider's answer.
FORM: dict[str, Any] = {
    f"{name}_{number}": value for number in range(10) for name, _, value in KINDS
}

FIELDS: dict[str, Any] = {
    f"{name}_{number}": (kind, ...) for number in range(10) for name, kind, _ in KINDS
}

#: The type of FORM.
Form: type[BaseModel] = create_model("Form", **FIELDS)
