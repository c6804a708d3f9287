"""Removing a direction from everything that a model writes to its residual stream."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from harness.contract import Arm, Check, Direction, Edit, ModelFacts, Site
from harness.errors import ModelError
from harness_interventions.fitting import layers_of, read_as_it_is, site_of, vectors_of
from harness_interventions.options import AblationOptions


class Ablation:
    """x ← x − Σ_i (x·r̂_i) r̂_i at every position, prompt and answer, of every block.

    r̂_1 … r̂_rank: an orthonormal basis of the direction's vectors, made in float64; for one vector
    r̂ = r/‖r‖. x: Float[Tensor, "rows pos d_model"]; computed in float32, returned in x's dtype.

    - `strict`: `resid_pre`, `attn_out`, `mlp_out` and `resid_post` of every block. Promise: at each
      later block's input ‖(x·r̂_i)_i‖/‖x‖, in [0, 1], is at most `limit(dtype)`.
    - `arditi`: `resid_pre`, `attn_raw` and `mlp_raw` of every block. The same share is measured and
      only reported: between these and the residual stream of Gemma 2 and 3 stand RMSNorms with
      learned gains, behind which the direction comes back.

    Both are the same on models without post-norms, except that only `strict` edits what the last
    block hands on.

    Raises ModelError for a direction that does not live in the residual stream, has another width
    than the model, length 0 or readers of its own, and for a model of unknown depth.
    Source: Arditi et al. 2024, section 2.4 and its `hook_utils.py`; Feature Drift, equation 5,
    which prints r unnormalised: it must be a unit vector.
    """

    def __init__(self, given: AblationOptions) -> None:
        self.options = given

    def arm(self, name: str, direction: Direction, facts: ModelFacts, dtype: str) -> Arm:
        """The edits of every block, and the checks at every block's input but the first."""
        site = site_of(name, direction, facts)
        if not site.in_residual:
            raise ModelError(
                f"arm {name!r}: the direction lives at {site}, which is not the residual stream. "
                "Allowed: resid_pre, resid_post and embed. Find the direction there to ablate it"
            )
        strict = self.options.mode == "strict"
        parts = ("attn_out", "mlp_out") if strict else ("attn_raw", "mlp_raw")
        kinds = ("resid_pre", *parts, "resid_post") if strict else ("resid_pre", *parts)
        vectors = vectors_of(name, read_as_it_is(name, direction))
        basis = torch.tensor(orthonormal(vectors), dtype=torch.float32)
        parameters = {"basis": basis}
        blocks = range(layers_of(name, facts))
        return Arm(
            name,
            edits=tuple(
                Edit(Site(kind, block), project_out, parameters)
                for block in blocks
                for kind in kinds
            ),
            checks=tuple(
                Check(
                    f"share of the direction left at resid_pre.{block}",
                    Site("resid_pre", block),
                    share,
                    parameters,
                    limit=limit(dtype) if strict else None,
                )
                for block in blocks[1:]
            ),
        )


def orthonormal(vectors: Float[np.ndarray, "rank d"]) -> Float[np.ndarray, "dimension d"]:
    """An orthonormal basis, float64, of what the vectors span; not all may be 0.

    From the singular vectors of the vectors' units: like QR, but a vector that depends on the
    others adds no arbitrary direction of its own.
    """
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    units = vectors[lengths[:, 0] > 0] / lengths[lengths > 0][:, None]
    if len(units) == 1:
        return np.asarray(units, np.float64)
    _, sizes, basis = np.linalg.svd(units, full_matrices=False)
    kept: np.ndarray = basis[sizes > 1e-10 * sizes[0]]
    return kept


def limit(dtype: str) -> float:
    """The largest share of ‖x‖ that may be left along the direction: 1e-4 + 4·u(dtype).

    Storing the edited x in its dtype moves each number by at most the factor u, the unit roundoff,
    and so its projection by at most u·‖x‖ (2⁻⁸ in bfloat16, 2⁻¹¹ in float16); the factor 4 leaves
    room for a backend that rounds more than once. 1e-4 covers float32 sums over wide rows:
    1.0e-4 in float32, 2.1e-3 in float16, 1.6e-2 in bfloat16. Other dtypes: as bfloat16.
    """
    name = dtype.removeprefix("torch.")
    known = name if name in ("float64", "float32", "float16") else "bfloat16"
    # u is half the distance between 1 and the next number.
    return 1e-4 + 2 * torch.finfo(getattr(torch, known)).eps


def project_out(
    x: Float[Tensor, "rows pos d"], parameters: Mapping[str, Tensor]
) -> Float[Tensor, "rows pos d"]:
    """x without its components along the rows of `basis`: Float[Tensor, "rows dimension d"]."""
    left = x.to(torch.promote_types(x.dtype, torch.float32))
    # One vector after another: each works on what the earlier ones left, which is exact for an
    # orthonormal basis and, unlike a matrix product, never goes through TF32.
    for unit in parameters["basis"].to(left.dtype).unbind(1):
        along = (left * unit[:, None]).sum(-1, keepdim=True)
        left = left - along * unit[:, None]
    return left.to(x.dtype)


def share(
    x: Float[Tensor, "rows pos d"], parameters: Mapping[str, Tensor]
) -> Float[Tensor, "rows pos"]:
    """‖(x·r̂_i)_i‖ / ‖x‖ in [0, 1], r̂_i the rows of `basis`; 0 where x = 0."""
    wide = x.to(torch.promote_types(x.dtype, torch.float32))
    units = parameters["basis"].to(wide.dtype).unbind(1)
    along = torch.stack([(wide * unit[:, None]).sum(-1) for unit in units])
    length = wide.norm(dim=-1)
    return torch.where(length == 0, 0.0, along.norm(dim=0) / length.where(length != 0, 1.0))
