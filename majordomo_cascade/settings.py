"""How configuration is checked: one clear error that says what was given and what was expected."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, ValidationError

from .errors import ConfigurationError, MajordomoError

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails


class Settings(BaseModel):
    """A frozen group of settings; wrong ones raise ConfigurationError, all of them at once."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, hide_input_in_errors=True, allow_inf_nan=False)

    def __init__(self, /, *unnamed: Any, **fields: Any) -> None:
        name, known = type(self).__name__, ", ".join(type(self).model_fields)
        if unnamed:
            raise ConfigurationError(f"{name} takes its settings by name: {known}")
        try:
            super().__init__(**fields)
        except ValidationError as error:
            raise ConfigurationError(f"{name}: {'; '.join(_explain(p, known) for p in error.errors())}") from None


def _explain(problem: ErrorDetails, known: str) -> str:
    """One of pydantic's problems: field, what was expected, and what was given where that can be no secret."""
    name = ".".join(map(str, problem["loc"]))
    if problem["type"] == "extra_forbidden":
        return f"there is no {name!r}; expected {known}"
    if problem["type"] == "value_error":
        return f"{name} {problem['msg'].removeprefix('Value error, ')}"
    given = f", not {problem['input']!r}" if isinstance(problem["input"], int | float) else ""
    return f"{name}: {problem['msg']}{given}"


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


def times(name: str, value: Any, error: type[MajordomoError]) -> int:
    """Check how often something may be done.

    Raises:
        error: ``value`` is not 0, 1, 2 ….
    """
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise error(f"{name} must be 0 or a positive whole number, not {value!r}")
    return value
