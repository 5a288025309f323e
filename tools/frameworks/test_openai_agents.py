"""openai-agents: an agent with a function tool, plain and streamed."""

from __future__ import annotations

from conftest import House, blocks_under

from majordomo_cascade.testing import Reply

WEATHER = Reply(None, tool_calls=[("get_weather", {"city": "Rome"})])


def test_an_agent_calls_a_tool_and_answers_plain_and_streamed(house: House) -> None:
    plain, streamed = blocks_under("openai-agents")
    assert house.run(plain, WEATHER, Reply("It is sunny.")) == "It is sunny.\n"
    asked, told = house.asked(2)
    assert "get_weather" in str(asked.json["tools"])
    assert "Sunny in Rome." in str(told.json)

    assert house.run(streamed, WEATHER, Reply("It is still sunny.")) == "It is still sunny."
    asked, told = house.asked(2)
    assert asked.wants_stream
    assert "Sunny in Rome." in str(told.json)
