"""What a task may write for `fvu_settings` and `hidden_shift`. Imports nothing heavy."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from harness.contract import (
    JSON,
    AnalysisOptions,
    Axes,
    DataRef,
    Options,
    PairRef,
    SaeRef,
    ViewRef,
)


class Setting(Options):
    """Where the fraction of variance unexplained was measured."""

    view: ViewRef
    """Whose activations."""
    data: DataRef
    """On which text."""
    pair: PairRef | None = None
    """In which pair, where the same view and data are in several."""
    axes: dict[str, JSON] = Field(default_factory=dict)
    """Further axes of its records, such as { checkpoint = 100 }."""

    def matches(self, axes: Axes) -> bool:
        """Whether a record with these axes was measured here."""
        return all(axes.get(key) == value for key, value in self.selects().items())

    def selects(self) -> dict[str, JSON]:
        """The axes that it fixes."""
        pair = {} if self.pair is None else {"pair": self.pair}
        return {"view": self.view, "data": self.data, **pair, **self.axes}

    def __str__(self) -> str:
        return ", ".join(f"{key} {value}" for key, value in self.selects().items())


class FvuSettingsOptions(AnalysisOptions):
    """Options of `fvu_settings`."""

    base: Setting
    """The SAE's own model on its own kind of text (B-LLM + B-Data)."""
    other_data: Setting
    """The same model on the other text (B-LLM + C-Data)."""
    other_model: Setting
    """The other model on the other text (C-LLM + C-Data)."""
    ceiling: SaeRef | None = None
    """An SAE trained for the last setting: how well it could be done there."""
    variant: Literal["pooled", "batch_mean"] = "pooled"
    """Which FVU is compared."""


class HiddenShiftOptions(AnalysisOptions):
    """Options of `hidden_shift`."""

    pairs: Annotated[tuple[PairRef, ...], Field(min_length=1)] | None = None
    """The pairs that are looked at; all that were measured, without it."""
    cosine: float = Field(0.95, ge=-1, le=1)
    """A dense cosine of at least this looks as if nothing had changed."""
    overlap: float = Field(0.5, ge=0, le=1)
    """A sparse overlap below this says that something has."""
    l1: float = Field(0.3, ge=0, le=1)
    """An L1 divergence above this is told in the verdict; it does not decide."""
