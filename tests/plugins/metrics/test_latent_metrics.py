"""Metrics of latents against sets and dense matrices."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from harness.contract import SaeFacts, Target
from harness.contract.latents import Latents
from harness.testing import check_metric
from harness.testing.support.batches import array_batch
from harness_metrics import options
from harness_metrics.intersection_ratio import IntersectionRatio
from harness_metrics.l1_divergence import L1Divergence
from harness_metrics.latent_overlap import LatentOverlap

from .conftest import SITE


def dense(batch, site):
    return [
        side.latents("sae", site).dense().double().numpy() for side in (batch.left, batch.right)
    ]


def active(row):
    return set(np.flatnonzero(row).tolist())


def top(row, k):
    """The k largest; all that tie with the k-th."""
    sizes = np.abs(row)
    limit = np.sort(sizes)[::-1][min(k, len(row)) - 1]
    return {int(j) for j in np.flatnonzero(sizes) if sizes[j] >= limit}


def jaccard(pairs):
    pairs = [(a, b) for a, b in pairs if a | b]
    each = [len(a & b) / len(a | b) for a, b in pairs]
    return float(np.mean(each)) if each else math.nan


def intersection_reference(batch, site):
    b, c = dense(batch, site)
    pairs = [(active(x), active(y)) for x, y in zip(b, c, strict=True)]
    either = sum(len(x | y) for x, y in pairs)
    if not either:
        return [math.nan] * 3
    micro = sum(len(x & y) for x, y in pairs) / either
    both = sum(((b != 0).sum(0) * (c != 0).sum(0)).tolist()) / len(b)
    return [jaccard(pairs), micro, both / ((b != 0).sum() + (c != 0).sum() - both)]


def overlap_reference(batch, site, k):
    b, c = dense(batch, site)
    tokens = jaccard([(top(x, k), top(y, k)) for x, y in zip(b, c, strict=True)])
    return [tokens, jaccard([(top(np.abs(b).sum(0), k), top(np.abs(c).sum(0), k))])]


def l1_reference(batch, site):
    b, c = dense(batch, site)
    moved, size = np.abs(b - c).sum(), (np.abs(b) + np.abs(c)).sum()
    return [moved / size if size else math.nan, moved / len(b) if len(b) else math.nan]


@pytest.mark.parametrize("place", ["site", "other"])
def test_intersection_ratio(case, place):
    site = getattr(case, place)
    metric = IntersectionRatio(options.IntersectionRatioOptions(), Target(site, "sae"))
    check_metric(
        metric, case.batch, reference=lambda b: intersection_reference(b, site), side="pair"
    )


@pytest.mark.slow
@pytest.mark.parametrize("k", [1, 3, 128])
def test_latent_overlap(case, k):
    metric = LatentOverlap(options.LatentOverlapOptions(k=k), Target(case.site, "sae"))
    check_metric(
        metric, case.batch, reference=lambda b: overlap_reference(b, case.site, k), side="pair"
    )


def test_l1_divergence(case):
    metric = L1Divergence(options.L1DivergenceOptions(), Target(case.site, "sae"))
    check_metric(metric, case.batch, reference=lambda b: l1_reference(b, case.site), side="pair")


class Given:
    """An SAE whose latents are its input: each site's activations are what the test wants."""

    def __init__(self, width):
        self.facts = SaeFacts("given", width, width, SITE, signed=True)

    def encode(self, x):
        return Latents.from_dense(x)


def given(left, right, selected=None):
    b, c = torch.tensor(left), torch.tensor(right)
    document = [i % 2 for i in range(len(b))]
    return array_batch(
        document, {SITE: b}, {SITE: c}, saes={"sae": Given(b.shape[1])}, selected=selected
    )


def values(metric, batch):
    sums = {k: v.sum(0, keepdim=True).numpy() for k, v in metric.sums(batch, batch.left).items()}
    found = metric.value(sums)
    return {value.id: float(one[0]) for value, one in zip(metric.values, found, strict=True)}


def every(**more):
    target = Target(SITE, "sae")
    return (
        IntersectionRatio(options.IntersectionRatioOptions(), target),
        LatentOverlap(options.LatentOverlapOptions(**more), target),
        L1Divergence(options.L1DivergenceOptions(), target),
    )


def test_known_answers():
    batch = given(
        [[1.0, 2.0, 0.0, 0.0], [0.0, 0.0, 0.0, 0.0], [0.0, 0.0, 0.0, 4.0]],
        [[1.0, 0.0, 3.0, 0.0], [0.0, 0.0, 0.0, 0.0], [0.0, 0.0, 0.0, 2.0]],
    )
    found = {k: v for metric in every(k=1) for k, v in values(metric, batch).items()}
    assert found == pytest.approx(
        {
            "intersection_ratio.per_token@1": (1 / 3 + 1) / 2,  # the empty token is left out
            "intersection_ratio.micro@1": 2 / 4,
            "intersection_ratio.chance@1": (2 / 3) / (6 - 2 / 3),
            "latent_overlap.topk@1": 1 / 2,  # 2.0 and 3.0 are not the same latent
            "latent_overlap.topk_dataset@1": 0,  # 4.0 of the fourth and 3.0 of the third
            "l1_divergence.normalized@1": (2 + 3 + 2) / (3 + 4 + 4 + 2),
            "l1_divergence.raw@1": 7 / 3,
        }
    )


def test_empty_unions_are_not_counted():
    batch = given([[1.0, 0.0], [0.0, 0.0], [0.0, 0.0]], [[1.0, 0.0], [0.0, 0.0], [0.0, 2.0]])
    metric = every()[0]
    sums = metric.sums(batch, batch.left)
    assert float(sums["n"].sum()) == 3
    assert float(sums["n.intersection_ratio.per_token@1"].sum()) == 2
    assert values(metric, batch)["intersection_ratio.per_token@1"] == 0.5


def test_nothing_active_is_undefined():
    batch = given([[0.0, 0.0]] * 3, [[0.0, 0.0]] * 3)
    found = {k: v for metric in every() for k, v in values(metric, batch).items()}
    assert found.pop("l1_divergence.raw@1") == 0
    assert all(math.isnan(value) for value in found.values())


def test_negative_latents_are_active_and_compared_by_size():
    batch = given([[-5.0, 1.0, 0.0]] * 2, [[5.0, -1.0, 0.0]] * 2)
    found = {k: v for metric in every(k=1) for k, v in values(metric, batch).items()}
    assert found["intersection_ratio.per_token@1"] == 1
    assert found["latent_overlap.topk@1"] == found["latent_overlap.topk_dataset@1"] == 1
    assert found["l1_divergence.normalized@1"] == 1


def test_chance_is_what_shuffling_gives():
    """Latents of very different frequencies; the mean over many shuffles of one side."""
    generator = np.random.default_rng(0)
    often = generator.beta(0.3, 3.0, size=60)
    b, c = (torch.tensor(generator.random((400, 60)) < often).float() for _ in range(2))
    found = values(every()[0], given(b.tolist(), c.tolist()))["intersection_ratio.chance@1"]
    x, y = b.numpy() > 0, c.numpy() > 0
    shuffled = []
    for _ in range(200):
        z = y[generator.permutation(len(y))]
        shuffled.append((x & z).sum() / (x | z).sum())
    assert found == pytest.approx(np.mean(shuffled), abs=4 * np.std(shuffled) / 200**0.5 + 1e-4)


def test_overlap_of_few_active_latents_is_the_intersection_ratio(make):
    case = make(tokens=80)
    target = Target(case.site, "sae")
    overlap = values(LatentOverlap(options.LatentOverlapOptions(k=20), target), case.batch)
    ratio = values(IntersectionRatio(options.IntersectionRatioOptions(), target), case.batch)
    assert overlap["latent_overlap.topk@1"] == ratio["intersection_ratio.per_token@1"]


def test_identical_sides_are_exactly_equal(make):
    case = make(tokens=300, zeros=True)
    case.batch.right.activations.update(case.batch.left.activations)
    found = {k: v for metric in every(k=3) for k, v in values(metric, case.batch).items()}
    chance = found.pop("intersection_ratio.chance@1")
    assert 0 < chance < 1
    assert found == {k: 0.0 if k.startswith("l1") else 1.0 for k in found}


@pytest.mark.parametrize(
    ("metric", "given"),
    [
        (IntersectionRatio, options.IntersectionRatioOptions),
        (LatentOverlap, options.LatentOverlapOptions),
    ],
)
def test_variants_choose_what_is_kept(make, metric, given):
    case = make()
    first = given().variants[0]
    found = metric(given(variants=[first]), Target(case.site, "sae"))
    assert [value.id.split(".")[1] for value in found.values] == [f"{first}@1"]
    assert not any(k.startswith("total.") for k in found.sums(case.batch, case.batch.left))


@pytest.mark.parametrize(("given", "message"), [({"k": 0}, "greater than"), ({"top": 3}, "Extra")])
def test_bad_options(given, message):
    with pytest.raises(ValidationError, match=message):
        options.LatentOverlapOptions.model_validate(given)


@pytest.mark.parametrize("metric", [every()[0], every(k=3)[1]])
def test_sums_as_wide_as_the_sae_may_be_kept_for_the_data_alone(make, metric):
    batch = make().batch
    sums = {k: v.sum(0, keepdim=True).numpy() for k, v in metric.sums(batch, batch.left).items()}
    drawn = {k: v if k.startswith("total.") else np.repeat(v, 3, 0) for k, v in sums.items()}
    expected = metric.value(sums)
    for value, found, alone in zip(metric.values, metric.value(drawn), expected, strict=True):
        assert len(found) == 3
        assert found[0] == alone[0]
        wide = value.id.split(".")[1] in {"chance@1", "topk_dataset@1"}
        assert np.isnan(found[1:]).all() == wide
