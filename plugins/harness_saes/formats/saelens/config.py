"""What a SAELens configuration says, in the form of version 6 or in the flat one before it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, get_args

from harness.contract import TokensLeftOut
from harness.contract.sites import Site, site_from_hook_name
from harness.errors import ModelError
from harness_saes.core.checks import choice, count, flag, refuse_unknown, text, wrong
from harness_saes.core.config import BATCHTOPK, TOPK, TRANSCODERS, Config, Normalize
from harness_saes.core.hooks import NORMALISED, Through, norm_of, read_hook
from harness_saes.formats.saelens.keys import DECIDING, FLAT, TRAINING
from harness_saes.formats.saelens.processing import KEY, processing
from harness_saes.formats.saelens.rules import OWN

ARCHITECTURES = ("standard", "jumprelu", "gated", *TOPK, *BATCHTOPK, *TRANSCODERS, *OWN)
"""All that the registry of sae_lens 6.54 has. Those of `OWN` it computes itself."""


def parse_config(data: Mapping[str, Any], where: str) -> Config:
    """A configuration from the keys of a cfg.json; `where` begins every message."""
    metadata = data.get("metadata")
    # sae_lens 6 wrote `metadata`; before it, everything lay flat beside the numbers.
    flat = not isinstance(metadata, Mapping)
    about: Mapping[str, Any] = data if flat else metadata  # type: ignore[assignment]
    architecture, k = _architecture(data, where)
    transcodes, own = architecture in TRANSCODERS, OWN.get(architecture)
    rules = own.read(data, where) if own else {}
    known = DECIDING | TRAINING | rules.keys() | (FLAT if flat else set())
    if transcodes:
        known |= {"d_out"}
    refuse_unknown(data, DECIDING, known, where, "what sae_lens notes of a training run")
    hook = text(about, "hook_name", where) or text(about, "hook_point", where)
    hook_out = text(about, "hook_name_out", where)
    for key in ("hook_head_index", "hook_point_head_index", "hook_head_index_out"):
        if (head := about.get(key)) is not None:
            raise wrong(where, key, head, "null: SAEs of a single head are not read")
    choice(data, "reshape_activations", ("none", "hook_z"), where)
    rescale = flag(data, "rescale_acts_by_decoder_norm", False, where)
    if rescale and architecture not in (*TOPK, *BATCHTOPK):
        raise wrong(where, "rescale_acts_by_decoder_norm", True, f"false for {architecture}")
    subtract = flag(data, "apply_b_dec_to_input", not transcodes, where)
    if subtract and transcodes:
        raise wrong(where, "apply_b_dec_to_input", True, f"false for {architecture}")
    model = text(about, "model_name", where)
    loaded = processing(about if KEY in about else data, hook, hook_out, model, where)
    through = norm_of(model) if transcodes and (hook or "").endswith(f".{NORMALISED}") else None
    site = _site(hook, through, where) if hook else None
    site_out = site_from_hook_name(hook_out) if hook_out else None
    if transcodes and hook_out and site_out is None:  # it would be held against what it reads
        raise wrong(
            where, "hook_name_out", hook_out, "where it writes, such as blocks.12.hook_mlp_out"
        )
    return Config(
        architecture=architecture,
        d_in=count(data, "d_in", where),
        d_sae=count(data, "d_sae", where),
        d_out=count(data, "d_out", where) if transcodes else None,
        k=k,
        apply_b_dec_to_input=subtract,
        normalize=_normalize(data, architecture, where),
        centred=loaded.centred,
        rescale_by_decoder_norm=rescale,
        rules=rules,
        needs_sequence=own is not None and own.needs_sequence,
        site=site,
        place=hook if site is None else None,
        site_out=site_out,
        model=model,
        neuronpedia=text(about, "neuronpedia_id", where),
        norm=through.norm if through else None,
        norm_epsilon=through.epsilon if through else 0.0,
        notes=loaded.notes,
        not_trained_on=_left_out(about, where),
    )


def _site(hook: str, through: Through | None, where: str) -> Site | None:
    """The site that a hook means: of what a norm gives before its gain, the one before it."""
    return read_hook(hook, through, where).site if through else site_from_hook_name(hook)


def _left_out(about: Mapping[str, Any], where: str) -> TokensLeftOut | None:
    """What a `seqpos_slice` left out of the beginning of each text in training: the arguments of
    Python's `slice`, so `[5, null]` starts with the sixth token, and a single number is the end."""
    found = about.get("seqpos_slice")
    start = found[0] if isinstance(found, list) and len(found) > 1 else None
    if type(start) is not int or start < 1:
        return None
    return TokensLeftOut(f"seqpos_slice in {where}", skip_first=start)


def _architecture(data: Mapping[str, Any], where: str) -> tuple[str, int | None]:
    """The architecture, and k where it has one.

    Before version 6 a topk SAE was a `standard` one whose activation function was topk.
    """
    name = choice(data, "architecture", ARCHITECTURES, where)
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
    # A factor stands in the rules of temporal SAEs alone.
    others = () if architecture == "temporal" else ("constant_scalar_rescale",)
    known = [name for name in get_args(Normalize) if name not in others]
    if value not in known:
        raise wrong(where, "normalize_activations", value, ", ".join(known))
    found: Normalize = value
    return found
