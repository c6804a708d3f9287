"""The configuration of a Gemma Scope 2 folder, from its `config.json` or from its names."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.contract.sites import Site
from harness.errors import ModelError
from harness_saes.core.checks import allowed, count, refuse_unknown, required_text, text, wrong
from harness_saes.files.configuration import read_json
from harness_saes.formats.gemma_scope_2 import names

CONFIG = "config.json"
_DECIDING = frozenset(
    {"architecture", "type", "width", "affine_connection", "hf_hook_point_in", "hf_hook_point_out"}
)
_TELLING = frozenset({"model_name", "l0"})
_SEVERAL = ("crosscoder", "clt", "cross_layer_transcoder")


@dataclass(frozen=True)
class Scope2Config:
    """What a folder says of its SAE."""

    site: Site
    site_out: Site | None
    """Where a transcoder writes; None for an SAE, which writes where it reads."""
    model: str | None


def read_scope2(weights: Path, named: str, where: str, d_sae: int, skip: bool) -> Scope2Config:
    """The configuration beside a weights file, which must fit its latents and skip connection.

    A few folders were published without one: then their names tell. Raises ModelError.
    """
    file = weights.with_name(CONFIG)
    if not file.is_file():
        return _from_names(named, where)
    data, at = read_json(file), str(file)
    hooks = _hooks(data, at)
    affine = allowed(data, "affine_connection", skip, (True, False), at)
    if affine != skip:
        raise ModelError(
            f"{at}: affine_connection is {str(affine).lower()}, but {weights.name} has "
            f"{'a' if skip else 'no'} tensor affine_skip_connection. They must agree: copy both "
            "files again."
        )
    if "width" in data and count(data, "width", at) != d_sae:
        raise ModelError(
            f"{at}: width is {data['width']}, but {weights.name} has {d_sae} latents. They must "
            "agree: copy both files again."
        )
    model = text(data, "model_name", at)
    return Scope2Config(
        *names.sites_of(*hooks, at),
        names.model_named(model) if model else names.model_in(named),
    )


def _from_names(named: str, where: str) -> Scope2Config:
    hooks = names.hooks_in(named)
    if hooks is None:
        raise ModelError(
            f"{where}: has no {CONFIG}, and its path does not tell what it reads. Expected "
            f"{CONFIG}, or a folder such as resid_post/layer_22_width_16k_l0_medium."
        )
    return Scope2Config(*names.sites_of(*hooks, where), names.model_in(named))


def _hooks(data: Mapping[str, Any], where: str) -> tuple[str, str]:
    """Where it reads and where it writes: the same place, unless it is a transcoder."""
    kind = data.get("type")
    if kind in _SEVERAL:
        raise names.several_layers(where)
    refuse_unknown(data, _DECIDING, _TELLING, where)
    allowed(data, "architecture", None, ("jump_relu",), where)
    if kind not in (None, "sae", "transcoder"):
        raise wrong(where, "type", kind, "sae, transcoder")
    before = required_text(data, "hf_hook_point_in", where)
    after = text(data, "hf_hook_point_out", where) or before
    if kind is not None and (kind == "transcoder") != (before != after):
        raise ModelError(
            f"{where}: type is {kind}, but it reads {before} and writes {after}. Expected the "
            "same place for an SAE, two places for a transcoder."
        )
    return before, after
