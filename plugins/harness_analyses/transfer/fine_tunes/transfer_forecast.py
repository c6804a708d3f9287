"""Whether forecasts of transfer came true, over several fine-tunes and all domains at once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from harness.contract import JSON, Axes, Findings, Outcome, Record
from harness.results.intervals import wilson
from harness_analyses.transfer.correlation import with_change
from harness_analyses.transfer.fine_tunes.intervals import (
    CLUSTERS,
    correlation_interval,
    difference_interval,
)
from harness_analyses.transfer.fine_tunes.measured import Forecast, Measured, forecast, measured
from harness_analyses.transfer.fine_tunes.options import TransferForecastOptions as Options
from harness_analyses.transfer.fine_tunes.panel import (
    WITHIN,
    Used,
    Within,
    pearson,
    shared,
    why_undefined,
)
from harness_analyses.transfer.fine_tunes.permutations import EXCHANGED, permutation_p
from harness_analyses.transfer.fine_tunes.power import planned, power
from harness_analyses.transfer.fine_tunes.rivals import rivals

_NO_INTERVAL = "a number about the samples at hand"
_NO_ASSOCIATION: dict[str, JSON] = {"kind": "no association", "value": 0.0}


class TransferForecast:
    """Correlates forecasts with |after − before| of the accuracy over (fine-tune, domain) samples.

    | record | what |
    |---|---|
    | `forecast.power@1` | chance that the interval of a true correlation (`plan`) lies above 0 |
    | `forecast.correlation@1` | Pearson's r of forecast and \\|change\\|, in [−1, 1] |
    | `forecast.difference@1` | r of a score less r of a baseline (axis `against`), same samples |
    | `forecast.permutation_p@1` | two-sided p of r, forecasts given out anew |
    | `forecast.change@1` | after − before of a sample, percentage points; over questions |
    | `forecast.shared@1` | share of what varies within fine-tunes that is alike in all, in [0, 1] |
    | `forecast.noise@1` | share of what \\|change\\| varies within fine-tunes that other questions explain |

    Axes. `forecast`: `sts.act`, `sts.icl`, or a baseline: those of `sts`; `base_accuracy` before;
    `token_overlap`, the share of a domain's tokens that the training data have; `shared_latents`, how
    many of the N most active latents of both are the same; and two that look at outcomes:
    `other_tunes`, the mean change of the domain in all other fine-tunes, and `probe`. `within`: whose
    means are taken off first (`fine-tune` is the headline, `nothing` pools all samples, `domain`).
    `samples`: `others`, without the domains that a fine-tune was trained on, is the headline, or
    `all`. `over`: what the interval is for, `fine-tunes` on these domains, or `either`, the wider of
    that and of other domains. `exchanged`: forecasts `apart` in each fine-tune, or whole domains
    `together`, which alone holds where changes are alike in all fine-tunes.
    Intervals leave out one fine-tune (domain) at a time, with t of one degree less than there are;
    see `intervals`. Power: `shares` `stated` or `measured`; n are simulated experiments.
    Undefined, with the reason: one fine-tune, no variance, a forecast that is undefined somewhere.
    DataError names a domain that is missing in a forecast or in the benchmark.
    Tables: `samples`, and `within`: r in each fine-tune by itself.
    Source: SAE as a Crystal Ball, section 4.2, for one fine-tune; the design is our own.
    """  # noqa: E501

    def __init__(self, given: Options) -> None:
        self.options = given

    def run(self, findings: Findings) -> Outcome:
        """The power first, then the changes and what each forecast has to do with them."""
        given = self.options
        common = {"options": given.model_dump(mode="json")}
        records = _power(_planned(given), given, "stated", {}, common)
        of, why = measured(findings, given)
        made = [] if of is None else forecast(findings, of)
        if of is None or not made:
            sts = given.tunes[0].sts
            why = why or f"analyses.{sts} and the others made no forecast by domain before this one"
            records += [_undefined(why, common)]
            return Outcome(tuple(records))
        run = _Run(given, of, findings.seed, common)
        tables: dict[str, list[dict[str, Any]]] = {}
        for samples in ("others", "all"):
            used = ~of.own if samples == "others" else np.ones_like(of.own)
            every = [*made, *rivals(findings, given, of, used)]
            records += run.records(every, used, samples)
            if samples == "others":
                tables = {"samples": run.samples(every), "within": run.within(every, used)}
        return Outcome(tuple(records), tables)


def _planned(given: Options) -> tuple[Used, tuple[float, float]]:
    own = sum(bool(one.own) for one in given.tunes)
    return planned(len(given.tunes), given.plan.domains, own), (given.plan.shared,) * 2


def _power(
    case: tuple[Used, tuple[float, float]],
    given: Options,
    shares: str,
    axes: Axes,
    common: dict[str, Any],
) -> list[Record]:
    """The chance to see the planned correlation, by both kinds of interval."""
    plan, (used, by) = given.plan, case
    found = []
    for over in CLUSTERS:
        few = used.shape[0] < 3 or (over == "either" and used.shape[1] < 3)
        why = "there will be no interval over so few fine-tunes or domains" if few else None
        if np.isnan(by).any():
            why = "what varies within fine-tunes could not be measured"
        hits = 0 if why else power(used, plan.correlation, by, over, plan.draws, 0)
        found.append(
            Record(
                "forecast.power@1",
                None if why else hits / plan.draws,
                plan.draws,
                "simulated experiments",
                "probability",
                ci=None if why else wilson(hits, plan.draws),
                ci_why=why,
                undefined=why,
                axes={**axes, "correlation": plan.correlation, "shares": shares, "over": over},
                **common,
            )
        )
    return found


def _undefined(why: str, common: dict[str, Any]) -> Record:
    return Record(
        "forecast.correlation@1", None, 0, "samples", "coefficient", ci_why=why, undefined=why,
        null=_NO_ASSOCIATION, **common,
        axes={"within": "fine-tune", "samples": "others", "over": "fine-tunes"},
    )  # fmt: skip


@dataclass(frozen=True)
class _Run:
    """The records and rows of one panel."""

    given: Options
    of: Measured
    seed: int
    common: dict[str, Any]

    def records(self, every: Sequence[Forecast], used: Used, samples: str) -> Iterator[Record]:
        """All records of these samples: the changes and shares once, with the headline."""
        if samples == "others":
            yield from self._powers(every, used)
            yield from self._changes()
            yield from self._shares(every, used)
        for one in every:
            for within in WITHIN:
                axes: Axes = {**self._axes(one), "within": within, "samples": samples}
                yield from self._correlations(one, used, within, axes)
        if samples == "others":
            for score in (one for one in every if not one.baseline):
                for rival in (one for one in every if one.baseline and _fits(score, one)):
                    for within in WITHIN:
                        yield from self._differences(score, rival, used, within)

    def samples(self, every: Sequence[Forecast]) -> list[dict[str, Any]]:
        """A row for each sample: what was forecast of it, and what happened."""
        rows = []
        for i, (tune, changes) in enumerate(zip(self.of.tunes, self.of.changes, strict=True)):
            for j, domain in enumerate(self.of.domains):
                change = changes[domain]
                rows.append({
                    "fine_tune": tune.name, "domain": change.domain,
                    "own": bool(self.of.own[i, j]), "before": change.before,
                    "after": change.after, "change": change.points,
                    **{one.column: _value(one.values[i, j]) for one in every},
                })  # fmt: skip
        return rows

    def within(self, every: Sequence[Forecast], used: Used) -> list[dict[str, Any]]:
        """Pearson's r in each fine-tune by itself, where there is one."""
        rows = []
        for i, tune in enumerate(self.of.tunes):
            kept = used[i]
            row: dict[str, Any] = {"fine_tune": tune.name, "domains": int(kept.sum())}
            for one in every:
                found, _ = with_change(one.values[i, kept], self.of.size[i, kept])
                row[one.column] = None if one.why or found is None else found.pearson
            rows.append(row)
        return rows

    # ── records ──

    def _axes(self, one: Forecast) -> Axes:
        return {"forecast": one.name, **one.axes}

    def _powers(self, every: Sequence[Forecast], used: Used) -> Iterator[Record]:
        change = shared(self.of.size, used)
        for one in every:
            if not one.baseline and one.why is None:
                shares = (shared(one.values, used), change)
                yield from _power(
                    (used, shares), self.given, "measured", self._axes(one), self.common
                )

    def _changes(self) -> Iterator[Record]:
        for tune, changes in zip(self.of.tunes, self.of.changes, strict=True):
            for domain in self.of.domains:
                one = changes[domain]
                yield Record(
                    "forecast.change@1", one.points, one.n, "questions", "percentage points",
                    clusters=one.clusters, ci=one.ci, ci_why=one.ci_why,
                    null=one.null, **self.common,
                    axes={"fine_tune": tune.name, "domain": one.domain},
                )  # fmt: skip

    def _shares(self, every: Sequence[Forecast], used: Used) -> Iterator[Record]:
        alike: list[tuple[Axes, Any, str | None]] = [({"of": "change"}, self.of.size, None)]
        alike += [({"of": one.name, **one.axes}, one.values, one.why) for one in every]
        for axes, values, why in alike:
            value = float("nan") if why else shared(values, used)
            yield self._plain("forecast.shared@1", value, why, used, axes)
        size, noise = self.of.size, self.of.noise
        # The variance of what is left when each fine-tune's mean is off.
        rows = used & (used.sum(1, keepdims=True) > 1)
        centre = np.where(rows, size, 0).sum(1, keepdims=True) / np.maximum(rows.sum(1), 1)[:, None]
        free = rows.sum() - rows.any(1).sum()
        spread = float(np.square(size - centre)[rows].sum()) / free if free else 0.0
        value = float(np.mean(noise[rows])) / spread if spread > 0 else float("nan")
        yield self._plain("forecast.noise@1", min(value, 1.0) if value == value else value, None,
                          used, {"of": "change"})  # fmt: skip

    def _plain(self, id: str, value: float, why: str | None, used: Used, axes: Axes) -> Record:
        if why is None and np.isnan(value):
            why = "nothing varies within fine-tunes, or a sample has no interval"
        return Record(
            id, None if why else value, int(used.sum()), "samples", "share",
            clusters=int(used.any(1).sum()), ci_why=why or _NO_INTERVAL, undefined=why, axes=axes,
            **self.common,
        )  # fmt: skip

    def _correlations(
        self, one: Forecast, used: Used, within: Within, axes: Axes
    ) -> Iterator[Record]:
        x, y = one.values, self.of.size
        why = one.why or one.barred.get(within) or why_undefined(x, y, used, within)
        value = None if why else float(pearson(x, y, used, within))
        counted = {"n": int(used.sum()), "n_of": "samples", "clusters": int(used.any(1).sum())}
        for over in CLUSTERS:
            ci, ci_why = (None, why) if why else correlation_interval(x, y, used, within, over)
            yield Record(
                "forecast.correlation@1", value, unit="coefficient", ci=ci, ci_why=ci_why,
                null=_NO_ASSOCIATION, undefined=why, axes={**axes, "over": over}, **counted,
                **self.common,
            )  # fmt: skip
        for way in EXCHANGED:
            most = self.given.permutations
            p = None if why else permutation_p(x, y, used, within, way, most, self.seed)
            tested = {"kind": "forecasts given out anew", "p": p, "least_p": 1 / (1 + most)}
            yield Record(
                "forecast.permutation_p@1", p, unit="probability", ci_why=why or _NO_INTERVAL,
                null=None if why else tested, undefined=why, axes={**axes, "exchanged": way},
                **counted, **self.common,
            )  # fmt: skip

    def _differences(
        self, score: Forecast, rival: Forecast, used: Used, within: Within
    ) -> Iterator[Record]:
        pair, y = (score.values, rival.values), self.of.size
        reasons = [
            one.why or one.barred.get(within) or why_undefined(one.values, y, used, within)
            for one in (score, rival)
        ]
        why = reasons[0] or (f"{rival.name}: {reasons[1]}" if reasons[1] else None)
        first, second = (0.0, 0.0) if why else (float(pearson(x, y, used, within)) for x in pair)
        axes = {**rival.axes, **self._axes(score), "against": rival.name, "within": within}
        for over in CLUSTERS:
            ci, ci_why = (None, why) if why else difference_interval(pair, y, used, within, over)
            yield Record(
                "forecast.difference@1", None if why else first - second, int(used.sum()),
                "samples", "coefficient", clusters=int(used.any(1).sum()), ci=ci, ci_why=ci_why,
                null={"kind": "as good as the baseline", "value": 0.0}, undefined=why,
                axes={**axes, "samples": "others", "over": over}, **self.common,
            )  # fmt: skip


def _fits(score: Forecast, rival: Forecast) -> bool:
    """Whether both are of the same variant of a sweep; axes that one lacks tell nothing apart."""
    both = score.axes.keys() & rival.axes.keys()
    return all(score.axes[key] == rival.axes[key] for key in both)


def _value(number: float) -> float | None:
    return None if np.isnan(number) else float(number)
