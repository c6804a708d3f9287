"""What the hook strings, names and folders of Gemma Scope 2 say."""

from __future__ import annotations

import re

from harness.contract import SaeFacts
from harness.contract.sites import Site
from harness.errors import ModelError, listed
from harness_saes.files.places import last_match
from harness_saes.formats.gemma_scope import width

_HOOK = re.compile(r"(?:\w+\.)*layers\.(\d+)\.(.+)")
_SITES = {
    "output": "resid_post",
    "input": "resid_pre",
    "self_attn.o_proj.input": "attn_z",
    "post_attention_layernorm.output": "attn_out",
    "pre_feedforward_layernorm.output": "mlp_in",
    "post_feedforward_layernorm.output": "mlp_out",
}
"""After its block's norm, what attention or the MLP adds to the residual is our `*_out`."""
_FOLDER = re.compile(
    r"\b(resid_post|attn_out|mlp_out|transcoder)(?:_all)?/"
    r"layer_(\d+)_width_(\d+)([km])_l0_(small|medium|big)(_affine)?(?:_seed_\d+)?(?![\w])"
)
_KINDS = {
    "resid_post": ("resid_post", None),
    "attn_out": ("attn_z", None),
    "mlp_out": ("mlp_out", None),
    "transcoder": ("mlp_in", "mlp_out"),
}
"""Where SAEs in a folder of that name read, and where transcoders write."""
_WIDTHS = {"270m": 640, "1b": 1152, "4b": 2560, "12b": 3840, "27b": 5376}
_REPOSITORY = re.compile(r"gemma-scope-2-(\w+)-(pt|it)\b")
_CLT = re.compile(r"(?:^|/)(?:clt|crosscoder)[\w]*(?:/|$)")


def site_of(hook: str, where: str) -> Site:
    """The site that a hook string such as `model.layers.22.output` means."""
    match = _HOOK.fullmatch(hook)
    if not match or match[2] not in _SITES:
        raise ModelError(
            f"{where}: the place {hook!r} is not known. Allowed, after model.layers.N: "
            f"{listed(_SITES)}."
        )
    return Site(_SITES[match[2]], int(match[1]))


def read_names(text: str) -> SaeFacts:
    """Model, sites and widths from `…/gemma-scope-2-4b-it/resid_post/layer_22_width_16k_l0_small`.

    None where a name is another: the repository tells the model, the folders the sites.
    """
    repository, folder = last_match(_REPOSITORY, text), last_match(_FOLDER, text)
    size = repository[1] if repository else ""
    model = model_named(f"gemma-3-{size}-{repository[2]}") if repository else None
    if folder is None:
        return SaeFacts(architecture="jumprelu", model=model)
    before, after = _KINDS[folder[1]]
    return SaeFacts(
        architecture="jumprelu",
        d_in=_WIDTHS.get(size) if before != "attn_z" else None,
        d_sae=width(folder[3], folder[4]),
        site=Site(before, int(folder[2])),
        site_out=Site(after, int(folder[2])) if after else None,
        model=model,
    )


def model_named(name: str) -> str:
    """The model's hub id from what a configuration calls it, such as `gemma-v3-1b-it`."""
    name = name.rsplit("/", 1)[-1].replace("-v3", "-3")
    # The smallest has no -pt in its name.
    return "google/" + (name.removesuffix("-pt") if "270m" in name else name)


def neuronpedia_in(text: str, model: str | None) -> str | None:
    """The SAE's id on Neuronpedia, which has one sparsity of residual SAEs and transcoders."""
    match = last_match(_FOLDER, text)
    if match is None or model is None:
        return None
    kind, layer, number, unit, l0, affine = match.groups()
    short = {
        ("resid_post", "medium", None): "res",
        ("transcoder", "small", "_affine"): "transcoder",
    }
    if (kind, l0, affine) not in short:
        return None
    where = model.removeprefix("google/").removesuffix("-pt")
    return f"{where}/{layer}-gemmascope-2-{short[kind, l0, affine]}-{number}{unit}"


def refuse_several_layers(text: str, where: str) -> None:
    """Refuses SAEs of several layers by their folder."""
    if _CLT.search(text):
        raise several_layers(where)


def several_layers(where: str) -> ModelError:
    """The error for a crosscoder or a cross-layer transcoder."""
    return ModelError(
        f"{where}: reads or writes several layers at once (a crosscoder or a cross-layer "
        "transcoder), which one site cannot give. Allowed: resid_post, attn_out, mlp_out and "
        'transcoder. A crosscoder is read by format = "gemma_scope_2_crosscoder", a cross-layer '
        'transcoder, one layer at a time, by "gemma_scope_2_clt".'
    )
