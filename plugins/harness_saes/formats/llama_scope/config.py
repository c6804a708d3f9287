"""The configuration of a Llama Scope SAE, as OpenMOSS' library writes it, in two generations."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from harness.contract import SaeFacts
from harness.contract.sites import Site, site_from_hook_name
from harness.errors import ModelError
from harness_saes.core.checks import (
    allowed,
    count,
    positive,
    refuse_unknown,
    required_text,
    words,
    wrong,
)
from harness_saes.files.places import last_match

_DECIDING = words("""
    hook_point_in hook_point_out d_model d_sae expansion_factor act_fn jump_relu_threshold
    norm_activation dataset_average_activation_norm sparsity_include_decoder_norm
    use_decoder_bias apply_decoder_bias_to_pre_encoder use_glu_encoder force_unit_decoder_norm
    sae_type
""")
_TELLING = words("""
    device seed dtype bias_init_method decoder_exactly_fixed_norm init_decoder_norm
    init_encoder_norm init_encoder_with_decoder_transpose
    init_encoder_with_decoder_transpose_factor init_search lp l1_coefficient
    l1_coefficient_warmup_steps top_k k_warmup_steps use_batch_norm_mse use_ghost_grads tp_size
    ddp_size sae_pretrained_name_or_path strict_loading use_triton_kernel
    sparsity_threshold_for_triton_spmm_kernel jumprelu_threshold_window
    remove_gradient_parallel_to_decoder_directions noise_init_scale initial_k lambda_warm_steps
    promote_act_fn_dtype
""")
"""`top_k` is how training was annealed, not what the SAE does: that is `act_fn`."""
_ONLY: Mapping[str, tuple[Any, tuple[Any, ...]]] = {
    "act_fn": (None, ("jumprelu",)),
    "norm_activation": ("dataset-wise", ("dataset-wise",)),
    "use_decoder_bias": (True, (True,)),
    "apply_decoder_bias_to_pre_encoder": (False, (False,)),
    "use_glu_encoder": (False, (False,)),
    "sae_type": ("sae", ("sae",)),
}
"""Keys of which one value is read: its default in OpenMOSS' library, and that value."""
_NAMES = re.compile(r"\bL(\d+)([A-Z]+)(?:-(\d+)x)?(?:/|$)")
_KINDS = {"R": "resid_post", "A": "attn_out", "M": "mlp_out"}
_PEDIA = {"R": "res", "A": "att", "M": "mlp"}
_MIXTURES = {
    "800M-Slimpajama-0-OpenR1-Math-220k": "slimpj",
    "400M-Slimpajama-400M-OpenR1-Math-220k": "slimpj-openr1",
    "0-Slimpajama-800M-OpenR1-Math-220k": "openr1",
}


@dataclass(frozen=True)
class LlamaScopeConfig:
    """What decides the numbers of a Llama Scope SAE, beside its tensors."""

    d_in: int
    d_sae: int
    hook: str
    site: Site
    gated_by_decoder_norm: bool
    """Whether the threshold applies to the pre-activation times the decoder row's length."""
    threshold: float | None = None
    """One for all latents, in units of raw activations; None where the file has one for each."""
    norms: tuple[float, float] | None = None
    """Mean lengths of the activations in and out; None where they are tensors of the file."""


def parse_config(data: Mapping[str, Any], where: str, *, distilled: bool) -> LlamaScopeConfig:
    """A configuration of the first generation (`hyperparams.json`), or of the R1 one
    (`config.json`), which keeps thresholds and norms with the weights.

    Raises ModelError for an unknown key, and for what is not read: transcoders, other
    activation functions and normalisations.
    """
    refuse_unknown(data, _DECIDING, _TELLING, where)
    for key, (default, values) in _ONLY.items():
        allowed(data, key, default, values, where)
    hook = required_text(data, "hook_point_in", where)
    if data.get("hook_point_out", hook) != hook:
        raise ModelError(
            f"{where}: a transcoder, which reads {hook} and writes {data['hook_point_out']}. Only "
            "SAEs of Llama Scope are read, which write where they read."
        )
    site = site_from_hook_name(hook)
    if site is None:
        raise wrong(where, "hook_point_in", hook, "a hook such as blocks.15.hook_resid_post")
    d_in = count(data, "d_model", where)
    return LlamaScopeConfig(
        d_in=d_in,
        d_sae=_width(data, d_in, where),
        hook=hook,
        site=site,
        gated_by_decoder_norm=allowed(
            data, "sparsity_include_decoder_norm", True, (True, False), where
        ),
        threshold=None if distilled else positive(data, "jump_relu_threshold", where, zero=True),
        norms=None if distilled else _norms(data, where),
    )


def _width(data: Mapping[str, Any], d_in: int, where: str) -> int:
    """d_sae, which the expansion factor must confirm where both are there."""
    factor = data.get("expansion_factor")
    if factor is not None:
        positive(data, "expansion_factor", where)
        expanded = round(d_in * float(factor))
        if "d_sae" not in data:
            return expanded
        if count(data, "d_sae", where) != expanded:
            raise wrong(where, "d_sae", data["d_sae"], f"d_model x expansion_factor, {expanded}")
    return count(data, "d_sae", where)


def _norms(data: Mapping[str, Any], where: str) -> tuple[float, float]:
    found = data.get("dataset_average_activation_norm")
    if not isinstance(found, Mapping) or set(found) != {"in", "out"}:
        raise wrong(
            where, "dataset_average_activation_norm", found, 'two numbers, {"in": …, "out": …}'
        )
    return positive(found, "in", where), positive(found, "out", where)


def neuronpedia_in(named: str, d_sae: int | None) -> str | None:
    """The SAE's id on Neuronpedia, from a path `…/Llama3_1-8B-Base-L15R-8x`."""
    match = last_match(_NAMES, named)
    if match is None or match[2] not in _PEDIA or not d_sae:
        return None
    layer, kind, expansion = match.groups()
    width = f"{d_sae // 1000}k"
    for folder, mixture in _MIXTURES.items():
        if folder in named:
            return f"deepseek-r1-distill-llama-8b/{layer}-llamascope-{mixture}-res-{width}"
    if expansion is None:
        return None
    return f"llama3.1-8b/{layer}-llamascope-{_PEDIA[kind]}-{width}"


def read_names(named: str) -> SaeFacts:
    """Site, model and widths from the names in a path, for an SAE that is not cached."""
    match = last_match(_NAMES, named)
    if match is None:
        return SaeFacts(architecture="jumprelu")
    layer, kind, expansion = match.groups()
    site = Site(_KINDS[kind], int(layer)) if kind in _KINDS else None
    model = model_in(named)
    d_in, d_sae = (4096, 4096 * int(expansion or 8)) if model else (None, None)
    pedia = neuronpedia_in(named, d_sae)
    return SaeFacts("jumprelu", d_in, d_sae, site, model=model, neuronpedia=pedia)


def model_in(named: str) -> str | None:
    """The hub id of the model whose activations an SAE was trained on, from its path."""
    if any(folder in named for folder in _MIXTURES):
        return "deepseek-ai/DeepSeek-R1-Distill-Llama-8B"
    return "meta-llama/Llama-3.1-8B" if "Llama3_1-8B" in named else None
