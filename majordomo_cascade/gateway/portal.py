"""One event loop in a daemon thread, which serves all blocking callers of the process.

LiteLLM's clients belong to the loop in which they were made, so it must not be a new one each time.
"""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import os
import selectors
import threading
import weakref
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from typing import Any, ParamSpec, TypeVar, final

from ..errors import ConfigurationError
from .catalog import close_clients

P = ParamSpec("P")
T = TypeVar("T")
R = TypeVar("R")

Close = Coroutine[Any, Any, None]

#: Seconds that requests and connections have to close when the program ends.
LONGEST_STOP = 2.0


class LoopThread(threading.Thread):
    """A daemon thread in which an event loop runs until it is stopped."""

    def __init__(self) -> None:
        super().__init__(name="majordomo_cascade", daemon=True)
        self._selector = selectors.DefaultSelector()
        self.loop = asyncio.SelectorEventLoop(self._selector)
        self._is_stopping = False

    def run(self) -> None:
        """Run the loop; at the end cancel its tasks, and close streams and connections."""
        while not self._is_stopping:
            # A callback that exits the program ends its own call, and not all others.
            with contextlib.suppress(KeyboardInterrupt, SystemExit):
                self.loop.run_forever()
        self.loop.run_until_complete(self._close())
        self.loop.close()

    def stop(self) -> None:
        """Stop the loop, and wait until it has closed."""
        self._is_stopping = True
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.join(LONGEST_STOP)

    def hold(self) -> threading.Event:
        """Hold the loop between two callbacks until the event is set."""
        is_held, may_go_on = threading.Event(), threading.Event()

        def wait() -> None:
            is_held.set()
            may_go_on.wait()

        if self is not threading.current_thread():
            self.loop.call_soon_threadsafe(wait)
            is_held.wait(LONGEST_STOP)
        return may_go_on

    def let_go(self) -> None:
        """Give the loop, which a fork has copied, a selector of its own.

        The child still closes its copies of the parent's connections, if only at its end. The
        selector that it shares with the parent would then be deaf to them.
        """
        self.loop.set_exception_handler(lambda *_: None)  # its tasks will never end
        self._selector.close()
        selectors.DefaultSelector.__init__(self._selector)

    async def _close(self) -> None:
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self.loop.shutdown_asyncgens()
        await close_clients()


class Portal:
    """Runs coroutines for threads that wait for them, all on one loop, as LiteLLM's clients ask."""

    def __init__(self) -> None:
        self._threads: list[LoopThread] = []
        self._lock = threading.Lock()
        self._may_go_on = threading.Event()

    def hold(self) -> None:
        """Hold the loop while the process forks.

        A lock that it holds, such as that of an import, would be held for ever in the child.
        """
        if self._is_running():
            self._may_go_on = self._threads[-1].hold()

    def go_on(self) -> None:
        """Let the loop go on."""
        self._may_go_on.set()

    def begin_anew(self) -> None:
        """Forget what the parent has begun, in the child of a fork."""
        self._lock = threading.Lock()  # a thread that held the old one is not there to release it
        for thread in self._threads[-1:]:
            thread.let_go()

    def call(
        self, start: Callable[P, Coroutine[Any, Any, R]], *args: P.args, **kwargs: P.kwargs
    ) -> R:
        """Run a coroutine, with the caller's context variables, and return its result."""
        thread = self._threads[-1] if self._is_running() else self._start()
        if thread is threading.current_thread():
            raise ConfigurationError(
                "a blocking call in the event loop that runs all blocking calls would wait for "
                "itself: use the asynchronous methods"
            )
        future = asyncio.run_coroutine_threadsafe(start(*args, **kwargs), thread.loop)
        try:
            return future.result()
        finally:
            future.cancel()  # it has ended, unless Ctrl-C ended the wait
            del future  # its error holds this frame

    def close_when_dropped(self, holder: object, aclose: Callable[[], Close]) -> None:
        """Close a stream when nobody holds ``holder`` any more, without waiting for it."""
        weakref.finalize(holder, self._begin, aclose).atexit = False  # `stop` closes it then

    def _begin(self, aclose: Callable[[], Close]) -> None:
        if self._is_running():
            asyncio.run_coroutine_threadsafe(aclose(), self._threads[-1].loop)

    def stop(self) -> None:
        """Close what is open. The next call begins anew."""
        if self._is_running():
            self._threads[-1].stop()

    def _is_running(self) -> bool:
        """Return whether the last thread runs. After a fork it is the parent's, and does not."""
        return bool(self._threads) and self._threads[-1].is_alive()

    def _start(self) -> LoopThread:
        with self._lock:
            if not self._is_running():
                self._threads.append(LoopThread())
                self._threads[-1].start()
                atexit.register(self.stop)  # runs before LiteLLM's, which has been imported
            return self._threads[-1]


portal = Portal()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=portal.hold, after_in_parent=portal.go_on, after_in_child=portal.begin_anew
    )


@final
class SyncIterator(Iterator[T]):
    """The pieces of a stream: texts, events or LiteLLM's own chunks."""

    __slots__ = ("__weakref__", "_aclose", "_pieces", "_stream")

    def __init__(
        self, pieces: AsyncIterator[T], aclose: Callable[[], Close], stream: object = None
    ) -> None:
        self._pieces = pieces
        self._aclose = aclose
        self._stream = stream  # which would be closed if nobody held it
        portal.close_when_dropped(self, aclose)

    def __next__(self) -> T:
        piece = portal.call(_next, self._pieces)
        if piece is None:
            raise StopIteration
        return piece

    def close(self) -> None:
        """Close the wire, wherever the answer is."""
        portal.call(self._aclose)


async def _next(pieces: AsyncIterator[T]) -> T | None:
    return await anext(pieces, None)
