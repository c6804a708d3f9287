"""The decoder's difference against reconstructions and against sums over latents, by hand."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from harness.contract import Inputs, ModelFacts, Site, Undefined
from harness.testing import array_batch, check_direction, small_sae
from harness_directions.concepts.decoder_difference import DecoderDifference
from harness_directions.concepts.options import DecoderDifferenceOptions

SITE = Site("resid_post", 1)
D, WIDTH = 8, 32


class Scaled:
    """An SAE that divides each token by its length and puts it back, as some formats do."""

    def __init__(self, inner):
        self.inner, self.facts, self.notes = inner, inner.facts, ()
        self.fingerprint = "scaled"

    def encode(self, x):
        scale = x.norm(dim=1)
        latents = self.inner.encode(x / scale[:, None])
        return replace(latents, context={**latents.context, "scale": scale})

    def reconstruct(self, latents):
        return self.inner.reconstruct(latents) * latents.context["scale"][:, None]

    def rows(self, indices):
        return self.inner.rows(indices)


def batches(sae, seed=0, shift=1.0, stretch=1.0):
    out = []
    rng = np.random.default_rng(seed)
    for number, stream in enumerate(("positive", "negative", "positive", "negative")):
        x = rng.normal(size=(7, D))
        if stream == "positive":
            x = stretch * (x + shift * np.eye(D)[0])
        x = torch.tensor(x, dtype=torch.float32)
        batch = array_batch(
            [0, 0, 1, 2, 2, 2, 3], {SITE: x}, saes={"sae": sae}, selected=[0, 2, 3, 4, 6],
            documents=[f"{number}-{i}" for i in range(4)],
        )  # fmt: skip
        out.append(replace(batch, stream=stream))
    return out


def finder(**more):
    given = {"view": "chat", "sae": "sae", "positive": "a", "negative": "b", "tokens": "all"}
    return DecoderDifference(DecoderDifferenceOptions(**given | more))


def inputs(sae):
    facts = {"chat": ModelFacts(layers=4, d_model=D)}
    return Inputs(saes={"sae": sae}, sae_sites={"sae": SITE}, facts=facts)


def of(run, sae, read, **more):
    (found,) = run(finder(**more), read, inputs(sae)).directions
    return found.direction, {record.id: record for record in found.records}


def means(read, what):
    """By set: the mean over its tokens, in float64."""
    sets = [[what(batch) for batch in read if batch.stream == s] for s in ("positive", "negative")]
    return [torch.cat(one).double().mean(0).numpy() for one in sets]


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("scaled", [False, True])
def test_of_all_latents_it_is_the_difference_of_reconstructions(run, seed, scaled):
    sae = small_sae(D, WIDTH, SITE)
    sae = Scaled(sae) if scaled else sae
    read = batches(sae, seed)
    direction, records = of(run, sae, read)

    def decoded(batch):
        bias = sae.reconstruct(replace(
            batch.left.latents("sae"), values=0 * batch.left.latents("sae").values
        ))  # fmt: skip
        return batch.left.reconstruction("sae") - bias

    positive, negative = means(read, decoded)
    np.testing.assert_allclose(direction.vectors[0], positive - negative, atol=2e-6)
    if not scaled:  # what is added to every token cancels
        positive, negative = means(read, lambda batch: batch.left.reconstruction("sae"))
        np.testing.assert_allclose(direction.vectors[0], positive - negative, atol=2e-6)
    assert records["direction.norm@1"].value == pytest.approx(np.linalg.norm(direction.vectors))
    assert direction.site == SITE


@pytest.mark.parametrize("k", [1, 5, 20])
def test_of_k_latents_it_is_the_sum_of_the_longest_parts(run, k):
    sae = small_sae(D, WIDTH, SITE)
    read = batches(sae)
    positive, negative = means(read, lambda batch: batch.left.latents("sae").dense())
    rows = sae.rows(torch.arange(WIDTH)).double().numpy()
    parts = (positive - negative)[:, None] * rows
    sizes = np.linalg.norm(parts, axis=1)
    order = sorted(range(WIDTH), key=lambda j: (-sizes[j], j))
    direction, records = of(run, sae, read, k=k)
    assert direction.features == tuple(order[:k])
    np.testing.assert_allclose(direction.vectors[0], parts[order[:k]].sum(0), atol=1e-10)
    np.testing.assert_allclose(direction.weights, (positive - negative)[order[:k]], atol=1e-12)
    assert min(direction.weights) < 0 or k == 1
    whole = parts.sum(0)
    share = np.square(direction.vectors).sum() / (whole @ whole)
    assert records["decoder_difference.share@1"].value == pytest.approx(share)
    cosine = (
        direction.vectors[0] @ whole / np.linalg.norm(whole) / np.linalg.norm(direction.vectors)
    )
    assert records["decoder_difference.cosine@1"].value == pytest.approx(cosine)
    half = next(
        n for n in range(1, WIDTH + 1) if (sizes[order[:n]] ** 2).sum() >= (sizes**2).sum() / 2
    )
    assert records["decoder_difference.half@1"].value == half
    assert records["direction.norm@1"].axes["k"] == k


def test_a_longer_unit_of_a_latent_changes_nothing(run):
    """Latents are chosen by what they put into the direction, not by their own unit."""

    class Other:
        def __init__(self, inner, by):
            self.inner, self.by, self.facts, self.notes = inner, by, inner.facts, ()
            self.fingerprint = "other"

        def encode(self, x):
            latents = self.inner.encode(x)
            return replace(latents, values=latents.values * self.by[latents.indices])

        def reconstruct(self, latents):
            return self.inner.reconstruct(
                replace(latents, values=latents.values / self.by[latents.indices])
            )

        def rows(self, indices):
            return self.inner.rows(indices) / self.by[indices][:, None]

    sae = small_sae(D, WIDTH, SITE)
    other = Other(sae, torch.tensor(np.random.default_rng(0).choice([0.25, 1, 8], WIDTH)).float())
    one, _ = of(run, sae, batches(sae), k=6)
    two, _ = of(run, other, batches(other), k=6)
    assert one.features == two.features
    np.testing.assert_allclose(one.vectors, two.vectors, atol=1e-6)


def test_k_latents_of_an_sae_that_scales_tokens_are_undefined(run):
    sae = Scaled(small_sae(D, WIDTH, SITE))
    direction, records = of(run, sae, batches(sae, stretch=3.0), k=4)
    assert "scales each token" in direction.reason
    assert records["direction.norm@1"].undefined == direction.reason


def test_equal_sets_say_that_no_latent_differs(run):
    sae = small_sae(D, WIDTH, SITE)
    one = [batch for batch in batches(sae) if batch.stream == "positive"]
    read = [*one, *(replace(batch, stream="negative") for batch in one[::-1])]
    for k in (None, 3):
        direction, records = of(run, sae, read, k=k)
        assert direction == Undefined("no latent has another mean in one set than in the other")
        assert all(record.value is None for record in records.values())
    assert "positive data" in of(run, sae, [])[0].reason
    assert "negative data" in of(run, sae, one)[0].reason


@pytest.mark.parametrize("k", [None, 3])
def test_laws(k):
    sae = small_sae(D, WIDTH, SITE)
    check_direction(finder(k=k), batches(sae), inputs(sae), tolerance=1e-6)
