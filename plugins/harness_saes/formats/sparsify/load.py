"""Loads SAEs and transcoders of sparsify, without sparsify."""

from __future__ import annotations

from safetensors import SafetensorError
from safetensors.torch import load_file

from harness.contract import Sae
from harness.errors import ModelError
from harness_saes.core.linear import LinearSae
from harness_saes.core.stored import canonical
from harness_saes.finished import linear_sae
from harness_saes.formats.sparsify.groupmax import GroupMaxSae
from harness_saes.formats.sparsify.options import WEIGHTS, SparsifyOptions, layout


class Sparsify:
    """The format `sparsify`: a folder per hookpoint, or a repository of them.

    `z = TopK(ReLU((x − b_dec) W_enc + b_enc))`, `x̂ = z W_dec + b_dec (+ x W_skip^T)`; a
    transcoder reads x without b_dec. Weights are used as stored, in float32 or float64.
    Source: sparsify 1.3 (`sparse_coder.py`, `fused_encoder.py`).
    """

    def __init__(self, options: SparsifyOptions) -> None:
        self._options = options

    def load(self, device: str) -> Sae:
        """The SAE on a device; ModelError says which file, tensor or key is missing or wrong."""
        options = self._options
        folder = options.fetched()
        config = options.checked(folder)
        weights = folder / WEIGHTS
        try:
            stored = load_file(weights)
        except (SafetensorError, OSError) as error:
            raise ModelError(f"{weights}: cannot be read ({error}). Copy it again.") from error
        tensors = canonical(stored, layout(config, "W_skip" in stored))
        core = GroupMaxSae if config.architecture == "groupmax" else LinearSae
        return linear_sae(config, tensors, options.dtype, device, str(weights), core=core)
