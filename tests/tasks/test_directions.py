"""All ways to one direction on a few prompts of the organism, and the page's persona vector."""

from __future__ import annotations

import runpy
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

import harness
from harness.cli.main import main
from pages import ROOT, blocks

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which the page's commands run: the tasks, and a run of the first one."""
    out = tmp_path_factory.mktemp("directions")
    (out / "tasks").symlink_to(ROOT / "tasks")
    run = out / "runs" / "answers"
    task = out / "tasks" / "directions.toml"
    assert main(["eval", str(task), "--limit", "16", "--out", str(run), "-q"]) == 0
    return out


def test_the_directions_of_the_same_prompts_are_related_as_they_must_be(folder: Path) -> None:
    saved = {
        file.stem: load_file(file)
        for file in (folder / "runs" / "answers" / "directions").glob("*.safetensors")
    }
    means, leace = saved["means"], saved["leace"]
    np.testing.assert_allclose(leace["vectors"], means["vectors"], rtol=1e-9)
    assert (leace["readers"] @ leace["vectors"].T).item() == pytest.approx(1, abs=1e-9)
    assert not {"readers"} & means.keys()
    results = harness.load_results(folder / "runs" / "answers")
    (table,) = [rows for name, rows in results.tables.items() if "cosines" in name]
    cosines = {row["direction"]: row for row in table}
    for name in ("probe", "contrast", "decoder", "within"):
        one, other = saved[name]["vectors"][0], means["vectors"][0]
        expected = one @ other / np.linalg.norm(one) / np.linalg.norm(other)
        assert cosines["means"][name] == pytest.approx(expected, abs=1e-9)
        assert cosines[name]["means"] == cosines["means"][name]
    assert cosines["leace"]["leace"] == 1


def test_what_acts_and_what_does_not(folder: Path) -> None:
    results = harness.load_results(folder / "runs" / "answers")

    def refused(experiment: str, direction: str) -> float:
        return results.value("refusal_score@1", experiment=experiment, direction=direction)

    assert refused("without", "none") == 1
    assert refused("without", "means") <= 0.2
    assert refused("without", "within") >= 0.8
    assert refused("erased", "means") <= 0.2
    assert refused("added", "means") >= 0.5
    (read,) = [
        record
        for record in results.records
        if record.id == "edit.check@1"
        and record.axes["direction"] == "leace"
        and record.axes["experiment"] == "erased"
    ]
    assert read.value < 1e-4


def test_the_persona_of_the_page(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    for block in blocks(ROOT / "docs" / "directions.md"):
        if block.mark == "file":
            Path(block.of).write_text(block.text, encoding="utf-8")
    runpy.run_path("answers.py")
    assert main(["eval", "persona.toml", "--out", "runs/persona", "-q"]) == 0
    results = harness.load_results("runs/persona")
    file = load_file("runs/persona/directions/persona.safetensors")
    norm = results.value("direction.norm@1", direction="persona")
    assert norm == pytest.approx(np.linalg.norm(file["vectors"]))
    (along,) = [one for one in results.records if one.id == "shift_along.distance@1"]
    assert along.n == 12
    assert (along.ci, along.ci_why) == (None, "12 documents; an interval needs 20")
    assert along.value != 0
