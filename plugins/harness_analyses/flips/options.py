"""What a task may write for the analyses of flipped latents. Imports nothing heavy."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated

from pydantic import Field, StringConstraints, model_validator

from harness.contract import AnalysisOptions, Outlook, PairRef, SaeRef, StatisticRef
from harness_statistics.flip_rate.options import FlipRateOptions

Condition = Annotated[str, StringConstraints(pattern=r"^(none|(pcs|constant)\.\d+)$")]


class _OfFlips(AnalysisOptions):
    """What every analysis of flips has in common."""

    statistics: Annotated[tuple[StatisticRef, ...], Field(min_length=1)]
    """The statistics of method `flip_rate` that it reads."""
    condition: Condition = "none"
    """Whose flips: `none` for the fine-tune's own, `pcs.3` or `constant.3` for an injection of 3
    components."""

    def foresee(self, task: Outlook) -> Iterator[str]:
        """A condition under which none of the statistics counts flips."""
        injection, _, rank = self.condition.partition(".")
        options = [one for name in self.statistics for one in task.statistic(name)]
        flips = [one for one in options if isinstance(one, FlipRateOptions)]
        if injection == "none" or not flips:
            return
        counted = {k for one in flips for k in one.counted(task, injection)}
        if int(rank) not in counted:
            allowed = ["none", *(f"{injection}.{k}" for k in sorted(counted))]
            yield (
                f"its records will be undefined: condition is {self.condition}, and "
                f"{', '.join(self.statistics)} count no flips under it. Allowed: "
                f"{', '.join(allowed)}, or add {rank} to ranks of the statistic."
            )


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

    def foresee(self, task: Outlook) -> Iterator[str]:
        """An axis that the pairs do not have."""
        without = [name for name in self.pairs if self.axis not in task.axes_of(name)]
        if without:
            example = f"axes = {{ {self.axis} = 100 }}"
            yield (
                f"its points will have no place along the way: {', '.join(without)} have no axis "
                f"{self.axis!r}. Give each pair one, such as {example}, or name another axis."
            )

    @model_validator(mode="after")
    def _each_once(self) -> TrajectoryOptions:
        if len(set(self.pairs)) < len(self.pairs):
            raise ValueError("pairs names a pair twice; a trajectory passes each one once")
        return self
