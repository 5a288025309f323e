"""mem0: its LiteLLM class, plain and with tools."""

from __future__ import annotations

from conftest import House, blocks_under

from majordomo_cascade.testing import Reply

WEATHER = Reply(None, tool_calls=[("get_weather", {"city": "Rome"})])
TOOL = {
    "type": "function",
    "function": {"name": "get_weather", "parameters": {"type": "object", "properties": {}}},
}


def test_a_model_answers_and_calls_a_tool(house: House) -> None:
    [plain] = blocks_under("mem0")
    assert house.run(plain, Reply("A majordomo.")) == "A majordomo.\n"
    house.asked(1)

    house.up.behaviours[:] = [WEATHER]
    messages = [{"role": "user", "content": "How is the weather in Rome?"}]
    answer = house.names["llm"].generate_response(messages, tools=[TOOL])
    assert answer["tool_calls"] == [{"name": "get_weather", "arguments": {"city": "Rome"}}]
    [asked] = house.asked(1)
    assert "get_weather" in str(asked.json["tools"])
