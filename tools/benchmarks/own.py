"""The own time of each layer: the call below it is replaced by a prepared answer.

Over a socket, the milliseconds of the call would hide these microseconds.
"""

from __future__ import annotations

import copy
import random
import time
from collections.abc import Awaitable, Callable
from typing import Any

from pydantic import BaseModel

from .contenders import (
    KEY,
    MESSAGES,
    PRIMARY,
    SYSTEM,
    USER,
    LangChain,
    PydanticAI,
    Router,
    Terms,
    quiet,
    targets_of,
)
from .server import Server

#: A conversation, whose messages are checked in every call.
FIVE: list[dict[str, Any]] = [
    {"role": "system", "content": SYSTEM},
    {"role": "user", "content": "Hello, who are you?"},
    {"role": "assistant", "content": "I am a provider."},
    {"role": "user", "content": [{"type": "text", "text": "Are you well?"}]},
    {"role": "user", "content": USER},
]

#: Calls in a row in one way.
BLOCK = 100

Way = Callable[[], Awaitable[Any]]


class City(BaseModel):
    """A small model."""

    name: str
    people: int


JSON = '{"name": "Rome", "people": 2800000}'


class Prepared:
    """Stands in for ``litellm.acompletion`` and for the openai client's ``create``."""

    def __init__(self, answer: Any, completion: Any) -> None:
        self.inside = 0.0
        """Seconds of the last call that were spent in here."""
        self._answer, self._json_answer = answer, copy.deepcopy(answer)
        self._json_answer.choices[0].message.content = JSON
        self._completion = completion
        type(completion).parse = lambda itself: itself  # LangChain asks a raw answer for this

    async def acompletion(self, **sent: Any) -> Any:
        """Return LiteLLM's answer."""
        began = time.perf_counter()
        answer = self._json_answer if "response_format" in sent else self._answer
        self.inside = time.perf_counter() - began
        return answer

    async def create(self, *_: Any, **__: Any) -> Any:
        """Return the openai client's answer."""
        began = time.perf_counter()
        completion = self._completion
        self.inside = time.perf_counter() - began
        return completion


async def own_times(server: Server, calls: int) -> dict[str, list[float]]:
    """Return the µs outside the call below, one value a call, for each way to ask."""
    import litellm
    from openai import AsyncOpenAI
    from openai.resources.chat.completions import AsyncCompletions

    quiet()
    terms = Terms(server.base("own-primary"), server.base("own-backup"))
    answer: Any = await litellm.acompletion(
        model=f"openai/{PRIMARY}", messages=MESSAGES, api_key=KEY, api_base=terms.primary
    )
    client: Any = AsyncOpenAI(api_key=KEY, base_url=terms.primary)
    below = Prepared(answer, await client.chat.completions.create(model=PRIMARY, messages=MESSAGES))
    ways = _ways(terms)
    litellm.acompletion = below.acompletion
    AsyncCompletions.create = below.create  # type: ignore[method-assign]
    found: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(calls // BLOCK):
        for name in random.sample(list(ways), len(ways)):
            found[name] += await _block(ways[name], below)
    return found


async def _block(ask: Way, below: Prepared) -> list[float]:
    found = []
    for _ in range(BLOCK):
        began = time.perf_counter()
        await ask()
        found.append((time.perf_counter() - began - below.inside) * 1e6)
    return found


def _ways(terms: Terms) -> dict[str, Way]:
    """Return every way to ask that is measured; the cascade's with everything on."""
    from majordomo_cascade import LLMCascade

    seen: list[object] = [None]

    def on_attempt(attempt: object) -> None:
        seen[0] = attempt

    cascade = LLMCascade(targets_of(terms), on_attempt=on_attempt)
    router, pydantic_ai, langchain = Router(terms), PydanticAI(terms), LangChain(terms)
    return {
        "cascade": lambda: cascade.get_response(messages=FIVE),
        "cascade_prompt": lambda: cascade.get_response(USER),
        "cascade_acompletion": lambda: cascade.acompletion(FIVE),
        "cascade_json": lambda: cascade.get_json_response(messages=FIVE),
        "cascade_structured": lambda: cascade.get_structured_json_response(City, messages=FIVE),
        "router": lambda: router.router.acompletion(model="first", messages=FIVE),
        "pydantic_ai": pydantic_ai.ask,
        "langchain": langchain.ask,
    }
