"""How many more prompts decide a claim: against slow references, and simulated runs."""

from __future__ import annotations

import math
from functools import cache

import numpy as np
import pytest
from scipy import stats

from claims.numbers import arms, mean, outcome, rate, results
from harness.claims.more import exact_limits, needed, power, rate_limits
from harness.claims.redraw import Mean, Pairs, Rate
from harness.results.numbers import MIN_UNLIKE
from harness.results.paired import paired_difference


@cache
def limits(k: int, n: int) -> tuple[float, float]:
    """By scipy: the lower of both low ends, the higher of both high ends."""
    test = stats.binomtest(k, n)
    ends = [test.proportion_ci(0.95, method=m) for m in ("wilson", "exact")]  # type: ignore[arg-type]
    return min(e.low for e in ends), max(e.high for e in ends)


def slow_power(p: float, bound: float, n: int) -> float:
    """The sum over all counts whose interval lies on the value's side of the bound.

    Scipy takes its time for an interval: counts that come 1 time in 10^13 at most are left out.
    """
    chances = stats.binom.pmf(np.arange(n + 1), n, p)
    decided = 0.0
    for k in np.flatnonzero(chances > 1e-13):
        low, high = limits(int(k), n)
        decided += chances[k] if (high < bound if p < bound else low > bound) else 0.0
    return float(decided)


@pytest.mark.parametrize(("k", "n"), [(0, 5), (5, 5), (3, 17), (1, 100), (99, 100)])
def test_limits_are_those_of_scipy(k: int, n: int) -> None:
    assert rate_limits(k, n) == pytest.approx(limits(k, n), abs=1e-9)
    exact = stats.binomtest(k, n).proportion_ci(0.95, method="exact")
    assert exact_limits(k, n) == pytest.approx((exact.low, exact.high), abs=1e-9)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("k", "n", "bound"), [(30, 50, 0.5), (20, 50, 0.5), (1, 40, 0.1), (39, 40, 0.9), (9, 60, 0.3)]
)
def test_the_power_of_a_rate_is_the_sum_over_all_counts(k: int, n: int, bound: float) -> None:
    for total in (n, n + 13, 3 * n):
        found = power(Rate(k, n), k / n, bound, n, total)
        assert found == pytest.approx(slow_power(k / n, bound, total), abs=1e-9)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("k", "n", "bound"), [(15, 20, 0.5), (1, 30, 0.1), (38, 40, 0.8), (0, 20, 0.1)]
)
def test_as_many_as_needed_are_enough_and_hardly_more_than_the_least(
    k: int, n: int, bound: float
) -> None:
    total = needed(Rate(k, n), k / n, bound, n)
    assert total is not None
    assert slow_power(k / n, bound, total) >= 0.8
    tried = range(n + 1, total + 1)
    least = next(m for m in tried if power(Rate(k, n), k / n, bound, n, m) >= 0.8)
    assert total <= 1.12 * least + 5


def test_a_mean_needs_what_the_textbook_says() -> None:
    """(z₀.₉₇₅ + z₀.₈)² / (gap in standard errors)² times as many, where there are many."""
    error = 0.05 / 1.96
    total = needed(Mean(0.52, 0.47, 0.57, 2000), 0.52, 0.5, 2000)
    assert total is not None
    expected = 2000 * ((1.96 + 0.8416) * error / 0.02) ** 2
    assert math.isclose(total, expected, rel_tol=0.03)


@pytest.mark.slow
def test_pairs_need_what_real_bootstraps_of_them_need() -> None:
    """As many as are asked for, each judged and bootstrapped as a run's prompts are."""
    rose, fell, n = 3, 9, 100
    total = needed(Pairs(rose, fell, n), -0.06, 0.0, n)
    assert total is not None
    generator = np.random.default_rng(8)
    decided, tried = 0, 150
    for _ in range(tried):
        change = generator.choice([1, -1, 0], total, p=[0.03, 0.09, 0.88])
        first = {str(i): (float(c < 0),) for i, c in enumerate(change)}
        second = {str(i): (float(c > 0),) for i, c in enumerate(change)}
        ci = paired_difference(first, second, yes_no=True).ci
        assert ci is not None
        decided += ci[1] < 0
    assert 0.72 <= decided / tried <= 0.9


def test_redrawn_intervals_of_pairs_are_those_of_pairs() -> None:
    """Where fewer than ten prompts changed: one of the splits into risen and fallen gives it."""
    found = Pairs(1, 3, 60).redraw(1.0, np.random.default_rng(0), 40)
    few = 0
    for value, low, high in zip(found.value, found.low, found.high, strict=True):
        ends = []
        for rose in range(MIN_UNLIKE):
            fell = rose - round(value * 60)
            if fell >= 0 and rose + fell < MIN_UNLIKE:
                first = {str(i): (float(i < fell),) for i in range(60)}
                second = {str(i): (float(fell <= i < fell + rose),) for i in range(60)}
                ends.append(paired_difference(first, second, yes_no=True).ci)
        few += any(one == pytest.approx((low, high), abs=1e-6) for one in ends)
    assert few >= 38


# ── 200 simulated claims ─────────────────────────────────────────────────────────────────────────


def undecided_claims(count: int, seed: int) -> list[tuple[int, int, float, int]]:
    """Claims on rates that were not decided: successes, prompts, bound, and what was asked for."""
    generator = np.random.default_rng(seed)
    found: list[tuple[int, int, float, int]] = []
    while len(found) < count:
        n = int(generator.choice([50, 100, 200]))
        bound = float(generator.choice([0.1, 0.25, 0.5, 0.8, 0.95]))
        k = int(generator.binomial(n, bound))
        told = outcome(results(rate(k, n, direction="d")), f"refusal_score <= {bound}")
        if told.status == "undecided" and told.more is not None and told.more <= 20_000:
            found.append((k, n, bound, told.more))
    return found


@pytest.mark.slow
def test_of_200_claims_three_quarters_are_decided_with_what_was_asked_for() -> None:
    generator = np.random.default_rng(1)
    right = 0
    for k, n, bound, more in undecided_claims(200, seed=0):
        again = int(generator.binomial(n + more, k / n))
        told = outcome(results(rate(again, n + more, direction="d")), f"refusal_score <= {bound}")
        right += told.status == ("supported" if k / n < bound else "contradicted")
    assert right >= 150
    assert right <= 195  # and it does not ask for far too many


@pytest.mark.slow
@pytest.mark.parametrize("sign", ["<=", ">", "<", ">="])
def test_where_the_bound_is_the_truth_hardly_any_is_decided_wrongly(sign: str) -> None:
    """`<=` holds of the bound itself, so *contradicted* is wrong; of `<`, *supported* is."""
    generator = np.random.default_rng(2)
    wrong, tried = 0, 1000
    for _ in range(tried):
        n = int(generator.choice([20, 50, 100, 200]))
        bound = float(generator.choice([0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 0.9, 0.99]))
        k = int(generator.binomial(n, bound))
        told = outcome(results(rate(k, n, direction="d")), f"refusal_score {sign} {bound}")
        wrong += told.status == ("contradicted" if "=" in sign else "supported")
    assert wrong <= 0.05 * tried


def test_no_rate_at_its_bound_is_decided_wrongly_more_than_one_time_in_forty() -> None:
    """Exactly, for every n up to 60 and bounds from 0.002 to 0.998."""
    for n in range(1, 61, 3):
        for bound in (0.002, 0.01, 0.03, 0.1, 0.3, 0.5, 0.77, 0.9, 0.998):
            counts = np.arange(n + 1)
            ends = [rate_limits(int(k), n) for k in counts]
            chances = stats.binom.pmf(counts, n, bound)
            above = sum(c for c, e in zip(chances, ends, strict=True) if e[0] > bound)
            below = sum(c for c, e in zip(chances, ends, strict=True) if e[1] < bound)
            assert max(above, below) <= 0.025 + 1e-9


@pytest.mark.slow
def test_of_paired_claims_that_were_undecided_most_are_decided() -> None:
    generator = np.random.default_rng(5)
    right, tried = 0, 0
    while tried < 40:
        first = generator.random(60) < 0.5
        second = np.where(generator.random(60) < 0.2, generator.random(60) < 0.3, first)
        claim = "refusal_score[direction=a] - refusal_score[direction=b] < 0"
        told = outcome(arms(a=list(second), b=list(first)), claim)
        if told.status != "undecided" or told.more is None or told.more > 3000:
            continue
        tried += 1
        picked = generator.integers(0, 60, 60 + told.more)  # the truth is what was observed
        again = outcome(arms(a=list(second[picked]), b=list(first[picked])), claim)
        effect = told.effect or 0.0
        right += again.status == ("supported" if effect < 0 else "contradicted")
    assert right >= 0.75 * tried


def test_no_number_decides_what_is_the_bound_itself() -> None:
    told = outcome(results(rate(50, 100)), "refusal_score <= 0.5")
    assert (told.status, told.more) == ("undecided", None)
    assert "no number of prompts" in str(told.why)


def test_of_tokens_documents_are_asked_for() -> None:
    told = outcome(results(mean(0.5, 0.1, 100)), "x < 0.55")
    assert (told.n, told.n_of) == (100, "documents")
    assert told.more is not None
    assert 500 < told.more + 100 < 1000
