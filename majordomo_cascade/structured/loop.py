"""Ask one target for JSON until its answer fits, in lower modes and with corrections."""

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from ..candidate import Candidate
from ..errors import MajordomoError, ResponseParsingError
from ..failover import RunningAttempt, Turn
from ..gateway import Completion, Session, TargetClient, format_blame
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
    check: Callable[[Turn[Candidate], RunningAttempt, Any, Completion], None]
    """Raises what is wrong with an answer, while its attempt still runs."""

    async def ask(self, turn: Turn[Candidate]) -> tuple[T, Completion]:
        """Ask one target; at once in a lower mode if it refuses one.

        That is neither a retry nor a failover, and says nothing of its health.
        """
        target = turn.target
        client = target.client
        possible = self.form.modes(client.dialect)
        modes: list[Mode] = [mode for mode in target.modes if mode in possible]
        if client.sends("response_format", self.params):  # the caller's own
            modes = ["prompt"]
        refused: list[Mode] = []
        session = Session(client)
        messages = self.messages
        retries_left = self.validation_retries
        while True:
            completion = None
            try:
                async with turn.attempt() as attempt:
                    asked, added = self.form.request(messages, modes[0], client.dialect)
                    completion = await session.complete(asked, self.params, added)
                    attempt.used(completion.usage, completion.cost)
                    _leave(target, refused)
                    value = self._read(completion.whole_text(), client)
                    self.check(turn, attempt, value, completion)
                    return value, completion
            except Exception as error:
                if session.goes_on(error):
                    continue
                if retries_left and isinstance(error, ResponseParsingError):
                    retries_left -= 1
                    messages = corrected(self.messages, error)
                    continue
                blame = None if completion else format_blame(error)
                if blame and len(modes) > 1:
                    mode = modes.pop(0)
                    if blame == "refused" and not self._has_tools(target):
                        refused.append(mode)
                elif isinstance(error, MajordomoError):
                    await turn.back_off(error)
                else:
                    raise

    def _read(self, text: str, client: TargetClient) -> T:
        try:
            return self.form.read(text, client.target)
        except ResponseParsingError as error:
            error.add_note(f"the answer began: {client.excerpt(text, self.params)}")
            raise

    def _has_tools(self, target: Candidate) -> bool:
        """Return whether tools are in play: some providers take no format beside them."""
        if any(target.client.sends(name, self.params) for name in ("tools", "functions")):
            return True
        return any(each["role"] == "tool" or "tool_calls" in each for each in self.messages)


def _leave(target: Candidate, refused: list[Mode]) -> None:
    """Leave refused modes for good: a lower one was taken."""
    text = "%s refuses to give JSON by %s; it is asked by %s from now on"
    extra = {"target": target.name, "provider": target.provider, "model": target.model}
    for mode in refused:
        if mode in target.modes:
            target.modes.remove(mode)
            logger.warning(text, target.name, mode, target.modes[0], extra=extra)
    refused.clear()
