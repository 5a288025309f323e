"""One circuit breaker a target: who is asked in turn, and who last. Time is handed in."""

import weakref
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum
from typing import Literal

from ..errors import (
    AuthenticationError,
    ContextWindowExceededError,
    MajordomoError,
    PermissionDeniedError,
    ProviderError,
    ProviderRuleError,
    QuotaExceededError,
    RateLimitError,
    ResponseError,
    ResponseRejectedError,
    UnsupportedRequestError,
)
from ..options import CircuitBreaker, Mode
from ..tables import Rows, html_table, text_table
from .peers import Notice, Pass, Peers

State = Literal["closed", "open", "half_open"]

#: Errors that the request itself caused.
NEUTRAL = (ContextWindowExceededError, UnsupportedRequestError)
#: Errors that the credentials may have caused.
OF_CREDENTIALS = (AuthenticationError, PermissionDeniedError, QuotaExceededError, RateLimitError)

#: Seconds. A longer Retry-After is a mistake, or of no use.
LONGEST_RETRY_AFTER = 3600.0


class Verdict(Enum):
    """The service that a call got from a target."""

    SERVED = "served"
    FAILED = "failed"
    UNKNOWN = "unknown"


def verdict_on(
    error: BaseException | None,
    moves_on: Callable[[MajordomoError], bool],
    *,
    own_credentials: bool = False,
) -> Verdict:
    """Judge a target by the error that ended its attempts, None for an answer.

    An error that ``moves_on`` to the next target counts. If the call brought ``own_credentials``,
    what these may have caused tells nothing.
    """
    if error is None or isinstance(error, ResponseRejectedError):
        return Verdict.SERVED
    neutral = NEUTRAL + OF_CREDENTIALS if own_credentials else NEUTRAL
    if not isinstance(error, MajordomoError):
        return Verdict.UNKNOWN
    if isinstance(error, neutral) and not isinstance(error, ProviderRuleError):
        return Verdict.UNKNOWN
    if isinstance(error, ProviderError) or moves_on(error):
        return Verdict.FAILED
    return Verdict.SERVED if isinstance(error, ResponseError) else Verdict.UNKNOWN


@dataclass(frozen=True, slots=True)
class TargetHealth:
    """The health of a target."""

    provider: str
    model: str
    state: State
    """"closed" is well, "open" cools down and is asked last, "half_open" is due for one probe."""
    failures: int
    """Failed calls in a row."""
    cooldown: float
    """Seconds until one call asks the target in its turn again, 0.0 if it is not open."""
    structured_output: Mode
    """How it is asked for JSON: as the Target or LiteLLM says, or lower if it refused that."""
    target: str = field(default="", compare=False)
    """Its name."""


class CascadeHealth(tuple[TargetHealth, ...]):
    """The health of each target; prints itself, and shows itself in a notebook, as a table."""

    __slots__ = ()

    def __str__(self) -> str:
        return text_table(_COLUMNS, self._rows())

    def _repr_html_(self) -> str:
        return html_table(_COLUMNS, self._rows())

    def _rows(self) -> Rows:
        return [
            (each.target, each.state, each.failures, f"{each.cooldown:.1f}", each.structured_output)
            for each in self
        ]


_COLUMNS = ("target", "state", "failures", "cooldown", "structured_output")


@dataclass(slots=True, eq=False)
class Breaker:
    """The circuit breaker of one target; without settings it never opens.

    Every opening and closing begins a new epoch: verdicts from an earlier one are old news.
    With ``peers`` it opens and closes with the breakers of other processes.
    """

    settings: CircuitBreaker | None
    peers: Peers | None = None
    failures: int = 0
    _cooldown: float = 0.0
    _epoch: int = 0
    _detour: int = -1
    _open_until: float | None = None
    # Weak, because a stream may be dropped and never report.
    _probe: weakref.ref[Pass] | None = None

    def cooldown(self, now: float) -> float:
        return max(0.0, (self._open_until or now) - now)

    def state(self, now: float) -> State:
        if self.peers is not None:
            self._hear(self.peers, now)
        if self._open_until is None:
            return "closed"
        return "open" if self.cooldown(now) else "half_open"

    def takes_turns(self, now: float) -> bool:
        """Return whether the target is asked in its turn: it is well, or due and not yet probed."""
        if self.peers is not None:
            self._hear(self.peers, now)
        if self._open_until is None:
            return True
        if now < self._open_until or (self._probe and self._probe()):
            return False
        return self.peers is None or self.peers.let_probe(now, self._epoch)

    def enter(self, now: float) -> Pass:
        """Begin to ask the target; the first call after the cooldown is the probe."""
        is_probe = self._open_until is not None and self.takes_turns(now)
        given = Pass(self._epoch, is_probe)
        if is_probe:
            self._probe = weakref.ref(given)
            if self.peers is not None:
                self.peers.probe = self._probe
        return given

    def leave(self, given: Pass, verdict: Verdict, now: float, retry_after: float = 0.0) -> None:
        if given.epoch != self._epoch:
            return
        given.epoch = -1
        if given.is_probe:
            self._probe = None
        before = self._open_until
        if verdict is Verdict.SERVED:
            self.failures = 0
            if self._open_until is not None:
                self._close()
        elif verdict is Verdict.FAILED:
            self._fail(now, retry_after, is_probe=given.is_probe)
        if self._open_until != before:
            self._tell(at_once=before is None or self._open_until is None)

    def _fail(self, now: float, retry_after: float, *, is_probe: bool) -> None:
        self.failures += 1
        settings = self.settings
        open_until = self._open_until
        if settings is None or (open_until is None and self.failures < settings.failures):
            return
        if open_until is None or is_probe:
            longest = max(settings.cooldown, settings.max_cooldown)
            self._cooldown = min(max(settings.cooldown, self._cooldown * 2), longest)
            open_until = now + self._cooldown
            self._begin_epoch()
        self._open_until = max(open_until, now + min(retry_after, LONGEST_RETRY_AFTER))

    def reset(self) -> None:
        """Close, and forget every failure. Calls that are on their way do not count."""
        self._close()
        self._tell(at_once=True)

    def is_first_detour(self) -> bool:
        """Return whether no call has passed by since the last opening; from now on, one has."""
        is_first = self._detour != self._epoch
        self._detour = self._epoch
        return is_first

    def _tell(self, *, at_once: bool) -> None:
        if self.peers is not None:
            notice = Notice(self.failures, self._cooldown, self._open_until)
            self.peers.tell(notice, at_once=at_once)

    def _hear(self, peers: Peers, now: float) -> None:
        """Open or close as another process did. Of two openings the longer one counts."""
        notice = peers.hear(now)
        if notice is None:
            return
        own = self._open_until
        if notice.open_until is None:
            if own is not None:
                self._close()
            return
        self.failures = max(self.failures, notice.failures)
        self._cooldown = max(self._cooldown, notice.cooldown)
        if own is not None and notice.open_until <= own:
            return
        self._open_until = notice.open_until
        was_open = own is not None and now < own
        is_probing = self._probe and self._probe()  # its verdict is still of use
        if not (was_open or is_probing):
            self._begin_epoch()

    def _close(self) -> None:
        self.failures = 0
        self._cooldown = 0.0
        self._open_until = None
        self._begin_epoch()

    def _begin_epoch(self) -> None:
        self._epoch += 1
        self._probe = None
        if self.peers is not None:
            self.peers.wish = -1
            self.peers.probe = None
