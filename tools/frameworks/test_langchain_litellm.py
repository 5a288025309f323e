"""LangChain: invoke, astream, and bound tools."""

from __future__ import annotations

from conftest import House, blocks_under

from majordomo_cascade.testing import Reply

WEATHER = Reply(None, tool_calls=[("get_weather", {"city": "Rome"})])


def test_a_model_answers_streams_and_calls_a_tool(house: House) -> None:
    plain, streamed, with_tools = blocks_under("LangChain")
    assert house.run(plain, Reply("A majordomo.")) == "A majordomo.\n"
    house.asked(1)

    assert house.run(streamed, Reply("A majordomo does.")) == "A majordomo does."
    [asked] = house.asked(1)
    assert asked.wants_stream

    assert house.run(with_tools, WEATHER) == "get_weather {'city': 'Rome'}\n"
    [asked] = house.asked(1)
    assert "get_weather" in str(asked.json["tools"])
