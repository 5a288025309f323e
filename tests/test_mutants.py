"""What ``make mutants`` makes of a run, without one."""

from __future__ import annotations

from pathlib import Path

import mutants
import pytest
from mutants import Mutant

import majordomo_cascade

PACKAGE = Path(majordomo_cascade.__file__).parent
SURVIVORS = mutants.excused()
KILLED = [Mutant("retry.f: a -> b", 1)] * 100


@pytest.mark.parametrize(
    ("of_a_room", "passes"),
    [
        (KILLED, True),
        ([Mutant("retry.f: a -> b", code) for code in mutants.KILLED], True),
        ([*KILLED, Mutant(next(iter(SURVIVORS)), 0)], True),
        ([*KILLED, Mutant("retry.f: a -> c", 0)], False),
        ([*KILLED, Mutant("retry.f: a -> c", 33)], False),
        ([*KILLED, Mutant("retry.f: a -> c", None)], False),
        ([*KILLED, Mutant("retry.f: a -> c", -11)], False),
        ([*KILLED[:8], Mutant(next(iter(SURVIVORS)), 0)], False),
        ([], False),
    ],
    ids=["killed", "ways", "excused", "unknown", "untested", "untried", "crashed", "too-many", "nothing"],
)
def test_what_passes(of_a_room: list[Mutant], *, passes: bool, capsys: pytest.CaptureFixture[str]) -> None:
    assert mutants.report({"retry": of_a_room}) is passes
    assert "retry" in capsys.readouterr().out


def test_a_survivor_is_told_by_what_was_changed(capsys: pytest.CaptureFixture[str]) -> None:
    mutants.report({"retry": [*KILLED, Mutant("retry.f: a -> c", 0), Mutant("retry.f: a -> d", None)]})
    told = capsys.readouterr().out
    assert "1 without a reason in survivors.toml\n  retry.f: a -> c\n" in told
    assert "1 were not tried" in told


def test_every_room_of_the_package_has_tests_that_answer_for_it() -> None:
    rooms = {path.stem for path in PACKAGE.glob("*.py")} - {"__init__"}
    assert set(mutants.ROOMS) == rooms
    for names in mutants.ROOMS.values():
        for name in names.split():
            assert (Path(__file__).parent / f"test_{name}.py").exists()


@pytest.mark.parametrize("survivor", SURVIVORS)
def test_a_reason_is_for_code_that_there_is(survivor: str) -> None:
    place, _, change = survivor.partition(": ")
    room, *_, function = place.split(".")
    old = change.partition(" -> ")[0].removeprefix("def ")
    source = " ".join((PACKAGE / f"{room}.py").read_text().split())
    assert f"def {function}(" in source
    assert old in source
    assert SURVIVORS[survivor]
