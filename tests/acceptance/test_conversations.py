"""A conversation with tools and thoughts survives its failover, whoever wrote it.

The fake providers are strict: they refuse a history that their vendors refuse.
"""

from __future__ import annotations

import copy
import json
import logging
from collections.abc import Awaitable, Callable
from typing import Any

import litellm
import pytest
from conftest import IS_NEW, Serve
from pydantic import BaseModel

from majordomo_cascade import BadRequestError, LLMCascade, LLMResponse, RetryPolicy, Target
from majordomo_cascade.testing import FakeProvider, Reply, Status, simulate
from majordomo_cascade.testing.wires import signature

ONCE = RetryPolicy(attempts=1)
THOUGHTS = "Two cities, two calls."
TOOL = {
    "type": "function",
    "function": {
        "name": "weather",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
    },
}
CALLS = [("weather", {"city": "Rome"}), ("weather", {"city": "Oslo"})]
WRITES = Reply("Let me look.", tool_calls=CALLS, reasoning=THOUGHTS)
QUESTION = {"role": "user", "content": "How is the weather in Rome and Oslo?"}

#: Provider, model, its own parameters, and the format that it is asked in.
SPEAKERS: dict[str, tuple[str, str, dict[str, Any], str]] = {
    "openai": ("openai", "gpt-4.1", {}, "openai"),
    "responses": ("openai", "responses/gpt-4.1", {}, "responses"),
    "anthropic": ("anthropic", "claude-sonnet-4-5", {"reasoning_effort": "low"}, "anthropic"),
    "gemini": ("gemini", "gemini-3-pro-preview", {}, "gemini"),
    "mistral": ("mistral", "mistral-large-latest", {}, "openai"),
    "groq": ("groq", "llama-3.3-70b-versatile", {}, "openai"),
}
if not IS_NEW:  # LiteLLM 1.83 tears text and tool calls of one answer apart
    del SPEAKERS["responses"]
PAIRS = [(first, second) for first in SPEAKERS for second in SPEAKERS if first != second]
#: The ones that sign their thoughts.
SIGNERS = [name for name in SPEAKERS if name in ("responses", "anthropic", "gemini")]

Ask = Callable[[LLMCascade, list[Any]], Awaitable[LLMResponse[Any]]]


async def plain(cascade: LLMCascade, messages: list[Any]) -> LLMResponse[Any]:
    return await cascade.get_response(messages=messages, tools=[TOOL])


async def streamed(cascade: LLMCascade, messages: list[Any]) -> LLMResponse[Any]:
    stream = await cascade.get_response_stream(messages=messages, tools=[TOOL])
    return await stream.collect()


async def as_json(cascade: LLMCascade, messages: list[Any]) -> LLMResponse[Any]:
    return await cascade.get_json_response(messages=messages, tools=[TOOL])


class Conversation:
    """An application's history, and two providers, of which one may be down."""

    def __init__(self, serve: Callable[..., FakeProvider], first: str, second: str) -> None:
        self.messages: list[Any] = [QUESTION]
        # OpenAI shows no thoughts on its older wire.
        writes = Reply("Let me look.", tool_calls=CALLS) if first == "openai" else WRITES
        self.servers = [serve(writes, strict=True), serve(Reply('{"all": "sunny"}'), strict=True)]
        self.names = (first, second)
        self.cascade = LLMCascade(
            [self._target(*each) for each in zip(self.servers, self.names, strict=True)],
            retry=ONCE,
            breaker=None,
        )

    def _target(self, server: FakeProvider, name: str) -> Target:
        provider, model, params, _ = SPEAKERS[name]
        return server.target(provider, model, params=params)

    def append(self, response: LLMResponse[Any], *, dumped: bool) -> None:
        """Keep an answer, and the results of its tools."""
        message = response.raw.choices[0].message
        self.messages.append(message.model_dump() if dumped else message)
        for call in response.tool_calls:
            result = {"role": "tool", "tool_call_id": call.id, "content": "sunny"}
            self.messages.append(result)

    def sent_last(self, place: int) -> Any:
        """Return the last request's body, as text and decoded."""
        return json.dumps(self.servers[place].requests[-1].json)


@pytest.fixture
def start(serve: Serve) -> Callable[..., Conversation]:
    return lambda first, second: Conversation(serve, first, second)


Start = Callable[[str, str], Conversation]


@pytest.mark.parametrize("dumped", [False, True], ids=["object", "dumped"])
@pytest.mark.parametrize("ask", [plain, streamed, as_json])
@pytest.mark.parametrize(("first", "second"), PAIRS)
async def test_the_second_one_serves_and_the_first_one_goes_on(
    start: Start, first: str, second: str, ask: Ask, *, dumped: bool
) -> None:
    talk = start(first, second)
    written = await (streamed if ask is streamed else plain)(talk.cascade, talk.messages)
    assert len(written.tool_calls) == 2
    talk.append(written, dumped=dumped)
    before = copy.deepcopy(talk.messages)

    talk.servers[0].behaviours[:] = [Status(503)]
    served = await ask(talk.cascade, talk.messages)
    assert served.failed_over
    assert [attempt.outcome for attempt in served.attempts] == ["failed", "ok"]
    assert "majordomo" not in talk.sent_last(1)
    assert THOUGHTS not in talk.sent_last(1)
    talk.append(served, dumped=dumped)

    talk.servers[0].behaviours[:] = [Reply('{"first": "again"}')]
    talk.messages.append({"role": "user", "content": "And tomorrow?"})
    again = await ask(talk.cascade, talk.messages)
    assert not again.failed_over
    assert "majordomo" not in talk.sent_last(0)
    if first in SIGNERS:
        assert signature(SPEAKERS[first][3]) in talk.sent_last(0)
    assert [as_data(message) for message in talk.messages[: len(before)]] == [
        as_data(message) for message in before
    ]


def as_data(message: Any) -> Any:
    return message.model_dump() if isinstance(message, BaseModel) else message


@pytest.mark.parametrize("second", SPEAKERS)
@pytest.mark.parametrize("call_id", ["toolu_01", "call_" + "x" * 60, "functions.weather:0"])
async def test_a_history_of_unknown_origin_works(start: Start, second: str, call_id: str) -> None:
    talk = start(second, "openai")
    function = {"name": "weather", "arguments": '{"city": "Rome"}'}
    signed = {"type": "thinking", "thinking": "Hm.", "signature": "bm8gb25lJ3M="}
    talk.messages += [
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [{"id": call_id, "type": "function", "function": function}],
            "reasoning_content": "Hm.",
            "thinking_blocks": [signed],
            "reasoning_items": [{"id": "rs_9", "type": "reasoning", "encrypted_content": "xxx"}],
            "annotations": [],
            "provider_specific_fields": {"citations": None},
        },
        {"role": "tool", "tool_call_id": call_id, "content": "sunny"},
    ]
    before = copy.deepcopy(talk.messages)
    talk.servers[0].behaviours[:] = [Reply("It is sunny.")]
    response = await plain(talk.cascade, talk.messages)
    assert response.content == "It is sunny."
    assert not response.failed_over
    assert talk.messages == before


@pytest.mark.parametrize("second", SPEAKERS)
async def test_a_turn_of_nothing_but_tool_calls_works(start: Start, second: str) -> None:
    talk = start(second, "openai")
    function = {"name": "weather", "arguments": '{"city": "Rome"}'}
    calls = [{"id": "call_1", "type": "function", "function": function}]
    result = {"role": "tool", "tool_call_id": "call_1", "content": "sunny"}
    talk.messages += [{"role": "assistant", "tool_calls": calls}, result]
    talk.servers[0].behaviours[:] = [Reply("It is sunny.")]
    assert (await plain(talk.cascade, talk.messages)).content == "It is sunny."


@pytest.mark.parametrize(
    "words",
    [
        "messages.1.content.0: Invalid `signature` in `thinking` block",
        "Unknown parameter: 'messages[1].reasoning_items'.",
        "'messages.1' : property 'reasoning_content' is unsupported",
    ],
)
@pytest.mark.parametrize("ask", [plain, streamed, as_json])
async def test_a_400_that_blames_a_private_part_is_answered_without_it(
    start: Start, ask: Ask, words: str
) -> None:
    talk = start("anthropic", "gemini")
    talk.append(await plain(talk.cascade, talk.messages), dumped=False)
    talk.servers[0].behaviours[:] = [Status(400, words), Reply("{}")]
    response = await ask(talk.cascade, talk.messages)
    assert not response.failed_over
    assert [(attempt.outcome, attempt.waited) for attempt in response.attempts] == [
        ("failed", 0),
        ("ok", 0),
    ]
    assert talk.cascade.health[0].failures == 0
    assert len(talk.servers[1].requests) == 0
    first, second = (json.dumps(request.json) for request in talk.servers[0].requests[-2:])
    assert signature("anthropic") in first
    assert signature("anthropic") not in second


async def test_it_is_asked_so_only_once(start: Start) -> None:
    talk = start("anthropic", "gemini")
    talk.append(await plain(talk.cascade, talk.messages), dumped=False)
    talk.servers[0].behaviours[:] = [Status(400, "Invalid `signature` in `thinking` block")]
    with pytest.raises(BadRequestError, match="signature"):
        await plain(talk.cascade, talk.messages)
    assert len(talk.servers[0].requests) == 3


async def test_a_400_without_private_parts_is_raised_at_once(start: Start) -> None:
    talk = start("openai", "gemini")
    talk.servers[0].behaviours[:] = [Status(400, "Unknown parameter: 'messages[0].mood'.")]
    with pytest.raises(BadRequestError):
        await plain(talk.cascade, talk.messages)
    assert len(talk.servers[0].requests) == 1


async def test_what_is_taken_away_is_logged_once_by_name(
    start: Start, caplog: pytest.LogCaptureFixture
) -> None:
    talk = start("anthropic", "openai")
    talk.append(await plain(talk.cascade, talk.messages), dumped=False)
    talk.servers[0].behaviours[:] = [Status(503)]
    with caplog.at_level(logging.DEBUG, "majordomo_cascade"):
        await plain(talk.cascade, talk.messages)
    told = [record for record in caplog.records if "without" in record.getMessage()]
    assert [record.levelno for record in told] == [logging.DEBUG]
    assert "thinking_blocks" in told[0].getMessage()
    assert THOUGHTS not in caplog.text


async def test_chunks_that_the_application_puts_together_are_known_by_their_ids(
    start: Start,
) -> None:
    talk = start("anthropic", "openai")
    chunks = await talk.cascade.acompletion(talk.messages, stream=True, tools=[TOOL])
    built: Any = litellm.stream_chunk_builder([chunk async for chunk in chunks])
    message = built.choices[0].message
    results = [
        {"role": "tool", "tool_call_id": call.id, "content": "sunny"} for call in message.tool_calls
    ]
    talk.messages += [message, *results]
    talk.servers[0].behaviours[:] = [Status(503)]
    assert (await plain(talk.cascade, talk.messages)).failed_over
    talk.servers[0].behaviours[:] = [Reply("again")]
    assert not (await plain(talk.cascade, talk.messages)).failed_over
    assert signature("anthropic") in talk.sent_last(0)


async def test_thinking_goes_on_where_the_model_need_not_begin_by_it(start: Start) -> None:
    talk = start("gemini", "anthropic")
    talk.append(await plain(talk.cascade, talk.messages), dumped=True)
    talk.servers[0].behaviours[:] = [Status(503)]
    await plain(talk.cascade, talk.messages)
    assert "thinking" not in json.loads(talk.sent_last(1))  # claude-sonnet-4-5 has a budget for it
    talk.messages[1:] = [{"role": "user", "content": "Thank you."}]
    await plain(talk.cascade, talk.messages)
    assert json.loads(talk.sent_last(1))["thinking"]["type"] == "enabled"


async def test_a_conversation_without_tools_and_thoughts_is_sent_as_it_is(start: Start) -> None:
    talk = start("openai", "gemini")
    talk.messages += [
        {"role": "assistant", "content": "Sunny."},
        {"role": "user", "content": "And tomorrow?"},
    ]
    talk.servers[0].behaviours[:] = [Reply("Sunny, too.")]
    await plain(talk.cascade, talk.messages)
    assert json.loads(talk.sent_last(0))["messages"] == talk.messages


async def test_a_simulation_can_be_strict() -> None:
    messages = [QUESTION, {"role": "assistant", "content": "x", "mood": "good"}, QUESTION]
    with simulate(LLMCascade(["openai/gpt-4.1"]), strict=True) as simulation:
        await simulation.cascade.get_response(messages=messages)
        body = simulation.providers[0].requests[-1].json
        assert "mood" not in body["messages"][1]
        base = f"{simulation.providers[0].url}/v1"
        with pytest.raises(
            litellm.BadRequestError, match=r"Unknown parameter: 'messages\[1\].mood'"
        ):
            await litellm.acompletion("openai/gpt-4.1", messages, api_base=base, api_key="k")


async def test_the_note_of_the_writer_is_sent_to_nobody(serve: Serve) -> None:
    server = serve(WRITES)
    cascade = LLMCascade([server.target("deepseek", "deepseek-reasoner")], retry=ONCE)
    response = await plain(cascade, [QUESTION])
    message = response.raw.choices[0].message
    results = [
        {"role": "tool", "tool_call_id": call.id, "content": "sunny"}
        for call in response.tool_calls
    ]
    await plain(cascade, [QUESTION, message, *results])
    assert "majordomo" in json.dumps(message.model_dump())
    sent = server.requests[-1].json["messages"][1]
    assert sent["reasoning_content"] == THOUGHTS
    assert "majordomo" not in json.dumps(sent)
