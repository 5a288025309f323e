"""One question, put to one target after the other: how it is asked, how its answer is read, what it is asked again."""

from __future__ import annotations

import logging
import sys
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Generic, TypeVar

from .classify import blame_of_format
from .errors import MajordomoError, ResponseParsingError, ResponseValidationError
from .failover import Answer, Rejected
from .gateway import Completion, Endpoint
from .request import Message
from .structured import Form, Rung, correct

T = TypeVar("T")

logger = logging.getLogger("majordomo_cascade")


@dataclass(frozen=True, slots=True)
class Question(Generic[T]):
    """What is asked, and in which form the answer is wanted. Immutable: several targets may be asked it at once.

    A target that is to be asked again is asked another question: a lower rung, or its own answer to mend.
    """

    form: Form[T]
    messages: list[Message]
    params: Mapping[str, Any]
    reasks: int = 0
    """How often a target is still shown what is wrong with its answer."""
    out: tuple[Rung, ...] = ()
    """The rungs that this target can't be asked on in this call."""
    refused: tuple[Rung, ...] = ()
    """Those of them that it seems to refuse always."""
    rejected: ResponseParsingError | None = None
    """What is wrong with its last answer, if it shall mend it."""

    async def ask(self, endpoint: Endpoint) -> Answer[tuple[T, Completion]]:
        """One request, and its answer.

        Raises:
            Rejected: the answer can't be used, or the target is to be asked in another way.
            Exception: what ``Endpoint.complete`` raises.
        """
        outside, rung = sys.exception(), self._rung(endpoint)
        asked = self.form.ask(self.messages, rung, endpoint.abilities.shape)
        messages = asked.messages if self.rejected is None else correct(asked.messages, self.rejected)
        try:
            completion = await endpoint.complete(messages, self.params, asked.params)
        except Exception as error:
            if lower := self._one_rung_lower(endpoint, rung, error, outside):
                raise Rejected(error, again=lower.ask) from None
            raise
        for refused in self.refused:  # a lower rung was taken: it was the rung, then, and nothing else
            if endpoint.ladder.leave(refused):
                _log_step(endpoint, refused)
        try:
            text = completion.json_text() if self.form.is_json else completion.text()
            value = self.form.read(text, endpoint.provider, endpoint.model)
        except MajordomoError as error:
            mended = self._after(endpoint, rung, error, completion)
            raise Rejected(error, completion.usage, completion.cost, mended.ask if mended else None) from None
        endpoint.ladder.forgive(rung)
        return Answer((value, completion), completion.usage, completion.cost)

    def _rung(self, endpoint: Endpoint) -> Rung:
        """The rung to ask on; where the caller brings a ``response_format``, there is nothing to choose."""
        if endpoint.sends("response_format", self.params):
            return "prompt"
        return endpoint.ladder.rung(
            [rung for rung in self.form.rungs(endpoint.abilities.shape) if rung not in self.out]
        )

    def _one_rung_lower(
        self, endpoint: Endpoint, rung: Rung, error: Exception, outside: BaseException | None
    ) -> Question[T] | None:
        """The same question without what the provider, or LiteLLM on the way, can't take; None if it is not that."""
        has_tools = self._has_tools(endpoint)
        blame = blame_of_format(error, has_tools=has_tools, outside=outside)
        if rung == "prompt":
            for refused in self.refused if blame else ():  # the same complaint without it: it was something else
                endpoint.ladder.forgive(refused)
            return None
        if blame is None:
            return None
        lower = replace(self, out=(*self.out, rung))
        if has_tools:  # it may not take both at once, which tells nothing about calls without tools
            return lower
        _strike(endpoint, rung)
        return lower if blame == "failed" else replace(lower, refused=(*self.refused, rung))

    def _has_tools(self, endpoint: Endpoint) -> bool:
        """Whether there are tools of the caller's in the request, or calls of them."""
        given = any(endpoint.sends(name, self.params) for name in ("tools", "functions"))
        return given or any(message["role"] == "tool" or "tool_calls" in message for message in self.messages)

    def _after(
        self, endpoint: Endpoint, rung: Rung, error: MajordomoError, completion: Completion
    ) -> Question[T] | None:
        """What to ask after an answer that can't be used: to mend it, if that is wanted and can help."""
        if not isinstance(error, ResponseParsingError):  # refused, cut, or empty
            return None
        if isinstance(error, ResponseValidationError):
            endpoint.ladder.forgive(rung)
        elif not completion.has_tool_calls:
            _strike(endpoint, rung)
        error.add_note(f"the answer began: {endpoint.excerpt(error.raw_content, self.messages, self.params)}")
        return replace(self, reasks=self.reasks - 1, rejected=error) if self.reasks else None


def _strike(endpoint: Endpoint, rung: Rung) -> None:
    """Hold it against a rung that it brought no JSON."""
    if endpoint.ladder.strike(rung):
        _log_step(endpoint, rung)


def _log_step(endpoint: Endpoint, rung: Rung) -> None:
    """One WARNING for a rung that is left for good."""
    logger.warning(
        "%s does not give JSON by %s; it is asked by %s from now on",
        endpoint.name,
        rung,
        endpoint.ladder.rung(),
        extra={"provider": endpoint.provider, "model": endpoint.model},
    )
