"""From an answer's text to the JSON in it: what was meant, or nothing, in linear time. Pure."""

from __future__ import annotations

import json
import re
from decimal import Decimal
from typing import Any, NamedTuple

_OPENER = re.compile(r"[\[{]")
_CLOSER = {"[": "]", "{": "}"}
_TOKEN = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*"?|[][{}]', re.DOTALL)
_FENCE = re.compile(r"```[\w-]*[ \t]*\r?\n(.*)```", re.DOTALL)


class Found(NamedTuple):
    """A JSON value, and the text that it was read from."""

    text: str
    value: Any


class Number(str):
    """A number with a fraction or an exponent, digit by digit as it was written: a float would round it."""

    __slots__ = ()


def find_json(text: str) -> Found | None:
    """The JSON in an answer: all of it, or what one fence around it all holds, or the last value in its prose.

    In prose only complete objects and arrays count, and an empty one only where there is no other: the first may be
    quoted from the prompt, which is how an injection gets in. A value that runs into the end of the text is a cut
    answer, and nothing inside it is taken. Takes linear time.

    By the letter of RFC 8259: NaN, comments and trailing commas are not JSON, and nothing is repaired. Where it leaves
    a choice: a byte order mark is skipped, and of duplicate keys the last one counts.
    """
    text = text.strip("\ufeff \t\r\n")
    if whole := _decode(text):
        return whole
    if (fence := _FENCE.fullmatch(text)) and (whole := _decode(fence[1])):
        return whole
    found, end = None, 0
    while opener := _OPENER.search(text, end):
        closed = _end_of_stretch(text, opener.start())
        if closed is None:
            return None
        end = closed
        stretch = text[opener.start() : end]
        value = _decode(stretch)
        if value is None and '"' in stretch:
            return None  # no JSON: where its strings end, and so where the next value starts, would be a guess
        if value and (value.value or found is None):
            found = value
    return found


def load_exactly(text: str) -> Any:
    """The value of a JSON text, its floats as ``Number``."""
    return json.loads(text, parse_float=Number)


def load_for_check(text: str) -> Any:
    """The value of a JSON text, for a comparison: 19.99 is a multiple of 0.01, which floats are not."""
    return json.loads(text, parse_float=_exact)


def dump_exactly(value: Any) -> str:
    """The JSON text of a value that ``load_exactly`` gave."""
    if isinstance(value, Number):
        return str(value)
    if isinstance(value, dict):
        return "{" + ",".join(f"{json.dumps(key)}:{dump_exactly(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(dump_exactly, value)) + "]"
    return json.dumps(value)


def _end_of_stretch(text: str, start: int) -> int | None:
    """Behind the bracket that closes, or contradicts, the one at ``start``; None if the text ends first."""
    closers: list[str] = []
    for token in _TOKEN.finditer(text, start):
        if token[0] in _CLOSER:
            closers.append(_CLOSER[token[0]])
        elif token[0] in ("]", "}") and (closers.pop() != token[0] or not closers):
            return token.end()
    return None


def _decode(text: str) -> Found | None:
    """The one JSON value that is all of the text."""
    try:
        return Found(text, json.loads(text, parse_constant=_refuse_constant))
    except (ValueError, RecursionError):
        return None


def _exact(number: str) -> float | Decimal:
    """A number as a Decimal; as a float where it is a whole one, which is an integer to JSON Schema."""
    return whole if (whole := float(number)).is_integer() else Decimal(number)


def _refuse_constant(name: str) -> None:
    """Refuse Python's NaN and Infinity, which are not JSON."""
    raise ValueError(name)
