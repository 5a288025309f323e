"""The plot: the story at a glance, drawn from what ``results.json`` holds."""

# It runs in an environment of its own.
# pyright: reportMissingImports=false
from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from .report import Results, number

OURS, OTHERS, PALE, INK, PAPER = "#0b6e99", "#8a8f98", "#c9cdd3", "#24292f", "#ffffff"
NAMES = {
    "loop": "try/except loop",
    "cascade": "majordomo_cascade",
    "router": "LiteLLM Router",
    "pydantic_ai": "pydantic-ai",
    "langchain": "LangChain",
}

#: A panel: its title, what the numbers are, the two series (a strong and a pale one) and their names.
Values = Callable[[Results, str], float]
Panel = tuple[str, str, Values, Values | None, tuple[str, str]]


def _of(*path: str) -> Values:
    """A median of the results; ``*`` stands for the contender."""

    def value(results: Results, name: str) -> float:
        at: Any = results
        for step in path:
            at = at[name if step == "*" else step]
        return float(at["median"])

    return value


MODES = ("each one's defaults", "no retries")
PANELS: tuple[Panel, ...] = (
    (
        "A healthy call",
        "ms added to the bare client, less is better",
        _of("healthy", "*", "time_added"),
        None,
        ("", ""),
    ),
    (
        "The first call of an outage",
        "ms to the fallback's answer, log scale",
        _of("outage_default", "*", "first"),
        _of("outage_equal", "*", "first"),
        MODES,
    ),
    (
        "The 100th call of an outage",
        "ms to the fallback's answer, log scale",
        _of("outage_default", "*", "deep"),
        _of("outage_equal", "*", "deep"),
        MODES,
    ),
    (
        "A hung primary, 0.5 s an attempt",
        "ms to the fallback's answer, log scale",
        _of("hung_default", "*", "first"),
        _of("hung_equal", "*", "first"),
        MODES,
    ),
    (
        "Throughput, 50 in flight",
        "calls a second, more is better",
        _of("load", "*", "outage", "50", "rate"),
        _of("load", "*", "healthy", "50", "rate"),
        ("in an outage", "healthy"),
    ),
    (
        "A value of 50 fields",
        "ms added to the bare client, less is better",
        _of("structured", "*", "time_added"),
        None,
        ("", ""),
    ),
)


def draw(results: Results, path: Path) -> None:
    """Write the SVG: text as text, a background of its own, and the same bytes for the same results."""
    import matplotlib as mpl

    mpl.use("svg")
    mpl.rcParams.update(
        {
            "svg.hashsalt": "benchmarks",
            "svg.fonttype": "none",
            "font.family": "sans-serif",
            "font.sans-serif": ["DejaVu Sans", "Verdana", "Helvetica", "Arial", "sans-serif"],
            "font.size": 9,
            "text.color": INK,
            "axes.labelcolor": INK,
            "xtick.color": INK,
            "ytick.color": INK,
        }
    )
    from matplotlib import pyplot

    figure, places = pyplot.subplots(3, 2, figsize=(10, 8.2), facecolor=PAPER)
    for place, panel in zip(places.flat, PANELS, strict=True):
        _panel(place, panel, results)
    machine, versions = results["machine"], results["versions"]
    figure.text(
        0.01,
        0.008,
        f"Medians, {results['date']}, {machine['cores']} cores of {machine['cpu']}, {machine['python']}, "
        f"LiteLLM {versions['litellm']}, pydantic-ai {versions['pydantic-ai-slim']}, "
        f"LangChain {versions['langchain-openai']}, one loopback server",
        fontsize=7.5,
        color=OTHERS,
    )
    figure.tight_layout(rect=(0, 0.025, 1, 1), h_pad=2.2, w_pad=2.5)
    figure.savefig(path, metadata={"Date": None, "Creator": None}, facecolor=PAPER)
    pyplot.close(figure)


def _panel(place: Any, panel: Panel, results: Results) -> None:
    """One panel: dots on a log scale, where the two series lie far apart, or bars."""
    title, unit, strong, pale, names = panel
    rows = list(reversed(NAMES))
    place.set_title(title, loc="left", fontsize=10.5, fontweight="bold", pad=20 if pale else 8)
    place.set_xlabel(unit, fontsize=8, loc="left")
    place.set_yticks(range(len(rows)), [NAMES[name] for name in rows])
    for tick, name in zip(place.get_yticklabels(), rows, strict=True):
        tick.set_fontweight("bold" if name == "cascade" else "normal")
        tick.set_color(OURS if name == "cascade" else INK)
    for side in ("top", "right", "left"):
        place.spines[side].set_visible(False)
    place.spines["bottom"].set_color(PALE)
    place.tick_params(axis="y", length=0)
    place.tick_params(axis="x", labelsize=7.5, color=PALE)
    (_dots if "log" in unit else _bars)(place, rows, results, strong, pale)
    if pale:
        _legend(place, names, dots="log" in unit)


def _dots(place: Any, rows: list[str], results: Results, strong: Values, pale: Values | None) -> None:
    place.set_xscale("log")
    ends = []
    for y, name in enumerate(rows):
        colour = OURS if name == "cascade" else OTHERS
        one, other = strong(results, name), pale(results, name) if pale else strong(results, name)
        ends += [one, other]
        place.plot([other, one], [y, y], color=colour, linewidth=1.2, alpha=0.5, zorder=1)
        place.scatter([other], [y], s=34, facecolor=PAPER, edgecolor=colour, linewidth=1.6, zorder=2)
        place.scatter([one], [y], s=40, color=colour, zorder=3)
        is_close = max(one, other) < 1.35 * min(one, other)
        text = number(one) if is_close else f"{number(one)}"
        place.annotate(text, (max(one, other), y), (8, 0), textcoords="offset points", va="center", fontsize=8.5)
        if not is_close:
            place.annotate(
                number(other),
                (min(one, other), y),
                (-8, 0),
                textcoords="offset points",
                va="center",
                ha="right",
                fontsize=8.5,
            )
    place.set_xlim(min(ends) / 2.6, max(ends) * 2.6)
    place.set_ylim(-0.6, len(rows) - 0.4)


def _bars(place: Any, rows: list[str], results: Results, strong: Values, pale: Values | None) -> None:
    highest = max(series(results, name) for name in rows for series in (strong, pale) if series)
    thick = 0.36 if pale else 0.6
    for y, name in enumerate(rows):
        colour = OURS if name == "cascade" else OTHERS
        for series, shift, alpha in ((strong, thick / 2 if pale else 0, 1.0), (pale, -thick / 2, 0.45)):
            if series is None:
                continue
            value = series(results, name)
            place.barh(y + shift, max(value, 0), thick * 0.92, color=colour, alpha=alpha)
            place.annotate(
                number(value),
                (max(value, 0), y + shift),
                (4, 0),
                textcoords="offset points",
                va="center",
                fontsize=8.5 if not pale else 7.5,
            )
    place.set_xlim(0, highest * 1.15)


def _legend(place: Any, names: tuple[str, str], *, dots: bool) -> None:
    full, hollow = ("●", "○") if dots else ("dark", "pale")
    place.text(0, 1.03, f"{full} {names[0]}   {hollow} {names[1]}", transform=place.transAxes, fontsize=8, color=OTHERS)
