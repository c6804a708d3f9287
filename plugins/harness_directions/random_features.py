"""Control: a direction rebuilt from random features that are active where the chosen ones are."""

from __future__ import annotations

import numpy as np

from harness.contract import Direction, Found, Inputs, Outcome, State, Undefined
from harness_directions import latent_sums, nnls
from harness_directions.options import RandomFeaturesOptions
from harness_directions.rebuild import Rebuilt
from harness_directions.states import generator


class RandomFeatures(Rebuilt[RandomFeaturesOptions]):
    """Draws k features of those active on the positive prompts, fitted as `sae_features` fits its.

    Active: z_j ≠ 0 on at least one measured token. Each draw is uniform, without replacement; the
    first k of one shuffled list, so that the draws of a sweep are nested in k as the chosen
    features are. It depends on the task's seed, the draw and the active latents, not on names.
    Features that `sae_features` would choose may be among them.

    Records of each direction: `direction.nmse@1`, `direction.cosine@1`. Once: `active_latents@1`,
    how many latents there were to draw from. Table `features`: the drawn ones with their weights.
    Undefined: without prompts, where fewer than k latents are active, where the target is
    undefined, and where every weight is 0.
    """

    def finish(self, state: State, inputs: Inputs) -> Outcome:
        """The directions, one for each draw, and a table of their features."""
        positive = latent_sums.means(state, "positive")
        prompts = positive.prompts if positive else 0
        pool = np.flatnonzero(positive.active) if positive else np.zeros(0, np.int64)
        empty = None if positive else "no prompt of the positive data has a token to measure"
        size = None if empty else len(pool)
        count = self.counted("active_latents@1", size, empty, inputs, prompts=prompts)

        goal = self.target(inputs)
        if empty:
            goal = Undefined(empty)
        elif len(pool) < self.options.k:
            goal = Undefined(
                f"only {len(pool)} latents are active on the positive prompts, so "
                f"{self.options.k} cannot be drawn"
            )
        rows: list[dict[str, int | float | None]] = []
        directions: list[Found] = []
        for draw in range(self.options.draws):
            direction, fit = goal, None
            if isinstance(goal, Direction):
                shuffled = generator("features", inputs.seed, draw).permutation(pool)
                features = tuple(int(feature) for feature in shuffled[: self.options.k])
                direction, fit = self.rebuild(goal, features, inputs)
                rows += _table(features, draw, fit)
            axes = {"draw": draw}
            directions.append(self.found(direction, fit, inputs, prompts=prompts, axes=axes))
        return Outcome((count,), {"features": rows}, tuple(directions))


def _table(
    features: tuple[int, ...], draw: int, fit: nnls.Fit | None
) -> list[dict[str, int | float | None]]:
    """One row a feature, in the order drawn; without a fit the weights are None."""
    return [
        {
            "k": len(features),
            "draw": draw,
            "rank": rank,
            "feature": feature,
            "weight": float(fit.weights[rank - 1]) if fit else None,
        }
        for rank, feature in enumerate(features, 1)
    ]
