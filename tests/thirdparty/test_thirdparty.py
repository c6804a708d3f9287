"""A stranger's package, built as a wheel and installed beside ours, used by a task.

Nothing in `harness/` knows of it. Both wheels go into a fresh virtual environment (`installed`).
"""

from __future__ import annotations

import ast
import json
from pathlib import Path

import pytest

from installed import ROOT, Installed, build_wheel, fresh

ACME = Path(__file__).parent / "acme-harness"

TASK = """
name = "acme"
requires = ["acme-harness>=0.3"]
[models]
base.path = "{organism}/base"
chat.path = "{organism}/chat"
[views]
base.model = "base"
chat.model = "chat"
[data.texts]
file = "{organism}/data/web.jsonl"
limit = 20
[saes.polar]
path = "random.polar"
model = "base"
site = "resid_post.3"
[pairs.both]
left = "base"
right = "chat"
data = "texts"
saes = ["polar"]
expect = "different"
[metrics.length_ratio]
pair = "both"
[metrics.l0]
pair = "both"
[metrics.fvu]
pair = "both"
"""


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Installed:
    made = fresh(tmp_path_factory.mktemp("acme"))
    made.install(build_wheel(ACME, made.folder.parent / "acme"))
    return made


@pytest.mark.slow
def test_a_strangers_plugin_is_used_by_a_task(installed: Installed, tmp_path: Path) -> None:
    here = installed.run("python", "-c", "import harness; print(harness.__file__)", cwd=tmp_path)
    assert str(ROOT) not in here.stdout
    listed = installed.run("harness", "plugins", cwd=tmp_path).stdout
    assert "acme_harness  (acme-harness 0.3.0)  ready" in listed
    assert "with W_enc" in installed.run("harness", "plugins", "polar", cwd=tmp_path).stdout
    checked = installed.run("harness", "plugins", "check", "acme_harness", cwd=tmp_path).stdout
    assert "passed  the laws of its kind: no pickle is opened" in checked
    assert "FAILED" not in checked
    assert "skipped" not in checked
    write = "from acme_harness.samples import write; write('random.polar', 128, 300)"
    installed.run("python", "-c", write, cwd=tmp_path)
    find = "from harness.testing import organism; print(organism())"
    organism = installed.run("python", "-c", find, cwd=tmp_path).stdout.strip()
    (tmp_path / "task.toml").write_text(TASK.format(organism=organism))
    installed.run("harness", "eval", "task.toml", "--out", "run", cwd=tmp_path)
    results = json.loads((tmp_path / "run" / "results.json").read_text())
    assert results["status"] == "complete"
    found = {record["id"]: record for record in results["records"]}
    assert found["length_ratio@1"]["value"] > 0
    assert found["length_ratio@1"]["ci"] is not None
    assert 0 < found["l0@1"]["value"] < 300
    assert found["fvu.pooled@1"]["axes"]["sae"] == "polar"


@pytest.mark.slow
def test_it_passes_its_own_tests(installed: Installed, tmp_path: Path) -> None:
    tests = ["-q", "-p", "no:cacheprovider", "--import-mode=importlib", ACME / "tests"]
    installed.run("python", "-m", "pytest", *tests, cwd=tmp_path)


def own_lines(code: str) -> int:
    """Lines with code that is neither an import nor a docstring; also those within a statement."""
    tree = ast.parse(code)
    skipped: set[int] = set()
    for node in ast.walk(tree):
        text = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
        if text or isinstance(node, (ast.Import, ast.ImportFrom)):
            skipped |= set(range(node.lineno, (node.end_lineno or node.lineno) + 1))
    lines = enumerate(code.splitlines(), start=1)
    return sum(
        number not in skipped and bool(line.strip()) and not line.strip().startswith("#")
        for number, line in lines
    )


def test_an_architecture_takes_at_most_40_lines_of_ones_own() -> None:
    options = (ACME / "acme_harness" / "options.py").read_text()
    polar = options[: options.index("class LengthRatioOptions")]
    assert own_lines((ACME / "acme_harness" / "sae.py").read_text()) + own_lines(polar) <= 40
