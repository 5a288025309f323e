"""The other processes that ask the same target, as one breaker knows them.

A messenger speaks with them in a thread of its own. Each attribute has one writer, the breaker or
the messenger, and what it holds never changes. So there is no lock, and nothing to wait for.
"""

from __future__ import annotations

import weakref
from dataclasses import dataclass
from typing import Protocol


@dataclass(slots=True, weakref_slot=True)
class Pass:
    """A call's leave to ask a target, handed back with a verdict; the first one counts."""

    epoch: int
    is_probe: bool


@dataclass(frozen=True, slots=True, eq=False)
class Notice:
    """A breaker after it opened, or closed: then ``open_until`` is None."""

    failures: int
    cooldown: float
    open_until: float | None
    after: Notice | None = None
    """In another process's notice: this one's own last notice when it was read."""


class Messenger(Protocol):
    """Carries notices between processes."""

    def start(self) -> None:
        """Begin, if it has not begun."""

    def wake(self) -> None:
        """Carry at once what is new."""


class Peers:
    """The meeting point of a breaker and its messenger."""

    def __init__(self, messenger: Messenger) -> None:
        self._messenger = messenger
        # The breaker writes these.
        self.told: Notice | None = None
        self.wish = -1
        """The epoch in which it wants to probe."""
        self.probe: weakref.ref[Pass] | None = None
        # The messenger writes these.
        self.news: Notice | None = None
        self.granted = -1
        """The epoch in which it may probe."""
        self.is_probed = False
        """Whether another process may."""
        self.reachable_until = 0.0

    def tell(self, notice: Notice, *, at_once: bool) -> None:
        """Tell the others: with the next reading if not ``at_once``."""
        self.told = notice
        if at_once:
            self._messenger.wake()

    def hear(self, now: float) -> Notice | None:
        """Return the others' last notice, unless this process has told another one since."""
        if now > self.reachable_until:
            self._messenger.start()
        news = self.news
        return news if news is not None and news.after is self.told else None

    def let_probe(self, now: float, epoch: int) -> bool:
        """Return whether this process may probe; if it has not asked yet, ask for the next call.

        Leave that has expired still counts, unless another process got it: calls may be rare.
        """
        if now > self.reachable_until:
            return True
        if self.granted == epoch:
            return not self.is_probed
        if self.wish != epoch:
            self.wish = epoch
            self._messenger.wake()
        return False

    def is_probing(self) -> bool:
        """Return whether a probe of this process is under way."""
        probe = None if self.probe is None else self.probe()
        return probe is not None and probe.epoch >= 0
