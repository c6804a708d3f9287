"""The section on first tokens: lists by position, words that stand out, and what chance gives."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from harness.contract import Grid, Record, Results, SectionOptions
from harness_sections.difference_lens import DifferenceLens
from harness_sections.samples import first_tokens

AT = {"pair": "p", "site": "resid_post.4"}


def row(position: int, source: str, place: int, token: str, **more: Any) -> dict[str, Any]:
    return {**AT, "position": position, "source": source, "place": place, "token": token, "id": 1,
            "probability": 0.1, "scale": None, "word": None, **more}  # fmt: skip


def made(rows: list[dict[str, Any]], *records: Record) -> Results:
    return Results("complete", {}, {}, records, tables={"lens.tokens": rows})


def grids(results: Results) -> list[Grid]:
    panel = DifferenceLens(SectionOptions()).panel(results)
    assert panel is not None
    return [block for block in panel.blocks if isinstance(block, Grid)]


def test_lists_stand_by_position_and_source_in_order() -> None:
    rows = [
        row(4, "left", 2, " b"), row(4, "left", 1, " a"),
        row(1, "difference", 1, " wine", word="wine"), row(1, "difference", 2, "<b>"),
        row(4, "difference", 1, " x", scale=2.0),
    ]  # fmt: skip
    (found,) = grids(made(rows))
    assert found.title == "lens: p at resid_post.4"
    assert list(found.columns) == ["position", "mean difference", "left model, mean"]
    assert found.rows == [
        [1, "« wine» | <b>", ""],
        [4, " x (strength 2)", " a |  b"],
    ]


def test_numbers_stand_beside_what_chance_gives() -> None:
    axes = {**AT, "analysis": "lens", "source": "difference"}
    null = {"kind": "random words", "value": 300.0, "p": 0.002}
    best = Record("logit_lens.best_rank@1", 1.0, 9, "tokens", "rank", null=null, ci=(1.0, 2.0),
                  axes=axes)  # fmt: skip
    elsewhere = replace(best, axes={**axes, "analysis": "other"})
    none = Record("logit_lens.overlap@1", None, 0, "tokens", "share", undefined="the sides are the "
                  "same", axes={**axes, "against": "left"})  # fmt: skip
    results = made([row(1, "difference", 1, "a")], none, best, elsewhere)
    _, numbers = grids(results)
    assert numbers.rows == [
        ["best rank", "source mean difference", "1.00 [1.00, 2]", "random words", "300",
         "0.002", ""],
        ["overlap", "source mean difference, against left model, mean", "undefined", "", "", "",
         "the sides are the same"],
    ]  # fmt: skip


def test_other_tables_of_tokens_are_passed_over() -> None:
    section = DifferenceLens(SectionOptions())
    assert section.panel(made([{"token": "a"}])) is None
    assert section.panel(made([])) is None


@pytest.mark.parametrize("case", list(first_tokens(Path())))
def test_the_laws_of_sections(case: Any) -> None:
    case()
