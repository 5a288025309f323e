"""Report on one page what LiteLLM has changed: a pytest plugin (``-p canary``) for ``make canary``.

The facts about LiteLLM are the tests marked ``litellm_fact``. The page is printed, and written to
the file that CANARY_PAGE names. CANARY_NOTE is a line at its top. CANARY_BASELINE is a folder of
installed packages to compare versions with.
"""

from __future__ import annotations

import os
import platform
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path

import pytest

PACKAGES = ("litellm", "openai", "pydantic", "httpx", "aiohttp")
#: The most failed tests that are listed.
MAX_LISTED = 30
#: The most characters that are quoted of an error.
MAX_QUOTED = 160


@dataclass
class Fact:
    """A fact about LiteLLM, and what the tests that pin it found."""

    sentence: str
    topic: str
    workaround: str | None = None
    """Our module that works around it; then a change breaks nothing."""
    held: int = 0
    changed: list[str] = field(default_factory=list)
    """The ids of the parameters with which it is no longer true; [""] for a test without any."""
    error: str = ""
    """The first line of the first test's error."""

    @property
    def state(self) -> str:
        """Return "changed", "held" or "not tested"."""
        if self.changed:
            return "changed"
        return "held" if self.held else "not tested"

    @property
    def is_failure(self) -> bool:
        """Tell whether this package relies on a fact that is no longer true."""
        return bool(self.changed) and self.workaround is None

    def lines(self) -> list[str]:
        """Describe the change for the page."""
        cases = ", ".join(filter(None, self.changed))
        if cases and self.held:
            cases += f"; held in {self.held} more"
        where = f" ({cases})" if cases else ""
        lines = ["", f"- {self.topic}: {self.sentence}{where}", f"  {self.error}"]
        if self.workaround:
            lines.append(f"  -> {self.workaround}: can go once the lowest LiteLLM allowed has this")
        return lines


@dataclass
class Classes:
    """LiteLLM's exception classes, compared with those that the tests know."""

    new: list[str]
    vanished: list[str]


def page(
    facts: Iterable[Fact],
    failed: Iterable[str],
    versions: Mapping[str, tuple[str, str]],
    classes: Classes,
    note: str = "",
    passed: int = 0,
) -> str:
    """Write the page.

    Args:
        facts: all facts that are pinned.
        failed: the ids of other tests that failed.
        versions: of each package, the version here and the one in the baseline.
        classes: the exception classes that are new or have vanished.
        note: a line for the top.
        passed: how many tests passed.
    """
    facts = sorted(facts, key=lambda fact: (fact.topic, fact.sentence))
    failed = sorted(failed)
    broken = [fact for fact in facts if fact.is_failure]
    mended = [fact for fact in facts if fact.changed and not fact.is_failure]
    held = sum(fact.state == "held" for fact in facts)

    lines = ["# What this LiteLLM does", ""]
    if note:
        lines += [note, ""]
    lines += ["| package | here | before |", "|---|---|---|"]
    for name, (here, before) in versions.items():
        lines.append(f"| {name} | {here} | {before or '-'} |")
    lines += ["", f"## Changed, and we rely on it: {len(broken)}"]
    for fact in broken:
        lines += fact.lines()
    lines += ["", f"## Changed, and we work around it: {len(mended)}"]
    for fact in mended:
        lines += fact.lines()
    lines += ["", "## Exception classes", ""]
    lines.append(f"- new, without a verdict: {', '.join(classes.new) or 'none'}")
    lines.append(f"- not in this version: {', '.join(classes.vanished) or 'none'}")
    lines += ["", "## All facts", "", "| topic | LiteLLM … | |", "|---|---|---|"]
    for fact in facts:
        lines.append(f"| {fact.topic} | {fact.sentence} | {fact.state} |")
    lines += ["", f"## Other tests that failed: {len(failed)}", ""]
    lines += [f"- {name}" for name in failed[:MAX_LISTED]]
    if len(failed) > MAX_LISTED:
        lines.append(f"- and {len(failed) - MAX_LISTED} more")
    verdict = "This LiteLLM breaks something" if broken or failed else "Nothing broke"
    counts = (
        f"of {len(facts)} facts, {held} held, {len(broken)} that we rely on changed, "
        f"{len(mended)} that we work around changed; "
        f"{len(failed)} other tests failed, {passed} tests passed"
    )
    lines += ["", f"**{verdict}**: {counts}.", ""]
    return "\n".join(lines)


class Canary:
    """Watches the tests and writes the page when they are over."""

    def __init__(self) -> None:
        self.facts: dict[str, Fact] = {}
        self.failed: list[str] = []
        self._facts_by_test: dict[str, Fact] = {}
        self._passed = 0

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        """Learn which tests pin which facts."""
        for item in items:
            for mark in item.iter_markers("litellm_fact"):
                fact = Fact(mark.args[0], mark.kwargs["topic"], mark.kwargs.get("workaround"))
                self._facts_by_test[item.nodeid] = self.facts.setdefault(fact.sentence, fact)

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """Note a file that could not be imported."""
        if report.failed:
            self.failed.append(f"{report.nodeid} (not collected)")

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Note the result of a test."""
        fact = self._facts_by_test.get(report.nodeid)
        is_call = report.when == "call"
        if report.passed and is_call:
            self._passed += 1
            if fact is not None:
                fact.held += 1
        elif report.failed or hasattr(report, "wasxfail"):
            # A change that we work around is an xfail; where such a test fails, it is broken.
            is_broken_test = fact is not None and fact.workaround and report.failed
            if fact is None or not is_call or is_broken_test:
                self.failed.append(report.nodeid)
                return
            fact.changed.append(report.nodeid.partition("[")[2].removesuffix("]"))
            fact.error = fact.error or first_line(report)

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Write the page."""
        text = page(
            self.facts.values(),
            self.failed,
            versions(os.environ.get("CANARY_BASELINE", "")),
            compare_classes(),
            os.environ.get("CANARY_NOTE", ""),
            self._passed,
        )
        if name := os.environ.get("CANARY_PAGE"):
            path = Path(name)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        terminalreporter.write("\n" + text)


def first_line(report: pytest.TestReport) -> str:
    """Return the first line of a failed test's error, shortened."""
    crash = getattr(report.longrepr, "reprcrash", None)
    message = crash.message if crash else report.longrepr
    line = str(message).strip().partition("\n")[0]
    return line if len(line) <= MAX_QUOTED else f"{line[:MAX_QUOTED]}…"


def compare_classes() -> Classes:
    """Compare LiteLLM's exception classes with those of tests/gateway/test_exception_classes.py."""
    from test_exception_classes import VERDICTS, exceptions_of_litellm

    here = exceptions_of_litellm().keys()
    return Classes(new=sorted(here - VERDICTS.keys()), vanished=sorted(VERDICTS.keys() - here))


def versions(baseline: str) -> dict[str, tuple[str, str]]:
    """Return the versions here, and those in a folder of installed packages."""
    before: dict[str, str] = {}
    if baseline:
        for distribution in metadata.distributions(path=[baseline]):
            before[distribution.name.lower()] = distribution.version
    found = {"python": (platform.python_version(), "")}
    for name in PACKAGES:
        found[name] = (metadata.version(name), before.get(name, ""))
    return found


def pytest_configure(config: pytest.Config) -> None:
    """Register the plugin's hooks."""
    config.pluginmanager.register(Canary(), "canary-page")
