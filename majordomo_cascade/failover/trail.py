"""Every attempt of a call: kept, logged, told to ``on_attempt``, and written into errors."""

from __future__ import annotations

import logging
from collections.abc import Callable

from ..errors import MajordomoError
from ..responses import Attempt

logger = logging.getLogger("majordomo_cascade")


class Trail:
    """The attempts of one call."""

    __slots__ = ("_attempts", "_on_attempt")

    def __init__(self, on_attempt: Callable[[Attempt], object] | None) -> None:
        self._attempts: list[Attempt] = []
        self._on_attempt = on_attempt

    @property
    def attempts(self) -> tuple[Attempt, ...]:
        """The attempts, in the order in which they began."""
        return tuple(sorted(self._attempts, key=_start))

    def add(self, attempt: Attempt) -> None:
        """Keep an attempt that has ended, and tell of it."""
        self._attempts.append(attempt)
        if attempt.outcome != "ok":
            # As text: a handler that shows arguments would show the vendor's words.
            logger.info("%s", str(attempt), extra=log_fields(attempt))
        if self._on_attempt is None:
            return
        try:
            self._on_attempt(attempt)
        except Exception as error:
            error.__cause__ = error.__context__ = None  # these may quote keys and prompts
            logger.exception("on_attempt raised; the call goes on")

    def write_into(self, error: MajordomoError) -> None:
        """Let the error tell the whole story in an ordinary traceback (PEP 678)."""
        error.attempts = self.attempts
        for attempt in error.attempts:
            error.add_note(_note(attempt))


def log_fields(attempt: Attempt) -> dict[str, object]:
    """Return an attempt as the ``extra`` fields of a log record, without anybody's words."""
    return {
        "provider": attempt.provider,
        "model": attempt.model,
        "attempt": attempt.number,
        "outcome": attempt.outcome,
        "error_type": type(attempt.error).__name__,
        "status_code": getattr(attempt.error, "status_code", None),
        "seconds": attempt.seconds,
    }


def _start(attempt: Attempt) -> float:
    return attempt.started


def _note(attempt: Attempt) -> str:
    """Tell an attempt and its error in a line. Foreign errors may quote anything, so ours only."""
    if not isinstance(attempt.error, MajordomoError):
        return str(attempt)
    reason = str(attempt.error).removeprefix(f"{attempt.provider}/{attempt.model}: ")
    return f"{attempt}: {reason}" if reason else str(attempt)
