"""Tables show every cell, aligned or escaped."""

from __future__ import annotations

from majordomo_cascade.tables import html_table, text_table


def test_the_columns_of_a_text_table_are_aligned() -> None:
    table = text_table(("target", "state"), [("openai/gpt-5.5", "open"), ("x", 3)])
    assert table.splitlines() == [
        "target          state",
        "openai/gpt-5.5  open",
        "x               3",
    ]


def test_a_table_without_rows_shows_its_columns() -> None:
    assert text_table(("target", "state"), []) == "target  state"
    assert "<tbody></tbody>" in html_table(("target", "state"), [])


def test_the_cells_of_an_html_table_are_escaped() -> None:
    table = html_table(("<target>",), [("<script>alert('&')</script>",)])
    assert "&lt;script&gt;alert(&#x27;&amp;&#x27;)&lt;/script&gt;" in table
    assert "<script" not in table
    assert "&lt;target&gt;" in table
