"""SAEs that were trained on activations of mean length √d: which scale their weights are in.

`expected_average_only_in` means that training multiplied activations by s = √d_in / mean‖x‖.
sae_lens does nothing of the kind when it runs such an SAE, so s must be folded into the weights;
whether that has been done the file does not say. Only activations of the model can tell.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import cached_property

import torch
from jaxtyping import Float, Int
from torch import Tensor

from harness.contract import Sae, SaeFacts
from harness.contract.latents import Latents
from harness_saes.core.config import BATCHTOPK, Config
from harness_saes.core.normalisation import centred

log = logging.getLogger(__name__)

Tensors = Mapping[str, Tensor]
Build = Callable[[Config, Tensors, tuple[str, ...]], Sae]
"""An SAE from a configuration, weights and notes."""

BAD = 0.5
"""Where the FVU is above this at both scales, the note says that the SAE hardly fits."""
UNFOLDED = (
    "trained on activations scaled to a mean length of √d_in (expected_average_only_in), and the "
    "file does not say whether that factor is folded into its weights. They are used as stored. "
    "If the SAE's FVU on its own model is near or above 1, the factor is not folded: fold it "
    "(W_enc·s, W_dec/s, b_dec/s with s = √d_in / mean‖x‖) and load the result."
)


class Unfolded:
    """An SAE whose files do not say whether its weights take raw or scaled activations.

    Until that is decided it computes with the weights as stored. `calibrated` decides it from
    activations of the SAE's own model, and returns the SAE to use instead.
    """

    def __init__(self, config: Config, tensors: Tensors, build: Build) -> None:
        self._config = config
        self._tensors = tensors
        self._build = build
        # As `stored` builds it, so that the weights are hashed once for both.
        self.as_stored = build(replace(config, normalize="none"), tensors, (UNFOLDED,))
        self.facts: SaeFacts = self.as_stored.facts
        self.notes = self.as_stored.notes

    @cached_property
    def fingerprint(self) -> str:
        """That of an SAE whose scale nobody has decided."""
        return self._build(self._config, self._tensors, (UNFOLDED,)).fingerprint

    def encode(self, x: Float[Tensor, "tokens d_in"]) -> Latents:
        """Sparse latents, with the weights as stored."""
        return self.as_stored.encode(x)

    def reconstruct(self, latents: Latents) -> Float[Tensor, "tokens d_out"]:
        """x̂ from latents, with the weights as stored."""
        return self.as_stored.reconstruct(latents)

    def rows(self, indices: Int[Tensor, " m"]) -> Float[Tensor, "m d_out"]:
        """Decoder rows as stored."""
        return self.as_stored.rows(indices)

    def scaled(self, mean_norm: float, *notes: str) -> Sae:
        """The SAE for raw activations of this mean length, with the factor folded into weights."""
        return self._build(*folded(self._config, self._tensors, self.factor(mean_norm)), notes)

    def stored(self, *notes: str) -> Sae:
        """The SAE for raw activations whose factor is in its weights already."""
        return self._build(replace(self._config, normalize="none"), self._tensors, notes)

    def mean_norm(self, x: Float[Tensor, "tokens d_in"]) -> float:
        """mean‖x‖ of activations as the SAE reads them: centred, where it was trained on such."""
        return float(centred(x.double(), self._config).norm(dim=1).mean())

    def factor(self, mean_norm: float) -> float:
        """s = √d_in / mean‖x‖, to four digits.

        More are not meant: training estimated it from a sample too, and the fingerprint of the
        SAE shall not depend on the last bit of a mean.
        """
        return float(f"{math.sqrt(self._config.d_in) / mean_norm:.4g}")

    def calibrated(
        self,
        x: Float[Tensor, "tokens d_in"],
        target: Float[Tensor, "tokens d_out"] | None = None,
    ) -> Sae:
        """The SAE in the scale that explains x better, with a note that says so; logged."""
        sae, note = choose_scale(self, x, target)
        log.info("%s", note)
        return sae


def choose_scale(
    sae: Unfolded,
    x: Float[Tensor, "tokens d_in"],
    target: Float[Tensor, "tokens d_out"] | None = None,
) -> tuple[Sae, str]:
    """The SAE with the factor s = √d_in / mean‖x‖ folded in or not, by the smaller FVU, and why.

    x: activations of the SAE's own model at its site, without BOS and padding (of one sequence,
    in order, where `facts.needs_sequence`); `target`: what a transcoder should write for them,
    x itself for an SAE. Both in float64 from pooled sums. Where neither FVU is defined (fewer
    than two different tokens), the weights stay as stored.
    """
    wanted = x if target is None else target
    mean_norm = sae.mean_norm(x) if len(x) else 0.0
    factor = sae.factor(mean_norm) if mean_norm > 0 else 1.0
    plain = fvu(wanted, sae.reconstruct(sae.encode(x)))
    # What `scaled` will compute, without its copy of the weights.
    rescaled = fvu(wanted, sae.reconstruct(sae.encode(x * factor)) / factor)
    if math.isnan(plain) and math.isnan(rescaled):
        return sae.stored(UNFOLDED), UNFOLDED
    measured = (
        f"expected_average_only_in: FVU {plain:.3g} with the weights as stored, {rescaled:.3g} "
        f"with s = √d_in / mean‖x‖ = {factor:g} folded in, over {len(x)} tokens"
    )
    fold = rescaled < plain or math.isnan(plain)
    note = f"{measured}: {'folded in' if fold else 'used as stored'}."
    if min(plain, rescaled) > BAD:
        note += " Neither is good: is it an SAE of this model, at its site?"
    return (sae.scaled(mean_norm, note) if fold else sae.stored(note)), note


def fvu(x: Float[Tensor, "tokens d"], reconstruction: Float[Tensor, "tokens d"]) -> float:
    """Σ‖x − x̂‖² / Σ‖x − x̄‖² over all tokens, in float64; NaN where x does not vary."""
    wide = x.double()
    spread = float((wide - wide.mean(dim=0)).square().sum())
    error = float((wide - reconstruction.double()).square().sum())
    return error / spread if spread > 0 else math.nan


def folded(
    config: Config, tensors: Tensors, factor: float | None
) -> tuple[Config, dict[str, Tensor]]:
    """Weights that take raw activations where the factor s = √d/mean‖x‖ is known, as in sae_lens.

    `W_enc·s`, `W_dec/s`, `b_dec/s`; thresholds are in units of the pre-activations and stay, but
    one that is held against a·‖W_dec‖ follows W_dec. Of matching pursuit the weights are tied:
    `b_dec/s` and the residual's threshold. Of temporal SAEs s is applied when they run.
    """
    found = dict(tensors)
    if factor is None or config.normalize != "expected_average_only_in":
        return config, found
    return _FOLDS.get(config.architecture, _fold_linear)(config, found, factor)


def _fold_linear(
    config: Config, tensors: dict[str, Tensor], factor: float
) -> tuple[Config, dict[str, Tensor]]:
    changed = {
        "W_enc": _wide(tensors["W_enc"]) * factor,
        "W_dec": _wide(tensors["W_dec"]) / factor,
        "b_dec": _wide(tensors["b_dec"]) / factor,
    }
    if config.architecture in BATCHTOPK and config.rescale_by_decoder_norm:
        changed["topk_threshold"] = _wide(tensors["topk_threshold"]) / factor
    return replace(config, normalize="none"), tensors | changed


def _fold_matching_pursuit(
    config: Config, tensors: dict[str, Tensor], factor: float
) -> tuple[Config, dict[str, Tensor]]:
    threshold = float(config.rules["residual_threshold"] or 0) / factor
    rules = {**config.rules, "residual_threshold": threshold}
    changed = {"b_dec": _wide(tensors["b_dec"]) / factor}
    return replace(config, normalize="none", rules=rules), tensors | changed


def _fold_temporal(
    config: Config, tensors: dict[str, Tensor], factor: float
) -> tuple[Config, dict[str, Tensor]]:
    rules = {**config.rules, "activation_normalization_factor": factor}
    return replace(config, normalize="constant_scalar_rescale", rules=rules), tensors


_FOLDS = {"matching_pursuit": _fold_matching_pursuit, "temporal": _fold_temporal}
"""By architecture; all others are linear."""


def _wide(tensor: Tensor) -> Tensor:
    return tensor.to(torch.promote_types(tensor.dtype, torch.float32))
