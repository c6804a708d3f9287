"""What a task may write for the analyses of flipped latents. Imports nothing heavy."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, StringConstraints, model_validator

from harness.contract import AnalysisOptions, PairRef, SaeRef, StatisticRef

Condition = Annotated[str, StringConstraints(pattern=r"^(none|(pcs|constant)\.\d+)$")]


class _OfFlips(AnalysisOptions):
    """What every analysis of flips has in common."""

    statistics: Annotated[tuple[StatisticRef, ...], Field(min_length=1)]
    """The statistics of method `flip_rate` that it reads."""
    condition: Condition = "none"
    """Whose flips: `none` for the fine-tune's own, `pcs.3` or `constant.3` for an injection of 3
    components."""


class LayerProfileOptions(_OfFlips):
    """Options of `layer_profile`."""

    saes: tuple[SaeRef, ...] = ()
    """One SAE for each layer; needed where a layer has several."""
    group: tuple[PairRef, ...] = ()
    """Pairs whose mean centre is compared with that of others, such as safety tunes."""
    against: tuple[PairRef, ...] = ()
    """Those others; without it, all pairs that are not in the group."""

    @model_validator(mode="after")
    def _two_sides(self) -> LayerProfileOptions:
        both = sorted(set(self.group) & set(self.against))
        if both:
            raise ValueError(f"group and against both name {', '.join(both)}")
        if self.against and not self.group:
            raise ValueError("against needs a group to compare with")
        return self


class FlipOverlapOptions(_OfFlips):
    """Options of `flip_overlap`."""

    top: int = Field(default=100, ge=1)
    """How many latents of each pair count as flipped: those with the most flips."""
    pairs: tuple[PairRef, ...] = ()
    """The pairs to compare, such as checkpoints; without it, all that the statistics have."""


class TrajectoryOptions(AnalysisOptions):
    """Options of `trajectory`."""

    pairs: Annotated[tuple[PairRef, ...], Field(min_length=2)]
    """The pairs along the way, first one first: checkpoints of one fine-tune."""
    axis: str = "checkpoint"
    """The axis that tells them apart: `[pairs.NAME] axes = { checkpoint = 100 }`."""
    ids: Annotated[tuple[str, ...], Field(min_length=1)] = (
        "cosine.raw@1",
        "cosine.latent@1",
        "pc_explained_variance@2",
        "flip_rate.token@1",
    )
    """The records that are followed."""

    @model_validator(mode="after")
    def _each_once(self) -> TrajectoryOptions:
        if len(set(self.pairs)) < len(self.pairs):
            raise ValueError("pairs names a pair twice; a trajectory passes each one once")
        return self
