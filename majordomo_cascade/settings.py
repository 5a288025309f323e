"""How configuration is checked: one clear error that says what was given and what was expected."""

from __future__ import annotations

import math
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from .errors import ConfigurationError, MajordomoError

#: Fields whose values are never quoted back.
SECRET = frozenset({"api_key", "params"})


class Settings(BaseModel):
    """A frozen group of settings; wrong ones raise ConfigurationError, all of them at once."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, hide_input_in_errors=True, allow_inf_nan=False)

    def __init__(self, /, **fields: Any) -> None:
        try:
            super().__init__(**fields)
        except ValidationError as error:
            raise ConfigurationError(f"{type(self).__name__}: {describe(error)}") from None


def describe(error: ValidationError) -> str:
    """Every problem of a pydantic error in one line: field, what was expected, what was given."""
    problems = []
    for problem in error.errors(include_url=False, include_context=False):
        name = ".".join(map(str, problem["loc"]))
        given = "" if name.partition(".")[0] in SECRET else f", not {problem['input']!r}"
        problems.append(f"{name}: {problem['msg']}{given}")
    return "; ".join(problems)


def seconds(name: str, value: Any, error: type[MajordomoError]) -> float | None:
    """Check a time limit.

    Raises:
        error: ``value`` is neither None (no limit) nor a positive, finite number of seconds.
    """
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < math.inf:
        raise error(f"{name} must be a positive number of seconds, or None for no limit, not {value!r}")
    return float(value)
