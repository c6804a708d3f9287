"""What only this observer promises."""

import json
from pathlib import Path
from typing import Any

import pytest

from harness.contract import (
    Effort,
    Progress,
    RunFailed,
    RunStarted,
    StageFinished,
    StageStarted,
    Stamp,
    Warned,
)
from harness.errors import MachineError
from lookout_harness.lookout import Lookout
from lookout_harness.options import LookoutOptions


def started(folder: Path, run: str = "a") -> RunStarted:
    return RunStarted(Stamp(run, 0, 100.0), "task", "", str(folder), False, {}, "1")


def read(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "lookout.json").read_text())
    return found


def test_it_says_how_far_the_stage_is(tmp_path: Path) -> None:
    one = Lookout(LookoutOptions(every=10))
    one.see(started(tmp_path))
    one.see(StageStarted(Stamp("a", 1, 101.0), "models", 4))
    one.see(Progress(Stamp("a", 2, 102.0), "models", 1, 4))
    assert read(tmp_path)["done"] == 0
    one.see(Progress(Stamp("a", 5, 111.0), "models", 3, 4, Effort(tokens_per_second=7.0)))
    found = read(tmp_path)
    assert (found["stage"], found["share"], found["missed"]) == ("models", 0.75, 2)
    one.see(StageFinished(Stamp("a", 6, 112.0), "models", 4, 4, Effort(seconds=11.0)))
    found = read(tmp_path)
    assert found["stage"] is None
    assert found["finished"] == [{"stage": "models", "done": 4, "total": 4, "seconds": 11.0}]
    assert [file.name for file in tmp_path.iterdir()] == ["lookout.json"]


def test_a_rerun_tells_of_the_run_that_was_cut_off(tmp_path: Path) -> None:
    for run in ("a", "b", "c"):
        one = Lookout(LookoutOptions())
        one.see(started(tmp_path, run))
        one.see(StageStarted(Stamp(run, 1, 101.0), "models", None))
        if run == "b":
            one.see(RunFailed(Stamp(run, 2, 102.0), "ended", 130))
    found = read(tmp_path)
    assert [(row["run"], row["status"]) for row in found["earlier"]] == [
        ("a", "cut off"),
        ("b", "stopped"),
    ]


@pytest.mark.parametrize("junk", ["", "{", "[]", '{"earlier": 3}', '"\x1b"'])
def test_a_file_of_somebody_else_is_replaced(tmp_path: Path, junk: str) -> None:
    (tmp_path / "lookout.json").write_text(junk)
    Lookout(LookoutOptions()).see(started(tmp_path))
    assert read(tmp_path)["earlier"] == []


@pytest.mark.parametrize("texts", [False, True])
def test_what_models_wrote_is_there_only_if_asked_for(tmp_path: Path, texts: bool) -> None:
    one = Lookout(LookoutOptions(texts=texts))
    one.see(started(tmp_path))
    one.see(Warned(Stamp("a", 1, 101.0), "a model wrote \x1b[31m"))
    one.see(RunFailed(Stamp("a", 2, 102.0), "a model wrote \u202e", 70))
    written = (tmp_path / "lookout.json").read_text()
    assert written.isascii()
    assert "\x1b" not in written
    assert ("a model wrote" in written) is texts


def test_a_folder_in_its_place_is_said_in_words(tmp_path: Path) -> None:
    (tmp_path / "lookout.json").mkdir()
    one = Lookout(LookoutOptions())
    with pytest.raises(MachineError, match="cannot be written"):
        one.see(started(tmp_path))
    assert list(tmp_path.glob("*.tmp")) == []


def test_many_runs_have_one_folder(tmp_path: Path) -> None:
    for name in ("drift", "shift"):
        Lookout(LookoutOptions(folder=str(tmp_path))).see(started(Path("/runs", name), name))
    assert sorted(file.name for file in tmp_path.iterdir()) == ["drift.json", "shift.json"]
