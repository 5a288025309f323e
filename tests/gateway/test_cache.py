"""LiteLLM's own cache: a retry is asked past it, and it gives no bad answer twice."""

from __future__ import annotations

from typing import Any

import litellm
import pytest
from conftest import Serve, until

from majordomo_cascade import (
    InvalidResponseError,
    LLMCascade,
    ResponseParsingError,
    ResponseRejectedError,
    RetryPolicy,
)
from majordomo_cascade.testing import FakeProvider, Reply

NO_WAIT = RetryPolicy(base=0)
ONCE = RetryPolicy(attempts=1)
STREAMED = pytest.mark.parametrize("is_streamed", [False, True], ids=["whole", "stream"])


@pytest.fixture(autouse=True)
def cache(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Turn LiteLLM's cache on, in memory."""
    for name in ("input_callback", "success_callback", "_async_success_callback"):
        monkeypatch.setattr(litellm, name, list(getattr(litellm, name)))
    own: Any = litellm.Cache()
    monkeypatch.setattr(litellm, "cache", own)
    return own.cache.cache_dict


async def ask(cascade: LLMCascade, *, is_streamed: bool = False) -> str:
    """Return the answer, when LiteLLM had time to store it."""
    if is_streamed:
        stream = await cascade.get_response_stream("Hello")
        return (await stream.collect()).content
    return (await cascade.get_response("Hello")).content


async def stored(server: FakeProvider, number: int, cache: dict[str, Any], text: str) -> None:
    """Wait until an answer is in the cache; LiteLLM stores it behind our back."""
    await until(lambda: any(text in str(value) for value in cache.values()))
    assert len(server.requests) == number


@STREAMED
async def test_a_retry_is_asked_past_the_cache(
    serve: Serve, cache: dict[str, Any], *, is_streamed: bool
) -> None:
    server = serve(Reply(" "), Reply("good"), Reply("never asked for"))
    cascade = LLMCascade([server.target()], retry=NO_WAIT)
    assert await ask(cascade, is_streamed=is_streamed) == "good"
    await stored(server, 2, cache, "good")
    assert await ask(cascade, is_streamed=is_streamed) == "good"
    assert len(server.requests) == 2


async def test_a_bad_answer_is_not_served_again(serve: Serve, cache: dict[str, Any]) -> None:
    server = serve(Reply(" "), Reply("good"))
    cascade = LLMCascade([server.target()], retry=ONCE)
    with pytest.raises(InvalidResponseError):
        await ask(cascade)
    await until(lambda: cache)
    response = await cascade.get_response("Hello")
    assert (response.content, len(server.requests)) == ("good", 2)
    assert response.attempts[0].cost == 0.0
    assert response.attempts[1].waited == 0.0


async def test_an_answer_that_is_no_json_is_not_served_again(
    serve: Serve, cache: dict[str, Any]
) -> None:
    server = serve(Reply("no JSON"), Reply('["good"]'))
    cascade = LLMCascade([server.target()])
    with pytest.raises(ResponseParsingError):
        await cascade.get_structured_json_response(list[str], "Hello")
    await stored(server, 1, cache, "no JSON")
    response = await cascade.get_structured_json_response(list[str], "Hello")
    assert (response.content, len(server.requests)) == (["good"], 2)


async def test_a_validation_retry_is_asked_past_the_cache(
    serve: Serve, cache: dict[str, Any]
) -> None:
    server = serve(Reply("no JSON"), Reply("still none"), Reply("no JSON"), Reply('["good"]'))
    cascade = LLMCascade([server.target()], validation_retries=1)
    with pytest.raises(ResponseParsingError):
        await cascade.get_structured_json_response(list[str], "Hello")
    await stored(server, 2, cache, "still none")
    response = await cascade.get_structured_json_response(list[str], "Hello")
    assert (response.content, len(server.requests)) == (["good"], 4)


async def test_an_answer_that_was_refused_is_not_served_again(
    serve: Serve, cache: dict[str, Any]
) -> None:
    server = serve(Reply("bad"), Reply("good"))
    cascade = LLMCascade([server.target()], accept=lambda response: response.content != "bad")
    with pytest.raises(ResponseRejectedError):
        await ask(cascade)
    await stored(server, 1, cache, "bad")
    assert await ask(cascade) == "good"


async def test_the_callers_own_wish_for_the_cache_is_kept(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent: list[Any] = []
    real = litellm.acompletion

    async def spy(**kwargs: Any) -> Any:
        sent.append(kwargs.get("cache"))
        return await real(**kwargs)

    monkeypatch.setattr(litellm, "acompletion", spy)
    cascade = LLMCascade([serve(Reply(" "), Reply("good")).target()], retry=NO_WAIT)
    await cascade.get_response("Hello", cache={"ttl": 5})
    assert sent == [{"ttl": 5}, {"ttl": 5, "no-cache": True}]
    monkeypatch.setattr(litellm, "cache", None)
    sent.clear()
    await LLMCascade([serve(Reply(" "), Reply("good")).target()], retry=NO_WAIT).get_response("Hi")
    assert sent == [None, None]
