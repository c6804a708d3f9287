"""Loads Llama Scope: folds its normalisation, and finds each latent's threshold."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor

from harness.errors import ModelError
from harness_saes.formats.llama_scope.config import LlamaScopeConfig
from harness_saes.formats.llama_scope.options import NORM, THRESHOLD, LlamaScopeInspected
from harness_saes.formats.load import Loaded, Ready

UNIT = 1e-3
"""Decoder rows whose lengths are all this near to 1 are of length 1, stored in half precision."""


class LlamaScope(Loaded):
    """The format `llama_scope`: `z = a` where a is above its threshold, `a = s x W + b`,
    `x̂ = (z D + b_D) / s`, with s = √d_model / mean‖x‖ from its files.

    Thresholds apply to a·‖D_j‖, if `sparsity_include_decoder_norm`; in the first generation θ is
    one number, in units of raw activations:

    | | active where | as a threshold on a |
    |---|---|---|
    | Llama Scope | `(a / s)·‖D_j‖ > θ` | `θ·s / ‖D_j‖` |
    | R1 variant | `a·‖D_j‖ > θ_j`, `θ_j = exp(log_jumprelu_threshold_j)` | `θ_j / ‖D_j‖` |

    sae_lens leaves ‖D_j‖ out. Where rows are not of length 1 it therefore has other latents
    active; a note says so. Values are those of sae_lens: a, in units of the scaled activations.

    Source: He et al., Llama Scope (arXiv 2410.20526); OpenMOSS' library `lm_saes` (`sae.py`:
    encode, standardize_parameters_of_dataset_norm, transform_to_unit_decoder_norm).
    """

    def ready(self, found: LlamaScopeInspected, stored: Mapping[str, Tensor]) -> Ready:
        """For raw activations, with a note where the lengths of decoder rows decide."""
        dtype = getattr(torch, self._options.dtype)
        tensors, spread = unscaled(stored, found.stored, dtype, str(found.weights))
        return found.config, tensors, (_note(spread),) if spread is not None else ()


def unscaled(
    stored: Mapping[str, Tensor], config: LlamaScopeConfig, dtype: torch.dtype, where: str
) -> tuple[dict[str, Tensor], tuple[float, float] | None]:
    """The tensors of `LinearSae`, for raw activations: the files' scales are folded in.

    Also the lengths of the shortest and the longest decoder row, where these lengths decide which
    latents are active and are not all 1; None otherwise.
    """
    before, after = config.norms or _norms(stored, config, where)
    s_in, s_out = (math.sqrt(config.d_in) / norm for norm in (before, after))
    decoder = stored["decoder.weight"].T.to(dtype)
    lengths = decoder.double().norm(dim=1)
    if config.threshold is None:
        threshold = stored[THRESHOLD].double().exp()
    else:
        threshold = torch.full_like(lengths, config.threshold * s_out)
    decides = config.gated_by_decoder_norm
    if decides:
        # A row of length 0 never passes a threshold, and would add nothing.
        threshold = torch.where(lengths > 0, threshold / lengths, torch.finfo(torch.float32).max)
    spread = (float(lengths.min()), float(lengths.max()))
    uneven = decides and max(abs(length - 1) for length in spread) > UNIT
    return {
        "W_enc": stored["encoder.weight"].T.to(dtype) * s_in,
        "b_enc": stored["encoder.bias"].to(dtype),
        "W_dec": decoder / s_out,
        "b_dec": stored["decoder.bias"].to(dtype) / s_out,
        "threshold": threshold,
    }, spread if uneven else None


def _norms(
    stored: Mapping[str, Tensor], config: LlamaScopeConfig, where: str
) -> tuple[float, float]:
    norm = float(stored[f"{NORM}{config.hook}"])
    if not norm > 0:
        raise ModelError(
            f"{where}: {NORM}{config.hook} is {norm}. Expected a mean length, above 0. Copy it "
            "again."
        )
    return norm, norm


def _note(spread: tuple[float, float]) -> str:
    return (
        f"decoder rows are {spread[0]:.3g} to {spread[1]:.3g} long, and thresholds are applied to "
        "latents times that length, as OpenMOSS' own library does "
        "(sparsity_include_decoder_norm). sae_lens leaves the length out and has other latents "
        "active: do not compare with numbers made by it."
    )
