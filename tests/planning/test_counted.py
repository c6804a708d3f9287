"""What a plan sums up at once is what it would add up one by one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import fields

import pytest
from hypothesis import given, strategies as st

from harness.planning.cost.devices import DEVICES
from harness.planning.cost.earlier import Written
from harness.planning.cost.estimate import cost, costs
from harness.planning.cost.lengths import PromptLengths
from harness.planning.cost.reading import read_of
from harness.planning.counts import Counts, forward_counts
from harness.planning.planner import plan
from harness.task.task import Task

numbers = st.integers(0, 10**12)
some_counts = st.builds(Counts, *[numbers] * len(fields(Counts)))


@given(some_counts, some_counts)
def test_a_sum_adds_every_field(one: Counts, other: Counts) -> None:
    for field in fields(Counts):
        both = getattr(one, field.name) + getattr(other, field.name)
        assert getattr(one + other, field.name) == both


@pytest.mark.slow
@given(st.lists(st.lists(st.integers(0, 4096), min_size=1, max_size=9), max_size=9))
def test_reading_batches_is_a_forward_over_each(batches: Sequence[Sequence[int]]) -> None:
    read = read_of(batches)
    each = [forward_counts(batch) for batch in batches]
    assert read.counts == sum(each, Counts())
    assert read.largest == max((one.positions for one in each), default=0)
    # Each position of a row looks at itself and at those before it.
    looks = [len(batch) * sum(range(1, max(batch) + 1)) for batch in batches]
    assert read.pairs == sum(looks)


def test_every_device_has_its_own_estimate(task: Callable[..., Task]) -> None:
    planned = plan(task('[metrics.loss]\nview = "base"\ndata = "web"\nsaes = ["mid"]\n'))
    prompts, earlier = PromptLengths(planned.task), dict[str, Written]()
    found = costs(planned, DEVICES, earlier=earlier, prompts=prompts)
    for name in DEVICES:
        assert repr(found[name]) == repr(cost(planned, name))  # what is unknown is nan
    assert len({id(one) for one in found.values()}) == 2  # numbers of four bytes, and of two
