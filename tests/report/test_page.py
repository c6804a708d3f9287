"""The page: what it shows, that it harms nobody, and that everybody can read it."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

import fakes
from harness.contract import Component, Figure, Grid, Panel, Prose, SectionOptions
from harness.errors import DataError, InvalidRun
from harness.registry import Plugin, Registry
from harness.report import panels, render, write_report
from harness.report.embed import resource
from harness.report.notebook import NotebookResults, figures
from harness.results import Results, format_number, load_results

from . import browsed

RUNS = "document.documentElement.setAttribute('data-ran','EVIL')"
EVIL = (
    f"</script></title></style>-->\"'><script>{RUNS}</script><img src=x onerror=\"{RUNS}\">"
    f"<svg onload=\"{RUNS}\"></svg><a href=\"javascript:{RUNS}\">EVIL</a><base href=//evil.example>"
    "<iframe srcdoc='<script>EVIL</script>'></iframe>{{ 7 * 7 }} EVIL\x1b[31m\u202e\u2028 [bold]"
)  # fmt: skip
Make = Callable[..., Results]


# ── Sections of a stranger ───────────────────────────────────────────────────────────────────────


class Options(SectionOptions):
    """None."""


class Hostile:
    """Writes markup wherever it can."""

    def __init__(self, options: Options) -> None: ...

    def panel(self, results: Results) -> Panel:
        figure = Figure(EVIL, EVIL, [{"type": "scatter", "x": [EVIL], "y": [1], "name": EVIL}],
                        {"xaxis": {"title": {"text": EVIL}}}, [{EVIL: EVIL}])  # fmt: skip
        grid = Grid(EVIL, (EVIL, "b"), ((EVIL, True), (EVIL * 1000, None)), EVIL)
        prose = Prose(EVIL, tone=f'x" onclick="{RUNS}')  # type: ignore[arg-type]
        return Panel(EVIL, [figure, grid, prose, replace(grid, folded=True)], order=1)


class Undrawable(Hostile):
    """A figure of which we make no picture: plotly draws it."""

    def panel(self, results: Results) -> Panel:
        figure = Figure(EVIL, EVIL, [{"type": "pie", "labels": [EVIL, "b"], "values": [1, 2]}],
                        {"title": {"text": EVIL}}, [{"part": EVIL, "share": 1 / 3}])  # fmt: skip
        return Panel("Strange", [figure], order=2)


class Raises(Hostile):
    def panel(self, results: Results) -> Panel:
        raise RuntimeError(f"out of luck {EVIL}")


class ReturnsMarkup(Hostile):
    def panel(self, results: Results) -> Panel:
        return "<script>EVIL</script>"  # type: ignore[return-value]


class OddBlocks(Hostile):
    def panel(self, results: Results) -> Panel:
        return Panel("Odd", ["<script>EVIL</script>"])  # type: ignore[list-item]


class LateFailure(Hostile):
    """Fails only when its block is shown."""

    def panel(self, results: Results) -> Panel:
        return Panel("Late", [Grid("x", ("a",), (1, 2))])  # type: ignore[arg-type]


class Nothing(Hostile):
    def panel(self, results: Results) -> None:  # type: ignore[override]
        return None


class Owned:
    """A component of this module."""

    def __init__(self, name: str) -> None:
        self.component = Component("section", name, "", "", "")
        self.name = name

    def __str__(self) -> str:
        return f"stranger/{self.name}"

    def options(self) -> type[Options]:
        return Options

    def load(self) -> Any:
        return globals()[self.name]


class Strangers(Registry):
    """A registry of sections of this module, with the installed ones."""

    def __init__(self, registry: Registry, *names: str) -> None:
        super().__init__(registry.plugins)
        object.__setattr__(self, "names", names)

    def of(self, kind: Any) -> Any:
        return [*super().of(kind), *(Owned(name) for name in self.names)]  # type: ignore[attr-defined]


# ── Harmless ─────────────────────────────────────────────────────────────────────────────────────


def evil(make: Make) -> Results:
    """Results that are hostile everywhere."""
    fine = make()
    records = [
        replace(r, id=f"{EVIL}@1" if n % 4 == 0 else r.id, unit=EVIL, n_of=EVIL,
                undefined=r.undefined and EVIL, options={EVIL: EVIL},
                axes={k: f"{v}{EVIL}" if isinstance(v, str) else v for k, v in r.axes.items()}
                | ({EVIL: EVIL} if n % 3 == 0 else {}))
        for n, r in enumerate(fine.records)
    ]  # fmt: skip
    rows = [{**row, "completion": EVIL, "text": EVIL, EVIL: EVIL,
             "verdicts": {EVIL: {EVIL: True, "note": EVIL}}}
            for row in fine.tables["completions"]]  # fmt: skip
    rows += [{**rows[0], "completion": "x" * 1_000_000, "direction": "long"}]
    return Results(
        "invalid", {"name": EVIL, "title": EVIL, "source": EVIL, "models": {EVIL: {EVIL: EVIL}}},
        {EVIL: EVIL, "models": {EVIL: {EVIL: EVIL}}, "packages": {EVIL: EVIL}},
        tuple(records), (EVIL,), (EVIL,), {"completions": rows},
    )  # fmt: skip


@pytest.fixture(scope="module")
def hostile_page(results: Make, sections: Registry) -> str:
    names = ("Hostile", "Undrawable", "Raises", "ReturnsMarkup", "OddBlocks", "LateFailure")
    return render(evil(results), Strangers(sections, *names))


def dom(file: Path) -> list[str]:
    """What a browser makes of a file, where there is one."""
    return [browsed.dom(file)] if browsed.BROWSER else []


def test_a_hostile_run_makes_a_harmless_page(
    hostile_page: str, parse: Any, harmless: Any, tmp_path: Path
) -> None:
    page = parse(hostile_page)
    harmless(page)
    assert page.text.count("<script>") > 20, "shown as text"
    assert "{{ 7 * 7 }}" in page.text
    for found in page.data:
        json.loads(found)
    file = tmp_path / "report.html"
    file.write_text(hostile_page, encoding="utf-8")
    for shown in dom(file):
        assert 'data-ran="' not in shown[:1000]
        assert parse(shown).title == page.title
        assert shown.count("main-svg") > 1, "plotly drew the stranger's figure"
        assert shown.count('class="tip"') == hostile_page.count('class="plot drawn"') > 0
        completions = json.loads(page.data[-1])
        assert shown.count('class="answer-of"') == len(completions["rows"]) > 10
        links = {value for name, value in parse(shown).values if name.endswith("href")}
        assert not any(link.startswith(("javascript:", "http", "//")) for link in links)


def test_the_title_of_a_panel_hides_nothing(results: Make) -> None:
    """It was escaped, and its control and bidirectional characters stayed."""
    (one,) = panels.shown([Panel("a\x1b]0;x\x07\u202eb", (Prose("text"),))])
    assert one.title == "a␛]0;x␇[U+202E]b"


def test_markup_that_escaping_missed_would_not_run_either(
    results: Make, sections: Registry, tmp_path: Path
) -> None:
    text = render(results(task={"name": "x", "title": "HOLE"}), sections)
    whole = text.replace("<h1>HOLE</h1>", f"<h1>{EVIL}</h1>")
    assert whole != text
    start = whole.index("<meta http-equiv")
    end = whole.index(">", start) + 1
    control = whole[:start] + whole[end:]
    for name, content, runs in (("guarded", whole, False), ("control", control, True)):
        file = tmp_path / f"{name}.html"
        file.write_text(content, encoding="utf-8")
        for shown in dom(file):
            assert ('data-ran="EVIL"' in shown[:1000]) is runs, name


@pytest.mark.parametrize("name", ["browser.js", "draw.js", "figures.js", "page.js"])
def test_no_script_of_ours_makes_markup_or_code_of_texts(name: str) -> None:
    script = resource(name)
    assert script.startswith('"use strict";')
    for way in ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "DOMParser",
                "eval(", "Function(", "setAttribute(\"on", "fetch(", "XMLHttpRequest"):  # fmt: skip
        assert way not in script, way


@pytest.mark.parametrize(
    "place", ["title", "source", "name", "problem", "warning", "id", "axis", "value", "undefined",
              "unit", "completion", "prompt", "score", "evaluator", "provenance", "task"],
)  # fmt: skip
def test_hostile_text_is_harmless_wherever_it_stands(
    results: Make, sections: Registry, parse: Any, harmless: Any, place: str
) -> None:
    fine = results()
    first, *rest = fine.records
    rows = list(fine.tables["completions"])
    task = dict(fine.task)
    more: dict[str, Any] = {}
    match place:
        case "title" | "source" | "name":
            more = {"task": {**task, place: EVIL}}
        case "problem":
            more = {"status": "invalid", "problems": (EVIL,)}
        case "warning":
            more = {"warnings": (EVIL,)}
        case "id":
            more = {"records": (replace(first, id=EVIL), *rest)}
        case "axis":
            more = {"records": (replace(first, axes={**first.axes, EVIL: 1}), *rest)}
        case "value":
            axes = {**first.axes, "direction": EVIL}
            more = {"records": (replace(first, axes=axes), *rest)}
        case "undefined":
            more = {"records": (replace(first, value=None, ci=None, undefined=EVIL), *rest)}
        case "unit":
            more = {"records": (replace(first, unit=EVIL), *rest)}
        case "completion" | "prompt":
            key = "text" if place == "prompt" else place
            more = {"tables": {"completions": [{**rows[0], key: EVIL}, *rows[1:]]}}
        case "score":
            verdicts = {"words": {EVIL: True}}
            more = {"tables": {"completions": [{**rows[0], "verdicts": verdicts}, *rows[1:]]}}
        case "evaluator":
            verdicts = {EVIL: {"a": True}, "words": {"a": True}}
            more = {"tables": {"completions": [{**rows[0], "verdicts": verdicts}, *rows[1:]]}}
        case "provenance":
            more = {"provenance": {EVIL: EVIL}}
        case "task":
            more = {"task": {**task, "models": {EVIL: {"path": EVIL}}}}
    page = parse(render(results(**more), sections))
    harmless(page)
    assert "EVIL" in page.text + "".join(page.data)


def test_a_completion_of_a_million_characters_is_cut(results: Make, sections: Registry) -> None:
    row = dict(results().tables["completions"][0])
    small = render(results(tables={"completions": [row]}), sections)
    big = render(results(tables={"completions": [{**row, "completion": "x" * 10**6}]}), sections)
    assert len(big) - len(small) < 10_000
    assert "1,000,000 characters in all" in big


# ── Complete ─────────────────────────────────────────────────────────────────────────────────────


def test_the_page_shows_the_run(results: Make, sections: Registry, parse: Any) -> None:
    text = render(results(), sections)
    page = parse(text)
    assert len(text.encode()) < 2_000_000
    assert page.title == "A title"
    for word in ("A source", "Complete.", "rebuilt, k = 64", "chance, 5 draws", "answer of none",
                 "prompt 0", "every weight is 0", "abc", "fvu.pooled", "cosine.raw"):  # fmt: skip
        assert word in page.text, word
    titles = ["Interventions", "Directions", "Preflight and pairs", "Completions",
              "Receipts of the edits", "What ran", "Every record"]  # fmt: skip
    places = [page.text.rindex(f"\n{title}\n") for title in titles]
    assert places == sorted(places)


def test_plotly_comes_once_and_only_with_a_figure_that_we_cannot_draw(
    results: Make, sections: Registry
) -> None:
    text = render(results(), Strangers(sections, "Undrawable", "Undrawable"))
    assert text.count("plotly.js v") == 1
    ours = render(results(), sections)
    assert "plotly.js v" not in ours
    assert '<svg class="wide"' in ours
    assert len(ours) < 250_000
    bare = render(results(records=()), sections)
    assert "<svg" not in bare
    assert len(bare) < 100_000


@pytest.mark.parametrize(
    ("more", "word"),
    [({"status": "invalid", "problems": ("it broke",)}, "it broke"),
     ({"warnings": ("a little odd",)}, "a little odd"),
     ({"status": "partial"}, "Status: partial.")],
    ids=["invalid", "warning", "partial"],
)  # fmt: skip
def test_what_is_wrong_stands_before_every_number(
    results: Make, sections: Registry, parse: Any, more: dict[str, Any], word: str
) -> None:
    page = parse(render(results(**more), sections))
    assert page.text.index(word) < page.text.index("Headline")
    assert ("Complete." in page.text) == ("status" not in more)


@pytest.mark.parametrize(
    ("name", "why"),
    [("Raises", "RuntimeError: out of luck"), ("ReturnsMarkup", "returned str"),
     ("OddBlocks", "a block of type str"), ("LateFailure", "TypeError")],
)  # fmt: skip
def test_a_section_that_fails_is_a_note_and_the_rest_is_there(
    results: Make, sections: Registry, parse: Any, harmless: Any, name: str, why: str
) -> None:
    page = parse(render(results(), Strangers(sections, name)))
    harmless(page)
    assert "could not be shown" in page.text
    assert why in page.text
    assert "answer of none" in page.text


def test_sections_that_fail_for_one_reason_are_one_note(
    results: Make, sections: Registry, parse: Any
) -> None:
    """A table that is lost fails all sections that look at it."""
    page = parse(render(results(), Strangers(sections, "Raises", "Raises", "OddBlocks")))
    assert page.text.count("RuntimeError: out of luck") == 1
    assert "2 sections could not be shown: RuntimeError: out of luck" in page.text
    assert "They are Raises, Raises. The numbers are in results.json." in page.text
    assert "a block of type str" in page.text


def test_a_section_with_nothing_to_show_is_left_out(results: Make, parse: Any) -> None:
    page = parse(render(results(tables={}), Strangers(Registry(), "Nothing")))
    assert "<nav" not in page.text
    assert "Nothing" not in page.text
    assert not page.executable


# ── For everybody ────────────────────────────────────────────────────────────────────────────────


def test_the_page_can_be_read_by_all(results: Make, sections: Registry, parse: Any) -> None:
    page = parse(render(results(), sections))
    named = {attrs.get("id") for _, attrs in page.tags} - {None}
    ids = [attrs["id"] for _, attrs in page.tags if "id" in attrs]
    assert len(ids) == len(set(ids))
    assert dict(page.tags)["html"] == {"lang": "en"}
    levels = [int(tag[1]) for tag, _ in page.tags if tag in ("h1", "h2", "h3", "h4")]
    assert levels.count(1) == 1
    assert all(after <= before + 1 for before, after in pairwise(levels)), "no level is left out"
    tables = [tag for tag, _ in page.tags if tag in ("table", "caption")]
    assert tables == ["table", "caption"] * (len(tables) // 2)
    for tag, attrs in page.tags:
        if tag == "th":
            assert attrs["scope"] in ("row", "col")
        for key in ("aria-labelledby", "aria-describedby"):
            assert attrs.get(key) is None or attrs[key] in named
        if attrs.get("role") == "region":
            assert attrs["tabindex"] == "0"
            assert "aria-labelledby" in attrs
        if tag == "a":
            assert attrs["href"] == "results.json" or attrs["href"][1:] in named


def test_every_figure_has_a_description_and_a_table(
    results: Make, sections: Registry, parse: Any
) -> None:
    text = render(results(), sections)
    parts = text.split('<figure class="chart">')[1:]
    assert parts
    for part in parts:
        figure = parse(part.partition("</figure>")[0])
        tags = [tag for tag, _ in figure.tags]
        assert {"h3", "details", "table"} <= set(tags)
        (plot,) = [attrs for _, attrs in figure.tags if attrs.get("role") == "img"]
        assert plot["aria-labelledby"]
        described = [a for _, a in figure.tags if a.get("id") == plot["aria-describedby"]]
        assert len(described) == 1
        spots = json.loads(figure.data[0])["spots"]
        numbers = {words.rpartition(": ")[2].partition(" [")[0] for *_, words in spots}
        assert numbers
        assert numbers <= {format_number(r.value) for r in results().records}
        assert all(number in figure.text for number in numbers)


# ── From a folder ────────────────────────────────────────────────────────────────────────────────

TASK = fakes.EXPERIMENT


def test_a_run_writes_its_report_and_its_folder_alone_gives_the_same(
    run_task: Callable[..., Results], sections: Registry, registry: Registry, tmp_path: Path
) -> None:
    made = run_task(TASK)
    folder = tmp_path / "run"
    first = (folder / "report.html").read_text(encoding="utf-8")
    assert "Experiment e" in first
    (folder / "report.html").unlink()
    write_report(folder, registry)
    assert (folder / "report.html").read_text(encoding="utf-8") == first
    with_sections = write_report(folder, sections).read_text(encoding="utf-8")
    assert "Completions" in with_sections
    assert render(made, sections) == with_sections
    assert load_results(folder).tables["completions"] == made.tables["completions"]
    assert not (folder / "tables" / "completions.parquet").exists()


def test_an_invalid_run_has_its_report_too(
    run_task: Callable[..., Results], tmp_path: Path
) -> None:
    with pytest.raises(InvalidRun):
        run_task(TASK.replace('method = "shift"', 'method = "shift", silent = true'))
    text = (tmp_path / "run" / "report.html").read_text(encoding="utf-8")
    assert "Invalid run." in text
    assert "changed nothing" in text


def test_a_folder_without_a_run_has_no_report(tmp_path: Path, sections: Registry) -> None:
    with pytest.raises(DataError, match=r"results\.json"):
        write_report(tmp_path, sections)


# ── In a notebook ────────────────────────────────────────────────────────────────────────────────


def test_results_show_themselves_in_a_notebook(results: Make, parse: Any) -> None:
    page = parse(NotebookResults.of(results())._repr_html_())
    assert "A title" in page.text
    assert "rebuilt, k = 64" in page.text
    assert not page.scripts


def test_a_notebook_is_as_safe_as_the_page(results: Make, parse: Any) -> None:
    page = parse(NotebookResults.of(evil(results))._repr_html_())
    assert not page.scripts
    assert not any("EVIL" in name + value for name, value in page.values)
    assert not {"img", "svg", "a", "iframe", "base"} & {tag for tag, _ in page.tags}


def test_figures_come_as_plotly_figures(results: Make, sections: Registry) -> None:
    found = figures(results(), sections)
    assert [type(figure).__name__ for figure in found] == ["Figure"]
    names = {trace.name for trace in found[0].data}
    assert {"rebuilt", "truth", "chance (5 draws)"} <= names
    assert [type(f).__name__ for f in NotebookResults.of(results()).figures()] == ["Figure"]


def test_figures_of_a_hostile_section_hold_no_markup(results: Make, sections: Registry) -> None:
    for figure in figures(evil(results), Strangers(sections, "Hostile")):
        assert "<" not in figure.to_json()


def test_a_section_that_cannot_be_imported_is_a_note(results: Make, parse: Any) -> None:
    gone = Component("section", "gone", "", "no_such_module:X", "no_such_module:Y")
    plugin = Plugin("acme", "acme", "1", "ready", "", (gone,))
    page = parse(render(results(), Registry((plugin,))))
    assert "no_such_module" in page.text
    assert "Gone" in page.text
