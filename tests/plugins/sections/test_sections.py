"""Every section keeps the laws, and shows what a reader looks for."""

from __future__ import annotations

from dataclasses import replace
from importlib.metadata import EntryPoint
from typing import Any

import pytest

from harness.contract import Figure, Grid, Panel, Prose, Record, SectionOptions
from harness.registry import Owned, discover
from harness.results import Results
from harness.testing import check_section

POINT = EntryPoint("harness_sections", "harness_sections.plugin", "harness")
SECTIONS = discover(candidates=[POINT]).of("section")


def record(id: str, value: float | None, **axes: Any) -> Record:
    ci = None if value is None else (value - 0.05, value + 0.05)
    why = None if value is not None else "every weight is 0"
    return Record(f"{id}@1", value, 100, "prompts", "share", ci=ci, undefined=why, axes=axes)


def make(axis: str = "k", values: tuple[Any, ...] = (1, 8, 64), experiments: int = 2) -> Results:
    records, rows = [], []
    for number in range(experiments):
        at = {"experiment": f"e{number}", "view": "chat", "data": "web", "evaluator": "words"}
        arms: list[tuple[str, dict[str, Any]]] = [("none", {}), ("truth", {})]
        arms += [("rebuilt", {axis: value}) for value in values]
        arms += [("other", {axis: value}) for value in values]
        arms += [("chance", {"draw": draw}) for draw in range(5)]
        for place, (name, axes) in enumerate(arms):
            undefined = name == "other" and place % 3 == 0
            for id in ("score", "score.verbatim", "broken_share"):
                value = None if undefined else place / 20
                records.append(record(id, value, **at, direction=name, **axes))
            records.append(record("invalid_verdicts", 0.0, **at, direction=name, **axes))
            records.append(record("edit.changed", 0.9, **at, direction=name, **axes))
            rows += [
                {"experiment": f"e{number}", "direction": name, **axes, "example": str(n),
                 "text": f"prompt {n}", "prompt": "", "completion": f"{name} {axes} {n}",
                 "tokens": 1, "stopped": True, "verdicts": {"words": {"refusal": n % 2 == 0}}}
                for n in range(5)
            ]  # fmt: skip
    for name in ("rebuilt", "other"):
        for step, value in enumerate(values):
            at = {"direction": name, axis: value, "view": "chat"}
            records += [record("direction.nmse", 0.9 - step / 10, **at),
                        record("direction.cosine", step / 10, **at)]  # fmt: skip
            null = {"kind": "chance", "value": 0.25}
            overlap = record("feature_overlap.topk", 3.0, **at, against="x")
            records.append(replace(overlap, null=null, ci=None))
    records += [record("direction.norm", 4.6, direction="truth"),
                record("fvu.pooled", 0.1, model="base", data="web", site="resid_post.2"),
                record("cosine.raw", 0.8, pair="p", data="web", sae="mid"),
                record("agreement.share", 0.9, analysis="judges", experiment="e0")]  # fmt: skip
    task = {"name": "t", "seed": 0, "models": {"base": {"path": "x"}}, "preflight": {"data": "web"}}
    origin = {"harness": "0.1.0", "git": None, "components": ["a", "b"],
              "models": {"base": {"fingerprint": "f00", "dtype": "float32"}},
              "packages": {"torch": "2"}, "plugins": {"p": {"version": "1"}}}  # fmt: skip
    return Results("complete", task, origin, tuple(records), tables={"completions": rows})


def panel(name: str, results: Results) -> Panel:
    (owned,) = [one for one in SECTIONS if one.component.name == name]
    found = owned.load()(owned.options()()).panel(results)
    assert isinstance(found, Panel)
    return found


def grids(panel: Panel) -> list[Grid]:
    return [block for block in panel.blocks if isinstance(block, Grid)]


def charts(results: Results) -> list[Figure]:
    return [b for b in panel("score_figures", results).blocks if isinstance(b, Figure)]


@pytest.mark.slow
@pytest.mark.parametrize("owned", SECTIONS, ids=lambda owned: owned.component.name)
@pytest.mark.parametrize(
    "results",
    [make(), make("strength", (-1.0, 0.0, 2.5)), make("site", ("a", "b", "c")), make("k", (32,)),
     make(experiments=0)],
    ids=["k", "strength", "categories", "one step", "no experiment"],
)  # fmt: skip
def test_every_section_keeps_the_laws(owned: Owned, results: Results) -> None:
    check_section(owned.load()(owned.options()()), results)


def test_sections_come_in_an_order() -> None:
    found = [owned.load()(owned.options()()).panel(make()) for owned in SECTIONS]
    orders = [one.order for one in found if one is not None]
    assert len(set(orders)) == len(orders) > 1
    names = {owned.component.name for owned, one in zip(SECTIONS, found, strict=True) if one}
    assert names >= {"score_figures", "rebuilt_directions", "side_by_side", "base_measurements"}
    assert names >= {"findings", "edit_receipts", "what_ran", "every_record"}


# ── Figures ──────────────────────────────────────────────────────────────────────────────────────


def test_each_experiment_and_score_has_its_figure_and_variants_have_none() -> None:
    titles = [chart.title.partition(",")[0] for chart in charts(make())]
    assert titles == ["e0: score", "e0: broken_share", "e1: score", "e1: broken_share"]


def test_a_sweep_is_a_line_with_intervals_and_a_gap_where_it_is_undefined() -> None:
    results = make()
    chart = charts(results)[0]
    (line,) = [trace for trace in chart.data if trace.get("name") == "other"]
    expected = [results.value("score", experiment="e0", direction="other", k=k) for k in (1, 8, 64)]
    assert line["x"] == [1, 8, 64]
    assert line["y"] == expected
    assert None in expected
    bars = line["error_y"]
    for y, up, down in zip(line["y"], bars["array"], bars["arrayminus"], strict=True):
        assert (up, down) == ((0, 0) if y is None else (pytest.approx(0.05), pytest.approx(0.05)))
    assert chart.layout["xaxis"]["type"] == "log"
    assert chart.layout["yaxis"]["range"][0] < 0 < 1 < chart.layout["yaxis"]["range"][1]


def test_what_is_not_swept_stands_beside_with_a_line_or_a_band() -> None:
    chart = charts(make())[0]
    by_group = {}
    for trace in chart.data:
        by_group.setdefault(trace.get("legendgroup"), []).append(trace)
    line, point = by_group["truth"]
    assert line["y"] == [0.05, 0.05]
    assert min(point["x"]) > 64
    band, points = by_group["chance"]
    assert (min(band["y"]), max(band["y"])) == (min(points["y"]), max(points["y"]))
    assert band["fill"] == "toself"
    assert len(points["x"]) == 5
    assert points["name"] == "chance (5 draws)"


@pytest.mark.parametrize(
    ("values", "kind"),
    [((1, 64), "log"), ((0, 64), None), ((-4, 4), None), ((1, 2), None), ((0.01, 1.0), "log")],
)
def test_the_axis_is_logarithmic_where_that_helps(
    values: tuple[Any, ...], kind: str | None
) -> None:
    assert charts(make("k", values))[0].layout["xaxis"].get("type") == kind


def test_without_a_sweep_every_direction_is_a_place() -> None:
    chart = charts(make("site", ("a", "b")))[0]
    assert chart.layout["xaxis"]["type"] == "category"
    places = {trace["x"][0] for trace in chart.data}
    assert places == {"none (not edited)", "truth", "rebuilt, site=a", "rebuilt, site=b",
                      "other, site=a", "other, site=b", "chance (5 draws)"}  # fmt: skip


def test_a_direction_looks_the_same_in_every_figure_and_like_no_other() -> None:
    looks: dict[str, set[Any]] = {}
    for chart in charts(make()):
        for trace in chart.data:
            if "name" in trace:
                look = (trace["marker"]["color"], trace["marker"]["symbol"])
                looks.setdefault(str(trace["name"]), set()).add(look)
    assert all(len(found) == 1 for found in looks.values())
    colours = [found for (look,) in looks.values() for found in [look[0]]]
    assert len(set(colours)) == len(colours) == 5


@pytest.mark.parametrize("page", [(1.0, 1.0, 1.0), (20 / 255, 23 / 255, 26 / 255)])
def test_every_colour_can_be_seen_on_light_and_dark(page: tuple[float, ...]) -> None:
    from harness_sections.charts.styles import distinct_styles

    def luminance(rgb: tuple[float, ...]) -> float:
        parts = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in rgb]
        return 0.2126 * parts[0] + 0.7152 * parts[1] + 0.0722 * parts[2]

    for look in distinct_styles(["none", *map(str, range(7))]).values():
        rgb = tuple(int(look.colour[i : i + 2], 16) / 255 for i in (1, 3, 5))
        low, high = sorted([luminance(rgb), luminance(page)])
        assert (high + 0.05) / (low + 0.05) >= 3, look.colour


def test_the_rows_of_a_figure_are_its_records() -> None:
    results = make()
    mine = [r for r in results.records if r.id == "score@1" and r.axes["experiment"] == "e0"]
    rows = charts(results)[0].rows
    assert sorted(str(row["value"]) for row in rows) == sorted(str(r.value) for r in mine)
    gone = [row for row in rows if row["value"] is None]
    assert gone
    assert all(row["why there is none"] == "every weight is 0" for row in gone)


def test_a_description_says_what_the_figure_shows() -> None:
    text = charts(make())[0].description
    for word in ("score against k", "chat on web, n = 100", "truth 0.05", "at k = 64",
                 "chance 0.40 to 0.60 over 5 draws"):  # fmt: skip
        assert word in text, text


# ── Tables ───────────────────────────────────────────────────────────────────────────────────────


def test_directions_are_a_table_by_step() -> None:
    table, rest = grids(panel("rebuilt_directions", make()))
    assert table.columns[:4] == ["k", "rebuilt: nmse", "rebuilt: cosine",
                                 "rebuilt: feature_overlap.topk"]  # fmt: skip
    assert [row[0] for row in table.rows] == ["1", "8", "64"]
    assert table.rows[0][1] == "0.90 [0.85, 0.95]"
    assert table.rows[2][3] == "3 (by chance 0.25)"
    assert rest.rows[0][:2] == ["truth", "direction.norm"]


def test_completions_stand_side_by_side_for_the_same_prompt() -> None:
    found = grids(panel("side_by_side", make()))
    assert len(found) == 2 * 3
    first = found[0]
    assert "prompt 0" in first.title
    assert [row[0] for row in first.rows] == [
        "none", "truth", "rebuilt, k = 64", "other, k = 64", "chance, draw = 0",
    ]  # fmt: skip
    assert first.rows[2][1] == "rebuilt {'k': 64} 0"
    assert first.columns == ("arm", "completion", "refusal")
    assert [row[2] for row in first.rows] == [True] * 5
    assert [row[2] for row in found[1].rows] == [False] * 5


def test_a_verdict_that_there_is_not_says_so() -> None:
    rows = [{**row, "verdicts": {"words": {"refusal": None}, "judge": {"refusal": True}}}
            for row in make().tables["completions"]]  # fmt: skip
    first = grids(panel("side_by_side", replace(make(), tables={"completions": rows})))[0]
    assert first.columns[2:] == ("refusal (words)", "refusal (judge)")
    assert first.rows[0][2:] == ["not judged", True]


def test_preflight_comes_before_pairs() -> None:
    first, second = grids(panel("base_measurements", make()))
    assert first.rows[0][0] == "fvu.pooled"
    assert second.title == "Pair p"
    assert "value" in first.columns
    assert "if nothing differed" not in first.columns, "an empty column"


def test_every_edit_has_its_receipt() -> None:
    first, second = grids(panel("edit_receipts", make()))
    assert (first.title, second.title) == ("Experiment e0", "Experiment e1")
    assert first.rows[0][2] == "0.90 [0.85, 0.95]"
    assert len(first.rows) == 13


def test_what_ran_holds_the_task_and_the_fingerprints() -> None:
    cells = [str(cell) for grid in grids(panel("what_ran", make())) for row in grid.rows
             for cell in row]  # fmt: skip
    for word in ("f00", "torch", "models.base", 'path = "x"', "preflight", "unknown"):
        assert word in cells or any(word in cell for cell in cells), word


def test_every_record_is_listed_once_unless_there_are_too_many() -> None:
    results = make()
    found = grids(panel("every_record", results))
    assert sum(len(grid.rows) for grid in found) == len(results.records)
    assert all(grid.folded for grid in found)
    many = replace(results, records=results.records * 100)
    (note,) = panel("every_record", many).blocks
    assert isinstance(note, Prose)
    assert "results.json" in note.text


# ── The laws notice ──────────────────────────────────────────────────────────────────────────────


class Breaks:
    """A section that breaks one law."""

    def __init__(self, law: str) -> None:
        self.law, self.calls = law, 0

    def panel(self, results: Results) -> Any:
        self.calls += 1
        figure = Figure("t", "d", [{"y": [1]}], {}, [{"a": 1}])
        match self.law:
            case "a panel or nothing":
                return "text"
            case "the same twice":
                return Panel(str(self.calls), [])
            case "results are left as they are":
                results.provenance.clear()  # type: ignore[attr-defined]
            case "an order from 0 to 100":
                return Panel("t", [], order=101)
            case "every block can be shown":
                return Panel("t", [Grid("t", ("a",), (1,))])  # type: ignore[arg-type]
            case "a figure has a description":
                return Panel("t", [replace(figure, description=" ")])
            case "a figure has its numbers as rows":
                return Panel("t", [replace(figure, rows=())])
            case "a figure has data that are plain JSON":
                return Panel("t", [replace(figure, data=[{"y": [float("nan")]}])])
            case "results with nothing in them do not raise":
                return Panel(results.records[0].id, [])
            case "hostile text does not raise":
                return Panel("t", [Prose(r.unit.encode().decode()) for r in results.records])
        return Panel("t", [figure])


def test_a_section_that_keeps_the_laws_passes() -> None:
    check_section(Breaks("none"), make())


@pytest.mark.parametrize(
    "law",
    ["a panel or nothing", "the same twice", "results are left as they are",
     "an order from 0 to 100", "every block can be shown", "a figure has a description",
     "a figure has its numbers as rows", "a figure has data that are plain JSON",
     "results with nothing in them do not raise", "hostile text does not raise"],
)  # fmt: skip
def test_the_check_names_the_law_that_is_broken(law: str) -> None:
    with pytest.raises(AssertionError, match=law):
        check_section(Breaks(law), make())


def test_sections_have_nothing_to_set() -> None:
    assert not SectionOptions.model_fields


def test_analyses_show_their_numbers_and_the_first_rows_of_their_tables() -> None:
    rows = [{"analysis": "judges", "completion": f"text {n}", "gone": None} for n in range(25)]
    results = make()
    results = replace(results, tables={**results.tables, "judges.disagreements": rows})
    section = next(owned for owned in SECTIONS if owned.component.name == "findings")
    panel = section.load()(SectionOptions()).panel(results)
    numbers, table = panel.blocks
    assert numbers.rows[0][:2] == ["agreement.share", "experiment = e0"]
    assert table.columns == ["completion"]
    assert len(table.rows) == 20
    assert "20 of 25" in table.note
