"""Telemetry: what a call tells OpenTelemetry's real SDK, and what it keeps to itself."""

from __future__ import annotations

import asyncio
import gc
import json
import pickle
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import litellm
import pytest
from conftest import IS_NEW, Serve, until
from litellm.integrations.opentelemetry import OpenTelemetry
from opentelemetry import metrics, trace
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor, SpanExporter
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF
from opentelemetry.semconv._incubating.attributes import gen_ai_attributes
from opentelemetry.semconv._incubating.metrics import gen_ai_metrics
from opentelemetry.semconv.attributes import error_attributes, http_attributes
from opentelemetry.trace import SpanKind, StatusCode

from majordomo_cascade import (
    AuthenticationError,
    ConfigurationError,
    LLMCascade,
    ProviderUnavailableError,
    RateLimitError,
    ResponseParsingError,
    ResponseRejectedError,
    RetryPolicy,
    StreamInterruptedError,
    telemetry,
)
from majordomo_cascade.gateway.tracing import CALLBACK_NAMES, CONVENTIONAL_NAMES
from majordomo_cascade.testing import (
    Behaviour,
    BrokenStream,
    FakeProvider,
    Hang,
    Reply,
    Status,
    simulate,
)

ONCE = RetryPolicy(attempts=1)
MESSAGES = [{"role": "user", "content": "Hello"}]
CLAUDE = ("anthropic", "claude-sonnet-4-5")
DASHBOARD = Path(__file__).parents[1] / "docs" / "grafana-dashboard.json"


class Recorder:
    """What OpenTelemetry was told."""

    def __init__(self) -> None:
        self.exporter = InMemorySpanExporter()
        self.tracers = TracerProvider()
        self.tracers.add_span_processor(SimpleSpanProcessor(self.exporter))
        self.reader = InMemoryMetricReader()
        self.meters = MeterProvider([self.reader])

    def install(self) -> None:
        """Make it the process's."""
        trace.set_tracer_provider(self.tracers)
        metrics.set_meter_provider(self.meters)

    @property
    def spans(self) -> list[ReadableSpan]:
        """All spans, in the order in which they began."""
        return sorted(self.exporter.get_finished_spans(), key=lambda span: span.start_time or 0)

    def operation(self) -> ReadableSpan:
        """Return the one span of a call."""
        [span] = [each for each in self.spans if each.name.startswith("chat ")]
        return span

    def attempts(self) -> list[ReadableSpan]:
        """Return the spans of failed attempts; they hang on the operation."""
        operation = self.operation()
        spans = [each for each in self.spans if each.name.startswith("attempt ")]
        for span in spans:
            assert span.parent == operation.get_span_context() == id_of(operation)
            assert (span.kind, span.status.status_code) == (SpanKind.CLIENT, StatusCode.ERROR)
        return spans

    def metrics(self) -> dict[str, Any]:
        """Return the metrics by name."""
        data: Any = self.reader.get_metrics_data()
        if data is None:
            return {}
        scopes = [scope for resource in data.resource_metrics for scope in resource.scope_metrics]
        return {metric.name: metric for scope in scopes for metric in scope.metrics}

    def points(self, name: str) -> list[tuple[Any, dict[str, Any]]]:
        """Return a metric's values, and their attributes. Of a histogram count and sum."""
        metric = self.metrics().get(name)
        if metric is None:
            return []
        return [
            (getattr(point, "value", None) or (point.count, point.sum), dict(point.attributes))
            for point in metric.data.data_points
        ]

    def text(self) -> str:
        """Return all that was told, as one text."""
        spans = [span.to_json() for span in self.spans]
        return "\n".join([*spans, str(self.metrics())])


def id_of(span: ReadableSpan) -> Any:
    return span.get_span_context()


@pytest.fixture
def recorder(no_otel: None) -> Iterator[Recorder]:
    """Record what the test's calls tell."""
    own = Recorder()
    own.install()
    yield own
    own.tracers.shutdown()
    own.meters.shutdown()


def cascade_of(*providers: FakeProvider, **options: Any) -> LLMCascade:
    """Return a cascade whose first target is Claude, if there are two."""
    names = [CLAUDE, ("openai", "gpt-4.1")][-len(providers) :]
    targets = [provider.target(*name) for provider, name in zip(providers, names, strict=True)]
    return LLMCascade(targets, **{"retry": ONCE, "telemetry": True, **options})


def attributes_of(span: ReadableSpan) -> dict[str, Any]:
    return dict(span.attributes or {})


GPT = {"gen_ai.provider.name": "openai", "gen_ai.request.model": "gpt-4.1"}
SONNET = {"gen_ai.provider.name": "anthropic", "gen_ai.request.model": "claude-sonnet-4-5"}
CHAT = {"gen_ai.operation.name": "chat"}
OK = {"majordomo.outcome": "ok"}
FAILED = {"majordomo.outcome": "failed"}


# Whole answers.


async def test_a_healthy_call_is_one_span(serve: Serve, recorder: Recorder) -> None:
    cascade = cascade_of(serve(), top_p=0.5)
    response = await cascade.get_response("Hello", temperature=0, max_tokens=9)
    [span] = recorder.spans
    assert (span.name, span.kind, span.parent) == ("chat gpt-4.1", SpanKind.CLIENT, None)
    assert span.status.status_code is StatusCode.UNSET
    assert attributes_of(span) == {
        **CHAT,
        **GPT,
        **OK,
        "gen_ai.request.max_tokens": 9,
        "gen_ai.request.temperature": 0,
        "gen_ai.request.top_p": 0.5,
        "gen_ai.response.model": response.raw.model,
        "gen_ai.response.id": response.raw.id,
        "gen_ai.response.finish_reasons": ("stop",),
        "gen_ai.usage.input_tokens": 10,
        "gen_ai.usage.output_tokens": 5,
        "majordomo.call_id": response.attempts[0].call_id,
        "majordomo.cost": response.cost,
        "majordomo.failed_over": False,
        "majordomo.target": "openai/gpt-4.1",
    }


async def test_a_healthy_call_is_measured_once(serve: Serve, recorder: Recorder) -> None:
    response = await cascade_of(serve()).get_response("Hello")
    [((count, _), attributes)] = recorder.points("gen_ai.client.operation.duration")
    assert (count, attributes) == (1, CHAT | GPT | OK)
    assert recorder.points("gen_ai.client.token.usage") == [
        ((1, 10), CHAT | GPT | {"gen_ai.token.type": "input"}),
        ((1, 5), CHAT | GPT | {"gen_ai.token.type": "output"}),
    ]
    assert recorder.points("majordomo.attempts") == [(1, GPT | OK)]
    assert recorder.points("majordomo.cost") == [(response.cost, GPT)]
    assert recorder.points("majordomo.failovers") == []


async def test_histograms_have_the_buckets_of_the_conventions(
    serve: Serve, recorder: Recorder
) -> None:
    await cascade_of(serve()).get_response("Hello")
    bounds = {
        name: list(metric.data.data_points[0].explicit_bounds)
        for name, metric in recorder.metrics().items()
        if name.startswith("gen_ai.")
    }
    seconds = [
        0.01,
        0.02,
        0.04,
        0.08,
        0.16,
        0.32,
        0.64,
        1.28,
        2.56,
        5.12,
        10.24,
        20.48,
        40.96,
        81.92,
    ]
    assert bounds["gen_ai.client.operation.duration"] == seconds
    tokens = bounds["gen_ai.client.token.usage"]
    assert (tokens[:4], tokens[-1], len(tokens)) == ([1, 4, 16, 64], 67108864, 14)


async def test_a_latency_leads_to_its_trace(serve: Serve, recorder: Recorder) -> None:
    await cascade_of(serve()).get_response("Hello")
    [point] = recorder.metrics()["gen_ai.client.operation.duration"].data.data_points
    [exemplar] = point.exemplars
    assert exemplar.span_id == id_of(recorder.operation()).span_id


async def test_a_failover_shows_who_served_and_each_failed_attempt(
    serve: Serve, recorder: Recorder
) -> None:
    retry = RetryPolicy(attempts=2, base=0)
    cascade = cascade_of(serve(Status(429)), serve(), retry=retry)
    response = await cascade.get_response("Hello")
    operation = recorder.operation()
    assert operation.name == "chat claude-sonnet-4-5"
    assert operation.status.status_code is StatusCode.UNSET
    told = attributes_of(operation)
    assert told.items() >= (GPT | OK).items()
    assert told["majordomo.target"] == "openai/gpt-4.1"
    assert told["majordomo.failed_over"] is True
    assert [attributes_of(span) for span in recorder.attempts()] == [
        {
            **SONNET,
            **FAILED,
            "error.type": "RateLimitError",
            "http.response.status_code": 429,
            "majordomo.attempt": number,
            "majordomo.call_id": response.attempts[0].call_id,
            "majordomo.target": "anthropic/claude-sonnet-4-5",
        }
        for number in (1, 2)
    ]
    error = FAILED | {"error.type": "RateLimitError"}
    assert recorder.points("majordomo.attempts") == [(2, SONNET | error), (1, GPT | OK)]
    first = {"majordomo.first_target": "anthropic/claude-sonnet-4-5"}
    assert recorder.points("majordomo.failovers") == [(1, GPT | first)]
    assert recorder.points("majordomo.cost") == [(response.cost, GPT)]
    [((count, _), attributes)] = recorder.points("gen_ai.client.operation.duration")
    assert (count, attributes) == (1, CHAT | GPT | OK)


@pytest.mark.usefixtures("no_jitter")
async def test_attempts_stand_where_they_were_in_time(recorder: Recorder) -> None:
    cascade = LLMCascade([CLAUDE, "openai/gpt-4.1"], timeout=7, telemetry=True)
    with simulate(cascade, [Status(503), Status(503), Hang()]) as simulation:
        response = await simulation.cascade.get_response("Hello")
    operation = recorder.operation()
    began = operation.start_time or 0
    spans = recorder.attempts()
    starts = [(span.start_time or 0) - began for span in spans]
    lasted = [(span.end_time or 0) - (span.start_time or 0) for span in spans]
    assert starts == [0, 500_000_000, 1_500_000_000]
    assert lasted == [0, 0, 7_000_000_000]
    assert (operation.end_time or 0) - began == response.latency * 1e9 == 8_500_000_000
    assert recorder.points("gen_ai.client.operation.duration")[0][0] == (1, 8.5)


async def test_if_all_fail_the_last_one_is_to_blame(serve: Serve, recorder: Recorder) -> None:
    cascade = cascade_of(serve(Status(503)), serve(Status(429)))
    with pytest.raises(RateLimitError):
        await cascade.get_response("Hello")
    operation = recorder.operation()
    assert operation.status.status_code is StatusCode.ERROR
    error = FAILED | {"error.type": "RateLimitError"}
    told = attributes_of(operation)
    assert told.pop("majordomo.call_id")
    assert told == CHAT | GPT | error | {"majordomo.cost": 0.0}
    kinds = [attributes_of(span)["error.type"] for span in recorder.attempts()]
    assert kinds == ["ProviderUnavailableError", "RateLimitError"]
    [((count, _), attributes)] = recorder.points("gen_ai.client.operation.duration")
    assert (count, attributes) == (1, CHAT | GPT | error)
    assert recorder.points("gen_ai.client.token.usage") == []
    assert recorder.points("majordomo.failovers") == []
    assert recorder.points("majordomo.cost") == []


async def test_an_open_breaker_is_on_the_span(serve: Serve, recorder: Recorder) -> None:
    cascade = cascade_of(serve(Status(503)), serve())
    for _ in range(3):
        await cascade.get_response("Hello")
    recorder.exporter.clear()
    await cascade.get_response("Hello")
    told = attributes_of(recorder.operation())
    assert told["majordomo.short_circuited"] == ("anthropic/claude-sonnet-4-5",)
    assert recorder.attempts() == []
    assert recorder.points("majordomo.failovers")[0][0] == 4


async def test_a_hedge_is_one_operation(recorder: Recorder) -> None:
    cascade = LLMCascade([CLAUDE, "openai/gpt-4.1"], hedge_after=1, telemetry=True)
    with simulate(cascade, Hang()) as simulation:
        response = await simulation.cascade.get_response("Hello")
    assert response.provider == "openai"
    [span] = recorder.spans
    assert attributes_of(span).items() >= (GPT | {"majordomo.failed_over": True}).items()
    cancelled = {"majordomo.outcome": "cancelled"}
    assert recorder.points("majordomo.attempts") == [(1, SONNET | cancelled), (1, GPT | OK)]


async def test_a_cancelled_call_is_no_error(serve: Serve, recorder: Recorder) -> None:
    provider = serve(Hang())
    task = asyncio.create_task(cascade_of(provider).get_response("Hello"))
    await until(lambda: provider.requests)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    [span] = recorder.spans
    cancelled = {"majordomo.outcome": "cancelled"}
    assert span.status.status_code is StatusCode.UNSET
    assert attributes_of(span).items() >= (CHAT | GPT | cancelled).items()
    assert recorder.points("majordomo.attempts") == [(1, GPT | cancelled)]
    [(_, attributes)] = recorder.points("gen_ai.client.operation.duration")
    assert attributes == CHAT | GPT | cancelled


async def test_a_cached_answer_used_no_tokens(
    serve: Serve, recorder: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("input_callback", "success_callback", "_async_success_callback"):
        monkeypatch.setattr(litellm, name, list(getattr(litellm, name)))
    cache: Any = litellm.Cache()
    monkeypatch.setattr(litellm, "cache", cache)
    cascade = cascade_of(serve())
    response = await cascade.get_response("Hello")
    await until(lambda: cache.cache.cache_dict)
    recorder.exporter.clear()
    await cascade.get_response("Hello")
    told = attributes_of(recorder.operation())
    assert (told["majordomo.cached"], told["majordomo.cost"]) == (True, 0.0)
    counts = [count for (count, _), _ in recorder.points("gen_ai.client.token.usage")]
    assert counts == [1, 1]
    assert recorder.points("majordomo.cost") == [(response.cost, GPT)]
    assert recorder.points("gen_ai.client.operation.duration")[0][0][0] == 2


async def test_a_corrected_answer_is_paid_for_and_shown(serve: Serve, recorder: Recorder) -> None:
    cascade = cascade_of(serve(Reply("no JSON"), Reply('{"value": 7}')), validation_retries=1)
    response = await cascade.get_structured_json_response(int, "Hello")
    assert response.content == 7
    [span] = recorder.attempts()
    rejected = {"majordomo.outcome": "rejected", "error.type": "ResponseParsingError"}
    assert attributes_of(span).items() >= (GPT | rejected | {"majordomo.attempt": 1}).items()
    assert "http.response.status_code" not in attributes_of(span)
    assert attributes_of(recorder.operation())["majordomo.cost"] == response.total_cost
    assert recorder.points("majordomo.cost") == [(response.total_cost, GPT)]
    assert recorder.points("majordomo.attempts") == [(1, GPT | rejected), (1, GPT | OK)]


async def test_a_rejected_answer_fails_the_operation(serve: Serve, recorder: Recorder) -> None:
    cascade = cascade_of(serve(), accept=lambda _: False)
    with pytest.raises(ResponseRejectedError):
        await cascade.get_response("Hello")
    assert attributes_of(recorder.operation())["error.type"] == "ResponseRejectedError"
    [(cost, _)] = recorder.points("majordomo.cost")
    assert cost > 0


async def test_a_bug_in_the_callers_code_is_told_by_its_type(
    serve: Serve, recorder: Recorder
) -> None:
    def accept(_: object) -> bool:
        raise KeyError("a secret")

    with pytest.raises(KeyError):
        await cascade_of(serve(), accept=accept).get_response("Hello")
    assert attributes_of(recorder.operation())["error.type"] == "KeyError"


async def test_an_unknown_price_is_not_free(serve: Serve, recorder: Recorder) -> None:
    target = serve().target("openai", "a-model-of-my-own")
    await LLMCascade([target], telemetry=True).get_response("Hello")
    assert "majordomo.cost" not in attributes_of(recorder.operation())
    assert recorder.points("majordomo.cost") == []


async def test_settings_are_those_of_the_target_that_served(
    serve: Serve, recorder: Recorder
) -> None:
    overrides = {"temperature": None, "max_tokens": 7}
    targets = [serve(Status(503)).target(*CLAUDE), serve().target(overrides=overrides)]
    cascade = LLMCascade(targets, retry=ONCE, telemetry=True, temperature=1)
    await cascade.get_response("Hello", max_tokens=9)
    told = attributes_of(recorder.operation())
    assert told["gen_ai.request.max_tokens"] == 7
    assert "gen_ai.request.temperature" not in told


# Streams.


async def test_a_stream_ends_with_its_last_chunk(serve: Serve, recorder: Recorder) -> None:
    stream = await cascade_of(serve()).get_response_stream("Hello")
    assert recorder.spans == []
    assert "".join([text async for text in stream]) == "Hello from the fake provider."
    [span] = recorder.spans
    told = attributes_of(span)
    assert told["gen_ai.request.stream"] is True
    assert told["gen_ai.response.finish_reasons"] == ("stop",)
    assert (told["gen_ai.usage.output_tokens"], told["majordomo.cost"]) == (5, stream.cost)
    assert told["majordomo.outcome"] == "ok"
    assert len(recorder.points("gen_ai.client.token.usage")) == 2


@pytest.mark.usefixtures("no_jitter")
async def test_the_first_chunk_is_that_of_the_call(recorder: Recorder) -> None:
    cascade = LLMCascade([CLAUDE, "openai/gpt-4.1"], telemetry=True)
    first: list[Behaviour] = [Status(503), BrokenStream("cut")]
    second: list[Behaviour] = [Status(503), Reply()]
    with simulate(cascade, first, second) as simulation:
        stream = await simulation.cascade.get_response_stream("Hello")
        assert [event async for event in stream.events()]
    told = attributes_of(recorder.operation())
    assert told["gen_ai.response.time_to_first_chunk"] == stream.time_to_first_token == 0.5
    assert recorder.points("gen_ai.client.operation.duration")[0][0] == (1, 1.0)


async def test_a_restarted_stream_is_one_operation(serve: Serve, recorder: Recorder) -> None:
    cascade = cascade_of(serve(BrokenStream("cut")), serve())
    stream = await cascade.get_response_stream("Hello")
    assert [event async for event in stream.events()]
    [child] = recorder.attempts()
    assert attributes_of(child)["error.type"] == "StreamInterruptedError"
    told = attributes_of(recorder.operation())
    assert told.items() >= (GPT | OK | {"majordomo.failed_over": True}).items()
    assert recorder.points("majordomo.failovers")[0][0] == 1


async def test_a_stream_that_breaks_for_good_has_failed(serve: Serve, recorder: Recorder) -> None:
    stream = await cascade_of(serve(BrokenStream("cut"))).get_response_stream("Hello")
    with pytest.raises(StreamInterruptedError):
        async for _ in stream:
            pass
    assert len(recorder.attempts()) == 1
    operation = recorder.operation()
    assert operation.status.status_code is StatusCode.ERROR
    assert attributes_of(operation)["error.type"] == "StreamInterruptedError"


async def test_a_fallback_that_breaks_has_served_nobody(serve: Serve, recorder: Recorder) -> None:
    cascade = cascade_of(serve(Status(401)), serve(BrokenStream("cut")))
    stream = await cascade.get_response_stream("Hello")
    with pytest.raises(StreamInterruptedError):
        async for _ in stream:
            pass
    assert recorder.points("majordomo.failovers") == []


async def test_a_call_that_nobody_served_has_no_settings(serve: Serve, recorder: Recorder) -> None:
    first, second = serve(Status(401)), serve(Status(401), Reply())
    targets = [
        first.target(*CLAUDE, overrides={"max_tokens": 111}),
        second.target(params={"max_completion_tokens": 222}),
    ]
    cascade = LLMCascade(targets, telemetry=True)
    with pytest.raises(AuthenticationError):
        await cascade.get_response("Hello")
    assert "gen_ai.request.max_tokens" not in attributes_of(recorder.operation())
    await cascade.get_response("Hello")
    [*_, operation] = [span for span in recorder.spans if span.name.startswith("chat")]
    assert attributes_of(operation)["gen_ai.request.max_tokens"] == 222


async def test_a_stream_that_nobody_can_restart_blames_the_last_one(
    serve: Serve, recorder: Recorder
) -> None:
    cascade = cascade_of(serve(BrokenStream("cut")), serve(Status(503)))
    stream = await cascade.get_response_stream("Hello")
    with pytest.raises(ProviderUnavailableError):
        await stream.collect()
    assert len(recorder.attempts()) == 2
    error = {"error.type": "ProviderUnavailableError"}
    assert attributes_of(recorder.operation()).items() >= (GPT | FAILED | error).items()


async def test_a_stream_that_never_begins_has_failed(serve: Serve, recorder: Recorder) -> None:
    with pytest.raises(ProviderUnavailableError):
        await cascade_of(serve(Status(503))).get_response_stream("Hello")
    told = attributes_of(recorder.operation())
    assert told["error.type"] == "ProviderUnavailableError"
    assert "gen_ai.response.time_to_first_chunk" not in told


@pytest.mark.parametrize("is_read", [False, True])
async def test_a_stream_closed_early_is_no_error(
    serve: Serve, recorder: Recorder, is_read: bool
) -> None:
    cascade = cascade_of(serve(Status(503)), serve())
    async with await cascade.get_response_stream("Hello") as stream:
        if is_read:
            await anext(aiter(stream))
    operation = recorder.operation()
    assert operation.status.status_code is StatusCode.UNSET
    told = attributes_of(operation)
    cancelled = {"majordomo.outcome": "cancelled"}
    assert told.items() >= (GPT | cancelled | {"majordomo.failed_over": True}).items()
    assert recorder.points("majordomo.attempts")[-1] == (1, GPT | cancelled)


@pytest.mark.parametrize("is_read", [False, True])
async def test_a_dropped_stream_ends_its_span(
    serve: Serve, recorder: Recorder, is_read: bool
) -> None:
    stream = await cascade_of(serve()).get_response_stream("Hello")
    if is_read:
        await anext(aiter(stream))
    del stream
    gc.collect()
    await until(lambda: recorder.spans)
    told = attributes_of(recorder.operation())
    assert told.items() >= (GPT | {"majordomo.outcome": "cancelled"}).items()


async def test_a_reader_that_is_cancelled_has_left(serve: Serve, recorder: Recorder) -> None:
    stream = await cascade_of(serve(BrokenStream("stall"))).get_response_stream("Hello")
    is_read = asyncio.Event()

    async def read() -> None:
        async for _ in stream:
            is_read.set()

    task = asyncio.create_task(read())
    await is_read.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert attributes_of(recorder.operation())["majordomo.outcome"] == "cancelled"


# The other ways to ask.


async def test_acompletion_is_told_as_well(serve: Serve, recorder: Recorder) -> None:
    cascade = cascade_of(serve())
    await cascade.acompletion(MESSAGES)
    assert "gen_ai.request.stream" not in attributes_of(recorder.operation())
    recorder.exporter.clear()
    async for _ in await cascade.acompletion(MESSAGES, stream=True):
        pass
    assert attributes_of(recorder.operation())["gen_ai.request.stream"] is True
    assert recorder.points("majordomo.attempts") == [(2, GPT | OK)]


def test_blocking_calls_hang_on_the_callers_span(serve: Serve, recorder: Recorder) -> None:
    cascade = cascade_of(serve())
    with trace.get_tracer("application").start_as_current_span("request") as request:
        cascade.sync.get_response("Hello")
        [*_] = cascade.sync.get_response_stream("Hello")
        cascade.sync.completion(MESSAGES)
        [*_] = cascade.sync.completion(MESSAGES, stream=True)
        cascade.sync.get_response_stream("Hello").close()
    _, *spans = recorder.spans
    assert [span.name for span in spans] == ["chat gpt-4.1"] * 5
    assert [span.parent for span in spans] == [request.get_span_context()] * 5


async def test_a_cascade_that_litellm_serves_is_told_as_well(
    serve: Serve, recorder: Recorder
) -> None:
    cascade_of(serve()).register("told")
    try:
        await litellm.acompletion(model="cascade/told", messages=MESSAGES)
    finally:
        LLMCascade.unregister("told")
    assert attributes_of(recorder.operation()).items() >= (GPT | OK).items()


# Beside other spans, and LiteLLM's own callback.


@pytest.fixture
def instrumented(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let each request of LiteLLM's be a span, as an instrumentation of HTTP clients does."""
    ask = litellm.acompletion

    async def acompletion(**sent: Any) -> Any:
        with trace.get_tracer("http").start_as_current_span("POST"):
            return await ask(**sent)

    monkeypatch.setattr(litellm, "acompletion", acompletion)


@pytest.mark.usefixtures("instrumented")
@pytest.mark.parametrize("hedge_after", [None, 60])
async def test_requests_hang_on_the_operation(
    serve: Serve, recorder: Recorder, hedge_after: float | None
) -> None:
    cascade = cascade_of(serve(BrokenStream("cut")), serve(), hedge_after=hedge_after)
    tracer = trace.get_tracer("application")
    with tracer.start_as_current_span("request") as request:
        stream = await cascade.get_response_stream("Hello")
        assert trace.get_current_span() is request
        async for _ in stream.events():
            assert trace.get_current_span() is request
    operation = recorder.operation()
    assert operation.parent == request.get_span_context()
    posts = [span for span in recorder.spans if span.name == "POST"]
    assert [span.parent for span in posts] == [operation.context] * 2


@pytest.mark.usefixtures("instrumented")
async def test_nobody_writes_on_the_operation(serve: Serve, recorder: Recorder) -> None:
    def accept(_: object) -> bool:
        trace.get_current_span().set_attribute("prompt", "a secret")
        return True

    await cascade_of(serve(), accept=accept).get_response("Hello")
    assert "prompt" not in attributes_of(recorder.operation())


@pytest.fixture
def litellms_callback(monkeypatch: pytest.MonkeyPatch, recorder: Recorder) -> None:
    """Turn LiteLLM's own callback on. It takes the process's provider."""
    kinds = ("input", "success", "failure", "_async_success", "_async_failure")
    for name in kinds:
        full = f"{name}_callback"
        monkeypatch.setattr(litellm, full, [])
    monkeypatch.setattr(litellm.litellm_core_utils.litellm_logging, "_in_memory_loggers", [])
    monkeypatch.setattr(litellm, "callbacks", ["otel"])


def tree(recorder: Recorder) -> dict[str, str | None]:
    """Return each span's name, and that of its parent."""
    names = {id_of(span).span_id: span.name for span in recorder.spans}
    return {
        span.name: names[span.parent.span_id] if span.parent else None for span in recorder.spans
    }


@pytest.mark.usefixtures("litellms_callback")
@pytest.mark.parametrize("is_object", [False, True])
async def test_litellms_callback_has_roots_of_its_own(
    serve: Serve, recorder: Recorder, monkeypatch: pytest.MonkeyPatch, is_object: bool
) -> None:
    if is_object:
        monkeypatch.setattr(litellm, "callbacks", [OpenTelemetry()])
    cascade = cascade_of(serve(Status(503)), serve())
    for _ in range(2):
        recorder.exporter.clear()
        await cascade.get_response("Hello")
        await until(lambda: sum(span.name == "litellm_request" for span in recorder.spans) == 2)
        found = tree(recorder)
        assert found["chat claude-sonnet-4-5"] is None
        assert found["attempt claude-sonnet-4-5"] == "chat claude-sonnet-4-5"
        assert found["litellm_request"] is None
        assert "Hello" not in str(attributes_of(recorder.operation()))


@pytest.mark.usefixtures("litellms_callback")
async def test_litellms_callback_writes_on_the_applications_span_as_ever(
    serve: Serve, recorder: Recorder
) -> None:
    cascade = cascade_of(serve(Status(503)), serve())
    with trace.get_tracer("application").start_as_current_span("request") as request:
        response = await cascade.get_response("Hello")
        await until(lambda: "gen_ai.response.id" in (getattr(request, "attributes", None) or {}))
    found = tree(recorder)
    assert found["chat claude-sonnet-4-5"] == "request"
    assert found["attempt claude-sonnet-4-5"] == "chat claude-sonnet-4-5"
    assert "litellm_request" not in found
    told = attributes_of(recorder.operation())
    assert told["gen_ai.response.id"] == response.raw.id
    assert not [name for name in told if name.startswith(("llm.", "metadata", "gen_ai.input"))]


@pytest.mark.usefixtures("litellms_callback")
async def test_litellms_callback_hangs_on_the_operation_if_it_has_its_own_spans(
    serve: Serve, recorder: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("USE_OTEL_LITELLM_REQUEST_SPAN", "true")
    await cascade_of(serve()).get_response("Hello")
    await until(lambda: "litellm_request" in tree(recorder))
    assert tree(recorder)["litellm_request"] == "chat gpt-4.1"


@pytest.mark.skipif(not IS_NEW, reason="LiteLLM gains such callbacks")
def test_the_callbacks_that_write_on_the_current_span_are_known() -> None:
    known = set(litellm._known_custom_logger_compatible_callbacks)
    assert set(CALLBACK_NAMES) <= known


# What is never told, and what never happens.


async def test_no_content_no_key_and_no_message_is_told(serve: Serve, recorder: Recorder) -> None:
    words = "the vendor's words, with sk-a-secret-key"
    cascade = cascade_of(serve(Status(401, words)), serve(Reply("A secret answer.")))
    await cascade.get_response("My prompt.", "My system prompt.", user="Ann")
    with pytest.raises(ResponseParsingError):
        await cascade.get_json_response("My prompt.")
    await (await cascade.get_response_stream("My prompt.")).collect()
    told = recorder.text()
    assert "AuthenticationError" in told
    for secret in ("prompt", "secret", "loopback-key", "vendor's words", "Ann", "127.0.0.1"):
        assert secret not in told


class Failing(SpanProcessor):
    """A processor with a bug."""

    def __init__(self, name: str) -> None:
        setattr(self, name, self.fail)

    def fail(self, *_: object, **__: object) -> None:
        raise RuntimeError("a bug of the processor's")


class FailingExporter(SpanExporter):
    """An exporter with a bug."""

    def export(self, spans: Any) -> Any:
        raise RuntimeError("a bug of the exporter's")


@pytest.mark.parametrize(
    "processor",
    [Failing("on_start"), Failing("on_end"), SimpleSpanProcessor(FailingExporter())],
    ids=["start", "end", "export"],
)
async def test_a_failing_processor_fails_no_call(
    serve: Serve, recorder: Recorder, processor: SpanProcessor
) -> None:
    recorder.tracers.add_span_processor(processor)
    cascade = cascade_of(serve(Status(503)), serve())
    assert (await cascade.get_response("Hello")).content
    assert await (await cascade.get_response_stream("Hello")).collect()
    assert recorder.points("gen_ai.client.operation.duration")[0][0][0] == 2


async def test_failing_metrics_fail_no_call(
    serve: Serve, recorder: Recorder, monkeypatch: pytest.MonkeyPatch, caplog: Any
) -> None:
    cascade = cascade_of(serve())
    await cascade.get_response("Hello")
    fail = Failing("on_end").fail
    kind = type(recorder.meters._measurement_consumer)
    monkeypatch.setattr(kind, "consume_measurement", fail)
    assert (await cascade.get_response("Hello")).content
    assert "telemetry failed; the call goes on" in caplog.text
    assert len(recorder.spans) == 2


@pytest.mark.usefixtures("no_otel")
async def test_without_an_sdk_nothing_happens(serve: Serve) -> None:
    cascade = cascade_of(serve(Status(503)), serve())
    assert (await cascade.get_response("Hello")).failed_over
    assert await (await cascade.get_response_stream("Hello")).collect()


@pytest.mark.usefixtures("no_otel")
async def test_providers_may_be_set_after_the_cascade_is_built(serve: Serve) -> None:
    cascade = cascade_of(serve())
    await cascade.get_response("Hello")
    recorder = Recorder()
    recorder.install()
    await cascade.get_response("Hello")
    assert recorder.operation().name == "chat gpt-4.1"
    assert recorder.points("majordomo.attempts") == [(1, GPT | OK)]


@pytest.mark.usefixtures("no_otel")
async def test_a_call_that_is_not_sampled_is_measured(serve: Serve) -> None:
    recorder = Recorder()
    recorder.tracers.sampler = ALWAYS_OFF
    recorder.install()
    await cascade_of(serve(Status(503)), serve()).get_response("Hello")
    assert recorder.spans == []
    assert recorder.points("majordomo.failovers")[0][0] == 1


async def test_without_telemetry_nothing_is_told(serve: Serve, recorder: Recorder) -> None:
    cascade = cascade_of(serve(), telemetry=False)
    await cascade.get_response("Hello")
    await (await cascade.get_response_stream("Hello")).collect()
    assert (recorder.spans, recorder.metrics()) == ([], {})


MODULES = "print(sorted(name for name in sys.modules if name.startswith('opentelemetry')))"
LOADED = """
import sys
import litellm
{0}
import majordomo_cascade
cascade = majordomo_cascade.LLMCascade(["openai/gpt-4.1"], mock_response="Hi.")
cascade.sync.get_response("Hello")
{0}
"""


def run(program: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", program]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_without_telemetry_opentelemetry_is_not_imported() -> None:
    done = run(LOADED.format(MODULES))
    assert done.returncode == 0, done.stderr
    before, after = done.stdout.splitlines()
    assert before == after


def test_without_opentelemetry_the_cascade_is_not_built() -> None:
    program = """
import sys
sys.modules["opentelemetry"] = None
from majordomo_cascade import LLMCascade
LLMCascade(["openai/gpt-4.1"])
LLMCascade(["openai/gpt-4.1"], telemetry=True)
"""
    *_, last = run(program).stderr.splitlines()
    assert last == (
        "majordomo_cascade.errors.ConfigurationError: telemetry=True needs OpenTelemetry: "
        'pip install "majordomo-cascade[otel]"'
    )


@pytest.mark.parametrize("value", [None, 1, "true"])
def test_telemetry_is_true_or_false(value: Any) -> None:
    with pytest.raises(ConfigurationError, match="telemetry must be True or False, not"):
        LLMCascade(["openai/gpt-4.1"], telemetry=value)


async def test_it_can_be_turned_on_later_and_sent_elsewhere(
    serve: Serve, recorder: Recorder
) -> None:
    plain = cascade_of(serve(), telemetry=False)
    cascade = plain.with_options(telemetry=True)
    for each in (cascade, pickle.loads(pickle.dumps(cascade))):
        await each.get_response("Hello")
    await cascade.with_options(telemetry=False).get_response("Hello")
    await plain.get_response("Hello")
    assert len(recorder.spans) == 2


# Names.


async def everything(serve: Serve) -> None:
    """Let happen what can happen, so that everything is told."""
    await cascade_of(serve()).get_response("Hello", temperature=1, max_tokens=9, top_p=1)
    cascade = cascade_of(serve(Status(503)), serve(Reply("no JSON"), Reply("[1]"), Reply("Hi.")))
    await cascade.with_options(validation_retries=1).get_json_response("Hello")
    await (await cascade.get_response_stream("Hello")).collect()
    with pytest.raises(ProviderUnavailableError):
        await cascade_of(serve(Status(503))).get_response("Hello")


def published(*modules: Any) -> set[str]:
    values = [value for module in modules for value in vars(module).values()]
    return {value for value in values if isinstance(value, str)}


async def test_names_are_those_of_the_conventions_or_our_own(
    serve: Serve, recorder: Recorder
) -> None:
    await everything(serve)
    known = published(gen_ai_attributes, error_attributes, http_attributes)
    names = {name for span in recorder.spans for name in attributes_of(span)}
    for metric in recorder.metrics():
        assert metric in published(gen_ai_metrics) or metric.startswith("majordomo.")
        names |= {name for _, attributes in recorder.points(metric) for name in attributes}
    assert {name for name in names if not name.startswith("majordomo.")} <= known


def test_names_that_the_tests_do_not_meet_are_published_too() -> None:
    text = Path(telemetry.__file__).read_text()
    written = set(re.findall(r'"((?:gen_ai|error|http)\.[\w.]+)"', text))
    assert len(written) > 10
    assert written <= published(
        gen_ai_attributes, gen_ai_metrics, error_attributes, http_attributes
    )


@pytest.mark.skipif(not IS_NEW, reason="LiteLLM gains providers")
def test_providers_have_the_names_of_the_conventions() -> None:
    known = {each.value for each in gen_ai_attributes.GenAiProviderNameValues}
    litellms = {getattr(each, "value", each) for each in litellm.provider_list}
    assert set(CONVENTIONAL_NAMES.values()) <= known
    assert set(CONVENTIONAL_NAMES) <= litellms
    # One name has no provider of LiteLLM's: it stands for Gemini if nobody knows by which API.
    assert known - litellms - set(CONVENTIONAL_NAMES.values()) == {"gcp.gen_ai"}


# The dashboard.


def prometheus_names(metric: Any) -> list[str]:
    """Return the names of a metric's series in Prometheus.

    By https://opentelemetry.io/docs/specs/otel/compatibility/prometheus_and_openmetrics/
    """
    words = [*re.findall(r"\w+", metric.name)]
    if not metric.unit.startswith("{"):  # a unit in braces is only a note
        words.append({"s": "seconds"}[metric.unit])
    name = "_".join(words)
    if hasattr(metric.data, "is_monotonic"):
        return [f"{name}_total"]
    return [f"{name}_bucket", f"{name}_count", f"{name}_sum"]


def labels_of(metric: Any) -> set[str]:
    points = metric.data.data_points
    return {name.replace(".", "_") for point in points for name in point.attributes} | {"le"}


def expressions() -> list[tuple[str, str]]:
    """Return each query of the dashboard, and its legend."""
    panels = json.loads(DASHBOARD.read_text())["panels"]
    targets = [target for panel in panels for target in panel["targets"]]
    return [(target["expr"], target["legendFormat"]) for target in targets]


SERIES = re.compile(r"(\w+)(?:\{([^}]*)\})?\[")  # a name, perhaps its labels, and a range


async def test_the_dashboard_asks_for_what_is_told(serve: Serve, recorder: Recorder) -> None:
    await everything(serve)
    told = {
        name: labels_of(metric)
        for metric in recorder.metrics().values()
        for name in prometheus_names(metric)
    }
    asked = set()
    for expression, legend in expressions():
        found = SERIES.findall(expression)
        assert len(found) == expression.count("[")
        for name, conditions in found:
            grouped = re.findall(r"by \(([^)]*)\)", expression)
            labels = {label for group in grouped for label in group.split(", ")}
            assert set(re.findall(r"\{\{(\w+)\}\}", legend)) <= labels
            labels |= set(re.findall(r"(\w+)=", conditions))
            assert labels <= told[name], name
            asked.add(name.removesuffix("_bucket").removesuffix("_count").removesuffix("_sum"))
    assert asked == {
        "gen_ai_client_operation_duration_seconds",
        "gen_ai_client_token_usage",
        "majordomo_attempts_total",
        "majordomo_cost_total",
        "majordomo_failovers_total",
    }


def test_the_dashboard_finds_its_values() -> None:
    """Show that every value that a query looks for is one that can be told."""
    values = set(re.findall(r'majordomo_outcome=~?"([^"]*)"', str(expressions())))
    assert {word for value in values for word in value.split("|")} == {
        ".+",
        "ok",
        "failed",
        "rejected",
    }


def test_the_panels_of_the_dashboard_do_not_overlap() -> None:
    dashboard = json.loads(DASHBOARD.read_text())
    taken: set[tuple[int, int]] = set()
    for panel in dashboard["panels"]:
        place = panel["gridPos"]
        columns = range(place["x"], place["x"] + place["w"])
        cells = {(x, y) for x in columns for y in range(place["y"], place["y"] + place["h"])}
        assert not cells & taken
        assert max(columns) < 24
        taken |= cells
    assert len({panel["id"] for panel in dashboard["panels"]}) == len(dashboard["panels"])


def test_the_dashboard_asks_whichever_prometheus_is_chosen() -> None:
    dashboard = json.loads(DASHBOARD.read_text())
    [variable] = dashboard["templating"]["list"]
    assert (variable["type"], variable["query"]) == ("datasource", "prometheus")
    for panel in dashboard["panels"]:
        for each in (panel, *panel["targets"]):
            assert each["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
