"""Steering with a gate: adding a direction only where a latent is active."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from harness.contract import Arm, Direction, Edit, ModelFacts, Sae
from harness_interventions.addition import add, steering_vector
from harness_interventions.chosen import encoded, latents_of, values_of
from harness_interventions.fitting import site_of
from harness_interventions.options import ConditionalAdditionOptions


class ConditionalAddition:
    """x ← x + g(x)·coefficient·v at the direction's own site, at every position.

    g(x) = 1 where |z_j(x)| > threshold for any of the gate's latents j, else 0; z is the SAE's
    encoding of the very activation that would be changed, so each token of prompt and completion
    is decided by itself. An inactive latent has z_j = 0. v and coefficient are those of `addition`.
    x: Float[Tensor, "rows pos d_site"]; encoded and added in float32, returned in x's dtype.
    Positions with a closed gate keep every bit; coefficient 0 changes none.

    The arm is gated: where the gate opens nowhere, its `edit.share@1` is 0 and the run goes on.
    Raises ModelError as `addition` does, for a gate without latents or beyond the SAE's width, and
    for an SAE that needs whole sequences or writes elsewhere than it reads.
    Source: Lee et al. 2024 (arXiv 2409.05907), conditional activation steering, whose condition is
    a cosine with a vector, held once for a prompt; here it is a latent, held for each token.
    """

    def __init__(self, given: ConditionalAdditionOptions) -> None:
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
        gate = latents_of(name, direction, sae, options.latents)
        site = site_of(name, direction, facts)
        vector = steering_vector(name, direction, options.scale)
        added = torch.tensor(options.coefficient * vector, dtype=torch.float32)
        parameters = {
            "vector": added.where(added != 0, -0.0),
            # Parameters are float32: whole numbers are exact in it up to 16 million.
            "latents": torch.tensor(options.latents or direction.features, dtype=torch.float32),
            "threshold": torch.tensor(options.threshold, dtype=torch.float32),
        }
        idle = options.coefficient == 0
        return Arm(name, (Edit(site, AddingWhere(gate), parameters),), idle=idle, gated=True)


@dataclass(frozen=True)
class AddingWhere:
    """`Edit.apply` of one SAE; equal for equal SAEs, so that arms share calls."""

    sae: Sae

    def __call__(
        self, x: Float[Tensor, "rows pos d"], parameters: Mapping[str, Tensor]
    ) -> Float[Tensor, "rows pos d"]:
        """x plus `vector` where the gate of its row is open."""
        gate = opened(x, self.sae, parameters["latents"].long(), parameters["threshold"])
        return torch.where(gate[..., None], add(x, {"vector": parameters["vector"]}), x)


def opened(
    x: Float[Tensor, "rows pos d"],
    sae: Sae,
    latents: Int[Tensor, "rows n"],
    threshold: Float[Tensor, " rows"],
) -> Bool[Tensor, "rows pos"]:
    """Whether the largest |z_j(x)| of a row's latents is above its threshold."""
    values = values_of(encoded(x, sae), x.shape[1], latents)
    largest = values.abs().amax(1).reshape(x.shape[:2])
    return largest > threshold[:, None]
