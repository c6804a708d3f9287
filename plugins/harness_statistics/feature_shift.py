"""Which features of an SAE changed between two models, and how."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from jaxtyping import Bool, Float

from harness.contract import Batch, Inputs, Outcome, PValues, Record, State
from harness_statistics import feature_shift_sums as sums
from harness_statistics.feature_shift_sums import Shift
from harness_statistics.inputs import site_axis, width
from harness_statistics.options import FeatureShiftOptions as Options
from harness_statistics.records import number
from harness_statistics.sums import Summed

Flags = Mapping[str, Bool[np.ndarray, " d_sae"]]
"""For each of `KINDS`, whether each feature changed in this way."""
KINDS = ("shifted", "appeared", "disappeared", "magnitude", "frequency")
"""Ways in which a feature changes; a record and an array for each."""
_TINY = 1e-300
"""Keeps a relative change of zero to zero from being 0/0."""


class FeatureShift(Summed):
    """Compares each feature's mean and frequency on the two sides of a pair.

    With z the latent of feature j, over all N selected tokens: μ = mean z (zeros included),
    f = share of tokens with z ≠ 0, Δμ = μ_right − μ_left with a standard error clustered by
    document, z = Δμ/SE. A feature is *present* on a side with f ≥ `delta` and at least `minimum`
    active tokens, *absent* with f < `epsilon`. The kinds, of which a feature may have several:

    | kind | condition |
    |---|---|
    | `shifted` | present on a side, |μ_right − μ_left| / max(|μ|, ε) > `divergence` |
    | `appeared` | absent left, present right |
    | `disappeared` | present left, absent right |
    | `magnitude` | present on both, the mean *where it is active* changes by > `divergence` |
    | `frequency` | present on both, larger f over smaller f > `ratio` |

    Records: `feature_shift.<kind>@1`, the share of the features that are present on either side,
    in [0, 1]; `n` counts these. Null: 0 for two identical models. Undefined with fewer than
    `minimum`/`delta` tokens, because then a present feature is fewer than `minimum` of them, and
    where no feature is present. Not symmetric: left is before, right after.

    Table `features`: the `table` features with the largest |Δμ| or |z|. Arrays: the same numbers
    of all features, and for each kind 1 where it holds. P values `feature_shift.mean@1`, for
    families: that Δμ is 0, of every feature that is active on a side (see `sums.no_shift`).
    Memory: six arrays `[d_sae]`, whatever the number of tokens.
    Source: METHODS.md section 5.
    """

    def __init__(self, given: Options) -> None:
        self.options = given

    def update(self, state: State, batch: Batch) -> State:
        """Adds a batch to the sums."""
        return sums.added(state, batch, self.options.sae)

    def finish(self, state: State, inputs: Inputs) -> Outcome:
        """Makes the records, the table and the arrays from the sums."""
        features = len(state["left"]) if "left" in state else width(inputs, self.options.sae)
        found = sums.shift(state, features)
        kinds = kinds_of(found, self.options)
        axes = {
            "pair": self.options.pair,
            "sae": self.options.sae,
            **site_axis(inputs, self.options.sae),
        }
        with np.errstate(divide="ignore", invalid="ignore"):
            z = np.where(found.se > 0, found.delta / found.se, np.nan)
        columns = {
            "mean_left": found.mean[0],
            "mean_right": found.mean[1],
            "delta": found.delta,
            "se": found.se,
            "z": z,
            "frequency_left": found.frequency[0],
            "frequency_right": found.frequency[1],
        }
        defined = self._too_few(found) is None
        table = list(self._rows(columns, found, kinds if defined else {}, axes))
        flags = {kind: holds.astype(np.int64) for kind, holds in kinds.items()}
        active = {"active_left": found.active[0], "active_right": found.active[1]}
        return Outcome(
            records=tuple(self._records(found, kinds, axes)),
            tables={"features": table},
            arrays={**columns, **active, **flags},
            p_values=(_tests(found, axes),),
        )

    def _too_few(self, found: Shift) -> str | None:
        if found.tokens >= self.options.fewest_tokens():
            return None
        needed = self.options.minimum / self.options.delta
        return (
            f"{found.tokens} tokens; delta = {self.options.delta:g} needs {needed:,.0f}, "
            f"so that {self.options.minimum} of them can be active"
        )

    def _records(self, found: Shift, kinds: Flags, axes: dict[str, str]) -> Iterator[Record]:
        present = int(np.count_nonzero(_present(found, self.options).any(0)))
        why = self._too_few(found) or (None if present else "no feature is active often enough")
        given = self.options.model_dump(mode="json", exclude={"pair", "sae", "table", "rank"})
        for kind in KINDS:
            yield number(
                f"feature_shift.{kind}@1",
                float(np.count_nonzero(kinds[kind]) / max(present, 1)),
                why,
                n=0 if why else present,
                n_of="features",
                unit="share",
                options=given,
                clusters=found.documents,
                ci_why="features of one SAE are not independent draws",
                null={"kind": "identical", "value": 0.0},
                axes=axes,
            )

    def _rows(
        self,
        columns: Mapping[str, Float[np.ndarray, " d_sae"]],
        found: Shift,
        kinds: Flags,
        axes: Mapping[str, str],
    ) -> Iterator[dict[str, Any]]:
        size = np.abs(columns[self.options.rank])
        size = np.where(np.isnan(size), -1.0, size)
        fired = np.flatnonzero(found.active[0] + found.active[1])
        order = fired[np.argsort(-size[fired], kind="stable")]
        for feature in order[: self.options.table]:
            values = {name: float(column[feature]) for name, column in columns.items()}
            yield {
                **axes,
                "feature": int(feature),
                **{name: value if np.isfinite(value) else None for name, value in values.items()},
                "kind": ", ".join(kind for kind, holds in kinds.items() if holds[feature]),
            }


def _tests(found: Shift, axes: Mapping[str, str]) -> PValues:
    """The test of every feature that was active on either side: of others nothing was asked."""
    fired = np.flatnonzero(found.active.sum(0))
    return PValues(
        "feature_shift.mean@1",
        sums.no_shift(found)[fired],
        "the same mean on both sides: t of the difference, clustered by document",
        items=fired,
        values=found.delta[fired],
        axes=axes,
    )


def kinds_of(found: Shift, given: Options) -> Flags:
    """For each of `KINDS`, whether each feature changed in this way."""
    left, right = _present(found, given)
    absent = found.frequency < given.epsilon
    where_active = found.mean * found.tokens / np.maximum(found.active, 1)
    both = left & right
    more, less = found.active.max(0), found.active.min(0)
    return {
        "shifted": (left | right) & (_relative(found.mean, given.epsilon) > given.divergence),
        "appeared": absent[0] & right,
        "disappeared": left & absent[1],
        "magnitude": both & (_relative(where_active, given.epsilon) > given.divergence),
        "frequency": both & (more > given.ratio * less),
    }


def _present(found: Shift, given: Options) -> Bool[np.ndarray, "2 d_sae"]:
    return found.active >= max(given.minimum, given.delta * found.tokens * (1 - 1e-12))


def _relative(sides: Float[np.ndarray, "2 d_sae"], epsilon: float) -> Float[np.ndarray, " d_sae"]:
    """|right − left| / max(|left|, |right|, ε): 0 where both are 0, at most 2."""
    size = np.maximum(np.abs(sides).max(0), max(epsilon, _TINY))
    return np.asarray(np.abs(sides[1] - sides[0]) / size)
