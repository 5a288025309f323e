"""instructor: objects by the model's name, by a cascade's method, and in parts."""

from __future__ import annotations

from conftest import House, blocks_under

from majordomo_cascade.testing import Reply

CITY = {"name": "Rome", "people": 2_800_000}
ROME = Reply(None, tool_calls=[("City", CITY)])


def test_objects_come_whole_and_in_parts(house: House) -> None:
    by_name, by_method = blocks_under("instructor")
    assert house.run(by_name, ROME) == "name='Rome' people=2800000\n"
    [asked] = house.asked(1)
    assert "City" in str(asked.json["tools"])

    printed = house.run(by_method, ROME, ROME)
    whole, *parts = printed.splitlines()
    assert whole == parts[-1] == "name='Rome' people=2800000"
    _, streamed = house.asked(2)
    assert streamed.wants_stream
