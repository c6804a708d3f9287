"""Numbers that are no ratio of sums: latents that are active nowhere, and quantiles of lengths."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from harness.contract import Inputs, Latents, SaeFacts, Target
from harness.running.passes.metric import MetricReduction
from harness.testing.support.batches import array_batch, only
from harness_metrics.activation_norm import ActivationNorm
from harness_metrics.dead_share import DeadShare
from harness_metrics.options import ActivationNormOptions, DeadShareOptions

from .conftest import SITE


def records(metric, *parts):
    reduction = MetricReduction(metric, "left", {})
    state = reduction.start(Inputs())
    for part in parts:
        state = reduction.update(state, part)
    return {one.id: one for one in reduction.finish(state, Inputs()).records}


class Identity:
    """Latent j is the positive part of number j."""

    notes, fingerprint = (), "identity"

    def __init__(self, d):
        self.facts = SaeFacts("identity", d, d, SITE)

    def encode(self, x):
        return Latents.from_dense(x.relu())

    def reconstruct(self, latents):
        return latents.dense()

    def rows(self, indices):
        return torch.eye(self.facts.d_in)[indices]


def planted(selected=None):
    """12 documents of one token; document i has latents 0 to i, so 8 of 20 are never active."""
    x = -torch.ones(12, 20)
    for token in range(12):
        x[token, : token + 1] = 1
    names = [f"d{i}" for i in range(12)]
    return array_batch(
        list(range(12)), {SITE: x}, saes={"s": Identity(20)}, selected=selected, documents=names
    )


def test_dead_latents_are_those_of_the_union_over_documents():
    metric, batch = DeadShare(DeadShareOptions(), Target(SITE, "s")), planted()
    found = records(metric, only(batch, [11, 3]), only(batch, [0, *range(4, 11), 1, 2]))
    one = found["dead_share@1"]
    assert (one.value, one.n, one.clusters) == (8 / 20, 12, 12)
    assert one.ci is None
    assert one.ci_why.startswith("documents that are drawn again never show a latent")
    fewer = records(metric, planted(selected=[0, 5]))["dead_share@1"]
    assert (fewer.value, fewer.n) == (14 / 20, 2)
    nothing = records(metric, planted(selected=[]))["dead_share@1"]
    assert (nothing.value, nothing.undefined) == (None, "no token was measured")


@pytest.mark.parametrize("scale", [1e-2, 1.0, 300.0])
def test_quantiles_are_as_close_as_they_say(scale):
    rng = np.random.default_rng(0)
    x = scale * rng.normal(size=(2000, 4)) * np.exp(rng.normal(size=(2000, 1)))
    batch = array_batch(
        rng.integers(0, 40, 2000).tolist(), {SITE: torch.tensor(x, dtype=torch.float32)}
    )
    chosen = ("p01", "p05", "p25", "p50", "p75", "p95", "p99")
    metric = ActivationNorm(ActivationNormOptions(variants=chosen), Target(SITE))
    found = records(metric, batch)
    lengths = np.linalg.norm(x, axis=1)
    for name in chosen:
        one = found[f"activation_norm.{name}@1"]
        expected = np.quantile(lengths, int(name[1:]) / 100, method="inverted_cdf")
        assert one.value == pytest.approx(expected, rel=0.0101)
        assert one.ci[0] <= one.value <= one.ci[1]
        assert one.ci[1] - one.ci[0] > 0.02 * one.value  # the bins are a small part of it


def test_lengths_beyond_the_histogram_are_undefined_and_not_its_end():
    x = torch.ones(40, 4)
    x[:15] = 0
    x[35:] = 1e9
    batch = array_batch([i % 10 for i in range(40)], {SITE: x})
    chosen = ("p25", "p50", "p95")
    metric = ActivationNorm(ActivationNormOptions(variants=chosen), Target(SITE))
    low, middle, high = records(metric, batch).values()
    assert middle.value == pytest.approx(2, rel=0.0101)
    assert "not between" in low.undefined
    assert "not between" in high.undefined
