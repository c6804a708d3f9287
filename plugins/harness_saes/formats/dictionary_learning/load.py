"""Loads SAEs of dictionary_learning, without dictionary_learning."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch

from harness.errors import ModelError
from harness_saes.formats.dictionary_learning.options import CONFIG, Dictionary
from harness_saes.formats.load import Loaded, Ready

RESCALED = (
    "its decoder rows are not of length 1; as dictionary_learning does when it loads an "
    "AutoEncoder, they were made so and latents multiplied by their former lengths. "
    "Reconstructions are the same."
)


class DictionaryLearning(Loaded):
    """The format `dictionary_learning`: all classes that its `load_dictionary` knows.

    Latents are those of `encode` with its defaults, on raw activations: k per token of an
    AutoEncoderTopK, whatever its threshold; above the threshold of a BatchTopKSAE or
    MatryoshkaBatchTopKSAE, above 0 where that is −1 (never fitted). Source: dictionary_learning
    0.1 (`utils.load_dictionary`).
    """

    def ready(self, found: Dictionary, stored: Mapping[str, Any]) -> Ready:
        """As stored, with decoder rows made length 1 where the library does, and a note."""
        _check_counts(stored, found)
        config, tensors, _ = super().ready(found, stored)
        if not found.kind.unit_rows:
            return config, tensors, ()
        lengths = tensors["W_dec"].float().norm(dim=1)
        if torch.allclose(lengths, torch.ones_like(lengths)):
            return config, tensors, ()
        return replace(config, rescale_by_decoder_norm=True), tensors, (RESCALED,)


def _check_counts(stored: Mapping[str, Any], found: Dictionary) -> None:
    """Refuses weights whose own k or groups are not those of config.json."""
    k, sizes, d_sae = stored.get("k"), stored.get("group_sizes"), found.config.d_sae
    if k is not None and found.k is not None and int(k) != found.k:
        raise ModelError(
            f"{found.weights}: k is {int(k)}, but {found.k} in {CONFIG}. Are both files of one SAE?"
        )
    if sizes is not None and int(sizes.sum()) != d_sae:
        raise ModelError(
            f"{found.weights}: group_sizes add up to {int(sizes.sum())}. Expected {d_sae}, the "
            f"dict_size in {CONFIG}."
        )
