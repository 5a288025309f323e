"""The plot, drawn from ``results.json``."""

# This runs in an environment of its own.
# pyright: reportMissingImports=false
from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .report import Results, number

OURS, OTHERS, PALE, INK, PAPER = "#0b6e99", "#8a8f98", "#c9cdd3", "#24292f", "#ffffff"
SOFT = "#57606a"
#: Two dots that are no further apart than this share one label.
CLOSE = 1.35
NAMES = {
    "loop": "try/except loop",
    "cascade": "majordomo_cascade",
    "router": "LiteLLM Router",
    "pydantic_ai": "pydantic-ai",
    "langchain": "LangChain",
}

Values = Callable[[Results, str], float]


@dataclass(frozen=True)
class Panel:
    """One question, and each contender's figure."""

    title: str
    unit: str
    strong: Values
    pale: Values | None = None
    """A second series, drawn hollow or pale."""
    is_log: bool = False
    """Dots on a log scale, where the two series lie far apart; else bars."""


def _of(*path: str) -> Values:
    """Return a function that reads a median; ``*`` stands for the contender."""

    def value(results: Results, name: str) -> float:
        at: Any = results
        for step in path:
            at = at[name if step == "*" else step]
        return float(at["median"])

    return value


PER_CALL = "ms to the fallback's answer: ● by default  ○ no retries"
PANELS = (
    Panel(
        "A healthy call", "ms added to the bare client below it", _of("healthy", "*", "time_added")
    ),
    Panel(
        "The first call of an outage",
        PER_CALL,
        _of("outage_default", "*", "first"),
        _of("outage_equal", "*", "first"),
        is_log=True,
    ),
    Panel(
        "The 100th call of an outage",
        PER_CALL,
        _of("outage_default", "*", "deep"),
        _of("outage_equal", "*", "deep"),
        is_log=True,
    ),
    Panel(
        "A hung primary, 0.5 s an attempt",
        PER_CALL,
        _of("hung_default", "*", "first"),
        _of("hung_equal", "*", "first"),
        is_log=True,
    ),
    Panel(
        "Throughput, 50 calls in flight",
        "calls a second: dark in an outage (no retries), pale healthy",
        _of("load", "*", "outage", "50", "rate"),
        _of("load", "*", "healthy", "50", "rate"),
    ),
    Panel(
        "A value of 50 fields",
        "ms added to the bare client below it",
        _of("structured", "*", "time_added"),
    ),
)


def draw(results: Results, path: Path) -> None:
    """Write the SVG, with text as text, and the same bytes for the same results."""
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
        f"Medians, {results['date']}, {machine['cores']} cores of {machine['cpu']}, "
        f"{machine['python']}, "
        f"LiteLLM {versions['litellm']}, pydantic-ai {versions['pydantic-ai-slim']}, "
        f"LangChain {versions['langchain-openai']}, one loopback server",
        fontsize=7.5,
        color=SOFT,
    )
    figure.tight_layout(rect=(0, 0.025, 1, 1), h_pad=2.4, w_pad=2.5)
    figure.savefig(path, metadata={"Date": None, "Creator": None}, facecolor=PAPER)
    pyplot.close(figure)


def _panel(place: Any, panel: Panel, results: Results) -> None:
    """Draw a panel."""
    rows = list(reversed(NAMES))
    place.set_title(panel.title, loc="left", fontsize=10.5, fontweight="bold", pad=19)
    place.text(0, 1.035, panel.unit, transform=place.transAxes, fontsize=8, color=SOFT)
    place.set_yticks(range(len(rows)), [NAMES[name] for name in rows])
    for tick, name in zip(place.get_yticklabels(), rows, strict=True):
        tick.set_fontweight("bold" if name == "cascade" else "normal")
        tick.set_color(OURS if name == "cascade" else INK)
    for side in ("top", "right", "left"):
        place.spines[side].set_visible(False)
    place.spines["bottom"].set_color(PALE)
    place.tick_params(axis="y", length=0)
    place.tick_params(axis="x", labelsize=7.5, color=PALE)
    place.set_ylim(-0.6, len(rows) - 0.4)
    for y, name in enumerate(rows):
        colour = OURS if name == "cascade" else OTHERS
        strong, pale = (
            panel.strong(results, name),
            panel.pale(results, name) if panel.pale else None,
        )
        if panel.is_log and pale is not None:
            _dots(place, y, colour, strong, pale)
        else:
            _bars(place, y, colour, strong, pale)
    values = [
        series(results, name) for name in rows for series in (panel.strong, panel.pale) if series
    ]
    if panel.is_log:
        _log_scale(place, min(values) / 3, max(values) * 2.5)
    else:
        place.set_xlim(0, max(values) * 1.15)


def _dots(place: Any, y: int, colour: str, strong: float, pale: float) -> None:
    low, high = sorted((strong, pale))
    place.plot([low, high], [y, y], color=colour, linewidth=1.2, alpha=0.5, zorder=1)
    place.scatter([pale], [y], s=34, facecolor=PAPER, edgecolor=colour, linewidth=1.6, zorder=2)
    place.scatter([strong], [y], s=40, color=colour, zorder=3)
    _label(place, number(high), (high, y), 8)
    if high > CLOSE * low:
        _label(place, number(low), (low, y), -8)


def _bars(place: Any, y: int, colour: str, strong: float, pale: float | None) -> None:
    thick = 0.6 if pale is None else 0.36
    bars = (
        [(strong, 0.0, 1.0)]
        if pale is None
        else [(strong, thick / 2, 1.0), (pale, -thick / 2, 0.45)]
    )
    for value, shift, alpha in bars:
        place.barh(y + shift, max(value, 0), thick * 0.92, color=colour, alpha=alpha)
        _label(
            place, number(value), (max(value, 0), y + shift), 4, size=8.5 if pale is None else 7.5
        )


def _label(
    place: Any, text: str, at: tuple[float, float], points: float, size: float = 8.5
) -> None:
    """Write a number beside its mark."""
    side = "left" if points > 0 else "right"
    place.annotate(
        text, at, (points, 0), textcoords="offset points", va="center", ha=side, fontsize=size
    )


def _log_scale(place: Any, low: float, high: float) -> None:
    """Set a log scale, with powers of ten written in full."""
    place.set_xscale("log")
    place.set_xlim(low, high)
    powers = [10.0**power for power in range(-2, 6) if low <= 10.0**power <= high]
    place.set_xticks(powers, [f"{power:,g}" for power in powers])
    place.minorticks_off()
