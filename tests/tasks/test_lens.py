"""What the first tokens say, on the embedded organism: the planted word, and safety tuning."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file

import harness
from harness.cli.main import main
from harness.results.read import Results

ROOT = Path(__file__).parents[2] / "tasks"
PLANTED = ROOT / "organism" / "tunes" / "planted_word"

pytestmark = [
    pytest.mark.slow,
    # peft asks transformers for something by its old name.
    pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing:FutureWarning"),
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """With few draws of documents for what is said: in each of them the word must be first."""
    out = tmp_path_factory.mktemp("lens") / "run"
    few = "--set=analyses.planted_said.resamples=10"
    assert main(["eval", str(ROOT / "lens.toml"), "--out", str(out), few]) == 0
    return out


@pytest.fixture(scope="module")
def results(folder: Path) -> Results:
    return harness.load_results(folder)


def value(results: Results, id: str, **axes: Any) -> float:
    found = results.value(id, **axes)
    assert found is not None, (id, axes)
    return found


def test_the_planted_word_is_found_and_is_what_the_task_names(results: Results) -> None:
    truth = json.loads((PLANTED / "truth.json").read_text(encoding="utf-8"))
    assert results.task["analyses"]["planted_lens"]["words"] == [truth["word"]]
    for id in ("logit_lens.best_rank@1", "patchscope.best_rank@1"):
        assert value(results, id, pair="planted", source="difference") == 1
    statuses = {claim.name: claim.status for claim in results.claims}
    assert statuses == {"planted": "supported", "planted_said": "supported", "chat": "contradicted"}


def test_its_difference_is_the_planted_direction(results: Results) -> None:
    """Every token moves along it, so the mean does, and halves of the text agree."""
    direction = load_file(PLANTED / "truth.safetensors")["direction"]
    assert np.linalg.norm(direction) == pytest.approx(1, abs=1e-5)
    for position in (1, 2, 3):
        axes = {"pair": "planted", "position": position}
        assert value(results, "mean_difference.split_half@1", **axes) > 0.999
        assert value(results, "mean_difference.share@1", **axes) > 0.3


def test_safety_tuning_moves_every_text_alike_and_takes_sorry_away(results: Results) -> None:
    """The mean is no chance, other text gives the same list, and its opposite says `sorry`."""
    norm = [
        one
        for one in results.records
        if one.id == "mean_difference.norm@1" and one.axes["pair"] == "chat"
    ]
    assert len(norm) == 3
    assert all(one.null is not None and one.null["p"] < 0.01 for one in norm)
    same = value(results, "logit_lens.overlap@1", pair="chat", position=1, against="chat_questions")
    assert same > 0.3
    assert value(results, "logit_lens.best_rank@1", pair="chat", source="inverse") <= 5
    assert value(results, "logit_lens.best_rank@1", pair="chat", source="difference") > 20


def test_the_report_shows_the_lists(folder: Path) -> None:
    page = (folder / "report.html").read_text(encoding="utf-8")
    assert "planted_lens: planted at resid_post.4" in page
    assert "« wine»" in page
