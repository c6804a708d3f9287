"""A direction finder that can do everything that one may do."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Literal

import numpy as np

from fakes.lab import LAB
from fakes.models import WIDTH
from harness.contract import (
    Axes,
    Batch,
    DataRef,
    Direction,
    DirectionOptions,
    DirectionRef,
    Found,
    Inputs,
    Outcome,
    Reads,
    Record,
    SaeRef,
    SiteName,
    State,
    Stream,
    TaskView,
    Undefined,
    ViewRef,
)
from harness.contract.sites import parse_site
from harness.errors import Problem, TaskError


class ProbeOptions(DirectionOptions):
    """Options of `probe`."""

    finish_only: ClassVar[frozenset[str]] = frozenset({"scale", "draws", "finish"})

    view: ViewRef | None = None
    """The view it reads; none without."""
    data: DataRef | None = None
    """The data it reads."""
    site: SiteName = "resid_post.2"
    """Where it reads and lies."""
    tokens: Literal["all", "last"] = "all"
    """Which tokens it reads."""
    sae: SaeRef | None = None
    """An SAE that it looks at."""
    start: DirectionRef | None = None
    """A direction that it needs to start."""
    finish: DirectionRef | None = None
    """A direction that it needs to finish."""
    offset: int = 0
    """Added to every number; the pass depends on it."""
    scale: int = 1
    """What the vectors are multiplied with; the pass does not depend on it."""
    draws: int = 1
    """How many directions come out."""
    undefined: bool = False
    """Whether there is no such direction."""
    label: str = ""
    """Read by nobody."""
    sulk: bool = False
    """Whether `reads` refuses."""

    def reads(self, task: TaskView) -> Reads:
        if self.sulk:
            raise TaskError([Problem("data", "is missing, and nothing can be inherited.")])
        streams = ()
        if self.view is not None and self.data is not None:
            streams = (Stream("read", self.view, self.data, tokens=self.tokens),)
        return Reads(
            streams=streams,
            sites=(parse_site(self.site),) if self.sae is None else (task.sae_site(self.sae),),
            saes=() if self.sae is None else (self.sae,),
            start=() if self.start is None else (self.start,),
            finish=() if self.finish is None else (self.finish,),
        )

    def variants(self) -> Sequence[Axes]:
        return ({},) if self.draws == 1 else tuple({"draw": n} for n in range(self.draws))


class Probe:
    """The sum of all activations, plus what it was given to start."""

    def __init__(self, options: ProbeOptions) -> None:
        self.options = options

    def start(self, inputs: Inputs) -> State:
        LAB.started.append(inputs)
        state = {"sum": np.full(WIDTH, float(self.options.offset))}
        if self.options.start is not None:
            before = inputs.directions[self.options.start]
            assert isinstance(before, Direction), before
            state["sum"] += before.vectors[0]
        return state

    def update(self, state: State, batch: Batch) -> State:
        LAB.batches.append((self, batch))
        x = batch.left.x(parse_site(self.options.site))
        return {"sum": state["sum"] + x.double().sum(0).numpy()}

    def merge(self, left: State, right: State) -> State:
        return {"sum": left["sum"] + right["sum"]}

    def finish(self, state: State, inputs: Inputs) -> Outcome:
        LAB.finished.append((self, inputs))
        if self.options.undefined:
            nothing = Undefined("there is nothing here")
            return Outcome(directions=tuple(Found(nothing, a) for a in self.options.variants()))
        vector = state["sum"] * self.options.scale
        site = parse_site(self.options.site)
        return Outcome(
            records=(Record("probe.total@1", float(vector.sum()), 1, "vectors", "units",
                            options=self.options.model_dump(mode="json"), ci_why="exact"),),
            tables={"sums": [{"channel": n, "sum": value} for n, value in enumerate(vector)]},
            directions=tuple(
                Found(Direction(site, (n + 1) * vector[None]), axes)
                for n, axes in enumerate(self.options.variants())
            ),
        )  # fmt: skip
