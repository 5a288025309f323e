"""Streams: a whole answer, or an error; never a short answer that looks whole."""

from __future__ import annotations

import asyncio
import gc
import json
import pickle
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import litellm
import pytest
from conftest import ALL_WIRES, WIRES, Gate, Serve, Steps, until

from majordomo_cascade import (
    Attempt,
    AuthenticationError,
    BadRequestError,
    ConfigurationError,
    ContentPolicyError,
    DeadlineExceededError,
    InvalidResponseError,
    LLMCascade,
    LLMStreamResponse,
    MajordomoError,
    ProviderConnectionError,
    ProviderError,
    ProviderTimeoutError,
    ProviderUnavailableError,
    QuotaExceededError,
    RateLimitError,
    ResponseTruncatedError,
    RetryPolicy,
    StreamInterruptedError,
    StreamRestarted,
    TextDelta,
)
from majordomo_cascade.gateway.inspector import StreamState, WireInspector
from majordomo_cascade.testing import (
    Behaviour,
    BrokenStream,
    Exchange,
    Garbage,
    Hang,
    Reply,
    Status,
    simulate,
)

ONCE = RetryPolicy(attempts=1)
HALF = "The first half of"
WHOLE = Reply("The whole answer, said by another.")
EVERY_WIRE = pytest.mark.parametrize(("provider", "model"), ALL_WIRES)

#: What breaks a stream after its first content.
BREAKS: tuple[BrokenStream, ...] = (
    BrokenStream("cut"),
    BrokenStream("stall"),
    BrokenStream("garbage"),
    BrokenStream("error"),
    BrokenStream("end"),
)
#: What keeps a stream from beginning, and its error.
FALSE_STARTS: tuple[tuple[Behaviour, type[ProviderError]], ...] = (
    (BrokenStream("cut", ""), ProviderConnectionError),
    (BrokenStream("stall", ""), ProviderTimeoutError),
    (BrokenStream("garbage", ""), InvalidResponseError),
    (BrokenStream("error", ""), ProviderUnavailableError),
    (BrokenStream("end", ""), InvalidResponseError),
    (Garbage("", content_type="text/event-stream"), InvalidResponseError),
    (Garbage("<html>"), InvalidResponseError),
    (Reply(""), InvalidResponseError),
    (Reply(" \n"), InvalidResponseError),
    (Hang(), ProviderTimeoutError),
    (Status(503), ProviderUnavailableError),
    (Status(429, retry_after=60), RateLimitError),
    (Status(401), AuthenticationError),
)


READ_ONCE = "this stream was read or closed before: a stream is read once, in one way; ask again"

EVERY_BREAK = pytest.mark.parametrize("behaviour", BREAKS, ids=lambda behaviour: behaviour.fault)


def before(provider: str, model: str, **options: Any) -> LLMCascade:
    """Return a cascade of one wire, with another one as its fallback."""
    fallback = next(wire for wire in WIRES if wire[0] != provider)
    return LLMCascade([(provider, model), fallback], **{"retry": ONCE, **options})


def event(delta: dict[str, Any], finish_reason: str | None = None) -> dict[str, Any]:
    """Return a chunk of OpenAI's."""
    choice = {"index": 0, "delta": delta, "finish_reason": finish_reason}
    return {
        "id": "1",
        "object": "chat.completion.chunk",
        "created": 1,
        "model": "gpt-4.1",
        "choices": [choice],
    }


@dataclass
class Events:
    """Streams any events."""

    events: Sequence[dict[str, Any] | str]

    async def perform(self, exchange: Exchange) -> None:
        await exchange.begin_stream()
        for event in self.events:
            await exchange.send_event(event)
        await exchange.end_stream()


async def read_until_it_raises(pieces: AsyncIterable[Any]) -> tuple[list[Any], Exception]:
    """Return the pieces that came, and the error that ended them."""
    received: list[Any] = []
    try:
        async for piece in pieces:
            received.append(piece)  # noqa: PERF401 - what came before the error counts
    except MajordomoError as error:
        return received, error
    raise AssertionError("nothing was raised")


def others(provider: str) -> tuple[str, str]:
    return next(wire for wire in WIRES if wire[0] != provider)


@EVERY_WIRE
async def test_a_whole_stream(provider: str, model: str) -> None:
    with simulate(before(provider, model), Reply("One two three.")) as simulation:
        stream = await simulation.cascade.get_response_stream("Hello")
        assert (stream.usage, stream.cost, stream.finish_reason, stream.attempts) == (
            None,
            None,
            None,
            (),
        )
        assert [text async for text in stream] == ["One", " two", " three."]
    assert (stream.provider, stream.model, stream.failed_over) == (provider, model, False)
    assert stream.finish_reason == "stop"
    assert stream.usage is not None
    assert (stream.usage.input_tokens, stream.usage.output_tokens) == (10, 5)
    assert stream.cost is not None
    assert [(attempt.outcome, attempt.usage, attempt.cost) for attempt in stream.attempts] == [
        ("ok", stream.usage, stream.cost)
    ]


@EVERY_WIRE
async def test_a_collected_stream_equals_the_answer_of_a_plain_call(
    provider: str, model: str
) -> None:
    with simulate(before(provider, model), WHOLE) as simulation:
        plain = await simulation.cascade.get_response("Hello")
        stream = await simulation.cascade.get_response_stream("Hello")
        collected = await stream.collect()
    for name in (
        "content",
        "provider",
        "model",
        "usage",
        "cost",
        "total_cost",
        "finish_reason",
        "failed_over",
    ):
        assert getattr(collected, name) == getattr(plain, name), name
    assert collected.raw.choices[0].message.content == WHOLE.text


@EVERY_WIRE
@EVERY_BREAK
async def test_a_stream_that_breaks_is_collected_whole_from_the_next(
    provider: str, model: str, behaviour: Behaviour
) -> None:
    with simulate(before(provider, model), behaviour, WHOLE) as simulation:
        response = await (await simulation.cascade.get_response_stream("Hello")).collect()
    assert response.content == WHOLE.text
    assert (response.provider, response.failed_over) == (others(provider)[0], True)
    broken, served = response.attempts
    assert (broken.outcome, type(broken.error)) == ("failed", StreamInterruptedError)
    assert (broken.provider, served.provider, served.outcome) == (
        provider,
        others(provider)[0],
        "ok",
    )
    assert response.usage == served.usage
    assert response.cost == served.cost


@EVERY_WIRE
@EVERY_BREAK
async def test_a_stream_that_breaks_is_told_by_its_events(
    provider: str, model: str, behaviour: Behaviour
) -> None:
    shown, restarts = "", []
    with simulate(before(provider, model), behaviour, WHOLE) as simulation:
        stream = await simulation.cascade.get_response_stream("Hello")
        async for event in stream.events():
            if isinstance(event, StreamRestarted):
                assert shown == HALF
                shown = ""
                restarts.append(event)
            elif isinstance(event, TextDelta):
                shown += event.text
    assert shown == WHOLE.text
    (restart,) = restarts
    assert (restart.provider, restart.model) == others(provider) == (stream.provider, stream.model)
    assert isinstance(restart.error, StreamInterruptedError)
    assert restart.error.partial_content == HALF


@EVERY_WIRE
@EVERY_BREAK
async def test_a_stream_that_breaks_under_plain_iteration_raises_with_the_text_so_far(
    provider: str, model: str, behaviour: Behaviour
) -> None:
    with simulate(before(provider, model), behaviour, WHOLE) as simulation:
        stream = await simulation.cascade.get_response_stream("Hello")
        shown, error = await read_until_it_raises(stream)
    assert isinstance(error, StreamInterruptedError)
    assert "".join(shown) == error.partial_content == HALF
    assert (error.provider, error.model) == (provider, model)
    assert str(error).startswith(f"{provider}/{model}: the stream broke off after 17 characters: ")
    assert HALF not in str(error)
    assert error.attempts == stream.attempts
    assert [attempt.error for attempt in error.attempts] == [error]
    assert len(error.__notes__) == 1
    assert [len(provider.requests) for provider in simulation.providers] == [1, 0]


@EVERY_WIRE
@pytest.mark.parametrize(
    ("behaviour", "error"),
    FALSE_STARTS,
    ids=lambda value: getattr(value, "__name__", repr(value).replace("\\", "")),
)
async def test_a_break_before_the_first_content_fails_over_like_any_call(
    provider: str, model: str, behaviour: Behaviour, error: type[ProviderError]
) -> None:
    with simulate(before(provider, model, first_token_timeout=2), behaviour, WHOLE) as simulation:
        stream = await simulation.cascade.get_response_stream("Hello")
        assert (stream.provider, stream.failed_over) == (others(provider)[0], True)
        assert "".join([text async for text in stream]) == WHOLE.text
    assert [attempt.outcome for attempt in stream.attempts] == ["failed", "ok"]
    kinds = (
        {error, InvalidResponseError} if behaviour == BrokenStream("cut", "") else {error}
    )  # LiteLLM 1.83: an end
    assert type(stream.attempts[0].error) in kinds
    assert [len(provider.requests) for provider in simulation.providers] == [1, 1]


@EVERY_WIRE
async def test_a_false_start_is_retried_as_any_call_is(provider: str, model: str) -> None:
    cascade = before(provider, model, retry=RetryPolicy(attempts=3, base=0))
    with simulate(
        cascade, [BrokenStream("error", ""), BrokenStream("cut", ""), WHOLE]
    ) as simulation:
        response = await (await simulation.cascade.get_response_stream("Hello")).collect()
    assert (response.content, response.provider, response.failed_over) == (
        WHOLE.text,
        provider,
        False,
    )
    assert [attempt.number for attempt in response.attempts] == [1, 2, 3]


@EVERY_WIRE
@pytest.mark.parametrize(
    "late", [BrokenStream("stall", ""), Hang()], ids=["headers at once", "nothing at all"]
)
async def test_a_late_first_token_moves_on(provider: str, model: str, late: Behaviour) -> None:
    with simulate(
        before(provider, model, timeout=60, first_token_timeout=4), late, late
    ) as simulation:
        with pytest.raises(ProviderTimeoutError) as caught:
            await simulation.cascade.get_response_stream("Hello")
    assert [attempt.seconds for attempt in caught.value.attempts] == [4, 4]
    assert str(caught.value).endswith("no answer within its first_token_timeout of 4 s")


@EVERY_WIRE
async def test_timeout_runs_until_the_first_content_if_nothing_else_is_set(
    provider: str, model: str
) -> None:
    with simulate(
        before(provider, model, timeout=60), BrokenStream("stall", ""), WHOLE
    ) as simulation:
        stream = await simulation.cascade.get_response_stream("Hello")
        await stream.collect()
        assert [attempt.seconds for attempt in stream.attempts] == [60, 0]
        patient = simulation.cascade.with_options(first_token_timeout=90)
        await (await patient.get_response_stream("Hello", timeout=50)).collect()
        assert simulation.clock.now() == 110
        hurried = simulation.cascade.with_options(first_token_timeout=5)
        await (await hurried.get_response_stream("Hello", timeout=None)).collect()
    assert simulation.clock.now() == 115


async def test_first_token_timeout_is_for_streams_only() -> None:
    with simulate(before(*WIRES[0], timeout=60, first_token_timeout=4), Hang()) as simulation:
        response = await simulation.cascade.get_response("Hello")
    assert [attempt.seconds for attempt in response.attempts] == [60, 0]


async def test_a_stall_is_measured_from_token_to_token() -> None:
    with simulate(
        before(*WIRES[0], timeout=5, stall_timeout=20), BrokenStream("stall"), WHOLE
    ) as simulation:
        with pytest.raises(
            StreamInterruptedError, match="no answer within its stall_timeout of 20 s"
        ):
            [text async for text in await simulation.cascade.get_response_stream("Hello")]
        assert simulation.clock.now() == 20
        hurried = simulation.cascade.with_options(stall_timeout=7)
        await (await hurried.get_response_stream("Hello")).collect()
    assert simulation.clock.now() == 27


@EVERY_WIRE
async def test_a_deadline_ends_a_stream_too(provider: str, model: str) -> None:
    with simulate(before(provider, model, deadline=9), BrokenStream("stall"), WHOLE) as simulation:
        stream = await simulation.cascade.get_response_stream("Hello")
        shown, error = await read_until_it_raises(stream)
    assert isinstance(error, DeadlineExceededError)
    assert str(error).startswith("the deadline of 9 s is spent")
    assert ("".join(shown), simulation.clock.now(), len(error.attempts)) == (HALF, 9, 1)
    assert [len(provider.requests) for provider in simulation.providers] == [1, 0]


@EVERY_WIRE
async def test_without_a_last_event_a_stream_is_finished_with_its_usage(
    serve: Serve, provider: str, model: str
) -> None:
    server = serve(BrokenStream("unclosed"))
    cascade = LLMCascade([server.target(provider, model)], stall_timeout=None, timeout=None)
    response = await (await cascade.get_response_stream("Hello")).collect()
    assert response.content == f"{HALF} an answer."
    assert (response.finish_reason, response.usage.total_tokens, len(response.attempts)) == (
        "stop",
        15,
        1,
    )
    await until(lambda: server.pending == 0)


@pytest.mark.parametrize(
    ("limits", "patience"),
    [
        ({}, 1.0),
        ({"stall_timeout": 1.5}, 0.75),
        ({"stall_timeout": None, "deadline": 1.25}, 0.625),
        ({"stall_timeout": 9, "deadline": 9}, 1.0),
    ],
)
async def test_the_wait_behind_the_finish_reason_is_short(
    limits: dict[str, Any], patience: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    with simulate(LLMCascade(WIRES[:1])) as simulation:
        granted: list[float | None] = []
        timeout = simulation.clock.timeout

        def noting(seconds: float | None) -> asyncio.Timeout:
            granted.append(seconds)
            return timeout(seconds)

        monkeypatch.setattr(simulation.clock, "timeout", noting)
        cascade = simulation.cascade.with_options(**limits)
        await (await cascade.get_response_stream("Hello")).collect()
    assert patience in granted
    assert min(filter(None, granted)) == patience


async def test_without_a_last_event_a_stream_is_finished_promptly() -> None:
    with simulate(
        before(*WIRES[0], stall_timeout=None, timeout=None), BrokenStream("unclosed")
    ) as simulation:
        assert (
            await (await simulation.cascade.get_response_stream("Hello")).collect()
        ).provider == "openai"
    assert simulation.clock.now() == 1


@EVERY_WIRE
async def test_a_cut_behind_the_last_event_takes_nothing_away(
    serve: Serve, provider: str, model: str
) -> None:
    class CutAtTheEnd:
        async def perform(self, exchange: Exchange) -> None:
            await exchange.begin_stream()
            for event in WHOLE.events(exchange.request):
                if event != "[DONE]":
                    await exchange.send_event(event)
            exchange.writer.close()

    cascade = LLMCascade([serve(CutAtTheEnd()).target(provider, model)], retry=ONCE)
    response = await (await cascade.get_response_stream("Hello")).collect()
    assert (response.content, response.usage.total_tokens) == (WHOLE.text, 15)


@EVERY_WIRE
async def test_the_next_provider_does_not_get_the_text_so_far(provider: str, model: str) -> None:
    with simulate(before(provider, model), BrokenStream("cut"), WHOLE) as simulation:
        await (
            await simulation.cascade.get_response_stream("What is a cascade?", "Be brief.")
        ).collect()
        asked = json.dumps(simulation.providers[1].requests[0].json)
    assert "What is a cascade?" in asked
    assert HALF not in asked
    assert "assistant" not in asked


@EVERY_WIRE
async def test_a_token_reaches_the_caller_before_the_next_one_is_sent(
    serve: Serve, provider: str, model: str
) -> None:
    steps = Steps(Reply("One two three four."))
    cascade = LLMCascade([serve(steps).target(provider, model)])
    leads = {"gpt-4.1": 1, "claude-sonnet-4-5": 2, "gemini-2.5-flash": 0, "responses/gpt-4.1": 3}
    lead = leads[model]  # events before the first word
    steps.give(lead + 1)
    async with await cascade.get_response_stream("Hello") as stream:
        words: list[str] = []
        async for text in stream:
            words.append(text)
            assert len(steps.sent) == lead + len(words)
            steps.give(1 if len(words) < 4 else 10)
    assert words == ["One", " two", " three", " four."]


async def break_off(stream: LLMStreamResponse) -> None:
    async for _ in stream:
        break


async def break_off_inside(stream: LLMStreamResponse) -> None:
    async with stream:
        async for _ in stream.events():
            break


async def raise_inside(stream: LLMStreamResponse) -> None:
    try:
        async for _ in stream:
            raise KeyError
    except KeyError:
        pass


async def close(stream: LLMStreamResponse) -> None:
    await stream.aclose()
    await stream.aclose()


async def cancel(stream: LLMStreamResponse) -> None:
    task = asyncio.ensure_future(stream.collect())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def never_read(stream: LLMStreamResponse) -> None:
    pass


def peer_port(transport: Any) -> int | None:
    """Return the port that a transport leads to; None if it is no transport."""
    address = (
        transport.get_extra_info("peername") if isinstance(transport, asyncio.Transport) else None
    )
    return address[1] if address else None


@EVERY_WIRE
@pytest.mark.parametrize(
    "stop", [break_off, break_off_inside, raise_inside, close, cancel, never_read]
)
async def test_stopping_early_leaves_no_open_connection_and_no_warning(
    serve: Serve,
    provider: str,
    model: str,
    stop: Callable[[LLMStreamResponse], Awaitable[None]],
    recwarn: pytest.WarningsRecorder,
    caplog: pytest.LogCaptureFixture,
) -> None:
    gc.collect()  # what other tests left lying about is not ours
    recwarn.clear()
    caplog.clear()
    seen: list[Attempt] = []
    server = serve(BrokenStream("stall"))
    cascade = LLMCascade([server.target(provider, model)], on_attempt=seen.append)
    stream = await cascade.get_response_stream("Hello")
    assert server.pending == 1
    await stop(stream)
    del stream
    await until(lambda: server.pending == 0)
    gc.collect()
    assert len(server.requests) == 1
    assert [attempt.outcome for attempt in seen] == ["cancelled"] * (stop is not never_read)
    ours = (
        None,
        urlsplit(server.url).port,
    )  # a transport that another test left says where it led to
    told = [
        str(warning.message)
        for warning in recwarn
        if issubclass(warning.category, ResourceWarning) and peer_port(warning.source) in ours
    ]
    told += [record.getMessage() for record in caplog.records if record.name == "asyncio"]
    # Older versions of LiteLLM leave whole clients lying about, from other tests as well.
    assert [
        one for one in told if not one.startswith(("Unclosed client session", "Unclosed connector"))
    ] == []


@EVERY_WIRE
async def test_nothing_is_sent_after_closing(serve: Serve, provider: str, model: str) -> None:
    server = serve(Reply("One two three."))
    stream = await LLMCascade([server.target(provider, model)]).get_response_stream("Hello")
    texts = aiter(stream)
    assert await anext(texts) == "One"
    await stream.aclose()
    with pytest.raises(RuntimeError, match=r"^this stream was closed before its end$"):
        await anext(texts)
    with pytest.raises(RuntimeError, match=f"^{READ_ONCE} for another$"):
        await stream.collect()
    assert len(server.requests) == 1


@EVERY_WIRE
async def test_closing_under_another_tasks_reading_ends_it(
    serve: Serve, provider: str, model: str
) -> None:
    server, well = serve(BrokenStream("stall")), serve()
    cascade = LLMCascade([server.target(provider, model), well.target()])
    stream = await cascade.get_response_stream("Hello")
    reading = asyncio.ensure_future(stream.collect())
    for _ in range(50):
        await asyncio.sleep(0)
    await stream.aclose()
    with pytest.raises(RuntimeError, match=r"^this stream was closed before its end$"):
        await reading
    await until(lambda: server.pending == 0)
    assert well.requests == []
    assert [attempt.outcome for attempt in stream.attempts] == ["cancelled"]


async def test_closing_while_the_next_one_is_asked_ends_it_too() -> None:
    gate = Gate(WHOLE)
    with simulate(before(*WIRES[0]), BrokenStream("cut"), gate) as simulation:
        stream = await simulation.cascade.get_response_stream("Hello")
        reading = asyncio.ensure_future(stream.collect())
        await until(lambda: simulation.providers[1].requests)
        await stream.aclose()
        gate.give()
        with pytest.raises(RuntimeError, match=r"^this stream was closed before its end$"):
            await reading
        await until(lambda: not simulation.providers[1].pending)
    assert [attempt.outcome for attempt in stream.attempts] == ["failed", "cancelled"]


def test_streams_work_in_one_event_loop_after_another(serve: Serve) -> None:
    for provider, model in WIRES:
        cascade = LLMCascade(
            [
                serve(BrokenStream("cut")).target(provider, model),
                serve(WHOLE).target(provider, model),
            ]
        )

        async def ask(cascade: LLMCascade = cascade) -> str:
            try:
                return (await (await cascade.get_response_stream("Hello")).collect()).content
            finally:
                await litellm.close_litellm_async_clients()

        assert [asyncio.run(ask()) for _ in range(3)] == [WHOLE.text] * 3


async def test_a_stream_is_read_once_in_one_way() -> None:
    with simulate(before(*WIRES[0])) as simulation:
        stream = await simulation.cascade.get_response_stream("Hello")
        assert await stream.collect()
        for read in (stream.events, stream.__aiter__):
            with pytest.raises(RuntimeError, match=READ_ONCE):
                read()
        with pytest.raises(RuntimeError, match="read once"):
            await stream.collect()


@pytest.mark.parametrize(("provider", "model"), [WIRES[2], ("mistral", "mistral-small-latest")])
async def test_connections_are_kept_for_the_next_stream(
    serve: Serve, provider: str, model: str
) -> None:
    """They are where LiteLLM waits for the end of the body.

    It does not on OpenAI's wire, and on Anthropic's only in some versions.
    """
    server = serve(Reply("One two three."))
    cascade = LLMCascade([server.target(provider, model)])
    for _ in range(3):
        await (await cascade.get_response_stream("Hello")).collect()
    assert server.connections == 1


async def test_if_no_target_is_left_the_interruption_is_raised_by_collect_too() -> None:
    cascade = LLMCascade(WIRES, retry=ONCE)
    with simulate(cascade, BrokenStream("cut"), Status(500), BrokenStream("end")) as simulation:
        with pytest.raises(StreamInterruptedError) as caught:
            await (await simulation.cascade.get_response_stream("Hello")).collect()
    tried = [(attempt.provider, type(attempt.error).__name__) for attempt in caught.value.attempts]
    assert tried == [
        ("openai", "StreamInterruptedError"),
        ("anthropic", "ProviderUnavailableError"),
        ("gemini", "StreamInterruptedError"),
    ]
    assert caught.value.partial_content == HALF
    copy = pickle.loads(pickle.dumps(caught.value))
    assert (copy.partial_content, copy.provider, copy.attempts[0].provider) == (
        HALF,
        "gemini",
        "openai",
    )


async def test_the_next_targets_error_is_raised_if_it_came_last() -> None:
    with simulate(before(*WIRES[0]), BrokenStream("cut"), Status(401)) as simulation:
        with pytest.raises(AuthenticationError) as caught:
            await (await simulation.cascade.get_response_stream("Hello")).collect()
    assert [type(a.error) for a in caught.value.attempts] == [
        StreamInterruptedError,
        AuthenticationError,
    ]


async def test_failover_on_is_asked_about_interruptions_too() -> None:
    with simulate(
        before(*WIRES[0], failover_on=RateLimitError), BrokenStream("cut"), WHOLE
    ) as simulation:
        with pytest.raises(StreamInterruptedError):
            await (await simulation.cascade.get_response_stream("Hello")).collect()
    assert [len(provider.requests) for provider in simulation.providers] == [1, 0]


async def test_a_broken_stream_is_logged_as_a_failover_without_the_providers_words(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level("INFO", logger="majordomo_cascade")
    with simulate(before(*WIRES[0]), BrokenStream("error"), WHOLE) as simulation:
        await (await simulation.cascade.get_response_stream("Hello")).collect()
    messages = [
        record.getMessage() for record in caplog.records if record.name == "majordomo_cascade"
    ]
    line = "openai/gpt-4.1 #1: 529 StreamInterruptedError after 0.00 s"
    assert messages == [line, f"{line}; failing over to anthropic/claude-sonnet-4-5"]


@EVERY_WIRE
@pytest.mark.parametrize("read", ["plain", "collect", "events"])
async def test_an_answer_cut_by_a_safety_system_is_not_failed_over(
    provider: str, model: str, read: str
) -> None:
    with simulate(
        before(provider, model), Reply("One two", finish_reason="content_filter"), WHOLE
    ) as simulation:
        stream = await simulation.cascade.get_response_stream("Hello")
        readers = {"plain": stream.__aiter__, "events": stream.events}
        if read == "collect":
            with pytest.raises(ContentPolicyError) as caught:
                await stream.collect()
            error: Exception = caught.value
        else:
            shown, error = await read_until_it_raises(readers[read]())
            assert len(shown) == 2
    assert isinstance(error, ContentPolicyError)
    (attempt,) = error.attempts
    assert (attempt.outcome, attempt.error) == ("rejected", error)
    assert attempt.cost is not None
    assert [len(provider.requests) for provider in simulation.providers] == [1, 0]


@EVERY_WIRE
async def test_an_answer_cut_by_max_tokens_says_so(provider: str, model: str) -> None:
    with simulate(
        before(provider, model), [Reply("One two", finish_reason="length"), Reply("", "length")]
    ) as simulation:
        response = await (await simulation.cascade.get_response_stream("Hello")).collect()
        assert (response.content, response.finish_reason) == ("One two", "length")
        with pytest.raises(ResponseTruncatedError, match="the answer was cut before any text came"):
            await simulation.cascade.get_response_stream("Hello")


@EVERY_WIRE
@pytest.mark.parametrize(
    ("code", "error"),
    [
        ("rate_limit_error", RateLimitError),
        ("overloaded_error", ProviderUnavailableError),
        ("authentication_error", AuthenticationError),
        ("insufficient_quota", QuotaExceededError),
        ("invalid_request_error", BadRequestError),
        ("something_new", ProviderUnavailableError),
    ],
)
async def test_an_error_event_is_told_by_the_vendors_code(
    serve: Serve, provider: str, model: str, code: str, error: type[MajordomoError]
) -> None:
    class ErrorEvent:
        async def perform(self, exchange: Exchange) -> None:
            await exchange.begin_stream()
            event = {
                "error": {"type": code, "code": code, "message": f"no, {exchange.request.headers}"}
            }
            await exchange.send_event(event)
            await exchange.end_stream()

    cascade = LLMCascade([serve(ErrorEvent()).target(provider, model)], retry=ONCE)
    with pytest.raises(error) as caught:
        await cascade.get_response_stream("Hello")
    assert type(caught.value) is error
    assert str(caught.value).startswith(f"{provider}/{model}: the stream reported {code}: no, ")
    assert "loopback-key" not in str(caught.value)


async def test_an_error_event_that_blames_the_request_is_a_failed_attempt(serve: Serve) -> None:
    complaint = {"error": {"type": "invalid_request_error", "message": "no"}}
    server = serve(Events([event({"content": "One"}), complaint]))
    stream = await LLMCascade([server.target()], retry=ONCE).get_response_stream("Hello")
    with pytest.raises(BadRequestError):
        await stream.collect()
    assert [attempt.outcome for attempt in stream.attempts] == ["failed"]


async def test_geminis_retry_delay_is_read_from_an_error_event(serve: Serve) -> None:
    details = [{"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "7s"}]
    busy = {
        "error": {"code": 503, "status": "UNAVAILABLE", "message": "overloaded", "details": details}
    }
    word = {"candidates": [{"content": {"role": "model", "parts": [{"text": "One"}]}, "index": 0}]}
    stream = await LLMCascade([serve(Events([word, busy])).target(*WIRES[2])]).get_response_stream(
        "Hello"
    )
    _, error = await read_until_it_raises(stream)
    assert isinstance(error, StreamInterruptedError)
    assert (error.status_code, error.retry_after) == (503, 7.0)


async def test_a_stream_that_never_began_is_closed_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    held: list[Any] = []  # or else the garbage collector would close it
    acompletion = litellm.acompletion

    async def holding(**sent: Any) -> Any:
        held.append(await acompletion(**sent))
        return held[-1]

    monkeypatch.setattr(litellm, "acompletion", holding)
    with simulate(LLMCascade([WIRES[1]], retry=ONCE), BrokenStream("stall", "")) as simulation:
        with pytest.raises(ProviderTimeoutError):
            await simulation.cascade.get_response_stream("Hello")
        await until(lambda: simulation.providers[0].pending == 0)
    assert len(held) == 1


MORE_WIRES = [*WIRES, ("mistral", "mistral-small-latest"), ("hosted_vllm", "some-model")]


@pytest.mark.parametrize(("name", "its_model"), MORE_WIRES)
@pytest.mark.parametrize(
    "odd", ["\u2028", "\u2028\u2029\u2028", "\x85data: ", "\u2028: ", '"[DONE]"', "[DONE]"]
)
async def test_no_letter_of_a_text_is_lost(
    serve: Serve, name: str, its_model: str, odd: str
) -> None:
    """LiteLLM takes a "[DONE]" in a text for the end; httpx takes U+2028 for the end of a line."""
    text = f"One {odd}two{odd} three."

    class Unescaped:
        async def perform(self, exchange: Exchange) -> None:
            await exchange.begin_stream()
            for event in Reply(text).events(exchange.request):
                await exchange.send_event(
                    event if isinstance(event, str) else json.dumps(event, ensure_ascii=False)
                )
            await exchange.end_stream()

    cascade = LLMCascade([serve(Unescaped()).target(name, its_model)], retry=ONCE)
    assert (await (await cascade.get_response_stream("Hello")).collect()).content == text


@pytest.mark.parametrize(("name", "its_model"), MORE_WIRES)
async def test_comments_and_other_fields_of_events_take_nothing_away(
    serve: Serve, name: str, its_model: str
) -> None:
    class Chatty:
        async def perform(self, exchange: Exchange) -> None:
            await exchange.begin_stream()
            for event in WHOLE.events(exchange.request):
                aside = (
                    b": ping\r\n\r\n"
                    if name == "openai"
                    else b": ping\n\nid: 7\nretry: 10\nevent: message\n"
                )
                exchange.writer.write(b"%x\r\n%b\r\n" % (len(aside), aside))
                await exchange.send_event(event)
            await exchange.end_stream()

    cascade = LLMCascade([serve(Chatty()).target(name, its_model)], retry=ONCE)
    response = await (await cascade.get_response_stream("Hello")).collect()
    assert (response.content, response.finish_reason) == (WHOLE.text, "stop")
    if name != "mistral":  # which is not asked for its usage, and names it unasked
        assert response.usage.total_tokens == 15


@pytest.mark.parametrize("name", ["mistral", "deepseek", "hosted_vllm", "openrouter"])
@pytest.mark.parametrize(
    "reason", ["error", "abort", "insufficient_system_resource", "network_error", "null"]
)
async def test_a_finish_reason_of_an_answer_that_did_not_finish_is_a_break(
    serve: Serve, name: str, reason: str
) -> None:
    server = serve(Events([event({"content": HALF}), event({}, reason), "[DONE]"]), WHOLE)
    cascade = LLMCascade(
        [server.target(name, "some-model"), server.target(name, "another")], retry=ONCE
    )
    response = await (await cascade.get_response_stream("Hello")).collect()
    assert (response.content, response.model) == (WHOLE.text, "another")
    assert reason == "null" or str(response.attempts[0].error).endswith(
        f"the provider broke it off ({reason})"
    )


@pytest.mark.parametrize("name", ["openai", "mistral", "deepseek", "hosted_vllm"])
async def test_of_two_choices_the_second_ones_end_is_not_the_firsts(
    serve: Serve, name: str
) -> None:
    def choice(index: int, content: str | None, reason: str | None = None) -> dict[str, Any]:
        chunk = event({"content": content} if content else {}, reason)
        return {**chunk, "choices": [{**chunk["choices"][0], "index": index}]}

    begun = [choice(0, "One"), choice(1, "Uno"), choice(1, None, "length"), choice(0, " two")]
    whole = serve(Events([*begun, choice(0, None, "stop"), "[DONE]"]))
    response = await (
        await LLMCascade([whole.target(name, "some-model")]).get_response_stream("Hello")
    ).collect()
    assert (response.content, response.finish_reason) == ("One two", "stop")
    cut = LLMCascade([serve(Events(begun)).target(name, "some-model")], retry=ONCE)
    with pytest.raises(StreamInterruptedError):
        await (await cut.get_response_stream("Hello")).collect()


@pytest.mark.parametrize("name", ["mistral", "deepseek", "hosted_vllm"])
@pytest.mark.parametrize("behind", ["{not JSON", {"error": {"message": "too late"}}])
async def test_nothing_behind_the_finish_reason_takes_anything_away(
    serve: Serve, name: str, behind: Any
) -> None:
    server = serve(Events([event({"content": "All"}), event({}, "stop"), behind]))
    response = await (
        await LLMCascade([server.target(name, "some-model")]).get_response_stream("Hello")
    ).collect()
    assert (response.content, response.finish_reason) == ("All", "stop")


@pytest.mark.parametrize(
    ("target", "said"),
    [
        (
            ("gemini", "gemini-2.5-flash"),
            [{"error": {"code": 503, "status": "UNAVAILABLE", "message": "busy"}}],
        ),
        (
            ("hosted_vllm", "some-model"),
            {"object": "error", "code": 503, "type": "UNAVAILABLE", "message": "busy"},
        ),
    ],
)
async def test_error_events_of_other_shapes_are_told_too(
    serve: Serve, target: tuple[str, str], said: Any
) -> None:
    cascade = LLMCascade([serve(Events([said])).target(*target)], retry=ONCE)
    with pytest.raises(
        ProviderUnavailableError, match="the stream reported UNAVAILABLE: busy"
    ) as caught:
        await cascade.get_response_stream("Hello")
    assert caught.value.status_code == 503


@EVERY_WIRE
async def test_a_short_stall_timeout_does_not_undo_a_whole_answer(
    serve: Serve, provider: str, model: str
) -> None:
    server = serve(BrokenStream("unclosed"))
    cascade = LLMCascade([server.target(provider, model), serve().target()], stall_timeout=1.0)
    response = await (await cascade.get_response_stream("Hello")).collect()
    assert (response.provider, response.finish_reason) == (provider, "stop")
    assert len(server.requests) == 1


async def test_a_client_that_litellm_has_closed_is_a_connection_error(serve: Serve) -> None:
    cascade = LLMCascade(
        [serve().target(), serve(Reply("another")).target("mistral", "some-model")], retry=ONCE
    )
    await cascade.get_response("Hello")
    await litellm.close_litellm_async_clients()
    response = await cascade.get_response("Hello")
    *before_it, served = response.attempts
    assert served.outcome == "ok"
    assert {type(attempt.error) for attempt in before_it} <= {
        ProviderConnectionError
    }  # some versions make a new one


@EVERY_WIRE
async def test_closing_at_any_moment_leaves_one_record(
    serve: Serve, provider: str, model: str
) -> None:
    cascade = LLMCascade([serve(WHOLE).target(provider, model)])
    for rounds in range(0, 40, 2):
        stream = await cascade.get_response_stream("Hello")
        reading = asyncio.ensure_future(stream.collect())
        for _ in range(rounds):
            await asyncio.sleep(0)
        await stream.aclose()
        await asyncio.wait((reading,))
        served = reading.exception() is None
        assert [attempt.outcome for attempt in stream.attempts] == ["ok" if served else "cancelled"]
        assert served or "closed" in str(reading.exception())


async def test_an_answer_that_begins_with_a_blank_line_has_not_begun(serve: Serve) -> None:
    blank = serve(Events([event({"content": "\n"})]))
    stream = await LLMCascade(
        [blank.target(), serve(WHOLE).target()], retry=ONCE
    ).get_response_stream("Hello")
    assert "".join([text async for text in stream]) == WHOLE.text


async def test_an_interruptions_cause_is_litellms_own() -> None:
    with simulate(before(*WIRES[0]), BrokenStream("error")) as simulation:
        _, error = await read_until_it_raises(await simulation.cascade.get_response_stream("Hello"))
    assert isinstance(error, StreamInterruptedError)
    assert error.__cause__ is error.original_error
    assert type(error.__cause__).__module__.startswith("litellm")
    assert str(error).startswith(
        "openai/gpt-4.1: the stream broke off after 17 characters: the stream reported "
    )


@pytest.mark.parametrize(
    "name", ["mistral", "groq", "hosted_vllm", "deepseek", "openrouter", "xai", "together_ai"]
)
async def test_other_vendors_streams_are_whole_or_interrupted_too(serve: Serve, name: str) -> None:
    for behaviour in (*BREAKS[:1], *BREAKS[2:]):
        server = serve(behaviour, WHOLE)
        cascade = LLMCascade(
            [server.target(name, "some-model"), server.target(name, "another")], retry=ONCE
        )
        response = await (await cascade.get_response_stream("Hello")).collect()
        assert (response.content, response.model) == (WHOLE.text, "another")
        assert isinstance(response.attempts[0].error, StreamInterruptedError)


@pytest.mark.litellm_fact(
    "what comes from the wire can be seen under every stream", topic="streams"
)
@pytest.mark.parametrize(
    ("name", "its_model"),
    [*WIRES, ("mistral", "mistral-small-latest"), ("groq", "some-model"), ("xai", "some-model")],
)
async def test_the_wire_can_be_seen_under_litellm(
    serve: Serve, name: str, its_model: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It can by attributes that LiteLLM does not document.

    Without them its "stop", which it also makes up, would be all that is known.
    """
    inspectors: list[WireInspector] = []

    class Noted(WireInspector):
        def __init__(self, *args: Any) -> None:
            super().__init__(*args)
            inspectors.append(self)

    monkeypatch.setattr("majordomo_cascade.gateway.stream.WireInspector", Noted)
    stream = await LLMCascade([serve().target(name, its_model)]).get_response_stream("Hello")
    (inspector,) = inspectors
    assert (inspector.reasons, inspector.state) == ({0: ""}, StreamState.OPEN)
    await stream.collect()
    assert inspector.state is StreamState.FINISHED


async def test_an_answer_of_tool_calls_is_whole(serve: Serve) -> None:
    call = {
        "index": 0,
        "id": "call_1",
        "type": "function",
        "function": {"name": "look_up", "arguments": ""},
    }
    more = {"index": 0, "function": {"arguments": '{"word": "cascade"}'}}
    server = serve(
        Events(
            [
                event({"tool_calls": [call]}),
                event({"tool_calls": [more]}),
                event({}, "tool_calls"),
                "[DONE]",
            ]
        )
    )
    response = await (await LLMCascade([server.target()]).get_response_stream("Hello")).collect()
    assert (response.content, response.finish_reason) == ("", "tool_calls")
    assert response.raw.choices[0].message.tool_calls[0].function.arguments == '{"word": "cascade"}'


async def test_a_break_after_thoughts_alone_is_not_seen_by_the_reader(serve: Serve) -> None:
    thinking = serve(Events([event({"reasoning_content": "Let me think."})]))
    cascade = LLMCascade(
        [thinking.target("deepseek", "deepseek-reasoner"), serve(WHOLE).target()], retry=ONCE
    )
    stream = await cascade.get_response_stream("Hello")
    assert stream.provider == "deepseek"
    assert "".join([text async for text in stream]) == WHOLE.text
    assert (stream.provider, len(stream.attempts)) == ("openai", 2)


async def test_thoughts_alone_are_no_answer(serve: Serve) -> None:
    thinking = serve(
        Events([event({"reasoning_content": "Let me think."}), event({}, "stop"), "[DONE]"])
    )
    cascade = LLMCascade(
        [thinking.target("deepseek", "deepseek-reasoner"), serve(WHOLE).target()], retry=ONCE
    )
    response = await (await cascade.get_response_stream("Hello")).collect()
    assert response.content == WHOLE.text
    assert [attempt.outcome for attempt in response.attempts] == ["failed", "ok"]


async def test_an_empty_answer_counts_in_the_total_cost() -> None:
    with simulate(before(*WIRES[0]), Reply(""), WHOLE) as simulation:
        response = await (await simulation.cascade.get_response_stream("Hello")).collect()
    empty = response.attempts[0]
    assert empty.usage is not None
    assert empty.usage.total_tokens == 15
    assert empty.cost is not None
    assert response.cost is not None
    assert response.total_cost == pytest.approx(empty.cost + response.cost)


async def test_a_restart_is_told_only_if_some_text_was_shown(serve: Serve) -> None:
    thinking = serve(Events([event({"reasoning_content": "Let me think."})]))
    targets = [
        serve(BrokenStream("cut", HALF)).target(),
        thinking.target("deepseek", "deepseek-reasoner"),
        serve(WHOLE).target(*WIRES[1]),
    ]
    events = [
        each
        async for each in (
            await LLMCascade(targets, retry=ONCE).get_response_stream("Hello")
        ).events()
    ]
    restarts = [each for each in events if isinstance(each, StreamRestarted)]
    assert [restart.provider for restart in restarts] == ["deepseek"]
    assert (
        "".join(each.text for each in events if isinstance(each, TextDelta))
        == f"{HALF}{WHOLE.text}"
    )


async def test_a_refusal_in_a_stream_is_no_answer(serve: Serve) -> None:
    server = serve(Events([event({"refusal": "I won't."}), event({}, "stop"), "[DONE]"]))
    with pytest.raises((ContentPolicyError, InvalidResponseError)):
        await (
            await LLMCascade([server.target()], retry=ONCE).get_response_stream("Hello")
        ).collect()


async def test_a_prompt_that_gemini_blocks(serve: Serve) -> None:
    server = serve(
        Events(
            [
                {
                    "promptFeedback": {"blockReason": "SAFETY"},
                    "usageMetadata": {"promptTokenCount": 3},
                }
            ]
        )
    )
    with pytest.raises(ContentPolicyError):
        await LLMCascade([server.target(*WIRES[2])], retry=ONCE).get_response_stream("Hello")


async def test_a_stream_that_litellm_cannot_put_together_is_whole_all_the_same(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    build = litellm.stream_chunk_builder

    def broken(chunks: Any, **others: Any) -> Any:
        if not others:  # LiteLLM uses it for its own logs, too
            raise RuntimeError("no")
        return build(chunks, **others)

    cascade = LLMCascade([serve(WHOLE).target()])
    stream = await cascade.get_response_stream("Hello")
    monkeypatch.setattr(litellm, "stream_chunk_builder", broken)
    response = await stream.collect()
    assert (response.content, response.finish_reason) == (WHOLE.text, "stop")


async def test_litellm_is_handed_a_timeout_that_does_not_cut_a_stall_short(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    handed: list[Any] = []
    acompletion = litellm.acompletion

    async def patched(**sent: Any) -> Any:
        handed.append(sent["timeout"])
        return await acompletion(**{**sent, "mock_response": "Hi"})

    monkeypatch.setattr(litellm, "acompletion", patched)
    cascade = LLMCascade(["openai/gpt-4.1"], timeout=10, stall_timeout=40)
    patient = cascade.with_options(stall_timeout=None)
    await (await cascade.get_response_stream("Hello")).collect()
    await (await cascade.get_response_stream("Hello", timeout=50)).collect()
    await (await patient.get_response_stream("Hello")).collect()
    await (await cascade.get_response_stream("Hello", timeout=None)).collect()
    assert handed == [40, 50, 86_400, 86_400]


async def test_mocked_streams_are_whole() -> None:
    cascade = LLMCascade(["openai/gpt-4.1", "anthropic/claude-sonnet-4-5"])
    stream = await cascade.get_response_stream("Hello", mock_response="It is a mock.")
    response = await stream.collect()
    assert (response.content, response.provider, response.finish_reason) == (
        "It is a mock.",
        "openai",
        "stop",
    )
    with pytest.raises(RateLimitError):
        await LLMCascade(["openai/gpt-4.1"], retry=ONCE).get_response_stream(
            "Hello", mock_response=litellm.RateLimitError("x", "openai", "gpt-4.1")
        )


async def test_a_patched_litellm_may_stream_from_a_generator_of_its_own(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def words(finish_reason: str | None) -> AsyncIterator[Any]:
        for content, reason in (("Hello", None), (" there", None), (None, finish_reason)):
            choice: Any = {"index": 0, "delta": {"content": content}, "finish_reason": reason}
            yield litellm.ModelResponseStream(choices=[choice])

    reasons = ["stop", None]

    async def patched(**_: Any) -> Any:
        return words(reasons.pop(0))

    monkeypatch.setattr(litellm, "acompletion", patched)
    cascade = LLMCascade(["openai/gpt-4.1"], retry=ONCE)
    response = await (await cascade.get_response_stream("Hello")).collect()
    assert (response.content, response.finish_reason) == ("Hello there", "stop")
    with pytest.raises(StreamInterruptedError, match="ended without a finish reason"):
        await (await cascade.get_response_stream("Hello")).collect()


@EVERY_WIRE
async def test_acompletion_streams_litellms_own_chunks(provider: str, model: str) -> None:
    with simulate(before(provider, model), Status(503), Reply("One two three.")) as simulation:
        chunks = await simulation.cascade.acompletion(
            [{"role": "user", "content": "Hello"}], stream=True
        )
        received = [chunk async for chunk in chunks]
    assert {type(chunk) for chunk in received} == {litellm.ModelResponseStream}
    assert "".join(chunk.choices[0].delta.content or "" for chunk in received) == "One two three."
    assert [
        chunk.choices[0].finish_reason for chunk in received if chunk.choices[0].finish_reason
    ] == ["stop"]
    assert not any(getattr(chunk, "usage", None) for chunk in received)


@EVERY_WIRE
async def test_acompletion_streams_the_usage_if_it_is_asked_for(provider: str, model: str) -> None:
    seen: list[Attempt] = []
    with simulate(before(provider, model, on_attempt=seen.append), WHOLE) as simulation:
        for options in ({"include_usage": True}, {"include_usage": False}):
            chunks = await simulation.cascade.acompletion(
                [{"role": "user", "content": "Hello"}], stream=True, stream_options=options
            )
            usages = [
                u.total_tokens async for chunk in chunks if (u := getattr(chunk, "usage", None))
            ]
            assert usages == [15] * options["include_usage"]
    assert [attempt.outcome for attempt in seen] == ["ok", "ok"]


@EVERY_WIRE
@EVERY_BREAK
async def test_acompletions_stream_raises_if_it_breaks(
    provider: str, model: str, behaviour: Behaviour
) -> None:
    with simulate(before(provider, model), behaviour, WHOLE) as simulation:
        chunks = await simulation.cascade.acompletion(
            [{"role": "user", "content": "Hello"}], stream=True
        )
        received, error = await read_until_it_raises(chunks)
    assert isinstance(error, StreamInterruptedError)
    assert (
        "".join(chunk.choices[0].delta.content or "" for chunk in received)
        == HALF
        == error.partial_content
    )
    assert not any(chunk.choices[0].finish_reason for chunk in received)
    assert len(error.attempts) == 1


@EVERY_WIRE
@pytest.mark.parametrize("dropped", [True, False])
async def test_acompletions_stream_can_be_closed_early(
    serve: Serve, provider: str, model: str, *, dropped: bool
) -> None:
    seen: list[Attempt] = []
    server = serve(BrokenStream("stall"))
    cascade = LLMCascade([server.target(provider, model)], on_attempt=seen.append)
    chunks = await cascade.acompletion([{"role": "user", "content": "Hello"}], stream=True)
    assert await anext(chunks)
    if not dropped:
        await chunks.aclose()
        await until(lambda: server.pending == 0)
        with pytest.raises(RuntimeError, match="closed"):
            await anext(chunks)
    del chunks
    await until(lambda: server.pending == 0)
    assert [attempt.outcome for attempt in seen] == ["cancelled"]


@pytest.mark.parametrize("name", ["first_token_timeout", "stall_timeout"])
@pytest.mark.parametrize("wrong", [0, "5", True])
def test_a_limit_of_streams_that_is_no_time_is_refused(name: str, wrong: Any) -> None:
    with pytest.raises(ConfigurationError, match=f"{name} must be a positive number of seconds"):
        LLMCascade(["openai/gpt-4.1"], **{name: wrong})
    with pytest.raises(ConfigurationError, match=f"{name} must be a positive number of seconds"):
        LLMCascade(["openai/gpt-4.1"]).with_options(**{name: wrong})
