"""Correlations over fine-tunes and domains against numpy and scipy, and what must not matter."""

from __future__ import annotations

from itertools import combinations, permutations

import numpy as np
import pytest
from scipy import stats

from harness_analyses.transfer.fine_tunes.intervals import (
    Clusters,
    correlation_interval,
    difference_interval,
)
from harness_analyses.transfer.fine_tunes.panel import (
    WITHIN,
    Used,
    Values,
    Within,
    pearson,
    shared,
    why_undefined,
)
from harness_analyses.transfer.fine_tunes.permutations import permutation_p

Panel = tuple[Values, Values, Used]


def panel(tunes: int = 5, domains: int = 4, seed: int = 0) -> Panel:
    """Random numbers with effects of fine-tunes and domains; each fine-tune lacks one domain."""
    rng = np.random.default_rng(seed)
    x, y = (
        rng.normal(size=(tunes, domains)) + rng.normal(size=(tunes, 1)) + rng.normal(size=domains)
        for _ in range(2)
    )
    used = np.ones((tunes, domains), bool)
    used[np.arange(tunes), np.arange(tunes) % domains] = False
    return x, y, used


def by_hand(x: Values, y: Values, used: Used, within: Within) -> float:
    """Pearson's r of a list of samples, each less the mean of its group."""
    samples = [(g, d) for g in range(len(x)) for d in range(x.shape[1]) if used[g, d]]
    columns: list[list[float]] = [[], []]
    for g, d in samples:
        group = {
            "nothing": samples,
            "fine-tune": [one for one in samples if one[0] == g],
            "domain": [one for one in samples if one[1] == d],
        }[within]
        for column, values in zip(columns, (x, y), strict=True):
            column.append(values[g, d] - np.mean([values[one] for one in group]))
    return float(stats.pearsonr(*columns)[0])


@pytest.mark.parametrize("within", WITHIN)
def test_r_is_scipys_of_samples_less_their_groups_mean(within: Within) -> None:
    for seed in range(5):
        x, y, used = panel(seed=seed)
        assert pearson(x, y, used, within) == pytest.approx(by_hand(x, y, used, within), abs=1e-12)


def test_within_fine_tunes_is_a_regression_with_fixed_effects() -> None:
    """The partial correlation given the fine-tune, by least squares on its indicators."""
    x, y, used = panel(seed=3)
    rows = np.nonzero(used)
    indicators = np.eye(len(x))[rows[0]]
    left = [
        values[rows] - indicators @ np.linalg.lstsq(indicators, values[rows])[0]
        for values in (x, y)
    ]
    expected = stats.pearsonr(*left)[0]
    assert pearson(x, y, used, "fine-tune") == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("within", WITHIN)
@pytest.mark.parametrize("over", ["fine-tunes", "either"])
def test_intervals_are_the_jackknife_of_clusters(within: Within, over: Clusters) -> None:
    x, y, used = panel(tunes=6, domains=5)
    z = np.arctanh(by_hand(x, y, used, within))
    halves = []
    for axis in (0,) if over == "fine-tunes" else (0, 1):
        n, without = used.shape[axis], []
        for one in range(n):
            kept = used & (np.indices(used.shape)[axis] != one)
            without.append(np.arctanh(by_hand(x, y, kept, within)))
        spread = (n - 1) / n * sum((np.array(without) - np.mean(without)) ** 2)
        halves.append(stats.t.ppf(0.975, n - 1) * np.sqrt(spread))
    expected = np.tanh(z - max(halves)), np.tanh(z + max(halves))
    found, why = correlation_interval(x, y, used, within, over)
    assert why is None
    assert found == pytest.approx(expected, abs=1e-10)


def test_a_difference_is_paired_and_without_itself_nothing() -> None:
    x, y, used = panel(tunes=6, domains=5)
    other = panel(tunes=6, domains=5, seed=9)[0]
    n, without = len(x), []
    for one in range(n):
        kept = used & (np.arange(n) != one)[:, None]
        first, second = (by_hand(of, y, kept, "fine-tune") for of in (x, other))
        without.append(first - second)
    half = stats.t.ppf(0.975, n - 1) * np.sqrt((n - 1) / n * np.sum(
        (np.array(without) - np.mean(without)) ** 2))  # fmt: skip
    value = by_hand(x, y, used, "fine-tune") - by_hand(other, y, used, "fine-tune")
    found, _ = difference_interval((x, other), y, used, "fine-tune", "fine-tunes")
    assert found == pytest.approx((value - half, value + half), abs=1e-10)
    itself, _ = difference_interval((x, 3 * x + 1), y, used, "fine-tune", "either")
    assert itself == pytest.approx((0, 0), abs=1e-10)


def test_the_share_that_fine_tunes_have_in_common() -> None:
    x, _, used = panel(tunes=4, domains=4, seed=2)
    centre = np.array([row[kept].mean() for row, kept in zip(x, used, strict=True)])
    u = x - centre[:, None]
    products = [
        u[g, d] * u[h, d]
        for g, h in combinations(range(4), 2)
        for d in range(4)
        if used[g, d] and used[h, d]
    ]
    expected = np.mean(products) / np.mean(u[used] ** 2)
    assert shared(x, used) == pytest.approx(np.clip(expected, 0, 1), abs=1e-12)
    alike = np.tile(np.arange(4.0), (4, 1))
    assert shared(alike, np.ones((4, 4), bool)) == pytest.approx(1)
    own = np.random.default_rng(0).normal(size=(40, 60))
    assert shared(own, np.ones_like(own, bool)) < 0.05


@pytest.mark.parametrize("within", WITHIN)
def test_neither_scale_nor_the_means_that_are_taken_off_matter(within: Within) -> None:
    x, y, used = panel()
    more = {"nothing": 5.0, "fine-tune": np.arange(5.0)[:, None], "domain": np.arange(4.0)}[within]
    for given in (7 * x, x + more, np.where(used, x, 1e6)):
        assert pearson(given, y, used, within) == pytest.approx(pearson(x, y, used, within))
    assert pearson(-x, y, used, within) == pytest.approx(-pearson(x, y, used, within))


def test_what_does_not_vary_has_a_reason() -> None:
    x, y, used = panel()
    assert why_undefined(x, y, used, "fine-tune") is None
    assert "1 fine-tune" in (why_undefined(x[:1], y[:1], used[:1], "fine-tune") or "")
    constant = np.full_like(x, 0.3)
    for within in WITHIN:
        assert "the forecast does not vary" in (why_undefined(constant, y, used, within) or "")
        assert "change does not vary" in (why_undefined(x, constant, used, within) or "")
    rows = np.broadcast_to(np.arange(5.0)[:, None], x.shape)
    assert "within every fine-tune" in (why_undefined(rows, y, used, "fine-tune") or "")
    assert why_undefined(rows, y, used, "nothing") is None
    two = used[:2], x[:2], y[:2]
    found, why = correlation_interval(two[1], two[2], two[0], "fine-tune", "fine-tunes")
    assert (found, why) == (None, "2 fine-tunes; an interval needs 3")


def test_samples_on_a_line_have_no_interval() -> None:
    x, _, used = panel()
    found, why = correlation_interval(x, 2 * x, used, "nothing", "fine-tunes")
    assert found is None
    assert why is not None
    assert "line" in why


# ── Orders ───────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.slow
def test_orders_apart_come_near_all_orders() -> None:
    x, y, _ = panel(tunes=2, domains=4, seed=4)
    used = np.ones_like(x, bool)
    observed = abs(by_hand(x, y, used, "fine-tune"))
    every = [
        abs(by_hand(np.array([x[0, list(a)], x[1, list(b)]]), y, used, "fine-tune"))
        for a in permutations(range(4))
        for b in permutations(range(4))
    ]
    exact = np.mean(np.array(every) >= observed - 1e-12)
    found = permutation_p(x, y, used, "fine-tune", "apart", 2000, 0)
    assert found == pytest.approx(exact, abs=0.04)


def test_orders_together_come_near_all_orders() -> None:
    x, y, used = panel(tunes=3, domains=5, seed=1)
    observed = abs(by_hand(x, y, used, "nothing"))
    every = []
    for order in permutations(range(5)):
        moved = list(order)
        every.append(abs(by_hand(x[:, moved], y, used & used[:, moved], "nothing")))
    exact = np.mean(np.array(every) >= observed - 1e-12)
    found = permutation_p(x, y, used, "nothing", "together", 2000, 0)
    assert found == pytest.approx(exact, abs=0.04)


def test_within_domains_fine_tunes_change_places() -> None:
    x, y, used = panel(tunes=5, domains=3, seed=6)
    for way in ("apart", "together"):
        one = permutation_p(x, y, used, "domain", way, 300, 0)  # type: ignore[arg-type]
        assert one == permutation_p(x.T, y.T, used.T, "fine-tune", way, 300, 0)  # type: ignore[arg-type]
