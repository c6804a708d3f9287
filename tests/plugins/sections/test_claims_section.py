"""The table of claims: all of them, the contradicted first, late ones marked, text escaped."""

from __future__ import annotations

from dataclasses import replace
from importlib.metadata import EntryPoint

from harness.contract import ClaimOutcome, Grid, Panel, Prose, Results, SectionOptions
from harness.registry import discover
from harness.report.page import render
from harness.testing import check_section

POINT = EntryPoint("harness_sections", "harness_sections.plugin", "harness")
REGISTRY = discover(candidates=[POINT])
SECTION = next(one for one in REGISTRY.of("section") if one.component.name == "claim_outcomes")
FIRST = ClaimOutcome(
    "a", "it is small", "x <= 1", "supported", 0.5, (0.4, 0.6), 1.0, 100, "prompts",
    against="random", control=0.9, difference=-0.4, difference_ci=(-0.5, -0.3),
    source="Paper, section 5", written="2026-11-28T16:04:51Z", method="interval of the record",
    difference_method="interval over shared prompts",
)  # fmt: skip
SECOND = replace(FIRST, name="b", status="contradicted", text="<b>it is</b> large", late=True)
THIRD = replace(FIRST, name="c", status="unmeasured", effect=None, why="nothing was measured")


def results(*claims: ClaimOutcome) -> Results:
    return Results("complete", {"name": "t"}, {}, (), claims=claims)


def panel(*claims: ClaimOutcome) -> Panel | None:
    found: Panel | None = SECTION.load()(SectionOptions()).panel(results(*claims))
    return found


def test_it_keeps_the_laws() -> None:
    check_section(SECTION.load()(SectionOptions()), results(FIRST, SECOND, THIRD))


def test_without_claims_there_is_none() -> None:
    assert panel() is None


def test_all_are_shown_and_the_contradicted_first() -> None:
    found = panel(FIRST, THIRD, SECOND)
    assert found is not None
    (grid,) = [block for block in found.blocks if isinstance(block, Grid)]
    assert [row[0] for row in grid.rows] == ["contradicted", "unmeasured", "supported"]
    assert "0.50 [0.40, 0.60], expected <= 1 (100 prompts)" in str(grid.rows[2][2])
    assert grid.rows[2][6] == "Paper, section 5"
    said = [block.text for block in found.blocks if isinstance(block, Prose)]
    assert said[0] == "Of 3 claims: 1 contradicted, 1 unmeasured, 1 supported."
    assert any("a against random" in text and "over shared prompts" in text for text in said)


def test_one_that_was_written_afterwards_is_marked() -> None:
    found = panel(FIRST, SECOND)
    assert found is not None
    warned = [b.text for b in found.blocks if isinstance(b, Prose) and b.tone == "warning"]
    assert warned
    assert warned[0].startswith("b was written after the run")
    (grid,) = [block for block in found.blocks if isinstance(block, Grid)]
    assert grid.rows[0][5] == "2026-11-28 16:04:51 (after the run)"


def test_text_of_the_task_is_escaped() -> None:
    page = render(results(SECOND), REGISTRY)
    assert "<b>it is</b>" not in page
    assert "&lt;b&gt;it is&lt;/b&gt;" in page
