"""The source of a stream: the target that serves it, and those that are left if it breaks."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from ..candidate import Candidate, respond
from ..errors import DeadlineExceededError, MajordomoError, ProviderError, StreamInterruptedError
from ..failover import Call, RunningAttempt, TimeLimit, Turn, Verdict, serve
from ..gateway import NO_LIMIT, ChunkReader, Completion, Session, StreamState
from ..request import Message
from ..responses import LLMResponse

P = TypeVar("P")
T = TypeVar("T")

#: Seconds that a vendor has behind the finish reason to tell the usage, and end.
LAST_WORDS = 1.0


@dataclass(frozen=True, slots=True)
class StreamQuestion:
    """A question whose answer is a stream."""

    messages: list[Message]
    params: Mapping[str, Any]

    async def ask(self, turn: Turn[Candidate]) -> tuple[RunningAttempt, ChunkReader]:
        """Ask one target. Returns when the first content has come."""
        silence = turn.call.limits.stall_timeout or NO_LIMIT
        # LiteLLM's timeout is for each read.
        sent = {**self.params, "timeout": max(turn.timeout or NO_LIMIT, silence)}

        def last_words() -> asyncio.Timeout:
            seconds = min(LAST_WORDS, silence / 2, turn.call.remaining() / 2)
            return turn.call.rules.clock.timeout(seconds)

        session = Session(turn.target.client)
        while True:
            try:
                async with turn.attempt() as attempt:
                    chunks = await session.stream(self.messages, sent, last_words)
                    if not await chunks.begin():
                        await _assemble(turn, attempt, chunks)
                    attempt.leave_open(chunks.aclose)
                    return attempt, chunks
            except MajordomoError as error:
                if not session.goes_on(error):
                    await turn.back_off(error)


class Operation(Protocol):
    """Follows the call of a stream. It heeds only the first of its ends."""

    async def watch(
        self, served: Awaitable[tuple[Turn[Candidate], T]]
    ) -> tuple[Turn[Candidate], T]:
        """Wait until a target begins to answer; if none does, the call has ended."""
        ...

    def end(self, completion: Completion | None = None, error: BaseException | None = None) -> None:
        """End with an answer or an error; without both, the caller has left."""


async def _assemble(
    turn: Turn[Candidate], attempt: RunningAttempt, chunks: ChunkReader
) -> Completion:
    """Put a stream that has ended together; raise what is wrong with the answer."""
    completion = await turn.target.client.assemble(chunks)
    attempt.used(completion.usage, completion.cost)
    completion.text()
    return completion


class Source:
    """The stream that is read now, and its call."""

    def __init__(
        self, call: Call[Candidate], question: StreamQuestion, operation: Operation | None
    ) -> None:
        self.call = call
        self.response: LLMResponse[str] | None = None
        """The whole answer, at the end."""
        self.time_to_first_token = 0.0
        """Seconds."""
        self._question = question
        self._operation = operation
        self._state = StreamState.OPEN
        self._is_waiting = False

    @classmethod
    async def open(
        cls, call: Call[Candidate], question: StreamQuestion, operation: Operation | None = None
    ) -> Source:
        """Ask the targets until one begins to answer."""
        source = cls(call, question, operation)
        await source._ask()
        source.time_to_first_token = call.elapsed()
        return source

    async def read(
        self,
        pieces_of: Callable[[Any], Iterable[P]],
        restarted: Callable[[MajordomoError, str, str], P] | None = None,
    ) -> AsyncGenerator[P, None]:
        """Yield the pieces that are shown of each chunk, if any.

        If the stream breaks, the next target begins anew, and ``restarted`` makes a piece of the
        error and the new provider and model. Without it, a break is raised once a piece was shown.
        """
        try:
            while True:
                is_shown = False
                try:
                    while (chunk := await self._next()) is not None:
                        for piece in pieces_of(chunk):
                            is_shown = True
                            yield piece
                except MajordomoError as error:
                    if is_shown and not restarted:
                        self.call.trail.write_into(error)
                        raise
                    broken = error
                else:
                    return
                self.call.move_on(self.turn.last, broken)
                await self._ask()
                if is_shown and restarted:
                    yield restarted(broken, self.turn.target.provider, self.turn.target.model)
        except Exception as error:
            self._report(error=error)
            raise
        finally:
            await self.aclose()

    async def aclose(self) -> None:
        """Close the wire. Nothing is sent after it."""
        if self._state is StreamState.OPEN:
            if not self._is_waiting:  # given up in a silence, the target may be well or not
                self.turn.leave(None)
            await self._end(StreamState.CLOSED, asyncio.CancelledError())
        self._state = StreamState.CLOSED
        self._report()

    async def _ask(self) -> None:
        """Ask the targets that are left until one begins to answer."""
        served: Awaitable[tuple[Turn[Candidate], Any]] = serve(self.call, self._question.ask)
        if self._operation is not None:
            served = self._operation.watch(served)
        self.turn, (self._attempt, self.chunks) = await served
        if self._state is StreamState.CLOSED:  # in the meantime, by another task
            await self.turn.close_stream()
            self._check_open()
        self.turn.open_attempt = None  # in a circle, a stream that nobody holds would stay open
        self._state = StreamState.OPEN

    async def _next(self) -> Any:
        """Return the next chunk, None behind the last one of a whole answer."""
        self._check_open()
        if self.call.remaining() <= 0:
            self.turn.judge(Verdict.UNKNOWN)  # the time went elsewhere
        self._is_waiting = True
        try:
            async with TimeLimit(self.turn, self.call.limits.stall_timeout, "stall_timeout"):
                chunk = await self.chunks.next()
            self._is_waiting = False
            if chunk is None:
                completion = await _assemble(self.turn, self._attempt, self.chunks)
                await self._end(StreamState.FINISHED)
                self.response = respond(self.turn, self.chunks.text, completion)
                self._report(completion)
        except Exception as error:
            broken = self._interruption(error)
            await self._end(StreamState.BROKEN, broken)
            if broken is error:
                raise
            raise broken from error.__cause__
        return chunk

    async def _end(self, state: StreamState, error: BaseException | None = None) -> None:
        self._check_open()
        self._state = state
        self._attempt.end(error)
        self.turn.leave(error)
        await self.chunks.aclose()

    def _report(self, completion: Completion | None = None, error: Exception | None = None) -> None:
        if self._operation is not None:
            self._operation.end(completion, error)

    def _check_open(self) -> None:
        if self._state is not StreamState.OPEN:  # another task may have closed it
            raise RuntimeError("this stream was closed before its end") from None

    def _interruption(self, error: Exception) -> Exception:
        """Return the error of a stream that broke, with the text so far; a deadline stays one."""
        if isinstance(error, DeadlineExceededError) or not isinstance(error, ProviderError):
            return error
        name = self.turn.target.name
        text = self.chunks.text
        reason = str(error).removeprefix(f"{name}: ")
        return StreamInterruptedError(
            f"{name}: the stream broke off after {len(text)} characters: {reason}",
            provider=error.provider,
            model=error.model,
            status_code=error.status_code,
            retry_after=error.retry_after,
            request_id=error.request_id,
            original_error=error.original_error,
            partial_content=text,
        )
