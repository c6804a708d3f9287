"""Loads OpenAI's SAEs of GPT-2 small."""

from __future__ import annotations

from harness.contract import Sae
from harness_saes.core.stored import canonical
from harness_saes.files.pt_file import load_pt
from harness_saes.finished import linear_sae
from harness_saes.formats.openai import OpenaiOptions, read_config


class Openai:
    """The format `openai`: `a = (x′ − pre_bias) W_enc + latent_bias`, `x̂′ = z W_dec + pre_bias`.

    Versions 1 and 4: `z = ReLU(a)`, `x′ = x`. Version 5: `z = ReLU` of the k largest of a,
    `x′ = (x − m)/(s + 1e-5)` with m, s the token's mean and unbiased standard deviation, and
    `x̂ = s x̂′ + m`. Source: openai/sparse_autoencoder (`model.py`, `paths.py`). Its activations
    came from TransformerLens with `center_writing_weights=False`, which are the model's own.
    """

    def __init__(self, options: OpenaiOptions) -> None:
        self._options = options

    def load(self, device: str) -> Sae:
        """The SAE on a device; ModelError says which tensor or key is missing or wrong."""
        options = self._options
        file = options.fetched()
        config, layout = read_config(file)
        tensors = canonical(load_pt(file, options.where), layout)
        return linear_sae(config, tensors, options.dtype, device, str(file))
