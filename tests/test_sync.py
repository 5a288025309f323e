"""``cascade.sync``: the same ways to ask, blocking, from wherever they are called."""

from __future__ import annotations

import inspect
import os
import pickle
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextvars import ContextVar
from pathlib import Path
from signal import SIGINT
from typing import Any

import litellm
import pytest
from conftest import ALL_WIRES, Gate, Serve, until
from litellm.integrations.custom_logger import CustomLogger

from majordomo_cascade import (
    AuthenticationError,
    BadRequestError,
    ConfigurationError,
    LLMCascade,
    ResponseValidationError,
    RetryPolicy,
    StreamInterruptedError,
    StreamRestarted,
    TextDelta,
)
from majordomo_cascade.testing import BrokenStream, FakeProvider, Hang, Reply, Status, simulate

ONCE = RetryPolicy(attempts=1)
MESSAGES = [{"role": "user", "content": "Hello"}]


def cascade_of(*providers: FakeProvider, **options: Any) -> LLMCascade:
    return LLMCascade([provider.target() for provider in providers], retry=ONCE, **options)


def facts(response: Any) -> tuple[Any, ...]:
    """Return what must be the same, however the question was asked."""
    outcomes = [attempt.outcome for attempt in response.attempts]
    content = getattr(response, "content", None)
    used = response.usage, response.cost, response.finish_reason
    return content, response.provider, response.model, response.failed_over, used, outcomes


# The ways to ask.

ANSWERS: dict[str, tuple[Callable[[Any], Any], Reply]] = {
    "text": (lambda ways: ways.get_response("Hello", "Be brief."), Reply("Hi.")),
    "messages": (lambda ways: ways.get_response(messages=MESSAGES, max_tokens=9), Reply("Hi.")),
    "json": (lambda ways: ways.get_json_response("Hello"), Reply('{"a": 1}')),
    "value": (lambda ways: ways.get_structured_json_response(int, "?"), Reply('{"value": 7}')),
    "by name": (
        lambda ways: ways.get_structured_json_response(response_model=list[int], user_prompt="?"),
        Reply('{"value": [7]}'),
    ),
}


@pytest.mark.parametrize(("ask", "reply"), ANSWERS.values(), ids=ANSWERS)
async def test_each_way_gives_what_the_asynchronous_one_gives(
    serve: Serve, ask: Callable[[Any], Any], reply: Reply
) -> None:
    provider = serve(reply)
    cascade = cascade_of(provider)
    assert facts(ask(cascade.sync)) == facts(await ask(cascade))
    first, second = provider.requests
    assert first.json == second.json


@pytest.mark.parametrize(("vendor", "model"), ALL_WIRES)
async def test_each_vendor_answers_whole_and_in_a_stream(
    serve: Serve, vendor: str, model: str
) -> None:
    cascade = LLMCascade([serve(Reply("one two")).target(vendor, model)])
    for _ in range(2):
        assert cascade.sync.get_response("Hello").content == "one two"
        assert "".join(cascade.sync.get_response_stream("Hello")) == "one two"


async def test_a_stream_gives_the_texts_of_the_asynchronous_one(serve: Serve) -> None:
    cascade = cascade_of(serve(Reply("one two three")))
    stream = cascade.sync.get_response_stream("Hello")
    other = await cascade.get_response_stream("Hello")
    assert [*stream] == [text async for text in other]
    assert facts(stream) == facts(other)


async def test_completion_gives_litellms_own_response(serve: Serve) -> None:
    cascade = cascade_of(serve(Reply("Hi.")))
    response = cascade.sync.completion(MESSAGES)
    other = await cascade.acompletion(MESSAGES)
    assert isinstance(response, litellm.ModelResponse)
    assert response.choices[0].message == other.choices[0].message


async def test_a_stream_of_completion_gives_litellms_own_chunks(serve: Serve) -> None:
    cascade = cascade_of(serve(Reply("one two three")))
    chunks = cascade.sync.completion(MESSAGES, stream=True)
    other = await cascade.acompletion(MESSAGES, stream=True)
    deltas = [chunk.choices[0].delta.content async for chunk in other]
    assert [chunk.choices[0].delta.content for chunk in chunks] == deltas


def test_it_fails_over(serve: Serve) -> None:
    cascade = cascade_of(serve(Status(503)), serve(Reply("the second")))
    response = cascade.sync.get_response("Hello")
    assert (response.content, response.failed_over) == ("the second", True)
    assert cascade.sync.health == cascade.health
    assert cascade.sync.health[0].failures == 1


def test_it_takes_no_time_in_a_simulation() -> None:
    cascade = LLMCascade(["anthropic/claude-sonnet-5-5", "openai/gpt-5.5"], timeout=20)
    with simulate(cascade, Hang()) as simulation:
        assert simulation.cascade.sync.get_response("Hello").provider == "openai"
    assert simulation.clock.now() == 20


def test_other_options_have_their_own_blocking_side(serve: Serve) -> None:
    cascade = cascade_of(serve(Reply("a short answer")))
    with pytest.raises(BadRequestError, match="validation_retries"):
        cascade.sync.get_response("Hello", validation_retries=1)
    other = cascade.with_options(temperature=0)
    assert other.sync.get_response("Hello").content == "a short answer"


def test_a_cascade_and_its_blocking_side_can_be_pickled(serve: Serve) -> None:
    cascade = cascade_of(serve(Reply("Hi.")))
    assert cascade.sync.get_response("Hello").content == "Hi."
    assert pickle.loads(pickle.dumps(cascade)).sync.get_response("Hello").content == "Hi."
    for name in ("get_response", "get_structured_json_response", "completion"):
        way = pickle.loads(pickle.dumps(getattr(cascade.sync, name)))
        assert way.__name__ == name


@pytest.mark.parametrize(
    "name", ["get_response", "get_json_response", "get_structured_json_response"]
)
def test_signature_and_docstring_are_those_of_the_asynchronous_way(name: str) -> None:
    cascade = LLMCascade(["openai/gpt-4.1"])
    way, other = getattr(cascade.sync, name), getattr(cascade, name)
    assert inspect.signature(way) == inspect.signature(other)
    assert inspect.getdoc(way) == inspect.getdoc(other)


def test_the_signature_of_a_stream_names_the_plain_stream() -> None:
    cascade = LLMCascade(["openai/gpt-4.1"])
    signature = inspect.signature(cascade.sync.get_response_stream)
    assert signature.return_annotation == "SyncStream"
    other = inspect.signature(cascade.get_response_stream)
    assert signature.parameters == other.parameters


def test_it_shows_itself() -> None:
    cascade = LLMCascade(["openai/gpt-4.1"], mock_response="x")
    assert repr(cascade.sync) == "LLMCascade(['openai/gpt-4.1']).sync"
    stream = cascade.sync.get_response_stream("Hello")
    assert repr(stream) == "<SyncStream from openai/gpt-4.1>"


# Errors.


def test_an_error_is_raised_as_it_is_with_the_callers_line_in_its_traceback(serve: Serve) -> None:
    cascade = cascade_of(serve(Status(401)))
    with pytest.raises(AuthenticationError) as caught:
        cascade.sync.get_response("Hello")
    assert isinstance(caught.value.__cause__, litellm.AuthenticationError)
    assert [attempt.outcome for attempt in caught.value.attempts] == ["failed"]
    places = [entry.path for entry in caught.traceback]
    assert str(places[0]) == __file__
    assert [str(place) for place in places].count(__file__) == 1


def test_an_error_about_the_answer_is_raised_as_it_is(serve: Serve) -> None:
    cascade = cascade_of(serve(Reply('{"value": "many"}')))
    with pytest.raises(ResponseValidationError):
        cascade.sync.get_structured_json_response(int, "Hello")


def test_a_wrong_argument_is_a_type_error() -> None:
    cascade = LLMCascade(["openai/gpt-4.1"])
    with pytest.raises(TypeError):
        cascade.sync.get_response("Hello", "Be brief.", "Be kind.")  # type: ignore[arg-type, call-arg]  # pyright: ignore[reportCallIssue]


def test_a_callback_that_exits_the_program_ends_its_own_call_only(serve: Serve) -> None:
    cascade = cascade_of(serve(Reply("Hi.")))
    leaving = cascade.with_options(on_attempt=lambda _: sys.exit(3))
    with pytest.raises(SystemExit):
        leaving.sync.get_response("Hello")
    assert cascade.sync.get_response("Hello").content == "Hi."


def test_a_blocking_call_in_the_loop_of_all_blocking_calls_is_refused_at_once(
    serve: Serve,
) -> None:
    refused: list[Exception] = []

    def ask_again(_: object) -> None:
        with pytest.raises(ConfigurationError, match="use the asynchronous methods") as caught:
            cascade.sync.get_response("Hello")
        refused.append(caught.value)

    cascade = cascade_of(serve(Reply("Hi.")), on_attempt=ask_again)
    assert cascade.sync.get_response("Hello").content == "Hi."
    assert len(refused) == 1


# Streams.


def test_a_stream_that_breaks_after_its_first_text_raises(serve: Serve) -> None:
    cascade = cascade_of(serve(BrokenStream("cut", "Once upon")), serve(Reply("The end.")))
    texts: list[str] = []
    with pytest.raises(StreamInterruptedError) as caught:
        texts.extend(cascade.sync.get_response_stream("Hello"))
    assert "".join(texts) == caught.value.partial_content == "Once upon"


def test_events_tell_of_a_new_beginning(serve: Serve) -> None:
    cascade = cascade_of(serve(BrokenStream("cut", "Once upon")), serve(Reply("The end.")))
    stream = cascade.sync.get_response_stream("Hello")
    shown = ""
    for event in stream.events():
        match event:
            case TextDelta(text):
                shown += text
            case StreamRestarted():
                assert shown == "Once upon"
                shown = ""
    assert (shown, stream.failed_over, stream.finish_reason) == ("The end.", True, "stop")


def test_collect_returns_the_whole_answer_of_the_next_target(serve: Serve) -> None:
    cascade = cascade_of(serve(BrokenStream("cut", "Once upon")), serve(Reply("The end.")))
    stream = cascade.sync.get_response_stream("Hello")
    assert (stream.usage, stream.cost, stream.finish_reason) == (None, None, None)
    response = stream.collect()
    assert response.content == "The end."
    assert (stream.usage, stream.cost) == (response.usage, response.cost)


def test_a_stream_is_read_once(serve: Serve) -> None:
    stream = cascade_of(serve(Reply("Hi."))).sync.get_response_stream("Hello")
    assert [*stream] == ["Hi."]
    for read_again in (stream.collect, stream.events, lambda: [*stream]):
        with pytest.raises(RuntimeError, match="read once"):
            read_again()


def begin(cascade: LLMCascade, way: str) -> list[Any]:
    """Open a stream, and return all that holds it."""
    if way == "chunks":
        chunks = cascade.sync.completion(MESSAGES, stream=True)
        return [chunks, chunks]
    stream = cascade.sync.get_response_stream("Hello")
    return [stream, stream.events() if way == "events" else iter(stream)]


HALF = BrokenStream("stall", "one two")


@pytest.mark.parametrize("way", ["texts", "events", "chunks"])
@pytest.mark.parametrize("read", [0, 1])
async def test_a_stream_that_is_closed_is_closed_on_the_wire(
    serve: Serve, way: str, read: int
) -> None:
    provider = serve(HALF)
    stream, pieces = begin(cascade_of(provider), way)
    for _ in range(read):
        next(pieces)
    await until(lambda: provider.silent)
    stream.close()
    await until(lambda: not provider.pending)


@pytest.mark.parametrize("way", ["texts", "events", "chunks"])
@pytest.mark.parametrize("read", [0, 1])
async def test_a_stream_that_nobody_holds_is_closed_on_the_wire(
    serve: Serve, way: str, read: int
) -> None:
    provider = serve(HALF)
    held = begin(cascade_of(provider), way)
    for _ in range(read):
        next(held[1])
    await until(lambda: provider.silent)
    held.clear()
    await until(lambda: not provider.pending)


async def test_the_end_of_a_with_block_closes_the_wire(serve: Serve) -> None:
    provider = serve(HALF)
    with cascade_of(provider).sync.get_response_stream("Hello") as stream:
        assert next(iter(stream)) == "one"
    await until(lambda: not provider.pending)
    assert [attempt.outcome for attempt in stream.attempts] == ["cancelled"]


async def test_a_loop_that_is_left_closes_the_wire(serve: Serve) -> None:
    provider = serve(HALF)
    for _ in cascade_of(provider).sync.get_response_stream("Hello"):
        break
    await until(lambda: not provider.pending)


async def test_another_thread_may_close_a_stream_that_is_silent(serve: Serve) -> None:
    provider = serve(HALF)
    stream = cascade_of(provider).sync.get_response_stream("Hello")
    with ThreadPoolExecutor(1) as pool:
        texts = pool.submit(list, stream)
        await until(lambda: provider.silent)
        stream.close()
        assert isinstance(texts.exception(), Exception)
    await until(lambda: not provider.pending)


# Threads, loops and contexts.


async def test_it_works_where_an_event_loop_is_running(serve: Serve) -> None:
    cascade = cascade_of(serve(Reply("Hi.")))
    assert cascade.sync.get_response("Hello").content == "Hi."
    assert (await cascade.get_response("Hello")).content == "Hi."
    assert cascade.sync.get_response("Hello").content == "Hi."


async def test_fifty_threads_ask_at_once(serve: Serve) -> None:
    gate = Gate(Reply("Hi."))
    provider = serve(gate)
    cascade = cascade_of(provider)
    with ThreadPoolExecutor(50) as pool:
        calls = [pool.submit(cascade.sync.get_response, "Hello") for _ in range(50)]
        await until(lambda: provider.pending == 50)
        gate.give()
        assert {call.result().content for call in calls} == {"Hi."}


def test_connections_are_used_again(serve: Serve) -> None:
    provider = serve(Reply("one two"))
    cascade = cascade_of(provider)
    for _ in range(5):
        cascade.sync.get_response("Hello")
        "".join(cascade.sync.get_response_stream("Hello"))
    assert provider.connections == 1


def test_all_threads_share_one_thread_for_their_calls(serve: Serve) -> None:
    seen: list[int] = []
    cascade = LLMCascade(
        [serve().target()], on_attempt=lambda _: seen.append(threading.get_ident())
    )
    with ThreadPoolExecutor(5) as pool:
        list(pool.map(cascade.sync.get_response, ["Hello"] * 10))
    assert len(seen) == 10
    assert len({*seen, threading.get_ident()}) == 2


def test_litellms_callbacks_hear_of_every_call(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    heard = threading.Semaphore(0)

    class Listener(CustomLogger):  # type: ignore[misc]
        async def async_log_success_event(self, *_: Any, **__: Any) -> None:
            heard.release()

    monkeypatch.setattr(litellm, "callbacks", [Listener()])
    cascade = LLMCascade([serve().target()])
    for _ in range(5):
        cascade.sync.get_response("Hello")
    assert all(heard.acquire(timeout=30) for _ in range(5))


NAME: ContextVar[str] = ContextVar("NAME", default="nobody")


def test_the_callers_context_variables_are_seen_in_the_call(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[str] = []
    original = litellm.acompletion

    async def acompletion(**sent: Any) -> Any:
        seen.append(NAME.get())
        return await original(**sent)

    monkeypatch.setattr(litellm, "acompletion", acompletion)
    cascade = cascade_of(serve(Reply("Hi.")))

    def ask(name: str) -> None:
        NAME.set(name)
        cascade.sync.get_response("Hello")
        assert [*cascade.sync.get_response_stream("Hello")] == ["Hi."]

    for name in ("Ann", "Bob"):
        thread = threading.Thread(target=ask, args=[name])
        thread.start()
        thread.join()
    assert seen == ["Ann", "Ann", "Bob", "Bob"]


# Processes. Each program asks the provider whose address it is given.

BEGIN = """
import os, sys
from majordomo_cascade import LLMCascade, ProviderError, RetryPolicy, Target

target = Target("openai", "gpt-4.1", api_key="a-key", api_base=sys.argv[1])
cascade = LLMCascade([target], retry=RetryPolicy(attempts=1))


def ask(_=None):
    return cascade.sync.get_response("Hello").content
"""
#: Whatever is left open, or never awaited, is printed.
STRICT = ("-W", "error::ResourceWarning", "-W", "error::RuntimeWarning")


@pytest.fixture
def start(tmp_path: Any) -> Iterator[Callable[[FakeProvider, str], subprocess.Popen[str]]]:
    """Start programs; those that still run after the test are killed."""
    programs: list[subprocess.Popen[str]] = []

    def start(provider: FakeProvider, code: str) -> subprocess.Popen[str]:
        file = tmp_path / "program.py"
        file.write_text(BEGIN + code)
        program = subprocess.Popen(
            [sys.executable, *STRICT, file, f"{provider.url}/v1"],
            env={**os.environ, "LITELLM_LOG": "ERROR"},  # it warns when its loop changes
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        programs.append(program)
        return program

    yield start
    for program in programs:
        program.kill()
        program.communicate()


Start = Callable[[FakeProvider, str], "subprocess.Popen[str]"]

ENDS = {
    "an answer": "print(ask())",
    "a whole stream": 'print(*cascade.sync.get_response_stream("Hello"), sep="")',
    "half a stream": """
stream = cascade.sync.get_response_stream("Hello")
texts = iter(stream)
print(next(texts))
""",
    "half a stream of chunks": """
chunks = cascade.sync.completion([{"role": "user", "content": "Hello"}], stream=True)
next(chunks)
print("onetwo")
""",
    "half a batch": """
import asyncio
import os


async def prompts():
    yield "Hello"
    await asyncio.Event().wait()


items = cascade.sync.batch(prompts())
print(next(items).response.content)
""",
    "an error": """
try:
    nobody = Target("openai", "gpt-4.1", api_key="a-key", api_base="http://127.0.0.1:9")
    LLMCascade([nobody]).sync.get_response("Hello")
except ProviderError:
    print("onetwo")
""",
    "a thread that still waits": """
import threading
threading.Thread(target=ask, daemon=True).start()
print(ask())
""",
}


@pytest.mark.parametrize("code", ENDS.values(), ids=ENDS)
def test_nothing_else_is_printed_when_a_program_ends(serve: Serve, start: Start, code: str) -> None:
    program = start(serve(Reply("onetwo")), code)
    assert program.communicate() == ("onetwo\n", "")
    assert program.returncode == 0


async def test_ctrl_c_ends_the_request_on_the_wire_and_is_raised(
    serve: Serve, start: Start
) -> None:
    provider = serve(Hang(), Reply("later"))
    provider.on_silence = lambda: program.send_signal(SIGINT)
    program = start(
        provider,
        """
try:
    ask()
except KeyboardInterrupt:
    print("interrupted", flush=True)
sys.stdin.readline()
print(ask())
""",
    )
    assert program.stdout is not None
    assert program.stdout.readline() == "interrupted\n"
    await until(lambda: not provider.pending)
    assert program.communicate("\n") == ("later\n", "")


async def test_ctrl_c_ends_a_batch_on_the_wire_and_is_raised(serve: Serve, start: Start) -> None:
    provider = serve(Reply("first"), Hang())
    provider.on_silence = lambda: program.send_signal(SIGINT)
    program = start(
        provider,
        """
try:
    for item in cascade.sync.batch(["a", "b"], concurrency=1):
        print(item.response.content, flush=True)
except KeyboardInterrupt:
    print("interrupted", flush=True)
sys.stdin.readline()
""",
    )
    assert program.stdout is not None
    assert program.stdout.readline() == "first\n"
    assert program.stdout.readline() == "interrupted\n"
    await until(lambda: not provider.pending)
    assert program.communicate("\n") == ("", "")


def test_a_fork_leaves_parent_and_child_able_to_ask(serve: Serve, start: Start) -> None:
    program = start(
        serve(Reply("one two three")),
        """
print(ask(), flush=True)
texts = iter(cascade.sync.get_response_stream("Hello"))
print(next(texts), flush=True)
child = os.fork()
if child:
    os.waitpid(child, 0)
    print("parent", ask(), *texts)
else:
    print("child", ask(), ask())
""",
    )
    told = "one two three\none\nchild one two three one two three\n"
    assert program.communicate() == (told + "parent one two three  two  three\n", "")


def test_a_fork_in_the_middle_of_an_import_leaves_the_child_able_to_import(
    serve: Serve, start: Start, tmp_path: Path
) -> None:
    (tmp_path / "slow.py").write_text("import builtins\nbuiltins.begun.set()\nsum(range(10**7))\n")
    program = start(
        serve(Reply("fine")),
        """
import builtins, signal, threading

builtins.begun = threading.Event()


def load(_):
    import slow


cascade = cascade.with_options(on_attempt=load)  # on the loop, as LiteLLM imports there
thread = threading.Thread(target=lambda: print(ask(), flush=True))
thread.start()
builtins.begun.wait()
child = os.fork()
if child:
    thread.join()
    print(os.waitpid(child, 0)[1])
else:
    signal.alarm(30)
    import slow
    print("imported", flush=True)
    os._exit(0)
""",
    )
    out, err = program.communicate()
    assert err == ""
    assert sorted(out.split()) == ["0", "fine", "imported"]


def test_the_workers_of_a_pool_of_processes_can_ask(serve: Serve, start: Start) -> None:
    program = start(
        serve(Reply("fine")),
        """
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

print(ask())
with ProcessPoolExecutor(2, mp_context=get_context("fork")) as pool:
    print(*(response.content for response in pool.map(cascade.sync.get_response, "abcd")))
print(ask())
""",
    )
    assert program.communicate() == ("fine\nfine fine fine fine\nfine\n", "")
