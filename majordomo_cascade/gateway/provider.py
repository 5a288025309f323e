"""Cascades as models of LiteLLM's: the custom provider ``cascade``."""

import contextlib
import re
from collections.abc import AsyncGenerator, Callable, Iterable, Iterator, Mapping
from functools import cache
from typing import Any
from weakref import WeakKeyDictionary

import litellm

from ..errors import ConfigurationError, MajordomoError
from ..options import Target
from .outward_errors import keep_class, outward
from .portal import SyncIterator, portal

PROVIDER = "cascade"

#: LiteLLM's parameters that are no business of the targets'.
HOSTS_OWN = ("max_retries", "stream", "stream_options")

#: Seconds that LiteLLM hands on if no timeout was given.
LITELLMS_TIMEOUT = 600

WINDOWS = ("max_input_tokens", "max_output_tokens")

#: Makes the cascade that an unregistered name spells; None if it spells none.
Build = Callable[[str], Any]

#: What LiteLLM hands to a custom provider.
Call = Mapping[str, Any]

Chunk = dict[str, Any]


class CascadeProvider(litellm.CustomLLM):  # type: ignore[misc] # LiteLLM's types are not read
    """Serves ``model="cascade/<name>"``, in the four ways in which LiteLLM asks."""

    def __init__(self, build: Build) -> None:
        super().__init__()
        self._build = build
        self._cascades: dict[str, Any] = {}
        self._failures: WeakKeyDictionary[Any, tuple[str, Exception]] = WeakKeyDictionary()

    def register(self, name: str, cascade: Any) -> None:
        """Let LiteLLM serve ``cascade/<name>``, and tell it what all targets can do."""
        is_name = isinstance(name, str) and re.fullmatch(r"[A-Za-z0-9._-]+", name)
        if not is_name or name == "env":
            raise ConfigurationError(
                f"a cascade can't be registered as {name!r}: use letters, digits, '-', '_' and "
                "'.'; 'env' is taken"
            )
        self._cascades[name] = cascade
        if not any(each["custom_handler"] is self for each in litellm.custom_provider_map):
            litellm.custom_provider_map.append({"provider": PROVIDER, "custom_handler": self})
        litellm.utils.custom_llm_setup()
        model = f"{PROVIDER}/{name}"
        litellm.model_cost.pop(model, None)  # LiteLLM would merge the two
        litellm.register_model({model: _abilities_of(cascade.targets)})

    def unregister(self, name: str) -> None:
        """Take a name away from LiteLLM, if it is there."""
        self._cascades.pop(name, None)
        litellm.model_cost.pop(f"{PROVIDER}/{name}", None)

    def completion(self, *_: Any, **call: Any) -> Any:
        """Answer a synchronous host."""
        return portal.call(self.acompletion, **call)

    async def acompletion(self, *_: Any, **call: Any) -> Any:
        """Answer an asynchronous host."""
        with self._outward_errors(call):
            cascade = self._find(call["model"])
            response = await cascade.get_response(**_arguments_of(call))
        _bill(call, response.total_cost)
        return response.raw

    def streaming(self, *_: Any, **call: Any) -> Any:
        """Stream to a synchronous host. Returns when the first content has come."""
        chunks = self._read(call, portal.call(self._open, call))
        return SyncIterator(chunks, chunks.aclose)

    def astreaming(self, *_: Any, **call: Any) -> Any:
        """Stream to an asynchronous host. LiteLLM lets it ask at the first read only."""
        return self._read(call)

    async def _open(self, call: Call) -> Any:
        """Ask for a stream, and return it when the first content has come."""
        with self._outward_errors(call):
            cascade = self._find(call["model"])
            options = {"stream": True, "stream_options": {"include_usage": True}}
            return await cascade.acompletion(**_arguments_of(call), **options)

    async def _read(self, call: Call, stream: Any = None) -> AsyncGenerator[Chunk, None]:
        """Yield the chunks of a stream, and at the end the finish reason with the usage.

        LiteLLM drops what comes after a finish reason, and then guesses the usage.
        """
        reason = usage = None
        try:
            stream = stream or await self._open(call)
            with self._outward_errors(call):
                async for chunk in stream:
                    usage = getattr(chunk, "usage", None) or usage
                    for choice in chunk.choices:
                        reason = choice.finish_reason or reason
                    if chunk.choices:
                        text = chunk.choices[0].delta.content or ""
                        yield _piece(text=text, original_chunk=chunk)
        except Exception as error:
            keep_class(error)
            raise
        finally:
            if stream:
                await stream.aclose()
        _bill(call, stream.total_cost)
        counts = usage and usage.model_dump()
        yield _piece(is_finished=True, finish_reason=reason or "stop", usage=counts)

    @contextlib.contextmanager
    def _outward_errors(self, call: Call) -> Iterator[None]:
        """Raise LiteLLM's exceptions.

        A host's ``num_retries`` gets the same one again, and nobody is asked: LiteLLM retries with
        the same logging object.
        """
        model, log = call["model"], call["logging_obj"]
        asked, failure = self._failures.get(log, ("", None))
        if failure is not None and asked == model:
            raise failure
        try:
            yield
        except MajordomoError as error:
            failure = outward(error, PROVIDER, model)
            self._failures[log] = (model, failure)
            raise failure from error

    def _find(self, name: str) -> Any:
        """Return the cascade of a name, built and kept if the name spells it."""
        if name not in self._cascades:
            cascade = self._build(name)
            if cascade is None:
                known = ", ".join(each for each in sorted(self._cascades) if "/" not in each)
                raise litellm.NotFoundError(
                    f"no cascade is registered as {name!r}; registered: {known or 'none'}",
                    model=name,
                    llm_provider=PROVIDER,
                )
            self._cascades.setdefault(name, cascade)
        return self._cascades[name]


@cache
def provider_of(build: Build) -> CascadeProvider:
    """Return the one provider of this process."""
    return CascadeProvider(build)


def _abilities_of(targets: Iterable[Target]) -> dict[str, Any]:
    """Return the smallest windows, and what all targets can do; what is unknown is left out."""
    known = [_known_of(target) for target in targets]
    abilities: dict[str, Any] = {"litellm_provider": PROVIDER, "mode": "chat"}
    for name in WINDOWS:
        sizes = [each.get(name) for each in known]
        if all(sizes):
            abilities[name] = min(filter(None, sizes))
    if "max_output_tokens" in abilities:
        abilities["max_tokens"] = abilities["max_output_tokens"]
    for name in known[0]:
        if name.startswith("supports_") and all(each.get(name) for each in known):
            abilities[name] = True
    return abilities


def _known_of(target: Target) -> Mapping[str, Any]:
    with contextlib.suppress(Exception):  # LiteLLM knows nothing of it
        return {**litellm.get_model_info(target.model, custom_llm_provider=target.provider)}
    return {}


def _arguments_of(call: Call) -> dict[str, Any]:
    """Return the arguments of the cascade's method.

    The inner calls are not logged: the host's callbacks hear of the outer one.
    """
    params = {**call["optional_params"], "messages": call["messages"], "no-log": True}
    for name in HOSTS_OWN:
        params.pop(name, None)
    if call["headers"]:
        params["extra_headers"] = call["headers"]
    timeout = call["timeout"]
    if timeout and timeout != LITELLMS_TIMEOUT:
        params["timeout"] = timeout
    return params


def _bill(call: Call, cost: float | None) -> None:
    """Let LiteLLM's callbacks hear what the call cost, in US dollars; None is unknown.

    LiteLLM would look for a price of the cascade's.
    """
    log = call["logging_obj"]
    # The second name is the one before 1.110.
    log.response_cost_calculator = log._response_cost_calculator = lambda *_, **__: cost


def _piece(**given: Any) -> Chunk:
    """Return a chunk in the only form that all versions of LiteLLM take.

    It hands on a chunk that is in ``original_chunk`` as it came.
    """
    empty = {"text": "", "tool_use": None, "usage": None, "index": 0}
    return {**empty, "is_finished": False, "finish_reason": "", **given}
