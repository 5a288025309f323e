"""The settings that users write, and how they are checked."""

import math
from collections.abc import Callable
from enum import Enum
from inspect import isawaitable, iscoroutine, iscoroutinefunction
from typing import Annotated, Any, Literal, TypedDict, TypeVar, Unpack, get_args
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    NonNegativeFloat,
    PositiveFloat,
    PositiveInt,
    SecretStr,
    StringConstraints,
    ValidationError,
)
from pydantic_core import ErrorDetails

from .errors import ConfigurationError, MajordomoError

T = TypeVar("T")

Mode = Literal["json_schema", "json_mode", "prompt"]
"""A way to ask for JSON, from the surest to the one that every model takes."""

MODES: tuple[Mode, ...] = get_args(Mode)

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
        kind = type(self)
        known = ", ".join(kind.model_fields)
        if unnamed:
            raise ConfigurationError(f"{kind.__name__} takes its settings by name: {known}")
        try:
            super().__init__(**fields)
        except ValidationError as error:
            problems = "; ".join(_explain(each, known) for each in error.errors())
            raise ConfigurationError(f"{kind.__name__}: {problems}") from None


def _explain(problem: ErrorDetails, known: str) -> str:
    """Tell one of pydantic's problems. Only numbers are quoted: the rest may be secret."""
    name = ".".join(map(str, problem["loc"]))
    if problem["type"] == "extra_forbidden":
        return f"there is no {name!r}; expected {known}"
    given = f", not {problem['input']!r}" if isinstance(problem["input"], int | float) else ""
    return f"{name}: {problem['msg'].removeprefix('Value error, ')}{given}"


class RetryPolicy(Settings):
    """The number of requests to one target, and the waits in between. Times are seconds.

    The waits are drawn between 0 and ``base * factor**n``, at most ``max_wait``. This "full jitter"
    gives a recovering server the least work:
    https://aws.amazon.com/builders-library/timeouts-retries-and-backoff-with-jitter/
    """

    attempts: PositiveInt = 3
    """Requests to one target, the first included."""
    base: NonNegativeFloat = 0.5
    factor: Annotated[float, Field(ge=1)] = 2.0
    max_wait: NonNegativeFloat = 4.0
    """The longest wait; a Retry-After up to this is obeyed although another target is left."""
    max_retry_after: NonNegativeFloat = 30.0
    """The longest Retry-After that is obeyed if no other target is left."""


class CircuitBreaker(Settings):
    """The rule by which a failing target is asked last. Times are seconds.

    The pattern is Michael Nygard's ("Release It!", 2007). Unlike there, no target is ever skipped.
    """

    failures: PositiveInt = 3
    """Failed calls in a row, retries included, until the target moves to the end of the order."""
    cooldown: PositiveFloat = 10.0
    """The first cooldown; then one call probes the target. It doubles with each failure."""
    max_cooldown: PositiveFloat = 30.0
    """The longest cooldown; only the target's own Retry-After can be longer, up to an hour."""


def check_key(key: Any) -> str:
    """Return a key, or raise ValueError if no HTTP header can hold it (RFC 9110, section 5.5)."""
    if isinstance(key, SecretStr):
        key = key.get_secret_value()
    if not isinstance(key, str) or not key:
        raise ValueError("must be a string, not empty; left out, LiteLLM reads the environment")
    if not key.isascii() or not key.isprintable() or key != key.strip():
        raise ValueError(
            "holds a line break, a space at an end, or a character that is not ASCII; "
            "was it copied whole?"
        )
    return key


def check_url(url: Any) -> str:
    """Return an API's base, or raise ValueError, without showing it: it may hold a password."""
    parts = urlsplit(str(url))
    if parts.scheme not in ("http", "https") or not parts.netloc:
        raise ValueError("must be a URL such as 'https://host/v1'")
    return str(url)


def _check_names(params: dict[str, Any]) -> dict[str, Any]:
    for name in ("api_key", "api_base", "base_url", "timeout", "model", "messages"):
        if name in params:
            raise ValueError(
                f"must not hold {name!r}, which is a field of Target or an argument of the call"
            )
    return params


Name = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)]
Key = Annotated[SecretStr, AfterValidator(lambda key: SecretStr(check_key(key)))]
Parameters = Annotated[dict[str, Any], AfterValidator(_check_names), Field(repr=False)]


class TargetOptions(TypedDict, total=False):
    """The keyword arguments of ``Target``."""

    api_key: SecretStr | str | None
    api_base: str | None
    timeout: float | None
    params: dict[str, Any]
    overrides: dict[str, Any]
    structured_output: Mode | None
    name: str | None


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
        structured_output: the surest way in which the model gives JSON, if LiteLLM is wrong about
            it: "json_schema", "json_mode", or "prompt".
        name: in trails, logs, errors and health, where it tells two keys or regions of one model
            apart; "provider/model" if left out.

    Raises:
        ConfigurationError: a field is unknown or of the wrong type.
    """

    provider: Name
    model: Name
    api_key: Key | None = None
    api_base: Annotated[str, AfterValidator(check_url)] | None = Field(default=None, repr=False)
    timeout: PositiveFloat | None = None
    params: Parameters = {}
    overrides: Parameters = {}
    structured_output: Mode | None = None
    name: Name = ""

    def __init__(self, provider: str, model: str, **options: Unpack[TargetOptions]) -> None:
        given = {name: value for name, value in options.items() if value is not None}
        super().__init__(provider=provider, model=model, **given)
        if not self.name:
            object.__setattr__(self, "name", f"{self.provider}/{self.model}")


def check_seconds(name: str, value: Any, error: type[MajordomoError]) -> float | None:
    """Return a time limit as a float, or None for no limit; else raise ``error``."""
    if value is None:
        return None
    if not isinstance(value, int | float) or value is True or not 0 < value < math.inf:
        raise error(
            f"{name} must be a positive number of seconds, or None for no limit, not {value!r}"
        )
    return float(value)


def check_count(name: str, value: Any, error: type[MajordomoError]) -> int:
    """Return a count: 0, 1, 2 …; else raise ``error``."""
    if type(value) is not int or value < 0:
        raise error(f"{name} must be 0 or a positive whole number, not {value!r}")
    return value


def check_plain_function(name: str, function: Any, takes: str) -> None:
    """Raise ConfigurationError if a function cannot be called, or is asynchronous."""
    if not callable(function) or any(map(iscoroutinefunction, (function, function.__call__))):
        raise ConfigurationError(
            f"{name} must be a plain function that takes {takes}; it is not awaited"
        )


def yes_or_no(name: str, function: Callable[[T], object]) -> Callable[[T], bool]:
    """Make a user's rule give a bool, or a ConfigurationError for a coroutine, which is true."""

    def rule(argument: T) -> bool:
        answer = function(argument)
        if not isawaitable(answer):
            return bool(answer)
        if iscoroutine(answer):
            answer.close()
        raise ConfigurationError(
            f"{name} gave {type(answer).__name__}, which would have to be awaited; "
            "expected a plain function that returns True or False"
        )

    return rule
