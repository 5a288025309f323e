"""Check the targets of a cascade, and their order, without asking them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from itertools import pairwise
from typing import Any

from .gateway import KeyState, TargetClient, facts_of, find_key
from .report import Report

#: Days before a model retires in which to plan for it.
RETIRES_SOON = 90

#: What a fallback can't do, and what it means.
LOSSES = {
    "tools": "can't call tools, which {first} can: a call with tools fails there",
    "json_schema": "takes no JSON Schema, which {first} does: its JSON is less sure",
    "vision": "can't see images, which {first} can: a call with images fails there",
}
#: The same for its limits.
LIMITS = {
    "max_input_tokens": "reads at most {own:,} tokens, {first} {other:,}: a longer prompt fails",
    "max_output_tokens": "writes at most {own:,} tokens, {first} {other:,}: longer answers are cut",
}


@dataclass(frozen=True, slots=True)
class CheckRow:
    """The facts about a target, by LiteLLM's price list. None is unknown, which is not a no."""

    target: str
    """Its name."""
    provider: str
    model: str
    key: KeyState
    """"unknown" where none may be needed: own servers, cloud logins, unfamiliar providers."""
    known: bool
    """Whether the price list has the model."""
    retires: date | None
    max_input_tokens: int | None
    max_output_tokens: int | None
    tools: bool | None
    json_schema: bool | None
    vision: bool | None
    input_cost: float | None
    """US dollars for a million tokens, as ``output_cost``."""
    output_cost: float | None


@dataclass(frozen=True, slots=True)
class CheckReport(Report):
    """The facts about each target, and advice on their order. ``print`` shows a table."""

    ok: bool
    """False if a key is missing. Advice alone is ok."""
    advice: tuple[str, ...]
    """Sentences that say what to do."""
    rows: tuple[CheckRow, ...]
    """One a target, in order of preference."""

    def _sentences(self) -> Sequence[str]:
        return self.advice


def check_targets(clients: Sequence[TargetClient], today: date) -> CheckReport:
    """Return the report on a cascade's targets."""
    rows: list[CheckRow] = []
    advice: list[str] = []
    vendors = []
    for client in clients:
        target, sent = client.target, client.sent()
        key, variables = find_key(target, sent)
        row = CheckRow(target.name, target.provider, target.model, key, **facts_of(target, sent))
        rows.append(row)
        vendors.append((row.provider, sent.get("api_base")))
        if key == "missing":
            names = " or ".join(variables)
            advice.append(f"{row.target} has no API key: set {names}, or api_key=… on its Target")
        if not row.known and row.input_cost is None and "api_base" not in sent:
            advice.append(
                f"{row.target} is not in LiteLLM's price list, so little is known of it: look for "
                "a slip in its name, or give base_model=…"
            )
        advice += _advise_on_dates(row, today)
        advice += _advise_on_max_tokens(row, sent)
        advice += _compare(row, rows[0])
    if len(set(vendors)) == 1:
        only = rows[0].provider
        advice.append(f"an outage of {only} leaves no target to ask: add one of another vendor")
    else:
        pairs = pairwise(zip(rows, vendors, strict=True))
        advice += [
            f"an outage of {one.provider} takes {one.target} and {other.target}, which follow "
            "each other: put another vendor's between them"
            for (one, vendor), (other, other_vendor) in pairs
            if vendor == other_vendor
        ]
    return CheckReport(all(row.key != "missing" for row in rows), tuple(advice), tuple(rows))


def _advise_on_dates(row: CheckRow, today: date) -> Iterator[str]:
    if row.retires is not None:
        days = (row.retires - today).days
        if days <= 0:
            yield f"{row.target} retired on {row.retires}: put a newer model in its place"
        elif days <= RETIRES_SOON:
            yield f"{row.target} retires on {row.retires} (days left: {days}): replace it by then"


def _advise_on_max_tokens(row: CheckRow, sent: Mapping[str, Any]) -> Iterator[str]:
    ceiling = row.max_output_tokens
    for name in ("max_tokens", "max_completion_tokens"):
        wanted = sent.get(name)
        if ceiling and isinstance(wanted, int) and wanted > ceiling:
            yield (
                f"{row.target} writes at most {ceiling:,} tokens; your {name} of {wanted:,} kills "
                f"it: set overrides={{'{name}': {ceiling:_}}} on its Target"
            )


def _compare(row: CheckRow, first: CheckRow) -> Iterator[str]:
    """Yield what a target can't do, but the first one can."""
    for name, loss in LIMITS.items():
        own, other = getattr(row, name), getattr(first, name)
        if own and other and own < other:
            yield f"{row.target} {loss.format(own=own, first=first.target, other=other)}"
    for name, loss in LOSSES.items():
        if getattr(first, name) and getattr(row, name) is False:
            yield f"{row.target} {loss.format(first=first.target)}"
