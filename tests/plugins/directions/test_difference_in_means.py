import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from harness.contract import Direction, Inputs, ModelFacts, Site, Undefined
from harness.errors import ModelError
from harness.testing import check_direction
from harness_directions import options
from harness_directions.difference_in_means import DifferenceInMeans


def finder(**changes):
    given = {"view": "chat", "site": "resid_post.3", "positive": "harmful", "negative": "harmless"}
    return DifferenceInMeans(options.DifferenceInMeansOptions(**given | changes))


def reference(world):
    """Token by token in Python, in float64."""
    means = []
    for prompts in (world.positive, world.negative):
        tokens = [token for document in prompts.x for token in document]
        total = np.zeros(len(tokens[0]))
        for token in tokens:
            total = total + token.astype(np.float64)
        means.append(total / len(tokens))
    return means[0] - means[1]


@pytest.mark.parametrize("tokens", [1, 5])
@pytest.mark.parametrize("seed", range(3))
def test_it_is_the_slow_difference(make_world, run, seed, tokens):
    world = make_world(seed, tokens=tokens)
    (found,) = run(finder(), world.batches(size=3), world.inputs()).directions
    np.testing.assert_allclose(found.direction.vectors, reference(world)[None], rtol=1e-12)
    assert found.direction.vectors.dtype == np.float64
    assert found.direction.site == Site("resid_post", 3)
    negative = [token for document in world.negative.x for token in document]
    expected = np.mean(np.array(negative, np.float64), 0)
    np.testing.assert_allclose(found.direction.origin, expected, rtol=1e-12)


@pytest.mark.slow
def test_laws(make_world):
    for seed in range(3):
        world = make_world(seed, tokens=4)
        check_direction(finder(tokens="all"), world.batches(size=4), world.inputs())


def test_it_keeps_its_length_and_says_it(make_world, run):
    world = make_world(tokens=3)
    (found,) = run(finder(tokens="all"), world.batches(), world.inputs()).directions
    (record,) = found.records
    assert record.id == "direction.norm@1"
    assert record.value == pytest.approx(np.linalg.norm(reference(world)), rel=1e-12)
    assert found.direction.reference_norm == record.value
    assert (record.n, record.n_of, record.unit) == (16, "prompts", "activation")
    assert record.ci is None
    assert record.ci_why
    assert dict(record.options) == {"tokens": "all"}
    assert dict(record.axes) == {"view": "chat", "site": "resid_post.3"}


def test_classes_are_in_a_table(make_world, run):
    world = make_world(n=(4, 2), tokens=3)
    rows = run(finder(), world.batches(), world.inputs()).tables["classes"]
    assert [(row["class"], row["data"], row["prompts"]) for row in rows] == [
        ("positive", "harmful", 4),
        ("negative", "harmless", 2),
    ]
    assert [row["tokens"] for row in rows] == [
        sum(map(len, world.positive.x)),
        sum(map(len, world.negative.x)),
    ]


@settings(max_examples=30, deadline=None)
@given(order=st.permutations(range(9)), cut=st.integers(1, 8))
def test_order_and_split_of_prompts_do_not_matter(make_world, order, cut):
    world = make_world(tokens=3)
    batches = world.positive.batches("positive", [cut, 9 - cut], order)
    batches += world.negative.batches("negative")
    reduction, inputs = finder(tokens="all"), world.inputs()
    left = reduction.update(reduction.start(inputs), batches[0])
    right = reduction.start(inputs)
    for batch in batches[1:]:
        right = reduction.update(right, batch)
    (found,) = reduction.finish(reduction.merge(left, right), inputs).directions
    np.testing.assert_allclose(found.direction.vectors, reference(world)[None], rtol=1e-10)


def test_equal_means_are_undefined_with_length_zero(make_world, run):
    world = make_world(tokens=3)
    batches = world.positive.batches("positive") + world.positive.batches("negative", [4, 5])
    (found,) = run(finder(), batches, world.inputs()).directions
    assert isinstance(found.direction, Undefined)
    assert "same mean" in found.direction.reason
    assert found.records[0].value == 0
    assert found.records[0].undefined is None


@pytest.mark.parametrize("missing", ["positive", "negative"])
def test_a_class_without_prompts_is_undefined(make_world, run, missing):
    world = make_world()
    batches = [batch for batch in world.batches() if batch.stream != missing]
    outcome = run(finder(), batches, world.inputs())
    (found,) = outcome.directions
    assert isinstance(found.direction, Undefined)
    assert missing in found.direction.reason
    assert found.records[0].value is None
    assert found.records[0].undefined == found.direction.reason
    row = next(row for row in outcome.tables["classes"] if row["class"] == missing)
    assert (row["prompts"], row["tokens"], row["mean_norm"]) == (0, 0, None)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_activations_that_are_not_finite_are_undefined(make_world, run, bad):
    world = make_world()
    for prompts in (world.positive, world.negative):
        prompts.x[2][0, 1] = bad
    (found,) = run(finder(), world.batches(), world.inputs()).directions
    assert isinstance(found.direction, Undefined)
    assert "not finite" in found.direction.reason


def test_a_large_common_mean_costs_no_precision(make_world, run):
    world = make_world(n=(300, 200))
    for prompts in (world.positive, world.negative):
        prompts.x[:] = [(x + 1000).astype(np.float32) for x in prompts.x]
    (found,) = run(finder(), world.batches(size=7), world.inputs()).directions
    np.testing.assert_allclose(found.direction.vectors, reference(world)[None], rtol=1e-9)


def test_a_fraction_of_depth_becomes_a_block(make_world, run):
    reduction, world = finder(site="resid_post@0.5"), make_world()
    (found,) = run(reduction, world.batches(), world.inputs()).directions
    assert isinstance(found.direction, Direction)
    assert found.direction.site == Site("resid_post", 3)
    with pytest.raises(ModelError, match="how many blocks"):
        run(reduction, world.batches(), Inputs(facts={"chat": ModelFacts()}))


def test_reads(make_task):
    reads = finder(tokens="all").options.reads(make_task())
    assert [(s.name, s.view, s.data, s.tokens) for s in reads.streams] == [
        ("positive", "chat", "harmful", "all"),
        ("negative", "chat", "harmless", "all"),
    ]
    assert reads.sites == (Site("resid_post", 3),)
    assert not reads.finish
