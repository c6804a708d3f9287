"""An SAE of random weights: the twin, and one with noise of 1e-5."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from harness.contract import Latents
from seeded_bugs.options import PlainOptions


class Plain:
    """Makes the SAE."""

    noise = 0.0

    def __init__(self, options: PlainOptions) -> None:
        self.options = options

    def load(self, device: str) -> Any:
        return Small(self.options, self.noise)


class Noisy(Plain):
    """The bug: noise of 1e-5 on what is reconstructed."""

    noise = 1e-5


class Small:
    """ReLU(x W) and its transpose."""

    notes: tuple[str, ...] = ()

    def __init__(self, options: PlainOptions, noise: float) -> None:
        self.facts = options.describe()
        d_in, d_sae = self.facts.d_in or 0, self.facts.d_sae or 0
        self.fingerprint = f"{d_in} {d_sae}"
        self.w = torch.randn(d_in, d_sae, generator=torch.Generator().manual_seed(d_in)) / d_in
        self.noise = noise

    def encode(self, x: Tensor) -> Latents:
        return Latents.from_dense((x.float() @ self.w).relu())

    def reconstruct(self, latents: Latents) -> Tensor:
        out = latents.dense() @ self.w.T
        return out + self.noise * torch.from_numpy(
            np.random.default_rng().normal(size=out.shape).astype(np.float32)
        )

    def rows(self, indices: Tensor) -> Tensor:
        return self.w.T[indices]
