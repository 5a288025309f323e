"""``cascade.drill()``: every target is asked itself, in every way, for nobody's health."""

from __future__ import annotations

import asyncio
import json
import logging
from dataclasses import dataclass, fields
from typing import Any

import litellm
import pytest
from conftest import ALL_WIRES, Gate, Serve, until
from litellm.caching.caching import Cache

from majordomo_cascade import (
    AuthenticationError,
    BadRequestError,
    ConfigurationError,
    DeadlineExceededError,
    DrillReport,
    DrillRow,
    LLMCascade,
    LLMStreamResponse,
    ModelNotFoundError,
    ProviderTimeoutError,
    QuotaExceededError,
    RateLimitError,
    ResponseParsingError,
    ResponseValidationError,
    RetryPolicy,
    StreamInterruptedError,
    Target,
    UnsupportedRequestError,
)
from majordomo_cascade.drill import QUESTION
from majordomo_cascade.testing import (
    Behaviour,
    BrokenStream,
    Exchange,
    Hang,
    ManualClock,
    Reply,
    Reset,
    Status,
    simulate,
)
from majordomo_cascade.testing.wires import find_wire

WELL = Reply('{"city": "Paris", "country": "France"}')
WAYS = ("text", "json", "stream")


def cascade_of(*targets: Any, **options: Any) -> LLMCascade:
    return LLMCascade(targets, **options)


def errors_of(report: DrillReport) -> list[type[Exception] | None]:
    return [type(row.error) if row.error else None for row in report.rows]


# Healthy targets.


@pytest.mark.parametrize(("vendor", "model"), ALL_WIRES)
async def test_a_healthy_target_answers_in_three_ways(
    serve: Serve, vendor: str, model: str
) -> None:
    provider = serve(WELL)
    report = await cascade_of(provider.target(vendor, model)).drill()
    assert report.ok, str(report)
    assert [(row.provider, row.model, row.way) for row in report.rows] == [
        (vendor, model, way) for way in WAYS
    ]
    assert errors_of(report) == [None] * 3
    assert [request.wants_stream for request in provider.requests] == [False, False, True]
    assert all(row.seconds > 0 and row.cost for row in report.rows)
    text, value, stream = report.rows
    assert text.first_token is value.first_token is None
    assert stream.first_token is not None
    assert 0 < stream.first_token <= stream.seconds


async def test_a_target_is_asked_with_what_the_cascade_would_send(serve: Serve) -> None:
    provider = serve(WELL)
    target = provider.target(overrides={"temperature": None}, params={"seed": 7})
    await cascade_of(target, temperature=0.5, user="someone").drill()
    for request in provider.requests:
        assert request.json["seed"] == 7
        assert request.json["user"] == "someone"
        assert not {"temperature", "max_tokens", "cache"} & set(request.json)


async def test_targets_are_asked_at_once_and_the_ways_of_one_after_the_other(serve: Serve) -> None:
    gates = [Gate(WELL), Gate(WELL)]
    providers = [serve(gate, WELL) for gate in gates]
    cascade = cascade_of(*[provider.target() for provider in providers])
    drill = asyncio.create_task(cascade.drill())
    await until(lambda: all(len(provider.requests) == 1 for provider in providers))
    gates[1].give()  # a slow one holds up no other
    await until(lambda: len(providers[1].requests) == 3)
    assert len(providers[0].requests) == 1
    gates[0].give()
    report = await drill
    assert report.ok
    assert [row.way for row in report.rows] == [*WAYS, *WAYS]


def test_a_blocking_drill_says_the_same(serve: Serve) -> None:
    report = cascade_of(serve(WELL).target(), serve(Status(401)).target()).sync.drill()
    assert errors_of(report) == [None] * 3 + [AuthenticationError] * 3


# Faults.


@pytest.mark.parametrize(("vendor", "model"), ALL_WIRES)
@pytest.mark.parametrize(
    ("fault", "error"),
    [
        (Status(401), AuthenticationError),
        (Status(404, "no such model"), ModelNotFoundError),
        (Status(429, retry_after=30), RateLimitError),
        (Status(429, "You exceeded your quota.", "insufficient_quota"), QuotaExceededError),
    ],
    ids=["key", "model", "rate", "quota"],
)
async def test_each_fault_is_told_by_its_own_error_and_asked_once(
    serve: Serve, vendor: str, model: str, fault: Status, error: type[Exception]
) -> None:
    provider = serve(fault)
    report = await cascade_of(provider.target(vendor, model)).drill()
    assert not report.ok
    assert errors_of(report) == [error] * 3
    assert len(provider.requests) == 3
    assert [row.cost for row in report.rows] == [None] * 3


async def test_no_failover_masks_a_dead_target(serve: Serve) -> None:
    dead, well = serve(Reset()), serve(WELL)
    report = await cascade_of(well.target(name="well"), dead.target(name="dead")).drill()
    assert [(row.target, row.ok) for row in report.rows] == [("well", True)] * 3 + [
        ("dead", False)
    ] * 3
    assert len(well.requests) == 3
    assert not report.ok


REFUSED = Status(400, "Invalid schema for response_format 'City'", "invalid_request_error")


async def test_a_refused_schema_is_told_from_one_that_was_not_kept(serve: Serve) -> None:
    refusing = serve(WELL, REFUSED, WELL)
    loose = serve(WELL, Reply('{"town": "Paris"}'), WELL)
    prose = serve(WELL, Reply("Paris, of course."), WELL)
    targets = [
        each.target(name=name) for each, name in ((refusing, "a"), (loose, "b"), (prose, "c"))
    ]
    report = await cascade_of(*targets, validation_retries=2).drill()
    assert errors_of(report)[1::3] == [
        UnsupportedRequestError,
        ResponseValidationError,
        ResponseParsingError,
    ]
    assert all(row.ok for row in report.rows if row.way != "json")
    refused, invalid, unreadable = (row for row in report.rows if row.way == "json")
    assert str(refused.error).startswith("a: it refuses that way to ask for JSON")
    assert "(HTTP 400 invalid_request_error: Invalid schema for" in str(refused.error)
    assert isinstance(refused.error and refused.error.__cause__, BadRequestError)
    assert refused.cost is None  # an answer that came was paid for
    assert invalid.cost
    assert unreadable.cost
    assert len(refusing.requests) == 3  # no lower mode is tried
    assert len(loose.requests) == len(prose.requests) == 3  # and nothing is corrected


async def test_a_target_may_be_told_to_give_json_in_a_lower_mode(serve: Serve) -> None:
    provider = serve(WELL)
    assert (await cascade_of(provider.target(structured_output="json_mode")).drill()).ok
    assert provider.requests[1].json["response_format"] == {"type": "json_object"}


async def test_the_mode_is_the_one_that_calls_have_come_to(serve: Serve) -> None:
    provider = serve(REFUSED, WELL)
    cascade = cascade_of(provider.target())
    await cascade.get_structured_json_response(dict[str, str], "?")
    report = await cascade.drill()
    assert report.ok
    assert provider.requests[3].json["response_format"] == {"type": "json_object"}


async def test_a_plain_400_is_no_refused_schema(serve: Serve) -> None:
    report = await cascade_of(serve(Status(400, "Nobody knows why.")).target()).drill()
    assert errors_of(report) == [BadRequestError] * 3
    report = await cascade_of(serve(REFUSED).target()).drill()
    assert errors_of(report) == [BadRequestError, UnsupportedRequestError, BadRequestError]


async def test_a_bug_is_a_row_and_its_words_are_kept_back(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(**_: Any) -> Any:
        raise KeyError("planted-secret")

    provider = serve(WELL)
    monkeypatch.setattr(litellm, "acompletion", broken)
    report = await cascade_of(provider.target()).drill()
    assert errors_of(report) == [KeyError] * 3
    told = f"{report}{report._repr_html_()}{json.dumps(report.to_dict())}"
    assert "KeyError: see the row's error (text, json, stream)" in told
    assert "planted" not in told


# Time limits.


async def test_silence_ends_by_the_cascades_own_time_limits() -> None:
    cascade = LLMCascade(["openai/gpt-4.1"], timeout=7, stall_timeout=5)
    with simulate(cascade, [Hang(), Hang(), BrokenStream("stall")]) as simulation:
        report = await simulation.cascade.drill()
    assert errors_of(report) == [ProviderTimeoutError] * 2 + [StreamInterruptedError]
    assert [row.seconds for row in report.rows] == [7.0, 7.0, 5.0]
    assert "within its timeout of 7 s" in str(report.rows[0].error)
    assert "within its stall_timeout of 5 s" in str(report.rows[2].error)
    assert report.rows[2].first_token is not None
    assert simulation.clock.slept == []


async def test_a_targets_own_time_limit_counts() -> None:
    with simulate(LLMCascade([Target("openai", "gpt-4.1", timeout=3)]), Hang()) as simulation:
        report = await simulation.cascade.drill()
    assert [row.seconds for row in report.rows] == [3.0] * 3


@dataclass
class Endless:
    """A stream that goes on until the caller leaves; each word takes ``seconds``."""

    seconds: float
    clock: ManualClock
    loop: asyncio.AbstractEventLoop
    begun: list[str]

    async def perform(self, exchange: Exchange) -> None:
        """Answer well, but a stream without end."""
        if not exchange.request.wants_stream:
            await WELL.perform(exchange)
            return
        events = WELL.events(exchange.request)
        wire = find_wire(exchange.request)
        await exchange.begin_stream()
        for event in events[: wire.before_text]:
            await exchange.send_event(event)
        while not exchange.writer.is_closing():
            await exchange.send_event(events[wire.before_text])
            passing = asyncio.run_coroutine_threadsafe(self._pass(), self.loop)
            await asyncio.wrap_future(passing)

    async def _pass(self) -> None:
        """Let time pass once the caller has the first word."""
        await until(lambda: self.begun)
        self.clock.advance(self.seconds)


@pytest.mark.parametrize(("vendor", "model"), ALL_WIRES)
async def test_a_stream_without_end_is_ended_by_the_deadline(
    vendor: str, model: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun: list[str] = []
    collect = LLMStreamResponse.collect

    async def noted(self: LLMStreamResponse) -> Any:
        begun.append(self.model)
        return await collect(self)

    monkeypatch.setattr(LLMStreamResponse, "collect", noted)
    with simulate(LLMCascade([(vendor, model)])) as simulation:
        endless = Endless(10.0, simulation.clock, asyncio.get_running_loop(), begun)
        simulation.providers[0].behaviours[:] = [endless]
        report = await simulation.cascade.drill(deadline=60)
        await until(lambda: not simulation.providers[0].pending)  # the wire is closed
    assert errors_of(report) == [None, None, DeadlineExceededError], str(report)
    assert "the deadline of 60 s is spent" in str(report)
    assert (report.rows[2].first_token, report.rows[2].seconds) == (0.0, 60.0)


async def test_the_deadline_is_for_each_answer_and_120_seconds_if_not_given() -> None:
    cascade = LLMCascade(["openai/gpt-4.1"], timeout=None, deadline=1)
    with simulate(cascade, Hang()) as simulation:
        report = await simulation.cascade.drill()
    assert [row.seconds for row in report.rows] == [120.0] * 3
    assert errors_of(report) == [DeadlineExceededError] * 3


async def test_without_a_deadline_only_the_cascades_limits_count() -> None:
    cascade = LLMCascade(["openai/gpt-4.1"], timeout=300)
    with simulate(cascade, Hang()) as simulation:
        report = await simulation.cascade.drill(deadline=None)
    assert [row.seconds for row in report.rows] == [300.0] * 3


async def test_a_deadline_must_be_a_time() -> None:
    with pytest.raises(BadRequestError, match="deadline must be a positive number"):
        await LLMCascade(["openai/gpt-4.1"]).drill(deadline=0)


# What a drill leaves alone.


async def test_a_drill_counts_for_nobodys_health(
    serve: Serve, caplog: pytest.LogCaptureFixture
) -> None:
    heard: list[Any] = []
    provider = serve(WELL, REFUSED, Status(503))
    cascade = cascade_of(
        provider.target(),
        serve(Status(401)).target(),
        on_attempt=heard.append,
        accept=heard.append,
        hedge_after=0.001,
        retry=RetryPolicy(attempts=3),
    )
    before = cascade.health
    with caplog.at_level(logging.WARNING, "majordomo_cascade"):
        await cascade.drill()
    assert cascade.health == before
    assert heard == []
    assert caplog.records == []
    assert len(provider.requests) == 3


async def test_an_open_breaker_hides_no_target(serve: Serve) -> None:
    provider = serve(Status(500))
    cascade = cascade_of(provider.target(), serve(WELL).target(), retry=RetryPolicy(attempts=1))
    for _ in range(3):
        await cascade.get_response("Hello")
    assert cascade.health[0].state == "open"
    provider.behaviours[:] = [WELL]
    assert (await cascade.drill()).ok
    assert cascade.health[0].state == "open"


async def test_litellms_cache_neither_answers_nor_learns(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache: Any = Cache()
    monkeypatch.setattr(litellm, "cache", cache)
    provider = serve(WELL)
    cascade = cascade_of(provider.target())
    await cascade.get_response(QUESTION)
    await until(lambda: cache.cache.cache_dict)
    assert (await cascade.drill()).ok
    assert len(provider.requests) == 4  # the first was an ordinary one
    assert len(cache.cache.cache_dict) == 1


async def test_a_drill_from_inside_a_vendors_call_is_refused(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    cascade = cascade_of(serve(WELL).target())
    asked: list[Any] = []

    async def patched(**_: Any) -> Any:
        with pytest.raises(ConfigurationError, match="asked from inside its own call"):
            await cascade.drill()
        asked.append(True)
        raise KeyError

    monkeypatch.setattr(litellm, "acompletion", patched)
    assert not (await cascade.drill()).ok
    assert asked == [True] * 3


# Progress and reports.


async def test_each_row_is_told_as_it_comes(serve: Serve) -> None:
    heard: list[DrillRow] = []
    report = await cascade_of(serve(WELL).target()).drill(on_row=heard.append)
    assert tuple(heard) == report.rows


async def test_what_on_row_raises_is_only_logged(
    serve: Serve, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(row: DrillRow) -> None:
        raise ValueError(row.way)

    assert (await cascade_of(serve(WELL).target()).drill(on_row=broken)).ok
    assert [record.message for record in caplog.records] == ["on_row raised; the drill goes on"] * 3


def row(way: Any, error: Exception | None = None, **more: Any) -> DrillRow:
    given = {"seconds": 1.234, "first_token": None, "cost": None, **more}
    return DrillRow("main", "openai", "gpt-4.1", way, error is None, error, **given)


LATE = RateLimitError("main: HTTP 429: Slow down.", status_code=429)
REPORT = DrillReport(
    False, (row("text", LATE), row("json", LATE), row("stream", first_token=0.5, cost=0.00003))
)


def test_a_report_prints_as_a_table_with_each_error_once() -> None:
    assert str(REPORT).splitlines() == [
        "target  way     ok   seconds  first token  cost",
        "main    text    no   1.234    -            -",
        "main    json    no   1.234    -            -",
        "main    stream  yes  1.234    0.5          0.00003",
        "- main: RateLimitError: HTTP 429: Slow down. (text, json)",
    ]
    html = REPORT._repr_html_()
    assert html.count("<tr>") == 4
    assert "<li>main: RateLimitError: HTTP 429: Slow down. (text, json)</li>" in html


def test_a_report_becomes_json() -> None:
    told = REPORT.to_dict()
    assert json.loads(json.dumps(told)) == told
    assert list(told) == ["ok", "rows"]
    assert list(told["rows"][0]) == [each.name for each in fields(DrillRow)]
    error = {"type": "RateLimitError", "message": "main: HTTP 429: Slow down."}
    assert [each["error"] for each in told["rows"]] == [error, error, None]


async def test_no_key_is_in_a_report(serve: Serve) -> None:
    echo = Status(401, "Incorrect API key provided: planted-target-key")
    report = await cascade_of(serve(echo).target(api_key="planted-target-key")).drill()
    told = f"{report}{report!r}{report._repr_html_()}{json.dumps(report.to_dict())}"
    assert "Incorrect API key" in told
    assert "planted" not in told


async def test_a_simulated_silence_is_told_as_a_real_one() -> None:
    script: list[Behaviour] = [Reply("Paris"), WELL, BrokenStream("stall")]
    for _ in range(2):  # the first drill of a process imports, which takes long
        with simulate(LLMCascade(["openai/gpt-4.1"]), script) as simulation:
            report = await simulation.cascade.drill()
        assert errors_of(report) == [None, None, StreamInterruptedError]
