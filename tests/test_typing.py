"""What type checkers infer; mypy and pyright read this file, and it runs as well."""

from __future__ import annotations

from typing import Any, Literal, assert_type

from pydantic import BaseModel

from majordomo_cascade import (
    Attempt,
    LLMCascade,
    LLMJSONResponse,
    LLMResponse,
    LLMStreamResponse,
    LLMStructuredResponse,
    StreamRestarted,
    Target,
    TargetHealth,
    TextDelta,
    Usage,
)


class City(BaseModel):
    name: str


async def test_types() -> None:
    cascade = LLMCascade([("openai", "gpt-4.1"), "gemini/gemini-2.5-flash", Target("anthropic", "claude-sonnet-4-5")])
    text = await cascade.get_response("Hello", mock_response="x")
    assert_type(text, LLMResponse)
    assert_type(text.content, str)
    assert_type(text.usage, Usage)
    assert_type(text.cost, float | None)
    assert_type(text.attempts, tuple[Attempt, ...])
    anything = await cascade.get_json_response("Hello", mock_response="{}")
    assert_type(anything, LLMJSONResponse)
    assert_type(anything.content, dict[str, Any] | list[Any])
    described = await cascade.get_json_response("Hello", schema={"type": "object"}, reasks=1, mock_response="{}")
    assert_type(described.content, dict[str, Any] | list[Any])
    city = await cascade.get_structured_json_response(City, "Hello", mock_response='{"name": "Rome"}')
    assert_type(city, LLMStructuredResponse[City])
    assert_type(city.content, City)
    cities = await cascade.get_structured_json_response(list[City], "Hello", mock_response="[]")
    assert_type(cities.content, list[City])
    union = await cascade.get_structured_json_response(City | int, "Hello", mock_response='{"value": 5}')
    assert_type(union.content, City | int)
    assert_type(cascade.health, tuple[TargetHealth, ...])
    assert_type(cascade.health[0].structured_output, Literal["json_schema", "json_mode", "prompt"])


async def test_types_of_streams() -> None:
    cascade = LLMCascade(["openai/gpt-4.1"], mock_response="x")
    stream = await cascade.get_response_stream("Hello")
    assert_type(stream, LLMStreamResponse)
    async for text in stream:
        assert_type(text, str)
    assert_type(stream.usage, Usage | None)
    assert_type(stream.cost, float | None)
    async for event in (await cascade.get_response_stream("Hello")).events():
        assert_type(event, TextDelta | StreamRestarted)
    async with await cascade.get_response_stream("Hello") as stream:
        assert_type(await stream.collect(), LLMResponse)
