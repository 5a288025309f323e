"""Check, drill and ask a cascade from the command line."""

from __future__ import annotations

import contextlib
import json
import os
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Sequence
from itertools import count
from typing import Any

from .cascade import LLMCascade
from .drill import WAYS, DrillRow
from .errors import ConfigurationError, MajordomoError
from .responses import LLMResponse

GREEN, RED, PLAIN = "\033[32m", "\033[31m", "\033[0m"
ERASE_LINE = "\r\033[K"

EPILOG = """exit status: 0 if all is well, 1 if the report is not ok or the question failed, 2 if
the cascade can't be built or the arguments are wrong"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command, and return its exit status."""
    options = _parser().parse_args(arguments)
    try:
        with contextlib.redirect_stdout(sys.stderr):  # LiteLLM prints
            given = {"providers": options.providers.split(",")} if options.providers else {}
            cascade = LLMCascade.from_env(options.env, **given)
            is_ok, told = options.run(cascade, options)
    except ConfigurationError as error:
        print(f"majordomo-cascade: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130  # as shells have it
    try:
        if told:
            print(json.dumps(told, indent=2) if options.json else told, flush=True)
    except BrokenPipeError:  # such as that of `head`; nothing more is to be written at the exit
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 0 if is_ok else 1


def _parser() -> ArgumentParser:
    shared = ArgumentParser(add_help=False)
    shared.add_argument("--env", default=".env", metavar="FILE", help="its settings and keys")
    shared.add_argument("--providers", metavar="a/b,c/d", help="instead of MAJORDOMO_PROVIDERS")
    shared.add_argument("--json", action="store_true", help="print JSON")
    parser = ArgumentParser("majordomo-cascade", epilog=EPILOG, description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="command")

    def add(name: str, run: Callable[..., Any], told: str) -> ArgumentParser:
        command = commands.add_parser(name, parents=[shared], help=told, description=told)
        command.set_defaults(run=run)
        return command

    add("check", _check, "check keys, models and their order; nothing is sent")
    add("drill", _drill, "ask every target itself for text, JSON and a stream")
    ask = add("ask", _ask, "print the answer, and the attempts on stderr")
    ask.add_argument("prompt", help="the question; - reads it from stdin")
    return parser


def _check(cascade: LLMCascade, options: Namespace) -> tuple[bool, Any]:
    return _told(cascade.sync.check(), options)


def _drill(cascade: LLMCascade, options: Namespace) -> tuple[bool, Any]:
    total = len(cascade.targets) * len(WAYS)
    numbers = count(1)

    def show(row: DrillRow) -> None:
        sys.stderr.write(f"{ERASE_LINE}{next(numbers)}/{total} {row.target} {row.way}")
        sys.stderr.flush()

    if not sys.stderr.isatty():
        return _told(cascade.sync.drill(), options)
    report = cascade.sync.drill(on_row=show)
    sys.stderr.write(ERASE_LINE)
    return _told(report, options)


def _told(report: Any, options: Namespace) -> tuple[bool, Any]:
    """Return whether a report is ok, and what is printed of it."""
    if options.json:
        return report.ok, report.to_dict()
    verdict, colour = ("ok", GREEN) if report.ok else ("not ok", RED)
    stdout = sys.__stdout__
    if stdout and stdout.isatty() and not os.environ.get("NO_COLOR"):
        verdict = f"{colour}{verdict}{PLAIN}"
    return report.ok, f"{report}\n{verdict}"


def _ask(cascade: LLMCascade, options: Namespace) -> tuple[bool, Any]:
    prompt = sys.stdin.read() if options.prompt == "-" else options.prompt
    error = None
    response: LLMResponse[Any]
    try:
        response = cascade.sync.get_response(prompt)
    except MajordomoError as raised:
        response = LLMResponse(content="", attempts=raised.attempts)
        error = {"type": type(raised).__name__, "message": str(raised)}
    for attempt in response.attempts:
        print(attempt, file=sys.stderr)
    if error:
        print(f"{error['type']}: {error['message']}", file=sys.stderr)
    told = {**response.to_dict(), "error": error} if options.json else response.content
    return error is None, told


if __name__ == "__main__":
    sys.exit(main())
