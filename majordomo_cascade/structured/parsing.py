"""Find the JSON in an answer's text, in linear time."""

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

    The first object or array in prose may be quoted from the prompt, which is how an injection gets
    in. An empty one is taken only if there is no other, and none if the text ends inside of one.

    JSON is read by RFC 8259, without NaN, comments and trailing commas. A byte order mark is
    skipped, and the last of duplicate keys counts.
    """
    text = text.strip("\ufeff \t\r\n")
    fence = _FENCE.fullmatch(text)
    return _decode(fence[1] if fence else text) or _last_value(text)


def _last_value(text: str) -> Found | None:
    last = None
    end = 0
    while opener := _OPENER.search(text, end):
        start = opener.start()
        end = _closing(text, start)
        if not end:  # a cut answer
            return None
        found = _decode(text[start:end])
        if found and (found.value or not last):
            last = found
        elif not found and '"' in text[start:end]:  # where its strings end is a guess
            return None
    return last


def _closing(text: str, start: int) -> int:
    """Return where the brackets from ``start`` on all close, or do not match; 0 for nowhere."""
    expected = []
    for token in _TOKEN.finditer(text, start):
        symbol = token[0]
        if symbol in _CLOSER:
            expected.append(_CLOSER[symbol])
        elif symbol in "]}":
            closer = expected.pop()
            if symbol != closer or not expected:
                return token.end()
    return 0


def _decode(text: str) -> Found | None:
    try:
        return Found(text, _DECODER.decode(text))
    except (ValueError, RecursionError):
        return None
