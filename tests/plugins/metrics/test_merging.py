"""Any split of the documents into batches and states, merged in any order, gives one result."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings, strategies as st

from harness.contract import Inputs, Target
from harness.results.replicates import GROUPS
from harness.running.passes.metric import MetricReduction
from harness.testing.support.batches import array_batch, only
from harness_metrics import options
from harness_metrics.activation_norm import ActivationNorm
from harness_metrics.cka import Cka
from harness_metrics.cosine import Cosine
from harness_metrics.dead_share import DeadShare
from harness_metrics.explained_ratio import ExplainedRatio
from harness_metrics.fvu import Fvu
from harness_metrics.intersection_ratio import IntersectionRatio
from harness_metrics.kl import Kl
from harness_metrics.l0 import L0
from harness_metrics.l1_divergence import L1Divergence
from harness_metrics.latent_overlap import LatentOverlap

from .conftest import SITE, SmallSae

DOCUMENTS = 7
BUILT = {
    "fvu": Fvu(options.FvuOptions(variants=["pooled", "batch_mean"]), Target(SITE, "sae")),
    "l0": L0(options.L0Options(), Target(SITE, "sae")),
    "cosine": Cosine(options.CosineOptions(), Target(SITE, "sae")),
    "explained_ratio": ExplainedRatio(options.ExplainedRatioOptions(), Target(SITE, "sae")),
    "intersection_ratio": IntersectionRatio(
        options.IntersectionRatioOptions(), Target(SITE, "sae")
    ),
    "latent_overlap": LatentOverlap(options.LatentOverlapOptions(k=3), Target(SITE, "sae")),
    "l1_divergence": L1Divergence(options.L1DivergenceOptions(), Target(SITE, "sae")),
    "cka": Cka(options.CkaOptions(), Target(SITE)),
    "dead_share": DeadShare(options.DeadShareOptions(), Target(SITE, "sae")),
    "activation_norm": ActivationNorm(options.ActivationNormOptions(), Target(SITE)),
    "kl": Kl(options.KlOptions(variants=["next_token", "jensen_shannon"]), Target(SITE)),
}


@pytest.fixture(scope="module")
def whole():
    generator = torch.Generator().manual_seed(5)
    tokens = 90
    x = torch.randn(tokens, 6, generator=generator)
    y = x + 0.8 * torch.randn(tokens, 6, generator=generator)
    logits = tuple(torch.randn(tokens, 9, generator=generator) for _ in range(2))
    kept = (torch.cosine_similarity(x, y) < 0.9).nonzero().squeeze(1).tolist()
    document = torch.randint(0, DOCUMENTS, (tokens,), generator=generator).tolist()
    return array_batch(
        document, {SITE: x}, {SITE: y}, saes={"sae": SmallSae()}, selected=kept, logits=logits,
        documents=[f"document {i}" for i in range(DOCUMENTS)],
    )  # fmt: skip


def reduced(metric, parts):
    """Each part is a state, made of batches; the states are merged from the last to the first."""
    reduction = MetricReduction(metric, "pair", {})
    merged = reduction.start(Inputs())
    for batches in reversed(parts):
        state = reduction.start(Inputs())
        for batch in batches:
            state = reduction.update(state, batch)
        merged = reduction.merge(merged, state)
    return {record.id: record for record in reduction.finish(merged, Inputs()).records}


@pytest.mark.slow
@pytest.mark.parametrize("name", BUILT)
def test_any_split_and_merge(name, whole):
    metric = BUILT[name]
    expected = reduced(metric, [[whole]])

    @settings(max_examples=10, deadline=None)
    @given(st.permutations(range(DOCUMENTS)), st.lists(st.integers(0, 3), min_size=7, max_size=7))
    def law(order, part):
        parts = [
            [only(whole, [document]) for document in order if part[document] == number]
            for number in range(4)
        ]
        found = reduced(metric, parts)
        assert list(found) == list(expected)
        for id, record in expected.items():
            other = found[id]
            assert (other.n, other.clusters) == (record.n, record.clusters)
            assert math.isclose(other.value or 0, record.value or 0, rel_tol=1e-9, abs_tol=1e-12)

    law()


@pytest.mark.parametrize("name", ["intersection_ratio", "latent_overlap"])
def test_sums_as_wide_as_the_sae_have_no_draws(name, whole):
    metric = BUILT[name]
    reduction = MetricReduction(metric, "pair", {})
    state = reduction.update(reduction.start(Inputs()), whole)
    assert state["sum.total.left"].shape == (1, 20)
    assert state["sum.ratio"].shape == (1 + GROUPS,)
    wide = reduction.finish(state, Inputs()).records[-1]
    assert wide.value is not None
    assert wide.ci is None
    assert "as wide as the SAE" in wide.ci_why
