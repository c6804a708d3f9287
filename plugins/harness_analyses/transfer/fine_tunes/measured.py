"""What was forecast and what happened, of every fine-tune and domain, as one panel."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float

from harness.contract import Axes, Findings
from harness.errors import DataError, listed
from harness_analyses.axes import AxesKey
from harness_analyses.transfer.accuracy_change import Change, changes, key
from harness_analyses.transfer.fine_tunes.options import TransferForecastOptions as Options, Tune
from harness_analyses.transfer.fine_tunes.panel import Used, Within
from harness_analyses.transfer.records import forecasts

Grid = Float[np.ndarray, "tunes domains"]


@dataclass(frozen=True)
class Measured:
    """What fine-tuning did: rows are fine-tunes, columns domains, both sorted by name.

    Sorted, so that the order in which a task or a benchmark names them changes no drawn number.
    """

    tunes: tuple[Tune, ...]
    domains: tuple[str, ...]
    """By `key`."""
    changes: tuple[Mapping[str, Change], ...]
    """For each fine-tune, by domain."""
    own: Used
    """Which domains a fine-tune was trained on."""

    @property
    def size(self) -> Grid:
        """|after − before|, in percentage points."""
        return np.array([[abs(of[d].points) for d in self.domains] for of in self.changes])

    @property
    def before(self) -> Float[np.ndarray, " domains"]:
        """The accuracy of each domain before fine-tuning, in [0, 1]."""
        return np.array([self.changes[0][domain].before for domain in self.domains])

    @property
    def noise(self) -> Grid:
        """The variance of each change that drawing other questions would bring, in points²:
        ((upper − lower) / (2 · 1.96))², of its 95% interval; NaN where it has none."""
        widths = [
            [np.nan if (ci := of[d].ci) is None else ci[1] - ci[0] for d in self.domains]
            for of in self.changes
        ]
        return np.square(np.array(widths) / (2 * 1.959964))


@dataclass(frozen=True)
class Forecast:
    """One forecast of all samples, in one variant of the sweep of the analyses that made it."""

    name: str
    axes: Axes
    values: Grid
    """As `Measured`; NaN where it is undefined."""
    why: str | None = None
    """Why some of it is undefined."""
    barred: Mapping[Within, str] = field(default_factory=dict)
    """Why it has no meaning within some groups, whatever its values are."""

    @property
    def column(self) -> str:
        """Its name in tables: `sts.act[layer=3]`."""
        inside = ",".join(f"{k}={v}" for k, v in self.axes.items())
        return f"{self.name}[{inside}]" if inside else self.name

    @property
    def baseline(self) -> bool:
        """Whether it is one of those that the score has to beat."""
        return self.name.startswith("sts.baseline.")


def measured(findings: Findings, given: Options) -> tuple[Measured | None, str | None]:
    """The changes of all fine-tunes, or why there are none.

    DataError names domains that one fine-tune was asked and another was not, and an own domain that
    nobody was asked.
    """
    tunes = tuple(sorted(given.tunes, key=lambda one: one.name))
    found = [changes(findings, given.before, one.after, given.evaluator) for one in tunes]
    for one, of in zip(tunes, found, strict=True):
        if not of:
            names = f"{given.before.experiment} or {one.after.experiment}"
            return None, f"{names} has no accuracy by domain"
    domains = tuple(sorted(found[0]))
    for one, of in zip(tunes, found, strict=True):
        if unknown := [name for name in one.own if key(name) not in domains]:
            raise DataError(
                f"tunes.{one.name}: own names {listed(unknown)}, which the benchmark does not ask. "
                f"Allowed: {listed(domains)}."
            )
        assert set(of) == set(domains)  # `changes` refuses arms that differ, and all share one
    own = np.array([[domain in map(key, one.own) for domain in domains] for one in tunes])
    return Measured(tunes, domains, tuple(found), own), None


def forecast(findings: Findings, of: Measured) -> list[Forecast]:
    """All forecasts by the `sts` analyses that every fine-tune has, baselines among them.

    DataError names a domain that was forecast and not measured, or the reverse.
    """
    each: list[Mapping[tuple[str, AxesKey], Mapping[str, float | None]]] = []
    for one in of.tunes:
        made = {
            where: {key(str(record.axes["domain"])): record.value for record in its}
            for where, its in forecasts(findings.records, one.sts).items()
        }
        for (name, _), values in made.items():
            _same_domains(one, name, values, of.domains)
        each.append(made)
    everywhere = [where for where in each[0] if all(where in made for made in each)]
    return [_forecast(where, [made[where] for made in each], of) for where in everywhere]


def _forecast(
    where: tuple[str, AxesKey], values: Sequence[Mapping[str, float | None]], of: Measured
) -> Forecast:
    grid = np.array([[one[domain] for domain in of.domains] for one in values], dtype=float)
    unknown = [
        f"{tune.name} in {domain}"
        for tune, row in zip(of.tunes, grid, strict=True)
        for domain, value in zip(of.domains, row, strict=True)
        if np.isnan(value)
    ]
    why = f"the forecast of {listed(unknown, 3)} is undefined" if unknown else None
    return Forecast(where[0], dict(where[1]), grid, why)


def _same_domains(
    tune: Tune, name: str, values: Mapping[str, float | None], domains: Sequence[str]
) -> None:
    if missing := [domain for domain in domains if domain not in values]:
        raise DataError(
            f"analyses.{tune.sts}: {name} has no forecast for the domain {listed(missing)}, which "
            "was measured. Give its statistics a row of every domain."
        )
    if unmeasured := [domain for domain in values if domain not in domains]:
        raise DataError(
            f"analyses.{tune.sts}: {name} forecasts the domain {listed(unmeasured)}, whose "
            "accuracy was not measured. Ask it, or leave it out of the forecast."
        )
