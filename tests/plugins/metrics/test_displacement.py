"""The metric `displacement` against its definition, and what is exact in it."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from harness.contract import Target
from harness.testing import check_metric
from harness.testing.support.batches import array_batch
from harness_metrics.displacement import Displacement
from harness_metrics.options import DisplacementOptions


def reference(batch, site):
    b, c = (s.x(site)[batch.selected].double().numpy() for s in (batch.left, batch.right))
    ratios, moved = [], 0
    for x, y in zip(b, c, strict=True):
        moved += any(one != other for one, other in zip(x, y, strict=True))
        if np.linalg.norm(x):
            ratios.append(math.sqrt(sum((y - x) ** 2)) / math.sqrt(sum(x**2)))
    pooled = math.sqrt(np.square(c - b).sum() / np.square(b).sum())
    return [np.mean(ratios), pooled, moved / len(b)]


def values(batch, site):
    metric = Displacement(DisplacementOptions(), Target(site))
    sums = {k: v.numpy().sum(0)[None] for k, v in metric.sums(batch, batch.left).items()}
    return [float(value[0]) for value in metric.value(sums)]


@pytest.mark.parametrize(
    "shape", [{}, {"zeros": True}, {"shift": 3.0}, {"filtered": True}, {"tokens": 300}]
)
def test_it_is_its_definition(make, shape):
    case = make(**shape)
    check_metric(
        Displacement(DisplacementOptions(), Target(case.site)),
        case.batch,
        reference=lambda batch: reference(batch, case.site),
    )


def test_a_single_bit_of_a_single_token_is_a_move(make):
    case = make(tokens=40)
    x = case.batch.left.x(case.site).clone()
    y = x.clone()
    assert values(array_batch([0] * 40, {case.site: x}, {case.site: y}), case.site) == [0, 0, 0]
    y[7, 2] = torch.nextafter(y[7, 2], torch.tensor(torch.inf))
    size, pooled, moved = values(array_batch([0] * 40, {case.site: x}, {case.site: y}), case.site)
    assert moved == 1 / 40
    assert 0 < size < 1e-7
    assert 0 < pooled < 1e-7


def test_one_long_token_decides_the_pooled_change_and_not_the_mean(make):
    """An attention sink that nothing changes hides the others in the pooled ratio alone."""
    case = make(tokens=40)
    x = case.batch.left.x(case.site).clone()
    y = 1.5 * x
    x[0] = y[0] = 1e4
    size, pooled, _ = values(array_batch([0] * 40, {case.site: x}, {case.site: y}), case.site)
    assert size == pytest.approx(0.5 * 39 / 40, rel=1e-6)
    assert pooled < 0.01
