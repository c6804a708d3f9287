"""CKA from streamed moments: against Gram matrices in float64, and whether its intervals cover."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from harness.contract import Inputs, Target
from harness.running.passes.metric import MetricReduction
from harness.testing.support.batches import array_batch, only
from harness_metrics.cka import Cka
from harness_metrics.options import CkaOptions
from harness_metrics.samples import _cka as by_gram_matrices

from .conftest import SITE

DOCUMENTS, TOKENS, WIDTH = 60, 20, 8


def record(batch, variant="linear", parts=None):
    reduction = MetricReduction(Cka(CkaOptions(variants=[variant]), Target(SITE)), "pair", {})
    state = reduction.start(Inputs())
    for part in parts or [batch]:
        state = reduction.update(state, part)
    return reduction.finish(state, Inputs()).records[0]


def batch_of(x, y, documents=DOCUMENTS, names=None, selected=None):
    document = [token * documents // len(x) for token in range(len(x))]
    left, right = ({SITE: torch.tensor(side.copy(), dtype=torch.float32)} for side in (x, y))
    return array_batch(document, left, right, documents=names, selected=selected)


class World:
    """Documents with a mean of their own; y is x through a fixed matrix, with noise.

    The CKA of the whole population is known: it is made of covariances.
    """

    def __init__(self, noise=1.0, between=1.0):
        rng = np.random.default_rng(7)
        self.noise, self.between = noise, between
        self.spread = np.linspace(2.0, 0.5, WIDTH)
        self.map = rng.normal(size=(WIDTH, WIDTH)) / math.sqrt(WIDTH)
        self.mean = 5 * rng.normal(size=WIDTH)
        own = np.diag((1 + between**2) * self.spread**2)
        cross, other = own @ self.map, self.map.T @ own @ self.map + noise**2 * np.eye(WIDTH)
        norm = np.linalg.norm
        self.cka = norm(cross) ** 2 / (norm(own) * norm(other))

    def batch(self, seed):
        rng = np.random.default_rng(seed)
        of_document = self.between * rng.normal(size=(DOCUMENTS, 1, WIDTH))
        x = (of_document + rng.normal(size=(DOCUMENTS, TOKENS, WIDTH))) * self.spread
        x = x.reshape(-1, WIDTH) + self.mean
        y = x @ self.map + self.noise * rng.normal(size=x.shape)
        return batch_of(x, y, names=[f"{seed} {i}" for i in range(DOCUMENTS)])


def intervals(world, runs, variant):
    """Values and intervals of some data sets: [runs], [runs, 2]."""
    found = [record(world.batch(seed), variant) for seed in range(runs)]
    return np.array([one.value for one in found]), np.array([one.ci for one in found])


@pytest.mark.parametrize(
    ("shift", "digits"),
    [(0.0, 1e-9), (100.0, 2e-6)],  # Gram matrices of far-off tokens lose digits themselves
    ids=["near", "far"],
)
@pytest.mark.parametrize("selected", [None, range(0, 300, 7)], ids=["all", "some"])
def test_it_is_what_gram_matrices_give(shift, digits, selected):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(300, WIDTH)) + shift
    y = x @ rng.normal(size=(WIDTH, WIDTH)) + rng.normal(size=x.shape)
    batch = batch_of(x, y, selected=selected)
    for variant, expected in zip(("linear", "debiased"), by_gram_matrices(batch), strict=True):
        assert record(batch, variant).value == pytest.approx(expected, rel=digits)


def test_rotation_scale_and_shift_of_a_side_do_not_matter():
    rng = np.random.default_rng(1)
    x = rng.normal(size=(400, WIDTH))
    rotation = np.linalg.qr(rng.normal(size=(WIDTH, WIDTH)))[0]
    for variant in ("linear", "debiased"):
        assert record(batch_of(x, 30 * x @ rotation - 4), variant).value == pytest.approx(1)
    y = x[:, ::-1] + rng.normal(size=x.shape)
    one, other = (record(batch_of(x, side)).value for side in (y, 0.2 * y @ rotation + 3))
    assert one == pytest.approx(other, rel=1e-5)


def test_the_same_model_is_exactly_one_with_no_width():
    x = np.random.default_rng(2).normal(size=(300, WIDTH))
    for variant in ("linear", "debiased"):
        found = record(batch_of(x, x), variant)
        assert found.value == pytest.approx(1, abs=1e-12)
        assert found.ci == pytest.approx((1, 1), abs=1e-12)


@pytest.mark.slow
def test_the_debiased_one_of_unrelated_sides_is_about_zero_and_the_plain_one_is_not():
    rng = np.random.default_rng(3)
    found = []
    for _ in range(30):
        x, y = rng.normal(size=(2, 60, 20))
        batch = batch_of(x, y, documents=20)
        found.append([record(batch, variant).value for variant in ("linear", "debiased")])
    plain, debiased = np.mean(found, 0)
    assert plain > 0.2
    assert abs(debiased) < 3 * np.std(np.array(found)[:, 1]) / math.sqrt(30) + 1e-3


@pytest.mark.slow
def test_any_split_gives_the_same_interval():
    batch = World().batch(0)
    parts = [only(batch, range(start, DOCUMENTS, 3)) for start in (2, 0, 1)]
    for variant in ("linear", "debiased"):
        one, other = record(batch, variant), record(None, variant, parts)
        assert one.value == pytest.approx(other.value, rel=1e-12)
        assert one.ci == pytest.approx(other.ci, rel=1e-9)


@pytest.mark.slow
@pytest.mark.parametrize("variant", ["linear", "debiased"])
def test_the_interval_covers(variant):
    """Of 60 data sets of known CKA at least 52 (87%); and it is no wider than the numbers vary."""
    world = World()
    values, ci = intervals(world, 60, variant)
    covered = (ci[:, 0] <= world.cka) & (world.cka <= ci[:, 1])
    assert covered.sum() >= 52
    width = (ci[:, 1] - ci[:, 0]).mean()
    assert 0.75 < width / (2 * 1.96 * values.std(ddof=1)) < 1.6


@pytest.mark.parametrize(
    ("x", "y"),
    [(np.ones((40, 3)), np.arange(120.0).reshape(40, 3)), (np.zeros((40, 3)), np.zeros((40, 3)))],
    ids=["constant", "zero"],
)
def test_a_side_that_does_not_vary_is_undefined(x, y):
    for variant in ("linear", "debiased"):
        found = record(batch_of(x, y, documents=20), variant)
        assert found.value is None
        assert "does not vary" in found.undefined


def test_three_tokens_have_no_debiased_number():
    x = np.random.default_rng(4).normal(size=(3, 2))
    batch = batch_of(x, x + 1, documents=3)
    assert record(batch, "debiased").undefined.startswith("one side does not vary")
    assert record(batch, "linear").value == pytest.approx(1)
