"""Evidence from an exception of LiteLLM's: its causes, and the HTTP answer among them.

Classes are told by name: openai 3 has its HTTP client under another name than openai 2.
"""

from __future__ import annotations

import contextlib
import json
import math
import re
import time
import traceback
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from types import MappingProxyType
from typing import Any

from .redaction import LONGEST_TEXT, known_keys, redact

NOTHING: Mapping[str, Any] = MappingProxyType({})

#: The modules in which LiteLLM reads an answer, and its names for one. An error that is raised
#: there is the answer's fault.
READERS = ("litellm.llms.", "litellm.litellm_core_utils.llm_response_utils.")
ANSWERS = ("response", "raw_response", "response_object", "completion_response", "httpx_response")

#: The parts of an error's body that repeat the request or the answer.
ECHOES = ("ctx", "failed_generation", "input")

#: The statuses of Anthropic's and OpenAI's error events in a stream. Any other is a 500.
STATUS_OF_EVENT = {
    "invalid_request_error": 400,
    "authentication_error": 401,
    "billing_error": 402,
    "permission_error": 403,
    "not_found_error": 404,
    "request_too_large": 413,
    "rate_limit_error": 429,
    "rate_limit_exceeded": 429,
    "insufficient_quota": 429,
    "timeout_error": 504,
    "overloaded_error": 529,
}

#: Characters of a vendor's words that are shown.
LONGEST_QUOTE = 300


@dataclass(frozen=True, slots=True)
class Evidence:
    """The signs of an exception's cause."""

    error: Exception
    links: tuple[BaseException, ...]
    """The exception and its causes, outermost first."""
    was_reading: bool
    """Whether LiteLLM had an answer in its hands."""
    status: int
    """The answer's, or LiteLLM's, which may be made up; 0 if there is none."""
    quote: str = ""
    """The vendor's words, never LiteLLM's, which may quote the prompt."""
    text: str = ""
    """The answer's body, to be searched and not to be shown."""
    retry_after: float | None = None
    request_id: str = ""

    @property
    def local(self) -> Exception | None:
        """The outermost cause that is neither LiteLLM's nor openai's."""
        for link in self.links:
            package = type(link).__module__.partition(".")[0]
            if isinstance(link, Exception) and package not in ("litellm", "openai"):
                return link
        return None

    def has(self, *names: str) -> bool:
        """Return whether any link's class, or a base of it, has one of the names."""
        return any(base.__name__ in names for link in self.links for base in type(link).__mro__)

    def says(self, words: str) -> bool:
        """Return whether any link's text matches a regular expression."""
        texts = (str(link)[:LONGEST_TEXT] for link in self.links)
        return any(re.search(words, text, re.IGNORECASE) for text in texts)

    def answered(self, words: str, *statuses: int) -> bool:
        """Return whether the answer has one of the statuses, and its text matches."""
        return self.status in statuses and bool(re.search(words, self.text, re.IGNORECASE))


def gather(
    error: Exception,
    sent: Mapping[str, Any] = NOTHING,
    *,
    is_reading: bool = False,
    event: Any = None,
) -> Evidence:
    """Gather the evidence once.

    ``sent`` are the request's parameters, the keys in which are blotted out. ``is_reading`` tells
    that a stream had begun, and ``event`` is the error event in it.
    """
    links = tuple(chain(error))
    if any(value for name, value in sent.items() if name.startswith("mock_")):
        links = (error,)  # nothing was sent, so the causes mean nothing
    guess = getattr(error, "status_code", 0)
    fields: dict[str, Any] = {"status": guess if isinstance(guess, int) else 0}
    fields |= _answer(links, is_reading=is_reading) if event is None else _read(event)
    keys = tuple(known_keys(sent, links))
    for name in ("quote", "request_id"):
        fields[name] = redact(fields.get(name, ""), keys, LONGEST_QUOTE)
    return Evidence(error, links, is_reading or any(map(_had_answer, links)), **fields)


def chain(error: BaseException | None) -> Iterator[BaseException]:
    """Yield the exception and its causes, outermost first."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or error.__context__


def _had_answer(error: BaseException) -> bool:
    """Return whether the exception passed a frame that held an answer."""
    for frame, _ in traceback.walk_tb(error.__traceback__):
        is_reader = frame.f_globals.get("__name__", "").startswith(READERS)
        if is_reader and any(frame.f_locals.get(name) is not None for name in ANSWERS):
            return True
    return False


def _answer(links: Iterable[Any], *, is_reading: bool) -> dict[str, Any]:
    """Return the fields of the vendor's answer, if one came."""
    for link in links:
        name = type(link).__name__
        if name == "HTTPStatusError":  # httpx's, or httpx2's
            response, body = link.response, None
            with contextlib.suppress(Exception):  # not read, or no text, or no JSON
                body = response.text
                body = json.loads(body, object_hook=_without_echoes)
            return _read(body, response.status_code, response.headers)
        if is_reading and name == "APIError" and getattr(link, "body", None):
            return _read(link.body)  # openai's client hands an event on in this way
    return {}


def _without_echoes(part: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in part.items() if name not in ECHOES}


def _read(body: Any, status: int = 0, headers: Mapping[str, str] = NOTHING) -> dict[str, Any]:
    """Read an error's body; without a status, that of an event."""
    outer = body[0] if isinstance(body, list) and body else body
    inner = outer.get("error", outer) if isinstance(outer, dict) else {}
    if not isinstance(inner, dict):
        inner = {"message": inner}
    names = [inner.get(name) for name in ("code", "type", "status")]
    codes = [name for name in names if isinstance(name, str)]
    quote = " ".join([f"HTTP {status}" if status else "the stream reported", *codes[:1]])
    message = inner.get("message") or inner.get("detail")
    if isinstance(message, str):
        quote = f"{quote}: {message}"
    known = [name for name in names if isinstance(name, int) and 400 <= name <= 599]
    known += [STATUS_OF_EVENT[code] for code in codes if code in STATUS_OF_EVENT]
    text = ""
    with contextlib.suppress(RecursionError):
        text = str(body)
    return {
        "status": status or next(iter(known), 500),
        "quote": quote,
        "text": text[:LONGEST_TEXT],
        "retry_after": _retry_after(headers, text),
        "request_id": headers.get("x-request-id") or headers.get("request-id") or "",
    }


def _retry_after(headers: Mapping[str, str], text: str) -> float | None:
    """Return the seconds in the headers (RFC 9110: a number or a date) or in Gemini's body."""
    given = headers.get("retry-after", "")
    with contextlib.suppress(ValueError, OverflowError):
        given = str(parsedate_to_datetime(given).timestamp() - time.time())
    if given.startswith("-"):  # in the past
        given = "0"
    numbers = [(headers.get("retry-after-ms", ""), 0.001), (given, 1.0)]
    numbers += [(delay, 1.0) for delay in re.findall(r"retryDelay\W+([\d.]+)s", text)]
    for number, unit in numbers:
        with contextlib.suppress(ValueError):
            seconds = float(number) * unit
            if 0 <= seconds < math.inf:
                return seconds
    return None
