"""The SAE-based transferability score: what fine-tuning on some data will touch elsewhere."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from harness.contract import JSON, Arrays, Findings, Outcome, Record
from harness.errors import DataError
from harness_analyses.transfer import options as sts_options
from harness_analyses.transfer.dimensions import change, concentration, overlap, ranked
from harness_analyses.transfer.moments import (
    Moments,
    Space,
    Variant,
    matching,
    moments,
    variants,
)
from harness_analyses.transfer.records import cosine, of_sums

_SPACES: tuple[Space, ...] = ("latents", "raw")


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

    def __init__(self, given: sts_options.Sts) -> None:
        self.options = given

    def run(self, findings: Findings) -> Outcome:
        """Records and the table of dimensions, for each variant of the statistics' sweep."""
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
        return Record(
            "shift.concentration@1",
            None,
            0,
            "tokens",
            "share",
            self.options.model_dump(mode="json"),
            ci_why=why,
            undefined=why,
            axes={"shift": self.options.shift, "space": "latents"},
        )


@dataclass(frozen=True)
class _Shift:
    """The dimensions chosen in one space."""

    space: Space
    moments: Moments
    change: Float[np.ndarray, " d"]
    dimensions: Int[np.ndarray, " m"]


class _Scores:
    """The records of one variant."""

    def __init__(self, given: sts_options.Sts, kept: Mapping[str, Variant]) -> None:
        self.given = given
        self.kept = kept
        self.common: dict[str, Any] = {"options": given.model_dump(mode="json")}
        self.shifts = self._shifts("shift")

    def rows(self) -> Iterator[dict[str, Any]]:
        """The chosen dimensions, with the share of the change that each has."""
        for shift in self.shifts:
            total = shift.change.sum()
            for rank, dimension in enumerate(shift.dimensions, self.given.ranks[0]):
                value = float(shift.change[dimension])
                yield {
                    "shift": self.given.shift,
                    "space": shift.space,
                    "rank": rank,
                    "dimension": int(dimension),
                    "change": value,
                    "share": value / float(total),
                }

    def records(self) -> Iterator[Record]:
        """All records."""
        for shift in self.shifts:
            yield from self._of_shift(shift)
        by_space = {shift.space: shift for shift in self.shifts}
        for domain, arrays in self.kept["domains"].domains.items():
            axes: dict[str, JSON] = {"domain": domain}
            latents = moments(arrays, "latents")
            yield self._act("sts.act@1", latents, by_space["latents"], axes)
            yield self._icl(latents, by_space["latents"], axes)
            if "raw" in by_space:
                raw = moments(arrays, "raw")
                yield self._act("sts.baseline.raw_activation@1", raw, by_space["raw"], axes)
                yield self._similarity(
                    "sts.baseline.domain_similarity@1",
                    raw,
                    by_space["raw"].moments.mean("left_sum"),
                    axes,
                )
        if "tuned_domains" in self.kept:
            for domain, arrays in self.kept["tuned_domains"].domains.items():
                yield self._pre_post(domain, arrays)

    # ── the shift ──

    def _shifts(self, key: str) -> list[_Shift]:
        arrays = self.kept[key].whole
        found = []
        for space in _SPACES:
            sums = moments(arrays, space)
            if space == "raw" and not sums.sums:
                continue
            if sums.n and "right_sum" not in sums.sums:
                name = getattr(self.given, key)
                raise DataError(
                    f"statistics.{name}: measures a view by itself, so nothing changes. Allowed "
                    f"for {key}: latent_moments of a pair."
                )
            if not sums.n:
                raise DataError(
                    f"statistics.{getattr(self.given, key)}: measured no token, so no dimension "
                    "can be chosen. Check its data and filters."
                )
            moved = change(sums, self.given.mode)
            found.append(_Shift(space, sums, moved, ranked(moved, *self.given.ranks)))
        return found

    def _of_shift(self, shift: _Shift) -> Iterator[Record]:
        axes: dict[str, JSON] = {"shift": self.given.shift, "space": shift.space}
        why = None if shift.change.sum() > 0 else "nothing changed"
        size = self.given.ranks[1] - self.given.ranks[0]
        random = len(shift.dimensions) / len(shift.change)

        def value(sums: Moments) -> float:
            return concentration(change(sums, self.given.mode), shift.dimensions)

        yield of_sums(
            "shift.concentration@1",
            value,
            shift.moments,
            "share",
            why,
            axes,
            null={"kind": "random dimensions", "value": random},
            **self.common,
        )
        if "tuned" not in self.kept:
            return
        tuned = next(s for s in self._shifts("tuned") if s.space == shift.space)
        nothing = why or (None if tuned.change.sum() > 0 else "the tuned model changed nothing")
        yield Record(
            "shift.overlap@1",
            None if nothing else overlap(shift.dimensions, tuned.dimensions, size),
            shift.moments.n,
            "tokens",
            "share",
            clusters=shift.moments.clusters,
            ci_why=nothing or "a choice of the largest does not vary smoothly with the documents",
            null={"kind": "random dimensions", "value": size / len(shift.change)},
            undefined=nothing,
            axes={**axes, "against": self.given.tuned},
            **self.common,
        )

    # ── the domains ──

    def _act(self, id: str, sums: Moments, shift: _Shift, axes: Mapping[str, JSON]) -> Record:
        name = "left_sum" if self.given.power == 1 else "left_square"
        unit = "activation" if self.given.power == 1 else "activation²"
        return self._summed(id, sums, shift, lambda of: of.mean(name), unit, None, axes)

    def _icl(self, sums: Moments, shift: _Shift, axes: Mapping[str, JSON]) -> Record:
        why = None
        if sums.n and "right_sum" not in sums.sums:
            why = f"{self.given.domains} measures a view by itself, without solved examples"
        mode = self.given.mode
        return self._summed(
            "sts.icl@1", sums, shift, lambda of: change(of, mode), "activation²", why, axes
        )

    def _summed(
        self,
        id: str,
        sums: Moments,
        shift: _Shift,
        each: Callable[[Moments], Float[np.ndarray, " d"]],
        unit: str,
        why: str | None,
        axes: Mapping[str, JSON],
    ) -> Record:
        """Σ over the chosen dimensions of what `each` says of them."""
        why = why or _nothing(sums, shift)
        null = None
        if why is None:
            random = len(shift.dimensions) / len(shift.change)
            null = {"kind": "random dimensions", "value": float(each(sums).sum()) * random}
            sums = sums.take(shift.dimensions)
        return of_sums(
            id, lambda of: float(each(of).sum()), sums, unit, why, axes, null=null, **self.common
        )

    def _similarity(
        self, id: str, sums: Moments, other: Float[np.ndarray, " d"], axes: Mapping[str, JSON]
    ) -> Record:
        why = None if sums.n else "no token of the domain was measured"
        return of_sums(
            id,
            lambda of: cosine(of.mean("left_sum"), other),
            sums,
            "cosine",
            why,
            axes,
            **self.common,
        )

    def _pre_post(self, domain: str, arrays: Arrays) -> Record:
        raw = moments(arrays, "raw")
        why = None if raw.n else "no token of the domain was measured"
        if raw.n and "right_sum" not in raw.sums:
            why = f"{self.given.tuned_domains} did not measure raw activations of a pair"
        return of_sums(
            "sts.baseline.pre_post_similarity@1",
            lambda of: cosine(of.mean("left_sum"), of.mean("right_sum")),
            raw,
            "cosine",
            why,
            {"domain": domain},
            null={"kind": "identical", "value": 1.0},
            **self.common,
        )


def _nothing(sums: Moments, shift: _Shift) -> str | None:
    if not sums.n:
        return "no token of the domain was measured"
    if not len(shift.dimensions):
        changed = int((shift.change > 0).sum())
        return f"only {changed} dimensions changed, so none has one of the ranks"
    return None
