"""Figures on the page: every number of one is in its table, stands where it is drawn, and is said
under the pointer; what we cannot draw is drawn by plotly."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any
from xml.etree import ElementTree

import pytest

from harness.contract import Figure, Grid, Panel, SectionOptions
from harness.drawing import drawing, svg, undrawable
from harness.registry import Registry
from harness.report import panels, render
from harness.report.blocks import Chart, Table, prepared, safe_address
from harness.report.page import page
from harness.results import Results, format_number
from harness_sections.example_run import example_run
from harness_sections.fine_tunes.fine_tunes import FineTunes

from .conftest import make_results

RUNS = {"example": example_run, "small": make_results}
LINE = {"type": "scatter", "mode": "lines+markers", "name": "a",
        "x": [1, 2, 3], "y": [0.1, None, 0.4],
        "error_y": {"array": [0.05, 0.1, 0.2], "arrayminus": [0.01, 0.1, 0.1], "symmetric": False},
        "marker": {"color": "#0072B2"}}  # fmt: skip


def figures(results: Results, registry: Registry) -> list[Figure]:
    found = panels.panels(results, registry)
    return [block for panel in found for block in panel.blocks if isinstance(block, Figure)]


def charts(results: Results, registry: Registry) -> list[tuple[Figure, Chart]]:
    made = [(figure, prepared(figure, "run r")) for figure in figures(results, registry)]
    return [(figure, chart) for figure, chart in made if isinstance(chart, Chart)]


def numbers(figure: Figure) -> Iterator[float]:
    """The numbers that a figure draws: along y, or along x where y has names."""
    names = figure.layout.get("yaxis", {}).get("ticktext")
    for trace in figure.data:
        if trace.get("hoverinfo") != "skip":
            yield from (v for v in trace.get("x" if names else "y") or () if isinstance(v, float))
            yield from trace.get("median") or ()
            yield from (v for line in trace.get("z") or () for v in line if v is not None)


def words_of(chart: Chart) -> str:
    assert isinstance(chart.table, Table)
    return "\n".join(cell.text for row in chart.table.rows for cell in row)


@pytest.mark.parametrize("run", RUNS)
def test_every_number_of_a_figure_is_in_its_table(run: str, sections: Registry) -> None:
    found = charts(RUNS[run](), sections)
    assert found
    for figure, chart in found:
        words = words_of(chart)
        drawn = list(map(format_number, numbers(figure)))
        assert drawn, figure.title
        assert [one for one in drawn if one not in words] == [], figure.title


@pytest.mark.parametrize("run", RUNS)
def test_every_number_is_said_under_the_pointer(run: str, sections: Registry) -> None:
    for figure, chart in charts(RUNS[run](), sections):
        assert chart.picture is not None, f"{figure.title} is one of ours"
        spots = json.loads(chart.picture.json)["spots"]
        said = "\n".join(spot[4] for spot in spots)
        assert [n for n in map(format_number, numbers(figure)) if n not in said] == [], figure.title


def test_spots_stand_on_their_markers() -> None:
    """Where a number is missing there is no spot, as there is no marker."""
    figure = Figure("t", "d", [LINE, {**LINE, "hoverinfo": "skip"}])
    for wide in (560.0, 350.0):
        drawn = drawing(figure, [], wide)
        root = ElementTree.fromstring(f"<svg>{''.join(drawn.parts)}</svg>")
        centres = {(float(c.get("cx", "")), float(c.get("cy", ""))) for c in root.iter("circle")}
        spots = [(round(spot.x, 2), round(spot.y, 2)) for spot in drawn.spots]
        assert len(spots) == 2
        assert set(spots) <= centres
        assert [spot.at for spot in drawn.spots] == [(0,), (2,)]
        assert 0 < drawn.top < drawn.below < drawn.tall


def test_spots_of_bars_boxes_and_cells_stand_inside_them() -> None:
    bars = [{"type": "bar", "name": n, "x": ["a", "b"], "y": [1.0, 2.0]} for n in "pq"]
    drawn = drawing(Figure("t", "d", bars), [], 400.0)
    root = ElementTree.fromstring(f"<svg>{''.join(drawn.parts)}</svg>")
    rects = [one for one in root.iter("rect") if one.get("fill") == "#767676"]
    for number, spot in enumerate(drawn.spots):
        x, width = (float(rects[number].get(key, "")) for key in ("x", "width"))
        assert x + width / 2 == pytest.approx(spot.x, abs=0.02)
    heat = {"type": "heatmap", "x": [0, 1], "y": [0, 1], "z": [[1.0, None], [3.0, 4.0]]}
    spots = drawing(Figure("t", "d", [heat]), [], 400.0).spots
    assert [spot.at for spot in spots] == [(0, 0), (1, 0), (1, 1)]


def test_what_is_said_has_name_axes_number_and_interval() -> None:
    places = {"tickvals": [1, 2, 3], "ticktext": ["one", "two", "three"]}
    layout = {"xaxis": {"title": {"text": "k"}, **places}, "yaxis": {"title": "share"}}
    chart = prepared(Figure("t", "d", [LINE], layout, [{"k": 1}]))
    assert isinstance(chart, Chart)
    assert chart.picture is not None
    said = [spot[4] for spot in json.loads(chart.picture.json)["spots"]]
    assert said == ["a\nk: one\nshare: 0.10 [0.09, 0.15]", "a\nk: three\nshare: 0.40 [0.30, 0.60]"]


def test_a_point_beside_the_named_places_is_not_said_to_be_at_one() -> None:
    """Arms that are not swept stand right of the sweep, where the axis has no meaning."""
    layout = {"xaxis": {"title": {"text": "k"}, "tickvals": [1, 8], "ticktext": ["1", "8"]}}
    trace = {"type": "scatter", "x": [11.5], "y": [0.5], "name": "drawn"}
    chart = prepared(Figure("t", "d", [trace], layout, [{}]))
    assert isinstance(chart, Chart)
    assert chart.picture is not None
    assert json.loads(chart.picture.json)["spots"][0][4] == "drawn\n0.50"


def test_title_and_caption_are_in_the_drawing_and_outside_of_what_is_shown() -> None:
    """So a saved file has both, and the page shows neither twice."""
    chart = prepared(Figure("A title", "d", [LINE]), "run r · sae-harness 9")
    assert isinstance(chart, Chart)
    assert chart.picture is not None
    for one in re.findall(r"<svg.*?</svg>", chart.picture.svg, re.DOTALL):
        root = ElementTree.fromstring(one)
        _, top, _, tall = map(float, root.get("viewBox", "").split())
        places = {str(text.text): float(text.get("y", "")) for text in root.iter("text")}
        size, outside = 12, ["A title", "bars: 95% intervals", "run r · sae-harness 9"]
        assert places[outside[0]] < top
        assert min(places[line] for line in outside[1:]) - size > top + tall
        assert all(top < y < top + tall for word, y in places.items() if word not in outside)


def test_files_did_not_change() -> None:
    """The picture of `harness export` is the same drawing, at its own width."""
    (figure, *_) = [b for b in FineTunes(SectionOptions()).panel(example_run()).blocks  # type: ignore[union-attr]
                    if isinstance(b, Figure)]  # fmt: skip
    text = svg(figure, ["caption"])
    assert "".join(drawing(figure, ["caption"], 860).parts) == "".join(
        text.partition("</desc>\n")[2].removesuffix("\n</svg>\n").split("\n")
    )


@pytest.mark.parametrize(
    ("trace", "layout"),
    [({"type": "pie", "values": [1]}, {}), ({"type": "scatter3d"}, {}),
     ({"type": "scatter", "yaxis": "y2"}, {"yaxis2": {"overlaying": "y"}}),
     ({"type": "bar", "orientation": "h"}, {}), ({"type": "bar"}, {"barmode": "stack"}),
     ({"type": "scatter", "fill": "tozeroy"}, {}), ({"type": "scatter", "stackgroup": "a"}, {}),
     ({"type": "scatter"}, {"annotations": [{"text": "here"}]}),
     ({"type": "scatter", "x": 3}, {})],
    ids=["pie", "3d", "two axes", "lying bars", "stacked bars", "area", "stack", "annotation",
         "odd"],
)  # fmt: skip
def test_what_we_would_draw_wrongly_is_drawn_by_plotly(
    trace: dict[str, Any], layout: dict[str, Any]
) -> None:
    figure = Figure("t", "d", [{"x": [1], "y": [2], **trace}], layout, [{"x": 1, "y": 2}])
    chart = prepared(figure)
    assert isinstance(chart, Chart)
    assert chart.picture is None
    assert json.loads(str(chart.plotly))["data"][0].get("type") == trace["type"]
    assert [cell.text for cell in chart.table.rows[0]] == ["1", "2"]


def test_all_that_we_draw_ourselves_can_be_drawn(sections: Registry) -> None:
    for run in RUNS.values():
        for figure in figures(run(), sections):
            assert undrawable(figure.data, figure.layout) is None, figure.title


@pytest.mark.slow
def test_the_same_run_gives_the_same_bytes(sections: Registry) -> None:
    assert render(example_run(), sections) == render(example_run(), sections)


# ── Where a page leads ───────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("address", "safe"),
    [(f"https://{one}", True) for one in ("www.neuronpedia.org/gpt2-small/6-res-jb/650",
                                          "example.org/a")]
    + [(f"https://{one}", False) for one in (
        "example.org", "example.org/", "example.org:8/a", "a@example.org/a", "example.org/a?b",
        "example.org/a#b", "example.org/%2e", "example.org/..", "example.org/a//b",
        "exämple.org/a", "example.org/a\n", "localhost/a", "example.org/a b",
        f"example.org/{'a' * 300}")]
    + [("http://example.org/a", False), ("HTTPS://example.org/a", False),
       ("javascript:alert(1)", False), ("//example.org/a", False)],
)  # fmt: skip
def test_addresses_of_plain_ids_alone_become_links(address: str, safe: bool) -> None:
    assert safe_address(address) is safe
    table = prepared(Grid("t", ("a",), [["word"]], links={(0, 0): address}))
    assert isinstance(table, Table)
    assert table.rows[0][0].text == "word"
    assert (table.rows[0][0].link == address) is safe


def test_a_row_opens_its_table(results: Any, parse: Any, harmless: Any) -> None:
    inner = Grid("Contexts of 7", ("context", "activation"), [["a «b»", 1.5]])
    grid = Grid("Outer", ("feature", "x"), [[3, 1.0], [7, 2.0]], opens={1: inner})
    (shown,) = panels.shown([Panel("P", [grid])])
    (table,) = shown.blocks
    assert isinstance(table, Table)
    assert list(table.opens) == [2]
    text = page("several.html", [shown], title="t", source="", headline=(), facts=[], notes=[])
    found = parse(text)
    harmless(found)
    rows = text[text.index("<tbody>") :].split("<tr")
    assert "7" in rows[2]
    assert "Contexts of 7" in rows[3], "below its row"
    assert found.text.index("a «b»") > found.text.index("Contexts of 7")
