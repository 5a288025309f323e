"""A cascade from the environment and a dotenv file."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from majordomo_cascade import CircuitBreaker, ConfigurationError, LLMCascade, RetryPolicy


@pytest.fixture(autouse=True)
def empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Run where no .env is, and take back what a .env file sets."""
    monkeypatch.chdir(tmp_path)
    before = set(os.environ)
    yield
    for name in os.environ.keys() - before:
        del os.environ[name]


def options(cascade: LLMCascade, *names: str) -> dict[str, Any]:
    """Return options of a cascade, by what its pickle would say."""
    _, (config,) = cascade.__reduce__()
    return {name: config[name] for name in names}


def test_everything_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {
        "PROVIDERS": "anthropic/claude-sonnet-4-5, openai/gpt-4.1,",
        "TIMEOUT": "30",
        "FIRST_TOKEN_TIMEOUT": "5",
        "STALL_TIMEOUT": "20",
        "DEADLINE": "none",
        "HEDGE_AFTER": "1.5",
        "VALIDATION_RETRIES": "2",
        "BREAKER_FAILURES": "5",
        "BREAKER_COOLDOWN": "7.5",
        "BREAKER_MAX_COOLDOWN": "60",
        "RETRY_ATTEMPTS": "5",
        "RETRY_BASE": "0.25",
        "RETRY_FACTOR": "3",
        "RETRY_MAX_WAIT": "8",
        "RETRY_MAX_RETRY_AFTER": "60",
    }.items():
        monkeypatch.setenv(f"MAJORDOMO_{name}", value)
    cascade = LLMCascade.from_env()
    assert repr(cascade) == "LLMCascade(['anthropic/claude-sonnet-4-5', 'openai/gpt-4.1'])"
    expected = {
        "timeout": 30.0,
        "first_token_timeout": 5.0,
        "stall_timeout": 20.0,
        "deadline": None,
        "hedge_after": 1.5,
        "validation_retries": 2,
        "breaker": CircuitBreaker(failures=5, cooldown=7.5, max_cooldown=60),
        "retry": RetryPolicy(attempts=5, base=0.25, factor=3, max_wait=8, max_retry_after=60),
    }
    assert options(cascade, *expected) == expected


def test_a_file_is_read_and_variables_already_set_win(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MAJORDOMO_TIMEOUT", "7")
    Path(".env").write_text(
        "MAJORDOMO_PROVIDERS=openai/gpt-4.1\nMAJORDOMO_TIMEOUT=30\nOPENAI_API_KEY=from-the-file\n"
    )
    cascade = LLMCascade.from_env()
    assert options(cascade, "timeout") == {"timeout": 7.0}
    assert os.environ["OPENAI_API_KEY"] == "from-the-file"  # where LiteLLM finds it


def test_a_file_of_another_name() -> None:
    Path("prod.env").write_text("MAJORDOMO_PROVIDERS=openai/gpt-4.1\n")
    assert LLMCascade.from_env("prod.env").targets[0].model == "gpt-4.1"
    with pytest.raises(ConfigurationError, match=r"^env_file 'test.env' does not exist$"):
        LLMCascade.from_env("test.env")


def test_no_file_at_all(monkeypatch: pytest.MonkeyPatch) -> None:
    Path(".env").write_text("MAJORDOMO_PROVIDERS=openai/gpt-4.1\n")
    monkeypatch.setenv("MAJORDOMO_PROVIDERS", "gemini/gemini-2.5-flash")
    assert LLMCascade.from_env(None).targets[0].provider == "gemini"


def test_an_empty_variable_is_not_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MAJORDOMO_PROVIDERS", "openai/gpt-4.1")
    monkeypatch.setenv("MAJORDOMO_TIMEOUT", "")
    assert options(LLMCascade.from_env(), "timeout") == {"timeout": 120.0}


def test_providers_may_be_given_instead() -> None:
    assert LLMCascade.from_env(providers=["openai/gpt-4.1"]).targets[0].provider == "openai"


def test_arguments_win(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MAJORDOMO_PROVIDERS", "openai/gpt-4.1")
    monkeypatch.setenv("MAJORDOMO_TIMEOUT", "5")
    cascade = LLMCascade.from_env(timeout=9, temperature=0.5)
    assert options(cascade, "timeout") == {"timeout": 9.0}


NO_PROVIDERS = (
    "MAJORDOMO_PROVIDERS is not set; expected a list such as "
    "anthropic/claude-sonnet-5-5,openai/gpt-5.5"
)
KNOWN = (
    "MAJORDOMO_PROVIDERS, _REDIS_URL, "
    "_TIMEOUT, _FIRST_TOKEN_TIMEOUT, _STALL_TIMEOUT, _DEADLINE, _HEDGE_AFTER, _VALIDATION_RETRIES, "
    "_RETRY_ATTEMPTS, _RETRY_BASE, _RETRY_FACTOR, _RETRY_MAX_WAIT, _RETRY_MAX_RETRY_AFTER, "
    "_BREAKER_FAILURES, _BREAKER_COOLDOWN, _BREAKER_MAX_COOLDOWN"
)


@pytest.mark.parametrize(
    ("variables", "complaint"),
    [
        ({"PROVIDERS": ""}, NO_PROVIDERS),
        ({"PROVIDERS": " , "}, NO_PROVIDERS),
        ({"TIMEUOT": "5"}, f"MAJORDOMO_TIMEUOT is not a setting; expected {KNOWN}"),
        ({"TIMEOUT": "5s"}, "MAJORDOMO_TIMEOUT must be a number, not '5s'"),
        (
            {"TIMEOUT": "-5"},
            (
                "MAJORDOMO_TIMEOUT must be a positive number of seconds, or None for no limit, "
                "not -5.0"
            ),
        ),
        (
            {"VALIDATION_RETRIES": "-1"},
            "MAJORDOMO_VALIDATION_RETRIES must be 0 or a positive whole number, not -1.0",
        ),
        ({"VALIDATION_RETRIES": "x"}, "MAJORDOMO_VALIDATION_RETRIES must be a number, not 'x'"),
        (
            {"RETRY_ATTEMPTS": "2.5"},
            "RetryPolicy: attempts: Input should be a valid integer, not 2.5",
        ),
        ({"BREAKER_COOLDOWN": "x"}, "MAJORDOMO_BREAKER_COOLDOWN must be a number, not 'x'"),
    ],
)
def test_a_wrong_setting_is_refused(
    variables: dict[str, str], complaint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {"PROVIDERS": "openai/gpt-4.1", **variables}.items():
        monkeypatch.setenv(f"MAJORDOMO_{name}", value)
    with pytest.raises(ConfigurationError) as caught:
        LLMCascade.from_env()
    assert str(caught.value) == complaint


EXAMPLE = Path(__file__).parent.parent / ".env.example"


def test_the_example_file_works_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("LITELLM_LOCAL_MODEL_COST_MAP", "LITELLM_LOCAL_ANTHROPIC_BETA_HEADERS"):
        monkeypatch.delenv(name)
    cascade = LLMCascade.from_env(EXAMPLE)
    names = ["anthropic/claude-sonnet-5-5", "openai/gpt-5.5", "gemini/gemini-3.8-flash"]
    assert [f"{target.provider}/{target.model}" for target in cascade.targets] == names
    assert os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] == "True"
    assert os.environ["HF_HUB_OFFLINE"] == "1"


def test_the_example_file_has_every_setting_with_its_default() -> None:
    from_file = LLMCascade.from_env(EXAMPLE)
    plain = LLMCascade(from_file.targets)
    _, (defaults,) = plain.__reduce__()
    assert options(from_file, *defaults) == defaults
    settings = {name for name in os.environ if name.startswith("MAJORDOMO_")}
    assert settings == {
        f"MAJORDOMO_{name}" for name in KNOWN.removeprefix("MAJORDOMO_").split(", _")
    }
