"""Outages, rehearsed: one overloaded provider and one that limits its rate, a stream that is cut, a breaker at work.

Runs on an embedded loopback provider: real requests over a real socket, no keys, no network. Where a .env file (or the
environment) holds keys, the same question then goes to the real providers.
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
from majordomo_cascade.testing import BrokenStream, LoopbackProvider, Reply, Status

QUESTION = "What does a majordomo do?"

#: Which variable holds the key, and who is asked with it.
REAL = {
    "ANTHROPIC_API_KEY": "anthropic/claude-sonnet-4-5",
    "OPENAI_API_KEY": "openai/gpt-4.1",
    "GEMINI_API_KEY": "gemini/gemini-2.5-flash",
}


def print_trail(attempts: tuple[Attempt, ...]) -> None:
    print(f"  {'provider':<30} {'attempt':>7}  {'outcome':<32} {'seconds':>7} {'waited':>7} {'cost':>10}")
    for attempt in attempts:
        status = getattr(attempt.error, "status_code", None)
        outcome = f"{status or ''} {type(attempt.error).__name__}".strip() if attempt.error else attempt.outcome
        cost = "-" if attempt.cost is None else f"${attempt.cost:.6f}"
        name = f"{attempt.provider}/{attempt.model}"
        print(
            f"  {name:<30} {attempt.number:>7}  {outcome:<32} {attempt.seconds:>7.3f} {attempt.waited:>7.3f} {cost:>10}"
        )


async def ask(cascade: LLMCascade) -> None:
    response = await cascade.get_response(QUESTION)
    print_trail(response.attempts)
    print(f"\n  {response.provider}/{response.model} answered after {response.latency:.2f} s: {response.content}\n")


async def rehearsal() -> None:
    print("Rehearsed outage: anthropic is overloaded, openai limits its rate, gemini is well.\n")
    with (
        LoopbackProvider(Status(529, "Overloaded", "overloaded_error")) as anthropic,
        LoopbackProvider(Status(429, "Slow down", "rate_limit_exceeded", retry_after=0.2)) as openai,
        LoopbackProvider(Reply("Everything that you should not have to think about.")) as gemini,
    ):
        cascade = LLMCascade(
            [
                anthropic.target("anthropic", "claude-sonnet-4-5"),
                openai.target("openai", "gpt-4.1"),
                gemini.target("gemini", "gemini-2.5-flash"),
            ],
            retry=RetryPolicy(base=0.2),
        )
        await ask(cascade)

        print("And if nobody answers, the last error tells the whole story:\n")
        cascade = LLMCascade(cascade.targets[:2], retry=RetryPolicy(attempts=1))
        try:
            await cascade.get_response(QUESTION)
        except ProviderError as error:
            print(f"  {type(error).__name__}: {error}")
            for note in error.__notes__:
                print(f"    {note}")


async def cut_stream() -> None:
    print("\nA stream that is cut in the middle, and is still served whole:\n")
    with (
        LoopbackProvider(BrokenStream("cut", "A majordomo is the person who")) as anthropic,
        LoopbackProvider(Reply("A majordomo runs the house, whoever is out.")) as openai,
    ):
        cascade = LLMCascade([anthropic.target("anthropic", "claude-sonnet-4-5"), openai.target("openai", "gpt-4.1")])
        async with await cascade.get_response_stream(QUESTION) as stream:
            print(f"  {stream.provider}: ", end="")
            async for event in stream.events():
                match event:
                    case TextDelta(text):
                        print(text, end="")
                    case StreamRestarted(error, provider, _):
                        print(f" … {type(error).__name__}, begins again\n  {provider}: ", end="")
            print(f"\n  {stream.finish_reason}, ${stream.cost:.6f}")


async def breaker() -> None:
    print("\nA breaker that opens after three failed calls, and closes at the first probe that is answered:\n")
    with (
        LoopbackProvider(*[Status(503)] * 3, Reply("I am back.")) as anthropic,
        LoopbackProvider(Reply("Here to help.")) as openai,
    ):
        cascade = LLMCascade(
            [anthropic.target("anthropic", "claude-sonnet-4-5"), openai.target("openai", "gpt-4.1")],
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


async def real() -> None:
    providers: list[Target | str] = [target for variable, target in REAL.items() if os.environ.get(variable)]
    if providers:
        print(f"\nThe real providers, by the keys in your environment: {', '.join(map(str, providers))}.\n")
        try:
            await ask(LLMCascade(providers, deadline=60))
        except ProviderError as error:
            print_trail(error.attempts)
            print(f"\n  {type(error).__name__}: {error}")
    else:
        print("\nNo keys in .env or the environment, so the real providers were not asked (see .env.example).")


if __name__ == "__main__":
    from dotenv import load_dotenv

    load_dotenv(".env")
    os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "True")  # LiteLLM's price list as installed, no network
    logging.basicConfig(stream=sys.stdout, format="  [%(name)s %(levelname)s] %(message)s")
    asyncio.run(rehearsal())
    logging.getLogger("majordomo_cascade").setLevel(logging.ERROR)
    asyncio.run(cut_stream())
    asyncio.run(breaker())
    asyncio.run(real())
