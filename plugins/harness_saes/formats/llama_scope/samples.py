"""What the laws are tried on: an SAE of each generation of Llama Scope."""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file

from harness.testing import check_sae_format
from harness_saes.drawn import Arrays, D, K, N, doubles, drawn, each, write_json
from harness_saes.formats.llama_scope.load import LlamaScope
from harness_saes.formats.llama_scope.options import LlamaScopeOptions

HOOK = "blocks.15.hook_resid_post"
THETA, NORM = 0.2, 1.7
"""θ in units of raw activations, and their mean length, small as these widths are."""
SHARED = {
    "hook_point_in": HOOK,
    "hook_point_out": HOOK,
    "use_decoder_bias": True,
    "apply_decoder_bias_to_pre_encoder": False,
    "expansion_factor": N / D,
    "d_model": D,
    "act_fn": "jumprelu",
    "norm_activation": "dataset-wise",
    "sparsity_include_decoder_norm": True,
    "use_glu_encoder": False,
    "top_k": K,
}


def samples(folder: Path) -> Iterator[partial[None]]:
    """The first generation, and that of the R1 distillate."""
    w = {
        "encoder.weight": drawn(0, N, D),
        "encoder.bias": drawn(1, N),
        "decoder.weight": drawn(2, D, N),
        "decoder.bias": drawn(3, D),
    }
    first = folder / "fnlp/Llama3_1-8B-Base-LXR-8x/Llama3_1-8B-Base-L15R-8x"
    told = {"d_sae": N, "jump_relu_threshold": THETA}
    told |= {"dataset_average_activation_norm": {"in": NORM, "out": NORM}}
    write_json(first / "hyperparams.json", {**SHARED, **told})
    (first / "checkpoints").mkdir()
    save_file(w, first / "checkpoints/final.safetensors")
    distilled = folder / "fnlp/Llama-Scope-R1-Distill/800M-Slimpajama-0-OpenR1-Math-220k/L15R"
    log_threshold = drawn(4, N).abs().log()
    own = {"log_jumprelu_threshold": log_threshold}
    own |= {f"dataset_average_activation_norm.{HOOK}": torch.tensor(NORM)}
    told = {"sae_type": "sae", "jump_relu_threshold": 0.0, "force_unit_decoder_norm": False}
    write_json(distilled / "config.json", {**SHARED, **told})
    save_file({**w, **own}, distilled / "sae_weights.safetensors")
    scale = math.sqrt(D) / NORM
    limits = {first: np.full(N, THETA * scale), distilled: np.exp(log_threshold.double().numpy())}
    for place, limit in limits.items():
        reference = partial(each, partial(_openmoss, doubles(w), limit, scale))
        options = LlamaScopeOptions(path=str(place))
        yield partial(check_sae_format, LlamaScope, options, reference=reference)


def _openmoss(
    w: Arrays, limit: np.ndarray, scale: float, x: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """OpenMOSS' formula: the latent times its decoder row's length is held against the limit."""
    a = w["encoder.weight"] @ (x * scale) + w["encoder.bias"]
    lengths = np.linalg.norm(w["decoder.weight"], axis=0)
    z = np.where(a * lengths > limit, a, 0)
    return z, (w["decoder.weight"] @ z + w["decoder.bias"]) / scale
