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
    refused: tuple[Rung, ...] = ()
    """The rungs that this target seems to refuse."""
    failed: tuple[Rung, ...] = ()
    """The rungs on which it failed to write JSON, by its own word, in this call."""
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
            completion = await endpoint.complete(messages, {**asked.params, **self.params})
        except Exception as error:
            if lower := self._one_rung_lower(endpoint, rung, error, outside):
                raise Rejected(error, again=lower.ask) from None
            raise
        for refused in self.refused:  # a lower rung was taken: it was the rung, then, and nothing else
            if endpoint.ladder.leave(refused):
                _log_step(endpoint, f"it refuses {refused}")
        try:
            text = completion.json_text() if self.form.is_json else completion.text()
            value = self.form.read(text, endpoint.provider, endpoint.model)
        except MajordomoError as error:
            mended = self._after(endpoint, rung, error)
            raise Rejected(error, completion.usage, completion.cost, mended.ask if mended else None) from None
        endpoint.ladder.heard(rung, is_json=True)
        return Answer((value, completion), completion.usage, completion.cost)

    def _rung(self, endpoint: Endpoint) -> Rung:
        """The rung to ask on; where the caller brings a ``response_format``, there is nothing to choose."""
        if "response_format" in self.params:
            return "prompt"
        out = (*self.refused, *self.failed)
        return endpoint.ladder.rung([rung for rung in self.form.rungs(endpoint.abilities.shape) if rung not in out])

    def _one_rung_lower(
        self, endpoint: Endpoint, rung: Rung, error: Exception, outside: BaseException | None
    ) -> Question[T] | None:
        """The same question without what the provider, or LiteLLM on the way, can't take; None if it is not that."""
        if rung == "prompt":
            return None
        blame = blame_of_format(error, has_tools="tools" in self.params, outside=outside)
        if blame is None:
            return None
        if blame == "refused":
            return replace(self, refused=(*self.refused, rung))
        self._note_prose(endpoint, rung)
        return replace(self, failed=(*self.failed, rung))

    def _after(self, endpoint: Endpoint, rung: Rung, error: MajordomoError) -> Question[T] | None:
        """What to ask after an answer that can't be used: to mend it, if that is wanted and can help."""
        if not isinstance(error, ResponseParsingError):  # refused, cut, or empty
            return None
        if isinstance(error, ResponseValidationError):
            endpoint.ladder.heard(rung, is_json=True)
        elif error.raw_content.strip():  # not where it called one of the caller's tools
            self._note_prose(endpoint, rung)
        error.add_note(f"the answer began: {endpoint.excerpt(error.raw_content, self.messages, self.params)}")
        return replace(self, reasks=self.reasks - 1, rejected=error) if self.reasks else None

    def _note_prose(self, endpoint: Endpoint, rung: Rung) -> None:
        """Hold an answer without JSON against the rung that promised some."""
        if endpoint.ladder.heard(rung, is_json=False):
            _log_step(endpoint, f"its {rung} brought no JSON twice in a row")


def _log_step(endpoint: Endpoint, why: str) -> None:
    """One WARNING for a rung that is left for good."""
    logger.warning(
        "%s is asked for JSON by %s from now on: %s",
        endpoint.name,
        endpoint.ladder.rung(),
        why,
        extra={"provider": endpoint.provider, "model": endpoint.model},
    )
