"""Loads one layer of a circuit-tracer folder."""

from __future__ import annotations

import torch
from torch import Tensor

from harness.contract import Sae
from harness.errors import ModelError
from harness_saes.core.linear import LinearSae, finite_on
from harness_saes.core.stored import canonical
from harness_saes.files.header import load_safetensors
from harness_saes.files.npz import load_npz
from harness_saes.files.slices import load_slice
from harness_saes.formats.circuit_tracer.options import CircuitTracerOptions


class CircuitTracer:
    """The format `circuit_tracer`: `z = a` where `a = x W_encᵀ + b_enc` is above θ (0 without
    thresholds); a transcoder writes `x̂ = z W_dec + b_dec`, and `+ x W_skipᵀ` where it has one.

    Of a cross-layer transcoder a layer's latents write `z W_dec[:, m]` into each block m from its
    own on. `rows` are those into its own block; other layers' latents write there, too, so its x̂
    is a part of a reconstruction (`facts.partial`) and nothing compares it with activations.
    Raw activations; those of `ln2.hook_normalized` are the stream after attention, divided as the
    model's norm divides it. Source: circuit-tracer 0.5 (`single_layer_transcoder.py`,
    `cross_layer_transcoder.py`, `hf_utils.py`).
    """

    def __init__(self, options: CircuitTracerOptions) -> None:
        self._options = options

    def load(self, device: str) -> Sae:
        """The layer on a device; ModelError says which file, tensor or key is wrong."""
        found = self._options.inspect(self._options.fetched())
        file, where = found.weights, str(found.weights)
        stored = load_npz(file) if file.suffix == ".npz" else load_safetensors(file)
        tensors = canonical(stored, found.layout)
        if found.decoder is not None:
            tensors["W_dec"] = load_slice(*found.decoder, (None, 0))
        tensors = finite_on(device, tensors, where)
        _refuse_negative(tensors, where)
        return LinearSae(found.config, tensors, getattr(torch, self._options.dtype))


def _refuse_negative(tensors: dict[str, Tensor], where: str) -> None:
    """Below a threshold under 0 circuit-tracer has negative latents active, which none means."""
    threshold = tensors.get("threshold")
    if threshold is not None and bool((threshold < 0).any()):
        raise ModelError(
            f"{where}: {int((threshold < 0).sum())} thresholds are below 0, and negative latents "
            "would count as active. Expected thresholds from 0. Copy the file again."
        )
