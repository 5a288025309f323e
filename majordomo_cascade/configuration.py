"""Check the providers and the rules of a cascade."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from . import errors
from .errors import ConfigurationError, MajordomoError
from .gateway import resolve
from .options import Target, check_plain_function, yes_or_no
from .request import check_params


def check_kind(name: str, value: Any, kind: type, example: str) -> None:
    """Check the type of an option."""
    if not isinstance(value, kind):
        raise ConfigurationError(
            f"{name} must be a {kind.__name__}, such as {example}, not {value!r}"
        )


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
    return [_checked(resolve(entry)) for entry in entries]


def _checked(target: Target) -> Target:
    """Return a target whose parameters are checked, and say nothing of LiteLLM's retries."""
    checked = {
        name: check_params(params, [target.provider], ConfigurationError)
        for name, params in (("params", target.params), ("overrides", target.overrides))
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
