"""Class-wise components against numpy's, and RepE's procedure over all pairs of texts."""

import numpy as np
import pytest

from harness.contract import Inputs, Undefined
from harness.errors import ModelError
from harness.testing import check_direction
from harness_directions.concepts.class_pca import ClassPca
from harness_directions.concepts.contrast_pca import ContrastPca
from harness_directions.concepts.options import ClassPcaOptions, ContrastPcaOptions

PLACE = {"view": "chat", "site": "resid_post.3", "tokens": "all"}


def contrast(**more):
    return ContrastPca(ContrastPcaOptions(**PLACE, positive="a", negative="b", **more))


def within(**more):
    return ClassPca(ClassPcaOptions(**PLACE, data="a", **more))


def tokens(prompts):
    return np.concatenate(prompts.x).astype(np.float64)


def of(found, **axes):
    (one,) = [each for each in found if each.axes == axes]
    return one.direction, {record.id.partition(".")[2]: record.value for record in one.records}


def repe(positive, negative):
    """All pairs, both ways round, centred, and taken apart; signed by the votes of the pairs."""
    pairs = np.array([a - b for a in positive for b in negative])
    differences = np.concatenate([pairs, -pairs])
    differences = differences - differences.mean(0)
    _, sizes, vectors = np.linalg.svd(differences, full_matrices=False)
    votes = np.sign((pairs @ vectors.T > 0).mean(0) - 0.5)
    return sizes**2 / len(differences), vectors * votes[:, None]


@pytest.mark.parametrize("seed", range(3))
def test_contrast_is_repes_procedure_over_all_pairs(make_world, run, seed):
    world = make_world(seed, tokens=3)
    for x in world.positive.x:
        x[:, 0] += 3
    positive, negative = tokens(world.positive), tokens(world.negative)
    values, vectors = repe(positive, negative)
    given = contrast(components=3, ranks=(2,))
    found = run(given, world.batches(size=3), world.inputs()).directions
    for pc in (1, 2, 3):
        direction, numbers = of(found, pc=pc)
        expected = np.sqrt(values[pc - 1]) * vectors[pc - 1]
        if pc == 1:  # where the sets are apart, the vote and the means agree
            np.testing.assert_allclose(direction.vectors[0], expected, atol=1e-9)
        difference = positive.mean(0) - negative.mean(0)
        assert direction.vectors[0] @ difference > 0
        np.testing.assert_allclose(np.abs(direction.vectors[0]), np.abs(expected), atol=1e-9)
        np.testing.assert_allclose(direction.origin, negative.mean(0))
        assert numbers["explained@1"] == pytest.approx(values[pc - 1] / values.sum())
        assert numbers["sigma@1"] == pytest.approx(np.sqrt(values[pc - 1]))
        cosine = abs(vectors[pc - 1] @ difference) / np.linalg.norm(difference)
        assert numbers["mean_cosine@1"] == pytest.approx(cosine)
    assert of(found, k=2)[0].vectors.shape == (2, 12)
    assert of(found)[0].vectors.shape == (3, 12)


@pytest.mark.slow
def test_a_draw_of_pairs_comes_close(make_world, run):
    """RepE draws as many pairs as texts, with random sides; many draws give the same matrix."""
    world = make_world(1, n=(12, 12), d=4)
    positive, negative = tokens(world.positive), tokens(world.negative)
    rng = np.random.default_rng(0)
    total = np.zeros((4, 4))
    for _ in range(4000):
        some = positive[rng.permutation(12)] - negative[rng.permutation(12)]
        some = some * rng.choice([-1, 1], 12)[:, None]
        total += np.cov(some.T, bias=True) / 4000
    found = run(contrast(components=4), world.batches(), world.inputs()).directions
    vectors = of(found)[0].vectors
    np.testing.assert_allclose(
        total, (1 - 1 / 12) * vectors.T @ vectors, atol=0.03 * np.abs(total).max()
    )


@pytest.mark.parametrize("seed", range(3))
def test_within_a_class_they_are_those_of_its_covariance(make_world, run, seed):
    world = make_world(seed, tokens=4)
    x = tokens(world.positive)
    values, vectors = np.linalg.eigh(np.cov(x.T, bias=True))
    given = within(components=2)
    found = run(given, world.positive.batches("class", [4, 5]), world.inputs()).directions
    for pc in (1, 2):
        direction, numbers = of(found, pc=pc)
        expected = np.sqrt(values[-pc]) * vectors[:, -pc]
        expected *= np.sign(expected @ x.mean(0))
        np.testing.assert_allclose(direction.vectors[0], expected, atol=1e-9)
        np.testing.assert_allclose(direction.origin, x.mean(0))
        assert numbers["explained@1"] == pytest.approx(values[-pc] / values.sum())
        cosine = abs(vectors[:, -pc] @ x.mean(0)) / np.linalg.norm(x.mean(0))
        assert numbers["mean_cosine@1"] == pytest.approx(cosine)


def test_what_sets_a_class_apart_is_not_what_it_varies_by(make_world, run):
    """The trap of RepE: the largest variance comes first, also where it tells nothing."""
    world = make_world(0, n=(40, 40))
    for prompts, shift in ((world.positive, 1.0), (world.negative, 0.0)):
        for i, x in enumerate(prompts.x):
            x[:, 0] += shift
            x[:, 1] += 9 if i % 2 else -9
    found = run(contrast(components=2), world.batches(), world.inputs()).directions
    first, numbers = of(found, pc=1)
    assert abs(first.vectors[0, 1]) / np.linalg.norm(first.vectors) > 0.99
    assert numbers["mean_cosine@1"] < 0.6


def test_components_beyond_the_rank_are_undefined(make_world, run):
    world = make_world(n=(3, 4))
    found = run(within(components=5), world.positive.batches("class"), world.inputs()).directions
    direction, numbers = of(found, pc=3)
    assert isinstance(direction, Undefined)
    assert "beyond the rank" in direction.reason
    assert set(numbers.values()) == {None}
    whole, _ = of(found)
    assert whole.vectors.shape == (2, 12)
    assert len(whole.missing) == 3


def test_one_token_has_no_component(make_world, run):
    world = make_world(n=(1, 4))
    found = run(within(), world.positive.batches("class"), world.inputs()).directions
    assert all(isinstance(one.direction, Undefined) for one in found)


def test_equal_means_have_no_sign(make_world, run):
    world = make_world(n=(6, 6))
    world.negative.x = world.positive.x
    found = run(contrast(components=2), world.batches(), world.inputs()).directions
    reasons = {one.direction.reason for one in found}
    assert reasons == {"both sets of text have the same mean at resid_post.3"}
    (reason,) = reasons
    assert all(record.undefined == reason for one in found for record in one.records)


def test_too_many_are_an_error_and_ranks_lie_within(make_world, run):
    world = make_world()
    with pytest.raises(ModelError, match=r"components = 13: resid_post\.3 has 12 numbers"):
        run(contrast(components=13), world.batches(), world.inputs())
    with pytest.raises(ValueError, match=r"ranks = \[3\] of 2 components"):
        contrast(components=2, ranks=(3,))


def test_nothing_read_says_why(run):
    for given in (contrast(), within()):
        for found in run(given, [], Inputs()).directions:
            assert "has a token to measure" in found.direction.reason


@pytest.mark.parametrize("name", ["contrast", "within"])
def test_laws(make_world, name):
    world = make_world(5, tokens=4)
    given = {"contrast": contrast, "within": within}[name](components=2, ranks=(2,))
    batches = world.batches(size=4)
    if name == "within":
        batches = world.positive.batches("class", [4, 5])
    check_direction(
        given, batches, world.inputs(), variants=given.options.variants(), tolerance=1e-7
    )
