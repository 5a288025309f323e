"""Other event loops than asyncio's."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import pytest
import trio

from majordomo_cascade import ConfigurationError, LLMCascade

CASCADE = LLMCascade(["openai/gpt-4.1"], mock_response="x")


@pytest.mark.parametrize(
    "ask",
    [
        lambda: CASCADE.get_response("Hello"),
        lambda: CASCADE.get_json_response("Hello"),
        lambda: CASCADE.get_structured_json_response(list[str], "Hello"),
        lambda: CASCADE.get_response_stream("Hello"),
        lambda: CASCADE.acompletion([{"role": "user", "content": "Hello"}]),
    ],
)
def test_trio_is_told_at_once_that_asyncio_is_needed(ask: Callable[[], Any]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(ConfigurationError, match="needs asyncio"):
            trio.run(ask)
