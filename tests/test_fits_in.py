"""It fits into applications that already use LiteLLM, into notebooks, and into any event loop."""

from __future__ import annotations

import asyncio
import copy
import pickle
import subprocess
import sys
import threading
import unittest.mock
from pathlib import Path
from typing import Any

import litellm
import pytest
from conftest import WIRES, Serve
from litellm.integrations.custom_logger import CustomLogger

import majordomo_cascade
from majordomo_cascade import (
    Attempt,
    AuthenticationError,
    LLMCascade,
    MajordomoError,
    ProviderError,
    RateLimitError,
    ResponseValidationError,
    RetryPolicy,
    Target,
    Usage,
)
from majordomo_cascade.testing import Garbage, Reply, Reset, Status, rehearse

ONCE = RetryPolicy(attempts=1)


def run(program: str) -> str:
    """What a program prints in an interpreter of its own."""
    root = Path(majordomo_cascade.__file__).parent.parent
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=root, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_importing_the_package_does_not_import_litellm_nor_read_a_file() -> None:
    assert run("import sys, majordomo_cascade; print('litellm' in sys.modules, 'dotenv' in sys.modules)") == (
        "False False\n"
    )


def test_building_a_cascade_does() -> None:
    program = "import sys; from majordomo_cascade import LLMCascade; LLMCascade(['openai/gpt-4.1'])"
    assert run(program + "; print('litellm' in sys.modules)") == "True\n"


@pytest.mark.parametrize(
    ("first", "silenced"), [("", "True"), ("import litellm; ", "False"), ("import sys, litellm; ", "False")]
)
def test_litellms_printing_is_turned_off_only_where_ours_is_its_first_import(first: str, silenced: str) -> None:
    program = f"{first}from majordomo_cascade import LLMCascade; LLMCascade(['openai/gpt-4.1'])"
    assert run(program + "; import litellm; print(litellm.suppress_debug_info)") == f"{silenced}\n"


def test_a_failover_prints_nothing_on_stdout() -> None:
    program = """
import asyncio
from majordomo_cascade import LLMCascade, RetryPolicy
from majordomo_cascade.testing import Status, rehearse
async def main():
    cascade = LLMCascade(["anthropic/claude-sonnet-4-5", "openai/gpt-4.1"])
    with rehearse(cascade, Status(500)) as rehearsal:
        await rehearsal.cascade.get_response("Hello")
asyncio.run(main())
"""
    assert run(program) == ""


def globals_of_litellm() -> dict[str, Any]:
    """Every setting of LiteLLM: plain values as they are, containers as copies."""
    plain = (bool, int, float, str, type(None), list, dict, set, tuple)
    return {
        name: copy.copy(value)
        for name, value in vars(litellm).items()
        if isinstance(value, plain) and not name.startswith("__")
    }


@pytest.mark.litellm_fact("a call changes no global but _current_cost and error_logs", topic="import")
async def test_no_global_of_litellm_is_changed_by_building_or_calling(serve: Serve) -> None:
    for wire in WIRES:  # what LiteLLM itself loads and counts at a first call
        await litellm.acompletion(
            model=f"{wire[0]}/{wire[1]}", messages=[{"role": "user", "content": "x"}], mock_response="x"
        )
    before = globals_of_litellm()
    broken = [serve(Status(500), Reset(), Garbage(), Reply("{}")).target(*wire) for wire in WIRES]
    cascade = LLMCascade(broken, retry=RetryPolicy(attempts=5, base=0))
    await cascade.get_json_response("Hello")
    await cascade.acompletion([{"role": "user", "content": "x"}], mock_response="x")
    after = globals_of_litellm()
    changed = {name for name, value in after.items() if name not in before or before[name] != value}
    assert changed <= {"_current_cost", "error_logs"}  # LiteLLM's own book-keeping


async def test_a_patched_acompletion_is_honoured(monkeypatch: pytest.MonkeyPatch) -> None:
    cascade = LLMCascade(["openai/gpt-4.1"])

    async def patched(**sent: Any) -> Any:
        return litellm.ModelResponse(choices=[{"message": {"role": "assistant", "content": sent["model"]}}])

    monkeypatch.setattr(litellm, "acompletion", patched)
    assert (await cascade.get_response("Hello")).content == "openai/gpt-4.1"


async def test_a_patch_may_answer_with_a_mock(monkeypatch: pytest.MonkeyPatch) -> None:
    answer = unittest.mock.MagicMock()
    answer.choices[0].message.content = "from a mock"
    answer.choices = [answer.choices[0]]
    monkeypatch.setattr(litellm, "acompletion", unittest.mock.AsyncMock(return_value=answer))
    response = await LLMCascade(["openai/gpt-4.1"]).get_response("Hello")
    assert (response.content, response.usage, response.cost) == ("from a mock", Usage(), None)
    assert response.finish_reason is None


async def test_the_hosts_callbacks_see_every_call(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[str] = []

    class Observer(CustomLogger):  # type: ignore[misc] # LiteLLM's types are not read
        def log_pre_api_call(self, model: str, messages: Any, kwargs: Any) -> None:
            seen.append(model)

    monkeypatch.setattr(litellm, "callbacks", [Observer()])
    await LLMCascade([serve().target()]).get_response("Hello")
    assert seen == ["gpt-4.1"]


async def test_litellms_mocks_work_as_they_do_without_us() -> None:
    cascade = LLMCascade(["openai/gpt-4.1", "anthropic/claude-sonnet-4-5"], retry=ONCE)
    assert (await cascade.get_response("Hello", mock_response="mocked")).content == "mocked"
    with pytest.raises(RateLimitError) as caught:
        await cascade.get_response("Hello", mock_response="litellm.RateLimitError")
    assert [attempt.provider for attempt in caught.value.attempts] == ["openai", "anthropic"]


@pytest.mark.parametrize("wire", WIRES)
def test_it_works_over_repeated_event_loops(serve: Serve, wire: tuple[str, str]) -> None:
    server = serve(Status(500), Reply("again"))
    cascade = LLMCascade([server.target(*wire)], retry=RetryPolicy(base=0))
    for _ in range(3):
        assert asyncio.run(cascade.get_response("Hello")).content == "again"


def test_it_works_in_several_threads_each_with_a_loop_of_its_own(serve: Serve) -> None:
    cascade = LLMCascade([serve(Reply("here")).target()])
    answers: list[str] = []

    def ask() -> None:
        answers.append(asyncio.run(cascade.get_response("Hello")).content)

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == ["here"] * 4


async def test_many_tasks_share_a_cascade(serve: Serve) -> None:
    first, second = serve(Status(500)), serve(Reply("here"))
    cascade = LLMCascade([first.target(), second.target(*WIRES[1])], retry=ONCE)
    responses = await asyncio.gather(*(cascade.get_response(f"Question {n}") for n in range(50)))
    assert {response.content for response in responses} == {"here"}
    assert all(len(response.attempts) == 2 for response in responses)
    assert (len(first.requests), len(second.requests)) == (50, 50)


def module_level(attempt: Attempt) -> None:
    """A callback that pickles."""


def test_a_cascade_pickles_with_its_configuration() -> None:
    cascade = LLMCascade(
        [Target("openai", "gpt-4.1", api_key="a-key-in-clear", params={"seed": 1}), "gemini/gemini-2.5-flash"],
        retry=RetryPolicy(attempts=5),
        timeout=7,
        deadline=9,
        failover_on=(RateLimitError,),
        on_attempt=module_level,
        top_p=0.5,
    )
    twin = pickle.loads(pickle.dumps(cascade))
    assert repr(twin) == repr(cascade)
    assert twin.targets == cascade.targets
    assert twin._config == cascade._config
    assert twin.targets[0].api_key.get_secret_value() == "a-key-in-clear"


async def test_a_pickled_cascade_works(serve: Serve) -> None:
    server = serve(Status(500), Reply("from a twin"))
    twin = pickle.loads(pickle.dumps(LLMCascade([server.target()], retry=RetryPolicy(base=0))))
    assert (await twin.get_response("Hello")).content == "from a twin"


@pytest.mark.parametrize(
    ("options", "name"),
    [
        ({"on_attempt": lambda _: None}, "on_attempt"),
        ({"failover_on": lambda _: True}, "failover_on"),
        ({"client": threading.Lock()}, "client"),
    ],
)
def test_what_does_not_pickle_is_named(options: dict[str, Any], name: str) -> None:
    with pytest.raises(
        pickle.PicklingError,
        match=rf"^this LLMCascade can't be pickled because of its {name} \({type(options[name]).__name__}\): use a ",
    ):
        pickle.dumps(LLMCascade(["openai/gpt-4.1"], **options))


async def test_errors_pickle_with_their_attempts() -> None:
    cascade = LLMCascade(WIRES, retry=ONCE, failover_on=Exception)
    with rehearse(cascade, Status(500, retry_after=1), Reset(), Reply('"x"')) as rehearsal:
        with pytest.raises(ResponseValidationError) as caught:
            await rehearsal.cascade.get_structured_json_response(int, "Hello")
    error = caught.value
    for protocol in range(2, pickle.HIGHEST_PROTOCOL + 1):
        twin = pickle.loads(pickle.dumps(error, protocol))
        assert (type(twin), str(twin), twin.__notes__) == (type(error), str(error), error.__notes__)
        assert (twin.errors, twin.raw_content, twin.provider) == (error.errors, '"x"', "gemini")
        assert twin.attempts[-1].error is twin
        first = twin.attempts[0].error
        assert (first.status_code, first.retry_after, first.original_error) == (500, 1.0, None)
        assert [dict_of(a) for a in twin.attempts] == [dict_of(a) for a in error.attempts]


def dict_of(attempt: Attempt) -> dict[str, Any]:
    """An attempt, comparable after a pickle."""
    return {name: getattr(attempt, name) for name in Attempt.__dataclass_fields__ if name != "error"}


def every_error(kind: type[MajordomoError] = MajordomoError) -> list[type[MajordomoError]]:
    """The whole tree."""
    return [kind, *(found for child in kind.__subclasses__() for found in every_error(child))]


@pytest.mark.parametrize("kind", every_error())
def test_every_error_can_be_made_by_hand_copied_and_pickled(kind: type[MajordomoError]) -> None:
    fields: dict[str, Any] = {"provider": "openai", "model": "gpt-4.1"} if "provider" in kind("x").__dict__ else {}
    if issubclass(kind, ProviderError):
        fields |= {"status_code": 418, "retry_after": 2.0, "request_id": "r"}
    error = kind("some words", **fields)
    error.attempts = (Attempt("openai", "gpt-4.1", 1, "failed", error, 0.0, 0.5, 0.0, None, None),)
    for twin in (copy.copy(error), copy.deepcopy(error), pickle.loads(pickle.dumps(error))):
        assert (type(twin), str(twin)) == (kind, "some words")
        assert {name: getattr(twin, name) for name in fields} == fields
        assert [str(attempt) for attempt in twin.attempts] == [str(attempt) for attempt in error.attempts]


def test_a_response_pickles() -> None:
    response = asyncio.run(LLMCascade(["openai/gpt-4.1"]).get_response("Hello", mock_response="x"))
    twin = pickle.loads(pickle.dumps(response))
    assert (twin.content, twin.attempts, twin.usage) == (response.content, response.attempts, response.usage)


async def test_a_missing_key_of_the_first_does_not_stop_the_second_in_a_mixed_call() -> None:
    cascade = LLMCascade(WIRES)
    with pytest.raises(AuthenticationError) as caught:
        await cascade.get_response("Hello")
    assert [attempt.provider for attempt in caught.value.attempts] == ["openai", "anthropic", "gemini"]


def test_a_first_call_imports_next_to_nothing() -> None:
    program = """
import asyncio, sys
from majordomo_cascade import LLMCascade
from majordomo_cascade.testing import rehearse
async def main():
    with rehearse(LLMCascade(["openai/gpt-4.1", "anthropic/claude-sonnet-4-5"])) as rehearsal:
        before = set(sys.modules)
        await rehearsal.cascade.get_response("Hello")
        print(len(sys.modules.keys() - before))
asyncio.run(main())
"""
    assert int(run(program)) < 40  # LiteLLM by itself: 470
