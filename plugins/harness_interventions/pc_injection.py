"""Adding what a fine-tune changed along its principal components."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from harness.contract import Arm, Direction, Edit, ModelFacts
from harness_interventions.ablation import orthonormal
from harness_interventions.addition import adding
from harness_interventions.fitting import read_as_it_is, site_of, vectors_of
from harness_interventions.options import PcInjectionOptions


class PcInjection:
    """Moves activations at the components' own site, at every position, as a fine-tune does.

    - the same everywhere, prompt and answer: x ← x + α Σ_i σ_i/√N·v_i. The rows of the direction
      are σ_i/√N·v_i, as `principal_components` finds them: one row is one component, k rows are the
      first k together. σ_i/√N is the root mean square of what the fine-tune moved tokens by along
      v_i, and v_i points where it moved them on average.
    - with `tuned`, each token by its own change: x ← x + α (Δx V_k) V_kᵀ, Δx = x_tuned − x, V_k an
      orthonormal basis of the direction. With k = d and α = 1 that is x_tuned.

    x: Float[Tensor, "rows pos d_site"]; the sum is made in float32 and returned in x's dtype.
    α = 0 changes no bit.

    Raises ModelError for a direction of another width than the model, of length 0, or not finite,
    and with `tuned` for one with readers of its own.
    Source: arXiv 2605.11426; METHODS section 4.
    """

    def __init__(self, given: PcInjectionOptions) -> None:
        self.options = given

    def arm(self, name: str, direction: Direction, facts: ModelFacts, dtype: str) -> Arm:
        """The same for every token; it promises nothing, so there is no check."""
        site = site_of(name, direction, facts)
        return adding(name, site, vectors_of(name, direction).sum(0), self.options.alpha)

    def arms(
        self,
        name: str,
        direction: Direction,
        facts: ModelFacts,
        dtype: str,
        beside: Float[Tensor, "rows pos d_site"],
    ) -> Sequence[Arm]:
        """One arm for each row: its tokens' own changes."""
        site, alpha = site_of(name, direction, facts), self.options.alpha
        vectors = vectors_of(name, read_as_it_is(name, direction))
        basis = torch.tensor(orthonormal(vectors), dtype=torch.float32)
        strength = torch.tensor(alpha, dtype=torch.float32)
        shared = {"basis": basis.to(beside.device), "strength": strength.to(beside.device)}
        return [
            Arm(name, edits=(Edit(site, move, {**shared, "tuned": row.float()}),), idle=alpha == 0)
            for row in beside
        ]


def move(
    x: Float[Tensor, "rows pos d"], parameters: Mapping[str, Tensor]
) -> Float[Tensor, "rows pos d"]:
    """x moved towards `tuned` ("rows pos d") along `basis` ("rows k d"), `strength` times."""
    wide = x.to(torch.promote_types(x.dtype, torch.float32))
    basis = parameters["basis"].to(wide.dtype)
    delta = parameters["tuned"].to(wide.dtype) - wide
    added = delta @ basis.transpose(-1, -2) @ basis * parameters["strength"][:, None, None]
    return (wide + added.where(added != 0, -0.0)).to(x.dtype)
