"""`harness new`: every kind is written whole and works when installed; what is wrong is said."""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import get_args

import pytest
import yaml

from harness.authoring.new.create import TEMPLATES, files
from harness.authoring.new.names import LICENSES, License, named
from harness.cli.main import main
from harness.contract import Kind
from harness.registry import Registry, discover
from installed import Installed, build_wheels, fresh

KINDS: tuple[Kind, ...] = get_args(Kind)
Said = Callable[..., tuple[int, str, str]]


@pytest.fixture
def said(capsys: pytest.CaptureFixture[str]) -> Said:
    def said(*words: object) -> tuple[int, str, str]:
        code = main([str(word) for word in words])
        found = capsys.readouterr()
        return code, found.out, found.err

    return said


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Installed:
    return fresh(tmp_path_factory.mktemp("new"))


# ── Installed from wheels, in an empty folder ────────────────────────────────────────────────────

TASK = """
name = "mine"
[models.base]
path = "{organism}/base"
[views.base]
model = "base"
[data.texts]
file = "{organism}/data/web.jsonl"
limit = 20
[saes.mine]
path = "mine.demo.safetensors"
model = "base"
[metrics.l0]
view = "base"
data = "texts"
saes = ["mine"]
"""


@pytest.mark.slow
def test_from_an_empty_folder_to_a_task(installed: Installed, tmp_path: Path) -> None:
    said = installed.run("harness", "new", "sae-format", "demo", cwd=tmp_path).stdout
    assert "pip install -e 'harness-demo[dev]'" in said
    installed.install(tmp_path / "harness-demo")
    tests = ["-q", "-p", "no:cacheprovider", "harness-demo"]
    assert " passed" in installed.run("python", "-m", "pytest", *tests, cwd=tmp_path).stdout
    checked = installed.run("harness", "plugins", "check", "demo", cwd=tmp_path).stdout
    assert "passed  the laws of its kind: reference" in checked
    assert not re.search("FAILED|skipped", checked)
    weights = ["-m", "harness_demo.samples", "mine.demo.safetensors"]
    installed.run("python", *weights, cwd=tmp_path)
    find = "from harness.testing import organism; print(organism())"
    organism = installed.run("python", "-c", find, cwd=tmp_path).stdout.strip()
    (tmp_path / "task.toml").write_text(TASK.format(organism=organism))
    installed.run("harness", "eval", "task.toml", "--out", "run", cwd=tmp_path)
    results = json.loads((tmp_path / "run" / "results.json").read_text())
    (record,) = [one for one in results["records"] if one["id"] == "l0@1"]
    assert 0 < record["value"] < 512
    assert record["axes"]["site"] == "resid_post.3"


@pytest.mark.slow
def test_every_kind_installs_and_passes_its_own_tests(installed: Installed, tmp_path: Path) -> None:
    registry = discover()
    folders = []
    for kind in KINDS:
        name = f"my-{kind.replace('_', '-')}"
        assert main(["new", kind, name, "--out", str(tmp_path)]) == 0
        folders.append(tmp_path / named(kind, name, registry).distribution)
    for folder in folders:  # as pip reads it, whose two processes a wheel they all would start
        told = tomllib.loads((folder / "pyproject.toml").read_text("utf-8"))["build-system"]
        assert told == {"requires": ["hatchling>=1.27"], "build-backend": "hatchling.build"}
    installed.install(*build_wheels(folders, tmp_path / "wheels"))
    tests = ["-q", "-p", "no:cacheprovider", "--import-mode=importlib", *folders]
    done = installed.run("python", "-m", "pytest", *tests, cwd=tmp_path)
    passed = re.search(r"^(\d+) passed", done.stdout, re.MULTILINE)
    assert passed is not None, done.stdout
    assert int(passed[1]) >= 4 * len(KINDS)
    assert "skipped" not in done.stdout


@pytest.mark.slow
def test_the_wheel_has_the_templates(installed: Installed) -> None:
    inside = set(zipfile.ZipFile(installed.wheel).namelist())
    for file in TEMPLATES.rglob("*.jinja"):
        assert f"harness/authoring/new/templates/{file.relative_to(TEMPLATES).as_posix()}" in inside
    assert not [name for name in inside if name.startswith("tests/")]


# ── What is written ──────────────────────────────────────────────────────────────────────────────


@pytest.mark.slow
@pytest.mark.parametrize("name", ["demo", "a", "top-cosine_2"])
@pytest.mark.parametrize("kind", KINDS)
def test_what_is_written_is_clean(kind: Kind, name: str, tmp_path: Path) -> None:
    assert main(["new", kind.replace("_", "-"), name, "--out", str(tmp_path)]) == 0
    (folder,) = tmp_path.iterdir()
    for arguments in (["check"], ["format", "--check"]):
        done = subprocess.run(
            [sys.executable, "-m", "ruff", *arguments, "--no-cache", folder],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
    for file in folder.rglob("*"):
        if file.is_file() and file.name != "py.typed":
            text = file.read_text(encoding="utf-8")
            assert text.endswith("\n")
            assert not text.endswith("\n\n"), file
            # What GitHub fills in itself is the one thing in such braces.
            text = re.sub(r"(?<=python-version: )\$\{\{ matrix\.python \}\}$", "", text, flags=re.M)
            assert not re.search(r"\{\{|\}\}|\{%|%\}|PACKAGE", text), file


@pytest.mark.parametrize("kind", KINDS)
def test_what_a_task_writes_is_light(kind: Kind) -> None:
    names = named(kind, "light", discover())
    texts = {path.as_posix(): text for path, text in files(names)}
    for file in ("plugin.py", "options.py", "__init__.py"):
        for node in ast.walk(ast.parse(texts[f"{names.package}/{file}"])):
            imported = [alias.name for alias in getattr(node, "names", ())]
            imported.append(getattr(node, "module", None) or "")
            assert not [one for one in imported if str(one).partition(".")[0] == "torch"]


def test_an_architecture_is_at_most_40_lines_of_code() -> None:
    names = named("sae_format", "light", discover())
    texts = {path.as_posix(): text for path, text in files(names)}
    code = re.sub(r'"""[\s\S]*?"""', "", texts["harness_light/sae.py"])
    lines = [line for line in code.splitlines() if line.strip()]
    imports = [line for line in lines if line.startswith(("import ", "from "))]
    assert len(lines) - len(imports) <= 40


def repository(tmp_path: Path, kind: Kind, *more: str) -> Path:
    assert main(["new", kind.replace("_", "-"), "whole", "--out", str(tmp_path), *more]) == 0
    return tmp_path / "harness-whole"


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_what_is_written_is_a_whole_repository(kind: Kind, tmp_path: Path) -> None:
    folder = repository(tmp_path, kind)
    for file in ("README.md", "LICENSE", "pyproject.toml", ".gitignore", "tests/test_laws.py",
                 ".github/workflows/ci.yml", ".github/workflows/publish.yml"):  # fmt: skip
        assert (folder / file).is_file()
    project = tomllib.loads((folder / "pyproject.toml").read_text())["project"]
    assert "sae-harness-plugin" in project["keywords"]
    assert {"pytest", "ruff", "mypy"} <= {
        re.split(r"\W", one)[0] for one in project["optional-dependencies"]["dev"]
    }
    flows = {
        name: yaml.safe_load((folder / ".github" / "workflows" / f"{name}.yml").read_text())
        for name in ("ci", "publish")
    }
    steps = [step for job in flows["ci"]["jobs"].values() for step in job["steps"]]
    ran = "\n".join(step.get("run", "") for step in steps)
    for command in ("pytest", "ruff check .", "mypy", "harness plugins check harness_whole",
                    "python -m build", "pip install dist/*.whl"):  # fmt: skip
        assert command in ran
    # It publishes nothing but a release, and can do nothing else; CI can only read.
    assert flows["publish"][True] == {"release": {"types": ["published"]}}  # YAML reads `on` so
    assert flows["publish"]["jobs"]["publish"]["permissions"] == {"id-token": "write"}
    assert {flow["permissions"]["contents"] for flow in flows.values()} == {"read"}


@pytest.mark.parametrize("license", LICENSES)
def test_a_licence_is_chosen(license: License, tmp_path: Path) -> None:
    folder = repository(tmp_path, "metric", "--license", license)
    text = (folder / "LICENSE").read_text()
    begins = {"MIT": "MIT License", "BSD-3-Clause": "BSD 3-Clause", "Apache-2.0": "Apache License"}
    assert text.strip().startswith(begins[license])
    project = tomllib.loads((folder / "pyproject.toml").read_text())["project"]
    assert project["license"] == license
    assert f"it is {license};" in (folder / "README.md").read_text()


# ── What is wrong ────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("kind", "name", "message"),
    [
        ("sae", "demo", "unknown kind of component 'sae'. Allowed: analysis, backend, direction"),
        ("metrik", "demo", "Did you mean metric?"),
        ("metric", "Demo", "is no name. Allowed: small letters and digits"),
        ("metric", "2fast", "is no name"),
        ("metric", "a b", "is no name"),
        ("metric", "../up", "is no name"),
        ("metric", "a--b", "is no name"),
        ("metric", "a-", "is no name"),
        ("metric", "", "is no name"),
        ("metric", "é", "is no name"),
        ("metric", "x" * 31, "is no name"),
        ("metric", "x" * 9999, "is no name"),
        ("metric", "a\nb", "is no name"),
        ("metric", "class", "is a word of Python"),
        ("metric", "metrics", "a plugin harness_metrics is installed"),
        ("metric", "metric", "Metric is a name of the contract"),
        ("section", "metric", "MetricOptions is a name of the contract"),
        ("metric", "l0", "there is a metric of this name, harness_metrics/l0"),
        ("metric", "explained-ratio", "there is a metric of this name"),
    ],
)
def test_a_wrong_name_or_kind(
    said: Said, tmp_path: Path, kind: str, name: str, message: str
) -> None:
    code, out, err = said("new", kind, name, "--out", tmp_path)
    assert (code, out) == (2, "")
    assert message in err
    assert len(err.splitlines()) == 1
    assert not list(tmp_path.iterdir())


def test_a_folder_that_is_there_is_left_as_it_is(said: Said, tmp_path: Path) -> None:
    there = tmp_path / "harness-demo"
    there.mkdir()
    (there / "mine.txt").write_text("mine")
    code, _, err = said("new", "metric", "demo", "--out", tmp_path)
    assert code == 2
    assert f"{there}: is there already. Give another name, or remove it." in err
    assert [file.name for file in there.iterdir()] == ["mine.txt"]
    assert [file.name for file in tmp_path.iterdir()] == ["harness-demo"]


def test_a_link_that_leads_nowhere_is_left_as_it_is(said: Said, tmp_path: Path) -> None:
    (tmp_path / "harness-demo").symlink_to(tmp_path / "gone")
    assert said("new", "metric", "demo", "--out", tmp_path)[0] == 2
    assert not (tmp_path / "gone").exists()


def test_out_is_made_and_a_file_is_no_folder(said: Said, tmp_path: Path) -> None:
    code, out, _ = said("new", "metric", "demo", "--out", tmp_path / "a b" / "c")
    assert code == 0
    assert (tmp_path / "a b" / "c" / "harness-demo" / "pyproject.toml").is_file()
    assert re.search(r"pip install -e '.*a b/c/harness-demo\[dev\]'", out)
    (tmp_path / "file").write_text("")
    code, _, err = said("new", "metric", "demo", "--out", tmp_path / "file" / "inside")
    assert code == 2
    assert "file" in err
    assert "Traceback" not in err


def test_nothing_half_written_is_left_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def breaks(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device", str(tmp_path / "x"))

    monkeypatch.setattr(Path, "write_text", breaks)
    assert main(["new", "metric", "demo", "--out", str(tmp_path)]) == 4
    assert not list(tmp_path.iterdir())


def test_a_name_that_was_taken_by_no_one_is_free() -> None:
    assert named("metric", "l0", Registry()).package == "harness_l0"
    assert named("evaluator", "judge-evaluator", Registry()).cls == "JudgeEvaluator"
