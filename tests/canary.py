"""A pytest plugin (``-p canary``) that says in one page what of LiteLLM has changed; ``make canary`` runs it.

The facts are the tests marked ``litellm_fact``. The page is printed, and written to the file that CANARY_PAGE names.
CANARY_NOTE is a line for its head, CANARY_BASELINE a folder of installed packages to compare the versions with.
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
#: Names that are listed, and characters that are quoted.
LONGEST_LIST, LONGEST_LINE = 30, 160


@dataclass
class Fact:
    """What is known of one fact after the tests that pin it have run."""

    sentence: str
    topic: str
    workaround: str | None = None
    """The room that goes round it: where it has changed, that is no failure."""
    held: int = 0
    changed: list[str] = field(default_factory=list)
    """The cases in which it is no longer so; [""] for a test without parameters."""
    said: str = ""
    """What the first of them said."""

    @property
    def state(self) -> str:
        """In a word."""
        if self.changed:
            return "changed"
        return "held" if self.held else "not tried"

    @property
    def is_failure(self) -> bool:
        """Whether this package relies on it in vain."""
        return bool(self.changed) and self.workaround is None


def page(
    facts: Iterable[Fact],
    failed: Iterable[str],
    versions: Mapping[str, tuple[str, str]],
    classes: tuple[Iterable[str], Iterable[str]],
    note: str = "",
    run: str = "",
) -> str:
    """The page: ``failed`` are other tests, ``versions`` here and before, ``classes`` the new and the vanished."""
    facts, failed, (new, vanished) = list(facts), sorted(failed), (sorted(classes[0]), sorted(classes[1]))
    lines = [
        "# What this LiteLLM does",
        "",
        *([note, ""] if note else []),
        "| package | here | before |",
        "|---|---|---|",
    ]
    lines += [f"| {name} | {here} | {before or '-'} |" for name, (here, before) in versions.items()]
    broken = [fact for fact in facts if fact.is_failure]
    mended = [fact for fact in facts if fact.changed and not fact.is_failure]
    for title, some in (("Relied on, and changed", broken), ("Gone round, and changed", mended)):
        lines += ["", f"## {title}: {len(some)}"]
        for fact in some:
            cases = ", ".join(filter(None, fact.changed))
            where = f" ({cases}{f'; held in {fact.held} more' if fact.held else ''})" if cases else ""
            lines += ["", f"- {fact.topic}: {fact.sentence}{where}", f"  {fact.said}"]
            if fact.workaround:
                lines += [f"  -> {fact.workaround}: may go, if this is good news, and so in the lowest LiteLLM allowed"]
    lines += ["", "## Exception classes", "", f"- new, without a verdict: {', '.join(new) or 'none'}"]
    lines += [f"- not in this version: {', '.join(vanished) or 'none'}", "", "## All facts", ""]
    lines += ["| topic | LiteLLM … | |", "|---|---|---|"]
    lines += [f"| {f.topic} | {f.sentence} | {f.state} |" for f in sorted(facts, key=lambda f: (f.topic, f.sentence))]
    lines += ["", f"## Other tests that failed: {len(failed)}", "", *(f"- {name}" for name in failed[:LONGEST_LIST])]
    lines += [f"- and {len(failed) - LONGEST_LIST} more"] * (len(failed) > LONGEST_LIST)
    held = sum(fact.state == "held" for fact in facts)
    told = (
        f"{held} of {len(facts)} facts held, {len(mended)} that are gone round changed, {len(broken)} relied on changed"
    )
    verdict = "Nothing broke" if not (broken or failed) else "This LiteLLM breaks something"
    return "\n".join([*lines, "", f"**{verdict}**: {told}, {len(failed)} other tests failed{run}.", ""])


class Canary:
    """Watches the tests, and writes the page when they are over."""

    def __init__(self) -> None:
        self.facts: dict[str, Fact] = {}
        self.failed: list[str] = []
        self._pinned: dict[str, Fact] = {}
        self._passed = 0

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        """Learn which tests pin facts."""
        for item in items:
            for mark in item.iter_markers("litellm_fact"):
                fact = Fact(mark.args[0], mark.kwargs["topic"], mark.kwargs.get("workaround"))
                self._pinned[item.nodeid] = self.facts.setdefault(fact.sentence, fact)

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """Note a file that could not be read."""
        if report.failed:
            self.failed.append(f"{report.nodeid} (not collected)")

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Note how a test went."""
        fact, is_call = self._pinned.get(report.nodeid), report.when == "call"
        self._passed += report.passed and is_call
        if report.failed or hasattr(report, "wasxfail"):
            if fact is None or not is_call or (fact.workaround and report.failed):  # that test is broken
                self.failed.append(report.nodeid)
                return
            fact.changed.append(report.nodeid.partition("[")[2].removesuffix("]"))
            fact.said = fact.said or last_words(report)
        elif fact is not None and is_call and report.passed:
            fact.held += 1

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Write the page."""
        from test_verdicts import VERDICTS, exceptions_of_litellm

        here = exceptions_of_litellm().keys()
        text = page(
            self.facts.values(),
            self.failed,
            versions(os.environ.get("CANARY_BASELINE", "")),
            (here - VERDICTS.keys(), VERDICTS.keys() - here),
            os.environ.get("CANARY_NOTE", ""),
            f", {self._passed} passed",
        )
        if path := os.environ.get("CANARY_PAGE"):
            Path(path).parent.mkdir(parents=True, exist_ok=True)
            Path(path).write_text(text)
        terminalreporter.write("\n" + text)


def last_words(report: pytest.TestReport) -> str:
    """What a failed test said, on one line."""
    crash = getattr(report.longrepr, "reprcrash", None)
    first = str(crash.message if crash else report.longrepr).strip().partition("\n")[0]
    return first if len(first) <= LONGEST_LINE else f"{first[:LONGEST_LINE]}…"


def versions(baseline: str) -> dict[str, tuple[str, str]]:
    """The versions here, and those in a folder of installed packages."""
    before = {d.name.lower(): d.version for d in metadata.distributions(path=[baseline])} if baseline else {}
    found = {name: (metadata.version(name), before.get(name, "")) for name in PACKAGES}
    return {"python": (platform.python_version(), ""), **found}


def pytest_configure(config: pytest.Config) -> None:
    """Take part."""
    config.pluginmanager.register(Canary(), "canary-page")
