"""Layers at which the features have changed while the activations look the same."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from harness.contract import Axes, Findings, Outcome, Record
from harness.results.by_site import block_site, token_condition
from harness.results.records import grouped
from harness_analyses.axes import axes_key, without
from harness_analyses.sae_fit.options import HiddenShiftOptions as Options
from harness_statistics.records import number

ID = "hidden_shift@1"
COSINE, OVERLAP, L1 = "cosine.raw@1", "latent_overlap.topk@1", "l1_divergence.normalized@1"
_ITSELF = "a verdict; the intervals of its cosine and overlap say how firm it is"


@dataclass(frozen=True)
class _Target:
    """One site, SAE, pair, data and category, and what was measured there."""

    axes: Axes
    cosine: Record | None
    overlap: Record
    l1: Record | None
    several: str | None = None
    """What was measured there more than once, with different options."""


class HiddenShift:
    """Flags the sites whose dense cosine is high while their sparse overlap is low.

    `hidden_shift@1` is 1 where `cosine.raw ≥ cosine` and `latent_overlap.topk < overlap`, else 0;
    for every target (pair, site, SAE, data, category) with an overlap. Undefined where one of the
    two is missing or undefined. Null: 0, two identical models have no shift.

    The table `hidden_shift` has a row for each, with a plain verdict: *hidden shift* as above;
    *open shift* where the cosine is below its threshold, so that no SAE is needed to see it; *no
    shift*. `firm` says whether both intervals lie on the same side of the thresholds as the
    values. Numbers of tokens that a metric's `where` chose by their cosine are passed over: the
    choice would be the answer.

    Source: METHODS section 5, whose thresholds are the defaults.
    """

    def __init__(self, options: Options) -> None:
        self.options = options

    def run(self, findings: Findings) -> Outcome:
        """Decides for every target that has an overlap; makes the records and the table."""
        targets = list(self._targets(findings.records))
        if not targets:
            why = "no latent_overlap.topk was measured on all tokens of a pair"
            return Outcome((self._record(None, why, n=0, ci_why=why),))
        rows = [self._row(target) for target in targets]
        records = [
            self._record(
                row["hidden_shift"],
                _missing(target),
                n=target.overlap.n,
                clusters=target.overlap.clusters,
                ci_why=_ITSELF,
                null={"kind": "identical", "value": 0.0},
                axes=target.axes,
            )
            for target, row in zip(targets, rows, strict=True)
        ]
        return Outcome(tuple(records), {"hidden_shift": rows})

    def _targets(self, records: Sequence[Record]) -> Iterator[_Target]:
        wanted = [record for record in records if self._wanted(record)]
        found = grouped(wanted, lambda record: (record.id, axes_key(record.axes)))
        for (id, key), overlaps in found.items():
            if id != OVERLAP:
                continue
            axes = overlaps[0].axes
            # Without an SAE a cosine is measured at sites alone.
            bare = axes_key(without(axes, ("sae",)))
            cosines = found.get((COSINE, key)) or found.get((COSINE, bare)) or []
            l1 = found.get((L1, key)) or []
            several = [same[0].id for same in (cosines, overlaps) if _differ(same)]
            yield _Target(
                axes,
                cosines[0] if cosines else None,
                overlaps[0],
                l1[0] if l1 and not _differ(l1) else None,
                " and ".join(several) or None,
            )

    def _wanted(self, record: Record) -> bool:
        pairs = self.options.pairs
        return not token_condition(record) and (pairs is None or record.axes.get("pair") in pairs)

    def _record(self, shifted: bool | None, why: str | None, **rest: Any) -> Record:
        value = None if shifted is None else float(shifted)
        options = self.options.model_dump(mode="json")
        return number(ID, value, why, n_of="tokens", unit="yes or no", options=options, **rest)

    def _row(self, target: _Target) -> dict[str, Any]:
        where, missing, given = _where(target.axes), _missing(target), self.options
        cosine, overlap, l1 = (
            None if record is None else record.value
            for record in (target.cosine, target.overlap, target.l1)
        )
        row: dict[str, Any] = {
            **{name: target.axes.get(name) for name in ("pair", "data", "domain", "site", "sae")},
            "cosine": cosine,
            "overlap": overlap,
            "l1": l1,
        }
        if missing is not None or cosine is None or overlap is None:
            unknown = f"unknown at {where}: {missing}"
            return {**row, "hidden_shift": None, "firm": None, "verdict": unknown}
        open_, moved = cosine < given.cosine, overlap < given.overlap
        what = "open shift" if open_ else "hidden shift" if moved else "no shift"
        far = f", L1 divergence {l1:.2f}" if l1 is not None and l1 > given.l1 else ""
        return {
            **row,
            "hidden_shift": moved and not open_,
            "firm": self._firm(target),
            "verdict": f"{what} at {where}: dense cosine {cosine:.2f}, "
            f"sparse overlap {overlap:.2f}{far}",
        }

    def _firm(self, target: _Target) -> bool | None:
        """Whether every value inside both intervals gives the same answer; None without them."""
        limits = ((target.cosine, self.options.cosine), (target.overlap, self.options.overlap))
        sides = []
        for record, limit in limits:
            if record is None or record.value is None or record.ci is None:
                return None
            sides.append({end >= limit for end in (*record.ci, record.value)})
        # One of the two is enough to rule a hidden shift out.
        ruled_out = sides[0] == {False} or sides[1] == {True}
        return ruled_out or all(len(side) == 1 for side in sides)


def _missing(target: _Target) -> str | None:
    if target.several is not None:
        return f"{target.several} was measured with several options: leave one to decide by"
    if target.cosine is None:
        return "no cosine.raw was measured there: add the metric cosine on the same pair"
    for record, name in ((target.cosine, "cosine.raw"), (target.overlap, "latent_overlap.topk")):
        if record.value is None:
            return f"{name} is undefined: {record.undefined}"
    return None


def _differ(records: Sequence[Record]) -> bool:
    return len({(record.value, record.n) for record in records}) > 1


def _where(axes: Mapping[str, Any]) -> str:
    """The place in words: `layer 3` for a block's output, other sites by their names."""
    site = block_site(axes.get("site"))
    return f"layer {site.layer}" if site and site.kind == "resid_post" else str(axes.get("site"))
