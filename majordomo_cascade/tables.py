"""Tables, for terminals and for notebooks."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

Rows = Sequence[Sequence[object]]

#: No colour is set, so that a table is legible on light and on dark pages.
_CELL = "text-align: left; vertical-align: top; overflow-wrap: anywhere"


def text_table(columns: Sequence[str], rows: Rows) -> str:
    """Return a table as lines of text, its columns aligned to the left."""
    cells = [[str(cell) for cell in row] for row in (columns, *rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        for row in cells
    ]
    return "\n".join(line.rstrip() for line in lines)


def html_table(columns: Sequence[str], rows: Rows) -> str:
    """Return a table as HTML, its cells escaped."""
    head = "".join(f"<th style='{_CELL}'>{escape(each)}</th>" for each in columns)
    body = "".join(f"<tr>{''.join(map(_cell, row))}</tr>" for row in rows)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _cell(value: object) -> str:
    return f"<td style='{_CELL}'>{escape(str(value))}</td>"
