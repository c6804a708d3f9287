"""The classes of dictionary_learning: what each computes, and how its file looks."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from harness_saes.core.stored import Entry, Layout

Widths = tuple[int, int, int]
"""activation_dim, dict_size, and the number of groups of a Matryoshka SAE."""


@dataclass(frozen=True)
class DictClass:
    """One class of the library, in the core's words."""

    architecture: str
    layout: Callable[[Widths], Layout]
    subtracts: bool = True
    """Whether the encoder reads x − b_dec."""
    per_token: bool = False
    """Whether k latents are kept for each token. BatchTopK and Matryoshka SAEs have a k of their
    training, and at inference a threshold."""
    unit_rows: bool = False
    """Whether the library makes the decoder's rows length 1 when it loads a file."""


def _linears(widths: Widths) -> dict[str, Entry]:
    """Two torch Linears: weights are stored transposed."""
    d, n, _ = widths
    return {
        "encoder.weight": Entry((n, d), "W_enc", turned=True),
        "decoder.weight": Entry((d, n), "W_dec", turned=True),
    }


def _autoencoder(widths: Widths) -> Layout:
    d, n, _ = widths
    return _linears(widths) | {"encoder.bias": Entry((n,), "b_enc"), "bias": Entry((d,), "b_dec")}


def _autoencoder_new(widths: Widths) -> Layout:
    d, n, _ = widths
    biases = {"encoder.bias": Entry((n,), "b_enc"), "decoder.bias": Entry((d,), "b_dec")}
    return _linears(widths) | biases


def _gated(widths: Widths) -> Layout:
    d, n, _ = widths
    return _linears(widths) | {
        "decoder_bias": Entry((d,), "b_dec"),
        "r_mag": Entry((n,), "r_mag"),
        "gate_bias": Entry((n,), "b_gate"),
        "mag_bias": Entry((n,), "b_mag"),
    }


def _topk(widths: Widths) -> Layout:
    """Its threshold is for a mode that the library does not use unasked; old files have none."""
    d, n, _ = widths
    return _linears(widths) | {
        "encoder.bias": Entry((n,), "b_enc"),
        "b_dec": Entry((d,), "b_dec"),
        "k": Entry((), optional=True, integer=True),
        "threshold": Entry((), optional=True),
    }


def _batch_topk(widths: Widths) -> Layout:
    d, n, _ = widths
    return _linears(widths) | {
        "encoder.bias": Entry((n,), "b_enc"),
        "b_dec": Entry((d,), "b_dec"),
        "k": Entry((), optional=True, integer=True),
        "threshold": Entry((), "topk_threshold"),
    }


def _parameters(widths: Widths) -> dict[str, Entry]:
    """The core's own names and way round."""
    d, n, _ = widths
    return {
        "W_enc": Entry((d, n), "W_enc"),
        "b_enc": Entry((n,), "b_enc"),
        "W_dec": Entry((n, d), "W_dec"),
        "b_dec": Entry((d,), "b_dec"),
    }


def _matryoshka(widths: Widths) -> Layout:
    return _parameters(widths) | {
        "k": Entry((), optional=True, integer=True),
        "threshold": Entry((), "topk_threshold"),
        "group_sizes": Entry((widths[2],), integer=True),
    }


def _jumprelu(widths: Widths) -> Layout:
    return _parameters(widths) | {"threshold": Entry((widths[1],), "threshold")}


CLASSES: Mapping[str, DictClass] = {
    "AutoEncoder": DictClass("standard", _autoencoder, unit_rows=True),
    "AutoEncoderNew": DictClass("standard", _autoencoder_new, subtracts=False),
    "AutoEncoderTopK": DictClass("topk", _topk, per_token=True),
    "BatchTopKSAE": DictClass("batchtopk", _batch_topk),
    "GatedAutoEncoder": DictClass("gated", _gated),
    "JumpReluAutoEncoder": DictClass("jumprelu", _jumprelu, subtracts=False),
    "MatryoshkaBatchTopKSAE": DictClass("matryoshka_batchtopk", _matryoshka),
}
"""By `dict_class`. Source: dictionary_learning 0.1 (`dictionary.py`, `trainers`)."""
