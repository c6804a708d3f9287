"""`Task`, `Plan` and `Results` show themselves in one screen, and say what is near a wrong name."""

from __future__ import annotations

import pickle
import sys
from collections.abc import Callable
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

import fakes
import harness
from harness.contract import ClaimOutcome, Record
from harness.errors import TaskError
from harness.planning.table import COLUMNS
from harness.report.claim_table import ClaimTable
from harness.report.notebook import NotebookResults
from harness.results import Results
from harness.text import sheet, sheet_html

HOSTILE = "<script>alert(1)</script>\x1b[31m\u202e"
CLAIM = ClaimOutcome("bypass", "It refuses less", "a <= 1", "supported", 0.25, (0.1, 0.4), 1, 40,
                     "prompts")  # fmt: skip


def record(id: str, **axes: Any) -> Record:
    return Record(id, 0.5, 10, "tokens", "ratio", ci_why="none", axes=axes)


def results(*records: Record, **more: Any) -> Results:
    return Results("complete", {"name": "x"}, {}, records, **more)


class Tags(HTMLParser):
    """The tags of a page."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: set[str] = set()
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self.found.add(tag)


def fits(text: str) -> bool:
    """Whether a text is one screen."""
    lines = text.split("\n")
    return len(lines) <= 24 and all(len(line) <= 80 and line.isprintable() for line in lines)


# ── One screen ───────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("count", [0, 1, 11, 12, 22, 23, 24, 25, 500])
def test_a_sheet_is_one_screen_and_counts_what_it_leaves_out(count: int) -> None:
    rows = [(f"word {i} {HOSTILE}", "text " * 100 + HOSTILE) for i in range(count)]
    text = sheet(f"A title {HOSTILE}" + "x" * 200, rows)
    assert fits(text)
    shown = text.count("word ")
    assert (f"… and {count - shown} more" in text) == (shown < count)
    assert shown >= min(count, 22)


def test_a_sheet_in_html_has_no_tag_of_its_text() -> None:
    page = sheet_html(HOSTILE, [(HOSTILE, HOSTILE)])
    assert Tags(page).found == {"div", "p", "strong", "table", "tr", "th", "td"}
    assert "\x1b" not in page


def test_tasks_and_plans_are_one_screen_that_names_what_they_have(
    write: Callable[..., Path], fake_plugin: Path
) -> None:
    task = harness.load(write(fakes.EXPERIMENT))
    planned = harness.plan(task)
    for shown, page in ((repr(task), task._repr_html_()), (repr(planned), planned._repr_html_())):
        assert fits(shown)
        assert "table" in Tags(page).found
        assert task.spec.name in shown
    for name in (*task.spec.models, *task.spec.views, *task.spec.experiments):
        assert name in repr(task)
    assert "completions" in repr(planned)


def test_the_table_of_a_plan_has_every_entry_with_as_many_arms_as_it_runs(
    write: Callable[..., Path], fake_plugin: Path
) -> None:
    task = harness.load(write(fakes.EXPERIMENT))
    planned = harness.plan(task)
    table = planned.table
    assert list(table.columns) == list(COLUMNS)
    for what, entries in (
        ("metric", task.metrics),
        ("direction", task.directions),
        ("statistic", task.statistics),
        ("experiment", task.spec.experiments),
        ("analysis", task.analyses),
    ):
        later = table[(table.what == what) & (table.step != "preflight")]
        assert set(later.name) == set(entries)
    for generation in planned.generations:
        row = table[(table.what == "experiment") & (table.name == generation.experiment)].iloc[0]
        assert row["count"] == len(generation.arms)
        assert row.views == task.spec.experiments[generation.experiment].view
    jobs = sum(len(work.jobs) for work in (planned.preflight, *planned.passes))
    assert table[table.step.str.match("pass|preflight")]["count"].sum() >= jobs


def test_results_are_one_screen() -> None:
    many = results(
        *(record(f"number_{i}.{HOSTILE}@1") for i in range(300)),
        warnings=(HOSTILE,) * 50,
        problems=("p",) * 50,
        claims=(CLAIM,),
    )
    shown = repr(many)
    assert fits(shown)
    assert "300: .frame" in shown
    assert "1 supported: .claims" in shown
    assert repr(NotebookResults.of(many)) == shown
    assert fits(repr(results()))


# ── Claims ───────────────────────────────────────────────────────────────────────────────────────


def test_claims_are_a_tuple_that_is_shown_as_a_table() -> None:
    hostile = replace(CLAIM, name=HOSTILE, text=HOSTILE, ci=None, effect=None, n=None, late=True)
    found = NotebookResults.of(results(claims=(CLAIM, hostile))).claims
    assert found == (CLAIM, hostile)
    assert isinstance(found, ClaimTable)
    assert pickle.loads(pickle.dumps(found)) == found
    first, one, other = repr(found).split("\n")
    assert first.split() == [
        "claim",
        "came",
        "out",
        "effect",
        "95%",
        "interval",
        "n",
        "in",
        "words",
    ]
    assert " ".join(one.split()) == "bypass supported 0.25 0.10 to 0.40 40 prompts It refuses less"
    assert "written after the run" in other
    assert "\x1b" not in other
    assert Tags(found._repr_html_()).found == {"table", "thead", "tbody", "tr", "th", "td"}
    assert repr(ClaimTable()) == "no claims: the task states none."


# ── Near names ───────────────────────────────────────────────────────────────────────────────────

MANY = results(
    record("fvu.pooled@1", site="a", k=1),
    record("fvu.pooled@1", site="a", k=2),
    record("fvu.batch_mean@1", site="a"),
    record("l0@1"),
)


@pytest.mark.parametrize(
    ("id", "axes", "said"),
    [
        ("fvu.poled", {}, "0 records with id 'fvu.poled'. Near: fvu.pooled."),
        ("fvu.poled@1", {}, "Near: fvu.pooled."),
        ("fvu", {}, "There are: fvu.batch_mean, fvu.pooled, l0."),
        ("nothing", {}, "There are: fvu.batch_mean, fvu.pooled, l0."),
        ("fvu.pooled", {"k": 3}, "Records with this id have: site = 'a'; k = 1, 2."),
        (
            "fvu.pooled",
            {},
            "2 records with id 'fvu.pooled'. Add axes that tell them apart: k = 1, 2.",
        ),
    ],
)
def test_a_record_that_is_not_there_says_what_is_near(
    id: str, axes: dict[str, Any], said: str
) -> None:
    with pytest.raises(KeyError) as caught:
        MANY.value(id, **axes)
    assert said in str(caught.value)


def test_errors_of_overrides_name_the_keyword(
    write: Callable[..., Path], fake_plugin: Path
) -> None:
    file = write(fakes.EXPERIMENT)
    for values, said in (
        ({"seed": -1}, "load(…, seed=-1): seed: "),
        ({"sed": 1}, "load(…, sed=1): sed: unknown key 'sed'"),
        (
            {"models": {"chat": {"path": 5}}},
            "load(…, models={'chat': {'path': 5}}): models.chat.path",
        ),
    ):
        with pytest.raises(TaskError) as caught:
            harness.load(file, **values)
        (problem,) = caught.value.problems
        assert str(problem).startswith(said)
        assert "--set" not in str(caught.value)


# ── python -m harness ────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("arguments", [["--version"], ["--help"], ["check", "nowhere"]])
def test_python_m_harness_is_the_command(
    arguments: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import runpy

    from harness.cli.main import main

    code = main(arguments)
    expected = capsys.readouterr()
    monkeypatch.setattr(sys, "argv", ["harness", *arguments])
    with pytest.raises(SystemExit) as ended:
        runpy.run_module("harness", run_name="__main__", alter_sys=True)
    assert ended.value.code == code
    assert capsys.readouterr() == expected
