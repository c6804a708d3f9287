"""Concept erasure against its formula, token by token in float64."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from harness.contract import ModelFacts
from harness.errors import ModelError
from harness.testing import check_intervention
from harness_interventions.ablation import Ablation, limit
from harness_interventions.addition import Addition
from harness_interventions.affine_editing import AffineEditing
from harness_interventions.concept_erasure import ConceptErasure
from harness_interventions.options import (
    AblationOptions,
    AdditionOptions,
    AffineEditingOptions,
    ConceptErasureOptions,
    PcInjectionOptions,
    ProjectionOptions,
)
from harness_interventions.pc_injection import PcInjection
from harness_interventions.projection import Projection


def erasure(strength=1.0):
    return ConceptErasure(ConceptErasureOptions(strength=strength))


def oblique(direction, seed=3, tilt=0.5):
    """The same direction with readers that lean away from its vectors, and an origin."""
    rng = np.random.default_rng(seed)
    vectors = direction.vectors
    leaning = vectors + tilt * np.abs(vectors).max() * rng.normal(size=vectors.shape)
    readers = np.linalg.solve(leaning @ vectors.T, leaning)
    return replace(direction, readers=readers, origin=rng.normal(size=vectors.shape[1]))


def slow(x, direction, strength):
    origin = np.zeros(x.shape[-1]) if direction.origin is None else direction.origin
    readers = direction.readers
    if readers is None:
        readers = np.linalg.inv(direction.vectors @ direction.vectors.T) @ direction.vectors
    out = np.empty_like(x)
    for place in np.ndindex(x.shape[:-1]):
        out[place] = x[place]
        for vector, reader in zip(direction.vectors, readers, strict=True):
            out[place] -= strength * (reader @ (x[place] - origin)) * vector
    return out


@pytest.mark.parametrize("strength", [1.0, 0.5, -1.0])
@pytest.mark.parametrize("rank", [1, 3])
@pytest.mark.parametrize("own_readers", [False, True])
def test_it_is_the_slow_formula(make_direction, facts, applied, strength, rank, own_readers):
    direction = make_direction(rank)
    if own_readers:
        direction = oblique(direction)
    x = np.random.default_rng(1).normal(size=(2, 6, 16)).astype(np.float32)
    arm = erasure(strength).arm("a", direction, facts, "float32")
    expected = slow(x.astype(np.float64), direction, strength)
    np.testing.assert_allclose(applied(arm, torch.tensor(x)).numpy(), expected, atol=2e-5)
    assert [str(edit.site) for edit in arm.edits] == ["resid_post.2"]


def test_every_token_is_read_alike_and_twice_is_once(make_direction, facts, applied):
    direction = oblique(make_direction(2))
    arm = erasure().arm("a", direction, facts, "float32")
    once = applied(arm, torch.randn(2, 5, 16))
    read = once.double().numpy() @ direction.readers.T
    np.testing.assert_allclose(
        read, np.broadcast_to(direction.readers @ direction.origin, read.shape), atol=1e-5
    )
    torch.testing.assert_close(applied(arm, once), once, atol=1e-5, rtol=0)


def test_without_readers_and_origin_it_is_projection(make_direction, facts, applied):
    x = torch.randn(2, 5, 16)
    for rank in (1, 3):
        direction = make_direction(rank)
        out = Projection(ProjectionOptions()).arm("a", direction, facts, "float32")
        erased = applied(erasure().arm("a", direction, facts, "float32"), x)
        torch.testing.assert_close(erased, applied(out, x), atol=2e-6, rtol=0)


@pytest.mark.parametrize("kind", [torch.float32, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("tilt", [0.5, 50.0])
def test_the_promise_is_kept_in_every_dtype(make_direction, facts, applied, stacked, kind, tilt):
    """Also where readers and vectors are almost at right angles."""
    direction = oblique(make_direction(), tilt=tilt)
    arm = erasure().arm("a", direction, facts, str(kind))
    (check,) = arm.checks
    assert (str(check.site), check.limit) == ("resid_pre.3", limit(str(kind)))
    along = torch.tensor(direction.vectors.sum(0), dtype=torch.float32)
    x = (torch.randn(2, 200, 16) + 30 * along).to(kind)
    parameters = stacked([check.parameters] * 2)
    assert float(check.measure(applied(arm, x), parameters).max()) < check.limit
    assert float(check.measure(torch.randn(2, 9, 16).to(kind), parameters).max()) > check.limit
    assert check.measure(torch.zeros(2, 1, 16), parameters).tolist() == [[0.0], [0.0]]


def test_only_full_strength_promises_and_only_where_a_block_follows(make_direction, facts):
    assert not erasure(0.9).arm("a", make_direction(), facts, "x").checks
    last = ModelFacts(layers=3, d_model=16)
    assert not erasure().arm("a", make_direction(), last, "x").checks


@pytest.mark.parametrize(
    "spoil",
    [
        lambda direction: replace(direction, readers=2 * direction.readers),
        lambda direction: replace(direction, readers=direction.readers[:1]),
        lambda direction: replace(direction, readers=np.full_like(direction.readers, np.nan)),
    ],
    ids=["longer", "fewer", "nan"],
)
def test_readers_of_something_else_are_refused(make_direction, facts, spoil):
    with pytest.raises(ModelError, match="arm 'a': the direction's readers are not those"):
        erasure().arm("a", spoil(oblique(make_direction(2))), facts, "float32")


def test_vectors_that_depend_on_each_other_have_no_coordinates(make_direction, facts):
    direction = make_direction()
    twice = replace(direction, vectors=np.concatenate([direction.vectors, 2 * direction.vectors]))
    with pytest.raises(ModelError, match="depend on each other"):
        erasure().arm("a", twice, facts, "float32")


@pytest.mark.parametrize(
    "other",
    [
        Ablation(AblationOptions()),
        Projection(ProjectionOptions()),
        AffineEditing(AffineEditingOptions()),
    ],
    ids=["ablation", "projection", "affine_editing"],
)
def test_what_reads_with_the_vectors_refuses_readers(make_direction, facts, other):
    with pytest.raises(ModelError, match=r"arm 'a': the direction is read with other vectors"):
        other.arm("a", oblique(make_direction()), facts, "float32")


def test_what_only_adds_does_not(make_direction, facts):
    plain = make_direction()
    given = oblique(plain)
    for one in (Addition(AdditionOptions()), PcInjection(PcInjectionOptions())):
        arms = [one.arm("a", each, facts, "float32") for each in (plain, given)]
        assert torch.equal(*(arm.edits[0].parameters["vector"] for arm in arms))
    by_token = PcInjection(PcInjectionOptions(tuned="tuned"))
    with pytest.raises(ModelError, match="read with other vectors"):
        by_token.arms("a", given, facts, "float32", torch.zeros(1, 2, 16))


@pytest.mark.parametrize("rank", [1, 3])
@pytest.mark.parametrize("own_readers", [False, True])
def test_laws(make_direction, facts, rank, own_readers):
    direction = make_direction(rank)
    one, none = (erasure(strength) for strength in (1.0, 0.0))
    given = oblique(direction) if own_readers else direction
    check_intervention(one, given, facts, identity=none)
