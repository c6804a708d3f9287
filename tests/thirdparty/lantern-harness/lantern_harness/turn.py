"""Turns activations towards a direction."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from harness.contract import Arm, Direction, Edit, ModelFacts
from harness.errors import ModelError
from lantern_harness.options import TurnOptions


class Turn:
    """`x′ = ‖x‖ · y/‖y‖` with `y = x + strength · ‖x‖ · r̂`, at the direction's own site.

    r̂ is the first vector at length 1. An activation of 0 stays 0.
    """

    def __init__(self, options: TurnOptions) -> None:
        self.options = options

    def arm(self, name: str, direction: Direction, facts: ModelFacts, dtype: str) -> Arm:
        """One edit; ModelError for a direction of several vectors."""
        if len(direction.vectors) > 1:
            raise ModelError(
                f"turn: {name} has {len(direction.vectors)} vectors. Allowed: 1. Choose one."
            )
        vector = torch.from_numpy(direction.vectors[0] / (direction.vectors[0] ** 2).sum() ** 0.5)
        parameters = {"r": vector.float(), "strength": torch.tensor([self.options.strength])}
        edit = Edit(direction.site, turned, {k: one.float() for k, one in parameters.items()})
        return Arm(name, (edit,), idle=self.options.strength == 0)


def turned(x: Tensor, parameters: Mapping[str, Tensor]) -> Tensor:
    """x towards r, each position by itself; where the strength is 0, every bit of x."""
    strength = parameters["strength"][:, None]
    wide = x.float()
    length = wide.norm(dim=-1, keepdim=True)
    y = wide + strength * length * parameters["r"][:, None]
    out = (y * (length / y.norm(dim=-1, keepdim=True).clamp_min(1e-30))).to(x.dtype)
    return torch.where((strength == 0) | (length == 0), x, out)
