"""How extra data would be shared among domains that fine-tuning puts at risk."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from harness.contract import Axes, Findings, Outcome, Record
from harness_analyses.transfer import options as sts_options


class MixtureAdvice:
    """Shares extra training data among domains, in proportion to their STS.

    `mixture.share@1`: STS_T / Σ_T STS_T, in [0, 1], one for each domain. The share of the extra
    data, not of all data; how much extra data helps, the paper leaves to trial (220 examples beside
    817). It rests on the forecast alone. Undefined where a forecast is, or is negative, all are 0,
    or there is none. Table `mixture`: the domains by rank.
    Source: SAE as a Crystal Ball, section 5.
    """

    def __init__(self, given: sts_options.MixtureAdvice) -> None:
        self.options = given

    def run(self, findings: Findings) -> Outcome:
        """Records and the ranked table, for each variant of the forecast."""
        given = self.options
        variants: dict[tuple[Any, ...], list[Record]] = {}
        for record in findings.records:
            axes = record.axes
            mine = axes.get("analysis") == given.sts and "domain" in axes
            if mine and record.id.partition("@")[0] == given.forecast:
                at = tuple((k, v) for k, v in axes.items() if k not in ("analysis", "domain"))
                variants.setdefault(at, []).append(record)
        if not variants:
            why = f"analyses.{given.sts} made no {given.forecast} by domain before this analysis"
            return Outcome((self._record(None, 0, why, None, {}),))
        records: list[Record] = []
        rows: list[dict[str, Any]] = []
        for at, forecasts in variants.items():
            records += self._shares(forecasts, dict(at))
            rows += self._table(forecasts, dict(at))
        return Outcome(tuple(records), {"mixture": rows} if rows else {})

    def _record(
        self, share: float | None, n: int, why: str | None, null: float | None, axes: Axes
    ) -> Record:
        return Record(
            "mixture.share@1",
            share,
            n,
            "domains",
            "share",
            self.options.model_dump(mode="json"),
            ci_why=why or "a rule applied to the forecast, whose own interval stands with it",
            null=None if null is None else {"kind": "equal shares", "value": null},
            undefined=why,
            axes=axes,
        )

    def _shares(self, forecasts: list[Record], at: Axes) -> Iterator[Record]:
        why, total = _total(forecasts)
        for record in forecasts:
            share = None if why or record.value is None else record.value / total
            axes = {**at, "domain": record.axes["domain"]}
            yield self._record(share, len(forecasts), why, 1 / len(forecasts), axes)

    def _table(self, forecasts: list[Record], at: Axes) -> Iterator[dict[str, Any]]:
        why, total = _total(forecasts)
        if why:
            return
        ordered = sorted(forecasts, key=lambda r: (-(r.value or 0.0), str(r.axes["domain"])))
        for rank, record in enumerate(ordered, 1):
            assert record.value is not None
            yield {
                **at,
                "rank": rank,
                "domain": record.axes["domain"],
                self.options.forecast: record.value,
                "share": record.value / total,
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
