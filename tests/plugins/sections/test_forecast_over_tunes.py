"""The section of forecasts over several fine-tunes: power first, then samples and intervals."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from harness.contract import Figure, Grid, Outcome, Panel, Prose, Record, SectionOptions
from harness.results import Results
from harness.testing.section import check_section
from harness_analyses.transfer.fine_tunes.samples import transfer_forecast
from harness_sections.forecast.section import Forecast


@pytest.fixture(scope="module")
def outcome() -> Outcome:
    """Four fine-tunes in five domains: what the analysis makes of its own samples."""
    law = next(transfer_forecast(Path()))
    analysis, findings = law.args
    made: Outcome = analysis.run(findings)
    return made


def results(outcome: Outcome, *more: Record) -> Results:
    records = tuple(record.on(analysis="held") for record in outcome.records)
    tables = {f"held.{name}": rows for name, rows in outcome.tables.items()}
    return Results("complete", {}, {}, (*records, *more), tables=tables)


def panel(found: Results) -> Panel:
    shown = Forecast(SectionOptions()).panel(found)
    assert shown is not None
    return shown


def titles(found: Results) -> list[str]:
    return [block.title for block in panel(found).blocks if isinstance(block, (Figure, Grid))]


@pytest.mark.slow
def test_laws(outcome: Outcome) -> None:
    whole = results(outcome)
    without = replace(whole, tables={})
    strange = replace(whole, records=tuple(replace(r, options={}) for r in whole.records))
    only = replace(whole, records=whole.records[:2], tables={})
    odd = replace(whole, tables={"held.samples": [{"a": 1}], "held.within": [{"b": 2}]})
    for found in (whole, without, strange, only, odd):
        check_section(Forecast(SectionOptions()), found)


def test_the_power_is_said_before_any_result(outcome: Outcome) -> None:
    _, first, *_ = panel(results(outcome)).blocks
    assert isinstance(first, Prose)
    lines = first.text.splitlines()
    assert lines[0].startswith("Power, before anything was measured: with 4 fine-tunes and 5 ")
    assert "33% for other fine-tunes on these domains, 11% for other domains, too" in lines[0]
    assert lines[1].startswith("With what varied as measured, for sts.act: 26% ")
    assert lines[-1].startswith("Within fine-tunes, Pearson's r of sts.icl with the size of the")
    assert "over 17 samples of 4 fine-tunes" in lines[-1]


def test_samples_are_coloured_by_fine_tune_without_what_each_was_trained_on(
    outcome: Outcome,
) -> None:
    figures = {b.title: b for b in panel(results(outcome)).blocks if isinstance(b, Figure)}
    figure = figures["sts.act against the change: held"]
    assert [trace["name"] for trace in figure.data] == ["capitals", "meals", "pirate", "sums"]
    assert [len(trace["x"]) for trace in figure.data] == [4, 4, 5, 4]
    for trace in figure.data:
        assert sum(trace["x"]) == pytest.approx(0, abs=1e-9)
        assert sum(trace["y"]) == pytest.approx(0, abs=1e-9)
    assert len({(t["marker"]["color"], t["marker"]["symbol"]) for t in figure.data}) == 4
    assert not [row for row in figure.rows if row["fine-tune"] == "sums"
                and row["domain"] == "math"]  # fmt: skip
    dots = figures["Correlation within fine-tunes: held"]
    assert [trace["name"] for trace in dots.data] == [
        "for other fine-tunes on these domains", "for other domains, too",
    ]  # fmt: skip


def test_more_fine_tunes_than_colours_have_hollow_markers(outcome: Outcome) -> None:
    rows = [
        {"fine_tune": f"t{n}", "domain": d, "own": False, "change": n, "sts.act": n * len(d)}
        for n in range(11)
        for d in ("law", "math")
    ]
    found = replace(results(outcome), tables={"held.samples": rows})
    figure = next(b for b in panel(found).blocks if isinstance(b, Figure))
    looks = {(t["marker"]["color"], t["marker"]["symbol"]) for t in figure.data}
    assert len(looks) == 11


def test_scores_stand_first_and_every_baseline_has_a_difference(outcome: Outcome) -> None:
    grids = {b.title: b for b in panel(results(outcome)).blocks if isinstance(b, Grid)}
    rows = grids["Correlations over fine-tunes: held"].rows
    assert [row[0] for row in rows] == [
        "sts.act", "sts.icl", "baseline: base accuracy", "baseline: other tunes",
        "baseline: token overlap",
    ]  # fmt: skip
    assert all(len(row) == 8 for row in rows)
    differences = grids["Scores against baselines: held"].rows
    assert {row[0] for row in differences} == {"sts.act", "sts.icl"}
    assert len(differences) == 6
    each = grids["Each fine-tune by itself: held"]
    assert each.folded
    assert each.rows[0][:2] == ["capitals", 4]


def test_a_forecast_that_was_held_has_no_figure_of_its_own(outcome: Outcome) -> None:
    def sts(analysis: str) -> tuple[Record, ...]:
        return tuple(
            Record("sts.act@1", value, 9, "tokens", "activation", ci_why="few",
                   axes={"analysis": analysis, "domain": domain})
            for domain, value in (("law", 1.0), ("math", 2.0))
        )  # fmt: skip

    held = titles(results(outcome, *sts("sts_sums")))
    assert not [title for title in held if "of each domain" in title]
    other = titles(results(outcome, *sts("another")))
    assert "sts.act of each domain: another" in other
