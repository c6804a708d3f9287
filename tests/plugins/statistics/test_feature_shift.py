"""`feature_shift` against float64 sums made feature by feature, and its laws."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings, strategies as st
from pydantic import ValidationError
from scipy import stats

from fakes.reductions import PlainSae, outcome_of
from harness.contract import Batch, Inputs, Outcome
from harness.contract.sites import parse_site
from harness.testing.support.batches import array_batch, only
from harness.testing.support.reductions import check_reduction
from harness_statistics.feature_shift import KINDS, FeatureShift
from harness_statistics.options import FeatureShiftOptions as Options

SITE = parse_site("resid_post.1")


def batch(
    left: np.ndarray, right: np.ndarray, document: list[int], selected: list[int] | None = None
) -> Batch:
    names = [f"document {i}" for i in range(max(document, default=0) + 1)]
    sides = [{SITE: torch.tensor(z, dtype=torch.float32)} for z in (left, right)]
    saes = {"sae": PlainSae(left.shape[1], SITE)}
    return array_batch(document, *sides, saes=saes, selected=selected, documents=names)


def made(**more: Any) -> FeatureShift:
    loose = {"delta": 0.05, "epsilon": 1e-5, "minimum": 2}
    return FeatureShift(Options(pair="p", sae="sae", **{**loose, **more}))


def run(statistic: FeatureShift, *batches: Batch) -> Outcome:
    inputs = Inputs(saes={"sae": PlainSae(6, SITE)}, sae_sites={"sae": SITE})
    return outcome_of(statistic, inputs, *batches)


def latents(seed: int, tokens: int, width: int = 6) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    left = np.float32(rng.gamma(2, size=(tokens, width)) * (rng.random((tokens, width)) < 0.3))
    right = np.float32(
        left * (rng.random((tokens, width)) < 0.7) + 0.5 * (rng.random(left.shape) < 0.1)
    )
    left[:, 0], right[:, 1] = 0, 0
    return left, right


def values(outcome: Outcome) -> dict[str, float | None]:
    return {
        r.id.removeprefix("feature_shift.").removesuffix("@1"): r.value for r in outcome.records
    }


# ── Against the definitions ──────────────────────────────────────────────────────────────────────


@pytest.mark.slow
@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 999), tokens=st.integers(45, 120), documents=st.integers(2, 9))
def test_against_the_definitions(seed: int, tokens: int, documents: int) -> None:
    left, right = latents(seed, tokens)
    document = [t % documents for t in range(tokens)]
    outcome = run(made(table=6), batch(left, right, document))
    kinds: dict[str, set[int]] = {kind: set() for kind in KINDS}
    present = 0
    for j in range(6):
        a, b = [float(v) for v in left[:, j]], [float(v) for v in right[:, j]]
        mean = [math.fsum(a) / tokens, math.fsum(b) / tokens]
        active = [sum(v != 0 for v in a), sum(v != 0 for v in b)]
        f = [n / tokens for n in active]
        delta = mean[1] - mean[0]
        inner = 0.0
        for d in range(documents):
            mine = [t for t in range(tokens) if document[t] == d]
            inner += (math.fsum(b[t] - a[t] for t in mine) - delta * len(mine)) ** 2
        se = math.sqrt(inner * documents / (documents - 1)) / tokens
        plain = {"mean_left": mean[0], "mean_right": mean[1], "delta": delta, "se": se}
        plain |= {"frequency_left": f[0], "frequency_right": f[1]}
        for name, expected in plain.items():
            assert outcome.arrays[name][j] == pytest.approx(expected, rel=1e-9, abs=1e-12), name
        if se > 0:
            assert outcome.arrays["z"][j] == pytest.approx(delta / se, rel=1e-6)
        here = [f[i] >= 0.05 and active[i] >= 2 for i in (0, 1)]
        relative = lambda x, y: abs(x - y) / max(x, y, 1e-5)  # noqa: E731
        present += any(here)
        if any(here) and relative(*mean) > 0.5:
            kinds["shifted"].add(j)
        if f[0] < 1e-5 and here[1]:
            kinds["appeared"].add(j)
        if f[1] < 1e-5 and here[0]:
            kinds["disappeared"].add(j)
        if all(here):
            if relative(math.fsum(a) / active[0], math.fsum(b) / active[1]) > 0.5:
                kinds["magnitude"].add(j)
            if max(f) / min(f) > 2:
                kinds["frequency"].add(j)
    for kind in KINDS:
        assert set(outcome.arrays[kind].nonzero()[0]) == kinds[kind], kind
        assert values(outcome)[kind] == pytest.approx(len(kinds[kind]) / present)
    by_feature = {row["feature"]: row["kind"] for row in outcome.tables["features"]}
    assert by_feature[0] == "shifted, appeared"
    assert by_feature[1] == "shifted, disappeared"


def test_magnitude_and_frequency_are_told_apart() -> None:
    left, right = np.zeros((40, 4)), np.zeros((40, 4))
    left[:10, 0], right[:10, 0] = 1, 3  # stronger where it is active
    left[:10, 1], right[:30, 1] = 1, 1  # active more often
    left[:10, 2], right[:10, 2] = 1, 1.5  # a third: not enough
    left[:10, 3], right[:20, 3] = 1, 1  # twice, not more
    rows = run(made(), batch(left, right, [0] * 20 + [1] * 20)).tables["features"]
    kinds = {row["feature"]: row["kind"] for row in rows}
    assert kinds == {0: "shifted, magnitude", 1: "shifted, frequency", 2: "", 3: ""}


def test_the_standard_error_holds_over_documents_not_tokens() -> None:
    """Ten times the same tokens in each document: no smaller, where tokens alone would say so."""
    left, right = latents(5, 30)
    document = list(np.arange(30) % 5)
    once = run(made(), batch(left, right, document)).arrays["se"]
    ten = run(made(), batch(np.tile(left, (10, 1)), np.tile(right, (10, 1)), document * 10)).arrays[
        "se"
    ]
    np.testing.assert_allclose(ten, once, rtol=1e-9)


def test_copies_of_documents_are_one_cluster() -> None:
    """CASES row 12: three times every document is as uncertain as every document once."""
    left, right = latents(5, 30)
    document = list(np.arange(30) % 5)
    one = batch(left, right, document)
    once = run(made(), one)
    copies = [replace(one, copies=(number,) * 5) for number in (1, 2)]
    thrice = run(made(), one, *copies)
    np.testing.assert_allclose(thrice.arrays["se"], once.arrays["se"], rtol=1e-9)
    np.testing.assert_allclose(thrice.arrays["delta"], once.arrays["delta"], rtol=1e-9)
    assert {record.clusters for record in thrice.records} == {5}


# ── Laws ─────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.slow
@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 999), cut=st.integers(1, 7), turn=st.booleans(), filtered=st.booleans())
def test_any_split_order_and_merge(seed: int, cut: int, turn: bool, filtered: bool) -> None:
    left, right = latents(seed, 64)
    whole = batch(
        left, right, [t % 8 for t in range(64)], list(range(0, 64, 3)) if filtered else None
    )
    statistic, inputs = made(), Inputs()
    order = np.random.default_rng(seed).permutation(8).tolist()
    parts = [only(whole, order[:cut]), only(whole, order[cut:])]
    states = [statistic.update(statistic.start(inputs), part) for part in parts]
    before = [{name: array.copy() for name, array in state.items()} for state in states]
    merged = statistic.merge(*(states[::-1] if turn else states))
    for state, copy in zip(states, before, strict=True):
        for name, array in state.items():
            np.testing.assert_array_equal(array, copy[name])
    one = statistic.finish(statistic.update({}, whole), inputs)
    other = statistic.finish(merged, inputs)
    for name, array in one.arrays.items():
        np.testing.assert_allclose(other.arrays[name], array, rtol=1e-7, atol=1e-12, err_msg=name)
    assert values(other) == values(one)
    assert all(array.dtype in (np.float64, np.int64) for array in merged.values())


@pytest.mark.slow
def test_the_laws_of_a_reduction() -> None:
    batches = []
    for seed in range(3):
        one = batch(*latents(seed, 50), [t % 5 for t in range(50)])
        batches.append(replace(one, documents=tuple(f"{seed} {d}" for d in one.documents)))
    inputs = Inputs(saes={"sae": PlainSae(6, SITE)}, sae_sites={"sae": SITE})
    check_reduction(made(), batches, inputs, 1e-7)


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 99), documents=st.integers(1, 6))
def test_identical_models_shift_nothing(seed: int, documents: int) -> None:
    left, _ = latents(seed, 60)
    outcome = run(made(), batch(left, left, [t % documents for t in range(60)]))
    assert set(values(outcome).values()) == {0.0}
    assert all(r.null == {"kind": "identical", "value": 0.0} for r in outcome.records)
    assert not outcome.arrays["delta"].any()
    assert np.isnan(outcome.arrays["z"]).all()
    assert {row["kind"] for row in outcome.tables["features"]} == {""}
    assert {row["z"] for row in outcome.tables["features"]} == {None}


def test_memory_is_that_of_the_features() -> None:
    statistic, state = made(), {}
    for seed in range(20):
        left, right = latents(seed, 50)
        state = statistic.update(state, batch(left, right, [t % 5 for t in range(50)]))
    assert sum(array.size for array in state.values()) == 6 * 6 + 3


def test_wide_saes_are_taken_in_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    left, right = latents(3, 60)
    whole = batch(left, right, [t % 12 for t in range(60)])
    expected = run(made(), whole).arrays
    monkeypatch.setattr("harness_statistics.feature_shift_sums._SCRATCH", 13)
    for name, array in run(made(), whole).arrays.items():
        np.testing.assert_allclose(array, expected[name], rtol=1e-9, err_msg=name)


# ── The table, and what is undefined ─────────────────────────────────────────────────────────────


def test_the_table_has_the_features_that_moved_most() -> None:
    left, right = latents(1, 100)
    document = [t % 10 for t in range(100)]
    outcome = run(made(table=3), batch(left, right, document))
    rows = outcome.tables["features"]
    size = np.abs(outcome.arrays["delta"])
    assert [row["feature"] for row in rows] == np.argsort(-size, kind="stable")[:3].tolist()
    first = rows[0]
    numbers = ["mean_left", "mean_right", "delta", "se", "z", "frequency_left", "frequency_right"]
    assert list(first) == ["pair", "sae", "site", "feature", *numbers, "kind"]
    assert (first["pair"], first["sae"], first["site"]) == ("p", "sae", "resid_post.1")
    by_z = run(made(table=3, rank="z"), batch(left, right, document)).tables["features"]
    z = np.nan_to_num(np.abs(outcome.arrays["z"]), nan=-1)
    assert [row["feature"] for row in by_z] == np.argsort(-z, kind="stable")[:3].tolist()


def test_too_few_tokens_are_undefined_but_still_in_the_table() -> None:
    left, right = latents(1, 100)
    outcome = run(made(delta=1e-4, minimum=10), batch(left, right, [t % 10 for t in range(100)]))
    for record in outcome.records:
        assert record.value is None
        assert record.undefined == (
            "100 tokens; delta = 0.0001 needs 100,000, so that 10 of them can be active"
        )
    assert len(outcome.tables["features"]) == 6
    assert {row["kind"] for row in outcome.tables["features"]} == {""}


def test_as_many_tokens_as_needed_are_enough() -> None:
    left, right = np.ones((100, 6)), np.ones((100, 6))
    outcome = run(made(delta=0.1, minimum=10), batch(left, right, [t % 10 for t in range(100)]))
    assert values(outcome)["shifted"] == 0.0
    assert outcome.records[0].n == 6


def test_one_document_has_no_standard_error() -> None:
    left, right = latents(1, 60)
    outcome = run(made(), batch(left, right, [0] * 60))
    assert np.isnan(outcome.arrays["se"]).all()
    assert {row["se"] for row in outcome.tables["features"]} == {None}


def test_nothing_measured() -> None:
    left, right = latents(1, 10)
    for outcome in (run(made()), run(made(), batch(left, right, [0] * 10, selected=[]))):
        assert set(values(outcome).values()) == {None}
        assert outcome.tables["features"] == []
        assert outcome.arrays["delta"].shape == (6,)


def test_nothing_active() -> None:
    zeros = np.zeros((60, 6))
    outcome = run(made(), batch(zeros, zeros, [t % 3 for t in range(60)]))
    assert {record.undefined for record in outcome.records} == {"no feature is active often enough"}


def test_negative_latents_count_as_active() -> None:
    left, right = np.zeros((40, 6)), np.zeros((40, 6))
    left[:20, 0], right[:20, 0] = -1, -4
    rows = run(made(), batch(left, right, [t % 4 for t in range(40)])).tables["features"]
    assert [(row["feature"], row["kind"]) for row in rows] == [(0, "shifted, magnitude")]


def test_thresholds_that_contradict_each_other() -> None:
    with pytest.raises(ValidationError, match="absent and present at once"):
        Options(pair="p", sae="s", epsilon=0.1, delta=0.01)


# ── Tests, for families ──────────────────────────────────────────────────────────────────────────


def test_every_feature_that_was_active_has_a_p_whatever_the_table_lists() -> None:
    left, right = latents(3, 240)
    left[:, 5] = right[:, 5] = 0  # never active: nothing is asked of it
    outcome = run(made(table=1), batch(left, right, [t % 12 for t in range(240)]))
    (tests,) = outcome.p_values
    assert len(outcome.tables["features"]) == 1
    assert tests.items is not None
    assert tests.items.tolist() == [0, 1, 2, 3, 4]
    assert dict(tests.axes) == {"pair": "p", "sae": "sae", "site": "resid_post.1"}
    delta, se = outcome.arrays["delta"], outcome.arrays["se"]
    for feature, p, value in zip(tests.items, tests.array, tests.values, strict=True):
        assert value == delta[feature]
        t = abs(delta[feature] / se[feature])
        assert p == pytest.approx(2 * stats.t.sf(t, 11))


def test_with_few_documents_there_is_no_test() -> None:
    left, right = latents(3, 240)
    (tests,) = run(made(), batch(left, right, [t % 9 for t in range(240)])).p_values
    assert np.isnan(tests.array).all()


def test_documents_that_all_move_alike_have_the_p_of_the_sign_test() -> None:
    left, right = np.zeros((60, 6)), np.zeros((60, 6))
    left[:, 0], right[:, 0] = 1, 3
    left[:, 1], right[:, 1] = 1, 1
    (tests,) = run(made(), batch(left, right, [t % 12 for t in range(60)])).p_values
    assert tests.array.tolist() == [2.0**-11, 1.0]


def test_features_that_move_by_chance_alone_are_seldom_discoveries() -> None:
    """Rare, skewed latents whose sides are exchangeable in each document; five others moved."""
    rng = np.random.default_rng(9)
    documents, each, width, planted = 40, 6, 300, 5
    document = np.repeat(np.arange(documents), each)
    small, any_false, found_all = [], 0, 0
    for _ in range(25):
        shape = (documents * each, width)
        sides = [rng.gamma(1, size=shape) * (rng.random(shape) < 0.05) for _ in range(2)]
        sides[1][:, :planted] += 2 * (rng.random((documents * each, planted)) < 0.5)
        tests = run_wide(sides[0], sides[1], document.tolist(), width)
        q = stats.false_discovery_control(tests)
        small.append((tests[planted:] <= 0.05).mean())
        any_false += bool((q[planted:] <= 0.05).any())
        found_all += bool((q[:planted] <= 0.05).all())
    assert np.mean(small) < 0.055
    assert any_false <= 9  # expected share of false ones is 5% of about five discoveries
    assert found_all == 25


def run_wide(left: np.ndarray, right: np.ndarray, document: list[int], width: int) -> np.ndarray:
    inputs = Inputs(saes={"sae": PlainSae(width, SITE)}, sae_sites={"sae": SITE})
    (tests,) = outcome_of(made(), inputs, batch(left, right, document)).p_values
    p = np.ones(width)
    assert tests.items is not None
    p[tests.items] = tests.array
    return p
