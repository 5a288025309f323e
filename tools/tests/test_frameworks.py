"""Tests of ``make frameworks``: that nothing on its page is missed, and what the runner tells.

The frameworks' own tests are in ``tools/frameworks``; they run in environments of their own.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "tools" / "frameworks"
TESTS = sorted(FOLDER.glob("test_*.py"))
SECTIONS = re.findall(r"^## (.*)$", (ROOT / "docs" / "frameworks.md").read_text(), re.MULTILINE)
REQUIREMENTS = sorted(FOLDER.glob("*.txt"))
PINS = [
    (path.stem, line)
    for path in REQUIREMENTS
    for line in path.read_text().splitlines()
    if not line.startswith("#")
]

WELL = "def test_well(): pass"
ILL = "def test_ill(): assert 'the house' == 'on fire'"


def test_every_section_of_the_page_is_run_by_one_file() -> None:
    run = [set(re.findall(r'blocks_under\("(.*)"\)', path.read_text())) for path in TESTS]
    assert sorted(name for names in run for name in names) == sorted(SECTIONS)


@pytest.mark.parametrize("test", TESTS, ids=lambda path: path.stem)
def test_every_framework_is_installed_in_one_environment(test: Path) -> None:
    framework = test.stem.removeprefix("test_").replace("_", "-")
    homes = [home for home, pin in PINS if re.match(rf"{framework}(\[\w+\])?==", pin)]
    assert len(homes) == 1


@pytest.mark.parametrize(("home", "pin"), PINS)
def test_every_version_is_pinned(home: str, pin: str) -> None:
    assert re.fullmatch(r"[\w-]+(\[\w+\])?==[\w.]+", pin), home


@pytest.fixture
def house(tmp_path: Path) -> Path:
    """Copy the runner into a folder with one environment, which is installed already."""
    folder = tmp_path / "tools" / "frameworks"
    folder.mkdir(parents=True)
    shutil.copy(FOLDER / "run.py", folder)
    requirements, project = "# The house.\npytest==9.2.0\nlitellm==1.110.2\n", "[project]\n"
    (folder / "house.txt").write_text(requirements)
    (tmp_path / "pyproject.toml").write_text(project)
    venv = tmp_path / ".venv-frameworks" / "house"
    (venv / "bin").mkdir(parents=True)
    (venv / "installed").write_text(requirements + project)
    python = venv / "bin" / "python"
    python.write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')
    python.chmod(0o755)
    return folder


def run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the runner, whose pip finds nothing."""
    command = [sys.executable, str(folder / "run.py"), *arguments]
    alone = {**os.environ, "PIP_NO_INDEX": "1"}
    return subprocess.run(command, capture_output=True, text=True, check=False, env=alone)


def test_the_table_tells_that_a_framework_passed(house: Path) -> None:
    (house / "test_pytest.py").write_text(WELL)
    done = run(house)
    assert done.returncode == 0, done.stderr
    assert re.search(r"^pytest +[\d.]+ +[\d.]+  passed +\d+\.\d$", done.stdout, re.MULTILINE)


def test_a_failed_test_is_shown_and_fails_the_run(house: Path) -> None:
    (house / "test_pytest.py").write_text(ILL)
    done = run(house, "house")
    assert done.returncode == 1
    assert "on fire" in done.stdout
    assert re.search(r"^pytest .* failed ", done.stdout, re.MULTILINE)


def test_an_environment_that_can_not_be_installed_fails_the_run(house: Path) -> None:
    (house / "test_pytest.py").write_text(WELL)
    (house / "house.txt").write_text("pytest==no version\n")
    done = run(house)
    assert done.returncode == 1
    assert re.search(r"^pytest +- +-  not installed ", done.stdout, re.MULTILINE)


def test_an_unknown_environment_is_refused(house: Path) -> None:
    done = run(house, "hose")
    assert done.returncode == 1
    assert done.stdout == "no such environment: hose; try house\n"
