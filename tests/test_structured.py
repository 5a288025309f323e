"""JSON from any vendor: down the ladder where a rung does not hold, again where that is wanted, and never in secret."""

from __future__ import annotations

import contextlib
import json
import logging
import pickle
import traceback
from collections.abc import Callable
from decimal import Decimal
from types import MappingProxyType
from typing import Annotated, Any

import litellm
import pytest
from conftest import WIRES, Serve
from pydantic import AfterValidator, BaseModel, Field, TypeAdapter
from pydantic_core import PydanticCustomError

from majordomo_cascade import (
    ConfigurationError,
    ContentPolicyError,
    DeadlineExceededError,
    InvalidRequestError,
    InvalidResponseError,
    LLMCascade,
    MajordomoError,
    ProviderError,
    ProviderUnavailableError,
    ResponseParsingError,
    ResponseTruncatedError,
    ResponseValidationError,
    RetryPolicy,
    Target,
    UnsupportedRequestError,
)
from majordomo_cascade.structured import MOST_TOLD
from majordomo_cascade.testing import Behaviour, Garbage, Hang, Reply, Status, rehearse

EVERY_WIRE = pytest.mark.parametrize(("provider", "model"), WIRES, ids=[wire[0] for wire in WIRES])
ROME = Reply('{"name": "Rome", "people": 2800000}')
OPENAI_REFUSES = Status(
    400,
    "Invalid parameter: 'response_format' of type 'json_schema' is not supported with this model.",
    "invalid_request_error",
)
MODE_REFUSED = Status(400, "'response_format.type' must be 'json_schema' or 'text'")


class City(BaseModel):
    name: str
    people: int


def way(request: Any) -> str:
    """How a request on OpenAI's wire asks for JSON."""
    form = (request.json.get("response_format") or {}).get("type", "prompt")
    told = any("JSON" in str(message["content"]) for message in request.json["messages"])
    return {"json_schema": "json_schema", "json_object": "json_mode", "prompt": "prompt"}[form] + "!" * told


def tool_use(arguments: Any, stop_reason: str = "tool_use", tokens: int = 5, name: str = "json_tool_call") -> Garbage:
    """An answer of Claude's by tool."""
    return Garbage(
        {
            "id": "msg_1",
            "type": "message",
            "role": "assistant",
            "model": "claude",
            "content": [{"type": "tool_use", "id": "t1", "name": name, "input": arguments}],
            "stop_reason": stop_reason,
            "stop_sequence": None,
            "usage": {"input_tokens": 10, "output_tokens": tokens},
        }
    )


def rungs(cascade: LLMCascade) -> list[str]:
    return [health.structured_output for health in cascade.health]


# The ladder: what a provider refuses.

REFUSALS = [
    ("openai", "gpt-4.1", OPENAI_REFUSES),
    ("openai", "gpt-4.1", Status(400, "Invalid schema for response_format 'City': 'minItems' is not permitted.")),
    ("mistral", "mistral-large-latest", Status(422, "response_format: extra fields not permitted")),
    ("deepseek", "deepseek-chat", Status(400, "This response_format type is unavailable now")),
    ("hosted_vllm", "my-model", Status(400, "The provided JSON schema contains features not supported by xgrammar.")),
    ("hosted_vllm", "my-model", Garbage({"detail": [{"loc": ["body", "response_format"], "msg": "?"}]}, status=422)),
    ("groq", "openai/gpt-oss-120b", Status(400, "This model does not support response format `json_schema`")),
    ("anthropic", "claude-sonnet-4-5", Status(400, "output_format: Extra inputs are not permitted")),
    ("anthropic", "claude-sonnet-4-5", Status(400, "output_format.schema: property 'uniqueItems' is not supported")),
    ("anthropic", "claude-opus-4-1", Status(400, "tools.0.custom.input_schema: JSON schema is invalid")),
    ("anthropic", "claude-opus-4-1", Status(400, "tool_choice forces tool use is not compatible with this model")),
    ("gemini", "gemini-2.5-flash", Status(400, 'Invalid JSON payload. Unknown name "response_json_schema"')),
    ("gemini", "gemini-2.5-flash", Status(400, "Function calling with a response mime type is unsupported")),
]


@pytest.mark.parametrize(
    ("provider", "model", "refusal"), REFUSALS, ids=[f"{r[1]}-{n}" for n, r in enumerate(REFUSALS)]
)
async def test_a_refused_schema_goes_one_rung_lower_at_once_and_for_the_cascades_life(
    provider: str, model: str, refusal: Behaviour, caplog: pytest.LogCaptureFixture
) -> None:
    cascade = LLMCascade([Target(provider, model, structured_output="json_schema"), "openai/gpt-4.1"])
    with rehearse(cascade, [refusal, ROME]) as rehearsal:
        response = await rehearsal.cascade.get_structured_json_response(City, "Rome?")
        assert response.content == City(name="Rome", people=2_800_000)
        assert rehearsal.clock.slept == []
        assert not response.failed_over
        assert next((a.number, a.outcome, a.waited, a.cost) for a in response.attempts) == (1, "failed", 0, None)
        assert response.attempts[1].outcome == "ok"
        health = rehearsal.cascade.health[0]
        assert (health.state, health.failures, health.structured_output) == ("closed", 0, "json_mode")
        before = len(rehearsal.providers[0].requests)
        await rehearsal.cascade.get_structured_json_response(City, "Rome?")
        assert len(rehearsal.providers[0].requests) - before == 1
        assert "that matches this JSON Schema" in str(rehearsal.providers[0].requests[-1].json)
    records = [record for record in caplog.records if record.name == "majordomo_cascade"]
    (told,) = [record for record in records if record.levelno == logging.WARNING]
    assert told.getMessage() == (
        f"{provider}/{model} does not give JSON by json_schema; it is asked by json_mode from now on"
    )
    assert {"provider": provider, "model": model}.items() <= vars(told).items()


async def test_the_ladder_ends_at_the_prompt(serve: Serve) -> None:
    server = serve(OPENAI_REFUSES, MODE_REFUSED, ROME)
    cascade = LLMCascade([server.target()])
    for _ in range(2):
        await cascade.get_structured_json_response(City, "Rome?")
    assert [way(request) for request in server.requests] == ["json_schema", "json_mode!", "prompt!", "prompt!"]
    assert rungs(cascade) == ["prompt"]


async def test_who_takes_a_schema_but_no_json_mode_keeps_the_schema(serve: Serve) -> None:
    server = serve(MODE_REFUSED, Reply("{}"), Reply("{}"), ROME)
    cascade = LLMCascade([server.target()])
    for _ in range(2):
        await cascade.get_json_response("Anything.")
    await cascade.get_structured_json_response(City, "Rome?")
    assert [way(request) for request in server.requests] == ["json_mode!", "prompt!", "prompt!", "json_schema"]
    assert rungs(cascade) == ["json_schema"]


@pytest.mark.parametrize(
    ("refusal", "error"),
    [
        (Status(400, "Unknown parameter: 'rate'"), InvalidRequestError),
        (Status(400, "'temperature' is not supported with this model"), UnsupportedRequestError),
        (Status(400, "We could not parse the JSON body of your request."), InvalidRequestError),
        (Status(404, "response_format"), ProviderError),
    ],
)
async def test_what_is_not_about_the_form_is_raised_at_once(
    serve: Serve, refusal: Status, error: type[MajordomoError]
) -> None:
    server = serve(refusal)
    cascade = LLMCascade([server.target()])
    with pytest.raises(error):
        await cascade.get_structured_json_response(City, "Rome?")
    assert len(server.requests) == 1
    assert rungs(cascade) == ["json_schema"]


async def test_what_no_rung_mends_was_not_the_rungs_fault(serve: Serve) -> None:
    server = serve(Status(400, "Your JSON schema is fine, your prompt is not."))
    cascade = LLMCascade([server.target()])
    for _ in range(3):  # nor do three such calls make it so
        with pytest.raises(InvalidRequestError) as caught:
            await cascade.get_structured_json_response(City, "Rome?")
        assert len(caught.value.attempts) == 3
        assert rungs(cascade) == ["json_schema"]
    assert [way(request) for request in server.requests] == ["json_schema", "json_mode!", "prompt!"] * 3


async def test_a_complaint_about_the_callers_own_tools_is_the_callers(serve: Serve) -> None:
    server = serve(Status(400, "tools.0: Input tag is wrong"))
    tool = {"type": "function", "function": {"name": "f", "parameters": {"type": "object", "properties": {}}}}
    with pytest.raises(InvalidRequestError):
        await LLMCascade([server.target()]).get_json_response("Use it.", tools=[tool], _skip_mcp_handler=True)
    assert len(server.requests) == 1


async def test_a_callers_own_response_format_is_never_replaced(serve: Serve) -> None:
    server = serve(OPENAI_REFUSES)
    cascade = LLMCascade([server.target()])
    with pytest.raises(UnsupportedRequestError):
        await cascade.get_json_response("Hello", response_format={"type": "json_object"})
    assert len(server.requests) == 1


async def test_a_step_down_is_none_of_the_retries_and_they_stay_on_the_lower_rung() -> None:
    cascade = LLMCascade(["openai/gpt-4.1"], retry=RetryPolicy(attempts=3))
    with rehearse(cascade, [Status(503), OPENAI_REFUSES, Status(503), ROME]) as rehearsal:
        response = await rehearsal.cascade.get_structured_json_response(City, "Rome?")
        assert [way(r) for r in rehearsal.providers[0].requests] == ["json_schema", "json_schema", *["json_mode!"] * 2]
    assert [attempt.number for attempt in response.attempts] == [1, 2, 3, 4]
    assert len(rehearsal.clock.slept) == 2


async def test_a_step_down_that_leads_nowhere_fails_over_and_is_not_remembered() -> None:
    cascade = LLMCascade(["openai/gpt-4.1", "gemini/gemini-2.5-flash"])
    with rehearse(cascade, [OPENAI_REFUSES, Status(401)], ROME) as rehearsal:
        response = await rehearsal.cascade.get_structured_json_response(City, "Rome?")
        assert (response.provider, response.failed_over) == ("gemini", True)
        assert rungs(rehearsal.cascade) == ["json_schema", "json_schema"]


async def test_a_probe_may_step_down() -> None:
    cascade = LLMCascade(["openai/gpt-4.1", "gemini/gemini-2.5-flash"])
    with rehearse(cascade, [*[Status(503)] * 9, OPENAI_REFUSES, ROME], ROME) as rehearsal:
        for _ in range(3):
            await rehearsal.cascade.get_structured_json_response(City, "Rome?")
        assert [health.state for health in rehearsal.cascade.health] == ["open", "closed"]
        rehearsal.clock.advance(10)
        assert (await rehearsal.cascade.get_structured_json_response(City, "Rome?")).provider == "openai"
        assert [health.state for health in rehearsal.cascade.health] == ["closed", "closed"]


async def test_an_error_that_the_caller_is_handling_does_not_say_what_is_refused(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(InvalidRequestError) as earlier:
        await LLMCascade([serve(Status(400, "Unknown parameter: 'foo'")).target()]).get_response("Hello")
    try:
        raise earlier.value
    except InvalidRequestError:
        await test_what_litellm_itself_does_not_support_is_stepped_over(monkeypatch)


async def test_rungs_that_were_refused_before_an_outage_are_remembered_at_the_second_time() -> None:
    refused, down = OPENAI_REFUSES, Status(503)
    script = [refused, refused, down] * 2
    with rehearse(LLMCascade([("openai", "gpt-4.1")], retry=RetryPolicy(attempts=1)), script) as rehearsal:
        for expected in ("json_schema", "prompt"):
            with pytest.raises(ProviderUnavailableError):
                await rehearsal.cascade.get_structured_json_response(City, "Rome?")
            assert rungs(rehearsal.cascade) == [expected]


async def test_what_litellm_itself_does_not_support_is_stepped_over(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    async def patched(**sent: Any) -> Any:
        asked.append(sent.get("response_format"))
        if "response_format" in sent:
            raise litellm.UnsupportedParamsError("x does not support parameters: ['response_format']", "x", "y")
        return litellm.ModelResponse(choices=[{"message": {"role": "assistant", "content": ROME.text}}])

    monkeypatch.setattr(litellm, "acompletion", patched)
    cascade = LLMCascade(["openai/gpt-4.1"])
    assert (await cascade.get_structured_json_response(City, "Rome?")).content.name == "Rome"
    assert len(asked) == 3
    assert asked[2] is None
    assert rungs(cascade) == ["prompt"]


def litellm_that_breaks(where: str) -> Callable[..., Any]:
    """LiteLLM's ``acompletion``, as if a module of its own broke on every ``json_schema``."""
    namespace: dict[str, Any] = {"__name__": where, "litellm": litellm, "text": ROME.text}
    exec(
        "async def acompletion(**sent):\n"
        "    if sent.get('response_format', {}).get('type') == 'json_schema':\n"
        "        {}['no_such_key']\n"
        "    return litellm.ModelResponse(choices=[{'message': {'role': 'assistant', 'content': text}}])\n",
        namespace,
    )
    return namespace["acompletion"]  # type: ignore[no-any-return]


async def test_a_bug_of_litellms_on_the_way_is_stepped_over_and_one_of_the_hosts_is_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(litellm, "acompletion", litellm_that_breaks("litellm.llms.new_vendor"))
    cascade = LLMCascade(["openai/gpt-4.1"])
    response = await cascade.get_structured_json_response(City, "Rome?")
    assert type(response.attempts[0].error) is KeyError
    assert rungs(cascade) == ["json_mode"]
    monkeypatch.setattr(litellm, "acompletion", litellm_that_breaks("host_application"))
    with pytest.raises(KeyError):
        await LLMCascade(["openai/gpt-4.1"]).get_structured_json_response(City, "Rome?")


async def test_a_budget_of_the_hosts_is_no_rung(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []

    async def patched(**sent: Any) -> Any:
        calls.append(sent)
        raise litellm.BudgetExceededError(current_cost=2, max_budget=1)

    monkeypatch.setattr(litellm, "acompletion", patched)
    with pytest.raises(litellm.BudgetExceededError):
        await LLMCascade(["openai/gpt-4.1"]).get_structured_json_response(City, "Rome?")
    assert len(calls) == 1


GROQ = {
    "id": "1", "object": "chat.completion", "created": 1, "model": "m",
    "choices": [{"index": 0, "message": {"role": "assistant", "content": ROME.text}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2},
}  # fmt: skip


async def test_groqs_answers_without_a_service_tier_are_stepped_over_without_a_wait() -> None:
    with rehearse(LLMCascade(["groq/openai/gpt-oss-120b"]), [Garbage(GROQ), ROME]) as rehearsal:
        response = await rehearsal.cascade.get_structured_json_response(City, "Rome?")
        assert rehearsal.clock.slept == []
    assert [type(attempt.error) for attempt in response.attempts] == [InvalidResponseError, type(None)]


async def test_garbage_is_no_refusal(serve: Serve) -> None:
    for garbage in (Garbage(), Garbage({}), Garbage({"choices": []})):
        for provider, model in WIRES:
            server = serve(garbage)
            with pytest.raises(InvalidResponseError):
                await LLMCascade(
                    [server.target(provider, model)], retry=RetryPolicy(attempts=1)
                ).get_structured_json_response(City, "Rome?")
            assert len(server.requests) == 1


# The ladder: what a model does not keep.


async def test_two_answers_in_prose_in_a_row_and_the_next_call_starts_one_rung_lower(
    serve: Serve, caplog: pytest.LogCaptureFixture
) -> None:
    server = serve(*[Reply("Rome, I think.")] * 2, ROME)
    cascade = LLMCascade([server.target()])
    for _ in range(2):
        assert rungs(cascade) == ["json_schema"]
        with pytest.raises(ResponseParsingError):
            await cascade.get_structured_json_response(City, "Rome?")
    assert rungs(cascade) == ["json_mode"]
    await cascade.get_structured_json_response(City, "Rome?")
    assert [way(request) for request in server.requests] == ["json_schema", "json_schema", "json_mode!"]
    assert "does not give JSON by json_schema; it is asked by json_mode from now on" in caplog.text
    assert cascade.health[0].failures == 0


async def test_prose_in_answer_to_a_reask_is_the_second_in_a_row(serve: Serve) -> None:
    cascade = LLMCascade([serve(Reply("Prose.")).target()])
    with pytest.raises(ResponseParsingError):
        await cascade.get_structured_json_response(City, "Rome?", reasks=1)
    assert rungs(cascade) == ["json_mode"]


@pytest.mark.parametrize("between", [ROME, Reply('{"name": "Rome"}')], ids=["valid", "JSON, but not valid"])
async def test_json_in_between_keeps_the_rung(serve: Serve, between: Reply) -> None:
    cascade = LLMCascade([serve(Reply("Prose."), between, Reply("Prose."), ROME).target()])
    for _ in range(3):
        with contextlib.suppress(ResponseParsingError):
            await cascade.get_structured_json_response(City, "Rome?")
    assert rungs(cascade) == ["json_schema"]


async def test_prose_on_the_lowest_rung_has_nowhere_to_go(serve: Serve) -> None:
    cascade = LLMCascade([serve(Reply("Prose.")).target(structured_output="prompt")])
    for _ in range(3):
        with pytest.raises(ResponseParsingError):
            await cascade.get_structured_json_response(City, "Rome?")
    assert rungs(cascade) == ["prompt"]


async def test_a_call_of_the_callers_own_tool_is_no_prose(serve: Serve) -> None:
    cascade = LLMCascade([serve(tool_use({}, name="weather")).target("anthropic", "claude-sonnet-4-5")])
    for _ in range(2):
        with pytest.raises(ResponseParsingError):
            await cascade.get_structured_json_response(City, "Rome?")
    assert rungs(cascade) == ["json_schema"]


async def test_a_provider_that_says_itself_that_its_model_wrote_no_json_is_asked_one_rung_lower(serve: Serve) -> None:
    failed = Status(400, "Failed to generate JSON. Please adjust your prompt.", "json_validate_failed")
    server = serve(failed, ROME, failed, ROME)
    cascade = LLMCascade([server.target("groq", "openai/gpt-oss-120b")])
    for expected in ("json_schema", "json_mode"):  # one such failure is not the end of the rung, two in a row are
        await cascade.get_structured_json_response(City, "Rome?")
        assert rungs(cascade) == [expected]
    assert [way(request) for request in server.requests] == ["json_schema", "json_mode!"] * 2


# Where the ladder starts.


@pytest.mark.parametrize(
    ("target", "rung"),
    [
        (("openai", "gpt-4.1"), "json_schema"),
        (("openai", "gpt-3.5-turbo"), "json_mode"),
        (("openai", "gpt-4"), "prompt"),
        (("anthropic", "claude-opus-4-1"), "json_schema"),
        (("gemini", "gemini-2.5-flash"), "json_schema"),
        (("cohere_chat", "command-r-plus"), "prompt"),
        (Target("hosted_vllm", "my-model"), "json_mode"),
        (Target("hosted_vllm", "my-model", structured_output="json_schema"), "json_schema"),
        (Target("openai", "gpt-4.1", structured_output="json_mode"), "json_mode"),
    ],
    ids=str,
)
def test_the_ladder_starts_where_litellm_says_or_the_caller(target: Any, rung: str) -> None:
    cascade = LLMCascade([target])
    assert rungs(cascade) == [rung]
    assert rungs(pickle.loads(pickle.dumps(cascade))) == [rung]
    with rehearse(LLMCascade([Target("openai", "x", structured_output="json_schema")])) as rehearsal:
        assert rungs(rehearsal.cascade) == ["json_schema"]


@pytest.mark.parametrize("params", [{}, {"allowed_openai_params": ["logprobs"]}])
async def test_a_caller_who_knows_better_than_litellm_is_believed(serve: Serve, params: dict[str, Any]) -> None:
    server = serve(ROME)
    cascade = LLMCascade([server.target("openai", "gpt-4", structured_output="json_schema", params=params)])
    await cascade.get_structured_json_response(City, "Rome?")
    assert [way(request) for request in server.requests] == ["json_schema"]


def test_a_way_that_there_is_not() -> None:
    with pytest.raises(ConfigurationError, match="structured_output: Input should be 'json_schema', 'json_mode' or"):
        Target("openai", "gpt-4.1", structured_output="tool")  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]


# Reasks.


@EVERY_WIRE
async def test_a_reask_shows_the_model_its_last_answer_once_with_what_is_wrong(
    serve: Serve, provider: str, model: str
) -> None:
    server = serve(Reply('{"name": 1}'), Reply('{"name": "Rome"}'), Reply("Sorry!"), ROME)
    cascade = LLMCascade([server.target(provider, model)], reasks=3)
    response = await cascade.get_structured_json_response(City, "Rome?", "Be brief.")
    assert response.content.people == 2_800_000
    assert [(a.number, a.outcome, a.waited) for a in response.attempts] == [
        (1, "rejected", 0), (2, "rejected", 0), (3, "rejected", 0), (4, "ok", 0),
    ]  # fmt: skip
    assert response.cost is not None
    assert response.total_cost == pytest.approx(4 * response.cost)
    assert not response.failed_over
    first, *later = (request.json for request in server.requests)
    turns = [len(body.get("messages") or body["contents"]) for body in (first, *later)]
    assert turns == [turns[0], *[turns[0] + 2] * 3]  # it does not grow
    for body, answer, problem in zip(
        later,
        ('{"name": 1}', '{"name": "Rome"}', "Sorry!"),
        ("- name: Input should be a valid string", "- people: Field required", "- it is not one complete JSON value"),
        strict=True,
    ):
        told = json.dumps(body)
        assert told.count(json.dumps(answer)) == 1
        assert told.count(problem) == 1
        assert [turn["role"] for turn in body.get("messages") or body["contents"]][-2:] == [
            "model" if provider == "gemini" else "assistant",
            "user",
        ]


async def test_reasks_are_off_unless_they_are_asked_for(serve: Serve) -> None:
    server = serve(Reply("{}"))
    with pytest.raises(ResponseValidationError):
        await LLMCascade([server.target()]).get_structured_json_response(City, "Rome?")
    assert len(server.requests) == 1


async def test_a_calls_reasks_beat_the_cascades(serve: Serve) -> None:
    server = serve(Reply("{}"))
    cascade = LLMCascade([server.target()], reasks=2)
    cases: list[tuple[dict[str, Any], int]] = [({}, 3), ({"reasks": 0}, 1), ({"reasks": 1}, 2)]
    for given, requests in cases:
        before = len(server.requests)
        with pytest.raises(ResponseValidationError) as caught:
            await cascade.get_structured_json_response(City, "Rome?", **given)
        assert len(server.requests) - before == requests == len(caught.value.attempts)
    with pytest.raises(ResponseParsingError):
        await LLMCascade([serve(Reply("No.")).target()]).get_json_response("Hello", reasks=1)


@pytest.mark.parametrize(
    ("reply", "error"),
    [
        (Reply('{"name": "Ro', "length"), ResponseTruncatedError),
        (Reply("I can't help with that.", "content_filter"), ContentPolicyError),
    ],
)
@EVERY_WIRE
async def test_a_refusal_or_a_cut_answer_is_never_asked_again(
    serve: Serve, provider: str, model: str, reply: Reply, error: type[MajordomoError]
) -> None:
    server = serve(reply)
    with pytest.raises(error):
        await LLMCascade([server.target(provider, model)], reasks=3).get_structured_json_response(City, "Rome?")
    assert len(server.requests) == 1


async def test_reasks_come_first_then_the_next_provider_who_sees_nothing_of_it() -> None:
    cascade = LLMCascade(
        ["openai/gpt-4.1", "openai/gpt-4o"], failover_on=(ProviderError, ResponseParsingError), reasks=1
    )
    with rehearse(cascade, Reply("No."), [Reply("{}"), ROME]) as rehearsal:
        response = await rehearsal.cascade.get_structured_json_response(City, "Rome?")
        first, second = rehearsal.providers
        assert (len(first.requests), len(second.requests)) == (2, 2)
        assert second.requests[0].json["messages"] == [{"role": "user", "content": "Rome?"}]
    assert (response.model, response.failed_over) == ("gpt-4o", True)
    assert [attempt.outcome for attempt in response.attempts] == [*["rejected"] * 3, "ok"]
    paid = [attempt.cost for attempt in response.attempts]
    assert response.total_cost == pytest.approx(sum(cost for cost in paid if cost))


async def test_a_provider_that_fails_over_a_reask_is_retried_with_the_same_reask() -> None:
    with rehearse(LLMCascade(["openai/gpt-4.1"], reasks=1), [Reply("{}"), Status(503), ROME]) as rehearsal:
        await rehearsal.cascade.get_structured_json_response(City, "Rome?")
        second, third = (request.json["messages"] for request in rehearsal.providers[0].requests[1:])
    assert second == third
    assert len(second) == 3


async def test_a_reask_on_a_rung_that_is_refused_keeps_what_is_to_be_mended(serve: Serve) -> None:
    server = serve(Reply('{"name": 1}'), OPENAI_REFUSES, ROME)
    await LLMCascade([server.target()], reasks=1).get_structured_json_response(City, "Rome?")
    assert [way(request) for request in server.requests] == ["json_schema", "json_schema!", "json_mode!"]
    assert [message["role"] for message in server.requests[2].json["messages"]][1:] == ["user", "assistant", "user"]


async def test_an_empty_turn_is_not_shown(serve: Serve) -> None:
    server = serve(tool_use({}, name="weather"), ROME)
    cascade = LLMCascade([server.target("anthropic", "claude-sonnet-4-5")])
    await cascade.get_structured_json_response(City, "Rome?", reasks=1)
    texts = [part["text"] for turn in server.requests[1].json["messages"] for part in turn["content"]]
    assert [text[:12] for text in texts] == ["Rome?", "Your answer "]


async def test_a_thousand_problems_are_told_in_part(serve: Serve) -> None:
    server = serve(Reply(json.dumps(["x"] * 1000)), Reply("[1]"))
    response = await LLMCascade([server.target()]).get_structured_json_response(list[int], "Count.", reasks=1)
    assert response.content == [1]
    told = server.requests[1].json["messages"][-1]["content"]
    assert told.count("Input should be a valid integer") == MOST_TOLD
    assert "- and 980 more\n" in told


# Answers by tool call, cut answers, and answers that say nothing.


@pytest.mark.parametrize("model", ["claude-opus-4-1", "claude-sonnet-4-5"])
async def test_an_answer_by_litellms_json_tool_is_read_the_same_way(serve: Serve, model: str) -> None:
    server = serve(tool_use({"name": "Rome", "people": 2_800_000}))
    cascade = LLMCascade([server.target("anthropic", model)])
    response = await cascade.get_structured_json_response(City, "Rome?")
    assert response.content == City(name="Rome", people=2_800_000)
    assert (await cascade.get_json_response("Rome?")).content == {"name": "Rome", "people": 2_800_000}


@pytest.mark.parametrize(("params", "tokens"), [({"max_tokens": 7}, 7), ({"max_completion_tokens": 7}, 7), ({}, None)])
async def test_half_an_answer_by_tool_is_not_taken_for_a_whole_one(
    serve: Serve, params: dict[str, Any], tokens: int | None
) -> None:
    """LiteLLM says "stop" where Claude said "max_tokens"."""
    tokens = tokens or litellm.AnthropicConfig.get_config(model="anthropic/claude-opus-4-1")["max_tokens"]
    assert tokens is not None
    server = serve(tool_use({"value": []}, "max_tokens", tokens), tool_use({"value": []}, tokens=tokens - 1))
    cascade = LLMCascade([server.target("anthropic", "claude-opus-4-1")])
    with pytest.raises(ResponseTruncatedError):
        await cascade.get_structured_json_response(list[int], "Count.", **params)
    response = await cascade.get_structured_json_response(list[int], "Count.", **params)
    assert (response.content, response.finish_reason) == ([], "stop")


class Perhaps(BaseModel):
    name: str | None = None
    people: int = 0


@pytest.mark.parametrize(
    ("response_model", "text", "expected"),
    [
        (Perhaps, "{}", Perhaps()),
        (Perhaps, '{"name": null, "people": null}', Perhaps()),
        (list[int], '{"value": []}', []),
        (dict[str, int], "{}", {}),
        (City | None, '{"value": null}', None),
        (str, '{"value": ""}', ""),
    ],
    ids=str,
)
async def test_an_answer_that_says_nothing_is_valid_if_the_type_allows_it(
    serve: Serve, response_model: Any, text: str, expected: Any
) -> None:
    response = await LLMCascade([serve(Reply(text)).target()]).get_structured_json_response(response_model, "Hello")
    assert response.content == expected


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ('{"name": "Oslo", "name": "Rome", "people": 1}', "Rome"),  # the last of duplicate keys
        ('\ufeff{"name": "Rome", "people": 1}', "Rome"),
        ('{"name": "Rome", "people": 1,}', None),
        ('{"name": "Rome", "people": NaN}', None),
    ],
)
async def test_what_json_leaves_open_is_the_same_for_values_of_a_type(
    serve: Serve, text: str, name: str | None
) -> None:
    asked = LLMCascade([serve(Reply(text)).target()]).get_structured_json_response(City, "Rome?")
    if name is not None:
        assert (await asked).content == City(name=name, people=1)
    else:
        with pytest.raises(ResponseParsingError, match="holds no complete JSON value"):
            await asked


@pytest.mark.parametrize("text", ["{}", "[]"])
async def test_empty_json_is_json(serve: Serve, text: str) -> None:
    assert (await LLMCascade([serve(Reply(text)).target()]).get_json_response("Hello")).content == json.loads(text)


# JSON of a schema that is no type.

WEATHER = {
    "title": "Weather",
    "type": "object",
    "properties": {"city": {"$ref": "#/$defs/name"}, "degrees": {"type": "number", "maximum": 60}},
    "required": ["city"],
    "$defs": {"name": {"type": "string", "minLength": 2}},
}


async def test_a_schema_of_the_callers_own_is_sent_and_checked(serve: Serve) -> None:
    server = serve(Reply('{"city": "Rome", "degrees": null}'), Reply('{"city": "R", "degrees": 99, "x": "secret"}'))
    cascade = LLMCascade([server.target()])
    given = json.loads(json.dumps(WEATHER))
    response = await cascade.get_json_response("Rome?", schema=given)
    assert response.content == {"city": "Rome"}  # null stands for what is optional in a strict schema
    assert given == WEATHER
    sent = server.requests[0].json["response_format"]["json_schema"]
    assert (sent["name"], sent["strict"]) == ("Weather", True)
    with pytest.raises(ResponseValidationError) as caught:
        await cascade.get_json_response("Rome?", schema=given)
    assert str(caught.value) == (
        "the answer of openai/gpt-4.1 is JSON, but not of type Weather: city: expected minLength 2; "
        "degrees: expected maximum 60 (see errors)"
    )
    assert [(problem["type"], problem["loc"]) for problem in caught.value.errors] == [
        ("minLength", ("city",)),
        ("maximum", ("degrees",)),
    ]


async def test_what_is_missing_is_told_by_its_name(serve: Serve) -> None:
    with pytest.raises(ResponseValidationError, match=r"Weather: the answer: 'city' is a required property \(see"):
        await LLMCascade([serve(Reply("{}")).target()]).get_json_response("Rome?", schema=WEATHER)


async def test_a_reask_of_a_schema_tells_what_is_wrong(serve: Serve) -> None:
    server = serve(Reply('{"city": "R"}'), Reply('{"city": "Rome"}'))
    response = await LLMCascade([server.target()]).get_json_response("Rome?", schema=WEATHER, reasks=1)
    assert response.content == {"city": "Rome"}
    assert "- city: expected minLength 2" in server.requests[1].json["messages"][-1]["content"]


@pytest.mark.parametrize(
    ("schema", "complaint"),
    [
        (City, "schema must be a JSON Schema as a dict, not ModelMetaclass; for a type use get_structured_json_respo"),
        ("{}", "schema must be a JSON Schema as a dict, not str$"),
        ({"type": "integer"}, "it is for 'integer'; for what is no object or array use get_structured_json_response"),
        ({"type": ["string", "null"]}, "it is for \\['string', 'null'\\]; for what is no object"),
        ({"type": "objekt"}, "schema can't be used as a JSON Schema: at type, 'objekt' is not valid"),
        (
            {"type": "object", "properties": {"a": {1}}},
            "schema can't be used as a JSON Schema: Object of type",
        ),
        ({"properties": {"a": {"$ref": "#/$defs/b"}}}, "the reference '#/\\$defs/b' leads nowhere"),
        ({"properties": {"a": {"$ref": "https://host/b.json"}}}, "the reference 'https://host/b.json' leads nowhere"),
        ({"$ref": "#"}, "a schema refers to itself"),
    ],
)
async def test_what_is_no_schema_is_seen_before_any_request(schema: Any, complaint: str) -> None:
    with pytest.raises(InvalidRequestError, match=complaint):
        await LLMCascade(["openai/gpt-4.1"]).get_json_response("Hello", schema=schema, mock_response="never asked")


async def test_a_schema_and_a_response_format_are_two_answers_to_one_question() -> None:
    with pytest.raises(InvalidRequestError, match="response_format is made from schema here"):
        await LLMCascade(["openai/gpt-4.1"]).get_json_response(
            "Hello", schema=WEATHER, response_format={"type": "json_object"}, mock_response="never asked"
        )


@pytest.mark.parametrize(
    "schema", [{}, {"$schema": "http://json-schema.org/draft-07/schema#", "$ref": "#/definitions/a"}]
)
async def test_an_answer_to_a_schema_without_a_type_is_an_object_or_an_array(
    serve: Serve, schema: dict[str, Any]
) -> None:
    schema = {**schema, "definitions": {"a": {}}}
    cascade = LLMCascade([serve(Reply("[7]"), Reply("7")).target()])
    assert (await cascade.get_json_response("Hello", schema=schema)).content == [7]
    with pytest.raises(ResponseValidationError, match="expected an object or an array"):
        await cascade.get_json_response("Hello", schema=schema)


async def test_an_answer_nested_too_deeply_for_its_schema_is_not_valid(serve: Serve) -> None:
    schema = {"type": "array", "items": {"$ref": "#"}}
    cascade = LLMCascade([serve(Reply("[" * 400 + "]" * 400)).target(structured_output="prompt")])
    with pytest.raises(ResponseValidationError, match=r"the answer: can't be checked \(RecursionError\)"):
        await cascade.get_json_response("Nest.", schema=schema)


# What an adversary, or an outage, makes of it.


async def test_a_hedge_or_a_deadline_that_a_step_down_spends_is_not_held_against_the_target() -> None:
    refuses_always: list[Behaviour] = [OPENAI_REFUSES, Hang()] * 2
    with rehearse(LLMCascade(["openai/gpt-4.1", "openai/gpt-4o"], hedge_after=5), [*refuses_always, ROME], ROME) as r:
        for _ in range(2):
            assert (await r.cascade.get_structured_json_response(City, "Rome?")).model == "gpt-4o"
        assert (r.cascade.health[0].failures, rungs(r.cascade)[0]) == (0, "json_mode")  # and it is learned all the same
        assert (await r.cascade.get_structured_json_response(City, "Rome?")).model == "gpt-4.1"
    with rehearse(LLMCascade(["openai/gpt-4.1"], deadline=5), [*refuses_always, ROME]) as r:
        for _ in range(2):
            with pytest.raises(DeadlineExceededError):
                await r.cascade.get_structured_json_response(City, "Rome?")
        assert (r.cascade.health[0].failures, rungs(r.cascade)) == (0, ["json_mode"])


async def test_a_step_down_neither_renews_the_retries_nor_is_waited_for() -> None:
    cascade = LLMCascade(["openai/gpt-4.1"], retry=RetryPolicy(attempts=3))
    with rehearse(cascade, [Status(503), OPENAI_REFUSES, Status(503)]) as rehearsal:
        with pytest.raises(ProviderUnavailableError) as caught:
            await rehearsal.cascade.get_structured_json_response(City, "Rome?")
        waits = [attempt.waited for attempt in caught.value.attempts]
        assert [waited > 0 for waited in waits] == [False, True, False, True]
        assert waits[1::2] == rehearsal.clock.slept


TOOLS = [{"type": "function", "function": {"name": "f", "parameters": {"type": "object", "properties": {}}}}]
NO_MCP: dict[str, Any] = {"_skip_mcp_handler": True}  # a package that some versions of LiteLLM want for every tool


@pytest.mark.parametrize("where", ["call", "target", "cascade", "functions"])
async def test_what_is_refused_beside_tools_tells_nothing_about_calls_without(serve: Serve, where: str) -> None:
    both = Status(400, "Function calling with a response mime type: 'application/json' is unsupported")
    server = serve(both, ROME)
    own: dict[str, Any] = {"tools": TOOLS, **NO_MCP}
    if where == "functions":  # OpenAI's older name
        own = {"functions": [TOOLS[0]["function"]]}
    target = server.target("openai", "gpt-4.1", params=own if where == "target" else {})
    cascade = LLMCascade([target], **own) if where == "cascade" else LLMCascade([target])
    params: dict[str, Any] = own if where in ("call", "functions") else {}
    await cascade.get_structured_json_response(City, "Rome?", **params)
    assert [way(request) for request in server.requests] == ["json_schema", "json_mode!"]
    assert rungs(cascade) == ["json_schema"]


async def test_a_reask_beside_tools_stays_on_the_rung_that_was_taken(serve: Serve) -> None:
    server = serve(OPENAI_REFUSES, Reply("{}"), ROME)
    await LLMCascade([server.target()]).get_structured_json_response(City, "Rome?", tools=TOOLS, reasks=1, **NO_MCP)
    assert [way(request) for request in server.requests] == ["json_schema", "json_mode!", "json_mode!"]


async def test_text_beside_a_call_of_the_callers_tool_is_no_prose(serve: Serve) -> None:
    looking = tool_use({}, name="weather")
    assert isinstance(looking.body, dict)
    looking.body["content"].insert(0, {"type": "text", "text": "Let me look that up."})
    cascade = LLMCascade([serve(looking).target("anthropic", "claude-sonnet-4-5")])
    for _ in range(2):
        with pytest.raises(ResponseParsingError):
            await cascade.get_structured_json_response(City, "Rome?")
    assert rungs(cascade) == ["json_schema"]


ECHO = {"detail": [{"loc": ["body", "messages"], "msg": "Field required", "input": {"response_format": "json_schema"}}]}


@pytest.mark.parametrize(
    ("refusal", "requests"),
    [
        (Garbage("response_format.type: unknown variant `json_schema`", "text/plain", 422), 2),
        (Status(400, "Request contains an invalid argument."), 2),
        (Garbage(ECHO, status=422), 1),
        (Status(400, "tool_use_failed", "tool_use_failed"), 2),
    ],
)
async def test_what_a_refusal_says_in_whichever_form(serve: Serve, refusal: Behaviour, requests: int) -> None:
    server = serve(refusal, ROME)
    with contextlib.suppress(InvalidRequestError):
        await LLMCascade([server.target()]).get_structured_json_response(City, "Rome?")
    assert len(server.requests) == requests


CALL = {"id": "1", "type": "function", "function": {"name": "f", "arguments": "{}"}}


@pytest.mark.parametrize(
    "message",
    [
        {"role": "tool", "tool_call_id": "1", "content": "42"},
        {"role": "assistant", "content": "", "tool_calls": [CALL]},
    ],
)
async def test_a_broken_history_of_tool_calls_is_the_callers(serve: Serve, message: dict[str, Any]) -> None:
    server = serve(Status(400, "messages with role 'tool' must be a response to a message with 'tool_calls'"))
    messages = [{"role": "user", "content": "?"}, message]
    with pytest.raises(InvalidRequestError):
        await LLMCascade([server.target()]).get_json_response(messages=messages)
    assert len(server.requests) == 1


async def test_a_callers_word_about_the_model_holds_beside_a_calls_own_allowances(serve: Serve) -> None:
    server = serve(ROME)
    cascade = LLMCascade([server.target("openai", "gpt-4", structured_output="json_schema")])
    await cascade.get_structured_json_response(City, "Rome?", allowed_openai_params=["logprobs"])
    assert [way(request) for request in server.requests] == ["json_schema"]


async def test_a_response_format_of_the_targets_own_is_left_alone(serve: Serve) -> None:
    server = serve(OPENAI_REFUSES, ROME)
    cascade = LLMCascade([server.target(params={"response_format": {"type": "json_object"}})])
    with pytest.raises(UnsupportedRequestError):
        await cascade.get_structured_json_response(City, "Rome?")
    await cascade.get_structured_json_response(City, "Rome?")
    assert [way(request) for request in server.requests] == ["json_mode!"] * 2


@pytest.mark.litellm_fact(
    "an answer by tool is cut where max_tokens, or a budget for thinking and 4096, say", topic="json"
)
@pytest.mark.parametrize(
    ("params", "cut", "whole"),
    [
        ({"max_tokens": 9.0}, 9, 10),
        ({"max_tokens": 10, "max_completion_tokens": 20}, 20, 10),
        ({"thinking": {"type": "enabled", "budget_tokens": 4000}}, 8096, 5000),
        ({"reasoning_effort": "high"}, 8192, 5000),
        ({"reasoning_effort": "low", "max_tokens": 3000}, 3000, 5000),
    ],
    ids=str,
)
async def test_where_an_answer_by_tool_is_cut(serve: Serve, params: dict[str, Any], cut: int, whole: int) -> None:
    server = serve(tool_use({"value": [1]}, "max_tokens", cut), tool_use({"value": [1]}, tokens=whole))
    cascade = LLMCascade([server.target("anthropic", "claude-opus-4-1")])
    with pytest.raises(ResponseTruncatedError):
        await cascade.get_structured_json_response(list[int], "Count.", **params)
    assert server.requests[0].json["max_tokens"] == cut
    assert (await cascade.get_structured_json_response(list[int], "Count.", **params)).content == [1]


async def test_a_whole_answer_in_text_may_be_as_long_as_it_was_allowed_to_be(serve: Serve) -> None:
    server = serve(Reply('{"value": [1]}', output_tokens=7))
    for model in ("claude-opus-4-1", "claude-sonnet-4-5"):
        cascade = LLMCascade([server.target("anthropic", model)])
        assert (await cascade.get_structured_json_response(list[int], "Count.", max_tokens=7)).content == [1]


# Errors, and what they may show.


class Closed(BaseModel, extra="forbid"):
    name: str
    scores: dict[str, int] = {}


SECRET = "sk-a-very-secret-key"


@pytest.mark.parametrize("extra", [{SECRET: 1}, {"Tell me about Rome.": 1}, {"name": "R", "scores": {SECRET: "x"}}])
async def test_keys_that_the_model_chose_are_shown_nowhere(serve: Serve, extra: dict[str, Any]) -> None:
    cascade = LLMCascade([serve(Reply(json.dumps(extra))).target(api_key=SECRET)])
    schema = {"properties": {"name": {"type": "string"}}, "additionalProperties": {"type": "null"}}
    for ask in (
        lambda: cascade.get_structured_json_response(Closed, "Tell me about Rome."),
        lambda: cascade.get_json_response("Tell me about Rome.", schema=schema),
    ):
        with pytest.raises(ResponseValidationError) as caught:
            await ask()
        told = f"{caught.value} {caught.value!r} {caught.value.attempts} {caught.value.__notes__}"
        assert SECRET not in told
        assert "Tell me about Rome." not in told
        assert "[key]: " in str(caught.value)


def refuse(value: str) -> str:
    raise PydanticCustomError("unwanted", "I do not like {value}", {"value": value})


async def test_a_custom_error_of_the_callers_is_told_by_its_type(serve: Serve) -> None:
    cascade = LLMCascade([serve(Reply('{"value": "the answer"}')).target()])
    with pytest.raises(ResponseValidationError, match=r": the answer: unwanted \(see errors\)$") as caught:
        await cascade.get_structured_json_response(Annotated[str, AfterValidator(refuse)], "Hello")
    assert caught.value.errors[0]["msg"] == "I do not like the answer"


@pytest.mark.parametrize("spelt", [str, json.dumps, lambda prompt: json.dumps(prompt, ensure_ascii=False), repr])
async def test_a_traceback_shows_no_prompt_however_the_answer_spells_it(
    serve: Serve, spelt: Callable[[str], str]
) -> None:
    prompt = 'My name is "Bob Smith".\nLine two: my number is 078-05-1120, says José.'
    cascade = LLMCascade([serve(Reply("No JSON: " + spelt(prompt))).target()])
    with pytest.raises(ResponseParsingError) as caught:
        await cascade.get_json_response(prompt)
    told = "".join(traceback.format_exception(caught.value))
    assert "the answer began: No JSON: " in told
    assert "078-05-1120" not in told
    assert "Bob" not in told


async def test_a_key_of_the_call_is_not_shown_either() -> None:
    cascade = LLMCascade(["openai/gpt-4.1"])
    with pytest.raises(ResponseParsingError) as caught:
        await cascade.get_json_response("Hello", api_key=SECRET, mock_response=f"No JSON, but {SECRET}")
    assert caught.value.__notes__[0] == "the answer began: No JSON, but […]"


# A schema of the callers' own, and what can be wrong with it or with an answer to it.


@pytest.mark.parametrize(
    "schema",
    [
        {"$schema": "http://json-schema.org/draft-07/schema#", "dependencies": {"a": {"$ref": "URL"}}},
        {"$schema": "http://json-schema.org/draft-07/schema#", "items": [{}], "additionalItems": {"$ref": "URL"}},
        {"$dynamicRef": "URL"},
        {"$recursiveRef": "URL"},
        {"properties": {"a": {"$ref": "#/foo"}}, "foo": {"properties": {"b": {"$ref": "URL"}}}},
        {"properties": {"a": {"$ref": "#/default"}}, "default": {"properties": {"b": {"$ref": "URL"}}}},
    ],
    ids=str,
)
async def test_a_schema_fetches_nothing_however_it_hides_its_reference(serve: Serve, schema: dict[str, Any]) -> None:
    remote, server = serve(), serve(Reply('{"a": {"b": 1}}'), Reply("[1, 2]"))
    schema = json.loads(json.dumps(schema).replace("URL", f"{remote.url}/schema"))
    cascade = LLMCascade([server.target(structured_output="prompt")])
    for _ in range(2):
        with contextlib.suppress(InvalidRequestError, ResponseValidationError):
            await cascade.get_json_response("Hello", schema=schema)
    assert remote.connections == 0


@pytest.mark.parametrize(
    ("schema", "answer", "is_valid"),
    [
        ({"multipleOf": 0.01}, "19.99", True),
        ({"multipleOf": 0.01}, "19.999", False),
        ({"multipleOf": 0.5}, "1e400", False),
        ({"multipleOf": 0.5}, "1" * 401, False),
        ({"type": "integer"}, "2.0", True),
        ({"type": "integer"}, "2.5", False),
        ({"enum": [1.5]}, "1.5", True),
        ({"type": "number", "format": "decimal"}, "1.5", True),  # OpenAPI's word, none of ours
        ({"type": "array", "uniqueItems": True}, '[{"a": 1, "b": 2}, {"b": 2, "a": 1}]', False),
        ({"type": "array", "uniqueItems": True}, '[1, "1", [1], {"a": 1}, {"a": 2}, true]', True),
        ({"type": "array", "uniqueItems": False}, "[1, 1]", True),
        ({"uniqueItems": True}, '"11"', True),
    ],
    ids=str,
)
async def test_numbers_and_lists_are_checked_exactly(
    serve: Serve, schema: dict[str, Any], answer: str, is_valid: bool
) -> None:
    cascade = LLMCascade([serve(Reply(f'{{"a": {answer}}}')).target()])
    asked = cascade.get_json_response("Hello", schema={"type": "object", "properties": {"a": schema}})
    if is_valid:
        assert (await asked).content == json.loads(f'{{"a": {answer}}}')
    else:
        with pytest.raises(ResponseValidationError) as caught:
            await asked
        assert "Decimal" not in str(caught.value)
        assert '"0.' not in str(caught.value)


async def test_a_schema_of_doubling_unions_is_followed_once(serve: Serve) -> None:
    both = {f"a{n}": {"anyOf": [{"$ref": f"#/$defs/a{n + 1}"}] * 2} for n in range(60)}  # 2**60 ways
    schema = {"type": "object", "properties": {"x": {"$ref": "#/$defs/a0"}}, "$defs": {**both, "a60": {}}}
    with pytest.raises(ResponseParsingError):
        await LLMCascade([serve(Reply("No.")).target()]).get_json_response("Hello", schema=schema)


@pytest.mark.parametrize(
    "schema",
    [
        {"properties": {"a": {"$ref": "#/oneOf/0"}}, "oneOf": [{"type": "object"}, {"type": "array"}]},
        {"properties": {"a": {"$ref": "#/patternProperties/b"}}, "patternProperties": {"b": {"type": "string"}}},
    ],
)
async def test_references_that_no_vendor_could_follow_go_into_the_prompt(serve: Serve, schema: dict[str, Any]) -> None:
    server = serve(Reply("{}"))
    await LLMCascade([server.target()]).get_json_response("Hello", schema={"type": "object", **schema})
    assert [way(request) for request in server.requests] == ["json_mode!"]


async def test_references_may_be_percent_encoded_and_the_schema_any_mapping(serve: Serve) -> None:
    server = serve(Reply('{"a": 1}'))
    schema = {"type": "object", "properties": {"a": {"$ref": "#/$defs/a%20b"}}, "$defs": {"a b": {"type": "integer"}}}
    response = await LLMCascade([server.target()]).get_json_response("Hello", schema=MappingProxyType(schema))
    assert response.content == {"a": 1}


async def test_a_reask_of_a_schema_does_not_quote_the_answer_again(serve: Serve) -> None:
    long = json.dumps({"a": "long " * 4000})
    server = serve(Reply(long), Reply("{}"))
    schema = {"type": "object", "anyOf": [{"maxProperties": 0}, {"required": ["b"]}]}
    await LLMCascade([server.target()]).get_json_response("Hello", schema=schema, reasks=1)
    assert len(server.requests[1].json["messages"][-1]["content"]) < 400


@pytest.mark.parametrize("response_model", [dict[str, Decimal] | dict[str, Any], list[Decimal] | Any])
async def test_a_number_that_may_be_something_else_is_none_of_our_business(serve: Serve, response_model: Any) -> None:
    text = '{"a": 1.5}' if "dict" in str(response_model) else "[1.5]"
    response = await LLMCascade([serve(Reply(text)).target()]).get_structured_json_response(response_model, "Hello")
    assert response.content == TypeAdapter(response_model).validate_json(text)
    assert repr(response.content) == repr(TypeAdapter(response_model).validate_json(text))


async def test_a_decimal_that_says_something_else_of_itself_keeps_its_digits(serve: Serve) -> None:
    money = Annotated[Decimal, Field(json_schema_extra={"format": "money"})]
    cascade = LLMCascade([serve(Reply('{"value": 0.1234567890123456789}')).target()])
    response = await cascade.get_structured_json_response(money, "Hello")
    assert response.content == Decimal("0.1234567890123456789")


class Purse(BaseModel):
    coins: Decimal
    inner: Purse | None = None


async def test_an_answer_nested_beyond_measure_is_not_valid(serve: Serve) -> None:
    text = '{"coins": 1.5, "inner": ' * 450 + "null" + "}" * 450
    with pytest.raises(ResponseValidationError):
        await LLMCascade([serve(Reply(text)).target()]).get_structured_json_response(Purse, "Nest.")
