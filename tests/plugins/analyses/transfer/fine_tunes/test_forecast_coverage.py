"""What the intervals, p values and the power are worth, by simulation: with few fine-tunes.

The fast form of what `python` gives with many more draws; the figures stand in docs/forecast.md.
"""

from __future__ import annotations

import numpy as np
import pytest

from harness_analyses.transfer.fine_tunes.intervals import Clusters, fisher, half_width
from harness_analyses.transfer.fine_tunes.panel import Used, Within, pearson
from harness_analyses.transfer.fine_tunes.permutations import permutation_p
from harness_analyses.transfer.fine_tunes.power import drawn, planned, power

DRAWS = 800
DOMAINS = 9


def coverage(
    used: Used, true: float, alike: float, over: Clusters, within: Within = "fine-tune"
) -> float:
    """How often an interval of simulated experiments holds the true correlation."""
    x, y = drawn(used, true, (alike, alike), DRAWS, 1)
    number = fisher(x, y, within)
    off = np.abs(number(used) - np.arctanh(true))
    return float(np.mean(off <= half_width(number, used, over)))


@pytest.mark.parametrize("tunes", [4, 6, 11])
@pytest.mark.parametrize("true", [0.0, 0.5])
def test_an_interval_over_fine_tunes_covers_95_percent(tunes: int, true: float) -> None:
    """Where the domains of different fine-tunes have nothing in common."""
    found = coverage(planned(tunes, DOMAINS, tunes), true, 0.0, "fine-tunes")
    assert 0.92 <= found <= 0.975


def test_it_does_not_for_other_domains_where_all_fine_tunes_break_the_same_ones() -> None:
    used = planned(11, DOMAINS, 9)
    assert coverage(used, 0.0, 0.4, "fine-tunes") < 0.85


@pytest.mark.parametrize("alike", [0.0, 0.4, 0.8])
@pytest.mark.parametrize("tunes", [6, 11])
def test_the_wider_interval_covers_whatever_is_alike(tunes: int, alike: float) -> None:
    used = planned(tunes, DOMAINS, tunes)
    for true in (0.0, 0.5):
        assert coverage(used, true, alike, "either") >= 0.925


def test_a_bootstrap_of_few_fine_tunes_would_be_too_narrow() -> None:
    """Why there is none: percentiles over drawn fine-tunes, 6 of them, cover far below 95%."""
    used, rng = planned(6, DOMAINS, 6), np.random.default_rng(0)
    x, y = drawn(used, 0.0, (0.0, 0.0), 300, 2)
    rows = rng.integers(6, size=(150, 6))
    r = np.array([pearson(x[:, of], y[:, of], used[of], "fine-tune") for of in rows])
    low, high = np.quantile(r, [0.025, 0.975], axis=0)
    assert np.mean((low <= 0) & (high >= 0)) < 0.92


def test_orders_apart_are_wrong_where_domains_are_alike_and_together_hold() -> None:
    used = planned(8, DOMAINS, 8)
    x, y = drawn(used, 0.0, (0.6, 0.6), 150, 3)
    p = {
        way: np.array([
            permutation_p(a, b, used, "fine-tune", way, 99, 0)  # type: ignore[arg-type]
            for a, b in zip(x, y, strict=True)
        ])
        for way in ("apart", "together")
    }  # fmt: skip
    assert np.mean(p["apart"] <= 0.05) > 0.15
    assert np.mean(p["together"] <= 0.05) < 0.10


def test_the_drawn_correlation_is_the_one_asked_for() -> None:
    used = np.ones((40, 40), bool)
    for alike in ((0.0, 0.0), (0.3, 0.3), (0.2, 0.5)):
        x, y = drawn(used, 0.5, alike, 60, 0)
        assert np.mean(pearson(x, y, used, "fine-tune")) == pytest.approx(0.5, abs=0.03)


def test_power_grows_with_fine_tunes_and_is_the_size_of_the_test_without_a_correlation() -> None:
    of = [power(planned(n, DOMAINS, n), 0.5, (0.3, 0.3), "either", 500, 0) for n in (4, 8, 16)]
    assert of[0] < of[1] < of[2]
    nothing = power(planned(8, DOMAINS, 8), 1e-9, (0.0, 0.0), "fine-tunes", 2000, 0)
    assert 0.01 <= nothing / 2000 <= 0.045  # one side of 5%
