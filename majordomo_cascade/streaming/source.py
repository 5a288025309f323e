"""The source of a stream: the target that serves it, and those that are left if it breaks."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ..candidate import Candidate
from ..errors import DeadlineExceededError, MajordomoError, ProviderError, StreamInterruptedError
from ..failover import Call, RunningAttempt, TimeLimit, Turn, Verdict, serve
from ..gateway import NO_LIMIT, ChunkReader, Completion, StreamState
from ..options import NOT_GIVEN
from ..request import Message

#: Seconds that are left to a vendor to tell the usage, and end, behind the finish reason.
LAST_WORDS = 1.0

Opened = tuple[RunningAttempt, ChunkReader]


@dataclass(frozen=True, slots=True)
class StreamQuestion:
    """A question whose answer is a stream."""

    messages: list[Message]
    params: Mapping[str, Any]

    async def ask(self, turn: Turn[Candidate]) -> Opened:
        """Ask one target. Returns when the first content has come."""
        while True:
            try:
                async with turn.attempt() as attempt:
                    chunks = await self._send(turn)
                    await _begin(turn, attempt, chunks)
                    attempt.leave_open(chunks.aclose)
                    return attempt, chunks
            except MajordomoError as error:
                await turn.back_off(error)

    async def _send(self, turn: Turn[Candidate]) -> ChunkReader:
        limits = turn.call.limits
        silence = limits.stall_timeout or NO_LIMIT
        timeout = turn.target.timeout if limits.timeout is NOT_GIVEN else limits.timeout
        # LiteLLM's timeout is for each read.
        sent = {**self.params, "timeout": max(timeout or NO_LIMIT, silence)}

        def last_words() -> asyncio.Timeout:
            seconds = min(LAST_WORDS, silence / 2, turn.call.remaining() / 2)
            return turn.call.rules.clock.timeout(seconds)

        return await turn.target.client.stream(self.messages, sent, last_words)


async def _begin(turn: Turn[Candidate], attempt: RunningAttempt, chunks: ChunkReader) -> None:
    """Read up to the first content; raise what is wrong with an answer without any."""
    try:
        if not await chunks.begin():
            completion = await turn.target.client.assemble(chunks)
            attempt.used(completion.usage, completion.cost)
            completion.text()
    except BaseException:
        await chunks.aclose()
        raise


class Source:
    """The stream that is read now, and the call that it belongs to."""

    def __init__(
        self, call: Call[Candidate], question: StreamQuestion, turn: Turn[Candidate], opened: Opened
    ) -> None:
        self.call = call
        self.completion: Completion | None = None
        """The whole answer, once it has ended."""
        self._question = question
        self._state = StreamState.OPEN
        self._is_waiting = False
        self._take_over(turn, opened)

    @classmethod
    async def open(cls, call: Call[Candidate], question: StreamQuestion) -> Source:
        """Ask the targets until one begins to answer."""
        return cls(call, question, *await serve(call, question.ask))

    async def next(self) -> Any:
        """Return the next chunk, None behind the last one of a whole answer.

        Raises:
            StreamInterruptedError: it broke.
            DeadlineExceededError: the call's time is spent.
            ContentPolicyError: a safety system cut it.
            RuntimeError: it was closed.
        """
        if self._state is StreamState.FINISHED:
            return None
        if self._state is StreamState.CLOSED:
            raise RuntimeError("this stream is closed")
        if self.call.remaining() <= 0:
            self.turn.judge(Verdict.UNKNOWN)  # the time went elsewhere
        self._is_waiting = True
        try:
            async with TimeLimit(self.turn, self.call.limits.stall_timeout, "stall_timeout"):
                chunk = await self.chunks.next()
            self._is_waiting = False
            if chunk is not None:
                return chunk
            completion = await self._finish()
        except ProviderError as error:
            interruption = self._interruption(error)
            await self._end(StreamState.BROKEN, interruption)
            raise interruption from error.__cause__
        except Exception as error:
            await self._end(StreamState.BROKEN, error)
            raise
        await self._end(StreamState.FINISHED)
        self.completion = completion
        return None

    async def restart(self, error: MajordomoError) -> None:
        """Go on with the next target, from the beginning of its answer.

        Raises:
            MajordomoError: ``error``, if it ends the call; else the last target's.
        """
        self.call.move_on(self.turn.last, error)
        self._take_over(*await serve(self.call, self._question.ask))
        is_closed = self._state is StreamState.CLOSED  # in the meantime, by another task
        self._state = StreamState.OPEN
        if is_closed:
            await self.aclose()
            raise RuntimeError("this stream was closed while it was being read")

    async def aclose(self) -> None:
        """Close the wire. Nothing is sent after it."""
        if self._state is StreamState.OPEN:
            await self._end(StreamState.CLOSED, asyncio.CancelledError())
        elif self._state is StreamState.BROKEN:
            self._state = StreamState.CLOSED

    def _take_over(self, turn: Turn[Candidate], opened: Opened) -> None:
        self.turn = turn
        self._attempt, self.chunks = opened
        turn.open_attempt = None  # in a circle, a stream that nobody holds would stay open

    async def _finish(self) -> Completion:
        """Put the answer together; raise what is wrong with it."""
        completion = await self.turn.target.client.assemble(self.chunks)
        self._attempt.used(completion.usage, completion.cost)
        completion.text()
        return completion

    async def _end(self, state: StreamState, error: BaseException | None = None) -> None:
        if self._state is not StreamState.OPEN:  # another task closed it in the meantime
            raise RuntimeError("this stream was closed while it was being read") from None
        self._state = state
        self._attempt.end(error)
        if state is not StreamState.CLOSED:
            self.turn.leave(error)
        elif not self._is_waiting:  # given up in a silence, the target may be well or not
            self.turn.leave(None)
        await self.chunks.aclose()

    def _interruption(self, error: ProviderError) -> ProviderError:
        """Return the error for a stream that broke, with the text so far; a deadline stays one."""
        if isinstance(error, DeadlineExceededError):
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
            original_error=error.original_error,
            partial_content=text,
        )
