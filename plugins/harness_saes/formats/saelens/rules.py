"""Parameters of the architectures that are no linear family, and what their tensors look like.

sae_lens' own objects compute with these (`original`); here is what `describe` needs of them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from harness.contract.values import JSON
from harness.errors import ModelError
from harness_saes.core.checks import choice, count, count_or, flag, number, wrong

Rules = Mapping[str, JSON]
Shapes = dict[str, tuple[int, ...]]


@dataclass(frozen=True)
class Own:
    """An architecture with parameters of its own: how they are read, which tensors it has."""

    read: Callable[[Mapping[str, Any], str], dict[str, JSON]]
    """From a configuration and the name that begins messages; defaults are sae_lens'."""
    shapes: Callable[[int, int, Rules], Shapes]
    """From d_in, d_sae and the parameters."""
    needs_sequence: bool = False


def _read_matching_pursuit(data: Mapping[str, Any], where: str) -> dict[str, JSON]:
    return {
        "residual_threshold": number(data, "residual_threshold", 1e-2, where),
        "max_iterations": count_or(data, "max_iterations", None, where),
        "stop_on_duplicate_support": flag(data, "stop_on_duplicate_support", True, where),
    }


def _matching_pursuit_shapes(d_in: int, d_sae: int, rules: Rules) -> Shapes:
    return {"W_dec": (d_sae, d_in), "b_dec": (d_in,)}


def _read_temporal(data: Mapping[str, Any], where: str) -> dict[str, JSON]:
    d_sae = count(data, "d_sae", where)
    heads = count_or(data, "n_heads", 8, where)
    layers = count_or(data, "n_attn_layers", 1, where)
    bottleneck = count_or(data, "bottleneck_factor", 64, where)
    if d_sae % (heads * bottleneck):
        raise ModelError(
            f"{where}: d_sae {d_sae} is no multiple of n_heads · bottleneck_factor = "
            f"{heads} · {bottleneck}. Expected one: attention heads share the latents equally."
        )
    factor = number(data, "activation_normalization_factor", 1.0, where)
    if factor <= 0:
        raise wrong(where, "activation_normalization_factor", factor, "a number above 0")
    return {
        "n_heads": heads,
        "n_attn_layers": layers,
        "bottleneck_factor": bottleneck,
        "sae_diff_type": choice(data, "sae_diff_type", ("topk", "relu"), where),
        "kval_topk": count_or(data, "kval_topk", None, where, most=d_sae, most_is="d_sae"),
        "tied_weights": flag(data, "tied_weights", True, where),
        "activation_normalization_factor": factor,
    }


def _temporal_shapes(d_in: int, d_sae: int, rules: Rules) -> Shapes:
    shapes: Shapes = {"W_dec": (d_sae, d_in), "b_dec": (d_in,)}
    if not rules["tied_weights"]:
        shapes["W_enc"] = (d_in, d_sae)
    narrow = d_sae // int(rules["bottleneck_factor"] or 1)
    widths = {"k_ctx": narrow, "q_target": narrow, "v_ctx": d_sae, "c_proj": d_sae}
    for layer in range(int(rules["n_attn_layers"] or 0)):
        for name, out in widths.items():
            shapes[f"attn_layers.{layer}.{name}.weight"] = (out, d_sae)
            shapes[f"attn_layers.{layer}.{name}.bias"] = (out,)
    return shapes


OWN: Mapping[str, Own] = {
    "matching_pursuit": Own(_read_matching_pursuit, _matching_pursuit_shapes),
    "temporal": Own(_read_temporal, _temporal_shapes, needs_sequence=True),
}
"""By architecture."""
