"""The checks of `harness.testing` that no plugin of ours has tests for: what they let through."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from fakes.findings import Glossary, GlossaryOptions
from fakes.judged import Quiz, QuizOptions
from fakes.models import WIDTH, FakeModel, FakeSae, ModelOptions, SaeSettings
from fakes.statistics import Tally, TallyOptions
from harness.contract import (
    Batch,
    Example,
    Found,
    Inputs,
    Model,
    Outcome,
    PValues,
    Record,
    SaeFacts,
    Site,
    State,
    Tools,
    Undefined,
)
from harness.errors import DataError
from harness.testing import array_batch, check_benchmark, check_labels, check_statistic

SITE = Site("resid_post", 2)
EXAMPLES = [Example(str(n), text) for n, text in enumerate(["why", "why not now"])]


# ── Statistics ───────────────────────────────────────────────────────────────────────────────────


def batch(seed: int) -> Batch:
    generator = torch.Generator().manual_seed(seed)
    document = [0] * 3 + [1] * (2 + seed) + [2]
    left, right = (
        torch.randint(-4, 5, (len(document), WIDTH), generator=generator).float() for _ in range(2)
    )
    names = [f"{seed}-{number}" for number in range(3)]
    selected = [token for token in range(len(document)) if token % 4]
    sae = FakeSae(SaeSettings(trained_at="resid_post.2"))
    return array_batch(
        document, {SITE: left}, {SITE: right}, saes={"mid": sae}, selected=selected, documents=names
    )


BATCHES = [batch(seed) for seed in range(3)]
OPTIONS = TallyOptions(pair="p", site="resid_post.2", sae="mid")


def reference(batches: Sequence[Batch]) -> dict[str, Any]:
    total = np.zeros(WIDTH)
    for one in batches:
        for side in (one.left, one.right):
            assert side is not None
            total += side.x(SITE)[one.selected].double().numpy().sum(0)
    return {"tally.total@1": total.sum(), "sum": total}


class Right(Tally):
    """The tally, which is undefined where nothing was read."""

    def finish(self, state: State, inputs: Inputs) -> Outcome:
        outcome = super().finish(state, inputs)
        nothing = record(value=None, undefined="no token was measured")
        return outcome if outcome.records[0].n else nothing(outcome)


def test_a_statistic_that_keeps_the_laws() -> None:
    check_statistic(Right(OPTIONS), *BATCHES, reference=reference)


def test_a_number_of_nothing_is_refused() -> None:
    with pytest.raises(AssertionError, match=r"nothing read is undefined.* tally.total@1 is 0\.0"):
        check_statistic(Tally(OPTIONS), *BATCHES, reference=reference)


class Wrong(Right):
    """A tally with one thing changed."""

    def __init__(self, outcome: Callable[[Outcome], Outcome]) -> None:
        super().__init__(OPTIONS)
        self._outcome = outcome

    def finish(self, state: State, inputs: Inputs) -> Outcome:
        return self._outcome(super().finish(state, inputs))


def record(**changes: Any) -> Callable[[Outcome], Outcome]:
    return lambda o: replace(o, records=tuple(replace(one, **changes) for one in o.records))


def many(**changes: Any) -> Callable[[Outcome], Outcome]:
    made = PValues("tally.p@1", np.array([0.5, math.nan]), "nothing is there")
    return lambda o: replace(o, p_values=(replace(made, **changes),))


def test_p_values_of_a_statistic_may_be_made_when_they_are_asked_for() -> None:
    for p in (np.array([0.5, 1e-300, math.nan]), lambda: np.array([0.5, 1.0])):
        check_statistic(Wrong(many(p=p)), *BATCHES, reference=reference)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("outcome", "law"),
    [
        (record(value=1.0), "the numbers are the reference's: 'tally.total@1' is"),
        (lambda o: replace(o, arrays={}), "the numbers are the reference's: 'sum' did not come"),
        (lambda o: replace(o, records=o.records * 2), "records are complete and unique: more than"),
        (record(id="tally"), "records are complete and unique: 'tally' is no name@version"),
        (record(axes={"n": np.int64(3)}), "axes and options are plain values"),
        (record(options={"x": float("nan")}), "axes and options are plain values"),
        (record(axes={"text": "\ud800"}), "axes and options are plain values"),
        (lambda o: replace(o, tables={"a": [{"x": np.float64(1)}, {"x": {1}}]}), "plain values"),
        (lambda o: replace(o, tables={"a": [{"x": 1}, {"y": 1}]}), "have the same columns"),
        (lambda o: replace(o, directions=(Found(Undefined("no")),)), "no directions"),
        (lambda o: replace(o, arrays={**o.arrays, "s": np.array(["x"])}), "arrays are numbers"),
        (lambda o: replace(o, arrays={**o.arrays, "a\nb": np.zeros(2)}), "arrays are num"),
        (lambda o: replace(o, arrays={"__metadata__": np.zeros(2)}), "arrays are numbers"),
        (many(p=np.array([0.0])), "p values are between 0 and 1.*each above 0"),
        (many(p=np.array([[0.5]])), "p values are between 0 and 1"),
        (many(p=np.array([1])), "p values are between 0 and 1"),
        (many(p=lambda: np.array([1.5])), "p values are between 0 and 1"),
        (many(id="tally"), "'tally' is no name@version"),
        (many(values=np.zeros(3)), r"\(3,\) beside \(2,\) of p"),
        (many(items=np.array([4, 4])), "an item stands there twice"),
        (many(axes={"n": np.int64(3)}), "axes are plain values"),
    ],
)
def test_a_statistic_that_breaks_one(outcome: Callable[[Outcome], Outcome], law: str) -> None:
    with pytest.raises(AssertionError, match=f"law broken: .*{law}"):
        check_statistic(Wrong(outcome), *BATCHES, reference=reference)


def test_a_statistic_whose_number_is_not_in_its_state() -> None:
    class Forgetful(Tally):
        """Counts its calls beside the state: a rerun starts at 0."""

        calls = 0

        def update(self, state: State, batch: Batch) -> State:
            self.calls += 1
            return super().update(state, batch)

        def finish(self, state: State, inputs: Inputs) -> Outcome:
            return record(n=self.calls)(super().finish(state, inputs))

    with pytest.raises(AssertionError, match="any split into batches gives the same"):
        check_statistic(Forgetful(OPTIONS), *BATCHES, reference=reference)


def test_a_statistic_without_data_must_not_raise() -> None:
    class Dividing(Tally):
        def finish(self, state: State, inputs: Inputs) -> Outcome:
            _ = 1 // int(state["counts"][0])
            return super().finish(state, inputs)

    with pytest.raises(AssertionError, match="nothing read is undefined, not an error: ZeroDiv"):
        check_statistic(Dividing(OPTIONS), *BATCHES, reference=reference)


def test_one_batch_is_not_enough() -> None:
    with pytest.raises(ValueError, match="two or more"):
        check_statistic(Tally(OPTIONS), BATCHES[0], reference=reference)


# ── Labels ───────────────────────────────────────────────────────────────────────────────────────


def test_labels_that_keep_the_laws() -> None:
    check_labels(Glossary(GlossaryOptions()), SaeFacts(d_sae=9), (3, 1, 7))


@pytest.mark.parametrize(
    ("options", "law"),
    [
        ({"wrong": "twice"}, "one label for each feature"),
        ({"wrong": "unasked"}, "only features that were asked for"),
        ({"wrong": "elsewhere"}, "labels are of the SAE that was asked for"),
        ({"skip": 1}, "the order of features does not matter"),
        ({"skip": 3}, "something is labelled"),
    ],
)
def test_labels_that_break_one(options: dict[str, Any], law: str) -> None:
    with pytest.raises(AssertionError, match=f"law broken: {law}"):
        check_labels(Glossary(GlossaryOptions(**options)), SaeFacts(d_sae=9), (3, 1, 7))


def test_one_feature_is_not_enough() -> None:
    with pytest.raises(ValueError, match="two or more"):
        check_labels(Glossary(GlossaryOptions()), SaeFacts(), (3,))


# ── Benchmarks ───────────────────────────────────────────────────────────────────────────────────


class Sound(Quiz):
    """The quiz, with a word on why there is no interval."""

    def run(self, model: Model, folder: Path, tools: Tools) -> Outcome:
        return record(ci_why="three prompts")(super().run(model, folder, tools))


def test_a_benchmark_that_keeps_the_laws(tmp_path: Path) -> None:
    check_benchmark(Sound(QuizOptions()), FakeModel(ModelOptions()), tmp_path, EXAMPLES)


class Moody(Quiz):
    """Another answer every time."""

    times = 0

    def run(self, model: Model, folder: Path, tools: Tools) -> Outcome:
        self.times += 1
        value = float(self.times)
        return Outcome((Record("moody@1", value, 1, "prompts", "share", ci_why="one"),))


class Vandal(Sound):
    """Leaves another model behind."""

    def run(self, model: Any, folder: Path, tools: Tools) -> Outcome:
        outcome = super().run(model, folder, tools)
        model.options = model.options.model_copy(update={"scale": 2})
        return outcome


@pytest.mark.parametrize(
    ("benchmark", "law"),
    [
        (Moody(QuizOptions()), "what is kept in the folder gives the same"),
        (Vandal(QuizOptions()), "the model is left as it was"),
        (Quiz(QuizOptions(wrong=True)), "no directions"),
    ],
)
def test_a_benchmark_that_breaks_one(benchmark: Quiz, law: str, tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match=f"law broken: {law}"):
        check_benchmark(benchmark, FakeModel(ModelOptions()), tmp_path, EXAMPLES)


def test_an_error_of_the_benchmark_is_its_own(tmp_path: Path) -> None:
    class Missing(Quiz):
        def run(self, model: Model, folder: Path, tools: Tools) -> Outcome:
            raise DataError("no questions")

    with pytest.raises(DataError, match="no questions"):
        check_benchmark(Missing(QuizOptions()), FakeModel(ModelOptions()), tmp_path, EXAMPLES)
