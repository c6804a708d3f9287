"""Loads one layer of a cross-layer transcoder of Gemma Scope 2."""

from __future__ import annotations

import torch

from harness.contract import Sae
from harness_saes.core.linear import LinearSae, finite_on
from harness_saes.core.stored import canonical
from harness_saes.files.slices import load_slice
from harness_saes.formats.gemma_scope_2.clt import GemmaScope2CltOptions


class GemmaScope2Clt:
    """The format `gemma_scope_2_clt`: `z = a` where `a = x w_enc + b_enc > θ`, of one layer.

    Its latents write `z w_dec[:, m]` into each block m from their own on; `rows` are those into
    their own block, where latents of earlier layers write, too. So its
    `x̂ = z w_dec[:, layer] + b_dec (+ x A)` is a part of a reconstruction (`facts.partial`), and
    nothing compares it with activations. Raw activations: what the MLP reads, after its norm.
    Source: Gemma Scope 2's files, and the loaders of SAELens (`gemma_3_sae_huggingface_loader`,
    which adds all decoders up) and circuit-tracer (`load_gemma_scope_2_clt`).
    """

    def __init__(self, options: GemmaScope2CltOptions) -> None:
        self._options = options

    def load(self, device: str) -> Sae:
        """The layer on a device; ModelError says which file, tensor or key is wrong."""
        found = self._options.inspect(self._options.fetched())
        file = found.weights
        stored = {name: load_slice(file, name) for name in found.present}
        tensors = canonical(stored, found.layout)
        tensors["W_dec"] = load_slice(file, "w_dec", (None, found.layer))
        ready = finite_on(device, tensors, str(file))
        return LinearSae(found.config, ready, getattr(torch, self._options.dtype))
