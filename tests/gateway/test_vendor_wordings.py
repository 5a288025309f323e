"""A 400 that speaks of the account, the model, or a vendor's own rules is that vendor's.

The words are the vendors', as their users report them; each row names its source on GitHub.
"""

from __future__ import annotations

import pytest
from conftest import WIRES, Serve

from majordomo_cascade import (
    BadRequestError,
    InvalidResponseError,
    LLMCascade,
    MajordomoError,
    ModelNotFoundError,
    PermissionDeniedError,
    ProviderRuleError,
    ProviderUnavailableError,
    RetryPolicy,
)
from majordomo_cascade.testing import Garbage, Status, simulate

ONCE = RetryPolicy(attempts=1)

#: The words of each vendor by their source.
WORDINGS: dict[type[MajordomoError], dict[str, str]] = {
    PermissionDeniedError: {
        "anthropics/claude-code#72457": "This organization has been disabled.",
        "songquanpeng/one-api#1764 (Groq)": "Organization has been restricted. Please reach out "
        "to support if you believe this was in error.",
        "google-gemini/gemini-cli#24641": "User location is not supported for the API use.",
    },
    ModelNotFoundError: {
        "Laisky/one-api#77 (Bedrock)": "Invocation of model ID "
        "anthropic.claude-sonnet-4-20250514-v1:0 with on-demand throughput isn\u2019t "
        "supported. Retry your request with the ID or ARN of an inference profile that "
        "contains this model.",
    },
    InvalidResponseError: {
        "huggingface/smolagents#1119 (Groq)": "Failed to call a function. Please adjust your "
        "prompt. See 'failed_generation' for more details.",
    },
    ProviderUnavailableError: {
        "charmbracelet/crush#279 (OpenRouter)": "Provider returned error",
    },
    ProviderRuleError: {
        "anthropics/claude-code#19631": "messages.2.content.0.image.source.base64: image exceeds "
        "5 MB maximum: 8259148 bytes > 5242880 bytes",
        "anthropics/claude-code#5147": "messages.7.content.3.image.source.base64.data: At least "
        "one of the image dimensions exceed max allowed size: 8000 pixels",
        "anthropics/claude-code#12616": "Could not process image",
        "STranslate/STranslate#277 (OpenAI)": "You uploaded an unsupported image. Please make "
        "sure your image has of one the following formats: ['png', 'jpeg', 'gif', 'webp'].",
        "roboflow/awesome-openai-vision-api-experiments#11": "Invalid content type. image_url is "
        "only supported by certain models.",
        "google-gemini/gemini-cli#5064": "Unable to process input image. Please retry or report "
        "in https://developers.generativeai.google/guide/troubleshooting",
        "AmberSahdev/Open-Interface#64 (Gemini)": "Provided image is not valid",
        "vllm-project/vllm#13513": "At most 1 image(s) may be provided in one request.",
        "boto/boto3#4415 (Bedrock)": "The model returned the following errors: The provided "
        "image does not match the specified image format.",
        "earendil-works/pi#8960 (Bedrock)": "Validation error: This model doesn't support the "
        "image field for user messages. Remove image and try again.",
        "vercel/ai#2837 (Groq)": "message[0].content must be a string",
        "cloudflare/cloudflare-os#97 (GLM)": "this model does not support image input (ref: ...)",
        "nearai/ironclaw#1241 (Mistral)": "Tool call id was turn1_0 but must be a-z, A-Z, 0-9, "
        "with a length of 9.",
        "vercel/ai#5171 (OpenAI)": "Invalid 'messages[2].tool_calls[0].id': string too long. "
        "Expected a string with maximum length 40, but got a string with length 43 instead.",
        "vybestack/llxprt-code#964 (Anthropic)": "messages.4.content.0.tool_use.id: String "
        "should match pattern '^[a-zA-Z0-9_-]+$'",
        "infiniflow/ragflow#11815 (Anthropic)": "`temperature` and `top_p` cannot both be "
        "specified for this model. Please use only one.",
        "streamnative/streamnative-mcp-server#26 (OpenAI)": "Invalid schema for function "
        "'kafka_admin_topics': In context=('properties', 'configs'), array schema missing "
        "items.",
        "CherryHQ/cherry-studio#3270 (Gemini)": "* "
        "GenerateContentRequest.tools[0].function_declarations[0].parameters.properties: "
        "should be non-empty for OBJECT type\n",
        "anthropics/claude-code#86664": "tools.17.custom.input_schema: JSON schema is invalid. "
        "It must match JSON Schema draft 2020-12 (https://json-schema.org/draft/2020-12).",
        "anthropics/claude-code#4378": "messages.65.content.1.tool_use.text: Extra inputs are "
        "not permitted",
        "fanenr/chatbot#21 (Groq)": "property 'store' is unsupported, did you mean 'stop'?",
        "julep-ai/julep#330 (OpenAI)": "Invalid 'tools': array too long. Expected an array with "
        "maximum length 128, but got an array with length 383 instead.",
        "BerriAI/litellm#18921 (Gemini)": "* "
        "GenerateContentRequest.generation_config.stop_sequences: the number of stop_sequences "
        "must not exceed 5.\n",
        "GEMISIS/leviath#12 (Anthropic)": "A maximum of 4 blocks with cache_control may be "
        "provided. Found 5.",
        "anthropics/claude-code#6231": "messages.4.content.0.pdf.source.base64.data: A maximum "
        "of 100 PDF pages may be provided.",
        "agno-agi/agno#2285 (Mistral)": "Expected last role User or Tool (or Assistant with "
        "prefix True) for serving but got assistant",
        "datapizza-labs/datapizza-ai#98 (Mistral)": "Unexpected role 'user' after role 'tool'",
        "continuedev/continue#11164 (Gemini)": "Please ensure that function call turn comes "
        "immediately after a user turn or after a function response turn.",
        "smallmain/vscode-unify-chat-provider#249 (Anthropic)": "This model does not support "
        "assistant message prefill. The conversation must end with a user message.",
    },
}

#: Codes that tell as much without words.
CODES: list[tuple[str, str, type[MajordomoError]]] = [
    ("model_decommissioned", "RightNow-AI/openfang#60 (Groq)", ModelNotFoundError),
    ("tool_use_failed", "HunorLaczko/ha-groq-cloud-api#20 (Groq)", InvalidResponseError),
]

#: Mistakes that no vendor would take.
MISTAKES = {
    "pydantic/pydantic-ai#2653": "Invalid type for 'messages[1].content': expected one of a string "
    "or array of objects, but got an object instead.",
    "microsoft/foundry-dev-tools#385": "max_tokens: Field required",
    "ProfSynapse/nexus#17": "`max_tokens` must be greater than `thinking.budget_tokens`.",
    "skalesapp/skales#19": "An assistant message with 'tool_calls' must be followed by tool "
    "messages responding to each 'tool_call_id'. The following tool_call_ids did not have response "
    "messages: call_00_eWFPnJ7OyTxLoRwydVlpDEiM",
    "QwenLM/qwen-code#2360": 'messages with role "tool" must be a response to a preceeding message '
    'with "tool_calls".',
    "anthropics/claude-code#3632": "messages.8: `tool_use` ids were found without `tool_result` "
    "blocks immediately after: toolu_01JJLWxfcBw93tw2yUcSaro4.",
    "anthropics/claude-code#6340": "messages.218.content.0: unexpected `tool_use_id` found in "
    "`tool_result` blocks: toolu_015uwnJWUZKX4bJhf5UmQ4f7.",
    "glowingjade/obsidian-smart-composer#156": "messages.1: all messages must have non-empty "
    "content except for the optional final assistant message",
    "infiniflow/ragflow#10235": "max_tokens must be at least 1, got -3197.",
}


@pytest.mark.parametrize("wire", WIRES)
@pytest.mark.parametrize(
    ("refusal", "expected"),
    [(Status(400, text), error) for error, texts in WORDINGS.items() for text in texts.values()]
    + [(Status(400, "no", code), error) for code, _, error in CODES],
)
async def test_a_vendors_own_refusal_moves_on_and_counts_against_its_health(
    refusal: Status, expected: type[MajordomoError], wire: tuple[str, str]
) -> None:
    with simulate(LLMCascade([wire, WIRES[0]], retry=ONCE), refusal) as simulation:
        response = await simulation.cascade.get_response("Hello")
        assert type(response.attempts[0].error) is expected
        assert response.failed_over
        assert [health.failures for health in simulation.cascade.health] == [1, 0]


@pytest.mark.parametrize(
    "place",
    [
        {"message": {"detail": [{"type": "extra_forbidden", "loc": ["body", "n"], "msg": "No."}]}},
        {"detail": [{"type": "extra_forbidden", "loc": ["body", "n"], "msg": "No."}]},
        {"message": '{"detail":[{"type":"extra_forbidden","loc":["body","n"],"msg":"No."}]}'},
    ],
    ids=["eca#231", "php-mistral#76", "platform-docs-public#7"],
)
async def test_mistral_tells_of_an_unknown_field_in_three_forms(
    serve: Serve, place: dict[str, object]
) -> None:
    server, well = serve(Garbage({"object": "error", **place}, status=422)), serve()
    cascade = LLMCascade([server.target("mistral", "mistral-large-latest"), well.target()])
    response = await cascade.get_response("Hello")
    assert type(response.attempts[0].error) is ProviderRuleError


@pytest.mark.parametrize("wire", WIRES)
@pytest.mark.parametrize("words", MISTAKES.values(), ids=MISTAKES)
async def test_a_mistake_of_the_callers_is_raised_at_once(
    words: str, wire: tuple[str, str]
) -> None:
    with simulate(LLMCascade([wire, WIRES[0]], retry=ONCE), Status(400, words)) as simulation:
        with pytest.raises(BadRequestError):
            await simulation.cascade.get_response("Hello")
        assert [len(each.requests) for each in simulation.providers] == [1, 0]
        assert simulation.cascade.health[0].failures == 0
