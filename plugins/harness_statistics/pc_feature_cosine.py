"""How principal components of a change are aligned with an SAE's features."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np
import torch
from jaxtyping import Float64

from harness.contract import (
    Batch,
    Direction,
    Inputs,
    Outcome,
    PValues,
    Record,
    Sae,
    State,
    Undefined,
)
from harness.contract.sites import parse_site
from harness.errors import ModelError
from harness_statistics.cosine_null import as_large, largest_expected, largest_quantile
from harness_statistics.inputs import components
from harness_statistics.options import PcFeatureCosineOptions as Options
from harness_statistics.records import number
from harness_statistics.sums import Summed

_PIECE = 2**22
"""Numbers of decoder rows that are float64 at a time."""
_NULL = "the best of as many random unit vectors"


class PcFeatureCosine(Summed):
    """Computes a_ij = cos(v_i, W_dec[j]) of each component i with each decoder row j.

    v_i, W_dec[j]: in the space of the activations at the SAE's site, float64, both made unit
    vectors; a row of length 0 has cosine 0. Signed: a feature with a negative cosine is one that
    the change takes away.

    Records, for each `pc` and `sae`: `pc_feature_cosine.max_abs@1`, max_j |a_ij| in [0, 1], and
    `pc_feature_cosine.above_null@1`, the number of features whose |a_ij| is above what the best of
    d_sae random unit vectors stays below in 95% of draws. Null of the former: the expected
    max |cos| of d_sae random unit vectors in R^d, so that several widths compare.
    Table `features`: for each `pc` and `sae` the best aligned ones, by |a_ij|, ties by index.
    P values `pc_feature_cosine.cosine@1`, for families: of every component and feature, that a
    random unit vector is as near.
    Undefined where `pcs` is, and for components that it lacks: those beyond the rank of the
    change. Raises ModelError where it lives at another site, or an SAE's rows
    have another width.
    Source: arXiv 2605.11426; METHODS section 4.
    """

    def __init__(self, given: Options) -> None:
        self.options = given
        self.site = parse_site(given.site)

    def update(self, state: State, batch: Batch) -> State:
        """Does nothing: the statistic reads no activations."""
        return state

    def finish(self, state: State, inputs: Inputs) -> Outcome:
        """Compares the components with every SAE; makes the records and the table."""
        name = self.options.pcs
        found = components(inputs, name, self.site, "it is compared")
        saes = [sae for sae in self.options.saes if sae in inputs.saes]
        if isinstance(found, Undefined):
            return Outcome(tuple(self._undefined(sae, found.reason) for sae in saes))
        records: list[Record] = []
        rows: list[dict[str, Any]] = []
        tests: list[PValues] = []
        for sae in saes:
            cosines = _cosines(name, sae, inputs.saes[sae], found)
            records += self._records(sae, cosines, found.vectors.shape[1])
            records += self._missing(sae, found)
            rows += self._rows(sae, cosines)
            tests += self._tests(sae, cosines, found.vectors.shape[1])
        return Outcome(tuple(records), {"features": rows}, p_values=tuple(tests))

    def _records(
        self, sae: str, aligned: Float64[np.ndarray, "rank d_sae"], d: int
    ) -> Iterator[Record]:
        d_sae = aligned.shape[1]
        limit = largest_quantile(0.95, d_sae, d)
        expected = largest_expected(d_sae, d)
        for index, cosines in enumerate(np.abs(aligned)):
            above = float(np.count_nonzero(cosines > limit))
            numbers = (
                ("max_abs", float(cosines.max()), "cosine", {"value": expected, "q95": limit}),
                ("above_null", above, "features", {"value": -np.log(0.95)}),
            )
            for what, value, unit, null in numbers:
                yield number(
                    f"pc_feature_cosine.{what}@1",
                    value,
                    None,
                    n=d_sae,
                    n_of="features",
                    unit=unit,
                    ci_why="one set of vectors against another; no interval is computed for it",
                    null={"kind": _NULL, **null},
                    axes={**self._axes(sae), "pc": index + 1},
                )

    def _rows(
        self, sae: str, aligned: Float64[np.ndarray, "rank d_sae"]
    ) -> Iterator[dict[str, Any]]:
        for index, cosines in enumerate(aligned):
            order = np.argsort(-np.abs(cosines), kind="stable")[: self.options.table]
            for rank, feature in enumerate(order, 1):
                yield {
                    **self._axes(sae),
                    "pc": index + 1,
                    "rank": rank,
                    "feature": int(feature),
                    "cosine": float(cosines[feature]),
                }

    def _tests(
        self, sae: str, aligned: Float64[np.ndarray, "rank d_sae"], d: int
    ) -> Iterator[PValues]:
        """Of every component, the tests of all features, whichever of them the table lists."""
        for index, cosines in enumerate(aligned):
            yield PValues(
                "pc_feature_cosine.cosine@1",
                partial(as_large, cosines, d),
                "a random unit vector in place of the decoder row",
                values=cosines,
                axes={**self._axes(sae), "pc": index + 1},
            )

    def _missing(self, sae: str, found: Direction) -> Iterator[Record]:
        """Undefined records of the components that do not exist."""
        for pc, why in enumerate(found.missing, len(found.vectors) + 1):
            for what, unit in (("max_abs", "cosine"), ("above_null", "features")):
                id, axes = f"pc_feature_cosine.{what}@1", {**self._axes(sae), "pc": pc}
                yield number(id, None, why, n=0, n_of="features", unit=unit, ci_why=why, axes=axes)

    def _undefined(self, sae: str, reason: str) -> Record:
        id, axes = "pc_feature_cosine.max_abs@1", self._axes(sae)
        why = f"{self.options.pcs!r} is undefined: {reason}"
        return number(id, None, why, n=0, n_of="features", unit="cosine", ci_why=why, axes=axes)

    def _axes(self, sae: str) -> dict[str, str]:
        return {"pair": self.options.pair, "sae": sae, "site": self.options.site}


def _cosines(
    name: str, sae_name: str, sae: Sae, found: Direction
) -> Float64[np.ndarray, "rank d_sae"]:
    """The cosine of every component with every feature, some decoder rows at a time."""
    d, d_sae = found.vectors.shape[1], sae.facts.d_sae
    assert d_sae is not None, "a loaded SAE knows its width"
    units = found.vectors / np.linalg.norm(found.vectors, axis=1, keepdims=True)
    step = max(1, _PIECE // d)
    pieces = []
    for start in range(0, d_sae, step):
        rows = sae.rows(torch.arange(start, min(start + step, d_sae))).detach().cpu().double()
        if rows.shape[1] != d:
            raise ModelError(
                f"sae {sae_name!r}: its decoder rows have {rows.shape[1]} numbers, but "
                f"directions.{name} has {d}. Allowed: an SAE of the same model and site. "
                "Check the SAE's path"
            )
        lengths = rows.norm(dim=1).numpy()
        products = units @ rows.numpy().T
        pieces.append(products / np.where(lengths > 0, lengths, 1.0))
    cosines: Float64[np.ndarray, "rank d_sae"] = np.concatenate(pieces, axis=1).clip(-1.0, 1.0)
    return cosines
