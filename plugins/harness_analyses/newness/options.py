"""What a task may write for `newness` and `component_lens`. Imports nothing heavy."""

from __future__ import annotations

from typing import Annotated, ClassVar

from pydantic import Field, model_validator

from harness.contract import AnalysisOptions, Capability, ModelRef, PairRef, StatisticRef


class NewnessOptions(AnalysisOptions):
    """Options of `newness`."""

    pairs: Annotated[tuple[PairRef, ...], Field(min_length=1)] | None = None
    """The pairs that are looked at; all that were measured, without it."""
    k: int = Field(16, ge=1)
    """With how many decoder rows a change should be said; one of the k of `few_rows`."""
    low_rank: float = Field(0.5, gt=0, lt=1)
    """A first principal component with at least this share of the change: one direction leads."""
    said: float = Field(0.5, gt=0, le=1)
    """From this gain, or this share beyond random rows, on, decoder rows say the change."""
    unsaid: float = Field(0.25, ge=0, lt=1)
    """Up to this gain they say no more than chance."""
    missed: float = Field(0.25, gt=0)
    """Up to this `fvu_change.pooled` the SAE's own latents rebuild the change."""
    noise: float = Field(0.5, gt=0)
    """From this `few_rows.rounding` on, the change may be that of the activations' dtype."""

    @model_validator(mode="after")
    def _apart(self) -> NewnessOptions:
        if self.unsaid >= self.said:
            raise ValueError(
                f"unsaid = {self.unsaid:g} must be below said = {self.said:g}: between them lies "
                "what stays undecided"
            )
        return self


class ComponentLensOptions(AnalysisOptions):
    """Options of `component_lens`."""

    model_needs: ClassVar[frozenset[Capability]] = frozenset({"gradients", "tokens"})

    statistic: StatisticRef
    """The statistic `change_rest` whose components are shown."""
    pair: PairRef | None = None
    """Whose components, where the statistic sweeps over pairs; those of all without it."""
    model: ModelRef
    """The model whose last norm and head read them: the tuned one."""
    top: int = Field(10, ge=1, le=100)
    """How many tokens are listed for each component and sign."""
    components: int = Field(3, ge=1, le=100)
    """How many components, the first ones."""
    draws: int = Field(100, ge=20, le=10_000)
    """Random directions that are read in the same way, for comparison."""
