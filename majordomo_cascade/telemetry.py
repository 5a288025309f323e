"""OpenTelemetry: a span and the metrics of each call, and a span for each failed attempt."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Awaitable, Mapping
from functools import lru_cache
from importlib.metadata import version
from typing import Any, TypeVar

from .candidate import Candidate, total_cost
from .errors import ConfigurationError
from .failover import Call, Turn
from .gateway import Completion
from .gateway.tracing import conventional_name, takes_current_span
from .responses import Attempt

try:
    from opentelemetry import context, metrics, trace
except ImportError as error:
    raise ConfigurationError(
        'telemetry=True needs OpenTelemetry: pip install "majordomo-cascade[otel]"'
    ) from error

T = TypeVar("T")
Told = dict[str, Any]

logger = logging.getLogger("majordomo_cascade")

NAME = "majordomo_cascade"
OPERATION = "gen_ai.operation.name"
PROVIDER = "gen_ai.provider.name"
MODEL = "gen_ai.request.model"
ERROR = "error.type"
OUTCOME = "majordomo.outcome"
FAILURE = "telemetry failed; the call goes on"

#: The buckets that the GenAI conventions advise.
SECONDS = [0.01 * 2**n for n in range(14)]
TOKENS = [4**n for n in range(14)]

#: The parameters of a request that its span shows, and the conventions' names.
SETTINGS = {
    "max_tokens": "max_tokens",
    "max_completion_tokens": "max_tokens",
    "temperature": "temperature",
    "top_p": "top_p",
}


class Telemetry:
    """The tracer and the instruments."""

    def __init__(self, tracers: trace.TracerProvider, meters: metrics.MeterProvider) -> None:
        release = version("majordomo-cascade")
        self.tracer = tracers.get_tracer(NAME, release)
        meter = meters.get_meter(NAME, release)
        self.duration = meter.create_histogram(
            "gen_ai.client.operation.duration",
            "s",
            "Time from a call to its end.",
            explicit_bucket_boundaries_advisory=SECONDS,
        )
        self.tokens = meter.create_histogram(
            "gen_ai.client.token.usage",
            "{token}",
            "Tokens of the answers that served.",
            explicit_bucket_boundaries_advisory=TOKENS,
        )
        count = meter.create_counter
        self.attempts = count("majordomo.attempts", "{attempt}", "Requests to a target.")
        self.failovers = count("majordomo.failovers", "{call}", "Calls that a fallback served.")
        self.cost = count("majordomo.cost", "{USD}", "US dollars for all answers.")

    def begin(self, call: Call[Candidate], params: Mapping[str, Any]) -> Operation:
        """Begin the operation of a call that has these parameters."""
        return Operation(self, call, params)


_telemetry_of = lru_cache(maxsize=8)(Telemetry)


def current_telemetry() -> Telemetry:
    """Return the telemetry of the process, whose providers may be set later."""
    return _telemetry_of(trace.get_tracer_provider(), metrics.get_meter_provider())


class Operation:
    """A call, from its first request to the end of its answer. It ends once, and never raises."""

    def __init__(
        self, telemetry: Telemetry, call: Call[Candidate], params: Mapping[str, Any]
    ) -> None:
        self._telemetry = telemetry
        self._call = call
        self._params = params
        self._turn: Turn[Candidate] | None = None
        self._first_chunk: float | None = None
        self._is_over = False
        self._loop = asyncio.get_running_loop()
        self._began = time.time_ns()
        name = f"chat {call.first.model}"
        try:
            self._span = self._begin(name, {OPERATION: "chat", **_names(call.first)}, 0)
        except Exception:
            logger.exception(FAILURE)
            self._span = trace.NoOpTracer().start_span(name)
        # Spans and logs find our span's ids here, but nobody can write on our span.
        current = trace.NonRecordingSpan(self._span.get_span_context())
        self._context = trace.set_span_in_context(current)

    async def watch(
        self, served: Awaitable[tuple[Turn[Candidate], T]]
    ) -> tuple[Turn[Candidate], T]:
        """Wait until a target answers. If none does, the operation ends."""
        self._turn = None
        token = None if takes_current_span() else context.attach(self._context)
        try:
            self._turn, answer = await served
        except BaseException as error:
            self.end(error=error)
            raise
        finally:
            if token is not None:
                context.detach(token)
        if self._first_chunk is None:
            self._first_chunk = self._call.elapsed()
        return self._turn, answer

    def end(self, completion: Completion | None = None, error: BaseException | None = None) -> None:
        """End with an answer or an error. Without them, or cancelled, the caller has left."""
        if self._is_over:
            return
        self._is_over = True
        seconds = self._call.elapsed()
        result = self._result(completion, error)
        for tell in (self._end_span, self._measure):
            try:
                tell(seconds, result, completion)
            except Exception:
                logger.exception(FAILURE)

    def __del__(self) -> None:
        """End a stream that was dropped: later, for a lock of OpenTelemetry's may be held now."""
        if not self._is_over:
            with contextlib.suppress(RuntimeError):  # the loop is closed
                self._loop.call_soon_threadsafe(self.end)

    def _begin(
        self, name: str, told: Told, seconds: float, parent: context.Context | None = None
    ) -> trace.Span:
        """Begin a span so many seconds after the call did."""
        began = self._began + _nanoseconds(seconds)
        client = trace.SpanKind.CLIENT
        return self._telemetry.tracer.start_span(name, parent, client, told, None, began)

    def _result(self, completion: Completion | None, error: BaseException | None) -> Told:
        """Return how the call ended, and who served or else was asked last."""
        asked: Candidate | Attempt = self._call.first
        if self._turn is not None:
            asked = self._turn.target
        elif self._call.trail.attempts:
            asked = self._call.trail.attempts[-1]
        result = {OPERATION: "chat", **_names(asked), OUTCOME: "cancelled"}
        if completion is not None:
            result[OUTCOME] = "ok"
        elif isinstance(error, Exception):
            result[OUTCOME] = "failed"
            result[ERROR] = type(error).__qualname__
        return result

    def _end_span(self, seconds: float, result: Told, completion: Completion | None) -> None:
        span = self._span
        if span.is_recording():
            for attempt in self._call.trail.attempts:
                if attempt.error is not None:
                    self._add_failed(attempt)
            span.set_attributes({**result, **self._course(), **_description(completion)})
            if ERROR in result:
                span.set_status(trace.StatusCode.ERROR)
        span.end(self._began + _nanoseconds(seconds))

    def _add_failed(self, attempt: Attempt) -> None:
        """Add the span of a failed attempt. It is no ``chat``, or it would count as a call."""
        told = _facts(attempt)
        told["majordomo.target"] = attempt.target
        told["majordomo.attempt"] = attempt.number
        told["majordomo.call_id"] = attempt.call_id
        status = getattr(attempt.error, "status_code", None)
        if isinstance(status, int):
            told["http.response.status_code"] = status
        span = self._begin(f"attempt {attempt.model}", told, attempt.started, self._context)
        span.set_status(trace.StatusCode.ERROR)
        span.end(self._began + _nanoseconds(attempt.started + attempt.seconds))

    def _course(self) -> Told:
        """Return what was asked, and how the call went."""
        call = self._call
        told: Told = {"majordomo.call_id": call.id}
        if self._turn is not None:
            served = self._turn.target
            told["majordomo.target"] = served.name
            told["majordomo.failed_over"] = served is not call.first
            told |= self._settings(served)
        if call.short_circuited:
            told["majordomo.short_circuited"] = call.short_circuited
        cost = total_cost(call.trail.attempts)
        if cost is not None:
            told["majordomo.cost"] = cost
        if call.is_stream:
            told["gen_ai.request.stream"] = True
            if self._first_chunk is not None:
                told["gen_ai.response.time_to_first_chunk"] = self._first_chunk
        return told

    def _settings(self, served: Candidate) -> Told:
        """Return the parameters that were sent."""
        settings = {}
        for name, conventional in SETTINGS.items():
            value = served.client.setting(name, self._params)
            if isinstance(value, int | float):
                settings[f"gen_ai.request.{conventional}"] = value
        return settings

    def _measure(self, seconds: float, result: Told, completion: Completion | None) -> None:
        telemetry = self._telemetry
        telemetry.duration.record(seconds, result, self._context)
        if completion is not None and not completion.is_cached:  # from a cache, it used none
            shared = {name: result[name] for name in (OPERATION, PROVIDER, MODEL)}
            for kind in ("input", "output"):
                count = getattr(completion.usage, f"{kind}_tokens")
                if count:  # or the provider did not say
                    telemetry.tokens.record(count, {**shared, "gen_ai.token.type": kind})
        for attempt in self._call.trail.attempts:
            telemetry.attempts.add(1, _facts(attempt))
            if attempt.cost is not None:
                telemetry.cost.add(attempt.cost, _names(attempt))
        first = self._call.first
        if completion is None or self._turn is None or self._turn.target is first:
            return
        served = _names(self._turn.target)
        telemetry.failovers.add(1, {**served, "majordomo.first_target": first.name})


def _names(asked: Candidate | Attempt) -> Told:
    return {PROVIDER: conventional_name(asked.provider), MODEL: asked.model}


def _facts(attempt: Attempt) -> Told:
    facts = {**_names(attempt), OUTCOME: attempt.outcome}
    if attempt.error is not None:
        facts[ERROR] = type(attempt.error).__qualname__
    return facts


def _description(completion: Completion | None) -> Told:
    """Return what an answer is and used, but for its content."""
    if completion is None:
        return {}
    usage, reason = completion.usage, completion.finish_reason
    told = {
        "gen_ai.response.id": getattr(completion.raw, "id", None),
        "gen_ai.response.model": getattr(completion.raw, "model", None),
        "gen_ai.response.finish_reasons": reason and [reason],
        "gen_ai.usage.input_tokens": usage.input_tokens,
        "gen_ai.usage.output_tokens": usage.output_tokens,
        "gen_ai.usage.cache_read.input_tokens": usage.cached_tokens,
        "gen_ai.usage.reasoning.output_tokens": usage.reasoning_tokens,
        "majordomo.cached": completion.is_cached,
    }
    return {name: value for name, value in told.items() if value}


def _nanoseconds(seconds: float) -> int:
    return int(seconds * 1e9)
