"""Tool calls in a stream's events, and its times and costs."""

from __future__ import annotations

import json

import pytest
from conftest import ALL_WIRES, WIRES

from majordomo_cascade import LLMCascade, RetryPolicy, StreamRestarted, TextDelta, ToolCallDelta
from majordomo_cascade.testing import BrokenStream, Hang, Reply, simulate

ONCE = RetryPolicy(attempts=1)
CALLS: list[tuple[str, dict[str, str]]] = [
    ("get_weather", {"city": "Rome"}),
    ("get_time", {"zone": "CET"}),
]


@pytest.mark.parametrize("wire", ALL_WIRES)
async def test_events_tell_tool_calls(wire: tuple[str, str]) -> None:
    with simulate(LLMCascade([wire]), Reply("Let me see.", tool_calls=CALLS)) as simulation:
        stream = await simulation.cascade.get_response_stream("Hello")
        assert not list(stream.tool_calls)
        events = [event async for event in stream.events()]
    text = "".join(event.text for event in events if isinstance(event, TextDelta))
    deltas = [event for event in events if isinstance(event, ToolCallDelta)]
    calls: dict[int, tuple[str, str]] = {}
    for delta in deltas:
        name, arguments = calls.get(delta.index, ("", ""))
        calls[delta.index] = (name + (delta.name or ""), arguments + delta.arguments)
    assert text == "Let me see."
    assert [(name, json.loads(arguments)) for name, arguments in calls.values()] == CALLS
    assert all(delta.id for delta in deltas if delta.name)
    assert stream.finish_reason == "tool_calls"
    assert [call.function.name for call in stream.tool_calls] == [name for name, _ in CALLS]


async def test_a_restart_begins_tool_calls_anew() -> None:
    scripts = BrokenStream("cut", "Let me"), Reply("", tool_calls=CALLS[:1])
    with simulate(LLMCascade(WIRES[:2]), *scripts) as simulation:
        stream = await simulation.cascade.get_response_stream("Hello")
        events = [event async for event in stream.events()]
    kinds = [type(event) for event in events]
    restart = kinds.index(StreamRestarted)
    assert set(kinds[:restart]) == {TextDelta}
    assert set(kinds[restart + 1 :]) == {ToolCallDelta}


async def test_a_stream_tells_its_times_and_its_whole_cost() -> None:
    cascade = LLMCascade(WIRES[:3], retry=ONCE, timeout=5)
    scripts = Hang(), Reply(" "), Reply("Rome.")
    with simulate(cascade, *scripts) as simulation:
        stream = await simulation.cascade.get_response_stream("Hello")
        assert stream.time_to_first_token == 5.0
        assert (stream.latency, stream.total_cost, stream.cost) == (None, None, None)
        simulation.clock.advance(2)
        response = await stream.collect()
    assert stream.latency == response.latency == 7.0
    assert stream.time_to_first_token == 5.0
    assert stream.total_cost is not None
    assert stream.total_cost == response.total_cost
    assert stream.cost == response.cost
    assert stream.total_cost > (stream.cost or 0)
    assert stream.usage == response.usage
