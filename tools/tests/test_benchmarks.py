"""Tests of what ``make bench`` publishes, and of its arithmetic. Nothing is measured."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from benchmarks.figures import Figure, percentile, plain
from benchmarks.form import FORM, Form
from benchmarks.report import (
    GOALS,
    PAGE,
    RESULTS,
    Goal,
    block,
    check_goals,
    lay_out,
    number,
    rewrite,
    table,
)
from benchmarks.server import CHUNKS, DOWN, HEALTHY, LONG_STREAM, Provider


@pytest.fixture(scope="module")
def results() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(RESULTS.read_text())
    return found


def test_the_page_says_what_was_measured(results: dict[str, Any]) -> None:
    assert block(results) in PAGE.read_text()


def test_the_plot_is_small_and_its_text_is_text() -> None:
    picture = RESULTS.with_suffix(".svg").read_text()
    assert len(picture.encode()) < 100_000
    assert "The first call of an outage" in picture
    assert "majordomo_cascade" in picture


@pytest.mark.parametrize("suffix", [".json", ".svg"])
def test_what_is_published_names_no_paths(suffix: str) -> None:
    text = RESULTS.with_suffix(suffix).read_text()
    assert not re.search(r"/(home|root|tmp|work|Users)/", text)


def test_the_goals_are_published_as_they_were_reached(results: dict[str, Any]) -> None:
    assert check_goals(results) == results["goals"]
    assert len(GOALS) == 4


@pytest.mark.parametrize(
    ("sign", "figure", "is_met"),
    [
        ("<=", 39.9, True),
        ("<=", 40, True),
        ("<=", 40.1, False),
        (">=", 40, True),
        (">=", 39, False),
    ],
)
def test_a_goal_is_a_limit(sign: str, figure: float, *, is_met: bool) -> None:
    goal = Goal("own time", lambda results: float(results["own"]), sign, 40)
    assert goal.check({"own": figure}) == {
        "what": "own time",
        "figure": figure,
        "goal": f"{sign} 40",
        "met": is_met,
    }


def test_the_table_has_a_line_for_each_contender_and_each_goal(results: dict[str, Any]) -> None:
    lines = table(results).splitlines()
    assert max(map(len, lines)) <= 110
    for contender in results["contenders"].values():
        assert sum(line.startswith(contender["label"]) for line in lines) >= 6
    for goal in GOALS:
        assert any(line.startswith(goal.what) for line in lines)


def test_a_figure_is_a_median_with_its_quartiles() -> None:
    assert Figure.of(iter([5, 1, 3, 2, 4])) == Figure(3.0, 2.0, 4.0, 5)
    assert Figure.of([1 / 3]) == Figure(0.3333, 0.3333, 0.3333, 1)
    assert plain({1: [Figure.of([2])]}) == {
        "1": [{"median": 2.0, "lower": 2.0, "upper": 2.0, "n": 1}]
    }


def test_a_percentile_is_one_of_the_values() -> None:
    assert percentile(range(100), 0.5) == 50
    assert percentile(range(100), 0.99) == 99
    assert percentile([7], 0.99) == 7


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (5_250.4, "5,250"),
        (999.6, "1,000"),
        (123.4, "123"),
        (12.34, "12.3"),
        (1.234, "1.23"),
        (-0.056, "-0.06"),
    ],
)
def test_a_number_has_three_digits(value: float, text: str) -> None:
    assert number(value) == text


def test_columns_stand_under_their_headings() -> None:
    assert lay_out(["", "ms"], [["one", "1"], ["three", "10.5"]]) == (
        "         ms\n-----  ----\none       1\nthree  10.5"
    )


def test_only_the_block_between_the_marks_is_rewritten(results: dict[str, Any]) -> None:
    page = f"before\n{block(results)}\nafter"
    assert rewrite("before\n<!-- bench -->\nold\n<!-- /bench -->\nafter", results) == page
    assert rewrite(page, results) == page
    with pytest.raises(ValueError, match="has no"):
        rewrite("no marks", results)


def test_the_form_takes_its_value() -> None:
    assert len(FORM) == len(Form.model_fields) == 50
    assert Form.model_validate(FORM).model_dump() == FORM


def test_a_slot_acts_as_it_was_told() -> None:
    provider = Provider()
    assert provider.order("requests", "slot", "-") == 0
    provider.order("set", "slot", "down")
    assert provider.modes == {"slot": "down"}
    assert HEALTHY.startswith(b"HTTP/1.1 200")
    assert DOWN.startswith(b"HTTP/1.1 503")


def test_a_long_stream_has_a_chunk_for_each_word() -> None:
    assert LONG_STREAM.count(b'"content": "') - 1 == CHUNKS  # the first chunk has the role only
