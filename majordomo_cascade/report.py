"""Reports: tables with sentences below them, and the same as JSON."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from datetime import date
from html import escape
from typing import Any

from .errors import MajordomoError
from .tables import html_table, text_table

#: Fields of a row that the table leaves to the target's name and to the sentences.
NOT_SHOWN = ("provider", "model", "error")


class Report:
    """A base for dataclasses whose ``rows`` are dataclasses."""

    __slots__ = ()
    rows: Any  # a tuple

    def _sentences(self) -> Sequence[str]:
        """Return what is said below the table."""
        raise NotImplementedError

    def _table(self) -> tuple[list[str], list[list[str]]]:
        columns = [each.name for each in fields(self.rows[0]) if each.name not in NOT_SHOWN]
        rows = [[_shown(getattr(row, column)) for column in columns] for row in self.rows]
        return [column.replace("_", " ") for column in columns], rows

    def __str__(self) -> str:
        return "\n- ".join([text_table(*self._table()), *self._sentences()])

    def _repr_html_(self) -> str:
        sentences = "".join(f"<li>{escape(each)}</li>" for each in self._sentences())
        return f"{html_table(*self._table())}<ul>{sentences}</ul>"

    def to_dict(self) -> dict[str, Any]:
        """Return all fields as ``json.dumps`` takes them; of an error its type and message."""
        told: dict[str, Any] = _plain(self)
        return told


def message_of(error: Exception) -> str:
    """Return our error's message. A foreign one's may hold anything, keys as well."""
    return error.message if isinstance(error, MajordomoError) else "see the row's error"


def _plain(value: Any) -> Any:
    if isinstance(value, Exception):
        return {"type": type(value).__name__, "message": message_of(value)}
    if isinstance(value, tuple):
        return [_plain(each) for each in value]
    if hasattr(value, "__dataclass_fields__"):
        return {each.name: _plain(getattr(value, each.name)) for each in fields(value)}
    return str(value) if isinstance(value, date) else value


def _shown(value: object) -> str:
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:,.6f}".rstrip("0").rstrip(".")
    return f"{value:,}" if isinstance(value, int) else str(value)
