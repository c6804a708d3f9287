"""Projection onto and out of a subspace, against the pseudo-inverse in float64."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from harness.contract import ModelFacts
from harness.testing import check_intervention
from harness_interventions.ablation import limit
from harness_interventions.options import ProjectionOptions
from harness_interventions.projection import Projection


def projection(mode="out", strength=1.0):
    return Projection(ProjectionOptions(mode=mode, strength=strength))


def slow(x, vectors, mode, strength):
    """x + strength·(Px − x), P from the pseudo-inverse, token by token in float64."""
    onto = np.linalg.pinv(vectors) @ vectors
    p = onto if mode == "onto" else np.eye(len(onto)) - onto
    return np.stack([[t + strength * (p @ t - t) for t in row] for row in x])


@pytest.mark.parametrize("mode", ["out", "onto"])
@pytest.mark.parametrize("strength", [1.0, 0.5, -1.0, 2.0])
@pytest.mark.parametrize("rank", [1, 3, 15])
def test_it_is_the_slow_projection(make_direction, facts, applied, mode, strength, rank):
    direction = make_direction(rank)
    x = np.random.default_rng(1).normal(size=(2, 6, 16)).astype(np.float32)
    arm = projection(mode, strength).arm("a", direction, facts, "float32")
    expected = slow(x.astype(np.float64), direction.vectors, mode, strength)
    np.testing.assert_allclose(applied(arm, torch.tensor(x)).numpy(), expected, atol=5e-6)
    assert [str(edit.site) for edit in arm.edits] == ["resid_post.2"]


@pytest.mark.parametrize("rank", [1, 4])
def test_out_and_onto_add_up_to_all(make_direction, facts, applied, rank):
    x = torch.randn(2, 5, 16)
    out, onto = (
        applied(projection(mode).arm("a", make_direction(rank), facts, "float32"), x)
        for mode in ("out", "onto")
    )
    torch.testing.assert_close(out + onto, x, atol=1e-6, rtol=0)
    assert float((out * onto).sum(-1).abs().max()) < 1e-5


@pytest.mark.parametrize("mode", ["out", "onto"])
def test_twice_is_once(make_direction, facts, applied, mode):
    arm = projection(mode).arm("a", make_direction(3), facts, "float32")
    once = applied(arm, torch.randn(2, 5, 16))
    torch.testing.assert_close(applied(arm, once), once, atol=1e-6, rtol=0)


def test_only_the_span_matters(make_direction, facts, applied):
    direction = make_direction(3)
    mixed = np.array([[1.0, 2, 0], [0, -1e-3, 3], [5, 0, 1]]) @ direction.vectors
    x = torch.randn(2, 5, 16)
    one, other = (
        applied(projection().arm("a", given, facts, "float32"), x)
        for given in (direction, replace(direction, vectors=mixed))
    )
    torch.testing.assert_close(one, other, atol=2e-6, rtol=0)


@pytest.mark.parametrize("mode", ["out", "onto"])
@pytest.mark.parametrize("kind", [torch.float32, torch.float16, torch.bfloat16])
def test_the_promise_is_kept_in_every_dtype(make_direction, facts, applied, stacked, mode, kind):
    direction = make_direction(3)
    arm = projection(mode).arm("a", direction, facts, str(kind))
    (check,) = arm.checks
    assert (str(check.site), check.limit) == ("resid_pre.3", limit(str(kind)))
    along = torch.tensor(direction.vectors.sum(0), dtype=torch.float32)
    x = (torch.randn(2, 200, 16) + 30 * along).to(kind)  # most of x lies in the subspace
    parameters = stacked([check.parameters] * 2)
    assert float(check.measure(applied(arm, x), parameters).max()) < check.limit
    assert float(check.measure(torch.randn(2, 9, 16).to(kind), parameters).max()) > check.limit
    assert check.measure(torch.zeros(2, 1, 16), parameters).tolist() == [[0.0], [0.0]]


def test_only_full_strength_promises_and_only_where_a_block_follows(make_direction, facts):
    assert not projection(strength=0.9).arm("a", make_direction(), facts, "x").checks
    last = ModelFacts(layers=3, d_model=16)
    assert not projection().arm("a", make_direction(), last, "x").checks


@pytest.mark.parametrize("mode", ["out", "onto"])
@pytest.mark.parametrize("rank", [1, 3])
def test_laws(make_direction, facts, mode, rank):
    one, none = (projection(mode, strength) for strength in (1.0, 0.0))
    check_intervention(one, make_direction(rank), facts, identity=none)
