"""Ragged sparse latents: what an SAE's encoder yields, from the encoder on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from jaxtyping import Float, Int
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

    @classmethod
    def from_dense(cls, z: Float[Tensor, "tokens d_sae"], **context: Tensor) -> Latents:
        """Latents from a dense matrix; what is not zero is active."""
        token, indices = z.nonzero(as_tuple=True)
        counts = torch.bincount(token, minlength=len(z))
        return cls(offsets_of(counts), indices, z[token, indices], z.shape[1], context)


def offsets_of(counts: Int[Tensor, " tokens"]) -> Int[Tensor, " tokens_plus_1"]:
    """Row offsets from the number of values in each row."""
    return torch.cat([counts.new_zeros(1), counts.cumsum(0)])
