"""A small program that uses LiteLLM, and the same program with a cascade: one line changes. Runs without keys."""

import asyncio
from typing import Any

import litellm

from majordomo_cascade import LLMCascade

MESSAGES = [{"role": "user", "content": "Name a colour."}]

# A mock, so that this runs anywhere. LiteLLM's parameters pass through: take it out, and real providers answer.
MOCK: dict[str, Any] = {"mock_response": "Blue."}

cascade = LLMCascade([("anthropic", "claude-sonnet-4-5"), ("openai", "gpt-4.1")])


async def before() -> str:
    response: Any = await litellm.acompletion(model="openai/gpt-4.1", messages=MESSAGES, temperature=0, **MOCK)
    return str(response.choices[0].message.content)


async def after() -> str:
    response = await cascade.acompletion(messages=MESSAGES, temperature=0, **MOCK)
    return str(response.choices[0].message.content)


if __name__ == "__main__":
    print("before:", asyncio.run(before()))
    print("after: ", asyncio.run(after()))
