"""Loads the formats that say everything before a weight is read, and store no number to change."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from harness.contract import Sae
from harness_saes.core.config import Config
from harness_saes.core.linear import LinearSae, fingerprint, finite_on
from harness_saes.core.stored import canonical
from harness_saes.files.header import load_safetensors
from harness_saes.files.npz import load_npz
from harness_saes.files.places import PlacedOptions
from harness_saes.files.pt_file import load_pt

Ready = tuple[Config, dict[str, Tensor], tuple[str, ...]]
"""Configuration and tensors of `LinearSae`, and notes."""


class Loaded:
    """A format whose tensors need nothing but other names, and some of them transposing."""

    def __init__(self, options: PlacedOptions) -> None:
        self._options = options

    def load(self, device: str) -> Sae:
        """The SAE on a device; ModelError says which file, tensor, key or name is wrong."""
        found = self._options.inspect(self._options.fetched())
        config, tensors, notes = self._prepared(found, device)
        return LinearSae(config, tensors, getattr(torch, self._options.dtype), notes=notes)

    def read_ahead(self) -> None:
        """Reads and hashes the weights where they are here, and `ready` makes no others of them."""
        place = self._options.found()
        if place is None or type(self).ready is not Loaded.ready:
            return
        found = self._options.inspect(place)
        if found.weights.suffix == ".npz":  # which is not mapped: it would be in memory twice
            return
        config, tensors, _ = self._prepared(found, "cpu")
        fingerprint(config, tensors, getattr(torch, self._options.dtype))

    def _prepared(self, found: Any, device: str) -> Ready:
        options = self._options
        config, tensors, notes = self.ready(found, _tensors(found.weights, options.where))
        config = replace(config, not_trained_on=config.not_trained_on or options.carded)
        return config, finite_on(device, tensors, str(found.weights)), notes

    def ready(self, found: Any, stored: Mapping[str, Any]) -> Ready:
        """From what the format's `inspect` found, and what its file of weights holds."""
        return found.config, canonical(stored, found.layout), ()


def _tensors(file: Path, where: str) -> dict[str, Any]:
    """What a file of weights holds, on the CPU."""
    if file.suffix == ".npz":
        return load_npz(file)
    return load_safetensors(file) if file.suffix == ".safetensors" else load_pt(file, where)


class GemmaScope(Loaded):
    """The format `gemma_scope`: `z = a` where `a = x W_enc + b_enc > θ`, `x̂ = z W_dec + b_dec`.

    Raw activations, no b_dec before the encoder, one θ for each latent. Of a transcoder x is the
    stream after attention as the norm before the MLP divides it, `x / √(mean x² + 1e-6)` without
    the norm's gain, and x̂ what the MLP adds to the stream. Source: Lieberum et al., Gemma Scope
    (arXiv 2408.05147), its tutorial, and the loaders of transcoders of circuit-tracer and SAELens.

    Its file is an archive, which cannot be mapped: each process that loads it has a copy in memory.
    What SAELens' `save_model` writes of it is mapped, and processes share it.
    """


class GemmaScope2(Loaded):
    """The format `gemma_scope_2`: `z = a` where `a = x w_enc + b_enc > θ`,
    `x̂ = z w_dec + b_dec`, and `+ x A` of a transcoder with an affine skip connection A.

    Raw activations, no b_dec before the encoder, one θ for each latent. Source: Gemma Scope 2's
    files and SAELens' loader of them (`gemma_3_sae_huggingface_loader`).
    """


class QwenScope(Loaded):
    """The format `qwen_scope`: `z = ReLU` of the k largest of `a = x W_encᵀ + b_enc`,
    `x̂ = z W_decᵀ + b_dec`.

    Raw activations, no b_dec before the encoder; k is in the repository's name. Source:
    Qwen-Scope's model cards.
    """


class Sparsify(Loaded):
    """The format `sparsify`: a folder per hookpoint, or a repository of them.

    `z = TopK(ReLU((x − b_dec) W_enc + b_enc))`, `x̂ = z W_dec + b_dec (+ x W_skip^T)`; a
    transcoder reads x without b_dec. Weights are used as stored, in float32 or float64.
    Source: sparsify 1.3 (`sparse_coder.py`, `fused_encoder.py`).
    """


class Openai(Loaded):
    """The format `openai`: `a = (x′ − pre_bias) W_enc + latent_bias`, `x̂′ = z W_dec + pre_bias`.

    Versions 1 and 4: `z = ReLU(a)`, `x′ = x`. Version 5: `z = ReLU` of the k largest of a,
    `x′ = (x − m)/(s + 1e-5)` with m, s the token's mean and unbiased standard deviation, and
    `x̂ = s x̂′ + m`. Source: openai/sparse_autoencoder (`model.py`, `paths.py`). Its activations
    came from TransformerLens with `center_writing_weights=False`, which are the model's own.
    """


class Goodfire(Loaded):
    """The format `goodfire`: `z = ReLU(x W_enc + b_enc)`, `x̂ = z W_dec + b_dec`.

    Nothing is subtracted from x. Source: Goodfire's notebook with its open-source SAEs; the same
    as SAELens' converter.
    """
