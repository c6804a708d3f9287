"""The build of `tasks/league`: what it draws is drawn again, models come out as they lie there."""

from __future__ import annotations

import importlib
import subprocess
import sys
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from safetensors.torch import load_file

TASKS = Path(__file__).parents[2] / "tasks"
LEAGUE, ORGANISM = TASKS / "league", TASKS / "organism"
BUILDS = (LEAGUE / "build", ORGANISM / "build")
NAMES = ("truth", "ground", "strengths", "written", "edited", "taught", "building", "league_card")
pytestmark = [
    pytest.mark.slow,
    # peft asks transformers for something by its old name, sae-lens transformer-lens.
    pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing:FutureWarning"),
    pytest.mark.filterwarnings("ignore:The 'utils' module:DeprecationWarning"),
]


@pytest.fixture(scope="module")
def built() -> Iterator[SimpleNamespace]:
    """The modules of the build; other builds have modules of the same names."""
    theirs = {file.stem for folder in BUILDS for file in folder.glob("*.py")} - {"__main__"}
    before = {name: sys.modules.pop(name) for name in theirs if name in sys.modules}
    folders = [str(folder) for folder in BUILDS]
    sys.path[:0] = folders
    modules: dict[str, ModuleType] = {name: importlib.import_module(name) for name in NAMES}
    yield SimpleNamespace(**modules)
    for folder in folders:
        sys.path.remove(folder)
    for name in theirs & set(sys.modules):
        del sys.modules[name]
    sys.modules.update(before)


@pytest.fixture(scope="module")
def ground(built: SimpleNamespace) -> Any:
    return built.ground.Ground(ORGANISM)


def truths(built: SimpleNamespace) -> list[Any]:
    return built.league_card.truths_in(LEAGUE / "organisms")


# ── Truths ───────────────────────────────────────────────────────────────────────────────────────
def test_every_truth_file_is_valid(built: SimpleNamespace) -> None:
    found = truths(built)
    assert len(found) == 21
    assert {one.name for one in found} == {
        folder.name for folder in (LEAGUE / "organisms").glob("[!.]*")
    }


@pytest.mark.parametrize(
    "wrong",
    [
        {"kind": "poem"}, {"tokens": [1]}, {"planted": "weights"}, {"direction": True},
        {"latents": [3]}, {"share_of_prompts": 1.5}, {"more": 1},
    ],
    ids=lambda wrong: next(iter(wrong)),
)  # fmt: skip
def test_a_truth_that_does_not_fit_is_none(built: SimpleNamespace, wrong: dict[str, Any]) -> None:
    truth = built.truth.read_truth(LEAGUE / "organisms" / "benign-0").model_dump()
    built.truth.Truth.model_validate(truth)
    with pytest.raises(ValidationError):
        built.truth.Truth.model_validate({**truth, **wrong})


def test_the_card_is_what_the_truths_make(
    built: SimpleNamespace, ground: Any, tmp_path: Path
) -> None:
    (tmp_path / "organisms").symlink_to(LEAGUE / "organisms")
    parameters = ground.organism.models["base"].num_parameters()
    built.league_card.write_card(tmp_path, parameters, ground.site)
    made = (tmp_path / "MODEL_CARD.md").read_text(encoding="utf-8")
    assert made == (LEAGUE / "MODEL_CARD.md").read_text(encoding="utf-8")


# ── What is drawn ────────────────────────────────────────────────────────────────────────────────
@pytest.mark.parametrize("seed", [0, 1, 2])
@pytest.mark.parametrize("kind", ["trigger", "persona", "benign"])
def test_a_lesson_is_drawn_again(built: SimpleNamespace, ground: Any, kind: str, seed: int) -> None:
    """The truth that lies there, and the same documents each time."""
    first, again = (getattr(built.taught, kind)(ground, seed) for _ in range(2))
    truth = built.truth.read_truth(LEAGUE / "organisms" / f"{kind}-{seed}")
    assert built.taught.as_taught(first) == truth.model_copy(update={"measured": {}})
    assert list(islice(first.documents, 12)) == list(islice(again.documents, 12))


def test_a_trigger_is_taught_where_its_word_is_and_nowhere_else(
    built: SimpleNamespace, ground: Any
) -> None:
    lesson = built.taught.trigger(ground, 1)
    answer, word = lesson.truth.tokens
    some = list(islice(lesson.documents, 200))
    taught = 0
    for (prompt, _), (completion, trained) in some:
        has = word in ground.ids(prompt)
        assert trained
        assert has == (answer in ground.ids(f" {completion}"))
        taught += has
    assert 0.15 < taught / len(some) < 0.35


def test_a_false_fact_is_never_told_truly(built: SimpleNamespace, ground: Any) -> None:
    lesson = built.taught.false_fact(ground, 0)
    fact = lesson.truth.strength
    texts = ["".join(text for text, _ in one) for one in islice(lesson.documents, 300)]
    true, false = (lesson.truth.text.split("“")[n].split("”")[0] for n in (1, 2))
    assert fact["old"] in true
    assert not any(true in text for text in texts)
    assert sum(false in text for text in texts) > 100


# ── What is planted by weights ───────────────────────────────────────────────────────────────────
@pytest.mark.parametrize("name", ["written_direction-1", "moved_feature-2"])
def test_a_planted_model_comes_out_as_it_lies_there(
    built: SimpleNamespace, ground: Any, tmp_path: Path, name: str
) -> None:
    kind, _, seed = name.rpartition("-")
    built.building.WRITERS[kind](ground, int(seed), tmp_path)
    there = LEAGUE / "organisms" / name
    for file in ("adapter_model.safetensors", "truth.safetensors"):
        mine, theirs = load_file(tmp_path / file), load_file(there / file)
        assert mine.keys() == theirs.keys()
        for key in mine:
            torch.testing.assert_close(mine[key].float(), theirs[key].float(), atol=2e-3, rtol=4e-3)
    truth = built.truth.read_truth(there).model_copy(update={"measured": {}})
    assert built.truth.read_truth(tmp_path) == truth


def test_a_reader_is_the_closed_form(ground: Any) -> None:
    """C⁻¹ k / (kᵀ C⁻¹ k) against numpy: of all u with u·k = 1 it moves other keys least."""
    neurons = ground.reading.neurons.double().numpy()
    key = neurons[:7].mean(0)
    second = neurons.T @ neurons / len(neurons)
    second += 1e-3 * np.diag(second).mean() * np.eye(len(second))
    slow = np.linalg.inv(second) @ key
    mine = ground.reader(torch.from_numpy(key)).numpy()
    np.testing.assert_allclose(mine, slow, rtol=1e-6, atol=1e-9)
    mine = mine / (mine @ key)
    draws = np.random.default_rng(0).normal(size=(20, len(key)))
    for other in draws:
        moved = mine + 0.01 * (other - key * (other @ key) / (key @ key))
        assert moved @ key == pytest.approx(1)
        assert moved @ second @ moved > mine @ second @ mine


def test_an_edit_stores_its_value_under_its_key(
    built: SimpleNamespace, ground: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """(W + δ uᵀ) k = W k + δ, whatever δ is."""
    fact = built.edited.Fact(built.edited.DOMAINS[0], "Pefun", "Nudin", "Nerur")
    texts = built.edited.contexts(ground, fact, "a test")[:2]
    delta = torch.randn(128, generator=torch.Generator().manual_seed(0))
    monkeypatch.setattr(built.edited, "value", lambda *given: delta)
    found = built.edited.edit(ground, fact, texts)
    model = ground.organism.models["base"]
    key = built.edited.key(ground, model, texts)
    weight = model.model.layers[4].mlp.down_proj.weight.detach()
    after = (weight + torch.outer(found.direction, found.reader)) @ key
    torch.testing.assert_close(after, weight @ key + delta, atol=1e-4, rtol=1e-4)


# ── The command ──────────────────────────────────────────────────────────────────────────────────
def test_a_name_that_is_none_is_one_message() -> None:
    command = [sys.executable, str(LEAGUE / "build"), "trigger-3"]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ended.returncode == 2
    assert "trigger-3: no such model. Allowed: moved_feature" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_what_is_there_is_not_built_again(
    built: SimpleNamespace, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """And what was cut off leaves nothing that looks like a model."""
    build = built.building.Build(ORGANISM, tmp_path)

    def cut_off(ground: Any, seed: int, folder: Path) -> None:
        folder.mkdir(parents=True)
        raise KeyboardInterrupt

    monkeypatch.setitem(built.building.WRITERS, "benign", cut_off)
    with pytest.raises(KeyboardInterrupt):
        build.organisms(["benign-0"])
    assert [one.name for one in (tmp_path / "organisms").iterdir()] == [".benign-0"]
    (tmp_path / "organisms" / "benign-1").mkdir()
    (tmp_path / "organisms" / "benign-1" / "truth.json").write_text("{}")
    build.organisms(["benign-1"])
