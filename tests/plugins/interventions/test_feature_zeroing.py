"""Features taken out, against dense latents in float64."""

import numpy as np
import pytest
import torch

from harness.contract import Direction, ModelFacts, SaeFacts, Site
from harness.contract.latents import Latents
from harness.errors import ModelError
from harness.testing import check_intervention
from harness_interventions import options
from harness_interventions.feature_zeroing import FeatureZeroing, Zeroing, zeroed

SITE, D, WIDTH = Site("resid_post", 2), 16, 24
FACTS = ModelFacts(layers=4, d_model=D)


class Sae:
    """ReLU(x W), with an input norm that is put back where `scaled`."""

    def __init__(self, scaled=False, **facts):
        generator = torch.Generator().manual_seed(0)
        self.facts = SaeFacts("small", D, WIDTH, SITE, **facts)
        self.fingerprint, self.notes = "small", ()
        self.w = torch.randn(D, WIDTH, generator=generator) / 4
        self.bias = torch.randn(D, generator=generator)
        self.scaled = scaled

    def encode(self, x):
        scale = x.norm(dim=1) if self.scaled else torch.ones(len(x))
        scale = torch.where(scale > 0, scale, 1)
        return Latents.from_dense(((x / scale[:, None]) @ self.w - 0.05).relu(), scale=scale)

    def reconstruct(self, latents):
        return (latents.dense() @ self.w.T + self.bias) * latents.context["scale"][:, None]

    def rows(self, indices):
        return self.w.T[indices]


def direction(features=(1, 5, 7)):
    vectors = np.random.default_rng(0).normal(size=(1, D))
    return Direction(SITE, vectors, sae="mid", features=features, weights=(1.0,) * len(features))


def slow(x, sae, features):
    """Token by token and feature by feature, in float64."""
    out, w = x.astype(np.float64), sae.w.double().numpy()
    for at in np.ndindex(x.shape[:2]):
        token = x[at].astype(np.float64)
        scale = np.linalg.norm(token) if sae.scaled else 1.0
        for j in features[at[0]]:
            z = max(0.0, token / scale @ w[:, j] - 0.05)
            out[at] -= scale * z * w[:, j]
    return out


@pytest.mark.parametrize("scaled", [False, True])
def test_it_is_the_slow_subtraction_row_by_row(scaled):
    sae, rng = Sae(scaled), np.random.default_rng(1)
    x = rng.normal(size=(3, 5, D)).astype(np.float32)
    features = [[0, 3, 9], [1, 2, 23], [5, 6, 7]]
    out = zeroed(torch.tensor(x), sae, torch.tensor(features))
    np.testing.assert_allclose(out.numpy(), slow(x, sae, features), atol=1e-5)


def test_the_error_and_the_other_features_stay():
    """On x that the SAE rebuilds exactly, the rest of the reconstruction is left."""
    sae = Sae()
    sae.w = torch.cat([torch.eye(D), -torch.eye(D)[:, : WIDTH - D]], dim=1)
    x = torch.randn(1, 40, D, generator=torch.Generator().manual_seed(2))
    out = zeroed(x, sae, torch.tensor([[2, 4]]))
    before, after = sae.encode(x[0]).dense(), sae.encode(out[0]).dense()
    others = [j for j in range(WIDTH) if j not in (2, 4)]
    assert torch.equal(after[:, others], before[:, others])
    assert float(after[:, [2, 4]].max()) < 1e-6
    error = x[0] - before @ sae.w.T
    kept = out[0] - (before * (torch.arange(WIDTH) != 2) * (torch.arange(WIDTH) != 4)) @ sae.w.T
    torch.testing.assert_close(kept, error)


@pytest.mark.parametrize("kind", [torch.float32, torch.bfloat16])
def test_positions_without_the_features_keep_every_bit(kind):
    sae = Sae()
    x = torch.randn(2, 30, D, generator=torch.Generator().manual_seed(3)).to(kind)
    x[0, 0] = -0.0
    out = zeroed(x, sae, torch.tensor([[4], [4]]))
    idle = sae.encode(x.reshape(-1, D).float()).dense()[:, 4].reshape(2, 30) == 0
    assert idle.any()
    assert not idle.all()
    integers = torch.int32 if kind == torch.float32 else torch.int16
    assert torch.equal(out[idle].view(integers), x[idle].view(integers))
    assert not torch.equal(out[~idle], x[~idle])


def test_laws():
    class OfThisSae:
        def arm(self, name, given, facts, dtype):
            return FeatureZeroing(options.FeatureZeroing()).arm(name, given, facts, dtype, sae)

    sae = Sae()
    check_intervention(OfThisSae(), direction(tuple(range(12))), FACTS)


def test_arms_of_one_sae_share_a_call():
    sae = Sae()
    assert Zeroing(sae) == Zeroing(sae)
    assert hash(Zeroing(sae)) == hash(Zeroing(sae))
    assert Zeroing(sae) != Zeroing(Sae())


@pytest.mark.parametrize(
    ("given", "sae", "message"),
    [
        (Direction(SITE, np.ones((1, D))), Sae(), "made of no SAE features"),
        (direction(), None, "made of no SAE features"),
        (direction(), Sae(needs_sequence=True), "needs whole sequences"),
        (direction(), Sae(site_out=Site("mlp_out", 2)), "writes elsewhere"),
    ],
)
def test_what_cannot_be_zeroed_is_refused(given, sae, message):
    with pytest.raises(ModelError, match=message):
        FeatureZeroing(options.FeatureZeroing()).arm("a", given, FACTS, "float32", sae)
