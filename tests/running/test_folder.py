"""A run's folder: one run at a time, one task, nothing of anybody else's."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path

import pytest

import fakes
from harness.errors import MachineError, UsageError
from harness.planning.planner import plan
from harness.registry import Registry
from harness.results.read import Results
from harness.running.folder import default_folder, run_folder
from harness.running.runner import run
from harness.task.task import Task, task_hash

MakeTask = Callable[..., Task]
RunTask = Callable[..., Results]

A = '[directions.a]\nmethod = "probe"\nview = "chat"\ndata = "web"\n'


EXPERIMENT = """
[experiments.e]
view = "chat"
data = "web"
directions = ["a"]
evaluators = ["polite"]
intervention = { method = "shift" }
"""


def content(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("fresh", [False, True])
def test_two_runs_never_share_a_folder(task: MakeTask, tmp_path: Path, fresh: bool) -> None:
    made, folder = task(), tmp_path / "run"
    with run_folder(folder, made, False):
        (folder / "mine").touch()
        with pytest.raises(UsageError, match="another run is using it"), \
                run_folder(folder, made, fresh):  # fmt: skip
            raise AssertionError("two runs are in one folder")
        assert (folder / "mine").exists()
    with run_folder(folder, made, False):
        pass


def test_a_lock_ends_with_an_error_too(task: MakeTask, tmp_path: Path) -> None:
    with pytest.raises(KeyError), run_folder(tmp_path / "run", task(), False):
        raise KeyError
    with run_folder(tmp_path / "run", task(), False):
        pass


def test_a_folder_of_another_task_is_refused_and_left_alone(
    run_task: RunTask, tmp_path: Path
) -> None:
    run_task(A)
    before = content(tmp_path / "run")
    with pytest.raises(UsageError, match=r"another task.*--out, or start over with --fresh"):
        run_task(A, "seed=1")
    assert content(tmp_path / "run") == before


@pytest.mark.parametrize("fresh", [False, True])
@pytest.mark.parametrize("file", ["notes.txt", "results.json", "sub/x"])
def test_files_of_somebody_else_are_refused_and_left_alone(
    run_task: RunTask, tmp_path: Path, file: str, fresh: bool
) -> None:
    other = tmp_path / "run" / file
    other.parent.mkdir(parents=True)
    other.write_text("precious")
    with pytest.raises(UsageError, match="holds other files and no run"):
        run_task(A, fresh=fresh)
    assert other.read_text() == "precious"
    assert content(tmp_path / "run") == {file}


def test_an_empty_folder_and_one_that_is_not_there_are_fine(
    run_task: RunTask, tmp_path: Path
) -> None:
    (tmp_path / "run").mkdir()
    assert run_task(A).status == "complete"


def test_fresh_forgets_everything_that_was_there(run_task: RunTask, tmp_path: Path) -> None:
    run_task(A + EXPERIMENT)
    made = len(fakes.LAB.generated)
    (tmp_path / "run" / "old").mkdir()
    run_task(A + EXPERIMENT, fresh=True)
    assert len(fakes.LAB.generated) == 2 * made
    assert not (tmp_path / "run" / "old").exists()
    run_task(A, "seed=1", fresh=True)  # also a folder of another task
    assert not (tmp_path / "run" / "samples").exists()


def test_fresh_follows_no_link_out_of_the_folder(run_task: RunTask, tmp_path: Path) -> None:
    run_task(A)
    (tmp_path / "else").mkdir()
    (tmp_path / "else" / "precious").touch()
    (tmp_path / "run" / "link").symlink_to(tmp_path / "else")
    run_task(A, fresh=True)
    assert (tmp_path / "else" / "precious").exists()
    assert not (tmp_path / "run" / "link").exists()


def test_the_same_task_has_the_same_folder_and_another_one_another(task: MakeTask) -> None:
    folders = [default_folder(task(A, *more)) for more in ([], [], ["seed=1"])]
    assert folders[0] == folders[1] != folders[2]
    assert folders[0].parent == Path("runs")
    assert folders[0].name.startswith("tiny-")


FULL = [errno.ENOSPC, errno.EDQUOT, errno.EIO]
FORBIDDEN = [errno.EACCES, errno.EROFS, errno.EPERM]


def failing(code: int) -> Callable[..., None]:
    def fail(*given: object, **more: object) -> None:
        raise OSError(code, os.strerror(code), "the file")

    return fail


@pytest.mark.parametrize("code", FULL + FORBIDDEN)
@pytest.mark.parametrize("call", ["pathlib.Path.mkdir", "os.fsync", "os.open"])
def test_what_the_system_refuses_is_said_in_words(
    task: MakeTask,
    registry: Registry,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    call: str,
    code: int,
) -> None:
    planned = plan(task(A))
    with monkeypatch.context() as patch:
        patch.setattr(call, failing(code))
        with pytest.raises(MachineError if code in FULL else UsageError, match=os.strerror(code)):
            run(planned, registry, tmp_path / "run")


def test_a_file_that_a_model_may_not_read_is_not_blamed_on_the_folder_of_the_run(
    run_task: RunTask,
) -> None:
    fakes.LAB.crash_at = 1
    fakes.LAB.crash = PermissionError(errno.EACCES, "Permission denied", "/models/weights")
    with pytest.raises(Exception, match="weights") as caught:
        run_task(A + EXPERIMENT)
    assert "--out" not in str(caught.value)


@pytest.mark.parametrize("calls", range(3))
def test_after_a_full_disk_the_same_command_continues(
    run_task: RunTask, monkeypatch: pytest.MonkeyPatch, calls: int
) -> None:
    """Whichever of the files could not be written."""
    original, seen = os.fsync, []

    def fsync(number: int) -> None:
        seen.append(number)
        if len(seen) > calls:
            failing(errno.ENOSPC)()
        original(number)

    with monkeypatch.context() as patch:
        patch.setattr("os.fsync", fsync)
        with pytest.raises(MachineError, match="run the same command again"):
            run_task(A)
    assert run_task(A).status == "complete"


@pytest.mark.parametrize("place", ["a file", "below a file", "too long"])
def test_a_place_that_can_be_no_folder_is_a_wrong_place(
    task: MakeTask, tmp_path: Path, place: str
) -> None:
    (tmp_path / "file").touch()
    folder = {
        "a file": tmp_path / "file",
        "below a file": tmp_path / "file" / "run",
        "too long": tmp_path / ("x" * 300),
    }[place]
    with pytest.raises(UsageError, match="--out"), run_folder(folder, task(), False):
        raise AssertionError("this is no folder")


def test_what_a_plan_goes_by_is_no_other_task(task: MakeTask) -> None:
    text = A + EXPERIMENT
    assert task_hash(task(text)) == task_hash(task(text, "experiments.e.expect.tokens=3"))
    other = task(text, "experiments.e.generation.max_new_tokens=3")
    assert task_hash(task(text)) != task_hash(other)
