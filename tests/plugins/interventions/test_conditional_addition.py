"""Steering with a gate, against float64 token by token."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from harness.errors import ModelError
from harness.testing import check_intervention
from harness_interventions.addition import Addition
from harness_interventions.conditional_addition import AddingWhere, ConditionalAddition
from harness_interventions.options import AdditionOptions, ConditionalAdditionOptions

GATE = (1, 5, 7)


def steering(**given):
    return ConditionalAddition(ConditionalAdditionOptions(**given))


def bits(x):
    return x.view(torch.int32 if x.dtype == torch.float32 else torch.int16)


def slow(x, sae, latents, threshold, vector):
    """Token by token and latent by latent, in float64; also where the gate was open."""
    out, opened = x.astype(np.float64), np.zeros(x.shape[:2], bool)
    for at in np.ndindex(x.shape[:2]):
        if any(sae.slow(x[at], j)[0] > threshold for j in latents):
            out[at] += vector
            opened[at] = True
    return out, opened


@pytest.mark.parametrize("scaled", [False, True])
@pytest.mark.parametrize("threshold", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("latents", [(4,), GATE])
def test_it_adds_exactly_where_a_latent_is_above(
    make_sae, make_direction, facts, applied, scaled, threshold, latents
):
    sae, direction = make_sae(scaled), make_direction()
    x = np.random.default_rng(1).normal(size=(3, 40, 16)).astype(np.float32)
    given = steering(coefficient=-0.5, sae="s", latents=latents, threshold=threshold)
    arm = given.arm("a", direction, facts, "float32", sae)
    expected, opened = slow(x, sae, latents, threshold, -0.5 * direction.vectors[0])
    out = applied(arm, torch.tensor(x)).numpy()
    np.testing.assert_allclose(out, expected, atol=2e-6)
    assert np.array_equal((out != x).any(-1), opened)
    if not (scaled and threshold == 1.0):  # no latent of a unit vector is that large here
        assert 0 < opened.mean() < 1
    assert arm.gated
    assert not arm.idle


@pytest.mark.parametrize("kind", [torch.float32, torch.float16, torch.bfloat16])
def test_a_closed_gate_keeps_every_bit_and_an_open_one_is_addition(
    make_sae, make_direction, facts, applied, kind
):
    direction = replace(make_direction(), features=GATE, sae="s", weights=(1.0,) * 3)
    x = torch.randn(2, 50, 16, generator=torch.Generator().manual_seed(0)).to(kind)
    x[0, 0], x[1, 3] = -0.0, 0.0
    never, always = (
        applied(steering(threshold=t).arm("a", direction, facts, "x", make_sae()), x)
        for t in (1e30, -1.0)
    )
    assert torch.equal(bits(never), bits(x))
    plain = applied(Addition(AdditionOptions()).arm("a", direction, facts, "x"), x)
    assert torch.equal(bits(always), bits(plain))


def test_without_named_latents_the_features_of_the_direction_open_the_gate(
    make_sae, make_direction, facts, applied
):
    own = replace(make_direction(), features=GATE, sae="s", weights=(1.0,) * 3)
    sae, x = make_sae(), torch.randn(2, 30, 16)
    one = applied(steering().arm("a", own, facts, "float32", sae), x)
    named = steering(sae="s", latents=GATE)
    other = applied(named.arm("a", make_direction(), facts, "float32", sae), x)
    assert torch.equal(one, other)


@pytest.mark.parametrize("scale", ["as_fitted", "reference"])
def test_laws(make_sae, make_direction, facts, scale):
    def made(threshold, coefficient=2.0):
        options = {"threshold": threshold, "coefficient": coefficient, "scale": scale}
        return steering(**options, sae="s", latents=(0, 3, 8, 9, 20))

    check_intervention(
        made(0.2),
        make_direction(reference_norm=3.0),
        facts,
        identity=made(0.2, 0.0),
        sae=make_sae(),
        closed=made(1e30),
        opened=(made(-1.0), Addition(AdditionOptions(coefficient=2.0, scale=scale))),
    )


def test_order_and_size_of_a_batch_do_not_matter(make_sae, make_direction, facts, applied):
    arm = steering(sae="s", latents=GATE).arm("a", make_direction(), facts, "x", make_sae())
    x = torch.randn(8, 12, 16, generator=torch.Generator().manual_seed(4))
    whole = applied(arm, x)
    order = torch.randperm(8, generator=torch.Generator().manual_seed(5))
    torch.testing.assert_close(applied(arm, x[order]), whole[order], rtol=0, atol=1e-6)
    for row in range(8):
        torch.testing.assert_close(applied(arm, x[row : row + 1])[0], whole[row])
        padded = torch.cat([torch.randn(1, 5, 16), x[row : row + 1]], 1)
        torch.testing.assert_close(applied(arm, padded)[0, 5:], whole[row])


def test_rows_have_gates_and_thresholds_of_their_own(make_sae, make_direction, facts):
    sae, x = make_sae(), np.random.default_rng(2).normal(size=(2, 30, 16)).astype(np.float32)
    direction = make_direction()
    gates = [((1, 2), 0.1), ((9, 20), 0.6)]
    edits = [
        steering(sae="s", latents=latents, threshold=t)
        .arm("a", direction, facts, "float32", sae)
        .edits[0]
        for latents, t in gates
    ]
    assert edits[0].apply == edits[1].apply  # so they share a call
    names = edits[0].parameters
    together = {name: torch.stack([edit.parameters[name] for edit in edits]) for name in names}
    out = edits[0].apply(torch.tensor(x), together).numpy()
    for row, (latents, threshold) in enumerate(gates):
        only = x[row : row + 1]
        expected, _ = slow(only, sae, latents, threshold, direction.vectors[0])
        np.testing.assert_allclose(out[row : row + 1], expected, atol=2e-6)


def test_the_sae_is_held_and_not_copied(make_sae, make_direction, facts):
    sae = make_sae()
    arms = [
        steering(sae="s", latents=GATE).arm("a", make_direction(seed=n), facts, "x", sae)
        for n in range(3)
    ]
    assert {edit.apply for arm in arms for edit in arm.edits} == {AddingWhere(sae)}
    assert all(edit.apply.sae is sae for arm in arms for edit in arm.edits)
    sizes = [p.numel() for arm in arms for edit in arm.edits for p in edit.parameters.values()]
    assert max(sizes) == 16  # the vector; no matrix of the SAE is a parameter


def test_what_makes_no_gate_is_refused(make_sae, make_direction, facts):
    def arm(loaded, **given):
        return steering(**given).arm("a", make_direction(), facts, "float32", loaded)

    with pytest.raises(ModelError, match=r"no latent to look at\. Allowed:"):
        arm(None)
    with pytest.raises(ModelError, match=r"no latent to look at\. Allowed:"):
        arm(make_sae())
    with pytest.raises(ModelError, match=r"no latent 24\. Allowed: 0 to 23"):
        arm(make_sae(), sae="s", latents=(3, 24))
    with pytest.raises(ModelError, match="needs whole sequences"):
        arm(make_sae(needs_sequence=True), sae="s", latents=GATE)
    with pytest.raises(ValidationError, match="sae needs latents"):
        steering(sae="s")
    with pytest.raises(ValidationError):
        steering(sae="s", latents=(-1,))


def test_it_names_the_sae_of_its_gate():
    assert ConditionalAdditionOptions(sae="mid", latents=(3,)).own_sae() == "mid"
    assert ConditionalAdditionOptions().own_sae() is None
