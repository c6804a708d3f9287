"""Intervals: Wilson's against scipy, sums by group of documents against their definition."""

from __future__ import annotations

import functools

import numpy as np
import pytest
import scipy.stats
import torch
from hypothesis import given, settings, strategies as st

from harness.contract import Inputs, Metric, MetricValue, Target
from harness.contract.sites import parse_site
from harness.errors import PluginError
from harness.results.intervals import (
    DRAWS,
    MIN_CLUSTERS,
    Sums,
    _some,
    clustered_wilson,
    draw_weights,
    percentile_interval,
    poisson_weights,
    wilson,
)
from harness.results.replicates import GROUPS, group_of, interval, replicated
from harness.running.passes.metric import MetricReduction
from harness.testing.support.batches import array_batch, only

SITE = parse_site("resid_post.0")


# ── Wilson ──


@pytest.mark.slow
@given(st.integers(1, 5000), st.floats(0, 1))
def test_wilson_is_scipys(n, share):
    successes = round(share * n)
    expected = scipy.stats.binomtest(successes, n).proportion_ci(method="wilson")
    assert wilson(successes, n) == pytest.approx((expected.low, expected.high), abs=1e-12)


def test_wilson_at_the_ends():
    assert wilson(0, 100)[0] == 0
    assert wilson(100, 100)[1] == 1
    assert 0.95 < wilson(100, 100)[0] < 1  # a bootstrap would say 1


@pytest.mark.parametrize(("successes", "n"), [(0, 0), (-1, 4), (5, 4)])
def test_wilson_of_no_rate(successes, n):
    with pytest.raises(ValueError, match="is no rate"):
        wilson(successes, n)


# ── weights ──


def test_weights_are_poisson():
    weights = np.concatenate([poisson_weights(f"d{i}", DRAWS, 0) for i in range(500)])
    found = np.bincount(weights.astype(int), minlength=8)[:8]
    expected = scipy.stats.poisson(1).pmf(range(8)) * len(weights)
    keep = expected > 20
    assert (
        scipy.stats.chisquare(
            found[keep], expected[keep] * found[keep].sum() / expected[keep].sum()
        ).pvalue
        > 1e-3
    )


FROZEN = [2.0, 0.0, 0.0, 1.0, 1.0, 0.0, 1.0, 2.0, 2.0, 1.0, 0.0, 0.0]


def test_weights_depend_on_id_and_seed_alone():
    """Frozen: shards of one run may be made by different versions."""
    assert poisson_weights("a", 12, 0).tolist() == FROZEN
    assert poisson_weights("a", 5, 0).tolist() == FROZEN[:5]
    assert poisson_weights("a", 12, 1).tolist() != FROZEN
    assert poisson_weights("b", 12, 0).tolist() != FROZEN
    with pytest.raises(ValueError, match="read-only"):
        poisson_weights("a", 12, 0)[0] = 3


def test_documents_are_drawn_independently():
    weights = draw_weights([f"d{i}" for i in range(40)], 2000, 0)
    assert (weights[0] == 1).all()
    correlation = np.corrcoef(weights[1:].T) - np.eye(40)
    assert abs(correlation).max() < 0.12


# ── accumulation ──


class Mean:
    """The mean of a site's first number, as a metric; undefined where it counts nothing."""

    values = (MetricValue("mean.first@1", "x", "tokens", "no token was measured"),)

    def sums(self, batch, side):
        x = side.x(SITE)[batch.selected].double()
        document = batch.document[batch.selected]
        size = len(batch.documents)
        zero = torch.zeros(size, dtype=torch.float64)
        return {
            "n": zero.index_add(0, document, torch.ones(len(x), dtype=torch.float64)),
            "x": torch.zeros(size, 2, dtype=torch.float64).index_add(0, document, x[:, :2]),
        }

    def value(self, sums):
        with np.errstate(invalid="ignore", divide="ignore"):
            return [np.where(sums["n"] > 0, sums["x"][..., 0] / sums["n"], np.nan)]


def batch_of(documents, tokens=4, seed=0, right=False):
    generator = torch.Generator().manual_seed(seed)
    ids = [i for i in range(documents) for _ in range(tokens)]
    x = torch.randn(len(ids), 3, generator=generator)
    return array_batch(ids, {SITE: x}, {SITE: -x} if right else None)


def reduction(side="left"):
    return MetricReduction(Mean(), side, {"colour": "red"})


def one_record(reduce, state):
    (record,) = reduce.finish(state, Inputs()).records
    return record


@pytest.mark.slow
@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(0, 3), min_size=24, max_size=24), st.randoms())
def test_any_split_and_order_gives_the_same(parts, random):
    """merge is associative and commutative, and start is its neutral element."""
    reduce, whole = reduction(), batch_of(24)
    expected = one_record(reduce, reduce.update(reduce.start(Inputs()), whole))
    states = []
    for part in range(4):
        documents = [i for i in range(24) if parts[i] == part]
        random.shuffle(documents)
        state = reduce.start(Inputs())
        for start in range(0, len(documents), 2):
            state = reduce.update(state, only(whole, documents[start : start + 2]))
        states.append(state)
    random.shuffle(states)
    left = functools.reduce(reduce.merge, states)
    right = functools.reduce(lambda a, b: reduce.merge(b, a), reversed(states))
    for state in (left, right, reduce.merge(left, reduce.start(Inputs()))):
        found = one_record(reduce, state)
        assert found.value == pytest.approx(expected.value, rel=1e-12)
        assert found.ci == pytest.approx(expected.ci, rel=1e-9)
        assert (found.n, found.clusters) == (expected.n, expected.clusters) == (96, 24)


def test_states_are_plain_arrays_that_do_not_grow():
    reduce = reduction()
    small = reduce.update(reduce.start(Inputs()), batch_of(3))
    large = reduce.update(small, batch_of(200, tokens=30))
    assert {k: v.shape for k, v in small.items()} == {k: v.shape for k, v in large.items()}
    assert {str(v.dtype) for v in large.values()} == {"float64", "int64"}
    assert large["sum.x"].shape == (GROUPS + 1, 2)


def test_update_leaves_its_state_alone():
    reduce = reduction()
    state = reduce.update(reduce.start(Inputs()), batch_of(3))
    before = {name: value.copy() for name, value in state.items()}
    reduce.merge(state, reduce.update(state, batch_of(5)))
    assert all((state[name] == before[name]).all() for name in before)


def test_the_first_replicate_is_the_data():
    reduce, batch = reduction(), batch_of(24)
    record = one_record(reduce, reduce.update(reduce.start(Inputs()), batch))
    assert record.value == pytest.approx(float(batch.left.x(SITE)[:, 0].double().mean()))
    assert record.ci is not None
    assert record.ci[0] < record.value < record.ci[1]
    assert (record.id, record.unit, record.n_of) == ("mean.first@1", "x", "tokens")
    assert record.options == {"colour": "red"}
    assert record.ci_why is None


def test_sums_are_kept_by_group_and_their_interval_is_that_of_all_replicates():
    """Slow: every group by itself, the interval from the values of all replicates."""
    batch, reduce = batch_of(60), reduction()
    state = reduce.update(reduce.start(Inputs(seed=5)), batch)
    x = batch.left.x(SITE)[:, 0].double().numpy()
    owner = batch.document.numpy()
    sums = np.zeros((2, 1 + GROUPS))
    for token, value in enumerate(x):
        for row in (0, 1 + group_of(batch.documents[owner[token]], 5)):
            sums[:, row] += value, 1
    np.testing.assert_allclose(state["sum.x"][:, 0], sums[0], atol=1e-12)
    np.testing.assert_array_equal(state["sum.n"], sums[1])
    with np.errstate(invalid="ignore"):
        means = replicated(sums[0]) / replicated(sums[1])
    assert one_record(reduce, state).ci == pytest.approx(interval(means, 60)[0], rel=1e-9)


def test_sides():
    batch = batch_of(12, right=True)
    left, right = reduction("left"), reduction("right")
    one = one_record(left, left.update(left.start(Inputs()), batch))
    other = one_record(right, right.update(right.start(Inputs()), batch))
    assert one.value == pytest.approx(-other.value)
    with pytest.raises(ValueError, match="has no right side"):
        right.update(right.start(Inputs()), batch_of(2))
    with pytest.raises(ValueError, match="has no right side"):
        reduction("pair").update(left.start(Inputs()), batch_of(2))


def test_seeds_do_not_mix():
    reduce = reduction()
    with pytest.raises(ValueError, match="different seeds"):
        reduce.merge(reduce.start(Inputs(seed=0)), reduce.start(Inputs(seed=1)))


# ── what has no interval, and why ──


class OnlyTotals(Mean):
    """The same mean, of sums that are kept for the whole batch."""

    def sums(self, batch, side):
        found = super().sums(batch, side)
        return {"n": found["n"], "total.x": found["x"].sum(0, keepdim=True),
                "total.n": found["n"].sum(0, keepdim=True)}  # fmt: skip

    def value(self, sums):
        return [sums["total.x"][:, 0] / sums["total.n"]]


def test_a_metric_of_totals_alone_has_a_value_and_no_interval():
    """CASES row 34: it ended in an IndexError."""
    batch = batch_of(15)
    reduce = MetricReduction(OnlyTotals(), "left", {})
    record = one_record(reduce, reduce.update(reduce.start(Inputs()), batch))
    x = batch.left.x(SITE)[:, 0].double().numpy()
    assert record.value == pytest.approx(x.mean())
    assert record.ci is None
    assert "kept for the data alone" in record.ci_why


def test_nothing_measured_is_undefined():
    reduce = reduction()
    empty = array_batch([], {SITE: torch.zeros(0, 3)})
    for state in (reduce.start(Inputs()), reduce.update(reduce.start(Inputs()), empty)):
        record = one_record(reduce, state)
        assert (record.value, record.ci, record.n, record.clusters) == (None, None, 0, 0)
        assert record.undefined == record.ci_why == "no token was measured"


def test_sums_that_are_all_zero_are_no_mistake():
    """Identical models: no group of documents has a difference to add."""
    sums = np.zeros((GROUPS + 1, 3))
    assert _some(sums, np.zeros(GROUPS, dtype=bool)).shape[1:] == (3,)


def test_few_documents_have_no_interval():
    reduce = reduction()
    record = one_record(reduce, reduce.update(reduce.start(Inputs()), batch_of(MIN_CLUSTERS - 1)))
    assert record.value is not None
    assert record.ci is None
    assert record.ci_why == "19 documents; an interval needs 20"


def test_draws_without_a_number_are_left_out_while_they_are_few():
    """CASES row 13: one empty draw cost the interval."""
    drawn = np.linspace(0, 1, 200)
    some = np.concatenate([drawn, [np.nan] * 10])
    assert percentile_interval(some, 50) == percentile_interval(drawn, 50)
    found = percentile_interval(np.array([1.0, np.nan, 2.0, np.inf]), 50)
    assert found == (None, "undefined in 2 of 4 draws of documents")


class Rare(Mean):
    """The mean over tokens of the documents called rare; others have nothing to measure."""

    def sums(self, batch, side):
        rare = torch.tensor([name.startswith("rare") for name in batch.documents]).double()
        return {
            name: one * rare.reshape(-1, *[1] * (one.ndim - 1))
            for name, one in super().sums(batch, side).items()
        }


@pytest.mark.parametrize(("rare", "common"), [(20, 0), (20, 300)])
def test_an_empty_draw_costs_no_interval(rare, common):
    """CASES row 13; with 20 documents or more there is always an interval."""
    names = [f"rare {i}" for i in range(rare)] + [f"common {i}" for i in range(common)]
    x = torch.randn(len(names), 3, generator=torch.Generator().manual_seed(2))
    batch = array_batch(list(range(len(names))), {SITE: x}, documents=names)
    for seed in range(20):
        reduce = MetricReduction(Rare(), "left", {})
        record = one_record(reduce, reduce.update(reduce.start(Inputs(seed=seed)), batch))
        assert record.clusters == rare
        assert record.ci is not None, record.ci_why


def test_only_documents_in_which_something_was_measured_are_clusters():
    reduce = reduction()
    batch = array_batch([0] * 5 + [2] * 5, {SITE: torch.randn(10, 3)}, documents=list("abc"))
    record = one_record(reduce, reduce.update(reduce.start(Inputs()), batch))
    assert (record.clusters, record.n) == (2, 10)


class TwoCounts(Mean):
    """A metric whose two values are measured on different tokens."""

    values = (
        MetricValue("two.all@1", "x", "tokens", "none"),
        MetricValue("two.some@1", "x", "tokens", "none"),
    )

    def sums(self, batch, side):
        found = super().sums(batch, side)
        some = found["n"].clone()
        some[0] = 0
        return {**found, "n.two.some@1": some}

    def value(self, sums):
        return super().value(sums) * 2


def test_a_value_may_count_for_itself():
    reduce = MetricReduction(TwoCounts(), "left", {})
    state = reduce.update(reduce.start(Inputs()), batch_of(12))
    every, some = reduce.finish(state, Inputs()).records
    assert (every.n, every.clusters) == (48, 12)
    assert (some.n, some.clusters) == (44, 11)


@pytest.mark.parametrize(
    ("sums", "message"),
    [
        ({"x": torch.zeros(3)}, "its sums have no n.*found x"),
        ({"n": torch.zeros(3), "x": torch.zeros(())}, r"the sum x has shape \[\]"),
        ({"n": torch.zeros(2)}, r"the sum n has shape \[2\].*each of the 3 documents"),
    ],
)
def test_sums_of_another_form_are_refused(sums, message):
    metric = Mean()
    metric.sums = lambda batch, side: sums
    reduce = MetricReduction(metric, "left", {})
    with pytest.raises(PluginError, match=f"mean.first@1: .*{message}"):
        reduce.update(reduce.start(Inputs()), batch_of(3))


def test_a_built_in_metric_makes_records():
    from harness_metrics.cosine import Cosine
    from harness_metrics.options import CosineOptions as Options

    metric: Metric = Cosine(Options(variants=("raw",)), Target(SITE))
    reduce = MetricReduction(metric, "pair", {})
    state = reduce.update(reduce.start(Inputs()), batch_of(24, right=True))
    raw, excluded = reduce.finish(state, Inputs()).records
    assert raw.value == pytest.approx(-1)
    assert raw.null == {"kind": "identical", "value": 1.0}
    assert (excluded.value, excluded.null) == (0, None)


# ── coverage ──


@pytest.mark.slow
@pytest.mark.parametrize("documents", [40, 150])
def test_coverage_with_correlated_tokens(documents):
    """Tokens of a document share a mean, lengths differ: the interval of a ratio of sums holds.

    With tokens as clusters it would hold in well under 0.7 of the cases.
    """
    generator = np.random.default_rng(0)
    trials, covered, naive = 300, 0, 0
    for trial in range(trials):
        lengths = generator.integers(1, 40, size=documents)
        means = generator.normal(0.7, 1, size=documents)
        sums = means * lengths + generator.normal(size=documents) * np.sqrt(lengths)
        state = Sums(Mean.values)
        names = [f"{trial} {i}" for i in range(documents)]
        given_sums = {"n": lengths.astype(float), "x": np.stack([sums, sums], axis=1)}
        (record,) = state.records(Mean(), state.update(state.start(0), names, given_sums))
        assert record.ci is not None
        covered += record.ci[0] <= 0.7 <= record.ci[1]
        naive += abs(record.value - 0.7) <= 1.96 * np.sqrt(2 / lengths.sum())
    assert 0.92 <= covered / trials <= 0.98
    assert naive / trials < 0.7


# ── Clusters ─────────────────────────────────────────────────────────────────────────────────────


def test_copies_of_one_thing_have_no_interval() -> None:
    """CASES row 12."""
    assert clustered_wilson(np.array([16.0]), np.array([16.0]))[0] is None
    assert "one prompt" in str(clustered_wilson(np.array([3.0]), np.array([16.0]))[1])
    assert clustered_wilson(np.array([1.0]), np.array([1.0]))[0] == wilson(1, 1)


@pytest.mark.parametrize("agree", [True, False])
def test_copies_make_no_interval_narrower(agree: bool) -> None:
    """CASES row 12: m copies of k things are as sure as k things, by the formula of k trials."""
    once = np.array([1.0] * 20 + [0.0] * (0 if agree else 30))
    ci, why = clustered_wilson(7 * once, np.full(len(once), 7.0))
    assert why is None
    expected = wilson(20, len(once))
    assert ci == pytest.approx(expected, abs=5e-3)
    assert ci[1] - ci[0] >= expected[1] - expected[0] - 1e-12
