"""Breakers that are shared by processes, over a real Redis.

Where two processes meet, each is a ``RedisHealth`` whose rounds the test does by hand, so that
every interleaving can be forced. Time passes when the test says so, in the processes and in Redis.
"""

from __future__ import annotations

import gc
import json
import logging
import os
import pickle
import shutil
import socket
import subprocess
import sys
import threading
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import WIRES, Gate, Serve, until

from majordomo_cascade import (
    BadRequestError,
    CircuitBreaker,
    ConfigurationError,
    LLMCascade,
    ProviderError,
    RetryPolicy,
    Target,
    shared_health,
)
from majordomo_cascade.failover import Breaker, Verdict
from majordomo_cascade.shared_health import RedisHealth
from majordomo_cascade.testing import FakeProvider, ManualClock, Reply, Status, simulate

redis = pytest.importorskip("redis")
pytestmark = pytest.mark.skipif(
    shutil.which("redis-server") is None, reason="redis-server is not installed"
)

ONCE = RetryPolicy(attempts=1)
FRAGILE = CircuitBreaker(failures=1, cooldown=10, max_cooldown=30)
#: Seconds that the machine may take between two steps of a test.
SLACK = 8


class Server:
    """A redis-server on a port of its own."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.port = free_port()
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self.start()

    def start(self, *options: str) -> None:
        """Start, empty, on the same port as before, and wait until it is ready."""
        command = ["redis-server", "--port", str(self.port), "--bind", "127.0.0.1", "--save", ""]
        self._process = subprocess.Popen(
            [*command, "--dir", self._folder, *options], stdout=subprocess.PIPE, text=True
        )
        assert self._process.stdout is not None
        assert any("eady to accept connections" in line for line in self._process.stdout)

    def kill(self) -> None:
        self._process.kill()
        self._process.communicate()

    def client(self) -> Any:
        return redis.Redis.from_url(self.url, decode_responses=True)

    def let_pass(self, seconds: float) -> None:
        """Let all keys be older."""
        client = self.client()
        for key in client.scan_iter():
            client.pexpire(key, client.pttl(key) - int(seconds * 1000))


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


@pytest.fixture(scope="module")
def only_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    server = Server(tmp_path_factory.mktemp("redis"))
    yield server
    server.kill()


@pytest.fixture
def server(only_server: Server) -> Server:
    """An empty Redis that runs."""
    only_server.client().flushall()
    return only_server


@pytest.fixture
def mortal(tmp_path: Path) -> Iterator[Server]:
    """A Redis that the test may kill."""
    server = Server(tmp_path)
    yield server
    server.kill()


@pytest.fixture
def by_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let no thread run: the test does its rounds."""
    monkeypatch.setattr(RedisHealth, "start", lambda _: None)


@pytest.fixture
def quick_polls(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shared_health, "POLL", 0.001)


class Process:
    """A process as the others see it: one breaker, and a health that speaks when told to."""

    def __init__(
        self,
        url: str,
        clock: ManualClock,
        *,
        target: str = "target",
        prefix: str = "test",
        settings: CircuitBreaker = FRAGILE,
    ) -> None:
        self.clock = clock
        self.redis_health = RedisHealth(url, prefix)
        self.redis_health.clock = clock
        self.breaker = Breaker(settings, self.redis_health.join(target))
        self.listen()

    @property
    def state(self) -> str:
        return self.breaker.state(self.clock.now())

    @property
    def cooldown(self) -> float:
        assert self.state != "closed"
        return self.breaker.cooldown(self.clock.now())

    def takes_turns(self) -> bool:
        return self.breaker.takes_turns(self.clock.now())

    def begin(self) -> Any:
        """Begin a call."""
        return self.breaker.enter(self.clock.now())

    def end(self, call: Any, verdict: Verdict, retry_after: float = 0.0) -> None:
        self.breaker.leave(call, verdict, self.clock.now(), retry_after)

    def fail(self, retry_after: float = 0.0) -> None:
        self.end(self.begin(), Verdict.FAILED, retry_after)

    def serve(self) -> None:
        self.end(self.begin(), Verdict.SERVED)

    def speak(self) -> None:
        self.redis_health.exchange(is_reading=False)

    def listen(self) -> None:
        self.redis_health.exchange(is_reading=True)

    def get_leave(self) -> bool:
        """Let a call ask for leave to probe, and return whether the next one has it."""
        assert not self.takes_turns()
        self.speak()
        return self.takes_turns()


Pair = tuple[Process, Process]


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def pair(server: Server, clock: ManualClock, by_hand: None) -> Pair:
    return Process(server.url, clock), Process(server.url, clock)


@pytest.fixture
def due(pair: Pair, clock: ManualClock, server: Server) -> Pair:
    """Two processes that know of the same opening, whose cooldown is over."""
    one, other = pair
    one.fail()
    one.speak()
    other.listen()
    clock.advance(10)
    server.let_pass(10)
    one.listen()
    other.listen()
    assert one.state == other.state == "half_open"
    return pair


# Openings and closings.


def test_an_opening_is_told_with_what_is_left_of_its_cooldown(
    pair: Pair, clock: ManualClock
) -> None:
    one, other = pair
    one.fail()
    clock.advance(1)
    one.speak()
    assert other.takes_turns()
    other.listen()
    assert not other.takes_turns()
    assert other.state == "open"
    assert other.breaker.failures == 1
    assert 9 - SLACK < other.cooldown <= 9


def test_single_failures_are_a_processs_own(server: Server, by_hand: None) -> None:
    one = Process(server.url, ManualClock(), settings=CircuitBreaker(failures=3))
    one.fail()
    one.fail()
    one.speak()
    assert server.client().keys() == []


def test_a_closing_is_told(due: Pair) -> None:
    one, other = due
    one.serve()  # asked last
    one.speak()
    assert other.state == "half_open"
    other.listen()
    assert (other.state, other.breaker.failures) == ("closed", 0)
    assert other.takes_turns()


def test_a_reset_is_told(pair: Pair) -> None:
    one, other = pair
    one.fail()
    one.speak()
    other.listen()
    other.breaker.reset()
    other.speak()
    one.listen()
    assert one.state == "closed"


@pytest.mark.parametrize("first", [0, 1])
def test_of_two_openings_the_longer_one_counts(pair: Pair, first: int) -> None:
    one, other = pair
    one.fail()
    other.fail(retry_after=300)
    pair[first].speak()
    pair[1 - first].speak()
    one.listen()
    other.listen()
    assert other.cooldown == 300
    assert one.cooldown == 10 if first else one.cooldown > 300 - SLACK


def test_an_opening_is_heard_after_failures_of_ones_own(server: Server, by_hand: None) -> None:
    clock = ManualClock()
    one = Process(server.url, clock)
    patient = Process(server.url, clock, settings=CircuitBreaker(failures=3, cooldown=10))
    patient.fail()
    one.fail()
    one.speak()
    patient.listen()
    assert (patient.state, patient.breaker.failures) == ("open", 1)
    patient.serve()
    assert (patient.state, patient.breaker.failures) == ("closed", 0)


def test_a_failed_probe_of_a_more_patient_process_opens_again(
    server: Server, by_hand: None, clock: ManualClock
) -> None:
    one = Process(server.url, clock)
    patient = Process(server.url, clock, settings=CircuitBreaker(failures=5, cooldown=10))
    one.fail()
    one.speak()
    patient.listen()
    clock.advance(10)
    patient.listen()
    assert patient.get_leave()
    patient.fail()
    assert (patient.state, patient.cooldown) == ("open", 20)


def test_a_longer_retry_after_is_told(pair: Pair) -> None:
    one, other = pair
    one.fail()
    one.fail(retry_after=100)
    one.speak()
    other.listen()
    assert 100 - SLACK < other.cooldown <= 100


def test_a_call_from_before_a_longer_retry_after_that_was_heard_still_counts(pair: Pair) -> None:
    one, other = pair
    one.fail()
    one.speak()
    other.listen()
    assert other.state == "open"
    call = other.begin()
    one.fail(retry_after=100)
    one.speak()
    other.listen()
    assert other.cooldown > 10
    other.end(call, Verdict.SERVED)
    assert other.state == "closed"


def test_a_call_from_before_an_opening_that_was_heard_changes_nothing(pair: Pair) -> None:
    one, other = pair
    early = other.begin()
    one.fail()
    one.speak()
    other.listen()
    assert other.state == "open"
    other.end(early, Verdict.SERVED)
    assert other.state == "open"
    other.serve()
    assert other.state == "closed"


def test_what_was_read_before_a_closing_does_not_open_again(pair: Pair) -> None:
    one, other = pair
    one.fail()
    one.speak()
    other.listen()
    assert other.state == "open"
    one.fail(retry_after=100)
    one.speak()
    late = other.begin()
    other.listen()  # it has read of the longer cooldown, which its breaker has not yet seen
    other.end(late, Verdict.SERVED)
    assert other.state == "closed"
    other.speak()
    other.listen()
    one.listen()
    assert one.state == other.state == "closed"


def test_a_notice_that_could_not_be_sent_is_not_undone_by_an_older_one(
    due: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, other = due
    one.fail(retry_after=100)
    one.speak()
    other.serve()
    with monkeypatch.context() as broken:
        broken.setattr(redis.Redis, "set", Status)  # any error will do
        other.listen()
    assert other.state == "closed"
    other.listen()
    one.listen()
    assert one.state == other.state == "closed"


def test_an_opening_is_heard_once(pair: Pair) -> None:
    one, other = pair
    one.fail()
    one.speak()
    other.listen()
    assert other.state == "open"
    for _ in range(3):
        cooldown = other.cooldown
        other.listen()
        assert other.cooldown == cooldown


def test_a_process_that_starts_late_hears_of_an_opening(
    due: Pair, server: Server, clock: ManualClock
) -> None:
    late = Process(server.url, clock)
    assert late.state == "half_open"
    assert not late.takes_turns()


# Probes.


def test_one_of_two_processes_may_probe(due: Pair) -> None:
    one, other = due
    assert not one.takes_turns()
    assert not other.takes_turns()
    one.speak()
    other.speak()
    assert one.takes_turns()
    assert not other.takes_turns()
    probe = one.begin()
    assert probe.is_probe
    assert not one.takes_turns()
    assert not other.begin().is_probe
    other.listen()
    assert not other.takes_turns()


def test_a_probe_that_is_served_closes_everywhere(due: Pair) -> None:
    one, other = due
    assert one.get_leave()
    one.serve()
    one.speak()
    other.listen()
    assert one.state == other.state == "closed"


def test_a_probe_that_fails_doubles_the_cooldown_everywhere(
    due: Pair, clock: ManualClock, server: Server
) -> None:
    one, other = due
    assert one.get_leave()
    one.fail()
    one.speak()
    assert not other.get_leave()
    other.listen()
    assert one.cooldown == 20
    assert 20 - SLACK < other.cooldown <= 20
    clock.advance(20)
    server.let_pass(20)
    one.listen()
    other.listen()
    assert other.get_leave()
    assert not one.get_leave()
    other.fail()
    assert other.cooldown == 30


def test_a_probe_that_tells_nothing_may_be_repeated_by_the_same_process(due: Pair) -> None:
    one, other = due
    assert one.get_leave()
    one.end(one.begin(), Verdict.UNKNOWN)
    one.listen()
    assert one.takes_turns()
    assert not other.get_leave()


def test_another_process_may_probe_when_the_prober_dies(due: Pair, server: Server) -> None:
    one, other = due
    assert one.get_leave()
    probe = one.begin()
    assert not other.get_leave()
    server.let_pass(5)
    other.listen()  # it has not forgotten that a call asked
    assert other.takes_turns()
    assert other.begin().is_probe
    one.end(probe, Verdict.FAILED)  # it was not dead
    assert one.cooldown == 20


def test_leave_to_probe_expires(due: Pair, server: Server) -> None:
    assert due[0].get_leave()
    assert 0 < server.client().pttl("test:health:target:probe") <= 5000


def test_a_long_probe_keeps_the_others_away(due: Pair, server: Server) -> None:
    one, other = due
    client = server.client()
    assert one.get_leave()
    probe = one.begin()
    for _ in range(10):
        server.let_pass(2)
        one.listen()
        other.listen()
        assert not other.get_leave()
    one.end(probe, Verdict.UNKNOWN)
    server.let_pass(5)
    one.listen()
    assert client.get("test:health:target:probe") is None


def test_a_dropped_probe_keeps_nobody_away(due: Pair, server: Server) -> None:
    one, _ = due
    assert one.get_leave()
    probe = one.begin()
    del probe
    server.let_pass(5)
    one.listen()
    assert server.client().get("test:health:target:probe") is None


def test_a_probe_of_an_earlier_opening_keeps_nobody_away(
    due: Pair, clock: ManualClock, server: Server
) -> None:
    one, other = due
    assert one.get_leave()
    probe = one.begin()  # somebody holds it long after its call, as an exception's traceback does
    other.breaker.reset()
    other.speak()
    one.listen()
    assert one.state == "closed"
    one.end(probe, Verdict.FAILED)
    other.fail()
    other.speak()
    one.listen()
    clock.advance(20)
    server.let_pass(5)
    one.listen()
    other.listen()
    assert other.get_leave()


def test_a_process_without_calls_asks_for_no_leave(due: Pair, server: Server) -> None:
    for each in due:
        each.listen()
        assert each.state == "half_open"
    assert server.client().keys() == ["test:health:target"]


def test_calls_that_are_rare_probe_although_their_leave_has_expired(
    due: Pair, server: Server
) -> None:
    one, other = due
    assert one.get_leave()
    server.let_pass(5)
    one.listen()
    assert one.takes_turns()
    assert other.get_leave()
    one.listen()
    assert not one.takes_turns()


def test_an_extension_that_is_heard_during_a_probe_does_not_void_the_probe(due: Pair) -> None:
    one, other = due
    assert one.get_leave()
    probe = one.begin()
    other.fail(retry_after=100)  # asked last
    other.speak()
    one.listen()
    assert one.state == "open"
    one.end(probe, Verdict.SERVED)
    one.speak()
    other.listen()
    assert one.state == other.state == "closed"


def test_leave_for_one_opening_is_none_for_the_next(
    due: Pair, clock: ManualClock, server: Server
) -> None:
    one, other = due
    assert one.get_leave()
    one.fail()
    one.speak()
    other.listen()
    assert other.state == "open"
    clock.advance(20)
    one.listen()
    other.listen()
    server.let_pass(3)
    assert one.get_leave()  # from Redis, where it may still have the lease
    assert server.client().pttl("test:health:target:probe") > 2500
    assert not other.get_leave()


def test_where_the_others_were_not_heard_for_long_a_process_probes_for_itself(
    due: Pair, clock: ManualClock
) -> None:
    one, _ = due
    assert not one.takes_turns()
    clock.advance(3.1)
    assert one.takes_turns()


def test_a_process_that_loses_redis_probes_for_itself_at_once(
    due: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, _ = due
    assert not one.takes_turns()
    monkeypatch.setattr(redis.Redis, "set", Status)  # any error will do
    one.speak()
    assert one.takes_turns()


# Who shares.


def test_other_prefixes_and_other_targets_do_not_share(
    server: Server, clock: ManualClock, by_hand: None
) -> None:
    one = Process(server.url, clock)
    others = [
        Process(server.url, clock, prefix="other"),
        Process(server.url, clock, target="other"),
    ]
    one.fail()
    one.speak()
    for other in others:
        other.listen()
        assert other.state == "closed"


@pytest.mark.parametrize(
    ("target", "is_shared"),
    [
        (Target("openai", "gpt-4.1", api_key="sk-one", api_base="https://one/v1"), True),
        (Target("openai", "gpt-4.1", api_key="sk-one", api_base="https://one/v1", timeout=5), True),
        (Target("openai", "gpt-4.1", api_key="sk-two", api_base="https://one/v1"), False),
        (Target("openai", "gpt-4.1", api_key="sk-one", api_base="https://two/v1"), False),
        (Target("openai", "gpt-4.1", api_base="https://one/v1"), False),
        (Target("openai", "gpt-5", api_key="sk-one", api_base="https://one/v1"), False),
        (
            Target("openai", "gpt-4.1", api_key="sk-one", api_base="https://one/v1", name="eu"),
            False,
        ),
    ],
)
async def test_cascades_share_what_is_the_same_target_with_the_same_key(
    server: Server, by_hand: None, target: Target, is_shared: bool
) -> None:
    first = Target("openai", "gpt-4.1", api_key="sk-one", api_base="https://one/v1")
    one, other = RedisHealth(server.url), RedisHealth(server.url)
    cascades = [
        LLMCascade([first], breaker=FRAGILE, retry=ONCE, shared_health=one),
        LLMCascade([target], breaker=FRAGILE, retry=ONCE, shared_health=other),
    ]
    with pytest.raises(ProviderError):
        await cascades[0].get_response("Hello", mock_response="litellm.InternalServerError")
    one.exchange(is_reading=False)
    other.exchange(is_reading=True)
    assert (cascades[1].health[0].state == "open") is is_shared


async def test_cascades_with_one_redis_health_share_as_well(
    server: Server, by_hand: None, serve: Serve
) -> None:
    health = RedisHealth(server.url)
    target = serve(Status(503)).target()
    one, two = (LLMCascade([target], breaker=FRAGILE, retry=ONCE, shared_health=health),) * 2
    with pytest.raises(ProviderError):
        await one.get_response("Hello")
    health.exchange(is_reading=True)
    health.exchange(is_reading=True)
    assert two.health[0].state == "open"


async def test_with_options_shares_and_a_reset_reaches_the_other_processes(
    server: Server, by_hand: None, serve: Serve
) -> None:
    target = serve(Status(503)).target()
    here, there = RedisHealth(server.url), RedisHealth(server.url)
    cascade = LLMCascade([target], breaker=FRAGILE, retry=ONCE, shared_health=here)
    other = LLMCascade([target], breaker=FRAGILE, retry=ONCE, shared_health=there)
    twin = cascade.with_options(deadline=50)
    with pytest.raises(ProviderError):
        await twin.get_response("Hello")
    here.exchange(is_reading=True)
    there.exchange(is_reading=True)
    assert [each.health[0].state for each in (cascade, twin, other)] == ["open"] * 3
    cascade.reset_health()
    here.exchange(is_reading=True)
    there.exchange(is_reading=True)
    assert [each.health[0].state for each in (cascade, twin, other)] == ["closed"] * 3


async def test_a_calls_own_credentials_tell_the_others_nothing(
    server: Server, by_hand: None, serve: Serve
) -> None:
    health = RedisHealth(server.url)
    cascade = LLMCascade(
        [serve(Status(401)).target()], breaker=FRAGILE, retry=ONCE, shared_health=health
    )
    with pytest.raises(ProviderError):
        await cascade.get_response("Hello", api_key="sk-of-the-call")
    health.exchange(is_reading=False)
    assert server.client().keys() == []


async def test_a_simulation_shares_nothing(server: Server, by_hand: None) -> None:
    health = RedisHealth(server.url)
    cascade = LLMCascade(WIRES[:2], breaker=FRAGILE, retry=ONCE, shared_health=health)
    with simulate(cascade, Status(503)) as simulation:
        await simulation.cascade.get_response("Hello")
        assert simulation.cascade.health[0].state == "open"
    health.exchange(is_reading=True)
    assert server.client().keys() == []


# What is stored.


async def test_the_record_is_small_has_a_lifetime_and_holds_nobodys_text(
    server: Server, by_hand: None, serve: Serve
) -> None:
    health = RedisHealth(server.url, prefix="app")
    target = serve(Status(503, "the vendor's words")).target(api_key="sk-secret-of-mine")
    cascade = LLMCascade([target], breaker=FRAGILE, retry=ONCE, shared_health=health)
    with pytest.raises(ProviderError):
        await cascade.get_response("the caller's prompt")
    health.exchange(is_reading=True)
    client = server.client()
    [key] = client.keys()
    prefix, kind, fingerprint = key.split(":")
    assert (prefix, kind) == ("app", "health")
    assert len(bytes.fromhex(fingerprint)) == 16
    record = json.loads(client.get(key))
    assert len(bytes.fromhex(record.pop("id"))) == 8
    assert record == {"v": 1, "failures": 1, "cooldown": 10.0}
    assert (70 - SLACK) * 1000 < client.pttl(key) <= 70_000
    cascade.reset_health()
    health.exchange(is_reading=False)
    record = json.loads(client.get(key))
    assert (record["failures"], record["cooldown"]) == (0, 0.0)
    assert (60 - SLACK) * 1000 < client.pttl(key) <= 60_000


@pytest.mark.parametrize(
    "record",
    [
        "",
        "nonsense",
        "null",
        "[]",
        "7",
        "{}",
        '{"v": 1}',
        '{"v": 2, "id": "a", "failures": 3, "cooldown": 10}',
        '{"v": 1, "id": "a", "failures": null, "cooldown": 10}',
        '{"v": 1, "id": "a", "failures": 1e999, "cooldown": 10}',
        '{"v": 1, "id": "a", "failures": "many", "cooldown": 10}',
    ],
)
def test_a_record_that_cannot_be_read_is_none(
    pair: Pair, server: Server, record: str, caplog: pytest.LogCaptureFixture
) -> None:
    one, _ = pair
    server.client().set("test:health:target", record)
    one.listen()
    assert one.state == "closed"
    assert caplog.records == []


def test_no_record_keeps_a_target_away_for_longer_than_an_hour(pair: Pair, server: Server) -> None:
    one, _ = pair
    record = '{"v": 1, "id": "a", "failures": 3, "cooldown": 1e99}'
    server.client().set("test:health:target", record, px=10**12)
    one.listen()
    assert one.cooldown == 3600


# Trouble with Redis.


def records_of(caplog: pytest.LogCaptureFixture) -> list[tuple[str, str]]:
    told = [each for each in caplog.records if "RedisHealth" in each.getMessage()]
    return [(each.levelname, each.getMessage().partition(" is ")[2]) for each in told]


class Blackhole:
    """A server that takes connections and answers nothing, or one text to anything."""

    def __init__(self, answer: bytes = b"") -> None:
        self._answer = answer
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.url = f"redis://127.0.0.1:{self.port}"
        self._connections: list[socket.socket] = []
        self.was_reached = threading.Event()
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        try:
            while True:
                connection, _ = self._listener.accept()
                self._connections.append(connection)
                self.was_reached.set()
                if self._answer:
                    connection.sendall(self._answer)
        except OSError:
            pass

    def close(self) -> None:
        for each in (self._listener, *self._connections):
            each.close()


@pytest.fixture
def trouble(request: pytest.FixtureRequest, mortal: Server) -> Iterator[str]:
    """Return the URL of a Redis that is of no use."""
    match request.param:
        case "slow" | "no Redis" as kind:
            server = Blackhole(b"HTTP/1.1 400 Bad Request\r\n\r\n" if kind == "no Redis" else b"")
            yield server.url
            server.close()
        case "gone":
            yield f"redis://127.0.0.1:{free_port()}"
        case "full":
            mortal.client().config_set("maxmemory", 1)
            yield mortal.url
        case "wrong password":
            mortal.client().config_set("requirepass", "right")
            yield mortal.url.replace("//", "//:wrong-password@")


@pytest.mark.parametrize(
    ("trouble", "reason"),
    [
        ("slow", "TimeoutError"),
        ("gone", "ConnectionError"),
        ("full", "OutOfMemoryError"),
        ("wrong password", "AuthenticationError"),
        ("no Redis", "InvalidResponse|ConnectionError|ProtocolError"),
    ],
    indirect=["trouble"],
)
def test_without_redis_a_process_judges_for_itself_and_says_so_once(
    trouble: str,
    reason: str,
    by_hand: None,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(shared_health, "TIMEOUT", 0.02)
    caplog.set_level(logging.INFO, "majordomo_cascade")
    clock = ManualClock()
    alone = Process(trouble, clock)
    alone.fail()
    for _ in range(3):
        alone.speak()
        alone.listen()
        assert (alone.state, alone.cooldown) == ("open", 10)
    clock.advance(10)
    assert alone.takes_turns()
    alone.fail()
    alone.listen()
    assert alone.cooldown == 20
    clock.advance(20)
    alone.serve()
    alone.listen()
    assert alone.state == "closed"
    [(level, text)] = records_of(caplog)
    assert level == "WARNING"
    assert text.startswith("away (")
    assert text[6:].split(")")[0] in reason.split("|")
    assert text.endswith("this process judges for itself")
    assert "password" not in caplog.text


def test_when_redis_is_back_health_is_shared_again(
    mortal: Server, by_hand: None, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "majordomo_cascade")
    clock = ManualClock()
    one, other = Process(mortal.url, clock), Process(mortal.url, clock)
    mortal.kill()
    for each in (one, other):
        each.listen()
    one.fail()
    one.speak()
    other.listen()
    assert (one.state, other.state) == ("open", "closed")
    mortal.start()
    one.listen()
    other.listen()
    assert other.state == "open"
    assert 10 - SLACK < other.cooldown <= 10
    for each in (one, other):
        each.listen()
    away = ("WARNING", "away (ConnectionError): this process judges for itself")
    back = ("INFO", "back: health is shared again")
    assert records_of(caplog) == [away, away, back, back]


def test_a_redis_that_has_lost_everything_changes_nothing(pair: Pair, server: Server) -> None:
    one, other = pair
    one.fail()
    one.speak()
    other.listen()
    assert other.state == "open"
    server.client().flushall()
    one.listen()
    other.listen()
    assert one.state == other.state == "open"


async def test_a_silent_redis_delays_no_call(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shared_health, "TIMEOUT", 3600.0)
    silent = Blackhole()
    targets = [serve(Status(503)).target(), serve().target()]
    cascade = LLMCascade(
        targets, breaker=FRAGILE, retry=ONCE, shared_health=RedisHealth(silent.url)
    )
    for _ in range(50):
        assert (await cascade.get_response("Hello")).failed_over
    assert silent.was_reached.wait(30)
    assert cascade.health[0].state == "open"
    silent.close()


@pytest.mark.usefixtures("quick_polls")
async def test_no_call_is_lost_when_redis_dies_in_the_middle(
    mortal: Server, serve: Serve, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "majordomo_cascade")
    down, well = serve(Status(503)), serve()
    breaker = CircuitBreaker(failures=3, cooldown=0.01, max_cooldown=0.02)
    cascade = LLMCascade(
        [down.target(), well.target()],
        breaker=breaker,
        retry=ONCE,
        shared_health=RedisHealth(mortal.url),
    )
    served = 0
    for number in range(500):
        if number == 250:
            assert cascade.health[0].state != "closed"
            await until(mortal.client().keys)
            mortal.kill()
        served += (await cascade.get_response("Hello")).failed_over
    assert served == 500
    await until(lambda: records_of(caplog))
    assert [level for level, _ in records_of(caplog)] == ["WARNING"]
    before = len(down.requests)
    await until(lambda: cascade.health[0].state == "half_open")
    await cascade.get_response("Hello")
    assert len(down.requests) == before + 1  # it probes for itself
    mortal.start()
    await until(lambda: len(records_of(caplog)) > 1)
    assert [level for level, _ in records_of(caplog)] == ["WARNING", "INFO"]


# The thread, and other processes.


@pytest.mark.usefixtures("quick_polls")
async def test_the_thread_tells_and_hears(server: Server, serve: Serve) -> None:
    back = Gate(Reply("back"))
    target = serve(Status(503), back).target()
    breaker = CircuitBreaker(failures=1, cooldown=0.05)
    cascades = [
        LLMCascade(
            [target, serve().target()],
            breaker=breaker,
            retry=ONCE,
            shared_health=RedisHealth(server.url),
        )
        for _ in range(2)
    ]
    one, other = cascades
    await other.get_response("Hello", mock_response="its thread begins")
    await one.get_response("Hello")
    await until(lambda: other.health[0].state != "closed")
    back.give()
    while (await other.get_response("Hello")).content != "back":
        assert one.health[0].state != "closed"
    await until(lambda: one.health[0].state == "closed")


async def test_the_thread_ends_when_no_cascade_is_left(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shared_health, "POLL", 0.001)
    health = RedisHealth(server.url)
    cascade = LLMCascade(WIRES[:1], shared_health=health)

    earlier = set(threading.enumerate())

    def threads() -> list[str]:
        return [each.name for each in threading.enumerate() if each not in earlier]

    assert cascade.health[0].state == "closed"
    assert threads() == ["majordomo_cascade.health"]
    del cascade
    gc.collect()
    await until(lambda: not threads())
    again = LLMCascade(WIRES[:1], shared_health=health)
    assert again.health
    assert threads() == ["majordomo_cascade.health"]
    remains = weakref.ref(health)
    del again, health
    gc.collect()
    await until(lambda: remains() is None)


async def test_calls_go_on_where_no_thread_can_be_started(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    start = threading.Thread.start

    def refuse(thread: threading.Thread) -> None:
        if thread.name == "majordomo_cascade.health":
            raise RuntimeError("can't start new thread")
        start(thread)

    cascade = LLMCascade(WIRES[:1], shared_health=RedisHealth(server.url))
    monkeypatch.setattr(threading.Thread, "start", refuse)
    assert (await cascade.get_response("Hello", mock_response="Hi")).content == "Hi"


async def test_a_thread_that_died_is_started_again(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    shared = RedisHealth(server.url)
    cascade = LLMCascade(WIRES[:1], shared_health=shared)
    monkeypatch.setattr(threading, "excepthook", lambda _: None)
    with monkeypatch.context() as broken:
        broken.setattr(shared, "exchange", lambda **_: 1 / 0)  # as a log handler that raises
        await cascade.get_response("Hello", mock_response="Hi")
        assert shared._thread is not None
        shared._thread.join()
    await cascade.get_response("Hello", mock_response="Hi")
    await until(lambda: shared._thread is not None and shared._thread.is_alive())


SETUP = """
import os, sys
from time import sleep
from majordomo_cascade import CircuitBreaker, LLMCascade, RetryPolicy, Target
from majordomo_cascade.shared_health import RedisHealth

cascade = LLMCascade(
    [Target("openai", "gpt-4.1", api_base=os.environ["PROVIDER"], api_key="sk-x"), "openai/gpt-5"],
    breaker=CircuitBreaker(failures=1, cooldown=60),
    retry=RetryPolicy(attempts=1),
    shared_health=RedisHealth(os.environ["REDIS"]),
    timeout=30,
)
"""

FAIL = """
try:
    cascade.with_options(failover_on=()).sync.get_response("Hello")
except Exception as error:
    print(type(error).__name__)
"""

HEAR = """
while cascade.health[0].state == "closed":
    sleep(0.01)
print("heard")
"""

#: Waits until Redis has the record: a process that ends at once may not have told.
TOLD = """
from redis import Redis
while not Redis.from_url(os.environ["REDIS"]).keys():
    sleep(0.01)
"""

FORK = f"""
assert cascade.health[0].state == "closed"  # the thread runs
child = os.fork()
if child == 0:
    {FAIL.strip().replace(chr(10), chr(10) + "    ")}
    {TOLD.strip().replace(chr(10), chr(10) + "    ")}
    sys.stdout.flush()
    os._exit(0)
{HEAR}
os.waitpid(child, 0)
"""


def run(program: str, url: str, provider: FakeProvider | None = None) -> subprocess.Popen[str]:
    base = f"{provider.url}/v1" if provider else "http://127.0.0.1:9"
    return subprocess.Popen(
        [sys.executable, "-c", SETUP + program],
        env={**os.environ, "REDIS": url, "PROVIDER": base},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_processes_see_each_others_openings(server: Server, serve: Serve) -> None:
    provider = serve(Status(503))
    listeners = [run(HEAR, server.url, provider) for _ in range(2)]
    speaker = run(FAIL + TOLD, server.url, provider)
    assert speaker.communicate(timeout=100) == ("ProviderUnavailableError\n", "")
    for each in listeners:
        assert each.communicate(timeout=100) == ("heard\n", "")
    assert len(provider.requests) == 1


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")
def test_a_forked_child_has_a_thread_of_its_own(server: Server, serve: Serve) -> None:
    parent = run(FORK, server.url, serve(Status(503)))
    out, err = parent.communicate(timeout=100)
    assert err == ""
    assert sorted(out.split()) == ["ProviderUnavailableError", "heard"]


def test_a_forked_child_does_not_probe_by_its_parents_leave(
    due: Pair,
) -> None:
    one, _ = due
    assert one.get_leave()
    one.redis_health._begin_anew()
    assert not one.takes_turns()
    assert one.breaker.peers is not None
    assert one.breaker.peers.wish != -1  # it asks for its own


@pytest.mark.parametrize("kind", ["well", "silent"])
def test_the_thread_keeps_no_process_alive_and_prints_nothing(server: Server, kind: str) -> None:
    silent = Blackhole()
    started = run("cascade.health", server.url if kind == "well" else silent.url)
    assert started.communicate(timeout=100) == ("", "")
    assert started.returncode == 0
    silent.close()


def test_importing_the_package_does_not_import_redis() -> None:
    program = "import sys, majordomo_cascade; sys.exit('redis' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


# Settings.


def test_a_repr_shows_no_password_and_a_pickle_has_all() -> None:
    health = RedisHealth("rediss://user:pass@cache.example:7000/3?socket_timeout=4", prefix="app")
    assert repr(health) == "RedisHealth('cache.example:7000', prefix='app')"
    assert (
        repr(RedisHealth("redis://:12/ss@h")) == "RedisHealth('localhost:12', prefix='majordomo')"
    )
    assert repr(RedisHealth("unix://u:pass@/tmp/s")) == (
        "RedisHealth('/tmp/s', prefix='majordomo')"
    )
    copy = pickle.loads(pickle.dumps(health))
    assert copy.__reduce__() == health.__reduce__()
    cascade = LLMCascade(WIRES[:1], shared_health=health)
    assert repr(pickle.loads(pickle.dumps(cascade))) == repr(cascade)


def test_a_url_of_something_else_is_refused_and_not_shown() -> None:
    for url in ("http://:secret@host", "host:secret", "redis://host:secret", 7):
        wrong: Any = url
        with pytest.raises(ConfigurationError, match="RedisHealth takes a URL such as") as caught:
            RedisHealth(wrong)
        assert "secret" not in str(caught.value)


def test_without_redis_py_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "redis", None)
    with pytest.raises(ConfigurationError, match=r'pip install "majordomo-cascade\[redis\]"'):
        RedisHealth("redis://localhost")


def test_other_values_and_a_missing_breaker_are_refused() -> None:
    health = RedisHealth("redis://localhost")
    wrong: Any = "redis://:secret@localhost"
    with pytest.raises(ConfigurationError, match=r"must be a RedisHealth, .* or None, not str$"):
        LLMCascade(WIRES[:1], shared_health=wrong)
    with pytest.raises(ConfigurationError, match="breaker=None leaves none to share"):
        LLMCascade(WIRES[:1], breaker=None, shared_health=health)


async def test_it_belongs_to_the_cascade(monkeypatch: pytest.MonkeyPatch) -> None:
    cascade = LLMCascade(WIRES[:1])
    with pytest.raises(ConfigurationError, match="shared_health belongs to the targets"):
        cascade.with_options(shared_health=None)
    with pytest.raises(BadRequestError, match="shared_health"):
        await cascade.get_response("Hello", shared_health=None)


def test_the_url_may_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MAJORDOMO_PROVIDERS", "openai/gpt-4.1")
    monkeypatch.setenv("MAJORDOMO_REDIS_URL", " redis://cache:7000/1 ")
    _, (config,) = LLMCascade.from_env(None).__reduce__()
    assert repr(config["shared_health"]) == "RedisHealth('cache:7000', prefix='majordomo')"
    monkeypatch.setitem(sys.modules, "redis", None)
    _, (config,) = LLMCascade.from_env(None, shared_health=None).__reduce__()
    assert config["shared_health"] is None
