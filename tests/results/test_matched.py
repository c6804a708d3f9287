"""Arms held against controls: exact tests by counting all orders, and what they do in many runs."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from scipy import stats

from harness.results.matched import PERMUTED, TINY, exact_p, exchanged_p, matched, one_more_draw

Scores = dict[str, tuple[float, ...]]


def prompts(values: list[float]) -> Scores:
    return {f"p{at}": (float(one),) for at, one in enumerate(values)}


def by_counting(scores: np.ndarray) -> float:
    """Twice the smaller tail of the first column's sum, over every order of every row."""
    sums = [math.fsum(one) for one in itertools.product(*scores.tolist())]
    found = math.fsum(scores[:, 0])
    below, above = (
        np.mean([one <= found + 1e-9 for one in sums]),
        np.mean([one >= found - 1e-9 for one in sums]),
    )
    return float(min(1.0, 2 * min(below, above)))


@settings(deadline=None, max_examples=60)
@given(st.integers(1, 3), st.integers(1, 5), st.integers(0, 2**32 - 1))
def test_yes_and_no_by_counting_all_orders(draws: int, n: int, seed: int) -> None:
    scores = np.random.default_rng(seed).integers(0, 2, size=(n, 1 + draws)).astype(float)
    assert exact_p(scores) == pytest.approx(by_counting(scores))


@pytest.mark.slow
@settings(deadline=None, max_examples=60)
@given(st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=60))
def test_with_one_control_it_is_mcnemars_exact_test(pairs: list[tuple[bool, bool]]) -> None:
    arm, control = (prompts([float(pair[at]) for pair in pairs]) for at in (0, 1))
    rose = sum(one and not other for one, other in pairs)
    fell = sum(other and not one for one, other in pairs)
    reference = stats.binomtest(rose, rose + fell, 0.5).pvalue if rose + fell else 1.0
    found = matched(arm, [control])
    assert not isinstance(found, str)
    assert found.p == pytest.approx(reference)
    assert found.least == pytest.approx(min(1.0, 2 * 2.0 ** -len(pairs)))
    assert "McNemar" in found.method
    turned = matched(control, [arm])
    assert not isinstance(turned, str)
    assert turned.p == pytest.approx(found.p)


def test_other_scores_are_exchanged_at_random() -> None:
    """Compared with all 2^12 exchanges; the error of a share of `PERMUTED` draws is known."""
    generator = np.random.default_rng(3)
    scores = generator.random((12, 2))
    scores[:, 0] += 0.25
    half = (scores[:, 0] - scores[:, 1]) / 2
    signs = np.array(list(itertools.product([-1, 1], repeat=12)))
    exact = float((np.abs(signs @ half) >= abs(half.sum()) - 1e-12).mean())
    found = exchanged_p(scores, "key")
    assert abs(found - exact) < 4 * math.sqrt(exact * (1 - exact) / PERMUTED) + 1 / PERMUTED
    assert exchanged_p(scores, "key") == found
    asked = matched(prompts(list(scores[:, 0])), [prompts(list(scores[:, 1]))])
    assert not isinstance(asked, str)
    assert asked.least == 1 / (1 + PERMUTED) <= asked.p


def test_equal_arms_have_p_1_and_prompts_of_one_side_are_left_out() -> None:
    one = prompts([0, 1, 1, 0])
    same = matched(one, [one])
    assert not isinstance(same, str)
    assert same.p == 1
    more = {**one, "x": (1.0,)}
    again = matched(more, [one])
    assert not isinstance(again, str)
    assert (again.p, again.prompts) == (1, 4)
    assert isinstance(matched(one, [{"y": (1.0,)}]), str)
    copies = matched({"p0": (1.0, 0.0)}, [{"p0": (1.0, 1.0)}])
    assert not isinstance(copies, str)
    assert 0 < copies.p <= 1


def test_it_is_never_0_however_many_prompts_there_are() -> None:
    found = matched(prompts([1.0] * 2000), [prompts([0.0] * 2000)])
    assert not isinstance(found, str)
    assert 0 < TINY == found.p == found.least


def test_one_more_draw_is_crawford_and_howells() -> None:
    """A score of 48 beside eight controls with mean 60 and standard deviation 5."""
    others = np.array([-1.0, -1, -1, -1, 1, 1, 1, 1])
    others = 60 + 5 * others / others.std(ddof=1)
    t = (48 - 60) / (5 * math.sqrt(1 + 1 / 8))
    assert one_more_draw(np.array([48, *others])) == pytest.approx(2 * stats.t.sf(abs(t), 7))
    assert one_more_draw(np.array([0.4, 0.4, 0.4])) == 1
    assert one_more_draw(np.array([0.5, 0.4, 0.4])) == TINY


@pytest.mark.slow
def test_a_further_draw_of_the_control_is_rarely_told_apart_from_it() -> None:
    """Draws whose true rates differ: prompts alone would call a third of further ones different."""
    generator = np.random.default_rng(4)
    n, draws, runs, rate = 60, 5, 500, 0.05
    naive = small = 0
    for _ in range(runs):
        rates = 1 / (1 + np.exp(-generator.normal(0, 0.6, size=1 + draws)))
        scores = (generator.random((n, 1 + draws)) < rates).astype(float)
        found = matched(prompts(list(scores[:, 0])), [prompts(list(one)) for one in scores.T[1:]])
        assert not isinstance(found, str)
        small += found.p <= rate
        naive += exact_p(scores) <= rate
    assert small / runs < rate + 3 * math.sqrt(rate * (1 - rate) / runs)
    assert naive / runs > 0.2
