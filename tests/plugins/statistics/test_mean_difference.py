"""mean_difference against its formula, document by document; what is exactly 0, and chance."""

from __future__ import annotations

import hashlib
import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from fakes.reductions import outcome_of, pick
from harness.contract import Batch, Inputs, ModelFacts, Site, Stream
from harness.errors import TaskError
from harness.testing import array_batch
from harness_statistics.mean_difference.mean_difference import MeanDifference
from harness_statistics.mean_difference.means import (
    Place,
    balanced_signs,
    group_weights,
    halves,
    means_in,
    permuted,
)
from harness_statistics.mean_difference.options import MeanDifferenceOptions
from harness_statistics.mean_difference.samples import mean_difference

SITE = Site("resid_post", 1)
D, LENGTH = 6, 8


def batch(seed: int = 0, documents: int = 40, *, shift: Any = None, noise: float = 0.5) -> Batch:
    """Documents of 2 to 8 tokens; the right side is the left one, a shift and noise."""
    rng = np.random.default_rng(seed)
    lengths = 2 + rng.integers(0, LENGTH - 1, documents)
    owner = [one for one, length in enumerate(lengths) for _ in range(length)]
    left = rng.normal(size=(len(owner), D))
    moved = left + noise * rng.normal(size=left.shape) + (0 if shift is None else shift)
    sides = [torch.tensor(x, dtype=torch.float32) for x in (left, moved)]
    names = [f"{seed}-{one}" for one in range(documents)]
    return array_batch(owner, {SITE: sides[0]}, {SITE: sides[1]}, documents=names)


def statistic(**more: Any) -> MeanDifference:
    given = {"pair": "p", "site": str(SITE), "positions": (1, 3), "groups": 8, **more}
    return MeanDifference(MeanDifferenceOptions.model_validate(given))


def slow(one: Batch, position: int) -> tuple[np.ndarray, np.ndarray]:
    """By definition: the change of each document at a position, and its group."""
    assert one.right is not None
    x, y = (side.x(SITE).double().numpy() for side in (one.left, one.right))
    found, groups = [], []
    for token, owner in enumerate(one.document.tolist()):
        if one.position[token] == position:
            digest = hashlib.sha256(one.documents[owner].encode()).digest()[:8]
            found.append(y[token] - x[token])
            groups.append(int.from_bytes(digest, "big") % 8)
    return np.array(found), np.array(groups)


@pytest.mark.slow
@pytest.mark.parametrize("case", list(mean_difference(Path())), ids=["all", "few"])
def test_the_laws_of_statistics(case: Any) -> None:
    case()


@pytest.mark.parametrize("position", [1, 3])
def test_every_number_is_its_formula(position: int) -> None:
    one = batch(shift=0.3)
    found = outcome_of(statistic(draws=50), Inputs(seed=4), one)
    change, group = slow(one, position)
    delta = change.mean(0)
    norms = [
        np.linalg.norm(row)
        for row, at in zip(one.right.x(SITE).double().numpy(), one.position, strict=True)  # type: ignore[union-attr]
        if at >= 3
    ]
    at = {"site": str(SITE), "position": position}
    norm = pick(found, "mean_difference.norm@1", **at)
    assert norm.value == pytest.approx(np.linalg.norm(delta), rel=1e-6)
    relative = pick(found, "mean_difference.relative@1", **at)
    assert relative.value == pytest.approx(np.linalg.norm(delta) / np.mean(norms), rel=1e-6)
    share = pick(found, "mean_difference.share@1", **at)
    assert share.value == pytest.approx(delta @ delta / (change**2).sum(1).mean(), rel=1e-6)
    assert (norm.n, norm.clusters) == (len(change), len(change))

    means = np.array([change[group == g].mean(0) for g in sorted(set(group.tolist()))])
    signs = balanced_signs(len(means), 50, 4)
    long, cosines = [], []
    for row in signs:
        plus = np.mean([m for m, sign in zip(means, row, strict=True) if sign > 0], axis=0)
        minus = np.mean([m for m, sign in zip(means, row, strict=True) if sign < 0], axis=0)
        long.append(np.linalg.norm((plus - minus) / 2))
        cosines.append(plus @ minus / np.linalg.norm(plus) / np.linalg.norm(minus))
    assert norm.null is not None
    assert norm.null["value"] == pytest.approx(np.mean(long), rel=1e-6)
    as_long = sum(one >= np.linalg.norm(means.mean(0)) for one in long)
    assert norm.null["p"] == pytest.approx((1 + as_long) / 51)
    split = pick(found, "mean_difference.split_half@1", **at)
    assert split.value == pytest.approx(np.mean(cosines), rel=1e-6)


def test_base_against_base_gives_every_null() -> None:
    found = outcome_of(statistic(), Inputs(), batch(noise=0))
    for position in (1, 3):
        norm = pick(found, "mean_difference.norm@1", position=position)
        assert norm.value == 0.0, "exactly"
        assert norm.null == {"kind": "labels permuted", "value": 0.0, "p": 1.0, "least_p": 1 / 201}
        assert pick(found, "mean_difference.relative@1", position=position).value == 0.0
        share = pick(found, "mean_difference.share@1", position=position)
        assert share.undefined == "no token moved"
        split = pick(found, "mean_difference.split_half@1", position=position)
        assert split.undefined == "a half of the documents did not move"


def test_a_shift_that_all_text_shares_cancels_when_labels_are_permuted() -> None:
    """Under signs drawn for each document by itself, its own direction would be left."""
    found = outcome_of(statistic(draws=200), Inputs(), batch(shift=np.ones(D), noise=0))
    norm = pick(found, "mean_difference.norm@1", position=1)
    assert norm.value == pytest.approx(D**0.5, rel=1e-6)
    assert norm.null is not None
    assert norm.null["value"] < 1e-6
    assert norm.null["p"] == pytest.approx(1 / 201)
    assert pick(found, "mean_difference.share@1", position=1).value == pytest.approx(1.0)
    assert pick(found, "mean_difference.split_half@1", position=1).value == pytest.approx(1.0)


def test_changes_without_a_mean_are_as_long_as_chance() -> None:
    """p is about uniform where documents move each in its own direction."""
    ps, cosines = [], []
    for seed in range(60):
        found = outcome_of(statistic(positions=(1,), draws=100), Inputs(seed=seed), batch(seed))
        norm = pick(found, "mean_difference.norm@1")
        assert norm.null is not None
        ps.append(norm.null["p"])
        cosines.append(pick(found, "mean_difference.split_half@1").value or 0.0)
    assert 0.35 < np.mean(ps) < 0.65
    assert np.mean(np.array(ps) <= 0.05) < 0.15
    assert abs(np.mean(cosines)) < 0.1


def test_signs_are_balanced_and_a_function_of_the_seed() -> None:
    for groups in (2, 5, 16):
        signs = balanced_signs(groups, 30, 1)
        assert (signs.sum(1) == 0).all()
        assert (np.abs(signs).sum(1) == groups // 2 * 2).all()
        assert np.array_equal(signs, balanced_signs(groups, 30, 1))
    assert not np.array_equal(balanced_signs(16, 30, 1), balanced_signs(16, 30, 2))
    by_group = np.random.default_rng(0).normal(size=(5, D))
    signs = balanced_signs(5, 30, 1)
    one, other = halves(by_group, signs)
    assert np.allclose(permuted(by_group, signs), (one - other) / 2)


def test_arrays_are_read_back_whatever_a_pair_is_called() -> None:
    found = outcome_of(statistic(pair="a.b-c"), Inputs(), batch(), batch(1))
    ((place, means),) = means_in(found.arrays).items()
    assert place == Place("a.b-c", str(SITE))
    change = np.concatenate([slow(batch(seed), 3)[0] for seed in (0, 1)])
    assert np.allclose(means.difference(1), change.mean(0))
    assert np.allclose(means.left_mean(1) + means.difference(1), means.right_mean(1))
    weights = group_weights(8, 3, 0)
    assert (weights.sum(1) == 8).all()
    group = np.concatenate([slow(batch(seed), 3)[1] for seed in (0, 1)])
    drawn = [np.average(change, axis=0, weights=row[group]) for row in weights]
    assert np.allclose(means.resampled(1, weights), drawn)
    assert means_in({"other/resid_post.1/flips": np.zeros(2)}) == {}


def test_a_position_that_no_document_has_is_undefined() -> None:
    found = outcome_of(statistic(positions=(1, 50)), Inputs(), batch())
    for record in found.records:
        if record.axes["position"] == 50:
            assert record.undefined == "no document has a measured token at position 50"
        elif record.id == "mean_difference.relative@1":
            assert record.undefined == "no token there has a length to compare with"
        else:
            assert record.value is not None
    nothing = outcome_of(statistic(), Inputs())
    assert len(nothing.records) == 8
    assert all(record.value is None and record.n == 0 for record in nothing.records)


def test_a_fraction_of_depth_becomes_a_block() -> None:
    given = statistic(site="resid_post@0.5")
    inputs = Inputs(facts={"v": ModelFacts(layers=6, d_model=D)})
    found = given.finish(given.start(inputs), inputs)
    assert {record.axes["site"] for record in found.records} == {"resid_post.3"}


class _Task:
    """A task with one pair."""

    def __init__(self, stream: Stream) -> None:
        self.stream = stream

    def pair(self, name: str) -> Stream:
        return self.stream


def test_packed_documents_are_refused_and_skipped_positions_foreseen() -> None:
    given = MeanDifferenceOptions(pair="p", site="resid_post.1")
    packed = _Task(Stream("pair", "a", "web", "b", pack=512))
    with pytest.raises(TaskError, match="p packs documents into rows of 512 tokens"):
        given.reads(packed)  # type: ignore[arg-type]
    whole = Stream("pair", "a", "web", "b")
    assert given.reads(_Task(whole)).streams == (whole,)  # type: ignore[arg-type]
    assert not list(given.foresee(_Task(whole)))  # type: ignore[arg-type]


def test_positions_are_in_order_and_each_once() -> None:
    assert MeanDifferenceOptions(pair="p", site="embed", positions=(3, 1)).positions == (1, 3)
    for wrong in ((1, 1), (0,), ()):
        with pytest.raises(ValidationError):
            MeanDifferenceOptions(pair="p", site="embed", positions=wrong)


def test_documents_in_any_order_and_shards() -> None:
    """Beside the laws: shards of one document each, in the order of another seed."""
    parts = [batch(seed, 3, shift=1.0) for seed in range(4)]
    wholes = [
        outcome_of(statistic(), Inputs(), *order).records
        for order in itertools.islice(itertools.permutations(parts), 0, 24, 7)
    ]
    for one in wholes[1:]:
        for left, right in zip(wholes[0], one, strict=True):
            assert left.value == pytest.approx(right.value, rel=1e-12)
