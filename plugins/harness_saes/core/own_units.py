"""SAEs whose latents are selected in one unit and given in another."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import replace

import torch
from jaxtyping import Float, Int
from torch import Tensor

from harness.contract.latents import Latents
from harness_saes.core.config import Config
from harness_saes.core.linear import LinearSae


class OwnUnits:
    """A TopK SAE that keeps the k largest of value times length, and gives values without length.

    With ℓ_j > 0 a length of each latent: `z_j = a_j` where a_j·ℓ_j is positive and among the k
    largest of its token; `x̂` and decoder rows are as without lengths. A latent of length 0 is
    never active.
    """

    def __init__(
        self,
        config: Config,
        tensors: Mapping[str, Tensor],
        lengths: Float[Tensor, " d_sae"],
        dtype: torch.dtype = torch.float32,
    ) -> None:
        lengths = lengths.to(dtype)
        self._lengths = torch.where(lengths > 0, lengths, 1)
        scaled = {
            **tensors,
            "W_enc": tensors["W_enc"].to(dtype) * lengths,
            "b_enc": tensors["b_enc"].to(dtype) * lengths,
            "W_dec": tensors["W_dec"].to(dtype) / self._lengths[:, None],
        }
        self._inner = LinearSae(config, scaled, dtype)
        self.facts = self._inner.facts
        self.notes = self._inner.notes
        stored = lengths.detach().cpu().double().contiguous().numpy().tobytes()
        self.fingerprint = hashlib.sha256(self._inner.fingerprint.encode() + stored).hexdigest()

    @torch.no_grad()
    def encode(self, x: Float[Tensor, "tokens d_in"]) -> Latents:
        """Sparse latents of each token; ModelError where x has another width than d_in."""
        found = self._inner.encode(x)
        return replace(found, values=found.values / self._lengths[found.indices])

    @torch.no_grad()
    def reconstruct(self, latents: Latents) -> Float[Tensor, "tokens d_out"]:
        """x̂ of latents in their own unit."""
        values = latents.values * self._lengths[latents.indices]
        return self._inner.reconstruct(replace(latents, values=values))

    @torch.no_grad()
    def rows(self, indices: Int[Tensor, " m"]) -> Float[Tensor, "m d_out"]:
        """Decoder rows: what one unit of a latent adds to x̂."""
        return self._inner.rows(indices) * self._lengths[indices][:, None]
