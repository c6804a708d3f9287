"""Loads Gemma Scope 2."""

from __future__ import annotations

from safetensors import SafetensorError
from safetensors.torch import load_file

from harness.contract import Sae
from harness.errors import ModelError
from harness_saes.core.stored import canonical
from harness_saes.finished import linear_sae
from harness_saes.formats.gemma_scope_2.options import GemmaScope2Options, layout


class GemmaScope2:
    """The format `gemma_scope_2`: `z = a` where `a = x w_enc + b_enc > θ`,
    `x̂ = z w_dec + b_dec`, and `+ x A` of a transcoder with an affine skip connection A.

    Raw activations, no b_dec before the encoder, one θ for each latent. Source: Gemma Scope 2's
    files and SAELens' loader of them (`gemma_3_sae_huggingface_loader`).
    """

    def __init__(self, options: GemmaScope2Options) -> None:
        self._options = options

    def load(self, device: str) -> Sae:
        """The SAE on a device; ModelError says which file, tensor or key is missing or wrong."""
        weights = self._options.fetched()
        config = self._options.config(weights)
        try:
            stored = load_file(weights)
        except (SafetensorError, OSError) as error:
            raise ModelError(f"{weights}: cannot be read ({error}). Copy it again.") from error
        tensors = canonical(stored, layout(config.d_in, config.d_sae, config.width_out))
        return linear_sae(config, tensors, self._options.dtype, device, str(weights))
