"""Polar SAEs: the encoder sees the direction of an activation, latents scale with its length."""

from __future__ import annotations

import hashlib
from pathlib import Path

from jaxtyping import Float, Int
from safetensors.torch import load_file
from torch import Tensor
from torch.nn.functional import embedding_bag, normalize

from acme_harness.options import PolarOptions
from harness.latents import Latents


class Polar:
    """`u = x − b_dec`, `z = ‖u‖ · ReLU(u/‖u‖ W_enc + b_enc)`, `x̂ = z W_dec + b_dec`.

    Twice as long an activation has twice as large latents, and the same ones.
    """

    def __init__(self, options: PolarOptions) -> None:
        self.options = options

    def load(self, device: str) -> PolarSae:
        """The SAE on a device; ModelError where the file is none."""
        return PolarSae(self.options, device)


class PolarSae:
    """A polar SAE, in float32."""

    notes: tuple[str, ...] = ()

    def __init__(self, options: PolarOptions, device: str) -> None:
        self.facts = options.describe()
        self.fingerprint = hashlib.sha256(Path(options.path).read_bytes()).hexdigest()
        self.w = load_file(options.path, device)

    def encode(self, x: Float[Tensor, "tokens d_in"]) -> Latents:
        """The active latents of each token."""
        u = x.float() - self.w["b_dec"]
        z = (normalize(u, dim=1) @ self.w["W_enc"] + self.w["b_enc"]).relu()
        return Latents.from_dense(z * u.norm(dim=1, keepdim=True))

    def reconstruct(self, latents: Latents) -> Float[Tensor, "tokens d_out"]:
        """x̂, from the decoder rows of active latents."""
        given = {"mode": "sum", "include_last_offset": True, "per_sample_weights": latents.values}
        out: Tensor = embedding_bag(latents.indices, self.w["W_dec"], latents.offsets, **given)
        return out + self.w["b_dec"]

    def rows(self, indices: Int[Tensor, " m"]) -> Float[Tensor, "m d_out"]:
        """Decoder rows."""
        return self.w["W_dec"][indices]
