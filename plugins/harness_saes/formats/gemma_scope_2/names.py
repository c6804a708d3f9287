"""What the hook strings, names and folders of Gemma Scope 2 say."""

from __future__ import annotations

import re

from harness.contract.sites import Site
from harness.errors import ModelError, listed

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
    r"layer_(\d+)_width_(\d+[km])_l0_(small|medium|big)(_affine)?(?![\w])"
)
_PLACES = {
    "resid_post": ("output", "output"),
    "attn_out": ("self_attn.o_proj.input", "self_attn.o_proj.input"),
    "mlp_out": ("post_feedforward_layernorm.output", "post_feedforward_layernorm.output"),
    "transcoder": ("pre_feedforward_layernorm.output", "post_feedforward_layernorm.output"),
}
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


def sites_of(before: str, after: str, where: str) -> tuple[Site, Site | None]:
    """The sites that two hook strings mean, in and out; no second one where both are the same."""
    return site_of(before, where), site_of(after, where) if after != before else None


def hooks_in(text: str) -> tuple[str, str] | None:
    """Hook strings for in and out from a path `resid_post/layer_22_width_16k_l0_medium`."""
    found = list(_FOLDER.finditer(text))
    if not found:
        return None
    before, after = _PLACES[found[-1][1]]
    return f"model.layers.{found[-1][2]}.{before}", f"model.layers.{found[-1][2]}.{after}"


def width_in(text: str) -> tuple[str, str]:
    """The number and unit of the width that a path names: `16`, `k`."""
    size = _FOLDER.findall(text)[-1][2]
    return size[:-1], size[-1]


def width_of(model: str | None) -> int | None:
    """The width of a model's residual stream."""
    size = (model or "").removeprefix("google/gemma-3-").split("-")[0]
    return _WIDTHS.get(size)


def model_in(text: str) -> str | None:
    """The model's hub id from a path `google/gemma-scope-2-4b-it/…`, if it names the repository."""
    found = list(_REPOSITORY.finditer(text))
    return model_named(f"gemma-3-{found[-1][1]}-{found[-1][2]}") if found else None


def model_named(name: str) -> str:
    """The model's hub id from what a configuration calls it, such as `gemma-v3-1b-it`."""
    name = name.rsplit("/", 1)[-1].replace("-v3", "-3")
    # The smallest has no -pt in its name.
    return "google/" + (name.removesuffix("-pt") if "270m" in name else name)


def neuronpedia_in(text: str, model: str | None) -> str | None:
    """The SAE's id on Neuronpedia, which has one sparsity of residual SAEs and transcoders."""
    found = list(_FOLDER.finditer(text))
    if not found or model is None:
        return None
    kind, layer, width, l0, affine = found[-1].groups()
    short = {
        ("resid_post", "medium", None): "res",
        ("transcoder", "small", "_affine"): "transcoder",
    }
    if (kind, l0, affine) not in short:
        return None
    where = model.removeprefix("google/").removesuffix("-pt")
    return f"{where}/{layer}-gemmascope-2-{short[kind, l0, affine]}-{width}"


def refuse_several_layers(text: str, where: str) -> None:
    """Refuses SAEs of several layers by their folder."""
    if _CLT.search(text):
        raise several_layers(where)


def several_layers(where: str) -> ModelError:
    """The error for a crosscoder or a cross-layer transcoder."""
    return ModelError(
        f"{where}: reads or writes several layers at once (a crosscoder or a cross-layer "
        "transcoder), which one site cannot give. Allowed: resid_post, attn_out, mlp_out and "
        "transcoder."
    )
