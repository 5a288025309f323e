"""One signature for all ways to ask, written once and known to type checkers and editors."""

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
    """A way to ask for a value of a type, with the arguments of the others behind the type."""

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

    def decorate(method: Callable[[S, Q], Coroutine[Any, Any, R]]) -> Any:
        async def ask(self: S, /, *args: P.args, **kwargs: P.kwargs) -> R:
            return await method(self, prepare(self, *args, **kwargs))

        return _dressed(ask, method, prepare)

    return decorate


def takes_type_and_arguments_of(
    prepare: Callable[Concatenate[S, P], Q],
) -> Callable[[Callable[[S, Any, Q], Any]], AsksForType[P]]:
    """Do the same for a method whose first argument is ``response_model``."""

    def decorate(method: Callable[[S, Any, Q], Any]) -> Any:
        async def ask(self: S, response_model: Any, *args: P.args, **kwargs: P.kwargs) -> Any:
            return await method(self, response_model, prepare(self, *args, **kwargs))

        return _dressed(ask, method, prepare)

    return decorate


def _dressed(ask: Any, method: Callable[..., Any], prepare: Callable[..., Any]) -> Any:
    """Give a function a method's name and docstring, and show its arguments to ``inspect``."""
    functools.update_wrapper(ask, method)
    own = inspect.signature(method)
    *first, _ = own.parameters.values()
    _, *shared = inspect.signature(prepare).parameters.values()
    ask.__signature__ = own.replace(parameters=[*first, *shared])
    return ask
