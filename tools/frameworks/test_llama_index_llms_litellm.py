"""LlamaIndex: a chat, plain and streamed."""

from __future__ import annotations

import pytest
from conftest import House, blocks_under

from majordomo_cascade.testing import Reply, Status


def test_a_model_answers_and_streams(house: House) -> None:
    [chat] = blocks_under("LlamaIndex")
    printed = house.run(chat, Reply("A majordomo."), Reply("A majordomo does."))
    assert printed == "assistant: A majordomo.\nA majordomo does."
    plain, streamed = house.asked(2)
    assert (plain.wants_stream, streamed.wants_stream) == (False, True)


def test_an_outage_of_all_is_told_at_once(house: House) -> None:
    [chat] = blocks_under("LlamaIndex")
    with pytest.raises(Exception, match="all 2 targets failed"):
        house.run(chat, Status(503))
    house.asked(1)
