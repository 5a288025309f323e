"""Tables, for terminals and for notebooks."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .responses import Attempt

Rows = Sequence[Sequence[object]]

#: No colour is set, so that a table is legible on light and on dark pages.
_CELL = "text-align: left; vertical-align: top; overflow-wrap: break-word"


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


def html_trail(attempts: Iterable[Attempt]) -> str:
    """Return attempts as a table in HTML."""
    columns = ("target", "attempt", "result", "seconds", "waited", "cost")
    return html_table(columns, [_told(each) for each in attempts])


def dollars(cost: float | None) -> str:
    """Return US dollars as text, all digits that count."""
    return "unknown" if cost is None else "$" + f"{cost:.9f}".rstrip("0").rstrip(".")


def _told(attempt: Attempt) -> tuple[str, ...]:
    return (
        attempt.target or f"{attempt.provider}/{attempt.model}",
        str(attempt.number),
        attempt.result,
        f"{attempt.seconds:.2f}",
        f"{attempt.waited:.2f}",
        "" if attempt.usage is None else dollars(attempt.cost),
    )


def _cell(value: object) -> str:
    return f"<td style='{_CELL}'>{escape(str(value))}</td>"
