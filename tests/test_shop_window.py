"""What a newcomer sees: the names, the tree, the README, the examples; and that the rooms stay in order."""

from __future__ import annotations

import ast
import asyncio
import contextlib
import inspect
import io
import re
import subprocess
import sys
from importlib import metadata
from pathlib import Path
from typing import Any

import litellm
import nbclient
import nbformat
import pytest
from conftest import Serve
from traitlets.config import Config

import majordomo_cascade
from majordomo_cascade import errors
from majordomo_cascade.testing import Reply, Status

ROOT = Path(__file__).parent.parent
PACKAGE = Path(majordomo_cascade.__file__).parent
README = (ROOT / "README.md").read_text()
EXAMPLES = sorted((ROOT / "examples").glob("*.py"))
TEST_EXAMPLE = ROOT / "examples" / "unit_test_with_mocks.py"

#: Who may import whom: each room only those named before it.
ROOMS = (
    "errors", "settings", "responses", "target", "retry", "request", "scrubbing", "parsing", "schemas", "wire",
    "fitting", "structured", "classify", "health", "tap", "chunks", "gateway", "failover", "asking", "streaming",
    "cascade", "__init__", "testing",
)  # fmt: skip


def imports(path: Path) -> set[str]:
    """The modules that a file imports, ours by their bare names; those for type checkers alone left out."""
    found: set[str] = set()
    tree = ast.parse(path.read_text())
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
            node.body = []
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.level:
            found.add(f".{node.module}")
        elif isinstance(node, ast.ImportFrom):
            found.add(str(node.module))
        elif isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
    return found


def test_imports_run_downwards_only() -> None:
    assert {path.stem for path in PACKAGE.glob("*.py")} == set(ROOMS)
    for place, room in enumerate(ROOMS):
        ours = {name[1:] for name in imports(PACKAGE / f"{room}.py") if name.startswith(".")}
        assert ours <= set(ROOMS[:place]), room


def test_only_the_door_knows_litellm() -> None:
    for room in ROOMS:
        text = (PACKAGE / f"{room}.py").read_text()
        assert not any(name.split(".")[0] == "litellm" for name in imports(PACKAGE / f"{room}.py")), room
        assert ('import_module("litellm")' in text) == (room == "gateway"), room


def test_every_name_in_the_window_is_there_and_sorted() -> None:
    names = majordomo_cascade.__all__
    assert names == sorted(names)
    public = {n for n, v in vars(majordomo_cascade).items() if not n.startswith("_") and not inspect.ismodule(v)}
    assert public == set(names)
    assert all(inspect.getdoc(getattr(majordomo_cascade, name)) for name in names)


def test_the_error_tree_is_the_one_that_is_drawn() -> None:
    drawn = re.findall(r"^[ │├└─]*(\w+Error)\b", str(errors.__doc__), re.MULTILINE)
    tree: list[str] = []

    def draw(kind: type[Exception]) -> None:
        tree.append(kind.__name__)
        for child in kind.__subclasses__():
            draw(child)

    draw(errors.MajordomoError)
    assert drawn == tree
    assert set(tree) <= set(majordomo_cascade.__all__)
    assert issubclass(errors.ConfigurationError, ValueError)
    assert issubclass(errors.ProviderTimeoutError, TimeoutError)
    assert issubclass(errors.DeadlineExceededError, TimeoutError)


def test_every_error_stands_in_the_readme() -> None:
    leaves = {name for name in majordomo_cascade.__all__ if name.endswith("Error")}
    groups = {"MajordomoError", "ConfigurationError", "RequestError", "ResponseError"}
    assert {name for name in leaves if f"`{name}`" not in README} == groups


@pytest.mark.litellm_fact("jsonschema is a dependency of LiteLLM", topic="import")
def test_litellm_brings_what_is_imported_but_not_required() -> None:
    assert any(need.startswith("jsonschema") and "extra" not in need for need in metadata.requires("litellm") or ())


def test_the_package_is_typed() -> None:
    assert (PACKAGE / "py.typed").exists()


def test_the_readme_comes_to_code_at_once() -> None:
    before, _, _ = README.partition("```python")
    assert len(before.splitlines()) < 15
    assert len(before.split()) <= 60


BLOCKS = [
    (code, output) for code, output in re.findall(r"```python\n(.*?)```\n(?:\n```text\n(.*?)```)?", README, re.DOTALL)
]


@pytest.mark.parametrize(("code", "output"), BLOCKS, ids=[str(number) for number in range(1, len(BLOCKS) + 1)])
def test_every_block_of_the_readme_runs_and_prints_what_it_says(
    code: str, output: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    acompletion = litellm.acompletion

    async def without_vendors(**sent: Any) -> Any:
        if "api_base" not in sent:
            sent.setdefault("mock_response", "A summary.")
        return await acompletion(**sent)

    monkeypatch.setattr(litellm, "acompletion", without_vendors)
    monkeypatch.setattr(litellm, "suppress_debug_info", True)
    program = compile(code, "README.md", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT, dont_inherit=True)
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        module: dict[str, Any] = {"__name__": "readme"}
        pending = eval(program, module)
        if inspect.iscoroutine(pending):
            asyncio.run(pending)
    if output:
        assert printed.getvalue() == output


def test_the_readme_has_blocks() -> None:
    assert len(BLOCKS) >= 6
    assert README.count("```python") == len(BLOCKS)


PRINTS = {
    "failover": [
        r"anthropic/claude-sonnet-4-5 +3  529 ProviderUnavailableError",
        r"openai/gpt-4.1 +3  429 RateLimitError +\d\.\d+ +0\.200 +-",
        r"gemini/gemini-2.5-flash +1  ok +\d\.\d+ +0\.000 +\$0\.000016",
        r"answered after \d\.\d\d s: Everything that you should not have to think about",
        r"RateLimitError: openai/gpt-4.1: HTTP 429 rate_limit_exceeded: Slow down",
        r"anthropic: A majordomo is the person who … StreamInterruptedError, begins again\n  openai: A majordomo runs ",
        r"whoever is out.\n  stop, \$0.000060\n",
        r"call 3: asked anthropic then openai Here to help. +anthropic is open\n  call 4: asked openai +Here to help. ",
        r"call 5: asked openai +Here to help. +anthropic is open\n",
        r"call 6: asked anthropic +I am back. +anthropic is closed\n",
        r"No keys in .env or the environment",
    ],
    "structured": [
        r"\{'currency': 'EUR', 'items': 3\}\nA-17 99.50 False\n\['A-18'\]\na letter from Ann\n",
        r"error: .* not of type Invoice: total: Input should be a valid decimal",
        r"reasked: 99.50 after - total: Input should be a valid decimal",
        r"failed over: 99.50 from gemini",
        r"asked 2 time\(s\), now by json_mode; failed over: False\nasked 1 time\(s\), now by json_mode",
    ],
    "with_existing_litellm_app": [r"^before: Blue.\nafter:  Blue.\n$"],
}


@pytest.mark.parametrize("example", [e for e in EXAMPLES if e != TEST_EXAMPLE], ids=lambda path: path.stem)
def test_every_example_runs_and_prints_what_it_claims(example: Path, tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, example], capture_output=True, text=True, cwd=tmp_path, check=False)
    assert done.returncode == 0, done.stderr
    assert PRINTS[example.stem]
    for pattern in PRINTS[example.stem]:
        assert re.search(pattern, done.stdout), done.stdout


def test_the_demo_asks_the_real_providers_where_a_file_has_their_keys(serve: Serve, tmp_path: Path) -> None:
    well, down = serve(Reply("A majordomo decides.")), serve(Status(401))
    for server, expected in ((well, "answered after .* A majordomo decides."), (down, "AuthenticationError: openai/")):
        (tmp_path / ".env").write_text(f"OPENAI_API_KEY=a-real-key\nOPENAI_API_BASE={server.url}/v1\n")
        command = [sys.executable, str(ROOT / "examples" / "failover.py")]
        done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, check=False)
        assert re.search(rf"The real providers, by the keys .*openai/gpt-4.1[\s\S]*{expected}", done.stdout), (
            done.stdout
        )
        assert server.requests[0].headers["authorization"] == "Bearer a-real-key"


def test_the_example_that_is_a_test_is_one(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-c", "/dev/null", str(TEST_EXAMPLE)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, check=False)
    assert "4 passed" in done.stdout, done.stdout


def test_the_notebook_runs() -> None:
    notebook = nbformat.read(ROOT / "examples" / "quickstart.ipynb", as_version=4)
    no_ports = Config(KernelManager={"transport": "ipc"})  # two runs at once would race for the same TCP ports
    nbclient.NotebookClient(notebook, timeout=120, kernel_name="python3", config=no_ports).execute()
    outputs = [str(cell["outputs"]) for cell in notebook.cells if cell.cell_type == "code"]
    assert "LLMCascade(['anthropic/claude-sonnet-4-5'" in outputs[0]
    assert "Hello! | anthropic claude-sonnet-4-5 |" in outputs[1]
    assert "Third time lucky. True" in outputs[2]
    assert "City(name='Rome', people=2800000)" in outputs[3]


def test_the_notebook_is_committed_without_outputs() -> None:
    notebook = nbformat.read(ROOT / "examples" / "quickstart.ipynb", as_version=4)
    assert all(cell["outputs"] == [] for cell in notebook.cells if cell.cell_type == "code")
