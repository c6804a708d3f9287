"""Loads Goodfire's SAEs."""

from __future__ import annotations

from harness.contract import Sae
from harness_saes.core.stored import canonical
from harness_saes.files.pt_file import load_pt
from harness_saes.finished import linear_sae
from harness_saes.formats.goodfire import GoodfireOptions, read_config


class Goodfire:
    """The format `goodfire`: `z = ReLU(x W_enc + b_enc)`, `x̂ = z W_dec + b_dec`.

    Nothing is subtracted from x. Source: Goodfire's notebook with its open-source SAEs; the same
    as SAELens' converter.
    """

    def __init__(self, options: GoodfireOptions) -> None:
        self._options = options

    def load(self, device: str) -> Sae:
        """The SAE on a device; ModelError says which tensor is missing or wrong."""
        options = self._options
        file = options.fetched()
        config, layout = read_config(file)
        tensors = canonical(load_pt(file, options.where), layout)
        return linear_sae(config, tensors, options.dtype, device, str(file))
