"""Google ADK: an agent with a function tool."""

from __future__ import annotations

from conftest import House, blocks_under

from majordomo_cascade.testing import Reply

WEATHER = Reply(None, tool_calls=[("get_weather", {"city": "Rome"})])


def test_an_agent_calls_a_tool_and_answers(house: House) -> None:
    [agent] = blocks_under("Google ADK")
    assert house.run(agent, WEATHER, Reply("It is sunny.")) == "It is sunny.\n"
    asked, told = house.asked(2)
    assert "get_weather" in str(asked.json["tools"])
    assert "Sunny in Rome." in str(told.json)
