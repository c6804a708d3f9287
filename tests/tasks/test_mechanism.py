"""What fine-tuning wrote, on the embedded organism: what was planted, and what must always hold."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from safetensors.numpy import load_file

import harness
from harness.cli.main import main
from harness.results.read import Results

ROOT = Path(__file__).parents[2] / "tasks"
TUNES = ROOT / "organism" / "tunes"
TASKS = ("safety", "topics", "pirate", "sums")
STEPS = ("topics_20", "topics_50", "topics_100", "topics_160", "topics")
PLACES = {"early": "resid_post.2", "mid": "resid_post.4", "late": "resid_post.5"}

pytestmark = [
    pytest.mark.slow,
    # peft asks transformers for something by its old name.
    pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing:FutureWarning"),
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of half of the text: eight models read it."""
    out = tmp_path_factory.mktemp("mechanism") / "run"
    few = ("--set", "data.web.limit=30")
    assert main(["eval", str(ROOT / "mechanism.toml"), "--out", str(out), *few]) == 0
    return out


@pytest.fixture(scope="module")
def results(folder: Path) -> Results:
    return harness.load_results(folder)


def number(results: Results, id: str, **axes: Any) -> float:
    value = results.value(id, **axes)
    assert value is not None, (id, axes)
    return value


def records(results: Results, id: str, **axes: Any) -> list[harness.results.read.Record]:
    return [r for r in results.records if r.id == id and axes.items() <= r.axes.items()]


def _rows(name: str) -> list[dict[str, Any]]:
    text = (ROOT / "organism" / name).read_text("utf-8")
    return [json.loads(line) for line in text.splitlines()]


def truth(name: str) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    told = json.loads((TUNES / name / "truth.json").read_text())
    return told, load_file(TUNES / name / "truth.safetensors")


def test_planted_features_lead_the_table_of_shifts(folder: Path) -> None:
    told, _ = truth("planted_features")
    rows = pq.read_table(folder / "tables" / "planted_shift.features.parquet").to_pylist()
    best = {row["feature"] for row in rows[: len(told["features"])]}
    assert len(best & set(told["features"])) >= 9  # precision and recall of ten among ten


def test_a_planted_direction_is_the_first_component(folder: Path, results: Results) -> None:
    told, arrays = truth("planted_rank_one")
    [file] = (folder / "directions").glob("planted_pcs*planted_rank_one*pc=1*")
    vector, planted = load_file(file)["vectors"][0], arrays["direction"]
    cosine = vector @ planted / np.linalg.norm(vector) / np.linalg.norm(planted)
    assert abs(cosine) >= 0.95
    at = {"pair": "planted_rank_one", "pc": 1}
    assert number(results, "pc_explained_variance", **at) >= 0.95
    assert number(results, "pc_feature_cosine.max_abs", **at) >= 0.95
    rows = pq.read_table(folder / "tables" / "planted_alignment.features.parquet").to_pylist()
    first = next(r for r in rows if (r["pair"], r["pc"]) == ("planted_rank_one", 1))
    assert first["feature"] == told["feature"]


def test_every_fine_tune_has_its_flips_at_every_layer_beside_random_ones(results: Results) -> None:
    for pair in TASKS:
        for sae, site in PLACES.items():
            at = {"pair": pair, "sae": sae, "site": site}
            assert number(results, "flip_rate.token", injection="none", **at) > 0
            for k in (1, 10):
                number(results, "flip_rate.token", injection="pcs", k=k, **at)
                for draw in range(5):
                    number(results, "flip_rate.token", injection="random", k=k, draw=draw, **at)
                [ratio] = records(results, "flip_rate.over_random@1", k=k, **at)
                assert ratio.value is not None
                assert ratio.ci is not None
                low, high = ratio.ci
                assert low <= ratio.value <= high


def test_activations_stay_closer_than_latents(results: Results) -> None:
    for pair in TASKS:
        for sae, site in PLACES.items():
            at = {"pair": pair, "sae": sae, "site": site}
            assert number(results, "cosine.raw", **at) > number(results, "cosine.latent", **at)


def test_every_width_is_compared_with_its_own_null(results: Results) -> None:
    nulls = []
    for sae in ("mid_1024", "mid", "mid_4096"):
        at = {"pair": "safety", "sae": sae, "pc": 1, "statistic": "alignment"}
        [record] = records(results, "pc_feature_cosine.max_abs@1", **at)
        assert record.value is not None
        assert record.null is not None
        nulls.append(record.null["value"])
    assert nulls == sorted(nulls)


def test_layers_tasks_and_checkpoints_are_compared(results: Results) -> None:
    for pair in TASKS:
        assert 2 <= number(results, "layer_profile.centre", pair=pair) <= 5
    [difference] = records(results, "layer_profile.centre_difference@1")
    assert difference.value is not None
    assert difference.ci is not None
    for one, other in pairwise(STEPS):
        at = {"pair": one, "against": other, "analysis": "checkpoints"}
        assert number(results, "flip_overlap.jaccard", **at) > 0
    number(results, "trajectory.trend", of="flip_rate.token@1", injection="none")


def test_the_components_are_injected_into_the_base(results: Results) -> None:
    arms = {
        (r.axes["direction"], r.axes.get("pc"), r.axes.get("draw"))
        for r in results.records
        if r.id == "refusal_score@1" and r.axes["experiment"] == "inject" and r.value is not None
    }
    assert {("none", None, None), ("refusal_pcs", None, None)} <= arms
    assert {("refusal_pcs", pc, None) for pc in (1, 2, 3)} <= arms
    assert {("random", None, draw) for draw in range(5)} <= arms


def test_kinds_of_features_are_told_at_every_width_and_held_against_a_reader(
    folder: Path, results: Results
) -> None:
    for width in ("kinds", "kinds_1024", "kinds_4096"):
        at = {"pair": "safety", "analysis": width, "injection": "none"}
        assert 0 < number(results, "collateral", **at) < 1
    [kappa] = records(results, "clusters.kappa@1", against="read")
    assert kappa.n == 90
    read, known = (
        {row["feature"]: row["cluster"] for row in rows if row["sae"] == "resid_post.4"}
        for rows in (_rows("labels_read.jsonl"), _rows("labels.jsonl"))
    )
    pairs = [(known[feature], cluster) for feature, cluster in read.items()]
    names = sorted({name for pair in pairs for name in pair})
    table = np.zeros((len(names), len(names)))
    for one, other in pairs:
        table[names.index(one), names.index(other)] += 1 / len(pairs)
    chance = table.sum(0) @ table.sum(1)
    assert kappa.value == pytest.approx((np.trace(table) - chance) / (1 - chance), abs=1e-12)
    rows = pq.read_table(folder / "tables" / "kinds.disagreements.parquet").to_pylist()
    assert len(rows) == sum(one != other for one, other in pairs)
