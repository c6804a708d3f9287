from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings, strategies as st
from hypothesis.extra.numpy import arrays

from harness.contract import ModelFacts, Site
from harness.errors import ModelError
from harness.testing import check_intervention
from harness_interventions import options
from harness_interventions.addition import Addition, add


def addition(coefficient=1.0, scale="as_fitted"):
    return Addition(options.AdditionOptions(coefficient=coefficient, scale=scale))


def applied(arm, x):
    (edit,) = arm.edits
    return edit.apply(x, {name: torch.stack([t] * len(x)) for name, t in edit.parameters.items()})


@pytest.mark.parametrize("coefficient", [1.0, -2.5, 0.1])
def test_it_is_the_slow_sum(make_direction, facts, coefficient):
    direction, rng = make_direction(), np.random.default_rng(0)
    x = rng.normal(size=(3, 4, 16)).astype(np.float32)
    expected = np.array(
        [
            [[token[i] + coefficient * direction.vectors[0, i] for i in range(16)] for token in row]
            for row in x.astype(np.float64)
        ]
    )
    arm = addition(coefficient).arm("a", direction, facts, "float32")
    np.testing.assert_allclose(applied(arm, torch.tensor(x)).numpy(), expected, atol=2e-6)
    assert [str(edit.site) for edit in arm.edits] == ["resid_post.2"]
    assert arm.checks == ()
    assert not arm.idle


def test_laws(make_direction, facts):
    for scale in ("as_fitted", "reference"):
        check_intervention(
            addition(-1.5, scale),
            make_direction(reference_norm=2.0),
            facts,
            identity=addition(0.0, scale),
        )


@pytest.mark.slow
@settings(max_examples=100, deadline=None)
@given(bits=arrays(np.uint16, (1, 3, 16)), kind=st.sampled_from([torch.float16, torch.bfloat16]))
def test_coefficient_zero_keeps_every_bit(make_direction, facts, bits, kind):
    x = torch.from_numpy(bits.view(np.int16)).view(kind)
    x = x.where(~x.isnan(), -0.0)  # a NaN's payload is nobody's
    arm = addition(0.0).arm("a", make_direction(), facts, "bfloat16")
    assert arm.idle
    assert torch.equal(applied(arm, x).view(torch.int16), x.view(torch.int16))
    wide = x.float()
    assert torch.equal(applied(arm, wide).view(torch.int32), wide.view(torch.int32))


def test_reference_is_the_length_of_what_it_rebuilds(make_direction, facts):
    direction = make_direction(reference_norm=7.0)
    x = torch.zeros(1, 1, 16)
    fitted = applied(addition(2).arm("a", direction, facts, "float32"), x)
    rescaled = applied(addition(2, "reference").arm("a", direction, facts, "float32"), x)
    assert float(fitted.norm()) == pytest.approx(2 * np.linalg.norm(direction.vectors), rel=1e-6)
    assert float(rescaled.norm()) == pytest.approx(14, rel=1e-6)
    cosine = torch.nn.functional.cosine_similarity(fitted, rescaled, dim=-1)
    assert float(cosine) == pytest.approx(1)


def test_low_precision_is_rounded_once(make_direction, facts):
    direction = make_direction()
    x = torch.randn(2, 3, 16).bfloat16()
    arm = addition(0.3).arm("a", direction, facts, "bfloat16")
    vector = torch.tensor(0.3 * direction.vectors[0], dtype=torch.float32)
    assert torch.equal(applied(arm, x), (x.float() + vector).bfloat16())


def test_arms_of_several_strengths_share_one_call(make_direction, facts, stacked):
    arms = [addition(c).arm(f"{c}", make_direction(), facts, "float32") for c in (0, 1, -3)]
    assert len({edit.apply for arm in arms for edit in arm.edits}) == 1
    x = torch.randn(3, 4, 16)
    together = add(x, stacked([arm.edits[0].parameters for arm in arms]))
    for i, arm in enumerate(arms):
        assert torch.equal(together[i : i + 1], applied(arm, x[i : i + 1]))


def test_it_adds_at_any_kind_of_site(make_direction, facts):
    arm = addition().arm("a", make_direction(site="mlp_out"), facts, "float32")
    assert arm.edits[0].site == Site("mlp_out", 2)


def test_a_fraction_of_depth_becomes_a_block(make_direction, facts):
    direction = replace(make_direction(), site=Site("resid_post", None, 0.5))
    assert addition().arm("a", direction, facts, "float32").edits[0].site == Site("resid_post", 2)
    with pytest.raises(ModelError, match="how many blocks"):
        addition().arm("a", direction, ModelFacts(), "float32")


def test_what_makes_no_sense_is_refused(make_direction, facts):
    with pytest.raises(ModelError, match="2 vectors"):
        addition().arm("a", make_direction(rank=2), facts, "float32")
    with pytest.raises(ModelError, match="Write scale = 'as_fitted'"):
        addition(scale="reference").arm("a", make_direction(), facts, "float32")
    with pytest.raises(ModelError, match="7 numbers"):
        addition().arm("a", make_direction(d=7), facts, "float32")
    with pytest.raises(ValueError, match="finite"):
        options.AdditionOptions(coefficient=float("inf"))
