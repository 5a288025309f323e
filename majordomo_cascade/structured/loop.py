"""Ask one target for JSON until its answer fits, in lower modes and with corrections."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from ..candidate import Candidate
from ..errors import MajordomoError, ResponseParsingError
from ..failover import RunningAttempt, Turn
from ..gateway import Completion, format_blame
from ..options import Mode
from ..request import Message
from .forms import Form, corrected

T = TypeVar("T")

logger = logging.getLogger("majordomo_cascade")


@dataclass(frozen=True, slots=True)
class JSONQuestion(Generic[T]):
    """A question whose answer is JSON. Several targets may be asked it at once."""

    form: Form[T]
    messages: list[Message]
    params: Mapping[str, Any]
    validation_retries: int
    """How often a target is shown what is wrong with its answer."""
    check: Callable[[Turn[Candidate], RunningAttempt, Any, Completion], None]
    """Raises what is wrong with an answer, while its attempt still runs."""

    async def ask(self, turn: Turn[Candidate]) -> tuple[T, Completion]:
        """Ask one target; at once in a lower mode if it refuses one.

        That is neither a retry nor a failover, and says nothing of its health.

        Raises:
            MajordomoError: the last attempt's.
            Exception: a bug of the caller's or of LiteLLM's.
        """
        target = turn.target
        client = target.client
        modes: list[Mode] = target.ladder.modes(self.form.modes(client.dialect))
        if client.sends("response_format", self.params):  # the caller's own
            modes = ["prompt"]
        refused: list[Mode] = []
        messages = self.messages
        retries_left = self.validation_retries
        while True:
            has_answer = False
            try:
                async with turn.attempt() as attempt:
                    asked, added = self.form.request(messages, modes[0], client.dialect)
                    completion = await client.complete(asked, self.params, added)
                    has_answer = True
                    attempt.used(completion.usage, completion.cost)
                    _leave(target, refused)
                    value = self.form.read(completion.whole_text(), target.provider, target.model)
                    self.check(turn, attempt, value, completion)
                    return value, completion
            except ResponseParsingError as error:
                began = client.excerpt(error.raw_content, self.params)
                error.add_note(f"the answer began: {began}")
                if not retries_left:
                    raise
                retries_left -= 1
                messages = corrected(self.messages, error)
            except Exception as error:
                blame = None if has_answer else format_blame(error)
                if blame and len(modes) > 1:
                    if blame == "refused" and not self._has_tools(target):
                        refused.append(modes[0])
                    del modes[0]
                elif isinstance(error, MajordomoError):
                    await turn.back_off(error)
                else:
                    raise

    def _has_tools(self, target: Candidate) -> bool:
        """Tell whether tools are in play: some providers do not take them with a format."""
        if any(target.client.sends(name, self.params) for name in ("tools", "functions")):
            return True
        return any(each["role"] == "tool" or "tool_calls" in each for each in self.messages)


def _leave(target: Candidate, refused: list[Mode]) -> None:
    """Leave refused modes for good: a lower one was taken."""
    text = "%s refuses to give JSON by %s; it is asked by %s from now on"
    extra = {"provider": target.provider, "model": target.model}
    for mode in refused:
        if target.ladder.leave(mode):
            logger.warning(text, target.name, mode, target.ladder.surest, extra=extra)
    refused.clear()
