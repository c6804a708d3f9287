"""What a task may write for `latent_attribution`. Imports no torch."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, ClassVar

from pydantic import AfterValidator, Field

from harness.contract import FollowedOptions, PairRef, Reads, SaeRef, StatisticOptions, TaskView
from harness.errors import Problem, TaskError

Count = Annotated[int, Field(ge=1)]


def _rising(given: tuple[int, ...]) -> tuple[int, ...]:
    if len(set(given)) < len(given):
        raise ValueError("k names a number twice; allowed: each once")
    return tuple(sorted(given))


class LatentAttributionOptions(FollowedOptions, StatisticOptions):
    """Options of `latent_attribution`."""

    finish_only: ClassVar[frozenset[str]] = frozenset({"k", "gap_max", "table"})

    pair: PairRef
    """The two models, left before and right after, on prompts where the behaviour shows."""
    sae: SaeRef
    """The SAE whose latents the change is written in; a model's own, not a transcoder."""
    k: Annotated[tuple[Count, ...], Field(min_length=1), AfterValidator(_rising)] = (1, 4, 16, 64)
    """How many of the first latents are added up."""
    shuffles: int = Field(5, ge=1, le=100)
    """How often decoder directions are dealt out anew among the latents, as a null. Time: a product
    of all gradients with the rows of changed latents each."""
    gap_max: float = Field(0.1, gt=0, le=1)
    """The largest gap of completeness with which latents are ranked at all."""
    table: int = Field(50, ge=1)
    """Rows of the table."""

    def reads(self, task: TaskView) -> Reads:
        """The pair at the SAE's site, its latents, and the path between its sides."""
        facts, site = task.sae_facts(self.sae), task.sae_site(self.sae)
        if facts.site_out is not None and facts.site_out != site:
            what = (
                f"is {self.sae}, a transcoder: it writes at {facts.site_out} what it does not read "
                f"there, so its latents do not rebuild the activations at {site}. Allowed: an SAE "
                "that rebuilds what it reads"
            )
            raise TaskError([Problem("sae", what)])
        return Reads(
            streams=(replace(task.pair(self.pair), tokens=self.tokens),),
            sites=(site,),
            saes=(self.sae,),
            paths=(self.path(site),),
        )

    def keeps(self, width: int, latents: int) -> int:
        """Sums of each latent, and of each shuffle."""
        return (7 + self.shuffles) * latents
