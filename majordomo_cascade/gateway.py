"""The one door to LiteLLM: who can be called, the call itself, what came back and what it cost.

LiteLLM is imported when the first cascade is built, never when this package is. Nothing of its global state is
written, with one exception: see ``load``.
"""

from __future__ import annotations

import asyncio
import contextlib
import difflib
import importlib
import os
import re
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import CodeType, MappingProxyType
from typing import Any
from urllib.parse import unquote, urlsplit

from .chunks import Chunks, LastWords, NotWholeError
from .classify import chain, classify
from .errors import (
    AuthenticationError,
    ConfigurationError,
    ContentPolicyError,
    InvalidResponseError,
    ResponseTruncatedError,
)
from .request import Message, fresh
from .responses import Usage
from .scrubbing import in_any_spelling, in_json, scrub, wanted
from .structured import Abilities, Ladder, Rung, Shape
from .target import Target, key_problem

#: Providers to which a key in the environment is the only way in, and the names LiteLLM reads it from. The others
#: (AWS roles, Google's default credentials, servers that want none …) are never second-guessed.
KEY_NAMES: dict[str, tuple[str, ...]] = {
    "anthropic": ("ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN"),
    "azure": ("AZURE_API_KEY", "AZURE_OPENAI_API_KEY", "AZURE_AD_TOKEN"),
    "cohere": ("COHERE_API_KEY", "CO_API_KEY"),
    "cohere_chat": ("COHERE_API_KEY", "CO_API_KEY"),
    "deepseek": ("DEEPSEEK_API_KEY",),
    "gemini": ("GEMINI_API_KEY", "GOOGLE_API_KEY"),
    "groq": ("GROQ_API_KEY",),
    "mistral": ("MISTRAL_API_KEY", "MISTRAL_AZURE_API_KEY"),
    "openai": ("OPENAI_API_KEY",),
}

#: Parameters and globals of LiteLLM that may bring credentials, or make them needless.
OTHER_WAYS_IN = (
    "api_base",
    "azure_ad_token",
    "azure_ad_token_provider",
    "azure_username",
    "client",
    "client_id",
    "extra_headers",
    "headers",
    "litellm_credential_name",
    "tenant_id",
    "use_litellm_proxy",
)
GLOBAL_WAYS_IN = (
    "api_key",
    "api_base",
    "headers",
    "secret_manager_client",
    "credential_list",
    "use_litellm_proxy",
    "cache",
)

#: What LiteLLM would import in the middle of a first call: the OpenAI client's 450 modules, the tokenizer, its loggers.
LOADED_EARLY = (
    "openai.resources",
    "openai.resources.chat",
    "litellm.litellm_core_utils.default_encoding",
    "litellm._service_logger",
    "litellm.proxy._types",
)

#: The tool that LiteLLM lets a model without native schemas answer by (RESPONSE_FORMAT_TOOL_NAME in its constants).
JSON_TOOL = "json_tool_call"

#: What LiteLLM adds to a budget for thinking, and its budgets for a low, medium and high ``reasoning_effort``. Tokens.
DEFAULT_MAX_TOKENS, THINKING_BUDGETS = 4096, (1024, 2048, 4096)

#: Characters of an answer that is quoted.
LONGEST_EXCERPT = 200

EMPTY: Mapping[str, Any] = MappingProxyType({})

_SECRET = re.compile("key|token|secret|password|auth|credential", re.IGNORECASE)

#: What a finish reason looks like; of the longest that vendors have, 28 letters. Anything else may be anything.
_WORD = re.compile(r"\w{1,32}")

#: Handed to LiteLLM for "no limit", where its own default would be 600 s. Seconds.
NO_LIMIT = 86_400.0


def load() -> Any:
    """LiteLLM, imported; if this is its first import in the process, without its habit of printing at every error."""
    ours = "litellm" not in sys.modules
    litellm: Any = importlib.import_module("litellm")
    if ours:
        litellm.suppress_debug_info = True
    for name in LOADED_EARLY:
        with contextlib.suppress(ImportError):
            importlib.import_module(name)
    return litellm


def resolve(entry: Any) -> Target:
    """A target from a ``(provider, model)`` pair, a ``"provider/model"`` string, a known chat model's name, or itself.

    Raises:
        ConfigurationError: it is none of these, or LiteLLM has no such provider.
    """
    target: Target
    if isinstance(entry, Target):
        target = entry
    elif isinstance(entry, str) and "/" in entry:
        target = Target(*entry.split("/", 1))
    elif isinstance(entry, str):
        target = _by_model(entry)
    elif isinstance(entry, Sequence) and len(entry) == 2 and all(isinstance(part, str) for part in entry):
        target = Target(*entry)
    else:
        raise ConfigurationError(
            f"a provider must be a pair such as ('openai', 'gpt-4.1'), a string such as 'openai/gpt-4.1', "
            f"or a Target, not {type(entry).__name__}"
        )
    known = _known_providers()
    if target.provider not in known:
        slips = {"google": ["gemini", "vertex_ai"], "claude": ["anthropic"], "aws": ["bedrock"], "gpt": ["openai"]}
        name = target.provider.lower()
        if target.model in known:
            raise ConfigurationError(f"the provider comes first: ({target.model!r}, {target.provider!r})")
        near = slips.get(name) or difflib.get_close_matches(name, known)
        hint = f"did you mean {' or '.join(map(repr, near))}?" if near else "litellm.provider_list has their names"
        raise ConfigurationError(f"LiteLLM has no provider {target.provider!r}: {hint}")
    return target


def _known_providers() -> list[str]:
    """LiteLLM's providers, and those that the application registered with it."""
    litellm = load()
    custom = [str(entry["provider"]) for entry in litellm.custom_provider_map]
    return [str(getattr(provider, "value", provider)) for provider in litellm.provider_list] + custom


def _by_model(model: str) -> Target:
    """The target of a bare model name. Only for chat models that LiteLLM's price list has: it guesses at others."""
    litellm = load()
    if litellm.model_cost.get(model, {}).get("mode") in ("chat", "responses"):
        name, provider, *_ = litellm.get_llm_provider(model)
        return Target(provider, name)
    if model in _known_providers():
        raise ConfigurationError(f"{model!r} is a provider; give its model, too, as ({model!r}, '…') or '{model}/…'")
    raise ConfigurationError(
        f"{model!r} is not the name of a chat model that LiteLLM knows: give its provider, too, "
        f"as ('provider', {model!r}) or 'provider/{model}'"
    )


@dataclass(frozen=True, slots=True)
class Completion:
    """What LiteLLM gave back, and what it used."""

    raw: Any
    provider: str
    model: str
    usage: Usage
    cost: float | None
    cuts: tuple[int, ...] = ()
    """The lengths in tokens at which Claude's answer by LiteLLM's JSON tool is cut, which LiteLLM calls a "stop"."""

    @property
    def finish_reason(self) -> str | None:
        """Why the model stopped, as LiteLLM reports it; None where there is no choice, or what is no single word."""
        choices: Any = getattr(self.raw, "choices", None)
        reason = getattr(choices[0], "finish_reason", None) if choices else None
        if reason == "stop" and self.usage.output_tokens in self.cuts:
            is_by_tool = getattr(choices[0].message, "provider_specific_fields", None) is None  # texts have some
            return "length" if is_by_tool else reason
        return reason if isinstance(reason, str) and _WORD.fullmatch(reason) else None

    @property
    def has_tool_calls(self) -> bool:
        """Whether the model called a tool."""
        return bool(getattr(self.raw.choices[0].message, "tool_calls", None))

    def text(self) -> str:
        """The text of the first choice, "" where the model answered with tool calls, images or sound.

        Raises:
            InvalidResponseError: there is no choice, or nothing in it.
            ContentPolicyError: a safety system, or the model itself, refused.
            ResponseTruncatedError: ``max_tokens`` was spent before any text came.
        """
        name = f"{self.provider}/{self.model}"
        message = getattr(self.raw.choices[0], "message", None) if getattr(self.raw, "choices", None) else None
        if message is None:
            raise self._invalid(f"{name}: the answer has no choices")
        if self.finish_reason == "content_filter" or _refusal(message):
            raise ContentPolicyError(f"{name} refused: the answer was held back by a safety system")
        text = getattr(message, "content", None)
        if isinstance(text, str) and text.strip():
            return text
        if any(getattr(message, part, None) for part in ("tool_calls", "function_call", "images", "audio")):
            return text or ""
        if self.finish_reason == "length":
            raise ResponseTruncatedError(
                f"{name}: max_tokens was spent before any text came; raise it", provider=self.provider, model=self.model
            )
        raise self._invalid(f"{name}: the answer is empty")

    def json_text(self) -> str:
        """The text of the first choice, or of the tool call by which LiteLLM lets some models answer in JSON.

        Raises:
            ResponseTruncatedError: ``max_tokens`` cut it: half of a JSON text is of no use.
            InvalidResponseError, ContentPolicyError: as for ``text``.
        """
        text = self.text()
        if self.finish_reason == "length":
            raise ResponseTruncatedError(
                f"{self.provider}/{self.model}: max_tokens cut the JSON answer after {len(text)} characters; "
                "raise it, or ask for less",
                provider=self.provider,
                model=self.model,
                partial_content=text,
            )
        for call in getattr(self.raw.choices[0].message, "tool_calls", None) or ():
            tool: Any = getattr(call, "function", None)
            if getattr(tool, "name", None) == JSON_TOOL and isinstance(tool.arguments, str):
                return tool.arguments
        return text

    def _invalid(self, message: str) -> InvalidResponseError:
        return InvalidResponseError(message, provider=self.provider, model=self.model)


class Endpoint:
    """One target, made ready: everything that can be known before a call is known once."""

    __slots__ = (
        "_base",
        "_is_elsewhere",
        "_key_hint",
        "_key_names",
        "_litellm",
        "_max_tokens",
        "_must_allow",
        "abilities",
        "ladder",
        "model",
        "name",
        "provider",
        "target",
        "timeout",
    )

    def __init__(self, target: Target, params: Mapping[str, Any], timeout: float | None) -> None:
        self._litellm = load()
        self.target = target
        self.provider = target.provider
        self.model = target.model
        self.name = f"{target.provider}/{target.model}"
        self.timeout = target.timeout or timeout
        takes_format = self._takes_format()
        self.abilities = self._abilities(takes_format=takes_format)
        self.ladder = Ladder(self.abilities.rung)
        self._max_tokens: Any = None
        if "claude" in self.model:
            with contextlib.suppress(Exception):  # what LiteLLM sends where the caller sends none
                config = self._litellm.AnthropicConfig.get_config(model=f"anthropic/{self.model}")
                self._max_tokens = config.get("max_tokens")
        self._must_allow = target.structured_output not in (None, "prompt") and not takes_format
        self._key_names = KEY_NAMES.get(target.provider, ())
        self._key_hint = "set " + ", or ".join([*self._key_names[:1], "api_key=… on its Target"])
        own: dict[str, Any] = dict(target.params)
        if target.api_key is not None:
            own["api_key"] = target.api_key.get_secret_value()
        if target.api_base is not None:
            own["api_base"] = target.api_base
        self._is_elsewhere = "api_base" in own and "api_base" in params
        if self._is_elsewhere:  # the cascade's key, and a call's, are for the cascade's gateway
            params = {name: value for name, value in params.items() if name != "api_key"}
        self._base: dict[str, Any] = {
            **params,
            **fresh(own),
            "model": self.name,
            "timeout": self.timeout or NO_LIMIT,
            "max_retries": 0,  # both, always: the vendor's client reads one, LiteLLM's wrapper the other
            "num_retries": 0,
        }

    def _takes_format(self) -> bool:
        """Whether LiteLLM knows ``response_format`` for the model; asking also loads the vendor's modules."""
        known = self._litellm.get_supported_openai_params(model=self.model, custom_llm_provider=self.provider)
        return "response_format" in (known or ())

    def _abilities(self, *, takes_format: bool) -> Abilities:
        """What the caller, or else LiteLLM, says of the model."""
        shape: Shape = "inlined" if "claude" in self.model else "plain" if "gemini" in self.name else "strict"
        rung: Rung = "json_mode" if takes_format else "prompt"
        if takes_format and self._litellm.supports_response_schema(model=self.model, custom_llm_provider=self.provider):
            rung = "json_schema"
        return Abilities(self.target.structured_output or rung, shape)

    async def complete(
        self, messages: list[Message], params: Mapping[str, Any], given: Mapping[str, Any] = EMPTY
    ) -> Completion:
        """One call of ``litellm.acompletion``, which is one request on the wire. ``given`` is sent as it is, uncopied.

        Raises:
            ProviderError: the provider can't serve now.
            RequestError: the request is at fault.
            Exception: a bug of the caller's or of LiteLLM's, as what it is.
        """
        sent = self._request(messages, params)
        sent.update(given)
        raw = await self._call(sent)
        return Completion(raw, self.provider, self.model, _usage(raw), self._cost(raw), self._cuts(sent))

    def sends(self, name: str, params: Mapping[str, Any]) -> bool:
        """Whether a parameter is sent: by a call's params, or else by the target's or the cascade's."""
        return (params[name] if name in params else self._base.get(name)) is not None

    async def stream(self, messages: list[Message], params: Mapping[str, Any], last_words: LastWords) -> Chunks:
        """The same as a stream. Some vendors get the request only when it is read.

        Raises: as ``complete``.
        """
        shows_usage = "stream_options" in params or "stream_options" in self._base
        usage = {} if shows_usage else {"stream_options": {"include_usage": True}}
        sent = self._request(messages, {**params, **usage, "stream": True})
        raw = await self._call(sent)
        return Chunks(raw, partial(self._translate, sent), last_words, shows_usage=shows_usage)

    async def assemble(self, chunks: Chunks) -> Completion:
        """The whole answer of a stream that has ended. In a thread: it takes LiteLLM 0.03 ms a chunk."""
        return await asyncio.to_thread(self._assembled, chunks)

    def _assembled(self, chunks: Chunks) -> Completion:
        try:
            raw: Any = self._litellm.stream_chunk_builder(chunks.received)
            raw.choices[0].finish_reason = chunks.finish_reason  # some versions lose it
        except Exception:  # the text has been shown: what LiteLLM can't put together must not break it now
            answer = {"message": {"content": chunks.text}, "finish_reason": chunks.finish_reason}
            raw = self._litellm.ModelResponse(choices=[answer])
        cost = 0.0 if chunks.is_cached else self._price(raw)
        return Completion(raw, self.provider, self.model, _usage(raw), cost)

    def _request(self, messages: list[Message], params: Mapping[str, Any]) -> dict[str, Any]:
        """What is sent, copied.

        Raises:
            AuthenticationError: a key is needed, and there is none.
        """
        if self._is_elsewhere and "api_base" not in params:
            params = {name: value for name, value in params.items() if name != "api_key"}
        sent: dict[str, Any] = fresh({**self._base, **params, "messages": messages})
        if self._must_allow:  # the caller says that it takes a response_format; LiteLLM is to believe it
            sent["allowed_openai_params"] = [*(sent.get("allowed_openai_params") or ()), "response_format"]
        if "api_key" not in sent and self._key_names and not _is_mocked(sent):
            self._check_key(sent)
        return sent

    async def _call(self, sent: dict[str, Any]) -> Any:
        """LiteLLM's answer, or its exception as one of this package's."""
        outside = sys.exception()
        try:
            return await self._litellm.acompletion(**sent)  # looked up now: applications patch and instrument it
        except Exception as error:
            problem = self._translate(sent, error, outside=outside)
        try:
            raise problem  # outside of the handler: its context is what LiteLLM made it, and nothing more
        finally:
            del problem

    def _translate(
        self,
        sent: dict[str, Any],
        error: Exception,
        *,
        outside: BaseException | None,
        is_reading: bool = False,
        reported: Any = None,
    ) -> Exception:
        """This package's error for one of LiteLLM's."""
        if isinstance(error, NotWholeError) and reported is None:
            return InvalidResponseError(f"{self.name}: {error}", provider=self.provider, model=self.model)
        return classify(
            error,
            self.provider,
            self.model,
            mocked=_is_mocked(sent),
            secrets=self._secrets(sent, chain(error)),
            key=self._key_hint,
            outside=outside,
            is_reading=is_reading,
            reported=reported,
        )

    def excerpt(self, text: str, messages: list[Message], params: Mapping[str, Any]) -> str:
        """The beginning of an answer, on one line, without the keys and prompts that it echoes."""
        shown = scrub(text, wanted(self._secrets({**self._base, **params, "messages": messages}, ())))
        return shown if len(shown) <= LONGEST_EXCERPT else f"{shown[:LONGEST_EXCERPT]}…"

    def _secrets(self, sent: Mapping[str, Any], links: Iterable[BaseException]) -> Iterator[str]:
        """What a vendor's text must not bring into ours: the prompt, and keys, wherever they came from."""
        shared = {f"litellm.{name}": getattr(self._litellm, name, None) for name in ("api_key", f"{self.provider}_key")}
        for key in _keys({**shared, **sent}, links):
            yield from in_any_spelling(key)
        for text in _texts(sent["messages"]):
            for part in (text, *text.splitlines()):  # a system prompt may have got an instruction behind it
                yield from in_json(part)

    def _cuts(self, sent: Mapping[str, Any]) -> tuple[int, ...]:
        """The lengths at which an answer of Claude's in JSON may be cut.

        Where that answers by a tool, LiteLLM says "stop" for an answer that was cut, and half of one can be valid
        (llms/anthropic/chat/transformation.py, ``completion_response["stop_reason"] = "stop"``).
        """
        if self.abilities.shape != "inlined" or "response_format" not in sent:
            return ()
        given = [sent.get(name) for name in ("max_tokens", "max_completion_tokens")]
        numbers = [int(most) for most in given if isinstance(most, int | float)]
        if numbers:
            return (max(numbers),)
        if not (sent.get("thinking") or sent.get("reasoning_effort")):
            return (self._max_tokens,) if self._max_tokens else ()
        thinking = sent.get("thinking")
        budget = thinking.get("budget_tokens") if isinstance(thinking, Mapping) else None
        return tuple(DEFAULT_MAX_TOKENS + each for each in ([budget] if budget else THINKING_BUDGETS))

    def _check_key(self, sent: Mapping[str, Any]) -> None:
        """See a missing or malformed key before the request, where a key in the environment is the only way in.

        Raises:
            AuthenticationError: there is none, or it can't be sent.
        """
        for name in self._key_names:
            if key := os.environ.get(name):
                if problem := key_problem(key):
                    raise self._no_key(f"the key in {name} {problem}")
                return
        if not self._has_other_way_in(sent):
            raise self._no_key(f"no API key: {self._key_hint}")

    def _has_other_way_in(self, sent: Mapping[str, Any]) -> bool:
        """Whether credentials may come from elsewhere, or none are needed."""
        litellm, prefix = self._litellm, self._key_names[0].removesuffix("_API_KEY")
        return (
            any(sent.get(name) for name in OTHER_WAYS_IN)
            or any(os.environ.get(f"{prefix}_{name}") for name in ("API_BASE", "BASE_URL", "CLIENT_ID", "AD_TOKEN"))
            or any(getattr(litellm, name, None) for name in (*GLOBAL_WAYS_IN, f"{self.provider}_key"))
            or any(entry["provider"] == self.provider for entry in litellm.custom_provider_map)
            or self._is_patched()
        )

    def _is_patched(self) -> bool:
        """Whether ``litellm.acompletion`` is somebody else's: a test's, say, that makes no request."""
        code = getattr(self._litellm.acompletion, "__code__", None)
        home = Path(self._litellm.__file__).parent
        return type(code) is not CodeType or home not in Path(code.co_filename).parents

    def _no_key(self, message: str) -> AuthenticationError:
        return AuthenticationError(f"{self.name}: {message}", provider=self.provider, model=self.model)

    def _cost(self, raw: Any) -> float | None:
        """US dollars by LiteLLM's price list; None where it has no price (it says 0.0 for some of these)."""
        hidden = getattr(raw, "_hidden_params", None)
        hidden = hidden if isinstance(hidden, dict) else {}
        if hidden.get("cache_hit"):  # LiteLLM repeats what the answer cost when it was made
            return 0.0
        if (cost := hidden.get("response_cost", ...)) is ...:
            return self._price(raw)
        return self._priced(cost)

    def _price(self, raw: Any) -> float | None:
        """The same, worked out here."""
        with contextlib.suppress(Exception):  # LiteLLM raises a bare Exception for a model without a price
            return self._priced(self._litellm.completion_cost(completion_response=raw, model=self._base["model"]))
        return None

    def _priced(self, cost: Any) -> float | None:
        """A cost that LiteLLM names, without its 0.0 for a model that it does not know."""
        if cost:
            return float(cost)
        return 0.0 if cost is not None and self._is_free() else None

    def _is_free(self) -> bool:
        """Whether the price list says 0, as for local models."""
        with contextlib.suppress(Exception):  # likewise
            info = self._litellm.get_model_info(self.model, custom_llm_provider=self.provider)
            return bool(info["input_cost_per_token"] == info["output_cost_per_token"] == 0)
        return False


def _is_mocked(sent: Mapping[str, Any]) -> bool:
    """Whether LiteLLM answers by itself, without a request."""
    return any(value for name, value in sent.items() if name.startswith("mock_"))


def _refusal(message: Any) -> str | None:
    """OpenAI's ``refusal``, which LiteLLM keeps in one place or another by version."""
    own, others = getattr(message, "refusal", None), getattr(message, "provider_specific_fields", None)
    refusal = own or (others.get("refusal") if isinstance(others, dict) else None)
    return refusal if isinstance(refusal, str) else None  # a test's mock has every attribute


def _usage(raw: Any) -> Usage:
    """The tokens of an answer, in this package's words."""
    usage = getattr(raw, "usage", None)
    return Usage(
        input_tokens=_count(usage, "prompt_tokens"),
        output_tokens=_count(usage, "completion_tokens"),
        total_tokens=_count(usage, "total_tokens"),
        cached_tokens=_count(getattr(usage, "prompt_tokens_details", None), "cached_tokens"),
        reasoning_tokens=_count(getattr(usage, "completion_tokens_details", None), "reasoning_tokens"),
    )


def _count(counts: Any, name: str) -> int:
    """A number of tokens, 0 where the provider did not say."""
    count = getattr(counts, name, None)
    return count if isinstance(count, int) else 0


def _keys(sent: Mapping[str, Any], links: Iterable[BaseException]) -> Iterator[str]:
    """The keys that may be in a request: its own, those in its headers and address, and those in the environment."""
    for name, value in (*sent.items(), *os.environ.items()):
        if isinstance(value, str) and _SECRET.search(name):
            yield value
    requests = (getattr(link, "request", None) for link in links if type(link).__name__ == "HTTPStatusError")
    sent_headers = (sent.get("extra_headers"), sent.get("headers"))
    for headers in (*sent_headers, *(getattr(request, "headers", None) for request in requests)):
        for name, value in (headers or {}).items():
            if _SECRET.search(name):
                yield from (value, value.rpartition(" ")[2])
    with contextlib.suppress(ValueError):  # no address
        yield unquote(urlsplit(str(sent.get("api_base") or "")).password or "")


def _texts(value: Any) -> Iterator[str]:
    """Every string in the messages but their roles and types."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for name, item in value.items():
            if name not in ("role", "type"):
                yield from _texts(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _texts(item)
