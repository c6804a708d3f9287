"""Ragged sparse latents: what an SAE's encoder yields, from the encoder on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import torch
from jaxtyping import Float, Float64, Int, Shaped
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


def joined(parts: Sequence[Latents]) -> Latents:
    """The latents of several runs of tokens, one after the other; ValueError without any."""
    if not parts:
        raise ValueError("no latents to join")
    counts = torch.cat([part.counts for part in parts])
    return Latents(
        offsets_of(counts),
        torch.cat([part.indices for part in parts]),
        torch.cat([part.values for part in parts]),
        parts[0].d_sae,
        {name: torch.cat([part.context[name] for part in parts]) for name in parts[0].context},
    )


def offsets_of(counts: Int[Tensor, " tokens"]) -> Int[Tensor, " tokens_plus_1"]:
    """Row offsets from the number of values in each row."""
    return torch.cat([counts.new_zeros(1), counts.cumsum(0)])


def dots(left: Latents, right: Latents) -> Float64[Tensor, " tokens"]:
    """Σ_j left_j · right_j of each token, from sparse rows, in float64.

    ValueError where the two are not latents of equally many tokens and equal width.
    """
    return row_sums(right, _wide(counterparts(left, right)) * _wide(right.values))


def counterparts(left: Latents, right: Latents) -> Float[Tensor, " nnz_of_right"]:
    """For each value of `right`, what `left` has at the same token and latent; 0 for nothing.

    So both are active where it is not 0. `[tokens, d_sae]` exists only for as many tokens at a
    time as fit in 16 MB. ValueError where the two are not latents of equally many tokens and equal
    width.
    """
    if (left.tokens, left.d_sae) != (right.tokens, right.d_sae):
        raise ValueError(
            f"latents of {left.tokens} tokens x {left.d_sae} and of {right.tokens} x {right.d_sae}"
        )
    out = left.values.new_empty(len(right.values))
    step = max(1, _SCRATCH // left.d_sae)
    scratch = left.values.new_zeros(min(step, left.tokens) * left.d_sae)
    for start in range(0, left.tokens, step):
        rows = slice(start, min(start + step, left.tokens))
        place = _places(left, rows)
        scratch[place] = left.values[_run(left, rows)]
        out[_run(right, rows)] = scratch[_places(right, rows)]
        scratch[place] = 0  # cheaper than a fresh matrix: only what was written
    return out


def row_sums(latents: Latents, values: Shaped[Tensor, " nnz"]) -> Float64[Tensor, " tokens"]:
    """Σ over the active latents of each token of a number for each, in float64."""
    wide = _wide(values)
    out = torch.zeros(latents.tokens, dtype=wide.dtype, device=wide.device)
    return out.index_add_(0, latents.token, wide)


def square_norms(latents: Latents) -> Float64[Tensor, " tokens"]:
    """Σ_j z_j² of each token, in float64."""
    return row_sums(latents, _wide(latents.values) ** 2)


def shared(left: Latents, right: Latents) -> Int[Tensor, " tokens"]:
    """|{j : left_j ≠ 0 and right_j ≠ 0}| of each token: the size of the intersection."""
    both = counterparts(left, right) != 0
    out = torch.zeros(right.tokens, dtype=torch.long, device=right.offsets.device)
    return out.index_add_(0, right.token, both.long())


def absolute_differences(left: Latents, right: Latents) -> Float64[Tensor, " tokens"]:
    """Σ_j |left_j − right_j| of each token, in float64; exactly 0 of equal latents."""
    here = (_wide(left.values) - _wide(counterparts(right, left))).abs()
    alone = torch.where(counterparts(left, right) == 0, right.values.abs(), 0)
    return row_sums(left, here) + row_sums(right, alone)


def largest(latents: Latents, k: int) -> Latents:
    """Of each token, the min(k, active) latents of the largest absolute values.

    All that are as large as the k-th are kept, so that no order of the latents decides. Tokens
    with at most k active latents keep them all. ValueError where k is not positive.
    """
    if k < 1:
        raise ValueError(f"the {k} largest latents are none")
    counts = latents.counts
    many = (counts > k).nonzero().squeeze(1)
    if not len(many):
        return latents
    sizes = latents.values.abs()
    limit = sizes.new_zeros(latents.tokens)
    step = max(1, _SCRATCH // int(counts.max()))
    for rows in many.split(step):
        some = latents.take(rows)
        padded = sizes.new_zeros(len(rows), int(some.counts.max()))
        column = torch.arange(len(some.values), device=padded.device)
        padded[some.token, column - some.offsets[some.token]] = some.values.abs()
        limit[rows] = padded.topk(k, dim=1, sorted=False).values.min(1).values
    token = latents.token
    kept = sizes >= limit[token]
    return Latents(
        offsets_of(torch.bincount(token[kept], minlength=latents.tokens)),
        latents.indices[kept],
        latents.values[kept],
        latents.d_sae,
        latents.context,
    )


_SCRATCH = 2**22
"""Numbers in the matrix that `counterparts` scatters into."""


def _run(latents: Latents, rows: slice) -> slice:
    """Where the values of some tokens are."""
    return slice(int(latents.offsets[rows.start]), int(latents.offsets[rows.stop]))


def _places(latents: Latents, rows: slice) -> Int[Tensor, " m"]:
    """Places of the values of some tokens in a flat matrix of these rows."""
    offsets = latents.offsets[rows.start : rows.stop + 1]
    first = torch.arange(len(offsets) - 1, device=offsets.device) * latents.d_sae
    return torch.repeat_interleave(first, offsets.diff()) + latents.indices[_run(latents, rows)]


def _wide(values: Tensor) -> Tensor:
    # Apple's GPU has no float64.
    return values.to(torch.float32 if values.device.type == "mps" else torch.float64)
