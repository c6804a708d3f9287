"""Which candidate is chosen: filters on what was measured of each, then the lowest score."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from harness.contract import Axes, Direction, Site, Undefined


@dataclass(frozen=True)
class Candidate:
    """A direction, and what trying it came to."""

    axes: Axes
    direction: Direction | Undefined
    bypass: float
    """Mean refusal score of the positive prompts without it."""
    induce: float
    """Mean refusal score of the negative prompts with it added."""
    kl: float
    """Mean KL divergence of the predictions for negative prompts without it."""


@dataclass(frozen=True)
class Filters:
    """What a candidate must fulfil."""

    kl_max: float
    induce_min: float
    depth_below: float
    layers: int | None
    """Blocks of the model; None where unknown."""

    def why_not(self, one: Candidate) -> str | None:
        """Why a candidate is discarded; None where it passes.

        In the order of andyrdt/refusal_direction, `filter_fn`: not a number, too deep, too large a
        KL divergence, too low a score when added.
        """
        if isinstance(one.direction, Undefined):
            return one.direction.reason
        if any(math.isnan(score) for score in (one.bypass, one.induce, one.kl)):
            return "a score is not a number"
        layer = layer_of(one.direction.site)
        if self.layers is not None and layer is not None:
            first = int(self.layers * self.depth_below)
            if layer >= first:
                return f"layer {layer} of {self.layers} is not below {first}"
        if one.kl > self.kl_max:
            return f"its ablation changes predictions by {one.kl:.3g} nats, above {self.kl_max:g}"
        if one.induce < self.induce_min:
            return f"added, it induces a score of {one.induce:.3g}, below {self.induce_min:g}"
        return None


def layer_of(site: Site) -> int | None:
    """How many blocks lie before a place of the residual stream; None for other places.

    Arditi's layer L is the input of block L, which is the output of block L − 1.
    """
    if not site.in_residual:
        return None
    if site.layer is None:
        return 0
    return site.layer + (site.kind == "resid_post")


def chosen(candidates: Sequence[Candidate], filters: Filters) -> int | None:
    """The place of the candidate that passes and bypasses best, the first of equal ones; None
    where none passes."""
    passing = [n for n, one in enumerate(candidates) if filters.why_not(one) is None]
    return min(passing, key=lambda n: candidates[n].bypass, default=None)
