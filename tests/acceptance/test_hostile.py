"""Hostile answers: every call ends in an answer or in an error of this package's own tree.

No error shows the key that was sent, and all that this package says is short, on one line, and
printable.
"""

from __future__ import annotations

import asyncio
import contextlib
import copy
import functools
import json
import logging
import pickle
import sys
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest.mock import AsyncMock
from urllib.parse import quote
from uuid import UUID

import httpx
import litellm
import pytest
from conftest import ALL_WIRES, Serve
from pydantic import BaseModel, Json

import majordomo_cascade
from majordomo_cascade import (
    LLMCascade,
    MajordomoError,
    ResponseError,
    ResponseValidationError,
    RetryPolicy,
    StreamInterruptedError,
    Target,
)
from majordomo_cascade.gateway.inspector import WireInspector
from majordomo_cascade.testing import Behaviour, Exchange, Garbage, Reply, Request, Status
from majordomo_cascade.testing.wires import find_wire

KEY = "sk-a-key/that+nobody=may-see"
ONCE = RetryPolicy(attempts=1)
#: Characters of the longest message: a vendor's 300, a code's 60, a name, and our words.
LONGEST = 600
#: The same for an answer that is not of its type: three of pydantic's problems with their places.
LONGEST_OF_TYPE = 1_200

DEEP = "[" * 100_000
TEXTS = {
    "huge": "A" * 2_000_000,
    "many words": "word " * 20_000,
    "nested": DEEP,
    "nested and closed": DEEP + "]" * 100_000,
    "control characters": "".join(map(chr, (*range(32), *range(127, 160)))),
    "ANSI escapes": "\x1b[31mred\x1b[0m \x1b]0;a title\x07 \x9b2J",
    "line ends": "one\rtwo\ntree\r\nfour\u2028five\u2029six\x85seven\x0beight\x0cnine",
    "bidi and zero width": "\u202eleft\u202c \u2066in\u2069 zero\u200bwidth \ufeff\u2060",
    "lone surrogates": "half \ud800 and half \udfff",
    "formats": "%s %(message)s %d {} {0} {error.__class__} $HOME",
}
#: Shorter: LiteLLM searches the text of an error forty times, ten seconds a megabyte.
ERRORS = {name: text[:6_000] for name, text in TEXTS.items()}
WAYS = ("text", "json", "structured", "stream", "collected", "chunks")

each_wire = pytest.mark.parametrize(("provider", "model"), ALL_WIRES)
each_text = pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS.keys())
each_error = pytest.mark.parametrize("text", ERRORS.values(), ids=ERRORS.keys())
each_way = pytest.mark.parametrize("way", WAYS)


class Item(BaseModel):
    """The type that is asked for."""

    name: str
    count: int = 0
    tags: list[str] = []


async def ask(cascade: LLMCascade, way: str) -> Any:
    match way:
        case "text":
            return (await cascade.get_response("Hello")).content
        case "json":
            return (await cascade.get_json_response("Hello")).content
        case "structured":
            cascade = cascade.with_options(validation_retries=1)
            return (await cascade.get_structured_json_response(Item, "Hello")).content
        case "stream":
            return "".join([text async for text in await cascade.get_response_stream("Hello")])
        case "collected":
            return (await (await cascade.get_response_stream("Hello")).collect()).content
    messages = [{"role": "user", "content": "Hello"}]
    return [chunk async for chunk in await cascade.acompletion(messages, stream=True)]


async def outcome(cascade: LLMCascade, way: str) -> Any:
    """Return the answer, or the error, which must be one of this package's own."""
    try:
        return await ask(cascade, way)
    except MajordomoError as error:
        return error


def own_words(error: BaseException, records: list[logging.LogRecord]) -> list[str]:
    """Return every line that this package says by itself about an error, and in its log."""
    attempts = getattr(error, "attempts", ())
    errors = [error, *(attempt.error for attempt in attempts if attempt.error)]
    said = [str(each) for each in errors]
    said += [note for each in errors for note in getattr(each, "__notes__", ())]
    said += [str(attempt) for attempt in attempts]
    said += [each.request_id for each in errors if getattr(each, "request_id", None)]
    return said + logged(records)


def logged(records: list[logging.LogRecord]) -> list[str]:
    """Return all that this package's log records hold in words."""
    said = []
    for record in records:
        if record.name == "majordomo_cascade":
            fields = vars(record).values()
            said += [record.getMessage(), *(text for text in fields if isinstance(text, str))]
    return said


def everything(error: MajordomoError, records: list[logging.LogRecord]) -> str:
    """Return all that a logger or a debugger may show of an error, but LiteLLM's exception."""
    own = copy.copy(error)
    own.__cause__ = own.__context__ = None
    state = {name: value for name, value in vars(error).items() if name != "original_error"}
    shown = [repr(own), repr(state), repr(error.attempts), repr(pickle.dumps(error))]
    return " ".join([*own_words(error, records), *shown])


def assert_harmless(error: Any, caplog: pytest.LogCaptureFixture) -> None:
    is_of_type = isinstance(error, ResponseValidationError)
    longest = LONGEST_OF_TYPE if is_of_type else LONGEST
    for line in own_words(error, caplog.records):
        assert line.isprintable(), line[:longest]
        assert len(line) <= longest, line[:longest]
    again = pickle.loads(pickle.dumps(error))
    assert (type(again), str(again)) == (type(error), str(error))


@pytest.fixture(autouse=True)
def log_everything(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, logger="majordomo_cascade")


@each_wire
@each_text
@each_way
async def test_a_hostile_text_is_an_answer_or_an_error_of_ours(
    serve: Serve, caplog: pytest.LogCaptureFixture, provider: str, model: str, text: str, way: str
) -> None:
    cascade = LLMCascade([serve(Reply(text)).target(provider, model)], retry=ONCE)
    came = await outcome(cascade, way)
    if isinstance(came, MajordomoError):
        assert_harmless(came, caplog)
    elif way in ("text", "stream", "collected"):
        assert came == text
    else:
        assert way == "chunks" or came == {}
    assert all(map(str.isprintable, logged(caplog.records)))


@each_wire
@each_error
@pytest.mark.parametrize("status", [400, 401, 429, 500])
async def test_a_hostile_error_text_is_quoted_on_one_short_printable_line(
    serve: Serve,
    caplog: pytest.LogCaptureFixture,
    provider: str,
    model: str,
    text: str,
    status: int,
) -> None:
    headers = {"x-request-id": "req \x1b[31m" + "9" * 4000}
    hostile = Status(status, text, error_code=text, headers=headers)
    target = serve(hostile).target(provider, model)
    for way in ("text", "stream"):
        error = await outcome(LLMCascade([target, target], retry=ONCE), way)
        assert isinstance(error, MajordomoError)
        assert_harmless(error, caplog)


BODIES: dict[str, bytes] = {
    "nested": DEEP[:20_000].encode(),
    "nested objects": b'{"error":' * 2_000,
    "nested as an error": f'{{"error": {{"message": {"[" * 3000}{"]" * 3000}}}}}'.encode(),
    "nested as Python reads": f'{{"error": {{"message": {"[" * 800}{"]" * 800}}}}}'.encode(),
    "nested choices": f'{{"choices": {"[" * 3000}{"]" * 3000}}}'.encode(),
    "huge": b"A" * 6_000,
    "huge JSON": b'{"error": {"message": "' + b"A" * 6_000 + b'"}}',
    "many details": b'{"error": {"details": [' + b'{"reason": "r"},' * 500 + b"{}]}}",
    "a huge number": b'{"error": {"message": "m", "code": ' + b"9" * 4000 + b"}}",
    "no UTF-8": b'{"error": {"message": "\xff\xfe\x1b[31m"}}',
    "NUL": b"\x00" * 1000,
    "nothing": b"",
    "null": b"null",
    "a string": b'"error"',
    "a list": b"[1, 2]",
    "a false number": (
        b'{"choices": [{"message": {"content": "x"}}], "usage": {"prompt_tokens": 1e999}}'
    ),
}


@each_wire
@pytest.mark.parametrize("status", [200, 400, 401, 429, 500])
@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES.keys())
async def test_a_hostile_body_is_an_error_of_ours(
    serve: Serve,
    caplog: pytest.LogCaptureFixture,
    provider: str,
    model: str,
    body: bytes,
    status: int,
) -> None:
    target = serve(Garbage(body, "application/json", status)).target(provider, model)
    for way in ("text", "stream"):
        came = await outcome(LLMCascade([target], retry=ONCE), way)
        if isinstance(came, MajordomoError):
            assert_harmless(came, caplog)
        else:
            assert (status, came) == (200, "x")


#: Values that stand where something else was meant.
WRONG: tuple[Any, ...] = (
    None,
    [],
    {},
    [[]],
    [{}],
    "\x1b[31m",
    -1,
    10**400,
    1e308,
    True,
    ["\ud800"],
)


def twisted(good: Any, wrong: Sequence[Any] = WRONG) -> Iterator[Any]:
    """Yield a good JSON value again and again, each time with a wrong one in one of its places."""
    yield from wrong
    places: Iterable[tuple[Any, Any]] = ()
    if isinstance(good, dict):
        places = good.items()
    elif isinstance(good, list):
        places = enumerate(good)
    for place, inner in places:
        for other in twisted(inner, wrong):
            made = copy.copy(good)
            made[place] = other
            yield made


async def good_body(serve: Serve, provider: str, model: str) -> Any:
    """Return the body of a good answer on a wire."""
    bodies: list[Any] = []

    class Listening(Exchange):
        __slots__ = ()

        async def send(self, status: int, body: Any, **_: Any) -> None:
            bodies.append(body)
            await super().send(status, body)

    class Telling:
        async def perform(self, exchange: Exchange) -> None:
            parts = (exchange.request, exchange.reader, exchange.writer, exchange.provider)
            await Reply("Hello.").perform(Listening(*parts))

    cascade = LLMCascade([serve(Telling()).target(provider, model)])
    await cascade.get_response("Hello")
    return bodies[0]


@each_wire
async def test_an_answer_with_a_wrong_value_in_any_place_is_an_answer_or_an_error_of_ours(
    serve: Serve, caplog: pytest.LogCaptureFixture, provider: str, model: str
) -> None:
    good = await good_body(serve, provider, model)
    bodies = [Garbage(json.dumps(body), "application/json") for body in twisted(good)]
    cascade = LLMCascade([serve(*bodies).target(provider, model)], retry=ONCE, breaker=None)
    for _ in bodies:
        if isinstance(came := await outcome(cascade, "text"), MajordomoError):
            assert_harmless(came, caplog)
    caplog.clear()


@each_wire
@pytest.mark.parametrize("status", [400, 429])
async def test_an_error_with_a_wrong_value_in_any_place_is_an_error_of_ours(
    serve: Serve, caplog: pytest.LogCaptureFixture, provider: str, model: str, status: int
) -> None:
    details = [{"reason": "R", "retryDelay": "1s"}]
    error = {"message": "m", "code": "c", "type": "t", "status": "s", "details": details}
    twists = twisted({"error": error, "type": "error"})
    bodies = [Garbage(json.dumps(body), "application/json", status) for body in twists]
    cascade = LLMCascade([serve(*bodies).target(provider, model)], retry=ONCE, breaker=None)
    for _ in bodies:
        came = await outcome(cascade, "text")
        assert isinstance(came, MajordomoError)
        assert_harmless(came, caplog)


RETRY_AFTER = (
    "nonsense",
    "",
    "-5",
    "nan",
    "inf",
    "1e999",
    "9" * 4000,
    "\x1b[31m",
    "Mon, 01 Jan 99999999999999999999 00:00:00 GMT",
    "Mon, 01 Jan 2020 00:00:00 +99999999999999",
    "Mon, 01 Jan 2020 99999999999:00:00 GMT",
    "Mon, 01 Jan 9999 23:59:59 -2359",
)


@each_wire
@pytest.mark.parametrize("name", ["retry-after", "retry-after-ms"])
async def test_a_retry_after_that_is_no_time_is_none(
    serve: Serve, provider: str, model: str, name: str
) -> None:
    for value in RETRY_AFTER:
        target = serve(Status(429, headers={name: value})).target(provider, model)
        error = await outcome(LLMCascade([target], retry=ONCE), "text")
        assert isinstance(error, MajordomoError)
        retry_after = getattr(error, "retry_after", None)
        assert retry_after is None or 0 <= retry_after < 1e12, value


HEADERS = ({"x": "9" * 100_000}, {f"x-{n}": "9" for n in range(2_000)}, {"x-request-id": "\x00"})


@each_wire
@pytest.mark.parametrize("headers", HEADERS, ids=["long", "many", "NUL"])
async def test_headers_beyond_all_limits_are_an_error_of_ours(
    serve: Serve,
    caplog: pytest.LogCaptureFixture,
    provider: str,
    model: str,
    headers: dict[str, str],
) -> None:
    for status in (200, 500):
        hostile = Status(status, headers=headers)
        cascade = LLMCascade([serve(hostile).target(provider, model)], retry=ONCE)
        error = await outcome(cascade, "text")
        assert isinstance(error, MajordomoError)
        assert_harmless(error, caplog)


@dataclass(frozen=True)
class Events:
    """A stream: good events up to the first word, then these, then the rest of the good ones."""

    hostile: tuple[Mapping[str, Any] | str, ...]
    after: int | None = None
    reply: Reply = field(default_factory=lambda: Reply("one two three"))

    async def perform(self, exchange: Exchange) -> None:
        """Stream all."""
        events = self.reply.events(exchange.request)
        after = find_wire(exchange.request).before_text + 1 if self.after is None else self.after
        await exchange.begin_stream()
        for event in (*events[:after], *self.hostile, *events[after:]):
            await exchange.send_event(event)
        await exchange.end_stream()


def error_event(provider: str, text: str) -> dict[str, Any]:
    error: dict[str, Any] = {"message": text, "type": text, "code": text, "status": text}
    return {"type": "error", "error": error} if provider == "anthropic" else {"error": error}


@each_wire
@each_error
async def test_a_hostile_error_event_breaks_a_stream_on_one_short_printable_line(
    serve: Serve, caplog: pytest.LogCaptureFixture, provider: str, model: str, text: str
) -> None:
    target = serve(Events((error_event(provider, text),))).target(provider, model)
    for way in ("stream", "collected", "chunks"):
        error = await outcome(LLMCascade([target], retry=ONCE), way)
        assert isinstance(error, MajordomoError)
        assert_harmless(error, caplog)


@each_wire
@pytest.mark.parametrize(
    "event",
    ["[" * 100_000, '{"error":' * 100_000, "\x00\x1b[31m", "A" * 2_000_000, "9" * 5000],
    ids=["nested", "nested objects", "control characters", "huge", "a huge number"],
)
async def test_an_event_that_cannot_be_read_breaks_a_stream(
    serve: Serve, caplog: pytest.LogCaptureFixture, provider: str, model: str, event: str
) -> None:
    cascade = LLMCascade([serve(Events((event,))).target(provider, model)], retry=ONCE)
    for way in ("stream", "chunks"):
        error = await outcome(cascade, way)
        assert isinstance(error, StreamInterruptedError), error
        assert_harmless(error, caplog)


@each_wire
async def test_an_event_with_a_wrong_value_in_any_place_is_passed_over_or_breaks_the_stream(
    serve: Serve, caplog: pytest.LogCaptureFixture, provider: str, model: str
) -> None:
    paths = {"openai": "/chat/completions", "anthropic": "/messages"}
    path = paths.get(provider, f"/models/{model}:streamGenerateContent")
    events = Reply("one two three").events(Request(path, {}, {"model": model}))
    good = [event for event in events if isinstance(event, dict)]
    hostile: list[Behaviour] = [
        Events((json.dumps(event),), after=len(events) - len(good[at:]))
        for at in range(len(good))
        for event in twisted(good[at], (None, [{}], "\x1b[31m", 10**400))
    ]
    cascade = LLMCascade([serve(*hostile).target(provider, model)], retry=ONCE, breaker=None)
    for _ in hostile:
        came = await outcome(cascade, "stream")
        if isinstance(came, MajordomoError):
            assert_harmless(came, caplog)


async def test_no_depth_of_nesting_is_too_much(monkeypatch: pytest.MonkeyPatch) -> None:
    """An answer is read more than once, at different depths of the stack."""
    cascade = LLMCascade(["openai/gpt-4.1"])
    kinds = (list[Any], dict[str, Any], Item)
    answer: Any = litellm.ModelResponse(choices=[{"message": {"content": ""}}])
    monkeypatch.setattr(litellm, "acompletion", AsyncMock(return_value=answer))
    for depth in range(sys.getrecursionlimit() - 300, sys.getrecursionlimit() + 10):
        for text in ("[" * depth + "]" * depth, '{"value":' * depth + "null" + "}" * depth):
            answer.choices[0].message.content = text
            with contextlib.suppress(ResponseError):
                await cascade.get_json_response("Nest.")
            for kind in kinds:
                with contextlib.suppress(ResponseError):
                    await cascade.get_structured_json_response(kind, "Nest.")


@pytest.mark.parametrize(
    ("wanted", "answer"),
    [
        (UUID, '"\\u001b[31m"'),  # pydantic quotes a letter
        (dict[str, int], '{"\\u001b[31mA name": "x"}'),
        (Json[dict[str, int]], json.dumps('{"\\u001b[31mA name": "x"}')),
        (dict[str, Json[dict[str, int]]], json.dumps({"a": '{"\\u001b[31mA name": "x"}'})),
        (Json[int], json.dumps("\x1b[31mA name")),
        (Item, '{"A name\\u202e": 1}'),
        (Item, json.dumps({"name": 1, "\x1b" * 9_000: 1})),
        (dict[str, int], json.dumps({f"{n}" * 5_000: "x" for n in range(100)})),
    ],
    ids=lambda value: str(value)[:40].replace("\x1b", ""),
)
async def test_a_problem_of_an_answer_is_told_on_one_short_printable_line(
    caplog: pytest.LogCaptureFixture, wanted: Any, answer: str
) -> None:
    cascade = LLMCascade(["openai/gpt-4.1"])
    with pytest.raises(ResponseError) as caught:
        await cascade.get_structured_json_response(wanted, "Hello", mock_response=answer)
    assert_harmless(caught.value, caplog)


async def test_a_finish_reason_that_is_no_word_is_none(serve: Serve) -> None:
    raw: Any = litellm.ModelResponse(
        choices=[{"message": {"content": "Hi"}, "finish_reason": "stop"}]
    )
    raw.choices[0].finish_reason = f"\x1b[31m{KEY}"
    response = await LLMCascade(["openai/gpt-4.1"]).get_response("Hello", mock_response=raw)
    assert (response.content, response.finish_reason) == ("Hi", None)


#: Texts that hold the key, spelt as it is or as JSON and URLs spell it.
LEAKS = {
    "plain": f"You sent {KEY}.",
    "in a header": f"Authorization: Bearer {KEY}",
    "in a URL": f"https://host/v1?key={KEY}&alt=sse",
    "percent-encoded": f"https://host/v1?key={quote(KEY, safe='')}",
    "in JSON": json.dumps({"headers": {"x-api-key": KEY}}),
    "again and again": KEY * 500,
    "cut": f"{KEY} " * 137 + "x" * 20 + KEY,  # 4,000 characters in, where reading ends
}
each_leak = pytest.mark.parametrize("text", LEAKS.values(), ids=LEAKS.keys())


def shows_key(told: str) -> bool:
    """Return whether a text shows a piece of the key."""
    spellings = (KEY, quote(KEY, safe=""))
    pieces = {key[start : start + 10] for key in spellings for start in range(len(key) - 9)}
    return any(piece in told for piece in pieces)


@each_wire
@each_leak
@pytest.mark.parametrize("status", [401, 500])
async def test_a_key_that_an_error_echoes_is_blotted_out(
    serve: Serve,
    caplog: pytest.LogCaptureFixture,
    provider: str,
    model: str,
    text: str,
    status: int,
) -> None:
    headers = {"x-request-id": text} if len(text) < 1_000 else {}
    hostile = Status(status, text, error_code=text, headers=headers)
    target = serve(hostile).target(provider, model, api_key=KEY)
    error = await outcome(LLMCascade([target, target], retry=ONCE), "text")
    assert isinstance(error, MajordomoError)
    assert not shows_key(everything(error, caplog.records))
    assert "[…]" in str(error)


@each_wire
@each_leak
@pytest.mark.parametrize("where", ["target", "global", "headers"])
async def test_a_key_that_a_stream_echoes_is_blotted_out_wherever_it_was_given(
    serve: Serve,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
    provider: str,
    model: str,
    text: str,
    where: str,
) -> None:
    server = serve(Events((error_event(provider, text),)))
    params: dict[str, Any] = {}
    if where == "headers":
        params["extra_headers"] = {"x-api-key": KEY}
    if where == "global":
        monkeypatch.setattr(litellm, "api_key", KEY)
    own = {"global": None, "target": KEY, "headers": "another-key"}[where]
    cascade = LLMCascade([server.target(provider, model, api_key=own)], retry=ONCE, **params)
    error = await outcome(cascade, "stream")
    assert isinstance(error, MajordomoError)
    assert not shows_key(everything(error, caplog.records))


async def test_a_key_that_is_cut_by_the_end_of_reading_is_blotted_out(serve: Serve) -> None:
    """As long as OpenAI's keys for projects are: forty of them make a short message of blots."""
    long_key = "sk-proj-" + "AbCdEfGh12" * 16
    target = serve(Status(401, long_key * 60)).target(api_key=long_key)
    error = await outcome(LLMCascade([target]), "text")
    assert "AbCdEfGh12" not in str(error)


async def test_a_password_in_an_address_is_a_key_too() -> None:
    target = Target("openai", "gpt-4.1", api_base=f"http://user:{quote(KEY, safe='')}@host/v1")
    for spelt in (KEY, quote(KEY, safe="")):
        mock = f"No JSON, but {spelt}"
        with pytest.raises(ResponseError) as caught:
            await LLMCascade([target]).get_json_response("Hello", mock_response=mock)
        assert caught.value.__notes__[0] == "the answer began: No JSON, but […]"


@pytest.mark.parametrize(
    "text", [KEY[:7], KEY[5:], KEY[::-1], KEY.upper(), KEY.encode().hex(), "short"]
)
async def test_other_spellings_and_parts_of_a_key_are_shown(serve: Serve, text: str) -> None:
    """These are the limits that SECURITY.md tells."""
    target = serve(Status(401, f"You sent {text}.")).target(api_key=KEY)
    error = await outcome(LLMCascade([target], api_version="short"), "text")
    assert f"You sent {text}." in str(error)


async def test_a_vendor_that_echoes_the_prompt_is_quoted_in_the_error_and_not_in_the_log(
    serve: Serve, caplog: pytest.LogCaptureFixture
) -> None:
    server = serve(Status(500, "I can't say: Hello."))
    error = await outcome(LLMCascade([server.target()] * 2, retry=ONCE), "text")
    assert "I can't say: Hello." in str(error)
    assert len(caplog.records) >= 3
    assert not any("Hello" in said for said in logged(caplog.records))


def steps(work: Callable[[], Any]) -> int:
    """Count the lines of this package that are run: time can't be trusted."""
    package = str(Path(majordomo_cascade.__file__).parent)
    count = 0

    def trace(frame: Any, event: str, arg: Any) -> Any:
        nonlocal count
        if not frame.f_code.co_filename.startswith(package):
            return None
        count += event == "line"
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        work()
    finally:
        sys.settrace(before)
    return count


def answering(text: str, wanted: Any = None) -> None:
    """Have an answer read: as JSON, or as a value of a type."""
    cascade = LLMCascade(["openai/gpt-4.1"])
    way: Any = cascade.get_json_response
    if wanted is not None:
        way = functools.partial(cascade.get_structured_json_response, wanted)
    with contextlib.suppress(ResponseError):
        asyncio.run(way("Hello", mock_response=text))


def read_items(text: str) -> None:
    answering(text, list[int])


class Failing:
    """LiteLLM, raising what it raises for an HTTP error with this body."""

    def __init__(self, body: str) -> None:
        request = httpx.Request("POST", "http://127.0.0.1/v1")
        response = httpx.Response(429, text=body, request=request)
        self._cause = httpx.HTTPStatusError("429", request=request, response=response)

    async def __call__(self, **_: Any) -> Any:
        raise litellm.RateLimitError("it said no", "openai", "gpt-4.1") from self._cause


def read_error(text: str) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(litellm, "acompletion", Failing(text))
        cascade = LLMCascade(["openai/gpt-4.1"], retry=ONCE)
        with pytest.raises(MajordomoError) as caught:
            asyncio.run(cascade.get_response("Hello"))
    assert len(str(caught.value)) < LONGEST


class Pieces:
    """A vendor's stream that comes in these pieces, as LiteLLM has it from httpx."""

    def __init__(self, pieces: list[str]) -> None:
        self.pieces = pieces

    async def aiter_text(self) -> AsyncIterator[str]:
        for piece in self.pieces:
            yield piece

    def __aiter__(self) -> AsyncIterator[str]:
        return self.aiter_text()


def drain(pieces: list[str]) -> list[str]:
    """Return the lines that the inspector passes on of a stream that comes in these pieces."""

    async def read() -> list[str]:
        inspector = WireInspector(Pieces(pieces), lambda: asyncio.timeout(None))
        lines: list[str] = []
        with contextlib.suppress(ValueError):  # some of them do not end as an answer does
            async for line in inspector:
                lines.append(line)  # noqa: PERF401 - those before the error count
        return lines

    return asyncio.run(read())


def read_stream(text: str) -> None:
    drain([f"data: {text}\n\n"])


def events_of(*events: str) -> str:
    return "\n\ndata: ".join(events)


GROWING: dict[str, tuple[Callable[[str], None], Callable[[int], str]]] = {
    "brackets": (answering, lambda n: "[" * n),
    "closed brackets": (answering, lambda n: "[" * n + "]" * n),
    "lists": (answering, lambda n: "[1]" * n),
    "quotes": (answering, lambda n: '["' * n),
    "wrong items": (read_items, lambda n: json.dumps({"value": ["x"] * n})),
    "an error": (read_error, lambda n: json.dumps({"error": {"message": "missing " * n}})),
    "an error with details": (
        read_error,
        lambda n: json.dumps({"error": {"details": [{"reason": "r"}] * n}}),
    ),
    "an error in one word": (
        read_error,
        lambda n: json.dumps({"error": {"message": "A" * n, "code": "A" * n}}),
    ),
    "an error that is no JSON": (read_error, lambda n: "<" * n),
    "an event": (
        read_stream,
        lambda n: json.dumps({"choices": [{"index": 0, "finish_reason": None}] * n}),
    ),
    "many events": (read_stream, lambda n: events_of(*['{"choices": [{"index": 0}]}'] * n)),
    "many choices": (
        read_stream,
        lambda n: events_of(*(f'{{"choices": [{{"index": {at}}}]}}' for at in range(n))),
    ),
}


@pytest.mark.parametrize(("work", "text"), GROWING.values(), ids=GROWING.keys())
def test_twice_as_much_is_at_most_twice_the_work(
    work: Callable[[str], None], text: Callable[[int], str]
) -> None:
    work(text(1))  # some things are built once
    sizes = (2_000, 4_000, 8_000)
    small, middle, large = (steps(functools.partial(work, text(n))) for n in sizes)
    assert middle <= 2.2 * small
    assert large <= 2.2 * middle


def test_the_choices_of_a_stream_are_not_counted_again_at_every_event() -> None:
    """Looking through 50,000 choices at each of as many events is a billion looks."""
    event = 'data: {"choices": [{"index": %d, "finish_reason": "stop"}]}\n\n'
    events = [event % number for number in range(50_000)]
    assert len(drain(events)) == len(events)


def test_a_line_is_put_together_once_however_small_its_pieces_are() -> None:
    """Two megabytes in 200,000 pieces: copied at each of them, that would be 200 gigabytes."""
    choice = {"index": 0, "delta": {"content": "A" * 2_000_000}}
    line = f"data: {json.dumps({'choices': [choice]})}"
    pieces = [line[at : at + 10] for at in range(0, len(line), 10)]
    assert drain([*pieces, "\r", "\n", "\r\n"]) == [line]


def test_a_fence_that_never_closes_is_read_once() -> None:
    """Looking for its end again from each of a million spaces would not end today."""
    answering("```json\n" + " " * 1_000_000 + "x")
