"""Hostile answers: whatever a vendor sends, a call ends in an answer or in an error of this package's own tree.

Neither shows the key that was sent, and what this package says of it is short, on one line, and printable.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import copy
import json
import logging
import pickle
import sys
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote
from uuid import UUID

import httpx
import litellm
import pytest
from conftest import WIRES, Serve
from pydantic import BaseModel, Json

import majordomo_cascade
from majordomo_cascade import (
    LLMCascade,
    MajordomoError,
    ProviderError,
    ResponseError,
    RetryPolicy,
    StreamInterruptedError,
    Target,
)
from majordomo_cascade.classify import classify
from majordomo_cascade.failover import SystemClock
from majordomo_cascade.parsing import find_json
from majordomo_cascade.scrubbing import scrub, wanted
from majordomo_cascade.structured import JSONForm, schema_form, type_form
from majordomo_cascade.tap import Tap
from majordomo_cascade.testing import Behaviour, Exchange, Garbage, Reply, Request, Status

KEY = "sk-a-key/that+nobody=may-see"
ONCE = RetryPolicy(attempts=1)
#: Characters of the longest message that is ours: a vendor's 300, a code's 60, a name, and our words.
LONGEST = 600

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
#: The same as errors, shorter: LiteLLM searches an error's text for secrets some forty times, ten seconds a megabyte.
ERRORS = {name: text[:6_000] for name, text in TEXTS.items()}
WAYS = ("text", "json", "schema", "structured", "stream", "collected", "chunks")

each_wire = pytest.mark.parametrize(("provider", "model"), WIRES)
each_text = pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS.keys())
each_error = pytest.mark.parametrize("text", ERRORS.values(), ids=ERRORS.keys())
each_way = pytest.mark.parametrize("way", WAYS)


class Item(BaseModel):
    """What is asked for."""

    name: str
    count: int = 0
    tags: list[str] = []


async def ask(cascade: LLMCascade, way: str) -> Any:
    match way:
        case "text":
            return (await cascade.get_response("Hello")).content
        case "json":
            return (await cascade.get_json_response("Hello")).content
        case "schema":
            schema = {"type": "object", "required": ["name"], "additionalProperties": {"type": ["string", "integer"]}}
            return (await cascade.get_json_response("Hello", schema=schema)).content
        case "structured":
            return (await cascade.get_structured_json_response(Item, "Hello", reasks=1)).content
        case "stream":
            return "".join([text async for text in await cascade.get_response_stream("Hello")])
        case "collected":
            return (await (await cascade.get_response_stream("Hello")).collect()).content
    return [chunk async for chunk in await cascade.acompletion([{"role": "user", "content": "Hello"}], stream=True)]


async def outcome(cascade: LLMCascade, way: str) -> Any:
    """The answer, or the error, which must be one of this package's own."""
    try:
        return await ask(cascade, way)
    except MajordomoError as error:
        return error


def own_words(error: BaseException, records: list[logging.LogRecord]) -> list[str]:
    """Every line that this package says by itself about an error, and in its log."""
    errors = [error, *(attempt.error for attempt in getattr(error, "attempts", ()) if attempt.error)]
    said = [str(one) for one in errors]
    said += [note for one in errors for note in getattr(one, "__notes__", ())]
    said += [str(attempt) for attempt in getattr(error, "attempts", ())]
    said += [one.request_id for one in errors if isinstance(one, ProviderError) and one.request_id]
    for record in records:
        if record.name == "majordomo_cascade":
            said += [record.getMessage(), *(value for value in vars(record).values() if isinstance(value, str))]
    return said


def everything(error: MajordomoError, records: list[logging.LogRecord]) -> str:
    """All that can be shown of an error but LiteLLM's exception, as a logger or a debugger may show it."""
    own = copy.copy(error)
    own.__cause__ = own.__context__ = None
    state = {name: value for name, value in vars(error).items() if name != "original_error"}
    pickled = pickle.dumps(error)
    return " ".join([*own_words(error, records), repr(own), repr(state), repr(error.attempts), repr(pickled)])


def assert_harmless(error: Any, caplog: pytest.LogCaptureFixture) -> None:
    for line in own_words(error, caplog.records):
        assert line.isprintable(), line[:LONGEST]
        assert len(line) <= LONGEST, line[:LONGEST]
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
    assert all(record.getMessage().isprintable() for record in caplog.records if record.name == "majordomo_cascade")


@each_wire
@each_error
@pytest.mark.parametrize("status", [400, 401, 429, 500])
async def test_a_hostile_error_text_is_quoted_on_one_short_printable_line(
    serve: Serve, caplog: pytest.LogCaptureFixture, provider: str, model: str, text: str, status: int
) -> None:
    hostile = Status(status, text, error_code=text, headers={"x-request-id": "req \x1b[31m" + "9" * 4000})
    target = serve(hostile).target(provider, model)
    for way in ("text", "stream"):
        error = await outcome(LLMCascade([target, target], retry=ONCE), way)
        assert isinstance(error, MajordomoError)
        assert_harmless(error, caplog)


BODIES: dict[str, bytes] = {
    "nested": DEEP[:20_000].encode(),
    "nested objects": b'{"error":' * 2_000,
    "nested as an error": f'{{"error": {{"message": {"[" * 3000}{"]" * 3000}}}}}'.encode(),
    "nested as far as Python reads": f'{{"error": {{"message": {"[" * 800}{"]" * 800}}}}}'.encode(),
    "nested choices": f'{{"choices": {"[" * 3000}{"]" * 3000}}}'.encode(),
    "huge": b"A" * 6_000,
    "huge JSON": b'{"error": {"message": "' + b"A" * 6_000 + b'"}}',
    "many details": b'{"error": {"message": "m", "details": [' + b'{"reason": "r"},' * 500 + b"{}]}}",
    "a huge number": b'{"error": {"message": "m", "code": ' + b"9" * 4000 + b"}}",
    "no UTF-8": b'{"error": {"message": "\xff\xfe\x1b[31m"}}',
    "NUL": b"\x00" * 1000,
    "nothing": b"",
    "null": b"null",
    "a string": b'"error"',
    "a list": b"[1, 2]",
    "a false number": b'{"choices": [{"message": {"content": "x"}}], "usage": {"prompt_tokens": 1e999}}',
}


@each_wire
@pytest.mark.parametrize("status", [200, 400, 401, 429, 500])
@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES.keys())
async def test_a_hostile_body_is_an_error_of_ours(
    serve: Serve, caplog: pytest.LogCaptureFixture, provider: str, model: str, body: bytes, status: int
) -> None:
    target = serve(Garbage(body, "application/json", status)).target(provider, model)
    for way in ("text", "stream"):
        came = await outcome(LLMCascade([target], retry=ONCE), way)
        if isinstance(came, MajordomoError):
            assert_harmless(came, caplog)
        else:
            assert (status, came) == (200, "x")


#: What stands where something else was meant.
WRONG: tuple[Any, ...] = (None, [], {}, [[]], [{}], "\x1b[31m", -1, 10**400, 1e308, True, ["\ud800"])


def twisted(good: Any, wrong: Sequence[Any] = WRONG) -> Iterator[Any]:
    """A good JSON value, again and again, each time with something else in one of its places."""
    yield from wrong
    places = good.items() if isinstance(good, dict) else enumerate(good) if isinstance(good, list) else ()
    for place, inner in places:
        for other in twisted(inner, wrong):
            made = copy.copy(good)
            made[place] = other
            yield made


def good_body(provider: str, model: str) -> Any:
    return getattr(Reply("Hello."), f"_{provider}")(model)


@each_wire
async def test_an_answer_with_a_wrong_value_in_any_place_is_an_answer_or_an_error_of_ours(
    serve: Serve, caplog: pytest.LogCaptureFixture, provider: str, model: str
) -> None:
    bodies = [Garbage(json.dumps(body), "application/json") for body in twisted(good_body(provider, model))]
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
    good = {"error": {"message": "m", "code": "c", "type": "t", "status": "s", "details": details}, "type": "error"}
    bodies = [Garbage(json.dumps(body), "application/json", status) for body in twisted(good)]
    cascade = LLMCascade([serve(*bodies).target(provider, model)], retry=ONCE, breaker=None)
    for _ in bodies:
        error = await outcome(cascade, "text")
        assert isinstance(error, MajordomoError)
        assert_harmless(error, caplog)


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
async def test_a_retry_after_that_is_no_time_is_none(serve: Serve, provider: str, model: str, name: str) -> None:
    for value in RETRY_AFTER:
        target = serve(Status(429, headers={name: value})).target(provider, model)
        error = await outcome(LLMCascade([target], retry=ONCE), "text")
        assert isinstance(error, MajordomoError)
        retry_after = getattr(error, "retry_after", None)
        assert retry_after is None or 0 <= retry_after < 1e12, value


async def test_headers_beyond_all_limits_are_an_error_of_ours(serve: Serve, caplog: pytest.LogCaptureFixture) -> None:
    for provider, model in WIRES:
        for headers in ({"x": "9" * 100_000}, {f"x-{n}": "9" for n in range(2_000)}, {"x-request-id": "\x00"}):
            for status in (200, 500):
                hostile = Status(status, headers=headers)
                cascade = LLMCascade([serve(hostile).target(provider, model)], retry=ONCE)
                error = await outcome(cascade, "text")
                assert isinstance(error, MajordomoError)
                assert_harmless(error, caplog)


@dataclass(frozen=True)
class Events:
    """A stream: the good events up to ``after``, then these, then the rest of the good ones."""

    hostile: tuple[Mapping[str, Any] | str, ...]
    after: int = 3
    reply: Reply = field(default_factory=lambda: Reply("one two three"))

    async def perform(self, exchange: Exchange) -> None:
        """Stream all."""
        events = self.reply.events(exchange.request)
        await exchange.begin_stream()
        for event in (*events[: self.after], *self.hostile, *events[self.after :]):
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
@pytest.mark.parametrize("event", ["[" * 100_000, '{"error":' * 100_000, "\x00\x1b[31m", "A" * 2_000_000, "9" * 5000])
async def test_an_event_that_can_not_be_read_breaks_a_stream(
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
    events = Reply("one two three").events(
        Request("", {}, {"model": model}) if provider != "gemini" else Request(f"/{model}:x", {}, None)
    )
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


def test_no_depth_of_nesting_is_too_much() -> None:
    """An answer is read more than once, at different depths of the stack: none may be too deep for one of them."""
    forms: list[Any] = [JSONForm(), schema_form({"type": ["object", "array"]}), type_form(list[Any]), type_form(Item)]
    forms += [type_form(dict[str, Any]), schema_form({"type": "array", "uniqueItems": True})]
    for depth in range(sys.getrecursionlimit() - 250, sys.getrecursionlimit() + 10):
        for text in ("[" * depth + "]" * depth, '{"value":' * depth + "null" + "}" * depth):
            for form in forms:
                with contextlib.suppress(ResponseError):
                    form.read(text, "openai", "gpt-4.1")


@pytest.mark.parametrize(
    ("wanted_type", "answer"),
    [
        (UUID, '"\\u001b[31m"'),  # pydantic quotes a letter
        (dict[str, int], '{"\\u001b[31msk-a-secret": "x"}'),
        (Json[dict[str, int]], json.dumps('{"\\u001b[31msk-a-secret": "x"}')),
        (dict[str, Json[dict[str, int]]], json.dumps({"a": '{"\\u001b[31msk-a-secret": "x"}'})),
        (Json[int], json.dumps("\x1b[31msk-a-secret")),
        (Item, '{"sk-a-secret\\u202e": 1}'),
    ],
)
def test_a_problem_of_an_answer_is_told_without_its_words(wanted_type: Any, answer: str) -> None:
    with pytest.raises(ResponseError) as caught:
        type_form(wanted_type).read(answer, "openai", "gpt-4.1")
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < LONGEST
    assert "sk-a-secret" not in str(caught.value)


async def test_a_finish_reason_that_is_no_word_is_none(serve: Serve) -> None:
    raw: Any = litellm.ModelResponse(choices=[{"message": {"content": "Hi"}, "finish_reason": "stop"}])
    raw.choices[0].finish_reason = f"\x1b[31m{KEY}"
    response = await LLMCascade(["openai/gpt-4.1"]).get_response("Hello", mock_response=raw)
    assert (response.content, response.finish_reason) == ("Hi", None)


#: A text that holds the key, and how the key is spelt in it.
LEAKS = {
    "plain": (f"You sent {KEY}.", KEY),
    "in a header": (f"Authorization: Bearer {KEY}", KEY),
    "in a URL": (f"https://host/v1?key={KEY}&alt=sse", KEY),
    "percent-encoded": (f"https://host/v1?key={quote(KEY, safe='')}", quote(KEY, safe="")),
    "in JSON": (json.dumps({"headers": {"x-api-key": KEY}}), KEY),
    "in JSON with escaped slashes": (KEY.replace("/", "\\/"), KEY.replace("/", "\\/")),
    "over several lines": (f"{KEY[:9]}\r\n    {KEY[9:20]}\n{KEY[20:]}", KEY),
    "with invisible characters": ("\u200b".join(KEY), KEY),
    "with control characters": ("\x00".join(KEY), KEY),
    "in base64": (base64.b64encode(KEY.encode()).decode(), base64.b64encode(KEY.encode()).decode()[:-2]),
    "as a password": (
        "Basic " + base64.b64encode(f"user:{KEY}".encode()).decode(),
        base64.b64encode(f"user:{KEY}".encode()).decode()[7:-2],
    ),
    "again and again": (KEY * 500, KEY),
    "cut": (f"{KEY} " * 137 + "x" * 20 + KEY, KEY),  # 4,000 characters in, where reading ends
}


def shows(told: str, spelt: str) -> bool:
    """Whether a text shows a piece of the key, whatever invisible may stand in it."""
    visible = "".join(letter for letter in told if letter.isprintable() and letter != " ")
    return any(spelt[start : start + 10] in visible for start in range(len(spelt) - 9))


@each_wire
@pytest.mark.parametrize(("text", "spelt"), LEAKS.values(), ids=LEAKS.keys())
@pytest.mark.parametrize("status", [401, 500])
async def test_no_spelling_of_the_key_gets_from_an_error_into_ours(
    serve: Serve, caplog: pytest.LogCaptureFixture, provider: str, model: str, text: str, spelt: str, status: int
) -> None:
    headers = {"x-request-id": text} if text.isascii() and text.isprintable() else {}
    target = serve(Status(status, text, error_code=text, headers=headers)).target(provider, model, api_key=KEY)
    error = await outcome(LLMCascade([target, target], retry=ONCE), "text")
    assert isinstance(error, MajordomoError)
    assert not shows(everything(error, caplog.records), spelt)


@each_wire
@pytest.mark.parametrize(("text", "spelt"), LEAKS.values(), ids=LEAKS.keys())
@pytest.mark.parametrize("where", ["target", "global", "headers"])
async def test_no_spelling_of_the_key_gets_from_a_stream_into_ours(
    serve: Serve,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
    provider: str,
    model: str,
    text: str,
    spelt: str,
    where: str,
) -> None:
    server = serve(Events((error_event(provider, text),)))
    params: dict[str, Any] = {"extra_headers": {"x-api-key": KEY}} if where == "headers" else {}
    if where == "global":
        monkeypatch.setattr(litellm, "api_key", KEY)
    own = {"global": None, "target": KEY, "headers": "another-key"}[where]
    cascade = LLMCascade([server.target(provider, model, api_key=own)], retry=ONCE, **params)
    error = await outcome(cascade, "stream")
    assert isinstance(error, MajordomoError)
    assert not shows(everything(error, caplog.records), spelt)


async def test_a_password_in_an_address_is_a_key_too() -> None:
    target = Target("openai", "gpt-4.1", api_base=f"http://user:{quote(KEY, safe='')}@host/v1")
    for spelt in (KEY, quote(KEY, safe="")):
        with pytest.raises(ResponseError) as caught:
            await LLMCascade([target]).get_json_response("Hello", mock_response=f"No JSON, but {spelt}")
        assert caught.value.__notes__[0] == "the answer began: No JSON, but […]"


def test_what_can_not_be_told_from_other_words_is_shown() -> None:
    """The limits that SECURITY.md owns up to."""
    for text in (KEY[:7], KEY[5:], KEY[::-1], KEY.encode().hex(), KEY.upper()):
        assert scrub(text, wanted([KEY])) == text


def test_secrets_that_overlap_are_blotted_out_together() -> None:
    secrets = wanted(["the first line", "the first line\nand the second one", "line and the second", "second one!!"])
    assert scrub("<the first line and the second one!!>", secrets) == "<[…]>"
    assert scrub("the first line the first line", secrets) == "[…] […]"


def steps(work: Callable[[], Any]) -> int:
    """How many lines of this package are run: work that can be counted, where time can't be trusted."""
    package, count = str(Path(majordomo_cascade.__file__).parent), 0

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


def http_error(body: str) -> Exception:
    """What LiteLLM raises for an HTTP error."""
    request = httpx.Request("POST", "http://127.0.0.1/v1")
    response = httpx.Response(429, text=body, request=request)
    error: Exception = litellm.RateLimitError(f"it said: {body}", "openai", "gpt-4.1")
    error.__cause__ = httpx.HTTPStatusError("429", request=request, response=response)
    return error


def read_json(text: str) -> None:
    find_json(text)


def read_items(text: str) -> None:
    with pytest.raises(ResponseError):
        type_form(list[int]).read(text, "openai", "gpt-4.1")


def read_error(text: str) -> None:
    error = classify(http_error(text), "openai", "gpt-4.1", secrets=[KEY])
    assert isinstance(error, MajordomoError)
    assert len(str(error)) < LONGEST


def drain(pieces: list[str]) -> list[str]:
    """What a tap passes on of a stream that comes in these pieces."""

    class Wire:
        async def aiter_text(self) -> AsyncIterator[str]:
            for piece in pieces:
                yield piece

    async def read() -> list[str]:
        return [line async for line in Tap(Wire(), lambda: SystemClock().timeout(None))]

    return asyncio.run(read())


def read_stream(text: str) -> None:
    drain([f"data: {text}\n\n"])


GROWING: dict[str, tuple[Callable[[str], None], Callable[[int], str]]] = {
    "brackets": (read_json, lambda n: "[" * n),
    "closed brackets": (read_json, lambda n: "[" * n + "]" * n),
    "lists": (read_json, lambda n: "[1]" * n),
    "quotes": (read_json, lambda n: '["' * n),
    "wrong items": (read_items, lambda n: json.dumps({"value": ["x"] * n})),
    "an error": (read_error, lambda n: json.dumps({"error": {"message": "missing " * n}})),
    "an error with details": (read_error, lambda n: json.dumps({"error": {"details": [{"reason": "r"}] * n}})),
    "an error in one word": (read_error, lambda n: json.dumps({"error": {"message": "A" * n, "code": "A" * n}})),
    "an error that is no JSON": (read_error, lambda n: "<" * n),
    "an event": (read_stream, lambda n: json.dumps({"choices": [{"index": 0, "finish_reason": None}] * n})),
    "many events": (read_stream, lambda n: '{"choices": [{"index": 0}]}\n\ndata: ' * n + "{}"),
    "many choices": (
        read_stream,
        lambda n: "\n\ndata: ".join(f'{{"choices": [{{"index": {at}}}]}}' for at in range(n)),
    ),
}


@pytest.mark.parametrize(("work", "text"), GROWING.values(), ids=GROWING.keys())
def test_twice_as_much_is_at_most_twice_the_work(work: Callable[[str], None], text: Callable[[int], str]) -> None:
    work(text(1))  # what is built once
    small, middle, large = (steps(lambda n=n: work(text(n))) for n in (2_000, 4_000, 8_000))  # type: ignore[misc]
    assert middle <= 2.2 * small
    assert large <= 2.2 * middle


def test_the_choices_of_a_stream_are_not_counted_again_at_every_event() -> None:
    """Looking through 50,000 choices at each of as many events is a billion looks."""
    events = [f'data: {{"choices": [{{"index": {n}, "finish_reason": "stop"}}]}}\n\n' for n in range(50_000)]
    assert len(drain(events)) == len(events)


def test_a_line_is_put_together_once_however_small_its_pieces_are() -> None:
    """Two megabytes in 200,000 pieces: copied at each of them, that would be 200 gigabytes."""
    line = f'data: {{"choices": [{{"index": 0, "delta": {{"content": "{"A" * 2_000_000}"}}}}]}}'
    assert drain([*(line[at : at + 10] for at in range(0, len(line), 10)), "\r", "\n", "\r\n"]) == [line]


def test_a_fence_that_never_closes_is_read_once() -> None:
    """Looking for its end again from each of a million spaces would not end today."""
    assert find_json("```json\n" + " " * 1_000_000 + "x") is None
