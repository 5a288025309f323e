"""Break the package in one place at a time, and see whether a test notices: ``make mutants``.

    python tools/mutants.py                    # every room, which takes about an hour
    python tools/mutants.py failover.retry errors

A room is a module. mutmut breaks it, and the room's own tests, or mypy, must notice. Prints the
score of each room, the total, and every change that survived. Exits with 1 if the total is below
90 %, or if a mutant could not be tried.
"""

from __future__ import annotations

import ast
import difflib
import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parent.parent
PACKAGE = "majordomo_cascade"
WORK = ROOT / "build" / "mutants"
COPIED = (PACKAGE, "tests", "examples", "README.md", ".env.example", "pyproject.toml")

#: The share of mutants that must be killed.
GOAL = 0.9

#: The tests in tests/ that answer for a module, besides its wing's or test_<module>*.py.
ALSO_TESTED_BY = {
    "__init__": ("test_responses.py",),
    "__main__": ("test_command_line.py",),
    "candidate": (
        "failover/test_failover_order.py",
        "failover/test_health.py",
        "gateway/test_completion.py",
        "streaming/test_streams.py",
        "structured/test_structured.py",
    ),
    "cascade": (
        "test_request.py",
        "test_environment.py",
        "acceptance/test_coexistence.py",
        "failover",
        "gateway/test_completion.py",
        "gateway/test_keys.py",
        "streaming",
        "structured/test_structured.py",
    ),
    "gateway.abilities": ("test_check.py",),
    "gateway.catalog": ("test_request.py",),
    "gateway.history": ("acceptance/test_conversations.py",),
    "gateway.outward_errors": ("test_litellm_provider.py",),
    "gateway.portal": ("test_sync.py",),
    "gateway.provider": ("test_litellm_provider.py",),
    "errors": ("failover/test_failover_order.py", "structured/test_structured.py"),
    "options": (
        "test_errors.py",
        "test_request.py",
        "test_environment.py",
        "failover/test_health.py",
        "failover/test_waiting.py",
        "gateway/test_keys.py",
    ),
    "report": ("test_check.py", "test_drill.py"),
    "request": ("gateway/test_completion.py", "gateway/test_keys.py"),
    "responses": (
        "test_errors.py",
        "failover/test_failover_order.py",
        "gateway/test_completion.py",
    ),
    "configuration": ("test_request.py", "failover/test_failover_order.py"),
    "signature": ("acceptance/test_typing.py", "gateway/test_completion.py"),
}

#: Tests that are left out, because they start programs or take long.
LEFT_OUT = (
    "stdout or imports_next_to_nothing or building_a_cascade or litellms_printing "
    "or does_not_import_litellm or megabyte or huge or without_a_last_event or on_a_terminal "
    "or ctrl_c or no_color or is_red or from_stdin or no_network or import_the_program"
)

CONFIG = """
[tool.mutmut]
source_paths = ["{package}"]
only_mutate = ["{package}/{path}"]
also_copy = ["examples", "README.md", ".env.example"]
pytest_add_cli_args = [
    "--timeout=10", "--timeout-method=thread", "-k", "not ({left_out})",
    "-p", "no:cacheprovider", "-p", "no:unraisableexception", "-p", "no:threadexception",
]
pytest_add_cli_args_test_selection = {tests}
process_isolation = "forkserver"
timeout_constant = 60.0
type_check_command = [
    "mypy", "{package}", "--output", "json", "--disable-error-code", "unused-ignore",
]
"""

#: Appended to the copy's conftest.py: load once, before the forks, what every mutant needs.
WARM_UP = """
import gc
from majordomo_cascade import LLMCascade
LLMCascade(["openai/gpt-4.1", "anthropic/claude-sonnet-4-5", "gemini/gemini-2.5-flash"])
gc.freeze()
"""

#: mutmut's exit codes (its stats.py): a test failed, could not begin or did not end; a type error.
KILLED = (1, 36, 37, 255)
#: Likewise: all tests passed, or there was none. With any other code, the mutant was not tried.
SURVIVED = (0, 5, 33)


@dataclass(frozen=True)
class Mutant:
    """A place that was broken."""

    change: str
    """Room, function, and the line before and after."""
    code: int | None
    """mutmut's exit code; None if the mutant was not run."""

    @property
    def survived(self) -> bool:
        """Tell whether no test noticed."""
        return self.code in SURVIVED

    @property
    def was_tried(self) -> bool:
        """Tell whether its result is known."""
        return self.code in KILLED or self.survived


def find_rooms() -> list[str]:
    """Return every module of the package that has a function, as ``failover.retry``."""
    found = []
    for path in sorted((ROOT / PACKAGE).rglob("*.py")):
        nodes = ast.walk(ast.parse(path.read_text()))
        if any(isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) for node in nodes):
            found.append(".".join(path.relative_to(ROOT / PACKAGE).with_suffix("").parts))
    return found


def find_tests(room: str) -> list[str]:
    """Return the paths of the tests that answer for a room."""
    tests = ROOT / "tests"
    wing, _, _ = room.rpartition(".")
    if wing:
        paths = [tests.joinpath(*wing.split("."))]
    else:
        paths = sorted(tests.glob(f"test_{room.strip('_')}*.py"))
    paths += [tests / name for name in ALSO_TESTED_BY.get(room, ())]
    return [path.relative_to(ROOT).as_posix() for path in paths if path.exists()]


def run(room: str) -> list[Mutant]:
    """Try all mutants of a room."""
    home = WORK / room
    shutil.rmtree(home, ignore_errors=True)  # mutmut would keep results of tests that have changed
    prepare(home, room)
    scripts = Path(sys.executable).parent
    environment = {**os.environ, "PATH": f"{scripts}{os.pathsep}{os.environ['PATH']}"}
    with (home / "log").open("w") as log:
        command = [sys.executable, "-m", "mutmut", "run"]
        subprocess.run(command, cwd=home, env=environment, stdout=log, stderr=log, check=False)
    return read(home, room)


def prepare(home: Path, room: str) -> None:
    """Make a copy of the project for mutmut to work in."""
    home.mkdir(parents=True)
    for name in COPIED:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, home / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy2(source, home / name)
    with (home / "tests" / "conftest.py").open("a") as conftest:
        conftest.write(WARM_UP)
    config = CONFIG.format(
        package=PACKAGE,
        path=path_of(room),
        left_out=LEFT_OUT,
        tests=json.dumps(find_tests(room)),
    )
    with (home / "pyproject.toml").open("a") as project:
        project.write(config)


def path_of(room: str) -> str:
    """Return a room's path in the package."""
    return f"{room.replace('.', '/')}.py"


def read(home: Path, room: str) -> list[Mutant]:
    """Read what mutmut found."""
    mutated = home / "mutants" / PACKAGE / path_of(room)
    results = mutated.with_name(f"{mutated.name}.meta")
    if not results.exists():
        return [Mutant(f"{room}: mutmut made no mutants", None)]
    codes: dict[str, int | None] = json.loads(results.read_text())["exit_code_by_key"]
    functions = read_functions(mutated.read_text())
    return [Mutant(describe(room, name, functions), code) for name, code in codes.items()]


def read_functions(text: str) -> dict[str, list[str]]:
    """Return the lines of every mutated function and its original, by mutmut's names of them."""
    lines = text.splitlines()
    found = {}
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and "__mutmut_" in node.name:
            body = lines[node.lineno - 1 : node.end_lineno]
            found[node.name] = [line.replace(node.name, "") for line in body]
    return found


def describe(room: str, name: str, functions: dict[str, list[str]]) -> str:
    """Describe a mutant, as ``failover.health Breaker.fail: count += 1 -> count -= 1``."""
    mutant = name.rpartition(".")[2]
    function = mutant.rpartition("__mutmut_")[0]
    before, after = functions[f"{function}__mutmut_orig"], functions[mutant]
    changes = list(difflib.ndiff(before, after))

    def side(sign: str) -> str:
        lines = [change[2:] for change in changes if change.startswith(sign)]
        return " ".join(" ".join(lines).split())

    # mutmut's names: x_function, or xǁClassǁmethod.
    place = ".".join(function[2:].split("ǁ"))
    return f"{room} {place}: {side('-')} -> {side('+')}"


def score(mutants: list[Mutant]) -> float:
    """Return the share of mutants that were killed; 1 if the room has none."""
    if not mutants:
        return 1.0
    return sum(mutant.code in KILLED for mutant in mutants) / len(mutants)


def report(found: dict[str, list[Mutant]]) -> bool:
    """Print all results; tell whether the goal is met and every mutant was tried."""
    everything = [mutant for mutants in found.values() for mutant in mutants]
    print(f"\n{'room':<28} {'mutants':>8} {'survived':>9} {'killed':>8}")
    for room, mutants in (*found.items(), ("total", everything)):
        survived = sum(mutant.survived for mutant in mutants)
        print(f"{room:<28} {len(mutants):>8} {survived:>9} {score(mutants):>8.1%}")
    survivors = sorted(mutant.change for mutant in everything if mutant.survived)
    print("\nsurvived:", *survivors or ["none"], sep="\n  ")
    untried = sorted(mutant.change for mutant in everything if not mutant.was_tried)
    if untried:
        print(f"\nnot tried (the logs are in {WORK.relative_to(ROOT)}):", *untried, sep="\n  ")
    return score(everything) >= GOAL and not untried


def main(rooms: list[str]) -> int:
    """Try the mutants of some rooms, or of all."""
    known = find_rooms()
    for room in rooms:
        if room not in known:
            print(f"there is no room {room!r}; expected some of {', '.join(known)}")
            return 2
    found = {}
    for room in rooms or known:
        found[room] = run(room)
        print(f"{room}: {score(found[room]):.1%} of {len(found[room])} killed", flush=True)
    return 0 if report(found) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
