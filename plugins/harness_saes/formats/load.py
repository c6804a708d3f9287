"""Loads Gemma Scope 1."""

from __future__ import annotations

from harness.contract import Sae
from harness_saes.core.stored import canonical
from harness_saes.files.npz import load_npz
from harness_saes.finished import linear_sae
from harness_saes.formats.gemma_scope import GemmaScopeOptions, layout


class GemmaScope:
    """The format `gemma_scope`: `z = a` where `a = x W_enc + b_enc > θ`, `x̂ = z W_dec + b_dec`.

    Raw activations, no b_dec before the encoder, one θ for each latent. Source: Lieberum et al.,
    Gemma Scope (arXiv 2408.05147), and its tutorial.
    """

    def __init__(self, options: GemmaScopeOptions) -> None:
        self._options = options

    def load(self, device: str) -> Sae:
        """The SAE on a device; ModelError says which file, tensor or name is missing or wrong."""
        weights = self._options.fetched()
        config = self._options.config(weights)
        stored = load_npz(weights)
        tensors = canonical(stored, layout(config.d_in, config.d_sae, stored))
        return linear_sae(config, tensors, self._options.dtype, device, str(weights))
