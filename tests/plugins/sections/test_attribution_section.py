"""The section on what carries a change: its laws, and that the damage stands beside each dose."""

from __future__ import annotations

import pytest

from harness.contract import Figure, Grid, Results, SectionOptions
from harness_sections import samples
from harness_sections.attribution import Attribution
from harness_sections.example_run import example_run


@pytest.mark.slow
def test_the_laws_hold(tmp_path):
    for sample in samples.what_carries_the_change(tmp_path):
        sample()


def shown(tmp_path):
    sample = next(samples.what_carries_the_change(tmp_path))
    return Attribution(SectionOptions()).panel(sample.args[1])


def test_the_split_stands_first_and_then_who_carries_it(tmp_path):
    panel = shown(tmp_path)
    _, split, figure, latents, _ = panel.blocks
    assert isinstance(split, Grid)
    assert split.rows[0][:3] == ["a, p, s", 9, "2"]
    assert split.rows[0][-1] == ""  # nothing was ranked here
    assert isinstance(figure, Figure)
    assert {row["where"] for row in figure.rows} == {"a, p, s", "a, p, s, dealt out anew"}
    assert isinstance(latents, Grid)
    assert [row[2] for row in latents.rows] == ["1.00 [0.50, 1.50]", "0.50"]
    assert [row[-1] for row in latents.rows] == [2, 1]


def test_each_dose_has_its_damage_beside_it(tmp_path):
    *_, doses = shown(tmp_path).blocks
    assert doses.columns == ["direction", "k", "e: refusal_score", "KL, nats/token"]
    assert doses.rows == [
        ["carriers", 1, "0.75 (0.50 to 1.00)", "0.10"],
        ["carriers", 4, "0.19 (0.12 to 0.25)", "0.40"],
    ]


def test_without_any_of_it_there_is_no_panel():
    section = Attribution(SectionOptions())
    assert section.panel(Results("complete", {}, {}, ())) is None
    assert section.panel(example_run()) is None
