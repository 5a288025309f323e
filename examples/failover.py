"""Show four outages, and how a cascade gets an answer all the same.

Runs on fake providers on loopback ports: real requests over a real socket, no keys, no network. If
a .env file (or the environment) holds keys, the same question then goes to the real providers.
"""

import asyncio
import logging
import os
import sys

from majordomo_cascade import (
    Attempt,
    CircuitBreaker,
    LLMCascade,
    ProviderError,
    RetryPolicy,
    StreamRestarted,
    Target,
    TextDelta,
)
from majordomo_cascade.testing import BrokenStream, FakeProvider, Reply, Status

QUESTION = "What does a majordomo do?"

#: The environment variables of the keys, and the targets that need them.
REAL = {
    "ANTHROPIC_API_KEY": "anthropic/claude-sonnet-5-5",
    "GEMINI_API_KEY": "gemini/gemini-3.8-flash",
    "OPENAI_API_KEY": "openai/gpt-5.4-mini",
}


def print_trail(attempts: tuple[Attempt, ...]) -> None:
    print(
        f"  {'provider':<28} {'attempt':>7}  {'outcome':<28} "
        f"{'seconds':>7} {'waited':>7} {'cost':>10}"
    )
    for attempt in attempts:
        name = f"{attempt.provider}/{attempt.model}"
        outcome: str = attempt.outcome
        if attempt.error:
            status = getattr(attempt.error, "status_code", None) or ""
            outcome = f"{status} {type(attempt.error).__name__}".strip()
        cost = "-" if attempt.cost is None else f"${attempt.cost:.6f}"
        print(
            f"  {name:<28} {attempt.number:>7}  {outcome:<28} "
            f"{attempt.seconds:>7.3f} {attempt.waited:>7.3f} {cost:>10}"
        )


async def ask(cascade: LLMCascade) -> None:
    response = await cascade.get_response(QUESTION)
    print_trail(response.attempts)
    print(f"\n  {response.provider}/{response.model} answered", end=" ")
    print(f"after {response.latency:.2f} s: {response.content}\n")


async def two_providers_are_down() -> None:
    print("1. Anthropic is overloaded and Gemini limits the rate. OpenAI answers.\n")
    with (
        FakeProvider(Status(529, "Overloaded", "overloaded_error")) as anthropic,
        FakeProvider(Status(429, "Slow down", "RESOURCE_EXHAUSTED", retry_after=0.2)) as gemini,
        FakeProvider(Reply("Everything that you should not have to think about.")) as openai,
    ):
        cascade = LLMCascade(
            [
                anthropic.target("anthropic", "claude-sonnet-5-5"),
                gemini.target("gemini", "gemini-3.8-flash"),
                openai.target("openai", "gpt-5.4-mini"),
            ],
            retry=RetryPolicy(base=0.2),
        )
        await ask(cascade)

        print("2. Nobody answers. The last error tells what was tried.\n")
        cascade = LLMCascade(cascade.targets[:2], retry=RetryPolicy(attempts=1))
        try:
            await cascade.get_response(QUESTION)
        except ProviderError as error:
            print(f"\n  {type(error).__name__}: {error}")
            for note in error.__notes__:
                print(f"    {note}")


async def a_stream_is_cut() -> None:
    print("\n3. A stream is cut in the middle. The next provider begins the answer again.\n")
    with (
        FakeProvider(BrokenStream("cut", "A majordomo is the person who")) as anthropic,
        FakeProvider(Reply("A majordomo runs the house, even if the butler is out.")) as openai,
    ):
        cascade = LLMCascade(
            [
                anthropic.target("anthropic", "claude-sonnet-5-5"),
                openai.target("openai", "gpt-5.4-mini"),
            ]
        )
        async with await cascade.get_response_stream(QUESTION) as stream:
            print(f"  {stream.provider}: ", end="")
            async for event in stream.events():
                match event:
                    case TextDelta(text):
                        print(text, end="")
                    case StreamRestarted(error, provider, _):
                        print(f" … {type(error).__name__}, begins again\n  {provider}: ", end="")
            print(f"\n  {stream.finish_reason}, ${stream.cost:.6f}")


async def an_outage_lasts() -> None:
    print("\n4. An outage lasts. After three failed calls Anthropic is asked last, so calls are")
    print("   quick again. After a cooldown one call asks it first, and finds that it is back.\n")
    with (
        FakeProvider(*[Status(503)] * 3, Reply("I am back.")) as anthropic,
        FakeProvider(Reply("Here to help.")) as openai,
    ):
        cascade = LLMCascade(
            [
                anthropic.target("anthropic", "claude-sonnet-5-5"),
                openai.target("openai", "gpt-5.4-mini"),
            ],
            retry=RetryPolicy(attempts=1),
            breaker=CircuitBreaker(cooldown=0.5),
        )
        for call in range(1, 7):
            if call == 6:
                await asyncio.sleep(0.5)
            response = await cascade.get_response(QUESTION)
            asked = " then ".join(attempt.provider for attempt in response.attempts)
            state = cascade.health[0].state
            print(f"  call {call}: asked {asked:<21} {response.content:<14} anthropic is {state}")


async def ask_the_real_providers() -> None:
    providers: list[Target | str] = [REAL[name] for name in REAL if os.environ.get(name)]
    if not providers:
        print("\nNo keys in .env or the environment, so the real providers were not asked.")
        print("Copy .env.example to .env, fill in the keys that you have, and run this again.")
        return
    names = ", ".join(map(str, providers))
    print(f"\nThe real providers, by the keys in your environment: {names}.\n")
    try:
        await ask(LLMCascade(providers, deadline=60))
    except ProviderError as error:
        print_trail(error.attempts)
        print(f"\n  {type(error).__name__}: {error}")


if __name__ == "__main__":
    from dotenv import load_dotenv

    load_dotenv(".env")
    # LiteLLM takes the price list that it was installed with, without asking the network.
    os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "True")
    logging.basicConfig(stream=sys.stdout, format="  [%(levelname)s] %(message)s")
    asyncio.run(two_providers_are_down())
    logging.getLogger("majordomo_cascade").setLevel(logging.ERROR)
    asyncio.run(a_stream_is_cut())
    asyncio.run(an_outage_lasts())
    asyncio.run(ask_the_real_providers())
