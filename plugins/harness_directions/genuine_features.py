"""The features that are one model's own by a crosscoder, and others drawn at random."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Generic, TypeVar

import numpy as np
from jaxtyping import Float, Int

from harness.contract import (
    JSON,
    Batch,
    Direction,
    Found,
    Inputs,
    Outcome,
    Record,
    State,
    Undefined,
)
from harness.errors import ModelError
from harness_directions.options import (
    GenuineFeaturesOptions,
    OtherFeaturesOptions,
    without_two_rows,
)
from harness_directions.places import decoder_rows, row_of
from harness_directions.states import generator
from harness_statistics.latent_scaling.coefficients import (
    ERROR,
    RECONSTRUCTION,
    Coefficients,
    coefficients,
    rows_of,
)
from harness_statistics.latent_scaling.kinds import (
    ARTEFACTS,
    Limits,
    active_of,
    best_first,
    kinds_of,
    leaning,
    places_of,
)
from harness_statistics.latent_scaling.sums import Scaling

Given = TypeVar("Given", bound=GenuineFeaturesOptions)
_SPACE = "normalised"
"""Latents are judged by the rows as they were trained, as the paper does."""


class _Scaled(Generic[Given]):
    """Adds up what `latent_scaling` adds up, of all documents together."""

    def __init__(self, options: Given) -> None:
        self.options = options
        self._sums = Scaling(options.sae, options.side, 1)

    def start(self, inputs: Inputs) -> State:
        """No sums; where to read."""
        return self._sums.started(inputs)

    def update(self, state: State, batch: Batch) -> State:
        """Adds a batch to the sums of every latent."""
        return self._sums.added(state, batch)

    def merge(self, left: State, right: State) -> State:
        """Adds the sums of both."""
        return self._sums.merged(left, right)

    def _judged(self, state: State, inputs: Inputs) -> _Judged:
        options, sae = self.options, inputs.saes[self.options.sae]
        if problem := without_two_rows(sae.facts, options.sae):
            raise ModelError(f"{problem.where} {problem.what}")
        limits = Limits(
            options.one_sided, 0.0, options.error, options.reconstruction, options.minimum
        )
        rows, tokens = rows_of(sae, options.side), int(state["tokens"].sum())
        found, active = coefficients(state, rows, options.side, _SPACE), active_of(state)
        own = places_of(leaning(sae, _SPACE), limits) == f"{options.side}_only"
        kinds = kinds_of(found, active, own, limits)
        wanted = np.isin(kinds, ("genuine",) if options.kind == "genuine" else ARTEFACTS)
        written = state["sum"].sum(0) / tokens * np.sqrt(rows.square)
        if options.order == "ratios":
            order = best_first(found, wanted)
        else:
            order = np.flatnonzero(wanted)
            order = order[np.argsort(-written[order], kind="stable")]
        return _Judged(order, kinds, found, written, active, tokens)

    def _chosen(self, judged: _Judged) -> Int[np.ndarray, " k"] | Undefined:
        k, what = self.options.k, f"{self.options.kind} ones of the {self.options.side} side"
        if len(judged.order) < k:
            return Undefined(
                f"{len(judged.order)} latents that are active here are {what}, so {k} cannot be "
                "chosen"
            )
        return judged.order[:k]

    def _direction(self, features: Int[np.ndarray, " k"], inputs: Inputs) -> Direction:
        name, indices = self.options.sae, tuple(int(one) for one in features)
        sae = inputs.saes[name]
        rows = decoder_rows(sae, indices)[:, row_of(sae.facts, self.options.side)]
        weights = (1.0,) * len(indices)
        return Direction(inputs.sae_sites[name], rows, sae=name, features=indices, weights=weights)


@dataclass(frozen=True)
class _Judged:
    """All latents of a crosscoder, and those of the wanted kind in their order."""

    order: Int[np.ndarray, " wanted"]
    kinds: np.ndarray
    """What each latent of the side is, as in `latent_scaling`; "" of all others."""
    found: Coefficients
    written: Float[np.ndarray, " d_sae"]
    """Mean length of what a latent adds on the side, per token."""
    active: Int[np.ndarray, " d_sae"]
    """Tokens at which it is active."""
    tokens: int

    def rows(self, features: Int[np.ndarray, " k"]) -> list[dict[str, JSON]]:
        """A row of the table for each feature."""
        ratios = {"ratio_error": ERROR, "ratio_reconstruction": RECONSTRUCTION}
        return [
            {
                "rank": rank,
                "feature": int(j),
                "kind": str(self.kinds[j]) or "other",
                "written": float(self.written[j]),
                "active": float(self.active[j] / self.tokens),
                **{
                    name: None
                    if np.isnan(value := self.found.raw_ratio(target)[j])
                    else float(value)
                    for name, target in ratios.items()
                },
            }
            for rank, j in enumerate(features, 1)
        ]


class GenuineFeatures(_Scaled[GenuineFeaturesOptions]):
    """The k features of one side of a crosscoder that are free of artefacts, as a direction.

    A latent belongs to the side by its Δ_norm (see `decoder_norms`), and is *genuine* where
    `latent_scaling`, on the same text, finds neither complete shrinkage nor latent decoupling; with
    `kind = "artefact"` those where it finds one or both. Of these the k that write most, by the
    mean of z·‖d_side‖ over all tokens, or with the smallest ratios, by rank(ν^error) +
    rank(ν^reconstruction); ties by index. The vectors are their decoder rows on that side, in the
    units of its activations: Float64 `[k, d]`.

    Record `genuine_latents@1`: how many there are of the kind, in [0, d_sae]. Table `features`:
    rank, feature, kind, what it writes, share of tokens where it is active, both ratios.
    Undefined: without tokens, and where there are fewer than k. Raises ModelError for an SAE whose
    latents have no row on both sides.
    Source: arXiv 2504.02922, section 3.2; the order by what they write is ours.
    """

    def finish(self, state: State, inputs: Inputs) -> Outcome:
        """One direction, how many features there were, and their table."""
        if "tokens" not in state:
            return Outcome((_counted(self.options, None, inputs),), directions=(_UNREAD,))
        judged = self._judged(state, inputs)
        records = (_counted(self.options, judged, inputs),)
        chosen = self._chosen(judged)
        if isinstance(chosen, Undefined):
            return Outcome(records, directions=(Found(chosen),))
        rows = [{"k": self.options.k, **row} for row in judged.rows(chosen)]
        return Outcome(records, {"features": rows}, (Found(self._direction(chosen, inputs)),))


class OtherFeatures(_Scaled[OtherFeaturesOptions]):
    """Control: as many features as `genuine_features` takes, of all others that are active.

    Each draw is uniform among the latents that are active on the text on at least `minimum` tokens
    and that `genuine_features` does not take, without replacement; seeded by the task. Table
    `features`: as there, by draw.
    Undefined: as `genuine_features`, and where fewer than k others are active.
    """

    def finish(self, state: State, inputs: Inputs) -> Outcome:
        """One direction for each draw, and the table of their features."""
        draws = [{"draw": draw} for draw in range(self.options.draws)]
        if "tokens" not in state:
            return Outcome(directions=tuple(Found(_UNREAD.direction, axes) for axes in draws))
        judged = self._judged(state, inputs)
        chosen = self._chosen(judged)
        if isinstance(chosen, Undefined):
            return Outcome(directions=tuple(Found(chosen, axes) for axes in draws))
        free = judged.active >= self.options.minimum
        free[chosen] = False
        pool = np.flatnonzero(free)
        if len(pool) < len(chosen):
            none = Undefined(f"only {len(pool)} other latents are active often enough")
            return Outcome(directions=tuple(Found(none, axes) for axes in draws))
        found, rows = [], []
        for axes in draws:
            random = generator("features", inputs.seed, axes["draw"])
            features = random.permutation(pool)[: len(chosen)]
            found.append(Found(self._direction(features, inputs), axes))
            rows += [{"k": self.options.k, **axes, **row} for row in judged.rows(features)]
        return Outcome(tables={"features": rows}, directions=tuple(found))


_NOTHING = "no token of the pair was read"
_UNREAD = Found(Undefined(_NOTHING))


def _counted(options: GenuineFeaturesOptions, judged: _Judged | None, inputs: Inputs) -> Record:
    return Record(
        id="genuine_latents@1",
        value=len(judged.order) if judged else None,
        n=judged.tokens if judged else 0,
        n_of="tokens",
        unit="latents",
        options={
            name: getattr(options, name)
            for name in ("one_sided", "error", "reconstruction", "minimum")
        },
        ci_why="a count of latents; latent_scaling has an interval of their share",
        undefined=None if judged else _NOTHING,
        axes={
            "sae": options.sae,
            "side": options.side,
            "kind": options.kind,
            "site": str(inputs.sae_sites[options.sae]),
        },
    )
