"""Loads SAEs of dictionary_learning, without dictionary_learning."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from harness.contract import Sae
from harness.errors import ModelError
from harness_saes.core.stored import canonical
from harness_saes.files.pt_file import load_pt
from harness_saes.finished import linear_sae
from harness_saes.formats.dictionary_learning.options import (
    CONFIG,
    Dictionary,
    DictionaryLearningOptions,
)
from harness_saes.formats.saelens.config import Config

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
        folder = options.fetched()
        file = folder / options.file
        read = options.checked(folder)
        stored = load_pt(file, options.where)
        _check_counts(stored, read, file)
        config, notes = _lengths(read, stored)
        tensors = canonical(stored, read.layout({}))
        return linear_sae(config, tensors, options.dtype, device, str(file), notes=notes)


def _check_counts(stored: Mapping[str, Any], read: Dictionary, file: Path) -> None:
    """Refuses weights whose own k or groups are not those of config.json."""
    k = stored.get("k")
    if k is not None and read.k is not None and int(k) != read.k:
        raise ModelError(
            f"{file}: k is {int(k)}, but {read.k} in {CONFIG}. Are both files of one SAE?"
        )
    sizes = stored.get("group_sizes")
    if sizes is not None and int(sizes.sum()) != read.config.d_sae:
        raise ModelError(
            f"{file}: group_sizes add up to {int(sizes.sum())}. Expected {read.config.d_sae}, "
            f"the dict_size in {CONFIG}."
        )


def _lengths(read: Dictionary, stored: Mapping[str, Any]) -> tuple[Config, tuple[str, ...]]:
    """The configuration with which latents are scaled as the library does, and a note of it."""
    if not read.kind.unit_rows:
        return read.config, ()
    lengths = stored["decoder.weight"].float().norm(dim=0)
    if torch.allclose(lengths, torch.ones_like(lengths)):
        return read.config, ()
    return replace(read.config, rescale_by_decoder_norm=True), (RESCALED,)
