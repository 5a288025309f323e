"""Many prompts, asked side by side: each gets its answer or its error."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import (
    AsyncGenerator,
    AsyncIterable,
    AsyncIterator,
    Awaitable,
    Callable,
    Generator,
    Iterable,
    Mapping,
    Sequence,
    Sized,
)
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any, Generic, final

from typing_extensions import TypeVar  # with a default, which Python has since 3.13

from .errors import BadRequestError
from .request import Message
from .responses import LLMResponse

T = TypeVar("T", default=str)

Prompt = str | Sequence[Message]
Prompts = Iterable[Prompt] | AsyncIterable[Prompt]
Ask = Callable[..., Awaitable[LLMResponse[T]]]


@dataclass(frozen=True, slots=True)
class BatchItem(Generic[T]):
    """A prompt of a batch, with its ``response`` or else its ``error``."""

    index: int
    """The prompt's place among the prompts, from 0."""
    prompt: Prompt
    response: LLMResponse[T] | None = None
    error: Exception | None = None


@final
class Batch(AsyncIterator[BatchItem[T]]):
    """The items of a batch, in the order in which they come.

    ``aclose`` ends it early, and so does ``break``, unless the batch is kept to be read on.

    Raises, while it is read:
        Exception: what the iterable of prompts raised, after the items that were begun before.
    """

    __slots__ = ("_ended", "_feeder", "_is_closed", "_progress", "_room")

    def __init__(self, ask: Ask[T], prompts: Prompts, concurrency: int, *, progress: bool) -> None:
        _check(prompts, concurrency)
        self._progress = _Progress(prompts) if progress and find_spec("tqdm") else None
        self._room = asyncio.Semaphore(concurrency)
        self._ended = asyncio.Queue[asyncio.Task[Any]]()
        self._is_closed = False
        # It does not hold this object, which cancels it when nobody holds this any more.
        self._feeder = asyncio.create_task(_feed(ask, prompts, self._room, self._ended))
        self._feeder.add_done_callback(self._ended.put_nowait)

    async def __anext__(self) -> BatchItem[T]:
        """Return the next item, and make room for another prompt."""
        while (task := await self._ended.get()) is not self._feeder:
            if self._is_closed and task.cancelled():
                continue
            self._room.release()
            item: BatchItem[T] = task.result()
            if self._progress:
                self._progress.add(item)
            return item
        self._ended.put_nowait(task)  # further steps end as well
        if self._progress:
            self._progress.close()
        failure = None if self._is_closed else self._feeder.result()
        if failure:
            raise failure
        raise StopAsyncIteration

    async def aclose(self) -> None:
        """Cancel the requests on the wire. Items that had come before can still be read.

        The iterable of prompts is closed, if it is a generator.
        """
        self._is_closed = True
        if self._feeder.cancel():
            await asyncio.wait([self._feeder])

    def __del__(self) -> None:
        feeder = getattr(self, "_feeder", None)
        if feeder and not feeder.get_loop().is_closed():
            feeder.get_loop().call_soon_threadsafe(feeder.cancel)


def _check(prompts: Any, concurrency: Any) -> None:
    is_one = isinstance(prompts, str | bytes | Mapping)
    if is_one or not isinstance(prompts, Iterable | AsyncIterable):
        kind = type(prompts).__name__
        raise BadRequestError(f"prompts must be an iterable of prompts, such as a list, not {kind}")
    if type(concurrency) is not int or concurrency < 1:
        raise BadRequestError(f"concurrency must be a positive whole number, not {concurrency!r}")


async def _feed(
    ask: Ask[T],
    prompts: Prompts,
    room: asyncio.Semaphore,
    ended: asyncio.Queue[asyncio.Task[Any]],
) -> Exception | None:
    """Ask each prompt when there is room, wait for all, and return what their iterable raised."""
    failure = None
    async with asyncio.TaskGroup() as group:
        try:
            async with contextlib.aclosing(_each(prompts)) as each:
                index = 0
                await room.acquire()
                async for prompt in each:
                    task = group.create_task(_answer(ask, index, prompt))
                    task.add_done_callback(ended.put_nowait)
                    index += 1
                    await room.acquire()
        except Exception as error:
            failure = error  # if it left the group now, it would cancel what was begun
        feeder: Any = asyncio.current_task()
        if feeder.cancelling():  # the prompts may have taken that for themselves
            raise asyncio.CancelledError
    return failure


async def _answer(ask: Ask[T], index: int, prompt: Prompt) -> BatchItem[T]:
    name = "user_prompt" if isinstance(prompt, str) else "messages"
    try:
        return BatchItem(index, prompt, response=await ask(**{name: prompt}))
    except Exception as error:
        return BatchItem(index, prompt, error=error)


async def _each(prompts: Prompts) -> AsyncGenerator[Prompt, None]:
    """Yield the prompts of either kind of iterable, and close it if it is a generator."""
    if isinstance(prompts, AsyncIterable):
        source = aiter(prompts)
        try:
            async for prompt in source:
                yield prompt
        finally:
            if isinstance(source, AsyncGenerator):
                await source.aclose()
        return
    plain = iter(prompts)
    try:
        for prompt in plain:
            yield prompt
    finally:
        if isinstance(plain, Generator):
            plain.close()


class _Progress:
    """A bar of tqdm's, with what was counted."""

    def __init__(self, prompts: Prompts) -> None:
        from tqdm.auto import tqdm  # noqa: PLC0415 - LiteLLM brings it

        total = len(prompts) if isinstance(prompts, Sized) else None
        self._bar: Any = tqdm(total=total, unit=" prompts")
        self._failed = self._failed_over = 0
        self._cost = 0.0

    def add(self, item: BatchItem[Any]) -> None:
        """Count an item, and its cost."""
        answer = item.response or item.error
        self._failed += item.error is not None
        self._failed_over += getattr(answer, "failed_over", False)
        self._cost += sum(each.cost or 0 for each in getattr(answer, "attempts", ()))
        counts = {"failed": self._failed, "failed over": self._failed_over}
        with contextlib.suppress(Exception):  # a bar that can't be shown must not lose the item
            self._bar.set_postfix({**counts, "cost": f"${self._cost:.4f}"}, refresh=False)
            self._bar.update()

    def close(self) -> None:
        """Leave the bar as it is."""
        with contextlib.suppress(Exception):
            self._bar.close()
