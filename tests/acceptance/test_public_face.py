"""The public face: names, errors, README, docs and examples; and the order of the house."""

from __future__ import annotations

import ast
import asyncio
import contextlib
import gc
import graphlib
import inspect
import io
import re
import subprocess
import sys
from collections.abc import Iterator
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

ROOT = Path(__file__).parents[2]
PACKAGE = Path(majordomo_cascade.__file__).parent
README = (ROOT / "README.md").read_text()
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
#: The blocks of this page need frameworks that are not installed here: `make frameworks` runs them.
FRAMEWORKS = ROOT / "docs" / "frameworks.md"
EXAMPLES = sorted((ROOT / "examples").glob("*.py"))
TEST_EXAMPLE = ROOT / "examples" / "unit_test_with_mocks.py"

# The order of the house.

#: The rooms, from the bottom to the top. Each imports only from rooms below its own line.
ROOMS = (
    {"tables"},
    {"errors"},
    {"options", "report"},
    {"request"},
    {"redaction"},
    {"responses"},
    {"failover"},
    {"gateway", "shared_health"},
    {"candidate"},
    {"structured", "streaming"},
    {"batch", "check", "configuration", "drill", "signature"},
    {"environment", "sync", "telemetry"},
    {"cascade"},
    {"__init__", "litellm_provider"},
    {"__main__", "testing"},
)

#: LiteLLM's names that only ``gateway/`` may know.
LITELLM_NAMES = re.compile(
    r"""\b(
        litellm | _hidden_params | completion_stream | completion_cost | custom_llm_provider
        | custom_provider_map | CustomStreamWrapper | get_llm_provider | get_model_info
        | get_optional_params | get_supported_openai_params | intermittent_finish_reason
        | make_call | MidStreamFallbackError | model_cost | ModelResponse | ModelResponseStream
        | module_level_aclient | provider_list | received_finish_reason | response_cost
        | stream_chunk_builder | streaming_response | suppress_debug_info
        | supports_response_schema | validate_environment
    )\b""",
    re.VERBOSE,
)

#: The names of vendors and families of models. ("openai" is a Python package, too.)
VENDORS = re.compile(
    r"anthropic|bedrock|claude|gemini|gpt|groq|llama|mistral|vertex", re.IGNORECASE
)

MODULES = {
    ".".join(path.relative_to(PACKAGE).with_suffix("").parts): path
    for path in sorted(PACKAGE.rglob("*.py"))
}


def parse(path: Path) -> ast.Module:
    """Return a module's code, without imports that are for type checkers alone."""
    # Python 3.11 cannot parse while the collector prints a warning, which parses as well:
    # https://github.com/python/cpython/issues/106905
    gc.disable()
    try:
        tree = ast.parse(path.read_text())
    finally:
        gc.enable()
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            node.body = [ast.Pass()]
    return tree


def imports_of(module: str) -> set[str]:
    """Return the modules of this package that a module imports."""
    found: set[str] = set()
    package = module.split(".")[:-1]
    for node in ast.walk(parse(MODULES[module])):
        if isinstance(node, ast.ImportFrom) and node.level:
            base = package[: len(package) + 1 - node.level]
            names = [node.module] if node.module else [alias.name for alias in node.names]
            found.update(resolve([*base, *name.split(".")]) for name in names)
        elif isinstance(node, ast.Import | ast.ImportFrom):
            named = getattr(node, "module", None) or node.names[0].name
            assert room_of(named) != "majordomo_cascade", f"{module} imports absolutely"
    return found


def resolve(parts: list[str]) -> str:
    """Return a module's name in ``MODULES``; a folder's is that of its ``__init__``."""
    name = ".".join(parts)
    return name if name in MODULES else f"{name}.__init__"


def room_of(module: str) -> str:
    return module.partition(".")[0]


def place_of(module: str) -> int:
    """Return the place of a module's room in the order."""
    [place] = [number for number, rooms in enumerate(ROOMS) if room_of(module) in rooms]
    return place


@pytest.mark.parametrize("module", MODULES)
def test_imports_run_down_only(module: str) -> None:
    for imported in imports_of(module):
        is_inside = room_of(imported) == room_of(module)
        assert is_inside or place_of(imported) < place_of(module), imported


def test_no_imports_run_in_a_circle() -> None:
    graph = {module: imports_of(module) for module in MODULES}
    graphlib.TopologicalSorter(graph).prepare()  # raises CycleError


def test_every_room_is_on_the_map() -> None:
    assert {room_of(module) for module in MODULES} == set().union(*ROOMS)


def docstrings_of(tree: ast.Module) -> set[int]:
    """Return the ids of the strings that stand alone: docstrings, of attributes as well."""
    alone = [node.value for node in ast.walk(tree) if isinstance(node, ast.Expr)]
    return {id(value) for value in alone if isinstance(value, ast.Constant)}


def words_of(tree: ast.Module) -> Iterator[str]:
    """Yield the names in a module's code, and its strings that are no prose."""
    docstrings = docstrings_of(tree)
    for node in ast.walk(tree):
        match node:
            case ast.Constant(value=str(text)):
                is_prose = id(node) in docstrings or " " in text.strip()
                if not is_prose:
                    yield text
            case ast.Name(id=name) | ast.Attribute(attr=name) | ast.arg(arg=name):
                yield name
            case ast.ClassDef(name=name) | ast.FunctionDef(name=name):
                yield name
            case ast.AsyncFunctionDef(name=name) | ast.alias(name=name):
                yield name
            case ast.keyword(arg=str(name)):
                yield name


@pytest.mark.parametrize("module", [each for each in MODULES if not each.startswith("gateway.")])
def test_only_the_gateway_knows_litellms_names(module: str) -> None:
    leaks = [word for word in words_of(parse(MODULES[module])) if LITELLM_NAMES.search(word)]
    assert leaks == []


def test_the_gateway_does_know_litellms_names() -> None:
    """Show that the search finds them, in code and in strings."""
    known = " ".join(words_of(parse(MODULES["gateway.stream"])))
    assert {"completion_stream", "received_finish_reason"} <= set(LITELLM_NAMES.findall(known))


def vendor_checks_in(tree: ast.Module) -> Iterator[str]:
    """Yield the code that looks for a vendor's name: ``"claude" in model`` and its like."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Compare):
            operands = [node.left, *node.comparators]
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            is_test = node.func.attr in ("startswith", "endswith", "find", "count", "search")
            operands = node.args if is_test else []
        else:
            continue
        for operand in operands:
            strings = [each.value for each in ast.walk(operand) if isinstance(each, ast.Constant)]
            if any(isinstance(text, str) and VENDORS.search(text) for text in strings):
                yield ast.unparse(node)


@pytest.mark.parametrize("module", [each for each in MODULES if each != "gateway.profiles"])
def test_only_the_table_of_profiles_tells_vendors_apart(module: str) -> None:
    assert list(vendor_checks_in(parse(MODULES[module]))) == []


@pytest.mark.parametrize(
    "code", ['"claude" in model', 'model.startswith("gemini/")', 'provider == "groq"']
)
def test_checks_for_a_vendor_are_found(code: str) -> None:
    assert list(vendor_checks_in(ast.parse(code)))


#: Characters. The design asks for 235,000, which is not reached.
LARGEST = 335_000


def test_the_package_does_not_grow() -> None:
    texts = [path.read_text() for path in MODULES.values()]
    assert sum(map(len, texts)) <= LARGEST
    assert max(len(line) for text in texts for line in text.splitlines()) <= 100


def test_the_package_is_typed() -> None:
    assert (PACKAGE / "py.typed").exists()


# Names and errors.


def test_all_names_every_public_name_in_order() -> None:
    names = majordomo_cascade.__all__
    assert names == sorted(names)
    public = {
        name
        for name, value in vars(majordomo_cascade).items()
        if not (name.startswith("_") or inspect.ismodule(value))
    }
    assert public == set(names)
    assert all(inspect.getdoc(getattr(majordomo_cascade, name)) for name in names)


def real_tree(kind: type[Exception] = errors.MajordomoError) -> list[str]:
    """Return the names of an error and those below it, as they are drawn."""
    below = [name for child in kind.__subclasses__() for name in real_tree(child)]
    return [kind.__name__, *below]


def drawn_tree(text: str) -> list[str]:
    return re.findall(r"^[ │├└─]*(\w+Error)\b", text, re.MULTILINE)


def test_the_error_tree_is_the_one_that_is_drawn() -> None:
    drawn = drawn_tree(str(errors.__doc__))
    assert drawn == real_tree()
    assert set(drawn) <= set(majordomo_cascade.__all__)


def test_errors_are_what_they_are_to_python() -> None:
    assert issubclass(errors.ConfigurationError, ValueError)
    assert issubclass(errors.ProviderTimeoutError, TimeoutError)
    assert issubclass(errors.DeadlineExceededError, TimeoutError)


def test_the_readme_tells_what_each_error_does() -> None:
    told = {name for name in real_tree() if f"`{name}`" in README}
    groups = {"MajordomoError", "ConfigurationError", "ResponseError", "ProviderError"}
    assert told == set(real_tree()) - groups


@pytest.mark.parametrize(
    "page", [page for page in PAGES if page.name == "errors.md"], ids=lambda page: page.stem
)
def test_the_page_on_errors_draws_the_tree_as_well(page: Path) -> None:
    drawn = re.search(r"```text\n(MajordomoError.*?)```", page.read_text(), re.DOTALL)
    assert drawn is not None
    assert drawn_tree(drawn[1]) == real_tree()


# README and docs.


def test_the_readme_comes_to_code_at_once_and_is_short() -> None:
    before, _, _ = README.partition("```python")
    assert len(before.splitlines()) < 15
    assert len(before.split()) <= 60
    assert len(README.splitlines()) <= 150


BLOCK = re.compile(r"```python\n(.*?)```\n(?:\n```text\n(.*?)```)?", re.DOTALL)
BLOCKS = [
    pytest.param(page, code, output, id=f"{page.stem}-{number}")
    for page in PAGES
    if page != FRAMEWORKS
    for number, (code, output) in enumerate(BLOCK.findall(page.read_text()), start=1)
]


@pytest.mark.usefixtures("no_otel")
@pytest.mark.parametrize(("page", "code", "output"), BLOCKS)
def test_every_block_of_the_pages_runs_and_prints_what_it_says(
    page: Path, code: str, output: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    acompletion = litellm.acompletion

    async def without_vendors(**sent: Any) -> Any:
        if "api_base" not in sent:
            sent.setdefault("mock_response", "A summary.")
        return await acompletion(**sent)

    monkeypatch.setattr(litellm, "acompletion", without_vendors)
    monkeypatch.setattr(litellm, "suppress_debug_info", True)
    monkeypatch.chdir(tmp_path)
    flags = ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
    program = compile(code, page.name, "exec", flags=flags, dont_inherit=True)
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        pending = eval(program, {"__name__": "page"})
        if inspect.iscoroutine(pending):
            asyncio.run(pending)
    if output:
        assert printed.getvalue() == output


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_no_block_of_the_pages_is_missed(page: Path) -> None:
    text = page.read_text()
    assert text.count("```python") == len(BLOCK.findall(text))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_links_between_the_pages_lead_somewhere(page: Path) -> None:
    for link in re.findall(r"\]\(([\w./-]+\.md)[^):]*\)", page.read_text()):
        assert (page.parent / link).exists(), link


# Examples.

PRINTS = {
    "batch_dask": [
        r"^12 answers, such as 'A complaint\.'\nthe second provider was asked 12 times\n$"
    ],
    "batch_rate_limited": [
        r"^8 answers, 0 failed; waited \[20\.0\] s\n",
        r"\n\{'anthropic': 3, 'openai': 5\} waited \[\] s\nthe first is open\n$",
    ],
    "batch_resume": [
        r"^0 answers are there, 10 prompts are left\nthe program crashed with status 1\n",
        r"\n[5-7] answers are there, [3-5] prompts are left\n10 answers are there at the end\n$",
    ],
    "fastapi_stream": [
        r'200\n  data: "He"\n  data: " runs"\n  data: " the"\n  data: " house\."\n',
        r'\n  data: \{"served": "openai/gpt-5\.4-mini", "cost": 3e-05\}\n2\.',
        r'200\n  data: "He"\n  OpenAI\'s stream was closed',
    ],
    "failover": [
        r"anthropic/claude-sonnet-5-5 +3  529 ProviderUnavailableError",
        r"gemini/gemini-3.8-flash +3  429 RateLimitError +\d\.\d+ +0\.200 +-",
        r"openai/gpt-5.4-mini +1  ok +\d\.\d+ +0\.000 +\$0\.000030",
        r"answered after \d\.\d\d s: Everything that you should not have to think about",
        r"RateLimitError: all 2 targets failed: .*; gemini/gemini-3.8-flash: HTTP 429 .*: Slow",
        r"anthropic: A majordomo is the person who … StreamInterruptedError, begins again",
        r"openai: A majordomo runs the house, even if the butler is out.\n  stop, \$0.000030\n",
        r"call 3: asked anthropic then openai Here to help. +anthropic is open",
        r"call 4: asked openai +Here to help. +anthropic is open",
        r"call 5: asked openai +Here to help. +anthropic is open",
        r"call 6: asked anthropic +I am back. +anthropic is closed",
        r"No keys in .env or the environment",
    ],
    "litellm_model_name": [
        r"^can call tools: \w+\nanswered: A majordomo\.\nstreamed: A majordomo\.\n",
        r"failed with LiteLLM's own exception: RateLimitError 429\nanthropic/\S+ #1: 401 Auth",
        r"\nopenai/gpt-5.5 #1: 429 RateLimitError after",
    ],
    "structured": [
        r"\{'currency': 'EUR', 'items': 3\}\nA-17 99.50 False\n\['A-18'\]\na letter from Ann\n",
        r"error: .* not of type Invoice: total: Input should be a valid decimal",
        r"corrected: 99.50 after - total: Input should be a valid decimal",
        r"failed over: 99.50 from gemini",
        r"asked 2 time\(s\), now by json_mode; failed over: False\nasked 1 time\(s\), now by",
    ],
    "sync_script": [
        r"^The majordomo. from openai\nRome has 2,800,000 people\n",
        r"\none … two … three …\n8 answers from 8 threads\n$",
    ],
    "with_existing_litellm_app": [r"^before: Blue.\nafter:  Blue.\n$"],
}


def run(*command: str | Path, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run a program in a folder."""
    return subprocess.run(
        [sys.executable, *command], capture_output=True, text=True, cwd=folder, check=False
    )


@pytest.mark.parametrize(
    "example", [each for each in EXAMPLES if each != TEST_EXAMPLE], ids=lambda path: path.stem
)
def test_every_example_runs_and_prints_what_it_claims(example: Path, tmp_path: Path) -> None:
    if example.stem == "batch_dask":
        pytest.importorskip("distributed")
    done = run(example, folder=tmp_path)
    assert done.returncode == 0, done.stderr
    for pattern in PRINTS[example.stem]:
        assert re.search(pattern, done.stdout), done.stdout


@pytest.mark.parametrize(
    ("behaviour", "told"),
    [
        (Reply("A majordomo decides."), "answered after .* A majordomo decides."),
        (Status(401), "AuthenticationError: openai/"),
    ],
    ids=["well", "wrong key"],
)
def test_the_demo_asks_the_real_providers_if_a_file_has_their_keys(
    serve: Serve, tmp_path: Path, behaviour: Any, told: str
) -> None:
    server = serve(behaviour)
    variables = f"OPENAI_API_KEY=a-real-key\nOPENAI_API_BASE={server.url}/v1\n"
    (tmp_path / ".env").write_text(variables)
    done = run(ROOT / "examples" / "failover.py", folder=tmp_path)
    expected = rf"The real providers, by the keys .*openai/gpt-5.4-mini[\s\S]*{told}"
    assert re.search(expected, done.stdout), done.stdout
    assert server.requests[0].headers["authorization"] == "Bearer a-real-key"


def test_the_example_that_is_a_test_passes(tmp_path: Path) -> None:
    options = ("-q", "-p", "no:cacheprovider", "-c", "/dev/null")
    done = run("-m", "pytest", *options, TEST_EXAMPLE, folder=tmp_path)
    assert "4 passed" in done.stdout, done.stdout


def test_the_notebook_runs() -> None:
    notebook = nbformat.read(ROOT / "examples" / "quickstart.ipynb", as_version=4)
    # Two runs at once would race for the same TCP ports.
    no_ports = Config(KernelManager={"transport": "ipc"})
    client = nbclient.NotebookClient(notebook, timeout=120, kernel_name="python3", config=no_ports)
    client.execute()
    outputs = [str(cell["outputs"]) for cell in notebook.cells if cell.cell_type == "code"]
    assert "LLMCascade(['anthropic/claude-sonnet-5-5'" in outputs[0]
    assert "Hello! | anthropic claude-sonnet-5-5 |" in outputs[1]
    assert "<table>" in outputs[1]  # an answer shows itself, with its attempts
    assert "Third time lucky. True" in outputs[2]
    assert "City(name='Rome', people=2800000)" in outputs[3]
    assert all("<table>" in output for output in outputs[4:])
    assert "max output tokens" in outputs[4]
    assert "openai/gpt-5.5: AuthenticationError: HTTP 401" in outputs[5]
    assert ">open</td>" in outputs[6]
    assert "all 3 targets failed" in outputs[6]


def test_the_notebook_is_committed_without_outputs() -> None:
    notebook = nbformat.read(ROOT / "examples" / "quickstart.ipynb", as_version=4)
    assert all(cell["outputs"] == [] for cell in notebook.cells if cell.cell_type == "code")
