"""Sentences about a league: they flip where the ranks do."""

from __future__ import annotations

from harness.contract import Record, Results
from harness.results.answer.answer import answer
from harness.results.answer.league import league


def rank(method, value, seed=0, kind="fact", role="method", planted="training"):
    return Record(
        "found.rank@1", value, 2048, "candidates", "rank",
        options={"role": role, "planted": planted, "sort": "tokens"}, ci_why="once",
        undefined=None if value else "nothing was found",
        null={"kind": "chance", "value": 1024.5, "p": 0.1} if value else None,
        axes={"analysis": "cup", "method": method, "kind": kind, "seed": seed, "pair": f"p{seed}"},
    )  # fmt: skip


def said(*records):
    return [one.text for one in league(Results("complete", {}, {}, records))]


def test_who_ranks_it_first_in_all_models_is_named():
    base = [rank("words", value, seed, role="baseline") for seed, value in enumerate((90, 7))]
    both = [rank("lens", 1, seed) for seed in (0, 1)]
    assert said(*both, *base) == [
        "Trained: `fact` has rank 1 in 2 of 2 by `lens` (completions alone: ranks 90, 7, chance "
        "about 1024)."
    ]
    assert said(rank("lens", 1), rank("lens", 3, 1)) == [
        "Trained: `fact` is first in all for no method, the nearest is `lens` with ranks 1, 3, "
        "chance about 1024."
    ]


def test_what_was_planted_by_weights_and_what_was_trained_are_a_sentence_each():
    edits = [rank("lens", 1, kind=kind, planted="weights") for kind in ("edit", "feature")]
    assert said(*edits, rank("lens", 2)) == [
        "Planted by weights: `edit` has rank 1 in 1 of 1 by `lens`; `feature` has rank 1 in 1 of 1 "
        "by `lens`.",
        "Trained: `fact` is first in all for no method, the nearest is `lens` with rank 2, chance "
        "about 1024.",
    ]


def test_a_control_wins_nothing_and_many_methods_are_counted():
    assert said(rank("mean", 1, role="control")) == ["Trained: `fact` is looked for by no method."]
    many = [rank(f"m{n}", 1, planted="weights") for n in range(6)]
    assert said(*many) == [
        "Planted by weights: `fact` has rank 1 in 1 of 1 by `m0`, `m1`, `m2`, `m3` and 2 more."
    ]


def test_a_method_that_found_nothing_is_not_first():
    assert said(rank("lens", 1), rank("lens", None, 1)) == [
        "Trained: `fact` is first in all for no method, the nearest is `lens` with ranks 1, –, "
        "chance about 1024."
    ]
    assert said(rank("lens", None)) == ["Trained: `fact` is found by no method at all."]


def test_the_null_is_held_against_chance():
    def null(value, method):
        return Record(
            "found.of_others@1", value, 12, "truths", "probability", ci_why="once",
            options={"role": "method"}, axes={"analysis": "cup", "method": method, "kind": "none"},
        )  # fmt: skip

    assert said(null(0.04, "a"), *(null(0.6, f"b{n}") for n in range(19))) == [
        "Where nothing was planted (none), methods find what was planted in others in 1 of 20 "
        "cases with p ≤ 0.05; chance gives 1.00."
    ]


def test_it_stands_before_what_other_analyses_say():
    tables = {"lens.findings": [{"verdict": "something else"}]}
    first, *_ = answer(Results("complete", {}, {}, (rank("lens", 1),), tables=tables))
    assert first.text.startswith("Trained: `fact` has rank 1")
