"""A direction rebuilt from the SAE features that tell two sets of prompts apart best."""

from __future__ import annotations

from typing import Any

from harness.contract import Direction, Inputs, Outcome, Record, State, Undefined
from harness.errors import Problem, TaskError
from harness_directions import latent_sums, nnls
from harness_directions.latent_sums import LatentMeans
from harness_directions.options import SaeFeaturesOptions
from harness_directions.rebuild import Rebuilt


class SaeFeatures(Rebuilt[SaeFeaturesOptions]):
    """Finds r_k = Σ_j c_j W_dec[j], with the features chosen by difference in means.

    d_j = mean⁺ z_j − mean⁻ z_j over the tokens of each set of prompts, z the latents in `view`;
    the k largest d_j > 0 (ties by index) are the features, so the sets are nested in k;
    c = argmin_{c ≥ 0} ‖r − Σ_j c_j W_dec[j]‖² without b_dec and intercept, r the target.

    Records of each direction: `direction.nmse@1`, `direction.cosine@1`, and with `against`
    `feature_overlap.topk@1`: how many of the k features both directions chose, in [0, k]. Once:
    `positive_latents@1`, how many d_j > 0. Table `features`: the chosen ones with their weights.
    Undefined: without prompts in either set, where fewer than k latents are positive, where the
    target is undefined, and where every weight is 0.
    Source: Feature Drift, section 5 and appendix C.
    """

    def finish(self, state: State, inputs: Inputs) -> Outcome:
        """The rebuilt direction, its records, and a table of its features."""
        target = self.target(inputs)
        positive, negative = (latent_sums.means(state, name) for name in ("positive", "negative"))
        if positive is None or negative is None:
            which = "positive" if positive is None else "negative"
            why = f"no prompt of the {which} data has a token to measure"
            prompts = sum(one.prompts for one in (positive, negative) if one is not None)
            return self._nothing(why, None, prompts, inputs)

        prompts = positive.prompts + negative.prompts
        order, difference = latent_sums.positive_latents(positive, negative)
        k, available = self.options.k, len(order)
        if available < k:
            why = (
                f"only {available} of {len(difference)} latents have a positive difference in "
                f"means, so {k} features cannot be chosen"
            )
            return self._nothing(why, available, prompts, inputs)

        features = tuple(int(index) for index in order[:k])
        more = self._overlap(features, len(difference), inputs)
        direction, fit = target, None
        if isinstance(target, Direction):
            direction, fit = self.rebuild(target, features, inputs)
        rows = _table(features, difference, positive, negative, fit)
        found = self.found(direction, fit, inputs, prompts=prompts, more=more)
        count = self.counted("positive_latents@1", available, None, inputs, prompts=prompts)
        return Outcome((count,), {"features": rows}, (found,))

    def _nothing(self, why: str, available: int | None, prompts: int, inputs: Inputs) -> Outcome:
        """An undefined direction with its undefined records."""
        more = self._overlap(why, None, inputs)
        found = self.found(Undefined(why), None, inputs, prompts=prompts, more=more)
        count = self.counted("positive_latents@1", available, why, inputs, prompts=prompts)
        return Outcome((count,), directions=(found,))

    def _overlap(
        self, features: tuple[int, ...] | str, d_sae: int | None, inputs: Inputs
    ) -> tuple[Record, ...]:
        """`feature_overlap.topk@1`, the number of features in both top-k sets, with `against`.

        `features` are those chosen here, or the reason why none could be chosen.

        Raises TaskError where the other direction is no choice of k features of the same SAE.
        """
        name, k = self.options.against, self.options.k
        if name is None:
            return ()
        other = inputs.directions[name]
        value, why = None, features if isinstance(features, str) else None
        if isinstance(other, Undefined):
            why = why or f"{name!r} is undefined: {other.reason}"
        else:
            self._comparable(name, other)
            if not isinstance(features, str):
                value = len(set(features) & set(other.features))
        chance = {"kind": "two random sets of k latents", "value": k * k / d_sae} if d_sae else None
        record = Record(
            id="feature_overlap.topk@1",
            value=value,
            n=k,
            n_of="latents",
            unit="latents",
            options={"k": k},
            ci_why="a count of two chosen sets; no interval is computed for it",
            null=chance,
            undefined=why,
            axes={**self.axes(inputs), "k": k, "against": name},
        )
        return (record,)

    def _comparable(self, name: str, other: Direction) -> None:
        if other.sae != self.options.sae or len(other.features) != self.options.k:
            has = (
                f"{len(other.features)} features of sae {other.sae!r}"
                if other.sae
                else "no SAE features"
            )
            what = (
                f"{name!r} has {has}. Allowed: a direction of {self.options.k} features of sae "
                f"{self.options.sae!r}. Give both the same sae and the same sweep of k"
            )
            raise TaskError([Problem("against", what)])


def _table(
    features: tuple[int, ...],
    difference: Any,
    positive: LatentMeans,
    negative: LatentMeans,
    fit: nnls.Fit | None,
) -> list[dict[str, int | float | None]]:
    """One row a feature, best first; without a fit the weights are None."""
    return [
        {
            "k": len(features),
            "rank": rank,
            "feature": feature,
            "difference": float(difference[feature]),
            "weight": float(fit.weights[rank - 1]) if fit else None,
            "positive_mean": float(positive.mean[feature]),
            "negative_mean": float(negative.mean[feature]),
            "positive_active": float(positive.active[feature]),
            "negative_active": float(negative.active[feature]),
        }
        for rank, feature in enumerate(features, 1)
    ]
