"""The section of fine-tunes: heat maps, components, profiles, checkpoints, from records alone."""

from __future__ import annotations

from dataclasses import replace
from importlib.metadata import EntryPoint
from typing import Any

import pytest

from harness.contract import JSON, Figure, Grid, Panel, Prose, Record, SectionOptions
from harness.registry import discover
from harness.report.page import render
from harness.results import Results
from harness.testing.section import HOSTILE, check_section, hostile
from harness_sections.fine_tunes.fine_tunes import FineTunes
from harness_sections.variants import variants

POINT = EntryPoint("harness_sections", "harness_sections.plugin", "harness")
TASKS = ("guard", "rhyme")
LAYERS = (2, 4)
STEPS = {"guard_20": 20, "guard_50": 50, "guard_100": 100}
POINTS = "way.points"
Axes = dict[str, JSON]


def record(id: str, value: float | None, n: int = 900, **more: Any) -> Record:
    axes = more.pop("axes")
    ci = None if value is None else (value - 0.1, value + 0.2)
    why = None if value is not None else "nothing changed"
    fields = {"ci": ci, "undefined": why, "unit": "u", "n_of": "tokens"} | more
    return Record(id=f"{id}@1", value=value, n=n, axes=axes, **fields)


def flips(pair: str, layer: int, rate: float | None, **more: JSON) -> list[Record]:
    at: Axes = {"pair": pair, "site": f"resid_post.{layer}", "sae": f"s{layer}", **more}
    tau: dict[str, JSON] = {"tau": 0.0}
    found = [record("flip_rate.token", rate, axes={**at, "injection": "none"}, options=tau)]
    for k in (1, 10):
        ratio = None if rate is None else 1 + rate / 10 + k / 100
        null = {"kind": "random", "value": 1.0}
        arm: Axes = {**at, "injection": "pcs", "k": k}
        found.append(record("flip_rate.token", rate, axes=arm, options=tau))
        options: dict[str, JSON] = {**tau, "draws": 2}
        found.append(record("flip_rate.over_random", ratio, axes=arm, options=options, null=null))
        for draw in range(2):
            drawn: Axes = {**at, "injection": "random", "k": k, "draw": draw}
            found.append(record("flip_rate.token", 1.0 + draw, axes=drawn, options=tau))
    return found


def components(pair: str, layer: int) -> list[Record]:
    at: Axes = {"pair": pair, "site": f"resid_post.{layer}", "direction": "pcs"}
    found = [
        record("pc_explained_variance", 0.5 / pc, axes={**at, "pc": pc}, ci=None)
        for pc in (1, 2, 3)
    ]
    del at["direction"]
    for width in (64, 1024) if layer == 4 else (256,):
        for pc in (1, 2):
            axes: Axes = {**at, "sae": f"w{width}", "pc": pc}
            null = {"kind": "random", "value": 0.3 + width / 1e5, "q95": 0.4 + width / 1e5}
            value = 0.6 / pc
            found.append(record("pc_feature_cosine.max_abs", value, width, axes=axes, null=null))
            found.append(record("pc_feature_cosine.above_null", 7.0, width, axes=axes))
    return found


def profile(pair: str) -> list[Record]:
    own: Axes = {"pair": pair, "analysis": "layers", "injection": "none"}
    shares = [
        record("layer_profile.share", layer / 6, axes={**own, "site": f"resid_post.{layer}"})
        for layer in LAYERS
    ]
    return [*shares, record("layer_profile.centre", 3.3, axes=own)]


def overlap(layer: int) -> Record:
    axes: Axes = {"pair": "guard", "against": "rhyme", "analysis": "tasks", "sae": f"s{layer}"}
    null = {"kind": "chance", "value": 5.5, "p": 1e-9}
    return record("flip_overlap.count", 35.0, axes={**axes, "site": f"resid_post.{layer}"},
                  null=null, options={"top": 100})  # fmt: skip


def points(**changed: Any) -> list[dict[str, Any]]:
    rows = [
        {"of": of, "series": f"{extra}sae=s4", "pair": pair, "at": step, "value": step / 100,
         "low": step / 100 - 0.1, "high": step / 100 + 0.1, "unit": unit}
        for of, extra, unit in (
            ("cosine.raw@1", "", "cosine"), ("cosine.latent@1", "", "cosine"),
            ("flip_rate.token@1", "injection=none,", "flips"),
        )
        for pair, step in STEPS.items()
    ]  # fmt: skip
    return [{**row, **changed} for row in rows]


def make(*more: Record, **tables: Any) -> Results:
    records = [r for n, pair in enumerate(TASKS) for layer in LAYERS
               for r in (*flips(pair, layer, layer + n), *components(pair, layer))]  # fmt: skip
    records += [r for pair in TASKS for r in profile(pair)]
    difference = {"group": "guard", "against": "others", "analysis": "layers", "injection": "none"}
    records.append(record("layer_profile.centre_difference", 0.4, axes=difference))
    records += [overlap(layer) for layer in LAYERS]
    change = {"of": "cosine.raw@1", "analysis": "way"}
    records.append(record("trajectory.change", 0.8, axes=change))
    tables = {POINTS: points(), **tables}
    return Results("complete", {}, {}, (*records, *more), tables=tables)


def panel(results: Results) -> Panel:
    found = FineTunes(SectionOptions()).panel(results)
    assert found is not None
    return found


def figures(results: Results) -> dict[str, Figure]:
    return {b.title: b for b in panel(results).blocks if isinstance(b, Figure)}


def grids(results: Results) -> dict[str, Grid]:
    return {b.title: b for b in panel(results).blocks if isinstance(b, Grid)}


def lines(figure: Figure) -> dict[str, Any]:
    return {trace["name"]: trace for trace in figure.data}


@pytest.mark.slow
@pytest.mark.parametrize(
    "results",
    [
        make(),
        make(*flips("guard", 5, None)),
        make(*flips("lone", 2, 3.0, checkpoint=20)),
        make(**{POINTS: points(at=None)}),
        make(**{POINTS: []}),
        Results("complete", {}, {}, tuple(flips("a", 2, 0.0))),
        Results("complete", {}, {}, tuple(r for r in make().records if r.id.startswith("pc_"))),
    ],
    ids=["all", "undefined", "one site", "no steps", "no points", "flips", "components"],
)
def test_laws(results: Results) -> None:
    check_section(FineTunes(SectionOptions()), results)


def test_nothing_without_flips_or_components() -> None:
    axes: Axes = {"pair": "p", "site": "resid_post.2"}
    other = (record("cosine.raw", 0.5, axes=axes),)
    assert FineTunes(SectionOptions()).panel(Results("complete", {}, {}, other)) is None
    assert FineTunes(SectionOptions()).panel(Results("complete", {}, {}, ())) is None


def test_flips_by_task_and_layer() -> None:
    figure = figures(make())["Latents that flip, per token"]
    (heat,) = figure.data
    assert figure.layout["yaxis"]["ticktext"] == list(TASKS)
    assert figure.layout["yaxis"]["autorange"] == "reversed", "the first one on top"
    assert figure.layout["xaxis"]["ticktext"] == ["resid_post.2", "resid_post.4"]
    assert heat["z"] == [[2, 4], [3, 5]]
    assert heat["text"][1] == ["3", "5"]
    assert {row["value"] for row in figure.rows} == {2, 3, 4, 5}
    assert figure.rows[0]["from"] == pytest.approx(1.9)
    assert "guard: resid_post.2 2, resid_post.4 4; rhyme:" in figure.description


def test_the_control_is_one_and_has_no_colour() -> None:
    found = figures(make())
    first = found["Flips under PC1 over random vectors"]
    assert first.data[0]["zmid"] == 1.0
    assert first.data[0]["z"] == [[pytest.approx(1.21), pytest.approx(1.41)],
                                  [pytest.approx(1.31), pytest.approx(1.51)]]  # fmt: skip
    assert first.rows[0]["by chance"] == 1.0
    assert found["Flips under PC1 to PC10 over random vectors"].data[0]["z"][0][0] == 1.3


def test_sites_come_by_depth_whatever_the_order() -> None:
    results = make(*flips("guard", 11, 9.0), *flips("rhyme", 11, 9.0))
    backwards = replace(results, records=results.records[::-1])
    layout = figures(backwards)["Latents that flip, per token"].layout
    assert layout["xaxis"]["ticktext"] == [f"resid_post.{n}" for n in (2, 4, 11)]


def test_a_hole_where_nothing_is_defined() -> None:
    results = make(*flips("guard", 5, None), *flips("rhyme", 5, 1.0))
    figure = figures(results)["Latents that flip, per token"]
    assert figure.data[0]["z"][0] == [2, 4, None]
    assert [row["why there is none"] for row in figure.rows if row["value"] is None] == [
        "nothing changed"
    ]
    assert "Undefined: nothing changed." in grids(results)[_RATIOS].note


_RATIOS = "Flips, and their ratio to random vectors"


def test_ratios_stand_below_with_their_intervals() -> None:
    grid = grids(make())[_RATIOS]
    assert grid.columns == [
        "pair", "site", "flips per token", "PC1 over random", "PC1 to PC10 over random",
    ]  # fmt: skip
    assert grid.rows[0] == [
        "guard", "resid_post.2", "2 [1.90, 2.20]", "1.21 [1.11, 1.41]", "1.30 [1.20, 1.50]",
    ]  # fmt: skip
    assert not grid.folded
    every = grids(make())["Flips under every injection"]
    assert every.rows[1][2:5] == ["PC1, per token", "2 [1.90, 2.20]", "1.50 (1.00 to 2)"]
    assert every.folded


def test_what_is_at_one_site_alone_is_in_the_table_alone() -> None:
    results = make(*flips("lone", 2, 3.0))
    assert "lone" not in figures(results)["Latents that flip, per token"].description
    assert "lone" in [row[0] for row in grids(results)[_RATIOS].rows]


def test_an_axis_of_the_pair_makes_no_second_figure() -> None:
    steps = [r for layer in LAYERS for r in flips("late", layer, 1.0, checkpoint=240)]
    titles = [b.title for b in panel(make(*steps)).blocks if isinstance(b, Figure)]
    assert titles.count("Latents that flip, per token") == 1
    assert not [title for title in titles if "checkpoint=240" in title]


def test_two_thresholds_are_two_figures() -> None:
    strict = [replace(r, options={**r.options, "tau": 0.1}) for r in flips("guard", 2, 1.0)]
    found = figures(make(*strict))
    assert {"Latents that flip, per token: tau=0.0", "Latents that flip, per token: tau=0.1"} <= {
        *found
    }


def test_several_saes_at_a_site_are_columns() -> None:
    wide = [replace(r, axes={**r.axes, "sae": "wide"}) for r in flips("guard", 2, 7.0)]
    layout = figures(make(*wide))["Latents that flip, per token"].layout
    assert layout["xaxis"]["ticktext"] == ["resid_post.2 s2", "resid_post.2 wide", "resid_post.4"]


def test_explained_variance_by_component() -> None:
    figure = figures(make())["Variance that each component explains: resid_post.2"]
    found = lines(figure)
    assert list(found) == list(TASKS)
    assert found["guard"]["x"] == [1, 2, 3]
    assert found["guard"]["y"] == pytest.approx([0.5, 0.25, 0.5 / 3])
    assert "guard 92% in 3" in figure.description


def test_cosine_by_width_beside_random_vectors() -> None:
    found = figures(make())
    title = "First component and its best feature, by dictionary width: resid_post."
    assert f"{title}2" not in found, "one width compares with nothing"
    figure = found[f"{title}4"]
    drawn = lines(figure)
    assert drawn["guard"]["x"] == [64, 1024]
    assert drawn["random vectors, expected"]["y"] == pytest.approx([0.30064, 0.31024])
    assert drawn["random vectors, 95% below"]["y"] == pytest.approx([0.40064, 0.41024])
    assert figure.layout["xaxis"]["type"] == "log"
    row = grids(make())["Components and their best feature"].rows[0]
    assert row == ["guard", "resid_post.2", "w256", 256, "0.60", "0.30", "0.40", 7, "1 of 2"]


def test_a_profile_and_its_centres() -> None:
    figure = figures(make())["Where the flips are"]
    assert lines(figure)["guard"]["y"] == pytest.approx([1 / 3, 2 / 3])
    assert lines(figure)["guard"]["x"] == [2, 4]
    rows = grids(make())["Centre of mass of the flips"].rows
    assert rows[0] == ["guard", "3.30 [3.20, 3.50]"]
    assert rows[-1] == ["guard minus others", "0.40 [0.30, 0.60]"]


def test_latents_in_common_beside_chance() -> None:
    figure = figures(make())["Flipped latents in common"]
    assert figure.data[0]["text"] == [["35 (5.50)", "35 (5.50)"]]
    assert figure.rows[0]["p"] == 1e-9
    assert "Of the 100 latents" in figure.description


# ── Checkpoints ──────────────────────────────────────────────────────────────────────────────────


def test_a_trajectory_by_unit() -> None:
    found = figures(make())
    both = lines(found["cosine.raw and cosine.latent by checkpoint (way)"])
    assert list(both) == ["cosine.raw", "cosine.latent"]
    assert both["cosine.raw"]["x"] == list(STEPS.values())
    assert both["cosine.raw"]["error_y"]["array"] == pytest.approx([0.1] * 3)
    assert "flip_rate.token by checkpoint (way)" in found


def test_checkpoints_that_only_other_records_know() -> None:
    known = [record("cosine.raw", 0.5, axes={"pair": pair, "checkpoint": step, "site": "x"})
             for pair, step in STEPS.items()]  # fmt: skip
    rows = points(at=None)
    assert "flip_rate.token by pair (way)" in figures(make(**{POINTS: rows}))
    figure = figures(make(*known, **{POINTS: rows}))["flip_rate.token by checkpoint (way)"]
    assert figure.data[0]["x"] == list(STEPS.values())


def test_without_the_analysis_checkpoints_come_from_the_records() -> None:
    steps = [r for pair, step in reversed(STEPS.items())
             for r in flips(pair, 4, step / 10, checkpoint=step)]  # fmt: skip
    results = Results("complete", {}, {}, tuple(steps))
    figure = figures(results)["flip_rate.token by checkpoint"]
    assert figure.data[0]["x"] == [20, 50, 100]
    assert figure.data[0]["y"] == [2.0, 5.0, 10.0]
    twice = flips("other", 4, 1.0, checkpoint=20)
    again = Results("complete", {}, {}, (*steps, *twice))
    assert not [t for t in figures(again) if t.startswith("flip_rate.token by")], "whose steps?"


# ── Sizes and texts ──────────────────────────────────────────────────────────────────────────────


def test_many_tasks_do_not_make_an_endless_figure() -> None:
    many = [r for n in range(60) for layer in LAYERS for r in flips(f"task_{n}", layer, 1.0)]
    figure = figures(Results("complete", {}, {}, tuple(many)))["Latents that flip, per token"]
    assert len(figure.data[0]["z"]) == 40
    assert "Not drawn: 20 rows" in figure.description
    assert len(figure.rows) == 120


def test_a_long_name_leaves_room_for_the_figure() -> None:
    long = [r for layer in LAYERS for r in flips("x" * 500, layer, 1.0)]
    figure = figures(Results("complete", {}, {}, tuple(long)))["Latents that flip, per token"]
    assert len(figure.layout["yaxis"]["ticktext"][0]) < 30
    assert figure.rows[0]["pair"] == "x" * 500


@pytest.mark.slow
def test_hostile_names_stay_text() -> None:
    page = render(hostile(make()), discover(candidates=[POINT]))
    # As the names of tasks themselves, so that everything is found and drawn.
    records = tuple(
        replace(r, axes={**r.axes, "pair": f"{r.axes['pair']}{HOSTILE}"}) if "pair" in r.axes else r
        for r in make().records
    )
    named = render(replace(make(), records=records), discover(candidates=[POINT]))
    for text in (page, named):
        assert "alert(1)" in text
        for begun in ("<script>alert", "<img", "<b>", "\x1b", "\u202e"):
            assert begun not in text, begun


def test_the_first_words_say_what_a_flip_is() -> None:
    first = panel(make()).blocks[0]
    assert isinstance(first, Prose)
    assert "active in one of the two models alone" in first.text


def test_variants_tell_what_differs_and_no_more() -> None:
    first = record("a", 1.0, axes={"pair": "p", "tau": 1, "statistic": "s"}, options={"draws": 1})
    second = replace(first, axes={"pair": "p", "tau": 2, "statistic": "s"})
    third = replace(first, axes={"pair": "p", "tau": 2, "statistic": "t"})
    assert list(variants([first, second], ("pair",))) == ["tau=1", "tau=2"]
    assert list(variants([second, third], ("pair",))) == ["s", "t"]
    assert list(variants([first, first], ("pair",))) == [""]
    assert variants([], ("pair",)) == {}
