"""What the laws are tried on: layers of a cross-layer transcoder of Gemma Scope 2."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np
from safetensors.torch import save_file
from torch import Tensor

from harness.testing import check_sae_format
from harness_saes.drawn import Arrays, D, N, doubles, drawn, each, write_json
from harness_saes.formats.gemma_scope_2.clt import GemmaScope2CltOptions
from harness_saes.formats.gemma_scope_2.load_clt import GemmaScope2Clt

LAYERS = 3


def layer_tensors(layer: int, affine: bool) -> dict[str, Tensor]:
    """The tensors of a layer's file: its decoder has a place for every block."""
    found = {
        "w_enc": drawn(layer, D, N),
        "w_dec": drawn(10 + layer, N, LAYERS, D),
        "b_enc": drawn(20 + layer, N),
        "b_dec": drawn(30 + layer, D),
        "threshold": drawn(40 + layer, N).abs(),
    }
    return found | ({"affine_skip_connection": drawn(50 + layer, D, D)} if affine else {})


def write_layers(folder: Path, *, affine: bool, configured: bool = True) -> Path:
    """A folder with a file for each layer, and a configuration."""
    folder.mkdir(parents=True, exist_ok=True)
    if configured:
        ends = {"in": "pre_feedforward_layernorm", "out": "post_feedforward_layernorm"}
        told = {
            f"hf_hook_point_{end}": f"model.layers.{{0,1,2}}.{norm}.output"
            for end, norm in ends.items()
        }
        told |= {"type": "clt", "architecture": "jump_relu", "model_name": "gemma-v3-1b-it"}
        write_json(folder / "config.json", {**told, "width": N, "affine_connection": affine})
    for layer in range(LAYERS):
        save_file(layer_tensors(layer, affine), folder / f"params_layer_{layer}.safetensors")
    return folder


def samples(folder: Path) -> Iterator[partial[None]]:
    """The first and the last layer, with and without an affine skip connection."""
    for affine in (False, True):
        name = f"width_262k_l0_medium{'_affine' if affine else ''}"
        place = folder / "google/gemma-scope-2-1b-it/clt" / name
        write_layers(place, affine=affine)
        for layer in (0, LAYERS - 1):
            w = doubles(layer_tensors(layer, affine))
            reference = partial(each, partial(layer_alone, w, layer))
            options = GemmaScope2CltOptions(path=str(place), layer=layer)
            yield partial(check_sae_format, GemmaScope2Clt, options, reference=reference)


def layer_alone(w: Arrays, layer: int, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Latents of a layer, and what they write into its own block."""
    a = x @ w["w_enc"] + w["b_enc"]
    z = np.where(a > w["threshold"], a, 0)
    skip = x @ w["affine_skip_connection"] if "affine_skip_connection" in w else 0
    return z, z @ w["w_dec"][:, layer] + w["b_dec"] + skip
