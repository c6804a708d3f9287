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


def test_the_sizes_of_batches_are_no_other_task(task: MakeTask) -> None:
    """CASES row 20: smaller batches after "out of memory" continue in the same folder."""
    text = A + EXPERIMENT
    for size in ("batch.generation=2", "batch.activations=1", "batch.shard=100"):
        assert task_hash(task(text, size)) == task_hash(task(text))
        assert default_folder(task(text, size)) == default_folder(task(text))


def test_smaller_batches_continue_in_the_same_folder(run_task: RunTask) -> None:
    """CASES row 20."""
    first = run_task(A + EXPERIMENT)
    fakes.LAB.clear()
    again = run_task(A + EXPERIMENT, "batch.generation=1", "batch.activations=1", "batch.shard=9")
    assert (fakes.LAB.generated, fakes.LAB.forwards) == ([], 0)
    assert again.records == first.records
    assert not [text for text in again.warnings if "remembered" in text]


@pytest.mark.parametrize(
    "content", [b"", b"\xff\xfe\x00", b"[" * 200_000, b"0" * 63, b"\x1b[2J", b"{}"]
)
def test_a_damaged_identity_is_said_and_written_anew(
    run_task: RunTask, tmp_path: Path, content: bytes
) -> None:
    """CASES row 21: what is in the folder has keys of its own, so nothing wrong is used."""
    first = run_task(A)
    identity = tmp_path / "run" / ".task"
    whole = identity.read_bytes()
    identity.write_bytes(content)
    again = run_task(A)
    assert again.records == first.records
    assert [text for text in again.warnings if ".task: dropped 1 remembered line" in text]
    assert identity.read_bytes() == whole


def test_a_folder_called_like_the_identity_makes_no_run_of_its_folder(
    run_task: RunTask, tmp_path: Path
) -> None:
    """Other tools have a folder `.task`; `fresh` would have removed all that is beside it."""
    (tmp_path / "run" / ".task").mkdir(parents=True)
    (tmp_path / "run" / "precious").touch()
    for fresh in (False, True):
        with pytest.raises(UsageError, match="holds other files and no run"):
            run_task(A, fresh=fresh)
    assert (tmp_path / "run" / "precious").exists()


@pytest.mark.parametrize("name", ["a\nb", "a\x1b[2Jb", "a\rb", "a\x7f", "a\u2028b", "\udcff"])
def test_a_name_with_control_characters_is_refused_in_one_line(
    task: MakeTask, tmp_path: Path, name: str
) -> None:
    """CASES row 22."""
    with pytest.raises(UsageError, match="control character") as caught, \
            run_folder(tmp_path / name / "run", task(), False):  # fmt: skip
        raise AssertionError("this is no name")
    assert str(caught.value).isprintable()
    assert not (tmp_path / name).exists()


@pytest.mark.parametrize("below", ["", "deeper"])
@pytest.mark.parametrize("to", ["nowhere", "link"])
def test_a_link_to_nowhere_is_told_as_one(
    task: MakeTask, tmp_path: Path, to: str, below: str
) -> None:
    """CASES row 22: it does not exist, and yet nothing can be made in its place."""
    (tmp_path / "link").symlink_to(tmp_path / to)
    with pytest.raises(UsageError, match=r"link: is a link that leads to nothing.*--out"), \
            run_folder(tmp_path / "link" / below, task(), False):  # fmt: skip
        raise AssertionError("this is no folder")
    assert not (tmp_path / "nowhere").exists()


def test_a_link_to_a_folder_is_a_folder(task: MakeTask, tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    with run_folder(tmp_path / "link", task(), False):
        assert (tmp_path / "real" / ".task").exists()


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="there is no /proc")
@pytest.mark.parametrize("place", ["/proc/x", "/proc/self/x/y"])
def test_a_place_for_no_folders_is_told_in_a_line(task: MakeTask, place: str) -> None:
    """CASES row 22."""
    with pytest.raises(UsageError, match="--out"), run_folder(Path(place), task(), False):
        raise AssertionError("this is no folder")


@pytest.mark.parametrize("to", ["else", "nowhere"])
def test_a_part_of_the_folder_that_is_a_link_is_refused_before_the_run(
    run_task: RunTask, tmp_path: Path, to: str
) -> None:
    """Item 5: what is behind the link is not locked, and may be another run's."""
    run_task(A + EXPERIMENT)
    before = fakes.LAB.forwards
    (tmp_path / "run" / "samples").rename(tmp_path / "else")
    kept = (tmp_path / "else" / "e.jsonl").stat().st_mtime_ns
    (tmp_path / "run" / "samples").symlink_to(tmp_path / to)
    with pytest.raises(UsageError, match=r"samples: is a link.*Remove the link"):
        run_task(A + EXPERIMENT)
    assert fakes.LAB.forwards == before
    assert (tmp_path / "else" / "e.jsonl").stat().st_mtime_ns == kept
    run_task(A + EXPERIMENT, fresh=True)
    assert not (tmp_path / "run" / "samples").is_symlink()
    assert (tmp_path / "else" / "e.jsonl").stat().st_mtime_ns == kept
