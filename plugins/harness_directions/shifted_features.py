"""The features that changed most on a pair, and others that are active as often."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import torch
from jaxtyping import Float, Int

from harness.contract import Batch, Direction, Found, Inputs, Outcome, State, Undefined
from harness.contract.latents import counterparts
from harness_directions import states
from harness_directions.matching import matched
from harness_directions.options import MatchedFeaturesOptions, ShiftedFeaturesOptions
from harness_directions.places import decoder_rows
from harness_directions.states import Sums, generator

Shifted = TypeVar("Shifted", ShiftedFeaturesOptions, MatchedFeaturesOptions)


class _OnPair(Sums[Shifted]):
    """Finds features by how much they change between the sides of a pair."""

    def update(self, state: State, batch: Batch) -> State:
        """Adds the batch's squared changes and counts, by latent."""
        if not len(batch.selected):
            return state
        assert batch.right is not None, "shifted features are those of a pair"
        left, right = (side.latents(self.options.sae) for side in (batch.left, batch.right))
        # Each latent of either side once: right ones against what the left has, and left ones
        # that the right has not.
        square = torch.zeros(left.d_sae, dtype=torch.float64)
        moved = (right.values - counterparts(left, right)).double().square()
        gone = left.values.double().square() * (counterparts(right, left) == 0)
        square.index_add_(0, right.indices.cpu(), moved.cpu())
        square.index_add_(0, left.indices.cpu(), gone.cpu())
        active = torch.bincount(left.indices.cpu(), minlength=left.d_sae)
        terms: states.Terms = {
            "square": square.numpy(),
            "active": active.numpy(),
            "tokens": len(batch.selected),
        }
        return states.plus(state, terms)

    def _direction(self, features: Int[np.ndarray, " n"], inputs: Inputs) -> Direction:
        sae, indices = self.options.sae, tuple(int(one) for one in features)
        rows = decoder_rows(inputs.saes[sae], indices)
        weights = (1.0,) * len(indices)
        return Direction(inputs.sae_sites[sae], rows, sae=sae, features=indices, weights=weights)


class ShiftedFeatures(_OnPair[ShiftedFeaturesOptions]):
    """The n latents with the largest mean squared change, Σ_t (z_right − z_left)², as a direction.

    Its vectors are the decoder rows, one each: Float64 `[n, d]`. For `feature_zeroing` above all,
    which takes the features themselves. Latents that never change are not among them.
    Table `features`: rank, feature, mean squared change, how often it is active on the left.
    Undefined: without tokens, and where fewer than n latents change.
    Source: SAE as a Crystal Ball, section 4.1 (D_N) and Figure 1b.
    """

    def finish(self, state: State, inputs: Inputs) -> Outcome:
        """One direction, and the table of its features."""
        chosen = _chosen(state, self.options.n)
        if isinstance(chosen, Undefined):
            return Outcome(directions=(Found(chosen),))
        rows, direction = _rows(chosen, chosen.features), self._direction(chosen.features, inputs)
        return Outcome(tables={"features": rows}, directions=(Found(direction),))


class MatchedFeatures(_OnPair[MatchedFeaturesOptions]):
    """Draws as many features as `shifted_features` chooses, each active about as often as one.

    They are the control of zeroing: features that are never active would be zeroed at no cost.
    For each chosen feature, one draw among the ten others whose share of active tokens on the left
    is nearest to its own (by |log| of the counts), without replacement. Seeded by the task.
    Undefined: as `shifted_features`, and where fewer than 2n latents are active on the left.
    Source: METHODS section 3 (feature zeroing).
    """

    def finish(self, state: State, inputs: Inputs) -> Outcome:
        """One direction for each draw, and the table of their features."""
        chosen = _chosen(state, self.options.n)
        if not isinstance(chosen, Undefined) and (chosen.active > 0).sum() < 2 * self.options.n:
            chosen = Undefined(
                f"{int((chosen.active > 0).sum())} latents are active, too few to draw "
                f"{self.options.n} others from"
            )
        found, rows = [], []
        for draw in range(self.options.draws):
            if isinstance(chosen, Undefined):
                found.append(Found(chosen, {"draw": draw}))
                continue
            random = generator("features", inputs.seed, draw)
            features = matched(chosen.features, chosen.active, random)
            found.append(Found(self._direction(features, inputs), {"draw": draw}))
            rows += [{"draw": draw, **row} for row in _rows(chosen, features)]
        return Outcome(tables={"features": rows}, directions=tuple(found))


@dataclass(frozen=True)
class _Chosen:
    """The most shifted features, and the sums that they were chosen by."""

    features: Int[np.ndarray, " n"]
    change: Float[np.ndarray, " d_sae"]
    """Mean squared change."""
    active: Float[np.ndarray, " d_sae"]
    """Tokens at which a latent is active on the left."""


def _chosen(state: State, n: int) -> _Chosen | Undefined:
    tokens = states.count(state, "tokens")
    if not tokens:
        return Undefined("no token of the pair was read")
    change = state["square"] / tokens
    moving = int((change > 0).sum())
    if moving < n:
        return Undefined(f"only {moving} latents change between the two sides, so no {n} lead")
    order = np.argsort(-change, kind="stable")[:n]
    return _Chosen(order, change, state["active"].astype(np.float64))


def _rows(chosen: _Chosen, features: Int[np.ndarray, " n"]) -> list[dict[str, int | float]]:
    return [
        {
            "rank": rank,
            "feature": int(feature),
            "mean_squared_change": float(chosen.change[feature]),
            "active": int(chosen.active[feature]),
        }
        for rank, feature in enumerate(features, 1)
    ]
