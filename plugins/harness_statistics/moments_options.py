"""What a task may write for `latent_moments`. Imports nothing heavy."""

from __future__ import annotations

from pydantic import Field, model_validator

from harness.contract import (
    DataRef,
    PairRef,
    Reads,
    SaeRef,
    SiteName,
    StatisticOptions,
    Stream,
    TaskView,
    ViewRef,
)
from harness.contract.sites import parse_site


class LatentMoments(StatisticOptions):
    """Options of `latent_moments`."""

    pair: PairRef | None = None
    """The pair whose change is measured, such as without and with demonstrations."""
    view: ViewRef | None = None
    """A view by itself, with `data`, where nothing changes."""
    data: DataRef | None = None
    """What the view reads."""
    sae: SaeRef
    """Whose latents."""
    raw: SiteName | None = None
    """A site whose activations are measured, too: the control without an SAE."""
    groups: int = Field(default=10, ge=0, le=100)
    """Groups of documents whose sums are kept apart, for intervals; 0 keeps none. Memory: five
    float64 numbers per group, latent and category."""

    @model_validator(mode="after")
    def _pair_or_view(self) -> LatentMoments:
        if (self.pair is None) == (self.view is None) or (self.view is None) != (self.data is None):
            raise ValueError("give either pair, or view and data")
        if self.groups == 1:
            raise ValueError("groups is 1; an interval needs at least 2, and 0 keeps none")
        return self

    def reads(self, task: TaskView) -> Reads:
        """The pair's stream, or the view's, with the SAE and its site."""
        if self.pair is not None:
            stream = task.pair(self.pair)
        else:
            assert self.view is not None
            assert self.data is not None
            stream = Stream("view", self.view, self.data)
        sites = (task.sae_site(self.sae), *([] if self.raw is None else [parse_site(self.raw)]))
        return Reads(streams=(stream,), sites=tuple(dict.fromkeys(sites)), saes=(self.sae,))
