"""The package inside other programs: LiteLLM applications, notebooks, any event loop, pickles."""

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
    LLMResponse,
    MajordomoError,
    ProviderError,
    RateLimitError,
    ResponseRejectedError,
    ResponseValidationError,
    RetryPolicy,
    Target,
    Usage,
)
from majordomo_cascade.testing import Garbage, Reply, Reset, Status, simulate

ONCE = RetryPolicy(attempts=1)


def run(program: str) -> str:
    """Return what a program prints in an interpreter of its own."""
    root = Path(majordomo_cascade.__file__).parent.parent
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, capture_output=True, text=True, cwd=root, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


CASCADE = "from majordomo_cascade import LLMCascade; LLMCascade(['openai/gpt-4.1'])"


def test_importing_the_package_imports_neither_litellm_nor_dotenv() -> None:
    program = "import sys, majordomo_cascade; print({'litellm', 'dotenv'} & set(sys.modules))"
    assert run(program) == "set()\n"


def test_building_a_cascade_imports_litellm() -> None:
    assert run(f"import sys; {CASCADE}; print('litellm' in sys.modules)") == "True\n"


@pytest.mark.parametrize(("first", "silenced"), [("pass", "True"), ("import litellm", "False")])
def test_litellms_printing_is_turned_off_only_if_the_host_has_not_imported_it(
    first: str, silenced: str
) -> None:
    program = f"{first}; {CASCADE}; import litellm; print(litellm.suppress_debug_info)"
    assert run(program) == f"{silenced}\n"


def test_a_failover_prints_nothing_on_stdout() -> None:
    program = """
import asyncio
from majordomo_cascade import LLMCascade, RetryPolicy
from majordomo_cascade.testing import Status, simulate
async def main():
    cascade = LLMCascade(["anthropic/claude-sonnet-4-5", "openai/gpt-4.1"])
    with simulate(cascade, Status(500)) as simulation:
        await simulation.cascade.get_response("Hello")
asyncio.run(main())
"""
    assert run(program) == ""


def globals_of_litellm() -> dict[str, Any]:
    """Return every setting of LiteLLM: plain values as they are, containers as copies."""
    plain = (bool, int, float, str, type(None), list, dict, set, tuple)
    return {
        name: copy.copy(value)
        for name, value in vars(litellm).items()
        if isinstance(value, plain) and not name.startswith("__")
    }


@pytest.mark.litellm_fact(
    "a call changes no global but _current_cost and error_logs", topic="import"
)
async def test_no_global_of_litellm_is_changed_by_building_or_calling(serve: Serve) -> None:
    messages = [{"role": "user", "content": "x"}]
    for wire in WIRES:  # LiteLLM loads and counts by itself at a first call
        await litellm.acompletion(model="/".join(wire), messages=messages, mock_response="x")
    before = globals_of_litellm()
    broken = [serve(Status(500), Reset(), Garbage(), Reply("{}")).target(*wire) for wire in WIRES]
    cascade = LLMCascade(broken, retry=RetryPolicy(attempts=5, base=0))
    await cascade.get_json_response("Hello")
    await cascade.acompletion(messages, mock_response="x")
    after = globals_of_litellm()
    changed = {name for name in after if name not in before or before[name] != after[name]}
    assert changed <= {"_current_cost", "error_logs"}  # LiteLLM's own book-keeping


async def test_a_patched_acompletion_is_honoured(monkeypatch: pytest.MonkeyPatch) -> None:
    cascade = LLMCascade(["openai/gpt-4.1"])

    async def patched(**sent: Any) -> Any:
        message = {"role": "assistant", "content": sent["model"]}
        return litellm.ModelResponse(choices=[{"message": message}])

    monkeypatch.setattr(litellm, "acompletion", patched)
    assert (await cascade.get_response("Hello")).content == "openai/gpt-4.1"


async def test_a_patch_may_answer_with_a_mock(monkeypatch: pytest.MonkeyPatch) -> None:
    answer = unittest.mock.MagicMock()
    answer.choices[0].message.content = "from a mock"
    answer.choices = [answer.choices[0]]
    patched = unittest.mock.AsyncMock(return_value=answer)
    monkeypatch.setattr(litellm, "acompletion", patched)
    response = await LLMCascade(["openai/gpt-4.1"]).get_response("Hello")
    assert (response.content, response.usage, response.cost) == ("from a mock", Usage(), None)
    assert (response.finish_reason, response.tool_calls) == (None, ())


async def test_the_hosts_callbacks_see_every_call(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
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
    """Take an attempt; it pickles."""


def accept_all(response: LLMResponse[Any]) -> bool:
    """Say yes to every answer; it pickles."""
    return True


def test_a_cascade_pickles_with_its_configuration() -> None:
    target = Target(
        "openai", "gpt-4.1", api_key="a-key-in-clear", params={"seed": 1}, overrides={"n": None}
    )
    cascade = LLMCascade(
        [target, "gemini/gemini-2.5-flash"],
        retry=RetryPolicy(attempts=5),
        timeout=7,
        deadline=9,
        failover_on=(RateLimitError,),
        accept=accept_all,
        on_attempt=module_level,
        top_p=0.5,
    ).with_options(deadline=8)
    twin = pickle.loads(pickle.dumps(cascade))
    assert repr(twin) == repr(cascade)
    assert twin.targets == cascade.targets
    assert twin._config == cascade._config
    assert twin._config["deadline"] == 8
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
        ({"accept": lambda _: True}, "accept"),
        ({"client": threading.Lock()}, "client"),
    ],
)
def test_an_option_that_does_not_pickle_is_named(options: dict[str, Any], name: str) -> None:
    because = rf"its {name} \({type(options[name]).__name__}\): use a "
    complaint = f"^this LLMCascade can't be pickled because of {because}"
    with pytest.raises(pickle.PicklingError, match=complaint):
        pickle.dumps(LLMCascade(["openai/gpt-4.1"], **options))


async def test_errors_pickle_with_their_attempts() -> None:
    cascade = LLMCascade(WIRES, retry=ONCE, failover_on=Exception)
    with simulate(cascade, Status(500, retry_after=1), Reset(), Reply('"x"')) as simulation:
        with pytest.raises(ResponseValidationError) as caught:
            await simulation.cascade.get_structured_json_response(int, "Hello")
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
    """Return an attempt in a form that can be compared after a pickle."""
    names = [name for name in Attempt.__dataclass_fields__ if name != "error"]
    return {name: getattr(attempt, name) for name in names}


def every_error(kind: type[MajordomoError] = MajordomoError) -> list[type[MajordomoError]]:
    """Return the whole tree."""
    return [kind, *(found for child in kind.__subclasses__() for found in every_error(child))]


@pytest.mark.parametrize("kind", every_error())
def test_every_error_can_be_made_by_hand_copied_and_pickled(kind: type[MajordomoError]) -> None:
    fields: dict[str, Any] = {}
    if "provider" in vars(kind("x")):
        fields = {"provider": "openai", "model": "gpt-4.1"}
    if issubclass(kind, ProviderError):
        fields |= {"status_code": 418, "retry_after": 2.0, "request_id": "r"}
    error = kind("some words", **fields)
    attempt = Attempt("openai", "gpt-4.1", 1, "failed", error, 0.0, 0.5, 0.0, None, None)
    error.attempts = (attempt,)
    for twin in (copy.copy(error), copy.deepcopy(error), pickle.loads(pickle.dumps(error))):
        assert (type(twin), str(twin)) == (kind, "some words")
        assert {name: getattr(twin, name) for name in fields} == fields
        assert [str(each) for each in twin.attempts] == [str(attempt)]


async def test_a_response_pickles() -> None:
    cascade = LLMCascade(["openai/gpt-4.1"])
    response = await cascade.get_response("Hello", mock_response="x")
    twin = pickle.loads(pickle.dumps(response))
    for name in ("content", "provider", "attempts", "usage", "cost", "tool_calls"):
        assert getattr(twin, name) == getattr(response, name)


async def test_a_refused_answer_pickles_with_its_error() -> None:
    cascade = LLMCascade(["openai/gpt-4.1"], accept=lambda response: False)
    with pytest.raises(ResponseRejectedError) as caught:
        await cascade.get_response("Hello", mock_response="no good")
    assert caught.value.response is not None
    twin = pickle.loads(pickle.dumps(caught.value))
    assert (twin.response.content, str(twin)) == ("no good", str(caught.value))


async def test_a_missing_key_moves_on_and_each_error_names_its_variable() -> None:
    cascade = LLMCascade(WIRES[:2])  # LiteLLM 1.83 asks Gemini without a key
    with pytest.raises(AuthenticationError) as caught:
        await cascade.get_response("Hello")
    attempts = caught.value.attempts
    assert [attempt.provider for attempt in attempts] == ["openai", "anthropic"]
    variables = ("OPENAI_API_KEY", "ANTHROPIC_API_KEY")
    for attempt, variable in zip(attempts, variables, strict=True):
        assert "no API key" in str(attempt.error)
        assert variable in str(attempt.error)


def test_a_first_call_imports_next_to_nothing() -> None:
    program = """
import asyncio, sys
from majordomo_cascade import LLMCascade
from majordomo_cascade.testing import simulate
async def main():
    with simulate(LLMCascade(["openai/gpt-4.1", "anthropic/claude-sonnet-4-5"])) as simulation:
        before = set(sys.modules)
        await simulation.cascade.get_response("Hello")
        print(len(sys.modules.keys() - before))
asyncio.run(main())
"""
    assert int(run(program)) < 40  # LiteLLM by itself: 470
