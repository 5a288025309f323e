"""``LLMCascade``: a list of providers, and the ways to ask it."""

from __future__ import annotations

import functools
import os
import pickle
from collections.abc import Callable, Coroutine, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, TypeVar, final, overload

from .batch import Batch, Prompts
from .candidate import Candidate, respond
from .check import CheckReport, check_targets
from .configuration import check_options, rule_of, targets_of
from .drill import DrillReport, DrillRow, drill_all
from .environment import options_from_environment
from .errors import (
    BadRequestError,
    ConfigurationError,
    MajordomoError,
    ProviderError,
    ResponseRejectedError,
)
from .failover import (
    Call,
    CascadeHealth,
    Clock,
    Limits,
    Rules,
    RunningAttempt,
    SystemClock,
    TargetHealth,
    Turn,
    serve,
)
from .gateway import NO_LIMIT, Completion, Session, TargetClient
from .options import (
    NOT_GIVEN,
    CircuitBreaker,
    NotGiven,
    RetryPolicy,
    Target,
    check_count,
    check_seconds,
    yes_or_no,
)
from .redaction import brings_credentials
from .request import Message, build_messages, check_params, copy
from .responses import Attempt, LLMResponse
from .shared_health import RedisHealth
from .signature import takes_arguments_of, takes_type_and_arguments_of
from .streaming import ChunkStream, LLMStreamResponse, Source, StreamQuestion
from .structured import Form, JSONForm, type_form
from .structured.loop import JSONQuestion
from .sync import Blocking, blocking, blocking_batch, blocking_for_type, blocking_stream

if TYPE_CHECKING:
    from typing_extensions import TypeForm

    from .telemetry import Operation, Telemetry

T = TypeVar("T")

Entry = Target | str | tuple[str, str]
Ask = Callable[[Turn[Candidate]], Coroutine[Any, Any, tuple[T, Completion]]]
ErrorType = type[BaseException]
FailoverRule = ErrorType | Sequence[ErrorType] | Callable[[MajordomoError], bool]


@dataclass(frozen=True, slots=True)
class Question:
    """A call, and its checked arguments."""

    call: Call[Candidate]
    messages: list[Message]
    params: dict[str, Any]
    validation_retries: int | NotGiven


@final
class LLMCascade:
    """Providers in order of preference; the first that can answer does.

    ::

        cascade = LLMCascade([("anthropic", "claude-sonnet-5-5"), ("openai", "gpt-5.5")])
        response = await cascade.get_response("Summarize this document: …")
        print(response.content, response.provider, response.cost)

    A cascade is immutable, and safe to share between tasks and event loops. It pickles as its
    configuration, *with the API keys it was given, in clear*.

    Times are seconds, and None is no limit.

    Args:
        providers: ``("openai", "gpt-5.5")``, ``"openai/gpt-5.5"``, ``Target(...)``, or the name of
            a chat model that LiteLLM knows.
        retry: how often, and after which waits, one target is asked.
        breaker: when a failing target is asked last; None for never.
        timeout: for one attempt, in a stream until its first content. A target's own beats it, a
            call's beats both.
        first_token_timeout: until the first content of a stream, if ``timeout`` is longer.
        stall_timeout: for a silence inside a stream.
        deadline: for the whole call, retries and waits included.
        hedge_after: until the next target is asked beside a slow one, which may cost two answers.
        validation_retries: how often a target is asked to correct its JSON.
        failover_on: the errors after which the next target is asked: exception types, or a
            function from ``MajordomoError`` to bool. ``DeadlineExceededError`` always ends a call.
        accept: a function from a finished ``LLMResponse`` to bool. At a no, the next target is
            asked. It does not see streams.
        on_attempt: called with every ``Attempt`` as it ends. What it raises is only logged.
        telemetry: whether calls are told to OpenTelemetry: spans and metrics, and no content.
        shared_health: ``RedisHealth("redis://…")``: the breakers open and close together in all
            processes that ask the same targets.
        **params: sent with every ``litellm.acompletion`` call. A target's own beat these, a call's
            beat both, a target's ``overrides`` beat all.

    Raises:
        ConfigurationError: the cascade cannot be built as asked.
    """

    __slots__ = (
        "__dict__",
        "_accept",
        "_candidates",
        "_config",
        "_is_mock",
        "_limits",
        "_rules",
        "_telemetry",
    )

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
        validation_retries: int = 0,
        failover_on: FailoverRule = (ProviderError,),
        accept: Callable[[LLMResponse[Any]], bool] | None = None,
        on_attempt: Callable[[Attempt], object] | None = None,
        telemetry: bool = False,
        shared_health: RedisHealth | None = None,
        **params: Any,
    ) -> None:
        options = {
            "retry": retry,
            "breaker": breaker,
            "timeout": timeout,
            "first_token_timeout": first_token_timeout,
            "stall_timeout": stall_timeout,
            "deadline": deadline,
            "hedge_after": hedge_after,
            "validation_retries": validation_retries,
            "failover_on": failover_on,
            "accept": accept,
            "on_attempt": on_attempt,
            "telemetry": telemetry,
            "shared_health": shared_health,
        }
        check_options(options)
        targets = targets_of(providers)
        vendors = [target.provider for target in targets]
        params = copy(check_params(params, vendors, ConfigurationError))
        self._config: dict[str, Any] = {"providers": targets, **options, **params}
        self._rules = Rules(retry, rule_of(failover_on), on_attempt, SystemClock())
        self._limits = Limits(NOT_GIVEN, first_token_timeout, stall_timeout, deadline, hedge_after)
        self._accept = None if accept is None else yes_or_no("accept", accept)
        sent = (params, *(target.params for target in targets))
        self._is_mock = any("mock_response" in each for each in sent)
        clients = [TargetClient(target, params, timeout) for target in targets]
        self._candidates = tuple(
            Candidate(client, breaker, shared_health and shared_health.join(client.fingerprint()))
            for client in clients
        )
        self._telemetry = _current_telemetry() if telemetry else None

    @classmethod
    def from_env(
        cls, env_file: str | os.PathLike[str] | None = ".env", **options: Any
    ) -> LLMCascade:
        """Build a cascade from ``options`` and the ``MAJORDOMO_…`` variables of ``.env.example``.

        The variables in ``env_file``, keys included, are put into the environment, where LiteLLM
        finds them. Those that are set already beat them, and ``options`` beat both.

        Raises:
            ConfigurationError: a variable is missing, unknown or malformed, or a file other than
                ".env" is missing.
        """
        return cls(**options_from_environment(env_file, options))

    def with_options(self, **options: Any) -> LLMCascade:
        """Return a cascade with other options, whose targets share their health with this one's.

        Raises:
            ConfigurationError: an option cannot be used, or is ``providers``, ``breaker`` or
                ``shared_health``.
        """
        for name in ("providers", "breaker", "shared_health"):
            if name in options:
                raise ConfigurationError(
                    f"{name} belongs to the targets, which with_options keeps: "
                    "build another LLMCascade"
                )
        twin = _build({**self._config, **options}, self._rules.clock)
        twin._rules = replace(twin._rules, asking=self._rules.asking)
        for own, shared in zip(twin._candidates, self._candidates, strict=True):
            own.breaker = shared.breaker
            own.modes = shared.modes
        return twin

    @property
    def targets(self) -> tuple[Target, ...]:
        """The targets, in order of preference."""
        return tuple(self._config["providers"])

    @property
    def health(self) -> tuple[TargetHealth, ...]:
        """The health of each target, in order of preference; printed as a table."""
        now = self._rules.clock.now()
        return CascadeHealth(each.health(now) for each in self._candidates)

    def reset_health(self) -> None:
        """Forget how the targets did, as if the cascade were new: for tests, and after a repair.

        The cascades that ``with_options`` made share this, and so do those of other processes that
        have ``shared_health``.
        """
        for each in self._candidates:
            each.reset()

    @property
    def sync(self) -> SyncCascade:
        """The same ways to ask, blocking: for scripts, threads and synchronous applications."""
        return SyncCascade(self)

    def _prepare(
        self,
        /,
        user_prompt: str | None = None,
        system_prompt: str | None = None,
        *,
        messages: Sequence[Message] | None = None,
        temperature: float | None = None,
        top_p: float | None = None,
        max_tokens: int | None = None,
        timeout: float | NotGiven | None = NOT_GIVEN,
        deadline: float | NotGiven | None = NOT_GIVEN,
        validation_retries: int | NotGiven = NOT_GIVEN,
        **params: Any,
    ) -> Question:
        """Check the arguments that the ways to ask share, before any request."""
        self._rules.check_entry()
        if temperature is not None:
            params["temperature"] = temperature
        if top_p is not None:
            params["top_p"] = top_p
        if max_tokens is not None:
            params["max_tokens"] = max_tokens
        if validation_retries is not NOT_GIVEN:
            check_count("validation_retries", validation_retries, BadRequestError)
        asked = build_messages(user_prompt, system_prompt, messages)
        if params:
            is_gateway = "api_base" in self._config
            vendors = [] if is_gateway else [each.provider for each in self._candidates]
            params = check_params(params, vendors, BadRequestError)
        limits = self._limits
        if timeout is not NOT_GIVEN:
            timeout = check_seconds("timeout", timeout, BadRequestError)
            limits = replace(limits, timeout=timeout)
            params["timeout"] = timeout or NO_LIMIT
        if deadline is not NOT_GIVEN:
            deadline = check_seconds("deadline", deadline, BadRequestError)
            limits = replace(limits, deadline=deadline)
        own = brings_credentials(params)
        is_mock = self._is_mock or "mock_response" in params
        call = Call(self._rules, self._candidates, limits, has_own_credentials=own, is_mock=is_mock)
        return Question(call, asked, params, validation_retries)

    @takes_arguments_of(_prepare)
    async def get_response(self, question: Question) -> LLMResponse[str]:
        """Ask for text.

        Args:
            user_prompt: the question.
            system_prompt: how to answer it.
            messages: turns, images, tool results, in OpenAI's format, instead of the prompts.
            temperature, top_p: not sent if None.
            max_tokens: the longest answer. One that it cuts comes with ``finish_reason="length"``.
            timeout: seconds for one attempt, instead of the target's; None for no limit.
            deadline: seconds for the whole call, instead of the cascade's; None for no limit.
            validation_retries: for answers that are JSON only.
            **params: anything else that ``litellm.acompletion`` takes.

        Raises:
            BadRequestError: the request is at fault; no other target is asked.
            ResponseTruncatedError: the answer was cut before any text came.
            ResponseRejectedError: ``accept`` refused the last answer.
            ProviderError: no target could serve. This is the last one's error, with every attempt
                in ``attempts``.
        """
        return await self._ask_for_text(question)

    @takes_arguments_of(_prepare)
    async def get_json_response(
        self, question: Question
    ) -> LLMResponse[dict[str, Any] | list[Any]]:
        """Ask for a JSON object or array, as ``get_structured_json_response`` does for a type."""
        return await self._ask_for_json(JSONForm(), question)

    @takes_type_and_arguments_of(_prepare)
    async def get_structured_json_response(
        self, response_model: TypeForm[T], question: Question
    ) -> LLMResponse[T]:
        """Ask for a value of a type, in the surest way that the target takes.

        That is its JSON Schema as a parameter, JSON mode with the schema in the prompt, or the
        schema in the prompt alone. A target that refuses one way is asked by a lower one from then
        on. The other arguments and errors are those of ``get_response``.

        Args:
            response_model: anything that pydantic's ``TypeAdapter`` takes: a model, a dataclass, a
                TypedDict, ``list[Item]``, a union, a primitive.
            validation_retries: instead of the cascade's.

        Raises:
            ResponseValidationError: the answer is JSON, but not of that type.
            ResponseParsingError: the answer is not JSON.
            ResponseTruncatedError: the answer was cut.
        """
        return await self._ask_for_json(_form_of(response_model, question), question)

    @takes_arguments_of(_prepare)
    async def get_response_stream(self, question: Question) -> LLMStreamResponse:
        """Ask for text as it is written, and return when the first of it has come.

        Until then it fails over as any call; ``LLMStreamResponse`` says what a later break does.
        Arguments and errors are those of ``get_response``.
        """
        return LLMStreamResponse(await self._open(question))

    @overload
    def batch(
        self,
        /,
        prompts: Prompts,
        *,
        response_model: None = None,
        concurrency: int = 20,
        progress: bool = False,
        **arguments: Any,
    ) -> Batch[str]: ...

    @overload
    def batch(
        self,
        /,
        prompts: Prompts,
        *,
        response_model: TypeForm[T],
        concurrency: int = 20,
        progress: bool = False,
        **arguments: Any,
    ) -> Batch[T]: ...

    def batch(
        self,
        /,
        prompts: Prompts,
        *,
        response_model: Any = None,
        concurrency: int = 20,
        progress: bool = False,
        **arguments: Any,
    ) -> Batch[Any]:
        """Ask many prompts side by side, and return their items as they come.

        ::

            async for item in cascade.batch(prompts, concurrency=20):
                print(item.index, item.error or item.response.content)

        No prompt is lost, and none stops the others: an item has a ``response`` or an ``error``.
        The other arguments are those of ``get_response``, for each prompt.

        Args:
            prompts: strings, or lists of messages in OpenAI's format; any iterable, also an
                asynchronous one. It is read as needed, ``concurrency`` prompts ahead at most.
            response_model: ask for values of this type, as ``get_structured_json_response``.
            concurrency: the most calls at once, with answers that nobody has taken yet.
            progress: show a bar of tqdm's, where it is installed.

        Raises:
            BadRequestError: an argument cannot be used; nothing was sent.
        """
        question = self._prepare("any prompt", **arguments)
        ask: Callable[..., Any] = self.get_response
        if response_model is None:
            _refuse_retries(question)
        else:
            _form_of(response_model, question)
            ask = functools.partial(self.get_structured_json_response, response_model)
        return Batch(functools.partial(ask, **arguments), prompts, concurrency, progress=progress)

    async def acompletion(
        self,
        /,
        messages: Sequence[Message],
        *,
        stream: bool | None = None,
        timeout: float | NotGiven | None = NOT_GIVEN,
        deadline: float | NotGiven | None = NOT_GIVEN,
        **params: Any,
    ) -> Any:
        """Ask as ``litellm.acompletion`` without ``model``, and return LiteLLM's ``ModelResponse``.

        With ``stream=True`` return an async iterator of LiteLLM's own chunks, with ``aclose``; from
        ``sync.completion``, an iterator with ``close``.

        Raises:
            MajordomoError: as ``get_response``, with LiteLLM's own exception as ``__cause__``.
            StreamInterruptedError: a stream broke after its first content.
        """
        question = self._prepare(messages=messages, timeout=timeout, deadline=deadline, **params)
        if stream:
            return ChunkStream(await self._open(question))
        return (await self._ask_for_text(question)).raw

    async def _ask_for_text(self, question: Question) -> LLMResponse[str]:
        _refuse_retries(question)

        async def ask(turn: Turn[Candidate]) -> tuple[str, Completion]:
            session = Session(turn.target.client)
            while True:
                try:
                    async with turn.attempt() as attempt:
                        completion = await session.complete(question.messages, question.params)
                        attempt.used(completion.usage, completion.cost)
                        text = completion.text()
                        self._check_accepted(turn, attempt, text, completion)
                        return text, completion
                except MajordomoError as error:
                    if not session.goes_on(error):
                        await turn.back_off(error)

        return await self._answer(question, ask)

    async def _ask_for_json(self, form: Form[T], question: Question) -> LLMResponse[T]:
        retries = question.validation_retries
        if retries is NOT_GIVEN:
            retries = self._config["validation_retries"]
        check = self._check_accepted
        ask = JSONQuestion(form, question.messages, question.params, retries, check).ask
        return await self._answer(question, ask)

    async def _answer(self, question: Question, ask: Ask[T]) -> LLMResponse[T]:
        """Ask the targets until one answers."""
        served: Coroutine[Any, Any, tuple[Turn[Candidate], tuple[T, Completion]]]
        served = serve(question.call, ask)
        operation = self._begin_operation(question)
        if operation is not None:
            served = operation.watch(served)
        turn, (content, completion) = await served
        if operation is not None:
            operation.end(completion)
        return respond(turn, content, completion)

    async def _open(self, question: Question) -> Source:
        _refuse_retries(question)
        question.call.is_stream = True
        asked = StreamQuestion(question.messages, question.params)
        return await Source.open(question.call, asked, self._begin_operation(question))

    def _begin_operation(self, question: Question) -> Operation | None:
        if self._telemetry is None:
            return None
        return self._telemetry.begin(question.call, question.params)

    def _check_accepted(
        self, turn: Turn[Candidate], attempt: RunningAttempt, content: Any, completion: Completion
    ) -> None:
        """Raise ResponseRejectedError if ``accept`` says no."""
        if self._accept is None:
            return
        response = respond(turn, content, completion, attempt)
        if not self._accept(response):
            target = turn.target
            raise ResponseRejectedError(
                f"{target.name}: accept refused the answer, which is in response",
                provider=target.provider,
                model=target.model,
                response=response,
            )

    async def check(self) -> CheckReport:
        """Check keys, models, prices and the order of the targets. Nothing is sent."""
        clients = [each.client for each in self._candidates]
        return check_targets(clients, datetime.now(UTC).date())

    async def drill(
        self,
        *,
        deadline: float | None = 120.0,
        on_row: Callable[[DrillRow], object] | None = None,
    ) -> DrillReport:
        """Ask every target itself for text, a value of a type, and a stream, once.

        What is sent, and the time limits of an attempt, are as in any call. Retries, hedging,
        ``accept``, ``on_attempt`` and LiteLLM's cache are left out. It counts for nobody's health.

        Args:
            deadline: seconds for one answer, to its end; None for no limit.
            on_row: called with each ``DrillRow`` as it comes. What it raises is only logged.
        """
        self._rules.check_entry()
        deadline = check_seconds("deadline", deadline, BadRequestError)
        alone = [self._alone(each, deadline) for each in self._candidates]
        return await drill_all(alone, self._rules.clock.now, on_row)

    def _alone(self, candidate: Candidate, deadline: float | None) -> LLMCascade:
        """Return a cascade of one target, which is asked once, and has a health of its own."""
        options = {
            "providers": [candidate.client.target],
            "retry": RetryPolicy(attempts=1),
            "breaker": None,
            "deadline": deadline,
            "validation_retries": 0,
            "accept": None,
            "on_attempt": None,
            "telemetry": False,
            "shared_health": None,
        }
        alone = _build({**self._config, **options}, self._rules.clock)
        alone._rules = replace(alone._rules, asking=self._rules.asking)
        alone._candidates[0].modes[:] = candidate.modes[:1]
        return alone

    def register(self, name: str) -> None:
        """Let LiteLLM serve ``model="cascade/<name>"`` by this cascade, in the whole process.

        Whatever is registered as ``name`` is replaced. LiteLLM is told what all targets can do.

        Raises:
            ConfigurationError: the name is "env", or not made of letters, digits, "-", "_", ".".
        """
        from .gateway.provider import provider_of  # noqa: PLC0415 - it imports LiteLLM

        provider_of(build_by_name).register(name, self)

    @staticmethod
    def unregister(name: str) -> None:
        """Take ``cascade/<name>`` away from LiteLLM, if it is there."""
        from .gateway.provider import provider_of  # noqa: PLC0415 - it imports LiteLLM

        provider_of(build_by_name).unregister(name)

    def _twin(self, targets: list[Target], clock: Clock, without: Sequence[str]) -> LLMCascade:
        """Return the same cascade with other targets and clock, ``without`` some parameters."""
        config = {name: value for name, value in self._config.items() if name not in without}
        return _build({**config, "providers": targets}, clock)

    def __setattr__(self, name: str, value: object) -> None:
        """Let a test replace a method, and nobody change an option."""
        if not hasattr(LLMCascade, name):
            raise AttributeError(f"a cascade can't be changed: use with_options({name}=…)")
        super().__setattr__(name, value)

    def __repr__(self) -> str:
        names = ", ".join(repr(each.name) for each in self._candidates)
        return f"LLMCascade([{names}])"

    def __reduce__(self) -> tuple[Any, ...]:
        for name, value in self._config.items():
            try:
                pickle.dumps(value)
            except Exception as error:
                raise pickle.PicklingError(
                    f"this LLMCascade can't be pickled because of its {name} "
                    f"({type(value).__name__}): use a function or class that can be imported, or "
                    "build the cascade where it is used"
                ) from error
        return _build, (self._config,)


@final
class SyncCascade(Blocking[LLMCascade]):
    """The ways to ask an ``LLMCascade``, blocking.

    ::

        print(cascade.sync.get_response("Summarize this document: …").content)
        for text in cascade.sync.get_response_stream("Tell a story."):
            print(text, end="")

    All calls of a process run on one event loop, in a thread of their own, where callbacks are
    called as well. They may come from any number of threads, and from where an event loop runs.
    Ctrl-C ends the call, on the wire too.

    Raises, besides the errors of the asynchronous methods:
        ConfigurationError: the call is made on that event loop, and would wait for itself.
    """

    __slots__ = ()

    get_response = blocking(LLMCascade.get_response)
    get_json_response = blocking(LLMCascade.get_json_response)
    get_structured_json_response = blocking_for_type(LLMCascade.get_structured_json_response)
    get_response_stream = blocking_stream(LLMCascade.get_response_stream)
    batch = blocking_batch(LLMCascade.batch)
    completion = blocking(LLMCascade.acompletion)
    acompletion = completion  # the name that the cascade has for it
    check = blocking(LLMCascade.check)
    drill = blocking(LLMCascade.drill)

    @property
    def health(self) -> tuple[TargetHealth, ...]:
        """The health of each target, in order of preference."""
        return self._cascade.health

    def __repr__(self) -> str:
        return f"{self._cascade!r}.sync"


def build_by_name(name: str) -> LLMCascade | None:
    """Return the cascade that a model's name spells: ``env``, or a chain; None if it spells none.

    A chain is such as ``anthropic/claude-sonnet-5-5,openai/gpt-5.5``.
    """
    if name == "env":
        return LLMCascade.from_env()
    return LLMCascade(name.split(",")) if "/" in name else None


def _build(config: dict[str, Any], clock: Clock | None = None) -> LLMCascade:
    cascade = LLMCascade(**config)
    if clock is not None:
        cascade._rules = replace(cascade._rules, clock=clock)
    return cascade


def _form_of(response_model: TypeForm[T], question: Question) -> Form[T]:
    if "response_format" in question.params:
        raise BadRequestError(
            "response_format is made from response_model here; give only one of them"
        )
    return type_form(response_model)


def _current_telemetry() -> Telemetry:
    from .telemetry import current_telemetry  # noqa: PLC0415 - it imports OpenTelemetry

    return current_telemetry()


def _refuse_retries(question: Question) -> None:
    if question.validation_retries is not NOT_GIVEN:
        raise BadRequestError(
            "validation_retries is for answers that are JSON: ask with get_json_response or "
            "get_structured_json_response"
        )
