"""Loads SAEs of dictionary_learning, without dictionary_learning."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch

from harness.contract import Sae
from harness.errors import ModelError
from harness_saes.core.config import Config
from harness_saes.core.linear import linear_sae
from harness_saes.core.stored import canonical
from harness_saes.files.pt_file import load_pt
from harness_saes.formats.dictionary_learning.options import (
    CONFIG,
    Dictionary,
    DictionaryLearningOptions,
)

RESCALED = (
    "its decoder rows are not of length 1; as dictionary_learning does when it loads an "
    "AutoEncoder, they were made so and latents multiplied by their former lengths. "
    "Reconstructions are the same."
)


class DictionaryLearning:
    """The format `dictionary_learning`: all classes that its `load_dictionary` knows.

    Latents are those of `encode` with its defaults, on raw activations: k per token of an
    AutoEncoderTopK, whatever its threshold; above the threshold of a BatchTopKSAE or
    MatryoshkaBatchTopKSAE, above 0 where that is −1 (never fitted). Source: dictionary_learning
    0.1 (`utils.load_dictionary`).
    """

    def __init__(self, options: DictionaryLearningOptions) -> None:
        self._options = options

    def load(self, device: str) -> Sae:
        """The SAE on a device; ModelError says which file, tensor or key is missing or wrong."""
        options = self._options
        found = options.inspect(options.fetched())
        stored = load_pt(found.weights, options.where)
        _check_counts(stored, found)
        config, notes = _lengths(found, stored)
        tensors = canonical(stored, found.layout)
        where = str(found.weights)
        return linear_sae(config, tensors, options.dtype, device, where, notes=notes)


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


def _lengths(found: Dictionary, stored: Mapping[str, Any]) -> tuple[Config, tuple[str, ...]]:
    """The configuration, with decoder rows made length 1 where the library does, and a note."""
    if not found.kind.unit_rows:
        return found.config, ()
    lengths = stored["decoder.weight"].float().norm(dim=0)
    if torch.allclose(lengths, torch.ones_like(lengths)):
        return found.config, ()
    return replace(found.config, rescale_by_decoder_norm=True), (RESCALED,)
