"""The stream that a caller holds, and what happens when it breaks."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self, final

from .chunks import Chunks, is_usage_only, text_of
from .errors import DeadlineExceededError, MajordomoError, ProviderError, StreamInterruptedError
from .failover import Answer, Call, Rejected, Turn
from .gateway import Completion, Endpoint
from .responses import Attempt, LLMResponse, Outcome, Usage


@dataclass(frozen=True, slots=True)
class TextDelta:
    """More of the answer's text."""

    text: str


@dataclass(frozen=True, slots=True)
class StreamRestarted:
    """The stream broke, and another target begins the answer anew: clear what has been shown."""

    error: MajordomoError
    """What broke it: a ``StreamInterruptedError``, if ``failover_on`` says nothing else."""
    provider: str
    """Who answers now."""
    model: str


async def begun(endpoint: Endpoint, chunks: Chunks) -> Answer[Chunks]:
    """The stream, once its first content has come.

    Raises:
        Rejected: it ended without any.
        MajordomoError: it broke before.
    """
    try:
        if not await chunks.begin():
            completion = await endpoint.assemble(chunks)
            try:
                completion.text()  # raises what is wrong with it
            except MajordomoError as error:
                raise Rejected(error, completion.usage, completion.cost) from None
    except BaseException:
        await chunks.aclose()
        raise
    return Answer(chunks, close=chunks.aclose)


class Source:
    """Where a stream comes from: the target that serves it now, and those that are left if it breaks."""

    def __init__(self, call: Call[Chunks], turn: Turn[Chunks]) -> None:
        self.call = call
        self.turn = turn
        self.completion: Completion | None = None
        """The whole answer, once it has ended."""
        self._is_open = True
        self._is_closed = False
        self._is_waiting = False

    async def next(self) -> Any:
        """The next chunk, None behind the last one of a whole answer; the attempt is on record then.

        Raises:
            StreamInterruptedError: it broke.
            DeadlineExceededError: the call's time is spent.
            ContentPolicyError: a safety system cut it.
            RuntimeError: it was closed.
        """
        if self.completion is not None:
            return None
        if self._is_closed:
            raise RuntimeError("this stream is closed")
        if self.call.remaining() <= 0:
            self.turn.forget()  # the time went elsewhere
        completion, self._is_waiting = None, True
        try:
            chunk = await self.turn.within(
                self.call.limits.stall_timeout, "stall_timeout", self.turn.answer.value.next()
            )
            self._is_waiting = False
            if chunk is None:
                completion = await self.turn.endpoint.assemble(self.turn.answer.value)
                completion.text()  # raises what is wrong with it
        except Exception as error:
            problem = self._interruption(error) if isinstance(error, ProviderError) else error
        else:
            if completion is not None:
                await self._end("ok", None, completion)
                self.completion = completion
            return chunk
        outcome: Outcome = "rejected" if completion and not isinstance(problem, ProviderError) else "failed"
        await self._end(outcome, problem, completion)
        try:
            raise problem
        finally:
            del problem

    async def restart(self, error: MajordomoError) -> None:
        """Go on with the next target, from the beginning of its answer.

        Raises: ``error``, where it ends the call; else as ``Call.serve``.
        """
        self.call.move_on(self.turn, error)
        self.turn = await self.call.serve()
        self._is_open = True
        if self._is_closed:  # in the meantime, by another task
            await self.aclose()
            raise RuntimeError("this stream was closed while it was being read")

    async def aclose(self) -> None:
        """Close the wire. Nothing is sent after it."""
        self._is_closed = True
        if self._is_open:
            await self._end("cancelled")

    async def _end(
        self, outcome: Outcome, error: Exception | None = None, completion: Completion | None = None
    ) -> None:
        if not self._is_open:  # another task closed it in the meantime
            raise RuntimeError("this stream was closed while it was being read") from None
        self._is_open = False
        usage, cost = (completion.usage, completion.cost) if completion else (None, None)
        self.turn.end(outcome, error, usage, cost)
        if not (outcome == "cancelled" and self._is_waiting):  # given up in a silence, it may be well or not
            self.turn.leave(error)
        await self.turn.answer.value.aclose()

    def _interruption(self, error: ProviderError) -> ProviderError:
        """What breaks a stream off, with the text so far; a deadline is a deadline."""
        if isinstance(error, DeadlineExceededError):
            return error
        name, text = self.turn.endpoint.name, self.turn.answer.value.text
        interrupted = StreamInterruptedError(
            f"{name}: the stream broke off after {len(text)} characters: {str(error).removeprefix(f'{name}: ')}",
            provider=error.provider,
            model=error.model,
            status_code=error.status_code,
            retry_after=error.retry_after,
            original_error=error.original_error,
            partial_content=text,
        )
        interrupted.__cause__ = error.__cause__
        return interrupted


@final
class LLMStreamResponse:
    """An answer that is on its way, to be read once, in one of three ways.

        async for text in stream: ...            # raises StreamInterruptedError if it breaks: what was shown was shown
        response = await stream.collect()        # if it breaks, the next target begins anew; a whole LLMResponse
        async for event in stream.events(): ...  # TextDelta, and StreamRestarted where the next target begins anew

    A stream that is not read to its end is closed by ``async with stream:`` or ``await stream.aclose()`` (at the latest
    when nobody holds it any more); nothing is sent after that.

    Raises, while it is read:
        StreamInterruptedError: it broke, and nobody is left, or its text was already shown; ``partial_content`` has it.
        DeadlineExceededError: the call's deadline is spent.
        ContentPolicyError: a safety system cut the answer.
        ProviderError: no other target could serve; this is what the last one said.
        RuntimeError: it was read before, or closed.
    """

    __slots__ = ("__weakref__", "_is_claimed", "_source")

    def __init__(self, source: Source) -> None:
        self._source = source
        self._is_claimed = False

    @property
    def provider(self) -> str:
        """The provider of the target that serves."""
        return self._source.turn.endpoint.provider

    @property
    def model(self) -> str:
        """The model of the target that serves."""
        return self._source.turn.endpoint.model

    @property
    def failed_over(self) -> bool:
        """True if another target than the first one serves."""
        return self._source.call.has_failed_over(self._source.turn)

    @property
    def attempts(self) -> tuple[Attempt, ...]:
        """Everything that was tried, in the order in which it began; the one under way is not among them."""
        return self._source.call.attempts

    @property
    def usage(self) -> Usage | None:
        """Tokens of the answer, None until it has ended; LiteLLM counts them where the provider does not say."""
        return self._source.completion.usage if self._source.completion else None

    @property
    def cost(self) -> float | None:
        """US dollars for the answer, None until it has ended, and where LiteLLM has no price."""
        return self._source.completion.cost if self._source.completion else None

    @property
    def finish_reason(self) -> str | None:
        """Why the model stopped: "stop", "length", "tool_calls" …, None until the answer has ended."""
        return self._source.completion.finish_reason if self._source.completion else None

    def __aiter__(self) -> AsyncIterator[str]:
        self._claim()
        return self._texts()

    def events(self) -> AsyncIterator[TextDelta | StreamRestarted]:
        """The text as it comes; at a ``StreamRestarted`` it begins anew."""
        self._claim()
        return self._events(restarts=True)

    async def collect(self) -> LLMResponse:
        """The whole answer, from the first target that gives one."""
        self._claim()
        async with aclosing(self._events(restarts=True)) as events:
            text: list[str] = []
            async for event in events:
                if isinstance(event, TextDelta):
                    text.append(event.text)
                else:
                    text.clear()
        completion = self._source.completion
        assert completion is not None  # noqa: S101 - the events have ended
        return LLMResponse(**self._source.turn.report("".join(text), completion))

    async def aclose(self) -> None:
        """Close the wire, wherever the answer is."""
        self._is_claimed = True
        await self._source.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.aclose()

    def __repr__(self) -> str:
        return f"<LLMStreamResponse from {self._source.turn.endpoint.name}>"

    def _claim(self) -> None:
        if self._is_claimed:
            raise RuntimeError(
                "this stream was read or closed before: one is read once, in one way; ask again for another"
            )
        self._is_claimed = True

    async def _texts(self) -> AsyncGenerator[str, None]:
        async with aclosing(self._events(restarts=False)) as events:
            async for event in events:
                if isinstance(event, TextDelta):
                    yield event.text

    async def _events(self, *, restarts: bool) -> AsyncGenerator[TextDelta | StreamRestarted, None]:
        """The events; without ``restarts`` only as long as nothing has been shown does another target begin anew."""
        source, is_shown = self._source, False
        try:
            while True:
                try:
                    chunk = await source.next()
                except MajordomoError as error:
                    if is_shown and not restarts:
                        source.call.leave_trail(error)
                        raise
                    broken = error
                else:
                    if chunk is None:
                        return
                    if text := text_of(chunk):
                        is_shown = True
                        yield TextDelta(text)
                    continue
                await source.restart(broken)
                if is_shown:
                    is_shown = False
                    yield StreamRestarted(broken, self.provider, self.model)
        finally:
            await source.aclose()


@final
class ChunkStream:
    """LiteLLM's own chunks, from the first target whose first content came; what ``acompletion(stream=True)`` returns.

    Raises, while it is read: as ``LLMStreamResponse`` read with ``async for``.
    """

    __slots__ = ("__weakref__", "_chunks", "_source")

    def __init__(self, source: Source) -> None:
        self._source = source
        self._chunks = _chunks_of(source)

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Any:
        return await anext(self._chunks)

    async def aclose(self) -> None:
        """Close the wire, wherever the answer is."""
        await self._source.aclose()


async def _chunks_of(source: Source) -> AsyncGenerator[Any, None]:
    """The chunks, but for the one with the usage where the caller did not ask for it."""
    try:
        while (chunk := await source.next()) is not None:
            if source.turn.answer.value.shows_usage or not is_usage_only(chunk):
                yield chunk
    except MajordomoError as error:
        source.call.leave_trail(error)
        raise
    finally:
        await source.aclose()
