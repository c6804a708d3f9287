"""Which numbers are members of a family, with which p, and what is said of them."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from scipy import stats

from claims.numbers import arms, mean, results
from harness.contract import FamilyOutcome, PValues, Record, Results
from harness.families import evaluate
from harness.families.evaluate import LISTED, Row
from harness.task.families import parse

SHIFTS = PValues("x.shift@1", np.array([1e-6, 0.02, 0.5, math.nan]), "nothing moved",
                items=np.array([3, 5, 8, 9]), values=np.array([2.0, 1.0, 0.1, 0.0]),
                axes={"sae": "mid"})  # fmt: skip


def with_p(p: float | None, least: float | None = None, **axes: Any) -> Record:
    null = {"kind": "labels permuted", "value": 0.0, "p": p, "least_p": least}
    return replace(mean(0.5, 0.1, **axes), null={k: v for k, v in null.items() if v is not None})


def asked(
    run: Results, *of: str, many: tuple[PValues, ...] = (), **more: Any
) -> tuple[FamilyOutcome, list[Row], dict[str, float | None]]:
    """One family of a run: its outcome, its rows, and its records by name."""
    found = evaluate([parse("f", "words", of, **more)], run, many)
    (outcome,) = found.outcomes
    named = {one.id.removeprefix("family.").partition("@")[0]: one.value for one in found.records}
    assert all(one.axes == {"family": "f"} for one in found.records)
    return outcome, list(found.rows), named


def test_the_p_of_records_are_those_of_their_nulls() -> None:
    ps = [0.001, 0.01, 0.03, 0.2, 0.9]
    run = results(*(with_p(p, layer=at) for at, p in enumerate(ps)), with_p(1e-9, id="y@1"))
    outcome, rows, numbers = asked(run, "x")
    reference = stats.false_discovery_control(ps, method="bh")
    assert [row["q"] for row in rows] == pytest.approx(list(reference))
    assert [row["discovery"] for row in rows] == [True, True, True, False, False]
    assert numbers == {"tested": 5, "discoveries": 3, "small_p": 3, "expected_by_chance": 0.25}
    assert (outcome.discoveries, outcome.largest, outcome.listed) == (3, 0.03, 5)
    assert [row["member"] for row in rows] == [f"layer={at}" for at in range(5)]
    assert outcome.methods == ("labels permuted",)


def test_m_is_all_that_was_asked_and_not_what_a_table_lists() -> None:
    """A p that is a discovery beside four others is none beside four hundred."""
    few = asked(results(), "x.shift", many=(SHIFTS,))[0]
    assert (few.tested, few.discoveries, few.without_p) == (4, 2, 1)
    p = np.concatenate([SHIFTS.p, np.full(400, 0.7)])
    many = replace(SHIFTS, p=p, items=np.arange(len(p)), values=None)
    outcome, rows, numbers = asked(results(), "x.shift", many=(many,))
    assert (outcome.tested, outcome.discoveries) == (404, 1)
    assert numbers["expected_by_chance"] == pytest.approx(0.05 * 404)
    assert len(rows) == 404


def test_a_long_family_lists_the_smallest_and_counts_all() -> None:
    p = np.linspace(1, 1e-5, LISTED + 500)
    outcome, rows, _ = asked(results(), "x.shift", many=(PValues("x.shift@1", p, "w"),))
    assert (outcome.tested, outcome.listed, len(rows)) == (LISTED + 500, LISTED, LISTED)
    assert rows[0]["member"] == f"feature={LISTED + 499}"
    assert json.loads(rows[0]["axes"]) == {"feature": LISTED + 499}


def test_axes_choose_members_and_their_items() -> None:
    late = replace(SHIFTS, axes={"sae": "late"})
    both = (SHIFTS, late)
    assert asked(results(), "x.shift", many=both)[0].tested == 8
    assert asked(results(), "x.shift@1[sae=mid]", many=both)[0].tested == 4
    assert asked(results(), "x.shift[feature=5]", many=both)[0].tested == 2
    outcome, rows, _ = asked(
        results(), "x.shift[sae=mid, feature=5]", "x.shift[feature=3]", "x.shift[sae=mid]",
        many=both,
    )  # fmt: skip
    assert outcome.tested == 5  # each once, however many terms fit it
    assert [(row["member"], row["value"]) for row in rows[:2]] == [
        ("sae=mid, feature=3", 2.0), ("sae=late, feature=3", 2.0),
    ]  # fmt: skip


def test_a_number_that_two_terms_name_counts_once_and_two_equal_numbers_twice() -> None:
    run = results(with_p(0.01, layer=1), with_p(0.01, layer=2))
    assert asked(run, "x", "x[layer=1]")[0].tested == 2
    assert asked(run, "x[layer=1]")[0].tested == 1


def test_undefined_members_count_as_p_1() -> None:
    gone = replace(with_p(0.01, layer=3), value=None, ci=None, undefined="no token")
    bare = mean(0.5, 0.1, layer=4)
    run = results(with_p(0.02, layer=1), gone, bare)
    outcome, rows, numbers = asked(run, "x")
    assert (outcome.tested, outcome.without_p, outcome.discoveries) == (3, 2, 0)
    assert numbers["discoveries"] == 0
    assert [(row["p"], row["why"]) for row in rows[1:]] == [
        (None, "it is undefined: no token"), (None, "its record has no p"),
    ]  # fmt: skip
    assert asked(run, "x[layer=1]")[0].discoveries == 1


@pytest.mark.parametrize(
    ("run", "of", "why"),
    [
        (results(), "x", "no x was measured"),
        (results(with_p(0.1, layer=1)), "x[layer=2]", "nothing that was measured has these axes"),
        (results(mean(0.5, 0.1)), "x", "none of its numbers has a p: its record has no p"),
        (results(with_p(0.1), status="invalid"), "x", "the run is invalid"),
        (results(with_p(1.5)), "x", "none of its numbers has a p"),
    ],
    ids=["nothing", "axes", "no-p", "invalid", "no-probability"],
)
def test_where_nothing_is_known_it_says_why(run: Results, of: str, why: str) -> None:
    outcome, rows, numbers = asked(run, of)
    assert outcome.discoveries is None
    assert why in str(outcome.why)
    assert rows == []
    assert set(numbers.values()) <= {None, 1}


def test_too_few_draws_to_be_a_discovery_are_told() -> None:
    """p of 1/201 at least: beside 39 others at 0.05 only 0.00125 would do."""
    run = results(*(with_p(1 / 201 if at < 2 else 0.6, 1 / 201, layer=at) for at in range(40)))
    outcome, rows, _ = asked(run, "x")
    assert (outcome.discoveries, outcome.out_of_reach) == (0, 40)
    assert "p = 0.005 at least" in str(outcome.reason)
    assert "at most 0.0013 would be" in str(outcome.reason)
    assert all(row["out_of_reach"] for row in rows)
    led = results(*(with_p(1 / 201 if at < 5 else 0.6, 1 / 201, layer=at) for at in range(40)))
    found = asked(led, "x")[0]
    assert (found.discoveries, found.out_of_reach, found.reason) == (5, 0, None)


def test_any_dependence_is_stricter() -> None:
    run = results(*(with_p(p, layer=at) for at, p in enumerate([0.01, 0.02, 0.03])))
    assert asked(run, "x")[0].discoveries == 3
    assert asked(run, "x", dependence="any")[0].discoveries == 0


# ── Arms ─────────────────────────────────────────────────────────────────────────────────────────

NO, YES = [0] * 20, [1] * 20


def test_arms_are_held_against_the_unedited_one() -> None:
    run = arms(none=YES, a=NO, b=[1] * 18 + [0] * 2, c=YES)
    outcome, rows, _ = asked(run, "refusal_score", against="none")
    by_name = {row["member"]: row for row in rows}
    assert outcome.tested == 3
    assert by_name["direction=a"]["p"] == pytest.approx(2 * 0.5**20)
    assert by_name["direction=b"]["p"] == pytest.approx(2 * 0.5**2)
    assert by_name["direction=c"]["p"] == 1
    assert [name for name, row in by_name.items() if row["discovery"]] == ["direction=a"]
    assert {row["control"] for row in rows} == {1.0}
    assert by_name["direction=a"]["value"] == 0.0


def test_neither_the_control_nor_the_unedited_arm_is_a_member() -> None:
    run = arms(none=YES, a=NO, r_0=YES, r_1=[1] * 19 + [0])
    outcome, rows, _ = asked(run, "refusal_score", against="r")
    assert [row["member"] for row in rows] == ["refusal_score@1"]
    assert outcome.tested == 1
    assert rows[0]["control"] == pytest.approx(0.975)
    assert "2: larger p" in outcome.methods[0]
    assert asked(run, "refusal_score[direction=none]", against="r")[0].discoveries is None


def test_a_step_is_held_against_its_own_and_a_control_without_steps_against_all() -> None:
    run = arms(none=YES, a=NO, r=[1, 0] * 10)
    stepped = [
        replace(one, axes={**one.axes, "k": k})
        for k in (1, 2)
        for one in run.records
        if one.axes["direction"] in ("a", "r")
    ]
    rows = [
        {**row, "k": k}
        for k in (1, 2)
        for row in run.tables["completions"]
        if row["direction"] in ("a", "r")
    ]
    both = replace(run, records=(*run.records[:1], *stepped), tables={"completions": (
        *(row for row in run.tables["completions"] if row["direction"] == "none"), *rows
    )})  # fmt: skip
    _, found, _ = asked(both, "refusal_score[direction=a]", against="r")
    assert [row["p"] for row in found] == pytest.approx([2 * 0.5**10] * 2)
    _, found, _ = asked(both, "refusal_score[direction=a, k=2]", against="none")
    assert [row["p"] for row in found] == pytest.approx([2 * 0.5**20])


def test_a_control_that_is_not_there_is_named() -> None:
    run = arms(none=YES, a=NO)
    outcome, _, _ = asked(run, "refusal_score", against="r")
    assert "r was not measured beside it" in str(outcome.why)


def test_without_verdicts_of_prompts_there_is_no_p() -> None:
    run = replace(arms(none=YES, a=NO), tables={})
    outcome, _, _ = asked(run, "refusal_score", against="none")
    assert "no verdict of each prompt is kept" in str(outcome.why)
