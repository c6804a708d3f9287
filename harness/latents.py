"""Ragged sparse latents: what an SAE's encoder yields, from the encoder on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from jaxtyping import Float, Float64, Int
from torch import Tensor


@dataclass(frozen=True)
class Latents:
    """The active latents of each token, compressed by rows.

    Token t has `indices[offsets[t] : offsets[t+1]]` with `values` beside them: distinct indices,
    no zero values, in any order. `scale` and what else `reconstruct` needs (an input norm, a skip
    connection's input) is in `context`, one row per token.
    """

    offsets: Int[Tensor, " tokens_plus_1"]
    indices: Int[Tensor, " nnz"]
    values: Float[Tensor, " nnz"]
    d_sae: int
    context: Mapping[str, Tensor] = field(default_factory=dict)

    @property
    def tokens(self) -> int:
        """Number of tokens."""
        return len(self.offsets) - 1

    @property
    def counts(self) -> Int[Tensor, " tokens"]:
        """Active latents per token: L0."""
        return self.offsets.diff()

    @property
    def token(self) -> Int[Tensor, " nnz"]:
        """For each value, the token that it belongs to."""
        return torch.repeat_interleave(
            torch.arange(self.tokens, device=self.offsets.device), self.counts
        )

    def dense(self) -> Float[Tensor, "tokens d_sae"]:
        """The same latents with their zeros: for tests and small widths."""
        out = self.values.new_zeros(self.tokens, self.d_sae)
        out[self.token, self.indices] = self.values
        return out

    def take(self, rows: Int[Tensor, " m"]) -> Latents:
        """The latents of some tokens, in the order of `rows`."""
        counts = self.counts[rows]
        offsets = offsets_of(counts)
        # For each value kept: the start of its row in here, plus its place in that row.
        start = torch.repeat_interleave(self.offsets[:-1][rows] - offsets[:-1], counts)
        places = start + torch.arange(len(start), device=start.device)
        context = {name: values[rows] for name, values in self.context.items()}
        return Latents(offsets, self.indices[places], self.values[places], self.d_sae, context)

    @classmethod
    def from_dense(cls, z: Float[Tensor, "tokens d_sae"], **context: Tensor) -> Latents:
        """Latents from a dense matrix; what is not zero is active."""
        token, indices = z.nonzero(as_tuple=True)
        counts = torch.bincount(token, minlength=len(z))
        return cls(offsets_of(counts), indices, z[token, indices], z.shape[1], context)


def offsets_of(counts: Int[Tensor, " tokens"]) -> Int[Tensor, " tokens_plus_1"]:
    """Row offsets from the number of values in each row."""
    return torch.cat([counts.new_zeros(1), counts.cumsum(0)])


def dots(left: Latents, right: Latents) -> Float64[Tensor, " tokens"]:
    """Σ_j left_j · right_j of each token, from sparse rows, in float64.

    `[tokens, d_sae]` exists only for as many tokens at a time as fit in 16 MB. ValueError where
    the two are not latents of equally many tokens and equal width.
    """
    if (left.tokens, left.d_sae) != (right.tokens, right.d_sae):
        raise ValueError(
            f"latents of {left.tokens} tokens x {left.d_sae} and of {right.tokens} x {right.d_sae}"
        )
    out = torch.zeros(left.tokens, dtype=_wide(left.values), device=left.values.device)
    step = max(1, _SCRATCH // left.d_sae)
    scratch = left.values.new_zeros(min(step, left.tokens) * left.d_sae)
    for start in range(0, left.tokens, step):
        place, value = _placed(left, start, step)
        scratch[place] = value
        at, other = _placed(right, start, step)
        products = scratch[at].to(out.dtype) * other.to(out.dtype)
        out.index_add_(0, start + at // left.d_sae, products)
        scratch[place] = 0  # cheaper than a fresh matrix: only what was written
    return out


def square_norms(latents: Latents) -> Float64[Tensor, " tokens"]:
    """Σ_j z_j² of each token, in float64."""
    out = torch.zeros(latents.tokens, dtype=_wide(latents.values), device=latents.values.device)
    return out.index_add_(0, latents.token, latents.values.to(out.dtype) ** 2)


_SCRATCH = 2**22
"""Numbers in the matrix that `dots` scatters into."""


def _placed(latents: Latents, start: int, step: int) -> tuple[Tensor, Tensor]:
    """Places in a flat matrix of `step` rows, and values, of the tokens from `start` on."""
    end = min(start + step, latents.tokens)
    first, last = int(latents.offsets[start]), int(latents.offsets[end])
    rows = torch.repeat_interleave(
        torch.arange(end - start, device=latents.offsets.device), latents.counts[start:end]
    )
    return rows * latents.d_sae + latents.indices[first:last], latents.values[first:last]


def _wide(values: Tensor) -> torch.dtype:
    return torch.float32 if values.device.type == "mps" else torch.float64  # Apple's has no other
