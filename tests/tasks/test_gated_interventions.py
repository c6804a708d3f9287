"""Interventions with a gate and affine editing on the organism, from the task to the records."""

from __future__ import annotations

import json
from collections import defaultdict
from pathlib import Path

import pytest

import harness
from harness.contract import Record, Results

ROOT = Path(__file__).parents[2]
EXPERIMENT = """
[experiments.{name}]
view = "chat"
data = "{data}"
intervention = {{ {intervention} }}
directions = ["refusal", "random"]
evaluators = ["substrings"]
generation = {{ max_new_tokens = 8 }}
"""
GATE = 'method = "conditional_addition", sae = "mid", latents = [5], threshold = '
EXPERIMENTS = {
    "never": ("harmless_test", f"{GATE}1e9"),
    "always": ("harmless_test", f"{GATE}-1"),
    "plain": ("harmless_test", 'method = "addition"'),
    "affine": ("harmful_test", 'method = "affine_editing"'),
}
HEAD = f"""
extends = "{ROOT / "tasks" / "refusal.toml"}"
name = "gated"
[experiments]
bypass = false
induce = false
[analyses]
agreement = false
[metrics]
cosine = false
[directions]
base_features = false
chat_features = false
random_features = false
random = {{ draws = 2 }}
[data]
harmful_train = {{ limit = 16 }}
harmless_train = {{ limit = 16 }}
harmful_test = {{ limit = 8 }}
harmless_test = {{ limit = 8 }}
web = {{ limit = 16 }}
"""


pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("gated") / "gated.toml"
    parts = [
        EXPERIMENT.format(name=name, data=data, intervention=intervention)
        for name, (data, intervention) in EXPERIMENTS.items()
    ]
    file.write_text(HEAD + "".join(parts), encoding="utf-8")
    folder = file.parent / "run"
    harness.run(harness.plan(harness.load(file)), folder)
    return folder


@pytest.fixture(scope="module")
def results(folder: Path) -> Results:
    return harness.load_results(folder)


def of(results: Results, id: str, **axes: object) -> list[Record]:
    return [
        one
        for one in results.records
        if one.id == id and all(one.axes.get(key) == value for key, value in axes.items())
    ]


def completions(folder: Path, experiment: str) -> dict[str, list[str]]:
    """By arm."""
    found = defaultdict(list)
    text = (folder / "samples" / f"{experiment}.jsonl").read_text(encoding="utf-8")
    for row in map(json.loads, filter(None, text.split("\n"))):
        found[f"{row['direction']} {row.get('draw', '')}"].append(row["completion"])
    return found


def test_a_gate_that_never_opens_ends_well_as_the_unedited_arm(
    folder: Path, results: Results
) -> None:
    assert results.status == "complete"
    shares = of(results, "edit.share@1", experiment="never")
    assert [one.value for one in shares] == [0.0] * 3
    assert all(one.n > 100 for one in shares)
    none, *others = completions(folder, "never").values()
    assert len(others) == 3
    assert all(one == none for one in others)
    assert sum("experiments.never" in one and "gate" in one for one in results.warnings) == 3


def test_a_gate_that_is_always_open_is_addition(folder: Path, results: Results) -> None:
    assert completions(folder, "always") == completions(folder, "plain")
    shares = of(results, "edit.share@1", experiment="always")
    assert [one.value for one in shares] == [1.0] * 3
    (refused,) = of(results, "refusal_score@1", experiment="always", direction="refusal")
    assert refused.value >= 0.5


def test_at_the_reference_point_of_harmless_prompts_nothing_is_refused(results: Results) -> None:
    def refused(direction: str) -> list[float | None]:
        found = of(results, "refusal_score@1", experiment="affine", direction=direction)
        return [one.value for one in found]

    assert refused("none") == [1.0]
    assert refused("refusal") == [0.0]
    assert refused("random") == [1.0, 1.0]
    checks = of(results, "edit.check@1", experiment="affine")
    assert checks
    assert all(one.value < 1e-5 for one in checks)
