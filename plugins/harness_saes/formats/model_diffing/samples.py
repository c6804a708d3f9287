"""What the laws are tried on: crosscoders with every code, and an SAE of differences."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from harness.testing import check_sae_format
from harness_saes.drawn import Arrays, D, K, N, doubles, drawn, each, write_json
from harness_saes.formats.model_diffing.load import Crosscoder, DifferenceSae
from harness_saes.formats.model_diffing.options import (
    CODES,
    CrosscoderOptions,
    DifferenceSaeOptions,
)

GUARD = 1e-8
ALPHA, BETA = 1.0, 0.1
"""The library's own weights of a MIXED code."""


def crosscoder(folder: Path) -> Iterator[partial[None]]:
    """Each code with a threshold, and one crosscoder without."""
    kinds = [("BatchTopKCrossCoder", code) for code in CODES] + [("CrossCoder", "CROSSCODER")]
    for kind, code in kinds:
        state = {
            "encoder.weight": drawn(0, 2, D, N),
            "encoder.bias": drawn(1, N),
            "decoder.weight": drawn(2, 2, N, D),
            "decoder.bias": drawn(3, 2, D),
            "code_normalization_id": torch.tensor(CODES.index(code) + 1),
            **_normaliser(2, D),
        }
        if kind == "BatchTopKCrossCoder":
            limits = [0.2, 0.4] if code == "DECOUPLED" else 0.3
            state |= {"k": torch.tensor(K, dtype=torch.int), "threshold": torch.tensor(limits)}
        place = _written(folder / f"{kind}-{code}", state, kind, code_normalization=code)
        reference = partial(each, partial(_crosscoder, doubles(state), code))
        options = CrosscoderOptions(path=str(place))
        yield partial(check_sae_format, Crosscoder, options, reference=reference, rtol=3e-5)


def difference_sae(folder: Path) -> Iterator[partial[None]]:
    """A BatchTopK SAE of normalised differences."""
    state = {
        "encoder.weight": drawn(0, N, D),
        "encoder.bias": drawn(1, N),
        "decoder.weight": drawn(2, D, N),
        "b_dec": drawn(3, D),
        "k": torch.tensor(K, dtype=torch.int),
        "threshold": torch.tensor(0.3),
        **_normaliser(D),
    }
    place = _written(folder / "difference", state, "BatchTopKSAE", k=K, target="difference_ftb")
    reference = partial(each, partial(_difference, doubles(state)))
    options = DifferenceSaeOptions(path=str(place))
    yield partial(check_sae_format, DifferenceSae, options, reference=reference, rtol=3e-5)


# ── Files ────────────────────────────────────────────────────────────────────────────────────────


def _normaliser(*shape: int) -> dict[str, Tensor]:
    """The four buffers of the library's normaliser."""
    deviation, rms = drawn(4, *shape).abs() + 0.2, torch.tensor(2.0)
    return {
        "target_rms": rms,
        "activation_mean": drawn(5, *shape),
        "activation_std": deviation,
        "activation_global_scale": rms / torch.sqrt((deviation**2).sum(-1) + GUARD),
    }


def _written(place: Path, state: Mapping[str, Tensor], kind: str, **told: object) -> Path:
    trainer = {"dict_class": kind, "trainer_class": f"{kind}Trainer", "activation_dim": D}
    trainer |= {"dict_size": N, "layer": 13, "lm_name": "base-tuned"}
    trainer |= {"submodule_name": "layer_13_out", **told}
    write_json(place / "config.json", {"trainer": trainer, "buffer": {}})
    torch.save(dict(state), place / "model_final.pt")
    return place


# ── Formulas, in float64 ─────────────────────────────────────────────────────────────────────────


def _crosscoder(w: Arrays, code: str, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """get_activations and decode(encode(x)) of the library, model by model."""
    apart = code == "DECOUPLED" and "threshold" in w
    own = [x[side * D : (side + 1) * D] for side in (0, 1)]
    for _ in range(2 if apart else 1):  # the library normalises these a second time
        own = [_inside(w, side, one) for side, one in enumerate(own)]
    a = w["encoder.bias"] + sum(own[side] @ w["encoder.weight"][side] for side in (0, 1))
    f, sizes = np.maximum(a, 0), _sizes(np.linalg.norm(w["decoder.weight"], axis=2), code)
    if apart:  # a latent for each model, of its own size and limit
        kept = [np.where(f * sizes[side] > w["threshold"][side], f, 0) for side in (0, 1)]
        return np.concatenate([kept[side] * sizes[side] for side in (0, 1)]), _outside(w, kept)
    if "threshold" in w:
        f = np.where(f * sizes > w["threshold"], f, 0)
    return f * sizes, _outside(w, [f, f])


def _sizes(lengths: np.ndarray, code: str) -> np.ndarray:
    """What a latent is multiplied with, from the lengths of its rows in both models."""
    both, added = np.sqrt((lengths**2).sum(0)), lengths.sum(0)
    mixed = ALPHA * both + BETA * added
    sizes = {"CROSSCODER": added, "SAE": both, "MIXED": mixed, "NONE": np.ones_like(both)}
    return lengths if code == "DECOUPLED" else sizes[code]


def _inside(w: Arrays, side: int, x: np.ndarray) -> np.ndarray:
    found: np.ndarray = (x - w["activation_mean"][side]) * w["activation_global_scale"][side]
    return found


def _outside(w: Arrays, f: list[np.ndarray]) -> np.ndarray:
    parts = [f[side] @ w["decoder.weight"][side] + w["decoder.bias"][side] for side in (0, 1)]
    scale, mean = w["activation_global_scale"] + GUARD, w["activation_mean"]
    return np.concatenate([part / scale[side] + mean[side] for side, part in enumerate(parts)])


def _difference(w: Arrays, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    read = (x - w["activation_mean"]) * w["activation_global_scale"]
    f = np.maximum(w["encoder.weight"] @ (read - w["b_dec"]) + w["encoder.bias"], 0)
    f = np.where(f > w["threshold"], f, 0)
    out = w["decoder.weight"] @ f + w["b_dec"]
    return f, out / (w["activation_global_scale"] + GUARD) + w["activation_mean"]
