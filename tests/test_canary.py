"""The page that ``make canary`` prints, and that a fact that has changed comes to stand in it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from canary import LONGEST_LIST, Fact, page

VERSIONS = {"litellm": ("2.0.0", "1.106.2"), "openai": ("3.1.0", "")}


def test_where_all_is_as_it_was_the_page_says_so() -> None:
    text = page([Fact("the sky is blue", "sky", held=2)], [], VERSIONS, ([], []))
    assert "| litellm | 2.0.0 | 1.106.2 |\n| openai | 3.1.0 | - |" in text
    assert "| sky | the sky is blue | held |" in text
    assert "- new, without a verdict: none" in text
    assert text.splitlines()[-1].startswith("**Nothing broke**: 1 of 1 facts held, 0 that are gone round changed, 0 ")


def test_what_has_changed_is_told_by_what_depends_on_it() -> None:
    facts = [
        Fact("grass is green", "earth", changed=["north", "south"], held=3, said="assert 'brown' == 'green'"),
        Fact("rain is wet", "sky", workaround="umbrella.py", changed=[""], said="assert False"),
        Fact("fish can swim", "sea"),
    ]
    text = page(facts, [], VERSIONS, (["NewError"], ["OldError"]), note="The newest is 2.0.1.")
    assert "The newest is 2.0.1." in text
    assert (
        "## Relied on, and changed: 1\n\n- earth: grass is green (north, south; held in 3 more)\n  assert 'brown'"
        in text
    )
    assert "## Gone round, and changed: 1\n\n- sky: rain is wet\n  assert False\n  -> umbrella.py: may go" in text
    assert "| sea | fish can swim | not tried |" in text
    assert "- new, without a verdict: NewError\n- not in this version: OldError" in text
    assert "**This LiteLLM breaks something**: 0 of 3 facts held, 1 that are gone round changed, 1 relied on" in text


def test_a_long_list_of_failures_is_cut() -> None:
    text = page([], [f"test_{number:03}" for number in range(LONGEST_LIST + 5)], {}, ([], []))
    assert f"test_{LONGEST_LIST - 1:03}\n- and 5 more" in text
    assert "**This LiteLLM breaks something**" in text


TESTS = """
import pytest
@pytest.mark.litellm_fact("a fault that is mended", topic="a", workaround="a room")
@pytest.mark.parametrize("n", [1, 2])
def test_mended(n):
    assert n == 1, "no longer so"
@pytest.mark.litellm_fact("an error that is raised no more", topic="a", workaround="a room")
def test_raises():
    with pytest.raises(KeyError):
        pass
@pytest.mark.litellm_fact("a test that is broken", topic="a", workaround="a room")
def test_broken():
    raise KeyError
@pytest.mark.litellm_fact("what is relied on", topic="a")
def test_relied_on():
    assert False
def test_other():
    assert False
"""


def test_a_mended_fault_fails_nothing_and_all_else_does(tmp_path: Path) -> None:
    """And the page has all of it."""
    here = Path(__file__).parent
    (tmp_path / "pytest.ini").write_text("[pytest]\nasyncio_mode = auto\nmarkers = litellm_fact\n")
    (tmp_path / "test_it.py").write_text(TESTS)
    command = [sys.executable, "-m", "pytest", "-p", "canary", "-p", "conftest", "-p", "no:cacheprovider", "-q"]
    environment = {**os.environ, "CANARY_PAGE": str(tmp_path / "page.md"), "PYTHONPATH": str(here)}
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, env=environment, check=False)
    assert done.returncode == 1, done.stdout
    assert "3 failed, 1 passed, 2 xfailed" in done.stdout
    text = (tmp_path / "page.md").read_text()
    assert text in done.stdout
    assert "## Relied on, and changed: 1\n\n- a: what is relied on\n" in text
    assert "- a: a fault that is mended (2; held in 1 more)\n  AssertionError: no longer so" in text
    assert "- a: an error that is raised no more\n  Failed: DID NOT RAISE" in text
    assert "## Other tests that failed: 2\n\n- test_it.py::test_broken\n- test_it.py::test_other" in text


def test_the_marker_is_registered(pytestconfig: pytest.Config) -> None:
    assert any(line.startswith("litellm_fact(") for line in pytestconfig.getini("markers"))
