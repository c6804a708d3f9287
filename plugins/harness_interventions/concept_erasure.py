"""Taking what can be read along a direction out of activations, and nothing else."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from harness.contract import Arm, Check, Direction, Edit, ModelFacts
from harness.errors import ModelError
from harness_interventions.ablation import limit
from harness_interventions.fitting import behind, site_of, vectors_of
from harness_interventions.options import ConceptErasureOptions


class ConceptErasure:
    """x ← x − strength·Σ_i (r_i·(x − o)) v_i at the direction's own site, at every position.

    v_i: the direction's vectors; o: its origin, 0 without one; r_i: its readers
    (`Direction.readers`), with r_i·v_j = 1 where i = j and 0 elsewhere. A direction without readers
    is read with the rows of the pseudo-inverse, for one vector r = v/‖v‖²: that is `projection`
    around o. With readers the projection is oblique: it moves x along v though it looks along r,
    and both may be far apart.
    x: Float[Tensor, "rows pos d_site"]; computed in float32, returned in x's dtype. Strength 0
    changes no bit. Promise at strength 1, where the site is a block's output with a block behind
    it: every token is read alike there, ‖(r̂_i·(x' − o))_i‖/‖x'‖ is at most `limit(dtype)`,
    r̂_i = r_i/‖r_i‖. It acts at one site: later blocks may compute the concept anew.

    Raises ModelError for a direction of another width than the model, of length 0 or not finite,
    for vectors that depend on each other, and for readers that are not those of the vectors.
    Source: Belrose et al. 2023 (LEACE, arXiv 2306.03819), theorem 4.3, for the directions that
    `leace` finds; the formula for any readers is linear algebra.
    """

    def __init__(self, given: ConceptErasureOptions) -> None:
        self.options = given

    def arm(self, name: str, direction: Direction, facts: ModelFacts, dtype: str) -> Arm:
        """One edit; with strength 1 a check where the next block reads."""
        site, strength = site_of(name, direction, facts), self.options.strength
        vectors, readers = _units(name, direction)
        origin = np.zeros(vectors.shape[1]) if direction.origin is None else direction.origin
        reading = {
            "readers": torch.tensor(readers, dtype=torch.float32),
            "constant": torch.tensor(readers @ origin, dtype=torch.float32),
        }
        parameters = {
            **reading,
            "vectors": torch.tensor(vectors, dtype=torch.float32),
            "strength": torch.tensor(strength, dtype=torch.float32),
        }
        next_site = behind(site, facts)
        what = f"share of x by which readings differ from a constant at {next_site}"
        checks = (
            (Check(what, next_site, share_read, reading, limit(dtype)),)
            if next_site is not None and strength == 1
            else ()
        )
        return Arm(name, (Edit(site, erase, parameters),), checks, idle=strength == 0)


def _units(
    name: str, direction: Direction
) -> tuple[Float[np.ndarray, "rank d"], Float[np.ndarray, "rank d"]]:
    """The vectors, and unit readers: each pair is scaled so that v_i r̂_i is v_i r_i as before."""
    vectors = vectors_of(name, direction)
    readers = direction.readers
    if readers is None:
        if np.linalg.matrix_rank(vectors) < len(vectors):
            raise ModelError(
                f"arm {name!r}: the direction's {len(vectors)} vectors depend on each other, so "
                "that there is no coordinate along each. Allowed: independent vectors. Use "
                "ablation or projection, which look at their span"
            )
        readers = np.linalg.pinv(vectors).T
    fits = readers.shape == vectors.shape and np.isfinite(readers).all()
    if not fits or np.abs(readers @ vectors.T - np.eye(len(vectors))).max() > 1e-6:
        raise ModelError(
            f"arm {name!r}: the direction's readers are not those of its vectors. Allowed: as many "
            "readers as vectors, each of which gives its own vector 1 and the others 0. Correct "
            "the direction finder"
        )
    lengths = np.linalg.norm(readers, axis=1, keepdims=True)
    return vectors * lengths, readers / lengths


def erase(
    x: Float[Tensor, "rows pos d"], parameters: Mapping[str, Tensor]
) -> Float[Tensor, "rows pos d"]:
    """x moved along `vectors` ("rows rank d") until `readers` read `constant` ("rows rank"), or
    `strength` ("rows") of the way."""
    wide = x.to(torch.promote_types(x.dtype, torch.float32))
    # Twice: where readers and vectors are far apart, rounding leaves a part that the second takes.
    erased = _erased(_erased(wide, parameters), parameters)
    by = parameters["strength"].to(wide.dtype)[:, None, None]
    moved = torch.where(by == 1, erased, wide + by * (erased - wide)).to(x.dtype)
    return torch.where(by == 0, x, moved)


def share_read(
    x: Float[Tensor, "rows pos d"], parameters: Mapping[str, Tensor]
) -> Float[Tensor, "rows pos"]:
    """‖(r̂_i·x − constant_i)_i‖ / ‖x‖; 0 where x = 0."""
    wide = x.to(torch.promote_types(x.dtype, torch.float32))
    off = torch.stack([part for part, _ in _read(wide, parameters)]).norm(dim=0).squeeze(-1)
    length = wide.norm(dim=-1)
    return torch.where(length == 0, 0.0, off / length.where(length != 0, 1.0))


def _erased(wide: Tensor, parameters: Mapping[str, Tensor]) -> Tensor:
    vectors = parameters["vectors"].to(wide.dtype)
    taken = [part * vectors[:, i, None] for part, i in _read(wide, parameters)]
    return wide - torch.stack(taken).sum(0)


def _read(wide: Tensor, parameters: Mapping[str, Tensor]) -> list[tuple[Tensor, int]]:
    """r̂_i·x − constant_i for each i, "rows pos 1"."""
    readers, constant = (parameters[key].to(wide.dtype) for key in ("readers", "constant"))
    # A sum of products, unlike a matrix product, never goes through TF32.
    return [
        ((wide * readers[:, i, None]).sum(-1, keepdim=True) - constant[:, i, None, None], i)
        for i in range(readers.shape[1])
    ]
