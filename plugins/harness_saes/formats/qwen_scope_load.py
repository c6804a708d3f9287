"""Loads Qwen-Scope."""

from __future__ import annotations

from harness.contract import Sae
from harness_saes.core.stored import canonical
from harness_saes.files.pt_file import load_pt
from harness_saes.finished import linear_sae
from harness_saes.formats.qwen_scope import QwenScopeOptions, layout


class QwenScope:
    """The format `qwen_scope`: `z = ReLU` of the k largest of `a = x W_encᵀ + b_enc`,
    `x̂ = z W_decᵀ + b_dec`.

    Raw activations, no b_dec before the encoder; k is in the repository's name. Both weights are
    stored the other way round than the core has them. Source: Qwen-Scope's model cards.
    """

    def __init__(self, options: QwenScopeOptions) -> None:
        self._options = options

    def load(self, device: str) -> Sae:
        """The SAE on a device; ModelError says which file, tensor or name is missing or wrong."""
        weights = self._options.fetched()
        config = self._options.config(weights)
        stored = load_pt(weights, self._options.where)
        tensors = canonical(stored, layout(config.d_in, config.d_sae))
        return linear_sae(config, tensors, self._options.dtype, device, str(weights))
