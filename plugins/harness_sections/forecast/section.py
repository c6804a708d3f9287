"""Which domains a fine-tune changes: the forecast by STS, and what was measured."""

from __future__ import annotations

from collections.abc import Sequence

from harness.contract import Figure, Grid, Panel, Prose, Record, Results
from harness.results.numbers import format_estimate
from harness_sections.forecast.figures import (
    SCORES,
    Transfer,
    accuracies,
    alone,
    by_axis,
    scatters,
    transfers,
)
from harness_sections.forecast.tables import advice, correlations, dimensions
from harness_sections.variants import named
from harness_sections.plain import Plain

_MOST = 40
"""Blocks that are shown."""
_HOW = (
    "STS is the SAE-based transferability score of a domain: sts.act sums the latents that the "
    "fine-tuning data shift most, sts.icl their change after solved examples of the domain. A "
    "shift after solved examples needs no training; one after fine-tuning comes afterwards."
)


class Forecast:
    """Forecasts against measured changes, their correlations, accuracies, and the advice."""

    def __init__(self, options: Plain) -> None:
        self.options = options

    def panel(self, results: Results) -> Panel | None:
        """The figures, then the tables; None where there is no STS."""
        records = results.records
        if not any(record.id.startswith("sts.") for record in records):
            return None
        compared = transfers(records)
        figures: list[Figure] = []
        for one in compared:
            figures += scatters(records, one)
        seen: list[Transfer] = []
        for one in compared:
            if not any(_same(one, other) for other in seen):
                figures += accuracies(records, one)
                seen.append(one)
        held = {one.forecasts for one in compared if one.changes}
        for name in by_axis(named(records, *SCORES), "analysis"):
            if name not in held:
                figures += alone(records, name)
        tables: list[Grid] = [*correlations(records), *advice(records), *dimensions(records)]
        how = Prose("\n".join([_HOW, *_headline(records)]))
        blocks: list[Figure | Grid | Prose] = [how, *figures, *tables]
        return Panel("Forecast of transfer", blocks[:_MOST], order=8) if blocks[1:] else None


def _same(one: Transfer, other: Transfer) -> bool:
    """Whether both compare the same accuracies."""
    return all(one.arms.get(k) == other.arms.get(k) for k in ("before", "after", "evaluator"))


def _headline(records: Sequence[Record]) -> list[str]:
    """The correlations over all domains, in words."""
    said = []
    for record in named(records, "sts.correlation.pearson"):
        axes = record.axes
        if axes.get("domains") == "all" and axes.get("forecast") in SCORES:
            why = f" ({record.undefined})" if record.undefined else ""
            said.append(
                f"Over all {record.n} domains, Pearson's r of {axes['forecast']} with the size of "
                f"the change is {format_estimate(record)}{why} ({axes.get('analysis')})."
            )
    return said
