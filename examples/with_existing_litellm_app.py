"""A small program that uses LiteLLM, before and after: one line changes. Runs without keys."""

import asyncio
from typing import Any

import litellm

from majordomo_cascade import LLMCascade

MESSAGES = [{"role": "user", "content": "Name a colour."}]

# LiteLLM's mock, so that this runs anywhere. Take it out, and the real providers answer.
MOCK: dict[str, Any] = {"mock_response": "Blue."}

cascade = LLMCascade([("openai", "gpt-5.4-mini"), ("anthropic", "claude-sonnet-5-5")])


async def before() -> str:
    response: Any = await litellm.acompletion(
        model="openai/gpt-5.4-mini", messages=MESSAGES, max_tokens=50, **MOCK
    )
    return str(response.choices[0].message.content)


async def after() -> str:
    response = await cascade.acompletion(messages=MESSAGES, max_tokens=50, **MOCK)
    return str(response.choices[0].message.content)


if __name__ == "__main__":
    print("before:", asyncio.run(before()))
    print("after: ", asyncio.run(after()))
