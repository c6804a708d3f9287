"""The section of forecasts: STS against measured changes, correlations and advice, from records."""

from __future__ import annotations

from dataclasses import replace
from importlib.metadata import EntryPoint
from itertools import combinations
from typing import Any

import pytest
from hypothesis import given, strategies as st

from harness.contract import JSON, Figure, Grid, Panel, Prose, Record, SectionOptions
from harness.registry import discover
from harness.report.page import render
from harness.results import Results
from harness.testing.section import HOSTILE, check_section, hostile
from harness_sections.charts.label_sides import label_sides
from harness_sections.forecast.section import Forecast

POINT = EntryPoint("harness_sections", "harness_sections.plugin", "harness")
DOMAINS = {"art": (2.0, -40.0), "computer science": (1.0, 5.0), "law": (1.5, -10.0)}
"""STS, and the change of accuracy in points."""
COMPARED: dict[str, JSON] = {
    "sts": "guess",
    "before": {"experiment": "first", "direction": "none"},
    "after": {"experiment": "second", "direction": "none"},
    "evaluator": None,
}
SCATTER = "sts.act against the change of accuracy: held"
ACCURACY = "Accuracy before and after: held"
Axes = dict[str, JSON]


def record(id: str, value: float | None, axes: Axes, **more: Any) -> Record:
    ci = None if value is None else (value - 0.1, value + 0.2)
    why = None if value is not None else "no token of the domain was measured"
    fields = {"ci": ci, "undefined": why, "unit": "u", "n_of": "tokens", "n": 40} | more
    return Record(id=f"{id}@1", value=value, axes=axes, **fields)


def sts(analysis: str = "guess", **changed: float | None) -> list[Record]:
    null = {"kind": "random dimensions", "value": 0.25}
    values: dict[str, float | None] = {domain: sts for domain, (sts, _) in DOMAINS.items()}
    return [
        record(id, value, {"domain": domain, "analysis": analysis}, null=null)
        for domain, value in {**values, **changed}.items()
        for id in ("sts.act", "sts.icl", "sts.baseline.raw_activation")
    ]


def accuracies() -> list[Record]:
    found = []
    for n, (domain, (_, points)) in enumerate(DOMAINS.items()):
        name = domain.replace(" ", "_")
        axes: Axes = {"domain": name, "analysis": "held"}
        found.append(record("accuracy.change", points, axes, options=COMPARED,
                            ci=(points - 8.0, points + 8.0)))  # fmt: skip
        for experiment, value in (("first", 0.9), ("second", 0.9 + points / 100)):
            at: Axes = {"experiment": experiment, "direction": "none", "domain": name,
                        "evaluator": "exam", "task": "t"}  # fmt: skip
            found.append(record("accuracy", value - n / 100, at))
            found.append(record("accuracy", 0.1, {**at, "direction": "edited"}))
    return found


def correlations() -> list[Record]:
    found = []
    for forecast in ("sts.baseline.raw_activation", "sts.act", "sts.icl"):
        for domains, n in (("extremes", 8), ("all", 14)):
            axes: Axes = {"forecast": forecast, "domains": domains, "analysis": "held"}
            options = dict(COMPARED)
            if domains == "extremes":
                options["chosen_on"] = "the outcome"
            for id, value in (("pearson", 0.4), ("spearman", 0.3), ("r2", 0.16),
                              ("permutation_p", 0.04), ("leave_one_out_min", -0.2),
                              ("leave_one_out_max", 0.6)):  # fmt: skip
                interval = (-0.5, 0.9) if domains == "all" and id == "pearson" else None
                found.append(
                    record(f"sts.correlation.{id}", value, axes, options=options, ci=interval, n=n)
                )
    return found


def mixture() -> list[Record]:
    shares = {"art": 0.5, "law": 0.2, "computer science": 0.3}
    return [
        record("mixture.share", share, {"domain": domain, "analysis": "advice"}, ci=None,
               options={"forecast": "sts.act", "sts": "guess"}, null={"value": 1 / 3})
        for domain, share in shares.items()
    ]  # fmt: skip


def shift() -> list[Record]:
    axes: Axes = {"shift": "context", "space": "latents", "analysis": "guess"}
    null = {"value": 0.01}
    return [
        record("shift.concentration", 0.3, axes, null=null),
        record("shift.overlap", 0.4, {**axes, "against": "tuning"}, null=null, ci=None),
    ]


def results(*records: Record) -> Results:
    return Results("complete", {}, {}, tuple(records))


def make(*more: Record) -> Results:
    return results(*sts(), *shift(), *accuracies(), *correlations(), *mixture(), *more)


def panel(found: Results) -> Panel:
    shown = Forecast(SectionOptions()).panel(found)
    assert shown is not None
    return shown


def figures(found: Results) -> dict[str, Figure]:
    return {b.title: b for b in panel(found).blocks if isinstance(b, Figure)}


def grids(found: Results) -> dict[str, Grid]:
    return {b.title: b for b in panel(found).blocks if isinstance(b, Grid)}


@pytest.mark.slow
@pytest.mark.parametrize(
    "found",
    [
        make(),
        results(*sts()),
        results(*sts(law=None), *mixture()),
        results(*sts(), *accuracies()),
        results(*sts(law=None), *accuracies(), *correlations()),
        results(*correlations()),
        results(*(replace(r, options={}) for r in make().records)),
        make(*(replace(r, axes={**r.axes, "k": 5}) for r in sts())),
    ],
    ids=["all", "forecast", "undefined", "measured", "half", "no forecast", "strange", "variants"],
)
def test_laws(found: Results) -> None:
    check_section(Forecast(SectionOptions()), found)


def test_nothing_without_sts() -> None:
    assert Forecast(SectionOptions()).panel(results(*accuracies(), *mixture())) is None
    assert Forecast(SectionOptions()).panel(results()) is None


def test_sts_against_the_size_of_the_change() -> None:
    figure = figures(make())[SCATTER]
    (trace,) = figure.data
    # By STS; the domain whose name is written in two ways is found all the same.
    assert trace["text"] == ["computer science", "law", "art"]
    assert trace["x"] == [1.0, 1.5, 2.0]
    assert trace["y"] == [5.0, 10.0, 40.0]
    assert trace["error_x"]["array"] == pytest.approx([0.2] * 3)
    assert trace["error_y"]["array"] == pytest.approx([8.0] * 3)
    # The interval of +5 holds 0, so that of |change| starts there.
    assert trace["error_y"]["arrayminus"] == pytest.approx([5.0, 8.0, 8.0])
    assert "Pearson 0.40 [-0.50, 0.90] over all 14 domains." in figure.description
    row = figure.rows[0]
    assert row["change, points"] == "-40 [-48, -32]"
    assert row["of random dimensions"] == 0.25


def test_an_undefined_forecast_has_a_row_and_no_point() -> None:
    figure = figures(results(*sts(law=None), *accuracies()))[SCATTER]
    assert figure.data[0]["text"] == ["computer science", "art"]
    (row,) = [row for row in figure.rows if row["domain"] == "law"]
    assert row["why there is none"] == "no token of the domain was measured"


def test_the_headline_is_all_domains() -> None:
    first = panel(make()).blocks[0]
    assert isinstance(first, Prose)
    assert first.text.count("Over all 14 domains") == 2
    assert "0.40 [-0.50, 0.90]" in first.text
    assert "Over all 8" not in first.text
    names = [name for name in grids(make()) if name.startswith("Correlations")]
    assert names == [
        "Correlations over all domains: held",
        "Correlations over extremes, chosen on the outcome: held",
    ]


def test_correlations_have_sts_first_and_the_extremes_their_label() -> None:
    found = grids(make())
    rows = found["Correlations over all domains: held"].rows
    assert [row[0] for row in rows] == ["sts.act", "sts.icl", "baseline: raw activation"]
    assert rows[0][1:] == [14, "0.40 [-0.50, 0.90]", "0.30", "0.16", "0.04", "-0.20 to 0.60"]
    extremes = found["Correlations over extremes, chosen on the outcome: held"]
    assert extremes.rows[0][1:3] == [8, "0.40"]
    assert "inflates" in extremes.note


def test_a_probe_that_knows_nothing_is_not_taken_for_one_that_does() -> None:
    probes = [
        replace(r, axes={**r.axes, "forecast": "sts.baseline.probe", "space": "raw"})
        for r in correlations()
        if r.axes["forecast"] == "sts.act"
    ]
    title = "Correlations over all domains: held"
    grid = grids(make(*probes))[title]
    assert grid.rows[-1][0] == "baseline: probe, space=raw"
    assert "add to the mean of all other domains" in grid.note
    assert "add to the mean" not in grids(make())[title].note


def test_a_correlation_that_there_is_not_says_why() -> None:
    found = [
        replace(r, value=None, ci=None, undefined="2 domains; a correlation needs 3")
        for r in correlations()
    ]
    grid = grids(results(*sts(), *found))["Correlations over all domains: held"]
    assert grid.rows[0][2] == "undefined"
    assert "a correlation needs 3" in grid.note
    first = panel(results(*sts(), *found)).blocks[0]
    assert isinstance(first, Prose)
    assert "undefined (2 domains; a correlation needs 3)" in first.text


def test_accuracy_before_and_after() -> None:
    figure = figures(make())[ACCURACY]
    before, after = figure.data
    assert figure.layout["yaxis"]["ticktext"] == ["art", "law", "computer_science"]
    assert figure.layout["yaxis"]["range"] == [2.5, -0.5], "the largest loss on top"
    assert before["x"] == pytest.approx([0.9, 0.88, 0.89])
    assert after["x"] == pytest.approx([0.5, 0.78, 0.94])
    assert before["error_x"]["array"] == pytest.approx([0.2] * 3)
    assert all(a < b for a, b in zip(before["y"], after["y"], strict=True)), "apart"
    rows = [row for row in figure.rows if row["domain"] == "art"]
    assert [row["series"] for row in rows] == ["before", "after"]
    assert rows[1]["change, points"] == "-40 [-48, -32]"


def test_the_same_accuracies_are_drawn_once() -> None:
    again = [
        replace(r, axes={**r.axes, "analysis": "again"}, options={**r.options, "sts": "late"})
        for r in (*accuracies(), *correlations())
        if r.axes.get("analysis") == "held"
    ]
    found = figures(make(*again, *sts("late")))
    assert [name for name in found if name.startswith("Accuracy")] == [ACCURACY]
    assert SCATTER.replace("held", "again") in found


def test_a_forecast_alone_is_ranked_beside_chance() -> None:
    figure = figures(make(*sts("second")))["sts.act of each domain: second"]
    mine, chance = figure.data
    assert figure.layout["yaxis"]["ticktext"] == ["art", "law", "computer science"]
    assert mine["x"] == [2.0, 1.5, 1.0]
    assert chance["x"] == [0.25] * 3
    assert "sts.act of each domain: guess" not in figures(make()), "it is held against a change"
    assert "sts.act of each domain: guess" in figures(results(*sts()))


def test_advice_by_rank() -> None:
    grid = grids(make())["Advice for the mixture: advice"]
    assert grid.rows == [
        [1, "art", "50.0%", "33.3%"],
        [2, "computer science", "30.0%", "33.3%"],
        [3, "law", "20.0%", "33.3%"],
    ]
    assert "in proportion to sts.act" in grid.note


def test_dimensions_beside_random_ones() -> None:
    rows = grids(make())["Chosen dimensions"].rows
    assert rows[0] == ["guess", "context", "latents", "share of the change",
                       "0.30 [0.20, 0.50]", "0.01"]  # fmt: skip
    assert rows[1][3:] == ["found again after tuning", "0.40", "0.01"]


@pytest.mark.slow
def test_hostile_domains_stay_text() -> None:
    registry = discover(candidates=[POINT])
    records = tuple(
        replace(r, axes={**r.axes, "domain": f"{r.axes['domain']}{HOSTILE}"})
        if "domain" in r.axes
        else r
        for r in make(*sts("second")).records
    )
    assert SCATTER in figures(results(*records)), "they are found and drawn"
    for page in (render(hostile(make()), registry), render(results(*records), registry)):
        assert "alert(1)" in page
        for begun in ("<script>alert", "<img", "<b>", "\x1b", "\u202e"):
            assert begun not in page, begun


# ── Labels ───────────────────────────────────────────────────────────────────────────────────────


def test_a_label_keeps_inside_and_clear_of_its_neighbour() -> None:
    corner = label_sides([0.99], [0.99], ["history"], (0.0, 1.0), (0.0, 1.0))
    assert corner == ["bottom left"]
    sides = label_sides([0.5, 0.51], [0.5, 0.5], ["law", "art"], (0.0, 1.0), (0.0, 1.0))
    assert sides[0] != sides[1]


@pytest.mark.slow
@given(st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), max_size=14), st.integers(-9, 9))
def test_sides_do_not_depend_on_the_unit(places: list[tuple[float, float]], power: int) -> None:
    xs, ys = [x for x, _ in places], [y for _, y in places]
    texts = [f"d{n}" for n in range(len(places))]
    found = label_sides(xs, ys, texts, (-0.25, 1.25), (-0.25, 1.25))
    assert len(found) == len(places)
    unit = 2.0**power  # exact, so that ties stay ties
    scaled = label_sides(
        [x * unit for x in xs], ys, texts, (-0.25 * unit, 1.25 * unit), (-0.25, 1.25)
    )
    assert scaled == found


def test_four_labels_at_one_place_have_four_sides() -> None:
    sides = label_sides([0.5] * 4, [0.5] * 4, ["a" * 5] * 4, (0.0, 1.0), (0.0, 1.0))
    assert all(one != other for one, other in combinations(sides, 2))
