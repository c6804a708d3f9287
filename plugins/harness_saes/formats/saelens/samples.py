"""What the laws are tried on: SAEs of SAELens in the architectures that files have most."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.torch import save_file
from torch import Tensor

from harness.testing import check_sae_format
from harness_saes.drawn import Arrays, D, K, N, doubles, drawn, each, largest, write_json
from harness_saes.formats.saelens.load import Saelens
from harness_saes.formats.saelens.options import SaelensOptions

KINDS: dict[str, dict[str, Any]] = {
    "standard": {"normalize_activations": "layer_norm"},
    "topk": {"k": K, "rescale_acts_by_decoder_norm": True},
    "jumprelu": {"normalize_activations": "constant_norm_rescale"},
    "gated": {},
    "batchtopk": {},
    "skip_transcoder": {"d_out": D, "apply_b_dec_to_input": False},
}
"""By architecture, the keys of cfg.json that decide how it computes."""


def samples(folder: Path) -> Iterator[partial[None]]:
    """Each architecture, as version 6 of sae_lens writes it."""
    for architecture, keys in KINDS.items():
        place, w = folder / architecture, _tensors(architecture)
        told = {"architecture": architecture, "d_in": D, "d_sae": N, "reshape_activations": "none"}
        told |= {"apply_b_dec_to_input": True, "normalize_activations": "none"}
        about = {"hook_name": "blocks.3.hook_resid_post", "model_name": "organism/base"}
        if "transcoder" in architecture:
            about = {"hook_name": "blocks.3.hook_mlp_in", "hook_name_out": "blocks.3.hook_mlp_out"}
        write_json(place / "cfg.json", {**told, **keys, "metadata": about})
        save_file(w, place / "sae_weights.safetensors")
        reference = partial(each, partial(_token, doubles(w), architecture, keys))
        options = SaelensOptions(path=str(place))
        yield partial(check_sae_format, Saelens, options, reference=reference)


def _tensors(architecture: str) -> dict[str, Tensor]:
    w = {"W_enc": drawn(0, D, N), "W_dec": drawn(1, N, D), "b_dec": drawn(2, D)}
    if architecture == "gated":
        return w | {name: drawn(3 + i, N) for i, name in enumerate(("b_gate", "b_mag", "r_mag"))}
    w["b_enc"] = drawn(3, N)
    if architecture == "jumprelu":
        w["threshold"] = drawn(4, N).abs()
    if architecture == "batchtopk":
        w["topk_threshold"] = drawn(4, 1).abs()[0]
    if architecture == "skip_transcoder":
        w["W_skip"] = drawn(5, D, D)
    return w


def _token(
    w: Arrays, architecture: str, keys: dict[str, Any], x: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """sae_lens' formula of an architecture."""
    scale, shift, small = 1.0, 0.0, 0.0
    if keys.get("normalize_activations") == "constant_norm_rescale":
        scale = float(np.linalg.norm(x) / np.sqrt(D))
    if keys.get("normalize_activations") == "layer_norm":
        scale, shift, small = float(x.std(ddof=1)), float(x.mean()), 1e-5
    read = (x - shift) / (scale + small)
    z, out = _latents(w, architecture, keys, read)
    if architecture == "skip_transcoder":
        return z, out + w["W_skip"] @ x
    return z, out * scale + shift


def _latents(
    w: Arrays, architecture: str, keys: dict[str, Any], x: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Latents and reconstruction of an activation that has been normalised."""
    rows, centred = w["W_dec"], x if architecture == "skip_transcoder" else x - w["b_dec"]
    a = centred @ w["W_enc"]
    if architecture == "gated":
        size = np.maximum(a * np.exp(w["r_mag"]) + w["b_mag"], 0)
        z = np.where(a + w["b_gate"] > 0, size, 0)
        return z, z @ rows + w["b_dec"]
    a = a + w["b_enc"]
    if "rescale_acts_by_decoder_norm" in keys:
        lengths = np.linalg.norm(rows, axis=1)
        a, rows = a * lengths, rows / lengths[:, None]
    z = np.maximum(a, 0)
    if architecture == "topk":
        z = largest(z, K)
    limit = w.get("threshold", w.get("topk_threshold"))
    if limit is not None:
        z = np.where(a > limit, z, 0)
    return z, z @ rows + w["b_dec"]
