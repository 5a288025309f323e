"""The table, the README's block, and the goals: made of what ``results.json`` holds, and of nothing else."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

Results = dict[str, Any]
Row = list[str]

RESULTS = Path(__file__).parent / "results.json"
README = Path(__file__).parents[2] / "README.md"
BEGIN, END = "<!-- bench -->", "<!-- /bench -->"
NONE = "-"


def number(value: float) -> str:
    """Three digits, as people write them."""
    value = float(f"{value:.3g}")
    if abs(value) >= 1_000:
        return f"{value:,.0f}"
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"


def spread(figure: dict[str, float]) -> str:
    """A median and its quartiles."""
    return f"{number(figure['median'])} ({number(figure['lower'])} to {number(figure['upper'])})"


def cell(found: dict[str, Any], *path: str, show: Callable[[dict[str, float]], str] = spread) -> str:
    """A figure of the results, if it was measured."""
    at: Any = found
    for name in path:
        if name not in at:
            return NONE
        at = at[name]
    return show(at)


def median(figure: dict[str, float]) -> str:
    """A median alone."""
    return number(figure["median"])


def laid_out(header: Row, rows: list[Row]) -> str:
    """Columns under their headings, the first to the left and the others to the right."""
    widths = [max(len(row[place]) for row in (header, *rows)) for place in range(len(header))]

    def line(row: Row) -> str:
        first, *others = (
            text.ljust(w) if not i else text.rjust(w) for i, (text, w) in enumerate(zip(row, widths, strict=True))
        )
        return "  ".join([first, *others]).rstrip()

    return "\n".join([line(header), "  ".join("-" * width for width in widths), *map(line, rows)])


def goals(results: Results) -> list[dict[str, Any]]:
    """What design asks for, what came out, and whether that is enough."""
    own, deep = results["own"], results["outage_equal"]
    imports = results["imports"]
    ratio = deep["cascade"]["deep"]["median"] / deep["cascade"]["bare"]["median"]
    share = imports["litellm"]["import_s"]["median"] / imports["cascade"]["import_s"]["median"]
    rows = [
        ("a healthy call's time outside litellm.acompletion, µs", own["cascade"]["median"], "<=", 50.0),
        ("a call while the first provider is down, to a healthy bare one", ratio, "<=", 1.05),
        ("import litellm to import majordomo_cascade, times as long", share, ">=", 12.0),
        ("lines of majordomo_cascade/", results["size"]["lines"], "<=", 2000),
    ]
    return [
        {
            "what": what,
            "figure": float(f"{figure:.4g}"),
            "goal": f"{sign} {number(goal) if goal != 1.05 else goal}",
            "met": figure <= goal if sign == "<=" else figure >= goal,
        }
        for what, figure, sign, goal in rows
    ]


Column = Callable[[dict[str, Any]], str]
Section = tuple[str, str]


def table(results: Results) -> str:
    """All of it as plain text, at most 120 columns wide."""
    sections = [
        ("What failover costs", "\n".join(facts(results))),
        *_calls(results),
        *_crowds(results),
        *_costs(results),
        *_verdicts(results),
    ]
    return "\n\n".join(f"{title}\n{body}" for title, body in sections) + "\n"


def _of(*path: str, show: Callable[[dict[str, float]], str] = spread) -> Column:
    return lambda found: cell(found, *path, show=show)


def _rows(results: Results, where: str, *columns: Column) -> list[Row]:
    labels = results["contenders"]
    return [[labels[name]["label"], *(column(found) for column in columns)] for name, found in results[where].items()]


def _added(results: Results, where: str) -> str:
    """Time and CPU of a scenario, and what is added to the floor's."""
    columns = [_of(what) for what in ("time", "time_added", "cpu", "cpu_added")]
    header = ["", "time, ms", "added to its floor", "CPU, ms", "added to its floor"]
    return laid_out(header, _rows(results, where, *columns))


def _calls(results: Results) -> Iterable[Section]:
    """1 to 4: one call at a time."""
    yield f"1. A healthy call{_count(results['healthy'])}", _added(results, "healthy")
    header = ["", "first, ms", "requests", "100th, ms", "requests", "bare, ms", "100th : bare"]
    columns = [
        _of("first"),
        _of("first_requests", show=median),
        _of("deep"),
        _of("deep_requests", show=median),
        _of("bare", show=median),
        lambda found: f"{found['deep']['median'] / found['bare']['median']:.2f}",
    ]
    for how, terms in (("equal", "no retries, breakers alike"), ("default", "default settings")):
        where = f"outage_{how}"
        first, deep = (_count(results[where], what) for what in ("first", "deep"))
        title = f"2. The first call of an outage{first}, 3. the 100th{deep}; the primary answers 503; {terms}"
        yield title, laid_out(header, _rows(results, where, *columns))
    timeout, default = results["settings"]["hung_timeout_s"], results["hung_default"]
    counts = _count(results["hung_equal"], "first"), _count(default, "first")
    columns = [_of("first"), _of("first_requests", show=median)]
    rows = [
        [*calm, *wild[1:]]
        for calm, wild in zip(
            _rows(results, "hung_equal", *columns), _rows(results, "hung_default", *columns), strict=True
        )
    ]
    header = ["", f"no retries, ms{counts[0]}", "requests", f"defaults, ms{counts[1]}", "requests"]
    yield f"4. A hung primary: time to an answer, with {timeout} s for an attempt", laid_out(header, rows)


def _crowds(results: Results) -> Iterable[Section]:
    """5: many calls in flight."""
    header = ["", "1/s at 1", "at 50", "at 500", "p50 at 1", "at 50", "at 500", "p99 at 1", "at 50", "at 500"]
    for mode, state in (("healthy", "healthy"), ("outage", "deep in an outage, no retries, breakers alike")):
        columns = [
            _of(mode, level, what, show=median) for what in ("rate", "p50_ms", "p99_ms") for level in ("1", "50", "500")
        ]
        title = f"5. Calls in flight{_count(results['load'], 'memory_kb')}: a second, p50 and p99 in ms; {state}"
        yield title, laid_out(header, _rows(results, "load", *columns))
    title = "5. Memory of a call in flight, of 500 that wait"
    yield title, laid_out(["", "KB"], _rows(results, "load", _of("memory_kb")))


def _costs(results: Results) -> Iterable[Section]:
    """6 to 8: streams, imports, structured output; and each layer's own time."""
    yield f"6. The first text of a stream{_count(results['stream'])}", _added(results, "stream")
    columns = [
        _of(f"{what}_{unit}", show=show)
        for what in ("import", "built", "answered")
        for unit, show in (("s", spread), ("mb", median))
    ]
    title = f"7. Import, the first one built, and until its first answer{_count(results['imports'], 'import_s')}"
    header = ["", "import, s", "MB", "built, s", "MB", "first answer, s", "MB"]
    yield title, laid_out(header, _rows(results, "imports", *columns))
    title = f"8. A value of 50 fields{_count(results['structured'])}; the bare calls have a schema ready, parse nothing"
    yield title, _added(results, "structured")
    rows = [[OWN[name], spread(figure)] for name, figure in results["own"].items()]
    title = "Each layer's own time, the call below it replaced by a prepared answer, busy loop"
    yield f"{title}{_count({'cascade': results['own']}, 'cascade')}", laid_out(["", "µs"], rows)


def _verdicts(results: Results) -> Iterable[Section]:
    """The goals, and how each contender is set up."""
    rows = [[g["what"], f"{g['figure']:,.4g}", g["goal"], "yes" if g["met"] else "NO"] for g in results["goals"]]
    yield "Goals", laid_out(["", "figure", "goal", "met"], rows)
    yield "1,000 calls at once through a failing first provider", "None lost, nothing left over: tests/test_load.py."
    notes = [f"{one['label']}: {one['note']}." for one in results["contenders"].values()]
    yield "How each is set up", "\n".join(line for note in notes for line in textwrap.wrap(note, 118))


def _count(found: dict[str, Any], what: str = "time") -> str:
    """How many values the figures are of."""
    return f" (n = {found['cascade'][what]['n']})"


OWN = {
    "cascade": "get_response, five messages",
    "cascade_prompt": "get_response, a prompt",
    "cascade_acompletion": "acompletion, five messages",
    "cascade_json": "get_json_response, five messages",
    "cascade_structured": "get_structured_json_response, a small model, five messages",
    "router": "LiteLLM Router.acompletion, five messages",
    "pydantic_ai": "pydantic-ai FallbackModel, two messages",
    "langchain": "LangChain with_fallbacks, two messages",
}


def facts(results: Results) -> list[str]:
    """Where and with what it ran."""
    machine, versions = results["machine"], results["versions"]
    return [
        f"{results['date']}, {machine['cores']} cores of {machine['cpu']}, {machine['system']}, {machine['python']}",
        *textwrap.wrap(", ".join(f"{name} {version}" for name, version in versions.items()), 118),
        "One loopback server in a process of its own, OpenAI's wire, warm connections, another order every round.",
        "In an outage nobody has talked to the backup before. Calls 2 to 99 are made one by one without retries, all",
        "at once by default. Requests: what the primary saw of one call. LiteLLM prices its answers, the others don't.",
        "Medians (and quartiles). Floors: litellm.acompletion for what calls LiteLLM, the bare client for the others.",
    ]


def block(results: Results) -> str:
    """What stands in the README between the marks."""
    return "\n".join([BEGIN, *_block(results), END])


COLUMNS = (
    "", "healthy call", "added", "outage, 1st call", "100th call", "hung primary", "50 fields, added", "KB a call"
)  # fmt: skip


def _block(results: Results) -> Iterable[str]:
    for point in _points(results):
        yield from textwrap.wrap(point, 118, initial_indent="* ", subsequent_indent="  ")
    yield ""
    yield from textwrap.wrap(_source(results), 118)
    yield ""
    yield f"| {' | '.join(COLUMNS)} |"
    yield "|---" + "|--:" * (len(COLUMNS) - 1) + "|"
    for name, found in results["healthy"].items():
        label, is_floor = results["contenders"][name]["label"], results["contenders"][name]["floor"] == name
        cells = [
            median(found["time"]),
            NONE if is_floor else median(found["time_added"]),
            *(_both(results, where, name, what) for where, what in (("outage", "first"), ("outage", "deep"))),
            _both(results, "hung", name, "first"),
            NONE if is_floor else cell(results["structured"], name, "time_added", show=median),
            cell(results["load"], name, "memory_kb", show=median),
        ]
        yield f"| {label} | {' | '.join(cells)} |"


def _points(results: Results) -> Iterable[str]:
    """What the figures say, in words that stay true whatever they are."""
    own, healthy = results["own"], results["healthy"]
    equal, default, hung = results["outage_equal"], results["outage_default"], results["hung_default"]

    def ms(found: dict[str, Any], name: str, what: str = "time") -> str:
        return f"{median(found[name][what])} ms"

    ratio = next(goal["figure"] for goal in results["goals"] if "first provider" in goal["what"])
    yield (
        f"**A healthy call**: {median(own['cascade'])} µs are this package's own, with attempts, message checks, "
        f"timeouts, cost and logging on, measured without a socket (LiteLLM's Router {median(own['router'])}, "
        f"pydantic-ai {median(own['pydantic_ai'])}, LangChain {median(own['langchain'])})."
    )
    yield (
        f"**An outage** (the first provider answers 503): the first call takes {ms(default, 'cascade', 'first')} with "
        f"the default three attempts and their waits. Then the breaker asks that provider last: the hundredth call "
        f"takes {ms(default, 'cascade', 'deep')}, and without retries {ratio:.2f} times a healthy bare call. LiteLLM's "
        f"Router does so where `allowed_fails` is set ({ms(equal, 'router', 'deep')}), but not by default "
        f"({ms(default, 'router', 'deep')})."
    )
    yield f"**A hung provider** costs one timeout, here of 0.5 s: {ms(hung, 'cascade', 'first')}."
    yield (
        f"**LiteLLM has its price**: {ms(healthy, 'litellm')} a call, where OpenAI's own client takes "
        f"{ms(healthy, 'openai')}, and about 10 ms of CPU for a call that fails. Who goes without it is quicker at a "
        f"healthy call ({ms(healthy, 'pydantic_ai')} with pydantic-ai, {ms(healthy, 'cascade')} here) and at the first "
        f"of an outage without retries ({ms(equal, 'pydantic_ai', 'first')}, {ms(equal, 'cascade', 'first')} here)."
    )


def _source(results: Results) -> str:
    machine = results["machine"]
    return (
        f"Medians in ms, with each one's defaults / without retries, on {machine['cores']} cores of {machine['cpu']}, "
        f"{machine['python']}, {results['date']}. With the spread, and what each was told, they are in "
        "`tests/benchmarks/results.json`; `make bench` measures them anew."
    )


def _both(results: Results, where: str, name: str, what: str) -> str:
    """With each one's defaults, and without retries."""
    if name not in results[f"{where}_default"]:
        return NONE
    return " / ".join(cell(results, f"{where}_{how}", name, what, show=median) for how in ("default", "equal"))


def rewrite(readme: str, results: Results) -> str:
    """The README with these results.

    Raises:
        ValueError: it has no place for them.
    """
    before, begin, rest = readme.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"the README has no {BEGIN} and {END}")
    return before + block(results) + after
