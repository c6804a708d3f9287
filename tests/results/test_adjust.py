"""Benjamini and Hochberg's q: by their own definition, and what it does over many families."""

from __future__ import annotations

from typing import Literal

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from scipy import stats

from harness.contract import Dependence
from harness.results.adjust import adjusted, discovered, within_reach

PS = st.lists(
    st.one_of(st.floats(1e-300, 1.0), st.sampled_from([0.01, 0.02, 0.05, 0.5, 1.0])), max_size=25
)
RATES = st.sampled_from([0.01, 0.05, 0.2])
WAYS = st.sampled_from(["positive", "any"])


def step_up(p: list[float], rate: float, dependence: str) -> list[bool]:
    """The procedure as the papers have it: the largest k with p_(k) ≤ k rate / (m c)."""
    m = len(p)
    c = sum(1 / i for i in range(1, m + 1)) if dependence == "any" else 1.0
    ordered = sorted(p)
    k = max((i for i in range(1, m + 1) if ordered[i - 1] <= rate * i / m / c * (1 + 1e-12)),
            default=0)  # fmt: skip
    return [one <= ordered[k - 1] if k else False for one in p]


@pytest.mark.slow
@settings(deadline=None, max_examples=150)
@given(PS, RATES, WAYS)
def test_discoveries_are_those_of_the_procedure(
    p: list[float], rate: float, dependence: Dependence
) -> None:
    q = adjusted(np.array(p), dependence)
    if p:
        method: Literal["bh", "by"] = "bh" if dependence == "positive" else "by"
        assert q.tolist() == stats.false_discovery_control(p, method=method).tolist()
    assert discovered(q, rate).tolist() == step_up(p, rate, dependence)


@pytest.mark.slow
@settings(deadline=None, max_examples=100)
@given(PS, WAYS, st.randoms(use_true_random=False))
def test_q_is_not_below_p_and_has_its_order(
    p: list[float], dependence: Dependence, random: object
) -> None:
    """And it is the same in any order, and the formula of the docstring."""
    given_ = np.array(p)
    q = adjusted(given_, dependence)
    assert (q >= given_).all()
    assert (q <= 1).all()
    order = np.argsort(given_, kind="stable")
    assert (np.diff(q[order]) >= 0).all()
    m, c = len(p), sum(1 / i for i in range(1, len(p) + 1)) if dependence == "any" else 1.0
    for rank, at in enumerate(order, start=1):
        assert q[at] == pytest.approx(
            min(1.0, *(m * c * given_[order[j - 1]] / j for j in range(rank, m + 1)))
        )
    turned = np.random.default_rng(len(p)).permutation(m)
    assert adjusted(given_[turned], dependence) == pytest.approx(q[turned])


@pytest.mark.slow
@settings(deadline=None, max_examples=100)
@given(PS, RATES, WAYS, st.integers(1, 5))
def test_members_without_anything_never_add_a_discovery(
    p: list[float], rate: float, dependence: Dependence, more: int
) -> None:
    before = discovered(adjusted(np.array(p), dependence), rate)
    after = discovered(adjusted(np.array([*p, *[1.0] * more]), dependence), rate)
    assert not (after[: len(p)] & ~before).any()
    assert not after[len(p) :].any()


@pytest.mark.slow
@settings(deadline=None, max_examples=150)
@given(PS, RATES, WAYS)
def test_reach_is_the_largest_p_that_would_be_a_discovery(
    p: list[float], rate: float, dependence: Dependence
) -> None:
    reach = within_reach(np.array(p), rate, dependence)
    for at in range(len(p)):
        for moved, found in ((reach[at], True), (reach[at] * (1 + 1e-9), False)):
            other = [*p[:at], float(moved), *p[at + 1 :]]
            assert step_up(other, rate, dependence)[at] == found


def test_none_and_one() -> None:
    assert adjusted(np.zeros(0)).tolist() == []
    assert within_reach(np.zeros(0), 0.05).tolist() == []
    assert adjusted(np.array([0.03])).tolist() == [0.03]
    assert within_reach(np.array([0.5]), 0.05).tolist() == [0.05]


def test_the_very_same_number_twice_is_two_tests() -> None:
    assert adjusted(np.array([0.01, 0.01, 0.9, 0.9])) == pytest.approx([0.02, 0.02, 0.9, 0.9])


@pytest.mark.slow
def test_where_there_is_nothing_few_families_have_a_discovery() -> None:
    """With nothing planted, every discovery is false: any at all, in a share `rate` of families."""
    generator = np.random.default_rng(0)
    any_, runs = 0, 4000
    for _ in range(runs):
        any_ += bool(discovered(adjusted(generator.random(40)), 0.1).any())
    assert abs(any_ / runs - 0.1) < 3.3 * np.sqrt(0.09 / runs)


@pytest.mark.slow
def test_what_is_planted_is_found_and_few_discoveries_are_false() -> None:
    """30 of 200 are there: FDR is rate · 170/200 for independent tests, and power is near 1."""
    generator = np.random.default_rng(1)
    rate, planted, m, runs = 0.1, 30, 200, 1500
    false, power = [], []
    for _ in range(runs):
        p = generator.random(m)
        p[:planted] *= 1e-4
        found = discovered(adjusted(p), rate)
        false.append(found[planted:].sum() / max(1, found.sum()))
        power.append(found[:planted].mean())
    expected = rate * (m - planted) / m
    assert abs(np.mean(false) - expected) < 4 * np.std(false) / np.sqrt(runs)
    assert np.mean(power) > 0.999


@pytest.mark.slow
def test_the_rate_holds_where_tests_share_a_part() -> None:
    """Normal tests with correlation 0.5, one-sided: positively dependent, so at most the rate."""
    from scipy.special import ndtr

    generator = np.random.default_rng(2)
    rate, planted, m, runs = 0.1, 10, 60, 2000
    false = []
    for _ in range(runs):
        shared = generator.standard_normal()
        z = np.sqrt(0.5) * (shared + generator.standard_normal(m))
        z[:planted] += 3
        found = discovered(adjusted(ndtr(-z)), rate)
        false.append(found[planted:].sum() / max(1, found.sum()))
    assert np.mean(false) < rate * (m - planted) / m + 3 * np.std(false) / np.sqrt(runs)


@pytest.mark.parametrize("wrong", [-0.1, 1.5, np.inf, np.nan])
def test_what_is_no_p_is_refused(wrong: float) -> None:
    with pytest.raises(ValueError, match="not between 0 and 1"):
        adjusted(np.array([0.5, wrong]))
