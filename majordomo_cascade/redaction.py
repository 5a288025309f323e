"""Known keys, blotted out of other people's texts."""

import json
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any
from urllib.parse import quote, unquote, urlsplit

from .request import HEADERS

#: Characters of a foreign text that are read.
LONGEST_TEXT = 4000
#: Shorter than this, a key is too common to be told from the vendor's own words.
SHORTEST_KEY = 8

#: Names under which credentials are given.
CREDENTIAL = re.compile("key|token|secret|password|auth|credential", re.IGNORECASE)
#: LiteLLM's parameters that are credentials.
CREDENTIAL_PARAM = re.compile(
    "api_key|aws_.*(key|key_id|token)|azure_ad_token.*|client|.*_credential.*"
)


def redact(text: str, keys: Iterable[str], longest: int = LONGEST_TEXT) -> str:
    """Return the beginning of a text on one printable line, with the keys blotted out.

    Keys are found as they are, and as JSON and URLs spell them.
    """
    for key in sorted(set(keys), key=len, reverse=True):
        if len(key) >= SHORTEST_KEY:
            for spelling in (key, json.dumps(key)[1:-1], quote(key, safe="", errors="replace")):
                text = text.replace(spelling, "[…]")
    text = text[: 2 * LONGEST_TEXT]
    line = " ".join("".join(each if each.isprintable() else " " for each in text).split())
    return line if len(line) <= longest else f"{line[:longest]}…"


def known_keys(sent: Mapping[str, Any], links: Iterable[BaseException] = ()) -> Iterator[str]:
    """Yield the keys in a request, in the headers that exceptions know, and in the environment."""
    headers = [sent.get(name) for name in HEADERS]
    headers += [getattr(getattr(link, "_request", None), "headers", None) for link in links]
    for named in (os.environ, sent, *headers):
        for name, value in (named or {}).items():
            if isinstance(value, str) and CREDENTIAL.search(name):
                yield value
                yield value.rpartition(" ")[2]  # without "Bearer"
    yield unquote(urlsplit(str(sent.get("api_base") or "")).password or "")


def brings_credentials(params: Mapping[str, Any]) -> bool:
    """Return whether a call's parameters hold credentials."""
    given = [name for name, value in params.items() if value is not None]
    headers = [header for name in HEADERS for header in params.get(name) or ()]
    return any(map(CREDENTIAL_PARAM.fullmatch, given)) or any(map(CREDENTIAL.search, headers))
