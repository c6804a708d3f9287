"""What a task may write for `mean_difference`. Imports no torch."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, ClassVar

from pydantic import Field, field_validator

from harness.contract import Outlook, PairRef, Reads, SiteName, StatisticOptions, TaskView
from harness.contract.sites import parse_site
from harness.errors import Problem, TaskError

Position = Annotated[int, Field(ge=1)]


class MeanDifferenceOptions(StatisticOptions):
    """Options of `mean_difference`."""

    finish_only: ClassVar[frozenset[str]] = frozenset({"draws"})

    pair: PairRef
    """The two views that are compared, on text that has nothing to do with the fine-tuning."""
    site: SiteName
    """Where in the model, such as resid_post@0.5."""
    positions: Annotated[tuple[Position, ...], Field(min_length=1, max_length=64)] = (1, 2, 3, 4, 5)
    """Places of tokens in their documents, counted from 0. The token at 0 is never measured: it is
    BOS, or a sink of the model's attention."""
    groups: int = Field(16, ge=4, le=256)
    """Groups of documents whose means are kept apart, for halves and for the null. Memory: two
    float64 numbers per group, position and dimension."""
    draws: int = Field(200, ge=20, le=10_000)
    """How often labels are permuted, and documents halved."""

    @field_validator("positions")
    @classmethod
    def _once_and_in_order(cls, given: tuple[int, ...]) -> tuple[int, ...]:
        if len(set(given)) < len(given):
            raise ValueError("positions names a place twice; allowed: each once")
        return tuple(sorted(given))

    def foresee(self, task: Outlook) -> Iterator[str]:
        """Positions that the pair never measures."""
        skipped = task.pair(self.pair).where.skip_first
        if lost := [one for one in self.positions if one < skipped]:
            yield (
                f"positions {', '.join(map(str, lost))} will be undefined: {self.pair} skips the "
                f"first {skipped} tokens. Allowed: positions from {skipped} on, or a pair without "
                "skip_first."
            )

    def reads(self, task: TaskView) -> Reads:
        """The pair at the site; each document in a row of its own."""
        stream = task.pair(self.pair)
        if stream.pack is not None:
            raise TaskError(
                [
                    Problem(
                        "pair",
                        f"{self.pair} packs documents into rows of {stream.pack} tokens, where a "
                        "document's first tokens see the one before it. Allowed: a pair without "
                        "pack. Add one for this statistic",
                    )
                ]
            )
        return Reads(streams=(stream,), sites=(parse_site(self.site),))
