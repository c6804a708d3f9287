"""What a task may write for `correlation_over`. Imports nothing heavy."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from harness.contract import AnalysisOptions, Options

Fact = Literal["axis", "width", "layer"]
Name = Annotated[str, Field(min_length=1, max_length=200)]
_SAE = "sae"


class NumberOf(Options):
    """One number at each point: the records of an id, and of those with these axes."""

    id: Name
    """The id of the records, with or without its version: `sts.correlation.pearson`."""
    where: dict[Name, str | int | float | bool] = Field(default_factory=dict)
    """The values of their axes, so that one record is left at each point: { analysis = "transfer",
    forecast = "sts.icl", domains = "all" }."""


class CorrelationOverOptions(AnalysisOptions):
    """Options of `correlation_over`."""

    over: Name
    """The axis whose values are the points, such as "sae", "pair" or "checkpoint"."""
    x: NumberOf | Fact = "axis"
    """What each point is: a number that was measured there; `axis`: the value of `over` itself,
    where that is a number; over SAEs also their `width` (latents) or `layer`."""
    y: NumberOf
    """The number that may go with it."""
    permutations: int = Field(default=10_000, ge=99)
    """Orders that are drawn for p; of up to 10 points, all orders count instead."""

    @model_validator(mode="after")
    def _of_saes(self) -> CorrelationOverOptions:
        if self.x in ("width", "layer") and self.over != _SAE:
            raise ValueError(
                f'x is "{self.x}", which is a fact of SAEs, and over is {self.over!r}. Allowed: '
                'over = "sae", or x = "axis" or a number'
            )
        for name, one in (("x", self.x), ("y", self.y)):
            if isinstance(one, NumberOf) and self.over in one.where:
                raise ValueError(
                    f"{name}.where holds {self.over!r} still, and the points are its values. "
                    "Leave it out"
                )
        return self
