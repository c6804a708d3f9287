"""The executor `slurm` with processes of this machine in place of SLURM."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("submitit")
HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))

import slurm_maker as maker  # noqa: E402

from harness.errors import MachineError, UsageError  # noqa: E402
from harness_executors.options import SlurmOptions  # noqa: E402
from harness_executors.slurm_jobs import Slurm  # noqa: E402


@pytest.fixture(autouse=True)
def _found_by_jobs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(HERE), *sys.path]))


def options(**more: object) -> dict[str, object]:
    return {"cluster": "local", "gpus": 0, "ask_every": 0.2, "workers": 1, **more}


def slurm(**more: object) -> Slurm:
    return Slurm(SlurmOptions(**options(**more)))


@pytest.mark.slow
def test_every_part_is_computed_once_and_models_are_made_once(tmp_path: Path) -> None:
    said: list[str] = []
    parts = [maker.part(n) for n in range(30)]
    with slurm(workers=2).crew(maker.outfit(tmp_path, said)) as crew:
        assert crew.size == 2
        for _ in range(2):
            replies = list(crew.compute(maker.shared(tmp_path), parts))
            assert sorted(reply.part for reply in replies) == list(range(30))
            assert all(reply.content == b"reply to " + parts[reply.part] for reply in replies)
    assert sorted(maker.done(tmp_path)) == sorted([*range(30)] * 2)
    assert len(set((tmp_path / "done").read_text().split()[1::2])) <= 2  # processes
    assert len([line for line in said if "submitted" in line]) == 1
    assert not (tmp_path / "executor").exists()


@pytest.mark.slow
def test_parts_are_taken_when_there_is_somebody_and_equal_ones_computed_once(
    tmp_path: Path,
) -> None:
    taken: list[int] = []

    def parts() -> Iterator[bytes]:
        for n in range(1_000_000):
            taken.append(n)
            yield maker.part(n // 2)

    with slurm().crew(maker.outfit(tmp_path, [])) as crew:
        replies = crew.compute(maker.shared(tmp_path), parts())
        first = [next(replies) for _ in range(10)]
        assert len(taken) < 80
        assert len({reply.part for reply in first}) == 10
        assert all(r.content == b"reply to " + maker.part(r.part // 2) for r in first)
        replies.close()
        # Nothing of a call that was closed is computed, and the next one is served.
        time.sleep(0.3)
        begun = len(maker.done(tmp_path))
        assert begun == len(set(maker.done(tmp_path)))
        same = list(crew.compute(maker.shared(tmp_path), [maker.part(-1)] * 100))
        assert {reply.content for reply in same} == {b"reply to " + maker.part(-1)}
        assert sorted(reply.part for reply in same) == list(range(100))
        assert len(maker.done(tmp_path)) == begun + 1
        assert list(crew.compute(maker.shared(tmp_path), [])) == []


@pytest.mark.slow
def test_a_job_that_dies_is_replaced_and_its_log_kept(tmp_path: Path) -> None:
    said: list[str] = []
    parts = [maker.part(n, die="once" if n == 3 else "") for n in range(8)]
    with slurm(workers=2).crew(maker.outfit(tmp_path, said)) as crew:
        replies = list(crew.compute(maker.shared(tmp_path), parts))
    assert sorted(reply.part for reply in replies) == list(range(8))
    assert sorted(maker.done(tmp_path)) == [0, 1, 2, 3, 3, 4, 5, 6, 7]
    assert len([line for line in said if "its part goes to another one" in line]) == 1
    left = [file for file in (tmp_path / "executor").rglob("*") if file.is_file()]
    assert left
    assert all(file.name.endswith(("_log.out", "_log.err")) for file in left)


@pytest.mark.slow
def test_a_job_whose_time_is_up_begins_again(tmp_path: Path) -> None:
    said: list[str] = []

    def act() -> None:
        while maker.done(tmp_path)[-1:] != [1]:
            time.sleep(0.02)
        worker = (tmp_path / "done").read_text().split()[-1]
        os.kill(int(worker), signal.SIGUSR2)  # what submitit sends before the end
        while maker.done(tmp_path).count(1) < 2:
            time.sleep(0.02)
        (tmp_path / "go").touch()

    thread = threading.Thread(target=act)
    thread.start()
    parts = [maker.part(0), maker.part(1, wait="go"), maker.part(2)]
    with slurm().crew(maker.outfit(tmp_path, said)) as crew:
        replies = list(crew.compute(maker.shared(tmp_path), parts))
    thread.join()
    # Not what the signal raised in the worker: it would be a reply.
    assert all(reply.content == b"reply to " + parts[reply.part] for reply in replies)
    assert maker.done(tmp_path) == [0, 1, 1, 2]
    assert len(said) == 1


@pytest.mark.slow
def test_a_part_that_ends_three_jobs_ends_the_run_and_the_rest_is_kept(tmp_path: Path) -> None:
    parts = [maker.part(0), maker.part(1), maker.part(2, die="always")]
    with (
        pytest.raises(MachineError, match=r"3 jobs ended over one part.*log is"),
        slurm().crew(maker.outfit(tmp_path, [])) as crew,
    ):
        list(crew.compute(maker.shared(tmp_path), parts))
    assert maker.done(tmp_path) == [0, 1, 2, 2, 2]
    with slurm().crew(maker.outfit(tmp_path, [])) as crew:
        replies = list(crew.compute(maker.shared(tmp_path), [*parts[:2], maker.part(3)]))
    assert sorted(reply.part for reply in replies) == [0, 1, 2]
    assert maker.done(tmp_path)[5:] == [3]


@pytest.mark.slow
def test_a_python_without_the_harness_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lacking = tmp_path / "lacking" / "harness_executors"
    lacking.mkdir(parents=True)
    (lacking / "__init__.py").write_text(
        "raise ModuleNotFoundError(\"No module named 'harness_executors'\")\n"
    )
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(lacking.parent), *sys.path]))
    with (
        pytest.raises(UsageError, match=r"has no package 'harness_executors'.*_SLURM_PYTHON"),
        slurm().crew(maker.outfit(tmp_path, [])) as crew,
    ):
        list(crew.compute(maker.shared(tmp_path), [maker.part(0)]))


@pytest.mark.slow
def test_the_next_head_goes_on_with_the_jobs_of_one_that_was_killed(tmp_path: Path) -> None:
    parts = [{"n": n, **({"wait": "go"} if n >= 4 else {})} for n in range(8)]
    head = subprocess.Popen(
        [sys.executable, str(HERE / "slurm_head.py"), json.dumps(options(workers=2)),
         str(tmp_path), json.dumps(parts)],
        stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert head.stdout is not None
    with head.stdout:
        assert sorted(int(head.stdout.readline()) for _ in range(4)) == [0, 1, 2, 3]
        while len(maker.done(tmp_path)) < 6:
            time.sleep(0.02)
        head.kill()
        head.wait()
    (tmp_path / "go").touch()
    said: list[str] = []
    told = [json.dumps(part).encode() for part in parts]
    with slurm(workers=2).crew(maker.outfit(tmp_path, said)) as crew:
        replies = list(crew.compute(maker.shared(tmp_path), told))
    assert sorted(reply.part for reply in replies) == list(range(8))
    assert sorted(maker.done(tmp_path)) == list(range(8))  # nothing twice
    assert "goes on with jobs of before" in said[0]
    assert not [line for line in said if "submitted" in line]
    assert not (tmp_path / "executor").exists()


@pytest.mark.slow
def test_what_was_replied_after_the_head_was_killed_is_taken(tmp_path: Path) -> None:
    parts = [{"n": n, "wait": "go"} for n in range(2)]
    head = subprocess.Popen(
        [sys.executable, str(HERE / "slurm_head.py"), json.dumps(options(idle=1)),
         str(tmp_path), json.dumps(parts)],
        stdout=subprocess.DEVNULL,
    )  # fmt: skip
    while not maker.done(tmp_path):
        time.sleep(0.02)
    head.kill()
    head.wait()
    (tmp_path / "go").touch()
    end = time.monotonic() + 20  # the job ends by itself
    while not list((tmp_path / "executor").glob("*/jobs/*/bye")) and time.monotonic() < end:
        time.sleep(0.02)
    said: list[str] = []
    told = [json.dumps(part).encode() for part in [*parts, {"n": 2}]]
    with slurm().crew(maker.outfit(tmp_path, said)) as crew:
        replies = list(crew.compute(maker.shared(tmp_path), told))
    assert sorted(reply.part for reply in replies) == [0, 1, 2]
    assert sorted(maker.done(tmp_path)) == [0, 1, 2]


@pytest.mark.slow
def test_an_error_of_the_head_ends_the_jobs_and_drops_the_reply_it_may_be_of(
    tmp_path: Path,
) -> None:
    said: list[str] = []

    def stop() -> None:
        with slurm(workers=2).crew(maker.outfit(tmp_path, said)) as crew:
            parts = [maker.part(0), maker.part(1, wait="never")]
            replies = crew.compute(maker.shared(tmp_path), parts)
            next(replies)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        stop()
    assert "jobs were ended. The same command goes on" in said[-1]
    started = [line.split()[1] for line in (tmp_path / "done").read_text().splitlines()]
    for process in started:
        with pytest.raises(ProcessLookupError):
            os.kill(int(process), 0)
    assert not (tmp_path / "executor").exists()


def test_options_are_lines_that_begin_no_other() -> None:
    for wrong in (
        {"partition": "a\nrm -rf /"},
        {"sbatch": {"comment": "a\nb"}},
        {"sbatch": {"export": "PYTHONPATH=/evil"}},
        {"sbatch": {"out": "/home/me/.bashrc"}},
        {"workers": 0},
    ):
        with pytest.raises(ValueError, match=r"partition|sbatch|workers"):
            SlurmOptions(**wrong)
    assert SlurmOptions(sbatch={"gres": "gpu:a100:1", "exclusive": True, "nice": 3})
