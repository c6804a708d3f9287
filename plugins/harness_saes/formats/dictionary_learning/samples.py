"""What the laws are tried on: one SAE of each class of dictionary_learning."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from harness.testing import check_sae_format
from harness_saes.drawn import Arrays, D, K, N, doubles, drawn, each, largest, write_json
from harness_saes.formats.dictionary_learning.load import DictionaryLearning
from harness_saes.formats.dictionary_learning.options import DictionaryLearningOptions

GROUPS = [N // 4, N - N // 4]
THRESHOLD = 0.3
_AFTER = {
    "AutoEncoder": "bias",
    "AutoEncoderNew": "decoder.bias",
    "GatedAutoEncoder": "decoder_bias",
}
"""The name of the decoder's bias; of the other classes it is b_dec."""
_UNSHIFTED = ("AutoEncoderNew", "JumpReluAutoEncoder")
"""Classes whose encoder reads x as it is."""


def samples(folder: Path) -> Iterator[partial[None]]:
    """Each class as its trainer writes it."""
    for name, state in _states().items():
        place = folder / name / "resid_post_layer_3" / "trainer_0"
        trainer = {"dict_class": name, "activation_dim": D, "dict_size": N, "lr": 0.001, "seed": 0}
        trainer |= {"lm_name": "organism/base", "layer": 3, "submodule_name": "resid_post_layer_3"}
        trainer |= {"k": K} if "TopK" in name else {}
        trainer |= {"group_sizes": GROUPS} if "Matryoshka" in name else {}
        data = {"trainer": trainer, "buffer": {"d_submodule": D, "io": "out"}}
        write_json(place / "config.json", data)
        torch.save(state, place / "ae.pt")
        reference = partial(each, partial(_token, doubles(state), name))
        options = DictionaryLearningOptions(path=str(place))
        yield partial(check_sae_format, DictionaryLearning, options, reference=reference)


def _states() -> dict[str, dict[str, Tensor]]:
    """By class, the tensors of its file."""
    linears = {"encoder.weight": drawn(0, N, D), "decoder.weight": drawn(1, D, N)}
    bias, after = {"encoder.bias": drawn(2, N)}, drawn(3, D)
    scalars = {"k": torch.tensor(K, dtype=torch.int), "threshold": torch.tensor(THRESHOLD)}
    plain = {"W_enc": drawn(4, D, N), "b_enc": drawn(5, N), "W_dec": drawn(6, N, D), "b_dec": after}
    gated = {key: drawn(7 + i, N) for i, key in enumerate(("r_mag", "gate_bias", "mag_bias"))}
    return {
        "AutoEncoder": linears | bias | {"bias": after},
        "AutoEncoderNew": linears | bias | {"decoder.bias": after},
        "AutoEncoderTopK": linears | bias | {"b_dec": after} | scalars,
        "BatchTopKSAE": linears | bias | {"b_dec": after} | scalars,
        "MatryoshkaBatchTopKSAE": plain | scalars | {"group_sizes": torch.tensor(GROUPS)},
        "GatedAutoEncoder": linears | gated | {"decoder_bias": after},
        "JumpReluAutoEncoder": plain | {"threshold": drawn(10, N).abs()},
    }


def _token(w: Arrays, name: str, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The library's formula of a class."""
    encoder = w["encoder.weight"] if "encoder.weight" in w else w["W_enc"].T
    decoder = w["decoder.weight"] if "decoder.weight" in w else w["W_dec"].T
    after = w[_AFTER.get(name, "b_dec")]
    a = encoder @ (x if name in _UNSHIFTED else x - after)
    if name == "GatedAutoEncoder":
        size = np.maximum(np.exp(w["r_mag"]) * a + w["mag_bias"], 0)
        z = np.where(a + w["gate_bias"] > 0, size, 0)
        return z, decoder @ z + after
    z = np.maximum(a + w["encoder.bias" if "encoder.bias" in w else "b_enc"], 0)
    if name == "AutoEncoderTopK":
        z = largest(z, K)
    elif "threshold" in w:
        z = np.where(z > w["threshold"], z, 0)
    if name == "AutoEncoder":  # the library makes rows length 1; latents carry their lengths
        lengths = np.linalg.norm(decoder, axis=0)
        return z * lengths, decoder @ z + after
    return z, decoder @ z + after
