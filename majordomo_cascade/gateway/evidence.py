"""Evidence from an exception of LiteLLM's: its causes, and the HTTP answer among them.

Classes are told by name: openai 3 has its HTTP client under another name than openai 2.
"""

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

from ..redaction import LONGEST_TEXT, known_keys, redact

NOTHING: Mapping[str, Any] = MappingProxyType({})

#: The modules in which LiteLLM reads an answer, and its names for one.
READERS = (
    "litellm.completion_extras.",
    "litellm.llms.",
    "litellm.litellm_core_utils.llm_response_utils.",
    "litellm.responses.",
)
ANSWERS = ("response", "raw_response", "response_object", "completion_response", "httpx_response")

#: The parts of an error's body that repeat the request or the answer.
ECHOES = ("ctx", "failed_generation", "input")

#: The modules of LiteLLM's whose errors are all providers' alike: checks, and the host's callbacks.
SHARED = (
    "litellm.caching.",
    "litellm.integrations.",
    "litellm.litellm_core_utils.litellm_logging",
    "litellm.llms.base_llm.base_utils",
    "litellm.utils",
)

#: Parameters that every call has.
ALWAYS_SENT = ("max_retries", "messages", "model", "num_retries", "stream", "timeout")

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
    """The answer's, or else LiteLLM's, which may be made up; 0 if there is none."""
    quote: str = ""
    """The vendor's words, "" without an answer. LiteLLM's own may quote the prompt."""
    text: str = ""
    """The answer's body, to be searched and not to be shown."""
    retry_after: float | None = None
    request_id: str = ""
    params: tuple[str, ...] = ()
    """The names of the caller's parameters that the exception speaks of."""

    @property
    def is_of_target(self) -> bool:
        """Return whether LiteLLM failed in what it does for one provider alone."""
        *_, root = self.links
        if isinstance(root, ImportError):
            return True
        frames = [frame for frame, _ in traceback.walk_tb(root.__traceback__)]
        modules = [frame.f_globals.get("__name__", "") for frame in frames]
        litellms = [module for module in modules if module.startswith("litellm.")]
        return bool(litellms) and not litellms[-1].startswith(SHARED)

    @property
    def local(self) -> Exception | None:
        """The outermost link that is neither LiteLLM's nor openai's."""
        for link in self.links:
            package = type(link).__module__.partition(".")[0]
            if isinstance(link, Exception) and package not in ("litellm", "openai"):
                return link
        return None

    def has(self, *names: str) -> bool:
        """Return whether any link's class, or a base of it, has one of the names."""
        return any(base.__name__ in names for link in self.links for base in type(link).__mro__)

    def says(self, words: str) -> str:
        """Return what matches a regular expression in the first link's text that has it, or ""."""
        texts = (str(link)[:LONGEST_TEXT] for link in self.links)
        matches = (re.search(words, text, re.IGNORECASE) for text in texts)
        return next((match[0] for match in matches if match), "")


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
    if any(sent[name] for name in sent if name.startswith("mock_")):
        links = (error,)  # nothing was sent, so the causes mean nothing
    was_reading = is_reading or any(map(_had_answer, links))
    answer = (event, 0, NOTHING) if event is not None else _answer(links, is_reading=is_reading)
    if answer is None:
        guess = getattr(error, "status_code", 0)
        status = guess if isinstance(guess, int) else 0
        names = [name for name in sent if name not in ALWAYS_SENT]
        named = tuple(name for name in names if re.search(rf"\b{re.escape(name)}\b", str(error)))
        return Evidence(error, links, was_reading, status, params=named)
    body, status, headers = answer
    quote, status = _quoted(body, status)
    request_id = headers.get("x-request-id") or headers.get("request-id") or ""
    text = ""
    with contextlib.suppress(RecursionError):
        text = str(body)
    keys = tuple(known_keys(sent, links))
    return Evidence(
        error,
        links,
        was_reading,
        status,
        redact(quote, keys, LONGEST_QUOTE),
        text[:LONGEST_TEXT],
        _retry_after(headers, text),
        redact(request_id, keys, LONGEST_QUOTE),
    )


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


def _answer(links: Iterable[Any], *, is_reading: bool) -> tuple[Any, int, Mapping[str, str]] | None:
    """Return body, status and headers of the vendor's answer; an event's status is 0."""
    for link in links:
        name = type(link).__name__
        if name == "HTTPStatusError":  # httpx's, or httpx2's
            response, body = link.response, None
            with contextlib.suppress(Exception):  # not read, or no text, or no JSON
                body = response.text
                body = json.loads(body, object_hook=_without_echoes)
            return body, response.status_code, response.headers
        if is_reading and name == "APIError" and getattr(link, "body", None):
            return link.body, 0, NOTHING  # openai's client hands an event on in this way
    return None


def _without_echoes(part: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in part.items() if name not in ECHOES}


def _quoted(body: Any, status: int) -> tuple[str, int]:
    """Return the words in an error's body, and the status, which an event has in its words."""
    outer = body[0] if isinstance(body, list) and body else body
    inner = outer.get("error", outer) if isinstance(outer, dict) else {}
    if not isinstance(inner, dict):
        inner = {"message": inner}
    codes = [inner.get(name) for name in ("code", "type", "status")]
    words = [code for code in codes if isinstance(code, str)]
    quote = " ".join([f"HTTP {status}" if status else "the stream reported", *words[:1]])
    message = inner.get("message") or inner.get("detail")
    if isinstance(message, str):
        quote = f"{quote}: {message}"
    known = [code for code in codes if code in range(400, 600)]
    known += map(STATUS_OF_EVENT.get, words)
    return quote, status or next(filter(None, known), 500)


def _retry_after(headers: Mapping[str, str], text: str) -> float | None:
    """Return the seconds in the headers (RFC 9110: a number or a date) or in Gemini's body."""
    given = headers.get("retry-after", "")
    with contextlib.suppress(ValueError, OverflowError):
        given = str(parsedate_to_datetime(given).timestamp() - time.time())
    if given.startswith("-"):  # in the past
        given = "0"
    milliseconds = headers.get("retry-after-ms")
    for number in (f"{milliseconds}e-3", given, *re.findall(r"retryDelay\W+([\d.]+)s", text)):
        with contextlib.suppress(ValueError):
            if 0 <= float(number) < math.inf:
                return float(number)
    return None
