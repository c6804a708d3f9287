"""The SAE-based transferability score: what fine-tuning on some data will touch elsewhere."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from harness.contract import JSON, Arrays, Findings, Outcome, Record
from harness.errors import DataError
from harness_analyses.transfer.dimensions import change, concentration, overlap, ranked
from harness_analyses.transfer.moments import (
    SPACES,
    Moments,
    Space,
    Variant,
    matching,
    moments,
    variants,
)
from harness_analyses.transfer.options import StsOptions as Options
from harness_analyses.transfer.records import cosine, of_sums
from harness_statistics.records import number


class Sts:
    """Forecasts, for each domain, how much fine-tuning will change it; nothing is trained.

    With h the latents, l the query by itself, r after solved examples, and D the dimensions whose
    change has one of the `ranks`:

    | record | formula | unit |
    |---|---|---|
    | `sts.act@1` | E Σ_{j∈D} h_j (power 2: h_j²), of the domain's queries by themselves | activation |
    | `sts.icl@1` | Σ_{j∈D} of the domain's own change (see `mode`) after its examples | activation² |
    | `shift.concentration@1` | Σ_{j∈D} change / Σ_j change | share |
    | `shift.overlap@1` | \\|D ∩ D_tuned\\| / N, N = end − first | share |
    | `sts.baseline.raw_activation@1` | sts.act with raw dimensions in place of latents | activation |
    | `sts.baseline.domain_similarity@1` | cos of the mean activations of domain and training data | cosine |
    | `sts.baseline.pre_post_similarity@1` | cos of a domain's mean activation before and after | cosine |

    Axes: `domain` for all but the shift's; `shift` names the statistic, `against` the other one,
    `space` is `latents` or `raw` (the control without an SAE, where `raw` was measured). Intervals
    are over documents, for the dimensions as they were chosen; an overlap has none, as a choice of
    the largest does not vary smoothly. `null`: the expectation for as many dimensions at random.
    Undefined where a domain has no token, the domains are no pair, or nothing changed.
    Table `dimensions`: each of D with its change. Source: SAE as a Crystal Ball, sections 3 and 4.
    """  # noqa: E501

    def __init__(self, given: Options) -> None:
        self.options = given

    def run(self, findings: Findings) -> Outcome:
        """Makes the records and the table of dimensions, for each variant of the sweep."""
        kept: dict[str, list[Variant]] = {}
        for key in ("shift", "domains", "tuned", "tuned_domains"):
            name = getattr(self.options, key)
            if name is not None:
                kept[key] = variants(findings.arrays, name)
                if not kept[key]:
                    return Outcome((self._undefined(f"statistics.{name} kept no arrays"),))
        records: list[Record] = []
        rows: list[dict[str, Any]] = []
        for variant in kept["domains"]:
            chosen = {key: matching(variant, kept[key], getattr(self.options, key)) for key in kept}
            if not variant.domains:
                raise DataError(
                    f"statistics.{self.options.domains}: has no categories. Allowed: data with "
                    "`by`, the column that holds the domain."
                )
            made = _Scores(self.options, chosen)
            records += [record.on(**variant.axes) for record in made.records()]
            rows += [{**variant.axes, **row} for row in made.rows()]
        return Outcome(tuple(records), {"dimensions": rows} if rows else {})

    def _undefined(self, why: str) -> Record:
        return number(
            "shift.concentration@1",
            None,
            why,
            n=0,
            n_of="tokens",
            unit="share",
            options=self.options.model_dump(mode="json"),
            ci_why=why,
            axes={"shift": self.options.shift, "space": "latents"},
        )


@dataclass(frozen=True)
class _Shift:
    """The change of every dimension of one space, and the dimensions that it chooses."""

    moments: Moments
    change: Float[np.ndarray, " d"]
    dimensions: Int[np.ndarray, " m"]

    @property
    def random(self) -> float:
        """The share of all dimensions that is chosen."""
        return len(self.dimensions) / len(self.change)


class _Scores:
    """The records and rows of one variant of the statistics' sweep."""

    def __init__(self, given: Options, kept: Mapping[str, Variant]) -> None:
        self.given = given
        self.kept = kept
        self.common: dict[str, Any] = {"options": given.model_dump(mode="json")}
        self.shifts = self._shifts("shift")

    def rows(self) -> Iterator[dict[str, Any]]:
        """The chosen dimensions, with the share of the change that each has."""
        for space, shift in self.shifts.items():
            total = shift.change.sum()
            for rank, dimension in enumerate(shift.dimensions, self.given.ranks[0]):
                value = float(shift.change[dimension])
                yield {
                    "shift": self.given.shift,
                    "space": space,
                    "rank": rank,
                    "dimension": int(dimension),
                    "change": value,
                    "share": value / float(total),
                }

    def records(self) -> Iterator[Record]:
        """The records of the shift, then those of every domain."""
        for space in self.shifts:
            yield from self._shift_records(space)
        for domain, arrays in self.kept["domains"].domains.items():
            yield from self._domain_records({"domain": domain}, arrays)
        if "tuned_domains" in self.kept:
            for domain, arrays in self.kept["tuned_domains"].domains.items():
                yield self._pre_post({"domain": domain}, moments(arrays, "raw"))

    # ── the shift ──

    def _shifts(self, key: str) -> dict[Space, _Shift]:
        name, found = getattr(self.given, key), dict[Space, _Shift]()
        for space in SPACES:
            sums = moments(self.kept[key].whole, space)
            if space == "raw" and not sums.sums:
                continue
            if sums.n and "right_sum" not in sums.sums:
                raise DataError(
                    f"statistics.{name}: measures a view by itself, so nothing changes. Allowed "
                    f"for {key}: latent_moments of a pair."
                )
            if not sums.n:
                raise DataError(
                    f"statistics.{name}: measured no token, so no dimension can be chosen. Check "
                    "its data and filters."
                )
            moved = change(sums, self.given.mode)
            found[space] = _Shift(sums, moved, ranked(moved, *self.given.ranks))
        return found

    def _shift_records(self, space: Space) -> Iterator[Record]:
        shift, sums = self.shifts[space], self.shifts[space].moments
        axes: dict[str, JSON] = {"shift": self.given.shift, "space": space}
        why = None if shift.change.sum() > 0 else "nothing changed"

        def concentrated(of: Moments) -> float:
            return concentration(change(of, self.given.mode), shift.dimensions)

        id, null = "shift.concentration@1", {"kind": "random dimensions", "value": shift.random}
        yield of_sums(id, concentrated, sums, "share", why, axes, null=null, **self.common)
        if "tuned" not in self.kept:
            return
        tuned = self._shifts("tuned")[space]
        size = self.given.ranks[1] - self.given.ranks[0]
        yield number(
            "shift.overlap@1",
            overlap(shift.dimensions, tuned.dimensions, size),
            why or (None if tuned.change.sum() > 0 else "the tuned model changed nothing"),
            n=sums.n,
            n_of="tokens",
            unit="share",
            clusters=sums.clusters,
            ci_why="a choice of the largest does not vary smoothly with the documents",
            null={"kind": "random dimensions", "value": size / len(shift.change)},
            axes={**axes, "against": self.given.tuned},
            **self.common,
        )

    # ── the domains ──

    def _domain_records(self, axes: dict[str, JSON], arrays: Arrays) -> Iterator[Record]:
        linear = self.given.power == 1
        name, unit = ("left_sum", "activation") if linear else ("left_square", "activation²")

        def active(of: Moments) -> Float[np.ndarray, " d"]:
            return of.mean(name)

        def changed(of: Moments) -> Float[np.ndarray, " d"]:
            return change(of, self.given.mode)

        sums, shift = moments(arrays, "latents"), self.shifts["latents"]
        yield self._summed("sts.act@1", active, sums, shift, unit, None, axes)
        why = None
        if sums.n and "right_sum" not in sums.sums:
            why = f"{self.given.domains} measures a view by itself, without solved examples"
        yield self._summed("sts.icl@1", changed, sums, shift, "activation²", why, axes)
        if "raw" not in self.shifts:
            return
        sums, shift = moments(arrays, "raw"), self.shifts["raw"]
        training = shift.moments.mean("left_sum")

        def similarity(of: Moments) -> float:
            return cosine(of.mean("left_sum"), training)

        id = "sts.baseline.raw_activation@1"
        yield self._summed(id, active, sums, shift, unit, None, axes)
        id = "sts.baseline.domain_similarity@1"
        yield of_sums(id, similarity, sums, "cosine", None, axes, **self.common)

    def _summed(
        self,
        id: str,
        each: Callable[[Moments], Float[np.ndarray, " d"]],
        sums: Moments,
        shift: _Shift,
        unit: str,
        why: str | None,
        axes: Mapping[str, JSON],
    ) -> Record:
        """A record of Σ over the chosen dimensions of `each`, a number for each dimension."""

        def total(of: Moments) -> float:
            return float(each(of).sum())

        null = None
        if sums.n and why is None and not len(shift.dimensions):
            changed = int((shift.change > 0).sum())
            why = f"only {changed} dimensions changed, so none has one of the ranks"
        if sums.n and why is None:
            null = {"kind": "random dimensions", "value": total(sums) * shift.random}
            sums = sums.take(shift.dimensions)
        return of_sums(id, total, sums, unit, why, axes, null=null, **self.common)

    def _pre_post(self, axes: Mapping[str, JSON], raw: Moments) -> Record:
        why = None
        if raw.n and "right_sum" not in raw.sums:
            why = f"{self.given.tuned_domains} did not measure raw activations of a pair"

        def similarity(of: Moments) -> float:
            return cosine(of.mean("left_sum"), of.mean("right_sum"))

        id, null = "sts.baseline.pre_post_similarity@1", {"kind": "identical", "value": 1.0}
        return of_sums(id, similarity, raw, "cosine", why, axes, null=null, **self.common)
