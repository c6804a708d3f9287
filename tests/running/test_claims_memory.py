"""A run's claims: told apart by when they were written, and changed without a repeated run."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

import fakes
from harness.comparison.changes import changes
from harness.errors import InvalidRun
from harness.registry import Registry
from harness.results import load_results
from harness.results.read import Results
from harness.running.claims import FILE, dated, remember
from harness.task.file import read_source
from harness.task.resolve import resolve
from harness.task.task import Task

RunTask = Callable[..., Results]
DATA = "[metrics.mean]\nview = 'base'\ndata = 'web'\nsites = ['resid_post.1']\n"
A = '[directions.a]\nmethod = "probe"\nview = "chat"\ndata = "web"\n'
EXPERIMENT = """
[experiments.e]
view = "chat"
data = "web"
directions = ["a"]
evaluators = ["polite"]
intervention = { method = "shift" }
"""
EARLY = "[claims.c]\ntext = 'it is small'\nholds = 'mean.mean < 1e9'\n"
LATE = "[claims.c]\ntext = 'it is large'\nholds = 'mean.mean > -1e9'\n"
MORNING = datetime(2026, 11, 28, 6, tzinfo=UTC)
NOON = datetime(2026, 11, 28, 12, tzinfo=UTC)


def test_a_claim_that_was_there_before_the_run_is_not_late(
    run_task: RunTask, tmp_path: Path
) -> None:
    found = run_task(DATA + EARLY)
    (claim,) = found.claims
    assert (claim.name, claim.late, claim.bound) == ("c", False, 1e9)
    assert claim.effect is not None
    assert claim.written == found.task["claims"]["c"]["written"]
    assert load_results(tmp_path / "run").claims == found.claims


def test_an_edited_claim_repeats_nothing_and_was_written_after_the_run(run_task: RunTask) -> None:
    first = run_task(DATA + A + EXPERIMENT + EARLY)
    fakes.LAB.clear()
    again = run_task(DATA + A + EXPERIMENT + LATE)
    assert (fakes.LAB.generated, fakes.LAB.forwards) == ([], 0)
    assert again.records == first.records
    assert [(one.text, one.late) for one in again.claims] == [("it is large", True)]
    (note,) = [text for text in again.warnings if text.startswith("claims.c")]
    assert "it is small (mean.mean < 1e9)" in note
    assert "changed since" in note
    back = run_task(DATA + A + EXPERIMENT + EARLY)  # what was said before the run still was
    assert [(one.late, one.written) for one in back.claims] == [(False, first.claims[0].written)]
    assert not [text for text in back.warnings if text.startswith("claims.c")]
    gone = run_task(DATA + A + EXPERIMENT)
    assert [text for text in gone.warnings if "taken out of the task since" in text]


def test_a_new_name_or_other_white_space_is_no_other_claim(run_task: RunTask) -> None:
    run_task(DATA + EARLY)
    again = run_task(DATA + EARLY.replace("claims.c", "claims.d").replace(" < ", "   <  "))
    assert [(one.name, one.late) for one in again.claims] == [("d", False)]


def test_a_claim_added_to_a_run_of_an_earlier_version_is_late(
    run_task: RunTask, tmp_path: Path
) -> None:
    """Such a folder has no memory of claims; what it holds tells that it was measured."""
    run_task(DATA)
    (tmp_path / "run" / FILE).unlink(missing_ok=True)
    assert run_task(DATA + EARLY).claims[0].late
    shutil.rmtree(tmp_path / "run" / "work")
    (tmp_path / "run" / FILE).unlink()
    assert run_task(DATA + EARLY).claims[0].late


def test_a_fresh_run_begins_anew(run_task: RunTask) -> None:
    run_task(DATA + EARLY)
    assert not run_task(DATA + LATE, fresh=True).claims[0].late


def test_a_fresh_run_that_is_killed_while_it_empties_the_folder_makes_no_claim_late(
    run_task: RunTask, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The memory of claims was gone and what had been measured was not."""
    run_task(DATA + EARLY)

    def killed(*given: object) -> None:
        raise RuntimeError("the power went off")

    listed = Path.iterdir
    with monkeypatch.context() as patched:
        patched.setattr(Path, "iterdir", lambda folder: iter(sorted(listed(folder))))
        patched.setattr(shutil, "rmtree", killed)
        with pytest.raises(RuntimeError, match="the power went off"):
            run_task(DATA + EARLY, fresh=True)
    assert not run_task(DATA + EARLY).claims[0].late


def test_the_folders_own_task_runs_again_with_its_time(
    run_task: RunTask, tmp_path: Path, registry: Registry
) -> None:
    found = run_task(DATA + EARLY)
    task: Task = resolve(read_source(tmp_path / "run" / "task.toml"), registry)
    assert task.spec.claims["c"].written == found.claims[0].written


@pytest.mark.parametrize("place", ["work/passes/activations-1-0.0", "samples/e.jsonl"])
def test_late_begins_with_the_first_number_or_completion(tmp_path: Path, place: str) -> None:
    claims = {"c": {"text": "w", "holds": "x < 1"}}
    (tmp_path / "work" / "passes").mkdir(parents=True)
    (tmp_path / "work" / "passes" / "preflight-0.0").write_text("")
    (tmp_path / "results.json").write_text('{"schema": 1, "status": "invalid"}')
    assert not remember(tmp_path, {"claims": claims}, MORNING).known[0].late
    (tmp_path / place).parent.mkdir(exist_ok=True)
    (tmp_path / place).write_text("")
    more = {**claims, "d": {"text": "w", "holds": "x < 2"}}
    memory = remember(tmp_path, {"claims": more}, NOON)
    assert [(one.written[11:13], one.late) for one in memory.known] == [("06", False), ("12", True)]
    assert dated({"claims": more, "name": "n"}, memory) == {
        "name": "n",
        "claims": {
            "c": {**claims["c"], "written": "2026-11-28T06:00:00Z"},
            "d": {**more["d"], "written": "2026-11-28T12:00:00Z"},
        },
    }


def test_a_damaged_line_is_left_out(tmp_path: Path) -> None:
    claims = {"c": {"text": "w", "holds": "x < 1"}}
    remember(tmp_path, {"claims": claims}, MORNING)
    file = tmp_path / FILE
    line = json.loads(file.read_text())
    line["value"]["written"] = "2020-01-01T00:00:00Z"
    file.write_text(json.dumps(line) + "\n[]\n")
    assert remember(tmp_path, {"claims": claims}, NOON).known[0].written[11:13] == "12"


def test_claims_alone_are_no_other_task_to_compare(run_task: RunTask) -> None:
    first, second = run_task(DATA + EARLY), run_task(DATA + LATE)
    assert not [one for one in changes([first, second]) if one.what.startswith("task")]


def test_of_an_invalid_run_no_claim_has_a_number(run_task: RunTask, tmp_path: Path) -> None:
    same = '[pairs.p]\nleft = "base"\nright = "base"\ndata = "web"\nsites = ["resid_post.1"]\n'
    with pytest.raises(InvalidRun):
        run_task(DATA + EARLY + same + 'expect = "different"\n')
    (claim,) = load_results(tmp_path / "run").claims
    assert (claim.status, claim.effect) == ("unmeasured", None)
    assert "invalid" in str(claim.why)
