"""``majordomo-cascade``: check, drill and ask from the command line."""

from __future__ import annotations

import json
import logging
import os
import pty
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path
from signal import SIGINT
from subprocess import PIPE
from typing import Any

import litellm
import pytest
from conftest import Serve

from majordomo_cascade import CheckRow, DrillRow, LLMCascade, LLMResponse
from majordomo_cascade.__main__ import main
from majordomo_cascade.testing import Hang, Reply, Status

ROOT = Path(__file__).parent.parent
WELL = Reply('{"city": "Paris", "country": "France"}')
KEYS = {"OPENAI_API_KEY": "planted-openai-key", "ANTHROPIC_API_KEY": "planted-anthropic-key"}
OPENAI, ANTHROPIC = "openai/gpt-4.1", "anthropic/claude-sonnet-4-5"


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Run where no .env is, with two keys, and take back what a .env file sets."""
    monkeypatch.chdir(tmp_path)
    for name, key in KEYS.items():
        monkeypatch.setenv(name, key)
    before = set(os.environ)
    yield tmp_path
    for name in os.environ.keys() - before:
        del os.environ[name]


class Two:
    """The two vendors of a chain."""

    def __init__(self, serve: Serve) -> None:
        self.openai = serve(WELL)
        self.anthropic = serve(WELL)


@pytest.fixture
def vendors(serve: Serve, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> Two:
    """Let two vendors' addresses lead to fake providers."""
    caplog.set_level(logging.ERROR, "LiteLLM")  # it warns of the event loops of earlier tests
    two = Two(serve)
    monkeypatch.setenv("OPENAI_API_BASE", f"{two.openai.url}/v1")
    monkeypatch.setenv("ANTHROPIC_API_BASE", two.anthropic.url)
    monkeypatch.setenv("MAJORDOMO_PROVIDERS", f"{OPENAI},{ANTHROPIC}")
    monkeypatch.setenv("MAJORDOMO_RETRY_ATTEMPTS", "1")
    monkeypatch.setattr(litellm, "suppress_debug_info", True)  # as in the program
    return two


Printed = pytest.CaptureFixture[str]


def run(*arguments: str, **options: Any) -> subprocess.CompletedProcess[str]:
    """Run the command as a program."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), **options.pop("env", {})}
    command = [sys.executable, "-m", "majordomo_cascade", *arguments]
    return subprocess.run(
        command, capture_output=True, text=True, env=environment, check=False, **options
    )


# check


def test_check_prints_the_report_and_ends_well(capsys: Printed) -> None:
    assert main(["check", "--providers", f"{OPENAI}, {ANTHROPIC}"]) == 0
    printed = capsys.readouterr()
    report = LLMCascade([OPENAI, ANTHROPIC]).sync.check()
    assert printed.out == f"{report}\nok\n"
    assert printed.err == ""


def test_check_ends_with_1_if_a_key_is_missing(
    capsys: Printed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OPENAI_API_KEY")
    assert main(["check", "--providers", OPENAI]) == 1
    printed = capsys.readouterr()
    assert "- openai/gpt-4.1 has no API key: set OPENAI_API_KEY" in printed.out
    assert printed.out.endswith("\nnot ok\n")


def test_check_as_json(capsys: Printed) -> None:
    assert main(["check", "--json", "--providers", OPENAI]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told == LLMCascade([OPENAI]).sync.check().to_dict()
    assert list(told["rows"][0]) == list(CheckRow.__dataclass_fields__)


def test_check_needs_no_keys_and_no_network() -> None:
    done = run("check", "--providers", OPENAI, env=dict.fromkeys(KEYS, ""))
    assert done.returncode == 1
    assert "set OPENAI_API_KEY" in done.stdout
    assert done.stderr == ""


# Where the cascade comes from.


def test_a_cascade_comes_from_the_environment(capsys: Printed, vendors: Two) -> None:
    assert main(["check"]) == 0
    assert f"{ANTHROPIC}  found" in capsys.readouterr().out


def test_a_cascade_comes_from_a_file(
    capsys: Printed, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OPENAI_API_KEY")
    variables = f"MAJORDOMO_PROVIDERS={OPENAI}\nOPENAI_API_KEY=planted-file-key\n"
    (folder / "production.env").write_text(variables)
    assert main(["check", "--env", "production.env"]) == 0
    printed = capsys.readouterr()
    assert f"{OPENAI}  found" in printed.out
    assert "planted" not in printed.out + printed.err


def test_providers_beat_a_files_and_take_its_keys(
    capsys: Printed, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OPENAI_API_KEY")
    variables = f"MAJORDOMO_PROVIDERS={ANTHROPIC}\nOPENAI_API_KEY=planted-file-key\n"
    (folder / ".env").write_text(variables)
    assert main(["check", "--json", "--providers", OPENAI]) == 0
    [row] = json.loads(capsys.readouterr().out)["rows"]
    assert (row["target"], row["key"]) == (OPENAI, "found")


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["check"], "MAJORDOMO_PROVIDERS is not set"),
        (["check", "--env", "none.env"], "env_file 'none.env' does not exist"),
        (["ask", "--providers", "opnai/gpt-4.1", "?"], "did you mean 'openai'"),
    ],
)
def test_what_cannot_be_built_ends_with_2(
    capsys: Printed, arguments: list[str], complaint: str
) -> None:
    assert main(arguments) == 2
    printed = capsys.readouterr()
    assert printed.err.startswith("majordomo-cascade: ")
    assert complaint in printed.err
    assert printed.out == ""


@pytest.mark.parametrize("arguments", [[], ["repair"], ["ask"], ["drill", "--timeout"]])
def test_bad_usage_ends_with_2(capsys: Printed, arguments: list[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2
    assert "usage: majordomo-cascade" in capsys.readouterr().err


def test_the_help_tells_the_commands_and_the_exit_statuses(capsys: Printed) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--help"])
    assert ended.value.code == 0
    told = capsys.readouterr().out
    assert all(word in told for word in ("check", "drill", "ask", "exit status: 0"))


# drill


def test_drill_prints_the_report(capsys: Printed, vendors: Two) -> None:
    assert main(["drill"]) == 0
    printed = capsys.readouterr()
    assert printed.out.startswith("target ")
    assert printed.out.count("  yes  ") == 6
    assert printed.out.endswith("\nok\n")
    assert printed.err == ""
    assert len(vendors.openai.requests) == len(vendors.anthropic.requests) == 3


def test_drill_ends_with_1_if_a_fallback_is_dead(capsys: Printed, vendors: Two) -> None:
    vendors.anthropic.behaviours[:] = [Status(401, "invalid x-api-key planted-anthropic-key")]
    assert main(["drill", "--json"]) == 1
    printed = capsys.readouterr()
    told = json.loads(printed.out)
    assert [row["ok"] for row in told["rows"]] == [True] * 3 + [False] * 3
    assert told["rows"][3]["error"]["type"] == "AuthenticationError"
    assert list(told["rows"][0]) == list(DrillRow.__dataclass_fields__)
    assert "planted" not in printed.out + printed.err


# ask


def test_ask_prints_the_answer_and_the_trail_apart(capsys: Printed, vendors: Two) -> None:
    vendors.openai.behaviours[:] = [Status(503)]
    assert main(["ask", "Which city?"]) == 0
    printed = capsys.readouterr()
    assert printed.out == f"{WELL.text}\n"
    trail = printed.err.splitlines()
    assert trail[0].startswith(f"{OPENAI} #1: 503 ProviderUnavailableError after ")
    assert trail[1].startswith(f"{ANTHROPIC} #1: ok after ")
    assert vendors.openai.requests[0].json["messages"][0]["content"] == "Which city?"


def test_ask_ends_with_1_if_no_target_answers(capsys: Printed, vendors: Two) -> None:
    vendors.openai.behaviours[:] = [Status(401, "planted-openai-key is wrong")]
    vendors.anthropic.behaviours[:] = [Status(429)]
    assert main(["ask", "Which city?"]) == 1
    printed = capsys.readouterr()
    assert printed.out == ""
    assert f"{OPENAI} #1: 401 AuthenticationError" in printed.err
    assert "\nRateLimitError: all 2 targets failed: " in printed.err
    assert "planted" not in printed.err
    assert "Traceback" not in printed.err


def test_ask_as_json_has_the_same_keys_whatever_happens(capsys: Printed, vendors: Two) -> None:
    assert main(["ask", "--json", "Which city?"]) == 0
    answered = json.loads(capsys.readouterr().out)
    assert (answered["content"], answered["error"]) == (WELL.text, None)
    vendors.openai.behaviours[:] = vendors.anthropic.behaviours[:] = [Status(401)]
    assert main(["ask", "--json", "Which city?"]) == 1
    failed = json.loads(capsys.readouterr().out)
    assert failed["content"] == ""
    assert failed["error"]["type"] == "AuthenticationError"
    assert [attempt["outcome"] for attempt in failed["attempts"]] == ["failed"] * 2
    assert list(failed) == list(answered) == [*LLMResponse(content="").to_dict(), "error"]


def test_ask_reads_the_question_from_stdin(vendors: Two) -> None:
    done = run("ask", "-", input="Which city\nis it?")
    assert (done.returncode, done.stdout) == (0, f"{WELL.text}\n")
    question = vendors.openai.requests[0].json["messages"][0]["content"]
    assert question == "Which city\nis it?"


def test_an_empty_question_is_refused_without_a_traceback(capsys: Printed, vendors: Two) -> None:
    assert main(["ask", " "]) == 1
    assert capsys.readouterr().err.startswith("BadRequestError: ")


def test_litellms_printing_does_not_reach_stdout(
    capsys: Printed, vendors: Two, monkeypatch: pytest.MonkeyPatch
) -> None:
    acompletion = litellm.acompletion

    async def chatty(**sent: Any) -> Any:
        print("Give Feedback / Get Help")  # noqa: T201
        return await acompletion(**sent)

    monkeypatch.setattr(litellm, "acompletion", chatty)
    assert main(["ask", "--json", "Which city?"]) == 0
    printed = capsys.readouterr()
    assert json.loads(printed.out)["content"] == WELL.text
    assert "Give Feedback" in printed.err


# The program.


def test_ctrl_c_ends_the_program_quietly(vendors: Two) -> None:
    vendors.openai.behaviours[:] = [Hang()]
    vendors.openai.on_silence = lambda: program.send_signal(SIGINT)
    command = [sys.executable, "-m", "majordomo_cascade", "ask", "?"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(command, env=environment, stdout=PIPE, stderr=PIPE) as program:
        assert program.communicate() == (b"", b"")
    assert program.returncode == 130


def on_a_terminal(*arguments: str, **variables: str) -> tuple[int, str]:
    """Run the command on a terminal of its own. Return the exit status, and what it shows."""
    master, slave = pty.openpty()
    environment = {**os.environ, "PYTHONPATH": str(ROOT), **variables}
    command = [sys.executable, "-m", "majordomo_cascade", *arguments]
    with subprocess.Popen(command, env=environment, stdout=slave, stderr=slave) as program:
        os.close(slave)
        shown = b"".join(iter(lambda: _read(master), b""))
    os.close(master)
    return program.returncode, shown.decode()


def _read(terminal: int) -> bytes:
    try:
        return os.read(terminal, 4096)
    except OSError:  # so Linux says that the other end is closed
        return b""


def test_a_drill_on_a_terminal_shows_its_progress_and_colours(vendors: Two) -> None:
    status, shown = on_a_terminal("drill", "--providers", OPENAI)
    assert status == 0
    progress, _, report = shown.rpartition("\r\x1b[K")
    assert progress.split("\r\x1b[K") == [
        "",
        f"1/3 {OPENAI} text",
        f"2/3 {OPENAI} json",
        f"3/3 {OPENAI} stream",
    ]
    assert report.endswith("\x1b[32mok\x1b[0m\r\n")


def test_no_color_is_respected(vendors: Two) -> None:
    vendors.openai.behaviours[:] = [Status(401)]
    status, shown = on_a_terminal("drill", "--providers", OPENAI, NO_COLOR="1")
    assert status == 1
    assert f"3/3 {OPENAI} stream" in shown
    assert "\x1b[3" not in shown


def test_a_failure_is_red() -> None:
    status, shown = on_a_terminal("check", "--providers", OPENAI, OPENAI_API_KEY="")
    assert status == 1
    assert shown.endswith("\x1b[31mnot ok\x1b[0m\r\n")


def test_the_program_is_installed_by_its_name() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    module, _, name = project["scripts"]["majordomo-cascade"].partition(":")
    command: Callable[..., int] = getattr(import_module(module), name)
    assert command is main


def test_importing_the_package_does_not_import_the_program() -> None:
    program = "import sys, majordomo_cascade; print('majordomo_cascade.__main__' in sys.modules)"
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, env=environment, check=True
    )
    assert done.stdout == "False\n"


def test_a_reader_that_leaves_is_no_error(vendors: Two) -> None:
    line = f"{sys.executable} -m majordomo_cascade check --providers {OPENAI} --json | true"
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(line, shell=True, env=environment, capture_output=True, check=False)
    assert done.stderr == b""


def test_a_file_that_is_no_text_is_told(tmp_path: Path) -> None:
    (tmp_path / "bad.env").write_bytes(b"OPENAI_API_KEY=\xff\xfe")
    command = [sys.executable, "-m", "majordomo_cascade", "check", "--env", "bad.env"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert done.stderr == (
        "majordomo-cascade: env_file 'bad.env' can't be read: UnicodeDecodeError\n"
    )
