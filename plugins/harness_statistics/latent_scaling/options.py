"""What a task may write for `latent_scaling`. Imports nothing heavy."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field, model_validator

from harness.contract import PairRef, Reads, SaeFacts, SaeRef, StatisticOptions, TaskView
from harness.errors import Problem, TaskError
from harness_statistics.options import check_apart


class LatentScalingOptions(StatisticOptions):
    """Options of `latent_scaling`."""

    joined_saes: ClassVar[bool] = True
    finish_only: ClassVar[frozenset[str]] = frozenset(
        {"one_sided", "shared", "error", "reconstruction", "minimum", "table"}
    )

    pair: PairRef
    """The pair that the SAE reads, on the text that counts."""
    sae: SaeRef
    """A crosscoder, or an SAE of differences."""
    side: Literal["left", "right"] = "right"
    """Whose latents are asked about, and whose decoder rows are measured with on both sides: the
    right side is as a rule the tuned model."""
    one_sided: float = Field(default=0.1, gt=0, lt=0.5)
    """A latent belongs to one side within this of either end, as in `decoder_norms`."""
    shared: float = Field(default=0.1, gt=0, lt=0.5)
    """A latent is shared where its number is no further than this from 0.5."""
    error: float = Field(default=0.2, gt=0, lt=2)
    """From this ratio on, the other side's error holds the latent: complete shrinkage."""
    reconstruction: float = Field(default=0.5, gt=0, lt=2)
    """From this ratio on, other latents write it on the other side: latent decoupling."""
    minimum: int = Field(default=10, ge=1)
    """Tokens on which a latent must be active to be judged."""
    groups: int = Field(default=8, ge=0, le=100)
    """Groups of documents whose sums are kept apart, for intervals; 0 keeps one sum and no
    interval. Memory: seven numbers of 8 bytes for each group and latent."""
    table: int = Field(default=20, ge=1)
    """Rows of the table: the latents with the smallest ratios."""

    @model_validator(mode="after")
    def _apart(self) -> LatentScalingOptions:
        check_apart(self.one_sided, self.shared)
        return self

    def reads(self, task: TaskView) -> Reads:
        """Both sides of the pair, and what the SAE makes of them together."""
        if problem := unscalable(task.sae_facts(self.sae), self.sae):
            raise TaskError([problem])
        site = task.sae_site(self.sae)
        return Reads(streams=(task.pair(self.pair),), sites=(site,), saes=(self.sae,))

    def keeps(self, width: int, latents: int) -> int:
        """Seven sums of each latent, for each group; of an SAE of differences the mean, too."""
        return max(self.groups, 1) * (7 * latents + width)


def unscalable(facts: SaeFacts, sae: str) -> Problem | None:
    """What is wrong with an SAE that reads no pair, or keeps the codes of both models apart."""
    if facts.one_sided:
        return Problem(
            "sae",
            f"{sae} keeps the codes of both models apart (DECOUPLED): each latent writes to one "
            "side alone. Allowed: a crosscoder with one code for both, or an SAE of differences.",
        )
    if (facts.d_in is not None or facts.inputs) and not facts.of_pair:
        return Problem(
            "sae",
            f"{sae} reads one model. Allowed: a crosscoder or an SAE of differences, which read "
            "both sides of a pair at once.",
        )
    return None
