"""Taking some of an SAE's features out of the activations, and nothing else."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from harness.contract import Arm, Direction, Edit, ModelFacts, Sae
from harness_interventions.chosen import encoded, inside, latents_of, only
from harness_interventions.fitting import site_of
from harness_interventions.options import FeatureZeroingOptions


class FeatureZeroing:
    """x ← x − Σ_{j∈S} z_j(x) W_dec[j] at the SAE's site, at every position, prompt and answer.

    S: the direction's features; z = the SAE's encoding of x itself, so that the SAE's error, and
    every other feature, stay as they are. x: Float[Tensor, "rows pos d_site"], encoded in float32
    and returned in its dtype; positions where no feature of S is active keep every bit.

    Raises ModelError for a direction without features or beyond the SAE's width, for an SAE that
    writes elsewhere than it reads, and for one that needs whole sequences.
    Source: METHODS section 3 (SAE as a Crystal Ball, Figure 1b).
    """

    def __init__(self, given: FeatureZeroingOptions) -> None:
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
        sae = latents_of(name, direction, sae, ())
        site = site_of(name, direction, facts)
        # Parameters are float32: whole numbers are exact in it up to 16 million.
        features = torch.tensor(direction.features, dtype=torch.float32)
        return Arm(name, edits=(Edit(site, Zeroing(sae), {"features": features}),))


@dataclass(frozen=True)
class Zeroing:
    """`Edit.apply` of one SAE; equal for equal SAEs, so that arms share calls."""

    sae: Sae

    def __call__(
        self, x: Float[Tensor, "rows pos d"], parameters: Mapping[str, Tensor]
    ) -> Float[Tensor, "rows pos d"]:
        """x without the features of each row."""
        return zeroed(x, self.sae, parameters["features"].long())


def zeroed(
    x: Float[Tensor, "rows pos d"], sae: Sae, features: Int[Tensor, "rows n"]
) -> Float[Tensor, "rows pos d"]:
    """x − Σ_{j∈S} z_j(x) W_dec[j], with S the features of x's row.

    As x̂(z on S) − x̂(nothing), which is the same and holds for SAEs that scale their input too.
    """
    flat = x.reshape(-1, x.shape[-1])
    latents = encoded(x, sae)
    zeroed_ones = inside(latents, x.shape[1], features)
    active = only(latents, zeroed_ones)
    removed = sae.reconstruct(active) - sae.reconstruct(only(latents, zeroed_ones & False))
    touched = (active.counts > 0)[:, None]
    return torch.where(touched, flat - removed, flat).to(x.dtype).reshape(x.shape)
