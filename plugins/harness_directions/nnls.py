"""A vector rebuilt from others with weights that are not negative."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from scipy.optimize import nnls


@dataclass(frozen=True)
class Fit:
    """r_k = Σ_j c_j W_j, the best non-negative approximation of r.

    At the optimum r_k is the projection of r on a cone, so cos² = 1 − NMSE and ‖r_k‖ = cos·‖r‖.
    """

    weights: Float[np.ndarray, " k"]
    """c_j ≥ 0, in the units of r over those of W_j."""
    vector: Float[np.ndarray, " d"]
    """r_k, in the units of r."""
    nmse: float
    """‖r − r_k‖² / ‖r‖², in [0, 1]; uncentred."""
    cosine: float | None
    """cos(r, r_k), in (0, 1]; None where r_k = 0."""


def fit(rows: Float[np.ndarray, "k d"], target: Float[np.ndarray, " d"]) -> Fit:
    """min_{c ≥ 0} ‖r − Σ_j c_j W_j‖² in float64, without intercept (Feature Drift, App. C).

    Raises ValueError for a target of length 0, RuntimeError where the solver does not converge.
    """
    length = float(np.linalg.norm(target))
    if not length:
        raise ValueError("a target of length 0 has no relative error")
    # The solver's tolerances are absolute, so it sees unit vectors; c scales back exactly.
    norms = np.linalg.norm(rows, axis=1)
    norms = np.where(norms > 0, norms, 1.0)
    unit, _ = nnls((rows / norms[:, None]).T, target / length, maxiter=max(100, 30 * len(rows)))
    weights = unit * (length / norms)
    vector = weights @ rows
    reached = float(np.linalg.norm(vector))
    return Fit(
        weights=weights,
        vector=vector,
        nmse=float(np.sum((target - vector) ** 2) / np.sum(target**2)),
        cosine=float(target @ vector / (length * reached)) if reached else None,
    )
