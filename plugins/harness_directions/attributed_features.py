"""The features that carry a change of behaviour, by their attribution, and others as active."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from harness.contract import (
    Batch,
    Direction,
    Found,
    Inputs,
    Latents,
    Outcome,
    State,
    Undefined,
)
from harness.contract.attributed import EXACT, by_latent, changes, leading, slopes, split
from harness_directions import states
from harness_directions.matching import matched
from harness_directions.options import AttributedControlsOptions, AttributedFeaturesOptions
from harness_directions.places import decoder_rows
from harness_directions.states import Sums, generator

Attributed = TypeVar("Attributed", AttributedFeaturesOptions, AttributedControlsOptions)


@dataclass(frozen=True)
class _Ranked:
    """Features in the order in which they carry the change, and the sums behind it."""

    order: Int[np.ndarray, " n"]
    attribution: Float[np.ndarray, " d_sae"]
    """A_j, a mean over prompts."""
    active: Float[np.ndarray, " d_sae"]
    """Tokens at which a latent is active on the right side."""
    change: Float[np.ndarray, " d_sae"]
    """Mean Δz over the tokens."""


class _OnPath(Sums[Attributed]):
    """Finds features by what they add to a number, from the left side of a pair to the right."""

    def update(self, state: State, batch: Batch) -> State:
        """Adds what the batch's prompts come to, and each latent's part."""
        ((_, path),) = batch.paths.items()
        found = split(path)
        kept = found.defined & (batch.by_document() > 0)
        if not kept.any():
            return state
        assert batch.right is not None, "a path leads from one side of a pair to the other"
        change, loaded = changes(batch, self.options.sae), batch.saes[self.options.sae]
        slope = sum(slopes(batch, tail, change, loaded) for tail in (path.left, path.right)) / 2
        delta = change.values.detach().cpu().double()
        added = by_latent(batch, change, delta * slope)
        inside = kept[added.document]
        right = batch.right.latents(self.options.sae)
        terms: states.Terms = {
            "sum": np.bincount(
                added.latent[inside].numpy(),
                added.value[inside].numpy(),
                minlength=change.d_sae,
            ),
            "moved": self._over_tokens(change, delta.abs()),
            "change": self._over_tokens(change, delta),
            "tokens": len(batch.selected),
            "active": torch.bincount(right.indices.cpu(), minlength=right.d_sae).numpy(),
            "up": np.array([float(found.up[kept].sum())]),
            "gap": np.array([float(found.gap[kept].sum())]),
            "size": np.array([float(found.size[kept].sum())]),
            "unsound": int((found.put_back[kept] > EXACT).sum()),
            "prompts": int(kept.sum()),
        }
        return states.plus(state, terms)

    def _over_tokens(self, change: Latents, each: Tensor) -> Float[np.ndarray, " d_sae"]:
        return np.bincount(change.indices.cpu().numpy(), each.numpy(), minlength=change.d_sae)

    def _ranked(self, state: State) -> _Ranked | Undefined:
        """The features that push the number where it went, where they may be ranked at all."""
        prompts, options = states.count(state, "prompts"), self.options
        if not prompts:
            return Undefined("no prompt of the pair has a token to measure and a defined number")
        if unsound := states.count(state, "unsound"):
            return Undefined(
                f"in {unsound} of {prompts} prompts a model's own activations, put back, change "
                "the number: something else reaches the layers above"
            )
        gap, size = float(state["gap"][0]), float(state["size"][0])
        if not size > 0:
            return Undefined("the activations at the site change nothing in the number")
        if gap > options.gap_max * size:
            return Undefined(
                f"what the gradients say misses {gap / size:.2g} of the change, more than gap_max "
                f"= {options.gap_max:g}"
            )
        mean = state["sum"] / prompts
        towards = mean if state["up"][0] >= 0 else -mean
        by_change = options.rank == "change"
        order = leading(state["moved"] if by_change else towards)
        if len(order) < options.k:
            what = "change" if by_change else "push the number where it went"
            return Undefined(f"only {len(order)} latents {what}, so no {options.k} lead")
        active, tokens = state["active"].astype(np.float64), states.count(state, "tokens")
        return _Ranked(order[: options.k], mean, active, state["change"] / tokens)

    def _direction(
        self, features: Int[np.ndarray, " k"], ranked: _Ranked, inputs: Inputs
    ) -> Direction | Undefined:
        sae, indices = self.options.sae, tuple(int(one) for one in features)
        rows, site = decoder_rows(inputs.saes[sae], indices), inputs.sae_sites[sae]
        if self.options.vectors == "rows":
            return Direction(site, rows, sae=sae, features=indices, weights=(1.0,) * len(indices))
        weights = ranked.change[features]
        vector = weights @ rows
        if not vector.any():
            return Undefined(f"the mean changes of the {len(indices)} features add up to nothing")
        return Direction(
            site, vector[None], sae=sae, features=indices, weights=tuple(map(float, weights))
        )


class AttributedFeatures(_OnPath[AttributedFeaturesOptions]):
    """The k latents that carry most of a change of behaviour between two models, as a direction.

    Ranked by their attribution A_j in the direction in which the activations at the SAE's site move
    the number, as the statistic `latent_attribution` defines it: `A_j = Σ_t (ḡ_t·d_j) Δz_tj`, a
    mean over prompts, ties by index; or, for comparison, by Σ_t |Δz_tj| (`rank = "change"`). Its
    vectors are their decoder rows, one each, Float64 `[k, d]`, for `feature_zeroing`; or one,
    `Σ_j Δz̄_j d_j` with Δz̄ the mean over the tokens, for `addition` (`vectors = "change"`). Taken
    back in the model of the right side, it shows whether they cause the behaviour: gradients only
    say where to look.
    Table `features`: rank, feature, attribution (nats), tokens at which it is active on the right.
    Undefined: without prompts, where put-back activations change the number, where the gap of
    completeness is above `gap_max`, where fewer than k latents push the number where it went, and
    where the mean changes of the features add up to nothing.
    Source: METHODS 2, section 4; Marks et al., arXiv 2403.19647.
    """

    def finish(self, state: State, inputs: Inputs) -> Outcome:
        """One direction, and the table of its features."""
        ranked = self._ranked(state)
        if isinstance(ranked, Undefined):
            return Outcome(directions=(Found(ranked),))
        direction = self._direction(ranked.order, ranked, inputs)
        return Outcome(tables={"features": _rows(ranked, ranked.order)},
                       directions=(Found(direction),))  # fmt: skip


class AttributedControls(_OnPath[AttributedControlsOptions]):
    """Draws as many features as `attributed_features` chooses, each active about as often as one.

    They are the control of zeroing: taking any active features out damages a model. For each
    chosen feature, one draw among the ten others whose number of active tokens on the right side
    is nearest to its own (by |log|), without replacement; so draws may hold features that carry a
    little. With `vectors = "change"`, each moves as it does itself. Seeded by the task.
    Table `features`: as of `attributed_features`, by draw.
    Undefined: as `attributed_features`, and where fewer than 2k latents are active.
    Source: METHODS 2, section 4 (random, of matched frequency).
    """

    def finish(self, state: State, inputs: Inputs) -> Outcome:
        """One direction for each draw, and the table of their features."""
        ranked: _Ranked | Undefined = self._ranked(state)
        if not isinstance(ranked, Undefined):
            others = ranked.active > 0
            others[ranked.order] = False
            if others.sum() < self.options.k:
                ranked = Undefined(
                    f"{int(others.sum())} other latents are active, too few to draw "
                    f"{self.options.k} from"
                )
        found, rows = [], []
        for draw in range(self.options.draws):
            if isinstance(ranked, Undefined):
                found.append(Found(ranked, {"draw": draw}))
                continue
            random = generator("features", inputs.seed, draw)
            features = matched(ranked.order, ranked.active, random)
            found.append(Found(self._direction(features, ranked, inputs), {"draw": draw}))
            rows += [{"draw": draw, **row} for row in _rows(ranked, features)]
        return Outcome(tables={"features": rows}, directions=tuple(found))


def _rows(ranked: _Ranked, features: Int[np.ndarray, " k"]) -> list[dict[str, int | float]]:
    return [
        {
            "k": len(features),
            "rank": rank,
            "feature": int(feature),
            "attribution": float(ranked.attribution[feature]),
            "active": int(ranked.active[feature]),
        }
        for rank, feature in enumerate(features, 1)
    ]
