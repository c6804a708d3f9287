"""How the latents of a crosscoder are shared out between the two models of a pair."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float64

from harness.contract import Batch, Inputs, Outcome, Record, Sae, State
from harness.errors import ModelError
from harness_statistics.inputs import site_axis
from harness_statistics.options import DecoderNormsOptions, without_two_rows
from harness_statistics.records import number

SPACES = ("normalised", "raw")
"""Rows as they were trained, for activations that were scaled by one number for each model; and in
the units of the activations."""
PLACES = ("left_only", "shared", "right_only", "other")
_NO_INTERVAL = "a property of the crosscoder's weights: nothing was drawn"
_PIECE = 2**22
"""Numbers of decoder rows that are made float64 at a time."""


@dataclass(frozen=True)
class Rows:
    """Lengths of the decoder rows of all latents on both sides, and how alike they are."""

    left: Float64[np.ndarray, " d_sae"]
    """In the units of the activations."""
    right: Float64[np.ndarray, " d_sae"]
    cosine: Float64[np.ndarray, " d_sae"]
    """NaN where one of the two is 0; the same in both spaces."""


class DecoderNorms:
    """Compares the decoder rows d^left, d^right that each latent of a crosscoder has.

    `Δ_norm = ½ ((‖d^right‖ − ‖d^left‖) / max(‖d^left‖, ‖d^right‖) + 1)`, in [0, 1]: 0 writes to the
    left side alone, ½ to both alike, 1 to the right side alone. A latent is `left_only` below
    `one_sided`, `right_only` above 1 − `one_sided`, `shared` within `shared` of ½, else `other`.
    Latents whose rows are both 0 have no Δ_norm; they count in `decoder_norms.dead@1` alone.
    (`dec_norm_diff` of the diffing-toolkit has the opposite sign. The relative norm `r =
    ‖d^right‖/(‖d^left‖ + ‖d^right‖)` follows: Δ = r/(2(1 − r)) up to r = ½, else 3/2 − 1/(2r).)

    Two spaces, named by the axis `space`: `normalised`, the paper's, has the rows as they were
    trained; `raw` has them in the units of the activations. They differ where the crosscoder scales
    its two models by different numbers.

    | record | what it is |
    |---|---|
    | `decoder_norms.share@1` | share of the latents, by axis `place`, in [0, 1] |
    | `decoder_norms.median@1` | median Δ_norm, in [0, 1] |
    | `decoder_norms.cosine@1` | median cos(d^left, d^right) of the shared ones (normalised space) |
    | `decoder_norms.dead@1` | share of all latents with no row on either side |

    Table `latents`: the most one-sided latents of either end, in the normalised space. Arrays
    `delta_normalised`, `delta_raw`, `cosine`: Float64 [d_sae], NaN where undefined. No intervals:
    weights are no sample. Reads no activations.

    Source: arXiv 2504.02922; METHODS 2, section 1.
    """

    def __init__(self, options: DecoderNormsOptions) -> None:
        self.options = options

    def start(self, inputs: Inputs) -> State:
        """Nothing is counted."""
        return {}

    def update(self, state: State, batch: Batch) -> State:
        """Nothing is read."""
        return state

    def merge(self, left: State, right: State) -> State:
        """Nothing is counted."""
        return left

    def finish(self, state: State, inputs: Inputs) -> Outcome:
        """Records, the table and the arrays; ModelError for an SAE with one row a latent."""
        sae = inputs.saes[self.options.sae]
        if problem := without_two_rows(sae.facts, self.options.sae):
            raise ModelError(f"{problem.where} {problem.what}")
        rows = rows_of(sae)
        scales = scales_by_side(sae)
        deltas = {
            "normalised": delta_norm(rows.left * scales[0], rows.right * scales[1]),
            "raw": delta_norm(rows.left, rows.right),
        }
        axes = {"sae": self.options.sae, **site_axis(inputs, self.options.sae)}
        records = [
            record.on(**axes) for space in SPACES for record in self._shares(space, deltas[space])
        ]
        normalised = deltas["normalised"]
        records += [record.on(**axes) for record in self._others(normalised, rows.cosine)]
        arrays = {f"delta_{space}": deltas[space] for space in SPACES} | {"cosine": rows.cosine}
        table = [{**axes, **row} for row in self._table(deltas, rows.cosine)]
        return Outcome(tuple(records), {"latents": table}, arrays=arrays)

    def _shares(self, space: str, delta: Float64[np.ndarray, " d_sae"]) -> Iterator[Record]:
        alive = delta[~np.isnan(delta)]
        why = None if len(alive) else "no latent has a decoder row"
        counted: dict[str, Any] = {"n": len(alive), "n_of": "latents", "ci_why": _NO_INTERVAL}
        found = places(alive, self.options.one_sided, self.options.shared)
        for place in PLACES:
            yield number(
                "decoder_norms.share@1",
                float(np.mean(found == place)) if len(alive) else None,
                why,
                unit="share",
                options={"one_sided": self.options.one_sided, "shared": self.options.shared},
                axes={"space": space, "place": place},
                **counted,
            )
        median = float(np.median(alive)) if len(alive) else None
        axes = {"space": space}
        yield number("decoder_norms.median@1", median, why, unit="ratio", axes=axes, **counted)

    def _others(
        self, delta: Float64[np.ndarray, " d_sae"], cosine: Float64[np.ndarray, " d_sae"]
    ) -> Iterator[Record]:
        both = np.abs(delta - 0.5) <= self.options.shared
        among = cosine[both & ~np.isnan(cosine)]
        yield number(
            "decoder_norms.cosine@1",
            float(np.median(among)) if len(among) else None,
            None if len(among) else "no latent is shared",
            n=len(among),
            n_of="latents",
            unit="cosine",
            options={"shared": self.options.shared},
            ci_why=_NO_INTERVAL,
        )
        dead = float(np.mean(np.isnan(delta))) if len(delta) else None
        yield number(
            "decoder_norms.dead@1",
            dead,
            None if len(delta) else "there is no latent",
            n=len(delta),
            n_of="latents",
            unit="share",
            ci_why=_NO_INTERVAL,
        )

    def _table(
        self,
        deltas: dict[str, Float64[np.ndarray, " d_sae"]],
        cosine: Float64[np.ndarray, " d_sae"],
    ) -> Iterator[dict[str, Any]]:
        delta = deltas["normalised"]
        order = np.argsort(delta, kind="stable")[: np.count_nonzero(~np.isnan(delta))]
        ends = dict.fromkeys([*order[: self.options.table], *order[::-1][: self.options.table]])
        one_sided, shared = self.options.one_sided, self.options.shared
        for feature in sorted(ends, key=lambda j: (delta[j], j)):
            yield {
                "feature": int(feature),
                "place": str(places(delta[[feature]], one_sided, shared)[0]),
                "delta_normalised": float(delta[feature]),
                "delta_raw": float(deltas["raw"][feature]),
                "cosine": None if np.isnan(cosine[feature]) else float(cosine[feature]),
            }


def delta_norm(
    left: Float64[np.ndarray, " d_sae"], right: Float64[np.ndarray, " d_sae"]
) -> Float64[np.ndarray, " d_sae"]:
    """Δ_norm of rows of these lengths; NaN where both are 0."""
    larger = np.maximum(left, right)
    with np.errstate(invalid="ignore", divide="ignore"):
        found: np.ndarray = 0.5 * ((right - left) / larger + 1)
    return found


def places(delta: Float64[np.ndarray, " n"], one_sided: float, shared: float) -> np.ndarray:
    """Where each latent belongs, by its Δ_norm: one of `PLACES`."""
    conditions = [delta < one_sided, np.abs(delta - 0.5) <= shared, delta > 1 - one_sided]
    return np.select(conditions, PLACES[:3], PLACES[3])


def rows_of(sae: Sae) -> Rows:
    """Lengths and cosines of all decoder rows, some latents at a time."""
    facts, columns = sae.facts, sae.facts.columns()
    by_side = {one.side: part for one, part in zip(facts.inputs, columns, strict=True)}
    d_sae, d_in = facts.d_sae, facts.d_in
    assert d_sae is not None
    assert d_in is not None, "a loaded SAE knows its widths"
    step = max(1, _PIECE // d_in)
    pieces: list[np.ndarray] = []
    for start in range(0, d_sae, step):
        rows = sae.rows(torch.arange(start, min(start + step, d_sae))).detach().cpu().double()
        left, right = (rows[:, by_side[side]] for side in ("left", "right"))
        pieces.append(
            torch.stack([left.norm(dim=1), right.norm(dim=1), (left * right).sum(1)]).numpy()
        )
    left, right, product = np.concatenate(pieces, axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        cosine = np.where((left > 0) & (right > 0), product / (left * right), np.nan)
    return Rows(left, right, np.clip(cosine, -1, 1))


def scales_by_side(sae: Sae) -> tuple[float, float]:
    """What the activations of the left and the right side are multiplied with: 1 without any."""
    scales = sae.facts.scales or (1.0,) * len(sae.facts.inputs)
    found = dict(zip((one.side for one in sae.facts.inputs), scales, strict=True))
    return found["left"], found["right"]
