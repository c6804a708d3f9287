"""Loads crosscoders of ckkissane's replication, in scales that are stated or estimated."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from jaxtyping import Float, Int
from torch import Tensor

from harness.contract import Sae, SaeFacts
from harness.contract.latents import Latents
from harness.errors import ModelError
from harness_saes.core.joined import JoinedSae, Scaling
from harness_saes.core.linear import LinearSae, finite_on
from harness_saes.core.stored import canonical
from harness_saes.files.pt_file import load_pt
from harness_saes.formats.ckkissane.options import CkkissaneOptions

STATED = "its activations are multiplied with {0:.5g} (left) and {1:.5g} (right), as the task says."
ESTIMATED = (
    "its files do not say how activations are scaled: they are multiplied with {0:.5g} (left) and "
    "{1:.5g} (right), √width over their mean length on the text of the preflight, without special "
    "tokens. Write scales = [{0:.5g}, {1:.5g}] to keep them, and look at its FVU."
)


class Ckkissane:
    """The format `ckkissane`: `f = ReLU(Σ_m s_m x_m W_enc^m + b_enc)`,
    `x̂_m = (Σ_j f_j d_j^m + b_dec^m)/s_m`.

    s_m = √d / mean‖x_m‖, which the training estimated and did not store. Latents are f as they
    are. Source: ckkissane/crosscoder-model-diff-replication (`crosscoder.py`, `buffer.py`), commit
    e221e8d.
    """

    def __init__(self, options: CkkissaneOptions) -> None:
        self._options = options

    def load(self, device: str) -> Sae:
        """The crosscoder on a device; without `scales` it must be calibrated before it encodes."""
        options = self._options
        found = options.inspect(options.fetched())
        stored = canonical(load_pt(found.weights, options.where), found.layout)
        ready = finite_on(device, stored, str(found.weights))
        tensors = {
            "W_enc": ready["W_enc"].flatten(0, 1),
            "b_enc": ready["b_enc"],
            "W_dec": ready["W_dec"].flatten(1),
            "b_dec": ready["b_dec"].flatten(),
        }
        inner = LinearSae(found.config, tensors, getattr(torch, options.dtype))
        if options.scales is None:
            return Unscaled(inner, found.facts, options.where)
        return scaled(inner, found.facts, options.scales, STATED)


def scaled(inner: LinearSae, facts: SaeFacts, scales: Sequence[float], note: str) -> JoinedSae:
    """The crosscoder with activations multiplied by one number for each model."""
    gain = torch.cat(
        [
            inner.rows(torch.zeros(1, dtype=torch.long)).new_full((part.stop - part.start,), scale)
            for part, scale in zip(facts.columns(), scales, strict=True)
        ]
    )
    scaling = Scaling(torch.zeros_like(gain), gain)
    facts = replace(facts, scales=tuple(scales))
    return JoinedSae(inner, facts, scaling, notes=(note.format(*scales),))


class Unscaled:
    """A crosscoder whose scales are not known yet: `calibrated` estimates them."""

    def __init__(self, inner: LinearSae, facts: SaeFacts, where: str) -> None:
        self.facts = facts
        self.fingerprint = f"{inner.fingerprint} unscaled"
        self.notes = inner.notes
        self._inner = inner
        self._where = where

    def calibrated(
        self, x: Float[Tensor, "tokens d_in"], target: Float[Tensor, "tokens d_out"] | None = None
    ) -> Sae:
        """The same in scales estimated from joined activations: √d / mean‖x_m‖."""
        lengths = [
            float(x[:, part].double().norm(dim=1).mean()) if len(x) else 0.0
            for part in self.facts.columns()
        ]
        if min(lengths) <= 0:
            raise ModelError(
                f"{self._where}: its scales cannot be estimated, since the preflight has no token "
                "with an activation that is not 0. Give the preflight more data, or scales = […]."
            )
        width = (self.facts.d_in or 0) / 2
        scales = [float(width**0.5 / length) for length in lengths]
        return scaled(self._inner, self.facts, scales, ESTIMATED)

    def encode(self, x: Float[Tensor, "tokens d_in"]) -> Latents:
        """ModelError: its scales are not known."""
        raise self._unknown()

    def reconstruct(self, latents: Latents) -> Float[Tensor, "tokens d_in"]:
        """ModelError: its scales are not known."""
        raise self._unknown()

    def rows(self, indices: Int[Tensor, " m"]) -> Float[Tensor, "m d_in"]:
        """ModelError: its scales are not known."""
        raise self._unknown()

    def _unknown(self) -> ModelError:
        return ModelError(
            f"{self._where}: its files do not say how activations are scaled. Allowed: scales = "
            "[left, right] where they are known, or a [preflight], which estimates them."
        )
