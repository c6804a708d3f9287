"""The configuration of a Gemma Scope 2 folder, from its `config.json` or from its names."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from harness.contract import SaeFacts
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


def read_scope2(weights: Path, named: SaeFacts, where: str, d_sae: int, skip: bool) -> SaeFacts:
    """The places and the model that stand in the configuration beside a weights file.

    It must fit the file's latents and skip connection. A few folders were published without one:
    then their names tell, which `named` has. Raises ModelError.
    """
    file = weights.with_name(CONFIG)
    if not file.is_file():
        if named.site is None:
            raise ModelError(
                f"{where}: has no {CONFIG}, and its path does not tell what it reads. Expected "
                f"{CONFIG}, or a folder such as resid_post/layer_22_width_16k_l0_medium."
            )
        return named
    data, at = read_json(file), str(file)
    before, after = _hooks(data, at)
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
    return replace(
        named,
        site=names.site_of(before, at),
        site_out=names.site_of(after, at) if after != before else None,
        model=names.model_named(model) if model else named.model,
    )


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
