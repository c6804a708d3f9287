"""Projection onto a subspace, or out of it, at one site."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from jaxtyping import Float
from torch import Tensor

from harness.contract import Arm, Check, Direction, Edit, ModelFacts
from harness_interventions.ablation import limit, orthonormal, project_out, share
from harness_interventions.fitting import behind, read_as_it_is, site_of, vectors_of
from harness_interventions.options import ProjectionOptions


class Projection:
    """x ← x + strength·(Px − x) at the direction's own site, at every position, prompt and answer.

    P projects out of the span of the direction's vectors (`mode = "out"`): Px = x − Σ (x·r̂_i) r̂_i,
    or onto it (`"onto"`): Px = Σ (x·r̂_i) r̂_i; r̂_1 … r̂_rank: an orthonormal basis, from float64.
    Length and order of the vectors do not matter. Unlike `ablation`, it acts at one site alone:
    later blocks may write the subspace again.
    x: Float[Tensor, "rows pos d_site"]; computed in float32, returned in x's dtype. Strength 0
    changes no bit. Promise at strength 1, where the site is a block's output with a block behind
    it: what should be gone is at most `limit(dtype)` of ‖x'‖ there.

    Raises ModelError for a direction of another width than the model, of length 0, not finite, or
    with readers of its own.
    Source: linear algebra; `out` with one vector is Arditi et al. 2024, section 2.4, at one site.
    """

    def __init__(self, given: ProjectionOptions) -> None:
        self.options = given

    def arm(self, name: str, direction: Direction, facts: ModelFacts, dtype: str) -> Arm:
        """One edit; with strength 1 a check where the next block reads."""
        site, strength = site_of(name, direction, facts), self.options.strength
        vectors = vectors_of(name, read_as_it_is(name, direction))
        basis = torch.tensor(orthonormal(vectors), dtype=torch.float32)
        parameters = {"basis": basis, "strength": torch.tensor(strength, dtype=torch.float32)}
        apply, measure, what = _MODES[self.options.mode]
        next_site = behind(site, facts)
        checks = (
            (Check(f"{what} at {next_site}", next_site, measure, {"basis": basis}, limit(dtype)),)
            if next_site is not None and strength == 1
            else ()
        )
        return Arm(name, (Edit(site, apply, parameters),), checks, idle=strength == 0)


def out_of(
    x: Float[Tensor, "rows pos d"], parameters: Mapping[str, Tensor]
) -> Float[Tensor, "rows pos d"]:
    """x moved by `strength` ("rows") out of the span of `basis` ("rows dimension d")."""
    wide, rest = _parts(x, parameters)
    return _moved(x, wide, rest, parameters["strength"])


def onto(
    x: Float[Tensor, "rows pos d"], parameters: Mapping[str, Tensor]
) -> Float[Tensor, "rows pos d"]:
    """x moved by `strength` ("rows") onto the span of `basis` ("rows dimension d")."""
    wide, rest = _parts(x, parameters)
    return _moved(x, wide, wide - rest, parameters["strength"])


def outside(
    x: Float[Tensor, "rows pos d"], parameters: Mapping[str, Tensor]
) -> Float[Tensor, "rows pos"]:
    """How much of ‖x‖ lies outside the span of `basis`, in [0, 1]; 0 where x = 0."""
    wide, rest = _parts(x, parameters)
    length = wide.norm(dim=-1)
    return torch.where(length == 0, 0.0, rest.norm(dim=-1) / length.where(length != 0, 1.0))


def _parts(x: Tensor, parameters: Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:
    """x in float32 or more, and what of it lies outside the span."""
    wide = x.to(torch.promote_types(x.dtype, torch.float32))
    basis = {"basis": parameters["basis"]}
    # Twice: what rounding left of a large part along the basis goes with the second time.
    return wide, project_out(project_out(wide, basis), basis)


def _moved(x: Tensor, wide: Tensor, goal: Tensor, strength: Tensor) -> Tensor:
    """x moved towards `goal`; at strength 1 it is the goal, at 0 x itself, to the bit."""
    by = strength.to(wide.dtype)[:, None, None]
    part = torch.where(by == 1, goal, wide + by * (goal - wide)).to(x.dtype)
    return torch.where(by == 0, x, part)


_MODES = {
    "out": (out_of, share, "share of the subspace left"),
    "onto": (onto, outside, "share outside of the subspace left"),
}
"""By mode: the edit, what it promises to make small, and how the report calls that."""
