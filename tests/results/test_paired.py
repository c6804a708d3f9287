"""Differences between two runs: against scipy, against their definitions, and in simulation."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
import scipy.optimize
import scipy.stats
from hypothesis import given, settings, strategies as st

from harness.results.intervals import wilson
from harness.results.paired import (
    Difference,
    PromptScores,
    mcnemar,
    newcombe,
    paired_difference,
    tango,
    unpaired_difference,
)

Z = scipy.stats.norm.ppf(0.975)


def once(values: object, name: str = "p") -> PromptScores:
    """One score for each prompt."""
    return {f"{name}{n}": (float(value),) for n, value in enumerate(values)}  # type: ignore[call-overload]


def interval(found: Difference) -> tuple[float, float]:
    assert found.ci is not None, found
    return found.ci


# ── Against references ───────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("yes_no", [True, False])
def test_the_paired_interval_is_students_where_nothing_is_skewed(yes_no: bool) -> None:
    generator = np.random.default_rng(1)
    first = generator.normal(size=300)
    second = 0.6 * first + generator.normal(size=300) + 0.2
    if yes_no:
        first, second = first > 0, second > 0
    found = paired_difference(once(first), once(second), yes_no=yes_no)
    expected = scipy.stats.ttest_rel(second.astype(float), first.astype(float))
    low, high = expected.confidence_interval()
    assert found.value == pytest.approx(np.mean(second) - np.mean(first), abs=1e-14)
    # 300 prompts fall into some 177 of 256 groups, and 200 draws know an error to 5%.
    assert interval(found) == pytest.approx((low, high), abs=0.1 * (high - low))
    assert found.method == "interval over shared prompts"
    assert (found.paired, found.prompts) == (True, 300)


@pytest.mark.slow
@given(st.integers(0, 60), st.integers(0, 60))
def test_mcnemar_is_the_binomial_test_in_exact_fractions(rose: int, fell: int) -> None:
    n, few = rose + fell, min(rose, fell)
    tail = sum(Fraction(math.comb(n, k), 2**n) for k in range(few + 1))
    assert mcnemar(rose, fell) == pytest.approx(float(min(1, 2 * tail)), rel=1e-12)
    if n:
        expected = scipy.stats.binomtest(fell, n).pvalue
        assert mcnemar(rose, fell) == pytest.approx(expected, rel=1e-13)


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        ((48, 80), (56, 70), (0.0524, 0.3339)),
        ((3, 10), (9, 10), (0.1705, 0.8090)),
        ((0, 29), (5, 56), (-0.0381, 0.1926)),
    ],
)
def test_newcombe_is_as_published(
    first: tuple[int, int], second: tuple[int, int], expected: tuple[float, float]
) -> None:
    """Newcombe 1998, Statistics in Medicine 17:873, table II, method 10."""
    assert newcombe(first, second) == pytest.approx(expected, abs=5e-5)


def score_statistic(rose: int, fell: int, n: int, delta: float) -> float:
    """The score test of a difference, with the most likely share of falls found numerically."""

    def unlikely(fell_share: float) -> float:
        shares = [fell_share + delta, fell_share, 1 - 2 * fell_share - delta]
        counts = [rose, fell, n - rose - fell]
        return -sum(c * math.log(max(s, 1e-300)) for c, s in zip(counts, shares, strict=True) if c)

    bounds = (max(0.0, -delta), (1 - delta) / 2)
    q = scipy.optimize.minimize_scalar(
        unlikely, bounds=bounds, method="bounded", options={"xatol": 1e-13}
    ).x
    return (rose - fell - n * delta) / math.sqrt(n * (2 * q + delta * (1 - delta)))


@pytest.mark.parametrize(
    ("rose", "fell", "n"), [(1, 0, 100), (0, 3, 20), (12, 2, 50), (5, 4, 9), (2, 2, 1000)]
)
def test_tangos_ends_are_where_the_score_test_turns(rose: int, fell: int, n: int) -> None:
    low, high = tango(rose, fell, n)
    assert score_statistic(rose, fell, n, low) == pytest.approx(Z, abs=2e-4)
    assert score_statistic(rose, fell, n, high) == pytest.approx(-Z, abs=2e-4)


@given(st.integers(1, 400))
def test_tango_without_a_change_is_wilsons_upper_end_both_ways(n: int) -> None:
    end = wilson(0, n)[1]
    assert tango(0, 0, n) == pytest.approx((-end, end), abs=1e-12)


@pytest.mark.parametrize("n", [1, 2, 50])
def test_tango_at_the_ends(n: int) -> None:
    assert tango(n, 0, n)[1] == 1
    assert tango(0, n, n)[0] == -1


# ── In simulation ────────────────────────────────────────────────────────────────────────────────


def simulate(
    p_rose: float, p_fell: float, p_both: float, n: int, runs: int
) -> tuple[float, float, float]:
    """Coverage of the paired interval, its mean width, and that of the unpaired one."""
    generator = np.random.default_rng(7)
    shares = [p_rose, p_fell, p_both, 1 - p_rose - p_fell - p_both]
    covered, paired, unpaired = 0, 0.0, 0.0
    for _ in range(runs):
        kind = generator.choice(4, n, p=shares)
        first, second = (kind == 1) | (kind == 2), (kind == 0) | (kind == 2)
        low, high = interval(paired_difference(once(first), once(second), yes_no=True))
        covered += low <= p_rose - p_fell <= high
        paired += high - low
        low, high = newcombe((int(first.sum()), n), (int(second.sum()), n))
        unpaired += high - low
    return covered / runs, paired / runs, unpaired / runs


@pytest.mark.slow
@pytest.mark.parametrize(
    ("p_rose", "p_fell", "n"), [(0.15, 0.08, 100), (0.1, 0.1, 150), (0.25, 0.02, 60)]
)
def test_the_interval_of_correlated_pairs_covers_and_is_narrower_than_the_unpaired_one(
    p_rose: float, p_fell: float, n: int
) -> None:
    coverage, paired, unpaired = simulate(p_rose, p_fell, 0.4, n, 400)
    assert 0.90 <= coverage <= 0.98
    assert paired < 0.8 * unpaired


@pytest.mark.slow
@pytest.mark.parametrize(("p_rose", "p_fell"), [(0.02, 0.0), (0.01, 0.01), (0.0, 0.03)])
def test_where_hardly_a_prompt_changes_the_interval_still_covers(
    p_rose: float, p_fell: float
) -> None:
    """Resampling alone would cover 64% of the time at (0.02, 0)."""
    coverage, _, _ = simulate(p_rose, p_fell, 0.5, 50, 200)
    assert coverage >= 0.93


@pytest.mark.slow
def test_the_interval_of_scores_covers_too() -> None:
    generator = np.random.default_rng(3)
    covered, runs = 0, 300
    for _ in range(runs):
        first = generator.exponential(size=40)
        second = first + generator.exponential(size=40) - 0.7
        low, high = interval(paired_difference(once(first), once(second), yes_no=False))
        covered += low <= 0.3 <= high
    assert 0.90 <= covered / runs <= 0.98


# ── Laws ─────────────────────────────────────────────────────────────────────────────────────────

PAIRS = st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=40)
NUMBERS = st.floats(-100, 100)
SCORED = st.lists(st.tuples(NUMBERS, NUMBERS), min_size=1, max_size=30)


@given(PAIRS | SCORED)
@settings(max_examples=60)
def test_a_run_does_not_differ_from_itself(pairs: list[tuple[float, float]]) -> None:
    scores = once(first for first, _ in pairs)
    yes_no = isinstance(pairs[0][0], bool)
    found = paired_difference(scores, scores, yes_no=yes_no)
    assert (found.value, found.rose, found.fell) == (0, 0, 0)
    if yes_no:
        low, high = interval(found)
        assert low == -high < 0  # that nothing changed here does not say that nothing ever does
        assert found.p == 1
    else:
        assert found.ci is None
        assert found.ci_why


@given(PAIRS | SCORED)
@settings(max_examples=60)
def test_swapping_the_runs_flips_the_signs(pairs: list[tuple[float, float]]) -> None:
    first, second = once(a for a, _ in pairs), once(b for _, b in pairs)
    other = once((b for _, b in pairs), "q")
    yes_no = isinstance(pairs[0][0], bool)
    for one, two, difference in (
        (first, second, paired_difference),
        (first, other, unpaired_difference),
    ):
        there = difference(one, two, yes_no=yes_no)
        back = difference(two, one, yes_no=yes_no)
        assert back.value == pytest.approx(-there.value, abs=1e-12)  # type: ignore[operator]
        assert (back.rose, back.fell) == (there.fell, there.rose)
        assert (back.p, back.ci_why, back.method) == (there.p, there.ci_why, there.method)
        if there.ci is not None:
            low, high = interval(back)
            assert there.ci == pytest.approx((-high, -low), abs=1e-9)


@pytest.mark.slow
@given(PAIRS | SCORED, st.randoms(use_true_random=False))
@settings(max_examples=60)
def test_the_order_of_prompts_does_not_matter(
    pairs: list[tuple[float, float]], random: object
) -> None:
    first, second = once(a for a, _ in pairs), once(b for _, b in pairs)
    ids = list(first)
    random.shuffle(ids)  # type: ignore[attr-defined]
    mixed = {i: first[i] for i in ids}
    yes_no = isinstance(pairs[0][0], bool)
    for difference in (paired_difference, unpaired_difference):
        expected = difference(first, second, yes_no=yes_no)
        assert difference(mixed, second, yes_no=yes_no) == expected


@pytest.mark.slow
@given(PAIRS)
@settings(max_examples=60)
def test_a_difference_of_rates_and_its_interval_lie_between_minus_1_and_1(
    pairs: list[tuple[bool, bool]],
) -> None:
    first, second = once(a for a, _ in pairs), once(b for _, b in pairs)
    for difference in (paired_difference, unpaired_difference):
        found = difference(first, second, yes_no=True)
        low, high = interval(found)
        assert found.value is not None
        assert -1 <= low <= found.value + 1e-12
        assert found.value - 1e-12 <= high <= 1


def test_a_prompt_that_was_judged_twice_is_one_prompt() -> None:
    generator = np.random.default_rng(5)
    first, second = once(generator.random(30) < 0.5), once(generator.random(30) < 0.7)
    plain = paired_difference(first, second, yes_no=True)
    doubled = [{i: (*s, *s) for i, s in side.items()} for side in (first, second)]
    found = paired_difference(doubled[0], doubled[1], yes_no=True)
    assert (plain.rose or 0) + (plain.fell or 0) >= 10
    assert (found.value, found.prompts) == (plain.value, plain.prompts)
    assert found.ci == pytest.approx(plain.ci)
    assert found.p is None
    assert "more than once" in str(found.p_why)
    few = paired_difference({"a": (1.0, 0.0)}, {"a": (1.0, 1.0)}, yes_no=True)
    assert (few.value, few.ci) == (0.5, None)
    assert few.ci_why == "shared prompts: 1; an interval needs 20"


def test_only_shared_prompts_are_pairs() -> None:
    first = {"a": (1.0,), "b": (0.0,), "only here": (1.0,)}
    second = {"b": (1.0,), "a": (1.0,), "only there": (0.0,)}
    found = paired_difference(first, second, yes_no=True)
    assert (found.value, found.prompts, found.rose, found.fell) == (0.5, 2, 1, 0)


# ── What is not made ─────────────────────────────────────────────────────────────────────────────


def test_yes_and_no_of_few_prompts_have_tangos_interval() -> None:
    """However many of them changed: fewer than 20 are too few for another one."""
    first, second = once([True] * 9 + [False] * 10), once([False] * 9 + [True] * 10)
    found = paired_difference(first, second, yes_no=True)
    assert (found.ci, found.method) == (tango(10, 9, 19), "Tango's score interval for pairs")


def test_scores_of_few_prompts_or_few_changes_have_no_interval_and_say_why() -> None:
    few = paired_difference(once(range(19)), once(range(1, 20)), yes_no=False)
    assert (few.ci, few.ci_why) == (None, "shared prompts: 19; an interval needs 20")
    still = paired_difference(once([1.0] * 40), once([1.0] * 31 + [2.0] * 9), yes_no=False)
    assert (still.ci, still.ci_why) == (None, "changed prompts: 9; an interval needs 10")
    assert (still.p, still.p_why) == (None, "McNemar's test is for yes and no")
    apart = unpaired_difference(once(range(19)), once(range(40), "q"), yes_no=False)
    assert (apart.ci, apart.ci_why) == (None, "prompts: 19; an interval needs 20")
    assert (apart.p, apart.p_why) == (None, "the runs share no prompt")


def test_scores_of_different_prompts_have_the_interval_of_two_samples() -> None:
    generator = np.random.default_rng(4)
    first, second = generator.normal(size=200), generator.normal(1, 2, size=300)
    found = unpaired_difference(once(first), once(second, "q"), yes_no=False)
    expected = scipy.stats.ttest_ind(second, first, equal_var=False).confidence_interval()
    width = expected.high - expected.low
    assert interval(found) == pytest.approx((expected.low, expected.high), abs=0.08 * width)
    assert not found.paired
