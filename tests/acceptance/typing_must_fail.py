"""Lines that mypy and pyright must both refuse. Nothing here ever runs.

Each line names the errors by which they refuse it. If one of them lets a line pass, that is an
error as well (an unused ``type: ignore`` to mypy, an unnecessary ``pyright: ignore`` to pyright),
and fails ``make lint``.
"""

# pyright: reportUnnecessaryTypeIgnoreComment=true

from __future__ import annotations

from pydantic import BaseModel

from majordomo_cascade import (
    Attempt,
    BatchItem,
    CircuitBreaker,
    LLMCascade,
    LLMResponse,
    LLMStreamResponse,
    ProviderError,
    ResponseError,
    ResponseParsingError,
    RetryPolicy,
    StreamRestarted,
    Target,
    TextDelta,
    Usage,
)
from majordomo_cascade.testing import (
    BrokenStream,
    FakeProvider,
    ManualClock,
    Reply,
    Status,
    simulate,
)


class City(BaseModel):
    name: str


def takes_nothing() -> None: ...


def takes_a_number(number: int) -> bool:
    return number > 0


class Mine(LLMCascade): ...  # type: ignore[misc]  # pyright: ignore[reportGeneralTypeIssues]


def wrong_arguments_of_a_cascade() -> None:
    LLMCascade()  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    LLMCascade([5])  # type: ignore[list-item]  # pyright: ignore[reportArgumentType]
    LLMCascade([("openai", "gpt-4.1", "key")])  # type: ignore[list-item]  # pyright: ignore[reportArgumentType]
    LLMCascade(["openai/gpt-4.1"], RetryPolicy())  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    LLMCascade(["openai/gpt-4.1"], retry=3)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    LLMCascade(["openai/gpt-4.1"], breaker=False)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    LLMCascade(["openai/gpt-4.1"], timeout="10")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    LLMCascade(["openai/gpt-4.1"], deadline="10")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    LLMCascade(["openai/gpt-4.1"], hedge_after="2")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    LLMCascade(["openai/gpt-4.1"], stall_timeout="2")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    LLMCascade(["openai/gpt-4.1"], first_token_timeout="2")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    LLMCascade(["openai/gpt-4.1"], validation_retries=1.5)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    LLMCascade(["openai/gpt-4.1"], failover_on="ProviderError")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    LLMCascade(["openai/gpt-4.1"], failover_on=(ProviderError, int))  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    LLMCascade(["openai/gpt-4.1"], failover_on=takes_a_number)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    LLMCascade(["openai/gpt-4.1"], on_attempt=takes_nothing)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    LLMCascade(["openai/gpt-4.1"], on_attempt=takes_a_number)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    LLMCascade(["openai/gpt-4.1"], accept=takes_nothing)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    LLMCascade(["openai/gpt-4.1"], accept=takes_a_number)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    LLMCascade.from_env(5)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


def wrong_arguments_of_its_parts() -> None:
    Target("openai")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    Target("openai", "gpt-4.1", "a-key")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    Target("openai", "gpt-4.1", timeout="10")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    Target("openai", "gpt-4.1", api_kye="a-key")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    Target("openai", "gpt-4.1", params=["seed"])  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    Target("openai", "gpt-4.1", overrides=["seed"])  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    Target("openai", "gpt-4.1", structured_output="xml")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    RetryPolicy(attempts="3")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    RetryPolicy(retries=3)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    CircuitBreaker(failure=3)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    CircuitBreaker(cooldown="10")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    ProviderError("down", status_code="503")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    ProviderError("down", 503)  # type: ignore[arg-type, call-arg]  # pyright: ignore[reportCallIssue]


async def wrong_ways_to_ask(cascade: LLMCascade) -> None:
    await cascade.get_response(5)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    await cascade.get_response("Hello", "Be brief.", "Be kind.")  # type: ignore[arg-type, call-arg]  # pyright: ignore[reportCallIssue]
    await cascade.get_response("Hello", temperature="hot")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    await cascade.get_response("Hello", max_tokens="9")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    await cascade.get_response("Hello", timeout="9")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    await cascade.get_response(messages="Hello")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    await cascade.get_json_response(5)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    await cascade.get_structured_json_response("Hello")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    await cascade.get_structured_json_response(City, 5)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    await cascade.get_structured_json_response(City, "Hello", validation_retries="1")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    await cascade.get_response_stream("Hello", deadline="9")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    await cascade.acompletion("Hello")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    await cascade.acompletion()  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    cascade.targets = ()  # type: ignore[misc]  # pyright: ignore[reportAttributeAccessIssue]
    cascade.health[0].state = "open"  # type: ignore[misc]  # pyright: ignore[reportAttributeAccessIssue]


def wrong_uses_of_the_blocking_side(cascade: LLMCascade) -> None:
    cascade.sync.get_response(5)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    cascade.sync.get_response("Hello", temperature="hot")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    cascade.sync.get_response(messages="Hello")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    cascade.sync.get_json_response("Hello", timeout="9")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    cascade.sync.get_structured_json_response("Hello")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    cascade.sync.get_structured_json_response(City, 5)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    cascade.sync.get_response_stream("Hello", deadline="9")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    cascade.sync.completion("Hello")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    cascade.sync.get_response("Hello", "Be brief.", "Be kind.")  # type: ignore[arg-type, call-arg]  # pyright: ignore[reportCallIssue]
    cascade.sync.completion()  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    cascade.sync.get_structured_json_response(City, "Hello").content.nam  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue]
    cascade.sync.get_response_stream("Hello").text  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue]
    cascade.sync = cascade.sync  # type: ignore[misc]  # pyright: ignore[reportAttributeAccessIssue]


async def wrong_uses_of_batches(cascade: LLMCascade, item: BatchItem[City]) -> None:
    cascade.batch(5)  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType]
    cascade.batch([5])  # type: ignore[list-item]  # pyright: ignore[reportArgumentType]
    cascade.batch(["Hello"], concurrency="20")  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType]
    cascade.batch(["Hello"], response_model=5)  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue, reportArgumentType]
    cascade.batch(["Hello"], City)  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue]
    for city in cascade.batch(["Hello"], response_model=City):  # type: ignore[attr-defined]  # pyright: ignore[reportGeneralTypeIssues]
        del city
    async for text in cascade.batch(["Hello"]):
        item = text  # type: ignore[assignment]  # pyright: ignore[reportAssignmentType]
    item.response.content  # type: ignore[union-attr]  # pyright: ignore[reportOptionalMemberAccess]
    item.index = 5  # type: ignore[misc]  # pyright: ignore[reportAttributeAccessIssue]


async def wrong_uses_of_responses(
    cascade: LLMCascade, response: LLMResponse, stream: LLMStreamResponse
) -> None:
    number: int = response.content  # type: ignore[assignment]  # pyright: ignore[reportAssignmentType]
    price: float = response.cost  # type: ignore[assignment]  # pyright: ignore[reportAssignmentType]
    response.content = "another"  # type: ignore[misc]  # pyright: ignore[reportAttributeAccessIssue]
    response.attempts[0].outcome = "ok"  # type: ignore[misc]  # pyright: ignore[reportAttributeAccessIssue]
    response.attempts[0].outcom  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue]
    (await cascade.get_structured_json_response(City, "Hello")).content.nam  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue]
    (await cascade.get_structured_json_response(list[City], "Hello")).content.name  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue]
    (await cascade.get_json_response("Hello")).content.name  # type: ignore[union-attr]  # pyright: ignore[reportAttributeAccessIssue]
    (await cascade.get_response("Hello")).total_costs  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue]
    for text in stream:  # type: ignore[attr-defined]  # pyright: ignore[reportGeneralTypeIssues]
        del text
    async for event in stream.events():
        event.text  # type: ignore[union-attr]  # pyright: ignore[reportAttributeAccessIssue]
    with stream:  # type: ignore[attr-defined]  # pyright: ignore[reportGeneralTypeIssues]
        pass
    Usage(tokens=5)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    Attempt("openai", "gpt-4.1", 1, "done", None, 0.0, 0.0, 0.0, None, None)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    TextDelta()  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    StreamRestarted("down", "openai", "gpt-4.1")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    del number, price


def wrong_uses_of_errors(
    error: ProviderError, response_error: ResponseError, parsing: ResponseParsingError
) -> None:
    error.raw_content  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue]
    wait: float = error.retry_after  # type: ignore[assignment]  # pyright: ignore[reportAssignmentType]
    error.partial_content  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue]
    response_error.raw_content  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue]
    parsing.errors  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue]
    del wait


def wrong_arguments_for_testing(cascade: LLMCascade, clock: ManualClock) -> None:
    Reply(finish_reason="done")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    Status("503")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    BrokenStream("flood")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    FakeProvider(503)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    FakeProvider().target("openai", 5)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    simulate("openai/gpt-4.1")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    simulate(cascade, 503)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    clock.advance("10")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
