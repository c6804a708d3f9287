"""What a task may write for `contexts`. Imports nothing heavy."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from harness.contract import (
    DataRef,
    PairRef,
    Reads,
    SaeRef,
    StatisticOptions,
    Stream,
    TaskView,
    ViewRef,
)


class Contexts(StatisticOptions):
    """Options of `contexts`."""

    sae: SaeRef
    """The SAE whose features are looked up."""
    view: ViewRef | None = None
    """The view whose activations are read, on `data`; or else `pair`."""
    data: DataRef | None = None
    """The text."""
    pair: PairRef | None = None
    """A pair that is read anyway: its text, without a pass of its own."""
    side: Literal["left", "right"] = "left"
    """Which side of the pair."""
    count: int = Field(5, ge=1, le=100)
    """Contexts kept for each feature, each from another document."""
    before: int = Field(12, ge=0, le=200)
    """Tokens kept before the one where the feature is strongest."""
    after: int = Field(6, ge=0, le=200)
    """Tokens kept after it."""

    def reads(self, task: TaskView) -> Reads:
        """The SAE's latents of one view."""
        if self.pair is not None:
            stream = task.pair(self.pair)
        else:
            assert self.view is not None
            assert self.data is not None
            stream = Stream("contexts", self.view, self.data)
        return Reads(streams=(stream,), sites=(task.sae_site(self.sae),), saes=(self.sae,))

    @model_validator(mode="after")
    def _one_stream(self) -> Contexts:
        if (self.pair is None) == (self.view is None):
            raise ValueError("give exactly one of pair and view")
        if (self.view is None) != (self.data is None):
            raise ValueError("view and data belong together: a pair has its own data")
        if self.pair is None and self.side != "left":
            raise ValueError("side belongs to pair, and there is none")
        return self
