"""The options of a cascade from ``MAJORDOMO_…`` variables and a dotenv file."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from .errors import ConfigurationError
from .options import CircuitBreaker, RetryPolicy, Settings, check_count, check_seconds

PREFIX = "MAJORDOMO_"

#: Settings that are seconds or "none".
TIMES = ("TIMEOUT", "FIRST_TOKEN_TIMEOUT", "STALL_TIMEOUT", "DEADLINE", "HEDGE_AFTER")
#: Groups of settings that begin with a name of their own.
GROUPS: dict[str, type[Settings]] = {"RETRY": RetryPolicy, "BREAKER": CircuitBreaker}
GROUPED = {
    f"{group}_{field.upper()}": (group, field)
    for group, kind in GROUPS.items()
    for field in kind.model_fields
}


def options_from_environment(env_file: str | os.PathLike[str] | None) -> dict[str, Any]:
    """Return LLMCascade's arguments from the environment, the dotenv file put into it first.

    Raises:
        ConfigurationError: a variable is unknown or malformed, or a file other than ".env" is
            missing.
    """
    if env_file is not None:
        _load(env_file)
    options: dict[str, Any] = {"providers": []}
    groups: dict[str, dict[str, float]] = {}
    for variable, value in sorted(os.environ.items()):
        text = value.strip()
        if not variable.startswith(PREFIX) or not text:
            continue
        name = variable.removeprefix(PREFIX)
        if name == "PROVIDERS":
            entries = [entry.strip() for entry in text.split(",")]
            options["providers"] = [entry for entry in entries if entry]
        elif name in TIMES:
            seconds = None if text.lower() == "none" else _number(variable, text)
            options[name.lower()] = check_seconds(variable, seconds, ConfigurationError)
        elif name == "VALIDATION_RETRIES":
            count = check_count(variable, _number(variable, text), ConfigurationError)
            options[name.lower()] = count
        elif name in GROUPED:
            group, field = GROUPED[name]
            groups.setdefault(group, {})[field] = _number(variable, text)
        else:
            known = ", _".join(("PROVIDERS", *TIMES, "VALIDATION_RETRIES", *GROUPED))
            raise ConfigurationError(f"{variable} is not a setting; expected {PREFIX}{known}")
    for group, fields in groups.items():
        options[group.lower()] = GROUPS[group](**fields)
    return options


def _load(env_file: str | os.PathLike[str]) -> None:
    """Put a dotenv file's variables into the environment, without touching those that are set."""
    from dotenv import load_dotenv  # noqa: PLC0415 - importing the package must stay quick

    if Path(env_file).is_file():
        load_dotenv(env_file, override=False)
    elif str(env_file) != ".env":
        raise ConfigurationError(f"env_file {str(env_file)!r} does not exist")


def _number(variable: str, text: str) -> float:
    """Return a number, an int if it is one."""
    try:
        return int(text) if text.isdigit() else float(text)
    except ValueError:
        raise ConfigurationError(f"{variable} must be a number, not {text!r}") from None
