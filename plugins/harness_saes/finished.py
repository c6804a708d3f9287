"""From checked tensors to an SAE: finite values, the device, the type of the numbers."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from harness.errors import ModelError
from harness_saes.core.linear import LinearSae
from harness_saes.formats.saelens.config import Config


def linear_sae(
    config: Config,
    tensors: Mapping[str, Tensor],
    dtype: str,
    device: str,
    where: str,
    *,
    notes: tuple[str, ...] = (),
    core: type[LinearSae] = LinearSae,
) -> LinearSae:
    """An SAE of the linear families from tensors under the core's names, in their shapes.

    `dtype` is a name such as `float32`, of the numbers that are computed with; `where` begins
    messages. Raises ModelError where a tensor has values that are not finite.
    """
    for name, tensor in tensors.items():
        # A sum is finite only if everything in it is.
        if not torch.isfinite(tensor.sum(dtype=torch.float64)):
            bad = int((~torch.isfinite(tensor)).sum())
            raise ModelError(
                f"{where}: {name} has {bad} values that are not finite, of {tensor.numel()}. "
                "Expected numbers only. Copy the file again; if they stay, the training diverged."
            )
    ready = {name: tensor.to(device) for name, tensor in tensors.items()}
    return core(config, ready, getattr(torch, dtype), notes=notes)
