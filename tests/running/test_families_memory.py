"""A run's families: what of a run is in them, what is kept, and when they were written."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

import fakes
from harness.comparison.changes import changes
from harness.errors import InvalidRun
from harness.registry import Registry
from harness.results import load_results
from harness.results.read import Results
from harness.running.families import FILE
from harness.task.file import read_source
from harness.task.resolve import resolve

RunTask = Callable[..., Results]
TALLY = """
[statistics.count]
method = "tally"
view = "chat"
data = "web"
sae = "mid"
"""
FAMILY = "[families.f]\ntext = 'who is active'\nof = 'tally.active'\n"
ARMS = "[families.arms]\ntext = 'who says no'\nof = 'polite.refused'\nagainst = 'none'\n"


def test_tests_of_a_statistic_arms_and_records_come_out(run_task: RunTask, tmp_path: Path) -> None:
    found = run_task(TALLY + fakes.EXPERIMENT + FAMILY + ARMS)
    family, arms = found.families
    m = 2 * fakes.WIDTH
    assert (family.name, family.tested, family.discoveries, family.late) == ("f", m, 1, False)
    assert family.written == found.task["families"]["f"]["written"]
    assert found.value("family.tested", family="f") == m
    assert found.value("family.expected_by_chance", family="f") == pytest.approx(0.05 * m)
    assert (arms.tested, arms.discoveries) == (1, 0)
    first = found.tables["families"][0]
    assert json.loads(first["axes"]) == {
        "sae": "mid", "statistic": "count", "data": "web", "feature": 0
    } or json.loads(first["axes"])["feature"] == 0  # fmt: skip
    again = load_results(tmp_path / "run")
    assert again.families == found.families
    assert list(again.tables["families"]) == list(found.tables["families"])
    assert again.records == found.records


def test_tests_of_an_analysis_are_known_by_its_name(run_task: RunTask) -> None:
    """And by the axis of their items, of which a family may name one."""
    peek = "[analyses.look]\nmethod = 'peek'\n"
    of = "[families.f]\ntext = 'w'\nof = 'peek.p[analysis=look, of=all]'\n"
    one = "[families.g]\ntext = 'w'\nof = 'peek.p[place=3]'\n"
    found = run_task(peek + of + one)
    assert [(family.tested, family.discoveries) for family in found.families] == [(5, 0), (1, 0)]


def test_a_family_that_is_added_repeats_nothing_and_was_written_after_the_run(
    run_task: RunTask,
) -> None:
    first = run_task(TALLY + fakes.EXPERIMENT)
    assert "families" not in first.tables
    fakes.LAB.clear()
    again = run_task(TALLY + fakes.EXPERIMENT + FAMILY + ARMS)
    assert (fakes.LAB.generated, fakes.LAB.forwards) == ([], 0)
    assert [one.late for one in again.families] == [True, True]
    others = [one for one in again.records if not one.id.startswith("family.")]
    assert tuple(others) == first.records
    assert not [one for one in changes([first, again]) if one.what.startswith("task")]


def test_one_that_is_changed_is_told(run_task: RunTask, tmp_path: Path) -> None:
    run_task(TALLY + FAMILY)
    again = run_task(TALLY + FAMILY + "rate = 0.2\n")
    assert [(one.rate, one.late) for one in again.families] == [(0.2, True)]
    (note,) = [text for text in again.warnings if text.startswith("families.f")]
    assert "who is active (tally.active, rate 0.05)" in note
    assert "changed since" in note
    back = run_task(TALLY + FAMILY)
    assert not back.families[0].late
    gone = run_task(TALLY)
    assert [text for text in gone.warnings if "taken out of the task since" in text]
    assert not (tmp_path / "run" / "tables" / "families.parquet").exists()
    assert not run_task(TALLY + FAMILY + "rate = 0.2\n", fresh=True).families[0].late


def test_the_folders_own_task_runs_again(
    run_task: RunTask, tmp_path: Path, registry: Registry
) -> None:
    run_task(TALLY + FAMILY)
    assert (tmp_path / "run" / FILE).is_file()
    task = resolve(read_source(tmp_path / "run" / "task.toml"), registry)
    assert task.spec.families["f"].written is not None


def test_of_an_invalid_run_nothing_is_a_discovery(run_task: RunTask, tmp_path: Path) -> None:
    same = '[pairs.p]\nleft = "base"\nright = "base"\ndata = "web"\nsites = ["resid_post.1"]\n'
    with pytest.raises(InvalidRun):
        run_task(TALLY + FAMILY + same + 'expect = "different"\n')
    (family,) = load_results(tmp_path / "run").families
    assert family.discoveries is None
    assert "invalid" in str(family.why)


def test_results_of_before_are_read(run_task: RunTask, tmp_path: Path) -> None:
    """A run without families writes what every earlier version wrote."""
    run_task(TALLY)
    content = json.loads((tmp_path / "run" / "results.json").read_text())
    assert "families" not in content
    assert load_results(tmp_path / "run").families == ()
