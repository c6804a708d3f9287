"""A statistic that can do everything that one may do: records, tables, arrays, categories."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from fakes.lab import LAB
from fakes.models import VOCABULARY, WIDTH
from harness.contract import (
    Batch,
    DataRef,
    Direction,
    DirectionRef,
    Inputs,
    Outcome,
    PairRef,
    PValues,
    Reads,
    Record,
    SaeRef,
    SiteName,
    State,
    StatisticOptions,
    Stream,
    TaskView,
    ViewRef,
)
from harness.contract.sites import parse_site


class TallyOptions(StatisticOptions):
    """Options of `tally`."""

    finish_only: ClassVar[frozenset[str]] = frozenset({"scale"})

    pair: PairRef | None = None
    """The pair it reads."""
    view: ViewRef | None = None
    """The view it reads."""
    data: DataRef | None = None
    """What the view reads."""
    more: DataRef | None = None
    """What the view reads besides, in a stream of its own."""
    site: SiteName | None = None
    """Where it reads."""
    sae: SaeRef | None = None
    """The SAE whose active latents it counts."""
    start: DirectionRef | None = None
    """A direction that it starts from."""
    logits: bool = False
    """Whether it reads logits."""
    offset: int = 0
    """Added to every sum; the pass depends on it."""
    scale: int = 1
    """What the record is multiplied with; the pass does not depend on it."""
    numpy: bool = False
    """Whether features in its table are numpy's integers."""

    def reads(self, task: TaskView) -> Reads:
        streams: tuple[Stream, ...] = ()
        if self.pair is not None:
            streams = (task.pair(self.pair),)
        if self.view is not None and self.data is not None:
            streams += (Stream("read", self.view, self.data),)
        if self.view is not None and self.more is not None:
            streams += (Stream("more", self.view, self.more),)
        return Reads(
            streams,
            sites=(parse_site(self.site),) if self.site else (),
            saes=(self.sae,) if self.sae else (),
            logits=self.logits,
            start=(self.start,) if self.start else (),
        )


class Tally:
    """Sums of activations, logits and active latents of both sides, and the tokens read."""

    def __init__(self, options: TallyOptions) -> None:
        self.options = options

    def start(self, inputs: Inputs) -> State:
        LAB.started.append(inputs)
        state: State = {
            "sum": np.full(WIDTH, float(self.options.offset)),
            "logits": np.zeros(VOCABULARY),
            "active": np.zeros(2 * WIDTH),
            "counts": np.zeros(3, dtype=np.int64),
        }
        if self.options.start is not None:
            before = inputs.directions[self.options.start]
            assert isinstance(before, Direction), before
            state["given"] = before.vectors[0].copy()
        return state

    def update(self, state: State, batch: Batch) -> State:
        LAB.batches.append((self, batch))
        out = {name: array.copy() for name, array in state.items()}
        rows = batch.selected
        for side in (batch.left, batch.right):
            if side is None:
                continue
            if self.options.site is not None:
                out["sum"] += side.x(parse_site(self.options.site))[rows].double().sum(0).numpy()
            if self.options.logits:
                out["logits"] += side.logits()[rows].double().sum(0).numpy()
            if self.options.sae is not None:
                active = side.latents(self.options.sae).dense() > 0
                out["active"] += active.double().sum(0).numpy()
        second = batch.stream == "more"
        out["counts"] += np.array([len(rows), len(batch.documents), second * len(rows)])
        return out

    def merge(self, left: State, right: State) -> State:
        merged = {name: left[name] + right[name] for name in left}
        merged["sum"] -= self.options.offset  # both began with it
        if "given" in left:
            merged["given"] = left["given"]
        return merged

    def finish(self, state: State, inputs: Inputs) -> Outcome:
        tokens, documents, more = (int(count) for count in state["counts"])
        given = state.get("given", np.zeros(1))
        total = float(state["sum"].sum() + state["logits"].sum() + given.sum())
        record = Record(
            "tally.total@1", total * self.options.scale, tokens, "tokens", "units",
            options={"scale": self.options.scale}, clusters=documents, ci_why="exact",
            axes={"more": more},
        )  # fmt: skip
        features = np.argsort(-state["active"], kind="stable")
        rows = [
            {"sae": self.options.sae, "feature": n if self.options.numpy else int(n)}
            for n in features
        ]
        arrays = {name: state[name] for name in ("sum", "active", "counts")}
        ps = np.concatenate([np.full(1, 1e-9), np.full(len(features) - 1, 0.5)])
        tests = PValues("tally.active@1", ps, "nothing is active", axes={"sae": self.options.sae})
        return Outcome(
            (record,), {"features": rows} if self.options.sae else {}, arrays=arrays,
            p_values=(tests,) if self.options.sae else (),
        )  # fmt: skip
