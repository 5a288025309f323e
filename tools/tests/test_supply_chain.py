"""Tests of the lock files, which must agree with pyproject.toml, and of the audit."""

from __future__ import annotations

import json
import re
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest
from audit import ACCEPTED, KNOWN_VULNERABLE, NO_DATA, main
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())


@dataclass(frozen=True)
class Pin:
    """One version in a lock file."""

    version: str
    hashes: list[str]
    is_direct: bool
    """Whether pyproject.toml itself asks for it."""


def read_pins(text: str) -> Iterator[tuple[str, Pin]]:
    for entry in re.split(r"^(?=[a-zA-Z0-9])", text, flags=re.MULTILINE)[1:]:
        requirement = Requirement(entry.partition("\\")[0])
        (specifier,) = requirement.specifier
        assert specifier.operator == "=="
        hashes = re.findall(r"--hash=(\S+)", entry)
        is_direct = "(pyproject.toml" in entry
        yield canonicalize_name(requirement.name), Pin(specifier.version, hashes, is_direct)


def read_group(name: str) -> list[Requirement]:
    """Read a dependency group with the groups that it includes (PEP 735)."""
    found = []
    for entry in PROJECT["dependency-groups"][name]:
        if isinstance(entry, dict):
            found += read_group(entry["include-group"])
        else:
            found.append(Requirement(entry))
    return found


RUNTIME = [Requirement(line) for line in PROJECT["project"]["dependencies"]]
LOCKS = ("requirements.lock", "requirements-dev.lock")
TEXTS = {name: (ROOT / name).read_text() for name in LOCKS}
PINS = {name: dict(read_pins(text)) for name, text in TEXTS.items()}
#: What each lock file is made for.
REQUIRED = {
    "requirements.lock": [*RUNTIME, *read_group("build")],
    "requirements-dev.lock": [*RUNTIME, *read_group("dev")],
}

each_lock = pytest.mark.parametrize("lock", LOCKS)


@each_lock
def test_a_lock_file_has_versions_that_pyproject_allows(lock: str) -> None:
    for requirement in REQUIRED[lock]:
        pin = PINS[lock][canonicalize_name(requirement.name)]
        assert requirement.specifier.contains(pin.version), f"{requirement}: run make lock"


@each_lock
def test_a_lock_file_is_made_for_what_pyproject_requires(lock: str) -> None:
    direct = {name for name, pin in PINS[lock].items() if pin.is_direct}
    required = {canonicalize_name(requirement.name) for requirement in REQUIRED[lock]}
    assert direct == required, "run: make lock"


@each_lock
def test_every_version_in_a_lock_file_has_hashes_and_no_address(lock: str) -> None:
    for name, pin in PINS[lock].items():
        assert pin.hashes, name
        assert all(re.fullmatch(r"sha256:[0-9a-f]{64}", each) for each in pin.hashes), name
    assert "://" not in TEXTS[lock]
    assert not re.search(r"^-", TEXTS[lock], re.MULTILINE)  # no option but hashes


def test_the_demo_runs_on_the_versions_that_were_tested() -> None:
    tested = PINS["requirements-dev.lock"]
    for name, pin in PINS["requirements.lock"].items():
        assert tested[name].version == pin.version, f"{name}: run make lock"


def dependencies_of(requirement: Requirement) -> Iterator[Requirement]:
    """Yield what an installed package requires here, with the extras that are asked for."""
    extras = ("", *requirement.extras)
    for line in metadata.requires(requirement.name) or ():
        needed = Requirement(line)
        marker = needed.marker
        if marker is None or any(marker.evaluate({"extra": extra}) for extra in extras):
            yield needed


@each_lock
def test_a_lock_file_is_complete_so_that_nothing_is_resolved(lock: str) -> None:
    left = list(REQUIRED[lock])
    seen: set[str] = set()
    while left:
        requirement = left.pop()
        if str(requirement) in seen:
            continue
        seen.add(str(requirement))
        assert canonicalize_name(requirement.name) in PINS[lock], f"{requirement}: run make lock"
        left.extend(dependencies_of(requirement))


@pytest.mark.parametrize("version", ["1.82.7", "1.82.8", "1.97.0"])
def test_the_bad_versions_of_litellm_are_never_chosen(version: str) -> None:
    (litellm,) = (requirement for requirement in RUNTIME if requirement.name == "litellm")
    assert not litellm.specifier.contains(version)


def write_fake_audit(folder: Path, known: Any, lock: Any) -> list[str]:
    """Write a stand-in for pip-audit, with one report on the known version, and another."""
    script = folder / "pip_audit.py"
    script.write_text(
        "import pathlib, sys\n"
        f"is_known = pathlib.Path(sys.argv[-1]).read_text() == {KNOWN_VULNERABLE!r}\n"
        f"print({json.dumps(known)!r} if is_known else {json.dumps(lock)!r})\n"
    )
    return [sys.executable, str(script)]


def report(*packages: dict[str, Any]) -> dict[str, Any]:
    return {"dependencies": list(packages), "fixes": []}


VULNERABLE = {
    "name": "jinja2",
    "version": "2.11.2",
    "vulns": [{"id": "PYSEC-1", "fix_versions": ["2.11.3"]}],
}
SAFE = {"name": "litellm", "version": "1.0", "vulns": []}
SKIPPED = {"name": "litellm", "skip_reason": "Dependency not found"}


@pytest.mark.parametrize(
    ("known", "lock", "status", "message"),
    [
        (report(VULNERABLE), report(SAFE), 0, "audit: 1 packages, 0 known vulnerabilities"),
        (
            report(VULNERABLE),
            report(SAFE, VULNERABLE),
            1,
            "audit: jinja2 2.11.2 has PYSEC-1, fixed in 2.11.3",
        ),
        (report(VULNERABLE), report(SKIPPED), 1, "audit: there is data, but none on litellm"),
        (report(VULNERABLE), "no report", 1, "audit: there is data, but none on the lock file"),
        (report({**VULNERABLE, "vulns": []}), report(SAFE), 0, NO_DATA),
        (report(SKIPPED), report(SKIPPED), 0, NO_DATA),
        ("no report", "no report", 0, NO_DATA),
    ],
    ids=["safe", "vulnerable", "skipped", "no-report", "unknown", "no-data", "no-service"],
)
def test_the_audit_fails_on_a_vulnerability_and_says_when_it_has_no_data(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    known: Any,
    lock: Any,
    status: int,
    message: str,
) -> None:
    command = write_fake_audit(tmp_path, known, lock)
    assert main(command, tmp_path / "pip_audit.py") == status
    assert capsys.readouterr().out.splitlines()[0] == message


def test_every_accepted_advisory_has_a_reason() -> None:
    assert all(ACCEPTED.values())
