"""Runs under a folder: status, task, claims, headline and date."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from harness.contract import ClaimOutcome, Record, Results
from harness.errors import UsageError
from harness.several.headline import headline
from harness.several.listing import list_runs

Make = Callable[..., Results]
Made = Callable[..., Record]
Write = Callable[..., Path]


def claim(status: Any, effect: float | None = None, name: str = "c") -> ClaimOutcome:
    return ClaimOutcome(name, "It does.", "x <= 1", status, effect)


def test_every_run_has_a_line_by_path(
    write: Write, run: Make, record: Made, tmp_path: Path
) -> None:
    claims = (claim("supported", 0.25, "first"), claim("supported"), claim("undecided"),
              claim("contradicted"), claim("unmeasured"))  # fmt: skip
    done = write("deep/er/step_20", run([record("cosine.raw", 0.5)], claims=claims))
    write("deep/er/step_100", run([record("cosine.raw", 0.5)]), report=False)
    write("bad", run(status="invalid"))
    (tmp_path / "half").mkdir()
    (tmp_path / "half" / ".task").write_text("x")
    (tmp_path / "empty").mkdir()
    (tmp_path / "other.txt").write_text("x")
    os.utime(done / "results.json", (0, 0))
    found = list_runs(tmp_path)
    assert found.notes == ()
    assert [(str(one.folder.relative_to(tmp_path)), one.state) for one in found.runs] == [
        ("bad", "invalid"), ("deep/er/step_20", "complete"), ("deep/er/step_100", "complete"),
        ("half", "unfinished"),
    ]  # fmt: skip
    one = found.runs[1]
    assert (one.task, one.claims) == ("tiny", "2/1/1, 1 unmeasured")
    assert one.headline == "first 0.25"
    assert one.date == "1970-01-01 00:00"
    assert one.report == done / "report.html"
    assert (found.runs[2].claims, found.runs[2].report) == ("", None)
    assert found.runs[3].task == ""
    assert found.runs[3].date


def test_a_run_itself_is_a_list_of_one(write: Write, run: Make) -> None:
    folder = write("one", run())
    (folder / "work" / "inner").mkdir(parents=True)
    shutil.copy(folder / "results.json", folder / "work" / "inner")
    assert [one.folder for one in list_runs(folder).runs] == [folder]


def test_what_cannot_be_read_is_said_and_the_rest_goes_on(
    write: Write, run: Make, tmp_path: Path
) -> None:
    write("sound", run())
    begun = write("begun", run())
    (begun / "results.json").write_text('{"schema": 7}')
    (tmp_path / "foreign").mkdir()
    (tmp_path / "foreign" / "results.json").write_text('{"accuracy": 1}')
    found = list_runs(tmp_path)
    assert [(one.folder.name, one.state) for one in found.runs] == [
        ("begun", "unreadable"), ("sound", "complete"),
    ]  # fmt: skip
    assert len(found.notes) == 2
    assert all("\n" not in note for note in found.notes)


def test_links_and_hidden_folders_are_not_followed(write: Write, run: Make, tmp_path: Path) -> None:
    folder = write("one", run())
    (tmp_path / "again").symlink_to(folder)
    (tmp_path / "loop").symlink_to(tmp_path)
    shutil.copytree(folder, tmp_path / ".trash" / "one")
    assert [one.folder for one in list_runs(tmp_path).runs] == [folder]


@pytest.mark.parametrize("name", ["nowhere", "file"])
def test_what_is_no_folder_is_said(tmp_path: Path, name: str) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(UsageError, match="is no folder"):
        list_runs(tmp_path / name)


# ── The number that stands for a run ─────────────────────────────────────────────────────────────


def arm(record: Made, direction: str, value: float | None, **axes: Any) -> Record:
    return record("score", value, experiment="e", view="chat", data="web", direction=direction,
                  evaluator="words", **axes)  # fmt: skip


def test_claims_come_first(run: Make, record: Made) -> None:
    arms = [arm(record, "none", 0.9), arm(record, "a", 0.1)]
    claims = (claim("unmeasured"), claim("supported", 0.1, "one"), claim("supported", 0.2, "two"),
              claim("supported", 0.3, "three"))  # fmt: skip
    assert headline(run(arms, claims=claims)) == "one 0.10, two 0.20"
    assert headline(run(arms)).startswith("score 0.90")


def test_of_an_experiment_the_arm_that_is_furthest_from_the_unedited_one(
    run: Make, record: Made
) -> None:
    arms = [arm(record, "none", 0.9), arm(record, "a", 0.5), arm(record, "b", 0.3, k=8),
            arm(record, "b", None, k=64), arm(record, "chance", 0.0, draw=1),
            arm(record, "b", 0.0, k=8, domain="law")]  # fmt: skip
    assert headline(run(arms)) == "score 0.90 → 0.30 (e, b k=8)"
    assert headline(run(arms[:1])) == "score 0.90 (e)"


def test_of_a_task_without_experiments_its_first_metric(run: Make, record: Made) -> None:
    at = [record("fvu.pooled", 0.1), record("cosine.raw", 0.9, site="embed"),
          record("cosine.raw", 0.8, site="head"), record("cosine.latent", 0.5)]  # fmt: skip
    assert headline(run(at)) == "cosine.raw 0.80 to 0.90"
    other = {"metrics": {"mine": {"method": "fvu"}}}
    assert headline(run(at, task=other)) == "fvu.pooled 0.10"
    assert headline(run(at, task={"metrics": {}})) == "cosine.latent 0.50"


def test_of_a_run_without_numbers_nothing(run: Make, record: Made) -> None:
    assert headline(run()) == ""
    assert headline(run([record("x", None)])) == ""
