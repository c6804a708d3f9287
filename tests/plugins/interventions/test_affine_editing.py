"""Affine concept editing, against float64 token by token."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from harness.contract import ModelFacts
from harness.errors import ModelError
from harness.testing import check_intervention
from harness_interventions.ablation import limit, project_out
from harness_interventions.affine_editing import AffineEditing, distance, set_along
from harness_interventions.options import AffineEditingOptions


@pytest.fixture
def placed(make_direction):
    def make(seed=0, **given):
        origin = 3 * np.random.default_rng(seed + 100).normal(size=16)
        return replace(make_direction(seed=seed), origin=origin, **given)

    return make


def editing(coefficient=0.0, scale="as_fitted"):
    return AffineEditing(AffineEditingOptions(coefficient=coefficient, scale=scale))


def slow(x, direction, coefficient):
    """x − proj_r(x) + proj_r(o) + α r, token by token in float64."""
    r, o = direction.vectors[0], direction.origin
    onto = np.outer(r, r) / (r @ r)
    return np.stack([[t - onto @ t + onto @ o + coefficient * r for t in row] for row in x])


@pytest.mark.parametrize("coefficient", [0.0, 1.0, -2.5])
@pytest.mark.parametrize("seed", range(3))
def test_it_is_the_slow_formula(placed, facts, applied, coefficient, seed):
    direction = placed(seed)
    x = np.random.default_rng(seed).normal(size=(3, 5, 16)).astype(np.float32)
    arm = editing(coefficient).arm("a", direction, facts, "float32")
    expected = slow(x.astype(np.float64), direction, coefficient)
    np.testing.assert_allclose(applied(arm, torch.tensor(x)).numpy(), expected, atol=2e-5)
    assert [str(edit.site) for edit in arm.edits] == ["resid_post.2"]


def test_planted_means_are_reached(placed, facts, applied):
    """Tokens with and without a concept: 0 gives both the mean without it, 1 that with it."""
    rng = np.random.default_rng(0)
    direction = placed()
    r, without = direction.vectors[0], direction.origin
    noise = rng.normal(size=(2, 500, 16))
    noise -= noise.mean(1, keepdims=True)
    x = torch.tensor(noise + np.stack([without, without + r])[:, None], dtype=torch.float32)
    unit = r / np.linalg.norm(r)
    for coefficient, mean in ((0.0, without), (1.0, without + r)):
        out = applied(editing(coefficient).arm("a", direction, facts, "float32"), x).double()
        along = out.numpy() @ unit
        np.testing.assert_allclose(along, np.full((2, 500), mean @ unit), atol=1e-4)
        # What is not along r stays as it was.
        rest = (out - x.double()).numpy()
        np.testing.assert_allclose(rest - (rest @ unit)[..., None] * unit, 0, atol=1e-5)


def test_with_the_origin_at_zero_it_is_ablation_at_one_site(placed, facts, applied):
    direction = replace(placed(), origin=np.zeros(16))
    x = torch.randn(2, 5, 16)
    unit = direction.vectors / np.linalg.norm(direction.vectors)
    basis = {"basis": torch.tensor(unit, dtype=torch.float32).expand(2, 1, 16)}
    out = applied(editing().arm("a", direction, facts, "float32"), x)
    torch.testing.assert_close(out, project_out(x, basis), atol=1e-6, rtol=0)


def test_twice_is_once(placed, facts, applied):
    arm = editing(0.7).arm("a", placed(), facts, "float32")
    once = applied(arm, torch.randn(2, 5, 16))
    torch.testing.assert_close(applied(arm, once), once, atol=2e-6, rtol=0)


def test_the_length_of_what_it_rebuilds(placed, facts, applied):
    direction = placed(reference_norm=40.0)
    unit = direction.vectors[0] / np.linalg.norm(direction.vectors[0])
    x = torch.randn(1, 4, 16)
    out = applied(editing(2.0, "reference").arm("a", direction, facts, "float32"), x)
    expected = direction.origin @ unit + 80.0
    np.testing.assert_allclose(out.double().numpy() @ unit, np.full((1, 4), expected), rtol=1e-5)


def test_the_promise_is_measured_where_the_next_block_reads(placed, facts):
    (check,) = editing().arm("a", placed(), facts, "bfloat16").checks
    assert (str(check.site), check.limit) == ("resid_pre.3", limit("bfloat16"))
    assert not editing().arm("a", placed(), ModelFacts(layers=3, d_model=16), "x").checks


@pytest.mark.parametrize("kind", [torch.float32, torch.float16, torch.bfloat16])
def test_the_promise_is_kept_in_every_dtype(placed, facts, stacked, kind):
    arm = editing(1.0).arm("a", placed(), facts, str(kind))
    parameters = stacked([arm.edits[0].parameters] * 2)
    x = torch.randn(2, 200, 16)
    x[:, 0, 3] = 2000  # a massive activation
    out = set_along(x.to(kind), parameters)
    assert float(distance(out, parameters).max()) < arm.checks[0].limit / 2
    assert float(distance(x.to(kind), parameters).max()) > arm.checks[0].limit
    assert distance(torch.zeros(2, 1, 16), parameters).tolist() == [[0.0], [0.0]]


@pytest.mark.parametrize("coefficient", [0.0, 1.5])
def test_laws(placed, facts, coefficient):
    check_intervention(editing(coefficient), placed(), facts)


def test_what_does_not_fit_is_refused(make_direction, placed, facts):
    with pytest.raises(ModelError, match=r"needs a reference point.*Allowed: difference_in_means"):
        editing().arm("a", make_direction(), facts, "float32")
    two = replace(make_direction(2), origin=np.zeros(16))
    with pytest.raises(ModelError, match="has 2 vectors"):
        editing().arm("a", two, facts, "float32")
    with pytest.raises(ModelError, match="scale = 'reference' needs the length"):
        editing(scale="reference").arm("a", placed(), facts, "float32")
