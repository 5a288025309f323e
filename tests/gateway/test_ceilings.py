"""A parameter that one model cannot take is no mistake of the caller's: another model may take it.

The words are the vendors', as their users report them; each row names its source.
"""

from __future__ import annotations

import pytest
from conftest import WIRES, Serve

from majordomo_cascade import (
    BadRequestError,
    ContextWindowExceededError,
    LLMCascade,
    MajordomoError,
    RetryPolicy,
    UnsupportedRequestError,
)
from majordomo_cascade.testing import FakeProvider, Garbage, Status

ONCE = RetryPolicy(attempts=1)

CEILINGS = {
    # https://github.com/codelion/optillm/issues/4
    "OpenAI": "max_tokens is too large: 8192. This model supports at most 4096 completion tokens, "
    "whereas you provided 8192.",
    # https://platform.openai.com/docs/guides/error-codes
    "OpenAI, its newer words": "Invalid 'max_completion_tokens': integer above maximum value. "
    "Expected a value <= 128000, but got 200000 instead.",
    # https://github.com/OpenHands/OpenHands/issues/11090
    "Anthropic": "max_tokens: 1000000 > 64000, which is the maximum allowed number of output "
    "tokens for claude-sonnet-4-20250514",
    # https://github.com/BerriAI/litellm/pull/10548
    "Gemini": "Unable to submit request because it has a maxOutputTokens value of 65536 but the "
    "supported range is from 1 (inclusive) to 65536 (exclusive). Update the value and try again.",
    # https://github.com/skapadia3214/groq-moa/issues/8
    "Groq": "max_tokens for `llama-3.1-8b-instant` must be less than or equal to 8000",
    # https://console.groq.com/docs/errors
    "Groq, its newer words": "`max_completion_tokens` must be less than or equal to `32768`, the "
    "maximum value for `max_completion_tokens` is less than the `context_window` for this model",
    # https://github.com/vllm-project/vllm/blob/main/vllm/entrypoints/openai/serving_engine.py
    "vLLM": "'max_tokens' or 'max_completion_tokens' is too large: 10000. This model's maximum "
    "context length is 8192 tokens and your request has 100 input tokens (10000 > 8192 - 100).",
    # https://github.com/we0-dev/we0/issues/56
    "DeepSeek, and OpenRouter for it": "Invalid max_tokens value, the valid range of max_tokens is "
    "[1, 8192]",
    # https://github.com/Gitlawb/openclaude/issues/331
    "Doubao": "The parameter `max_completion_tokens` specified in the request are not valid: "
    "integer above maximum value, expected a value <= 12288, but got 32000 instead.",
    # https://docs.aws.amazon.com/bedrock/latest/userguide/troubleshooting-api-error-codes.html
    "Bedrock": "The maximum tokens you requested exceeds the model limit of 4096. Try again with a "
    "maximum tokens value that is lower than 4096.",
}

NOT_TAKEN = {
    # https://platform.openai.com/docs/guides/reasoning
    "OpenAI's temperature": "Unsupported parameter: 'temperature' is not supported with this "
    "model.",
    "OpenAI's only value": "Unsupported value: 'temperature' does not support 0.7 with this model. "
    "Only the default (1) value is supported.",
    "OpenAI's effort": "Unsupported value: 'reasoning_effort' does not support 'minimal' with this "
    "model. Supported values are: 'low', 'medium', and 'high'.",
    # https://platform.claude.com/docs/en/about-claude/models/migration-guide
    "Anthropic's thinking": "`temperature` may only be set to 1 when thinking is enabled.",
    "Anthropic's deprecation": "`temperature` is deprecated for this model.",
    "Anthropic's effort": "This model does not support the effort parameter.",
    # https://ai.google.dev/gemini-api/docs/thinking
    "Gemini's budget": "Budget 0 is invalid. This mode only works in thinking mode.",
    "Gemini's penalty": "Penalty is not enabled for models/gemini-2.5-flash",
    "Gemini's level": "Thinking level is not supported for this model.",
    # https://console.groq.com/docs/reasoning
    "Groq's effort": "`reasoning_effort` must be one of `none` or `default`",
    # https://docs.x.ai/docs/guides/reasoning
    "xAI's effort": "Model grok-4 does not support parameter reasoningEffort.",
}

MISTAKES = {
    "OpenAI's temperature": "Invalid 'temperature': decimal above maximum value. Expected a value "
    "<= 2, but got 5 instead.",
    "OpenAI's effort": "Invalid value: 'huge'. Supported values are: 'low', 'medium', and 'high'.",
    "Anthropic's temperature": "temperature: Input should be less than or equal to 1",
    "a limit of nothing": "max_tokens: Input should be greater than or equal to 1",
    "a limit that is no number": "max_tokens: Input should be a valid integer",
}


async def ask(server: FakeProvider, wire: tuple[str, str]) -> MajordomoError:
    cascade = LLMCascade([server.target(*wire)], retry=ONCE)
    with pytest.raises(MajordomoError) as caught:
        await cascade.get_response("Hello", max_tokens=200_000)
    return caught.value


@pytest.mark.parametrize("status", [400, 422])
@pytest.mark.parametrize("words", [*CEILINGS.values(), *NOT_TAKEN.values()])
async def test_what_one_model_cannot_take_moves_on(serve: Serve, words: str, status: int) -> None:
    for wire in WIRES:
        assert type(await ask(serve(Status(status, words)), wire)) is UnsupportedRequestError


async def test_mistrals_ceiling_stands_in_the_place_of_its_problem(serve: Serve) -> None:
    # https://github.com/openclaw/openclaw/pull/53006 (a 422 in the form of pydantic's problems)
    problem = {
        "type": "less_than_equal",
        "loc": ["body", "max_tokens"],
        "msg": "Input should be less than or equal to 131072",
        "input": 200_000,
    }
    body = {"object": "error", "message": {"detail": [problem]}, "type": "invalid_request_error"}
    server = serve(Garbage(body, status=422))
    error = await ask(server, ("mistral", "mistral-large-latest"))
    assert type(error) is UnsupportedRequestError


@pytest.mark.parametrize("words", MISTAKES.values())
async def test_a_wrong_value_is_the_callers_mistake(serve: Serve, words: str) -> None:
    for wire in WIRES:
        assert type(await ask(serve(Status(400, words)), wire)) is BadRequestError


async def test_prompt_and_answer_that_are_too_long_together_are_a_full_window(serve: Serve) -> None:
    # https://platform.claude.com/docs/en/build-with-claude/context-windows
    words = (
        "input length and `max_tokens` exceed context limit: 199000 + 8192 > 200000, decrease "
        "input length or `max_tokens` and try again"
    )
    error = await ask(serve(Status(400, words)), ("anthropic", "claude-sonnet-4-5"))
    assert type(error) is ContextWindowExceededError


async def test_a_ceiling_fails_over_and_says_nothing_of_health(serve: Serve) -> None:
    first = serve(Status(400, CEILINGS["OpenAI"]))
    second = serve()
    cascade = LLMCascade([first.target(*WIRES[0]), second.target(*WIRES[1])])
    response = await cascade.get_response("Hello", max_tokens=200_000)
    assert response.failed_over
    assert cascade.health[0].failures == 0
    assert len(first.requests) == 1
