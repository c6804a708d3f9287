"""Layer profiles, FVU settings, cosines and pair tables: what they show, from records alone."""

from __future__ import annotations

from dataclasses import replace
from importlib.metadata import EntryPoint
from typing import Any

import pytest

from harness.contract import Figure, Grid, Panel, Prose, Record
from harness.registry import Owned, discover
from harness.report.page import render
from harness.results import Results
from harness.results.by_site import site_tables
from harness.testing.section import HOSTILE, check_section, hostile

POINT = EntryPoint("harness_sections", "harness_sections.plugin", "harness")
REGISTRY = discover(candidates=[POINT])
NAMES = (
    "plain_answers",
    "layer_profiles",
    "sae_fit_by_layer",
    "pairs_by_site",
    "base_measurements",
)
SECTIONS = [one for one in REGISTRY.of("section") if one.component.name in NAMES]
UNDER = {"cosine_below": 0.9}
LOWEST = {"cosine_quantile": 0.1}
SAME = {"kind": "identical", "value": 1.0}
FVUS = {("base", "web"): 0.03, ("base", "talk"): 0.07, ("chat", "talk"): 0.16}
QUANTILES = {"05": 0.5, "25": 0.7, "50": 0.8, "75": 0.9, "95": 0.95}


def record(id: str, value: float | None, layer: int, sae: str | None = None, **axes: Any) -> Record:
    at = {"pair": "p", "data": "web", "site": f"resid_post.{layer}", "sae": sae or f"sae_{layer}"}
    ci = None if value is None else (value - 0.02, value + 0.03)
    why = "no token" if value is None else None
    return Record(f"{id}@1", value, 50, "tokens", "ratio", ci=ci, undefined=why, axes=at | axes)


def fvus(layer: int) -> list[Record]:
    settings = dict(zip(("base", "other_data", "other_model"), FVUS, strict=True))
    options = {name: {"view": v, "data": d, "axes": {}} for name, (v, d) in settings.items()}
    records = [
        record("fvu.pooled", value + layer / 1000, layer, view=view, data=data, pair=data)
        for (view, data), value in FVUS.items()
    ]
    for step in ("data", "model", "both"):
        axes = {"analysis": "settings", "step": step, "site": f"resid_post.{layer}", "sae": "x"}
        for id, value in (("fvu.degradation@1", 0.04), ("fvu.degradation_relative@1", 0.05)):
            ci = (0.03, 0.05) if id == "fvu.degradation@1" else None
            records.append(Record(id, value, 50, "tokens", "r", options=options, ci=ci, axes=axes))
    return records


def pair(layer: int, **axes: Any) -> list[Record]:
    found = [
        replace(record("cosine.raw", 0.98, layer, **axes), null=SAME),
        replace(record("cosine.latent", 0.9, layer, **axes), null=SAME),
        replace(record("latent_overlap.topk", 0.4 + layer / 100, layer, **axes), null=SAME),
        replace(record("intersection_ratio.per_token", 0.3, layer, **axes), null=SAME),
        record("intersection_ratio.chance", 0.02, layer, **axes),
        record("explained_ratio.ratio_of_means", 0.5, layer, **axes),
        record("filtered_share", 0.25, layer, **axes),
    ]
    moved = ("intersection_ratio", "explained_ratio", "filtered_share")
    found = [replace(r, options=UNDER) if r.id.startswith(moved) else r for r in found]
    found += [record(f"cosine.quantile_{p}", v, layer, **axes) for p, v in QUANTILES.items()]
    below = record("cosine.share_below", 0.25, layer, **axes)
    return [*found, replace(below, options={"below": 0.9})]


def make(*more: Record, layers: tuple[int, ...] = (2, 4, 11), **tables: Any) -> Results:
    records = [r for layer in layers for r in (*pair(layer), *fvus(layer))]
    rows = [{"verdict": "hidden shift at layer 2", "site": "resid_post.2"}] * 2
    tables = {"v.hidden_shift": rows, "other.table": [{"a": 1}], **tables}
    return Results("complete", {}, {}, (*records, *more), tables=tables)


def panel(name: str, results: Results) -> Panel | None:
    (owned,) = [one for one in SECTIONS if one.component.name == name]
    found = owned.load()(owned.options()()).panel(results)
    assert found is None or isinstance(found, Panel)
    return found


def figures(name: str, results: Results) -> dict[str, Figure]:
    found = panel(name, results)
    blocks = found.blocks if found else []
    return {block.title: block for block in blocks if isinstance(block, Figure)}


def lines(figure: Figure) -> dict[str, Any]:
    return {trace["name"]: trace for trace in figure.data}


@pytest.mark.slow
@pytest.mark.parametrize("owned", SECTIONS, ids=lambda owned: owned.component.name)
@pytest.mark.parametrize(
    "results",
    [
        make(),
        make(layers=()),
        make(layers=(2,)),
        make(*(record("cosine.raw", 0.5, n, site=s) for n, s in enumerate(("embed", "a.b")))),
        make(*(r for n in (2, 4) for r in pair(n, domain="x"))),
        make(*(r for n in (2, 4) for r in pair(n, sae="wide"))),
        make(*(record("cosine.raw", None, n, pair="q") for n in (1, 2))),
    ],
    ids=["three sites", "nothing", "one site", "odd sites", "categories", "two SAEs", "undefined"],
)
def test_the_laws_hold(owned: Owned, results: Results) -> None:
    check_section(owned.load()(owned.options()()), results)


def test_there_is_nothing_without_two_sites() -> None:
    for name in ("layer_profiles", "pairs_by_site"):
        assert figures(name, make(layers=())) == {}
    assert "Pair p on web" not in figures("layer_profiles", make(layers=(2,)))
    assert panel("sae_fit_by_layer", make(layers=(2,))) is None
    assert panel("pairs_by_site", make(layers=(2,))) is None


# ── Profiles ─────────────────────────────────────────────────────────────────────────────────────


def test_a_profile_has_its_numbers_intervals_and_nulls() -> None:
    found = lines(figures("layer_profiles", make())["Pair p on web"])
    assert list(found)[1:] == [
        "cosine of activations", "cosine of latents", "overlap of latents",
        "IR, where cosine < 0.9", "ER, where cosine < 0.9", "IR by chance, where cosine < 0.9",
    ]  # fmt: skip
    overlap = found["overlap of latents"]
    assert overlap["x"] == [2, 4, 11]
    assert overlap["y"] == pytest.approx([0.42, 0.44, 0.51])
    assert overlap["mode"] == "lines+markers"
    assert overlap["error_y"]["array"] == pytest.approx([0.03] * 3)
    assert overlap["error_y"]["arrayminus"] == pytest.approx([0.02] * 3)
    (null,) = [trace for name, trace in found.items() if name.startswith("if nothing differed")]
    assert null["y"] == [1.0, 1.0]
    assert null["x"] == [2, 11]


def test_the_rows_of_a_figure_hold_every_number_and_its_null() -> None:
    rows = figures("layer_profiles", make())["Pair p on web"].rows
    assert len(rows) == 3 * 6
    first = rows[0]
    assert (first["number"], first["site"], first["value"]) == (
        "cosine of activations", "resid_post.2", 0.98,
    )  # fmt: skip
    assert first["if nothing differed"] == 1.0
    assert (first["from"], first["to"]) == (pytest.approx(0.96), pytest.approx(1.01))


def test_sites_are_drawn_by_depth_whatever_their_order() -> None:
    results = make()
    backwards = replace(results, records=results.records[::-1])
    found = lines(figures("layer_profiles", backwards)["Pair p on web"])
    assert found["cosine of activations"]["x"] == [2, 4, 11]


def test_a_gap_and_a_reason_where_a_number_is_undefined() -> None:
    results = make(record("cosine.raw", None, 5), record("latent_overlap.topk", 0.3, 5))
    figure = figures("layer_profiles", results)["Pair p on web"]
    line = lines(figure)["cosine of activations"]
    assert line["y"][line["x"].index(5)] is None
    (row,) = [row for row in figure.rows if row["site"] == "resid_post.5" and row["value"] is None]
    assert row["why there is none"] == "no token"


def test_several_saes_at_a_site_are_points_that_are_not_joined() -> None:
    wide = [record("latent_overlap.topk", 0.2, layer, sae="wide") for layer in (2, 4)]
    again = [record("cosine.raw", 0.98, layer, sae="wide") for layer in (2, 4)]
    found = lines(figures("layer_profiles", make(*wide, *again))["Pair p on web"])
    assert found["overlap of latents"]["mode"] == "markers"
    assert sorted(found["overlap of latents"]["x"]) == [2, 2, 4, 4, 11]
    assert found["cosine of activations"]["mode"] == "lines+markers", "the same at every SAE"


def test_sites_that_are_no_blocks_stand_side_by_side() -> None:
    odd = [record("cosine.raw", 0.5, n, site=s, pair="q") for n, s in enumerate(("embed", "a.b"))]
    figure = figures("layer_profiles", make(*odd))["Pair q on web"]
    assert figure.layout["xaxis"]["type"] == "category"
    assert lines(figure)["cosine of activations"]["x"] == ["embed", "a.b"]


def test_categories_and_analyses_have_no_line() -> None:
    extra = [record("cosine.raw", 0.1, layer, domain="maths") for layer in (2, 4)]
    assert figures("layer_profiles", make(*extra)) == figures("layer_profiles", make())


def test_an_axis_that_a_whole_pair_has_alike_is_in_no_label() -> None:
    steps = [r for layer in (2, 4) for r in pair(layer, pair="q", checkpoint=20)]
    found = lines(figures("layer_profiles", make(*steps))["Pair q on web"])
    assert "cosine of activations" in found


def test_numbers_with_and_without_a_filter_are_two_lines() -> None:
    everywhere = [record("intersection_ratio.per_token", 0.6, layer) for layer in (2, 4, 11)]
    found = lines(figures("layer_profiles", make(*everywhere))["Pair p on web"])
    assert found["IR"]["y"] == [0.6] * 3
    assert found["IR, where cosine < 0.9"]["y"] == [0.3] * 3


# ── Cosines ──────────────────────────────────────────────────────────────────────────────────────


def test_boxes_hold_the_quantiles() -> None:
    results = make()
    figure = figures("layer_profiles", results)["Cosine of activations, over tokens"]
    (box,) = figure.data
    assert box["x"] == ["resid_post.2", "resid_post.4", "resid_post.11"]
    found = [box[key][0] for key in ("lowerfence", "q1", "median", "q3", "upperfence")]
    assert found == list(QUANTILES.values())
    blocks = panel("layer_profiles", results).blocks  # type: ignore[union-attr]
    (said,) = [b.text for b in blocks if isinstance(b, Prose) and "threshold" in b.text]
    assert "25% under 0.9 at resid_post.4" in said


def test_filtered_or_missing_quantiles_make_no_box() -> None:
    results = make()
    filtered = [replace(r, options=UNDER) for r in results.records if "quantile" in r.id]
    kept = [r for r in results.records if "quantile" not in r.id]
    title = "Cosine of activations, over tokens"
    assert title not in figures("layer_profiles", replace(results, records=(*kept, *filtered)))
    partly = [r for r in results.records if not r.id.startswith("cosine.quantile_50")]
    assert title not in figures("layer_profiles", replace(results, records=tuple(partly)))


# ── FVU, ER and IR ───────────────────────────────────────────────────────────────────────────────


def test_the_settings_are_the_ones_that_the_analysis_compared() -> None:
    found = figures("sae_fit_by_layer", make())
    figure = found["FVU in three settings: settings"]
    assert lines(figure).keys() == {
        "base on web (own model, own text)",
        "base on talk (other text)",
        "chat on talk (other model)",
    }
    assert lines(figure)["base on talk (other text)"]["y"] == pytest.approx([0.072, 0.074, 0.081])
    assert figure.layout["yaxis"]["range"][1] < 0.3, "small numbers are seen"
    assert "FVU of each view" not in found
    (grid,) = [b for b in panel("sae_fit_by_layer", make()).blocks if isinstance(b, Grid)]  # type: ignore[union-attr]
    assert grid.columns == ["site", "SAE", "other text", "the other model", "both"]
    assert grid.rows[0] == ["resid_post.2", "x", *["0.04 [0.03, 0.05]; 5.0%"] * 3]
    assert [row[0] for row in grid.rows] == ["resid_post.2", "resid_post.4", "resid_post.11"]


def test_without_the_analysis_every_view_has_its_fvu() -> None:
    results = make()
    kept = tuple(r for r in results.records if "analysis" not in r.axes)
    found = figures("sae_fit_by_layer", replace(results, records=kept))["FVU of each view"]
    assert lines(found).keys() == {"base on web", "base on talk", "chat on talk"}


def test_er_and_ir_are_those_of_the_chosen_tokens() -> None:
    everywhere = [record("intersection_ratio.per_token", 0.6, layer) for layer in (2, 4, 11)]
    found = figures("sae_fit_by_layer", make(*everywhere))
    figure = found["ER and IR at tokens with cosine under 0.9: p on web"]
    drawn = lines(figure)
    assert drawn["IR"]["y"] == [0.3] * 3
    assert drawn["ER"]["y"] == [0.5] * 3
    assert drawn["IR by chance"]["line"]["dash"] == "dot"
    assert "25% at resid_post.4" in figure.description


# ── Tables ───────────────────────────────────────────────────────────────────────────────────────


def test_no_number_of_a_pair_is_hidden() -> None:
    extra = [record("anything.at_all", 0.123, layer, domain="x") for layer in (2, 4)]
    extra += [Record("kl.next_token@1", 0.5, 5, "tokens", "nats", axes={"pair": "p"})]
    results = make(*extra)
    tables, rest = site_tables([r for r in results.records if "analysis" not in r.axes])
    in_tables = sum(len(row) for table in tables for row in table.rows.values())
    assert in_tables + len(rest) == len(results.records) - 18
    grid = panel("pairs_by_site", results).blocks[0]  # type: ignore[union-attr]
    assert isinstance(grid, Grid)
    assert grid.title == "Pair p on web"
    by_label = {row[0]: row for row in grid.rows}
    assert by_label["anything.at_all domain=x"][1:4] == ["0.12 [0.10, 0.15]"] * 2 + [""]
    assert by_label["cosine.raw"][-2:] == ["1.00", "50 tokens"]
    (others,) = panel("base_measurements", results).blocks  # type: ignore[union-attr]
    assert isinstance(others, Grid)
    assert [row[0] for row in others.rows] == ["kl.next_token"]


def test_what_is_undefined_is_explained_below_the_table() -> None:
    missing = [record("fvu.pooled", None, layer, view="x") for layer in (2, 4)]
    grid = panel("pairs_by_site", make(*missing)).blocks[0]  # type: ignore[union-attr]
    assert isinstance(grid, Grid)
    assert "Undefined for fvu.pooled view=x: no token." in grid.note


# ── Verdicts ─────────────────────────────────────────────────────────────────────────────────────


def test_verdicts_come_first_and_once() -> None:
    found = panel("plain_answers", make())
    assert found is not None
    assert [b.text for b in found.blocks if isinstance(b, Prose)] == ["hidden shift at layer 2"]
    assert found.order < 5
    assert panel("plain_answers", make(**{"v.hidden_shift": []})) is None


@pytest.mark.slow
def test_a_page_of_hostile_numbers_is_harmless() -> None:
    page = render(hostile(make()), REGISTRY)
    assert "<script>alert" not in page
    assert "<img" not in page
    assert HOSTILE[:20] not in page


def test_the_tokens_with_the_lowest_cosines_have_a_figure_of_their_own() -> None:
    """Issue 14, item 3: shown as the filter at 0.9 is, and not mixed with it."""
    below = [one for layer in (2, 4, 11) for one in pair(layer)]
    lowest = [replace(one, options=LOWEST) for one in below if one.options == UNDER]
    lowest = [replace(one, value=0.1) for one in lowest]
    results = make(*lowest)
    found = panel("sae_fit_by_layer", results)
    assert found is not None
    figures = [block for block in found.blocks if isinstance(block, Figure)]
    (mine,) = (one for one in figures if "a cosine in the lowest 10%" in one.title)
    (other,) = (one for one in figures if "cosine under 0.9" in one.title)
    assert "Tokens that count: 10%" in mine.description
    assert {row["value"] for row in mine.rows} == {0.1}
    assert all(row["value"] != 0.1 for row in other.rows)
    labels = [label for table in site_tables(results.records)[0] for label in table.rows]
    assert any("cosine_quantile=0.1" in label for label in labels)
