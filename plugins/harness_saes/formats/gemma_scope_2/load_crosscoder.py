"""Loads crosscoders of Gemma Scope 2, which read and write several blocks of one model."""

from __future__ import annotations

import torch

from harness.contract import Sae
from harness_saes.core.joined import JoinedSae
from harness_saes.core.linear import LinearSae, finite_on
from harness_saes.files.header import load_safetensors
from harness_saes.formats.gemma_scope_2.crosscoder import GemmaScope2CrosscoderOptions


class GemmaScope2Crosscoder:
    """The format `gemma_scope_2_crosscoder`: latents of all blocks, and each writes to all of them.

    `f_l = a` where `a = x_l w_enc_l + b_enc_l > θ_l`, `x̂_m = Σ_l f_l w_dec_l[:, m] + b_dec_m`. The
    latents of the first block come first. One model, several sites: nothing here compares models.
    Raw activations. Source: Gemma Scope 2's files, and circuit-tracer's loader.
    """

    def __init__(self, options: GemmaScope2CrosscoderOptions) -> None:
        self._options = options

    def load(self, device: str) -> Sae:
        """The crosscoder on a device; ModelError says which file, tensor or key is wrong."""
        found = self._options.inspect(self._options.fetched())
        parts = [finite_on(device, load_safetensors(file), str(file)) for file in found.files]
        tensors = {
            # Each block's encoder reads its own columns of the joined activations alone.
            "W_enc": torch.block_diag(*(part["w_enc"] for part in parts)),
            "W_dec": torch.cat([part["w_dec"].flatten(1) for part in parts]),
            "b_enc": torch.cat([part["b_enc"] for part in parts]),
            "b_dec": torch.cat([part["b_dec"] for part in parts]),
            "threshold": torch.cat([part["threshold"] for part in parts]),
        }
        inner = LinearSae(found.config, tensors, getattr(torch, self._options.dtype))
        return JoinedSae(inner, found.facts)
