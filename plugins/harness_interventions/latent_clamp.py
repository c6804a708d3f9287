"""Holding SAE latents at a value, through the SAE's error."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from harness.contract import Arm, Direction, Edit, ModelFacts, Sae
from harness_interventions.chosen import encoded, latents_of, mixture, values_of
from harness_interventions.fitting import site_of
from harness_interventions.options import LatentClampOptions


class LatentClamp:
    """x ← x + strength·Σ_{j∈S} (value − z_j(x)) W_dec[j] at the SAE's site.

    S: the direction's features; z = the SAE's encoding of x itself. What the SAE does not rebuild,
    its error, and every other latent's part stay as they are: x' = x̂(z with z_j = value) + (x − x̂).
    For SAEs that scale their input by token, value and z are in the scaled unit, and the sum is
    scaled back. `where = "everywhere"` acts at every position, prompt and answer; `"active"` on
    those latents alone that are active at a token. value = 0 is `feature_zeroing`; an encoder that
    is no inverse of the decoder may read another number than `value` from x'.
    x: Float[Tensor, "rows pos d_site"], encoded in float32 and returned in its dtype; positions
    where nothing is to be moved keep every bit, strength 0 changes none.

    With `"active"`, or with value 0, the arm is gated: it may change nothing.
    Raises ModelError for a direction without features or beyond the SAE's width, and for an SAE
    that needs whole sequences or writes elsewhere than it reads.
    Source: Templeton et al. 2024, Scaling Monosemanticity, "Feature steering": clamping with the
    error term added back.
    """

    def __init__(self, given: LatentClampOptions) -> None:
        self.options = given

    def arm(
        self,
        name: str,
        direction: Direction,
        facts: ModelFacts,
        dtype: str,
        sae: Sae | None = None,
    ) -> Arm:
        """One edit; it promises nothing, so there is no check."""
        options = self.options
        sae = latents_of(name, direction, sae, ())
        site = site_of(name, direction, facts)
        active = options.where == "active"
        parameters = {
            key: torch.tensor(value, dtype=torch.float32)
            for key, value in {
                # Whole numbers are exact in float32 up to 16 million.
                "latents": direction.features,
                "value": options.value,
                "strength": options.strength,
                "active": float(active),
            }.items()
        }
        return Arm(
            name,
            edits=(Edit(site, Clamping(sae), parameters),),
            idle=options.strength == 0,
            gated=active or options.value == 0,
        )


@dataclass(frozen=True)
class Clamping:
    """`Edit.apply` of one SAE; equal for equal SAEs, so that arms share calls."""

    sae: Sae

    def __call__(
        self, x: Float[Tensor, "rows pos d"], parameters: Mapping[str, Tensor]
    ) -> Float[Tensor, "rows pos d"]:
        """x with the latents of each row at its value."""
        latents = encoded(x, self.sae)
        chosen = parameters["latents"].long()
        present = values_of(latents, x.shape[1], chosen)
        row = torch.arange(latents.tokens, device=x.device) // x.shape[1]
        value, strength, active = (
            parameters[name][row][:, None].to(present.dtype)
            for name in ("value", "strength", "active")
        )
        moved = strength * (value - present)
        # A strength of 0 changes nothing, also where a latent is infinite.
        amounts = torch.where((strength == 0) | ((active != 0) & (present == 0)), 0, moved)
        flat = x.reshape(-1, x.shape[-1])
        added = mixture(self.sae, latents, x.shape[1], chosen, amounts)
        touched = (amounts != 0).any(1, keepdim=True)
        return torch.where(touched, flat + added, flat).to(x.dtype).reshape(x.shape)
