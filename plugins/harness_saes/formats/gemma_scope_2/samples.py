"""What the laws are tried on: an SAE, a transcoder, a crosscoder and a cross-layer transcoder of
Gemma Scope 2."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

import numpy as np
from safetensors.torch import save_file
from torch import Tensor

from harness.testing import check_sae_format
from harness_saes.drawn import Arrays, D, N, doubles, drawn, each, write_json
from harness_saes.formats.gemma_scope_2.clt import GemmaScope2CltOptions
from harness_saes.formats.gemma_scope_2.crosscoder import GemmaScope2CrosscoderOptions
from harness_saes.formats.gemma_scope_2.load_clt import GemmaScope2Clt
from harness_saes.formats.gemma_scope_2.load_crosscoder import GemmaScope2Crosscoder
from harness_saes.formats.gemma_scope_2.options import GemmaScope2Options
from harness_saes.formats.load import GemmaScope2

COUNTS = (9, 4, 12)
"""Latents of the crosscoder's three blocks."""
BLOCKS = "model.layers.{5,9,12}.output"
LAYERS = 3
"""Of the cross-layer transcoder."""
PLACES = {
    "resid_post/layer_22_width_16k_l0_medium": ("model.layers.22.output",) * 2,
    "transcoder_all/layer_5_width_16k_l0_small_affine": (
        "model.layers.5.pre_feedforward_layernorm.output",
        "model.layers.5.post_feedforward_layernorm.output",
    ),
}
"""By folder, where it reads and where it writes."""


def single(folder: Path) -> Iterator[partial[None]]:
    """An SAE, and a transcoder with an affine skip connection."""
    for name, (before, after) in PLACES.items():
        place, affine = folder / "google/gemma-scope-2-4b-it" / name, before != after
        w = {
            "w_enc": drawn(0, D, N),
            "b_enc": drawn(1, N),
            "w_dec": drawn(2, N, D),
            "b_dec": drawn(3, D),
            "threshold": drawn(4, N).abs(),
            **({"affine_skip_connection": drawn(5, D, D)} if affine else {}),
        }
        told = {"hf_hook_point_in": before, "hf_hook_point_out": after, "width": N, "l0": 60}
        told |= {"model_name": "google/gemma-3-4b-it", "architecture": "jump_relu"}
        told |= {"affine_connection": affine, "type": "transcoder" if affine else "sae"}
        write_json(place / "config.json", told)
        save_file(w, place / "params.safetensors")
        reference = partial(each, partial(_single, doubles(w)))
        options = GemmaScope2Options(path=str(place))
        yield partial(check_sae_format, GemmaScope2, options, reference=reference)


def crosscoder(folder: Path) -> Iterator[partial[None]]:
    """Three blocks of one model."""
    parts = [
        {
            "w_enc": drawn(block, D, n),
            "w_dec": drawn(3 + block, n, len(COUNTS), D),
            "b_enc": drawn(6 + block, n),
            "b_dec": drawn(9 + block, D),
            "threshold": drawn(12 + block, n).abs(),
        }
        for block, n in enumerate(COUNTS)
    ]
    told = {"type": "crosscoder", "architecture": "jump_relu", "width": sum(COUNTS)}
    told |= {"model_name": "gemma-v3-1b-it"}
    told |= dict.fromkeys(("hf_hook_point_in", "hf_hook_point_out"), BLOCKS)
    write_json(folder / "config.json", told)
    for block, part in enumerate(parts):
        save_file(part, folder / f"params_layer_{block}.safetensors")
    reference = partial(each, partial(_crosscoder, [doubles(part) for part in parts]))
    options = GemmaScope2CrosscoderOptions(path=str(folder))
    yield partial(check_sae_format, GemmaScope2Crosscoder, options, reference=reference)


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


def write_layers(folder: Path, *, affine: bool, layers: Sequence[int] = range(LAYERS)) -> Path:
    """A folder with a configuration, and a file for each layer or for some: one is enough."""
    folder.mkdir(parents=True, exist_ok=True)
    ends = {"in": "pre_feedforward_layernorm", "out": "post_feedforward_layernorm"}
    told = {
        f"hf_hook_point_{end}": f"model.layers.{{0,1,2}}.{norm}.output"
        for end, norm in ends.items()
    }
    told |= {"type": "clt", "architecture": "jump_relu", "model_name": "gemma-v3-1b-it"}
    write_json(folder / "config.json", {**told, "width": N, "affine_connection": affine})
    for layer in layers:
        save_file(layer_tensors(layer, affine), folder / f"params_layer_{layer}.safetensors")
    return folder


def layered(folder: Path) -> Iterator[partial[None]]:
    """The first and the last layer, with and without an affine skip connection."""
    for affine in (False, True):
        for layer in (0, LAYERS - 1):
            name = f"width_262k_l0_medium{'_affine' if affine else ''}"
            place = folder / "google/gemma-scope-2-1b-it/clt" / str(layer) / name
            write_layers(place, affine=affine, layers=(layer,))
            w = doubles(layer_tensors(layer, affine))
            reference = partial(each, partial(layer_alone, w, layer))
            options = GemmaScope2CltOptions(path=str(place), layer=layer)
            yield partial(check_sae_format, GemmaScope2Clt, options, reference=reference)


def _single(w: Arrays, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    a = x @ w["w_enc"] + w["b_enc"]
    z = np.where(a > w["threshold"], a, 0)
    skip = x @ w["affine_skip_connection"] if "affine_skip_connection" in w else 0
    return z, z @ w["w_dec"] + w["b_dec"] + skip


def _crosscoder(w: Sequence[Arrays], x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    latents = []
    for block, part in enumerate(w):
        a = x[block * D : (block + 1) * D] @ part["w_enc"] + part["b_enc"]
        latents.append(np.where(a > part["threshold"], a, 0))
    out = [
        sum(latents[block] @ w[block]["w_dec"][:, to] for block in range(len(w))) + w[to]["b_dec"]
        for to in range(len(w))
    ]
    return np.concatenate(latents), np.concatenate(out)


def layer_alone(w: Arrays, layer: int, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Latents of a layer, and what they write into its own block."""
    a = x @ w["w_enc"] + w["b_enc"]
    z = np.where(a > w["threshold"], a, 0)
    skip = x @ w["affine_skip_connection"] if "affine_skip_connection" in w else 0
    return z, z @ w["w_dec"][:, layer] + w["b_dec"] + skip
