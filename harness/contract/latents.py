"""Sparse latents: what an SAE's encoder gives, and arithmetic on them without their zeros.

The one file of the contract that imports torch; `harness.contract` imports it when `Latents` is
first asked for.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
import torch
from jaxtyping import Float, Float64, Int, Shaped
from torch import Tensor


@dataclass(frozen=True)
class Latents:
    """The active latents of some tokens, as compressed sparse rows.

    Those of token t are `indices[offsets[t] : offsets[t + 1]]`, in any order, with the same slice
    of `values`. All tensors are on one device.
    """

    offsets: Int[Tensor, " tokens_plus_1"]
    """Where the latents of each token begin; rises from 0 to `nnz`."""
    indices: Int[Tensor, " nnz"]
    """Which latents are active, from 0 to `d_sae - 1`; each once in a token."""
    values: Float[Tensor, " nnz"]
    """Their values; none is 0."""
    d_sae: int
    """Number of latents of the SAE."""
    context: Mapping[str, Tensor] = field(default_factory=dict)
    """What `Sae.reconstruct` needs beside the latents (a norm of the input, the input of a skip
    connection), by names of the SAE's own: one row for each token."""

    @property
    def tokens(self) -> int:
        """Number of tokens."""
        return len(self.offsets) - 1

    @property
    def counts(self) -> Int[Tensor, " tokens"]:
        """Number of active latents of each token, the L0."""
        return self.offsets.diff()

    @property
    def token(self) -> Int[Tensor, " nnz"]:
        """For each value, the index of its token."""
        return torch.repeat_interleave(
            torch.arange(self.tokens, device=self.offsets.device), self.counts
        )

    def dense(self) -> Float[Tensor, "tokens d_sae"]:
        """The same latents with their zeros, for tests: `tokens x d_sae` numbers."""
        out = self.values.new_zeros(self.tokens, self.d_sae)
        out[self.token, self.indices] = self.values
        return out

    def take(self, rows: Int[Tensor, " m"]) -> Latents:
        """The latents of the tokens `rows`, in that order."""
        counts = self.counts[rows]
        offsets = offsets_of(counts)
        # For each value kept: the start of its row in here, plus its place in that row.
        start = torch.repeat_interleave(self.offsets[:-1][rows] - offsets[:-1], counts)
        places = start + torch.arange(len(start), device=start.device)
        context = {name: values[rows] for name, values in self.context.items()}
        return Latents(offsets, self.indices[places], self.values[places], self.d_sae, context)

    @classmethod
    def from_dense(cls, z: Float[Tensor, "tokens d_sae"], **context: Tensor) -> Latents:
        """Latents of a dense matrix: all that is not zero is active. `context` is kept by name."""
        token, indices = z.nonzero(as_tuple=True)
        counts = torch.bincount(token, minlength=len(z))
        return cls(offsets_of(counts), indices, z[token, indices], z.shape[1], context)


def joined(parts: Sequence[Latents]) -> Latents:
    """The latents of the tokens of all parts, one part after another; ValueError without parts."""
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
    """`Latents.offsets` from the number of active latents of each token."""
    return torch.cat([counts.new_zeros(1), counts.cumsum(0)])


def dots(left: Latents, right: Latents) -> Float64[Tensor, " tokens"]:
    """Σ_j left_j · right_j of each token, in float64.

    ValueError where the two have not the same number of tokens and of latents.
    """
    return row_sums(right, _wide(counterparts(left, right)) * _wide(right.values))


def counterparts(left: Latents, right: Latents) -> Float[Tensor, " nnz_of_right"]:
    """For each value of `right`, the value of `left` at the same token and latent.

    0 where it is not active in `left`. No dense matrix of all tokens is made: only of a few tokens
    at a time (see `_scratch`). ValueError where the two have not the same number of tokens and of
    latents.
    """
    if (left.tokens, left.d_sae) != (right.tokens, right.d_sae):
        raise ValueError(
            f"latents of {left.tokens} tokens x {left.d_sae} and of {right.tokens} x {right.d_sae}"
        )
    step = max(1, min(left.tokens, _scratch(left) // left.d_sae))
    starts = range(0, left.tokens, step)
    scratch = left.values.new_zeros(step * left.d_sae)
    out = left.values.new_empty(len(right.values))
    places, others = _places(left), _places(right)
    for start, mine, theirs in zip(starts, _runs(left, step), _runs(right, step), strict=True):
        place = places[mine] - start * left.d_sae
        scratch.index_copy_(0, place, left.values[mine])
        other = others[theirs] - start * left.d_sae
        torch.index_select(scratch, 0, other, out=out[theirs])
        scratch.index_fill_(0, place, 0)  # cheaper than a fresh matrix: only what was written
    return out


def row_sums(latents: Latents, values: Shaped[Tensor, " nnz"]) -> Float64[Tensor, " tokens"]:
    """The sum, over the active latents of each token, of one number for each; in float64."""
    wide = _wide(values)
    out = torch.zeros(latents.tokens, dtype=wide.dtype, device=wide.device)
    return out.index_add_(0, latents.token, wide)


def square_norms(latents: Latents) -> Float64[Tensor, " tokens"]:
    """Σ_j z_j² of each token, in float64."""
    return row_sums(latents, _wide(latents.values) ** 2)


def shared(left: Latents, right: Latents) -> Int[Tensor, " tokens"]:
    """|{j : left_j ≠ 0 and right_j ≠ 0}| of each token: the size of the intersection."""
    return torch.bincount(right.token[counterparts(left, right) != 0], minlength=right.tokens)


def common(left: Latents, right: Latents) -> Float64[Tensor, " tokens"]:
    """How much of the latents both sides share: Σ_j m_j of each token, in float64.

    m_j is the smaller one of |l_j| and |r_j| where l_j and r_j have the same sign, and 0 elsewhere.
    So `Σ_j |l_j − r_j| = Σ_j |l_j| + Σ_j |r_j| − 2 Σ_j m_j`.
    """
    other = counterparts(left, right)
    smaller = torch.minimum(other.abs(), right.values.abs())
    return row_sums(right, torch.where(other * right.values > 0, smaller, 0))


def largest(latents: Latents, k: int) -> Latents:
    """The k latents of each token that have the largest absolute values.

    Those that equal the k-th are kept too, so that the order of the latents does not matter.
    Tokens with at most k active latents keep them all. ValueError where k is below 1.
    """
    if k < 1:
        raise ValueError(f"the {k} largest latents are none")
    counts = latents.counts
    many = (counts > k).nonzero().squeeze(1)
    if not len(many):
        return latents
    sizes = latents.values.abs()
    limit = sizes.new_zeros(latents.tokens)
    width = int(counts.max())
    for rows in torch.split(many, max(1, _scratch(latents) // width)):
        some = latents.take(rows) if len(rows) < latents.tokens else latents
        # Each value goes to its row of a matrix, at its place in that row.
        shift = torch.arange(len(rows), device=rows.device) * width - some.offsets[:-1]
        places = torch.repeat_interleave(shift, some.counts)
        places += torch.arange(len(places), device=places.device)
        padded = sizes.new_zeros(len(rows) * width).index_copy_(0, places, some.values.abs())
        limit[rows] = _kth_largest(padded.view(-1, width), k)
    token = latents.token
    kept = (sizes >= limit[token]).nonzero().squeeze(1)
    return Latents(
        offsets_of(torch.bincount(token[kept], minlength=latents.tokens)),
        latents.indices[kept],
        latents.values[kept],
        latents.d_sae,
        latents.context,
    )


def _kth_largest(values: Float[Tensor, "rows m"], k: int) -> Float[Tensor, " rows"]:
    """The k-th largest of each row. numpy is ten times as fast as torch on a CPU."""
    if values.device.type == "cpu":
        at = values.shape[1] - k
        return torch.from_numpy(np.partition(values.numpy(), at, axis=1)[:, at])
    return values.topk(k, dim=1, sorted=False).values.min(1).values


_SCRATCH = {"cpu": 2**20}
"""Numbers in the matrix that `counterparts` scatters into: on a CPU what its cache holds."""
_SCRATCH_ELSEWHERE = 2**26
"""On an accelerator 256 MB: there each piece costs the time of its launches."""


def _scratch(latents: Latents) -> int:
    return _SCRATCH.get(latents.values.device.type, _SCRATCH_ELSEWHERE)


def _runs(latents: Latents, step: int) -> list[slice]:
    """Where the values of every `step` tokens are."""
    ends = [*latents.offsets[:-1:step].tolist(), len(latents.values)]
    return [slice(start, end) for start, end in pairwise(ends)]


def _places(latents: Latents) -> Int[Tensor, " nnz"]:
    """Places of the values in a flat matrix `[tokens, d_sae]`."""
    return latents.token * latents.d_sae + latents.indices


def _wide(values: Tensor) -> Tensor:
    # Apple's GPU has no float64.
    return values.to(torch.float32 if values.device.type == "mps" else torch.float64)
