"""The options of a cascade from ``MAJORDOMO_…`` variables and a dotenv file."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .configuration import NUMBERS
from .errors import ConfigurationError
from .options import CircuitBreaker, RetryPolicy, Settings
from .shared_health import RedisHealth

PREFIX = "MAJORDOMO_"
REDIS_URL = "MAJORDOMO_REDIS_URL"

#: Options that are groups of settings, each of which is a variable.
GROUPS: dict[str, type[Settings]] = {"retry": RetryPolicy, "breaker": CircuitBreaker}
SETTINGS = {
    f"{group}_{field}": (group, field)
    for group, kind in GROUPS.items()
    for field in kind.model_fields
}


def options_from_environment(
    env_file: str | os.PathLike[str] | None, given: Mapping[str, Any]
) -> dict[str, Any]:
    """Return LLMCascade's arguments from the environment, but for those that are given."""
    if env_file is not None:
        _load(env_file)
    options: dict[str, Any] = {}
    for variable, value in sorted(os.environ.items()):
        text = value.strip()
        if not variable.startswith(PREFIX) or variable == REDIS_URL or not text:
            continue
        name = variable.removeprefix(PREFIX).lower()
        if name == "providers":
            options[name] = [entry for entry in map(str.strip, text.split(",")) if entry]
        elif name in NUMBERS:
            options[name] = NUMBERS[name](variable, _number(variable, text), ConfigurationError)
        elif name in SETTINGS:
            group, field = SETTINGS[name]
            options.setdefault(group, {})[field] = _number(variable, text)
        else:
            known = ", _".join(("providers", "redis_url", *NUMBERS, *SETTINGS)).upper()
            raise ConfigurationError(f"{variable} is not a setting; expected {PREFIX}{known}")
    for group in GROUPS.keys() & options:
        options[group] = GROUPS[group](**options[group])
    redis_url = os.environ.get(REDIS_URL, "").strip()
    if redis_url and "shared_health" not in given:
        options["shared_health"] = RedisHealth(redis_url)
    options |= given
    if not options.get("providers"):
        raise ConfigurationError(
            "MAJORDOMO_PROVIDERS is not set; expected a list such as "
            "anthropic/claude-sonnet-5-5,openai/gpt-5.5"
        )
    return options


def _load(env_file: str | os.PathLike[str]) -> None:
    from dotenv import load_dotenv  # noqa: PLC0415 - importing the package must stay quick

    if Path(env_file).is_file():
        try:
            load_dotenv(env_file)
        except (OSError, UnicodeError) as error:
            reason = type(error).__name__
            raise ConfigurationError(
                f"env_file {str(env_file)!r} can't be read: {reason}"
            ) from None
    elif str(env_file) != ".env":
        raise ConfigurationError(f"env_file {str(env_file)!r} does not exist")


def _number(variable: str, text: str) -> float | None:
    """Return a number, an int if it is one; None for "none"."""
    if text.lower() == "none":
        return None
    try:
        return int(text) if text.isdigit() else float(text)
    except ValueError:
        raise ConfigurationError(f"{variable} must be a number, not {text!r}") from None
