"""Completions in the report: thoughts beside answers, and copies of a prompt under their arm."""

from __future__ import annotations

from typing import Any

from harness.contract import Grid, SectionOptions
from harness.results import Results
from harness_sections.completions import Samples

ROW: dict[str, Any] = {
    "experiment": "e", "direction": "none", "example": "1", "text": "Why?", "prompt": "Why?",
    "completion": "So.", "tokens": 1, "stopped": True, "verdicts": {"words": {"refusal": False}},
}  # fmt: skip


def grids(*rows: dict[str, Any]) -> list[Grid]:
    results = Results("complete", {}, {}, (), tables={"completions": rows})
    panel = Samples(SectionOptions()).panel(results)
    assert panel is not None
    return [block for block in panel.blocks if isinstance(block, Grid)]


def test_a_thought_stands_beside_its_answer() -> None:
    """TOKENIZERS T9: shown apart, and an unfinished one as what it is."""
    thinking = {**ROW, "thought": "Hm."}
    cut_off = {
        **ROW, "direction": "a", "thought": "Hm, well", "completion": "", "unfinished": True,
        "verdicts": {},
    }  # fmt: skip
    (grid,) = grids(thinking, cut_off)
    assert grid.columns == ("arm", "thought", "completion", "refusal")
    assert [list(row) for row in grid.rows] == [
        ["none", "Hm.", "So.", False],
        ["a", "Hm, well", grid.rows[1][2], "not judged"],
    ]
    assert "unfinished" in str(grid.rows[1][2])


def test_without_thoughts_there_is_no_such_column() -> None:
    (grid,) = grids(ROW)
    assert grid.columns == ("arm", "completion", "refusal")


def test_a_copy_of_a_prompt_is_no_arm_of_its_own() -> None:
    """CASES row 12: `copy_of` tells of the prompt, not of the arm."""
    for grid in grids(ROW, {**ROW, "example": "2", "copy_of": "1"}):
        assert [row[0] for row in grid.rows] == ["none"]
