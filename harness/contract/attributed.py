"""What the latents of an SAE say of a path: the sum of each latent's change times its slope.

Imports torch, as `harness.contract.latents` does; import it from here.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import torch
from jaxtyping import Float, Float64, Int64
from torch import Tensor

from harness.contract.latents import Latents, offsets_of

if TYPE_CHECKING:
    from harness.contract.paths import FollowedPath, PathTail
    from harness.contract.reduction import Batch, Side
    from harness.contract.sae import Sae
    from harness.contract.sites import Site

_TOKENS = 256
"""Tokens whose products with decoder rows are made at a time."""
_PAIR = "a path leads from one side of a pair to the other"
EXACT = 1e-5
"""The largest `Split.put_back` with which h determines what the layers above the site do."""


@dataclass(frozen=True)
class Split:
    """A path, document by document, averaged over the upper layers of both sides; float64.

    `change = up + down` exactly, and `up = along + gap`. NaN where M is not defined.
    """

    change: Float64[Tensor, " documents"]
    """M_right(h_right) − M_left(h_left): how far the two models are apart."""
    up: Float64[Tensor, " documents"]
    """½ Σ_θ [M_θ(h_right) − M_θ(h_left)]: what the activations at the site carry."""
    down: Float64[Tensor, " documents"]
    """½ Σ_h [M_right(h) − M_left(h)]: what the layers above it add, whatever they are given."""
    along: Float64[Tensor, " documents"]
    """½ Σ_θ Σ_t ḡ·Δh, all positions."""
    gap: Float64[Tensor, " documents"]
    """½ Σ_θ |M_θ(h_right) − M_θ(h_left) − Σ_t ḡ·Δh|: what the gradients miss, without signs."""
    size: Float64[Tensor, " documents"]
    """½ Σ_θ |M_θ(h_right) − M_θ(h_left)|, what the gap is held against."""
    put_back: Float64[Tensor, " documents"]
    """The larger one of |M_θ(h_θ) − M of the plain run|, each over max(1, |M|)."""

    @property
    def defined(self) -> Tensor:
        """Documents for which M is defined, as a mask."""
        return torch.isfinite(self.change)


def split(path: FollowedPath) -> Split:
    """What both tails of a path come to."""
    left, right = path.left, path.right
    moved = [tail.at_right - tail.at_left for tail in (left, right)]
    gaps = [(m - tail.along).abs() for m, tail in zip(moved, (left, right), strict=True)]
    down = (right.at_left - left.at_left + right.at_right - left.at_right) / 2
    return Split(
        change=right.at_right - left.at_left,
        up=(moved[0] + moved[1]) / 2,
        down=down,
        along=(left.along + right.along) / 2,
        gap=(gaps[0] + gaps[1]) / 2,
        size=(moved[0].abs() + moved[1].abs()) / 2,
        put_back=torch.maximum(_off(left.at_left, left.plain), _off(right.at_right, right.plain)),
    )


def _off(put: Tensor, plain: Tensor) -> Tensor:
    return (put - plain).abs() / plain.abs().clamp_min(1)


def at_selected(batch: Batch, path: FollowedPath, site: Site) -> Float64[Tensor, " documents"]:
    """½ Σ_θ Σ_t ḡ·Δh of each document over its selected tokens alone, Δh at the path's site."""
    assert batch.right is not None, _PAIR
    x, y = (side.x(site).detach() for side in (batch.left, batch.right))
    each = torch.zeros(len(batch.selected), dtype=torch.float64)
    rows = batch.selected.to(x.device)
    change = y[batch.selected.to(y.device)].to(x) - x[rows]
    for tail in (path.left, path.right):
        gradient = tail.gradient[batch.selected.to(tail.gradient.device)].detach()
        each += (gradient.cpu().double() * change.cpu().double()).sum(1) / 2
    return batch.by_document(each)


def changes(batch: Batch, sae: str) -> Latents:
    """Δz = z_right − z_left of an SAE's latents at the selected tokens of a batch, where it is not
    0, in the scale in which x̂ is Σ z·d: also of SAEs that scale their input by token."""
    assert batch.right is not None, _PAIR
    loaded = batch.saes[sae]
    return difference(*(_scaled(side, sae, loaded) for side in (batch.left, batch.right)))


def slopes(
    batch: Batch,
    tail: PathTail,
    change: Latents,
    loaded: Sae,
    shuffled: Int64[Tensor, " d_sae"] | None = None,
) -> Float64[Tensor, " nnz"]:
    """ḡ_t·d_j for each latent that changes at a selected token, in the order of `change`.

    `shuffled` is a permutation of the latents: j then gets the direction of another one's decoder
    row at its own row's length, which is a null. Memory: the decoder rows of the latents that
    change in the batch, and their products with some tokens' gradients.
    """
    gradient = tail.gradient[batch.selected.to(tail.gradient.device)].detach()
    own, place = torch.unique(change.indices, return_inverse=True)
    rows, token = _directions(loaded, own, shuffled).to(gradient), change.token
    products = [torch.zeros(0, dtype=torch.float64)]
    for start in range(0, change.tokens, _TOKENS):
        end = min(start + _TOKENS, change.tokens)
        some = slice(int(change.offsets[start]), int(change.offsets[end]))
        table = gradient[start:end] @ rows.T
        at = (token[some] - start).to(table.device), place[some].to(table.device)
        products.append(table[at].cpu().double())
    return torch.cat(products)


@dataclass(frozen=True)
class ByLatent:
    """Sums over the tokens of a document, one for each latent that is anything there."""

    document: Int64[Tensor, " pairs"]
    latent: Int64[Tensor, " pairs"]
    value: Float64[Tensor, " pairs"]


def by_latent(batch: Batch, change: Latents, each: Float64[Tensor, " nnz"]) -> ByLatent:
    """A_dj, say: `each` number of a token and a latent, added up over each document's tokens."""
    owner = batch.document[batch.selected][change.token.cpu()]
    keys = owner * change.d_sae + change.indices.cpu()
    pairs, place = torch.unique(keys, return_inverse=True)
    value = torch.zeros(len(pairs), dtype=torch.float64).index_add_(0, place, each.cpu().double())
    return ByLatent(pairs // change.d_sae, pairs % change.d_sae, value)


def leading(pushed: Float64[np.ndarray, " d_sae"]) -> Int64[np.ndarray, " n"]:
    """The latents with a positive number, largest first; ties, up to rounding, by index."""
    largest = pushed.max(initial=0.0)
    if not largest > 0:
        return np.zeros(0, dtype=np.int64)
    order = np.argsort(-(pushed / largest).round(11), kind="stable")
    return np.asarray(order[pushed[order] > 1e-11 * largest], dtype=np.int64)


def _scaled(side: Side, sae: str, loaded: Sae) -> Latents:
    """A side's latents times the scale of their token, so that x̂ is Σ z·d and what no latent says.

    An SAE that scales its input keeps that in `Latents.context`, in a form of its own. The scale
    follows from what it decodes: s = ⟨x̂(z) − x̂(no latent), Σ z·d⟩ / ‖Σ z·d‖².
    """
    latents = side.latents(sae)
    if not latents.context:
        return latents
    none = replace(
        latents,
        offsets=torch.zeros_like(latents.offsets),
        indices=latents.indices[:0],
        values=latents.values[:0],
    )
    # The sums are made in float64 on the CPU: Apple's GPU has none.
    made = (side.reconstruction(sae) - side.decode(sae, none)).detach().cpu().double()
    said = _said(latents, loaded)
    square = said.square().sum(1)
    scale = torch.where(square > 0, (made * said).sum(1) / square.clamp_min(1e-300), 1.0)
    values = latents.values.detach().cpu().double() * scale[latents.token.cpu()]
    return replace(latents, values=values.to(latents.values))


def difference(left: Latents, right: Latents) -> Latents:
    """Δz = right − left, token by token: the latents in which the two differ.

    ValueError where they have not the same number of tokens and of latents.
    """
    if (left.tokens, left.d_sae) != (right.tokens, right.d_sae):
        raise ValueError(
            f"latents of {left.tokens} tokens x {left.d_sae} and of {right.tokens} x {right.d_sae}"
        )
    both = (left, right)
    device = left.values.device
    keys = torch.cat([(one.token * one.d_sae + one.indices).to(device) for one in both])
    values = torch.cat([-left.values, right.values.to(left.values)])
    places, inverse = torch.unique(keys, return_inverse=True)
    change = values.new_zeros(len(places)).index_add_(0, inverse, values)
    kept = change != 0
    token = places[kept] // left.d_sae
    counts = torch.bincount(token, minlength=left.tokens)
    return Latents(offsets_of(counts), places[kept] % left.d_sae, change[kept], left.d_sae)


def _directions(
    loaded: Sae, own: Int64[Tensor, " m"], shuffled: Int64[Tensor, " d_sae"] | None
) -> Float[Tensor, "m d"]:
    """Decoder rows of some latents, or those of others at their lengths."""
    rows = loaded.rows(own).detach()
    if shuffled is None:
        return rows
    others = loaded.rows(shuffled.to(own.device)[own]).detach()
    turned: Tensor = others * (rows.norm(dim=1) / others.norm(dim=1).clamp_min(1e-30))[:, None]
    return turned


def _said(latents: Latents, loaded: Sae) -> Float64[Tensor, "tokens d"]:
    """Σ z·d of each token."""
    own, place = torch.unique(latents.indices, return_inverse=True)
    rows = loaded.rows(own).detach()
    parts = []
    for start in range(0, latents.tokens, _TOKENS):
        end = min(start + _TOKENS, latents.tokens)
        some = slice(int(latents.offsets[start]), int(latents.offsets[end]))
        z = rows.new_zeros(end - start, len(own))
        z[latents.token[some] - start, place[some]] = latents.values[some].to(rows)
        parts.append((z @ rows).cpu().double())
    return torch.cat(parts) if parts else torch.zeros(0, rows.shape[1], dtype=torch.float64)
