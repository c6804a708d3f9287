"""OpenAI's SAEs: the options, and what the pickle in a file says without a weight."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

from harness.contract import Site
from harness.errors import ModelError, listed, suggestion
from harness_saes.core.checks import count, wrong
from harness_saes.core.config import Config
from harness_saes.core.stored import Entry, Inspected, check_layout, layout_of, length
from harness_saes.files.places import FileOptions, last_match
from harness_saes.files.pt_file import Contents, read_pt

_SETTINGS = {
    "activation": "activation",
    "activation_state_dict.k": "k",
    "activation_state_dict.postact_fn": "postact_fn",
    # What state_dict() of the library's class writes beside that.
    "activation.k": "k",
    "activation.postact_fn": "postact_fn",
}
_PLACE = re.compile(r"(resid_delta_attn|resid_delta_mlp|resid_post_mlp)(?:_v\d+\w*)?/(?:.*/)?(\d+)")
_SITES = {
    "resid_delta_attn": "attn_out",
    "resid_delta_mlp": "mlp_out",
    "resid_post_mlp": "resid_post",
}
"""OpenAI's names of places in a block. `resid_post_attn` and `mlp_post_act` are none of ours."""


class OpenaiOptions(FileOptions):
    """One of OpenAI's SAEs of GPT-2 small, version 1, 4 or 5: a `.pt` file."""

    tensors: ClassVar[Mapping[str, str]] = {
        "pre_bias": "b_dec",
        "latent_bias": "b_enc",
        "encoder.weight": "W_enc",
        "decoder.weight": "W_dec",
    }

    def inspect(self, place: Path) -> Inspected:
        """What the file's pickle says; ModelError where it does not fit together."""
        contents, where = read_pt(place), str(place)
        d = length(contents.tensors, "pre_bias", where)
        n = length(contents.tensors, "latent_bias", where)
        layout = layout_of(self.tensors, d, n) | {
            # Statistics of the training run.
            "stats_last_nonzero": Entry((n,), optional=True, integer=True),
            "latents_activation_frequency": Entry((n,), optional=True),
            "latents_mean_square": Entry((n,), optional=True),
        }
        what = f"{d} numbers in pre_bias and {n} in latent_bias"
        check_layout(contents.tensors, layout, where, what)
        k = _latents_per_token(contents, n, where)
        config = Config(
            architecture="standard" if k is None else "topk",
            d_in=d,
            d_sae=n,
            k=k,
            normalize="none" if k is None else "layer_norm",
            site=_site(place),
            model="gpt2",
        )
        return Inspected(place, config, layout)


def _latents_per_token(contents: Contents, d_sae: int, where: str) -> int | None:
    """k of a TopK SAE; None of one with a ReLU, as those are that name no activation."""
    plain = contents.plain
    if unknown := plain.keys() - _SETTINGS.keys():
        key = min(unknown)
        raise ModelError(
            f"{where}: unknown key {key!r}, which could change the numbers. Allowed: "
            f"{listed(_SETTINGS)}.{suggestion(key, _SETTINGS)}"
        )
    settings: dict[str, Any] = {}
    for key, value in sorted(plain.items()):
        if settings.setdefault(_SETTINGS[key], value) != value:
            raise wrong(where, key, value, f"{settings[_SETTINGS[key]]!r}, as another key says")
    activation = settings.get("activation", "ReLU")
    if activation == "ReLU" and len(settings) <= 1:
        return None
    if activation != "TopK":
        raise wrong(where, "activation", activation, "ReLU without a k, TopK with one")
    after = settings.get("postact_fn", "ReLU")
    if after != "ReLU":
        raise wrong(where, "postact_fn", after, "ReLU")
    return count(settings, "k", where, most=d_sae, most_is="the number of latents")


def _site(file: Path) -> Site | None:
    """Where it belongs, from the path that OpenAI publishes it under."""
    match = last_match(_PLACE, file.with_suffix("").as_posix())
    return Site(_SITES[match[1]], int(match[2])) if match else None
