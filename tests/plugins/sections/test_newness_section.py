"""The section on what is new: its laws, and that the conclusion stands first."""

from __future__ import annotations

from dataclasses import replace

from harness.contract import Figure, Grid, Prose, Results, SectionOptions
from harness_sections import samples
from harness_sections.example_run import example_run
from harness_sections.newness import Newness


def panel(results):
    return Newness(SectionOptions()).panel(results)


def test_the_laws_hold(tmp_path):
    for sample in samples.new_or_repurposed(tmp_path):
        sample()


def test_the_conclusion_stands_first():
    found = panel(example_run())
    assert found.title == "New or repurposed?"
    words, conclusions, figure, *_ = found.blocks
    assert isinstance(words, Prose)
    assert words.text.startswith("new: ")  # only the words that are used are explained
    assert "repurposed:" not in words.text
    assert isinstance(conclusions, Grid)
    assert conclusions.rows == [["guard, resid_post.4, s4", "new", "", "new at layer 4"]]
    assert isinstance(figure, Figure)


def test_a_chart_has_all_three_ways_and_names_its_records():
    (figure,) = (block for block in panel(example_run()).blocks if isinstance(block, Figure))
    assert {row["rows"] for row in figure.rows} == {
        "decoder rows", "random rows", "principal components",
    }  # fmt: skip
    assert len(figure.records) == 9


def test_components_stand_beside_what_the_head_says():
    grids = {block.title: block for block in panel(example_run()).blocks if isinstance(block, Grid)}
    (row,) = grids["Components of what is left"].rows
    assert row == [
        "guard, resid_post.4, s4", 1, "0.90", "undefined", "7: -0.30 (by chance up to 0.30)",
        "sorry", "",
    ]  # fmt: skip


def test_without_any_of_it_there_is_no_panel():
    assert panel(Results("complete", {}, {}, ())) is None
    plain = replace(example_run(), tables={}, records=())
    assert panel(plain) is None
