"""The classes of dictionary_learning: what each computes, and how its file looks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from harness_saes.core.stored import Entry, Layout

_K = {"k": Entry((), optional=True, integer=True)}
_UNUSED = _K | {"threshold": Entry((), optional=True)}
"""This threshold is for a mode that the library does not use unasked; old files have none."""
_USED = _K | {"threshold": Entry((), "topk_threshold")}


@dataclass(frozen=True)
class DictClass:
    """One class of the library, in the words of `LinearSae`."""

    architecture: str
    b_dec: str
    """What the file calls b_dec."""
    latents: Mapping[str, str]
    """Tensors of one number for each latent, by their names in the file: those of `LinearSae`."""
    scalars: Layout = field(default_factory=dict)
    linears: bool = True
    """Whether both weights are torch Linears, stored transposed; otherwise W_enc and W_dec."""
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
        if self.linears:
            weights = {
                "encoder.weight": Entry((n, d), "W_enc", turned=True),
                "decoder.weight": Entry((d, n), "W_dec", turned=True),
            }
        else:
            weights = {"W_enc": Entry((d, n), "W_enc"), "W_dec": Entry((n, d), "W_dec")}
        latents = {name: Entry((n,), core) for name, core in self.latents.items()}
        sizes = {"group_sizes": Entry((groups,), integer=True)} if self.groups else {}
        return {**weights, self.b_dec: Entry((d,), "b_dec"), **latents, **self.scalars, **sizes}


_BIAS = {"encoder.bias": "b_enc"}
_GATED = {"r_mag": "r_mag", "gate_bias": "b_gate", "mag_bias": "b_mag"}
_JUMPRELU = {"b_enc": "b_enc", "threshold": "threshold"}
CLASSES: Mapping[str, DictClass] = {
    "AutoEncoder": DictClass("standard", "bias", _BIAS, unit_rows=True),
    "AutoEncoderNew": DictClass("standard", "decoder.bias", _BIAS, subtracts=False),
    "AutoEncoderTopK": DictClass("topk", "b_dec", _BIAS, _UNUSED, per_token=True),
    "BatchTopKSAE": DictClass("batchtopk", "b_dec", _BIAS, _USED),
    "GatedAutoEncoder": DictClass("gated", "decoder_bias", _GATED),
    "JumpReluAutoEncoder": DictClass(
        "jumprelu", "b_dec", _JUMPRELU, linears=False, subtracts=False
    ),
    "MatryoshkaBatchTopKSAE": DictClass(
        "matryoshka_batchtopk", "b_dec", {"b_enc": "b_enc"}, _USED, linears=False, groups=True
    ),
}
"""By `dict_class`. Source: dictionary_learning 0.1 (`dictionary.py`, `trainers`)."""
