"""What a task may write for the statistics of a change. Imports nothing heavy."""

from __future__ import annotations

from typing import Annotated, ClassVar

from pydantic import AfterValidator, Field

from harness.contract import (
    DirectionRef,
    Encodes,
    PairRef,
    Reads,
    SaeRef,
    Site,
    StatisticOptions,
    TaskView,
)
from harness.errors import Problem, TaskError

Steps = Annotated[int, Field(ge=1, le=64)]


def _rising(values: tuple[int, ...]) -> tuple[int, ...]:
    if list(values) != sorted(set(values)):
        raise ValueError(f"{list(values)} do not rise. Write each number once, smallest first")
    return values


class ChangeOptions(StatisticOptions):
    """What all of them name: a pair, and the SAE whose dictionary is asked."""

    pair: PairRef
    """The two views whose difference is looked at, before on the left."""
    sae: SaeRef
    """The SAE of the model before."""

    def reads(self, task: TaskView) -> Reads:
        """The pair, where the SAE reads and where it writes."""
        if task.sae_facts(self.sae).partial:
            what = (
                f"is {self.sae}, one layer of a cross-layer transcoder: its latents are a part of "
                "what is written, so a change there is not theirs alone. Allowed: an SAE, or a "
                "transcoder of one layer"
            )
            raise TaskError([Problem("sae", what)])
        sites = dict.fromkeys((task.sae_site(self.sae), written(task, self.sae)))
        return Reads(streams=(task.pair(self.pair),), sites=tuple(sites), saes=(self.sae,))


class FewRowsOptions(ChangeOptions):
    """Options of `few_rows`."""

    finish_only: ClassVar[frozenset[str]] = frozenset({"k", "table"})

    k: Annotated[tuple[Steps, ...], Field(min_length=1), AfterValidator(_rising)] = (1, 2, 4, 8, 16)
    """How many decoder rows each token's change is written with."""
    tokens: int = Field(500, ge=10, le=100_000)
    """How many tokens are drawn, those of larger changes more often. Memory: their changes in
    float64. Time, once, on the CPU: two products of them with a matrix of the decoder's size for
    each of the largest k."""
    table: int = Field(20, ge=1)
    """Rows of the table: the features that say most of the change."""

    def encodes(self, task: TaskView, stream: str, sae: str) -> Encodes:
        """Nothing: changes are written with rows of the decoder alone."""
        return Encodes(())


class ChangeRestOptions(ChangeOptions):
    """Options of `change_rest`."""

    finish_only: ClassVar[frozenset[str]] = frozenset({"pcs"})

    components: int = Field(5, ge=1, le=100)
    """How many components of what is left are told apart."""
    groups: int = Field(8, ge=0, le=100)
    """Groups of documents whose sums are kept apart, for intervals; 0 keeps one sum and no
    interval. Memory: a matrix of d x d in float64 for each: 4 MB each at d = 724, 42 at 2,304."""
    pcs: DirectionRef | None = None
    """Principal components of the whole change, to say how much what is left looks like them."""

    def reads(self, task: TaskView) -> Reads:
        """The pair, the SAE's sites, and at the end the components of the change."""
        found = super().reads(task)
        return Reads(
            streams=found.streams,
            sites=found.sites,
            saes=found.saes,
            finish=() if self.pcs is None else (self.pcs,),
        )


class ChangeLatentsOptions(ChangeOptions):
    """Options of `change_latents`."""

    finish_only: ClassVar[frozenset[str]] = frozenset({"delta", "minimum", "top", "table"})

    delta: float = Field(1e-4, gt=0, lt=1)
    """A latent is woken where it is on in at least this share of tokens after, and never before."""
    minimum: int = Field(10, ge=1)
    """And on at least so many tokens."""
    top: Annotated[tuple[int, ...], Field(min_length=1), AfterValidator(_rising)] = (1, 10, 100)
    """How many latents `change_latents.top_share` adds up."""
    groups: int = Field(8, ge=0, le=100)
    """Groups of documents whose sums are kept apart, for intervals; 0 keeps one sum and no
    interval. Memory: four numbers of 8 bytes for each group and latent."""
    table: int = Field(20, ge=1)
    """Rows of the table: the latents that carry most of the change."""


def written(task: TaskView, sae: str) -> Site:
    """The site whose activations an SAE reconstructs: a transcoder writes elsewhere."""
    return task.sae_facts(sae).site_out or task.sae_site(sae)
