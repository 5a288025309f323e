"""``RedisHealth``: breakers that open and close together in all processes.

One thread a process speaks with Redis. It never touches a breaker: they meet in ``Peers``. Clocks
differ between machines, so times travel as the lifetimes of Redis's keys.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import threading
import weakref
from typing import Any, final

from .errors import ConfigurationError
from .failover import LONGEST_RETRY_AFTER, Clock, Notice, Peers, SystemClock

logger = logging.getLogger("majordomo_cascade")

#: The version of the record.
VERSION = 1
#: Seconds between two readings.
POLL = 1.0
#: Seconds after a reading for which it counts.
TRUST = 3.0
#: Seconds that Redis has for an answer.
TIMEOUT = 1.0
#: Milliseconds for which one process may probe; renewed while its probe is under way.
LEASE = 5_000
#: Milliseconds that a record outlives its cooldown: until then, others learn that a probe is due.
LINGER = 60_000


@final
class RedisHealth:
    """Share the health of targets with all processes that use the same Redis and prefix.

    ::

        LLMCascade([...], shared_health=RedisHealth("redis://localhost:6379/0"))

    No call waits for Redis; while it is away, each process judges for itself. Pickles as its URL
    and prefix.

    Args:
        url: as ``redis.Redis.from_url`` takes it. No repr, log or error shows its password.
        prefix: of all keys.

    Raises:
        ConfigurationError: redis-py is not installed, or the URL is not one of Redis's.
    """

    def __init__(self, url: str, prefix: str = "majordomo") -> None:
        self._url = url
        self._prefix = prefix
        self.clock: Clock = SystemClock()
        """As the cascade's; tests replace both."""
        self._peers: weakref.WeakSet[RedisPeers] = weakref.WeakSet()
        self._is_away = False
        self._begin_anew()
        EVERYONE.add(self)

    def _begin_anew(self) -> None:
        """Begin with a new thread and connection: those of before a fork are the parent's."""
        self._redis = _client(self._url)
        self._lock = threading.Lock()
        self._is_awaited = threading.Event()
        self._thread: threading.Thread | None = None
        for peers in list(self._peers):
            peers.begin_anew()

    def join(self, fingerprint: str) -> Peers:
        """Return the meeting point of a target's breaker with those of other processes."""
        peers = RedisPeers(self, f"{self._prefix}:health:{fingerprint}")
        with self._lock:
            self._peers.add(peers)
        return peers

    def start(self) -> None:
        """Start the thread, if it does not run."""
        if self._thread is not None and self._thread.is_alive():
            return
        thread = threading.Thread(target=self._run, name="majordomo_cascade.health", daemon=True)
        # A program that ends, or has too many threads, goes on without this one.
        with self._lock, contextlib.suppress(RuntimeError):
            if self._thread is None or not self._thread.is_alive():
                thread.start()
                self._thread = thread

    def wake(self) -> None:
        """Let the thread speak at once."""
        self._is_awaited.set()
        self.start()

    def _run(self) -> None:
        next_reading = self.clock.now()
        while self._has_peers():
            is_reading = self.clock.now() >= next_reading
            if is_reading:
                next_reading = self.clock.now() + POLL
            self.exchange(is_reading=is_reading)
            self._is_awaited.wait(max(0.0, next_reading - self.clock.now()))
            self._is_awaited.clear()

    def _has_peers(self) -> bool:
        """Return whether a cascade is alive; if none is, the thread ends."""
        with self._lock:
            if not self._peers:
                self._thread = None
            return self._thread is not None

    def exchange(self, *, is_reading: bool) -> None:
        """Tell what is new, and maybe read what others told: one round of the thread."""
        with self._lock:
            everyone = list(self._peers)
        try:
            for peers in everyone:
                peers.send(self._redis, self.clock.now())
            if is_reading:
                self._read(everyone)
        except Exception as error:  # whatever Redis is up to, calls go on
            self._lose(everyone, error)

    def _read(self, everyone: list[RedisPeers]) -> None:
        with self._redis.pipeline() as pipe:
            for peers in everyone:
                pipe.get(peers.key).pttl(peers.key).get(peers.lease)
            answers = iter(pipe.execute())
        now = self.clock.now()
        for peers, text, ttl, holder in zip(everyone, answers, answers, answers, strict=True):
            peers.receive(text, now + (ttl - LINGER) / 1000, now)
            peers.is_probed = holder not in (None, peers.token)
            if peers.is_probing() and not peers.is_probed:
                self._redis.set(peers.lease, peers.token, px=LEASE)
            peers.reachable_until = now + TRUST
        if self._is_away:
            logger.info("%r is back: health is shared again", self)
        self._is_away = False

    def _lose(self, everyone: list[RedisPeers], error: Exception) -> None:
        for peers in everyone:
            peers.reachable_until = 0.0
        if not self._is_away:
            reason = type(error).__name__  # its text may quote anything
            logger.warning("%r is away (%s): this process judges for itself", self, reason)
        self._is_away = True

    def __repr__(self) -> str:
        given = {"host": "localhost", "port": 6379, **self._redis.get_connection_kwargs()}
        place = given.get("path") or f"{given['host']}:{given['port']}"
        return f"RedisHealth({place!r}, prefix={self._prefix!r})"

    def __reduce__(self) -> tuple[Any, ...]:
        return RedisHealth, (self._url, self._prefix)


class RedisPeers(Peers):
    """What one process tells and knows of one target."""

    def __init__(self, messenger: RedisHealth, key: str) -> None:
        super().__init__(messenger)
        self.key = key
        self.lease = f"{key}:probe"
        self._written: Notice | None = None
        self._own_text = ""
        self._text: str | None = None
        self.begin_anew()

    def begin_anew(self) -> None:
        """Let go of the leave to probe, which after a fork is the parent's."""
        self.token = os.urandom(8).hex()
        self.granted = self.wish = -1

    def send(self, redis: Any, now: float) -> None:
        """Write the breaker's notice if it is new, and take the lease if it wants to probe."""
        told = self.told
        if told is not None and told is not self._written:
            self._own_text = _record(told)
            remaining = max(0.0, (told.open_until or now) - now)
            redis.set(self.key, self._own_text, px=LINGER + int(1000 * remaining))
            self._written = told
        wish = self.wish
        if wish not in (-1, self.granted):
            redis.set(self.lease, self.token, px=LEASE, nx=True)
            self.is_probed = redis.get(self.lease) != self.token
            if not self.is_probed:
                redis.pexpire(self.lease, LEASE)  # it may be an old one
                self.granted = wish

    def receive(self, text: str | None, open_until: float, now: float) -> None:
        """Take what was read of the target, unless it is known already."""
        is_known = self.news is not None and self.news.after is self._written
        if text == self._text and is_known:
            return
        self._text = text
        self.news = None
        if text is not None and text != self._own_text:
            self.news = _notice(text, min(open_until, now + LONGEST_RETRY_AFTER), self._written)


def _record(notice: Notice) -> str:
    """Return a notice as it is stored, with an id; without failures, the breaker closed."""
    failures = 0 if notice.open_until is None else notice.failures
    record = {"v": VERSION, "id": os.urandom(8).hex(), "failures": failures}
    return json.dumps({**record, "cooldown": notice.cooldown})


def _notice(text: str, open_until: float, after: Notice | None) -> Notice | None:
    """Return a record's notice; None if it is not of this version."""
    with contextlib.suppress(ValueError, TypeError, LookupError, OverflowError):
        record = json.loads(text)
        failures = int(record["failures"])
        cooldown = min(float(record["cooldown"]), LONGEST_RETRY_AFTER)
        if record["v"] == VERSION:
            return Notice(failures, cooldown, open_until if failures else None, after)
    return None


def _client(url: str) -> Any:
    """Return a client of redis-py, not yet connected."""
    try:
        from redis import Redis  # noqa: PLC0415 - an extra
        from redis.backoff import NoBackoff  # noqa: PLC0415 - likewise
        from redis.retry import Retry  # noqa: PLC0415 - likewise
    except ImportError as error:
        raise ConfigurationError(
            'RedisHealth needs redis-py: pip install "majordomo-cascade[redis]"'
        ) from error
    options = {"socket_timeout": TIMEOUT, "socket_connect_timeout": TIMEOUT}
    try:
        retry = Retry(NoBackoff(), 0)
        return Redis.from_url(url, decode_responses=True, retry=retry, **options)
    except (ValueError, TypeError, AttributeError):
        example = "redis://localhost:6379/0"
        raise ConfigurationError(f"RedisHealth takes a URL such as {example!r}") from None


def _begin_all_anew() -> None:
    for each in list(EVERYONE):
        each._begin_anew()


#: All that are alive; in the child of a fork they begin anew.
EVERYONE: weakref.WeakSet[RedisHealth] = weakref.WeakSet()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_begin_all_anew)
