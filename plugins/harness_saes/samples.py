"""What the laws are tried on, by `harness plugins check`: formats of one module.

Each sample writes a small SAE with random weights in the layout of its publisher, and gives the
formula once more, token by token in float64.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor

from harness.testing import check_sae_format
from harness_saes.drawn import Arrays, D, K, N, doubles, drawn, each, largest, write_json
from harness_saes.formats.gemma_scope import GemmaScopeOptions
from harness_saes.formats.goodfire import GoodfireOptions
from harness_saes.formats.load import GemmaScope, Goodfire, Openai, QwenScope, Sparsify
from harness_saes.formats.openai import OpenaiOptions
from harness_saes.formats.qwen_scope import QwenScopeOptions
from harness_saes.formats.sparsify import SparsifyOptions

Samples = Iterator[partial[None]]
Both = tuple[np.ndarray, np.ndarray]


def gemma_scope(folder: Path) -> Samples:
    """params.npz of a residual stream, and of a transcoder, which reads through a norm."""
    w = _plain() | {"threshold": drawn(4, N).abs()}
    for kind, epsilon in (("res", None), ("transcoders", 1e-6)):
        place = folder / f"google/gemma-scope-2b-pt-{kind}/layer_20/width_16k/average_l0_71"
        place.mkdir(parents=True)
        np.savez(place / "params.npz", **{name: tensor.numpy() for name, tensor in w.items()})
        reference = partial(each, partial(_jumprelu, doubles(w), epsilon))
        options = GemmaScopeOptions(path=str(place))
        yield partial(check_sae_format, GemmaScope, options, reference=reference)


def qwen_scope(folder: Path) -> Samples:
    """One .sae.pt, whose k is in the name of the repository."""
    file = folder / f"Qwen/SAE-Res-Qwen3-1.7B-Base-W32K-L0_{K}/layer3.sae.pt"
    w = _plain()
    turned = {name: w[name].T.contiguous() for name in ("W_enc", "W_dec")}
    _save_pt({**w, **turned}, file)
    reference = partial(each, partial(_topk, doubles(w)))
    yield partial(
        check_sae_format, QwenScope, QwenScopeOptions(path=str(file)), reference=reference
    )


def sparsify(folder: Path) -> Samples:
    """An SAE, and a transcoder with a skip connection."""
    for transcode in (False, True):
        place = folder / str(transcode) / "layers.3.mlp" if transcode else folder / "layers.3"
        w = {
            "encoder.weight": drawn(0, N, D),
            "encoder.bias": drawn(1, N, shift=-0.5),
            "W_dec": drawn(2, N, D),
            "b_dec": drawn(3, D),
            **({"W_skip": drawn(4, D, D)} if transcode else {}),
        }
        told = {"activation": "topk", "num_latents": N, "expansion_factor": 32, "k": K}
        told |= {"normalize_decoder": True, "multi_topk": False, "d_in": D}
        told |= {"transcode": transcode, "skip_connection": transcode}
        write_json(place / "cfg.json", told)
        save_file(w, place / "sae.safetensors")
        reference = partial(each, partial(_sparsify, doubles(w), transcode=transcode))
        options = SparsifyOptions(path=str(place))
        yield partial(check_sae_format, Sparsify, options, reference=reference)


def openai(folder: Path) -> Samples:
    """Version 5, which normalises each token, and version 4, which does not."""
    for version, k in ((5, K), (4, 0)):
        file = folder / f"resid_post_mlp_v{version}_32k/autoencoders/6.pt"
        w = {
            "pre_bias": drawn(0, D),
            "latent_bias": drawn(1, N),
            "stats_last_nonzero": torch.zeros(N, dtype=torch.long),
            "encoder.weight": drawn(2, N, D),
            "decoder.weight": drawn(3, D, N),
        }
        state = {"activation": "TopK", "activation_state_dict": {"k": k, "postact_fn": "ReLU"}}
        if not k:
            state = {"activation": "ReLU", "activation_state_dict": {}}
        _save_pt({**w, **state}, file)
        reference = partial(each, partial(_openai, doubles(w), k=k))
        yield partial(check_sae_format, Openai, OpenaiOptions(path=str(file)), reference=reference)


def goodfire(folder: Path) -> Samples:
    """A .pt file of torch's linear layers."""
    file = folder / "Llama-3.3-70B-Instruct-SAE-l50.pt"
    w = {
        "encoder_linear.weight": drawn(0, N, D),
        "encoder_linear.bias": drawn(1, N),
        "decoder_linear.weight": drawn(2, D, N),
        "decoder_linear.bias": drawn(3, D),
    }
    _save_pt(w, file)
    reference = partial(each, partial(_goodfire, doubles(w)))
    yield partial(check_sae_format, Goodfire, GoodfireOptions(path=str(file)), reference=reference)


# ── Formulas, in float64 ─────────────────────────────────────────────────────────────────────────


def _jumprelu(w: Arrays, epsilon: float | None, x: np.ndarray) -> Both:
    if epsilon is not None:
        x = x / np.sqrt(np.mean(x**2) + epsilon)
    a = x @ w["W_enc"] + w["b_enc"]
    z = np.where(a > w["threshold"], a, 0)
    return z, z @ w["W_dec"] + w["b_dec"]


def _topk(w: Arrays, x: np.ndarray) -> Both:
    z = largest(np.maximum(x @ w["W_enc"] + w["b_enc"], 0), K)
    return z, z @ w["W_dec"] + w["b_dec"]


def _sparsify(w: Arrays, x: np.ndarray, transcode: bool) -> Both:
    read = x if transcode else x - w["b_dec"]
    z = largest(np.maximum(w["encoder.weight"] @ read + w["encoder.bias"], 0), K)
    return z, z @ w["W_dec"] + w["b_dec"] + (w["W_skip"] @ x if transcode else 0)


def _openai(w: Arrays, x: np.ndarray, k: int) -> Both:
    mean, deviation = (x.mean(), x.std(ddof=1)) if k else (0.0, 1.0)
    read = (x - mean) / (deviation + 1e-5) if k else x
    a = np.maximum(w["encoder.weight"] @ (read - w["pre_bias"]) + w["latent_bias"], 0)
    z = largest(a, k) if k else a
    return z, (w["decoder.weight"] @ z + w["pre_bias"]) * deviation + mean


def _goodfire(w: Arrays, x: np.ndarray) -> Both:
    z = np.maximum(w["encoder_linear.weight"] @ x + w["encoder_linear.bias"], 0)
    return z, w["decoder_linear.weight"] @ z + w["decoder_linear.bias"]


# ── Files ────────────────────────────────────────────────────────────────────────────────────────


def _plain() -> dict[str, Tensor]:
    """Encoder, decoder and their biases."""
    return {
        "W_enc": drawn(0, D, N),
        "b_enc": drawn(1, N),
        "W_dec": drawn(2, N, D),
        "b_dec": drawn(3, D),
    }


def _save_pt(state: Mapping[str, object], file: Path) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    torch.save(dict(state), file)
