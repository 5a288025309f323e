"""Find the JSON in an answer's text, in linear time."""

from __future__ import annotations

import json
import re
from typing import Any, NamedTuple

_OPENER = re.compile(r"[\[{]")
_CLOSER = {"[": "]", "{": "}"}
_TOKEN = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*"?|[][{}]', re.DOTALL)
_FENCE = re.compile(r"```[\w-]*[ \t]*\r?\n(.*)```", re.DOTALL)
# Refuses NaN and Infinity: ``int`` fails over them.
_DECODER = json.JSONDecoder(parse_constant=int)


class Found(NamedTuple):
    """A JSON value, and the text that it was read from."""

    text: str
    value: Any


def find_json(text: str) -> Found | None:
    """Find the JSON in an answer: all of the text, or of one fence around it, or the last in prose.

    In prose the last complete object or array is taken: the first may be quoted from the prompt,
    which is how an injection gets in. An empty one is taken only if there is no other. If the end
    of the text cuts a value, nothing is taken.

    JSON is read by RFC 8259, without NaN, comments and trailing commas. A byte order mark is
    skipped, and the last of duplicate keys counts.
    """
    text = text.strip("\ufeff \t\r\n")
    found = _decode(text)
    if found:
        return found
    fence = _FENCE.fullmatch(text)
    return (fence and _decode(fence[1])) or _last_value(text)


def _last_value(text: str) -> Found | None:
    last = None
    position = 0
    while opener := _OPENER.search(text, position):
        stretch = _brackets(text, opener.start())
        if stretch is None:  # a cut answer
            return None
        found = _decode(stretch)
        if found is None and '"' in stretch:  # where its strings end is a guess
            return None
        if found and (found.value or not last):
            last = found
        position = opener.start() + len(stretch)
    return last


def _brackets(text: str, start: int) -> str | None:
    """Return the text from a bracket to where all close, or do not match; None if it is cut."""
    expected: list[str] = []
    for token in _TOKEN.finditer(text, start):
        symbol = token[0]
        if symbol in _CLOSER:
            expected.append(_CLOSER[symbol])
        elif symbol in ("]", "}"):
            closer = expected.pop()
            if symbol != closer or not expected:
                return text[start : token.end()]
    return None


def _decode(text: str) -> Found | None:
    try:
        return Found(text, _DECODER.decode(text))
    except (ValueError, RecursionError):
        return None
