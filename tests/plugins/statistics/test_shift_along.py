"""How far a fine-tune moves along a direction: laws, nulls and what is refused."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from harness.contract import Direction, Inputs, Site, Undefined
from harness.errors import ModelError, TaskError
from harness.testing import small_batch
from harness_statistics.options import ShiftAlongOptions
from harness_statistics.samples import shift_along
from harness_statistics.shift_along import ShiftAlong

SITE = Site("resid_post", 1)
VECTOR = np.random.default_rng(3).normal(size=(1, 8))


def found(batches, direction, **more):
    given = {"pair": "tuned", "direction": "v", "site": str(SITE), "tokens": "all"} | more
    one, inputs = ShiftAlong(ShiftAlongOptions(**given)), Inputs({"v": direction})
    state = one.start(inputs)
    for batch in batches:
        state = one.update(state, batch)
    return {record.id.split(".")[1]: record for record in one.finish(state, inputs).records}


def batches(n=4):
    return [small_batch(seed, documents=12) for seed in range(n)]


def test_laws(tmp_path):
    for check in shift_along(tmp_path):
        check()


def test_the_same_model_has_not_moved():
    same = [replace(batch, right=batch.left) for batch in batches()]
    records = found(same, Direction(SITE, VECTOR))
    for name in ("projection@1", "distance@1"):
        assert records[name].value == 0
        assert records[name].ci == (0, 0)
        assert records[name].null == {"kind": "identical", "value": 0.0}
    assert records["share@1"].undefined == "nothing moved on average"


def test_a_longer_direction_is_less_far_away_and_its_opposite_is_behind():
    one, longer, behind = (found(batches(), Direction(SITE, by * VECTOR)) for by in (1, 2, -1))
    value = one["projection@1"].value
    assert longer["projection@1"].value == pytest.approx(value)
    assert longer["distance@1"].value == pytest.approx(one["distance@1"].value / 2)
    assert behind["projection@1"].value == pytest.approx(-value)
    assert behind["share@1"].value == pytest.approx(one["share@1"].value)
    low, high = one["projection@1"].ci
    assert low < value < high
    assert one["share@1"].null == {"kind": "a random direction", "value": 1 / 8}
    assert one["projection@1"].n == one["projection@1"].clusters == 48
    assert one["projection@1"].axes == {"pair": "tuned", "site": str(SITE), "along": "v"}


def test_a_fine_tune_along_the_direction_is_all_of_it():
    class Moved:
        def __init__(self, left):
            self.left = left

        def x(self, site):
            return self.left.x(site) + 0.5 * torch.tensor(VECTOR, dtype=torch.float32)

    moved = [replace(batch, right=Moved(batch.left)) for batch in batches()]
    records = found(moved, Direction(SITE, VECTOR))
    assert records["distance@1"].value == pytest.approx(0.5, abs=1e-6)
    assert records["share@1"].value == pytest.approx(1.0, abs=1e-9)


def test_what_is_undefined_says_why():
    assert found([], Direction(SITE, VECTOR))["projection@1"].undefined == (
        "the pair 'tuned' has no token to measure"
    )
    records = found(batches(), Undefined("there is none"))
    assert {record.undefined for record in records.values()} == {
        "the direction 'v' is undefined: there is none"
    }


def test_what_does_not_fit_is_refused():
    with pytest.raises(ModelError, match=r"directions\.v lives at resid_post\.2"):
        found(batches(), Direction(Site("resid_post", 2), VECTOR))
    with pytest.raises(TaskError, match="'v' has 2 vectors"):
        found(batches(), Direction(SITE, np.concatenate([VECTOR, VECTOR])))
