"""Tests of ``make mutants``: its report, and that every room has tests. Nothing is mutated."""

from __future__ import annotations

import mutants
import pytest
from mutants import KILLED, ROOT, SURVIVED, Mutant

KILLED_ONES = [Mutant("errors f: a -> b", 1)] * 9
SURVIVOR = Mutant("errors f: a -> c", 0)


@pytest.mark.parametrize(
    ("results", "passes"),
    [
        (KILLED_ONES, True),
        ([Mutant("errors f: a -> b", code) for code in KILLED], True),
        ([*KILLED_ONES, SURVIVOR], True),
        ([*KILLED_ONES, SURVIVOR, SURVIVOR], False),
        ([Mutant("errors f: a -> b", code) for code in SURVIVED], False),
        ([*KILLED_ONES, Mutant("errors f: a -> c", None)], False),
        ([*KILLED_ONES, Mutant("errors f: a -> c", -11)], False),
    ],
    ids=["all", "each-code", "ninety-percent", "less", "none", "not-run", "crashed"],
)
def test_the_score_decides_and_every_mutant_must_be_tried(
    results: list[Mutant], *, passes: bool
) -> None:
    assert mutants.report({"errors": results}) is passes


def test_the_goal_is_for_all_rooms_together() -> None:
    assert mutants.report({"errors": KILLED_ONES, "options": [SURVIVOR], "protocols": []})


def test_the_report_names_each_rooms_score_the_total_and_the_survivors(
    capsys: pytest.CaptureFixture[str],
) -> None:
    untried = Mutant("options g: a -> d", None)
    mutants.report({"errors": [*KILLED_ONES, SURVIVOR], "options": [untried]})
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ["errors", "10", "1", "90.0%"] in lines
    assert ["options", "1", "0", "0.0%"] in lines
    assert ["total", "11", "1", "81.8%"] in lines
    assert ["errors", "f:", "a", "->", "c"] in lines
    assert ["options", "g:", "a", "->", "d"] in lines


def test_a_mutant_is_described_by_what_was_changed() -> None:
    functions = {
        "xǁBreakerǁfail__mutmut_orig": ["def (self):", "    self.count += 1"],
        "xǁBreakerǁfail__mutmut_2": ["def (self):", "    self.count -= 1"],
    }
    name = "majordomo_cascade.failover.health.xǁBreakerǁfail__mutmut_2"
    assert mutants.describe("failover.health", name, functions) == (
        "failover.health Breaker.fail: self.count += 1 -> self.count -= 1"
    )


@pytest.mark.parametrize("room", mutants.find_rooms())
def test_every_room_has_tests(room: str) -> None:
    assert mutants.find_tests(room), f"write tests, or name them in ALSO_TESTED_BY[{room!r}]"


@pytest.mark.parametrize(
    "path", sorted({name for names in mutants.ALSO_TESTED_BY.values() for name in names})
)
def test_every_test_that_is_named_exists(path: str) -> None:
    assert (ROOT / "tests" / path).exists()


def test_an_unknown_room_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert mutants.main(["kitchen"]) == 2
    assert "there is no room 'kitchen'; expected some of" in capsys.readouterr().out
