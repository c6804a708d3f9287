"""Whether a forecast of transfer came true: correlations over domains."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from harness.contract import Axes, Findings, Outcome, Record
from harness.errors import DataError, listed
from harness.results.correlation import least_p, permutation_p
from harness_analyses.transfer import ridge_probe
from harness_analyses.transfer.accuracy_change import Change, changes, key
from harness_analyses.transfer.correlation import (
    Domains,
    bootstrap,
    extremes,
    leave_one_out,
    with_change,
)
from harness_analyses.transfer.moments import SPACES, moments, variants
from harness_analyses.transfer.options import TransferCorrelationOptions as Options
from harness_analyses.transfer.records import forecasts


@dataclass(frozen=True)
class _Forecast:
    """One forecast, in one variant of the sweep of its analysis."""

    name: str
    axes: Axes
    values: Mapping[str, float | None]
    """By domain (see `key`); None where it is undefined."""

    @property
    def column(self) -> str:
        """Its name in tables: `sts.act[layer=3]`."""
        inside = ",".join(f"{k}={v}" for k, v in self.axes.items())
        return f"{self.name}[{inside}]" if inside else self.name


class TransferCorrelation:
    """Correlates the forecasts of an `sts` with |after − before| of the accuracy, in points.

    | record | what |
    |---|---|
    | `accuracy.change@1` | after − before of a domain, percentage points; interval over questions |
    | `sts.correlation.pearson@1`, `.spearman@1`, `.r2@1` | with \\|change\\|, over domains |
    | `sts.correlation.permutation_p@2` | share of orders of the forecasts with \\|r\\| as large |
    | `sts.correlation.leave_one_out_min@1`, `_max@1` | Pearson's r without one of the domains |

    Axes: `forecast` (`sts.act`, `sts.icl`, a baseline), `domains`: `all` is the headline,
    `extremes` only the domains of the largest and of the smallest change, as in the paper: chosen
    on the outcome, which inflates r (their options say so, and they have no interval). Intervals
    draw domains. The probe's prediction is made without the domain itself.
    p counts all orders of up to 10 domains, and `permutations` drawn ones of more; version 1 took
    twice the smaller tail, always of drawn ones.
    Undefined, with the reason: under three domains, no variance, a forecast that is undefined, no
    forecast or no accuracy at all. DataError names a domain that is missing before, after, or in
    the forecast.
    Tables: `changes`, `leave_one_out`. Source: SAE as a Crystal Ball, section 4.2 and figure 3.
    """

    def __init__(self, given: Options) -> None:
        self.options = given

    def run(self, findings: Findings) -> Outcome:
        """Measures the changes, correlates every forecast with them; makes records and tables."""
        given = self.options
        measured = changes(findings, given.before, given.after, given.evaluator)
        every = [
            _Forecast(name, dict(at), {key(str(one.axes["domain"])): one.value for one in its})
            for (name, at), its in forecasts(findings.records, given.sts).items()
        ]
        if not measured or not every:
            missing = (
                f"{given.before.experiment} or {given.after.experiment} has no accuracy by domain"
                if every
                else f"analyses.{given.sts} made no forecast by domain before this analysis"
            )
            none = np.array([])
            return Outcome(tuple(self._over("all", none, none, missing, {}, findings.seed)))
        y = np.array([abs(change.points) for change in measured.values()])
        every += self._probes(findings, measured, y)
        records = [self._change(change) for change in measured.values()]
        rows: list[dict[str, Any]] = []
        for forecast in every:
            _same_domains(forecast, measured, given.sts)
            values = [forecast.values[domain] for domain in measured]
            x = np.array([np.nan if value is None else value for value in values], dtype=float)
            unknown = [domain for domain in measured if forecast.values[domain] is None]
            why = f"the forecast of {listed(unknown)} is undefined" if unknown else None
            at = {"forecast": forecast.name, **forecast.axes}
            records += self._records(x, y, why, at, findings.seed)
            if why is None:
                rows += [
                    {"forecast": forecast.column, "left_out": change.domain, "pearson": r}
                    for change, r in zip(measured.values(), leave_one_out(x, y), strict=True)
                ]
        table = [
            {
                "domain": change.domain,
                "before": change.before,
                "after": change.after,
                "change": change.points,
                **{forecast.column: forecast.values[domain] for forecast in every},
            }
            for domain, change in measured.items()
        ]
        return Outcome(tuple(records), {"changes": table, "leave_one_out": rows})

    def _change(self, change: Change) -> Record:
        return Record(
            "accuracy.change@1",
            change.points,
            change.n,
            "questions",
            "percentage points",
            self.options.model_dump(mode="json"),
            change.clusters,
            change.ci,
            change.ci_why,
            change.null,
            axes={"domain": change.domain},
        )

    def _records(
        self, x: Domains, y: Domains, why: str | None, at: Axes, seed: int
    ) -> Iterator[Record]:
        """The correlations of one forecast, over all domains and over the extreme ones."""
        yield from self._over("all", x, y, why, at, seed)
        each = self.options.extremes
        if each:
            few = f"there are {len(y)} domains, and the extremes would be {2 * each} of them"
            chosen = extremes(y, each) if 2 * each < len(y) else np.arange(0)
            none = why or (None if len(chosen) else few)
            yield from self._over("extremes", x[chosen], y[chosen], none, at, seed)

    def _over(
        self, domains: str, x: Domains, y: Domains, why: str | None, at: Axes, seed: int
    ) -> Iterator[Record]:
        """The correlations over all domains, or over the extreme ones."""
        given = self.options
        options = given.model_dump(mode="json")
        found, reason = (None, why) if why else with_change(x, y)
        intervals, ci_why = None, None
        if domains != "all":
            options["chosen_on"] = "the outcome"
            ci_why = "the domains were chosen on the outcome"
        elif found is not None:
            intervals, ci_why = bootstrap(x, y, given.draws, seed)
        without = [r for r in leave_one_out(x, y) if r is not None] if found else []
        few = reason or (None if without else "without one domain there are too few")
        p = permutation_p(x, y, given.permutations, seed) if found else None
        null = {"kind": "no association", "value": 0.0}
        tested = None if p is None else {"kind": "forecasts in another order", "p": p}
        if tested is not None:
            tested["least_p"] = least_p(len(x), given.permutations)
        numbers = (
            ("pearson", found.pearson if found else None, "coefficient", reason, null),
            ("spearman", found.spearman if found else None, "coefficient", reason, null),
            ("r2", found.r2 if found else None, "share", reason, null),
            ("permutation_p", p, "probability", reason, tested),
            ("leave_one_out_min", min(without, default=None), "coefficient", few, None),
            ("leave_one_out_max", max(without, default=None), "coefficient", few, None),
        )
        for name, value, unit, undefined, expected in numbers:
            ci = (intervals or {}).get(name)
            yield Record(
                f"sts.correlation.{name}@{2 if name == 'permutation_p' else 1}",
                value,
                len(x),
                "domains",
                unit,
                options,
                len(x),
                ci,
                None if ci else undefined or ci_why or "a number about the domains at hand",
                expected,
                undefined=None if value is not None else undefined,
                axes={**at, "domains": domains},
            )

    def _probes(
        self, findings: Findings, measured: Mapping[str, Change], y: Domains
    ) -> Iterator[_Forecast]:
        """What a ridge regression predicts of each domain from its mean activations."""
        statistic = self.options.probe
        if statistic is None:
            return
        for variant in variants(findings.arrays, statistic):
            domains = {key(name): arrays for name, arrays in variant.domains.items()}
            missing = [change.domain for d, change in measured.items() if d not in domains]
            if missing:
                raise DataError(
                    f"statistics.{statistic}: did not measure the domain {listed(missing)}. Give "
                    "its data a row of every domain."
                )
            for space in SPACES:
                sums = [moments(domains[domain], space) for domain in measured]
                if any("left_sum" not in one.sums for one in sums):
                    continue
                predicted: list[float | None] = [None] * len(y)
                if len(y) >= ridge_probe.FEWEST:
                    means = np.array([one.mean("left_sum") for one in sums])
                    predicted = ridge_probe.predictions(means, y).tolist()
                values = dict(zip(measured, predicted, strict=True))
                yield _Forecast("sts.baseline.probe", {**variant.axes, "space": space}, values)


def _same_domains(forecast: _Forecast, measured: Mapping[str, Change], sts: str) -> None:
    """Raises DataError where a domain was forecast and not measured, or the reverse."""
    values, name = forecast.values, forecast.name
    missing = [change.domain for domain, change in measured.items() if domain not in values]
    if missing:
        raise DataError(
            f"analyses.{sts}: {name} has no forecast for the domain {listed(missing)}, which was "
            "measured. Give its statistics a row of every domain."
        )
    unmeasured = [domain for domain in values if domain not in measured]
    if unmeasured:
        raise DataError(
            f"analyses.{sts}: {name} forecasts the domain {listed(unmeasured)}, whose accuracy was "
            "not measured before and after. Ask it, or leave it out of the forecast."
        )
