"""Sentences about edits: flip the records, and the sentence flips; no effect, no sentence."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import pytest

from harness.contract import Record, Results
from harness.results.answer.degenerate import degenerate
from harness.results.answer.effects import effects
from harness.results.answer.rankings import rankings
from harness.results.arms import all_arms, common_step

Make = Callable[..., Record]
Of = Callable[..., Results]
TASK = {
    "name": "x",
    "experiments": {"e": {"intervention": {"method": "some_edit"}}},
    "directions": {"truth": {}, "one": {}, "two": {}, "chance": {"k": 2}},
}


def said(found: Any) -> list[str]:
    return [sentence.text for sentence in found]


# ── Effects ──────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("before", "after", "verb"), [(0.9, 0.1, "lowers"), (0.1, 0.9, "raises"), (0.3, 0.5, "raises")]
)
def test_an_effect_says_which_way(
    arm: Make, results: Of, before: float, after: float, verb: str
) -> None:
    found = results(arm("none", before), arm("truth", after), task=TASK)
    (text,) = said(effects(found))
    assert text.startswith(f"Some edit of `truth` {verb} polite.share from {before:.2f} [")
    assert f"to {after:.2f} [" in text
    assert "(e, 100 prompts)" in text
    assert "no control was measured" in text


def test_an_effect_whose_interval_holds_0_is_no_difference(arm: Make, results: Of) -> None:
    found = results(arm("none", 0.5, wide=0.1), arm("truth", 0.6, wide=0.1), task=TASK)
    (text,) = said(effects(found))
    assert text.startswith("No difference seen in polite.share after some edit of `truth`: 0.60")


def test_without_intervals_nothing_is_judged(arm: Make, record: Make, results: Of) -> None:
    axes = arm("none", 0.1).axes
    bare = record("polite.share", 0.9, None, **{**axes, "direction": "truth"})
    (text,) = said(effects(results(arm("none", 0.1), bare, task=TASK)))
    assert "there is no interval to judge by" in text
    assert "raises" not in text


def test_the_controls_stand_beside_the_effect(arm: Make, results: Of) -> None:
    draws = [arm("chance", 0.7 + d / 10, draw=d) for d in range(3)]
    found = results(arm("none", 0.9), arm("truth", 0.1), *draws, task=TASK)
    (text,) = said(effects(found))
    assert text.endswith("; 3 draws of `chance`: 0.70 to 0.90.")


@pytest.mark.parametrize(
    ("draw", "more"),
    [(0.5, "."), (0.105, ", no difference seen to the direction itself."),
     (0.01, ", further than the direction itself.")],
)  # fmt: skip
def test_a_control_that_does_as_much_is_told(
    arm: Make, results: Of, draw: float, more: str
) -> None:
    draws = [arm("chance", 0.9, draw=0), arm("chance", draw, draw=1)]
    found = results(arm("none", 0.9), arm("truth", 0.1), *draws, task=TASK)
    (text,) = said(effects(found))
    assert text.endswith(more)
    flipped = results(
        arm("none", 0.1), arm("truth", 0.9), arm("chance", 0.1, draw=0),
        arm("chance", 1 - draw, draw=1), task=TASK,
    )  # fmt: skip
    assert said(effects(flipped))[0].endswith(more)


def test_effects_need_the_arm_without_an_edit(arm: Make, results: Of) -> None:
    assert said(effects(results(arm("truth", 0.1), task=TASK))) == []
    assert said(effects(results(arm("none", 0.1), task=TASK))) == []
    assert said(effects(results(arm("none", None), arm("truth", 0.1), task=TASK))) == []
    assert said(effects(results(arm("none", 0.1), arm("truth", None), task=TASK))) == []
    assert said(effects(results())) == []


def test_a_second_score_that_is_the_same_everywhere_says_nothing(arm: Make, results: Of) -> None:
    first = [arm("none", 0.9), arm("truth", 0.1)]
    second = [arm(name, 1.0, score="other") for name in ("none", "truth")]
    assert len(said(effects(results(*first, *second, task=TASK)))) == 1


@pytest.mark.parametrize("gap", [*range(-48, -3, 5), *range(4, 49, 5)])
def test_larger_effects_weigh_more(arm: Make, results: Of, gap: int) -> None:
    """A law: the weight grows with the size of the effect, whichever way it goes."""

    def weight(size: float) -> float:
        found = results(arm("none", 0.5), arm("truth", 0.5 + size), task=TASK)
        return next(effects(found)).weight

    larger = gap / 100 + (0.01 if gap >= 0 else -0.01)
    assert weight(larger) > weight(gap / 100) > 0


def test_categories_are_left_out(arm: Make, results: Of) -> None:
    records = [
        arm(name, value, **more)
        for name, value in (("none", 0.9), ("truth", 0.1))
        for more in ({}, {"domain": "law"}, {"domain": "maths"})
    ]
    assert len(said(effects(results(*records, task=TASK)))) == 1


def test_an_arm_of_all_components_is_no_step(arm: Make, results: Of) -> None:
    steps = [arm("pcs", 0.9 - pc / 10, pc=pc) for pc in (1, 2)]
    found = results(arm("none", 0.9), arm("pcs", 0.1), *steps, task=TASK)
    (arms,) = all_arms(found)
    assert [r.value for r in arms.single] == [0.1]
    assert [len(one.records) for one in arms.rankings] == [2]


# ── Rankings ─────────────────────────────────────────────────────────────────────────────────────

STEPS = (1, 2, 4)


def swept(arm: Make, name: str, values: list[float | None]) -> list[Record]:
    return [arm(name, v, k=k) for k, v in zip(STEPS, values, strict=True)]


def test_rankings_are_compared_at_one_step(arm: Make, results: Of) -> None:
    ends = [arm("none", 0.9), arm("truth", 0.1)]
    one, other = [0.5, 0.15, 0.12], [0.9, 0.8, 0.7]
    there = results(*ends, *swept(arm, "one", one), *swept(arm, "two", other), task=TASK)
    (text,) = said(rankings(there))
    assert text.startswith("At k = 4 (e, polite.share): `one` 0.12 [0.11, 0.13], `two` 0.70 [")
    assert "`one` at k = 2, `two` at none of 3 steps" in text
    back = results(*ends, *swept(arm, "one", other), *swept(arm, "two", one), task=TASK)
    (text,) = said(rankings(back))
    assert "`one` 0.70 [" in text
    assert "`two` 0.12 [" in text
    assert "`one` at none of 3 steps, `two` at k = 2" in text


def test_rankings_that_do_not_differ_say_so(arm: Make, results: Of) -> None:
    ends = [arm("none", 0.9), arm("truth", 0.1)]
    both = [*swept(arm, "one", [0.8, 0.5, 0.4]), *swept(arm, "two", [0.8, 0.5, 0.405])]
    (text,) = said(rankings(results(*ends, *both, task=TASK)))
    assert "no difference seen between them" in text


def test_the_step_is_the_one_at_which_a_control_was_drawn(arm: Make, results: Of) -> None:
    ends = [arm("none", 0.9), arm("truth", 0.1), arm("chance", 0.8, draw=0),
            arm("chance", 0.85, draw=1)]  # fmt: skip
    both = [*swept(arm, "one", [0.6, 0.5, 0.4]), *swept(arm, "two", [0.8, 0.7, 0.6])]
    (text,) = said(rankings(results(*ends, *both, task=TASK)))
    assert text.startswith("At k = 2 ")


@pytest.mark.parametrize(
    ("one", "two", "expected"),
    [((1, 2, 4), (1, 2, 4), 4), ((1, 2), (2, 4), 2), ((1,), (2,), None)],
)
def test_the_step_is_the_largest_that_all_have(
    arm: Make, results: Of, one: tuple[int, ...], two: tuple[int, ...], expected: float | None
) -> None:
    records = [arm("one", 0.1 * k, k=k) for k in (*one, 100)]
    records += [arm("two", 0.1 * k, k=k) for k in (*two, 200)]
    (arms,) = all_arms(results(*records))
    assert common_step(arms.axis, arms.rankings, (), {}) == expected


def test_a_step_without_a_number_is_avoided(arm: Make, results: Of) -> None:
    records = [*swept(arm, "one", [0.1, 0.2, None]), *swept(arm, "two", [0.1, 0.2, 0.3])]
    (arms,) = all_arms(results(*records))
    assert common_step(arms.axis, arms.rankings, (), {}) == 2


def test_rankings_need_a_sweep_and_an_effect(arm: Make, results: Of) -> None:
    assert said(rankings(results(arm("none", 0.9), arm("truth", 0.1), task=TASK))) == []
    flat = [arm("none", 0.5), *swept(arm, "one", [0.5, 0.5, 0.505])]
    assert said(rankings(results(*flat, task=TASK))) == []


# ── Degenerate texts ─────────────────────────────────────────────────────────────────────────────


def shares(arm: Make, **by_direction: float) -> list[Record]:
    return [arm(name, v, score="degenerate_share") for name, v in by_direction.items()]


def test_degenerate_texts_are_told_with_the_effect(arm: Make, results: Of) -> None:
    scores = [arm("none", 0.9), arm("truth", 0.1)]
    bad = results(*scores, *shares(arm, none=0.0, truth=0.4), task=TASK)
    (text,) = said(effects(bad))
    assert "but 40% of these completions are degenerate (0% without an edit)" in text
    (text,) = said(degenerate(bad))
    assert text.startswith("In e the completions of `truth` are degenerate in 40% of cases")
    good = results(*scores, *shares(arm, none=0.4, truth=0.0), task=TASK)
    assert "degenerate" not in said(effects(good))[0]
    assert said(degenerate(good)) == []


def test_degenerate_texts_are_told_with_a_ranking(arm: Make, results: Of) -> None:
    scores = [arm("none", 0.9), *swept(arm, "one", [0.5, 0.3, 0.1])]
    bad = [arm("none", 0.0, score="degenerate_share")]
    bad += [
        arm("one", v, k=k, score="degenerate_share")
        for k, v in zip(STEPS, (0, 0, 0.6), strict=True)
    ]
    found = results(*scores, *bad, task=TASK)
    (text,) = said(rankings(found))
    assert "`one` 0.10 [0.09, 0.11] (60% of these completions are degenerate" in text
    (text,) = said(degenerate(found))
    assert "`one` at k = 4" in text


def test_nothing_is_said_where_nothing_is_worse(arm: Make, results: Of) -> None:
    same = shares(arm, none=0.1, truth=0.11)
    assert said(degenerate(results(arm("none", 0.9), arm("truth", 0.1), *same))) == []
    assert said(degenerate(results(arm("none", 0.9), arm("truth", 0.1)))) == []


# ── Any names ────────────────────────────────────────────────────────────────────────────────────


def test_names_of_the_task_decide_nothing(arm: Make, results: Of) -> None:
    """A law: renaming directions renames the sentence, and changes nothing else."""
    names = ("truth", "one", "two", "chance")

    def sentences(*called: str) -> list[str]:
        new = dict(zip(names, called, strict=True))
        records = [arm("none", 0.9), arm(new["truth"], 0.1)]
        records += [*swept(arm, new["one"], [0.6, 0.3, 0.1]), *swept(arm, new["two"], [0.9] * 3)]
        records += [arm(new["chance"], 0.8 + d / 100, draw=d) for d in range(3)]
        directions = {new[name]: TASK["directions"][name] for name in names}  # type: ignore[index]
        found = results(*records, task={**TASK, "directions": directions})
        texts = said(itertools.chain(effects(found), rankings(found), degenerate(found)))
        for old, other in new.items():
            texts = [text.replace(f"`{other}`", f"<{old}>") for text in texts]
        return texts

    assert sentences(*names) == sentences("zz", "random", "refusal", "none_of_these")
