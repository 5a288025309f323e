"""What is installed: the lock file keeps to pyproject.toml, and the audit of it can fail."""

from __future__ import annotations

import json
import re
import sys
import tomllib
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from audit import ACCEPTED, CANARY, NO_DATA, main
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parent.parent
LOCK = (ROOT / "requirements-dev.lock").read_text()
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


class Pin(NamedTuple):
    """One version in the lock file."""

    version: str
    hashes: list[str]
    is_direct: bool
    """Whether pyproject.toml itself asks for it."""


def pins() -> Iterator[tuple[str, Pin]]:
    for entry in re.split(r"^(?=[a-zA-Z0-9])", LOCK, flags=re.MULTILINE)[1:]:
        requirement = Requirement(entry.partition("\\")[0])
        (specifier,) = requirement.specifier
        assert specifier.operator == "=="
        hashes = re.findall(r"--hash=(\S+)", entry)
        yield canonicalize_name(requirement.name), Pin(specifier.version, hashes, "(pyproject.toml)" in entry)


PINS = dict(pins())
REQUIRED = [Requirement(line) for line in (*PROJECT["dependencies"], *PROJECT["optional-dependencies"]["dev"])]


@pytest.mark.parametrize("requirement", REQUIRED, ids=lambda requirement: requirement.name)
def test_the_lock_file_has_a_version_that_is_asked_for(requirement: Requirement) -> None:
    pin = PINS[canonicalize_name(requirement.name)]
    assert requirement.specifier.contains(pin.version), "run: make lock"


def test_the_lock_file_was_made_for_what_is_asked_for() -> None:
    direct = {name for name, pin in PINS.items() if pin.is_direct}
    assert direct == {canonicalize_name(requirement.name) for requirement in REQUIRED}, "run: make lock"


def test_every_version_in_the_lock_file_has_hashes_and_no_address() -> None:
    for name, pin in PINS.items():
        assert pin.hashes, name
        assert all(re.fullmatch(r"sha256:[0-9a-f]{64}", each) for each in pin.hashes), name
    assert "://" not in LOCK
    assert not re.search(r"^-", LOCK, re.MULTILINE)  # no option but hashes


def needs_of(requirement: Requirement) -> Iterator[Requirement]:
    """Return what an installed package needs here, with the extras that it is asked for by."""
    for line in metadata.requires(requirement.name) or ():
        needed = Requirement(line)
        extras = ("", *requirement.extras)
        if needed.marker is None or any(needed.marker.evaluate({"extra": extra}) for extra in extras):
            yield needed


def test_the_lock_file_has_all_that_is_needed_and_all_extras_so_nothing_is_resolved() -> None:
    left, seen = list(REQUIRED), set[str]()
    while left:
        requirement = left.pop()
        if str(requirement) in seen:
            continue
        seen.add(str(requirement))
        assert canonicalize_name(requirement.name) in PINS, f"{requirement}: run make lock"
        left.extend(needs_of(requirement))


@pytest.mark.parametrize("version", ["1.82.7", "1.82.8", "1.97.0"])
def test_the_bad_versions_of_litellm_are_never_chosen(version: str) -> None:
    (litellm,) = (requirement for requirement in REQUIRED if requirement.name == "litellm")
    assert not litellm.specifier.contains(version)


def fake_audit(folder: Path, canary: Any, lock: Any) -> list[str]:
    """A stand-in for pip-audit, that says one thing of the canary and another of any other file."""
    script = folder / "pip_audit.py"
    script.write_text(
        "import pathlib, sys\n"
        f"is_canary = pathlib.Path(sys.argv[-1]).read_text() == {CANARY!r}\n"
        f"print({json.dumps(canary)!r} if is_canary else {json.dumps(lock)!r})\n"
    )
    return [sys.executable, str(script)]


def report(*packages: dict[str, Any]) -> dict[str, Any]:
    return {"dependencies": list(packages), "fixes": []}


ILL = {"name": "jinja2", "version": "2.11.2", "vulns": [{"id": "PYSEC-1", "fix_versions": ["2.11.3"]}]}
WELL = {"name": "litellm", "version": "1.0", "vulns": []}
SKIPPED = {"name": "litellm", "skip_reason": "Dependency not found"}


@pytest.mark.parametrize(
    ("canary", "lock", "code", "said"),
    [
        (report(ILL), report(WELL), 0, "audit: 1 packages, 0 known vulnerabilities"),
        (report(ILL), report(WELL, ILL), 1, "audit: jinja2 2.11.2 has PYSEC-1, fixed in 2.11.3"),
        (report(ILL), report(SKIPPED), 1, "audit: data was had, but not for litellm"),
        (report(ILL), "no report", 1, "audit: data was had, but not for the lock file"),
        (report({**ILL, "vulns": []}), report(WELL), 0, NO_DATA),
        (report(SKIPPED), report(SKIPPED), 0, NO_DATA),
        ("no report", "no report", 0, NO_DATA),
    ],
)
def test_the_audit_fails_where_something_is_known_and_says_where_nothing_can_be(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], canary: Any, lock: Any, code: int, said: str
) -> None:
    assert main(fake_audit(tmp_path, canary, lock), tmp_path / "pip_audit.py") == code
    assert capsys.readouterr().out.splitlines()[0] == said


def test_every_advisory_that_is_accepted_has_a_reason() -> None:
    assert all(ACCEPTED.values())
