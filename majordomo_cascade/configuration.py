"""Check the providers and options of a cascade."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import fields
from typing import Any

from . import errors
from .errors import ConfigurationError, MajordomoError
from .failover import Limits
from .gateway import resolve
from .options import (
    CircuitBreaker,
    RetryPolicy,
    Target,
    check_count,
    check_plain_function,
    check_seconds,
    yes_or_no,
)
from .request import check_params
from .shared_health import RedisHealth

#: The options that are numbers, and the check of each.
NUMBERS: dict[str, Callable[[str, Any, type[MajordomoError]], Any]] = {
    **{limit.name: check_seconds for limit in fields(Limits)},
    "validation_retries": check_count,
}

#: The options that are functions, and the argument of each.
FUNCTIONS = {"accept": "an LLMResponse and returns True or False", "on_attempt": "an Attempt"}


def check_options(options: Mapping[str, Any]) -> None:
    """Check the options of a cascade."""
    retry = options["retry"]
    if not isinstance(retry, RetryPolicy):
        raise ConfigurationError(
            f"retry must be a RetryPolicy, such as RetryPolicy(attempts=2), not {retry!r}"
        )
    breaker = options["breaker"]
    if not isinstance(breaker, CircuitBreaker | None):
        raise ConfigurationError(
            "breaker must be a CircuitBreaker, such as CircuitBreaker(failures=5), or None, "
            f"not {breaker!r}"
        )
    telemetry = options["telemetry"]
    if not isinstance(telemetry, bool):
        raise ConfigurationError(f"telemetry must be True or False, not {telemetry!r}")
    shared_health = options["shared_health"]
    if not isinstance(shared_health, RedisHealth | None):
        raise ConfigurationError(
            "shared_health must be a RedisHealth, such as RedisHealth('redis://localhost'), or "
            f"None, not {type(shared_health).__name__}"
        )
    if shared_health is not None and breaker is None:
        raise ConfigurationError("shared_health shares breakers; breaker=None leaves none to share")
    for name, check in NUMBERS.items():
        check(name, options[name], ConfigurationError)
    for name, argument in FUNCTIONS.items():
        if options[name] is not None:
            check_plain_function(name, options[name], argument)


def targets_of(providers: Any) -> list[Target]:
    """Return the checked targets of a cascade."""
    example = "a list such as [('openai', 'gpt-5.5')]"
    if isinstance(providers, str | Target | Mapping) or not isinstance(providers, Iterable):
        raise ConfigurationError(f"providers must be {example}, not {type(providers).__name__}")
    entries = list(providers)
    if not entries:
        raise ConfigurationError(f"providers is empty; expected {example}")
    names = [entry for entry in entries if isinstance(entry, str) and "/" not in entry]
    if isinstance(providers, tuple) and len(entries) == len(names) == 2:
        raise ConfigurationError(f"providers must be {example}, not one pair")
    targets = [_checked(resolve(entry)) for entry in entries]
    given = [each.name for each in targets if each.name != f"{each.provider}/{each.model}"]
    for name in given:
        if given.count(name) > 1:
            raise ConfigurationError(f"two targets have the name {name!r}; give each its own")
    return targets


def _checked(target: Target) -> Target:
    """Return a target with checked parameters, rid of LiteLLM's retries."""
    checked = {
        "params": check_params(target.params, (), ConfigurationError),
        "overrides": check_params(target.overrides, (), ConfigurationError),
    }
    return target.model_copy(update=checked)


def rule_of(failover_on: Any) -> Callable[[MajordomoError], bool]:
    """Return ``failover_on`` as a function."""
    if callable(failover_on) and not isinstance(failover_on, type):
        check_plain_function("failover_on", failover_on, "an error and returns True or False")
        return yes_or_no("failover_on", failover_on)
    kinds = tuple(failover_on) if isinstance(failover_on, list | tuple) else (failover_on,)
    raised = [kind for kind in vars(errors).values() if isinstance(kind, type)]
    for kind in kinds:
        if not (isinstance(kind, type) and issubclass(kind, BaseException)):
            raise ConfigurationError(
                "failover_on must be exception types such as (ProviderError,), or a function from "
                f"an error to bool, not {failover_on!r}"
            )
        if not any(issubclass(each, kind) for each in raised):
            raise ConfigurationError(
                f"failover_on has {kind.__name__}, which is never raised here; expected types of "
                "majordomo_cascade, such as RateLimitError"
            )
    return lambda error: isinstance(error, kinds)
