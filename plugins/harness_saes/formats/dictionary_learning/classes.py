"""The classes of dictionary_learning: what each computes, and how its file looks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from harness_saes.core.stored import Entry, Layout, layout_of

_K = {"k": Entry((), optional=True, integer=True)}
_UNUSED = _K | {"threshold": Entry((), optional=True)}
"""This threshold is for a mode that the library does not use unasked; old files have none."""


@dataclass(frozen=True)
class DictClass:
    """One class of the library, in the words of `LinearSae`."""

    architecture: str
    names: Mapping[str, str]
    """The tensors of `LinearSae` by their names in the file."""
    others: Layout = field(default_factory=dict)
    groups: bool = False
    """Whether the file says how large each group of latents is."""
    subtracts: bool = True
    """Whether the encoder reads x − b_dec."""
    per_token: bool = False
    """Whether k latents are kept for each token. BatchTopK and Matryoshka SAEs have a k of their
    training, and at inference a threshold."""
    unit_rows: bool = False
    """Whether the library makes the decoder's rows length 1 when it loads a file."""

    def layout(self, d: int, n: int, groups: int) -> Layout:
        """The tensors of a file of width d with n latents, in groups if it is a Matryoshka SAE."""
        sizes = {"group_sizes": Entry((groups,), integer=True)} if self.groups else {}
        return {**layout_of(self.names, d, n), **self.others, **sizes}


_LINEARS = {"encoder.weight": "W_enc", "decoder.weight": "W_dec"}
_BIASES = {"b_dec": "b_dec", "encoder.bias": "b_enc"}
_GATED = {"decoder_bias": "b_dec", "r_mag": "r_mag", "gate_bias": "b_gate", "mag_bias": "b_mag"}
_PLAIN = {"W_enc": "W_enc", "W_dec": "W_dec", "b_dec": "b_dec", "b_enc": "b_enc"}
_THRESHOLD = {"threshold": "topk_threshold"}
OLD_NAMES: Mapping[str, str] = {"MatroyshkaBatchTopKSAE": "MatryoshkaBatchTopKSAE"}
"""Classes as the library spelt them at first."""
CLASSES: Mapping[str, DictClass] = {
    "AutoEncoder": DictClass(
        "standard", _LINEARS | {"bias": "b_dec", "encoder.bias": "b_enc"}, unit_rows=True
    ),
    "AutoEncoderNew": DictClass(
        "standard", _LINEARS | {"decoder.bias": "b_dec", "encoder.bias": "b_enc"}, subtracts=False
    ),
    "AutoEncoderTopK": DictClass("topk", _LINEARS | _BIASES, _UNUSED, per_token=True),
    "BatchTopKSAE": DictClass("batchtopk", _LINEARS | _BIASES | _THRESHOLD, _K),
    "GatedAutoEncoder": DictClass("gated", _LINEARS | _GATED),
    "JumpReluAutoEncoder": DictClass(
        "jumprelu", _PLAIN | {"threshold": "threshold"}, subtracts=False
    ),
    "MatryoshkaBatchTopKSAE": DictClass(
        "matryoshka_batchtopk", _PLAIN | _THRESHOLD, _K, groups=True
    ),
}
"""By `dict_class`. Source: dictionary_learning 0.1 (`dictionary.py`, `trainers`)."""
