"""What two sets of text differ in, as an SAE says it: the difference of its reconstructions."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import torch
from jaxtyping import Float64, Int64

from harness.contract import (
    Batch,
    Direction,
    Found,
    Inputs,
    Outcome,
    Record,
    Site,
    State,
    Undefined,
)
from harness.contract.latents import Latents
from harness_directions import latent_sums, states
from harness_directions.concepts.options import DecoderDifferenceOptions
from harness_directions.concepts.records import About
from harness_directions.latent_sums import LatentMeans
from harness_directions.places import decoder_rows, decoder_site
from harness_directions.states import Sums

ROUNDING = 1e-12
"""Relative size below which a float64 difference of sums is rounding and counts as zero."""
_PIECE = 4096
"""Decoder rows that are read at a time."""
_SAME = 1e-3
"""How far Σ_j Δz_j d_j may be from the decoded difference, relative to it: float32 decodes."""


class DecoderDifference(Sums[DecoderDifferenceOptions]):
    """Finds r = mean⁺ x̂ − mean⁻ x̂ = Σ_j Δz_j d_j, or the k longest of these parts.

    Δz_j = mean⁺ z_j − mean⁻ z_j over the tokens of each set, z the SAE's latents in `view`, d_j its
    decoder rows, signed, no fit and no target: the part of a difference in means that the SAE
    reads, in the SAE's own weights (`sae_features` in its place fits positive weights of features
    that are higher in one set to a given direction). With `k`, those of the largest |Δz_j|·‖d_j‖,
    ties by index; they are the direction's features and Δz_j their weights. r: float64
    `[1, d_out]`, where the SAE writes; x̂ without what it adds to every token alike. An SAE that
    scales each token has no such Δz_j: there r is decoded token by token, and `k` is undefined.

    | record | formula | range |
    |---|---|---|
    | `direction.norm@1` | ‖r‖ | (0, ∞) |
    | `decoder_difference.share@1` | with `k`: ‖r_k‖² of those parts over ‖r‖² of all | [0, ∞) |
    | `decoder_difference.cosine@1` | with `k`: cos(r_k, r) | [−1, 1] |
    | `decoder_difference.half@1` | fewest latents with half of Σ_j (\\|Δz_j\\|·‖d_j‖)² | ≥ 1 |

    Undefined: without tokens in either set, where no latent differs, and with `k` where fewer
    latents differ or the SAE scales each token.
    Source: linear algebra; as a steering vector, the decoder side of Feature Drift, section 5,
    without its fit.
    """

    def update(self, state: State, batch: Batch) -> State:
        """Adds the batch's latents and what they decode to, to the sums of its class."""
        if not len(batch.selected):
            return state
        name = self.options.sae
        latents = batch.left.latents(name)
        said = batch.left.decode(name, latents) - batch.left.decode(name, _none(latents))
        said = said.cpu() if said.device.type == "mps" else said  # MPS knows no float64
        decoded = said.detach().sum(0, dtype=torch.float64).cpu().numpy()
        state = latent_sums.update(state, batch, name)
        return states.plus(state, {"decoded": decoded}, f"{batch.stream}_")

    def finish(self, state: State, inputs: Inputs) -> Outcome:
        """The direction, its records, and a table of the latents that make it."""
        positive, negative = (latent_sums.means(state, name) for name in ("positive", "negative"))
        site = decoder_site(self.options.sae, inputs)
        if positive is None or negative is None or site is None:
            which = "positive" if positive is None else "negative"
            why = f"no text of the {which} data has a token to measure"
            return self._nothing(why, inputs)
        given, sae = self.options, inputs.saes[self.options.sae]
        difference = _apart(positive, negative)
        decoded = state["positive_decoded"] / positive.tokens
        decoded = decoded - state["negative_decoded"] / negative.tokens
        if not np.isfinite(decoded).all():
            return self._nothing(f"the activations at {site} are not finite", inputs)
        alive = np.flatnonzero(difference)
        if not len(alive) or not np.linalg.norm(decoded):
            return self._nothing("no latent has another mean in one set than in the other", inputs)
        lengths, summed = np.empty(len(alive)), np.zeros(len(decoded))
        for start in range(0, len(alive), _PIECE):
            some = alive[start : start + _PIECE]
            rows = decoder_rows(sae, some.tolist())
            lengths[start : start + _PIECE] = np.linalg.norm(rows, axis=1)
            summed += difference[some] @ rows
        parts = np.abs(difference[alive]) * lengths
        order = alive[np.argsort(-parts, kind="stable")]
        sizes = np.sort(parts)[::-1]
        gap = float(np.linalg.norm(summed - decoded) / np.linalg.norm(decoded))
        scaled = gap > _SAME
        whole = decoded if scaled else summed
        prompts = positive.prompts + negative.prompts
        if given.k is None:
            direction: Direction | Undefined = Direction(site, whole[None])
        else:
            direction = self._few(order, difference, scaled, site, inputs)
        found = self._found(direction, whole, sizes, prompts, site)
        table = _table(order[: given.k or 20], difference, positive, negative)
        return Outcome(tables={"features": table}, directions=(found,))

    def _few(
        self,
        order: Int64[np.ndarray, " n"],
        difference: Float64[np.ndarray, " d_sae"],
        scaled: bool,
        site: Site,
        inputs: Inputs,
    ) -> Direction | Undefined:
        k = self.options.k
        assert k is not None
        if scaled:
            return Undefined(
                f"the SAE {self.options.sae} scales each token, so that a mean of its latents says "
                "nothing of a mean of activations; leave k out"
            )
        if len(order) < k:
            return Undefined(
                f"only {len(order)} latents have another mean in one set than in the other, so "
                f"{k} cannot be chosen"
            )
        features = tuple(int(one) for one in order[:k])
        weights = difference[order[:k]]
        vector = weights @ decoder_rows(inputs.saes[self.options.sae], features)
        if not np.linalg.norm(vector):
            return Undefined(f"the parts of the {k} latents cancel")
        return Direction(
            site, vector[None], sae=self.options.sae, features=features,
            weights=tuple(float(one) for one in weights),
        )  # fmt: skip

    def _said(self, prompts: int, site: Site | None) -> About:
        given = self.options
        axes: dict[str, Any] = {"view": given.view, "sae": given.sae}
        if site is not None:
            axes["site"] = str(site)
        if given.k is not None:
            axes["k"] = given.k
        return About(axes, {"tokens": given.tokens}, prompts)

    def _found(
        self,
        direction: Direction | Undefined,
        whole: Float64[np.ndarray, " d"],
        sizes: Float64[np.ndarray, " n"],
        prompts: int,
        site: Site,
    ) -> Found:
        said, why = self._said(prompts, site), None
        length = share = cosine = None
        if isinstance(direction, Undefined):
            why = direction.reason
        else:
            all_of_it = float(np.linalg.norm(whole))
            length = float(np.linalg.norm(direction.vectors[0]))
            share = (length / all_of_it) ** 2
            cosine = float(direction.vectors[0] @ whole) / length / all_of_it
        because = "a property of these vectors; no interval is computed for it"
        records = [said.norm(length, why)]
        if self.options.k is not None:
            for name, value in (("share", share), ("cosine", cosine)):
                bounded = value if value is None or name == "share" else max(-1.0, min(1.0, value))
                unit = "share" if name == "share" else "cosine"
                id = f"decoder_difference.{name}@1"
                records.append(said.record(id, bounded, unit, why, because))
        squares = np.cumsum(sizes**2)
        half = 1 + int(np.searchsorted(squares, squares[-1] / 2))
        records.append(said.record("decoder_difference.half@1", half, "latents", None, because))
        return Found(direction, records=tuple(records))

    def _nothing(self, why: str, inputs: Inputs) -> Outcome:
        said = self._said(0, decoder_site(self.options.sae, inputs))
        records: list[Record] = [said.norm(None, why)]
        names = ("share", "cosine", "half") if self.options.k is not None else ("half",)
        units = {"share": "share", "cosine": "cosine", "half": "latents"}
        records += [
            said.record(f"decoder_difference.{name}@1", None, units[name], why, why)
            for name in names
        ]
        return Outcome(directions=(Found(Undefined(why), records=tuple(records)),))


def _none(latents: Latents) -> Latents:
    """The same tokens without any latent: they decode to what the SAE adds to each of them."""
    return replace(
        latents,
        offsets=torch.zeros_like(latents.offsets),
        indices=latents.indices[:0],
        values=latents.values[:0],
    )


def _apart(positive: LatentMeans, negative: LatentMeans) -> Float64[np.ndarray, " d_sae"]:
    """Δz; what is within the rounding of its own sums is 0."""
    with np.errstate(invalid="ignore"):
        difference = positive.mean - negative.mean
    least = ROUNDING * np.maximum(np.abs(positive.mean), np.abs(negative.mean))
    return np.where(np.abs(difference) > least, difference, 0.0)


def _table(
    features: Int64[np.ndarray, " n"],
    difference: Float64[np.ndarray, " d_sae"],
    positive: LatentMeans,
    negative: LatentMeans,
) -> list[dict[str, int | float]]:
    """One row a latent, the longest part first."""
    return [
        {
            "rank": rank,
            "feature": int(feature),
            "difference": float(difference[feature]),
            "positive_mean": float(positive.mean[feature]),
            "negative_mean": float(negative.mean[feature]),
            "positive_active": float(positive.active[feature]),
            "negative_active": float(negative.active[feature]),
        }
        for rank, feature in enumerate(features, 1)
    ]
