"""A twin of a cascade that asks fake providers instead of its own."""

import logging
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any, NamedTuple

from ..cascade import LLMCascade
from ..errors import ConfigurationError
from ..options import Mode, Target
from ..redaction import CREDENTIAL_PARAM
from .clock import ManualClock
from .provider import Behaviour, FakeProvider
from .wires import BASES

logger = logging.getLogger("majordomo_cascade")

#: Parameters and options that lead to the real provider or to its health, or carry its keys.
WAYS_OUT = ("api_base", "api_key", "client", "extra_headers", "headers", "shared_health")


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

    A vendor whose format is not spoken here (Azure, Bedrock, Vertex AI …) has a stand-in: a target
    of the same name and model whose provider is "openai".

    Raises:
        ConfigurationError: a script is not made of behaviours, or there are too many of them.
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
        modes: list[Mode] = [health.structured_output for health in cascade.health]
        targets = [*map(_redirect, cascade.targets, providers, modes)]
        twin = cascade._twin(targets, clock, without=WAYS_OUT)
        yield Simulation(twin, providers, clock)


def _redirect(target: Target, provider: FakeProvider, mode: Mode) -> Target:
    fields = _without_ways_out(dict(target))
    for name in ("params", "overrides"):
        fields[name] = _without_ways_out(fields[name])
    if target.provider not in BASES:
        logger.info("%s is simulated by a stand-in that speaks OpenAI's format", target.name)
        fields |= {"provider": "openai", "structured_output": mode}
    return provider.target(**fields)


def _without_ways_out(fields: dict[str, Any]) -> dict[str, Any]:
    return {
        name: value
        for name, value in fields.items()
        if name not in WAYS_OUT and not CREDENTIAL_PARAM.fullmatch(name)
    }
