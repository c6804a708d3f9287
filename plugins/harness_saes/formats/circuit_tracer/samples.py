"""What the laws are tried on: a layer of a set of transcoders, and of a cross-layer one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

import numpy as np
from safetensors.torch import save_file
from torch import Tensor

from harness.testing import check_sae_format
from harness_saes.drawn import Arrays, D, N, Token, doubles, drawn, each
from harness_saes.formats.circuit_tracer.load import CircuitTracer
from harness_saes.formats.circuit_tracer.options import CircuitTracerOptions

Layers = Sequence[int]
LAYERS = 3
SETTINGS = {
    "model_name": "google/gemma-2-2b",
    "feature_input_hook": "hook_resid_mid",
    "feature_output_hook": "hook_mlp_out",
}


def write_settings(folder: Path, **settings: object) -> Path:
    """A config.yaml; a setting that is None is left out."""
    folder.mkdir(parents=True, exist_ok=True)
    told = {key: value for key, value in {**SETTINGS, **settings}.items() if value is not None}
    lines = [f"{key}: {value}" for key, value in told.items()]
    (folder / "config.yaml").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder


def set_tensors(layer: int, *, jumps: bool, skips: bool) -> dict[str, Tensor]:
    """One layer of a set, as `SingleLayerTranscoder.to_safetensors` writes it."""
    found = {
        "W_enc": drawn(layer, N, D),
        "W_dec": drawn(10 + layer, N, D),
        "b_enc": drawn(20 + layer, N),
        "b_dec": drawn(30 + layer, D),
    }
    if jumps:
        found["activation_function.threshold"] = drawn(40 + layer, N).abs()
    return found | ({"W_skip": drawn(50 + layer, D, D)} if skips else {})


def cross_tensors(layer: int, *, jumps: bool) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Encoder and decoder of a layer, as `CrossLayerTranscoder.to_safetensors` writes them."""
    encoder = {
        f"W_enc_{layer}": drawn(layer, N, D),
        f"b_enc_{layer}": drawn(20 + layer, N),
        f"b_dec_{layer}": drawn(30 + layer, D),
    }
    if jumps:
        encoder[f"threshold_{layer}"] = drawn(40 + layer, N).abs()
    return encoder, {f"W_dec_{layer}": drawn(10 + layer, N, LAYERS - layer, D)}


def write_set(
    folder: Path, *, jumps: bool, skips: bool, layers: Layers = range(LAYERS), **settings: object
) -> Path:
    """A folder with a set of transcoders, or with some of its layers: one is enough."""
    write_settings(folder, model_kind="transcoder_set", **settings)
    for layer in layers:
        tensors = set_tensors(layer, jumps=jumps, skips=skips)
        save_file(tensors, folder / f"layer_{layer}.safetensors")
    return folder


def write_cross(
    folder: Path, *, jumps: bool, layers: Layers = range(LAYERS), **settings: object
) -> Path:
    """A folder with a cross-layer transcoder, or with some of its layers."""
    write_settings(folder, model_kind="cross_layer_transcoder", **settings)
    for layer in layers:
        for part, tensors in zip(["enc", "dec"], cross_tensors(layer, jumps=jumps), strict=True):
            save_file(tensors, folder / f"W_{part}_{layer}.safetensors")
    return folder


def samples(folder: Path) -> Iterator[partial[None]]:
    """With and without thresholds; read through a norm, with a skip connection; two layers."""
    for jumps in (False, True):
        place, layer = folder / f"set-{jumps}", 1
        hook = "ln2.hook_normalized"
        write_set(place, jumps=jumps, skips=jumps, layers=(layer,), feature_input_hook=hook)
        w = doubles(set_tensors(layer, jumps=jumps, skips=jumps))
        yield _checked(place, layer, partial(single_layer, w, 1e-6))
        place, layer = folder / f"clt-{jumps}", 2 * int(jumps)
        write_cross(place, jumps=jumps, layers=(layer,))
        encoder, decoder = cross_tensors(layer, jumps=jumps)
        w = doubles({k.removesuffix(f"_{layer}"): t for k, t in {**encoder, **decoder}.items()})
        yield _checked(place, layer, partial(layer_alone, w))


def _checked(place: Path, layer: int, token: Token) -> partial[None]:
    options = CircuitTracerOptions(path=str(place), layer=layer)
    return partial(check_sae_format, CircuitTracer, options, reference=partial(each, token))


def single_layer(w: Arrays, epsilon: float | None, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A transcoder of one layer; with an ε its input goes through an RMS norm without a gain."""
    if epsilon is not None:
        x = x / np.sqrt(np.mean(x**2) + epsilon)
    a = w["W_enc"] @ x + w["b_enc"]
    z = np.where(a > w.get("activation_function.threshold", 0), a, 0)
    return z, z @ w["W_dec"] + w["b_dec"] + (w["W_skip"] @ x if "W_skip" in w else 0)


def layer_alone(w: Arrays, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Latents of a layer, and what they write into its own block."""
    a = w["W_enc"] @ x + w["b_enc"]
    z = np.where(a > w.get("threshold", 0), a, 0)
    return z, z @ w["W_dec"][:, 0] + w["b_dec"]
