"""What a task may write for `principal_components`. Imports no torch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, ClassVar

from pydantic import Field, model_validator

from harness.contract import Axes, DirectionOptions, PairRef, Reads, SiteName, TaskView
from harness.contract.sites import parse_site


class PrincipalComponents(DirectionOptions):
    """Options of `principal_components`."""

    finish_only: ClassVar[frozenset[str]] = frozenset({"components", "ranks", "center"})

    pair: PairRef
    """The pair of views whose difference is taken apart: right minus left, on the same tokens."""
    site: SiteName
    """Where in the model, e.g. `resid_post.15` (the output of block 15)."""
    components: int = Field(default=10, ge=1)
    """How many principal components; each is a direction of its own with the axis `pc`, and all
    of them together are one without an axis."""
    ranks: tuple[Annotated[int, Field(ge=1)], ...] = ()
    """For each k of these, also the first k components together, as one direction with axis `k`."""
    center: bool = False
    """Whether the mean difference is taken off first. It is part of what a fine-tune did."""
    sketch: int = Field(default=512, ge=2)
    """Columns of the random sketch in place of the d x d matrix, where d is above 8,192."""

    @model_validator(mode="after")
    def _within(self) -> PrincipalComponents:
        beyond = [k for k in self.ranks if k > self.components]
        if beyond or len(set(self.ranks)) < len(self.ranks):
            raise ValueError(
                f"ranks = {list(self.ranks)} of {self.components} components. Allowed: different "
                "numbers from 1 to components. Raise components, or drop the larger ranks"
            )
        return self

    def reads(self, task: TaskView) -> Reads:
        """Both sides of the pair at the site."""
        return Reads(streams=(task.pair(self.pair),), sites=(parse_site(self.site),))

    def variants(self) -> Sequence[Axes]:
        """All components together, each by itself, and the first k for each k of `ranks`."""
        single = ({"pc": pc} for pc in range(1, self.components + 1))
        return ({}, *single, *({"k": k} for k in self.ranks))
