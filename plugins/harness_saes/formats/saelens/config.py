"""What a SAELens configuration says, in the form of version 6 or in the flat one before it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from harness.errors import ModelError
from harness_saes.core.checks import count, flag, refuse_unknown, text, wrong
from harness_saes.core.config import BATCHTOPK, TOPK, TRANSCODERS, Config, Normalize
from harness_saes.files.configuration import read_json
from harness_saes.formats.saelens.keys import DECIDING, FLAT, TRAINING
from harness_saes.formats.saelens.rules import OWN

_NORMALIZE: tuple[Normalize, ...] = (
    "none",
    "expected_average_only_in",
    "constant_norm_rescale",
    "layer_norm",
)
_SCALAR: Normalize = "constant_scalar_rescale"
"""Of temporal SAEs alone; the factor is `activation_normalization_factor` of their rules."""

ARCHITECTURES = ("standard", "jumprelu", "gated", *TOPK, *BATCHTOPK, *TRANSCODERS, *OWN)
"""All that the registry of sae_lens 6.54 has. Those of `OWN` it computes itself."""


def read_config(file: Path) -> Config:
    """The configuration in a cfg.json; ModelError names the file and the key."""
    return parse_config(read_json(file), str(file))


def parse_config(data: Mapping[str, Any], where: str) -> Config:
    """A configuration from the keys of a cfg.json; `where` begins every message."""
    metadata = data.get("metadata")
    # sae_lens 6 wrote `metadata`; before it, everything lay flat beside the numbers.
    flat = not isinstance(metadata, Mapping)
    about: Mapping[str, Any] = data if flat else metadata  # type: ignore[assignment]
    architecture, k = _architecture(data, where)
    own = OWN.get(architecture)
    known = DECIDING | TRAINING | (FLAT if flat else frozenset()) | (own.keys if own else set())
    if architecture in TRANSCODERS:
        known |= {"d_out"}
    refuse_unknown(data, DECIDING, known, where, "what sae_lens notes of a training run")
    hook = text(about, "hook_name", where) or text(about, "hook_point", where)
    _refuse_one_head(about, where)
    reshape = data.get("reshape_activations") or "none"
    if reshape not in ("none", "hook_z"):
        raise wrong(where, "reshape_activations", reshape, "none, hook_z")
    rescale = flag(data, "rescale_acts_by_decoder_norm", False, where)
    if rescale and architecture not in (*TOPK, *BATCHTOPK):
        raise wrong(where, "rescale_acts_by_decoder_norm", True, f"false for {architecture}")
    transcodes = architecture in TRANSCODERS
    subtract = flag(data, "apply_b_dec_to_input", not transcodes, where)
    if subtract and transcodes:
        raise wrong(where, "apply_b_dec_to_input", True, f"false for {architecture}")
    return Config(
        architecture=architecture,
        d_in=count(data, "d_in", where),
        d_sae=count(data, "d_sae", where),
        d_out=count(data, "d_out", where) if transcodes else None,
        k=k,
        apply_b_dec_to_input=subtract,
        normalize=_normalize(data, architecture, where),
        rescale_by_decoder_norm=rescale,
        rules=own.read(data, where) if own else {},
        needs_sequence=own is not None and own.needs_sequence,
        hook=hook,
        hook_out=text(about, "hook_name_out", where),
        model=text(about, "model_name", where),
        neuronpedia=text(about, "neuronpedia_id", where),
    )


def _architecture(data: Mapping[str, Any], where: str) -> tuple[str, int | None]:
    """The architecture, and k where it has one.

    Before version 6 a topk SAE was a `standard` one whose activation function was topk.
    """
    name = data.get("architecture") or "standard"
    if name not in ARCHITECTURES:
        raise wrong(where, "architecture", name, ", ".join(ARCHITECTURES))
    key = "activation_fn_str" if "activation_fn_str" in data else "activation_fn"
    function = data.get(key) or ("topk" if name == "topk" else "relu")
    arguments = data.get("activation_fn_kwargs") or {}
    if not isinstance(arguments, Mapping) or set(arguments) - {"k"}:
        raise wrong(where, "activation_fn_kwargs", arguments, "nothing, or k")
    if function not in ("relu", "topk") or (function == "topk" and name not in ("standard", *TOPK)):
        raise wrong(where, key, function, "relu, or topk with architecture standard or topk")
    if function == "topk" and name == "standard":
        name = "topk"
    if name not in TOPK:
        # k of a batchtopk checkpoint only shaped its training; its threshold is a tensor.
        if name not in BATCHTOPK and (data.get("k") is not None or "k" in arguments):
            raise ModelError(
                f"{where}: key k is set, but an SAE of architecture {name} does not use it. "
                "Allowed: k with topk. Check which of the two is meant."
            )
        return name, None
    d_sae, k = count(data, "d_sae", where), data.get("k", arguments.get("k"))
    return name, count({"k": k}, "k", where, most=d_sae, most_is="d_sae")


def _normalize(data: Mapping[str, Any], architecture: str, where: str) -> Normalize:
    value = data.get("normalize_activations")
    if value is None or value is False:
        return "none"
    if value is True:  # what very old configurations wrote
        return "expected_average_only_in"
    known = (*_NORMALIZE, _SCALAR) if architecture == "temporal" else _NORMALIZE
    for allowed in known:
        if value == allowed:
            return allowed
    raise wrong(where, "normalize_activations", value, ", ".join(known))


def _refuse_one_head(about: Mapping[str, Any], where: str) -> None:
    for key in ("hook_head_index", "hook_point_head_index", "hook_head_index_out"):
        if (head := about.get(key)) is not None:
            raise wrong(where, key, head, "null: SAEs of a single head are not read")
