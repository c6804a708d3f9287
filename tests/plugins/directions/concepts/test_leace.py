"""LEACE against the paper's formula, its own code where that is installed, and its laws."""

from itertools import combinations

import numpy as np
import pytest
import torch
from scipy import linalg

from harness.contract import Inputs, ModelFacts, Undefined
from harness.testing import check_direction
from harness_directions.concepts import logistic
from harness_directions.concepts.leace import Leace, shrinking
from harness_directions.concepts.options import LeaceOptions
from harness_interventions.concept_erasure import ConceptErasure
from harness_interventions.options import ConceptErasureOptions


def finder(**more):
    given = {"view": "chat", "site": "resid_post.3", "positive": "a", "negative": "b"}
    return Leace(LeaceOptions(**given | {"tokens": "all"} | more))


def labelled(world):
    """All tokens in float64, and whether each is of the positive set."""
    sets = [np.concatenate(one.x).astype(np.float64) for one in (world.positive, world.negative)]
    return np.concatenate(sets), np.repeat([1.0, 0.0], [len(one) for one in sets])


def erased(direction, x):
    read = (x - direction.origin) @ direction.readers.T
    return x - read @ direction.vectors


def of(world, run, **more):
    (found,) = run(finder(**more), world.batches(size=3), world.inputs()).directions
    return found.direction, {record.id: record for record in found.records}


def paper(x, z):
    """x − W⁺ P W (x − E x), W = (Σ^½)⁺, P onto the columns of WΣ_xz (theorem 4.3)."""
    centred, label = x - x.mean(0), (z - z.mean())[:, None]
    sigma, cross = centred.T @ centred / len(x), centred.T @ label / len(x)
    w = np.linalg.pinv(np.real(linalg.sqrtm(sigma)), rcond=1e-10)
    onto = (w @ cross) @ np.linalg.pinv(w @ cross)
    return x - centred @ (np.linalg.pinv(w, rcond=1e-10) @ onto @ w).T


@pytest.mark.parametrize("seed", range(3))
def test_it_is_the_papers_formula(make_world, run, seed):
    world = make_world(seed, tokens=5)
    x, z = labelled(world)
    direction, _ = of(world, run)
    np.testing.assert_allclose(erased(direction, x), paper(x, z), atol=1e-7)
    assert direction.readers @ direction.vectors.T == pytest.approx(1.0, abs=1e-10)


@pytest.mark.parametrize("shrinkage", [False, True])
@pytest.mark.parametrize("n", [(9, 7), (3, 4)])
def test_it_is_what_its_own_code_gives(make_world, run, shrinkage, n):
    """Also with fewer tokens than numbers per token, where shrinkage counts."""
    theirs = pytest.importorskip("concept_erasure")
    world = make_world(4, n=n, tokens=1 if n == (3, 4) else 4)
    for prompts in (world.positive, world.negative):  # so that some of it is worth shrinking
        prompts.x = [(one * np.geomspace(1, 8, 12)).astype(np.float32) for one in prompts.x]
    x, z = (torch.tensor(one) for one in labelled(world))
    # The map is the same for any tolerance; ours keeps what is no rounding.
    fitter = theirs.LeaceFitter(
        12, 1, dtype=torch.float64, shrinkage=shrinkage, svd_tol=1e-9, constrain_cov_trace=False
    )
    expected = fitter.update(x, z[:, None]).eraser(x)
    direction, _ = of(world, run, shrinkage=shrinkage)
    np.testing.assert_allclose(erased(direction, x.numpy()), expected.numpy(), atol=1e-7)


@pytest.mark.parametrize("shrinkage", [False, True])
def test_afterwards_no_linear_reader_beats_the_constant_one(make_world, run, shrinkage):
    world = make_world(1, tokens=6)
    x, z = labelled(world)
    direction, _ = of(world, run, shrinkage=shrinkage)
    after = erased(direction, x)
    before = np.abs((x - x.mean(0)).T @ (z - z.mean())).max()
    assert np.abs((after - after.mean(0)).T @ (z - z.mean())).max() <= 1e-8 * before
    rows = logistic.rows_of(after)
    assert np.abs(logistic.fit(rows.inside, z > 0.5, 1e-3)[0]).max() < 1e-6
    assert np.abs(logistic.fit(logistic.rows_of(x).inside, z > 0.5, 1e-3)[0]).max() > 0.1


def test_no_other_erasure_changes_less(make_world, run):
    """Each row of the best map solves a least-squares problem with one constraint (by Lagrange)."""
    world = make_world(2, tokens=6)
    x, z = labelled(world)
    direction, records = of(world, run)
    centred = x - x.mean(0)
    sigma, cross = centred.T @ centred / len(x), centred.T @ (z - z.mean()) / len(x)
    bordered = np.block([[sigma, cross[:, None]], [cross[None], np.zeros((1, 1))]])
    best = linalg.solve(bordered, np.vstack([sigma, np.zeros(len(sigma))]))[:-1].T
    np.testing.assert_allclose(erased(direction, x) - x.mean(0), centred @ best.T, atol=1e-8)
    cost = np.square(erased(direction, x) - x).sum() / np.square(centred).sum()
    assert records["leace.change@1"].value == pytest.approx(cost, rel=1e-9)
    rng = np.random.default_rng(0)
    for _ in range(5):
        other = best + 1e-2 * rng.normal(size=best.shape)
        other -= np.outer(other @ cross, cross) / (cross @ cross)
        assert np.square(centred @ other.T - centred).sum() > cost * np.square(centred).sum()


def test_what_can_be_read_is_r_squared_and_its_null_the_mean_over_permutations(make_world, run):
    world = make_world(3, n=(4, 4), d=3)
    x, z = labelled(world)
    direction, records = of(world, run)
    record = records["leace.readable@1"]

    def r_squared(label):
        design = np.column_stack([x, np.ones(len(x))])
        rest = label - design @ np.linalg.lstsq(design, label, rcond=None)[0]
        return 1 - rest @ rest / np.square(label - label.mean()).sum()

    assert record.value == pytest.approx(r_squared(z), rel=1e-9)
    labels = np.zeros((70, 8))
    for row, ones in zip(labels, combinations(range(8), 4), strict=True):
        row[list(ones)] = 1
    assert record.null["value"] == pytest.approx(np.mean([r_squared(one) for one in labels]))
    lengths = np.linalg.norm(direction.readers) * np.linalg.norm(direction.vectors)
    assert records["leace.cosine@1"].value == pytest.approx(1 / lengths)


def test_with_few_tokens_everything_is_readable_and_the_null_says_so(make_world, run):
    world = make_world(n=(3, 4), d=12)
    _, records = of(world, run)
    record = records["leace.readable@1"]
    assert record.value == pytest.approx(1.0, abs=1e-6)
    assert record.null["value"] == pytest.approx(1.0)
    assert of(world, run, shrinkage=True)[1]["leace.readable@1"].null is None


def test_the_intervention_erases_it(make_world, run):
    world = make_world(1, tokens=5)
    x, z = labelled(world)
    direction, _ = of(world, run)
    facts = ModelFacts(layers=6, d_model=12)
    arm = ConceptErasure(ConceptErasureOptions()).arm("a", direction, facts, "float32")
    (edit,) = arm.edits
    rows = {name: one[None] for name, one in edit.parameters.items()}
    after = edit.apply(torch.tensor(x[None], dtype=torch.float32), rows)[0].double().numpy()
    np.testing.assert_allclose(after, erased(direction, x), atol=1e-5)
    assert np.abs((after - after.mean(0)).T @ (z - z.mean())).max() < 1e-4


def test_equal_means_leave_nothing_to_erase(make_world, run):
    world = make_world(n=(5, 5))
    world.negative.x = world.positive.x[::-1]
    (found,) = run(finder(), world.batches(), world.inputs()).directions
    assert found.direction == Undefined("both sets of text have the same mean at resid_post.3")
    assert all(record.undefined == found.direction.reason for record in found.records)


def test_nothing_read_and_infinite_activations_say_why(make_world, run):
    world = make_world()
    (found,) = run(finder(), [], Inputs()).directions
    assert found.direction.reason == "no text of the positive data has a token to measure"
    world.positive.x[0][0, 0] = np.inf
    with np.errstate(invalid="ignore"):
        (found,) = run(finder(), world.batches(), world.inputs()).directions
    assert found.direction.reason == "the activations at resid_post.3 are not finite"


@pytest.mark.parametrize("shrinkage", [False, True])
def test_laws(make_world, shrinkage):
    world = make_world(5, tokens=4)
    check_direction(
        finder(shrinkage=shrinkage), world.batches(size=4), world.inputs(), tolerance=1e-7
    )


@pytest.mark.parametrize("tokens", [3, 40])
def test_the_shrinkage_is_that_of_bodnar_and_others(tokens):
    """Equations 4.4 to 4.6 of arXiv 1308.2608, matrix by matrix."""
    x = np.random.default_rng(0).normal(size=(tokens, 6)) * np.geomspace(1, 5, 6)
    s = np.cov(x.T, bias=True)
    target = np.eye(6) * np.trace(s) / 6
    size, prior = np.linalg.norm(s) ** 2, np.linalg.norm(target) ** 2
    both = np.trace(s @ target)
    alpha = 1 - np.trace(s) ** 2 * prior / tokens / (size * prior - both**2)
    beta = both / prior * (1 - alpha)
    expected = alpha * s + beta * target if alpha > 0 else target
    found = shrinking(s, tokens)
    np.testing.assert_allclose(found[0] * s + found[1] * np.eye(6), expected, atol=1e-10)
    assert 0 <= found[0] < 1


def test_what_does_not_vary_is_not_shrunk():
    assert shrinking(np.zeros((3, 3)), 5) == (1.0, 0.0)
