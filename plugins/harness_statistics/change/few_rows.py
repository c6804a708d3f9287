"""What few rows of an SAE's decoder could say of a change, whatever its encoder reads."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from jaxtyping import Float64

from harness.contract import Batch, Inputs, Outcome, Record, State
from harness.results.replicates import replicate_weights
from harness_statistics.change.drawn import Drawn, added, both, drawn, merged, unchanged
from harness_statistics.change.options import FewRowsOptions as Options
from harness_statistics.change.place import apart, both_sides, joined, started
from harness_statistics.change.pursuit import Pursued, decoder, pursued, random_rows
from harness_statistics.inputs import site_axis
from harness_statistics.records import drawn as drawn_record, number

FVU, GAIN, BEYOND, ROUNDING = (
    f"few_rows.{name}@1" for name in ("fvu", "gain", "beyond_random", "rounding")
)
WAYS = ("decoder", "random", "components")
"""Values of the axis `rows`."""
SAME = "both sides have the same activations: nothing changed"
Curves = Mapping[str, Float64[np.ndarray, "replicates steps"]]
_NO_ROOM = (
    "principal components say no more of the change than random rows do: it has many directions"
)
_NULL = {"kind": "random rows", "value": 0.0}
_STEP = {"float64": 2.0**-52, "float32": 2.0**-23, "float16": 2.0**-10, "bfloat16": 2.0**-7}
"""The relative step between two numbers of a dtype."""
_SHOWN = 1e-6
"""A row that says less than this share of the change is rounding, and not in the table."""
_LEAST = 1e-12
"""What random rows leave of a change below which nothing is left to say."""


class FewRows:
    """Writes each token's change with k decoder rows, and compares that with two other ways.

    Δh: Float64 `[tokens, d]`, right minus left at the site that the SAE writes to. For each token
    orthogonal matching pursuit chooses k unit rows, signed, one after the other, and refits them
    by least squares; `FVU(k) = Σ_t ‖Δh_t − Δĥ_t‖² / Σ_t ‖Δh_t‖²`. Any dictionary that spans the
    space reaches 0 for large k. So the axis `rows` has two others beside `decoder`: `random`, as
    many random unit vectors; and `components`, where Δĥ is the projection on the first k principal
    components of Δh (not centred), the same k for all tokens.

    | record | formula | axes |
    |---|---|---|
    | `few_rows.fvu@1` | FVU(k), in [0, 1] | `rows`, `k` |
    | `few_rows.gain@1` | `(FVU_random − FVU_decoder) / (FVU_random − FVU_components)` | `k` |
    | `few_rows.beyond_random@1` | `1 − FVU_decoder / FVU_random` | `k` |
    | `few_rows.rounding@1` | `ε_d² Σ_t (‖l‖² + ‖r‖²) / Σ_t ‖Δh‖²`, t the tokens that changed | |

    Both indices are 0 where decoder rows say no more than random ones: the change has a direction
    for which the dictionary has no word. `gain` is 1 where k rows say as much as any k directions
    could. It is undefined where components say no more than random rows: a change in many
    directions. `beyond_random` is 1 where k rows say all of it.

    A change along one direction is one draw: by chance a fresh one has a gain of some ±0.1 in few
    dimensions (d = 64 to 128 at k = 8), less in many.

    The encoder is not asked: a row counts though the SAE reads it badly, and with either sign.
    Compare with `fvu_change`, which asks the encoder.

    `rounding` is how much of the change the rounding of the models' activations may make: ε_d = ε +
    √d · ε₃₂, ε the step of their dtype, the coarser one's, ε₃₂ that of float32 (see
    `principal_components`). At 1 and above all of it may be rounding.

    Only `tokens` of them are looked at. They are drawn by ‖Δh‖² (priority sampling), so that a
    change on few tokens is seen; all are, exactly, where there are no more. Components are those of
    the sample. Intervals by its documents, with rows and components held fixed.
    Undefined where the two sides have the same activations (0/0).

    Table `features`: the decoder rows that say most: `share`, of Σ‖Δh‖², is what a row took off
    the residual when it was chosen, with the largest k.

    Source: METHODS 2, section 5; Pati et al. 1993 for the pursuit; Duffield et al. 2007 for the
    sample.
    """

    def __init__(self, given: Options) -> None:
        self.options = given

    def start(self, inputs: Inputs) -> State:
        """Nothing was read; where to read is known."""
        return started(inputs, self.options.sae)

    def update(self, state: State, batch: Batch) -> State:
        """Adds the changes of a batch to the sample."""
        if not len(batch.selected):
            return state
        left, right = both_sides(state, batch)
        change = unchanged(right.detach() - left.detach(), left, right)
        sums, place = apart(state)
        return added(sums, batch, change, both(change, left, right), self.options.tokens) | place

    def merge(self, left: State, right: State) -> State:
        """The sample of both."""
        return joined(left, right, lambda a, b: merged(a, b, self.options.tokens))

    def finish(self, state: State, inputs: Inputs) -> Outcome:
        """Writes the sample in three ways, and makes the records and the table."""
        sae = self.options.sae
        axes = {"pair": self.options.pair, "sae": sae, **site_axis(inputs, sae)}
        why = _undefined(state)
        if why:
            return Outcome(tuple(self._records({}, why, 0, 0, axes)), {"features": []})
        sample, steps = drawn(state, self.options.tokens), self.options.k[-1]
        loaded = inputs.saes[sae]
        assert loaded.facts.d_sae is not None, "a loaded SAE knows its width"
        d_sae, width = loaded.facts.d_sae, sample.units.shape[1]
        said = pursued(sample.units, decoder(loaded), steps)
        by_chance = pursued(sample.units, random_rows(d_sae, width, inputs.seed), steps)
        ways = {
            "decoder": said.left,
            "random": by_chance.left,
            "components": _components(sample, steps),
        }
        weights = _weights(sample, inputs.seed)
        with np.errstate(invalid="ignore"):  # a group without a document says nothing
            shares = weights / weights.sum(1, keepdims=True)
        curves = {name: shares @ left for name, left in ways.items()}
        documents = len(np.unique(sample.document))
        records = [
            *self._records(curves, None, len(sample.units), documents, axes),
            self._rounding(state, width, documents, inputs, axes),
        ]
        return Outcome(tuple(records), {"features": self._table(sample, said, axes)})

    def _records(
        self,
        curves: Curves,
        why: str | None,
        tokens: int,
        documents: int,
        axes: dict[str, str],
    ) -> Iterator[Record]:
        """For each k what each way leaves, and both indices; `curves` is empty with a `why`."""
        given: dict[str, Any] = {"n": tokens, "n_of": "tokens", "clusters": documents}
        given["options"] = {"tokens": self.options.tokens}
        for k in self.options.k:
            at = {name: left[:, k - 1] for name, left in curves.items()}
            for rows in WAYS:
                where = {**axes, "rows": rows, "k": k}
                yield drawn_record(FVU, at.get(rows), why, unit="ratio", axes=where, **given)
            where = {**axes, "k": k}
            for id, replicates, reason in _indices(at):
                yield drawn_record(
                    id, replicates, why or reason, unit="ratio", null=_NULL, axes=where, **given
                )

    def _rounding(
        self, state: State, width: int, documents: int, inputs: Inputs, axes: dict[str, str]
    ) -> Record:
        known = [dtype for dtype in inputs.dtypes.values() if dtype in _STEP]
        step = max((_STEP[dtype] for dtype in known), default=_STEP["float32"])
        carried = step + float(np.sqrt(width)) * min(step, _STEP["float32"])
        return number(
            ROUNDING,
            float(carried**2 * state["sides"][0] / state["square"][0]),
            None,
            n=int(state["tokens"][0]),
            n_of="tokens",
            clusters=documents,
            unit="share",
            ci_why="it follows from the dtype: nothing was drawn",
            axes=axes,
        )

    def _table(self, sample: Drawn, said: Pursued, axes: dict[str, str]) -> list[dict[str, Any]]:
        """The decoder rows by what they took off the residuals."""
        before = np.concatenate([np.ones((len(said.left), 1)), said.left[:, :-1]], 1)
        taken = (before - said.left) * sample.weight[:, None] / sample.weight.sum()
        shares = np.bincount(said.chosen.ravel(), taken.ravel())
        # Rounded before it is sorted: rows that differ in rounding alone are in order of index.
        order = np.argsort(-shares.round(12), kind="stable")[: self.options.table]
        return [
            {**axes, "feature": int(feature), "share": float(shares[feature])}
            for feature in order
            if shares[feature] > _SHOWN
        ]


def _undefined(state: State) -> str | None:
    """Why there is nothing to write; None where there is."""
    if "tokens" not in state:
        return "no token was selected"
    if not np.isfinite(state["square"][0]):
        return "the activations are not finite"
    return None if len(state.get("key", ())) else SAME


def _components(sample: Drawn, steps: int) -> Float64[np.ndarray, "tokens steps"]:
    """What the projection on the first 1, 2, … principal components leaves of each unit change."""
    root = sample.units * np.sqrt(sample.weight)[:, None]
    _, _, rows = np.linalg.svd(root, full_matrices=False)
    along = np.zeros((len(root), steps))
    kept = rows[:steps]
    along[:, : len(kept)] = np.square(sample.units @ kept.T)
    left: Float64[np.ndarray, "tokens steps"] = (1 - along.cumsum(1)).clip(min=0)
    return left


def _weights(sample: Drawn, seed: int) -> Float64[np.ndarray, "replicates tokens"]:
    """The weight of each token in each replicate of the documents; in the data, one."""
    documents, place = np.unique(sample.document, return_inverse=True)
    often = replicate_weights([str(one) for one in documents], seed)
    return np.asarray(often[:, place] * sample.weight)


def _indices(at: Mapping[str, np.ndarray]) -> Iterator[tuple[str, np.ndarray | None, str]]:
    """Both indices, replicate by replicate, each with what is wrong where it is undefined."""
    if not at:
        yield GAIN, None, ""
        yield BEYOND, None, ""
        return
    decoder, random, components = (at[name] for name in WAYS)
    with np.errstate(divide="ignore", invalid="ignore"):
        room = np.where(random - components > _LEAST, random - components, np.nan)
        yield GAIN, (random - decoder) / room, _NO_ROOM
        left = np.where(random > _LEAST, random, np.nan)
        yield BEYOND, 1 - decoder / left, "random rows leave nothing of the change"
