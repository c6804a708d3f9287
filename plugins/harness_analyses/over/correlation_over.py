"""Whether two numbers go together over an axis: sparsities, widths, layers, checkpoints."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from scipy import stats

from harness.contract import JSON, Findings, Outcome, Record
from harness.errors import listed
from harness.results import record_name
from harness.results.correlation import correlate, least_p, permutation_p
from harness_analyses.over.options import CorrelationOverOptions as Options, NumberOf
from harness_statistics.records import number

_CHOSEN = "the points were chosen, and are no draws of anything"


class CorrelationOver:
    """Correlates two numbers over the values of an axis of records, a point each.

    | record | what |
    |---|---|
    | `correlation_over.spearman@1` | Spearman's ρ of x and y over the points, in [−1, 1] |
    | `correlation_over.pearson@1` | Pearson's r, likewise |

    The `null` of each holds p, the share of orders of x in which the coefficient is as far from 0
    (all orders of up to 10 points, else drawn ones), and the smallest p that so many points could
    come to. There is no interval: SAEs, layers or checkpoints that somebody chose are no draws.
    Points where x or y is undefined are left out, and `n` counts the others.
    Undefined, with the reason: under three points, no variance, several records at a point, a value
    of the axis that is no number where x is the axis.
    Table `points`: every point with both numbers and the interval of y.
    Source: SAE as a Crystal Ball, Figures 4a to 4c and C.7, where a number stands at each of some
    widths, layers and sparsities.
    """

    def __init__(self, given: Options) -> None:
        self.options = given

    def run(self, findings: Findings) -> Outcome:
        """Makes both records and the table of points."""
        given = self.options
        ys, why = _at(findings.records, given.over, given.y, "y")
        xs, other = self._x(findings, ys)
        why = why or other
        points = [point for point in ys if point in xs]
        rows = [] if why else [self._row(point, xs[point], ys[point]) for point in points]
        kept = [row for row in rows if row["x"] is not None and row["y"] is not None]
        x, y = (np.array([row[name] for row in kept], dtype=float) for name in ("x", "y"))
        return Outcome(tuple(self._records(x, y, why, findings.seed)), {"points": rows})

    def _x(
        self, findings: Findings, ys: Mapping[JSON, Record]
    ) -> tuple[dict[JSON, float | None], str | None]:
        """x by point, or why there is none."""
        of = self.options.x
        if isinstance(of, NumberOf):
            found, why = _at(findings.records, self.options.over, of, "x")
            return {point: record.value for point, record in found.items()}, why
        told: dict[JSON, float | None] = {}
        for point in ys:
            value: object = point
            if of != "axis":
                facts = findings.saes.get(str(point))
                site = None if facts is None else facts.site
                value = None if facts is None else facts.d_sae
                value = (None if site is None else site.layer) if of == "layer" else value
            if isinstance(value, bool) or not isinstance(value, (int, float)):
                what = "is no number" if of == "axis" else f"has no {of} that is known"
                return {}, f"{self.options.over}={point} {what}"
            told[point] = float(value)
        return told, None

    def _row(self, point: JSON, x: float | None, y: Record) -> dict[str, Any]:
        low, high = y.ci or (None, None)
        return {
            self.options.over: point, "x": x, "y": y.value, "low": low, "high": high,
            "of": y.id, "unit": y.unit,
        }  # fmt: skip

    def _records(
        self, x: np.ndarray, y: np.ndarray, why: str | None, seed: int
    ) -> Iterator[Record]:
        given = self.options
        named = given.x.id if isinstance(given.x, NumberOf) else given.x
        names = given.over if named == "axis" else named, given.y.id
        found, reason = (None, why) if why else correlate(x, y, names, "points")
        ranks = stats.rankdata(x), stats.rankdata(y)
        for name, pair in (("spearman", ranks), ("pearson", (x, y))):
            null: dict[str, JSON] = {"kind": "x in any order", "value": 0.0}
            if found is not None:
                null["p"] = permutation_p(*pair, given.permutations, seed)
                null["least_p"] = least_p(len(x), given.permutations)
            yield number(
                f"correlation_over.{name}@1",
                None if found is None else getattr(found, name),
                reason,
                n=len(x),
                n_of="points",
                unit="coefficient",
                options=given.model_dump(mode="json"),
                ci_why=_CHOSEN,
                null=null,
                axes={"over": given.over, "x": names[0], "y": names[1]},
            )


def _at(
    records: Sequence[Record], over: str, of: NumberOf, name: str
) -> tuple[dict[JSON, Record], str | None]:
    """The one record at each value of the axis, or why they are not one each."""
    found: dict[JSON, list[Record]] = {}
    for record in records:
        point = record.axes.get(over)
        named = of.id in (record.id, record_name(record))
        if not named or not isinstance(point, (str, int, float)):
            continue
        if all(key in record.axes and record.axes[key] == of.where[key] for key in of.where):
            found.setdefault(point, []).append(record)
    if not found:
        wanted = "".join(f", {key}={value}" for key, value in of.where.items())
        return {}, f"no record {of.id}{wanted} has the axis {over}, for {name}"
    for point, mine in found.items():
        if len(mine) > 1:
            return {}, (
                f"{len(mine)} records {of.id} have {over}={point}, for {name}: they differ in "
                f"{listed(_differing(mine), 5)}. Say in where which one"
            )
    return {point: mine[0] for point, mine in found.items()}, None


def _differing(records: Sequence[Record]) -> list[str]:
    """The axes, and after them the options, in which records differ."""
    axes = dict.fromkeys(key for record in records for key in record.axes)
    told = [k for k in axes if len({str(record.axes.get(k)) for record in records}) > 1]
    return told or ["version or options"]
