"""``LLMCascade``: a list of providers, and the ways to ask it."""

from __future__ import annotations

import os
import pickle
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, TypeVar, final

from .candidate import Candidate, Ladder, respond
from .configuration import check_kind, rule_of, targets_of
from .environment import options_from_environment
from .errors import (
    BadRequestError,
    ConfigurationError,
    MajordomoError,
    ProviderError,
    ResponseRejectedError,
)
from .failover import (
    Breaker,
    Call,
    Clock,
    Limits,
    Rules,
    RunningAttempt,
    SystemClock,
    TargetHealth,
    Turn,
    serve,
)
from .gateway import NO_LIMIT, Completion, TargetClient, brings_credentials
from .options import (
    NOT_GIVEN,
    CircuitBreaker,
    NotGiven,
    RetryPolicy,
    Target,
    check_count,
    check_plain_function,
    check_seconds,
    yes_or_no,
)
from .request import Message, build_messages, check_messages, check_params, copy
from .responses import Attempt, LLMResponse
from .signature import takes_arguments_of, takes_type_and_arguments_of
from .streaming import ChunkStream, LLMStreamResponse, Source, StreamQuestion
from .structured import Form, JSONForm, type_form
from .structured.loop import JSONQuestion

if TYPE_CHECKING:
    from typing_extensions import TypeForm  # unions are no `type` to a type checker

T = TypeVar("T")

Entry = Target | str | tuple[str, str]
ErrorType = type[BaseException]
FailoverRule = ErrorType | Sequence[ErrorType] | Callable[[MajordomoError], bool]


@dataclass(frozen=True, slots=True)
class Question:
    """A call's arguments, checked."""

    messages: list[Message]
    params: dict[str, Any]
    limits: Limits
    validation_retries: int | None = None
    """None if the call says nothing of it."""


@final
class LLMCascade:
    """Providers in order of preference; the first that can answer does.

    ::

        cascade = LLMCascade([("anthropic", "claude-sonnet-5-5"), ("openai", "gpt-5.5")])
        response = await cascade.get_response("Summarize this document: …")
        print(response.content, response.provider, response.cost)

    Each target is asked up to three times, with waits in between; then the next one is asked. A
    mistake of the caller's is raised at once. If all targets fail, the last ``ProviderError`` is
    raised, with every attempt in ``attempts``.

    A cascade is immutable, and safe to share between tasks and event loops. It pickles as its
    configuration, *with the API keys it was given, in clear*.

    Args:
        providers: ``("openai", "gpt-5.5")``, ``"openai/gpt-5.5"``, ``Target(...)``, or the name of
            a chat model that LiteLLM knows.
        retry: how often, and after which waits, one target is asked.
        breaker: when a failing target is asked last instead of in its turn; None for never.
        timeout: seconds for one attempt, for a stream until its first content; None for no limit. A
            target's own beats it, a call's beats both.
        first_token_timeout: seconds until the first content of a stream, if ``timeout`` is longer.
        stall_timeout: seconds of silence inside a stream; None for no limit.
        deadline: seconds for the whole call, retries and waits included; None for no limit.
        hedge_after: seconds until the next target is asked beside a slow one, which may cost two
            answers; None for never.
        validation_retries: how often a target is asked to correct its JSON.
        failover_on: the errors that move a call on to the next target: exception types, or a
            function from ``MajordomoError`` to bool. ``DeadlineExceededError`` never does.
        accept: a function from the finished ``LLMResponse`` to bool; at a no the next target is
            asked. It does not see streams.
        on_attempt: called with every ``Attempt`` as it ends. What it raises is only logged.
        **params: sent with every ``litellm.acompletion`` call. A target's own beat these, a call's
            beat both, a target's ``overrides`` beat all.

    Raises:
        ConfigurationError: the cascade cannot be built as asked.
    """

    __slots__ = ("_accept", "_candidates", "_config", "_limits", "_rules")

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
        **params: Any,
    ) -> None:
        targets = targets_of(providers)
        check_kind("retry", retry, RetryPolicy, "RetryPolicy(attempts=2)")
        if breaker is not None:
            check_kind("breaker", breaker, CircuitBreaker, "CircuitBreaker(failures=5), or None")
        if accept is not None:
            check_plain_function("accept", accept, "an LLMResponse and returns True or False")
        if on_attempt is not None:
            check_plain_function("on_attempt", on_attempt, "an Attempt")
        check_count("validation_retries", validation_retries, ConfigurationError)
        times = {
            "timeout": timeout,
            "first_token_timeout": first_token_timeout,
            "stall_timeout": stall_timeout,
            "deadline": deadline,
            "hedge_after": hedge_after,
        }
        times = {name: check_seconds(name, times[name], ConfigurationError) for name in times}
        vendors = [target.provider for target in targets]
        params = copy(check_params(params, vendors, ConfigurationError))
        self._config: dict[str, Any] = {
            "providers": targets,
            "retry": retry,
            "breaker": breaker,
            "validation_retries": validation_retries,
            "failover_on": failover_on,
            "accept": accept,
            "on_attempt": on_attempt,
            **times,
            **params,
        }
        self._rules = Rules(retry, rule_of(failover_on), on_attempt, SystemClock())
        self._limits = replace(Limits(**times), timeout=NOT_GIVEN)
        self._accept = None if accept is None else yes_or_no("accept", accept)
        clients = [TargetClient(target, params, times["timeout"]) for target in targets]
        self._candidates = tuple(
            Candidate(client, Breaker(breaker), Ladder(client.surest_mode)) for client in clients
        )

    @classmethod
    def from_env(
        cls, env_file: str | os.PathLike[str] | None = ".env", **options: Any
    ) -> LLMCascade:
        """Build a cascade from the ``MAJORDOMO_…`` variables of ``.env.example``.

        The file's variables, keys included, are put into the environment, where LiteLLM finds
        them; those that are set already win.

        Args:
            env_file: the dotenv file; None for no file.
            **options: LLMCascade's own arguments, which beat the variables.

        Raises:
            ConfigurationError: a variable is missing, unknown or malformed, or a file other than
                ".env" is missing.
        """
        options = options_from_environment(env_file) | options
        if not options["providers"]:
            raise ConfigurationError(
                "MAJORDOMO_PROVIDERS is not set; expected a list such as "
                "anthropic/claude-sonnet-5-5,openai/gpt-5.5"
            )
        return cls(**options)

    def with_options(self, **options: Any) -> LLMCascade:
        """Return a cascade of the same targets, which share their health, with other options.

        Args:
            **options: LLMCascade's own arguments but ``providers`` and ``breaker``.

        Raises:
            ConfigurationError: an option cannot be used, or belongs to the targets.
        """
        for name in ("providers", "breaker"):
            if name in options:
                raise ConfigurationError(
                    f"{name} belongs to the targets, which with_options keeps: "
                    "build another LLMCascade"
                )
        twin = LLMCascade(**{**self._config, **options})
        twin._rules = replace(twin._rules, clock=self._rules.clock)
        pairs = zip(twin._candidates, self._candidates, strict=True)
        twin._candidates = tuple(
            Candidate(own.client, shared.breaker, shared.ladder) for own, shared in pairs
        )
        return twin

    @property
    def targets(self) -> tuple[Target, ...]:
        """The targets, in order of preference."""
        return tuple(each.client.target for each in self._candidates)

    @property
    def health(self) -> tuple[TargetHealth, ...]:
        """The health of each target, in order of preference."""
        now = self._rules.clock.now()
        return tuple(each.health(now) for each in self._candidates)

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
        if temperature is not None:
            params["temperature"] = temperature
        if top_p is not None:
            params["top_p"] = top_p
        if max_tokens is not None:
            params["max_tokens"] = max_tokens
        retries = None
        if validation_retries is not NOT_GIVEN:
            retries = check_count("validation_retries", validation_retries, BadRequestError)
        asked = build_messages(user_prompt, system_prompt, messages)
        return Question(asked, self._checked(params), self._limited(timeout, deadline), retries)

    @takes_arguments_of(_prepare)
    async def get_response(self, question: Question) -> LLMResponse[str]:
        """Ask for text.

        Args:
            user_prompt: the question; or give ``messages``.
            system_prompt: how to answer it.
            messages: turns, images, tool results, in OpenAI's format, instead of the prompts.
            temperature: not sent if None, nor are ``top_p`` and ``max_tokens``.
            top_p: see ``temperature``.
            max_tokens: the longest answer. One that it cuts comes with ``finish_reason="length"``.
            timeout: seconds for one attempt, instead of the target's and the cascade's; None for no
                limit.
            deadline: seconds for the whole call, instead of the cascade's; None for no limit.
            validation_retries: for answers that are JSON only.
            **params: anything else that ``litellm.acompletion`` takes; they beat the target's and
                the cascade's.

        Raises:
            BadRequestError: the request is at fault. Checks here come before any request.
            ResponseTruncatedError: the answer was cut before any text came.
            ResponseRejectedError: ``accept`` refused the last answer.
            ProviderError: no target could serve; this is the last one's error.
        """
        _refuse_retries(question)
        return await self._ask_for_text(question)

    @takes_arguments_of(_prepare)
    async def get_json_response(
        self, question: Question
    ) -> LLMResponse[dict[str, Any] | list[Any]]:
        """Ask for a JSON object or array.

        Arguments and errors are those of ``get_structured_json_response``, without the type.
        """
        return await self._ask_for_json(JSONForm(), question)

    @takes_type_and_arguments_of(_prepare)
    async def get_structured_json_response(
        self, response_model: TypeForm[T], question: Question
    ) -> LLMResponse[T]:
        """Ask for a value of a type, in the surest way that the target takes.

        That is its JSON Schema as a parameter, JSON mode with the schema in the prompt, or the
        schema in the prompt alone. A target that refuses one way and takes a lower one is asked
        by the lower one from then on.

        Args:
            response_model: anything that pydantic's ``TypeAdapter`` takes: a model, a dataclass, a
                TypedDict, ``list[Item]``, a union, a primitive.
            validation_retries: instead of the cascade's.

        The other arguments and errors are those of ``get_response``, and:

        Raises:
            ResponseValidationError: the answer is JSON, but not of that type.
            ResponseParsingError: the answer is not JSON.
            ResponseTruncatedError: the answer was cut.
        """
        if "response_format" in question.params:
            raise BadRequestError(
                "response_format is made from response_model here; give only one of them"
            )
        return await self._ask_for_json(type_form(response_model), question)

    @takes_arguments_of(_prepare)
    async def get_response_stream(self, question: Question) -> LLMStreamResponse:
        """Ask for text as it is written. Returns when the first of it has come.

        Until then it fails over as any call. If the stream breaks later, the way in which it is
        read decides what happens: see ``LLMStreamResponse``. Arguments and errors are those of
        ``get_response``.
        """
        _refuse_retries(question)
        return LLMStreamResponse(await self._open(question))

    async def acompletion(
        self,
        messages: Sequence[Message],
        *,
        stream: bool | None = None,
        timeout: float | NotGiven | None = NOT_GIVEN,
        deadline: float | NotGiven | None = NOT_GIVEN,
        **params: Any,
    ) -> Any:
        """Ask as ``litellm.acompletion`` without ``model``; returns LiteLLM's ``ModelResponse``.

        With ``stream=True`` it returns an async iterator of LiteLLM's own chunks, with ``aclose``.
        It fails over until the first content; if it breaks later, it raises
        ``StreamInterruptedError``.

        Raises:
            MajordomoError: as ``get_response``. LiteLLM's own exception is the ``__cause__``.
        """
        asked = check_messages(messages)
        question = Question(asked, self._checked(params), self._limited(timeout, deadline))
        if stream:
            return ChunkStream(await self._open(question))
        return (await self._ask_for_text(question)).raw

    def _checked(self, params: dict[str, Any]) -> dict[str, Any]:
        if not params:
            return params
        vendors = [each.provider for each in self._candidates]
        is_gateway = self._config.get("api_base") is not None
        return check_params(params, vendors, BadRequestError, is_gateway=is_gateway)

    def _limited(
        self, timeout: float | NotGiven | None, deadline: float | NotGiven | None
    ) -> Limits:
        limits = self._limits
        if timeout is not NOT_GIVEN:
            limits = replace(limits, timeout=check_seconds("timeout", timeout, BadRequestError))
        if deadline is not NOT_GIVEN:
            limits = replace(limits, deadline=check_seconds("deadline", deadline, BadRequestError))
        return limits

    async def _ask_for_text(self, question: Question) -> LLMResponse[str]:
        params = _with_timeout(question)

        async def ask(turn: Turn[Candidate]) -> tuple[str, Completion]:
            while True:
                try:
                    async with turn.attempt() as attempt:
                        completion = await turn.target.client.complete(question.messages, params)
                        attempt.used(completion.usage, completion.cost)
                        text = completion.text()
                        self._check_accepted(turn, attempt, text, completion)
                        return text, completion
                except MajordomoError as error:
                    await turn.back_off(error)

        turn, (text, completion) = await serve(self._call(question), ask)
        return respond(turn, text, completion)

    async def _ask_for_json(self, form: Form[T], question: Question) -> LLMResponse[T]:
        retries = question.validation_retries
        if retries is None:
            retries = self._config["validation_retries"]
        params = _with_timeout(question)
        ask = JSONQuestion(form, question.messages, params, retries, self._check_accepted).ask
        turn, (value, completion) = await serve(self._call(question), ask)
        return respond(turn, value, completion)

    async def _open(self, question: Question) -> Source:
        call = self._call(question, is_stream=True)
        return await Source.open(call, StreamQuestion(question.messages, question.params))

    def _call(self, question: Question, *, is_stream: bool = False) -> Call[Candidate]:
        own = brings_credentials(question.params)
        return Call(
            self._rules,
            self._candidates,
            question.limits,
            is_stream=is_stream,
            has_own_credentials=own,
        )

    def _check_accepted(
        self,
        turn: Turn[Candidate],
        attempt: RunningAttempt,
        content: Any,
        completion: Completion,
    ) -> None:
        """Ask ``accept``.

        Raises:
            ResponseRejectedError: it said no.
        """
        if self._accept is None:
            return
        response = respond(turn, content, completion, pending=attempt)
        if not self._accept(response):
            target = turn.target
            raise ResponseRejectedError(
                f"{target.name}: accept refused the answer, which is in response",
                provider=target.provider,
                model=target.model,
                response=response,
            )

    def _twin(self, targets: list[Target], clock: Clock, without: Sequence[str]) -> LLMCascade:
        """Return the same cascade for a simulation: other targets, another clock.

        ``without`` names parameters of the cascade that lead to the real providers.
        """
        config = {name: value for name, value in self._config.items() if name not in without}
        twin = LLMCascade(**{**config, "providers": targets})
        twin._rules = replace(twin._rules, clock=clock)
        return twin

    def __repr__(self) -> str:
        names = ", ".join(repr(each.name) for each in self._candidates)
        return f"LLMCascade([{names}])"

    def __reduce__(self) -> tuple[Callable[..., LLMCascade], tuple[dict[str, Any]]]:
        for name, value in self._config.items():
            try:
                pickle.dumps(value)
            except Exception as error:
                raise pickle.PicklingError(
                    f"this LLMCascade can't be pickled because of its {name} "
                    f"({type(value).__name__}): use a function or class that can be imported by "
                    "name, or build the cascade where it is used"
                ) from error
        return _rebuild, (self._config,)


def _rebuild(config: dict[str, Any]) -> LLMCascade:
    return LLMCascade(**config)


def _with_timeout(question: Question) -> dict[str, Any]:
    """Return a call's parameters, with the time limit that LiteLLM gets if the call has one."""
    timeout = question.limits.timeout
    if timeout is NOT_GIVEN:
        return question.params
    return {**question.params, "timeout": timeout or NO_LIMIT}


def _refuse_retries(question: Question) -> None:
    if question.validation_retries is not None:
        raise BadRequestError(
            "validation_retries is for answers that are JSON: ask with get_json_response or "
            "get_structured_json_response"
        )
