"""Intervals by groups of documents: against a slow reference, scipy, and laws."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from scipy import optimize, stats

from harness.results.numbers import MIN_CLUSTERS
from harness.results.replicates import (
    ALONE,
    DRAWN,
    DRAWS,
    GROUPS,
    LEFT_OUT,
    REPLICATES,
    group_of,
    group_rows,
    interval,
    replicate_weights,
    replicated,
)

ROOMY = 24


def ids(count: int, of: str = "d") -> list[str]:
    return [f"{of}{n}" for n in range(count)]


def ratios(total: np.ndarray, count: np.ndarray | None = None, seed: int = 0) -> np.ndarray:
    """Of every replicate, the sum of one over the sum of the other."""
    weights = replicate_weights(ids(len(total)), seed)
    with np.errstate(invalid="ignore"):
        return np.asarray(
            weights @ total / (weights @ (np.ones(len(total)) if count is None else count))
        )


def found(values: np.ndarray, clusters: int) -> tuple[float, float]:
    ci, why = interval(values, clusters)
    assert ci is not None, why
    return ci


# ── Groups and draws ─────────────────────────────────────────────────────────────────────────────


def test_groups_and_draws_are_frozen() -> None:
    """Shards of one run may be made by different processes, and intervals are compared."""
    assert [group_of(name, 0) for name in "abcdef"] == GROUPS_OF
    assert group_of("a", 1) != GROUPS_OF[0]
    row = replicated(np.concatenate([[1.0], np.eye(GROUPS)[3]]))[DRAWN]
    assert row[:12].tolist() == OFTEN


GROUPS_OF = [204, 144, 203, 59, 107, 203]
OFTEN = [0.0, 0.0, 0.0, 2.0, 0.0, 2.0, 2.0, 1.0, 1.0, 1.0, 1.0, 0.0]


def test_documents_are_spread_evenly_over_groups() -> None:
    counts = np.bincount([group_of(name, 5) for name in ids(20_000)], minlength=GROUPS)
    assert stats.chisquare(counts).pvalue > 1e-3


def test_a_replicate_is_all_then_without_then_alone_then_drawn() -> None:
    sums = group_rows(ids(40), 2) @ np.arange(40.0)
    rows = replicated(sums)
    assert rows.shape == (REPLICATES,)
    assert rows[0] == sums[0] == np.arange(40).sum()
    for group in range(GROUPS):
        mine = sum(n for n in range(40) if group_of(f"d{n}", 2) == group)
        assert rows[ALONE][group] == mine
        assert rows[LEFT_OUT][group] == sums[0] - mine
    # Each draw is of as many groups as there are, with replacement.
    weights = replicated(np.concatenate([[1.0], np.ones(GROUPS)]))[DRAWN]
    assert (weights == GROUPS).all()
    assert len(weights) == DRAWS


def test_what_is_at_hand_is_a_group_each_while_there_are_groups() -> None:
    names = [*ids(30), "d3", "d7"]
    weights = replicate_weights(names, 0)
    assert (weights[LEFT_OUT].sum(0) == GROUPS - 1).all()
    np.testing.assert_array_equal(weights[:, 3], weights[:, 30])  # equal ids are one thing
    assert sorted((weights[ALONE].sum(1) > 0).nonzero()[0]) == list(range(30))
    many = replicate_weights(ids(400), 1)
    np.testing.assert_array_equal(many, replicated(group_rows(ids(400), 1)))


# ── The interval ─────────────────────────────────────────────────────────────────────────────────


def slow(values: np.ndarray, clusters: int) -> tuple[float, float]:
    """The formulas of the docstring once more, one number at a time; ends by solving for them."""
    theta, m = float(values[0]), GROUPS * (1 - (1 - 1 / GROUPS) ** clusters)
    parts = [(m - 1) / m * (theta - float(one)) for one in values[LEFT_OUT]]
    mean = math.fsum(parts) / GROUPS
    parts = [one - mean for one in parts]
    s = math.sqrt(math.fsum(one**2 for one in parts))
    weights = replicated(np.concatenate([np.ones((1, GROUPS)), np.eye(GROUPS)]))[DRAWN]
    drawn = np.array([one if np.isfinite(one) else theta for one in values[DRAWN]])
    u = (
        np.array(
            [math.fsum((w - 1) * one for w, one in zip(row, parts, strict=True)) for row in weights]
        )
        / s
    )
    design = np.stack([np.ones(DRAWS), u, u**2], 1)
    y = (drawn - theta) / s
    told = (
        1
        - np.square(y - design @ np.linalg.lstsq(design, y)[0]).sum()
        / np.square(y - y.mean()).sum()
    )
    c = np.linalg.lstsq(design, y - u)[0][2]
    c = min(0.5, max(-0.5, c))
    spread = float(np.std(drawn))
    error = (spread if told < 0.8 else max(s, spread)) * math.sqrt(m / (m - 1))
    a = 1.15 * math.fsum(one**3 for one in parts) / (6 * s**3)
    freedom = 3 * (m - 1) / max(3, m * math.fsum(one**4 for one in parts) / s**4)
    t = float(stats.t.ppf(0.975, freedom))
    big_a, big_b = 2 * a + c, a + c

    def straightened(x: float) -> float:  # Hall's cubic, of which h is the inverse
        return x + big_a * x**2 + big_a**2 * x**3 / 3 + big_b

    def end(q: float) -> float:
        at = optimize.brentq(lambda x: straightened(x) - q, -1e4, 1e4, xtol=1e-13)
        return theta - error * float(at)

    low, high = end(t), end(-t)
    alone = values[ALONE][np.isfinite(values[ALONE])]
    if alone.min() < theta < alone.max():
        low, high = max(low, alone.min()), min(high, alone.max())
    return min(low, theta), max(high, theta)


@pytest.mark.parametrize("clusters", [20, 60, 400])
@pytest.mark.parametrize("shape", ["normal", "lognormal", "negative", "median"])
def test_the_interval_is_that_of_the_formulas(clusters: int, shape: str) -> None:
    generator = np.random.default_rng(clusters)
    x = generator.normal(size=clusters)
    if shape != "normal":
        x = np.exp(x) if shape == "lognormal" else -np.exp(x)
    values = ratios(x, generator.integers(5, 40, clusters).astype(float))
    if shape == "median":
        weights = replicate_weights(ids(clusters), 0)
        order = np.argsort(x)
        below = weights[:, order].cumsum(1)
        at = (below < below[:, -1:] / 2).sum(1).clip(max=clusters - 1)
        values = np.where(below[:, -1] > 0, x[order][at], np.nan)
    assert found(values, clusters) == pytest.approx(slow(values, clusters), rel=1e-6)


def test_of_normal_numbers_it_is_students() -> None:
    x = stats.norm.ppf((np.arange(200) + 0.5) / 200)
    low, high = stats.t.interval(0.95, 199, x.mean(), stats.sem(x))
    assert found(ratios(x), 200) == pytest.approx((low, high), abs=0.06 * (high - low))


def test_of_skewed_numbers_it_lies_between_scipys_and_beyond() -> None:
    """BCa is right to second order, and still too short on the long side, as is known."""
    x = stats.expon.ppf((np.arange(60) + 0.5) / 60)
    reference = stats.bootstrap((x,), np.mean, n_resamples=20_000, method="BCa", rng=1)
    low, high = found(ratios(x), 60)
    error = stats.sem(x)
    assert low == pytest.approx(reference.confidence_interval.low, abs=0.25 * error)
    assert 0 < high - reference.confidence_interval.high < error
    assert high - x.mean() > 1.2 * (x.mean() - low)


NUMBERS = st.lists(st.floats(-100, 100).map(lambda x: round(x, 3)), min_size=ROOMY, max_size=60)


@pytest.mark.slow
@given(NUMBERS, st.floats(0.1, 10), st.floats(-50, 50))
@settings(max_examples=30, deadline=None)
def test_units_do_not_matter(numbers: list[float], scale: float, shift: float) -> None:
    x = np.array(numbers)
    if np.ptp(x) < 0.1:
        return
    low, high = found(ratios(x), len(x))
    size = high - low
    moved = found(ratios(scale * x + shift), len(x))
    assert moved == pytest.approx(
        (scale * low + shift, scale * high + shift), abs=1e-5 * scale * size
    )
    turned = found(ratios(-x), len(x))
    assert turned == pytest.approx((-high, -low), abs=1e-5 * size)


@pytest.mark.slow
@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), min_size=ROOMY, max_size=60))
@settings(max_examples=30, deadline=None)
def test_a_share_stays_between_0_and_1_and_holds_its_value(counts: list[tuple[int, int]]) -> None:
    yes, no = np.array(counts, dtype=float).T
    values = ratios(yes, yes + no)
    ci, why = interval(values, len(counts))
    if ci is None:
        assert why
        return
    assert 0 <= ci[0] <= values[0] <= ci[1] <= 1


def test_without_any_difference_it_is_a_point() -> None:
    assert found(ratios(np.full(30, 0.25)), 30) == (0.25, 0.25)


# ── What has none, and why ───────────────────────────────────────────────────────────────────────


def test_few_documents_have_none() -> None:
    values = ratios(np.arange(19.0))
    few = interval(values, MIN_CLUSTERS - 1)
    assert few == (None, "19 documents; an interval needs 20")
    assert interval(values, 19, "prompts") == (None, "19 prompts; an interval needs 20")
    assert interval(values, 19, "organisms", fewest=10)[0] is not None


def test_what_hangs_on_one_document_has_none() -> None:
    measured = np.zeros(40)
    measured[7] = 5
    assert interval(ratios(measured, measured), 40) == (
        None, "without some of the documents it is undefined: it hangs on them alone",
    )  # fmt: skip


def test_a_few_undefined_draws_cost_nothing_and_many_are_said() -> None:
    """CASES row 13."""
    values = ratios(np.arange(40.0))
    whole = found(values, 40)
    values[DRAWN][:10] = np.nan
    assert found(values, 40) == pytest.approx(whole, rel=0.1)
    values[DRAWN][10] = np.inf
    assert interval(values, 40) == (None, "undefined in 11 of 200 draws of documents")
