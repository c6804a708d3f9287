"""The activation function `groupmax`: the largest pre-activation of each group of latents."""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from harness_saes.core.linear import LinearSae
from harness_saes.formats.saelens.config import Config


class GroupMaxSae(LinearSae):
    """A linear SAE with `z = ReLU` of the largest `a` of each of k groups, 0 elsewhere.

    The groups are d_sae/k neighbours each; between equal maxima either may be kept. Source:
    sparsify 1.3 (`fused_encoder.py`).
    """

    def __init__(self, config: Config, *arguments: Any, **options: Any) -> None:
        super().__init__(config, *arguments, **options)
        groups = config.k
        assert groups is not None
        self._pick = lambda a: group_maxima(a, groups)


def group_maxima(a: Float[Tensor, "rows d_sae"], groups: int) -> Int[Tensor, " nnz"]:
    """Positions `row · d_sae + latent` of the positive maxima, ascending."""
    rows, width = a.shape
    size = width // groups
    values, inside = a.view(rows, groups, size).max(dim=2)
    starts = torch.arange(rows * groups, device=a.device).view(rows, groups) * size
    positions: Tensor = starts + inside
    return positions[values > 0]
