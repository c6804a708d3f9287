"""The section on selected directions: every candidate has its cell, and says how it came out."""

from __future__ import annotations

from harness.contract import Figure, Grid, Results, SectionOptions
from harness_sections import samples
from harness_sections.example_run import example_run
from harness_sections.selection import Selection


def panel(results):
    return Selection(SectionOptions()).panel(results)


def test_the_laws_hold(tmp_path):
    for sample in samples.direction_selection(tmp_path):
        sample()


def test_a_heat_map_of_positions_and_layers_marks_the_chosen_and_the_discarded():
    (figure,) = (block for block in panel(example_run()).blocks if isinstance(block, Figure))
    (trace,) = figure.data
    assert trace["z"] == [[-3.0, 0.5], [1.5, None]]
    assert trace["text"] == [["-3 ★", "0.50 ×"], ["1.50", ""]]
    assert [row["position"] for row in figure.rows] == [
        "-1 (token 8)", "-1 (token 8)", "-2 (token 9)", "-2 (token 9)",
    ]  # fmt: skip
    assert [row["came out"] for row in figure.rows] == ["chosen", "too deep", "passed", "no"]


def test_the_numbers_of_the_chosen_one_stand_beside_those_without_an_edit():
    (grid,) = (block for block in panel(example_run()).blocks if isinstance(block, Grid))
    assert [row[0] for row in grid.rows] == ["bypass", "token"]
    assert grid.rows[0][3] == "1.00"
    assert grid.rows[1][5] == "nothing was measured"


def test_nothing_where_nothing_was_selected():
    assert panel(Results("complete", {}, {}, ())) is None
