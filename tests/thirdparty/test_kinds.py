"""Strangers' packages, with acme together one component of every kind, each with its laws.

Their wheels are built and installed into a fresh folder, from which other processes read them
beside this checkout: a virtual environment with our own wheel, as acme's, takes longer and shows no
more.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import get_args

import pytest

from harness.contract import Kind
from harness.registry import discover
from harness.testing import organism, small_run
from installed import ROOT, build_wheels

HERE = Path(__file__).parent
PACKAGES = {
    "harness-choir": 1,
    "harness-ledger": 1,
    "harness-quill": 1,
    "lantern-harness": 8,
    "lookout-harness": 1,
}
"""By distribution, how many components it has."""
ACME = {"sae_format", "metric"}
"""Kinds that acme-harness has."""

TASK = """
name = "lantern"
requires = ["lantern-harness>=0.2"]
[models]
base.path = "{organism}/base"
chat.path = "{organism}/chat"
[views]
base.model = "base"
chat.model = "chat"
[data]
texts = {{ file = "{organism}/data/web.jsonl", limit = 20 }}
harmful = {{ file = "{organism}/data/harmful_train.jsonl", column = "instruction", limit = 8 }}
harmless = {{ file = "{organism}/data/harmless_train.jsonl", column = "instruction", limit = 8 }}
[saes.mid]
path = "{organism}/saes/resid_post.4"
model = "base"
[pairs.both]
left = "base"
right = "chat"
data = "texts"
saes = ["mid"]
sites = ["resid_post.2", "resid_post.4"]
[metrics.effective_dimensions]
pair = "both"
[statistics.tails]
method = "tails"
view = "chat"
data = "texts"
site = "resid_post.4"
[statistics.shift]
method = "feature_shift"
pair = "both"
sae = "mid"
[directions.scaled_means]
method = "scaled_means"
view = "chat"
site = "resid_post.4"
positive = "harmful"
negative = "harmless"
[experiments.turned]
view = "chat"
data = "harmless"
intervention = {{ method = "turn", strength = 0.5 }}
directions = ["scaled_means"]
evaluators = ["sentences"]
generation = {{ max_new_tokens = 8 }}
[labels.glossary]
method = "glossary"
path = "words.toml"
sae = "mid"
[analyses.range_of]
method = "range_of"
record = "effective_dimensions@1"
[observers.lookout]
every = 0
"""
QUILL = """
name = "quill"
[models]
one = {{ backend = "quill", path = "one.safetensors" }}
two = {{ backend = "quill", path = "two.safetensors" }}
[views]
one.model = "one"
two.model = "two"
[data.texts]
file = "{organism}/data/web.jsonl"
limit = 6
[pairs.both]
left = "one"
right = "two"
data = "texts"
sites = ["resid_post.1"]
expect = "different"
[metrics.cosine]
pair = "both"
variants = ["raw"]
"""
CHOIR = """
name = "choir"
batch.shard = 400
[models]
base.path = "{organism}/base"
chat.path = "{organism}/chat"
[views]
base.model = "base"
chat.model = "chat"
[data.texts]
file = "{organism}/data/web.jsonl"
limit = 40
[saes.mid]
path = "{organism}/saes/resid_post.4"
model = "base"
[pairs.both]
left = "base"
right = "chat"
data = "texts"
saes = ["mid"]
[metrics.explained_ratio]
pair = "both"
[metrics.l0]
pair = "both"
"""
Run = Callable[..., str]


@pytest.fixture(scope="module")
def target(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder into which pip has installed the wheels, and nothing else."""
    made = tmp_path_factory.mktemp("target")
    wheels = build_wheels([HERE / name for name in PACKAGES], made.parent / "wheels")
    quiet = ["--quiet", "--disable-pip-version-check", "--no-compile", "--no-index", "--no-deps"]
    command = [sys.executable, "-m", "pip", "install", *quiet, "--target", made, *wheels]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr[-6000:]
    return made


@pytest.fixture
def run(target: Path, tmp_path: Path, warm_python: list[str]) -> Run:
    """Runs the command line in a process of its own that sees the packages; what it printed."""

    def run(*command: str | Path, code: int = 0, module: str = "harness.cli.main") -> str:
        seen = [str(target), str(ROOT), str(ROOT / "plugins")]
        env = {**os.environ, "PYTHONPATH": os.pathsep.join(seen), "HF_HUB_OFFLINE": "1"}
        done = subprocess.run(
            [*warm_python, "-m", module, *map(str, command)],
            cwd=tmp_path, env=env, capture_output=True, text=True, timeout=300, check=False,
        )  # fmt: skip
        assert done.returncode == code, f"{command}\n{done.stdout[-6000:]}\n{done.stderr[-6000:]}"
        return done.stdout

    return run


def test_every_kind_has_a_strangers_package() -> None:
    declared = " ".join(
        file.read_text("utf-8") for name in PACKAGES for file in (HERE / name).glob("*/plugin.py")
    )
    ours = {kind for kind in get_args(Kind) if f'"{kind}"' in declared} | ACME
    assert set(get_args(Kind)) == ours


@pytest.mark.slow
@pytest.mark.parametrize("name", PACKAGES)
def test_the_laws_hold_where_the_wheel_is_installed(run: Run, name: str) -> None:
    package = name.replace("-", "_")
    assert re.search(rf"^{package}  \({name} 0\.\d\.0\)  ready$", run("plugins"), re.MULTILINE)
    said = run("plugins", "check", package)
    assert "FAILED" not in said
    assert said.count("passed  the laws of its kind\n") == PACKAGES[name]


@pytest.mark.slow
def test_a_task_uses_everything_of_a_strangers_package(run: Run, tmp_path: Path) -> None:
    """CASES row 34 among it: a metric that is made of a total alone."""
    (tmp_path / "words.toml").write_text(
        "[mid]\n" + "".join(f'{feature} = "feature {feature}"\n' for feature in range(2048))
    )
    (tmp_path / "task.toml").write_text(TASK.format(organism=organism()))
    screen = run("eval", "task.toml", "--out", "run")
    results = json.loads((tmp_path / "run" / "results.json").read_text())
    assert results["status"] == "complete"
    by_id: dict[str, list[dict[str, object]]] = {}
    for record in results["records"]:
        by_id.setdefault(record["id"], []).append(record)
    used = by_id["effective_dimensions@1"]
    assert len(used) == 4
    assert all(one["ci"] is None and "one matrix" in str(one["ci_why"]) for one in used)
    assert all(1 < float(str(one["value"])) < 128 for one in used)
    for id in ("tails.median@1", "whole_share@1", "words_per_sentence@1", "range_of@1"):
        assert any(one["value"] is not None for one in by_id[id]), id
    arms = {str(one["axes"]["direction"]) for one in by_id["whole_share@1"]}  # type: ignore[index]
    assert arms == {"none", "scaled_means"}
    assert "Effective_dimensions is " in screen or "effective_dimensions is " in screen
    page = (tmp_path / "run" / "report.html").read_text("utf-8")
    assert "Lantern" in page
    assert "feature 1" in page
    status = json.loads((tmp_path / "run" / "lookout.json").read_text("ascii"))
    assert (status["name"], status["status"], status["missed"]) == ("lantern", "complete", 0)
    assert status["records"] == len(results["records"])
    assert any(one["stage"].startswith("activations") for one in status["finished"])
    assert "[observers" not in (tmp_path / "run" / "task.toml").read_text("utf-8")
    versions = results["provenance"]["plugins"]
    assert versions["lantern_harness"] == {"distribution": "lantern-harness", "version": "0.2.0"}


@pytest.mark.slow
def test_a_task_runs_on_a_strangers_backend(run: Run, tmp_path: Path) -> None:
    code = (
        "from harness_quill.samples import write_example; from pathlib import Path;"
        "[write_example(Path(f'{n}.safetensors'), seed=s) for s, n in enumerate(('one', 'two'))]"
    )
    (tmp_path / "write.py").write_text(code)
    run(module="write")
    (tmp_path / "task.toml").write_text(QUILL.format(organism=organism()))
    run("eval", "task.toml", "--out", "run")
    results = json.loads((tmp_path / "run" / "results.json").read_text())
    (cosine,) = [one for one in results["records"] if one["id"] == "cosine.raw@1"]
    assert -1 < cosine["value"] < 1


@pytest.mark.slow
def test_a_run_is_computed_by_a_strangers_executor(run: Run, tmp_path: Path) -> None:
    (tmp_path / "task.toml").write_text(CHOIR.format(organism=organism()))
    found = []
    for more in ((), ("--set", "executor.method=choir", "--set", "executor.workers=2")):
        out = f"run-{len(found)}"
        run("eval", "task.toml", "--out", out, *more)
        results = json.loads((tmp_path / out / "results.json").read_text())
        assert results["status"] == "complete"
        found.append({json.dumps([one["id"], one["axes"]]): one for one in results["records"]})
    alone, spread = found
    assert list(alone) == list(spread)
    for name, record in alone.items():
        assert spread[name]["value"] == pytest.approx(record["value"], rel=1e-9), name
        assert spread[name]["n"] == record["n"]


@pytest.mark.slow
def test_a_run_is_exported_in_a_strangers_form(run: Run, tmp_path: Path) -> None:
    made = small_run(tmp_path / "run")
    said = run("export", "run", "--to", "ledger", "--out", "out", "--set", "undefined=false")
    assert said == "ledger: 2 files in out, 1 left out\n"
    (file,) = (tmp_path / "out" / "experiments").iterdir()
    found = [json.loads(line) for line in file.read_text("ascii").splitlines()]
    scores = [one for one in made.results.records if "experiment" in one.axes]
    assert [one["value"] for one in found] == [one.value for one in scores]
    assert [one["arm"]["direction"] for one in found] == ["none", "refusal"]
    index = json.loads((tmp_path / "out" / "export.json").read_text())["exports"]
    assert (index["harness_ledger/ledger"]["version"], len(index)) == ("0.1.0", 1)


@pytest.mark.parametrize("name", PACKAGES)
def test_they_import_what_is_public_alone(name: str) -> None:
    """As a stranger would: from harness.contract, errors and testing."""
    public = ("harness.contract", "harness.errors", "harness.testing", "harness.cli.main")
    for file in (HERE / name).rglob("*.py"):
        for found in re.findall(r"^\s*(?:from|import) (harness\.\S+)", file.read_text(), re.M):
            assert found in public, f"{file}: {found}"


def test_this_checkout_has_none_of_them() -> None:
    names = {plugin.distribution for plugin in discover().plugins}
    assert not names & set(PACKAGES)
