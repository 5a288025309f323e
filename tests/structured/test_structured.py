"""JSON from any vendor: lower modes if one is refused, corrections if wanted, nothing in secret."""

from __future__ import annotations

import json
import logging
import pickle
import traceback
from collections.abc import Callable
from decimal import Decimal
from typing import Annotated, Any

import litellm
import pytest
from conftest import ALL_WIRES, WIRES, Serve
from pydantic import AfterValidator, BaseModel
from pydantic_core import PydanticCustomError

from majordomo_cascade import (
    BadRequestError,
    ConfigurationError,
    ContentPolicyError,
    DeadlineExceededError,
    InvalidResponseError,
    LLMCascade,
    LLMResponse,
    MajordomoError,
    ProviderError,
    ProviderSetupError,
    ProviderUnavailableError,
    ResponseError,
    ResponseParsingError,
    ResponseRejectedError,
    ResponseTruncatedError,
    ResponseValidationError,
    RetryPolicy,
    Target,
    UnsupportedRequestError,
)
from majordomo_cascade.testing import Behaviour, Garbage, Hang, Reply, Status, simulate

EVERY_WIRE = pytest.mark.parametrize(("provider", "model"), ALL_WIRES)
ROME = Reply('{"name": "Rome", "people": 2800000}')
SCHEMA_REFUSED = Status(
    400,
    "Invalid parameter: 'response_format' of type 'json_schema' is not supported with this model.",
    "invalid_request_error",
)
MODE_REFUSED = Status(400, "'response_format.type' must be 'json_schema' or 'text'")
ONCE = RetryPolicy(attempts=1)


class City(BaseModel):
    name: str
    people: int


def asked_by(request: Any) -> str:
    """Return the mode in which a request on OpenAI's wire asks, with "!" if its words ask, too."""
    form = (request.json.get("response_format") or {}).get("type", "prompt")
    mode = {"json_schema": "json_schema", "json_object": "json_mode", "prompt": "prompt"}[form]
    told = any("JSON" in str(message["content"]) for message in request.json["messages"])
    return f"{mode}!" if told else mode


def claudes_answer(*content: dict[str, Any], stop_reason: str) -> Garbage:
    """Return a body on Anthropic's wire."""
    return Garbage(
        {
            "id": "msg_1",
            "type": "message",
            "role": "assistant",
            "model": "claude",
            "content": list(content),
            "stop_reason": stop_reason,
            "stop_sequence": None,
            "usage": {"input_tokens": 10, "output_tokens": 5},
        }
    )


TOOL_CALL = {"type": "tool_use", "id": "t1", "name": "weather", "input": {}}


def modes(cascade: LLMCascade) -> list[str]:
    return [health.structured_output for health in cascade.health]


# Lower modes: what a provider refuses.

REFUSALS = [
    ("openai", "gpt-4.1", SCHEMA_REFUSED),
    (
        "openai",
        "gpt-4.1",
        Status(400, "Invalid schema for response_format 'City': 'minItems' is not permitted."),
    ),
    ("mistral", "mistral-large-latest", Status(422, "response_format: extra fields not permitted")),
    ("deepseek", "deepseek-chat", Status(400, "This response_format type is unavailable now")),
    (
        "hosted_vllm",
        "my-model",
        Status(400, "The provided JSON schema contains features not supported by xgrammar."),
    ),
    (
        "hosted_vllm",
        "my-model",
        Garbage({"detail": [{"loc": ["body", "response_format"], "msg": "?"}]}, status=422),
    ),
    (
        "groq",
        "openai/gpt-oss-120b",
        Status(400, "This model does not support response format `json_schema`"),
    ),
    (
        "anthropic",
        "claude-sonnet-4-5",
        Status(400, "output_format: Extra inputs are not permitted"),
    ),
    (
        "anthropic",
        "claude-sonnet-4-5",
        Status(400, "output_format.schema: property 'uniqueItems' is not supported"),
    ),
    (
        "gemini",
        "gemini-2.5-flash",
        Status(400, 'Invalid JSON payload. Unknown name "response_json_schema"'),
    ),
    (
        "gemini",
        "gemini-2.5-flash",
        Status(400, "Function calling with a response mime type is unsupported"),
    ),
]


@pytest.mark.parametrize(
    ("provider", "model", "refusal"),
    REFUSALS,
    ids=[f"{model}-{number}" for number, (_, model, _) in enumerate(REFUSALS)],
)
async def test_a_refused_schema_is_followed_by_json_mode_at_once_and_for_good(
    provider: str, model: str, refusal: Behaviour, caplog: pytest.LogCaptureFixture
) -> None:
    target = Target(provider, model, structured_output="json_schema")
    with simulate(LLMCascade([target, "openai/gpt-4.1"]), [refusal, ROME]) as simulation:
        response = await simulation.cascade.get_structured_json_response(City, "Rome?")
        assert response.content == City(name="Rome", people=2_800_000)
        assert simulation.clock.slept == []
        assert not response.failed_over
        first, second = response.attempts
        assert (first.number, first.outcome, first.waited, first.cost) == (1, "failed", 0, None)
        assert second.outcome == "ok"
        health = simulation.cascade.health[0]
        told_of_health = (health.state, health.failures, health.structured_output)
        assert told_of_health == ("closed", 0, "json_mode")
        before = len(simulation.providers[0].requests)
        await simulation.cascade.get_structured_json_response(City, "Rome?")
        assert len(simulation.providers[0].requests) - before == 1
        assert "that matches this JSON Schema" in str(simulation.providers[0].requests[-1].json)
    ours = [record for record in caplog.records if record.name == "majordomo_cascade"]
    [warning] = [record for record in ours if record.levelno == logging.WARNING]
    assert warning.getMessage() == (
        f"{provider}/{model} refuses to give JSON by json_schema; "
        "it is asked by json_mode from now on"
    )
    assert {"provider": provider, "model": model}.items() <= vars(warning).items()


async def test_the_lowest_mode_is_the_prompt_alone(serve: Serve) -> None:
    server = serve(SCHEMA_REFUSED, MODE_REFUSED, ROME)
    cascade = LLMCascade([server.target()])
    for _ in range(2):
        await cascade.get_structured_json_response(City, "Rome?")
    assert [asked_by(request) for request in server.requests] == [
        "json_schema", "json_mode!", "prompt!", "prompt!",
    ]  # fmt: skip
    assert modes(cascade) == ["prompt"]


async def test_a_target_that_refuses_json_mode_alone_keeps_its_schema(serve: Serve) -> None:
    server = serve(MODE_REFUSED, Reply("{}"), Reply("{}"), ROME)
    cascade = LLMCascade([server.target()])
    for _ in range(2):
        await cascade.get_json_response("Anything.")
    await cascade.get_structured_json_response(City, "Rome?")
    assert [asked_by(request) for request in server.requests] == [
        "json_mode!", "prompt!", "prompt!", "json_schema",
    ]  # fmt: skip
    assert modes(cascade) == ["json_schema"]


@pytest.mark.parametrize(
    ("refusal", "error"),
    [
        (Status(400, "Unknown parameter: 'rate'"), BadRequestError),
        (
            Status(400, "'temperature' is not supported with this model"),
            UnsupportedRequestError,
        ),
        (Status(400, "We could not parse the JSON body of your request."), BadRequestError),
        (Status(404, "response_format"), ProviderError),
    ],
)
async def test_an_error_that_is_not_about_the_form_is_raised_at_once(
    serve: Serve, refusal: Status, error: type[MajordomoError]
) -> None:
    server = serve(refusal)
    cascade = LLMCascade([server.target()])
    with pytest.raises(error):
        await cascade.get_structured_json_response(City, "Rome?")
    assert len(server.requests) == 1
    assert modes(cascade) == ["json_schema"]


async def test_a_complaint_that_no_lower_mode_mends_is_not_remembered(serve: Serve) -> None:
    server = serve(Status(400, "Your JSON schema is fine, your prompt is not."))
    cascade = LLMCascade([server.target()])
    for _ in range(3):
        with pytest.raises(BadRequestError) as caught:
            await cascade.get_structured_json_response(City, "Rome?")
        assert len(caught.value.attempts) == 3
        assert modes(cascade) == ["json_schema"]
    in_each = ["json_schema", "json_mode!", "prompt!"]
    assert [asked_by(request) for request in server.requests] == in_each * 3


async def test_a_complaint_about_the_callers_own_tools_is_raised_at_once(serve: Serve) -> None:
    server = serve(Status(400, "tools.0: Input tag is wrong"))
    with pytest.raises(BadRequestError):
        await LLMCascade([server.target()]).get_json_response("Use it.", tools=TOOLS, **NO_MCP)
    assert len(server.requests) == 1


async def test_a_response_format_of_the_callers_is_never_replaced(serve: Serve) -> None:
    server = serve(SCHEMA_REFUSED)
    cascade = LLMCascade([server.target()])
    with pytest.raises(UnsupportedRequestError):
        await cascade.get_json_response("Hello", response_format={"type": "json_object"})
    assert len(server.requests) == 1


async def test_a_response_format_of_the_callers_may_hold_a_schema(serve: Serve) -> None:
    server = serve(ROME)
    schema = {"type": "object", "properties": {"name": {"type": "string"}}}
    form = {"type": "json_schema", "json_schema": {"name": "city", "schema": schema}}
    response = await LLMCascade([server.target()]).get_json_response("Rome?", response_format=form)
    assert response.content == {"name": "Rome", "people": 2_800_000}
    assert server.requests[0].json["response_format"] == form


async def test_a_lower_mode_is_no_retry_and_retries_stay_in_it() -> None:
    cascade = LLMCascade(["openai/gpt-4.1"], retry=RetryPolicy(attempts=3))
    script: list[Behaviour] = [Status(503), SCHEMA_REFUSED, Status(503), ROME]
    with simulate(cascade, script) as simulation:
        response = await simulation.cascade.get_structured_json_response(City, "Rome?")
        assert [asked_by(request) for request in simulation.providers[0].requests] == [
            "json_schema", "json_schema", "json_mode!", "json_mode!",
        ]  # fmt: skip
    assert [attempt.number for attempt in response.attempts] == [1, 2, 3, 4]
    assert len(simulation.clock.slept) == 2


async def test_a_lower_mode_that_fails_moves_on_and_is_not_remembered() -> None:
    cascade = LLMCascade(["openai/gpt-4.1", "gemini/gemini-2.5-flash"])
    with simulate(cascade, [SCHEMA_REFUSED, Status(401)], ROME) as simulation:
        response = await simulation.cascade.get_structured_json_response(City, "Rome?")
        assert (response.provider, response.failed_over) == ("gemini", True)
        assert modes(simulation.cascade) == ["json_schema", "json_schema"]


async def test_refusals_before_an_outage_are_not_remembered_however_often_they_come() -> None:
    script = [SCHEMA_REFUSED, MODE_REFUSED, Status(503)] * 3
    with simulate(LLMCascade(["openai/gpt-4.1"], retry=ONCE), script) as simulation:
        for _ in range(3):
            with pytest.raises(ProviderUnavailableError):
                await simulation.cascade.get_structured_json_response(City, "Rome?")
            assert modes(simulation.cascade) == ["json_schema"]


async def test_a_probe_may_use_a_lower_mode() -> None:
    cascade = LLMCascade(["openai/gpt-4.1", "gemini/gemini-2.5-flash"])
    script: list[Behaviour] = [*[Status(503)] * 9, SCHEMA_REFUSED, ROME]
    with simulate(cascade, script, ROME) as simulation:
        for _ in range(3):
            await simulation.cascade.get_structured_json_response(City, "Rome?")
        assert [health.state for health in simulation.cascade.health] == ["open", "closed"]
        simulation.clock.advance(10)
        response = await simulation.cascade.get_structured_json_response(City, "Rome?")
        assert response.provider == "openai"
        assert [health.state for health in simulation.cascade.health] == ["closed", "closed"]


async def test_a_twin_with_other_options_shares_what_was_refused(serve: Serve) -> None:
    server = serve(SCHEMA_REFUSED, ROME)
    cascade = LLMCascade([server.target()])
    await cascade.with_options(deadline=60).get_structured_json_response(City, "Rome?")
    assert modes(cascade) == ["json_mode"]


async def test_an_error_that_the_caller_is_handling_does_not_say_what_is_refused(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    refused = serve(Status(400, "Unknown parameter: 'foo'"))
    with pytest.raises(BadRequestError) as earlier:
        await LLMCascade([refused.target()]).get_response("Hello")
    try:
        raise earlier.value
    except BadRequestError:
        await test_a_form_that_litellm_does_not_support_is_followed_by_a_lower_mode(monkeypatch)


async def test_a_form_that_litellm_does_not_support_is_followed_by_a_lower_mode(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked = []

    async def patched(**sent: Any) -> Any:
        asked.append(sent.get("response_format"))
        if "response_format" in sent:
            complaint = "x does not support parameters: ['response_format']"
            raise litellm.UnsupportedParamsError(complaint, "x", "y")
        message = {"role": "assistant", "content": ROME.text}
        return litellm.ModelResponse(choices=[{"message": message}])

    monkeypatch.setattr(litellm, "acompletion", patched)
    cascade = LLMCascade(["openai/gpt-4.1"])
    response = await cascade.get_structured_json_response(City, "Rome?")
    assert response.content.name == "Rome"
    assert len(asked) == 3
    assert asked[2] is None
    assert modes(cascade) == ["prompt"]


def litellm_that_breaks(where: str) -> Callable[..., Any]:
    """Return an ``acompletion`` of the module ``where`` that breaks on every ``json_schema``."""
    namespace: dict[str, Any] = {"__name__": where, "litellm": litellm, "text": ROME.text}
    program = """
async def acompletion(**sent):
    if sent.get('response_format', {}).get('type') == 'json_schema':
        {}['no_such_key']
    message = {'role': 'assistant', 'content': text}
    return litellm.ModelResponse(choices=[{'message': message}])
"""
    exec(program, namespace)
    return namespace["acompletion"]  # type: ignore[no-any-return]


async def test_a_bug_of_litellms_is_followed_by_a_lower_mode_and_one_of_the_hosts_is_raised(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(litellm, "acompletion", litellm_that_breaks("litellm.llms.new_vendor"))
    cascade = LLMCascade(["openai/gpt-4.1"])
    response = await cascade.get_structured_json_response(City, "Rome?")
    assert type(response.attempts[0].error) is ProviderSetupError
    assert modes(cascade) == ["json_mode"]
    monkeypatch.setattr(litellm, "acompletion", litellm_that_breaks("host_application"))
    with pytest.raises(KeyError):
        await LLMCascade(["openai/gpt-4.1"]).get_structured_json_response(City, "Rome?")


async def test_a_spent_budget_of_the_hosts_is_raised_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
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
    "choices": [{
        "index": 0,
        "message": {"role": "assistant", "content": ROME.text},
        "finish_reason": "stop",
    }],
    "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2},
}  # fmt: skip


async def test_groqs_answer_without_a_service_tier_is_followed_by_a_lower_mode_at_once() -> None:
    cascade = LLMCascade(["groq/openai/gpt-oss-120b"])
    with simulate(cascade, [Garbage(GROQ), ROME]) as simulation:
        response = await simulation.cascade.get_structured_json_response(City, "Rome?")
        assert simulation.clock.slept == []
    errors = [type(attempt.error) for attempt in response.attempts]
    assert errors == [InvalidResponseError, type(None)]


async def test_garbage_is_no_refusal(serve: Serve) -> None:
    for garbage in (Garbage(), Garbage({}), Garbage({"choices": []})):
        for provider, model in WIRES:
            server = serve(garbage)
            cascade = LLMCascade([server.target(provider, model)], retry=ONCE)
            with pytest.raises(InvalidResponseError):
                await cascade.get_structured_json_response(City, "Rome?")
            assert len(server.requests) == 1


TOOLS = [
    {
        "type": "function",
        "function": {"name": "f", "parameters": {"type": "object", "properties": {}}},
    }
]
#: Some versions of LiteLLM need the package mcp for every tool.
NO_MCP: dict[str, Any] = {"_skip_mcp_handler": True}


@pytest.mark.parametrize("where", ["call", "target", "cascade", "functions"])
async def test_a_refusal_beside_tools_tells_nothing_about_calls_without(
    serve: Serve, where: str
) -> None:
    both = Status(400, "Function calling with a response mime type: 'x' is unsupported")
    server = serve(both, ROME)
    own: dict[str, Any] = {"tools": TOOLS, **NO_MCP}
    if where == "functions":  # OpenAI's older name
        own = {"functions": [TOOLS[0]["function"]]}
    target = server.target(params=own if where == "target" else {})
    cascade = LLMCascade([target], **own) if where == "cascade" else LLMCascade([target])
    params: dict[str, Any] = own if where in ("call", "functions") else {}
    await cascade.get_structured_json_response(City, "Rome?", **params)
    assert [asked_by(request) for request in server.requests] == ["json_schema", "json_mode!"]
    assert modes(cascade) == ["json_schema"]


@pytest.mark.parametrize(
    ("refusal", "requests"),
    [
        (Garbage("response_format.type: unknown variant `json_schema`", "text/plain", 422), 2),
        (Status(400, "Request contains an invalid argument."), 2),
        (Status(400, "json_validate_failed", "json_validate_failed"), 2),
        # LiteLLM makes no tool of the schema, so a complaint about tools is about something else.
        # Only the echoed input speaks of the format.
        (
            Garbage(
                {
                    "detail": [
                        {
                            "loc": ["body", "messages"],
                            "msg": "Field required",
                            "input": {"response_format": "json_schema"},
                        }
                    ]
                },
                status=422,
            ),
            1,
        ),
    ],
)
async def test_refusals_are_told_by_their_words_wherever_these_stand(
    serve: Serve, refusal: Behaviour, requests: int
) -> None:
    server = serve(refusal, ROME)
    cascade = LLMCascade([server.target()])
    if requests == 1:
        with pytest.raises(BadRequestError):
            await cascade.get_structured_json_response(City, "Rome?")
    else:
        await cascade.get_structured_json_response(City, "Rome?")
    assert len(server.requests) == requests


CALL = {"id": "1", "type": "function", "function": {"name": "f", "arguments": "{}"}}


@pytest.mark.parametrize(
    "message",
    [
        {"role": "tool", "tool_call_id": "1", "content": "42"},
        {"role": "assistant", "content": "", "tool_calls": [CALL]},
    ],
)
async def test_a_broken_history_of_tool_calls_is_the_callers(
    serve: Serve, message: dict[str, Any]
) -> None:
    complaint = "messages with role 'tool' must be a response to a message with 'tool_calls'"
    server = serve(Status(400, complaint))
    messages = [{"role": "user", "content": "?"}, message]
    with pytest.raises(BadRequestError):
        await LLMCascade([server.target()]).get_json_response(messages=messages)
    assert len(server.requests) == 1


# Answers that do not hold to the form change no mode.


@pytest.mark.parametrize("structured_output", ["json_schema", "json_mode", "prompt"])
async def test_answers_in_prose_change_no_mode(serve: Serve, structured_output: Any) -> None:
    server = serve(Reply("Rome, I think."))
    cascade = LLMCascade([server.target(structured_output=structured_output)])
    for _ in range(3):
        with pytest.raises(ResponseParsingError):
            await cascade.get_structured_json_response(City, "Rome?", validation_retries=1)
    assert len(server.requests) == 6
    assert len({asked_by(request).rstrip("!") for request in server.requests}) == 1
    assert modes(cascade) == [structured_output]
    assert cascade.health[0].failures == 0


async def test_a_call_of_the_callers_own_tool_changes_no_mode(serve: Serve) -> None:
    for text in ([], [{"type": "text", "text": "Let me look that up."}]):
        answer = claudes_answer(*text, TOOL_CALL, stop_reason="tool_use")
        cascade = LLMCascade([serve(answer).target("anthropic", "claude-sonnet-4-5")])
        for _ in range(2):
            with pytest.raises(ResponseParsingError):
                await cascade.get_structured_json_response(City, "Rome?")
        assert modes(cascade) == ["json_schema"]


async def test_a_model_that_failed_at_json_by_its_providers_word_is_asked_in_a_lower_mode_once(
    serve: Serve,
) -> None:
    complaint = "Failed to generate JSON. Please adjust your prompt."
    failed = Status(400, complaint, "json_validate_failed")
    server = serve(failed, ROME, failed, ROME)
    cascade = LLMCascade([server.target("groq", "openai/gpt-oss-120b")])
    for _ in range(2):
        await cascade.get_structured_json_response(City, "Rome?")
        assert modes(cascade) == ["json_schema"]
    in_each = ["json_schema", "json_mode!"]
    assert [asked_by(request) for request in server.requests] == in_each * 2


# The first mode.


@pytest.mark.parametrize(
    ("target", "mode"),
    [
        (("openai", "gpt-4.1"), "json_schema"),
        (("openai", "gpt-3.5-turbo"), "json_mode"),
        (("openai", "gpt-4"), "prompt"),
        (("anthropic", "claude-sonnet-4-5"), "json_schema"),
        (("gemini", "gemini-2.5-flash"), "json_schema"),
        (("cohere_chat", "command-r-plus"), "prompt"),
        (("hosted_vllm", "my-model"), "json_mode"),
        (Target("hosted_vllm", "my-model", structured_output="json_schema"), "json_schema"),
        (Target("openai", "gpt-4.1", structured_output="json_mode"), "json_mode"),
    ],
    ids=str,
)
def test_the_first_mode_is_the_callers_word_or_litellms(target: Any, mode: str) -> None:
    cascade = LLMCascade([target])
    assert modes(cascade) == [mode]
    assert modes(pickle.loads(pickle.dumps(cascade))) == [mode]


def test_a_simulation_begins_in_the_mode_that_the_target_says() -> None:
    cascade = LLMCascade([Target("openai", "x", structured_output="json_schema")])
    with simulate(cascade) as simulation:
        assert modes(simulation.cascade) == ["json_schema"]


#: LiteLLM would ask these for a schema by a tool of its own.
BY_TOOL = [
    ("anthropic", "claude-3-haiku-20240307"),
    ("groq", "llama-3.3-70b-versatile"),
    ("vertex_ai", "claude-sonnet-4-5"),
]


@pytest.mark.parametrize(("provider", "model"), BY_TOOL)
def test_a_model_that_litellm_would_ask_by_a_tool_begins_in_json_mode(
    provider: str, model: str
) -> None:
    assert modes(LLMCascade([(provider, model)])) == ["json_mode"]
    told = Target(provider, model, structured_output="json_schema")
    assert modes(LLMCascade([told])) == ["json_mode"]


@pytest.mark.parametrize(("provider", "model"), BY_TOOL[:2])
async def test_no_answer_is_asked_for_by_a_tool_of_litellms(
    serve: Serve, provider: str, model: str
) -> None:
    server = serve(ROME)
    cascade = LLMCascade([server.target(provider, model, structured_output="json_schema")])
    response = await cascade.get_structured_json_response(City, "Rome?")
    assert response.content == City(name="Rome", people=2_800_000)
    assert "tools" not in server.requests[0].json
    assert "that matches this JSON Schema" in str(server.requests[0].json)


@pytest.mark.parametrize("own", [{}, {"allowed_openai_params": ["logprobs"]}])
@pytest.mark.parametrize("where", ["target", "call"])
async def test_a_caller_who_knows_better_than_litellm_is_believed(
    serve: Serve, own: dict[str, Any], where: str
) -> None:
    server = serve(ROME)
    params = own if where == "target" else {}
    target = server.target("openai", "gpt-4", structured_output="json_schema", params=params)
    given: dict[str, Any] = own if where == "call" else {}
    await LLMCascade([target]).get_structured_json_response(City, "Rome?", **given)
    assert [asked_by(request) for request in server.requests] == ["json_schema"]


def test_an_unknown_mode_is_refused() -> None:
    complaint = "structured_output: Input should be 'json_schema', 'json_mode' or 'prompt'"
    with pytest.raises(ConfigurationError, match=complaint):
        Target("openai", "gpt-4.1", structured_output="tool")  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]


async def test_a_response_format_of_the_targets_own_is_left_alone(serve: Serve) -> None:
    server = serve(SCHEMA_REFUSED, ROME)
    target = server.target(params={"response_format": {"type": "json_object"}})
    cascade = LLMCascade([target])
    with pytest.raises(UnsupportedRequestError):
        await cascade.get_structured_json_response(City, "Rome?")
    await cascade.get_structured_json_response(City, "Rome?")
    assert [asked_by(request) for request in server.requests] == ["json_mode!"] * 2


async def test_a_response_format_beside_a_type_is_refused() -> None:
    cascade = LLMCascade(["openai/gpt-4.1"])
    with pytest.raises(BadRequestError, match="response_format is made from response_model here"):
        await cascade.get_structured_json_response(
            City, "Hello", response_format={"type": "json_object"}, mock_response="never asked"
        )


async def test_a_schema_beside_the_prompt_is_refused_with_what_replaces_it() -> None:
    cascade = LLMCascade(["openai/gpt-4.1"])
    with pytest.raises(BadRequestError, match=r"'schema' is not passed on .* response_format=…"):
        await cascade.get_json_response("Hello", schema={"type": "object"}, mock_response="{}")


# Validation retries.


@EVERY_WIRE
async def test_a_correction_shows_the_model_its_last_answer_once_with_what_is_wrong(
    serve: Serve, provider: str, model: str
) -> None:
    answers = ('{"name": 1}', '{"name": "Rome"}', "Sorry!")
    problems = (
        "- name: Input should be a valid string",
        "- people: Field required",
        "- it is not one complete JSON value",
    )
    server = serve(*map(Reply, answers), ROME)
    cascade = LLMCascade([server.target(provider, model)], validation_retries=3)
    response = await cascade.get_structured_json_response(City, "Rome?", "Be brief.")
    assert response.content.people == 2_800_000
    assert [(a.number, a.outcome, a.waited) for a in response.attempts] == [
        (1, "rejected", 0), (2, "rejected", 0), (3, "rejected", 0), (4, "ok", 0),
    ]  # fmt: skip
    assert response.cost is not None
    assert response.total_cost == pytest.approx(4 * response.cost)
    assert not response.failed_over
    first, *later = (request.json for request in server.requests)
    history = {"gemini": "contents", "openai": "messages", "anthropic": "messages"}[provider]
    if model.startswith("responses/"):
        history = "input"
    turns = [len(body[history]) for body in (first, *later)]
    assert turns == [turns[0], *[turns[0] + 2] * 3]  # it does not grow
    speaker = "model" if provider == "gemini" else "assistant"
    for body, answer, problem in zip(later, answers, problems, strict=True):
        told = json.dumps(body)
        assert told.count(json.dumps(answer)) == 1
        assert told.count(problem) == 1
        roles = [turn["role"] for turn in body[history]]
        assert roles[-2:] == [speaker, "user"]


async def test_validation_retries_are_off_by_default(serve: Serve) -> None:
    server = serve(Reply("{}"))
    with pytest.raises(ResponseValidationError):
        await LLMCascade([server.target()]).get_structured_json_response(City, "Rome?")
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    ("given", "requests"),
    [({}, 3), ({"validation_retries": 0}, 1), ({"validation_retries": 1}, 2)],
    ids=str,
)
async def test_a_calls_validation_retries_beat_the_cascades(
    serve: Serve, given: dict[str, Any], requests: int
) -> None:
    server = serve(Reply("{}"))
    cascade = LLMCascade([server.target()], validation_retries=2)
    with pytest.raises(ResponseValidationError) as caught:
        await cascade.get_structured_json_response(City, "Rome?", **given)
    assert len(server.requests) == requests == len(caught.value.attempts)


async def test_validation_retries_are_for_json_without_a_type_as_well(serve: Serve) -> None:
    server = serve(Reply("No."), Reply("[1]"))
    cascade = LLMCascade([server.target()])
    response = await cascade.get_json_response("Hello", validation_retries=1)
    assert response.content == [1]


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
    cascade = LLMCascade([server.target(provider, model)], validation_retries=3)
    with pytest.raises(error):
        await cascade.get_structured_json_response(City, "Rome?")
    assert len(server.requests) == 1


async def test_corrections_come_before_the_next_target_which_sees_nothing_of_them() -> None:
    cascade = LLMCascade(
        ["openai/gpt-4.1", "openai/gpt-4o"],
        failover_on=(ProviderError, ResponseParsingError),
        validation_retries=1,
    )
    with simulate(cascade, Reply("No."), [Reply("{}"), ROME]) as simulation:
        response = await simulation.cascade.get_structured_json_response(City, "Rome?")
        first, second = simulation.providers
        assert (len(first.requests), len(second.requests)) == (2, 2)
        assert second.requests[0].json["messages"] == [{"role": "user", "content": "Rome?"}]
    assert (response.model, response.failed_over) == ("gpt-4o", True)
    assert [attempt.outcome for attempt in response.attempts] == [*["rejected"] * 3, "ok"]
    paid = [attempt.cost for attempt in response.attempts]
    assert response.total_cost == pytest.approx(sum(cost for cost in paid if cost))


async def test_an_outage_during_a_correction_is_retried_with_the_same_correction() -> None:
    cascade = LLMCascade(["openai/gpt-4.1"], validation_retries=1)
    with simulate(cascade, [Reply("{}"), Status(503), ROME]) as simulation:
        await simulation.cascade.get_structured_json_response(City, "Rome?")
        requests = simulation.providers[0].requests
        second, third = (request.json["messages"] for request in requests[1:])
    assert second == third
    assert len(second) == 3


async def test_a_correction_in_a_mode_that_is_refused_is_repeated_in_a_lower_one(
    serve: Serve,
) -> None:
    server = serve(Reply('{"name": 1}'), SCHEMA_REFUSED, ROME)
    cascade = LLMCascade([server.target()], validation_retries=1)
    await cascade.get_structured_json_response(City, "Rome?")
    assert [asked_by(request) for request in server.requests] == [
        "json_schema", "json_schema!", "json_mode!",
    ]  # fmt: skip
    roles = [message["role"] for message in server.requests[2].json["messages"]]
    assert roles == ["system", "user", "assistant", "user"]


async def test_a_correction_stays_in_the_mode_that_was_taken(serve: Serve) -> None:
    server = serve(SCHEMA_REFUSED, Reply("{}"), ROME)
    await LLMCascade([server.target()]).get_structured_json_response(
        City, "Rome?", tools=TOOLS, validation_retries=1, **NO_MCP
    )
    assert [asked_by(request) for request in server.requests] == [
        "json_schema", "json_mode!", "json_mode!",
    ]  # fmt: skip


async def test_an_empty_answer_is_not_shown_in_a_correction(serve: Serve) -> None:
    server = serve(claudes_answer(TOOL_CALL, stop_reason="tool_use"), ROME)
    cascade = LLMCascade([server.target("anthropic", "claude-sonnet-4-5")])
    await cascade.get_structured_json_response(City, "Rome?", validation_retries=1)
    messages = server.requests[1].json["messages"]
    texts = [part["text"] for turn in messages for part in turn["content"]]
    assert [text[:12] for text in texts] == ["Rome?", "Your answer "]


async def test_a_thousand_problems_are_told_in_part(serve: Serve) -> None:
    server = serve(Reply(json.dumps(["x"] * 1000)), Reply("[1]"))
    cascade = LLMCascade([server.target()], validation_retries=1)
    response = await cascade.get_structured_json_response(list[int], "Count.")
    assert response.content == [1]
    told = server.requests[1].json["messages"][-1]["content"]
    assert told.count("Input should be a valid integer") == 20
    assert "- and 980 more\n" in told


async def test_accept_sees_the_value_and_a_no_moves_on_without_a_correction() -> None:
    seen: list[Any] = []

    def is_large(response: LLMResponse[Any]) -> bool:
        seen.append(response.content)
        return bool(response.content.people > 1_000)

    cascade = LLMCascade(["openai/gpt-4.1", "openai/gpt-4o"], accept=is_large, validation_retries=3)
    small = Reply('{"name": "Rome", "people": 1}')
    with simulate(cascade, small, ROME) as simulation:
        response = await simulation.cascade.get_structured_json_response(City, "Rome?")
        assert [len(provider.requests) for provider in simulation.providers] == [1, 1]
        assert [health.failures for health in simulation.cascade.health] == [0, 0]
    assert seen == [City(name="Rome", people=1), City(name="Rome", people=2_800_000)]
    assert [attempt.outcome for attempt in response.attempts] == ["rejected", "ok"]
    assert isinstance(response.attempts[0].error, ResponseRejectedError)
    assert response.cost is not None
    assert response.total_cost is not None
    assert response.total_cost > response.cost


# Cut answers, and answers that say nothing.


async def test_a_spent_context_window_is_not_told_as_a_spent_max_tokens_alone(
    serve: Serve,
) -> None:
    """LiteLLM reports it as "length" or, before 1.110, as "stop"."""
    cut = {"type": "text", "text": '{"name": "Rome", "peo'}
    server = serve(claudes_answer(cut, stop_reason="model_context_window_exceeded"))
    cascade = LLMCascade([server.target("anthropic", "claude-sonnet-4-5")])
    with pytest.raises(ResponseError) as caught:
        await cascade.get_structured_json_response(City, "Rome?")
    assert isinstance(caught.value, ResponseTruncatedError | ResponseParsingError)
    told = str(caught.value)
    assert "max_tokens" not in told or "context window" in told
    assert [attempt.outcome for attempt in caught.value.attempts] == ["rejected"]


@EVERY_WIRE
async def test_half_of_a_json_text_is_an_error_with_what_came(
    serve: Serve, provider: str, model: str
) -> None:
    server = serve(Reply('{"name": "Rome", "peo', "length"))
    with pytest.raises(
        ResponseTruncatedError, match=r"after 21 characters, by max_tokens"
    ) as caught:
        await LLMCascade([server.target(provider, model)]).get_json_response("Rome?")
    assert caught.value.partial_content == '{"name": "Rome", "peo'
    assert (caught.value.provider, caught.value.model) == (provider, model)


async def test_an_answer_that_is_as_long_as_max_tokens_allows_is_whole_if_it_says_so(
    serve: Serve,
) -> None:
    server = serve(Reply('{"value": [1]}', output_tokens=7))
    for model in ("claude-3-haiku-20240307", "claude-sonnet-4-5"):
        cascade = LLMCascade([server.target("anthropic", model)])
        response = await cascade.get_structured_json_response(list[int], "Count.", max_tokens=7)
        assert response.content == [1]


class Perhaps(BaseModel):
    name: str | None = None
    people: int = 0


@pytest.mark.parametrize(
    ("response_model", "text", "expected"),
    [
        (Perhaps, "{}", Perhaps()),
        (Perhaps, '{"name": null, "people": 0}', Perhaps()),
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
    cascade = LLMCascade([serve(Reply(text)).target()])
    response = await cascade.get_structured_json_response(response_model, "Hello")
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
async def test_json_is_read_by_the_letter_of_its_standard(
    serve: Serve, text: str, name: str | None
) -> None:
    cascade = LLMCascade([serve(Reply(text)).target()])
    if name is not None:
        response = await cascade.get_structured_json_response(City, "Rome?")
        assert response.content == City(name=name, people=1)
    else:
        with pytest.raises(ResponseParsingError, match="holds no complete JSON value"):
            await cascade.get_structured_json_response(City, "Rome?")


@pytest.mark.parametrize("text", ["{}", "[]"])
async def test_empty_json_is_json(serve: Serve, text: str) -> None:
    response = await LLMCascade([serve(Reply(text)).target()]).get_json_response("Hello")
    assert response.content == json.loads(text)


@EVERY_WIRE
async def test_a_decimal_keeps_every_digit(serve: Serve, provider: str, model: str) -> None:
    digits = "0.10000000000000000000000000000000000000001"
    server = serve(Reply(f'{{"value": "{digits}"}}'))
    cascade = LLMCascade([server.target(provider, model)])
    response = await cascade.get_structured_json_response(Decimal, "Hello")
    assert str(response.content) == digits
    assert '"number"' not in json.dumps(server.requests[0].json)


class Purse(BaseModel):
    coins: Decimal
    inner: Purse | None = None


async def test_an_answer_that_is_nested_too_deeply_is_not_valid(serve: Serve) -> None:
    text = '{"coins": 1.5, "inner": ' * 450 + "null" + "}" * 450
    cascade = LLMCascade([serve(Reply(text)).target()])
    with pytest.raises(ResponseValidationError):
        await cascade.get_structured_json_response(Purse, "Nest.")


# Lower modes under hedges, deadlines and retries.


async def test_time_that_a_lower_mode_spends_is_not_held_against_the_target() -> None:
    refused_then_slow: list[Behaviour] = [SCHEMA_REFUSED, Hang()] * 2
    cascade = LLMCascade(["openai/gpt-4.1", "openai/gpt-4o"], hedge_after=5)
    with simulate(cascade, [*refused_then_slow, ROME], ROME) as simulation:
        for _ in range(2):
            response = await simulation.cascade.get_structured_json_response(City, "Rome?")
            assert response.model == "gpt-4o"
        assert simulation.cascade.health[0].failures == 0
        response = await simulation.cascade.get_structured_json_response(City, "Rome?")
        assert response.model == "gpt-4.1"
    with simulate(LLMCascade(["openai/gpt-4.1"], deadline=5), refused_then_slow) as simulation:
        for _ in range(2):
            with pytest.raises(DeadlineExceededError):
                await simulation.cascade.get_structured_json_response(City, "Rome?")
        assert simulation.cascade.health[0].failures == 0


async def test_a_lower_mode_neither_renews_the_retries_nor_is_waited_for() -> None:
    cascade = LLMCascade(["openai/gpt-4.1"], retry=RetryPolicy(attempts=3))
    with simulate(cascade, [Status(503), SCHEMA_REFUSED, Status(503)]) as simulation:
        with pytest.raises(ProviderUnavailableError) as caught:
            await simulation.cascade.get_structured_json_response(City, "Rome?")
        waits = [attempt.waited for attempt in caught.value.attempts]
        assert [waited > 0 for waited in waits] == [False, True, False, True]
        assert waits[1::2] == simulation.clock.slept


# What errors and logs may show.

SECRET = "sk-a-very-secret-key"


class Closed(BaseModel, extra="forbid"):
    name: str
    scores: dict[str, int] = {}


async def test_a_validation_error_quotes_pydantic_with_the_place(serve: Serve) -> None:
    answer = Reply('{"name": 1, "scores": {"tests": "many"}, "age": 3}')
    cascade = LLMCascade([serve(answer).target()])
    with pytest.raises(ResponseValidationError) as caught:
        await cascade.get_structured_json_response(Closed, "Hello")
    assert str(caught.value) == (
        "the answer of openai/gpt-4.1 is JSON, but not of type Closed: "
        "name: Input should be a valid string; scores.tests: Input should be a valid integer, "
        "unable to parse string as an integer; age: Extra inputs are not permitted (see errors)"
    )


def refuse(value: str) -> str:
    raise PydanticCustomError("unwanted", "I do not like {value}", {"value": value})


async def test_a_validators_own_message_is_quoted(serve: Serve) -> None:
    cascade = LLMCascade([serve(Reply('{"value": "the answer"}')).target()])
    unwanted = Annotated[str, AfterValidator(refuse)]
    complaint = r": the answer: I do not like the answer \(see errors\)$"
    with pytest.raises(ResponseValidationError, match=complaint) as caught:
        await cascade.get_structured_json_response(unwanted, "Hello")
    assert caught.value.errors[0]["msg"] == "I do not like the answer"


async def test_a_traceback_shows_how_the_answer_began_and_no_key(serve: Serve) -> None:
    answer = Reply(f"No JSON, but {SECRET}.\nAnd so on.")
    cascade = LLMCascade([serve(answer).target(api_key=SECRET)])
    with pytest.raises(ResponseParsingError) as caught:
        await cascade.get_json_response("Hello")
    told = "".join(traceback.format_exception(caught.value))
    assert "the answer began: No JSON, but […]. And so on." in told
    assert SECRET not in told


async def test_a_key_of_the_call_is_not_shown_either() -> None:
    cascade = LLMCascade(["openai/gpt-4.1"])
    with pytest.raises(ResponseParsingError) as caught:
        await cascade.get_json_response(
            "Hello", api_key=SECRET, mock_response=f"No JSON, but {SECRET}"
        )
    assert caught.value.__notes__[0] == "the answer began: No JSON, but […]"


async def test_logs_hold_no_words_of_the_prompt_or_the_answer(
    serve: Serve, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, logger="majordomo_cascade")
    refused = Status(400, "response_format: you asked for the secret of Rome")
    server = serve(refused, Reply('{"name": "the secret of Rome"}'))
    cascade = LLMCascade([server.target()], validation_retries=1)
    with pytest.raises(ResponseValidationError):
        await cascade.get_structured_json_response(City, "What is the secret of Rome?")
    records = [record for record in caplog.records if record.name == "majordomo_cascade"]
    assert len(records) == 4
    for record in records:
        fields = [value for value in vars(record).values() if isinstance(value, str)]
        assert "secret" not in " ".join([record.getMessage(), *fields])
