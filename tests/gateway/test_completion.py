"""What comes back: text, JSON, values of a type, who answered, and what it cost."""

from __future__ import annotations

import contextlib
import dataclasses
from typing import Annotated, Any, Literal

import litellm
import pytest
from conftest import ALL_WIRES, WIRES, Serve
from pydantic import AfterValidator, BaseModel, Field, RootModel
from typing_extensions import TypedDict

from majordomo_cascade import (
    BadRequestError,
    LLMCascade,
    LLMJSONResponse,
    LLMResponse,
    LLMStructuredResponse,
    ResponseParsingError,
    ResponseTruncatedError,
    ResponseValidationError,
    RetryPolicy,
    Target,
    Usage,
)
from majordomo_cascade.testing import Garbage, Reply, Status, simulate

EVERY_WIRE = pytest.mark.parametrize(("provider", "model"), ALL_WIRES)


class City(BaseModel):
    name: str
    people: int


class Tree(BaseModel):
    name: str
    branches: list[Tree] = []


@dataclasses.dataclass
class River:
    length: float


class Hill(TypedDict):
    height: int


@EVERY_WIRE
async def test_a_response_tells_who_served_what_it_used_and_what_it_cost(
    serve: Serve, provider: str, model: str
) -> None:
    cascade = LLMCascade(
        [serve(Reply("Hi", input_tokens=1000, output_tokens=200)).target(provider, model)]
    )
    response = await cascade.get_response("Hello")
    assert type(response) is LLMResponse
    assert (response.content, response.provider, response.model) == ("Hi", provider, model)
    assert response.usage == Usage(input_tokens=1000, output_tokens=200, total_tokens=1200)
    prices = litellm.model_cost[model.removeprefix("responses/")]
    expected = 1000 * prices["input_cost_per_token"] + 200 * prices["output_cost_per_token"]
    assert response.cost == response.total_cost == pytest.approx(expected)
    assert response.finish_reason == "stop"
    assert response.latency > 0
    assert response.failed_over is False
    assert isinstance(response.raw, litellm.ModelResponse)
    (attempt,) = response.attempts
    assert (attempt.outcome, attempt.error, attempt.usage, attempt.cost) == (
        "ok",
        None,
        response.usage,
        response.cost,
    )


@pytest.mark.parametrize(
    ("provider", "model"),
    [
        ("openai", "a-model-of-tomorrow"),
        ("anthropic", "claude-of-tomorrow"),
        ("hosted_vllm", "my-model"),
    ],
)
async def test_an_unknown_price_is_none_never_zero(serve: Serve, provider: str, model: str) -> None:
    response = await LLMCascade([serve().target(provider, model)]).get_response("Hello")
    assert (response.cost, response.total_cost) == (None, None)
    assert response.usage.total_tokens == 15


async def test_an_answer_whose_tokens_were_not_counted_has_no_price(serve: Serve) -> None:
    body = {
        "choices": [
            {"index": 0, "message": {"role": "assistant", "content": "Hi"}, "finish_reason": "stop"}
        ]
    }
    response = await LLMCascade([serve(Garbage(body)).target()]).get_response("Hello")
    assert (response.content, response.cost, response.usage) == ("Hi", None, Usage())


async def test_a_price_of_zero_is_zero(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    price = {
        "input_cost_per_token": 0.0,
        "output_cost_per_token": 0.0,
        "litellm_provider": "openai",
        "mode": "chat",
    }
    monkeypatch.setitem(litellm.model_cost, "free-model", price)
    response = await LLMCascade([serve().target("openai", "free-model")]).get_response("Hello")
    assert (response.cost, response.total_cost) == (0.0, 0.0)


async def test_a_price_given_with_the_target_counts(serve: Serve) -> None:
    params = {"input_cost_per_token": 0.5, "output_cost_per_token": 2.0}
    target = serve(Reply(input_tokens=2, output_tokens=3)).target(
        "openai", "house-model", params=params
    )
    assert (await LLMCascade([target]).get_response("Hello")).cost == 7.0


async def test_a_patched_answer_is_priced_too(monkeypatch: pytest.MonkeyPatch) -> None:
    async def patched(**_: Any) -> Any:
        usage = litellm.Usage(prompt_tokens=1000, completion_tokens=0, total_tokens=1000)
        return litellm.ModelResponse(
            choices=[{"message": {"role": "assistant", "content": "x"}}], usage=usage
        )

    monkeypatch.setattr(litellm, "acompletion", patched)
    response = await LLMCascade(["openai/gpt-4.1"]).get_response("Hello")
    assert response.cost == pytest.approx(
        1000 * litellm.model_cost["gpt-4.1"]["input_cost_per_token"]
    )
    assert (await LLMCascade(["openai/of-tomorrow"]).get_response("Hello")).cost is None


async def test_an_answer_from_litellms_cache_costs_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    async def patched(**_: Any) -> Any:
        answer = litellm.ModelResponse(choices=[{"message": {"role": "assistant", "content": "x"}}])
        answer._hidden_params = {"cache_hit": True, "response_cost": 0.5}
        return answer

    monkeypatch.setattr(litellm, "acompletion", patched)
    response = await LLMCascade(["openai/gpt-4.1"]).get_response("Hello")
    assert (response.cost, response.total_cost) == (0.0, 0.0)


async def test_cached_and_reasoning_tokens(serve: Serve) -> None:
    body = {
        "model": "gpt-4.1",
        "choices": [
            {"index": 0, "message": {"role": "assistant", "content": "Hi"}, "finish_reason": "stop"}
        ],
        "usage": {
            "prompt_tokens": 9,
            "completion_tokens": 8,
            "total_tokens": 17,
            "prompt_tokens_details": {"cached_tokens": 7},
            "completion_tokens_details": {"reasoning_tokens": 6},
        },
    }
    response = await LLMCascade([serve(Garbage(body)).target()]).get_response("Hello")
    assert response.usage == Usage(9, 8, 17, cached_tokens=7, reasoning_tokens=6)


async def test_answers_that_were_paid_for_count_in_the_total_and_failures_do_not() -> None:
    cascade = LLMCascade([*WIRES, Target("openai", "gpt-4o")], failover_on=Exception)
    with simulate(
        cascade, Reply("not JSON"), Status(500), Garbage({"choices": []}), Reply("{}")
    ) as simulation:
        response = await simulation.cascade.get_json_response("Hello")
    assert [attempt.cost is not None for attempt in response.attempts] == [True, *[False] * 6, True]
    assert [attempt.outcome for attempt in response.attempts] == ["rejected", *["failed"] * 6, "ok"]
    first, last = response.attempts[0].cost, response.attempts[-1].cost
    assert first is not None
    assert last is not None
    assert response.cost == last
    assert response.total_cost == pytest.approx(first + last)


async def test_an_answer_that_counted_no_tokens_was_not_paid_for() -> None:
    with simulate(LLMCascade(WIRES), [Garbage({"choices": []}), Reply("here")]) as simulation:
        response = await simulation.cascade.get_response("Hello")
    assert response.attempts[0].usage == Usage()
    assert response.cost is not None
    assert response.total_cost == response.cost


async def test_a_rejected_answer_without_a_price_leaves_the_total_unknown() -> None:
    cascade = LLMCascade(
        [Target("openai", "of-tomorrow"), Target("openai", "gpt-4o")], failover_on=Exception
    )
    with simulate(cascade, Reply("not JSON"), Reply("{}")) as simulation:
        response = await simulation.cascade.get_json_response("Hello")
    assert response.cost is not None
    assert response.total_cost is None


async def test_a_text_that_max_tokens_cut_is_an_answer(serve: Serve) -> None:
    response = await LLMCascade([serve(Reply("Once upon a", "length")).target()]).get_response(
        "Tell me", max_tokens=3
    )
    assert (response.content, response.finish_reason) == ("Once upon a", "length")


@EVERY_WIRE
async def test_an_answer_that_is_cut_before_any_text_is_truncated(
    serve: Serve, provider: str, model: str
) -> None:
    server = serve(Reply(None, "length"))
    with pytest.raises(
        ResponseTruncatedError, match="the answer was cut before any text came"
    ) as caught:
        await LLMCascade([server.target(provider, model)]).get_response("Think")
    assert (caught.value.provider, caught.value.model, caught.value.partial_content) == (
        provider,
        model,
        "",
    )
    assert len(server.requests) == 1


@EVERY_WIRE
async def test_json_that_is_cut_is_truncated_and_no_parsing_error(
    serve: Serve, provider: str, model: str
) -> None:
    cascade = LLMCascade([serve(Reply('[{"name": "Ro', "length")).target(provider, model)])
    with pytest.raises(
        ResponseTruncatedError, match="the answer was cut after 13 characters"
    ) as caught:
        await cascade.get_json_response("Cities?")
    assert caught.value.partial_content == '[{"name": "Ro'
    with pytest.raises(ResponseTruncatedError):
        await cascade.get_structured_json_response(City, "Cities?")


async def test_an_answer_by_tool_call_is_not_empty(serve: Serve) -> None:
    call = {"id": "1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    message = {"role": "assistant", "content": None, "tool_calls": [call]}
    body = {
        "choices": [{"index": 0, "message": message, "finish_reason": "tool_calls"}],
        "model": "gpt-4.1",
    }
    response = await LLMCascade([serve(Garbage(body)).target()]).get_response("Use a tool")
    assert (response.content, response.finish_reason) == ("", "tool_calls")
    assert response.raw.choices[0].message.tool_calls[0].function.name == "f"


@EVERY_WIRE
async def test_json_answers(serve: Serve, provider: str, model: str) -> None:
    server = serve(Reply('Sure!\n```json\n{"a": [1, 2]}\n```'))
    response = await LLMCascade([server.target(provider, model)]).get_json_response(
        "Give me JSON", "Be brief."
    )
    assert type(response) is LLMJSONResponse
    assert response.content == {"a": [1, 2]}
    assert "Answer with JSON only" in str(server.requests[0].json)


@pytest.mark.parametrize("text", ["42", '"text"', "null", "true"])
async def test_a_json_answer_is_an_object_or_an_array(serve: Serve, text: str) -> None:
    with pytest.raises(
        ResponseParsingError, match="holds no complete JSON object or array"
    ) as caught:
        await LLMCascade([serve(Reply(text)).target()]).get_json_response("Hello")
    assert (caught.value.raw_content, caught.value.provider, caught.value.model) == (
        text,
        "openai",
        "gpt-4.1",
    )


async def test_json_is_asked_for_in_words_and_by_json_mode_if_litellm_offers_it(
    serve: Serve,
) -> None:
    openai, cohere_like = serve(Reply("{}")), serve(Reply("{}"))
    await LLMCascade([openai.target()]).get_json_response("Hello")
    assert openai.requests[0].json["response_format"] == {"type": "json_object"}
    await LLMCascade([cohere_like.target("perplexity", "sonar", params={})]).get_json_response(
        "Hello"
    )
    for server in (openai, cohere_like):
        assert server.requests[0].json["messages"][0]["content"].startswith("Answer with JSON only")


async def test_a_callers_own_response_format_wins(serve: Serve) -> None:
    server = serve(Reply("{}"))
    mine = {"type": "json_schema", "json_schema": {"name": "x", "schema": {"type": "object"}}}
    await LLMCascade([server.target()]).get_json_response("Hello", response_format=mine)
    assert server.requests[0].json["response_format"] == mine


@EVERY_WIRE
async def test_structured_answers(serve: Serve, provider: str, model: str) -> None:
    server = serve(Reply('{"name": "Rome", "people": 2800000}'))
    response = await LLMCascade([server.target(provider, model)]).get_structured_json_response(
        City, "Rome?"
    )
    assert type(response) is LLMStructuredResponse
    assert response.content == City(name="Rome", people=2_800_000)


async def test_the_schema_is_sent_if_litellm_offers_it(serve: Serve) -> None:
    server = serve(Reply('{"name": "Rome", "people": 1}'))
    await LLMCascade([server.target()]).get_structured_json_response(City, "Rome?")
    sent = server.requests[0].json
    assert sent["response_format"]["type"] == "json_schema"
    assert sent["response_format"]["json_schema"]["name"] == "City"
    assert sent["response_format"]["json_schema"]["schema"]["required"] == ["name", "people"]
    assert sent["messages"] == [{"role": "user", "content": "Rome?"}]


class Report(BaseModel):
    scores: dict[str, int]
    city: City


@pytest.mark.parametrize("model", ["claude-sonnet-4-5", "claude-opus-4-1"])
@pytest.mark.parametrize(
    "response_model", [dict[str, int], Tree, list[Tree], tuple[int, str], Report]
)
async def test_a_schema_that_litellm_would_change_for_claude_goes_into_the_prompt(
    serve: Serve, model: str, response_model: Any
) -> None:
    server = serve(Reply("{}"))
    with contextlib.suppress(ResponseParsingError):
        await LLMCascade([server.target("anthropic", model)]).get_structured_json_response(
            response_model, "Hello"
        )
    sent = server.requests[0].json
    assert not sent.keys() & {"output_format", "output_config", "tools"}
    assert "that matches this JSON Schema" in str(sent["system"])


async def test_a_union_in_another_order_is_another_type(serve: Serve) -> None:
    class A(BaseModel):
        x: int

    class B(BaseModel):
        x: int

    cascade = LLMCascade([serve(Reply('{"value": {"x": 1}}')).target()])
    for union, first in ((A | B, A), (B | A, B)):
        assert type((await cascade.get_structured_json_response(union, "Hello")).content) is first  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize(
    ("response_model", "text", "expected"),
    [
        (City, '{"name": "Rome", "people": 1}', City(name="Rome", people=1)),
        (River, '{"length": 3.5}', River(3.5)),
        (
            Tree,
            '{"name": "oak", "branches": [{"name": "bough"}]}',
            Tree(name="oak", branches=[Tree(name="bough")]),
        ),
        (Hill, '{"height": 8}', {"height": 8}),
        (dict[str, int], '{"a": 1}', {"a": 1}),
        (list[City], '{"value": [{"name": "Rome", "people": 1}]}', [City(name="Rome", people=1)]),
        (list[int], "[1, 2]", [1, 2]),
        (int, '{"value": 7}', 7),
        (int, "7", 7),
        (bool, '```\n{"value": true}\n```', True),
        (City | River, '{"value": {"length": 1.5}}', River(1.5)),
        (Literal["red", "green"], '{"value": "red"}', "red"),
        (Annotated[int, Field(ge=3)], '{"value": 3}', 3),
        (tuple[int, str], '{"value": [1, "a"]}', (1, "a")),
        (RootModel[list[int]], '{"value": [1]}', RootModel[list[int]]([1])),
        (str | None, '{"value": null}', None),
    ],
)
async def test_any_type_that_pydantic_knows(
    serve: Serve, response_model: Any, text: str, expected: Any
) -> None:
    server = serve(Reply(text))
    response = await LLMCascade([server.target()]).get_structured_json_response(
        response_model, "Hello"
    )
    assert response.content == expected
    schema = server.requests[0].json["response_format"]["json_schema"]["schema"]
    assert schema["type"] == "object"


async def test_a_type_that_cannot_be_hashed_is_taken(serve: Serve) -> None:
    unhashable = Annotated[int, Field(json_schema_extra={"examples": [1]}), ["a list"]]
    response = await LLMCascade(
        [serve(Reply('{"value": 1}')).target()]
    ).get_structured_json_response(unhashable, "Hello")
    assert response.content == 1


async def test_a_validation_error_names_the_fields_and_keeps_pydantics_list(serve: Serve) -> None:
    text = '{"people": "many"}'
    with pytest.raises(ResponseValidationError) as caught:
        await LLMCascade([serve(Reply(text)).target()]).get_structured_json_response(City, "Rome?")
    error = caught.value
    assert str(error) == (
        "the answer of openai/gpt-4.1 is JSON, but not of type City: name: Field required; "
        "people: Input should be a valid integer, unable to parse string as an integer (see errors)"
    )
    assert [(problem["loc"], problem["type"]) for problem in error.errors] == [
        (("name",), "missing"),
        (("people",), "int_parsing"),
    ]
    assert isinstance(error, ResponseParsingError)
    assert error.raw_content == text


async def test_a_validation_error_names_three_problems_and_counts_the_rest(serve: Serve) -> None:
    cascade = LLMCascade([serve(Reply('["a", "b", "c", "d", "e"]')).target()])
    with pytest.raises(
        ResponseValidationError,
        match=r"type list\[int\]: 0: Input .*; 1: Input .*; 2: Input .*; and 2 more",
    ):
        await cascade.get_structured_json_response(list[int], "Hello")


class Opaque:
    """No type that pydantic knows."""


async def test_the_message_of_a_callers_own_validator_is_quoted(serve: Serve) -> None:
    def refuse(value: str) -> str:
        raise ValueError(f"I do not like {value}")

    cascade = LLMCascade([serve(Reply('{"value": "the answer"}')).target()])
    complaint = "the answer: Value error, I do not like the answer"
    with pytest.raises(ResponseValidationError, match=complaint) as caught:
        await cascade.get_structured_json_response(Annotated[str, AfterValidator(refuse)], "Hello")
    assert caught.value.errors[0]["msg"] == "Value error, I do not like the answer"


@pytest.mark.parametrize(
    "wrong", [Opaque, 5, type(lambda: None), "NoSuchName", {"type": "object"}, [City]]
)
async def test_a_type_that_pydantic_does_not_know_is_refused(wrong: Any) -> None:
    with pytest.raises(BadRequestError, match="can't be used: expected a pydantic model"):
        await LLMCascade(["openai/gpt-4.1"]).get_structured_json_response(
            wrong, "Hello", mock_response="never asked"
        )


async def test_values_are_validated_as_json_is(serve: Serve) -> None:
    class Strict(BaseModel, strict=True):
        when: tuple[int, ...]

    response = await LLMCascade(
        [serve(Reply('{"when": [1, 2]}')).target()]
    ).get_structured_json_response(Strict, "Hello")
    assert response.content.when == (1, 2)


async def test_a_patch_that_answers_nothing_is_an_invalid_answer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def patched(**_: Any) -> Any:
        return None

    monkeypatch.setattr(litellm, "acompletion", patched)
    with pytest.raises(Exception, match="the answer has no choices"):
        await LLMCascade(["openai/gpt-4.1"], retry=RetryPolicy(attempts=1)).get_response("Hello")
