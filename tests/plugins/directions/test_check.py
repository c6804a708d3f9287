"""The shipped check finds what it says it finds."""

from dataclasses import replace

import numpy as np
import pytest

from harness.contract import Direction, Found, Outcome, Record, Undefined
from harness.testing import check_direction
from harness_directions import options
from harness_directions.difference_in_means import DifferenceInMeans


class Base(DifferenceInMeans):
    def __init__(self):
        super().__init__(
            options.DifferenceInMeansOptions(
                view="chat", site="resid_post.3", positive="a", negative="b", tokens="all"
            )
        )


class WritesIntoTheBatch(Base):
    def update(self, state, batch):
        batch.left.x(self.site).mul_(2)
        return super().update(state, batch)


class WritesIntoTheState(Base):
    def update(self, state, batch):
        state.update(super().update(state, batch))
        return state


class MergesInPlace(Base):
    def merge(self, left, right):
        for name in right:
            left[name] = left[name] + right[name] if name in left else right[name]
        return left


class FinishesInPlace(Base):
    def finish(self, state, inputs):
        outcome = super().finish(state, inputs)
        state["done"] = np.ones(1)
        return outcome


class KeepsFloat32(Base):
    def update(self, state, batch):
        return {k: v.astype(np.float32) for k, v in super().update(state, batch).items()}


class MeanOfBatchMeans(Base):
    def update(self, state, batch):
        name, x = batch.stream, batch.left.x(self.site).double().numpy()
        new = {f"{name}_sum": x.mean(0), f"{name}_tokens": np.ones(1, np.int64)}
        new[f"{name}_prompts"] = np.array([len(batch.documents)])
        return self.merge(state, new)


class FirstDocumentsOnly(Base):
    def update(self, state, batch):
        kept = batch.selected[batch.document[batch.selected] == 0]
        return super().update(state, replace(batch, selected=kept))


class LastBatchOnly(Base):
    def update(self, state, batch):
        others = {k: v for k, v in state.items() if not k.startswith(batch.stream)}
        return super().update(others, batch)


class MergeKeepsLeft(Base):
    def merge(self, left, right):
        return {**right, **left}


class Random(Base):
    def finish(self, state, inputs):
        outcome = super().finish(state, inputs)
        (found,) = outcome.directions
        if isinstance(found.direction, Undefined):
            return outcome
        noise = np.random.default_rng().normal(size=found.direction.vectors.shape)
        direction = replace(found.direction, vectors=noise)
        return replace(outcome, directions=(replace(found, direction=direction),))


def finishing(change):
    class Changed(Base):
        def finish(self, state, inputs):
            outcome = super().finish(state, inputs)
            return replace(outcome, directions=tuple(change(f) for f in outcome.directions))

    return Changed


def directed(**changes):
    def change(found):
        if isinstance(found.direction, Undefined):
            return found
        return replace(found, direction=replace(found.direction, **changes))

    return finishing(change)


def recorded(**changes):
    return finishing(
        lambda found: replace(found, records=tuple(replace(r, **changes) for r in found.records))
    )


class TwoOfOne(Base):
    def finish(self, state, inputs):
        outcome = super().finish(state, inputs)
        return replace(outcome, directions=outcome.directions * 2)


class ErrorWithoutPrompts(Base):
    def finish(self, state, inputs):
        if not state:
            return Outcome(directions=(Found(Direction(self.site, np.ones((1, 12)))),))
        return super().finish(state, inputs)


@pytest.mark.parametrize(
    ("broken", "law"),
    [
        (WritesIntoTheBatch, "inputs are not modified: update changed a tensor"),
        (WritesIntoTheState, "inputs are not modified: update changed the state"),
        (MergesInPlace, "inputs are not modified: merge changed its left"),
        (FinishesInPlace, "inputs are not modified: finish"),
        (KeepsFloat32, "the state is plain arrays"),
        (MeanOfBatchMeans, "any split into batches gives the same"),
        (FirstDocumentsOnly, "any split into batches gives the same"),
        (LastBatchOnly, "any split into batches gives the same"),
        (MergeKeepsLeft, "any split into states gives the same"),
        (Random, "finish is deterministic"),
        (directed(vectors=np.zeros((1, 12))), "directions are finite"),
        (directed(vectors=np.full((1, 12), np.inf)), "directions are finite"),
        (directed(vectors=np.ones((1, 12), np.float32)), "directions are finite"),
        (directed(vectors=np.ones(12)), "directions are finite"),
        (directed(features=(1, 2)), "every feature has a weight"),
        (directed(readers=np.ones((1, 11))), "readers are finite"),
        (directed(readers=np.zeros((1, 12))), "a reader gives its own vector 1"),
        (finishing(lambda f: replace(f, direction=Undefined(""))), "what is undefined says why"),
        (recorded(value=float("nan")), "records are complete"),
        (recorded(undefined="why"), "records are complete"),
        (recorded(value=None, undefined=None), "records are complete"),
        (recorded(id="norm"), "records are complete"),
        (recorded(ci_why=None), "records are complete"),
        (finishing(lambda f: replace(f, records=f.records * 2)), "more than one record"),
        (TwoOfOne, "every variant comes out once"),
        (ErrorWithoutPrompts, "nothing read is undefined"),
    ],
)
def test_a_broken_one_is_named(make_world, broken, law):
    world = make_world(n=(4, 3), tokens=3)
    with pytest.raises(AssertionError, match=f"law broken: .*{law}"):
        check_direction(broken(), world.batches(size=2), world.inputs())


def test_variants_that_are_promised_must_come_out(make_world):
    world = make_world()
    with pytest.raises(AssertionError, match="every variant comes out once"):
        check_direction(Base(), world.batches(), world.inputs(), variants=({"draw": 0},))


def test_records_may_differ_in_their_axes_alone(make_world):
    class Axed(Base):
        def finish(self, state, inputs):
            outcome = super().finish(state, inputs)
            more = tuple(
                Record("extra@1", 1.0, 1, "prompts", "x", ci_why="-", axes={"i": i}) for i in (0, 1)
            )
            return replace(outcome, records=more)

    world = make_world()
    check_direction(Axed(), world.batches(size=3), world.inputs())
