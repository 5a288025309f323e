"""Ask every target of a cascade itself, in every way, as in a fire drill."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

from .errors import UnsupportedRequestError
from .gateway import PAST_CACHE, format_blame
from .options import Target
from .report import Report, message_of

logger = logging.getLogger("majordomo_cascade")

Way = Literal["text", "json", "stream"]

WAYS: tuple[Way, ...] = get_args(Way)

QUESTION = "Which city is the capital of France, and in which country is it?"


@dataclass(frozen=True)
class City:
    """The value that is asked for as JSON."""

    city: str
    country: str


@dataclass(frozen=True, slots=True)
class DrillRow:
    """One target's answer in one way."""

    target: str
    """Its name."""
    provider: str
    model: str
    way: Way
    """"json" is a value of a type, in the mode that the cascade would use."""
    ok: bool
    error: Exception | None
    """For a refused JSON Schema an ``UnsupportedRequestError``, and for an answer that does not
    keep to it a ``ResponseParsingError``."""
    seconds: float
    """To the end of the answer."""
    first_token: float | None
    """Seconds until the first content of a stream."""
    cost: float | None
    """US dollars; None if no answer came, or it has no price."""


@dataclass(frozen=True, slots=True)
class DrillReport(Report):
    """Every target's answers. ``print`` shows a table."""

    ok: bool
    """Whether every target answered in every way."""
    rows: tuple[DrillRow, ...]
    """Three a target, in order of preference."""

    def _sentences(self) -> list[str]:
        """Tell each error once, however many ways met it."""
        ways: dict[str, list[str]] = {}
        for row in self.rows:
            if row.error is not None:
                reason = message_of(row.error).removeprefix(f"{row.target}: ")
                told = f"{row.target}: {type(row.error).__name__}: {reason}"
                ways.setdefault(told, []).append(row.way)
        return [f"{told} ({', '.join(ways[told])})" for told in ways]


async def drill_all(
    cascades: Sequence[Any],
    now: Callable[[], float],
    on_row: Callable[[DrillRow], object] | None,
) -> DrillReport:
    """Ask cascades of one target each, all at once, each in one way after the other."""

    async def ask(cascade: Any) -> list[DrillRow]:
        rows = []
        for way in WAYS:
            rows.append(await _ask(cascade, way, now))
            try:
                if on_row is not None:
                    on_row(rows[-1])
            except Exception:
                logger.exception("on_row raised; the drill goes on")
        return rows

    asked = await asyncio.gather(*map(ask, cascades))
    rows = tuple(row for each in asked for row in each)
    return DrillReport(all(row.ok for row in rows), rows)


async def _ask(cascade: Any, way: Way, now: Callable[[], float]) -> DrillRow:
    [target] = cascade.targets
    began = now()
    stream = response = error = None
    try:
        if way == "text":
            response = await cascade.get_response(QUESTION, **PAST_CACHE)
        elif way == "json":
            response = await cascade.get_structured_json_response(City, QUESTION, **PAST_CACHE)
        else:
            stream = await cascade.get_response_stream(QUESTION, **PAST_CACHE)
            response = await stream.collect()
    except Exception as raised:
        is_refused = way == "json" and format_blame(raised) == "refused"
        error = _refusal(target, raised) if is_refused else raised
    attempts = getattr(error or response, "attempts", ())
    return DrillRow(
        target.name,
        target.provider,
        target.model,
        way,
        error is None,
        error,
        round(now() - began, 3),
        stream and round(stream.time_to_first_token, 3),
        attempts[-1].cost if attempts else None,
    )


def _refusal(target: Target, error: Exception) -> UnsupportedRequestError:
    """Return the error for a refusal of the way in which JSON was asked for."""
    reason = message_of(error).removeprefix(f"{target.name}: ")
    message = (
        f"{target.name}: it refuses that way to ask for JSON, so calls ask in a lower one; "
        f"structured_output=… on its Target says which ({reason})"
    )
    refusal = UnsupportedRequestError(message, provider=target.provider, model=target.model)
    refusal.__cause__ = error
    return refusal
