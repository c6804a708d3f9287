"""How a claim comes out: by its interval, its control and its draws; when it has no number."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from scipy import stats

from claims.numbers import AXES, arms, mean, outcome, rate, results
from harness.claims import evaluate, evaluate_results
from harness.contract import Record
from harness.errors import DataError
from harness.results.intervals import wilson
from harness.results.paired import newcombe, tango


@pytest.mark.parametrize(
    ("holds", "status"),
    [
        ("x < 0.7", "supported"),
        ("x <= 0.6", "supported"),
        ("x < 0.6", "undecided"),
        ("x < 0.5", "undecided"),
        ("x > 0.6", "contradicted"),
        ("x >= 0.6", "undecided"),
        ("x < 0.4", "contradicted"),
        ("x <= 0.4", "undecided"),
        ("x > 0.3", "supported"),
    ],
)
def test_the_whole_interval_decides(holds: str, status: str) -> None:
    run = results(replace(mean(0.5, 0.1), ci=(0.4, 0.6)))
    assert outcome(run, holds).status == status


@pytest.mark.slow
@settings(deadline=None)
@given(st.integers(0, 60), st.integers(1, 60), st.floats(0, 1))
def test_a_claim_and_its_opposite_never_both_hold(k: int, n: int, bound: float) -> None:
    run = results(rate(min(k, n), n))
    opposite = {"supported": "contradicted", "contradicted": "supported", "undecided": "undecided"}
    one = outcome(run, f"refusal_score <= {bound!r}").status
    assert outcome(run, f"refusal_score > {bound!r}").status == opposite[one]


def test_effect_interval_and_n_are_those_of_the_record() -> None:
    found = outcome(results(rate(20, 100, direction="a")), "refusal_score[direction=a] < 0.5")
    assert (found.effect, found.n, found.n_of, found.bound) == (0.2, 100, "prompts", 0.5)
    assert found.ci == wilson(20, 100)


# ── Two terms ────────────────────────────────────────────────────────────────────────────────────


def test_arms_that_share_prompts_are_paired() -> None:
    first, second = [1] * 60, [1] * 55 + [0] * 5
    claim = "refusal_score[direction=a] - refusal_score[direction=b] < 0"
    found = outcome(arms(b=first, a=second), claim)
    assert found.status == "supported"
    assert found.effect == pytest.approx(-5 / 60)
    assert found.ci == pytest.approx(tango(0, 5, 60))
    assert "Tango" in str(found.method)
    apart = results(rate(60, 60, direction="b"), rate(55, 60, direction="a"))
    other = outcome(apart, claim)  # without the prompts, both intervals must do
    assert other.ci == pytest.approx(newcombe((60, 60), (55, 60)))
    assert "MOVER" in str(other.method)


def test_where_all_prompts_change_the_difference_is_not_known_exactly() -> None:
    claim = "refusal_score[direction=a] - refusal_score[direction=b] < 0"
    found = outcome(arms(a=[0] * 50, b=[1] * 50), claim)
    assert found.ci is not None
    assert found.ci[0] == pytest.approx(-1)
    assert -0.95 < found.ci[1] < -0.8


def test_a_paired_ratio_is_by_prompts() -> None:
    generator = np.random.default_rng(0)
    b = generator.random(80) < 0.6
    a = b & (generator.random(80) < 0.5)
    claim = "refusal_score[direction=a] / refusal_score[direction=b] < 0.8"
    found = outcome(arms(a=[int(x) for x in a], b=[int(x) for x in b]), claim)
    reference = stats.bootstrap(
        (a.astype(float), b.astype(float)), lambda x, y, axis: x.mean(axis) / y.mean(axis),
        paired=True, method="BCa", n_resamples=4000, random_state=1,
    ).confidence_interval  # fmt: skip
    assert found.effect == pytest.approx(a.mean() / b.mean())
    assert found.ci == pytest.approx((reference.low, reference.high), abs=0.03)


def test_the_null_of_a_difference_is_the_difference_of_nulls() -> None:
    null = {"kind": "identical", "value": 1.0}
    run = results(
        replace(mean(0.8, 0.05, id="a@1"), null=null),
        replace(mean(0.95, 0.01, id="b@1"), null=null),
    )
    found = outcome(run, "a - b < 0.5", "null")
    assert (found.control, found.status) == (0.0, "supported")
    assert outcome(run, "a < 2", "null").difference == pytest.approx(-0.2)


# ── Draws and controls ───────────────────────────────────────────────────────────────────────────


def test_draws_are_averaged_with_their_spread() -> None:
    values = [0.51, 0.17, 0.29, 0.20, 0.41]
    run = results(*(rate(round(100 * v), 100, direction="r", draw=d) for d, v in enumerate(values)))
    found = outcome(run, "refusal_score[direction=r] < 0.9")
    spread = stats.t.ppf(0.975, 4) * np.std(values, ddof=1) / math.sqrt(5)
    low, high = np.mean([wilson(round(100 * v), 100) for v in values], axis=0)
    value = float(np.mean(values))
    assert found.effect == pytest.approx(value)
    expected = value - math.hypot(spread, value - low), value + math.hypot(spread, high - value)
    assert found.ci == pytest.approx(expected)


def test_the_mean_over_draws_covers_what_all_draws_would_give() -> None:
    """Draws of their own rates on shared prompts: the truth is the mean over all directions."""
    generator = np.random.default_rng(4)
    hits, tried = 0, 300
    for _ in range(tried):
        rates = np.clip(generator.normal(0.4, 0.1, 5), 0, 1)
        run = results(
            *(
                rate(int(generator.binomial(50, p)), 50, direction="r", draw=d)
                for d, p in enumerate(rates)
            )
        )
        ci = outcome(run, "refusal_score[direction=r] < 0.9").ci
        assert ci is not None
        hits += ci[0] <= 0.4 <= ci[1]
    assert hits / tried >= 0.93


@pytest.mark.parametrize(
    ("effect", "control", "status"),
    [(0, 40, "supported"), (0, 0, "undecided"), (20, 2, "contradicted"), (45, 2, "contradicted")],
)
def test_what_a_control_does_as_well_is_no_effect(effect: int, control: int, status: str) -> None:
    """Below the bound, and below the control, too; above the control is contradicted."""
    run = arms(
        a=[1] * effect + [0] * (50 - effect),
        r_0=[1] * control + [0] * (50 - control),
        r_1=[0] * (50 - control) + [1] * control,
    )
    found = outcome(run, "refusal_score[experiment=bypass, direction=a] <= 0.6", "r")
    assert found.status == status
    assert found.control == pytest.approx(control / 50)
    assert found.difference == pytest.approx((effect - control) / 50)


def test_the_control_has_the_step_of_the_claim_where_it_has_steps() -> None:
    run = results(
        *(rate(5, 50, direction="a", k=k) for k in (1, 8)),
        *(rate(n, 50, direction="swept", k=k) for k, n in ((1, 10), (8, 40))),
        rate(30, 50, direction="plain"),
    )
    claim = "refusal_score[direction=a, k=8] < 0.5"
    assert outcome(run, claim, "swept").control == pytest.approx(0.8)
    assert outcome(run, claim, "plain").control == pytest.approx(0.6)


def test_a_common_second_term_drops_out_of_the_difference_to_the_control() -> None:
    run = arms(a=[0] * 40, none=[1] * 40, r=[1] * 20 + [0] * 20)
    claim = "refusal_score[direction=a] - refusal_score[direction=none] < -0.2"
    found = outcome(run, claim, "r")
    assert found.control == pytest.approx(-0.5)
    assert found.difference == pytest.approx(-0.5)
    direct = outcome(run, "refusal_score[direction=a] - refusal_score[direction=r] < 0")
    assert found.difference_ci == direct.ci


def test_where_draws_differ_more_than_the_gap_more_prompts_are_no_help() -> None:
    run = results(*(rate(n, 50, direction="r", draw=d) for d, n in enumerate((0, 45, 2, 44))))
    found = outcome(run, "refusal_score[direction=r] < 0.5")
    assert (found.status, found.more) == ("undecided", None)
    assert "draws differ too much" in str(found.why)


# ── No number ────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("holds", "against", "why"),
    [
        ("y < 1", None, "no y was measured"),
        ("refusal_score[direction=b] < 1", None, "direction is a, gone"),
        ("refusal_score[direction=a] < 1", None, "differ in k"),
        ("refusal_score[direction=gone] < 1", None, "undefined: no prompt"),
        ("refusal_score[direction=a, k=1] < 1", "b", "b: "),
        ("refusal_score[direction=a, k=1] < 1", "null", "has no null"),
        ("refusal_score[k=1] / refusal_score[k=2] < 1", None, "the divisor is 0"),
    ],
)
def test_without_a_number_it_is_unmeasured_and_says_why(
    holds: str, against: str | None, why: str
) -> None:
    gone = Record("refusal_score@1", None, 0, "prompts", "share", undefined="no prompt",
                  axes={**AXES, "direction": "gone"})  # fmt: skip
    run = results(rate(5, 9, direction="a", k=1), rate(0, 9, direction="a", k=2), gone)
    found = outcome(run, holds, against)
    assert found.status == "unmeasured"
    assert why in str(found.why)


def test_a_number_without_an_interval_decides_nothing() -> None:
    bare = Record("x@1", 1.0, 9, "tokens", "share", ci_why="one set of vectors")
    found = outcome(results(bare), "x < 5")
    assert (found.status, found.effect, found.more) == ("undecided", 1.0, None)
    assert "one set of vectors" in str(found.why)


def test_an_invalid_run_measures_no_claim() -> None:
    found = outcome(results(rate(5, 9), status="invalid"), "refusal_score < 1")
    assert (found.status, found.effect) == ("unmeasured", None)


def test_the_claims_of_a_runs_own_task() -> None:
    claims = {"c": {"text": "w", "holds": "refusal_score < 1", "written": "2026"}}
    (found,) = evaluate_results(results(rate(5, 9), task={"claims": claims}))
    assert (found.name, found.status) == ("c", "supported")
    assert evaluate([], results()) == ()
    for wrong in ({"c": {"text": "w"}}, {"c": 1}, {"c": {"text": "w", "holds": "x == 1"}}):
        with pytest.raises(DataError, match="claims: "):
            evaluate_results(results(task={"claims": wrong}))
