"""What is light stays light, what is independent stays so, and everything is documented."""

from __future__ import annotations

import ast
import importlib
import pkgutil
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, fields
from functools import cache
from pathlib import Path
from typing import get_args

import click
import pytest
from pydantic import BaseModel

import harness
from harness import contract
from harness.cli import main
from harness.contract import Label, Record
from harness.registry import discover
from harness.task import spec
from harness.task.file import builtin_tasks

PACKAGE = Path(harness.__file__).parent
ROOT = PACKAGE.parent
HEAVY = ("torch", "transformers", "sae_lens", "datasets", "lm_eval")
HARNESS = [sys.executable, "-m", "harness.cli.main"]
REFUSAL = str(builtin_tasks()["refusal"])


@pytest.fixture
def without_heavy(tmp_path: Path, environment: Callable[..., dict[str, str]]) -> dict[str, str]:
    """An environment in which importing anything heavy is an error."""
    for name in HEAVY:
        text = f"raise AssertionError('{name} was imported')\n"
        (tmp_path / f"{name}.py").write_text(text)
    return environment(tmp_path)


def process(command: list[str], env: dict[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command, env=env, capture_output=True, text=True, timeout=600, check=False
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    "arguments",
    [["--help"], ["--version"], ["plugins"], ["tasks"], ["schema"], ["check", REFUSAL],
     ["eval", "--help"], ["plugins", "random"], ["plan", REFUSAL, "--device", "H100"],
     ["eval", "no_such_task"]],
    ids=lambda arguments: " ".join(arguments).replace(REFUSAL, "refusal"),
)  # fmt: skip
def test_what_reads_no_weight_imports_nothing_heavy(
    without_heavy: dict[str, str], arguments: list[str]
) -> None:
    done = process([*HARNESS, *arguments], without_heavy)
    assert "was imported" not in done.stdout + done.stderr
    assert done.returncode == (2 if "no_such_task" in arguments else 0), done.stderr
    assert bool(done.stdout) == (done.returncode == 0)


@pytest.mark.parametrize("name", HEAVY)
def test_the_test_notices_a_heavy_import(without_heavy: dict[str, str], name: str) -> None:
    done = process([sys.executable, "-c", f"import harness.cli.main, {name}"], without_heavy)
    assert done.returncode == 1
    assert f"{name} was imported" in done.stderr


@pytest.mark.slow
def test_a_task_that_runs_does_import_what_is_heavy(without_heavy: dict[str, str]) -> None:
    done = process([*HARNESS, "eval", REFUSAL, "--out", "/dev/null/x"], without_heavy)
    assert done.returncode != 0
    assert "torch was imported" in done.stderr


def loaded(arguments: list[str], env: dict[str, str]) -> set[str]:
    """The modules that a command has imported when it ends."""
    code = (
        "import sys; from harness.cli.main import main; main(sys.argv[1:]); "
        "print(*sys.modules, file=sys.stderr)"
    )
    done = process([sys.executable, "-c", code, *arguments], env)
    assert done.returncode == 0, done.stderr
    return set(done.stderr.split())


def test_help_imports_no_command_and_no_pydantic(
    environment: Callable[..., dict[str, str]],
) -> None:
    found = {name for name in loaded(["--help"], environment()) if name.startswith("harness")}
    assert found <= {
        "harness", "harness.cli", "harness.cli.main", "harness.cli.completion", "harness.errors",
        "harness.version",
    }  # fmt: skip
    assert "pydantic" not in loaded(["--help"], environment())


UNASKED = ("observer", "executor", "export", "section", "several", "results", "edits", "latents")
"""Modules of the contract that nothing asks for that only reads a task without these."""


@pytest.mark.slow
def test_check_imports_no_more_than_it_needs(environment: Callable[..., dict[str, str]]) -> None:
    """Nothing that only a plan, a run or a report is made with, and no arithmetic."""
    found = loaded(["check", REFUSAL], environment())
    late = ("numpy", "scipy", "pandas", "plotly", "rich", "packaging", "harness.running",
            "harness.report", "harness.planning.cost.estimate", "harness.planning.cost.lengths",
            "harness.several", "harness.results.read", "harness.web.client", "http.client", "ssl",
            "logging", "concurrent.futures", "html", "harness_transformers.gguf_file",
            *(f"harness.contract.{one}" for one in UNASKED))  # fmt: skip
    assert not {one for one in late if one in found}
    assert len([name for name in found if name.partition(".")[0] == "harness"]) <= 125


@pytest.mark.parametrize("face", ["contract", "results", "web"])
def test_what_a_package_offers_is_found_in_the_module_that_has_it(face: str) -> None:
    """Types are checked by imports that are never run; what is run says the same."""
    package = importlib.import_module(f"harness.{face}")
    tree = ast.parse(Path(str(package.__file__)).read_text("utf-8"))
    typed = {
        alias.name: node.module
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and str(node.module).startswith("harness.")
        for alias in node.names
    }
    modules = {module.name for module in pkgutil.iter_modules(package.__path__)}
    late = {name: typed[name] for name in package._HOMES}
    assert late == package._HOMES
    assert {*package.__all__} == typed.keys() - {"Latents"}
    assert not late.keys() & modules, "the module would be found in the place of what it offers"
    for name, module in typed.items():
        assert getattr(package, name) is getattr(importlib.import_module(str(module)), name)
    assert {*package.__all__} <= {*dir(package)}
    with pytest.raises(AttributeError, match="no_such"):
        package.no_such  # noqa: B018


@pytest.mark.parametrize("columns", ["50", "80", "120"])
def test_the_list_of_commands_is_what_the_commands_say(
    columns: str,
) -> None:
    """It is written down beside the group, so that `--help` imports no command."""
    with click.Context(main.cli, terminal_width=int(columns)) as context:
        ours, clicks = context.make_formatter(), context.make_formatter()
        main.cli.format_commands(context, ours)
        click.Group.format_commands(main.cli, context, clicks)
    assert ours.getvalue() == clicks.getvalue()


# ── Sources ──────────────────────────────────────────────────────────────────────────────────────


def sources(*folders: Path) -> list[Path]:
    return sorted(file for folder in folders for file in folder.rglob("*.py"))


@dataclass(frozen=True)
class Source:
    """What tests ask of a file of the core."""

    imports: tuple[str, ...]
    """Every module that it imports, also inside functions and by name."""
    strings: frozenset[str]
    """Its constants, but for those that a record is asked for."""


@cache
def source(file: Path) -> Source:
    """Each file is parsed once; its tree is not kept, which is large."""
    nodes = [*ast.walk(ast.parse(file.read_text(encoding="utf-8")))]
    asked = set(_asked_of_records(nodes))
    constants = [n for n in nodes if isinstance(n, ast.Constant) and n not in asked]
    strings = frozenset(n.value for n in constants if isinstance(n.value, str))
    return Source(tuple(_imports(nodes)), strings)


def _imports(nodes: Iterable[ast.AST]) -> Iterator[str]:
    for node in nodes:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
        elif isinstance(node, ast.Call) and getattr(node.func, "attr", "") == "import_module":
            yield from (str(a.value) for a in node.args if isinstance(a, ast.Constant))


@pytest.mark.slow
def test_the_core_imports_no_plugin() -> None:
    found = {
        (file.name, name)
        for file in sources(PACKAGE)
        for name in source(file).imports
        if name.split(".")[0].startswith("harness_") or name.split(".")[0] == "plugins"
    }
    assert not found


def test_the_walk_sees_every_form_of_import(tmp_path: Path) -> None:
    file = tmp_path / "x.py"
    file.write_text(
        "import a.b, c\nfrom d.e import f\ndef g():\n    from h import i\n"
        "    import importlib\n    importlib.import_module('j.k')\n"
    )
    assert set(source(file).imports) == {"a.b", "c", "d.e", "h", "importlib", "j.k"}


@pytest.mark.slow
def test_the_core_names_no_component_of_a_plugin() -> None:
    """Defaults of the task language, names of packages, columns of a table, and axes and options
    that a record is asked for are not meant."""
    names = {c.name for plugin in discover().plugins for c in plugin.components}
    names -= {field.name for value in (Label, Record) for field in fields(value)}
    found = {
        (file.name, name)
        for file in sources(PACKAGE)
        if file.name not in ("spec.py", "data_spec.py", "provenance.py")
        if "testing" not in file.parts
        for name in source(file).strings & names
    }
    assert not found


def _asked_of_records(nodes: Iterable[ast.AST]) -> Iterator[ast.expr]:
    """The names in `record.axes.get(NAME)` and `record.options.get(NAME)`."""
    for node in nodes:
        match node:
            case ast.Call(
                func=ast.Attribute(value=ast.Attribute(attr="axes" | "options"), attr="get"),
                args=[name, *_],
            ):
                yield name


def test_a_file_is_at_most_500_lines_long() -> None:
    """All in one test: one for each of the 1,700 files takes longer than reading them."""
    files = sources(PACKAGE, ROOT / "plugins", ROOT / "tests")
    lines = {file: len(file.read_text(encoding="utf-8").splitlines()) for file in files}
    assert len(lines) > 1000
    assert not {str(file.relative_to(ROOT)): many for file, many in lines.items() if many > 500}


# ── Documentation ────────────────────────────────────────────────────────────────────────────────

SECTIONS = ("Returns: ", "Stops at the first answer: ", "Called: ", "Implemented by: ")
HOOKS = [name for name, value in vars(contract).items() if hasattr(value, "harness_spec")]


def test_there_are_hooks() -> None:
    assert HOOKS == ["harness_components"]


@pytest.mark.parametrize("hook", HOOKS)
def test_every_hook_has_the_fixed_sections_in_order(hook: str) -> None:
    text = " ".join((getattr(contract, hook).__doc__ or "").split())
    places = [text.find(section) for section in SECTIONS]
    assert all(place > 0 for place in places), text
    assert places == sorted(places)


OWNED = [owned for kind in get_args(contract.Kind) for owned in discover().of(kind)]


def test_every_option_of_every_component_is_described() -> None:
    """All in one test, like the next ones: each takes longer to set up than to say."""
    options = {str(owned): owned.options() for owned in OWNED}
    assert len(options) == len(OWNED) > 100
    assert [name for name, its in options.items() if not its.__doc__] == []
    assert [
        f"{name}.{key}"
        for name, its in options.items()
        for key, field in its.model_fields.items()
        if not field.description
    ] == []
    assert [n for n, its in options.items() if its.model_config["extra"] != "forbid"] == []


SPECS = [
    value
    for value in vars(spec).values()
    if isinstance(value, type)
    and issubclass(value, BaseModel)
    and value.__module__ == spec.__name__
]


def test_every_key_of_the_task_language_is_described() -> None:
    assert len(SPECS) > 10
    assert [model for model in SPECS if not model.__doc__] == []
    assert [
        f"{model.__name__}.{name}"
        for model in SPECS
        for name, field in model.model_fields.items()
        if not field.description
    ] == []


def test_no_option_is_called_like_a_key_of_the_core() -> None:
    """The core would keep it, and the plugin would never see it."""
    tables = {
        "backend": spec.ModelSpec, "sae_format": spec.SaeSpec, "metric": spec.MetricSpec,
        "direction": spec.DirectionSpec, "intervention": spec.InterventionSpec,
        "evaluator": spec.EvaluatorSpec, "analysis": spec.AnalysisSpec,
    }  # fmt: skip
    found = {
        str(owned): owned.options().model_fields.keys()
        & tables[owned.component.kind].model_fields.keys()
        for owned in OWNED
        if owned.component.kind in tables
    }
    assert len(found) > 50
    assert {name: keys for name, keys in found.items() if keys} == {}
