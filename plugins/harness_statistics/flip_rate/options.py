"""What a task may write for `flip_rate`. Imports no torch."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, ClassVar, Literal

from pydantic import Field, model_validator

from harness.contract import (
    DirectionRef,
    Encodes,
    Outlook,
    PairRef,
    Reads,
    SaeRef,
    SiteName,
    StatisticOptions,
    TaskView,
)
from harness.contract.sites import parse_site
from harness_statistics.options import saes_at

Injection = Literal["pcs", "constant", "random"]


class FlipRateOptions(StatisticOptions):
    """Options of `flip_rate`."""

    finish_only: ClassVar[frozenset[str]] = frozenset({"min_support", "table"})

    pair: PairRef
    """The pair of views: which latents of the left one are on, and which of the right one."""
    site: SiteName
    """Where in the model. With `sweep = { pair = […], site = […] }`, `pcs` needs the same sweep."""
    saes: Annotated[tuple[SaeRef, ...], Field(min_length=1)]
    """The SAEs whose latents are watched; those that read at another site are left out, so that
    a sweep over sites can name all of them."""
    pcs: DirectionRef | None = None
    """The principal components to inject, a direction of several vectors; without it only the
    flips between the two models are counted."""
    ranks: tuple[Annotated[int, Field(ge=0)], ...] = (1, 3, 5, 10)
    """How many components are injected: each k of these."""
    injections: tuple[Injection, ...] = ("pcs", "constant", "random")
    """`pcs` adds each token's own change along the components; `constant` the same multiple of
    them to every token; `random` a random vector as long as what `pcs` adds to that token."""
    alpha: float = Field(default=1.0, allow_inf_nan=False)
    """How many times σ_i/√N of each component `constant` adds."""
    tau: float = Field(default=0.0, ge=0, allow_inf_nan=False)
    """A latent is on above this value, in its own units. A share of each latent's maximum would
    need a pass of its own before this one: what is on must be known while tokens stream by."""
    draws: int = Field(default=5, ge=5)
    """How many random vectors stand beside each token's change."""
    min_support: int = Field(default=10, ge=1)
    """Tokens on which a latent must be on, before or after, to count in the mean over latents."""
    table: int = Field(default=200, ge=0)
    """How many latents of each SAE the table of flips shows, most flips first."""

    @model_validator(mode="after")
    def _fits(self) -> FlipRateOptions:
        if len(set(self.ranks)) < len(self.ranks) or len(set(self.saes)) < len(self.saes):
            raise ValueError("ranks and saes name each thing once")
        if "random" in self.injections and "pcs" not in self.injections:
            raise ValueError("random vectors are as long as what pcs adds; add pcs to injections")
        return self

    def counted(self, task: TaskView, injection: str) -> tuple[int, ...]:
        """How many components an injection adds, each k of these: as many as there are."""
        if self.pcs is None or injection not in self.injections:
            return ()
        most = components(task, self.pcs)
        return tuple(k for k in self.ranks if k <= most)

    def foresee(self, task: Outlook) -> Iterator[str]:
        """Ranks that were written and are more than there are components."""
        if self.pcs is None or "ranks" not in self.model_fields_set:
            return
        most = components(task, self.pcs)
        if beyond := [k for k in self.ranks if k > most]:
            yield (
                f"ranks {', '.join(map(str, beyond))} will be left out: {self.pcs} finds {most} "
                f"components. Allowed: 0 to {most}, or raise components of {self.pcs}."
            )

    def reads(self, task: TaskView) -> Reads:
        """Both sides at the site, the SAEs there, and the components before the first token."""
        site = parse_site(self.site)
        return Reads(
            streams=(task.pair(self.pair),),
            sites=(site,),
            saes=saes_at(task, self.saes, site),
            start=() if self.pcs is None else (self.pcs,),
        )

    def encodes(self, task: TaskView, stream: str, sae: str) -> Encodes:
        """Both sides, and the left one anew under each injection, rank and draw."""
        single = ("pcs", "constant")
        anew = sum(len(self.counted(task, injection)) for injection in single)
        return Encodes(anew=anew + self.draws * len(self.counted(task, "random")))


def components(task: TaskView, direction: str) -> int:
    """How many single components a direction finds: those of its variants that have a `pc`."""
    return sum("pc" in axes for axes in task.direction(direction).variants())
