"""A twin of a cascade that asks fake providers instead of its own."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any, NamedTuple

from ..cascade import LLMCascade
from ..errors import ConfigurationError
from ..options import Target
from .clock import ManualClock
from .provider import Behaviour, FakeProvider

#: Parameters that lead to the real provider, or carry its keys.
WAYS_OUT = ("api_base", "api_key", "client", "extra_headers", "headers")


class Simulation(NamedTuple):
    """A twin of a cascade, with a fake provider for each target, and a clock that never waits."""

    cascade: LLMCascade
    providers: Sequence[FakeProvider]
    clock: ManualClock


@contextmanager
def simulate(
    cascade: LLMCascade, *scripts: Behaviour | Sequence[Behaviour], strict: bool = False
) -> Iterator[Simulation]:
    """Let a twin of the cascade meet failures: for each target a behaviour, or one a request.

    Hand ``Simulation.cascade`` to the code under test. It has the same settings, but none of the
    real keys, addresses, headers and clients. A target without a script answers well.
    If it is ``strict``, the providers refuse a history that their vendors refuse.

    Raises:
        ConfigurationError: a script is not made of behaviours, there are too many of them, or a
            vendor's format is not spoken here.
    """
    if not isinstance(cascade, LLMCascade):
        raise ConfigurationError(f"simulate takes an LLMCascade, not {type(cascade).__name__}")
    number = len(cascade.targets)
    if len(scripts) > number:
        raise ConfigurationError(
            f"{len(scripts)} scripts were given for {number} target(s); "
            "a list makes one target's script"
        )
    clock = ManualClock()
    providers: list[FakeProvider] = []
    clock.is_silent = lambda: any(provider.silent for provider in providers)
    with ExitStack() as stack:
        for script in [*scripts, *[()] * (number - len(scripts))]:
            behaviours = script if isinstance(script, Sequence) else [script]
            provider = stack.enter_context(FakeProvider(*behaviours, strict=strict))
            provider.on_silence = clock.pass_silence
            providers.append(provider)
        targets = [*map(_redirect, cascade.targets, providers)]
        twin = cascade._twin(targets, clock, without=WAYS_OUT)
        yield Simulation(twin, providers, clock)


def _redirect(target: Target, provider: FakeProvider) -> Target:
    fields = _without_ways_out(dict(target))
    for name in ("params", "overrides"):
        fields[name] = _without_ways_out(fields[name])
    return provider.target(**fields)


def _without_ways_out(fields: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if name not in WAYS_OUT}
