from dataclasses import replace

import numpy as np
import pytest
import torch

from harness.contract import Direction, Site
from harness.errors import ModelError
from harness.testing import check_intervention
from harness_interventions import options
from harness_interventions.pc_injection import PcInjection


def injection(alpha=1.0):
    return PcInjection(options.PcInjection(alpha=alpha))


def applied(arm, x):
    (edit,) = arm.edits
    return edit.apply(x, {name: torch.stack([t] * len(x)) for name, t in edit.parameters.items()})


@pytest.mark.parametrize("alpha", [1.0, -2.0, 0.25])
@pytest.mark.parametrize("rank", [1, 3])
def test_it_adds_every_component_at_its_length(make_direction, facts, alpha, rank):
    direction = make_direction(rank)
    x = np.random.default_rng(1).normal(size=(2, 3, 16)).astype(np.float32)
    expected = x.astype(np.float64)
    for vector in direction.vectors:
        length = np.linalg.norm(vector)
        expected = expected + alpha * length * (vector / length)
    arm = injection(alpha).arm("a", direction, facts, "float32")
    np.testing.assert_allclose(applied(arm, torch.tensor(x)).numpy(), expected, atol=5e-6)
    assert [str(edit.site) for edit in arm.edits] == ["resid_post.2"]
    assert not arm.idle


@pytest.mark.parametrize("rank", [1, 4])
def test_laws(make_direction, facts, rank):
    """Among them: alpha 0 changes no bit."""
    check_intervention(injection(0.5), make_direction(rank), facts, identity=injection(0.0))


def test_a_direction_of_length_zero_is_refused(make_direction, facts):
    nothing = replace(make_direction(), vectors=np.zeros((1, 16)))
    with pytest.raises(ModelError, match="length 0"):
        injection().arm("a", nothing, facts, "float32")


# ── Each token its own change ──


def moved(x, tuned, direction, facts, alpha=1.0):
    given = PcInjection(options.PcInjection(alpha=alpha, tuned="chat"))
    arms = given.arms("a", direction, facts, "float32", tuned)
    assert len(arms) == len(x)
    edits = [arm.edits[0] for arm in arms]
    names = edits[0].parameters
    stacked = {name: torch.stack([edit.parameters[name] for edit in edits]) for name in names}
    assert {edit.apply for edit in edits} == {edits[0].apply}
    return edits[0].apply(x, stacked)


@pytest.fixture
def pair():
    generator = torch.Generator().manual_seed(0)
    return [torch.randn(3, 5, 16, generator=generator) for _ in range(2)]


def stack(rank):
    basis = np.linalg.qr(np.random.default_rng(2).normal(size=(16, 16)))[0][:rank]
    return Direction(Site("resid_post", 2), np.linspace(3, 0.1, rank)[:, None] * basis)


@pytest.mark.parametrize("alpha", [1.0, -0.5])
@pytest.mark.parametrize("rank", [1, 4])
def test_each_token_moves_by_its_own_change(pair, facts, rank, alpha):
    x, tuned = pair
    direction = stack(rank)
    expected = x.double().numpy()
    delta = (tuned - x).double().numpy()
    for vector in direction.vectors:
        unit = vector / np.linalg.norm(vector)
        expected = expected + alpha * (delta @ unit)[..., None] * unit
    out = moved(x, tuned, direction, facts, alpha)
    np.testing.assert_allclose(out.numpy(), expected, atol=2e-6)


def test_all_components_give_the_tuned_activations(pair, facts):
    x, tuned = pair
    torch.testing.assert_close(moved(x, tuned, stack(16), facts), tuned, atol=5e-6, rtol=1e-5)


@pytest.mark.parametrize("kind", [torch.float32, torch.bfloat16])
def test_nothing_to_move_keeps_every_bit(pair, facts, kind):
    x, tuned = (side.to(kind) for side in pair)
    x[0, 0] = -0.0
    integers = torch.int32 if kind == torch.float32 else torch.int16
    for out in (moved(x, tuned, stack(3), facts, 0.0), moved(x, x, stack(3), facts)):
        assert out.dtype == kind
        assert torch.equal(out.view(integers), x.view(integers))


def test_it_says_whose_activations_it_needs():
    assert options.PcInjection(tuned="chat").beside() == "chat"
    assert options.PcInjection().beside() is None
