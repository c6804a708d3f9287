"""The metric `fvu_change` against its definition, and the laws that METHODS 2 names."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from harness.contract import SaeFacts, Target
from harness.contract.latents import Latents
from harness.contract.sites import parse_site
from harness.testing import check_metric
from harness.testing.support.batches import array_batch
from harness_metrics.fvu_change import FvuChange, signs
from harness_metrics.options import FvuChangeOptions

SITE = parse_site("resid_post.1")
ALL = ("pooled", "centered", "errors", "tokens")


def errors(batch, site):
    """Float64 activations and errors of both sides."""
    x = [s.x(site)[batch.selected].double().numpy() for s in (batch.left, batch.right)]
    fits = [s.reconstruction("sae").double().numpy() for s in (batch.left, batch.right)]
    return x, [one - fit for one, fit in zip(x, fits, strict=True)]


def reference(batch, site):
    (left, right), (e_left, e_right) = errors(batch, site)
    change, missed = right - left, e_right - e_left
    size = sum(float(row @ row) for row in change)
    ratios = [float(e @ e) / float(c @ c) for e, c in zip(missed, change, strict=True)]
    x = batch.left.x(site)[batch.selected]
    rounded = x * (1 + 2.0**-8 * signs(x.shape[1]))
    again = batch.left.decode("sae", batch.left.encode("sae", rounded)).double().numpy()
    floor = ((rounded.double().numpy() - again) - e_left)[change.any(1)]
    squares = [float(np.square(e).sum()) for e in (e_left, e_right)]
    centred = [np.square(x - x.mean(0)).sum() for x in (missed, change)]
    return [
        float(np.square(missed).sum()) / size,
        centred[0] / centred[1] if len(change) > 1 else math.nan,
        float((e_left * e_right).sum()) / math.sqrt(squares[0] * squares[1]),
        sum(squares) / size,
        float(np.mean([ratio > 0.5 for ratio in ratios])),
        float(np.median(ratios)),
        float(np.square(floor).sum()) / size,
    ]


def metric(**options):
    return FvuChange(FvuChangeOptions(**options), Target(SITE, "sae"))


def value_of(made, batch):
    sums = {k: v.numpy().sum(0)[None] for k, v in made.sums(batch, batch.left).items()}
    ids = [value.id.split(".")[1].split("@")[0] for value in made.values]
    return dict(zip(ids, [float(v[0]) for v in made.value(sums)], strict=True))


def test_it_is_its_definition(case):
    check_metric(
        metric(variants=("pooled", "centered", "errors"), floor="none"),
        case.batch,
        reference=lambda batch: reference(batch, case.site)[:4],
        side="pair",
    )


def test_tokens_are_counted_one_by_one(make):
    """The median has bins of 2% of its logarithm; the share is exact."""
    case = make(tokens=301, documents=12)
    found = value_of(metric(variants=ALL), case.batch)
    expected = reference(case.batch, case.site)
    assert found["share_above"] == pytest.approx(expected[4], abs=1e-12)
    assert found["median"] == pytest.approx(expected[5], rel=0.02)
    assert found["floor"] == pytest.approx(expected[6], rel=1e-3)


def test_the_identity_of_the_errors(make):
    """‖Δε‖² is what both errors make together, less twice their product."""
    found = value_of(metric(variants=("pooled", "errors")), make(tokens=200).batch)
    (_, _), (left, right) = errors(make(tokens=200).batch, SITE)
    squares = [float(np.square(one).sum()) for one in (left, right)]
    product = found["errors_correlation"] * math.sqrt(squares[0] * squares[1])
    together = found["independent"] * (1 - 2 * product / sum(squares))
    assert found["pooled"] == pytest.approx(together, rel=1e-6)


def test_it_exceeds_one_though_both_sides_fit():
    """Errors of a fifth of the variance that have nothing to do with each other are not clipped."""
    generator = torch.Generator().manual_seed(0)
    left = torch.randn(4000, 16, generator=generator)
    right = left + 0.2 * torch.randn(4000, 16, generator=generator)
    batch = array_batch([i // 10 for i in range(4000)], {SITE: left}, {SITE: right},
                        saes={"sae": Noisy(0.2**0.5)})  # fmt: skip
    found = value_of(metric(variants=ALL, floor="none"), batch)
    assert found["pooled"] > 5
    assert found["pooled"] == pytest.approx(found["independent"], rel=0.05)
    assert abs(found["errors_correlation"]) < 0.05
    assert "floor" not in found


class Noisy:
    """Reconstructs everything, but for noise of its own at each token."""

    notes: tuple[str, ...] = ()
    fingerprint = "noisy"

    def __init__(self, size):
        self.facts = SaeFacts("noisy", 16, 16, SITE)
        self.size = size

    def encode(self, x):
        return Latents.from_dense(x)

    def reconstruct(self, latents):
        x = latents.dense()
        seed = int(x.double().sum().abs() * 1e6)
        return x + self.size * torch.randn(x.shape, generator=torch.Generator().manual_seed(seed))

    def rows(self, indices):
        return torch.eye(16)[indices]


def test_a_dictionary_that_reads_everything_misses_nothing():
    generator = torch.Generator().manual_seed(1)
    left = torch.randn(60, 16, generator=generator)
    batch = array_batch([i // 5 for i in range(60)], {SITE: left}, {SITE: left + 1},
                        saes={"sae": Noisy(0.0)})  # fmt: skip
    found = value_of(metric(variants=ALL), batch)
    assert found["pooled"] == found["independent"] == found["share_above"] == 0
    assert math.isnan(found["errors_correlation"])  # without an error nothing correlates
    assert math.isnan(found["centered"])  # all of the change was the mean shift


def test_the_same_model_twice_gives_every_null(make):
    batch = make(tokens=80).batch
    same = array_batch(batch.document.tolist(), batch.left.activations, batch.left.activations,
                       saes=batch.left.saes)  # fmt: skip
    found = value_of(metric(variants=ALL), same)
    assert found.pop("errors_correlation") == pytest.approx(1, abs=1e-12)
    assert all(math.isnan(number) for number in found.values())
    reasons = {value.undefined for value in metric(variants=("pooled",)).values}
    assert all("nothing changed" in reason for reason in reasons)


def test_a_threshold_that_flips_shows_in_the_floor():
    """Activations on the edge of a threshold: half a step moves the error further than the change
    is. What did not change has no floor."""
    left = torch.full((400, 1), 1.001)
    change = torch.where(torch.arange(400)[:, None] < 100, 0.002, 0.0)
    edge = 1.0005 if signs(1)[0] < 0 else 1.0035
    batch = array_batch([i // 20 for i in range(400)], {SITE: left}, {SITE: left + change},
                        saes={"sae": Step(edge)})  # fmt: skip
    found = value_of(metric(variants=("pooled",)), batch)
    assert found["floor"] > 1
    moved = float(1.001 * (1 + 2.0**-8 * signs(1)[0]))
    expected = moved**2 if edge > 1.002 else 1.001**2
    assert found["floor"] * 0.002**2 == pytest.approx(abs(expected - 0), rel=0.02)


class Step:
    """One latent that is on above a threshold, and off below it."""

    notes: tuple[str, ...] = ()
    fingerprint = "step"

    def __init__(self, threshold):
        self.facts = SaeFacts("step", 1, 1, SITE)
        self.threshold = threshold

    def encode(self, x):
        return Latents.from_dense(torch.where(x > self.threshold, x, 0))

    def reconstruct(self, latents):
        return latents.dense()

    def rows(self, indices):
        return torch.ones(1, 1)[indices]
