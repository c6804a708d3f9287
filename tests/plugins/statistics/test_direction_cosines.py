"""Cosines of directions: laws, chance, and where there is none."""

import numpy as np
import pytest

from harness.contract import Direction, Inputs, Site, Undefined
from harness_statistics.direction_cosines import DirectionCosines
from harness_statistics.options import DirectionCosinesOptions
from harness_statistics.samples import direction_cosines

SITE = Site("resid_post", 1)


def found(**directions):
    given = DirectionCosinesOptions(directions=tuple(directions))
    one, inputs = DirectionCosines(given), Inputs(directions)
    outcome = one.finish(one.start(inputs), inputs)
    records = {(r.axes["one"], r.axes["other"]): r for r in outcome.records}
    return records, {row["direction"]: row for row in outcome.tables["cosines"]}


def test_laws(tmp_path):
    for check in direction_cosines(tmp_path):
        check()


def test_chance_is_the_mean_of_random_vectors():
    vectors = np.random.default_rng(0).normal(size=(40_000, 12))
    cosines = np.abs(vectors[:, 0]) / np.linalg.norm(vectors, axis=1)
    records, _ = found(v=Direction(SITE, vectors[:1]), w=Direction(SITE, vectors[1:2]))
    assert records["v", "w"].null["value"] == pytest.approx(cosines.mean(), rel=0.02)
    records, _ = found(v=Direction(SITE, np.ones((1, 1))), w=Direction(SITE, -np.ones((1, 1))))
    assert (records["v", "w"].value, records["v", "w"].null["value"]) == (-1, 1)


def test_where_there_is_none_it_says_why():
    v = Direction(SITE, np.ones((1, 3)))
    records, rows = found(
        v=v,
        gone=Undefined("there is none"),
        two=Direction(SITE, np.eye(3)[:2]),
        away=Direction(Site("resid_post", 2), np.ones((1, 3))),
    )
    assert records["v", "gone"].undefined == "gone is undefined: there is none"
    assert "two has 2 vectors" in records["v", "two"].undefined
    assert "v lives at resid_post.1, away at resid_post.2" in records["v", "away"].undefined
    assert rows["v"] == {"direction": "v", "v": 1.0, "gone": None, "two": None, "away": None}
    assert rows["gone"]["gone"] is None


def test_a_name_twice_is_refused():
    with pytest.raises(ValueError, match="names one twice"):
        DirectionCosinesOptions(directions=("v", "v"))
