"""Two ways of reading a vector: the logit lens, and a patchscope with its search for strength."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Protocol

import torch
from jaxtyping import Float
from torch import Tensor

from harness_analyses.difference_lens.head import Head
from harness_analyses.difference_lens.lists import (
    Asked,
    Reading,
    Tokens,
    Trial,
    coherence,
    first,
)
from harness_analyses.difference_lens.placed import Placed

Vectors = Float[Tensor, "n d"]


class Reader(Protocol):
    """Reads vectors, all of the length that activations usually have."""

    vocabulary: int
    """How many tokens it can say."""

    def read(self, vectors: Vectors) -> list[Reading]:
        """What it makes of each vector."""

    def read_inverse(self, vectors: Vectors) -> list[Reading]:
        """What it makes of the opposite of each vector."""


class LensReader:
    """p = softmax(W_U · Norm(v)), and for the opposite softmax(−W_U · Norm(v))."""

    def __init__(self, head: Head, asked: Sequence[Tokens], top: int) -> None:
        self._head, self._asked, self._top = head, Asked(asked), top
        self.vocabulary = head.vocabulary

    def read(self, vectors: Vectors) -> list[Reading]:
        """The lists of softmax(logits)."""
        return [self._reading(one) for one in self._head.logits(vectors)]

    def read_inverse(self, vectors: Vectors) -> list[Reading]:
        """The lists of softmax(−logits)."""
        return [self._reading(-one) for one in self._head.logits(vectors)]

    def _reading(self, logits: Float[Tensor, " vocab"]) -> Reading:
        said = first(logits.softmax(0), self._top)
        return Reading(said, self._asked.ranks(logits))


class PatchscopeReader:
    """What the model says next where α·v stands in the place of the last token, `?`.

    p = the mean over the prompts of softmax(logits), for tokens that are among the `keep` likeliest
    after every prompt; 0 for all others. α is the strength whose first tokens are most alike: the
    largest mean cosine of two rows of the unembedding; of equal ones the smallest α.
    """

    def __init__(
        self,
        head: Head,
        placed: Placed,
        asked: Sequence[Tokens],
        *,
        top: int,
        keep: int,
        scales: Sequence[float],
    ) -> None:
        self._head, self._placed = head, placed
        self._asked = Asked(asked)
        self._top, self._keep, self._scales = top, keep, tuple(scales)
        self.vocabulary = head.vocabulary

    def read(self, vectors: Vectors) -> list[Reading]:
        """The list of each vector at the strength that was found for it."""
        scaled = torch.cat([scale * vector[None] for vector in vectors for scale in self._scales])
        spoken = [(first(p, self._top), self._asked.ranks(p)) for p in self._spoken(scaled)]
        union = sorted({token for said, _ in spoken for token in said.ids})
        rows = self._head.rows(union)
        place = {token: row for row, token in enumerate(union)}
        # In one order, so that the same tokens are exactly as alike at every strength.
        alike = [coherence(rows[[place[one] for one in sorted(said.ids)]]) for said, _ in spoken]
        count, found = len(self._scales), []
        for begin in range(0, len(spoken), count):
            tried = zip(
                self._scales,
                alike[begin : begin + count],
                spoken[begin : begin + count],
                strict=True,
            )
            trials = tuple(Trial(scale, how, said) for scale, how, (said, _) in tried)
            best = max(range(count), key=lambda one: trials[one].coherence)
            chosen, of_words = trials[best], spoken[begin + best][1]
            found.append(Reading(chosen.said, of_words, chosen.scale, chosen.coherence, trials))
        return found

    def read_inverse(self, vectors: Vectors) -> list[Reading]:
        """The same of −v."""
        return self.read(-vectors)

    def _spoken(self, vectors: Vectors) -> Iterator[Float[Tensor, " vocab"]]:
        for logits in self._placed.logits(vectors):
            yield together([one.softmax(0) for one in logits], self._keep)


def together(each: Sequence[Float[Tensor, " vocab"]], keep: int) -> Float[Tensor, " vocab"]:
    """The mean of some distributions, 0 for tokens that are not among the `keep` first of all."""
    mean = torch.stack(list(each)).mean(0)
    if keep >= len(mean):
        return mean
    common = torch.ones(len(mean), dtype=torch.bool)
    for one in each:
        mine = torch.zeros_like(common)
        mine[one.topk(keep).indices] = True
        common &= mine
    return torch.where(common, mean, 0.0)
