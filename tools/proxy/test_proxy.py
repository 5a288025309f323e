"""LiteLLM's proxy serves a cascade through an outage, by the configuration of the example."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import openai
import pytest

from majordomo_cascade.testing import FakeProvider, Reply, Status

CONFIG = Path(__file__).parents[2] / "examples" / "proxy" / "config.yaml"
MASTER_KEY = "sk-of-the-proxy"
MESSAGES: Any = [{"role": "user", "content": "Who runs the house?"}]
ANSWER = "The majordomo runs it."


@pytest.fixture(scope="module")
def providers() -> Iterator[tuple[FakeProvider, FakeProvider]]:
    """Start Anthropic's stand-in, which is down, and OpenAI's."""
    with FakeProvider(Status(503)) as anthropic, FakeProvider(Reply(ANSWER)) as openais:
        yield anthropic, openais


@pytest.fixture(scope="module")
def proxy(providers: tuple[FakeProvider, FakeProvider]) -> Iterator[openai.OpenAI]:
    """Start the proxy, and return a client of it."""
    anthropic, openais = providers
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    environment = {
        **os.environ,
        "LITELLM_MASTER_KEY": MASTER_KEY,
        "LITELLM_LOCAL_MODEL_COST_MAP": "True",
        "LITELLM_LOCAL_ANTHROPIC_BETA_HEADERS": "True",
        "ANTHROPIC_API_BASE": anthropic.url,
        "ANTHROPIC_API_KEY": "loopback-key",
        "OPENAI_API_BASE": f"{openais.url}/v1",
        "OPENAI_API_KEY": "loopback-key",
        "MAJORDOMO_PROVIDERS": "anthropic/claude-sonnet-5-5",
        "MAJORDOMO_RETRY_ATTEMPTS": "1",
    }
    program = Path(sys.executable).with_name("litellm")
    command = [str(program), "--config", str(CONFIG), "--host", "127.0.0.1", "--port", str(port)]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as process:
        url = f"http://127.0.0.1:{port}"
        _wait_for(f"{url}/health/liveliness", process)
        yield openai.OpenAI(base_url=f"{url}/v1", api_key=MASTER_KEY, max_retries=0)
        process.terminate()


def _wait_for(url: str, process: subprocess.Popen[str]) -> None:
    for _ in range(240):
        assert process.poll() is None, "the proxy did not start"
        try:
            with urllib.request.urlopen(url, timeout=5):
                return
        except OSError:
            time.sleep(0.5)
    raise AssertionError("the proxy did not start in two minutes")


def test_it_answers_through_an_outage(
    proxy: openai.OpenAI, providers: tuple[FakeProvider, FakeProvider]
) -> None:
    answer = proxy.chat.completions.create(model="house", messages=MESSAGES)
    assert answer.choices[0].message.content == ANSWER
    assert answer.usage is not None
    assert answer.usage.total_tokens == 15
    assert len(providers[0].requests) >= 1
    assert providers[1].requests[-1].model == "gpt-5.4-mini"


def test_it_streams_through_an_outage(proxy: openai.OpenAI) -> None:
    stream: Any = proxy.chat.completions.create(
        model="house", messages=MESSAGES, stream=True, stream_options={"include_usage": True}
    )
    chunks = list(stream)
    texts = [choice.delta.content or "" for chunk in chunks for choice in chunk.choices]
    assert "".join(texts) == ANSWER
    assert len([text for text in texts if text]) > 1
    reasons = [choice.finish_reason for chunk in chunks for choice in chunk.choices]
    assert [reason for reason in reasons if reason] == ["stop"]
    assert [chunk.usage.total_tokens for chunk in chunks if chunk.usage] == [15]


def test_it_hands_on_tools(
    proxy: openai.OpenAI, providers: tuple[FakeProvider, FakeProvider]
) -> None:
    providers[1].behaviours[:] = [Reply("", tool_calls=[("get_weather", {"city": "Rome"})])]
    parameters: Any = {"type": "object", "properties": {"city": {"type": "string"}}}
    tool: Any = {"type": "function", "function": {"name": "get_weather", "parameters": parameters}}
    answer = proxy.chat.completions.create(model="house", messages=MESSAGES, tools=[tool])
    providers[1].behaviours[:] = [Reply(ANSWER)]
    calls: Any = answer.choices[0].message.tool_calls
    (call,) = calls
    assert (call.function.name, call.function.arguments) == ("get_weather", '{"city": "Rome"}')


def test_an_outage_of_all_targets_is_told_in_our_words(
    proxy: openai.OpenAI, providers: tuple[FakeProvider, FakeProvider]
) -> None:
    before = len(providers[0].requests)
    with pytest.raises(openai.APIStatusError) as caught:
        proxy.chat.completions.create(model="env", messages=MESSAGES)
    assert caught.value.status_code == 503
    assert "anthropic/claude-sonnet-5-5: HTTP 503" in str(caught.value)
    assert "Traceback" not in str(caught.value)
    assert len(providers[0].requests) == before + 1
