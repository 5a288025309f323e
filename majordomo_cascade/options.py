"""The settings that users write, and how they are checked."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable
from enum import Enum
from typing import TYPE_CHECKING, Annotated, Any, Literal, Never, TypeVar
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr, ValidationError

from .errors import ConfigurationError, MajordomoError

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

T = TypeVar("T")

Mode = Literal["json_schema", "json_mode", "prompt"]
"""A way to ask for JSON, from the surest to the one that every model takes."""

Dialect = Literal["strict", "plain", "inlined"]
"""How a vendor takes a JSON Schema: in OpenAI's strict mode, as it is, or without references."""


class NotGiven(Enum):
    """The type of ``NOT_GIVEN``, which tells "left out" from None."""

    NOT_GIVEN = "NOT_GIVEN"

    def __repr__(self) -> str:
        return self.value


NOT_GIVEN = NotGiven.NOT_GIVEN


class Settings(BaseModel):
    """A frozen group of settings; wrong ones raise one ConfigurationError that names them all."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", strict=True, hide_input_in_errors=True, allow_inf_nan=False
    )

    def __init__(self, /, *unnamed: Any, **fields: Any) -> None:
        name = type(self).__name__
        known = ", ".join(type(self).model_fields)
        if unnamed:
            raise ConfigurationError(f"{name} takes its settings by name: {known}")
        try:
            super().__init__(**fields)
        except ValidationError as error:
            problems = "; ".join(_explain(problem, known) for problem in error.errors())
            raise ConfigurationError(f"{name}: {problems}") from None


def _explain(problem: ErrorDetails, known: str) -> str:
    """Tell one of pydantic's problems. Only numbers are shown: anything else may be a secret."""
    name = ".".join(map(str, problem["loc"]))
    if problem["type"] == "extra_forbidden":
        return f"there is no {name!r}; expected {known}"
    if problem["type"] == "value_error":
        return f"{name} {problem['msg'].removeprefix('Value error, ')}"
    given = f", not {problem['input']!r}" if isinstance(problem["input"], int | float) else ""
    return f"{name}: {problem['msg']}{given}"


class RetryPolicy(Settings):
    """The number of requests to one target, and the waits in between. Times are seconds.

    The waits are drawn between 0 and ``base * factor**n``, at most ``max_wait``. This "full jitter"
    gives a recovering server the least work:
    https://aws.amazon.com/builders-library/timeouts-retries-and-backoff-with-jitter/
    """

    attempts: Annotated[int, Field(ge=1)] = 3
    """Requests to one target, the first included."""
    base: Annotated[float, Field(ge=0)] = 0.5
    factor: Annotated[float, Field(ge=1)] = 2.0
    max_wait: Annotated[float, Field(ge=0)] = 4.0
    """The longest wait; a Retry-After up to this is obeyed although another target is left."""
    max_retry_after: Annotated[float, Field(ge=0)] = 30.0
    """The longest Retry-After that is obeyed if no other target is left."""


class CircuitBreaker(Settings):
    """The rule by which a failing target is asked last. Times are seconds.

    The pattern is Michael Nygard's ("Release It!", 2007). Unlike there, no target is ever skipped.
    """

    failures: Annotated[int, Field(ge=1)] = 3
    """Failed calls in a row, retries included, until the target moves to the end of the order."""
    cooldown: Annotated[float, Field(gt=0)] = 10.0
    """The first cooldown; then one call probes the target. It doubles with each failure."""
    max_cooldown: Annotated[float, Field(gt=0)] = 30.0
    """The longest cooldown; only the target's own Retry-After can be longer, up to an hour."""


def key_problem(key: str) -> str | None:
    """Tell what keeps a key from being sent in an HTTP header (RFC 9110, section 5.5)."""
    if not key:
        return "is empty; leave it out to let LiteLLM read the environment"
    if key.isascii() and key.isprintable() and key == key.strip():
        return None
    return (
        "holds a line break, a space at an end, or a character that is not ASCII; "
        "was it copied whole?"
    )


def url_problem(url: Any) -> str | None:
    """Tell what keeps a value from being an API's base."""
    parts = urlsplit(url) if isinstance(url, str) else None
    is_url = parts is not None and parts.scheme in ("http", "https") and parts.netloc
    return None if is_url else "must be a URL such as 'https://host/v1'"


def _emptiness(text: str) -> str | None:
    return None if text.strip() else "must not be empty"


def _field_among(params: dict[str, Any]) -> str | None:
    for name in ("api_key", "api_base", "base_url", "timeout", "model", "messages"):
        if name in params:
            return f"must not hold {name!r}, which is a field of Target or an argument of the call"
    return None


def _without(problem_of: Callable[[Any], str | None]) -> AfterValidator:
    """Make a validator of a function that tells what is wrong with a value."""

    def check(value: T) -> T:
        shown = value.get_secret_value() if isinstance(value, SecretStr) else value
        problem = problem_of(shown)
        if problem:
            raise ValueError(problem)
        return value

    return AfterValidator(check)


Name = Annotated[str, _without(_emptiness)]
Parameters = Annotated[dict[str, Any], _without(_field_among)]


class Target(Settings):
    """A provider and a model, with what is particular to them.

    Args:
        provider: LiteLLM's name of the provider (``litellm.provider_list``).
        model: the model's name, as in ``litellm.acompletion(model="provider/model")``.
        api_key: shown in no repr, log or error. Left out, LiteLLM reads it from the environment.
        api_base: the URL of a gateway, or of your own server.
        timeout: seconds for one attempt at this target; None for the cascade's.
        params: sent with every ``litellm.acompletion`` call to this target; a call's beat them.
        overrides: sent instead of what the cascade, ``params`` and a call say; None takes a
            parameter away. For what a fallback cannot take:
            ``overrides={"max_tokens": 16_000, "reasoning_effort": None}``.
        structured_output: the surest way in which the model gives JSON, if LiteLLM does not know
            it or is wrong: "json_schema", "json_mode", or "prompt".

    Raises:
        ConfigurationError: a field is missing, unknown or of the wrong type.
    """

    provider: Name
    model: Name
    api_key: Annotated[SecretStr, _without(key_problem)] | None = None
    # Not shown: a URL may hold a password.
    api_base: Annotated[str, _without(url_problem)] | None = Field(default=None, repr=False)
    timeout: Annotated[float, Field(gt=0)] | None = None
    params: Parameters = Field(default_factory=dict, repr=False)
    overrides: Parameters = Field(default_factory=dict, repr=False)
    structured_output: Mode | None = None

    def __init__(
        self,
        provider: str,
        model: str,
        *,
        api_key: SecretStr | str | None = None,
        api_base: str | None = None,
        timeout: float | None = None,
        params: dict[str, Any] | None = None,
        overrides: dict[str, Any] | None = None,
        structured_output: Mode | None = None,
        **unknown: Never,
    ) -> None:
        super().__init__(
            provider=provider,
            model=model,
            api_key=api_key,
            api_base=api_base,
            timeout=timeout,
            params={} if params is None else params,
            overrides={} if overrides is None else overrides,
            structured_output=structured_output,
            **unknown,
        )


def check_seconds(name: str, value: Any, error: type[MajordomoError]) -> float | None:
    """Return a time limit: None (no limit) or a positive, finite number; else raise ``error``."""
    if value is None:
        return None
    if not isinstance(value, int | float) or value is True or not 0 < value < math.inf:
        raise error(
            f"{name} must be a positive number of seconds, or None for no limit, not {value!r}"
        )
    return float(value)


def check_count(name: str, value: Any, error: type[MajordomoError]) -> int:
    """Return how often something may be done: 0, 1, 2 …; else raise ``error``."""
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise error(f"{name} must be 0 or a positive whole number, not {value!r}")
    return value


def check_plain_function(name: str, function: Any, takes: str) -> None:
    """Check a function that the cascade calls without awaiting it.

    Raises:
        ConfigurationError: it cannot be called, or it is an ``async def``.
    """
    call = getattr(function, "__call__", None)  # noqa: B004 - an object may have an async one
    if not callable(function) or any(map(inspect.iscoroutinefunction, (function, call))):
        raise ConfigurationError(
            f"{name} must be a plain function that takes {takes}; it is not awaited"
        )


def yes_or_no(name: str, function: Callable[[T], object]) -> Callable[[T], bool]:
    """Wrap a rule of the user's so that it gives a bool.

    The rule raises ConfigurationError for a coroutine, which would be taken for a yes.
    """

    def rule(argument: T) -> bool:
        answer = function(argument)
        if inspect.isawaitable(answer):
            if inspect.iscoroutine(answer):
                answer.close()
            raise ConfigurationError(
                f"{name} gave {type(answer).__name__}, which would have to be awaited; "
                "expected a plain function that returns True or False"
            )
        return bool(answer)

    return rule
