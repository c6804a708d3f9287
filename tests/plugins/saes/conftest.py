"""SAEs in sae_lens' own layout, written by sae_lens itself."""

from __future__ import annotations

import importlib
import json
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

SHAPES = ((8, 32, 4), (24, 100, 7), (40, 24, 24))
"""d_in, d_sae, k: an ordinary one, an odd width, and one that is narrower than its input."""


@pytest.fixture(scope="session", autouse=True)
def _sae_lens() -> None:
    """Imports sae_lens, whose own imports warn of each other's deprecations."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        importlib.import_module("sae_lens")


@dataclass(frozen=True)
class Written:
    """An SAE folder, and the sae_lens object that it came from."""

    folder: Path
    sae: Any

    def activations(self, tokens: int = 50, seed: int = 1) -> torch.Tensor:
        generator = torch.Generator().manual_seed(seed)
        return torch.randn(tokens, self.sae.cfg.d_in, generator=generator) * 2 + 0.5

    def edit(self, **keys: Any) -> None:
        """Changes cfg.json; None removes a key."""
        file = self.folder / "cfg.json"
        data = {**json.loads(file.read_text()), **keys}
        file.write_text(json.dumps({key: v for key, v in data.items() if v is not None}))

    def tensors(self, change: Callable[[dict[str, torch.Tensor]], None]) -> None:
        """Changes the weights."""
        file = self.folder / "sae_weights.safetensors"
        found = load_file(file)
        change(found)
        save_file({name: tensor.contiguous() for name, tensor in found.items()}, file)


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Written]:
    """Writes a random SAE: `write("topk", (8, 32, 4), "bfloat16", rescale=True)`."""

    def make(
        architecture: str,
        shape: tuple[int, int, int] = SHAPES[0],
        dtype: str = "float32",
        *,
        inference: bool = False,
        hook: str = "blocks.3.hook_resid_post",
        **config: Any,
    ) -> Written:
        from sae_lens.registry import get_sae_class, get_sae_training_class
        from sae_lens.saes.sae import SAEMetadata

        d_in, d_sae, k = shape
        if architecture in ("topk", "abstopk", "batchtopk", "matryoshka_batchtopk"):
            config["k"] = k
        if architecture == "matryoshka_batchtopk":
            config["matryoshka_widths"] = [d_sae // 2, d_sae]
        metadata = SAEMetadata(
            hook_name=hook, model_name="organism/base", neuronpedia_id="organism/3-res"
        )
        training = inference or "batchtopk" in architecture
        cls, cfg = (get_sae_training_class if training else get_sae_class)(architecture)
        sae = cls(cfg(d_in=d_in, d_sae=d_sae, metadata=metadata, **config))
        randomise(sae)
        folder = tmp_path / f"sae_{len(list(tmp_path.iterdir()))}"
        sae = sae.to(dtype=getattr(torch, dtype))
        (sae.save_inference_model if inference else sae.save_model)(folder)
        # The weights that came out, computed with in float32, as we do.
        sae = sae.to(dtype=torch.float32)
        return Written(folder, sae)

    return make


def randomise(sae: Any) -> None:
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for name, weight in sorted(sae.named_parameters()):
            scale = weight.shape[0] ** -0.5 if weight.ndim == 2 else 0.3
            weight.copy_(torch.randn(weight.shape, generator=generator) * scale)
            if name == "threshold":
                weight.abs_()
        if sae.cfg.architecture() == "matching_pursuit":
            sae.W_dec /= sae.W_dec.norm(dim=1, keepdim=True)  # as training keeps it
        if hasattr(sae, "topk_threshold"):
            sae.topk_threshold.fill_(0.4)


def reference_of(sae: Any) -> Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]:
    """The formulas of METHODS section 6, row by row, in float64."""
    weights = {n: w.detach().double().numpy() for n, w in sae.state_dict().items()}
    cfg, name = sae.cfg, sae.cfg.architecture()
    transcodes = "transcoder" in name

    def latents(x: np.ndarray) -> np.ndarray:
        if not transcodes:
            x = x - weights["b_dec"] * cfg.apply_b_dec_to_input
        if name == "gated":
            gate = x @ weights["W_enc"] + weights["b_gate"] > 0
            magnitude = x @ (weights["W_enc"] * np.exp(weights["r_mag"])) + weights["b_mag"]
            return np.where(gate, np.maximum(magnitude, 0), 0)
        a = x @ weights["W_enc"] + weights["b_enc"]
        if getattr(cfg, "rescale_acts_by_decoder_norm", False):
            a = a * np.linalg.norm(weights["W_dec"], axis=1)
        if name in ("topk", "abstopk"):
            order = np.argsort(-(np.abs(a) if name == "abstopk" else a), kind="stable")
            kept = np.zeros_like(a)
            kept[order[: cfg.k]] = a[order[: cfg.k]]
            return kept if name == "abstopk" else np.maximum(kept, 0)
        threshold = weights.get("threshold", weights.get("topk_threshold", 0.0))
        return np.where((a > threshold) & (a > 0), a, 0)

    def one(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        scale, shift, eps = 1.0, 0.0, 0.0
        if cfg.normalize_activations == "constant_norm_rescale":
            scale = np.linalg.norm(x) / np.sqrt(len(x))
        if cfg.normalize_activations == "layer_norm":
            scale, shift, eps = x.std(ddof=1), x.mean(), 1e-5
        z = latents((x - shift) / (scale + eps))
        rows = weights["W_dec"]
        if getattr(cfg, "rescale_acts_by_decoder_norm", False):
            rows = rows / np.linalg.norm(rows, axis=1, keepdims=True)
        out = z @ rows + weights["b_dec"]
        if transcodes:  # the output is in another space than what was normalised
            return z, out + weights.get("W_skip", np.zeros((len(out), len(x)))) @ x
        return z, out * scale + shift

    def whole(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        found = [one(row) for row in x]
        return np.stack([z for z, _ in found]), np.stack([out for _, out in found])

    return whole


@pytest.fixture
def reference() -> Callable[[Any], Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]]:
    return reference_of


@pytest.fixture(params=SHAPES, ids=lambda shape: "x".join(map(str, shape)))
def shape(request: pytest.FixtureRequest) -> tuple[int, int, int]:
    found: tuple[int, int, int] = request.param
    return found
