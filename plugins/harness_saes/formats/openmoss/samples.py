"""What the laws are tried on: SAEs, a transcoder and layers of a CLT in OpenMOSS' form."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor

from harness.testing import check_sae_format
from harness_saes.drawn import Arrays, D, K, N, doubles, drawn, each, largest, write_json
from harness_saes.formats.openmoss.load import Openmoss
from harness_saes.formats.openmoss.options import NORM, THRESHOLD, OpenmossOptions

LAYERS = 3
RESIDUAL = "blocks.6.hook_resid_post"
LENGTHS = (1.7, 0.6)
"""Mean lengths of what is read and of what is written."""


def told(**settings: Any) -> dict[str, Any]:
    """A configuration as the library writes it; a setting that is None is left out."""
    usual = {
        "sae_type": "sae", "d_model": D, "expansion_factor": N / D, "use_decoder_bias": True,
        "act_fn": "jumprelu", "norm_activation": "dataset-wise", "top_k": K,
        "sparsity_include_decoder_norm": True, "use_triton_kernel": False,
        "sparsity_threshold_for_triton_spmm_kernel": 0.996, "jumprelu_threshold_window": 2.0,
    }  # fmt: skip
    if settings.get("sae_type", "sae") == "sae":
        hooks = {"hook_point_in": RESIDUAL, "hook_point_out": RESIDUAL, "use_glu_encoder": False}
    else:
        ends = {"hook_points_in": "hook_resid_mid", "hook_points_out": "hook_mlp_out"}
        hooks = {k: [f"blocks.{n}.{hook}" for n in range(LAYERS)] for k, hook in ends.items()}
        hooks |= {"init_cross_layer_decoder_all_zero": False, "decode_with_csr": False}
    return {k: v for k, v in {**usual, **hooks, **settings}.items() if v is not None}


def tensors_of(config: Mapping[str, Any]) -> dict[str, Tensor]:
    """Weights for a configuration, under the library's names."""
    if config["sae_type"] == "clt":
        found = {"W_E": drawn(0, LAYERS, D, N), "b_E": drawn(1, LAYERS, N, scale=0.3)}
        for to in range(LAYERS):
            found |= {f"W_D.{to}": drawn(2 + to, to + 1, N, D), f"b_D.{to}": drawn(9 + to, D)}
        reads, writes = config["hook_points_in"], config["hook_points_out"]
    else:
        found = {"W_E": drawn(0, D, N), "b_E": drawn(1, N), "W_D": drawn(2, N, D) * 1.5}
        if config.get("use_decoder_bias", True):
            found["b_D"] = drawn(3, D)
        reads, writes = [config["hook_point_in"]], [config["hook_point_out"]]
    if config["act_fn"] == "jumprelu":
        found[THRESHOLD] = drawn(4, *found["b_E"].shape).abs().add(0.05).log()
    for end, hooks in zip((1, 0), (writes, reads), strict=True):
        found |= {f"{NORM}{h}": torch.tensor(LENGTHS[end] + n) for n, h in enumerate(hooks)}
    return {name: tensor.contiguous() for name, tensor in found.items()}


def write(folder: Path, config: Mapping[str, Any], **changed: Tensor | None) -> Path:
    """A folder as the library saves it; a tensor that is None is left out."""
    write_json(folder / "config.json", config)
    found = {**tensors_of(config), **changed}
    kept = {name: tensor for name, tensor in found.items() if tensor is not None}
    save_file(kept, folder / "sae_weights.safetensors", {"version": "2.0.0"})
    return folder


SETTINGS: tuple[dict[str, Any], ...] = (
    {},
    {"act_fn": "relu", "norm_activation": "inference", "use_decoder_bias": False},
    {"act_fn": "topk", "norm_activation": "token-wise"},
    {"act_fn": "topk", "sparsity_include_decoder_norm": False},
    {"act_fn": "topk", "hook_point_in": "blocks.6.ln2.hook_normalized",
     "hook_point_out": "blocks.6.hook_mlp_out"},
    {"sae_type": "clt"},
    {"sae_type": "clt", "act_fn": "topk"},
)  # fmt: skip
"""One of each activation function and normalisation."""


def samples(folder: Path) -> Iterator[partial[None]]:
    """Every activation function and normalisation; a transcoder; layers of a CLT."""
    for number, settings in enumerate(SETTINGS):
        config = told(**settings)
        place = write(folder / str(number), config)
        more: dict[str, Any] = {}
        if "ln2" in str(config.get("hook_point_in")):
            more = {"norm": "layer", "norm_epsilon": 1e-5}
        for layer in (0, LAYERS - 1) if config["sae_type"] == "clt" else (None,):
            own = more if layer is None else {"layer": layer}
            options = OpenmossOptions(path=str(place), **own)
            token = partial(reference, doubles(tensors_of(config)), config, layer)
            yield partial(check_sae_format, Openmoss, options, reference=partial(each, token))


def reference(
    w: Arrays, config: Mapping[str, Any], layer: int | None, x: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """OpenMOSS' formula of one token: scaled, encoded, selected by value times length, decoded."""
    if "ln2" in str(config.get("hook_point_in")):
        x = x - x.mean()
        x = x / np.sqrt(np.mean(x**2) + 1e-5)
    if layer is None:
        reads, writes = config["hook_point_in"], config["hook_point_out"]
        own, lengths = w["W_D"], np.linalg.norm(w["W_D"], axis=1)
        encoder, bias, out = w["W_E"], w["b_E"], w.get("b_D", np.zeros(D))
    else:
        reads, writes = config["hook_points_in"][layer], config["hook_points_out"][layer]
        all_rows = [w[f"W_D.{to}"][layer] for to in range(layer, LAYERS)]
        own, lengths = all_rows[0], np.linalg.norm(np.concatenate(all_rows, axis=1), axis=1)
        encoder, bias, out = w["W_E"][layer], w["b_E"][layer], w[f"b_D.{layer}"]
    before = after = 1.0
    if config["norm_activation"] == "dataset-wise":
        before, after = (math.sqrt(D) / w[f"{NORM}{hook}"] for hook in (reads, writes))
    elif config["norm_activation"] == "token-wise":
        before = after = math.sqrt(D) / np.linalg.norm(x)
    if not config["sparsity_include_decoder_norm"]:
        lengths = np.ones_like(lengths)
    a = (before * x) @ encoder + bias
    if config["act_fn"] == "topk":
        z = largest(np.maximum(a * lengths, 0), config["top_k"]) / lengths
    elif config["act_fn"] == "jumprelu":
        limit = np.exp(w[THRESHOLD] if layer is None else w[THRESHOLD][layer])
        z = np.where(a * lengths > limit, a, 0)
    else:
        z = np.maximum(a, 0)
    return z, (z @ own + out) / after
