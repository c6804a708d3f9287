"""What the laws are tried on: files of tensors in each rule that a task may state."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.torch import save_file
from torch import Tensor

from harness.testing import check_sae_format
from harness_saes.drawn import Arrays, D, K, N, doubles, drawn, each, largest
from harness_saes.formats.tensors.load import Tensors
from harness_saes.formats.tensors.options import TensorsOptions

RULES: Mapping[str, Mapping[str, Any]] = {
    "relu": {"decoder_rows": "unit", "normalize": "layer_norm"},
    "topk": {"k": K, "decoder_rows": "into_latents", "input_scale": 0.5},
    "batchtopk": {"threshold": 0.2},
    "jumprelu": {"threshold": "theta", "normalize": "constant_norm_rescale"},
    "gated": {"gate_bias": "g", "magnitude_bias": "m", "magnitude_scale": "r"},
}
"""By activation, what its sample states beside the names of the matrices."""


def samples(folder: Path) -> Iterator[partial[None]]:
    """A file for each activation; of TopK the encoder lies as torch's Linear has it."""
    folder.mkdir(parents=True, exist_ok=True)
    for activation, rule in RULES.items():
        w = {"E": drawn(0, D, N), "D": drawn(1, N, D), "p": drawn(2, D), "q": drawn(3, N)}
        w |= {"theta": drawn(4, N).abs(), **{n: drawn(5 + i, N) for i, n in enumerate("gmr")}}
        file = folder / f"{activation}.safetensors"
        save_file(_stored(w, turned=activation == "topk"), file)
        gated = {} if activation == "gated" else {"encoder_bias": "q"}
        named = {"encoder": "E", "decoder": "D", "decoder_bias": "p", **gated}
        told = {"activation": activation, "subtract_decoder_bias": activation != "jumprelu"}
        options = TensorsOptions.model_validate({"path": str(file), **named, **told, **rule})
        reference = partial(each, partial(token, doubles(w), options))
        yield partial(check_sae_format, Tensors, options, reference=reference)


def _stored(w: Mapping[str, Tensor], *, turned: bool) -> dict[str, Tensor]:
    return {**w, "E": w["E"].T.contiguous()} if turned else dict(w)


def token(w: Arrays, options: TensorsOptions, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The rule once more for one token, in float64."""
    scale, shift, small = 1.0, 0.0, 0.0
    if options.normalize == "constant_norm_rescale":
        scale = float(np.linalg.norm(x) / np.sqrt(D))
    if options.normalize == "layer_norm":
        scale, shift, small = float(x.std(ddof=1)), float(x.mean()), 1e-5
    read = (x - shift) / (scale + small) * options.input_scale
    lengths = np.linalg.norm(w["D"], axis=1)
    rows = w["D"] if options.decoder_rows == "stored" else w["D"] / lengths[:, None]
    z = _latents(w, options, read - (w["p"] if options.subtract_decoder_bias else 0), lengths)
    return z, (z @ rows + w["p"]) / options.input_scale * scale + shift


def _latents(
    w: Arrays, options: TensorsOptions, read: np.ndarray, lengths: np.ndarray
) -> np.ndarray:
    a = read @ w["E"]
    if options.activation == "gated":
        size = np.maximum(a * np.exp(w["r"]) + w["m"], 0)
        return np.where(a + w["g"] > 0, size, 0)
    a = a + w["q"]
    if options.decoder_rows == "into_latents":
        a = a * lengths
    z = np.maximum(a, 0)
    if options.k is not None:
        return largest(z, options.k)
    limit = w["theta"] if isinstance(options.threshold, str) else options.threshold or 0.0
    return np.where(a > limit, z, 0)
