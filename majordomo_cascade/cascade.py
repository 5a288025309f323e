"""What users hold: a list of providers, and the ways to ask it."""

from __future__ import annotations

import asyncio
import inspect
import os
import pickle
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import EllipsisType
from typing import TYPE_CHECKING, Any, TypeVar, final

from .asking import Question
from .chunks import Chunks
from .errors import ConfigurationError, InvalidRequestError, MajordomoError, ProviderError
from .failover import Answer, Call, Clock, Limits, Rules, SystemClock
from .gateway import NO_LIMIT, Endpoint, resolve
from .health import Breaker, CircuitBreaker, TargetHealth
from .request import Message, build_messages, check_messages, check_params, fresh
from .responses import Attempt, LLMJSONResponse, LLMResponse, LLMStructuredResponse
from .retry import RetryPolicy
from .settings import Settings, seconds, times
from .streaming import ChunkStream, LLMStreamResponse, Source, begun
from .structured import Form, JSONForm, TextForm, schema_form, type_form
from .target import Target

if TYPE_CHECKING:
    from typing_extensions import TypeForm  # unions are no `type` to a type checker

T = TypeVar("T")

#: Parameters that lead to the real providers, which no rehearsal may reach.
WAYS_OUT = ("api_base", "api_key", "client", "extra_headers", "headers")

#: Seconds that are left to a vendor to name the usage, and end, once it has given the finish reason.
LAST_WORDS = 1.0

Entry = Target | str | tuple[str, str]
FailoverRule = type[BaseException] | tuple[type[BaseException], ...] | Callable[[MajordomoError], bool]


@final
class LLMCascade:
    """Providers in order of preference; the first that can answer does.

        cascade = LLMCascade([("anthropic", "claude-sonnet-4-5"), ("openai", "gpt-4.1")])
        response = await cascade.get_response("Summarize this document: …")
        print(response.content, response.provider, response.cost)

    Each target is asked up to three times, with waits in between; then the next one is. A mistake of the caller's is
    raised at once. If all fail, the last ``ProviderError`` is raised, with everything that was tried in ``attempts``.

    A cascade is immutable, safe to share between tasks, and works in any event loop. It pickles as its configuration,
    *with the API keys it was given, in clear*: treat such a pickle as a secret.

    Args:
        providers: ``("openai", "gpt-4.1")``, ``"openai/gpt-4.1"`` or ``Target(...)``; a bare name of a chat model that
            LiteLLM knows will do, too.
        retry: how often, and after which waits, one target is asked.
        breaker: when a target that fails is asked last instead of in its turn; None for never.
        timeout: seconds for one attempt, for a stream until its first content; None for no limit. A target's own comes
            first, a call's before both.
        first_token_timeout: seconds until the first content of a stream, where ``timeout`` shall be longer.
        stall_timeout: seconds of silence inside a stream; None for no limit.
        deadline: seconds for the whole call, with all targets, retries and waits; None for no limit.
        hedge_after: seconds without an answer after which the next target is asked beside a slow one, which may cost
            two answers; None for never.
        reasks: how often a target is shown what is wrong with its JSON, and asked again; each time may cost an answer.
        failover_on: exception types, or a function from ``MajordomoError`` to bool: what moves a call on to the next
            target. (``DeadlineExceededError`` never does.)
        on_attempt: called with every ``Attempt`` as it ends. What it raises is logged, and breaks nothing.
        **params: sent with every ``litellm.acompletion`` call. A target's own beat these, a call's beat both.

    Raises:
        ConfigurationError: the cascade can't be built as asked.
    """

    __slots__ = ("_config", "_endpoints", "_is_gateway", "_limits", "_reasks", "_rules")

    def __init__(
        self,
        providers: Iterable[Entry],
        *,
        retry: RetryPolicy = RetryPolicy(),  # noqa: B008 - frozen
        breaker: CircuitBreaker | None = CircuitBreaker(),  # noqa: B008 - likewise
        timeout: float | None = 120.0,
        first_token_timeout: float | None = None,
        stall_timeout: float | None = 30.0,
        deadline: float | None = None,
        hedge_after: float | None = None,
        reasks: int = 0,
        failover_on: FailoverRule = (ProviderError,),
        on_attempt: Callable[[Attempt], object] | None = None,
        **params: Any,
    ) -> None:
        targets = _targets(providers)
        if not isinstance(retry, RetryPolicy):
            raise ConfigurationError(f"retry must be a RetryPolicy, such as RetryPolicy(attempts=2), not {retry!r}")
        if not isinstance(breaker, CircuitBreaker | None):
            raise ConfigurationError(
                f"breaker must be a CircuitBreaker, such as CircuitBreaker(failures=5), or None, not {breaker!r}"
            )
        awaited = any(map(inspect.iscoroutinefunction, (on_attempt, getattr(on_attempt, "__call__", None))))  # noqa: B004
        if on_attempt is not None and (awaited or not callable(on_attempt)):
            raise ConfigurationError("on_attempt must be a plain function that takes an Attempt; it is not awaited")
        params = fresh(check_params(params, (target.provider for target in targets), ConfigurationError))
        for target in targets:
            check_params(target.params, (target.provider,), ConfigurationError)
        limits = {
            "timeout": timeout,
            "first_token_timeout": first_token_timeout,
            "stall_timeout": stall_timeout,
            "deadline": deadline,
            "hedge_after": hedge_after,
        }
        limits = {name: seconds(name, value, ConfigurationError) for name, value in limits.items()}
        self._reasks = times("reasks", reasks, ConfigurationError)
        own = {"retry": retry, "breaker": breaker, "failover_on": failover_on, "on_attempt": on_attempt}
        self._config: dict[str, Any] = {"providers": targets, **limits, "reasks": reasks, **own, **params}
        self._endpoints = tuple(Endpoint(target, params, limits["timeout"]) for target in targets)
        breakers = {endpoint: Breaker(breaker) for endpoint in self._endpoints}
        self._rules = Rules(retry, _rule(failover_on), on_attempt, SystemClock(), breakers)
        self._limits = replace(Limits(**limits), timeout=...)
        self._is_gateway = params.get("api_base") is not None

    @classmethod
    def from_env(cls, env_file: str | os.PathLike[str] | None = ".env", **options: Any) -> LLMCascade:
        """A cascade from ``MAJORDOMO_…`` variables, read from the environment and from a dotenv file.

        ``MAJORDOMO_PROVIDERS=anthropic/claude-sonnet-4-5,openai/gpt-4.1`` is needed. ``MAJORDOMO_TIMEOUT``,
        ``_FIRST_TOKEN_TIMEOUT``, ``_STALL_TIMEOUT``, ``_DEADLINE`` and ``_HEDGE_AFTER`` are seconds or "none",
        ``_REASKS`` is a number; ``MAJORDOMO_RETRY_ATTEMPTS`` and its like are RetryPolicy's,
        ``MAJORDOMO_BREAKER_FAILURES`` and its like CircuitBreaker's; all of them stand in ``.env.example``. The file's
        variables, keys included, are put into the environment, where LiteLLM finds them; those that are set already
        win. ``options`` are LLMCascade's own arguments, and win over both.

        Raises:
            ConfigurationError: a variable is missing, unknown or malformed, or a file other than ".env" is missing.
        """
        _load_env_file(env_file)
        options = {**_options_from(os.environ), **options}
        if not options["providers"]:
            raise ConfigurationError(
                "MAJORDOMO_PROVIDERS is not set; expected a list such as anthropic/claude-sonnet-4-5,openai/gpt-4.1"
            )
        return cls(**options)

    @property
    def targets(self) -> tuple[Target, ...]:
        """The targets, in order of preference."""
        return tuple(endpoint.target for endpoint in self._endpoints)

    @property
    def health(self) -> tuple[TargetHealth, ...]:
        """How each target is doing, in order of preference."""
        now = self._rules.clock.now()
        pairs = ((endpoint, self._rules.breakers[endpoint]) for endpoint in self._endpoints)
        return tuple(
            TargetHealth(
                endpoint.provider,
                endpoint.model,
                breaker.state(now),
                breaker.failures,
                breaker.cooldown(now),
                endpoint.ladder.rung(),
            )
            for endpoint, breaker in pairs
        )

    async def get_response(
        self,
        user_prompt: str | None = None,
        system_prompt: str | None = None,
        *,
        messages: Sequence[Message] | None = None,
        temperature: float | None = None,
        top_p: float | None = None,
        max_tokens: int | None = None,
        timeout: float | EllipsisType | None = ...,
        deadline: float | EllipsisType | None = ...,
        hedge_after: float | EllipsisType | None = ...,
        **params: Any,
    ) -> LLMResponse:
        """Ask for text.

        Args:
            user_prompt: what to answer; or give ``messages``.
            system_prompt: how to answer it.
            messages: many turns, images, tool results, in OpenAI's format, instead of the prompts.
            temperature: not sent if None, nor are ``top_p`` and ``max_tokens``.
            top_p: see ``temperature``.
            max_tokens: the longest answer. One that it cuts comes back with ``finish_reason="length"``.
            timeout: seconds for one attempt, instead of the target's and the cascade's; None for no limit.
            deadline: seconds for the whole call, instead of the cascade's; None for no limit.
            hedge_after: seconds after which the next target is asked as well, instead of the cascade's; None for never.
            **params: anything else that ``litellm.acompletion`` takes; they beat the target's and the cascade's.

        Raises:
            RequestError: the request is at fault; mistakes that can be seen here are seen before any request.
            ResponseTruncatedError: ``max_tokens`` was spent before any text came.
            ProviderError: no target could serve; this is what the last one said.
        """
        sent = self._checked(params, temperature=temperature, top_p=top_p, max_tokens=max_tokens)
        limits = self._limited(timeout=timeout, deadline=deadline, hedge_after=hedge_after)
        asked = build_messages(user_prompt, system_prompt, messages)
        return LLMResponse(**await self._ask(TextForm(), asked, limits, sent))

    async def get_json_response(
        self,
        user_prompt: str | None = None,
        system_prompt: str | None = None,
        *,
        messages: Sequence[Message] | None = None,
        temperature: float | None = None,
        top_p: float | None = None,
        max_tokens: int | None = None,
        timeout: float | EllipsisType | None = ...,
        deadline: float | EllipsisType | None = ...,
        hedge_after: float | EllipsisType | None = ...,
        schema: Mapping[str, Any] | None = None,
        reasks: int | EllipsisType = ...,
        **params: Any,
    ) -> LLMJSONResponse:
        """Ask for a JSON object or array, as ``get_structured_json_response`` does it.

        Args:
            schema: a JSON Schema that the answer must match (``$ref`` only within it; ``format`` is not checked). None
                for any shape.
            reasks: how often a target is shown what is wrong with its answer and asked again, instead of the cascade's.

        The other arguments and errors are those of ``get_response``, and:

        Raises:
            ResponseParsingError: the answer is not JSON.
            ResponseValidationError: the answer is JSON, but does not match the schema.
            ResponseTruncatedError: ``max_tokens`` cut the answer.
        """
        form: Form[dict[str, Any] | list[Any]] = JSONForm() if schema is None else schema_form(schema)
        if schema is not None and "response_format" in params:
            raise InvalidRequestError("response_format is made from schema here; give only one of them")
        sent = self._checked(params, temperature=temperature, top_p=top_p, max_tokens=max_tokens)
        limits = self._limited(timeout=timeout, deadline=deadline, hedge_after=hedge_after)
        asked = build_messages(user_prompt, system_prompt, messages)
        return LLMJSONResponse(**await self._ask(form, asked, limits, sent, reasks))

    async def get_structured_json_response(
        self,
        response_model: TypeForm[T],
        user_prompt: str | None = None,
        system_prompt: str | None = None,
        *,
        messages: Sequence[Message] | None = None,
        temperature: float | None = None,
        top_p: float | None = None,
        max_tokens: int | None = None,
        timeout: float | EllipsisType | None = ...,
        deadline: float | EllipsisType | None = ...,
        hedge_after: float | EllipsisType | None = ...,
        reasks: int | EllipsisType = ...,
        **params: Any,
    ) -> LLMStructuredResponse[T]:
        """Ask for a value of a type, by the surest way that the target takes.

        That is its JSON Schema as a parameter, or JSON mode with the schema in the prompt, or the schema in the prompt
        alone. It begins where LiteLLM (or the Target) says that the model stands, and goes on one rung lower, for the
        life of the cascade, where the provider refuses that, or where two answers in a row are no JSON.

        Args:
            response_model: anything that pydantic's ``TypeAdapter`` takes: a model, a dataclass, a TypedDict,
                ``list[Item]``, a union, a primitive.
            reasks: how often a target is shown what is wrong with its answer and asked again, instead of the cascade's.

        The other arguments and errors are those of ``get_response``, and:

        Raises:
            ResponseValidationError: the answer is JSON, but not of that type.
            ResponseParsingError: the answer is not JSON.
            ResponseTruncatedError: ``max_tokens`` cut the answer.
        """
        if "response_format" in params:
            raise InvalidRequestError("response_format is made from response_model here; give only one of them")
        sent = self._checked(params, temperature=temperature, top_p=top_p, max_tokens=max_tokens)
        limits = self._limited(timeout=timeout, deadline=deadline, hedge_after=hedge_after)
        form = type_form(response_model)
        asked = build_messages(user_prompt, system_prompt, messages)
        return LLMStructuredResponse(**await self._ask(form, asked, limits, sent, reasks))

    async def get_response_stream(
        self,
        user_prompt: str | None = None,
        system_prompt: str | None = None,
        *,
        messages: Sequence[Message] | None = None,
        temperature: float | None = None,
        top_p: float | None = None,
        max_tokens: int | None = None,
        timeout: float | EllipsisType | None = ...,
        first_token_timeout: float | EllipsisType | None = ...,
        stall_timeout: float | EllipsisType | None = ...,
        deadline: float | EllipsisType | None = ...,
        hedge_after: float | EllipsisType | None = ...,
        **params: Any,
    ) -> LLMStreamResponse:
        """Ask for text as it is written. Returns when the first of it has come; until then it fails over as any call.

        Arguments and errors are those of ``get_response``, and ``first_token_timeout`` and ``stall_timeout``: seconds,
        instead of the cascade's. What happens when the stream breaks later is up to the way it is read: see
        ``LLMStreamResponse``.
        """
        sent = self._checked(params, temperature=temperature, top_p=top_p, max_tokens=max_tokens)
        asked = build_messages(user_prompt, system_prompt, messages)
        limits = self._limited(
            timeout=timeout,
            first_token_timeout=first_token_timeout,
            stall_timeout=stall_timeout,
            deadline=deadline,
            hedge_after=hedge_after,
        )
        return LLMStreamResponse(await self._open(asked, limits, sent))

    async def acompletion(
        self,
        messages: Sequence[Message],
        *,
        stream: bool | None = None,
        timeout: float | EllipsisType | None = ...,
        first_token_timeout: float | EllipsisType | None = ...,
        stall_timeout: float | EllipsisType | None = ...,
        deadline: float | EllipsisType | None = ...,
        hedge_after: float | EllipsisType | None = ...,
        **params: Any,
    ) -> Any:
        """``litellm.acompletion`` without ``model``: takes what it takes, gives back LiteLLM's own ``ModelResponse``.

        With ``stream=True`` it gives back an async iterator of LiteLLM's own chunks, with ``aclose``. It fails over
        until the first content; if it breaks later, it raises ``StreamInterruptedError``.

        Raises:
            RequestError, ResponseTruncatedError, ProviderError: as for ``get_response``. LiteLLM's own exception is
                the ``__cause__``.
        """
        sent, asked = self._checked(params), check_messages(messages)
        limits = self._limited(
            timeout=timeout,
            first_token_timeout=first_token_timeout,
            stall_timeout=stall_timeout,
            deadline=deadline,
            hedge_after=hedge_after,
        )
        if stream:
            return ChunkStream(await self._open(asked, limits, sent))
        return (await self._ask(TextForm(), asked, limits, sent))["raw"]

    def _limited(self, **given: float | EllipsisType | None) -> Limits:
        """The cascade's times, and instead of them those that were given with a call."""
        own = {name: seconds(name, value, InvalidRequestError) for name, value in given.items() if value is not ...}
        return replace(self._limits, **own) if own else self._limits

    def _checked(self, params: dict[str, Any], **sampling: float | None) -> dict[str, Any]:
        """The parameters of a call, those that are not set left out."""
        if params:
            providers = (endpoint.provider for endpoint in self._endpoints)
            params = check_params(params, providers, InvalidRequestError, gateway=self._is_gateway)
        params.update((name, value) for name, value in sampling.items() if value is not None)
        return params

    async def _ask(
        self,
        form: Form[T],
        messages: list[Message],
        limits: Limits,
        params: dict[str, Any],
        reasks: int | EllipsisType = ...,
    ) -> dict[str, Any]:
        """The path of all ways to ask for a whole answer: the fields of a Response."""
        if limits.timeout is not ...:
            params["timeout"] = limits.timeout or NO_LIMIT
        reasks = self._reasks if reasks is ... else times("reasks", reasks, InvalidRequestError)
        question = Question(form, messages, params, reasks)
        turn = await Call(self._rules, self._endpoints, limits, question.ask).serve()
        return turn.report(*turn.answer.value)

    async def _open(self, messages: list[Message], limits: Limits, params: dict[str, Any]) -> Source:
        """The path of all ways to ask for a stream."""
        silence = limits.stall_timeout or NO_LIMIT  # LiteLLM's timeout is for each read

        def last_words() -> asyncio.Timeout:
            return self._rules.clock.timeout(min(LAST_WORDS, silence / 2, call.remaining() / 2))

        async def ask(endpoint: Endpoint) -> Answer[Chunks]:
            timeout = endpoint.timeout if limits.timeout is ... else limits.timeout
            sent = {**params, "timeout": max(timeout or NO_LIMIT, silence)}
            return await begun(endpoint, await endpoint.stream(messages, sent, last_words))

        call = Call(self._rules, self._endpoints, limits, ask, is_stream=True)
        return Source(call, await call.serve())

    def _rehearsed(self, targets: list[Target], clock: Clock) -> LLMCascade:
        """The same cascade over other targets and another clock, for ``majordomo_cascade.testing``."""
        config = {name: value for name, value in self._config.items() if name not in WAYS_OUT}
        twin = LLMCascade(**{**config, "providers": targets})
        twin._rules = replace(twin._rules, clock=clock)
        return twin

    def __repr__(self) -> str:
        names = ", ".join(repr(f"{target.provider}/{target.model}") for target in self.targets)
        return f"LLMCascade([{names}])"

    def __reduce__(self) -> tuple[Callable[..., LLMCascade], tuple[dict[str, Any]]]:
        for name, value in self._config.items():
            try:
                pickle.dumps(value)
            except Exception as error:
                raise pickle.PicklingError(
                    f"this LLMCascade can't be pickled because of its {name} ({type(value).__name__}): "
                    "use a function or class that can be imported by name, or build the cascade where it is used"
                ) from error
        return _rebuild, (self._config,)


def _targets(providers: Any) -> list[Target]:
    """The checked targets of a cascade."""
    if isinstance(providers, str | Target | Mapping) or not isinstance(providers, Iterable):
        raise ConfigurationError(
            f"providers must be a list such as [('openai', 'gpt-4.1')], not {type(providers).__name__}"
        )
    entries = list(providers)
    if not entries:
        raise ConfigurationError("providers is empty; a cascade needs at least one, such as ('openai', 'gpt-4.1')")
    if isinstance(providers, tuple) and len(entries) == 2 and all(isinstance(e, str) and "/" not in e for e in entries):
        raise ConfigurationError("providers must be a list of pairs such as [('openai', 'gpt-4.1')], not one pair")
    return [resolve(entry) for entry in entries]


def _rule(failover_on: Any) -> Callable[[MajordomoError], bool]:
    """``failover_on`` as a function."""
    types = failover_on if isinstance(failover_on, tuple) else (failover_on,)
    if all(isinstance(kind, type) and issubclass(kind, BaseException) for kind in types):
        return lambda error: isinstance(error, types)
    if callable(failover_on) and not isinstance(failover_on, type):
        return lambda error: bool(failover_on(error))
    raise ConfigurationError(
        f"failover_on must be exception types such as (ProviderError,), or a function from an error to bool, "
        f"not {failover_on!r}"
    )


def _rebuild(config: dict[str, Any]) -> LLMCascade:
    """Unpickle a cascade."""
    return LLMCascade(**config)


def _load_env_file(env_file: str | os.PathLike[str] | None) -> None:
    """Put a dotenv file's variables into the environment, without touching those that are set."""
    if env_file is None:
        return
    from dotenv import load_dotenv  # noqa: PLC0415 - importing the package must stay quick

    if not Path(env_file).is_file():
        if str(env_file) != ".env":
            raise ConfigurationError(f"env_file {str(env_file)!r} does not exist")
        return
    load_dotenv(env_file, override=False)


#: The times that an environment variable can set, and the groups of settings that begin with a name of their own.
TIMES = ("TIMEOUT", "FIRST_TOKEN_TIMEOUT", "STALL_TIMEOUT", "DEADLINE", "HEDGE_AFTER")
GROUPS: dict[str, type[Settings]] = {"RETRY": RetryPolicy, "BREAKER": CircuitBreaker}


def _options_from(environ: Mapping[str, str]) -> dict[str, Any]:
    """LLMCascade's arguments from ``MAJORDOMO_…`` variables."""
    ours = (
        (name.removeprefix("MAJORDOMO_"), value) for name, value in environ.items() if name.startswith("MAJORDOMO_")
    )
    given = {name: value for name, value in ours if value.strip()}
    grouped = {f"{group}_{name.upper()}": (group, name) for group, kind in GROUPS.items() for name in kind.model_fields}
    if unknown := given.keys() - {"PROVIDERS", "REASKS", *TIMES} - grouped.keys():
        raise ConfigurationError(
            f"MAJORDOMO_{min(unknown)} is not a setting; expected MAJORDOMO_"
            + ", _".join(("PROVIDERS", *TIMES, "REASKS", *grouped))
        )
    providers = (entry.strip() for entry in given.get("PROVIDERS", "").split(","))
    options: dict[str, Any] = {"providers": [entry for entry in providers if entry]}
    for name in given.keys() & TIMES:
        limit = None if given[name].strip().lower() == "none" else _number(name, given[name])
        options[name.lower()] = seconds(f"MAJORDOMO_{name}", limit, ConfigurationError)
    if "REASKS" in given:
        options["reasks"] = times("MAJORDOMO_REASKS", _number("REASKS", given["REASKS"]), ConfigurationError)
    for group, kind in GROUPS.items():
        fields = {
            field: _number(name, given[name]) for name, (of, field) in grouped.items() if of == group and name in given
        }
        if fields:
            options[group.lower()] = kind(**fields)
    return options


def _number(name: str, text: str) -> float:
    """A number from a variable, an int where it is one."""
    try:
        return int(text) if text.strip().isdigit() else float(text)
    except ValueError:
        raise ConfigurationError(f"MAJORDOMO_{name} must be a number, not {text!r}") from None
