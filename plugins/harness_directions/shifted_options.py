"""Options of the features that changed most, and of their control. No torch here."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from pydantic import Field

from harness.contract import Axes, DirectionOptions, PairRef, Reads, SaeRef, TaskView


class _Shifted(DirectionOptions):
    pair: PairRef
    """Where they change: without and with solved examples, or before and after tuning."""
    sae: SaeRef
    """Whose features."""
    n: int = Field(default=100, ge=1)
    """How many of the most shifted ones."""

    def reads(self, task: TaskView) -> Reads:
        """Both sides of the pair, encoded."""
        return Reads(streams=(task.pair(self.pair),), saes=(self.sae,))


class ShiftedFeatures(_Shifted):
    """Options of `shifted_features`."""

    finish_only: ClassVar[frozenset[str]] = frozenset({"n"})


class MatchedFeatures(_Shifted):
    """Options of `matched_features`."""

    finish_only: ClassVar[frozenset[str]] = frozenset({"n", "draws"})

    draws: int = Field(default=5, ge=1)
    """How many independent draws of them."""

    def variants(self) -> Sequence[Axes]:
        """One direction for each draw."""
        return tuple({"draw": draw} for draw in range(self.draws))
