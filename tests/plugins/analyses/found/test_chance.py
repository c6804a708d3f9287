"""Ranks and chance: against every order there is, and against many draws."""

from __future__ import annotations

from itertools import combinations, product

import numpy as np
import pytest

from harness_analyses.found.chance import (
    best_of,
    best_rank,
    chance_of_all,
    chance_of_rank,
    permutation_p,
    usual_rank,
    usual_worst,
)

SIZES = [(1, 5), (2, 6), (3, 7), (6, 6)]


def every_best_rank(planted: int, candidates: int) -> list[int]:
    """The best rank of the planted ones in each of the equally likely orders."""
    return [1 + min(places) for places in combinations(range(candidates), planted)]


@pytest.mark.parametrize(("planted", "candidates"), SIZES)
def test_chance_is_the_share_of_all_orders(planted, candidates):
    every = every_best_rank(planted, candidates)
    for rank in range(1, candidates + 1):
        expected = np.mean([one <= rank for one in every])
        assert chance_of_rank(rank, planted, candidates) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize(("planted", "candidates"), SIZES)
def test_the_usual_rank_is_the_mean_over_all_orders(planted, candidates):
    assert usual_rank(planted, candidates) == pytest.approx(
        np.mean(every_best_rank(planted, candidates))
    )


def test_several_ranks_together_are_the_share_of_all_pairs_of_orders():
    one, other = every_best_rank(1, 5), every_best_rank(2, 6)
    expected = np.mean([a <= 2 and b <= 3 for a, b in product(one, other)])
    assert chance_of_all([2, 3], [1, 2], [5, 6]) == pytest.approx(expected)
    worst = np.median([max(a, b) for a, b in product(one, other)])
    assert usual_worst([1, 2], [5, 6]) == worst


def test_the_best_of_several_methods_is_that_of_independent_draws():
    drawn = np.random.default_rng(0).uniform(size=(20_000, 7)).min(1)
    for p in (0.001, 0.02, 0.1, 0.4):
        assert best_of(p, 7) == pytest.approx(np.mean(drawn <= p), abs=0.01)
    assert best_of(1e-12, 5) == pytest.approx(5e-12)
    assert best_of(1.0, 3) == 1.0
    # The smallest p of as many methods, so corrected, is uniform.
    assert np.mean([best_of(p, 7) for p in drawn]) == pytest.approx(0.5, abs=0.01)


def test_what_a_method_does_not_tell_apart_it_has_not_found():
    assert best_rank(np.array([3.0]), np.array([1.0, 2.0])) == 1
    assert best_rank(np.array([1.0, 3.0]), np.array([3.0, 2.0, 4.0])) == 3
    assert best_rank(np.array([-np.inf]), np.full(9, -np.inf)) == 10


def test_a_permutation_p_is_uniform_where_labels_mean_nothing():
    rng = np.random.default_rng(1)
    others = 9
    found = np.array(
        [permutation_p(*_own_and_rest(rng.uniform(size=others + 1))) for _ in range(4000)]
    )
    for step in range(1, others + 2):
        assert np.mean(found <= step / (others + 1) + 1e-9) == pytest.approx(
            step / (others + 1), abs=0.03
        )


def _own_and_rest(drawn):
    return float(drawn[0]), drawn[1:].tolist()


def test_without_other_truths_a_permutation_says_nothing():
    assert permutation_p(0.001, []) == 1.0
