"""Run frameworks on a cascade, each in an environment with its own versions: ``make frameworks``.

    python tools/frameworks/run.py               # all of them
    python tools/frameworks/run.py adk mem0      # some environments

An environment is a file of requirements beside this one; those that have a ``test_<name>.py`` are
the frameworks. It is installed once, and again when its file or pyproject.toml has changed. Exits
with 1 if a framework fails or cannot be installed.
"""

from __future__ import annotations

import re
import subprocess
import sys
import time
import venv
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
VENVS = ROOT / ".venv-frameworks"

VERSIONS = """
import sys
from importlib.metadata import version
print(*map(version, sys.argv[1:]))
"""


class Result(NamedTuple):
    """How the tests of a framework went."""

    framework: str
    version: str
    litellm: str
    verdict: str
    seconds: float


def environments() -> list[str]:
    """Return the names of all environments."""
    return sorted(path.stem for path in HERE.glob("*.txt"))


def frameworks_in(environment: str) -> list[str]:
    """Return what an environment pins and a test is there for."""
    pinned = re.findall(r"^[\w-]+", (HERE / f"{environment}.txt").read_text(), re.MULTILINE)
    return [name for name in pinned if test_of(name).exists()]


def test_of(framework: str) -> Path:
    """Return the file of a framework's tests."""
    return HERE / f"test_{framework.replace('-', '_')}.py"


def call(*command: str | Path) -> subprocess.CompletedProcess[str]:
    """Run a program in the root of the project."""
    return subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)


def install(environment: str) -> Path:
    """Return the Python of an environment, installed if it is not there yet, or has changed.

    Raises:
        RuntimeError: pip can't install it.
    """
    folder = VENVS / environment
    python, installed = folder / "bin" / "python", folder / "installed"
    requirements = HERE / f"{environment}.txt"
    wanted = requirements.read_text() + (ROOT / "pyproject.toml").read_text()
    if installed.exists() and installed.read_text() == wanted:
        return python
    venv.create(folder, with_pip=True, clear=True)
    pip = (python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check")
    for packages in (["--upgrade", "pip"], ["--editable", ".", "--requirement", requirements]):
        done = call(*pip, *packages)  # the newest pip first: older ones can't resolve these
        if done.returncode:
            raise RuntimeError(done.stderr.strip())
    installed.write_text(wanted)
    return python


def try_out(framework: str, python: Path) -> Result:
    """Run the tests of a framework."""
    start = time.monotonic()
    tests = call(python, "-m", "pytest", test_of(framework))
    seconds = time.monotonic() - start
    version, litellm = call(python, "-c", VERSIONS, framework, "litellm").stdout.split()
    if tests.returncode:
        print(tests.stdout, tests.stderr, sep="\n")
    verdict = "failed" if tests.returncode else "passed"
    return Result(framework, version, litellm, verdict, seconds)


def try_all(environment: str) -> list[Result]:
    """Install an environment, and run the tests of its frameworks."""
    frameworks = frameworks_in(environment)
    start = time.monotonic()
    try:
        python = install(environment)
    except RuntimeError as error:
        print(error)
        return [Result(each, "-", "-", "not installed", 0) for each in frameworks]
    print(f"{environment}: installed in {time.monotonic() - start:.0f} s", flush=True)
    return [try_out(each, python) for each in frameworks]


def main(chosen: Sequence[str]) -> int:
    """Print a table of the results; return 1 if one is bad."""
    unknown = set(chosen) - set(environments())
    if unknown:
        print(f"no such environment: {', '.join(sorted(unknown))}; try {', '.join(environments())}")
        return 1
    results = [result for each in chosen or environments() for result in try_all(each)]
    row = "{:26} {:>9} {:>9}  {:13} {:>7}".format
    print(row("framework", "version", "LiteLLM", "tests", "seconds"))
    for each in sorted(results):
        print(row(*each[:-1], f"{each.seconds:.1f}"))
    return int(any(each.verdict != "passed" for each in results))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
