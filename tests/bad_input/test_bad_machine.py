"""The machine fails in the middle: killed, interrupted, out of disk; a rerun continues."""

from __future__ import annotations

import json
import os
import resource
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

import fakes
from harness.cli.main import main

from .conftest import EXPERIMENT, Said, Write, clear


def in_a_process_of_its_own(before: Callable[[], None], *arguments: object) -> tuple[int, str]:
    """Runs the command in a fork of this process, which has everything imported already: how the
    process ended (minus the signal that killed it), and what it complained of."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.dup2(writer, 2)
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        sys.stdout, sys.stderr = os.fdopen(1, "w"), os.fdopen(2, "w")
        torch.set_num_threads(1)  # the other threads of a pool are not in the fork
        code = 99
        try:
            before()
            code = main([str(one) for one in arguments])
            sys.stderr.flush()
        finally:
            os._exit(code)
    os.close(writer)
    deadline = time.monotonic() + 600
    with os.fdopen(reader, errors="replace") as complaints:
        ended, status = os.waitpid(child, os.WNOHANG)
        while not ended:
            if time.monotonic() > deadline:
                os.kill(child, signal.SIGKILL)
            time.sleep(0.01)
            ended, status = os.waitpid(child, os.WNOHANG)
        return os.waitstatus_to_exitcode(status), complaints.read()


def killed_at(where: str, number: int) -> Callable[[], None]:
    """Makes the process kill itself, without warning, at its n-th step of a kind."""

    def before() -> None:
        counted = 0

        def step(was: Callable[..., Any]) -> Callable[..., Any]:
            def counting(*given: Any, **named: Any) -> Any:
                nonlocal counted
                counted += 1
                if counted == number:
                    os.kill(os.getpid(), signal.SIGKILL)
                return was(*given, **named)

            return counting

        match where:
            case "forward":
                fakes.FakeModel.activations = step(fakes.FakeModel.activations)  # type: ignore[method-assign]
            case "completion":
                fakes.FakeModel.generate = step(fakes.FakeModel.generate)  # type: ignore[method-assign]
            case "rename":
                os.replace = step(os.replace)

    return before


def numbers(folder: Path) -> list[Any]:
    """All records of a finished run."""
    content = json.loads((folder / "results.json").read_text())
    assert content["status"] == "complete"
    return list(content["records"])


@pytest.mark.slow
@pytest.mark.parametrize(
    ("where", "number"),
    [("forward", 1), ("forward", 5), ("forward", 9), ("completion", 1), ("completion", 3),
     ("completion", 5), *(("rename", n) for n in range(1, 12, 2))],
)  # fmt: skip
def test_a_run_that_is_killed_continues_to_the_same_numbers(
    said: Said, write: Write, fake_plugin: Path, tmp_path: Path, where: str, number: int
) -> None:
    task = write(EXPERIMENT)
    arguments = ["eval", "-q", task, "--out", tmp_path / "run"]
    code, err = in_a_process_of_its_own(killed_at(where, number), *arguments)
    assert (code, err) == (-signal.SIGKILL, "")
    assert not (tmp_path / "run" / "results.json").exists() or where == "rename"
    code, _, err = said(*arguments)
    assert (code, err) == (0, "")
    assert said("eval", task, "--out", tmp_path / "calm")[0] == 0
    assert numbers(tmp_path / "run") == numbers(tmp_path / "calm")


@pytest.mark.slow
@pytest.mark.parametrize("forward", [1, 4, 8])
def test_a_run_that_is_interrupted_in_a_pass_continues(
    said: Said, write: Write, fake_plugin: Path, tmp_path: Path, forward: int
) -> None:
    task = write(EXPERIMENT)
    fakes.LAB.crash_at_forward, fakes.LAB.crash = forward, KeyboardInterrupt()
    code, _, err = said("eval", task, "--out", tmp_path / "run")
    assert code == 130
    clear(err, "interrupted. Run the same command again to continue")
    fakes.LAB.clear()
    assert said("eval", task, "--out", tmp_path / "run")[0] == 0
    assert said("eval", task, "--out", tmp_path / "calm")[0] == 0
    assert numbers(tmp_path / "run") == numbers(tmp_path / "calm")


@pytest.mark.slow
@pytest.mark.parametrize("size", [10, 300, 700, 1500, 3000, 6000, 20_000])
def test_a_disk_that_is_full_is_said_and_a_rerun_continues(
    said: Said, write: Write, fake_plugin: Path, tmp_path: Path, size: int
) -> None:
    """The kernel refuses to write beyond so many bytes of a file: a real short write."""
    task = write(EXPERIMENT)
    limit = lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))  # noqa: E731
    code, err = in_a_process_of_its_own(limit, "eval", "-q", task, "--out", tmp_path / "run")
    assert code == 4, err
    clear(err, "File too large", "make room and run the same command again")
    assert not (tmp_path / "run" / "results.json").exists() or numbers(tmp_path / "run")
    code, _, err = said("eval", "-q", task, "--out", tmp_path / "run")
    assert (code, err) == (0, "")
    assert said("eval", task, "--out", tmp_path / "calm")[0] == 0
    assert numbers(tmp_path / "run") == numbers(tmp_path / "calm")
    assert not list((tmp_path / "run").rglob("*.partial"))


def test_a_folder_that_may_not_be_written_is_said(
    said: Said, write: Write, fake_plugin: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever runs the tests may write everywhere; the system says here that they may not."""

    def refused(file: Path, text: str) -> None:
        raise PermissionError(13, "Permission denied", str(file))

    monkeypatch.setattr("harness.running.folder.write_text", refused)
    code, _, err = said("eval", write(EXPERIMENT), "--out", "run")
    assert code == 2
    clear(err, r"run/\.task: cannot be used: Permission denied\. Name another folder with --out")


@pytest.mark.slow
@pytest.mark.parametrize("name", ["results.json", "samples/e.jsonl", "work/e.jsonl"])
def test_a_folder_where_a_file_of_the_run_belongs_is_named(
    said: Said, write: Write, fake_plugin: Path, tmp_path: Path, name: str
) -> None:
    """Found by the kills of `tests/campaign`: the hidden file that was to become it was named."""
    task = write(EXPERIMENT)
    assert said("eval", "-q", task, "--out", tmp_path / "run")[0] == 0
    (tmp_path / "run" / name).unlink()
    (tmp_path / "run" / name).mkdir()
    code, _, err = said("eval", "-q", task, "--out", tmp_path / "run")
    assert code == 2
    clear(err, rf"run/{name}: cannot be used: Is a directory\. Remove it, or name another folder")
