"""What errors say and hold by themselves."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from majordomo_cascade import (
    Attempt,
    ConfigurationError,
    MajordomoError,
    ProviderError,
    RateLimitError,
    RetryPolicy,
    Target,
)
from majordomo_cascade.responses import Outcome


def kinds(root: type[MajordomoError]) -> Iterator[type[MajordomoError]]:
    yield root
    for kind in root.__subclasses__():
        yield from kinds(kind)


@pytest.mark.parametrize("kind", list(kinds(MajordomoError)))
def test_an_error_that_was_told_nothing_says_nothing(kind: type[MajordomoError]) -> None:
    error = kind()
    assert str(error) == ""
    assert error.attempts == ()
    assert not any(vars(error).values())


def attempt(error: Exception | None, outcome: Outcome = "failed") -> Attempt:
    return Attempt("openai", "gpt-4.1", 2, outcome, error, 0.0, 0.414, 0.0, None, None)


def test_an_attempt_is_one_line() -> None:
    assert str(attempt(RateLimitError(status_code=429))) == "openai/gpt-4.1 #2: 429 RateLimitError after 0.41 s"
    assert str(attempt(ProviderError())) == "openai/gpt-4.1 #2: ProviderError after 0.41 s"
    assert str(attempt(None, "ok")) == "openai/gpt-4.1 #2: ok after 0.41 s"


def test_all_that_is_wrong_with_settings_is_told_at_once() -> None:
    with pytest.raises(ConfigurationError) as caught:
        Target("", "x", params={1: 2}, timeout=-1)  # type: ignore[dict-item] # pyright: ignore[reportArgumentType]
    assert str(caught.value) == (
        "Target: provider must not be empty; timeout: Input should be greater than 0, not -1; "
        "params.1.[key]: Input should be a valid string, not 1"
    )


def test_a_setting_that_may_be_a_secret_is_not_quoted() -> None:
    with pytest.raises(ConfigurationError) as caught:
        RetryPolicy(attempts="sk-1234567890")  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]
    assert str(caught.value) == "RetryPolicy: attempts: Input should be a valid integer"
