"""The section on the league: its laws, the matrix, and what stands beside it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from harness.contract import Figure, Grid, Results, SectionOptions
from harness_sections import samples
from harness_sections.example_run import example_run
from harness_sections.league import League


def run(rows):
    return replace(example_run(), tables={"cup.league": rows}, records=samples._over_models())


def panel(rows):
    return League(SectionOptions()).panel(run(rows))


def rows():
    return samples._ranks()["cup.league"]


@pytest.mark.slow
def test_the_laws_hold(tmp_path):
    for sample in samples.league(tmp_path):
        sample()


def test_the_matrix_has_a_row_for_each_method_with_chance_below():
    more = [{**row, "seed": 1, "rank": None if row["rank"] is None else row["rank"] + 1}
            for row in rows()]  # fmt: skip
    grids = {one.title: one for one in panel([*more, *rows()]).blocks if isinstance(one, Grid)}
    matrix = grids["cup: ranks, by seed"]
    assert matrix.columns == ["method", "looks for", "false_fact"]  # the null has no ranks
    assert matrix.rows == [
        ["lens", "tokens", "1 · 2"],
        ["mean (control)", "tokens", "90 · 91"],
        ["completions (baseline)", "tokens", "12 · 13"],
        ["chance", "tokens", "512"],
    ]
    assert grids["cup: where nothing was planted"].rows[0] == ["lens", "0.40"]
    hits = grids["cup: over all models"].rows[0]
    assert hits[:2] == ["lens", "found at rank 1 or better"]


def test_the_chart_says_how_unlikely_the_ranks_are():
    (figure,) = (one for one in panel(rows()).blocks if isinstance(one, Figure))
    assert figure.data[0]["z"] == [[3.0], [3.0], [3.0]]
    assert figure.rows[0]["ranks"] == "1"


def test_words_of_a_truth_are_left_to_the_report_to_escape():
    hostile = "<script>alert('truth')</script>"
    found = panel([{**row, "words": hostile, "text": hostile} for row in rows()])
    (every,) = (one for one in found.blocks if getattr(one, "title", "") == "cup: every model")
    assert every.rows[0][6:8] == [hostile, hostile]


def test_without_a_league_there_is_no_panel():
    assert panel([]) is None
    assert League(SectionOptions()).panel(Results("complete", {}, {}, ())) is None
