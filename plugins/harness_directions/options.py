"""What a task may write for the direction finders. Imports no torch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Literal

from pydantic import Field, field_validator

from harness.contract import (
    Axes,
    DataRef,
    DirectionOptions,
    DirectionRef,
    Reads,
    SaeRef,
    SiteName,
    Stream,
    TaskView,
    ViewRef,
)
from harness.contract.sites import parse_site
from harness.errors import Problem, TaskError

Where = Literal["last", "all"]


class DifferenceInMeans(DirectionOptions):
    """Options of `difference_in_means`."""

    view: ViewRef
    """The view whose activations are averaged: a model with the way its prompt is written."""
    site: SiteName
    """Where in the model, e.g. `resid_post.15` (the output of block 15)."""
    positive: DataRef
    """The data that show the behaviour; the direction points towards them."""
    negative: DataRef
    """The data that do not show it."""
    tokens: Where = "last"
    """Which tokens of a prompt are averaged: the last one, or all but the special ones."""

    def reads(self, task: TaskView) -> Reads:
        """Both sets of prompts at the site."""
        return Reads(
            streams=(
                Stream("positive", self.view, self.positive, tokens=self.tokens),
                Stream("negative", self.view, self.negative, tokens=self.tokens),
            ),
            sites=(parse_site(self.site),),
        )


class _Rebuilt(DirectionOptions):
    """What every rebuilding of a direction from SAE features has in common."""

    target: DirectionRef
    """The direction to rebuild."""
    sae: SaeRef
    """The SAE whose features it is rebuilt from."""
    view: ViewRef
    """The view whose latents choose the features; it need not be the target's."""
    k: int = Field(ge=1)
    """How many features."""
    positive: DataRef | None = None
    """The data that show the behaviour; the target's where it is left out."""
    tokens: Where | None = None
    """Which tokens of a prompt count: the last one or all; as the target where it is left out."""
    fit: Literal["nnls"] = "nnls"
    """How the features are weighted: non-negative least squares, without an intercept."""


class SaeFeatures(_Rebuilt):
    """Options of `sae_features`."""

    # Not `target`: without data of its own a direction reads its target's, so its streams differ.
    finish_only: ClassVar[frozenset[str]] = frozenset({"k", "against"})

    negative: DataRef | None = None
    """The data that do not show the behaviour; the target's where it is left out."""
    against: DirectionRef | None = None
    """Another direction of this kind: report how many of the k features both have in common."""

    def reads(self, task: TaskView) -> Reads:
        """The SAE's latents on both sets of prompts; the target only at the end."""
        tokens = _tokens(self.tokens, self.target, task)
        positive = _data("positive", self.positive, self.target, task)
        negative = _data("negative", self.negative, self.target, task)
        return Reads(
            streams=(
                Stream("positive", self.view, positive, tokens=tokens),
                Stream("negative", self.view, negative, tokens=tokens),
            ),
            sites=(task.sae_site(self.sae),),
            saes=(self.sae,),
            finish=(self.target,) if self.against is None else (self.target, self.against),
        )


class RandomFeatures(_Rebuilt):
    """Options of `random_features`."""

    finish_only: ClassVar[frozenset[str]] = frozenset({"k", "draws"})

    draws: int = Field(default=5, ge=1)
    """How many independent draws of k features."""

    def reads(self, task: TaskView) -> Reads:
        """The SAE's latents on the positive prompts; the target only at the end."""
        tokens = _tokens(self.tokens, self.target, task)
        positive = _data("positive", self.positive, self.target, task)
        return Reads(
            streams=(Stream("positive", self.view, positive, tokens=tokens),),
            sites=(task.sae_site(self.sae),),
            saes=(self.sae,),
            finish=(self.target,),
        )

    def variants(self) -> Sequence[Axes]:
        """One direction for each draw."""
        return tuple({"draw": draw} for draw in range(self.draws))


class RandomVectors(DirectionOptions):
    """Options of `random`."""

    finish_only: ClassVar[frozenset[str]] = frozenset({"like", "draws"})

    like: DirectionRef
    """The direction whose site, rank and length they have."""
    draws: int = Field(default=5, ge=1)
    """How many independent random directions."""

    def reads(self, task: TaskView) -> Reads:
        """No activations; the direction to imitate only at the end."""
        return Reads(finish=(self.like,))

    def variants(self) -> Sequence[Axes]:
        """One direction for each draw."""
        return tuple({"draw": draw} for draw in range(self.draws))


class Feature(DirectionOptions):
    """Options of `feature`."""

    finish_only: ClassVar[frozenset[str]] = frozenset({"index", "scale"})

    sae: SaeRef
    """The SAE."""
    index: int = Field(ge=0)
    """Which of its features, counted from 0."""
    scale: float = Field(default=1.0, allow_inf_nan=False)
    """What its decoder row is multiplied with; negative to point away from the feature."""

    @field_validator("scale")
    @classmethod
    def _not_zero(cls, scale: float) -> float:
        if scale == 0:
            raise ValueError("a direction of length 0 points nowhere; scale must not be 0")
        return scale

    def reads(self, task: TaskView) -> Reads:
        """No activations, only the SAE's decoder."""
        return Reads(saes=(self.sae,))


def _data(option: str, own: str | None, target: str, task: TaskView) -> str:
    """The data that a direction reads: its own, or its target's, or its target's target's."""
    data = own if own is not None else _inherited(option, target, task)
    if not isinstance(data, str):
        raise TaskError(
            [
                Problem(
                    option,
                    f"is missing, and the target {target!r} has none to inherit. "
                    f"Allowed: the name of an entry of [data]. Write {option} = '…'",
                )
            ]
        )
    return data


def _tokens(own: Where | None, target: str, task: TaskView) -> Where:
    """Which tokens a direction reads; the last one where nothing in the chain says otherwise."""
    return "all" if (own or _inherited("tokens", target, task)) == "all" else "last"


def _inherited(option: str, target: str, task: TaskView) -> object:
    """The first value of an option along the chain of targets, None where nobody sets it."""
    seen: set[str] = set()
    name: object = target
    while isinstance(name, str) and name not in seen:
        seen.add(name)  # a cycle of targets is the core's to report; here it only has to end
        options = task.direction(name)
        value: object = getattr(options, option, None)
        if value is not None:
            return value
        name = getattr(options, "target", None)
    return None
