"""What each latent of one side is: its own, an artefact of training, or not to be judged."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from harness.contract import Sae, State
from harness_statistics.decoder_norms import delta_norm, places, rows_of, scales_by_side
from harness_statistics.latent_scaling.coefficients import (
    ERROR,
    RECONSTRUCTION,
    Coefficients,
    Vector,
)

KINDS = ("genuine", "shrinkage", "decoupling", "both", "dropped", "rare")
"""`genuine`: free of both artefacts. `dropped`: a ratio is missing or out of range. `rare`: active
on too few tokens."""
ARTEFACTS = ("shrinkage", "decoupling", "both")


@dataclass(frozen=True)
class Limits:
    """From where on a latent is what."""

    one_sided: float
    shared: float
    error: float
    reconstruction: float
    minimum: int


def leaning(sae: Sae, space: str) -> Vector:
    """Δ_norm of each latent: 0 writes to the left side alone, ½ to both alike, 1 to the right side
    alone; NaN where both rows are 0."""
    rows = rows_of(sae)
    left, right = scales_by_side(sae) if space == "normalised" else (1.0, 1.0)
    return delta_norm(rows.left * left, rows.right * right)


def places_of(delta: Vector, limits: Limits) -> np.ndarray:
    """Where each latent belongs: `left_only`, `shared`, `right_only`, `other`; "" of a dead one."""
    return np.where(np.isnan(delta), "", places(delta, limits.one_sided, limits.shared))


def kinds_of(
    found: Coefficients, active: np.ndarray, own: np.ndarray, limits: Limits
) -> np.ndarray:
    """The kind of each latent that `own` marks, one of `KINDS`; "" of all others.

    Complete shrinkage: the other side has the concept, too, and its row was driven to 0, so that
    its error holds it: ν^error at least `limits.error`. Latent decoupling: another latent writes
    the same to the other side: ν^reconstruction at least `limits.reconstruction`.
    """
    error, rebuilt = found.ratio(ERROR), found.ratio(RECONSTRUCTION)
    with np.errstate(invalid="ignore"):
        shrunk, apart = error >= limits.error, rebuilt >= limits.reconstruction
    conditions = [
        ~own,
        active < limits.minimum,
        np.isnan(error) | np.isnan(rebuilt),
        shrunk & apart,
        shrunk,
        apart,
    ]
    return np.select(
        conditions, ["", "rare", "dropped", "both", "shrinkage", "decoupling"], "genuine"
    )


def active_of(state: State, kept: np.ndarray | None = None) -> np.ndarray:
    """Tokens on which each latent was active, of the groups that `kept` marks."""
    chosen = slice(None) if kept is None else kept
    return np.asarray(state["active"][chosen].sum(0))


def best_first(found: Coefficients, among: np.ndarray) -> np.ndarray:
    """The latents that `among` marks, by rank(ν^error) + rank(ν^reconstruction), smallest first;
    those without a ratio last, and ties by index."""
    indices = np.flatnonzero(among)
    total = np.zeros(len(indices))
    for target in (ERROR, RECONSTRUCTION):
        ratio = found.ratio(target)[indices]
        rank = np.empty(len(indices))
        rank[np.argsort(ratio, kind="stable")] = np.arange(len(indices))
        total += np.where(np.isnan(ratio), len(indices), rank)
    return np.asarray(indices[np.argsort(total, kind="stable")])
