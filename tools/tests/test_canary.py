"""Tests of the page that ``make canary`` writes, and of how a changed fact gets on it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from canary import MAX_LISTED, Classes, Fact, page

ROOT = Path(__file__).parents[2]
VERSIONS = {"litellm": ("2.0.0", "1.106.2"), "openai": ("3.1.0", "")}
NO_CLASSES = Classes([], [])


def test_where_nothing_has_changed_the_page_says_so() -> None:
    text = page([Fact("the sky is blue", "sky", held=2)], [], VERSIONS, NO_CLASSES, passed=5)
    assert "| litellm | 2.0.0 | 1.106.2 |\n| openai | 3.1.0 | - |" in text
    assert "| sky | the sky is blue | held |" in text
    assert "- new, without a verdict: none" in text
    assert text.splitlines()[-1] == (
        "**Nothing broke**: of 1 facts, 1 held, 0 that we rely on changed, "
        "0 that we work around changed; 0 other tests failed, 5 tests passed."
    )


def test_changes_are_sorted_by_whether_we_rely_on_the_fact() -> None:
    facts = [
        Fact(
            "grass is green",
            "earth",
            changed=["north", "south"],
            held=3,
            error="assert 'brown' == 'green'",
        ),
        Fact("rain is wet", "sky", workaround="umbrella.py", changed=[""], error="assert False"),
        Fact("fish can swim", "sea"),
    ]
    classes = Classes(["NewError"], ["OldError"])
    text = page(facts, [], VERSIONS, classes, note="The newest is 2.0.1.")
    assert "The newest is 2.0.1." in text
    assert (
        "## Changed, and we rely on it: 1\n\n"
        "- earth: grass is green (north, south; held in 3 more)\n"
        "  assert 'brown' == 'green'\n"
    ) in text
    assert (
        "## Changed, and we work around it: 1\n\n"
        "- sky: rain is wet\n"
        "  assert False\n"
        "  -> umbrella.py: can go"
    ) in text
    assert "| sea | fish can swim | not tested |" in text
    assert "- new, without a verdict: NewError\n- not in this version: OldError" in text
    assert "**This LiteLLM breaks something**: of 3 facts, 0 held, 1 that we rely on" in text


def test_a_long_list_of_failures_is_cut() -> None:
    failed = [f"test_{number:03}" for number in range(MAX_LISTED + 5)]
    text = page([], failed, {}, NO_CLASSES)
    assert f"test_{MAX_LISTED - 1:03}\n- and 5 more" in text
    assert "**This LiteLLM breaks something**" in text


TESTS = """
import pytest
@pytest.mark.litellm_fact("a fault that is mended", topic="a", workaround="a module")
@pytest.mark.parametrize("n", [1, 2])
def test_mended(n):
    assert n == 1, "no longer so"
@pytest.mark.litellm_fact("an error that is no longer raised", topic="a", workaround="a module")
def test_raises():
    with pytest.raises(KeyError):
        pass
@pytest.mark.litellm_fact("a test that is broken", topic="a", workaround="a module")
def test_broken():
    raise KeyError
@pytest.mark.litellm_fact("a fact that we rely on", topic="a")
def test_relied_on():
    assert False
def test_other():
    assert False
"""


def test_only_a_mended_fault_fails_nothing(tmp_path: Path) -> None:
    (tmp_path / "pytest.ini").write_text("[pytest]\nasyncio_mode = auto\nmarkers = litellm_fact\n")
    (tmp_path / "test_it.py").write_text(TESTS)
    plugins = ["-p", "canary", "-p", "conftest", "-p", "no:cacheprovider"]
    folders = (ROOT / "tools", ROOT / "tests", ROOT / "tests" / "gateway")
    process = subprocess.run(
        [sys.executable, "-m", "pytest", *plugins, "-q"],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={
            **os.environ,
            "CANARY_PAGE": str(tmp_path / "page.md"),
            "PYTHONPATH": os.pathsep.join(map(str, folders)),
        },
        check=False,
    )
    assert process.returncode == 1, process.stdout + process.stderr
    assert "3 failed, 1 passed, 2 xfailed" in process.stdout
    text = (tmp_path / "page.md").read_text()
    assert text in process.stdout
    assert "## Changed, and we rely on it: 1\n\n- a: a fact that we rely on\n" in text
    assert "- a: a fault that is mended (2; held in 1 more)\n  AssertionError: no longer so" in text
    assert "- a: an error that is no longer raised\n  Failed: DID NOT RAISE" in text
    assert (
        "## Other tests that failed: 2\n\n- test_it.py::test_broken\n- test_it.py::test_other"
        in text
    )


def test_the_marker_is_registered(pytestconfig: pytest.Config) -> None:
    markers = pytestconfig.getini("markers")
    assert any(line.startswith("litellm_fact(") for line in markers)
