"""A foreign text made fit to be shown: on one printable line, without the secrets that it echoes. Pure."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterable, Iterator
from urllib.parse import quote

#: Characters of a foreign text that are read.
LONGEST_TEXT = 4000
#: Shorter than this, a secret is too common to be told from the vendor's own words.
SHORTEST_SECRET = 8

BLOT = "[…]"

#: What JSON writers do not all put as it is.
_ESCAPED = re.compile(r'["/\\]|[^ -~]')


def scrub(text: str, secrets: Iterable[str]) -> str:
    """The beginning of a text, the secrets (as ``wanted`` gives them) blotted out, and all that is not printable.

    Only visible letters are compared, so that no secret is hidden by a line break or a zero-width space in it. Takes
    time by the number of secrets, not by the length of the text.
    """
    is_cut, text = len(text) > LONGEST_TEXT, text[:LONGEST_TEXT]
    letters = _visible(text)
    hidden = bytearray(len(letters))  # 2 where a secret begins, 1 where it goes on
    for secret in secrets:
        for start, end in _spans(letters, secret, is_cut=is_cut):
            first = hidden[start] or 2
            hidden[start:end] = b"\1" * (end - start)
            hidden[start] = first
    line, flags, gap = [""], iter(hidden), False
    for letter in text:
        if letter == " " or not letter.isprintable():
            gap = True
            continue
        flag = next(flags)
        if flag != 1:
            line.append((" " if gap and len(line) > 1 else "") + (BLOT if flag else letter))
        gap = False
    return "".join(line)


def wanted(secrets: Iterable[str]) -> list[str]:
    """What ``scrub`` looks for: the visible letters of each secret that is long enough, the longest first."""
    return sorted({seen for each in secrets if len(seen := _visible(each)) >= SHORTEST_SECRET}, key=len, reverse=True)


def in_json(text: str) -> Iterator[str]:
    """A text as it is, and as JSON writers put it; no more of it than can stand in what is read."""
    text = text[: 2 * LONGEST_TEXT]
    yield text
    if not _ESCAPED.search(text):
        return
    for is_ascii in (False, True):
        yield (escaped := json.dumps(text, ensure_ascii=is_ascii)[1:-1])
        yield escaped.replace("/", "\\/")


def in_any_spelling(key: str) -> Iterator[str]:
    """A key as it is, in JSON, in a URL, and in base64, by itself or behind a user's name."""
    yield from in_json(key)
    key = key[: 2 * LONGEST_TEXT]
    yield quote(key, safe="", errors="surrogatepass")
    for shift, first in enumerate((0, 2, 3)):  # bytes before it, and how many letters these have a part in
        padded = bytes(shift) + key.encode(errors="surrogatepass")
        yield base64.b64encode(padded)[first : len(padded) * 4 // 3].decode()


def _visible(text: str) -> str:
    """The letters of a text that can be seen."""
    text = "".join(text.split())
    return text if text.isprintable() else "".join(filter(str.isprintable, text))


def _spans(letters: str, secret: str, *, is_cut: bool) -> Iterator[tuple[int, int]]:
    """Where a secret stands, from and to; also one that only begins, where the rest was cut off."""
    end = 0
    while (start := letters.find(secret, end)) >= 0:
        yield start, (end := start + len(secret))
    while is_cut and (end := letters.find(secret[:SHORTEST_SECRET], max(end, len(letters) - len(secret)))) >= 0:
        if secret.startswith(letters[end:]):
            yield end, len(letters)
            return
        end += 1
