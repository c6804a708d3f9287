"""Counts of latents that are on before and after, by latent and by group of documents."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from harness.contract import State
from harness.contract.latents import Latents, counterparts, offsets_of
from harness.results.replicates import GROUPS, replicated
from harness_statistics.flip_rate.arrays import Flips

_PARTS = ("before", "after", "kept")


def above(latents: Latents, tau: float) -> Latents:
    """The latents with |z| > τ; all of them where τ = 0."""
    if tau == 0:
        return latents
    inside = latents.values.abs() > tau
    counts = torch.bincount(latents.token[inside], minlength=latents.tokens)
    return Latents(
        offsets_of(counts),
        latents.indices[inside],
        latents.values[inside],
        latents.d_sae,
        latents.context,
    )


def kept(before: Latents, after: Latents) -> Bool[Tensor, " nnz"]:
    """For each active latent of `after`, whether it is active in `before` at the same token."""
    return counterparts(before, after) != 0


@dataclass(frozen=True)
class Tokens:
    """The documents of some tokens, and the rows that each document adds to: all, and its group."""

    document: Int[Tensor, " tokens"]
    rows: Float[np.ndarray, "groups_plus_1 documents"]

    def take(self, rows: Int[Tensor, " rows"]) -> Tokens:
        """Some of the tokens."""
        return Tokens(self.document[rows], self.rows)

    def counts(
        self, latents: Latents, inside: Bool[Tensor, " nnz"] | None = None
    ) -> tuple[Int[np.ndarray, " d_sae"], Float[np.ndarray, " groups_plus_1"]]:
        """Counts active latents, all or those `inside`: by feature, and by group of documents."""
        indices, token = latents.indices, latents.token
        if inside is not None:
            indices, token = indices[inside], token[inside]
        feature = torch.bincount(indices, minlength=latents.d_sae)
        document = self.document.to(token.device)[token]
        by_document = torch.bincount(document, minlength=self.rows.shape[1])
        return feature.cpu().numpy(), self.rows @ by_document.cpu().double().numpy()


class Counter:
    """Adds one SAE's latents of a batch to a state, condition by condition.

    State, for the SAE at place `s` of the option `saes`, with C conditions and W = 1 + GROUPS:
    `s/before` Int64 [d_sae], `s/after`, `s/kept` Int64 [C, d_sae] by feature; `s/group_before`
    Float64 [W], `s/group_after`, `s/group_kept` Float64 [W, C] of all documents, then by group.
    `kept` counts the tokens on which a latent is on before and after. Sums of whole numbers: exact
    in any order.
    """

    def __init__(self, place: int) -> None:
        self._names = {part: f"{place}/{part}" for part in _PARTS}
        self._grouped = {part: f"{place}/group_{part}" for part in _PARTS}

    def is_in(self, state: State) -> bool:
        """Whether a state has counts of this SAE."""
        return self._names["before"] in state

    def start(self, d_sae: int, conditions: int) -> State:
        """Counts of zero, for so many conditions."""
        shapes = {"before": (), "after": (conditions,), "kept": (conditions,)}
        state: State = {}
        for part, shape in shapes.items():
            state[self._names[part]] = np.zeros((*shape, d_sae), dtype=np.int64)
            state[self._grouped[part]] = np.zeros((1 + GROUPS, *shape))
        return state

    def add_before(self, counts: State, latents: Latents, tokens: Tokens) -> None:
        """Adds what is on before to `counts`, in place."""
        feature, grouped = tokens.counts(latents)
        counts[self._names["before"]] += feature
        counts[self._grouped["before"]] += grouped

    def add_after(
        self, counts: State, condition: int, before: Latents, after: Latents, tokens: Tokens
    ) -> None:
        """Adds what is on under a condition to `counts`, in place."""
        for part, inside in (("after", None), ("kept", kept(before, after))):
            feature, grouped = tokens.counts(after, inside)
            counts[self._names[part]][condition] += feature
            counts[self._grouped[part]][:, condition] += grouped

    def by_feature(self, state: State, condition: int) -> Flips:
        """The flips of each feature under a condition."""
        before, after, both = (state[name] for name in self._names.values())
        return Flips(before, after[condition] - both[condition], before - both[condition])

    def by_replicate(self, state: State, condition: int) -> Flips:
        """The flips of all features under a condition, for each replicate of the documents."""
        before, after, both = (replicated(state[name]) for name in self._grouped.values())
        return Flips(before, after[:, condition] - both[:, condition], before - both[:, condition])
