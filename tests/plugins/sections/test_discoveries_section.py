"""The section of discoveries, and the line that tells of a family wherever it is told."""

from __future__ import annotations

from dataclasses import replace
from importlib.metadata import EntryPoint
from io import StringIO

import pytest
from rich.console import Console

from harness.contract import FamilyOutcome, Grid, Panel, Prose, Results, SectionOptions
from harness.families import evaluate
from harness.registry import discover
from harness.report.one_line import one_line
from harness.report.page import render
from harness.report.screen import Footer, screen
from harness.report.terminal import show
from harness.results import family_line
from harness.task.families import parse
from harness.testing import check_section

from claims.numbers import arms  # isort: skip

POINT = EntryPoint("harness_sections", "harness_sections.plugin", "harness")
REGISTRY = discover(candidates=[POINT])
SECTION = next(one for one in REGISTRY.of("section") if one.component.name == "family_outcomes")
WORDS = "Directions that <b>matter</b>."
TOLD = (
    "Directions that <b>matter</b>: 1 of 2 asked is a discovery, at most 5% of them false on "
    "average; 1 has p <= 0.05, and by chance at most 0.10 would."
)


@pytest.fixture(scope="module")
def run() -> Results:
    """A run in which one of two directions does something, and one family has no number."""
    before = arms(none=[1] * 20, a=[0] * 20, b=[1] * 20)
    asked = [
        parse("arms", WORDS, ["refusal_score"], against="none"),
        parse("gone", "words", ["nothing.here"]),
    ]
    found = evaluate(asked, before)
    tables = {**before.tables, "families": found.rows}
    records = (*before.records, *found.records)
    return replace(before, families=found.outcomes, tables=tables, records=records)


def panel(run: Results) -> Panel | None:
    found: Panel | None = SECTION.load()(SectionOptions()).panel(run)
    return found


def test_it_keeps_the_laws_and_is_not_there_without_families(run: Results) -> None:
    check_section(SECTION.load()(SectionOptions()), run)
    assert panel(replace(run, families=())) is None


def test_each_family_and_its_members_are_shown(run: Results) -> None:
    found = panel(run)
    assert found is not None
    said = [block.text for block in found.blocks if isinstance(block, Prose)]
    assert said[:2] == [TOLD, "words: no nothing.here was measured."]
    assert any("McNemar" in text for text in said)
    assert any("Benjamini and Hochberg" in text for text in said)
    families, members = [block for block in found.blocks if isinstance(block, Grid)]
    assert [row[:4] for row in families.rows] == [
        ["arms", 2, 1, 1], ["gone", 0, "no nothing.here was measured.", None],
    ]  # fmt: skip
    assert [row[:6] for row in members.rows] == [
        ["discovery", "direction=a", "0", "1.00", "1.9e-06", "3.8e-06"],
        ["", "direction=b", "1.00", "1.00", "1", "1"],
    ]


def test_one_that_was_written_afterwards_is_marked(run: Results) -> None:
    late = replace(run, families=tuple(replace(one, late=True) for one in run.families))
    found = panel(late)
    assert found is not None
    warned = [b.text for b in found.blocks if isinstance(b, Prose) and b.tone == "warning"]
    assert warned[0].startswith("arms, gone were written after the run")


def test_the_terminal_tells_it(run: Results) -> None:
    lines = [line.plain for line in screen(run, 100, Footer())]
    first = lines.index("Discoveries of all that was asked, and how many are expected by chance")
    assert lines[first + 1 : first + 3] == [
        "- Directions that <b>matter</b>: 1 of 2; p <= 0.05: 1, by chance 0.10",
        "- words: no nothing.here was measured",
    ]
    narrow = [line.plain for line in screen(run, 60, Footer())]
    assert any(line.endswith("…: 1 of 2; p <= 0.05: 1, by chance 0.10") for line in narrow)
    assert max(map(len, narrow)) <= 60
    out = StringIO()
    show(run, Console(file=out, width=400))
    assert TOLD in out.getvalue()
    assert "discoveries: 1 of 2, unmeasured" in one_line(run, 200)


def test_the_page_escapes_it(run: Results) -> None:
    page = render(run, REGISTRY)
    assert "Directions that &lt;b&gt;matter&lt;/b&gt;: 1 of 2" in page
    assert "<b>matter" not in page


def test_numbers_that_say_less_are_told() -> None:
    one = FamilyOutcome("f", "w", ("x",), 0.1, tested=1200, discoveries=0, small=90, expected=120)
    assert family_line(one) == (
        "w: none of 1,200 asked is a discovery at a rate of 0.1; 90 have p <= 0.1, and by chance "
        "at most 120 would."
    )
    more = replace(one, without_p=3, out_of_reach=2, reason="few draws", late=True)
    assert family_line(more).startswith("w (written after the run): none of")
    assert "; 3 have no p and count as 1; 2 could not have been discoveries: few draws." in (
        family_line(more)
    )
