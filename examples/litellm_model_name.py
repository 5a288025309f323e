"""A program that knows only LiteLLM, and a cascade behind its model's name. Runs without keys."""

import asyncio
from typing import Any

import litellm

from majordomo_cascade import LLMCascade
from majordomo_cascade.testing import Reply, Status, simulate

MESSAGES = [{"role": "user", "content": "Who are you?"}]

litellm.suppress_debug_info = True  # LiteLLM would print two lines at every error


def ask_as_ever(model: str) -> None:
    """Stand for any program that takes the name of a LiteLLM model."""
    response: Any = litellm.completion(model=model, messages=MESSAGES)
    print("answered:", response.choices[0].message.content)
    print("streamed: ", end="")
    stream: Any = litellm.completion(model=model, messages=MESSAGES, stream=True)
    for chunk in stream:
        print(chunk.choices[0].delta.content or "", end="")
    print()


async def ask_when_all_are_down(model: str) -> None:
    try:
        await litellm.acompletion(model=model, messages=MESSAGES)
    except litellm.RateLimitError as error:
        print("failed with LiteLLM's own exception:", type(error).__name__, error.status_code)
        print("\n".join(error.__notes__))


if __name__ == "__main__":
    cascade = LLMCascade(["anthropic/claude-sonnet-5-5", "openai/gpt-5.5"])
    # Stand-ins for the providers. With keys, take them out: cascade.register("support").
    with simulate(cascade, Status(529), Reply("A majordomo.")) as simulation:
        simulation.cascade.register("support")
        print("can call tools:", litellm.supports_function_calling("cascade/support"))
        ask_as_ever("cascade/support")
    with simulate(cascade, Status(401), Status(429, retry_after=60)) as simulation:
        simulation.cascade.register("support")  # replaces the first one
        asyncio.run(ask_when_all_are_down("cascade/support"))
