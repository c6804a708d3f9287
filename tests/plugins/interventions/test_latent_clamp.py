"""Latents held at a value, against float64 token by token."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from harness.errors import ModelError
from harness.testing import check_intervention
from harness_interventions.feature_zeroing import FeatureZeroing
from harness_interventions.latent_clamp import Clamping, LatentClamp
from harness_interventions.options import FeatureZeroingOptions, LatentClampOptions


@pytest.fixture
def made_of(make_direction):
    def make(*features):
        given = {"features": features, "sae": "s", "weights": (1.0,) * len(features)}
        return replace(make_direction(), **given)

    return make


def clamp(**given):
    return LatentClamp(LatentClampOptions(**given))


def slow(x, sae, features, value, where, strength):
    """x + strength·Σ (value − z_j) d_j, token by token and latent by latent."""
    out = x.astype(np.float64)
    for at in np.ndindex(x.shape[:2]):
        for j in features:
            z, row = sae.slow(x[at], j)
            if where == "everywhere" or z != 0:
                out[at] += strength * (value - z) * row
    return out


@pytest.mark.parametrize("scaled", [False, True])
@pytest.mark.parametrize("where", ["everywhere", "active"])
@pytest.mark.parametrize(("value", "strength"), [(2.0, 1.0), (-1.0, 0.5), (0.0, 1.0)])
@pytest.mark.parametrize("features", [(4,), (1, 5, 7)])
def test_it_is_the_slow_sum(
    make_sae, made_of, facts, applied, scaled, where, value, strength, features
):
    sae = make_sae(scaled)
    x = np.random.default_rng(1).normal(size=(3, 20, 16)).astype(np.float32)
    given = clamp(value=value, where=where, strength=strength)
    arm = given.arm("a", made_of(*features), facts, "float32", sae)
    out = applied(arm, torch.tensor(x)).numpy()
    np.testing.assert_allclose(out, slow(x, sae, features, value, where, strength), atol=2e-5)
    assert arm.gated == (where == "active" or value == 0)


def test_the_error_and_the_other_latents_stay_and_the_latent_has_the_value(
    make_sae, made_of, facts, applied
):
    """On an SAE whose encoder undoes its decoder."""
    sae = make_sae()
    sae.w = torch.cat([torch.eye(16), torch.zeros(16, 8)], dim=1)  # z_j = ReLU(x_j − 0.05)
    x = torch.randn(1, 40, 16, generator=torch.Generator().manual_seed(2))
    out = applied(clamp(value=3.0).arm("a", made_of(2, 4), facts, "float32", sae), x)
    before, after = sae.encode(x[0]).dense(), sae.encode(out[0]).dense()
    others = [j for j in range(24) if j not in (2, 4)]
    assert torch.equal(after[:, others], before[:, others])
    error = x[0] - before @ sae.w.T
    held = before.clone()
    held[:, [2, 4]] = 3.0
    torch.testing.assert_close(out[0], held @ sae.w.T + error)  # x̂(z with z_j = 3) + (x − x̂)
    active = before[:, [2, 4]] > 0
    torch.testing.assert_close(after[:, [2, 4]][active], torch.full((int(active.sum()),), 3.0))


@pytest.mark.parametrize("where", ["everywhere", "active"])
@pytest.mark.parametrize("kind", [torch.float32, torch.bfloat16])
def test_the_value_zero_is_feature_zeroing(make_sae, made_of, facts, applied, where, kind):
    sae, direction = make_sae(), made_of(1, 5, 7)
    x = torch.randn(3, 20, 16, generator=torch.Generator().manual_seed(3)).to(kind)
    ours = applied(clamp(value=0.0, where=where).arm("a", direction, facts, "x", sae), x)
    zeroing = FeatureZeroing(FeatureZeroingOptions())
    theirs = applied(zeroing.arm("a", direction, facts, "x", sae), x)
    torch.testing.assert_close(ours, theirs)
    integers = torch.int32 if kind == torch.float32 else torch.int16
    idle = (theirs.view(integers) == x.view(integers)).all(-1)
    assert torch.equal(ours[idle].view(integers), x[idle].view(integers))


def test_where_active_leaves_every_other_token_as_it_is(make_sae, made_of, facts, applied):
    sae = make_sae()
    x = torch.randn(2, 30, 16, generator=torch.Generator().manual_seed(3))
    x[0, 0] = -0.0
    out = applied(clamp(value=9.0, where="active").arm("a", made_of(4), facts, "x", sae), x)
    off = sae.encode(x.reshape(-1, 16)).dense()[:, 4].reshape(2, 30) == 0
    assert 0 < off.float().mean() < 1
    assert torch.equal(out[off].view(torch.int32), x[off].view(torch.int32))
    assert (out[~off] != x[~off]).any(-1).all()


@pytest.mark.parametrize("where", ["everywhere", "active"])
@pytest.mark.parametrize("scaled", [False, True])
def test_laws(make_sae, made_of, facts, where, scaled):
    one, none = (clamp(value=2.0, where=where, strength=s) for s in (1.0, 0.0))
    direction = made_of(*range(0, 24, 2))
    check_intervention(one, direction, facts, identity=none, sae=make_sae(scaled))


def test_clamps_of_one_sae_share_a_call(make_sae, made_of, facts):
    sae = make_sae()
    arms = [
        clamp(value=v, where=w).arm("a", made_of(j), facts, "float32", sae)
        for v, w, j in ((1.0, "active", 3), (2.0, "everywhere", 5))
    ]
    assert {edit.apply for arm in arms for edit in arm.edits} == {Clamping(sae)}
    x = torch.randn(2, 20, 16)
    parameters = [arm.edits[0].parameters for arm in arms]
    together = {name: torch.stack([p[name] for p in parameters]) for name in parameters[0]}
    out = Clamping(sae)(x, together)
    for row, arm in enumerate(arms):
        alone = {name: tensor[None] for name, tensor in arm.edits[0].parameters.items()}
        torch.testing.assert_close(out[row : row + 1], Clamping(sae)(x[row : row + 1], alone))


def test_what_cannot_be_held_is_refused(make_sae, make_direction, made_of, facts):
    with pytest.raises(ModelError, match="made of no SAE features"):
        clamp(value=1.0).arm("a", make_direction(), facts, "float32", make_sae())
    with pytest.raises(ModelError, match=r"no latent 99\. Allowed: 0 to 23"):
        clamp(value=1.0).arm("a", made_of(99), facts, "float32", make_sae())
    sae = make_sae(site_out=replace(make_direction().site, layer=3))
    with pytest.raises(ModelError, match="writes elsewhere"):
        clamp(value=1.0).arm("a", made_of(4), facts, "float32", sae)
