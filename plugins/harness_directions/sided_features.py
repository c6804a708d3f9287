"""The features that a crosscoder writes to one model alone, and others that it writes to both."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import torch
from jaxtyping import Float, Int

from harness.contract import (
    Batch,
    Direction,
    Found,
    Inputs,
    Outcome,
    Record,
    Sae,
    State,
    Undefined,
)
from harness.errors import ModelError
from harness_directions import states
from harness_directions.options import (
    SharedFeaturesOptions,
    SidedFeaturesOptions,
    without_two_rows,
)
from harness_directions.places import decoder_rows, row_of
from harness_directions.states import Sums, generator

Sided = TypeVar("Sided", SidedFeaturesOptions, SharedFeaturesOptions)
NEAREST = 10
"""Shared latents, by how much they write, among which each control is drawn."""


class _OnSides(Sums[Sided]):
    """Adds up the latents of a crosscoder, which are the same on both sides of the pair."""

    def update(self, state: State, batch: Batch) -> State:
        """Adds the batch's latents and how often each is active."""
        if not len(batch.selected):
            return state
        latents = batch.left.latents(self.options.sae)
        indices = latents.indices.cpu()
        written = torch.zeros(latents.d_sae, dtype=torch.float64)
        written.index_add_(0, indices, latents.values.double().cpu())
        active = torch.bincount(indices, minlength=latents.d_sae)
        terms: states.Terms = {
            "z": written.numpy(),
            "active": active.numpy(),
            "tokens": len(batch.selected),
        }
        return states.plus(state, terms)

    def _ranked(self, state: State, inputs: Inputs) -> _Ranked:
        sae = inputs.saes[self.options.sae]
        if problem := without_two_rows(sae.facts, self.options.sae):
            raise ModelError(f"{problem.where} {problem.what}")
        own, other = _lengths(sae, self.options.side)
        scale, other_scale = _scales(sae, self.options.side)
        with np.errstate(invalid="ignore", divide="ignore"):
            larger = np.maximum(own * scale, other * other_scale)
            lean = 0.5 * ((own * scale - other * other_scale) / larger + 1)
        tokens = states.count(state, "tokens")
        active = state["active"] if tokens else np.zeros(len(own), np.int64)
        written = state["z"] / tokens * own if tokens else np.zeros(len(own))
        sided = np.flatnonzero((lean > 1 - self.options.one_sided) & (active > 0))
        order = sided[np.argsort(-written[sided], kind="stable")]
        return _Ranked(order, lean, written, active, tokens)

    def _chosen(self, ranked: _Ranked) -> Int[np.ndarray, " k"] | Undefined:
        k, side = self.options.k, self.options.side
        if not ranked.tokens:
            return Undefined("no token of the pair was read")
        if len(ranked.order) < k:
            return Undefined(
                f"{len(ranked.order)} latents that are active here belong to the {side} side "
                f"alone, so {k} cannot be chosen"
            )
        return ranked.order[:k]

    def _direction(self, features: Int[np.ndarray, " k"], inputs: Inputs) -> Direction:
        name, indices = self.options.sae, tuple(int(one) for one in features)
        sae = inputs.saes[name]
        rows = decoder_rows(sae, indices)[:, row_of(sae.facts, self.options.side)]
        weights = (1.0,) * len(indices)
        return Direction(inputs.sae_sites[name], rows, sae=name, features=indices, weights=weights)


@dataclass(frozen=True)
class _Ranked:
    """All latents of a crosscoder, and which of them belong to the side, the strongest first."""

    order: Int[np.ndarray, " sided"]
    lean: Float[np.ndarray, " d_sae"]
    """Δ_norm towards the side: 1 writes to it alone, ½ to both alike; NaN without any row."""
    written: Float[np.ndarray, " d_sae"]
    """Mean length of what a latent adds on the side, per token."""
    active: Int[np.ndarray, " d_sae"]
    """Tokens at which it is active."""
    tokens: int


class SidedFeatures(_OnSides[SidedFeaturesOptions]):
    """The k features of one side of a crosscoder that write most there, as a direction.

    A latent belongs to the side where its Δ_norm (see `decoder_norms`; turned round for the left
    side) is above 1 − `one_sided`, by its rows as they were trained, and where it is active on the
    pair's text at all. Of those the k with the largest mean of z·‖d_side‖ over all tokens (ties by
    index), z the latent's value: how much it adds to that side's activations. The vectors are their
    decoder rows on that side, in the units of its activations: Float64 `[k, d]`.

    Record `sided_latents@1`: how many there are to choose from, in [0, d_sae]. Table `features`:
    rank, feature, Δ_norm towards the side, what it writes, the share of tokens where it is active.
    Undefined: without tokens, and where fewer than k belong to the side. Raises ModelError for an
    SAE whose latents have no row on both sides.
    Source: arXiv 2504.02922 (Δ_norm); the ranking is ours.
    """

    def finish(self, state: State, inputs: Inputs) -> Outcome:
        """One direction, how many features there were, and their table."""
        ranked = self._ranked(state, inputs)
        records = (_counted(self.options, ranked, inputs),)
        chosen = self._chosen(ranked)
        if isinstance(chosen, Undefined):
            return Outcome(records, directions=(Found(chosen),))
        rows = [{"k": self.options.k, **row} for row in _rows(ranked, chosen)]
        found = Found(self._direction(chosen, inputs))
        return Outcome(records, {"features": rows}, (found,))


class SharedFeatures(_OnSides[SharedFeaturesOptions]):
    """Control: as many features as `sided_features` takes, that a crosscoder writes to both sides.

    For each chosen feature, one draw among the ten shared latents (Δ_norm within `shared` of ½,
    active on the text) that write about as much on the side (by |log| of the mean of z·‖d_side‖),
    without replacement. Seeded by the task. Table `features`: as there, by draw.
    Undefined: as `sided_features`, and where fewer than k are shared.
    """

    def finish(self, state: State, inputs: Inputs) -> Outcome:
        """One direction for each draw, and the table of their features."""
        ranked = self._ranked(state, inputs)
        chosen = self._chosen(ranked)
        alike = np.abs(ranked.lean - 0.5) <= self.options.shared
        free = alike & (ranked.active > 0) & (ranked.written > 0)
        if not isinstance(chosen, Undefined):
            free[chosen] = False
            if int(free.sum()) < len(chosen):
                chosen = Undefined(f"only {int(free.sum())} other latents are shared and active")
        found, rows = [], []
        for draw in range(self.options.draws):
            axes = {"draw": draw}
            if isinstance(chosen, Undefined):
                found.append(Found(chosen, axes))
                continue
            random = generator("features", inputs.seed, draw)
            features = _matched(ranked.written, chosen, free, random)
            found.append(Found(self._direction(features, inputs), axes))
            rows += [{"k": self.options.k, **axes, **row} for row in _rows(ranked, features)]
        return Outcome(tables={"features": rows}, directions=tuple(found))


def _matched(
    written: Float[np.ndarray, " d_sae"],
    chosen: Int[np.ndarray, " k"],
    among: np.ndarray,
    random: np.random.Generator,
) -> Int[np.ndarray, " k"]:
    """For each chosen latent another one that writes about as much, each once."""
    free, out = among.copy(), []
    for feature in chosen:
        pool = np.flatnonzero(free)
        distance = np.abs(np.log(written[pool]) - np.log(max(written[feature], 1e-300)))
        nearest = pool[np.argsort(distance, kind="stable")[:NEAREST]]
        out.append(int(random.choice(nearest)))
        free[out[-1]] = False
    return np.array(out)


def _lengths(sae: Sae, side: str) -> tuple[np.ndarray, np.ndarray]:
    """Lengths of all decoder rows on the side and on the other one, in units of activations."""
    assert sae.facts.d_sae is not None, "a loaded SAE knows its widths"
    rows = decoder_rows(sae, range(sae.facts.d_sae))
    own, other = (
        np.linalg.norm(rows[:, row_of(sae.facts, one)], axis=1) for one in (side, _other(side))
    )
    return own, other


def _scales(sae: Sae, side: str) -> tuple[float, float]:
    """What activations of the side and of the other one are multiplied with; 1 without any."""
    scales = sae.facts.scales or (1.0,) * len(sae.facts.inputs)
    by_side = dict(zip((one.side for one in sae.facts.inputs), scales, strict=True))
    return by_side[side], by_side[_other(side)]


def _other(side: str) -> str:
    return "left" if side == "right" else "right"


def _counted(options: SidedFeaturesOptions, ranked: _Ranked, inputs: Inputs) -> Record:
    return Record(
        id="sided_latents@1",
        value=len(ranked.order) if ranked.tokens else None,
        n=ranked.tokens,
        n_of="tokens",
        unit="latents",
        options={"one_sided": options.one_sided},
        ci_why="a count of latents; no interval is computed for it",
        undefined=None if ranked.tokens else "no token of the pair was read",
        axes={
            "sae": options.sae,
            "side": options.side,
            "site": str(inputs.sae_sites[options.sae]),
        },
    )


def _rows(ranked: _Ranked, features: Int[np.ndarray, " k"]) -> list[dict[str, int | float]]:
    return [
        {
            "rank": rank,
            "feature": int(feature),
            "towards_side": float(ranked.lean[feature]),
            "written": float(ranked.written[feature]),
            "active": float(ranked.active[feature] / ranked.tokens),
        }
        for rank, feature in enumerate(features, 1)
    ]
