"""The client of one target: what is sent, the call of LiteLLM, and what came back."""

import asyncio
import contextlib
import hashlib
import json
from collections.abc import Callable, Mapping
from typing import Any

from ..options import Dialect, Mode, Target
from ..redaction import known_keys, redact
from ..request import Message, copy, merged
from .accounting import cost_of, notes_of, usage_of
from .boundary import ErrorBoundary
from .catalog import load
from .completion import Completion
from .evidence import NOTHING
from .history import History, lacks_thoughts, sign
from .profiles import profile_of
from .stream import ChunkReader

Params = Mapping[str, Any]

#: Given to LiteLLM for "no limit", where its own default would be 600 s. Seconds.
NO_LIMIT = 86_400.0

#: Parameters of a call that LiteLLM's cache neither answers nor stores.
PAST_CACHE: Params = {"cache": {"no-cache": True, "no-store": True}}

#: Characters of an answer that are quoted.
LONGEST_EXCERPT = 200


class TargetClient:
    """Calls one target. ``params`` and ``timeout``, in seconds, are the cascade's."""

    def __init__(self, target: Target, params: Params, timeout: float | None) -> None:
        self._litellm = load()
        self.target = target
        self.timeout = target.timeout or timeout
        self._route = f"{target.provider}/{target.model}"
        self._profile = profile_of(self._route)
        self.dialect: Dialect = self._profile.dialect
        self.surest_mode: Mode
        self.surest_mode, takes_format = _abilities(self._litellm, target)
        self._must_allow = self.surest_mode != "prompt" and not takes_format
        own = copy(target.params)
        if target.api_key is not None:
            own["api_key"] = target.api_key.get_secret_value()
        if target.api_base is not None:
            own["api_base"] = target.api_base
        self._base: dict[str, Any] = {
            **merged(params, own),
            "model": self._route,
            "timeout": self.timeout or NO_LIMIT,
            # Both, always: the vendor's client reads one, LiteLLM's wrapper the other.
            "max_retries": 0,
            "num_retries": 0,
        }
        # The cascade's key, and a call's, are for the cascade's gateway.
        self._is_elsewhere = "api_base" in own and "api_base" in params
        if self._is_elsewhere and "api_key" not in own:
            self._base.pop("api_key", None)

    def fingerprint(self) -> str:
        """Return a digest of the target, its address and its key, the same in every process.

        A key that LiteLLM reads from the environment is not in it.
        """
        target = self.target
        address = [self._base.get(name) for name in ("api_base", "api_key")]
        told = json.dumps([target.provider, target.model, target.name, *address], default=str)
        return hashlib.sha256(told.encode()).hexdigest()[:32]

    def history(self) -> History:
        """Return what makes the messages of a call fit for the target."""
        return History(self._route, self._profile)

    async def complete(
        self,
        messages: list[Message],
        params: Params,
        added: Params = NOTHING,
        *,
        past_cache: bool = False,
    ) -> Completion:
        """Ask by one request. ``added`` are parameters that are sent uncopied.

        The answer is not from LiteLLM's cache if it is to go ``past_cache``, but it is stored.

        Raises:
            ProviderError: the provider cannot serve now.
            BadRequestError: the request is at fault.
            Exception: a bug of the caller's or of LiteLLM's, as what it is.
        """
        raw, _ = await self._ask(self._request(messages, params, added, past_cache=past_cache))
        return self._completion(raw)

    async def stream(
        self,
        messages: list[Message],
        params: Params,
        last_words: Callable[[], asyncio.Timeout],
        *,
        past_cache: bool = False,
    ) -> ChunkReader:
        """Ask for a stream. Gemini gets the request only when it is read.

        Raises: as ``complete``.
        """
        sent = self._request(messages, params, {"stream": True}, past_cache=past_cache)
        shows_usage = "stream_options" in sent
        sent.setdefault("stream_options", {"include_usage": True})
        raw, boundary = await self._ask(sent)
        return ChunkReader(raw, boundary, last_words, shows_usage=shows_usage)

    async def assemble(self, chunks: ChunkReader) -> Completion:
        """Put a stream that has ended together."""
        reason = chunks.finish_reason
        build = self._litellm.stream_chunk_builder
        try:
            raw = await asyncio.to_thread(build, chunks.received)  # it takes 0.03 ms a chunk
            raw.choices[0].finish_reason = reason  # some versions lose it
        except Exception:  # the text has been shown, so this must not break it now
            choice = {"message": {"content": chunks.text}, "finish_reason": reason}
            raw = self._litellm.ModelResponse(choices=[choice])
        if chunks.is_cached:  # LiteLLM notes it in whole answers only
            raw._hidden_params["cache_hit"] = True
        return self._completion(raw)

    def sent(self) -> dict[str, Any]:
        """Return what is sent with a call that has no parameters of its own; it holds keys."""
        return self._request([], NOTHING)

    def sends(self, name: str, params: Params) -> bool:
        """Return whether a parameter is sent with a call that has these parameters."""
        return self.setting(name, params) is not None

    def setting(self, name: str, params: Params) -> Any:
        """Return the value of a parameter in a call that has these parameters, None if unset."""
        for level in (self.target.overrides, params):
            if name in level:
                return level[name]
        return self._base.get(name)

    def excerpt(self, text: str, params: Params) -> str:
        """Return the beginning of an answer on one line, without the keys that it echoes."""
        keys = [*known_keys(self._base), *known_keys(params)]
        return redact(text, keys, LONGEST_EXCERPT)

    def _request(
        self,
        messages: list[Message],
        params: Params,
        added: Params = NOTHING,
        *,
        past_cache: bool = False,
    ) -> dict[str, Any]:
        """Return what is sent, copied."""
        if self._is_elsewhere and "api_base" not in params:
            params = {name: params[name] for name in params if name != "api_key"}
        sent = merged(self._base, params)
        overrides = self.target.overrides
        if overrides:
            sent = merged(sent, overrides)
            for name in overrides:
                if overrides[name] is None:
                    del sent[name]
        if past_cache and self._litellm.cache is not None:
            sent["cache"] = {**(sent.get("cache") or {}), "no-cache": True}
        if self._must_allow:  # the caller says that the model takes a response_format
            allowed = sent.get("allowed_openai_params") or ()
            sent["allowed_openai_params"] = [*allowed, "response_format"]
        if self._profile.thinks_first and lacks_thoughts(messages):
            self._forgo_thinking(sent)
        return {**copy(sent), "messages": copy(messages), **added}

    def _forgo_thinking(self, sent: dict[str, Any]) -> None:
        """Remove the parameters for thinking, if Claude would have to think first.

        With a budget for thinking, it refuses tool calls before which it did not think:
        https://platform.claude.com/docs/en/build-with-claude/extended-thinking
        """
        given = {name: sent[name] for name in ("thinking", "reasoning_effort") if sent.get(name)}
        if not given:
            return
        names = {"model": self.target.model, "custom_llm_provider": self.target.provider}
        with contextlib.suppress(Exception):
            thinking = self._litellm.utils.get_optional_params(**names, **given)["thinking"]
            if thinking["type"] == "enabled":
                for name in given:
                    del sent[name]

    async def _ask(self, sent: Params) -> tuple[Any, ErrorBoundary]:
        boundary = ErrorBoundary(self._litellm, self.target, sent)
        with boundary:
            # Looked up now: applications patch and instrument it.
            return await self._litellm.acompletion(**sent), boundary

    def _completion(self, raw: Any) -> Completion:
        sign(raw, self._route)
        notes = notes_of(raw)
        cost = cost_of(self._litellm, raw, notes, self.target)
        return Completion(raw, self.target, usage_of(raw), cost, bool(notes.get("cache_hit")))


def _abilities(litellm: Any, target: Target) -> tuple[Mode, bool]:
    """Return the surest way to ask for JSON, and whether LiteLLM knows ``response_format``.

    Asking also loads the vendor's modules.
    """
    names = {"model": target.model, "custom_llm_provider": target.provider}
    mode = target.structured_output
    takes_format = False
    with contextlib.suppress(Exception):  # the request tells of a model that LiteLLM refuses
        takes_format = "response_format" in litellm.get_supported_openai_params(**names)
        if mode is None and takes_format:
            mode = "json_schema" if litellm.supports_response_schema(**names) else "json_mode"
    if mode == "json_schema":
        # For older models of Claude, Claude on Vertex and Groq's Llama, LiteLLM makes a tool of
        # the schema, whose answer it reads back unsoundly.
        schema = {"name": "answer", "schema": {"type": "object", "properties": {}}}
        asked = {"type": "json_schema", "json_schema": schema}
        with contextlib.suppress(Exception):
            sent = litellm.utils.get_optional_params(**names, response_format=asked)
            if "json_tool_call" in str(sent.get("tools")):
                mode = "json_mode"
    return mode or "prompt", takes_format
