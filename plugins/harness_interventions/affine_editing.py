"""Affine concept editing: an activation's part along a direction is set to that of a reference."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from harness.contract import Arm, Check, Direction, Edit, ModelFacts, Site
from harness.errors import ModelError
from harness_interventions.ablation import limit
from harness_interventions.addition import steering_vector
from harness_interventions.fitting import behind, read_as_it_is, site_of
from harness_interventions.options import AffineEditingOptions


class AffineEditing:
    """x ← x − (x·r̂) r̂ + (o·r̂) r̂ + coefficient·r at the direction's own site, at every position.

    r: the direction, r̂ = r/‖r‖; o: its reference point (`Direction.origin`), which for a difference
    in means is the mean of the data without the concept. Coefficient 0 gives every token what the
    data without it have on average along r, 1 what those with it have. With o = 0 and coefficient 0
    this is ablation at one site. Along r all tokens come out the same, so the intervention has no
    strength at which it changes nothing.
    x: Float[Tensor, "rows pos d_site"]; computed in float32, returned in x's dtype. Promise, where
    the site is a block's output with a block behind it: there |x'·r̂ − target|/‖x'‖ is at most
    `limit(dtype)` of `ablation`.

    Raises ModelError for a direction of several vectors, of another width than the model, of length
    0, without a reference point or with readers of its own, and with `reference` where that length
    is not known.
    Source: Marshall, Scherlis, Belrose 2024 (arXiv 2411.09003), equation for v′ with v⁻ as the
    reference.
    """

    def __init__(self, given: AffineEditingOptions) -> None:
        self.options = given

    def arm(self, name: str, direction: Direction, facts: ModelFacts, dtype: str) -> Arm:
        """One edit, and the check where the next block reads."""
        site = site_of(name, direction, facts)
        vector = steering_vector(name, read_as_it_is(name, direction), self.options.scale)
        if direction.origin is None:
            raise ModelError(
                f"arm {name!r}: affine_editing needs a reference point, and the direction has "
                "none. Allowed: difference_in_means, and directions that rebuild or imitate one. "
                "Use ablation, whose reference point is 0, or another direction"
            )
        length = float(np.linalg.norm(vector))
        unit = vector / length
        target = float(direction.origin @ unit) + self.options.coefficient * length
        parameters = {
            "unit": torch.tensor(unit, dtype=torch.float32),
            "target": torch.tensor(target, dtype=torch.float32),
        }
        return Arm(
            name, (Edit(site, set_along, parameters),), _checks(site, parameters, facts, dtype)
        )


def _checks(
    site: Site, parameters: Mapping[str, Tensor], facts: ModelFacts, dtype: str
) -> tuple[Check, ...]:
    next_site = behind(site, facts)
    if next_site is None:
        return ()
    name = f"distance from the target along the direction at {next_site}"
    return (Check(name, next_site, distance, parameters, limit(dtype)),)


def set_along(
    x: Float[Tensor, "rows pos d"], parameters: Mapping[str, Tensor]
) -> Float[Tensor, "rows pos d"]:
    """x with the number `target` ("rows") along `unit` ("rows d")."""
    wide = x.to(torch.promote_types(x.dtype, torch.float32))
    unit, missing = _missing(wide, parameters)
    return (wide + missing * unit).to(x.dtype)


def distance(
    x: Float[Tensor, "rows pos d"], parameters: Mapping[str, Tensor]
) -> Float[Tensor, "rows pos"]:
    """|x·unit − target| / ‖x‖; 0 where x = 0."""
    wide = x.to(torch.promote_types(x.dtype, torch.float32))
    _, missing = _missing(wide, parameters)
    length = wide.norm(dim=-1)
    off = missing.squeeze(-1).abs()
    return torch.where(length == 0, 0.0, off / length.where(length != 0, 1.0))


def _missing(wide: Tensor, parameters: Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:
    """The unit and how far each position is from the target along it: "rows 1 d", "rows pos 1"."""
    unit = parameters["unit"].to(wide.dtype)[:, None]
    # A sum of products, unlike a matrix product, never goes through TF32.
    along = (wide * unit).sum(-1, keepdim=True)
    return unit, parameters["target"].to(wide.dtype)[:, None, None] - along
