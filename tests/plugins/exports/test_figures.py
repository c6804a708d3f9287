"""Figures as files: what they show is what the records say, read from the picture as a person does.

Issue 14, item 4: offline, the same bytes twice, and an index that says where each comes from.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from harness.contract import Component, ExportFile, Figure, LeftOut, Panel, Record, SectionOptions
from harness.drawing import caption, svg, undrawable
from harness.export.export import as_exported, export_run, read_run
from harness.export.folder import Exported
from harness.registry import Registry
from harness.results import Results, load_results
from harness.results.write import write_results
from harness.testing.section import HOSTILE, hostile
from harness_exports.figures.export import INDEX, Figures, named
from harness_exports.figures.options import FiguresOptions

from .conftest import COMMAND, LAYERS, MISSING

NS = "{http://www.w3.org/2000/svg}"
ALLOWED = {"svg", "title", "desc", "rect", "text", "path", "line", "circle"}
DEPTH = "layer-profiles-pair-web.svg"


def elements(text: str, name: str) -> list[ElementTree.Element]:
    return list(ElementTree.fromstring(text).iter(f"{NS}{name}"))


def harmless(text: str) -> None:
    """Valid XML of few elements, that asks for nothing and runs nothing."""
    for one in ElementTree.fromstring(text).iter():
        assert one.tag.removeprefix(NS) in ALLOWED
        for key, value in one.attrib.items():
            assert not key.startswith("on")
            assert "href" not in key
            assert "url(" not in value
            assert "http" not in value


def markers(text: str, colour: str) -> list[tuple[float, float]]:
    """The centres of the points of a colour inside the axes, as (x, y)."""
    found = []
    for one in ElementTree.fromstring(text).iter():
        if colour not in (one.get("fill"), one.get("stroke")):
            continue
        if one.tag == f"{NS}circle":
            found.append((float(one.get("cx", "")), float(one.get("cy", ""))))
        elif moved := re.match(r"translate\(([\d.-]+) ([\d.-]+)\)", one.get("transform", "")):
            found.append((float(moved[1]), float(moved[2])))
    return found[:-1]  # the last one is the legend's


def up(text: str) -> list[tuple[float, float]]:
    """What is written beside the y axis: (the number, where it stands)."""
    beside = [one for one in elements(text, "text") if one.get("text-anchor") == "end"]
    return [(float(str(one.text)), float(one.get("y", "")) - 4) for one in beside]


def read_off(text: str, colour: str) -> list[float]:
    """The numbers of points, by the marks of the axis beside them."""
    (low, bottom), *_, (high, top) = sorted(up(text))
    return [low + (high - low) * (y - bottom) / (top - bottom) for _, y in markers(text, colour)]


def export_figures(run: Path, registry: Registry, out: Path) -> Exported:
    return export_run(read_run(run, registry), registry.find("export", "figures"), out)


@pytest.fixture
def made(run: Path, registry: Registry, tmp_path: Path) -> dict[str, str]:
    """The files, by name."""
    export_figures(run, registry, tmp_path / "out")
    files = sorted((tmp_path / "out").iterdir())
    return {file.name: file.read_text("utf-8") for file in files if file.name != "export.json"}


# ── What is drawn ────────────────────────────────────────────────────────────────────────────────


def test_points_stand_where_their_numbers_are(made: dict[str, str], results: Results) -> None:
    """Read off beside the axis, as a person does: to a pixel."""
    latent = [r.value for r in results.records if r.id == "cosine.latent@1"]
    assert read_off(made[DEPTH], "#D55E00") == pytest.approx(latent, abs=0.003)
    overlap = [r.value for r in results.records if r.id == "latent_overlap.topk@1"]
    assert read_off(made[DEPTH], "#008F68") == pytest.approx(overlap, abs=0.003)


def test_a_missing_number_is_a_gap_and_no_zero(made: dict[str, str], results: Results) -> None:
    raw = [r.value for r in results.records if r.id == "cosine.raw@1" and r.value is not None]
    assert len(raw) == len(LAYERS) - 1
    assert read_off(made[DEPTH], "#0072B2") == pytest.approx(raw, abs=0.003)
    lines = [
        one.get("d", "")
        for one in elements(made[DEPTH], "path")
        if (one.get("stroke"), one.get("stroke-linejoin")) == ("#0072B2", "round")
    ]
    line, _ = lines  # the other one is the legend's
    # Blocks 2 and 4 are joined; 7 stands alone behind the gap at 5, with nothing to be joined to.
    assert (line.count("M"), line.count("L")) == (1, 1)
    assert MISSING in LAYERS


def test_bars_reach_from_end_to_end_of_the_interval(made: dict[str, str], results: Results) -> None:
    name = next(name for name in made if "refusal-score" in name)
    text = made[name]
    (low, bottom), *_, (high, top) = sorted(up(text))
    ends = []
    for one in elements(text, "path"):
        whisker = re.match(r"M([\d.]+) ([\d.]+)V([\d.]+)M", one.get("d", ""))
        if whisker:
            ends.append([low + (high - low) * (float(y) - bottom) / (top - bottom)
                         for y in (whisker[2], whisker[3])])  # fmt: skip
    expected = [list(r.ci) for r in results.records if r.id == "refusal_score@1" and r.ci]
    assert len(ends) == len(expected)
    for drawn, told in zip(sorted(ends), sorted(expected), strict=True):
        assert drawn == pytest.approx(told, abs=0.004)


def test_a_sweep_over_powers_stands_at_even_steps(made: dict[str, str]) -> None:
    text = made[next(name for name in made if "refusal-score" in name)]
    xs = [x for x, _ in markers(text, "#0072B2")]
    steps = [b - a for a, b in pairwise(xs)]
    assert steps == pytest.approx([steps[0]] * 3, abs=0.02)


def test_every_value_that_is_drawn_is_a_number_of_a_record(run: Path, registry: Registry) -> None:
    found = list(named(read_run(run, registry)))
    assert len(found) > 1
    for one in found:
        known = {number for record in one.figure.records for number in numbers(record)}
        for trace in one.figure.data:
            drawn = [value for value in trace.get("y") or () if isinstance(value, float)]
            assert set(drawn) <= known, one.figure.title


def numbers(record: Record) -> list[float | None]:
    null = (record.null or {}).get("value")
    return [record.value, *(record.ci or ()), null if isinstance(null, float) else None]


def test_title_axes_units_counts_and_run_are_written(made: dict[str, str]) -> None:
    words = " ".join(str(one.text) for one in elements(made[DEPTH], "text"))
    for expected in (
        "Pair web", "block (resid_post)", "unit: cosine, ratio", "n = 500 tokens",
        "bars: 95% intervals", "run known", "sae-harness 9.9", COMMAND, "cosine of latents",
    ):  # fmt: skip
        assert expected in words, expected
    (ground,) = (one for one in elements(made[DEPTH], "rect") if one.get("rx"))
    assert ground.get("fill") == "#ffffff"  # its own, for dark pages


def test_a_mean_of_draws_is_not_said_to_have_an_interval() -> None:
    records = [Record("s@1", v, 9, "prompts", "share", axes={"draw": v}) for v in (0.2, 0.6)]
    bars = {"array": [0.2], "arrayminus": [0.2], "symmetric": False}
    trace = {"type": "scatter", "x": [1], "y": [0.4], "error_y": bars}
    results = Results("complete", {"name": "r"}, {}, ())
    first, _ = caption(Figure("t", "d", [trace], records=records), results)
    assert "of several draws, mean and range" in first
    alone = replace(records[0], value=0.4)
    assert "range" not in caption(Figure("t", "d", [trace], records=[alone]), results)[0]


def test_an_invalid_run_says_so(results: Results) -> None:
    assert "(invalid)" in caption(Figure("t", "d", []), replace(results, status="invalid"))[-1]


# ── The files ────────────────────────────────────────────────────────────────────────────────────


def test_files_are_harmless(made: dict[str, str]) -> None:
    for name, text in made.items():
        if name != INDEX:
            harmless(text)


def test_hostile_text_stays_text(run: Path, registry: Registry) -> None:
    evil = as_exported(hostile(load_results(run)), run, registry)
    files = [one for one in Figures(FiguresOptions()).files(evil)
             if isinstance(one, ExportFile) and one.path != INDEX]  # fmt: skip
    assert files
    for file in files:
        assert re.fullmatch(r"[a-z0-9-]+\.svg", file.path)
        assert isinstance(file.content, str)
        harmless(file.content)
        assert not set(file.content) & set("\x1b\u202e")
    for drawn in (HOSTILE, "url(https://evil.example)", "red;} @import", "javascript:x"):
        trace = {"type": "scatter", "x": [drawn], "y": [1.0], "name": drawn, "text": [drawn],
                 "mode": "lines+markers+text", "marker": {"color": drawn, "symbol": drawn},
                 "line": {"color": drawn, "dash": drawn}}  # fmt: skip
        harmless(svg(Figure(drawn, drawn, [trace], {"yaxis": {"title": drawn}}), [drawn]))


@pytest.mark.slow
def test_the_same_bytes_in_every_process(run: Path, tmp_path: Path) -> None:
    """Of each form of ours, with another order of sets and in another time zone."""
    every = []
    code = (
        "import sys\nfrom harness.cli.main import main\nrun, out = sys.argv[1:]\n"
        "for form in ('figures', 'csv', 'latex'):\n"
        "    assert main(['export', run, '--to', form, '--out', out]) == 0\n"
    )
    for seed in ("1", "2"):
        out = tmp_path / seed
        environment = {**os.environ, "PYTHONHASHSEED": seed, "TZ": f"UTC+{seed}"}
        command = [sys.executable, "-c", code, str(run), str(out)]
        subprocess.run(command, check=True, env=environment, stdout=subprocess.DEVNULL)
        every.append({file.name: file.read_bytes() for file in out.iterdir() if file.is_file()})
    assert every[0] == every[1]
    assert {"figures.json", "records.csv", "all.tex", "export.json"} <= every[0].keys()


@pytest.mark.slow
def test_no_torch_and_no_plotly(run: Path, tmp_path: Path) -> None:
    code = (
        "import sys\nfrom harness.cli.main import main\nrun, out = sys.argv[1:]\n"
        "for form in ('figures', 'csv', 'latex'):\n"
        "    assert main(['export', run, '--to', form, '--out', out]) == 0\n"
        "heavy = {'torch', 'transformers', 'plotly', 'kaleido', 'pandas'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    command = [sys.executable, "-c", code, str(run), str(tmp_path / "out")]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


def test_the_index_says_where_each_figure_comes_from(made: dict[str, str], run: Path) -> None:
    index = json.loads(made[INDEX])
    assert (index["run"], index["command"], index["status"]) == ("known", COMMAND, "complete")
    assert {one["svg"] for one in index["figures"]} == made.keys() - {INDEX}
    stored = json.loads((run / "results.json").read_text())["records"]
    known = {json.dumps([one["id"], one["axes"], one["value"]], sort_keys=True) for one in stored}
    for figure in index["figures"]:
        assert figure["records"], figure["title"]
        for one in figure["records"]:
            assert json.dumps([one["id"], one["axes"], one["value"]], sort_keys=True) in known
    (depth,) = (one for one in index["figures"] if one["svg"] == DEPTH)
    assert len(depth["records"]) == 3 * len(LAYERS)


def test_what_an_earlier_export_left_is_removed(
    run: Path, results: Results, registry: Registry, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    export_figures(run, registry, out)
    (out / "mine.svg").write_text("<svg/>")
    fewer = tuple(r for r in results.records if "experiment" not in r.axes)
    write_results(run, replace(results, records=fewer))
    export_figures(run, registry, out)
    left = {file.name for file in out.iterdir()}
    assert {DEPTH, INDEX, "mine.svg"} <= left
    assert not [name for name in left if "refusal" in name]


# ── Figures of strangers ─────────────────────────────────────────────────────────────────────────


class NoOptions(SectionOptions):
    """None."""


class Stranger:
    """Draws what is not drawn here, and two figures of one title."""

    def __init__(self, options: NoOptions) -> None: ...

    def panel(self, results: Results) -> Panel:
        pie = Figure("Pie", "d", [{"type": "pie", "values": [1]}], {}, [{"a": 1}])
        bars = Figure("Bars", "d", [{"type": "bar", "x": ["a", "b"], "y": [2.0, None]}])
        odd = Figure("Odd", "d", [{"type": "scatter", "x": 3}], {"height": "tall"})
        return Panel("Strange", [pie, bars, bars, odd])


class Owned:
    """A section of this module, as a registry hands it out."""

    component = Component("section", "strange", "", "", "")

    def options(self) -> type[NoOptions]:
        return NoOptions

    def load(self) -> type[Stranger]:
        return Stranger


class Strangers(Registry):
    def of(self, kind: str) -> Any:
        return [Owned()] if kind == "section" else []


def test_a_figure_that_cannot_be_drawn_is_named(run: Path) -> None:
    found = list(Figures(FiguresOptions()).files(read_run(run, Strangers())))
    left_out = [one for one in found if isinstance(one, LeftOut)]
    files = {one.path: str(one.content) for one in found if isinstance(one, ExportFile)}
    assert [one.what for one in left_out] == ["Pie", "Odd"]
    assert [*files] == ["strange-bars.svg", "strange-bars-2.svg", INDEX]
    index = json.loads(files[INDEX])
    assert index["figures"][0]["not_drawn"] == "no picture is made of traces of the type pie"
    assert "could not be drawn" in index["figures"][3]["not_drawn"]
    bars = elements(files["strange-bars.svg"], "rect")
    assert len([one for one in bars if one.get("fill") == "#767676"]) == 1  # none for the missing


@pytest.mark.parametrize(
    ("trace", "drawn"),
    [
        ({"type": "scatter"}, True),
        ({}, True),
        ({"type": "box", "y": [1, 2]}, False),
        ({"type": "sunburst"}, False),
    ],
)
def test_which_traces_can_be_drawn(trace: dict[str, Any], drawn: bool) -> None:
    assert (undrawable([trace]) is None) == drawn
    if drawn:
        harmless(svg(Figure("t", "d", [trace]), []))


def test_the_command_tells_what_it_wrote(said: Any, run: Path) -> None:
    code, out, err = said("export", run, "--to", "figures")
    assert (code, err) == (0, "")
    assert f"in {run}/figures" in out.replace("\n", "")
    assert (run / "figures" / INDEX).is_file()
    code, _, err = said("export", run, "--to", "pictures")
    assert code == 2
    assert "Did you mean figures?" in err
