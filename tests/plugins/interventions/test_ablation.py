from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings, strategies as st

from harness.contract import Direction, ModelFacts, Site
from harness.errors import ModelError
from harness.testing import check_intervention
from harness_interventions import options
from harness_interventions.ablation import Ablation, limit, orthonormal, project_out, share


def ablation(mode="strict"):
    return Ablation(options.Ablation(mode=mode))


def slow_projection(x, vectors):
    """x − V⁺V x with the pseudo-inverse, token by token in float64."""
    onto = np.linalg.pinv(vectors) @ vectors
    return np.stack([[token - onto @ token for token in row] for row in x])


@pytest.mark.parametrize("rank", [1, 2, 5])
@pytest.mark.parametrize("seed", range(3))
def test_it_is_the_slow_projection(rank, seed, stacked):
    rng = np.random.default_rng(seed)
    vectors = rng.normal(size=(rank, 12)) * 10.0 ** rng.uniform(-3, 3, (rank, 1))
    x = rng.normal(size=(4, 6, 12))
    basis = torch.tensor(orthonormal(vectors), dtype=torch.float32)
    out = project_out(torch.tensor(x, dtype=torch.float32), stacked([{"basis": basis}] * 4))
    np.testing.assert_allclose(out.numpy(), slow_projection(x, vectors), atol=2e-6)
    wide = project_out(torch.tensor(x), {"basis": torch.tensor(orthonormal(vectors))[None]})
    assert wide.dtype == torch.float64
    np.testing.assert_allclose(wide.numpy(), slow_projection(x, vectors), atol=1e-11)


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10_000), rank=st.integers(1, 4), size=st.sampled_from([1e-3, 1.0, 1e4]))
def test_idempotent_and_nothing_left(seed, rank, size, stacked):
    generator = torch.Generator().manual_seed(seed)
    x = size * torch.randn(2, 5, 16, generator=generator)
    vectors = torch.randn(rank, 16, generator=generator).double().numpy()
    parameters = stacked([{"basis": torch.tensor(orthonormal(vectors), dtype=torch.float32)}] * 2)
    once = project_out(x, parameters)
    twice = project_out(once, parameters)
    torch.testing.assert_close(twice, once, rtol=0, atol=1e-6 * size)
    assert share(once, parameters).max() < 1e-5
    units = torch.tensor(vectors / np.linalg.norm(vectors, axis=1, keepdims=True))
    assert (once.double() @ units.T).abs().max() < 1e-5 * size


def test_the_basis_is_orthonormal_and_spans_the_vectors():
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(4, 20)) * np.array([[1e-6], [1.0], [1e6], [3.0]])
    basis = orthonormal(vectors)
    assert basis.dtype == np.float64
    np.testing.assert_allclose(basis @ basis.T, np.eye(4), atol=1e-14)
    units = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    np.testing.assert_allclose(units @ basis.T @ basis, units, atol=1e-14)


def test_dependent_and_empty_vectors_add_nothing_to_the_basis():
    a, b = np.eye(5)[0], np.eye(5)[1]
    basis = orthonormal(np.stack([a, 0 * a, 2 * a, b, a + b]))
    assert basis.shape == (2, 5)
    np.testing.assert_allclose(basis.T @ basis, np.diag([1, 1, 0, 0, 0]), atol=1e-12)


def test_length_and_sign_of_the_direction_do_not_matter(make_direction, facts):
    direction = make_direction()
    flipped = replace(direction, vectors=-1e-7 * direction.vectors)
    x = torch.randn(1, 3, 16)
    out = []
    for one in (direction, flipped):
        edit = ablation().arm("a", one, facts, "float32").edits[0]
        out.append(edit.apply(x, {"basis": edit.parameters["basis"][None]}))
    torch.testing.assert_close(*out, rtol=0, atol=1e-6)


@pytest.mark.parametrize("mode", ["strict", "arditi"])
@pytest.mark.parametrize("rank", [1, 3])
def test_laws(make_direction, facts, mode, rank):
    check_intervention(ablation(mode), make_direction(rank), facts)


def test_sites_of_both_modes(make_direction, facts):
    def sites(mode):
        return {str(e.site) for e in ablation(mode).arm("a", make_direction(), facts, "x").edits}

    kinds = ("resid_pre", "attn_out", "mlp_out", "resid_post")
    assert sites("strict") == {f"{kind}.{block}" for kind in kinds for block in range(4)}
    kinds = ("resid_pre", "attn_raw", "mlp_raw")
    assert sites("arditi") == {f"{kind}.{block}" for kind in kinds for block in range(4)}


def test_strict_promises_and_arditi_reports(make_direction, facts):
    for mode, expected in (("strict", limit("bfloat16")), ("arditi", None)):
        checks = ablation(mode).arm("a", make_direction(), facts, "bfloat16").checks
        assert [str(check.site) for check in checks] == [f"resid_pre.{i}" for i in (1, 2, 3)]
        assert {check.limit for check in checks} == {expected}


@pytest.mark.parametrize(
    ("dtype", "kind"),
    [("float32", torch.float32), ("float16", torch.float16), ("bfloat16", torch.bfloat16)],
)
@pytest.mark.parametrize("post_norm", [True, False])
@pytest.mark.parametrize("rank", [1, 2])
def test_strict_keeps_its_promise_through_a_model(
    make_toy, make_direction, dtype, kind, post_norm, rank
):
    toy, direction = make_toy(post_norm), make_direction(rank)
    arm = ablation().arm("a", direction, toy.facts, dtype)
    x = torch.randn(2, 30, 16, generator=torch.Generator().manual_seed(1)).to(kind)
    out, measured = toy.run(x, arm)
    assert len(measured) == 3
    assert all(value < limit(dtype) / 2 for value in measured.values())
    parameters = arm.edits[0].parameters
    assert share(out, {"basis": parameters["basis"][None]}).max() < limit(dtype)


def test_a_massive_activation_keeps_the_promise(make_direction, facts):
    """One coordinate thousands of times larger, as at the first tokens of real models."""
    edit = (arm := ablation().arm("a", make_direction(), facts, "bfloat16")).edits[0]
    x = torch.randn(1, 50, 16).bfloat16()
    x[:, :, 3] = 5000
    parameters = {"basis": edit.parameters["basis"][None]}
    assert arm.checks[0].measure(edit.apply(x, parameters), parameters).max() < limit("bfloat16")


def test_arditi_leaks_behind_post_norms_and_only_there(make_toy, make_direction):
    x = torch.randn(2, 30, 16, generator=torch.Generator().manual_seed(1))
    leaks = []
    for post_norm in (True, False):
        toy = make_toy(post_norm)
        arm = ablation("arditi").arm("a", make_direction(), toy.facts, "float32")
        leaks.append(max(toy.run(x, arm)[1].values()))
    assert leaks[0] > 0.05
    assert leaks[1] < 1e-5


def test_without_post_norms_both_modes_are_one(make_toy, make_direction):
    toy = make_toy(post_norm=False)
    x = torch.randn(2, 30, 16, generator=torch.Generator().manual_seed(1))
    out = [
        toy.run(x, ablation(mode).arm("a", make_direction(), toy.facts, "float32"))[0]
        for mode in ("strict", "arditi")
    ]
    torch.testing.assert_close(*out)


def test_share_of_nothing_is_nothing_and_of_everything_is_one():
    basis = {"basis": torch.eye(3, 8)[None]}
    x = torch.zeros(1, 3, 8)
    x[0, 1, :3] = torch.tensor([3.0, -4.0, 12.0])
    x[0, 2, 5] = 2
    assert share(x, basis).tolist() == [[0, 1, 0]]
    assert share(torch.full((1, 1, 8), torch.nan), basis).isnan().all()


def test_limits_grow_with_rounding():
    assert limit("float64") == pytest.approx(1e-4)
    assert limit("float32") == pytest.approx(1e-4, rel=0.01)
    assert limit("float16") == pytest.approx(2.05e-3, rel=0.01)
    assert limit("bfloat16") == pytest.approx(1.57e-2, rel=0.01)
    assert limit("torch.bfloat16") == limit("bfloat16") == limit("float8_e4m3fn")


@pytest.mark.parametrize("site", ["resid_pre", "resid_post"])
def test_any_place_of_the_residual_stream_will_do(make_direction, facts, site):
    assert ablation().arm("a", make_direction(site=site), facts, "float32").edits


@pytest.mark.parametrize("site", ["mlp_out", "attn_z", "mlp_in"])
def test_other_places_are_refused(make_direction, facts, site):
    with pytest.raises(ModelError, match="not the residual stream"):
        ablation().arm("a", make_direction(site=site), facts, "float32")


def test_what_does_not_fit_is_refused(make_direction, facts):
    with pytest.raises(ModelError, match=r"has 7 numbers.*has 16 at resid_post\.2"):
        ablation().arm("a", make_direction(d=7), facts, "float32")
    with pytest.raises(ModelError, match="how many blocks"):
        ablation().arm("a", make_direction(), ModelFacts(d_model=16), "float32")
    with pytest.raises(ModelError, match="Allowed: blocks 0 to 1"):
        ablation().arm("a", make_direction(), ModelFacts(layers=2, d_model=16), "float32")
    for bad, why in ((0.0, "length 0"), (np.nan, "not finite")):
        direction = Direction(Site("resid_post", 2), np.full((1, 16), bad))
        with pytest.raises(ModelError, match=why):
            ablation().arm("a", direction, facts, "float32")
