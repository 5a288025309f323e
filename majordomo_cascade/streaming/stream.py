"""The streams that a caller holds."""

from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from typing import Any, Self, final

from ..errors import MajordomoError
from ..gateway import is_usage_only, text_of, tool_calls_of
from ..responses import Attempt, LLMResponse, Usage
from .source import Source


@dataclass(frozen=True, slots=True)
class TextDelta:
    """More of the answer's text."""

    text: str


@dataclass(frozen=True, slots=True)
class ToolCallDelta:
    """More of a tool call."""

    index: int
    """Tells the calls of an answer apart."""
    id: str | None
    """None but at the beginning of a call, as ``name``."""
    name: str | None
    arguments: str
    """More of the JSON text of the arguments."""


@dataclass(frozen=True, slots=True)
class StreamRestarted:
    """The stream broke, and another target begins the answer anew: clear what has been shown."""

    error: MajordomoError
    """What broke it: a ``StreamInterruptedError``, unless ``failover_on`` says otherwise."""
    provider: str
    """The provider that answers now."""
    model: str


Event = TextDelta | ToolCallDelta | StreamRestarted


class StreamInfo:
    """Who serves a stream, by which attempts, and at its end what it used."""

    __slots__ = ("_source",)

    def __init__(self, source: Source) -> None:
        self._source = source

    @property
    def provider(self) -> str:
        """The provider of the target that serves."""
        return self._source.turn.target.provider

    @property
    def model(self) -> str:
        """The model of the target that serves."""
        return self._source.turn.target.model

    @property
    def failed_over(self) -> bool:
        """True if another target than the first one serves."""
        return self._source.turn.target is not self._source.call.first

    @property
    def attempts(self) -> tuple[Attempt, ...]:
        """Every attempt that has ended, in the order in which they began."""
        return self._source.call.trail.attempts

    @property
    def time_to_first_token(self) -> float:
        """Seconds from call to the first content of the target that first began to answer."""
        return self._source.time_to_first_token

    @property
    def usage(self) -> Usage | None:
        """Tokens, None until the end; LiteLLM counts them if the provider does not say."""
        return getattr(self._source.response, "usage", None)

    @property
    def cost(self) -> float | None:
        """US dollars, None until the end, and if LiteLLM has no price."""
        return getattr(self._source.response, "cost", None)

    @property
    def total_cost(self) -> float | None:
        """``cost`` plus that of paid answers that could not be used; None as ``cost``."""
        return getattr(self._source.response, "total_cost", None)

    @property
    def latency(self) -> float | None:
        """Seconds from call to the end of the answer, None until then."""
        return getattr(self._source.response, "latency", None)

    @property
    def finish_reason(self) -> str | None:
        """Why the model stopped ("stop", "length", "tool_calls" …), None until the end."""
        return getattr(self._source.response, "finish_reason", None)

    @property
    def tool_calls(self) -> tuple[Any, ...]:
        """LiteLLM's own objects, () until the end."""
        return getattr(self._source.response, "tool_calls", ())


@final
class LLMStreamResponse(StreamInfo):
    """An answer on its way, to be read once, in one of three ways.

    ::

        async for text in stream: ...            # raises StreamInterruptedError if it breaks
        response = await stream.collect()        # if it breaks, the next target begins anew
        async for event in stream.events(): ...  # TextDelta, ToolCallDelta, StreamRestarted

    ``async with stream:`` or ``await stream.aclose()`` closes it before its end; it is also closed
    when nobody holds it any more.

    Raises, while it is read:
        StreamInterruptedError: it broke, and no target is left, or its text was already shown;
            ``partial_content`` has it.
        DeadlineExceededError: the call's deadline is spent.
        ContentPolicyError: a safety system cut the answer.
        ProviderError: no other target could serve; this is the last one's error.
        RuntimeError: it was read before, or closed.
    """

    __slots__ = ("__weakref__", "_is_claimed")

    def __init__(self, source: Source) -> None:
        super().__init__(source)
        self._is_claimed = False

    def __aiter__(self) -> AsyncIterator[str]:
        return self._claim().read(_texts_of)

    def events(self) -> AsyncIterator[Event]:
        """Return text and tool calls as they come; at a ``StreamRestarted`` both begin anew."""
        return self._claim().read(_events_of, StreamRestarted)

    async def collect(self) -> LLMResponse[str]:
        """Return the whole answer of the first target that gives one."""
        source = self._claim()
        async for _ in source.read(lambda _: ()):  # nothing is shown that a break could spoil
            pass
        assert source.response is not None  # noqa: S101 - it has ended
        return source.response

    async def aclose(self) -> None:
        """Close the wire, wherever the answer is."""
        self._is_claimed = True
        await self._source.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, kind: object, error: BaseException | None, traceback: object) -> None:
        await self.aclose()

    def __repr__(self) -> str:
        return f"<LLMStreamResponse from {self._source.turn.target.name}>"

    def _claim(self) -> Source:
        if self._is_claimed:
            raise RuntimeError(
                "this stream was read or closed before: a stream is read once, in one way; "
                "ask again for another"
            )
        self._is_claimed = True
        return self._source


def _texts_of(chunk: Any) -> Iterator[str]:
    text = text_of(chunk)
    if text:
        yield text


def _events_of(chunk: Any) -> Iterator[Event]:
    for text in _texts_of(chunk):
        yield TextDelta(text)
    for call in tool_calls_of(chunk):
        function = call.function
        yield ToolCallDelta(call.index, call.id, function.name, function.arguments or "")


@final
class ChunkStream:
    """LiteLLM's own chunks, which ``acompletion(stream=True)`` returns.

    Raises, while it is read: as ``LLMStreamResponse`` read with ``async for``.
    """

    __slots__ = ("__weakref__", "_chunks", "_source")

    def __init__(self, source: Source) -> None:
        def asked_for(chunk: Any) -> Iterator[Any]:
            if source.chunks.shows_usage or not is_usage_only(chunk):
                yield chunk

        self._source = source
        self._chunks = source.read(asked_for)

    @property
    def total_cost(self) -> float | None:
        """US dollars for all answers that came, None until the end, and if one has no price."""
        return getattr(self._source.response, "total_cost", None)

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Any:
        return await anext(self._chunks)

    async def aclose(self) -> None:
        """Close the wire, wherever the answer is."""
        await self._source.aclose()
