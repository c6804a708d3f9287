"""Arditi's selection on numbers that a test writes: formulas, filters, and what comes out."""

from __future__ import annotations

import math
import re
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from harness.contract import Direction, Inputs, ModelFacts, Outcome, Site, Undefined
from harness.errors import TaskError
from harness.testing import array_batch
from harness_directions.selection import samples
from harness_directions.selection.choice import Candidate, Filters, chosen, layer_of
from harness_directions.selection.closing_means import ClosingMeans
from harness_directions.selection.options import (
    ClosingMeansOptions,
    SelectedDirectionOptions,
    Trial,
)
from harness_directions.selection.scores import divergences, last_tokens, refusal_scores
from harness_directions.selection.selected_direction import SelectedDirection

SITES = (Site("resid_pre", 0), Site("resid_pre", 1))
WIDTH, VOCABULARY = 3, 5


@pytest.mark.slow
@pytest.mark.parametrize("name", ["closing_means", "selected_direction"])
def test_the_laws_hold(name: str, tmp_path: Any) -> None:
    for sample in getattr(samples, name)(tmp_path):
        sample()


# ── Formulas ─────────────────────────────────────────────────────────────────────────────────────


def test_scores_are_the_originals_in_float64() -> None:
    logits = torch.randn(6, VOCABULARY, generator=torch.Generator().manual_seed(0)) * 9
    p = np.exp(logits.double().numpy())
    p /= p.sum(1, keepdims=True)
    refused = p[:, [1, 3]].sum(1)
    expected = np.log(refused + 1e-8) - np.log(1 - refused + 1e-8)
    found = refusal_scores(logits, [3, 1, 3])  # a token that two words share counts once
    assert found.dtype == torch.float64
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-9)


def test_a_certain_refusal_has_a_finite_score() -> None:
    found = refusal_scores(torch.tensor([[100.0, 0.0], [-100.0, 0.0]]), [0])
    np.testing.assert_allclose(found.numpy(), [-math.log(1e-8), math.log(1e-8)], rtol=1e-6)


def test_divergences_are_the_originals_and_nothing_for_the_same() -> None:
    before, after = torch.randn(2, 4, VOCABULARY, generator=torch.Generator().manual_seed(1)) * 5
    p, q = (np.exp(x.double().numpy()) for x in (before, after))
    p, q = p / p.sum(1, keepdims=True), q / q.sum(1, keepdims=True)
    expected = (p * (np.log(p + 1e-6) - np.log(q + 1e-6))).sum(1)
    np.testing.assert_allclose(divergences(before, after).numpy(), expected, rtol=1e-9)
    assert divergences(before, before).abs().max() == 0


def test_the_last_token_is_that_of_the_document_whatever_the_order() -> None:
    batch = array_batch([0, 1, 0, 1, 0], {SITES[0]: torch.zeros(5, 1)})
    batch = replace(batch, position=torch.tensor([4, 1, 3, 0, 5]))
    documents, last = last_tokens(batch)
    assert documents.tolist() == [0, 1]
    assert last.tolist() == [4, 1]


# ── Filters ──────────────────────────────────────────────────────────────────────────────────────

HERE = Direction(Site("resid_pre", 2), np.ones((1, WIDTH)))
ARDITI = Filters(kl_max=0.1, induce_min=0.0, depth_below=0.8, layers=5)


def candidate(
    bypass: float = -1.0, induce: float = 1.0, kl: float = 0.01, **more: Any
) -> Candidate:
    return Candidate({}, more.get("direction", HERE), bypass, induce, kl)


@pytest.mark.parametrize(
    ("one", "why"),
    [
        (candidate(), None),
        (candidate(kl=0.1, induce=0.0), None),  # the bounds themselves pass
        (candidate(kl=0.11), "0.11 nats, above 0.1"),
        (candidate(induce=-0.01), "-0.01, below 0"),
        (candidate(bypass=math.nan), "not a number"),
        (candidate(direction=Undefined("there is none")), "there is none"),
        (candidate(direction=replace(HERE, site=Site("resid_pre", 4))), "layer 4 of 5 .* below 4"),
        (candidate(direction=replace(HERE, site=Site("resid_post", 3))), "layer 4 of 5"),
        (candidate(direction=replace(HERE, site=Site("resid_post", 2))), None),
    ],
    ids=["passes", "bounds", "kl", "induce", "nan", "undefined", "deep", "output", "third output"],
)
def test_why_a_candidate_is_discarded(one: Candidate, why: str | None) -> None:
    found = ARDITI.why_not(one)
    assert (found is None) == (why is None)
    if why is not None:
        assert re.search(why, str(found))


def test_layers_count_the_blocks_before_a_place() -> None:
    assert layer_of(Site("embed")) == 0
    assert layer_of(Site("resid_pre", 4)) == layer_of(Site("resid_post", 3)) == 4
    assert layer_of(Site("mlp_out", 3)) is None


def test_the_lowest_score_is_chosen_and_of_equal_ones_the_first() -> None:
    many = [candidate(0.5), candidate(-2.0), candidate(-2.0), candidate(-9.0, kl=1.0)]
    assert chosen(many, ARDITI) == 1
    assert chosen([candidate(kl=1.0)], ARDITI) is None
    assert chosen([], ARDITI) is None


# ── The candidates ───────────────────────────────────────────────────────────────────────────────

FACTS = {"chat": ModelFacts(layers=2, d_model=WIDTH)}


def means(**changes: Any) -> ClosingMeans:
    given = {"view": "chat", "positive": "harm", "negative": "fine", "positions": 2}
    return ClosingMeans(ClosingMeansOptions(**given | changes))


def prompts(stream: str, lengths: list[int], seed: int, *logits: Any) -> Any:
    """A batch of closing tokens; token ids tell the position from the end, but for the longest."""
    random = torch.Generator().manual_seed(seed)
    document = [d for d, n in enumerate(lengths) for _ in range(n)]
    x = {site: torch.randn(len(document), WIDTH, generator=random) for site in SITES}
    names = [f"{stream}{seed}{d}" for d in range(len(lengths))]
    batch = array_batch(document, x, documents=names, logits=logits)
    place = torch.tensor([7 + i for n in lengths for i in range(n)])
    ids = torch.tensor([40 - (n - i) for n in lengths for i in range(n)])
    return replace(batch, stream=stream, position=place, ids=ids)


def outcome(finder: Any, *batches: Any, inputs: Inputs | None = None) -> Outcome:
    inputs = inputs or Inputs(facts=FACTS)
    state = finder.start(inputs)
    for batch in batches:
        state = finder.update(state, batch)
    return finder.finish(state, inputs)


def test_each_position_and_site_is_a_difference_in_means() -> None:
    plus, minus = prompts("positive", [2, 3, 2], 0), prompts("negative", [2, 2], 1)
    found = outcome(means(), plus, minus)
    assert [dict(one.axes) for one in found.directions] == [
        {"position": p, "site": f"resid_pre.{layer}"} for p in (-2, -1) for layer in (0, 1)
    ]
    for one in found.directions:
        site = SITES[int(str(one.axes["site"])[-1])]
        ends = {"positive": [1, 4, 6], "negative": [1, 3]}
        x = {
            name: batch.left.x(site).double().numpy()[[e + 1 + one.axes["position"] for e in at]]
            for (name, at), batch in zip(ends.items(), (plus, minus), strict=True)
        }
        expected = x["positive"].mean(0) - x["negative"].mean(0)
        np.testing.assert_allclose(one.direction.vectors[0], expected, rtol=1e-12)
        np.testing.assert_allclose(one.direction.origin, x["negative"].mean(0), rtol=1e-12)
    rows = found.tables["candidates"]
    assert [row["token_id"] for row in rows] == [38, 38, 39, 39]
    assert found.notes == (
        "1 of 3 prompts of harm are closed with more than 2 tokens, and only the last of them are "
        "candidates. Raise positions for more.",
    )


def test_what_does_not_exist_says_why() -> None:
    plus = prompts("positive", [1, 1], 0)
    same = replace(plus, stream="negative")
    reasons = [one.direction.reason for one in outcome(means(), plus, same).directions]
    assert reasons[0] == "no prompt of the positive data 'harm' is closed with 2 tokens"
    assert reasons[2] == "both sets of prompts have the same mean at resid_pre.0, position -1"
    nothing = outcome(means(), plus).directions
    assert "no prompt of the negative data 'fine'" in nothing[0].direction.reason


def test_only_prompts_that_are_reacted_to_as_they_should_be() -> None:
    """The model refuses the first positive prompt alone, and none of the negative ones."""
    finder = means(filter_prompts=True, refusal_words=("I",), positions=1)
    inputs = Inputs(facts=FACTS, words={"I": 2})
    refused = torch.full((2, VOCABULARY), -9.0)
    refused[0, 2] = 9.0
    sure = torch.full((2, VOCABULARY), -9.0)
    sure[:, 0] = 9.0
    batches = [prompts("positive", [1, 1], 0, refused), prompts("negative", [1, 1], 1, sure)]
    found = outcome(finder, *batches, inputs=inputs)
    x, y = (batch.left.x(SITES[0]).double().numpy() for batch in batches)
    np.testing.assert_allclose(found.directions[0].direction.vectors[0], x[0] - y.mean(0))
    (note,) = found.notes
    assert note.startswith("1 of 2 prompts of harm are left out")


def test_filter_and_words_go_together() -> None:
    for changes in ({"filter_prompts": True}, {"refusal_words": ("I",)}):
        with pytest.raises(ValueError, match="go together"):
            means(**changes)


def test_without_sites_it_asks_how_deep_the_model_is() -> None:
    class Task:
        def __init__(self, layers: int | None) -> None:
            self.layers = layers

        def view_facts(self, view: str) -> ModelFacts:
            return ModelFacts(layers=self.layers)

    options: Any = means().options
    assert len(options.variants_in(Task(3))) == 2 * 3
    assert options.variants_in(Task(None)) == []
    with pytest.raises(TaskError, match="sites: is missing"):
        options.reads(Task(None))


# ── The selection ────────────────────────────────────────────────────────────────────────────────


def selected(**changes: Any) -> SelectedDirection:
    given = {
        "candidates": "all",
        "view": "chat",
        "positive": "harm",
        "negative": "fine",
        "refusal_words": ("I",),
        "depth_below": 1.0,
    }
    return SelectedDirection(SelectedDirectionOptions(**given | changes))


def said(stream: str, odds: list[float], right: list[float] | None = None) -> Any:
    """One token a prompt, whose log-odds of "I" against one other token are given."""

    def logits(values: list[float]) -> torch.Tensor:
        return torch.tensor([[0.0, value] for value in values])

    x = {SITES[0]: torch.zeros(len(odds), 1)}
    names = [f"{'h' if 'ab' in stream or 'pos' in stream else 'f'}{n}" for n in range(len(odds))]
    both = [logits(one) for one in (odds, right) if one is not None]
    other = None if right is None else x
    document = list(range(len(odds)))
    batch = array_batch(document, x, other, documents=names, logits=tuple(both))
    return replace(batch, stream=stream)


def trial(number: int) -> Trial:
    return Trial(number, (("position", number - 3),), "all", "strict")


def world(count: int = 3) -> Inputs:
    edits: Any = {}
    for number in range(count):
        one = trial(number)
        direction = Direction(Site("resid_pre", 1), np.full((1, WIDTH), number + 1.0))
        edits |= {one.ablated: direction, one.added: direction}
    return Inputs(facts={"chat": ModelFacts(layers=3)}, words={"I": 1}, edits=edits)


def trials(number: int, bypass: float, induce: float, moved: float) -> list[Any]:
    return [
        said(f"ablated {number}", [bypass] * 2),
        said(f"added {number}", [induce] * 2),
        said(f"moved {number}", [-3.0] * 2, [-3.0 + moved] * 2),
    ]


BEFORE = [said("positive", [4.0, 6.0]), said("negative", [-4.0, -6.0])]


def test_the_chosen_one_has_its_numbers_beside_those_without_an_edit() -> None:
    batches = [*BEFORE, *trials(0, 3, 1, 0), *trials(1, -5, 2, 0.1), *trials(2, -9, -1, 0)]
    (found,) = outcome(selected(), *batches, inputs=world()).directions
    assert isinstance(found.direction, Direction)
    assert found.direction.vectors[0, 0] == 2.0
    by = {one.id.partition("@")[0].rpartition(".")[2]: one for one in found.records}
    assert by["bypass"].value == pytest.approx(-5, abs=1e-3)
    assert by["bypass"].null["value"] == pytest.approx(5, abs=1e-3)
    assert by["induce"].value == pytest.approx(2, abs=1e-3)
    assert by["induce"].null["value"] == pytest.approx(-5, abs=1e-3)
    assert 0 < by["kl"].value < 0.1
    assert (by["position"].value, by["layer"].value, by["passed"].value) == (-2, 1, 2)
    assert by["bypass"].clusters == 2
    assert by["token"].undefined


def test_the_table_says_of_each_why_it_was_not_taken() -> None:
    found = outcome(
        selected(),
        *BEFORE,
        *trials(0, -8, 1, 5),
        *trials(1, -5, -2, 0),
        *trials(2, 1, 3, 0),
        inputs=world(),
    )
    rows = found.tables["candidates"]
    assert [row["chosen"] for row in rows] == [False, False, True]
    assert [bool(row["discarded"]) for row in rows] == [True, True, False]
    assert "nats" in rows[0]["discarded"]
    assert "induces" in rows[1]["discarded"]
    assert [row["position"] for row in rows] == [-3, -2, -1]


def test_where_none_passes_it_says_how_many_each_filter_discards() -> None:
    inputs = world()
    edits = {**inputs.edits, trial(2).ablated: Undefined("gone"), trial(2).added: Undefined("gone")}
    inputs = replace(inputs, edits=edits)
    batches = [*BEFORE, *trials(0, -8, 1, 5), *trials(1, -5, -2, 0)]
    (found,) = outcome(selected(), *batches, inputs=inputs).directions
    assert isinstance(found.direction, Undefined)
    assert found.direction.reason == (
        "none of 3 candidates passes the filters: 1 above kl_max; 1 below induce_min; 1 undefined"
    )
    assert all(one.value is None for one in found.records if "passed" not in one.id)


def test_prompts_that_are_not_reacted_to_do_not_count_with_the_filter() -> None:
    before = [said("positive", [4.0, -6.0]), said("negative", [-4.0, 6.0])]
    tried = [
        said("ablated 0", [-1.0, 9.0]),
        said("added 0", [1.0, -9.0]),
        said("moved 0", [-3.0, 3.0], [-3.0, -9.0]),
    ]
    for filtered, value in ((True, -1.0), (False, 4.0)):
        finder = selected(filter_prompts=filtered, kl_max=9, induce_min=-9)
        (found,) = outcome(finder, *before, *tried, inputs=world(1)).directions
        by = {one.id: one for one in found.records}
        assert by["selected_direction.bypass@1"].value == pytest.approx(value, abs=1e-3)
        assert by["selected_direction.bypass@1"].n == (1 if filtered else 2)
        kept = [one for one in found.records if "kept" in one.id]
        assert [(one.axes["prompts"], one.value) for one in kept] == (
            [("positive", 1), ("negative", 1)] if filtered else []
        )


def test_the_token_at_the_position_is_recorded() -> None:
    closing = replace(prompts("closing", [3, 3], 0), stream="closing")
    batches = [closing, *BEFORE, *trials(0, 3, 1, 0), *trials(1, -5, 2, 0), *trials(2, 1, 1, 0)]
    (found,) = outcome(selected(), *batches, inputs=world()).directions
    (token,) = [one for one in found.records if one.id == "selected_direction.token@1"]
    assert token.value == 38  # position −2
