"""Counts of latents that turn on and off, and their sums under the draws of a bootstrap."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from harness.contract import State
from harness.contract.latents import Latents, counterparts, offsets_of

_PARTS = ("before", "after", "kept")


@dataclass(frozen=True)
class Flips:
    """What turned on and off under one condition; arrays by feature, or by draw of documents."""

    before: np.ndarray
    """Tokens on which a latent was on before."""
    after: np.ndarray
    """Tokens on which it is on afterwards."""
    kept: np.ndarray
    """Tokens on which it is on both times."""

    @property
    def off_on(self) -> np.ndarray:
        """off → on."""
        return np.asarray(self.after - self.kept)

    @property
    def on_off(self) -> np.ndarray:
        """on → off."""
        return np.asarray(self.before - self.kept)

    @property
    def flips(self) -> np.ndarray:
        """Both."""
        return self.off_on + self.on_off

    @property
    def support(self) -> np.ndarray:
        """Tokens on which a latent was on before, after, or both."""
        return self.before + self.off_on


def above(latents: Latents, tau: float) -> Latents:
    """The latents with |z| > τ: with τ = 0 all of them."""
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


class Counter:
    """Adds one SAE's latents of a batch to a state, condition by condition.

    State, for the SAE `s` with C conditions and W = draws + 1: `s/before` Int64 [d_sae],
    `s/after`, `s/kept` Int64 [C, d_sae] by feature; `s/drawn_before` Float64 [W],
    `s/drawn_after`, `s/drawn_kept` Float64 [W, C] by draw of documents, the first draw all once.
    Sums of whole numbers: exact in any order.
    """

    def __init__(self, sae: str) -> None:
        self._names = {part: f"{sae}/{part}" for part in _PARTS}
        self._drawn = {part: f"{sae}/drawn_{part}" for part in _PARTS}

    def start(self, d_sae: int, conditions: int, draws: int) -> State:
        """Nothing counted yet."""
        shapes = {"before": (), "after": (conditions,), "kept": (conditions,)}
        state: State = {}
        for part, shape in shapes.items():
            state[self._names[part]] = np.zeros((*shape, d_sae), dtype=np.int64)
            state[self._drawn[part]] = np.zeros((draws, *shape))
        return state

    def before(
        self,
        counts: State,
        latents: Latents,
        owner: Int[Tensor, " tokens"],
        weights: Float[np.ndarray, "draws documents"],
    ) -> None:
        """Adds what was on before to `counts`, which is the caller's own."""
        feature, drawn = _counted(latents, None, owner, weights)
        counts[self._names["before"]] += feature
        counts[self._drawn["before"]] += drawn

    def after(
        self,
        counts: State,
        condition: int,
        before: Latents,
        after: Latents,
        owner: Int[Tensor, " tokens"],
        weights: Float[np.ndarray, "draws documents"],
    ) -> None:
        """Adds what is on under a condition to `counts`, which is the caller's own."""
        both = kept(before, after)
        for part, inside in (("after", None), ("kept", both)):
            feature, drawn = _counted(after, inside, owner, weights)
            counts[self._names[part]][condition] += feature
            counts[self._drawn[part]][:, condition] += drawn

    def by_feature(self, state: State, condition: int) -> Flips:
        """The flips of each feature under a condition."""
        before, after, kept_ = (state[name] for name in self._names.values())
        return Flips(before, after[condition], kept_[condition])

    def by_draw(self, state: State, condition: int) -> Flips:
        """All flips under a condition, for each draw of documents."""
        before, after, kept_ = (state[name] for name in self._drawn.values())
        return Flips(before, after[:, condition], kept_[:, condition])


def _counted(
    latents: Latents,
    inside: Bool[Tensor, " nnz"] | None,
    owner: Int[Tensor, " tokens"],
    weights: Float[np.ndarray, "draws documents"],
) -> tuple[Int[np.ndarray, " d_sae"], Float[np.ndarray, " draws"]]:
    """How many active latents there are: by feature, and under each draw of documents."""
    indices, token = latents.indices, latents.token
    if inside is not None:
        indices, token = indices[inside], token[inside]
    feature = torch.bincount(indices, minlength=latents.d_sae)
    document = torch.bincount(owner.to(token.device)[token], minlength=weights.shape[1])
    return feature.cpu().numpy(), weights @ document.cpu().double().numpy()
