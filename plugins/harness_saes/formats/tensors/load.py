"""Loads an SAE from any single file of tensors, by the rule that the task states."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from harness.contract import Sae
from harness_saes.core.config import BATCHTOPK
from harness_saes.core.linear import LinearSae, finite_on
from harness_saes.files.tensor_file import load_tensors
from harness_saes.formats.tensors.options import Named, TensorsOptions


class Tensors:
    """The format `tensors`: a linear SAE or transcoder of which the task says everything.

    With s = `input_scale`, n the token's normalisation and ℓ_j the length of decoder row j:
    `a = (s·n(x) − b_dec [subtract_decoder_bias]) W_enc + b_enc`, times ℓ with
    `decoder_rows = "into_latents"`; z by the activation, as `LinearSae` says;
    `x̂ = n⁻¹((z W_dec + b_dec)/s)`, rows divided by ℓ with `into_latents` and `unit`. A
    transcoder's output is `z W_dec + b_dec`, neither divided by s nor scaled back.
    """

    def __init__(self, options: TensorsOptions) -> None:
        self._options = options

    def load(self, device: str) -> Sae:
        """The SAE on a device; ModelError says which file or tensor is missing or wrong."""
        options = self._options
        found = options.inspect(options.fetched())
        named = _named(found, load_tensors(found.weights))
        ready = finite_on(device, named, str(found.weights))
        dtype: torch.dtype = getattr(torch, options.dtype)
        wide = {name: tensor.to(dtype) for name, tensor in ready.items()}
        config = replace(found.config, not_trained_on=options.carded)
        return LinearSae(config, _ruled(wide, options, found), dtype)


def _named(found: Named, stored: Mapping[str, Any]) -> dict[str, Tensor]:
    """The tensors under the names of `LinearSae`, transposed where the file is."""
    return {
        ours: stored[name].T if ours in found.turned else stored[name]
        for ours, name in found.called.items()
    }


def _ruled(
    tensors: Mapping[str, Tensor], options: TensorsOptions, found: Named
) -> dict[str, Tensor]:
    """Weights that follow the task's rule on raw activations, with zeros for what is not named."""
    made = dict(tensors)
    w_dec, config = made["W_dec"], found.config
    made.setdefault("b_dec", w_dec.new_zeros(w_dec.shape[1]))
    if config.architecture != "gated":
        made.setdefault("b_enc", w_dec.new_zeros(config.d_sae))
    _set_threshold(made, options, found)
    if options.decoder_rows != "stored":
        lengths = w_dec.norm(dim=1)
        if options.decoder_rows == "into_latents":
            made["W_enc"] = made["W_enc"] * lengths
            made["b_enc"] = made["b_enc"] * lengths
        made["W_dec"] = w_dec / torch.where(lengths > 0, lengths, 1)[:, None]
    if options.input_scale != 1:
        made["W_enc"] = made["W_enc"] * options.input_scale
        if config.d_out is None:
            made |= {name: made[name] / options.input_scale for name in ("W_dec", "b_dec")}
    return made


def _set_threshold(made: dict[str, Tensor], options: TensorsOptions, found: Named) -> None:
    """The threshold under the name and in the shape that `LinearSae` has for the architecture."""
    if options.threshold is None:
        return
    stored = made.pop("threshold", None)
    if stored is None:
        stored = made["W_dec"].new_tensor(float(options.threshold))
    stored = stored.exp() if options.threshold_is_log else stored
    if found.config.architecture in BATCHTOPK:
        made["topk_threshold"] = stored
    else:
        made["threshold"] = stored.expand(found.config.d_sae).clone()
