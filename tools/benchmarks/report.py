"""The table, the goals, and the block of docs/benchmarks.md, all made from ``results.json``."""

from __future__ import annotations

import operator
import textwrap
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

Results = dict[str, Any]
Row = list[str]

RESULTS = Path(__file__).parent / "results.json"
PAGE = Path(__file__).parents[2] / "docs" / "benchmarks.md"
BEGIN, END = "<!-- bench -->", "<!-- /bench -->"
#: The columns of the table and of the page's lines.
WIDTH = 98
#: Stands for a figure that was not measured.
NONE = "-"


@dataclass(frozen=True)
class Goal:
    """A figure that the package must reach."""

    what: str
    figure: Callable[[Results], float]
    sign: str
    """``<=`` or ``>=``."""
    limit: float

    def check(self, results: Results) -> dict[str, Any]:
        """Return the figure, the goal, and whether it is met."""
        figure = self.figure(results)
        compare = operator.le if self.sign == "<=" else operator.ge
        return {
            "what": self.what,
            "figure": float(f"{figure:.4g}"),
            "goal": f"{self.sign} {self.limit:g}",
            "met": compare(figure, self.limit),
        }


def own_time(results: Results) -> float:
    """Return the median µs that a healthy call spends outside ``litellm.acompletion``."""
    return float(results["own"]["cascade"]["median"])


def chunk_time(results: Results) -> float:
    """Return the median µs that a chunk takes of the event loop, by the slower way."""
    chunks = results["chunks"]
    return float(max(chunks[way]["thread"]["median"] for way in CHUNKS if way != "litellm"))


def outage_ratio(results: Results) -> float:
    """Return how many times as long as a healthy bare call a call deep in an outage takes."""
    found = results["outage_equal"]["cascade"]
    return float(found["deep"]["median"] / found["bare"]["median"])


def import_ratio(results: Results) -> float:
    """Return how many times as long as our import LiteLLM's takes."""
    imports = results["imports"]
    ours, litellms = imports["cascade"]["import_s"], imports["litellm"]["import_s"]
    return float(litellms["median"] / ours["median"])


GOALS = (
    Goal("a healthy call's time outside litellm.acompletion, µs", own_time, "<=", 40),
    Goal("a stream's chunk, CPU of the event loop over bare LiteLLM, µs", chunk_time, "<=", 20),
    Goal("a call in an outage : a healthy bare call", outage_ratio, "<=", 1.05),
    Goal("import litellm : import majordomo_cascade", import_ratio, ">=", 12),
)


def check_goals(results: Results) -> list[dict[str, Any]]:
    """Check all goals."""
    return [goal.check(results) for goal in GOALS]


#: Labels of the ways to ask whose own time is measured.
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
#: Labels of the ways to stream.
CHUNKS = {
    "litellm": "litellm.acompletion, bare: all of it",
    "cascade_acompletion": "acompletion(stream=True): over the bare one",
    "cascade_stream": "get_response_stream: over the bare one",
}


def number(value: float) -> str:
    """Write a number with three digits."""
    value = float(f"{value:.3g}")
    if abs(value) >= 1_000:
        return f"{value:,.0f}"
    if abs(value) >= 100:
        return f"{value:.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"


def spread(figure: dict[str, float]) -> str:
    """Write a median and its quartiles."""
    lower, upper = number(figure["lower"]), number(figure["upper"])
    return f"{number(figure['median'])} ({lower}-{upper})"


def median(figure: dict[str, float]) -> str:
    """Write a median alone."""
    return number(figure["median"])


def cell(
    found: dict[str, Any], *path: str, show: Callable[[dict[str, float]], str] = spread
) -> str:
    """Write a figure of the results, if it was measured."""
    at: Any = found
    for name in path:
        if name not in at:
            return NONE
        at = at[name]
    return show(at)


def lay_out(header: Row, rows: list[Row]) -> str:
    """Lay out columns: the first is aligned to the left, the others to the right."""
    widths = [max(len(row[place]) for row in (header, *rows)) for place in range(len(header))]

    def line(row: Row) -> str:
        first = row[0].ljust(widths[0])
        others = [text.rjust(width) for text, width in zip(row[1:], widths[1:], strict=True)]
        return "  ".join([first, *others]).rstrip()

    rule = "  ".join("-" * width for width in widths)
    return "\n".join([line(header), rule, *map(line, rows)])


Column = Callable[[dict[str, Any]], str]
Section = tuple[str, str]


def table(results: Results) -> str:
    """Write everything as plain text."""
    sections = [
        ("What failover costs", "\n".join(_facts(results))),
        *_calls(results),
        *_crowds(results),
        *_costs(results),
        *_own(results),
        *_verdicts(results),
    ]
    return "\n\n".join(f"{title}\n{body}" for title, body in sections) + "\n"


def _facts(results: Results) -> list[str]:
    """Say where and with what it ran."""
    machine, versions = results["machine"], results["versions"]
    host = f"{machine['cores']} cores of {machine['cpu']}"
    packages = ", ".join(f"{name} {version}" for name, version in versions.items())
    method = (
        "One loopback server in a process of its own, OpenAI's wire, warm connections, another "
        "order every round. In an outage nobody has asked the backup before. Calls 2 to 99 are "
        "made one by one without retries, all at once by default. Requests: those that the primary "
        "saw of one call. LiteLLM computes the price of its answers, the others don't. Medians "
        "(and quartiles). Floors: litellm.acompletion for all that call LiteLLM, the bare client "
        "for the others."
    )
    return [
        f"{results['date']}, {host}, {machine['system']}, {machine['python']}",
        *textwrap.wrap(packages, WIDTH),
        *textwrap.wrap(method, WIDTH),
    ]


def _of(*path: str, show: Callable[[dict[str, float]], str] = spread) -> Column:
    return lambda found: cell(found, *path, show=show)


def _rows(results: Results, where: str, *columns: Column) -> list[Row]:
    contenders = results["contenders"]
    return [
        [contenders[name]["label"], *(column(found) for column in columns)]
        for name, found in results[where].items()
    ]


def _count(found: dict[str, Any], what: str = "time") -> str:
    """Write how many values the figures are of."""
    return f" (n = {found['cascade'][what]['n']})"


def _added(results: Results, where: str) -> str:
    """Write time and CPU of a scenario, and how much is added to the floor's."""
    columns = [_of(what) for what in ("time", "time_added", "cpu", "cpu_added")]
    header = ["", "time, ms", "over its floor", "CPU, ms", "over its floor"]
    return lay_out(header, _rows(results, where, *columns))


def _calls(results: Results) -> Iterable[Section]:
    """Write scenarios 1 to 4: one call at a time."""
    yield f"1. A healthy call{_count(results['healthy'])}", _added(results, "healthy")
    for how, terms in (
        ("equal", "no retries, breakers alike"),
        ("default", "default settings"),
    ):
        found = results[f"outage_{how}"]
        title = (
            f"2. The first call of an outage{_count(found, 'first')}, "
            f"3. the 100th{_count(found, 'deep')}; {terms}"
        )
        yield title, _outage(results, f"outage_{how}")
    timeout = results["settings"]["hung_timeout_s"]
    title = f"4. A hung primary: time to an answer, with {timeout} s for an attempt"
    yield title, _hung(results)


def _outage(results: Results, where: str) -> str:
    def ratio(found: dict[str, Any]) -> str:
        return f"{found['deep']['median'] / found['bare']['median']:.2f}"

    columns = [
        _of("first"),
        _of("first_requests", show=median),
        _of("deep"),
        _of("deep_requests", show=median),
        _of("bare", show=median),
        ratio,
    ]
    header = ["", "first, ms", "req.", "100th, ms", "req.", "bare, ms", "ratio"]
    return lay_out(header, _rows(results, where, *columns))


def _hung(results: Results) -> str:
    columns = [_of("first"), _of("first_requests", show=median)]
    equal = _rows(results, "hung_equal", *columns)
    default = _rows(results, "hung_default", *columns)
    rows = [[*one, *other[1:]] for one, other in zip(equal, default, strict=True)]
    header = [
        "",
        f"no retries, ms{_count(results['hung_equal'], 'first')}",
        "requests",
        f"defaults, ms{_count(results['hung_default'], 'first')}",
        "requests",
    ]
    return lay_out(header, rows)


def _crowds(results: Results) -> Iterable[Section]:
    """Write scenario 5: many calls in flight."""
    levels = ("1", "50", "500")
    columns = {
        mode: [
            _of(mode, level, what, show=median)
            for what in ("rate", "p50_ms", "p99_ms")
            for level in levels
        ]
        for mode in ("healthy", "outage")
    }
    header = ["", "1/s at 1", "50", "500", "p50 at 1", "50", "500", "p99 at 1", "50", "500"]
    count = _count(results["load"], "memory_kb")
    for mode, state in (
        ("healthy", "healthy"),
        ("outage", "deep in an outage, no retries, breakers alike"),
    ):
        title = f"5. Calls in flight{count}: a second, p50 and p99 in ms; {state}"
        yield title, lay_out(header, _rows(results, "load", *columns[mode]))
    memory = lay_out(["", "KB"], _rows(results, "load", _of("memory_kb")))
    yield "5. Memory of a call in flight, of 500 that wait", memory


def _costs(results: Results) -> Iterable[Section]:
    """Write scenarios 6 to 8: streams, imports, structured output."""
    yield f"6. The first text of a stream{_count(results['stream'])}", _added(results, "stream")
    columns = []
    for step in ("import", "built", "answered"):
        columns += [_of(f"{step}_s"), _of(f"{step}_mb", show=median)]
    header = ["", "import, s", "MB", "built, s", "MB", "first answer, s", "MB"]
    count = _count(results["imports"], "import_s")
    title = f"7. Import, the first one built, and until its first answer{count}"
    yield title, lay_out(header, _rows(results, "imports", *columns))
    count = _count(results["structured"])
    title = f"8. A value of 50 fields{count}; the bare calls have a schema ready and parse nothing"
    yield title, _added(results, "structured")


def _own(results: Results) -> Iterable[Section]:
    """Write each layer's own time."""
    rows = [[OWN[name], spread(figure)] for name, figure in results["own"].items()]
    count = results["own"]["cascade"]["n"]
    title = f"Own time of a call, all below it replaced by a prepared answer (n = {count})"
    yield title, lay_out(["", "µs"], rows)
    rows = []
    for way, label in CHUNKS.items():
        found = results["chunks"][way]
        rows.append([label, spread(found["thread"]), spread(found["process"])])
    length, count = results["settings"]["chunks"], results["chunks"]["litellm"]["thread"]["n"]
    title = f"9. CPU of a chunk, of a stream of {length} (n = {count})"
    yield title, lay_out(["", "event loop, µs", "process, µs"], rows)


def _verdicts(results: Results) -> Iterable[Section]:
    """Write the goals, and how each contender is set up."""
    rows = [
        [goal["what"], f"{goal['figure']:,.4g}", goal["goal"], "yes" if goal["met"] else "NO"]
        for goal in results["goals"]
    ]
    yield "Goals", lay_out(["", "figure", "goal", "met"], rows)
    lines: list[str] = []
    for contender in results["contenders"].values():
        lines += textwrap.wrap(f"{contender['label']}: {contender['note']}.", WIDTH)
    yield "How each is set up", "\n".join(lines)


COLUMNS = (
    "",
    "healthy call",
    "added",
    "outage, 1st call",
    "100th call",
    "hung primary",
    "50 fields, added",
    "KB a call",
)


def block(results: Results) -> str:
    """Write what stands between the marks on the page."""
    return "\n".join([BEGIN, *_block(results), END])


def _block(results: Results) -> Iterable[str]:
    for point in _points(results):
        yield from textwrap.wrap(point, WIDTH, initial_indent="* ", subsequent_indent="  ")
    yield ""
    yield from textwrap.wrap(_source(results), WIDTH)
    yield ""
    yield f"| {' | '.join(COLUMNS)} |"
    yield "|---" + "|--:" * (len(COLUMNS) - 1) + "|"
    for name, contender in results["contenders"].items():
        cells = [contender["label"], *_cells(results, name, is_floor=contender["floor"] == name)]
        yield f"| {' | '.join(cells)} |"


def _cells(results: Results, name: str, *, is_floor: bool) -> Row:
    def added(where: str) -> str:
        return NONE if is_floor else median(results[where][name]["time_added"])

    return [
        median(results["healthy"][name]["time"]),
        added("healthy"),
        _both(results, "outage", name, "first"),
        _both(results, "outage", name, "deep"),
        _both(results, "hung", name, "first"),
        added("structured"),
        median(results["load"][name]["memory_kb"]),
    ]


def _both(results: Results, where: str, name: str, what: str) -> str:
    """Write a figure with default settings, and without retries."""
    if name not in results[f"{where}_default"]:
        return NONE
    default = median(results[f"{where}_default"][name][what])
    equal = median(results[f"{where}_equal"][name][what])
    return f"{default} / {equal}"


def _points(results: Results) -> Iterable[str]:
    """Say what the figures mean, in words that stay true whatever they are."""
    own, healthy = results["own"], results["healthy"]
    equal, default, hung = (
        results["outage_equal"],
        results["outage_default"],
        results["hung_default"],
    )

    def ms(found: dict[str, Any], name: str, what: str = "time") -> str:
        return f"{median(found[name][what])} ms"

    yield (
        f"**A healthy call**: this package itself takes {median(own['cascade'])} µs, with "
        "attempts, message checks, timeouts, cost and logging on, measured without a socket. "
        f"(LiteLLM's Router takes {median(own['router'])}, pydantic-ai "
        f"{median(own['pydantic_ai'])}, LangChain {median(own['langchain'])}.)"
    )
    bare = results["chunks"]["litellm"]["thread"]
    yield (
        f"**A stream**: a chunk keeps the event loop busy {number(chunk_time(results))} µs longer "
        f"than with bare LiteLLM, which needs {median(bare)} µs."
    )
    yield (
        "**An outage** (the first provider answers 503): the first call takes "
        f"{ms(default, 'cascade', 'first')} with the default three attempts and their waits. "
        "Then the breaker asks that provider last: the hundredth call takes "
        f"{ms(default, 'cascade', 'deep')}, and without retries {outage_ratio(results):.2f} times "
        "a healthy bare call. LiteLLM's Router does the same where `allowed_fails` is set "
        f"({ms(equal, 'router', 'deep')}), but not by default ({ms(default, 'router', 'deep')})."
    )
    yield f"**A hung provider** costs one timeout, here of 0.5 s: {ms(hung, 'cascade', 'first')}."
    yield (
        f"**LiteLLM has its price**: {ms(healthy, 'litellm')} a call, where OpenAI's own client "
        f"takes {ms(healthy, 'openai')}, and about 10 ms of CPU for a call that fails. Without it, "
        f"a healthy call is quicker ({ms(healthy, 'pydantic_ai')} with pydantic-ai, "
        f"{ms(healthy, 'cascade')} here), and so is the first of an outage without retries "
        f"({ms(equal, 'pydantic_ai', 'first')}, {ms(equal, 'cascade', 'first')} here)."
    )


def _source(results: Results) -> str:
    machine = results["machine"]
    return (
        "Medians in ms, with each one's defaults / without retries, on "
        f"{machine['cores']} cores of {machine['cpu']}, {machine['python']}, {results['date']}. "
        "`tools/benchmarks/results.json` holds them with their spread, and how each was set up; "
        "`make bench` measures them anew."
    )


def rewrite(page: str, results: Results) -> str:
    """Return the page with these results.

    Raises:
        ValueError: it has no place for them.
    """
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"the page has no {BEGIN} and {END}")
    return before + block(results) + after
