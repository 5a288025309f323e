"""Breaks the package on purpose, a place at a time, and sees whether the tests notice (mutation testing, by mutmut).

    python tests/mutants.py            every room (forty minutes on two cores)
    python tests/mutants.py health     some of them
    python tests/mutants.py --again    only what was not killed the last time, after tests (and nothing else) were added

A mutant is killed by the tests of its room, or by mypy, which ``make test`` runs as well. What survives must stand in
``tests/survivors.toml`` with its reason. Exits with 1 if one does not, or if fewer than nine tenths are killed.
"""

# ruff: noqa: T201 - it prints
from __future__ import annotations

import ast
import difflib
import json
import os
import shutil
import subprocess
import sys
import tomllib
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parent.parent
WORK = ROOT / "build" / "mutants"
SURVIVORS = Path(__file__).parent / "survivors.toml"

#: How many of the mutants must be killed.
LEAST = 0.9

#: Which tests answer for which rooms. (Those not named here start programs of their own, or take long.) A test is asked
#: about the functions that it was seen to call: what a module makes when it is imported, or an earlier test left in a
#: cache, hides the call.
ROOMS = {
    "errors": "errors failover_order fits_in structured",
    "settings": "errors requests from_env waiting health",
    "responses": "errors answers failover_order",
    "target": "requests keys answers",
    "retry": "waiting failover_order",
    "request": "requests keys answers",
    "parsing": "parsing structured",
    "schemas": "references schemas structured",
    "wire": "wire",
    "fitting": "fitting",
    "structured": "forms structured answers",
    "scrubbing": "blotting",
    "classify": "words classification verdicts keys structured",
    "health": "health hedging",
    "tap": "tap",
    "chunks": "chunks",
    "gateway": "door keys requests answers structured classification",
    "failover": "failover_order waiting health hedging answers structured streams",
    "asking": "structured answers keys",
    "streaming": "streams health hedging",
    "cascade": "requests from_env fits_in keys waiting hedging failover_order answers structured streams",
    "testing": "loopback clock testing",
}

#: Tests that start programs, or are slow for what they would tell here.
LEFT_OUT = (
    "stdout or imports_next_to_nothing or building_a_cascade or litellms_printing or does_not_import_litellm"
    " or megabyte or huge or without_a_last_event or in_any_place or a_hostile_body or a_hostile_text"
    " or depth_of_nesting or headers_beyond or choices_of_a_stream or put_together_once or never_closes"
)

CONFIG = """
[tool.mutmut]
source_paths = ["majordomo_cascade"]
only_mutate = ["majordomo_cascade/{room}.py"]
also_copy = ["examples", "README.md", ".env.example"]
pytest_add_cli_args = [
    "--timeout=10", "--timeout-method=thread", "-k", "not ({left_out})",
    "-p", "no:cacheprovider", "-p", "no:unraisableexception", "-p", "no:threadexception",
]
pytest_add_cli_args_test_selection = [{tests}]
process_isolation = "forkserver"
timeout_constant = 60.0
type_check_command = ["mypy", "majordomo_cascade", "--output", "json", "--disable-error-code", "unused-ignore"]
"""

#: Put behind the copy's conftest.py: what every mutant's process would load again is loaded before they are forked.
WARM_UP = """
import gc
from majordomo_cascade import LLMCascade
LLMCascade([*WIRES, "mistral/mistral-small-latest", "groq/some-model", "cohere_chat/command-r", "hosted_vllm/x"])
gc.freeze()
"""

#: mutmut's exit codes (its ``stats.py``): the type checker's; a test failed, or none could begin, or end; and those of
#: mutants that nobody noticed: all tests passed, or there was none. With any other, the mutant was not tried.
BY_TYPES = 37
KILLED = (1, 36, 255, BY_TYPES)
UNNOTICED = (0, 5, 33)


@dataclass(frozen=True)
class Mutant:
    """A place that was broken."""

    identity: str
    """Room, function, and the line as it was and as it became: it outlives mutmut's numbers."""
    code: int | None

    @property
    def survived(self) -> bool:
        """Whether nobody noticed."""
        return self.code in UNNOTICED

    @property
    def is_tried(self) -> bool:
        """Whether it is known what became of it."""
        return self.code in (*KILLED, *UNNOTICED)


def prepare(room: str) -> Path:
    """A copy of the project that mutmut may work in, brought up to date."""
    home = WORK / room
    home.mkdir(parents=True, exist_ok=True)
    for name in ("majordomo_cascade", "tests", "examples", "README.md", ".env.example", "pyproject.toml"):
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, home / name, dirs_exist_ok=True, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy2(source, home / name)
    with (home / "tests" / "conftest.py").open("a") as conftest:
        conftest.write(WARM_UP)
    tests = ", ".join(f'"tests/test_{name}.py"' for name in ROOMS[room].split())
    with (home / "pyproject.toml").open("a") as config:
        config.write(CONFIG.format(room=room, tests=tests, left_out=LEFT_OUT))
    return home


def run(room: str, *, again: bool) -> list[Mutant]:
    """What became of a room's mutants; with ``again`` only those that were not killed the last time are tried."""
    if not again:  # mutmut keeps what it found for code that is the same, also where the tests are not
        shutil.rmtree(WORK / room, ignore_errors=True)
    home = prepare(room)
    results = home / "results.json"
    found: dict[str, int | None] = json.loads(results.read_text()) if again and results.exists() else {}
    names = [name for name, code in found.items() if code not in KILLED]
    if names or not found:
        environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
        with (home / "log").open("w") as log:
            command = [sys.executable, "-m", "mutmut", "run", *names]
            subprocess.run(command, cwd=home, env=environment, stdout=log, stderr=log, check=False)
        now = codes(home, room)
        found.update({name: now.get(name) for name in names or now})
        results.write_text(json.dumps(found))
    functions = written(home, room)
    return [Mutant(identity(room, name, functions), code) for name, code in found.items()]


def codes(home: Path, room: str) -> dict[str, int | None]:
    """What pytest's process ended with, by mutmut's names of the mutants; None for one that was not tried."""
    file = home / "mutants" / "majordomo_cascade" / f"{room}.py.meta"
    return dict(json.loads(file.read_text())["exit_code_by_key"]) if file.exists() else {}


def written(home: Path, room: str) -> dict[str, list[str]]:
    """The lines of every mutated function and its original, by the names that mutmut gives them."""
    text = (home / "mutants" / "majordomo_cascade" / f"{room}.py").read_text()
    lines, found = text.splitlines(), {}
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and "__mutmut_" in node.name:
            found[node.name] = [line.replace(node.name, "") for line in lines[node.lineno - 1 : node.end_lineno]]
    return found


def identity(room: str, name: str, functions: dict[str, list[str]]) -> str:
    """A mutant by what was changed, as ``health.Breaker._fail: self._failures += 1 -> self._failures -= 1``."""
    mangled = name.rpartition(".")[2]
    function = mangled.rpartition("__mutmut_")[0]
    before, after = functions[f"{function}__mutmut_orig"], functions[mangled]
    changes = list(difflib.ndiff(before, after))
    old, new = (" ".join(" ".join(line[2:] for line in changes if line.startswith(sign)).split()) for sign in "-+")
    place = ".".join(function[2:].split("ǁ"))  # xǁClassǁmethod or x_function
    return f"{room}.{place}: {old} -> {new}"


def excused() -> dict[str, str]:
    """The survivors that are none of the tests' business, and why."""
    reasons = tomllib.loads(SURVIVORS.read_text())["reason"]
    return {mutant: reason["why"] for reason in reasons for mutant in reason["mutants"]}


def killed(mutants: list[Mutant]) -> float:
    """Which part of them somebody noticed."""
    return 1 - sum(mutant.survived for mutant in mutants) / max(len(mutants), 1)


def report(found: dict[str, list[Mutant]]) -> bool:
    """Print what became of them all; whether enough were killed, and all others are accounted for."""
    known, everything = excused(), [mutant for mutants in found.values() for mutant in mutants]
    print(f"{'room':<12} {'mutants':>8} {'by types':>9} {'by tests':>9} {'survived':>9} {'killed':>7}")
    for room, mutants in (*found.items(), ("all", everything)):
        tried = [mutant for mutant in mutants if mutant.is_tried]
        survived, typed = sum(mutant.survived for mutant in tried), sum(mutant.code == BY_TYPES for mutant in tried)
        tested = len(tried) - survived - typed
        print(f"{room:<12} {len(tried):>8} {typed:>9} {tested:>9} {survived:>9} {killed(tried):>7.1%}")
        if len(tried) < len(mutants):
            print(f"{'':<12} {len(mutants) - len(tried):>8} were not tried (see the room's log in {WORK})")
    survivors = sorted({mutant.identity for mutant in everything if mutant.survived})
    unknown = [one for one in survivors if one not in known]
    gone = [one for one in known if one.partition(".")[0] in found and one not in survivors]
    for title, names in (("without a reason in survivors.toml", unknown), ("listed there, but killed", gone)):
        print(f"\n{len(names)} {title}", *names, sep="\n  ")
    has_tried_all = all(mutants and all(mutant.is_tried for mutant in mutants) for mutants in found.values())
    return not unknown and has_tried_all and killed(everything) >= LEAST


def main(words: list[str]) -> int:
    """Run what is asked for."""
    again, rooms = "--again" in words, [word for word in words if not word.startswith("-")]
    if unknown := set(rooms) - set(ROOMS):
        print(f"there is no room {min(unknown)!r}; expected some of {', '.join(ROOMS)}")
        return 2
    found: dict[str, list[Mutant]] = {}
    for room in rooms or ROOMS:
        found[room] = run(room, again=again)
        print(f"{room}: {sum(mutant.survived for mutant in found[room])} of {len(found[room])} survived", flush=True)
    return 0 if report(found) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
