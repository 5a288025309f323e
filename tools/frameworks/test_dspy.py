"""DSPy: a prediction."""

from __future__ import annotations

import dspy
import pytest
from conftest import House, blocks_under

from majordomo_cascade.testing import Reply, Status


@pytest.fixture(autouse=True)
def no_cache() -> None:
    """Let DSPy ask each time; it keeps answers by the model's name, on disk."""
    dspy.configure_cache(enable_disk_cache=False, enable_memory_cache=False)


def test_a_prediction(house: House) -> None:
    [predict] = blocks_under("DSPy")
    answer = "[[ ## answer ## ]]\nA majordomo.\n\n[[ ## completed ## ]]"
    assert house.run(predict, Reply(answer)) == "A majordomo.\n"
    [asked] = house.asked(1)
    assert "Who runs the house?" in str(asked.json)


def test_an_outage_of_all_is_told_at_once(house: House) -> None:
    [predict] = blocks_under("DSPy")
    with pytest.raises(dspy.LMServerError, match="all 2 targets failed"):
        house.run(predict, Status(503))
    house.asked(1)
