"""How extra data would be shared among domains that fine-tuning puts at risk."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from harness.contract import Axes, Findings, Outcome, Record
from harness_analyses.transfer.options import MixtureAdviceOptions as Options
from harness_analyses.transfer.records import forecasts
from harness_statistics.records import number


class MixtureAdvice:
    """Shares extra training data among domains, in proportion to their STS.

    `mixture.share@1`: STS_T / Σ_T STS_T, in [0, 1], one for each domain. The share of the extra
    data, not of all data; how much extra data helps, the paper leaves to trial (220 examples beside
    817). It rests on the forecast alone. Undefined where a forecast is, or is negative, all are 0,
    or there is none. Table `mixture`: the domains by rank.
    Source: SAE as a Crystal Ball, section 5.
    """

    def __init__(self, given: Options) -> None:
        self.options = given

    def run(self, findings: Findings) -> Outcome:
        """Makes the shares and the ranked table, for each variant of the forecast."""
        given = self.options
        made = forecasts(findings.records, given.sts)
        variants = [(dict(at), its) for (name, at), its in made.items() if name == given.forecast]
        if not variants:
            why = f"analyses.{given.sts} made no {given.forecast} by domain before this analysis"
            return Outcome((self._record(None, 0, why, None, {}),))
        records: list[Record] = []
        rows: list[dict[str, Any]] = []
        for at, its in variants:
            missing, total = _total(its)
            for forecast in its:
                share = None if missing or forecast.value is None else forecast.value / total
                axes = {**at, "domain": forecast.axes["domain"]}
                null = 1 / len(its)
                records.append(self._record(share, len(its), missing, null, axes))
            if missing is None:
                rows += self._rows(its, at, total)
        return Outcome(tuple(records), {"mixture": rows} if rows else {})

    def _record(
        self, share: float | None, n: int, why: str | None, null: float | None, axes: Axes
    ) -> Record:
        return number(
            "mixture.share@1",
            share,
            why,
            n=n,
            n_of="domains",
            unit="share",
            options=self.options.model_dump(mode="json"),
            ci_why="a rule applied to the forecast, whose own interval stands with it",
            null=None if null is None else {"kind": "equal shares", "value": null},
            axes=axes,
        )

    def _rows(self, its: list[Record], at: Axes, total: float) -> Iterator[dict[str, Any]]:
        ordered = sorted(its, key=lambda r: (-(r.value or 0.0), str(r.axes["domain"])))
        for rank, forecast in enumerate(ordered, 1):
            assert forecast.value is not None
            yield {
                **at,
                "rank": rank,
                "domain": forecast.axes["domain"],
                self.options.forecast: forecast.value,
                "share": forecast.value / total,
            }


def _total(forecasts: list[Record]) -> tuple[str | None, float]:
    """Why there are no shares, or what they are shares of."""
    for record in forecasts:
        domain = record.axes["domain"]
        if record.value is None:
            return f"the forecast of {domain} is undefined: {record.undefined}", 0.0
        if record.value < 0:
            return f"the forecast of {domain} is negative", 0.0
    total = sum(record.value or 0.0 for record in forecasts)
    return (None, total) if total > 0 else ("the forecast is 0 in every domain", 0.0)
