"""smolagents: an agent with a tool."""

from __future__ import annotations

import pytest
from conftest import House, blocks_under

from majordomo_cascade.testing import Reply, Status

WEATHER = Reply(None, tool_calls=[("get_weather", {"city": "Rome"})])

FINAL = Reply(None, tool_calls=[("final_answer", {"answer": "It is sunny."})])


def test_an_agent_calls_a_tool_and_answers(house: House) -> None:
    [agent] = blocks_under("smolagents")
    assert house.run(agent, WEATHER, FINAL).endswith("It is sunny.\n")
    asked, told = house.asked(2)
    assert "get_weather" in str(asked.json["tools"])
    assert "Sunny in Rome." in str(told.json)


def test_that_all_are_busy_is_told_at_once(house: House) -> None:
    house.down.behaviours[:] = [Status(429)]
    [agent] = blocks_under("smolagents")
    with pytest.raises(Exception, match="RateLimitError: all 2 targets failed"):
        house.run(agent, Status(429))
    house.asked(1)
