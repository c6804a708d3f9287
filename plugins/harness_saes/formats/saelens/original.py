"""SAEs that are no linear family: sae_lens' own object computes, behind our protocol.

sae_lens is imported when one is loaded. Everything that its objects keep between two calls (the
norm of the last input) is done here instead, so that one object may encode anything in any order.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from harness.contract import SaeFacts
from harness.contract.latents import Latents, joined
from harness_saes.core.config import Config
from harness_saes.core.linear import CHUNK_BYTES, checked, fingerprint, summed
from harness_saes.core.normalisation import normalised, restore


class _Original:
    """An SAE that runs in sae_lens' own object."""

    def __init__(
        self,
        config: Config,
        tensors: Mapping[str, Tensor],
        dtype: torch.dtype = torch.float32,
        *,
        notes: tuple[str, ...] = (),
    ) -> None:
        self.facts: SaeFacts = config.facts
        self.fingerprint = fingerprint(config, tensors, dtype)
        self.notes = (*config.notes, *notes)
        self._config = config
        self._sae = _original(config, tensors, dtype)
        scaled = config.normalize == "constant_scalar_rescale"
        factor = config.rules["activation_normalization_factor"] if scaled else None
        self._factor = float(factor or 1)
        """What the SAE's input is multiplied with, and its output divided by."""

    def _normalised(self, x: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """x as sae_lens' object is to read it, and what `restore` needs of each token."""
        return normalised(checked(x, self._config).to(self._sae.dtype), self._config)

    @torch.no_grad()
    def reconstruct(self, latents: Latents) -> Float[Tensor, "tokens d_in"]:
        """x̂ of latents that this SAE encoded, or of others with the same context."""
        out = summed(latents, self._sae.W_dec)
        if "predicted" in latents.context:
            out += latents.context["predicted"]
        if self._config.apply_b_dec_to_input or not self._config.rules.get("tied_weights", True):
            out += self._sae.b_dec
        out /= self._factor
        restore(out, latents.context)
        return out

    @torch.no_grad()
    def rows(self, indices: Int[Tensor, " m"]) -> Float[Tensor, "m d_in"]:
        """Decoder rows: what one unit of a latent adds to x̂, times the token's scale if any."""
        rows: Tensor = self._sae.W_dec[indices]
        return rows / self._factor


class MatchingPursuitSae(_Original):
    """Greedy pursuit on the residual with tied weights.

    From r = x − b_dec, repeat: add `ReLU(max_j r·w_j)` to latent j of the largest product, take
    its share off r, until ‖r‖ is below `residual_threshold`, no new latent came in, or
    `max_iterations` (by default d_in) is reached. `x̂ = z W_dec + b_dec`, without b_dec where it
    is not subtracted. Rows do not influence each other; they are encoded some at a time, since
    sae_lens holds `[rows, d_sae]` matrices.

    Source: SAELens 6.54, `matching_pursuit_sae.py`.
    """

    @torch.no_grad()
    def encode(self, x: Float[Tensor, "tokens d_in"]) -> Latents:
        """Sparse latents of each token; ModelError where x has another width than d_in."""
        read, context = self._normalised(x)
        step = max(1, CHUNK_BYTES // (self._config.d_sae * self._sae.dtype.itemsize))
        parts = [
            Latents.from_dense(self._sae.encode(read[start : start + step]))
            for start in range(0, max(1, len(x)), step)
        ]
        return replace(joined(parts), context=context)


class TemporalSae(_Original):
    """Attention over a sequence predicts each token; latents are the novel codes of what is left.

    `encode` takes all tokens of ONE sequence, in order: x_t is predicted from x_1 … x_{t−1}.
    `reconstruct` gives the whole reconstruction (predicted and novel, as sae_lens' `forward`
    does and its `decode` does not); the predicted part of each token, in the space of the
    decoder, is `context["predicted"]`.

    Source: SAELens 6.54, `temporal_sae.py`; arXiv 2511.01836.
    """

    @torch.no_grad()
    def encode(self, x: Float[Tensor, "tokens d_in"]) -> Latents:
        """Novel codes of each token of one sequence; ModelError where x is not d_in wide."""
        read, context = self._normalised(x)
        if not len(x):
            return Latents.from_dense(
                read.new_zeros(0, self._config.d_sae), **context, predicted=read
            )
        novel, predicted = self._sae.encode_with_predictions(read[None] * self._factor)
        predicted = predicted[0] @ self._sae.W_dec
        return Latents.from_dense(novel[0], **context, predicted=predicted)


ORIGINALS: Mapping[str, type[MatchingPursuitSae] | type[TemporalSae]] = {
    "matching_pursuit": MatchingPursuitSae,
    "temporal": TemporalSae,
}
"""By architecture."""


def _original(config: Config, tensors: Mapping[str, Tensor], dtype: torch.dtype) -> Any:
    """sae_lens' object with these weights; input normalisation is left to `normalised`."""
    from sae_lens import SAE
    from sae_lens.registry import get_sae_class

    sae_class, config_class = get_sae_class(config.architecture)
    settings: dict[str, Any] = {
        **config.rules,
        "d_in": config.d_in,
        "d_sae": config.d_sae,
        "apply_b_dec_to_input": config.apply_b_dec_to_input,
        "device": "meta",  # no random weights first
    }
    sae: SAE[Any] = sae_class(config_class(**settings))
    sae.load_state_dict(dict(tensors), assign=True)
    return sae.to(device=tensors["W_dec"].device, dtype=dtype).eval()
