"""What a task may write for `pc_feature_cosine`. Imports no torch."""

from __future__ import annotations

from typing import Annotated, ClassVar

from pydantic import Field

from harness.contract import (
    DirectionRef,
    PairRef,
    Reads,
    SaeRef,
    SiteName,
    StatisticOptions,
    TaskView,
)
from harness.contract.sites import parse_site
from harness_statistics.at_site import saes_at


class PcFeatureCosine(StatisticOptions):
    """Options of `pc_feature_cosine`."""

    finish_only: ClassVar[frozenset[str]] = frozenset({"table"})

    pair: PairRef
    """The pair of views that the components were found on."""
    site: SiteName
    """Where in the model. With `sweep = { pair = […], site = […] }`, `pcs` needs the same sweep."""
    saes: Annotated[tuple[SaeRef, ...], Field(min_length=1)]
    """The SAEs whose decoder rows are compared, such as several widths; those that read at
    another site are left out, so that a sweep over sites can name all of them."""
    pcs: DirectionRef
    """The principal components, a direction of several vectors."""
    table: int = Field(default=20, ge=1)
    """How many features of each SAE the table shows for each component, best aligned first."""

    def reads(self, task: TaskView) -> Reads:
        """No activations: the SAEs' decoders, and the components."""
        saes = saes_at(task, self.saes, parse_site(self.site))
        return Reads(saes=saes, finish=(self.pcs,))
