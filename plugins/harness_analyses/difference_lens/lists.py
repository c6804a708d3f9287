"""Lists of tokens: the first ones, the ranks of given ones, and how far two lists overlap."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

Tokens = Int[Tensor, " tokens"]
"""The ids of the tokens that a word may be."""


@dataclass(frozen=True)
class TokenList:
    """The first tokens of a distribution, likeliest first."""

    ids: tuple[int, ...]
    probabilities: tuple[float, ...]


@dataclass(frozen=True)
class Trial:
    """One strength that was tried for a vector."""

    scale: float
    coherence: float
    """How alike the first tokens are at this strength."""
    said: TokenList


@dataclass(frozen=True)
class Reading:
    """What a model makes of one vector."""

    said: TokenList
    """The likeliest tokens."""
    ranks: tuple[int, ...]
    """For each word that was asked for, the rank of its best token among all tokens, from 1."""
    scale: float | None = None
    """The strength at which it was read, where there is one."""
    coherence: float | None = None
    """How alike the tokens are at that strength."""
    trials: tuple[Trial, ...] = ()
    """All strengths that were tried."""


def first(probabilities: Float[Tensor, " vocab"], count: int) -> TokenList:
    """The `count` likeliest tokens, those with probability 0 left out."""
    values, ids = probabilities.topk(min(count, len(probabilities)))
    kept = values > 0
    return TokenList(tuple(ids[kept].tolist()), tuple(values[kept].double().tolist()))


class Asked:
    """Words that are asked for, thousands of them: laid out once, for the ranks of many scores."""

    def __init__(self, words: Sequence[Tokens]) -> None:
        self._count = len(words)
        if words:
            sizes = torch.tensor([len(tokens) for tokens in words])
            self._owner = torch.arange(len(words)).repeat_interleave(sizes)
            self._tokens = torch.cat(list(words))

    def ranks(self, scores: Float[Tensor, " vocab"]) -> tuple[int, ...]:
        """For each word 1 + how many tokens score higher than the best of its tokens."""
        if not self._count:
            return ()
        rising = scores.sort().values
        none = scores.new_full((self._count,), -torch.inf)
        best = none.scatter_reduce(0, self._owner, scores[self._tokens], "amax")
        higher = len(scores) - torch.searchsorted(rising, best, right=True)
        return tuple((higher + 1).tolist())


def overlap(one: TokenList, other: TokenList) -> float:
    """The share of the tokens of the longer list that both have; 0 where one is empty."""
    most = max(len(one.ids), len(other.ids))
    return len(set(one.ids) & set(other.ids)) / most if most else 0.0


def coherence(rows: Float[Tensor, "tokens d"]) -> float:
    """The mean cosine of two of the rows; 0 where there are fewer than two.

    `(‖Σ u_i‖² − k) / (k (k − 1))` with u_i the k unit rows; a row of zeros is orthogonal to all.
    """
    k = len(rows)
    if k < 2:
        return 0.0
    sizes = rows.norm(dim=1, keepdim=True)
    units = torch.where(sizes > 0, rows / sizes.clamp_min(torch.finfo(rows.dtype).tiny), 0.0)
    own = float((sizes > 0).sum())
    return float((units.sum(0).square().sum() - own) / (k * (k - 1)))
