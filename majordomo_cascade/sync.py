"""The same ways to ask, blocking."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Coroutine
from typing import (
    TYPE_CHECKING,
    Any,
    Concatenate,
    Generic,
    ParamSpec,
    Protocol,
    Self,
    TypeVar,
    final,
)

from .batch import Batch, BatchItem
from .gateway import SyncIterator, portal
from .responses import LLMResponse
from .signature import AsksForType
from .streaming import ChunkStream, Event, LLMStreamResponse, StreamInfo

if TYPE_CHECKING:
    from typing_extensions import TypeForm

P = ParamSpec("P")
S = TypeVar("S")
T = TypeVar("T")
R = TypeVar("R")


class Blocking(Generic[S]):
    """The blocking side of a cascade."""

    __slots__ = ("_cascade",)

    def __init__(self, cascade: S) -> None:
        self._cascade = cascade


class WaitsForType(Protocol[P]):
    """A blocking way to ask for a value of a type."""

    def __call__(
        self, response_model: TypeForm[T], *args: P.args, **kwargs: P.kwargs
    ) -> LLMResponse[T]:
        """Ask."""
        ...


def blocking(
    method: Callable[Concatenate[S, P], Coroutine[Any, Any, R]],
) -> Callable[Concatenate[Blocking[S], P], R]:
    """Return a way to ask that waits for the answer of another one."""
    return _block(method)


def blocking_for_type(method: AsksForType[P]) -> WaitsForType[P]:
    """Do the same for a method whose first argument is ``response_model``."""
    return _block(method)


def blocking_stream(
    method: Callable[Concatenate[S, P], Coroutine[Any, Any, LLMStreamResponse]],
) -> Callable[Concatenate[Blocking[S], P], SyncStream]:
    """Do the same for a method that returns a stream."""
    way: Any = _block(method)
    way.__signature__ = inspect.signature(method).replace(return_annotation="SyncStream")
    return way  # type: ignore[no-any-return]


def blocking_batch(
    method: Callable[Concatenate[S, P], Batch[T]],
) -> Callable[Concatenate[Blocking[S], P], SyncIterator[BatchItem[T]]]:
    """Do the same for a method that returns a batch."""

    async def begin(cascade: S, *args: P.args, **kwargs: P.kwargs) -> Batch[T]:
        return method(cascade, *args, **kwargs)

    return _block(functools.update_wrapper(begin, method))


def _block(method: Callable[..., Any]) -> Callable[..., Any]:
    def ask(self: Blocking[Any], /, *args: Any, **kwargs: Any) -> Any:
        answer = portal.call(method, self._cascade, *args, **kwargs)
        if isinstance(answer, LLMStreamResponse):
            return SyncStream(answer)
        if isinstance(answer, Batch | ChunkStream):
            return SyncIterator(answer, answer.aclose)
        return answer

    functools.update_wrapper(ask, method)
    ask.__name__ = method.__name__.removeprefix("a")  # completion, as LiteLLM names it
    return ask


@final
class SyncStream(StreamInfo):
    """An ``LLMStreamResponse`` that is read by ``for text in stream``, and closed by ``close()``.

    It is also closed by ``with stream:``, and when nobody holds it any more.
    """

    __slots__ = ("__weakref__", "_stream")

    def __init__(self, stream: LLMStreamResponse) -> None:
        super().__init__(stream._source)
        self._stream = stream
        portal.close_when_dropped(self, stream.aclose)

    def __iter__(self) -> SyncIterator[str]:
        return SyncIterator(aiter(self._stream), self._stream.aclose, self)

    def events(self) -> SyncIterator[Event]:
        """Return text and tool calls as they come; at a ``StreamRestarted`` both begin anew."""
        return SyncIterator(self._stream.events(), self._stream.aclose, self)

    def collect(self) -> LLMResponse[str]:
        """Return the whole answer of the first target that gives one."""
        return portal.call(self._stream.collect)

    def close(self) -> None:
        """Close the wire, wherever the answer is."""
        portal.call(self._stream.aclose)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return repr(self._stream).replace("LLMStreamResponse", "SyncStream")
