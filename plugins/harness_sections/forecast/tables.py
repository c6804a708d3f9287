"""Correlations of forecasts with what happened, the dimensions behind them, and their advice."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from harness.contract import JSON, Grid, Record
from harness.results import (
    format_estimate,
    format_number,
    grouped,
    named,
    null_value,
    record_name,
)
from harness_sections.charts.points import cell_text, number_text, reason_sentences
from harness_sections.forecast.figures import SCORES
from harness_sections.variants import by_name_on, titled, variants

_CORRELATION = "sts.correlation."
_NUMBERS = ("pearson", "spearman", "r2", "permutation_p")
_WITHOUT_ONE = ("leave_one_out_min", "leave_one_out_max")
_BASELINE = "sts.baseline."
_ALL = "all"


def correlations(records: Sequence[Record]) -> Iterator[Grid]:
    """For each comparison a table over all domains, and one over those chosen on the outcome."""
    mine = named(records, *(f"{_CORRELATION}{name}" for name in (*_NUMBERS, *_WITHOUT_ONE)))
    for name, compared in by_name_on(mine, "analysis").items():
        by_choice = by_name_on(compared, "domains")
        for domains, found in sorted(by_choice.items(), key=lambda item: item[0] != _ALL):
            chosen = found[0].options.get("chosen_on")
            title, note = f"Correlations over {domains} domains", _HEADLINE
            if chosen is not None:
                title, note = f"Correlations over {domains}, chosen on {chosen}", _EXTREMES
            probed = any(r.axes.get("forecast") == f"{_BASELINE}probe" for r in found)
            notes = [f"With |change of accuracy|. {note}", *([_PROBE] if probed else [])]
            text = " ".join([*notes, *reason_sentences(found)])
            rows = [_row(of) for of in _of_each(found)]
            yield Grid(titled(title, name), _COLUMNS, rows, text)


_COLUMNS = ("forecast", "n", "Pearson", "Spearman", "R²", "permutation p", "Pearson without one")
_HEADLINE = "95% intervals over domains. p: two-sided, forecasts given out anew."
_EXTREMES = (
    "Only the domains of the largest and of the smallest change: chosen on the outcome, which "
    "inflates a correlation, so there are no intervals. The headline is all domains."
)
_PROBE = (
    "The probe says what a domain's activations add to the mean of all other domains, as those "
    "others teach."
)


def _of_each(records: Sequence[Record]) -> list[dict[str, Record]]:
    """The numbers of each forecast, those by STS first."""
    by_axes = grouped(records, lambda record: str(sorted(record.axes.items())))
    ordered = sorted(by_axes.values(), key=lambda of: of[0].axes.get("forecast") not in SCORES)
    return [{record_name(r).removeprefix(_CORRELATION): r for r in of} for of in ordered]


def _row(of: dict[str, Record]) -> list[JSON]:
    record = next(iter(of.values()))
    known = ("analysis", "forecast", "domains")
    more = [f"{k}={v}" for k, v in record.axes.items() if k not in known]
    name = str(record.axes.get("forecast", ""))
    if name.startswith(_BASELINE):
        name = f"baseline: {name.removeprefix(_BASELINE).replace('_', ' ')}"
    ends = [of[name].value for name in _WITHOUT_ONE if name in of]
    without = " to ".join(map(format_number, ends)) if len(ends) == 2 and None not in ends else ""
    numbers = [cell_text(of.get(name)) for name in _NUMBERS]
    return [", ".join([name, *more]), record.n, *numbers, without]


def dimensions(records: Sequence[Record]) -> Iterator[Grid]:
    """How much of the change the chosen dimensions have, and how many were foretold."""
    ids = {"shift.concentration": "share of the change", "shift.overlap": "found again"}
    mine = named(records, *ids)
    rows: list[list[JSON]] = []
    for record in mine:
        axes = record.axes
        again = f" after {axes['against']}" if "against" in axes else ""
        rows.append(
            [
                str(axes.get("analysis", "")),
                str(axes.get("shift", "")),
                str(axes.get("space", "")),
                f"{ids[record_name(record)]}{again}",
                format_estimate(record),
                number_text(null_value(record)),
            ]
        )
    if rows:
        columns = ("analysis", "chosen by", "space", "number", "value", "random dimensions")
        note = "Space raw: the same with activations in place of latents, the control without SAE."
        yield Grid("Chosen dimensions", columns, rows, " ".join([note, *reason_sentences(mine)]))


def advice(records: Sequence[Record]) -> Iterator[Grid]:
    """Shares of extra data, the largest first."""
    for name, mine in by_name_on(named(records, "mixture.share"), "analysis").items():
        for label, found in variants(mine, ("domain", "analysis")).items():
            ordered = sorted(found, key=lambda record: -(record.value or 0.0))
            of = str(found[0].options.get("forecast", "the forecast"))
            rows: list[list[JSON]] = [
                [rank, str(r.axes.get("domain", "")), _percent(r.value), _percent(null_value(r))]
                for rank, r in enumerate(ordered, 1)
            ]
            note = (
                f"Shares of the extra training data, in proportion to {of}; how much extra data "
                "helps is for trial. It rests on the forecast alone: read the correlations first."
            )
            columns = ("rank", "domain", "share of the extra data", "equal shares")
            title = titled("Advice for the mixture", name, label)
            yield Grid(title, columns, rows, " ".join([note, *reason_sentences(found)]))


def _percent(share: float | None) -> str:
    return "undefined" if share is None else f"{100 * share:.1f}%"
