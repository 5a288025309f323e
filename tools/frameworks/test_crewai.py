"""CrewAI: a bare LLM, and an agent with a tool."""

from __future__ import annotations

from conftest import House, blocks_under

from majordomo_cascade.testing import Reply

WEATHER = Reply(None, tool_calls=[("get_weather", {"city": "Rome"})])


def test_a_model_and_an_agent_answer(house: House) -> None:
    model, agent = blocks_under("CrewAI")
    assert house.run(model, Reply("A majordomo.")) == "A majordomo.\n"
    house.asked(1)

    assert house.run(agent, WEATHER, Reply("It is sunny.")).endswith("It is sunny.\n")
    asked, told = house.asked(2)
    assert "get_weather" in str(asked.json["tools"])
    assert "Sunny in Rome." in str(told.json)
