"""Adding a direction at its own site."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from harness.contract import Arm, Direction, Edit, ModelFacts, Site
from harness.errors import ModelError
from harness_interventions.fitting import site_of, vectors_of
from harness_interventions.options import AdditionOptions, Scale


class Addition:
    """x ← x + coefficient·v at the direction's own site, at every position, prompt and answer.

    v is the direction at its own length (`as_fitted`), or rescaled to the length of the one that
    it rebuilds (`reference`): a direction of k features has ‖r_k‖ = cos·‖r‖, about half of ‖r‖ at
    k = 64, and half the length may be what keeps it from acting.
    x: Float[Tensor, "rows pos d_site"]; the sum is made in float32 and returned in x's dtype.
    Coefficient 0 changes no bit.

    Raises ModelError for a direction of several vectors, of another width than the model or of
    length 0, and with `reference` where that length is not known.
    Source: Arditi et al. 2024, section 2.4 and its `run_pipeline.py`; Feature Drift, equation 6.
    """

    def __init__(self, given: AdditionOptions) -> None:
        self.options = given

    def arm(self, name: str, direction: Direction, facts: ModelFacts, dtype: str) -> Arm:
        """One edit; it promises nothing, so there is no check."""
        site = site_of(name, direction, facts)
        vector = steering_vector(name, direction, self.options.scale)
        return adding(name, site, vector, self.options.coefficient)


def steering_vector(name: str, direction: Direction, scale: Scale) -> Float[np.ndarray, " d_site"]:
    """The direction's one vector, at its own length or at that of what it rebuilds.

    Raises ModelError for several vectors, and where the length that is asked for is not known.
    """
    vectors = vectors_of(name, direction)
    if len(vectors) != 1:
        raise ModelError(
            f"arm {name!r}: the direction has {len(vectors)} vectors, and which to add is "
            "not said. Allowed: a direction of one vector. Use ablation, or another direction"
        )
    return vectors[0] * _factor(name, direction, scale)


def _factor(name: str, direction: Direction, scale: Scale) -> float:
    if scale == "as_fitted":
        return 1.0
    if direction.reference_norm is None:
        raise ModelError(
            f"arm {name!r}: scale = 'reference' needs the length of the direction that this "
            "one rebuilds, and it has none. Allowed: directions that rebuild or imitate "
            "another one. Write scale = 'as_fitted'"
        )
    return direction.reference_norm / float(np.linalg.norm(direction.vectors))


def adding(name: str, site: Site, vector: Float[np.ndarray, " d_site"], factor: float) -> Arm:
    """The arm that adds `factor` times a vector at a site; idle where the factor is 0."""
    added = torch.tensor(factor * vector, dtype=torch.float32)
    # x + (−0.0) is x bit for bit, but −0.0 + 0.0 is 0.0.
    parameters = {"vector": added.where(added != 0, -0.0)}
    return Arm(name, edits=(Edit(site, add, parameters),), idle=factor == 0)


def add(
    x: Float[Tensor, "rows pos d"], parameters: Mapping[str, Tensor]
) -> Float[Tensor, "rows pos d"]:
    """x plus `vector`: Float[Tensor, "rows d"], the coefficient in it."""
    wide = x.to(torch.promote_types(x.dtype, torch.float32))
    return (wide + parameters["vector"].to(wide.dtype)[:, None]).to(x.dtype)
