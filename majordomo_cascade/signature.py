"""One signature for all ways to ask, known to type checkers and editors."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, Protocol, TypeVar

from .responses import LLMResponse

if TYPE_CHECKING:
    from typing_extensions import TypeForm  # unions are no `type` to a type checker

P = ParamSpec("P")
S = TypeVar("S")
T = TypeVar("T")
R = TypeVar("R")
Q = TypeVar("Q")


class AsksForType(Protocol[P]):
    """A way to ask for a value of a type."""

    def __call__(
        self, response_model: TypeForm[T], *args: P.args, **kwargs: P.kwargs
    ) -> Coroutine[Any, Any, LLMResponse[T]]:
        """Ask."""
        ...


def takes_arguments_of(
    prepare: Callable[Concatenate[S, P], Q],
) -> Callable[
    [Callable[[S, Q], Coroutine[Any, Any, R]]],
    Callable[Concatenate[S, P], Coroutine[Any, Any, R]],
]:
    """Give a method the arguments of ``prepare``, and hand it what that makes of them."""
    return functools.partial(_decorate, prepare)


def takes_type_and_arguments_of(
    prepare: Callable[Concatenate[S, P], Q],
) -> Callable[[Callable[[S, Any, Q], Any]], AsksForType[P]]:
    """Do the same for a method whose first argument is ``response_model``."""
    return functools.partial(_decorate, prepare)


def _decorate(prepare: Callable[..., Any], method: Callable[..., Any]) -> Any:
    own = inspect.signature(method)
    *first, _ = own.parameters.values()
    _, *shared = inspect.signature(prepare).parameters.values()

    async def ask(self: Any, /, *args: Any, **kwargs: Any) -> Any:
        return await method(self, prepare(self, *args, **kwargs))

    async def ask_for_type(self: Any, response_model: Any, *args: Any, **kwargs: Any) -> Any:
        return await method(self, response_model, prepare(self, *args, **kwargs))

    way: Any = ask_for_type if "response_model" in own.parameters else ask
    functools.update_wrapper(way, method)
    way.__signature__ = own.replace(parameters=[*first, *shared])
    return way
