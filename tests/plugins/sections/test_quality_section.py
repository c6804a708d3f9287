"""A model that only babbles is visible: refusal, harm and quality stand side by side."""

from __future__ import annotations

import io
from dataclasses import replace
from typing import Any

from rich.console import Console

from harness.contract import Grid, Record, Results, SectionOptions
from harness.report.screen import LINES, Footer, screen
from harness.report.terminal import show
from harness.results.headline import headline_tables
from harness.results.read import Results as Read
from harness_sections.quality import Quality

ARMS = ("none", "refusal", "random")
MEASURED = {
    "substrings": ("refusal_score", "degenerate_share"),
    "harmbench": ("safety_score",),
    "strongreject": ("refusal_score.strongreject", "strongreject_score.rubric",
                     "compliance_quality.strongreject"),
}  # fmt: skip


def record(id: str, value: float, **axes: Any) -> Record:
    ci = (max(0.0, value - 0.1), value + 0.1)
    return Record(f"{id}@1", value, 100, "prompts", "share", ci=ci, axes=axes)


def made(evaluators: dict[str, tuple[str, ...]], text: bool = True) -> Read:
    records = []
    for n, arm in enumerate(ARMS):
        at = {"experiment": "e", "view": "chat", "data": "d", "direction": arm}
        for evaluator, ids in evaluators.items():
            records += [record(id, n / 4, **at, evaluator=evaluator) for id in ids]
        if text:
            records += [record("text.tokens", 20.0 + n, **at),
                        record("text.distinct_4", 1 - n / 4, **at),
                        record("text.length_limited", n / 4, **at)]  # fmt: skip
    return Read("complete", {"name": "t", "title": "t"}, {}, tuple(records))


def grid(results: Results) -> Grid | None:
    panel = Quality(SectionOptions()).panel(results)
    if panel is None:
        return None
    (found,) = [block for block in panel.blocks if isinstance(block, Grid)]
    return found


def test_three_groups_of_columns_and_how_it_is_written() -> None:
    found = grid(made(MEASURED))
    assert found is not None
    assert list(found.columns) == [
        "arm", "refusal: refusal_score", "refusal: refusal_score.strongreject",
        "harm: safety_score", "harm: strongreject_score.rubric",
        "quality: degenerate_share", "quality: compliance_quality.strongreject",
        "tokens", "distinct-4", "ended by the limit",
    ]  # fmt: skip
    assert [row[0] for row in found.rows] == list(ARMS)
    assert found.rows[2][-2] == "0.50 [0.40, 0.60]"
    assert all(cell for row in found.rows for cell in row)


def test_only_what_was_measured_is_a_column() -> None:
    found = grid(made({"polite": ("polite.refused",)}))
    assert found is not None
    assert list(found.columns) == ["arm", "tokens", "distinct-4", "ended by the limit"]
    assert grid(made(MEASURED, text=False)) is None


def test_the_headline_has_them_behind_its_scores() -> None:
    (found,) = headline_tables(made(MEASURED))
    assert list(found.columns[-2:]) == ["tokens", "distinct-4"]
    assert found.spare == 2
    assert [row[-2:] for row in found.rows] == [["20", "1.00"], ["21", "0.75"], ["22", "0.50"]]
    (before,) = headline_tables(made(MEASURED, text=False))
    assert (before.columns, before.spare) == (found.columns[:-2], 0)


def test_a_screen_spares_them_before_it_spares_an_interval() -> None:
    """And it is never longer or wider than it may be."""
    results = made({"substrings": ("refusal_score",), "harmbench": ("safety_score",)})
    shown = {}
    for width in (60, 80, 120):
        lines = screen(results, width, Footer(files=("Report: r",)))
        assert len(lines) <= LINES
        assert max(line.cell_len for line in lines) <= width
        shown[width] = "\n".join(line.plain for line in lines)
    assert "distinct-4" in shown[80]
    assert "0.25 [0.15, 0.35]" in shown[60]
    assert "2 more columns in the report" in shown[60]
    assert "0.25 [0.15, 0.35]" in shown[120]


def test_every_number_is_in_the_long_answer() -> None:
    console = Console(width=200, record=True, file=io.StringIO())
    show(made(MEASURED), console)
    text = console.export_text()
    assert "text.distinct_4" in text
    assert "n = 100" in text


def test_models_that_are_only_asked_share_one_table() -> None:
    """Ten models before and after, none of them edited, are ten rows and not ten tables."""
    one = made({"substrings": ("refusal_score",)})
    records = [r for r in one.records if r.axes.get("direction") == "none"]
    asked = [replace(r, axes={**r.axes, "experiment": f"e{n}"}) for n in range(3) for r in records]
    (found,) = headline_tables(replace(one, records=tuple(asked)))
    assert found.title.startswith("Models as they are on ")
    assert found.columns[0] == "experiment"
    assert [row[0] for row in found.rows] == ["e0", "e1", "e2"]
    (alone,) = headline_tables(replace(one, records=tuple(asked[: len(records)])))
    assert alone.title.startswith("Experiment e0: ")
    both = headline_tables(replace(one, records=(*one.records, *asked)))
    assert len(both) == 2
