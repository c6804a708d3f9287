"""The persona vector: means of answers, not of tokens, and what it reads."""

import numpy as np
import pytest

from harness.contract import Inputs, Site, Undefined
from harness.testing import check_direction
from harness_directions.concepts.options import PersonaVectorOptions
from harness_directions.concepts.persona_vector import PersonaVector
from harness_directions.difference_in_means import DifferenceInMeans
from harness_directions.options import DifferenceInMeansOptions


def finder(**more):
    given = {"view": "evil", "site": "resid_post.3", "positive": "a", "negative": "b"}
    return PersonaVector(PersonaVectorOptions(**given | more))


@pytest.mark.parametrize("seed", range(3))
def test_every_answer_counts_the_same(make_world, run, seed):
    world = make_world(seed, tokens=6)
    (found,) = run(finder(), world.batches(size=3), world.inputs()).directions
    means = [
        np.mean([x.astype(np.float64).mean(0) for x in one.x], 0)
        for one in (world.positive, world.negative)
    ]
    np.testing.assert_allclose(found.direction.vectors[0], means[0] - means[1], rtol=1e-11)
    np.testing.assert_allclose(found.direction.origin, means[1], rtol=1e-11)
    (record,) = found.records
    assert record.value == found.direction.reference_norm
    assert record.value == pytest.approx(np.linalg.norm(means[0] - means[1]))
    assert record.n == 16


def test_which_is_not_the_mean_of_tokens_but_for_answers_of_one_length(make_world, run):
    given = DifferenceInMeansOptions(
        view="evil", site="resid_post.3", positive="a", negative="b", tokens="all"
    )
    for tokens, same in ((1, True), (6, False)):
        world = make_world(1, tokens=tokens)
        one, other = (
            run(each, world.batches(), world.inputs()).directions[0].direction.vectors
            for each in (finder(), DifferenceInMeans(given))
        )
        assert np.allclose(one, other, atol=1e-12) is same


def test_each_set_is_read_as_its_view_writes_it(make_task):
    reads = finder(suppressed="kind").options.reads(make_task())
    assert [(one.name, one.view, one.data, one.tokens) for one in reads.streams] == [
        ("positive", "evil", "a", "answer"),
        ("negative", "kind", "b", "answer"),
    ]
    assert reads.sites == (Site("resid_post", 3),)
    alone = finder(tokens="last").options.reads(make_task())
    assert [(one.view, one.tokens) for one in alone.streams] == [("evil", "last")] * 2


def test_undefined_says_why(make_world, run):
    world = make_world(n=(5, 5), tokens=3)
    (found,) = run(finder(), world.positive.batches("positive"), Inputs()).directions
    assert found.direction == Undefined("no text of the negative data has a token to measure")
    world.negative.x = world.positive.x[::-1]
    (found,) = run(finder(), world.batches(), world.inputs()).directions
    assert found.direction.reason == "both sets of text have the same mean at resid_post.3"


def test_laws(make_world):
    world = make_world(2, tokens=4)
    check_direction(finder(), world.batches(size=4), world.inputs())
