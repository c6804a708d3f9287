"""The configuration of a folder that OpenMOSS' library writes today, `config.json`."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from harness.errors import ModelError
from harness_saes.core.checks import (
    allowed,
    count,
    count_or,
    positive,
    refuse_unknown,
    required_text,
    words,
    wrong,
)

Act = Literal["relu", "jumprelu", "topk"]
KINDS = ("sae", "clt")
UNREAD = {
    "crosscoder": "a crosscoder, which reads several hooks at once and adds up what it finds there",
    "lorsa": "a replacement of attention (Lorsa): its latents are made of other tokens, too",
    "molt": "a mixture of linear transforms (MOLT): each of its latents stands for a matrix, and "
    "no row of a decoder says what it writes",
}
"""What OpenMOSS' library writes into folders of the same form, and why it is not read."""
_ACTS = ("relu", "jumprelu", "topk")
_OTHERS = {
    "batchtopk": "keeps the largest of a whole batch, so a token's latents depend on other tokens",
    "layertopk": "keeps the largest of all layers, so a layer's latents depend on other layers",
    "batchlayertopk": "keeps the largest of a whole batch and all layers, so a token's latents "
    "depend on others",
}
_NORMS = ("dataset-wise", "inference", "token-wise")
_DECIDING = words("""
    sae_type d_model expansion_factor d_sae use_decoder_bias act_fn norm_activation top_k
    sparsity_include_decoder_norm use_glu_encoder hook_point_in hook_point_out hook_points_in
    hook_points_out
""")
_TELLING = words("""
    device dtype sae_pretrained_name_or_path strict_loading use_triton_kernel
    sparsity_threshold_for_triton_spmm_kernel jumprelu_threshold_window promote_act_fn_dtype
    init_cross_layer_decoder_all_zero decode_with_csr sparsity_threshold_for_csr
""")


@dataclass(frozen=True)
class OpenmossConfig:
    """What decides the numbers of an OpenMOSS folder, beside its tensors."""

    cross_layer: bool
    d_in: int
    d_sae: int
    reads: tuple[str, ...]
    """The hook that each layer reads: one, unless it is a cross-layer transcoder."""
    writes: tuple[str, ...]
    act: Act
    k: int | None
    norm: Literal["dataset-wise", "inference", "token-wise"]
    """How activations are scaled: by their mean length in training, not, or each by its own."""
    by_decoder_norm: bool
    """Whether latents are selected by their value times the length of their decoder."""
    decoder_bias: bool


def parse_config(data: Mapping[str, Any], where: str) -> OpenmossConfig:
    """A configuration; ModelError for an unknown key, and for what is not read, with the reason."""
    kind = data.get("sae_type")
    if isinstance(kind, str) and kind in UNREAD:
        raise ModelError(
            f"{where}: {UNREAD[kind]}. Allowed: sae_type sae (also transcoders), clt. Use another "
            "SAE."
        )
    if kind not in KINDS:
        raise wrong(where, "sae_type", kind, ", ".join(KINDS))
    refuse_unknown(data, _DECIDING, _TELLING, where)
    cross_layer = kind == "clt"
    reads, writes = _hooks(data, cross_layer, where)
    allowed(data, "use_glu_encoder", False, (False,), where)
    d_in = count(data, "d_model", where)
    d_sae = _width(data, d_in, where)
    act = _act(data, where)
    norm = allowed(data, "norm_activation", "dataset-wise", _NORMS, where)
    if norm == "token-wise" and (cross_layer or reads != writes):
        raise ModelError(
            f"{where}: norm_activation is token-wise, and it writes elsewhere than it reads: what "
            "it writes would have to be scaled by what it is to predict. Allowed for it: "
            "dataset-wise, inference."
        )
    k = count_or({"top_k": data.get("top_k", 50)}, "top_k", 50, where)
    if act == "topk" and k > d_sae:
        raise wrong(where, "top_k", k, f"1 to the number of latents, which is {d_sae}")
    return OpenmossConfig(
        cross_layer=cross_layer,
        d_in=d_in,
        d_sae=d_sae,
        reads=reads,
        writes=writes,
        act=act,
        k=k if act == "topk" else None,
        norm=norm,
        by_decoder_norm=allowed(data, "sparsity_include_decoder_norm", True, (True, False), where),
        decoder_bias=allowed(data, "use_decoder_bias", True, (True, False), where) or cross_layer,
    )


def _act(data: Mapping[str, Any], where: str) -> Act:
    told = data.get("act_fn", "relu")
    act = told.lower() if isinstance(told, str) else told
    if isinstance(act, str) and act in _OTHERS:
        raise ModelError(
            f"{where}: act_fn {act} {_OTHERS[act]}. Allowed: {', '.join(_ACTS)}. OpenMOSS' runner "
            "topk_to_jumprelu_conversion makes a jumprelu of it."
        )
    if act not in _ACTS:
        raise wrong(where, "act_fn", told, ", ".join(_ACTS))
    found: Act = act
    return found


def _hooks(
    data: Mapping[str, Any], cross_layer: bool, where: str
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """What is read and written, layer by layer."""
    if not cross_layer:
        reads = required_text(data, "hook_point_in", where)
        # Before there was a default for it, a missing one meant the same place.
        writes = data.get("hook_point_out") is not None
        return (reads,), (required_text(data, "hook_point_out", where) if writes else reads,)
    reads_all, writes_all = (_list(data, f"hook_points_{end}", where) for end in ("in", "out"))
    if len(reads_all) != len(writes_all):
        raise ModelError(
            f"{where}: has {len(reads_all)} hook_points_in and {len(writes_all)} hook_points_out. "
            "Expected as many: one of each for every layer. Copy the file again."
        )
    return reads_all, writes_all


def _list(data: Mapping[str, Any], key: str, where: str) -> tuple[str, ...]:
    found = data.get(key)
    if not isinstance(found, list) or not found or not all(isinstance(one, str) for one in found):
        raise wrong(where, key, found, "a list of hooks, one for each layer")
    return tuple(found)


def _width(data: Mapping[str, Any], d_in: int, where: str) -> int:
    """d_model times the expansion factor, rounded down; `d_sae` must agree where it is there."""
    found = math.floor(d_in * positive(data, "expansion_factor", where))
    if found < 1:
        raise wrong(where, "expansion_factor", data["expansion_factor"], "a number of latents")
    if "d_sae" in data and count(data, "d_sae", where) != found:
        raise wrong(where, "d_sae", data["d_sae"], f"d_model x expansion_factor, {found}")
    return found
