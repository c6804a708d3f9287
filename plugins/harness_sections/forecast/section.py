"""Which domains a fine-tune changes: the forecast by STS, and what was measured."""

from __future__ import annotations

from collections.abc import Sequence

from harness.contract import Figure, Grid, Panel, Prose, Record, Results, Runs
from harness.results import format_estimate, named
from harness_sections.forecast.figures import (
    SCORES,
    accuracies,
    scatters,
    transfers,
    unmatched_forecasts,
)
from harness_sections.forecast.fine_tunes import forecast_by, over_fine_tunes
from harness_sections.forecast.over_runs import over_runs
from harness_sections.forecast.tables import advice, correlations, dimensions
from harness_sections.plain import PlainSection
from harness_sections.variants import by_name_on

_MOST = 40
"""Blocks that are shown."""
_HOW = (
    "STS is the SAE-based transferability score of a domain: sts.act sums the latents that the "
    "fine-tuning data shift most, sts.icl their change after solved examples of the domain. A "
    "shift after solved examples needs no training; one after fine-tuning comes afterwards."
)


class Forecast(PlainSection):
    """Forecasts against measured changes, their correlations, accuracies, and the advice."""

    def panel(self, results: Results) -> Panel | None:
        """The figures, then the tables; None where there is neither STS nor forecast."""
        records = results.records
        if not any(record.id.startswith(("sts.", "forecast.")) for record in records):
            return None
        compared = transfers(records)
        figures: list[Figure] = []
        for one in compared:
            figures += scatters(records, one)
        for number, one in enumerate(compared):
            if one.arms not in [other.arms for other in compared[:number]]:
                figures += accuracies(records, one)
        held = {one.forecasts for one in compared if one.changes} | forecast_by(records)
        for name in by_name_on(named(records, *SCORES), "analysis"):
            if name not in held:
                figures += unmatched_forecasts(records, name)
        tables: list[Grid] = [*correlations(records), *advice(records), *dimensions(records)]
        how = Prose("\n".join([_HOW, *_headline(records)]))
        blocks: list[Figure | Grid | Prose] = [
            how, *over_fine_tunes(results), *figures, *tables
        ]  # fmt: skip
        return Panel("Forecast of transfer", blocks[:_MOST], order=8) if blocks[1:] else None

    def panel_of_runs(self, runs: Runs) -> Panel | None:
        """STS against the change, and how they correlate, over several runs."""
        return over_runs(runs)


def _headline(records: Sequence[Record]) -> list[str]:
    """The correlations over all domains, in words."""
    sentences = []
    for record in named(records, "sts.correlation.pearson"):
        axes = record.axes
        if axes.get("domains") == "all" and axes.get("forecast") in SCORES:
            why = f" ({record.undefined})" if record.undefined else ""
            sentences.append(
                f"Over all {record.n} domains, Pearson's r of {axes['forecast']} with the size of "
                f"the change is {format_estimate(record)}{why} ({axes.get('analysis')})."
            )
    return sentences
