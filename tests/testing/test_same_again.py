"""Laws about what must be the same again, and about what is left behind: one thing wrong each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from fakes.judged import Quiz, QuizOptions
from fakes.models import FakeModel, ModelOptions
from harness.contract import (
    Answer,
    Arm,
    Batch,
    Completion,
    Direction,
    Edit,
    Example,
    Inputs,
    ModelFacts,
    Outcome,
    Record,
    Score,
    Site,
    State,
    Tools,
    Verdict,
)
from harness.testing import (
    check_benchmark,
    check_evaluator,
    check_intervention,
    check_sae,
    check_statistic,
    small_batch,
    small_sae,
)
from harness.testing.evaluator import VERDICTS
from harness.testing.support.given import written
from harness.testing.support.hooks import hooks_of
from harness.testing.support.laws import drawing, missed_laws, seeded

SITE = Site("resid_post", 1)
NOISE = 1e-5


def noise(*shape: int) -> np.ndarray:
    """Another one in each call."""
    return NOISE * np.random.default_rng().normal(size=shape)


# ── SAEs ─────────────────────────────────────────────────────────────────────────────────────────


class Sae:
    """The small SAE, with one thing changed."""

    def __init__(self, wrong: str = "") -> None:
        self.sae, self.wrong = small_sae(), wrong
        self.facts, self.fingerprint, self.notes = self.sae.facts, "small", ()

    def encode(self, x: torch.Tensor) -> Any:
        found = self.sae.encode(x)
        if self.wrong == "latents":
            values = found.values + torch.from_numpy(noise(len(found.values))).float()
            return replace(found, values=values)
        return found

    def reconstruct(self, latents: Any) -> torch.Tensor:
        out = self.sae.reconstruct(latents)
        wrong = self.wrong == "reconstruction"
        return out + torch.from_numpy(noise(*out.shape)).float() if wrong else out

    def rows(self, indices: torch.Tensor) -> torch.Tensor:
        rows = self.sae.rows(indices)
        if self.wrong == "indices" and len(indices):
            indices[0] = 0
            indices[-1] = 0
        return rows


def own(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    sae = small_sae()
    latents = sae.encode(torch.from_numpy(x).float())
    return latents.dense().double().numpy(), sae.reconstruct(latents).double().numpy()


@pytest.mark.parametrize(
    ("wrong", "law"),
    [
        ("latents", "deterministic: latents of the same activations differ"),
        ("reconstruction", "deterministic: reconstructions of the same latents differ"),
        ("indices", "inputs: rows modified"),
    ],
)
def test_an_sae_that_gives_something_else_again(wrong: str, law: str) -> None:
    check_sae(Sae(), own, rtol=1e-3)
    with pytest.raises(AssertionError, match=law):
        check_sae(Sae(wrong), own, rtol=1e-3)


# ── Statistics ───────────────────────────────────────────────────────────────────────────────────


class Mean:
    """The mean of the selected tokens, with one thing changed."""

    def __init__(self, wrong: str = "") -> None:
        self.wrong = wrong

    def start(self, inputs: Inputs) -> State:
        return {"n": np.zeros(1), "sum": np.zeros(8)}

    def update(self, state: State, batch: Batch) -> State:
        x = batch.left.x(SITE)[batch.selected].double().numpy()
        more = noise(8) if self.wrong == "update" else 0
        n = float(len(batch.documents) if self.wrong == "documents" else len(x))
        return {"n": state["n"] + n, "sum": state["sum"] + x.sum(0) + more}

    def merge(self, left: State, right: State) -> State:
        both = {name: left[name] + right[name] for name in left}
        # Only where a small state comes after a large one is it forgotten.
        if self.wrong == "merge" and left["n"][0] >= 16 and 0 < right["n"][0] <= 2:
            return {name: array.copy() for name, array in left.items()}
        return both

    def finish(self, state: State, inputs: Inputs) -> Outcome:
        n = state["n"][0]
        value = float(np.abs(state["sum"]).sum() / n) if n else None
        if value is not None and self.wrong == "finish":
            value += float(noise(1)[0])
        why = None if n else "no token was measured"
        return Outcome((Record("mean@1", value, int(n), "tokens", "x", ci_why="-", undefined=why),))


def mean(batches: Sequence[Batch]) -> dict[str, float]:
    x = np.concatenate([one.left.x(SITE)[one.selected].double().numpy() for one in batches])
    return {"mean@1": float(np.abs(x.sum(0)).sum() / len(x))}


@pytest.mark.parametrize(
    ("wrong", "law"),
    [
        ("update", "the same batches give the same"),
        ("finish", "finish is deterministic"),
        ("documents", "a document without measured tokens changes nothing|reference"),
        ("merge", "merge is (commutative|associative)"),
    ],
)
def test_a_statistic_that_gives_something_else_again(wrong: str, law: str) -> None:
    batches = [small_batch(seed) for seed in range(3)]
    check_statistic(Mean(), *batches, reference=mean)
    with pytest.raises(AssertionError, match=law):
        check_statistic(Mean(wrong), *batches, reference=lambda _: {}, tolerance=1e-6)


# ── Interventions ────────────────────────────────────────────────────────────────────────────────


def _plain(x: torch.Tensor, parameters: Any) -> torch.Tensor:
    return x + parameters["v"][:, None].to(x.dtype)


def _noisy(x: torch.Tensor, parameters: Any) -> torch.Tensor:
    out = _plain(x, parameters)
    return out + torch.from_numpy(10 * noise(*x.shape)).to(x.dtype)


class Adds:
    """Adds a direction, with one thing changed."""

    def __init__(self, wrong: str = "") -> None:
        self.wrong = wrong

    def arm(self, name: str, direction: Direction, facts: ModelFacts, dtype: str) -> Arm:
        vector = torch.from_numpy(direction.vectors[0].copy()).float()
        if self.wrong == "direction":
            direction.vectors[:] *= 1.001
        if self.wrong == "arm":
            vector = vector + torch.from_numpy(noise(len(vector))).float()
        edit = _noisy if self.wrong == "edit" else _plain
        return Arm(name, (Edit(direction.site, edit, {"v": vector}),))


@pytest.mark.parametrize(
    ("wrong", "law"),
    [
        ("arm", "deterministic: asked again"),
        ("edit", "deterministic: .* came out different"),
        ("direction", "does not modify its input: the direction|deterministic"),
    ],
)
def test_an_intervention_that_gives_something_else_again(wrong: str, law: str) -> None:
    def direction() -> Direction:
        return Direction(SITE, np.random.default_rng(0).normal(size=(1, 8)))

    facts = ModelFacts(layers=3, d_model=8)
    check_intervention(Adds(), direction(), facts)
    with pytest.raises(AssertionError, match=law):
        check_intervention(Adds(wrong), direction(), facts)


# ── Judges ───────────────────────────────────────────────────────────────────────────────────────

EXAMPLE = Example("e", "Why?", {"text": "Why?", "tags": ["a"]})
ANSWERS = [Answer(EXAMPLE, "Why?", Completion(text, 1, True)) for text in ("", "a", "bb", "ccc")]


class Judge:
    """How long an answer is, with one thing changed."""

    scores = (Score("length", "length@1"),)

    def __init__(self, wrong: str = "") -> None:
        self.wrong = wrong
        self.count, self.memory = 0, {}  # type: ignore[var-annotated]

    def judge(self, answers: Sequence[Answer], tools: Tools) -> list[Verdict]:
        return [Verdict({"length": self._length(one, tools)}) for one in answers]

    def _length(self, one: Answer, tools: Tools) -> float:
        self.count += 1
        value = float(len(one.completion.text))
        match self.wrong:
            case "now and then":
                return value + (self.count % 97 == 0)
            case "remembers":
                text = one.completion.text
                return self.memory.setdefault(text, value + float(noise(1)[0]))  # type: ignore[no-any-return]
            case "writes":
                one.example.fields.get("tags", []).append("seen")
            case "hooks":
                tools.models["judge"].register_forward_hook(lambda *given: None)  # type: ignore[attr-defined]
        return value


@pytest.mark.parametrize(
    ("wrong", "law"),
    [
        ("now and then", "deterministic"),
        ("remembers", "deterministic"),
        ("writes", "inputs are not modified"),
        ("hooks", "no hook is left on the models that it is lent: judge had 0"),
    ],
)
def test_a_judge_that_wavers_or_leaves_something(wrong: str, law: str) -> None:
    tools = Tools({"judge": nn.Linear(2, 2)})  # type: ignore[dict-item]
    check_evaluator(Judge(), ANSWERS, tools)
    with pytest.raises(AssertionError, match=law):
        check_evaluator(Judge(wrong), ANSWERS, tools)


def test_so_many_verdicts_are_compared() -> None:
    judge = Judge()
    seen: list[int] = []

    def counted(answers: Sequence[Answer], tools: Tools) -> list[Verdict]:
        seen.append(len(answers))
        return Judge.judge(judge, answers, tools)

    judge.judge = counted  # type: ignore[method-assign]
    check_evaluator(judge, ANSWERS)
    assert max(seen) >= VERDICTS == 200
    assert sum(seen) >= 2 * VERDICTS


# ── Benchmarks ───────────────────────────────────────────────────────────────────────────────────

ASKED = [Example(str(n), text) for n, text in enumerate(["why", "why not now"])]


class Wavers(Quiz):
    """Every ninth run is a hair off."""

    times = 0

    def run(self, model: Any, folder: Path, tools: Tools) -> Outcome:
        self.times += 1
        value = 0.5 + 1e-5 * (self.times % 9 == 0)
        return Outcome((Record("quiz@1", value, 10, "prompts", "share", ci_why="few"),))


def test_a_benchmark_runs_until_there_are_200_verdicts(tmp_path: Path) -> None:
    model = FakeModel(ModelOptions())
    with pytest.raises(AssertionError, match="another folder gives the same"):
        check_benchmark(Wavers(QuizOptions()), model, tmp_path, ASKED)


# ── What they share ──────────────────────────────────────────────────────────────────────────────


def test_hooks_are_counted_wherever_modules_are() -> None:
    class Holder:
        def __init__(self, inner: Any) -> None:
            self.inner = inner

    net = nn.Sequential(nn.Linear(2, 2), nn.ReLU())
    model: Any = Holder(Holder(net))
    assert hooks_of(model) == 0
    net[0].register_forward_pre_hook(lambda *given: None)
    net.register_forward_hook(lambda *given: None)
    assert hooks_of(model) == 2
    nothing: Any = Holder(3)
    assert hooks_of(nothing) is None


def test_what_was_given_is_compared_with_its_arrays() -> None:
    before = written({"a": (np.array([1.0, np.nan]), float("nan")), "b": [EXAMPLE]})
    assert written({"a": (np.array([1.0, np.nan]), float("nan")), "b": [EXAMPLE]}) == before
    assert written({"a": (np.array([1.0, 2.0]), float("nan")), "b": [EXAMPLE]}) != before
    assert written({"a": (np.array([1, 2]), float("nan")), "b": [EXAMPLE]}) != before


def test_a_seed_of_the_command_is_that_of_all_that_is_drawn() -> None:
    assert (drawing(), drawing(3)) == (0, 3)
    with seeded(7):
        assert (drawing(), drawing(3)) == (7, 10)
    assert drawing() == 0


def test_a_judge_without_a_model_says_what_was_not_tried() -> None:
    with missed_laws() as missed:
        check_evaluator(Judge(), ANSWERS)
    assert missed == {
        "no hook is left on the models that it is lent": "it is lent no model with torch modules"
    }
