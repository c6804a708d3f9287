"""The probe against scipy's and scikit-learn's minima, and its held-out numbers by hand."""

from dataclasses import replace

import numpy as np
import pytest
from scipy import optimize

from harness.contract import Inputs, Undefined
from harness.testing import check_direction
from harness_directions.concepts import kept, logistic
from harness_directions.concepts.linear_probe import LinearProbe
from harness_directions.concepts.options import LinearProbeOptions


def finder(**more):
    given = {"view": "chat", "site": "resid_post.3", "positive": "a", "negative": "b"}
    return LinearProbe(LinearProbeOptions(**given | {"permutations": 5} | more))


def of(world, run, seed=0, **more):
    (found,) = run(finder(**more), world.batches(size=5), world.inputs(seed)).directions
    return found.direction, {record.id: record for record in found.records}


def samples(world, held_out=0.25):
    """By set: the mean of each document's tokens, and whether it is held out."""
    out = []
    for stream in ("positive", "negative"):
        x = np.stack([one.astype(np.float64).mean(0) for one in getattr(world, stream).x])
        keys = np.array([kept.key_of(f"{stream}-{i}") for i in range(len(x))])
        out.append((x, kept.held_out(keys, held_out)))
    return out


def slow(x, positive, ridge):
    """The minimum that scipy finds, in all dimensions."""
    y = np.where(positive, 1.0, -1.0)
    weight = np.where(positive, 0.5 / positive.sum(), 0.5 / (~positive).sum())

    def loss(theta):
        margin = y * (x @ theta[:-1] + theta[-1])
        pull = -weight * y / (1 + np.exp(margin))
        gradient = np.append(x.T @ pull + ridge * theta[:-1], pull.sum())
        return weight @ np.logaddexp(0, -margin) + ridge * theta[:-1] @ theta[:-1] / 2, gradient

    found = optimize.minimize(
        loss, np.zeros(x.shape[1] + 1), jac=True, method="L-BFGS-B",
        options={"maxiter": 5000, "gtol": 1e-12, "ftol": 1e-16},
    )  # fmt: skip
    return found.x[:-1], found.x[-1]


def draw(n, d, seed=0, apart=1.0):
    rng = np.random.default_rng(seed)
    positive = rng.random(n) < 0.4
    x = rng.normal(size=(n, d)) * rng.uniform(0.3, 3, d)
    x[positive, 0] += apart
    return x, positive


@pytest.mark.parametrize("ridge", [1e-4, 1e-2, 1.0])
@pytest.mark.parametrize("shape", [(60, 5), (20, 40)])
def test_the_minimum_is_scipys(shape, ridge):
    x, positive = draw(*shape)
    rows = logistic.rows_of(x)
    inside = (x - rows.mean) / rows.scale
    weights, intercept = logistic.fit(rows.inside, positive, ridge)
    expected, at = slow(inside, positive, ridge)
    np.testing.assert_allclose(weights @ rows.basis, expected, atol=2e-5 * np.abs(expected).max())
    assert intercept == pytest.approx(at, abs=2e-5 * max(1, abs(at)))


def test_and_scikit_learns():
    linear = pytest.importorskip("sklearn.linear_model")
    x, positive = draw(80, 6, seed=1)
    weight = np.where(positive, 0.5 / positive.sum(), 0.5 / (~positive).sum())
    theirs = linear.LogisticRegression(C=1 / 0.05, tol=1e-12, max_iter=10_000)
    theirs.fit(x, positive, sample_weight=weight)
    weights, intercept = logistic.fit(x, positive, 0.05)
    np.testing.assert_allclose(weights, theirs.coef_[0], atol=1e-5)
    assert intercept == pytest.approx(float(theirs.intercept_[0]), abs=1e-5)


def test_its_gradient_is_rounding_even_where_classes_are_far_apart():
    x, positive = draw(60, 5, apart=200.0)
    weights, intercept = logistic.fit(x, positive, 1e-8)
    y = np.where(positive, 1.0, -1.0)
    weight = np.where(positive, 0.5 / positive.sum(), 0.5 / (~positive).sum())
    wrong = weight * y / (1 + np.exp(y * (x @ weights + intercept)))
    assert np.abs(1e-8 * weights - x.T @ wrong).max() < 1e-12


@pytest.mark.parametrize("tokens", [1, 4])
def test_the_direction_is_the_weight_at_the_distance_of_the_means(make_world, run, tokens):
    world = make_world(2, n=(30, 25), tokens=tokens)
    (positive, out), (negative, other) = samples(world)
    direction, records = of(world, run, tokens="all")
    fitted = np.concatenate([positive[~out], negative[~other]])
    labels = np.repeat([True, False], [(~out).sum(), (~other).sum()])
    centred = fitted - fitted.mean(0)
    scale = np.sqrt(np.square(centred).mean())
    weights, intercept = slow(centred / scale, labels, 0.01)
    unit = weights / np.linalg.norm(weights)
    difference = positive[~out].mean(0) - negative[~other].mean(0)
    expected = unit * (difference @ unit)
    np.testing.assert_allclose(direction.vectors[0], expected, atol=1e-5)
    np.testing.assert_allclose(direction.origin, negative[~other].mean(0))
    assert direction.reference_norm == pytest.approx(difference @ unit, rel=1e-5)
    assert records["probe.cosine@1"].value == pytest.approx(
        difference @ unit / np.linalg.norm(difference), rel=1e-5
    )
    tried = np.concatenate([positive[out], negative[other]])
    scores = (tried - fitted.mean(0)) / scale @ weights + intercept
    truth = np.repeat([True, False], [out.sum(), other.sum()])
    record = records["probe.accuracy@1"]
    assert record.value == np.mean((scores > 0) == truth)
    assert record.n == record.clusters == len(tried)
    pairs = [(a > b) + (a == b) / 2 for a in scores[truth] for b in scores[~truth]]
    assert records["probe.auc@1"].value == pytest.approx(np.mean(pairs))
    for one in ("probe.accuracy@1", "probe.auc@1"):
        low, high = records[one].ci
        assert low < records[one].value < high or records[one].value in (low, high)


def planted(make_world, apart, n=60, seed=3):
    world = make_world(seed, n=(n, n))
    for x in world.positive.x:
        x[:, 0] += apart
    return world


def test_a_planted_concept_is_found_and_permuted_labels_are_not(make_world, run):
    direction, records = of(planted(make_world, 6.0), run)
    assert abs(direction.vectors[0, 0]) / np.linalg.norm(direction.vectors) > 0.9
    record = records["probe.auc@1"]
    assert record.value > 0.98
    assert record.null["kind"] == "labels permuted"
    assert 0.2 < record.null["value"] < 0.8
    assert record.null["p"] == pytest.approx(1 / 6)
    assert records["probe.accuracy@1"].ci[0] > 0.7


def test_where_nothing_is_planted_held_out_prompts_are_guessed(make_world, run):
    """Though, in as many dimensions as there are prompts, all that it was fitted to are told."""
    _, records = of(make_world(8, n=(60, 60), d=100), run, permutations=20)
    low, high = records["probe.auc@1"].ci
    assert low < 0.5 < high
    assert records["probe.auc@1"].null["p"] > 0.05


def test_it_does_not_see_the_models_unit(make_world, run):
    world = planted(make_world, 1.0)
    one, records = of(world, run)
    for prompts in (world.positive, world.negative):
        prompts.x = [4 * x for x in prompts.x]
    other, scaled = of(world, run)
    np.testing.assert_allclose(other.vectors, 4 * one.vectors, rtol=1e-9)
    assert scaled["probe.auc@1"].value == records["probe.auc@1"].value


def test_what_is_kept_hangs_on_hashes_alone(make_world, run):
    world = make_world(1, n=(40, 40))
    batches = world.batches(size=7)
    given = finder(at_most=8)
    states = [given.update(given.start(Inputs()), batch) for batch in batches]
    forwards, backwards = {}, {}
    for state in states:
        forwards = given.merge(forwards, state)
    for state in states[::-1]:
        backwards = given.merge(backwards, given.merge(state, state))
    assert forwards.keys() == backwards.keys()
    assert all(np.array_equal(forwards[name], backwards[name]) for name in forwards)
    keys = sorted(kept.key_of(f"positive-{i}") for i in range(40))[:8]
    assert forwards["positive_keys"].tolist() == keys
    assert forwards["positive_vectors"].shape == (8, 12)


def test_the_same_text_is_held_out_in_both_sets():
    keys = np.arange(5000) * 7919
    aside = kept.held_out(keys, 0.25)
    assert 0.22 < aside.mean() < 0.28
    assert np.array_equal(kept.held_out(keys[::-1], 0.25), aside[::-1])
    more = kept.held_out(keys, 0.5)
    assert more[aside].all()


@pytest.mark.parametrize("area", [0.0, 0.5, 0.93, 1.0])
def test_the_interval_of_an_auc_solves_its_equation(area):
    low, high = logistic.auc_interval(area, 12, 20)
    assert 0 <= low <= area <= high <= 1
    assert high - low > 0.05
    for end in {low, high} - {0.0, 1.0}:
        spread = end * (1 - end) * (1 + 15 * (1 - end) / (2 - end) + 15 * end / (1 + end)) / 240
        assert (end - area) ** 2 == pytest.approx(1.959963984540054**2 * spread, rel=1e-9)


def test_the_same_texts_in_both_sets_are_undefined(make_world, run):
    world = make_world(n=(12, 1))
    same = world.positive.batches("positive", [5, 7])
    batches = [*same, *(replace(batch, stream="negative") for batch in same[::-1])]
    (found,) = run(finder(), batches, world.inputs()).directions
    assert found.direction == Undefined("both sets of text have the same mean at resid_post.3")
    assert all(record.value is None for record in found.records)


def test_without_a_held_out_prompt_there_is_a_direction_and_no_accuracy(make_world, run):
    world = make_world(n=(2, 9))
    share = min(
        share for share in (0.05, 0.1, 0.2)
        if not samples(world, share)[0][1].any()
    )  # fmt: skip
    direction, records = of(world, run, held_out=share)
    assert not isinstance(direction, Undefined)
    assert "no prompt that is held out" in records["probe.accuracy@1"].undefined
    assert records["direction.norm@1"].value > 0


def test_nothing_read_and_infinite_activations_say_why(make_world, run):
    (found,) = run(finder(), [], Inputs()).directions
    assert found.direction.reason == "no prompt of the positive data has a token to measure"
    world = make_world()
    world.negative.x[0][0, 0] = np.nan
    assert of(world, run)[0].reason == "the activations at resid_post.3 are not finite"


@pytest.mark.slow
def test_laws(make_world):
    world = make_world(5, n=(12, 14), tokens=3)
    check_direction(finder(tokens="all"), world.batches(size=4), world.inputs(), tolerance=1e-7)
