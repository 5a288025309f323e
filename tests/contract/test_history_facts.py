"""What LiteLLM does with a history that another vendor wrote. It decides what a cascade must do."""

from __future__ import annotations

import json
from typing import Any

import litellm
import pytest
from conftest import IS_NEW, Serve

from majordomo_cascade.testing import Reply
from majordomo_cascade.testing.strictness import PLACEHOLDER

TOOL = {"type": "function", "function": {"name": "now", "parameters": {"type": "object"}}}
SIGNED = {"type": "thinking", "thinking": "Hm.", "signature": "signed"}


def history(call_id: str, **fields: Any) -> list[dict[str, Any]]:
    call = {"id": call_id, "type": "function", "function": {"name": "now", "arguments": "{}"}}
    return [
        {"role": "user", "content": "What is the time?"},
        {"role": "assistant", "content": "Let me look.", "tool_calls": [call], **fields},
        {"role": "tool", "tool_call_id": call_id, "content": "noon"},
    ]


async def sent(serve: Serve, provider: str, model: str, messages: Any, **params: Any) -> Any:
    """Return the body of LiteLLM's request, and its text."""
    server = serve(Reply("Noon."))
    target = server.target(provider, model)
    await litellm.acompletion(
        model=f"{provider}/{model}",
        messages=messages,
        tools=[TOOL],
        api_base=target.api_base,
        api_key="k",
        **params,
    )
    return server.requests[-1].json


@pytest.mark.parametrize("field", ["thinking_blocks", "reasoning_content"])
@pytest.mark.parametrize("provider", ["openai", "deepseek"])
async def test_private_parts_reach_openais_format_as_they_are(
    serve: Serve, provider: str, field: str
) -> None:
    value: Any = [SIGNED] if field == "thinking_blocks" else "Hm."
    body = await sent(serve, provider, "gpt-4.1", history("call_1", **{field: value}))
    assert body["messages"][1][field] == value


async def test_signed_thoughts_reach_anthropic_whoever_signed_them(serve: Serve) -> None:
    messages = history("call_1", thinking_blocks=[SIGNED])
    body = await sent(serve, "anthropic", "claude-sonnet-4-5", messages)
    assert body["messages"][1]["content"][0] == SIGNED


async def test_thoughts_reach_gemini_as_its_own(serve: Serve) -> None:
    messages = history("call_1", reasoning_content="Hm.")
    body = await sent(serve, "gemini", "gemini-2.5-flash", messages)
    assert body["contents"][1]["parts"][0] == {"thought": True, "text": "Hm."}


async def test_gemini_3_gets_the_documented_placeholder_for_a_signature(serve: Serve) -> None:
    body = await sent(serve, "gemini", "gemini-3-pro-preview", history("call_1"))
    assert body["contents"][1]["parts"][-1]["thoughtSignature"] == PLACEHOLDER


@pytest.mark.parametrize(
    ("provider", "model"), [("openai", "gpt-4.1"), ("anthropic", "claude-sonnet-4-5")]
)
async def test_geminis_signature_is_cut_off_an_id(serve: Serve, provider: str, model: str) -> None:
    body = await sent(serve, provider, model, history("call_1__thought__c2lnbmVk"))
    assert "__thought__" not in json.dumps(body)


@pytest.mark.parametrize("call_id", ["functions.now:0", "x" * 60])
async def test_ids_that_a_vendor_does_not_allow_are_not_changed_for_openais_format(
    serve: Serve, call_id: str
) -> None:
    body = await sent(serve, "openai", "gpt-4.1", history(call_id))
    assert body["messages"][1]["tool_calls"][0]["id"] == call_id


@pytest.mark.parametrize("effort", [None, "low"])
async def test_tools_with_a_reasoning_effort_lead_to_openais_responses(
    serve: Serve, effort: str | None
) -> None:
    body = await sent(serve, "openai", "gpt-5.4", history("call_1"), reasoning_effort=effort)
    assert ("input" in body) == (effort is not None)


@pytest.mark.skipif(not IS_NEW, reason="LiteLLM 1.83 asks claude-sonnet-4-5 in another way")
async def test_an_effort_is_a_budget_for_older_claudes(serve: Serve) -> None:
    messages = history("call_1")
    body = await sent(serve, "anthropic", "claude-sonnet-4-5", messages, reasoning_effort="low")
    assert body["thinking"]["type"] == "enabled"
    body = await sent(serve, "anthropic", "claude-sonnet-5-5", messages, reasoning_effort="low")
    assert body["thinking"]["type"] == "adaptive"
