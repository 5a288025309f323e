"""The contenders: each asks the same two targets, set up as its documentation says.

A library is imported when its contender is built, so that no other pays for the import, and the
tests need none of them.
"""

# This runs in an environment of its own.
# pyright: reportMissingImports=false
from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

from .form import Form

PRIMARY, BACKUP = "gpt-5.5", "gpt-5.4-mini"
KEY = "loopback-key"
SYSTEM, USER = "Answer in six sentences.", "How is the provider today?"
#: All ask for the usage of a stream, as the cascade and pydantic-ai do by themselves.
STREAM: dict[str, Any] = {"stream": True, "stream_options": {"include_usage": True}}
MESSAGES = [{"role": "system", "content": SYSTEM}, {"role": "user", "content": USER}]


@dataclass(frozen=True)
class Terms:
    """How a contender is set up."""

    primary: str
    """The ``base_url`` of the preferred target."""
    backup: str
    """The ``base_url`` of the other target."""
    equal: bool = False
    """No retries, and breakers that open for 10 s at the third failure; else the defaults."""
    timeout: float | None = None
    """Seconds for one attempt; None for the contender's default."""

    @property
    def targets(self) -> tuple[tuple[str, str], tuple[str, str]]:
        """Model and ``base_url``, in order of preference."""
        return (PRIMARY, self.primary), (BACKUP, self.backup)


class Contender(ABC):
    """A library set up with two targets; built anew for every outage."""

    name: str
    label: str
    note: str
    """How it is set up, with defaults and with equal settings."""
    fails_over = True
    over_litellm = True

    @abstractmethod
    def __init__(self, terms: Terms) -> None: ...

    @abstractmethod
    async def ask(self) -> str:
        """Return the answer's text."""

    @abstractmethod
    def stream(self) -> AsyncIterator[str]:
        """Yield the answer's text as it comes."""

    @abstractmethod
    async def fill_in(self) -> Any:
        """Return a value of ``Form``."""


def _without_none(**values: Any) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}


class BareOpenAI(Contender):
    """The vendor's client, one target: the floor under pydantic-ai and LangChain."""

    name, label = "openai", "openai client, bare"
    note = (
        "AsyncOpenAI.chat.completions.create, one target; equal: max_retries=0; "
        "structured: a schema made before, nothing parsed"
    )
    fails_over = over_litellm = False

    def __init__(self, terms: Terms) -> None:
        self._client = _openai_client(terms, terms.primary)
        self._schema = _schema()

    async def ask(self) -> str:
        answer: Any = await self._client.chat.completions.create(model=PRIMARY, messages=MESSAGES)
        return str(answer.choices[0].message.content)

    async def stream(self) -> AsyncIterator[str]:
        chunks: Any = await self._client.chat.completions.create(
            model=PRIMARY, messages=MESSAGES, **STREAM
        )
        async for chunk in chunks:
            if chunk.choices and chunk.choices[0].delta.content:
                yield chunk.choices[0].delta.content

    async def fill_in(self) -> Any:
        """With a schema that was made before, and the text as it is: the floor, not an equal."""
        answer: Any = await self._client.chat.completions.create(
            model=PRIMARY, messages=MESSAGES, response_format=self._schema
        )
        return answer.choices[0].message.content


class BareLiteLLM(Contender):
    """LiteLLM, one target: the floor under all that call it."""

    name, label = "litellm", "litellm.acompletion, bare"
    note = "one target; equal: num_retries=0, max_retries=0; structured: as above"
    fails_over = False

    def __init__(self, terms: Terms) -> None:
        self._sent = _litellm_calls(terms)[:1]
        self._schema = _schema()

    async def ask(self) -> str:
        return str((await self._call()).choices[0].message.content)

    async def stream(self) -> AsyncIterator[str]:
        async for chunk in await self._call(**STREAM):
            if chunk.choices and chunk.choices[0].delta.content:
                yield chunk.choices[0].delta.content

    async def fill_in(self) -> Any:
        """With a schema that was made before, and the text as it is: the floor, not an equal."""
        return (await self._call(response_format=self._schema)).choices[0].message.content

    async def _call(self, **params: Any) -> Any:
        import litellm

        return await litellm.acompletion(messages=MESSAGES, **self._sent[0], **params)


class Loop(BareLiteLLM):
    """The loop that one writes first."""

    name, label = "loop", "try/except loop over litellm"
    note = (
        "for each target: try acompletion, except Exception; equal: num_retries=0, max_retries=0; "
        "structured: acompletion(response_format=Form), Form.model_validate_json"
    )
    fails_over = True

    def __init__(self, terms: Terms) -> None:
        super().__init__(terms)
        self._sent = _litellm_calls(terms)

    async def fill_in(self) -> Any:
        answer = await self._call(response_format=Form)
        return Form.model_validate_json(answer.choices[0].message.content)

    async def _call(self, **params: Any) -> Any:
        import litellm

        last: Exception = LookupError("no targets")
        for sent in self._sent:
            try:
                return await litellm.acompletion(messages=MESSAGES, **sent, **params)
            except Exception as error:
                last = error
        raise last


class Cascade(Contender):
    """This package."""

    name, label = "cascade", "majordomo_cascade"
    note = (
        "LLMCascade([Target, Target]), all else its defaults; equal: retry=RetryPolicy(attempts=1) "
        "(its breaker's defaults are failures=3, cooldown=10)"
    )

    def __init__(self, terms: Terms) -> None:
        from majordomo_cascade import LLMCascade, RetryPolicy

        options: dict[str, Any] = _without_none(timeout=terms.timeout)
        if terms.equal:
            options["retry"] = RetryPolicy(attempts=1)
        self.cascade = LLMCascade(targets_of(terms), **options)

    async def ask(self) -> str:
        return (await self.cascade.get_response(messages=MESSAGES)).content

    async def stream(self) -> AsyncIterator[str]:
        async for text in await self.cascade.get_response_stream(messages=MESSAGES):
            yield text

    async def fill_in(self) -> Any:
        return (await self.cascade.get_structured_json_response(Form, messages=MESSAGES)).content


class Router(Contender):
    """LiteLLM's own failover: two model groups of one deployment each."""

    name, label = "router", "LiteLLM Router, fallbacks"
    note = (
        "Router(model_list, fallbacks=[{'first': ['second']}]); equal: num_retries=0, "
        "allowed_fails=2, cooldown_time=10 and max_retries=0 on both deployments; "
        "structured: as the loop"
    )

    def __init__(self, terms: Terms) -> None:
        import litellm

        own: dict[str, Any] = (
            {"num_retries": 0, "allowed_fails": 2, "cooldown_time": 10} if terms.equal else {}
        )
        calls = [
            {name: value for name, value in sent.items() if name != "num_retries"}
            for sent in _litellm_calls(terms)
        ]
        groups = [
            {"model_name": group, "litellm_params": sent}
            for group, sent in zip(("first", "second"), calls, strict=True)
        ]
        self.router: Any = litellm.Router(
            model_list=groups, fallbacks=[{"first": ["second"]}], **own
        )

    async def ask(self) -> str:
        return str(
            (await self.router.acompletion(model="first", messages=MESSAGES))
            .choices[0]
            .message.content
        )

    async def stream(self) -> AsyncIterator[str]:
        async for chunk in await self.router.acompletion(
            model="first", messages=MESSAGES, **STREAM
        ):
            if chunk.choices and chunk.choices[0].delta.content:
                yield chunk.choices[0].delta.content

    async def fill_in(self) -> Any:
        answer = await self.router.acompletion(
            model="first", messages=MESSAGES, response_format=Form
        )
        return Form.model_validate_json(answer.choices[0].message.content)


class PydanticAI(Contender):
    """pydantic-ai by its direct API; structured output needs an Agent, which adds its graph."""

    name, label = "pydantic_ai", "pydantic-ai FallbackModel"
    note = (
        "pydantic_ai.direct over FallbackModel(OpenAIChatModel, OpenAIChatModel) with AsyncOpenAI "
        "clients; structured: Agent(output_type=NativeOutput(Form)); "
        "equal: AsyncOpenAI(max_retries=0)"
    )
    over_litellm = False

    def __init__(self, terms: Terms) -> None:
        from pydantic_ai import Agent, ModelRequest, NativeOutput
        from pydantic_ai.messages import SystemPromptPart, UserPromptPart
        from pydantic_ai.models.fallback import FallbackModel
        from pydantic_ai.models.openai import OpenAIChatModel
        from pydantic_ai.providers.openai import OpenAIProvider

        self._model = FallbackModel(
            *(
                OpenAIChatModel(
                    model, provider=OpenAIProvider(openai_client=_openai_client(terms, base))
                )
                for model, base in terms.targets
            )
        )
        self._messages = [ModelRequest(parts=[SystemPromptPart(SYSTEM), UserPromptPart(USER)])]
        self._agent = Agent(self._model, output_type=NativeOutput(Form), system_prompt=SYSTEM)

    async def ask(self) -> str:
        from pydantic_ai.direct import model_request

        return str((await model_request(self._model, self._messages)).text)

    async def stream(self) -> AsyncIterator[str]:
        from pydantic_ai.direct import model_request_stream
        from pydantic_ai.messages import PartDeltaEvent, PartStartEvent

        async with model_request_stream(self._model, self._messages) as events:
            async for event in events:
                if isinstance(event, PartStartEvent):
                    yield event.part.content
                elif isinstance(event, PartDeltaEvent):
                    yield event.delta.content_delta

    async def fill_in(self) -> Any:
        return (await self._agent.run(USER)).output


class LangChain(Contender):
    """LangChain's ChatOpenAI."""

    name, label = "langchain", "LangChain with_fallbacks"
    note = (
        "ChatOpenAI(...).with_fallbacks([ChatOpenAI(...)]); structured: "
        "with_structured_output(Form, method='json_schema') on each; equal: max_retries=0"
    )
    over_litellm = False

    def __init__(self, terms: Terms) -> None:
        from langchain_openai import ChatOpenAI
        from pydantic import SecretStr

        retries = 0 if terms.equal else None
        options = _without_none(timeout=terms.timeout, max_retries=retries, stream_usage=True)
        first, second = (
            ChatOpenAI(model=model, base_url=base, api_key=SecretStr(KEY), **options)
            for model, base in terms.targets
        )
        self._chain = first.with_fallbacks([second])
        self._form = first.with_structured_output(Form, method="json_schema").with_fallbacks(
            [second.with_structured_output(Form, method="json_schema")]
        )
        self._messages = [("system", SYSTEM), ("human", USER)]

    async def ask(self) -> str:
        return str((await self._chain.ainvoke(self._messages)).content)

    async def stream(self) -> AsyncIterator[str]:
        async for chunk in self._chain.astream(self._messages):
            if chunk.content:
                yield str(chunk.content)

    async def fill_in(self) -> Any:
        return await self._form.ainvoke(self._messages)


#: Floors first; the order of every table.
CONTENDERS: dict[str, type[Contender]] = {
    kind.name: kind
    for kind in (BareOpenAI, BareLiteLLM, Loop, Cascade, Router, PydanticAI, LangChain)
}


def quiet() -> None:
    """Send all log records nowhere, at their default levels, and let LiteLLM print nothing."""
    import litellm

    litellm.suppress_debug_info = True
    # The default of 200 would evict clients of this many targets.
    litellm.in_memory_llm_clients_cache.max_size_in_memory = 10_000
    logging.getLogger().addHandler(logging.NullHandler())
    for name in ("LiteLLM", "LiteLLM Router", "LiteLLM Proxy"):
        logger = logging.getLogger(name)
        logger.handlers, logger.propagate = [logging.NullHandler()], False


def targets_of(terms: Terms) -> list[Any]:
    """Return the cascade's targets."""
    from majordomo_cascade import Target

    return [Target("openai", model, api_key=KEY, api_base=base) for model, base in terms.targets]


def _openai_client(terms: Terms, base: str) -> Any:
    from openai import AsyncOpenAI

    options = _without_none(timeout=terms.timeout, max_retries=0 if terms.equal else None)
    return AsyncOpenAI(api_key=KEY, base_url=base, **options)


def _litellm_calls(terms: Terms) -> list[dict[str, Any]]:
    """Return the arguments of ``litellm.acompletion`` for each target."""
    options = _without_none(timeout=terms.timeout)
    if terms.equal:
        options |= {"num_retries": 0, "max_retries": 0}
    return [
        {"model": f"openai/{model}", "api_key": KEY, "api_base": base, **options}
        for model, base in terms.targets
    ]


def _schema() -> dict[str, Any]:
    return {
        "type": "json_schema",
        "json_schema": {
            "name": "Form",
            "strict": True,
            "schema": {**Form.model_json_schema(), "additionalProperties": False},
        },
    }
