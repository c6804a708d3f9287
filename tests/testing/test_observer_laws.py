"""The laws of observers: those that break one are found, each by the law that is meant for it."""

from __future__ import annotations

import json
import os
import random
from collections.abc import Sequence
from pathlib import Path

import pytest

from harness.contract import (
    Artifact,
    Event,
    ObserverOptions,
    Progress,
    Records,
    RunFailed,
    RunStarted,
    StageFinished,
    StageStarted,
    Warned,
)
from harness.testing import check_observer

KNOWN = {"run_started", "stage_started", "progress", "stage_finished", "records", "warning",
         "artifact", "run_finished", "run_failed"}  # fmt: skip


class Right:
    """Keeps the kinds of all events in a file."""

    def __init__(self, options: ObserverOptions) -> None:
        self._file: Path | None = None

    def see(self, event: Event) -> None:
        if isinstance(event, RunStarted):
            self._file = Path(event.folder) / "kinds.txt"
        if self._file is not None:
            with self._file.open("a", encoding="utf-8") as out:
                out.write(f"{event.kind}\n")


def kept(folder: Path, events: Sequence[Event]) -> bool:
    lines = (folder / "kinds.txt").read_text(encoding="utf-8").splitlines()
    return lines[: len(events)] == [event.kind for event in events]


class Forgets(Right):
    def see(self, event: Event) -> None:
        if not isinstance(event, Warned):
            super().see(event)


class BeginsAnew(Right):
    def see(self, event: Event) -> None:
        super().see(event)
        if isinstance(event, RunStarted) and event.resumed:
            assert self._file is not None
            self._file.write_text("")


class RefusesReruns(Right):
    def see(self, event: Event) -> None:
        if isinstance(event, RunStarted):
            (Path(event.folder) / "mine").mkdir()
        super().see(event)


class WantsAValue(Right):
    def see(self, event: Event) -> None:
        for record in event.records if isinstance(event, Records) else ():
            round(record.value)  # type: ignore[arg-type]


class DiesOfFailure(Right):
    def see(self, event: Event) -> None:
        assert not isinstance(event, RunFailed), "x"


class CountsOnAll(Right):
    def __init__(self, options: ObserverOptions) -> None:
        super().__init__(options)
        self._stages: set[str] = set()

    def see(self, event: Event) -> None:
        if isinstance(event, StageStarted):
            self._stages.add(event.stage)
        if isinstance(event, (Progress, StageFinished)) and event.stage not in self._stages:
            raise KeyError(event.stage)


class KnowsThemAll(Right):
    def see(self, event: Event) -> None:
        if event.kind not in KNOWN:
            raise TypeError(event.kind)


class NamesFiles(Right):
    def see(self, event: Event) -> None:
        if isinstance(event, StageStarted):
            (Path("/tmp") / event.stage).exists()
            event.stage.encode("ascii")


class Prints(Right):
    def see(self, event: Event) -> None:
        super().see(event)
        if isinstance(event, Artifact):
            print("look:", event.path)


class Walks(Right):
    def see(self, event: Event) -> None:
        super().see(event)
        if isinstance(event, RunStarted):
            os.chdir(event.folder)


class Draws(Right):
    def see(self, event: Event) -> None:
        super().see(event)
        random.random()


class Sets(Right):
    def see(self, event: Event) -> None:
        super().see(event)
        os.environ["PATH"] = json.dumps(event.stamp.number)


def test_one_that_keeps_all_laws(tmp_path: Path) -> None:
    check_observer(Right, ObserverOptions(), tmp_path, kept=kept)


@pytest.mark.parametrize(
    ("observer", "law"),
    [
        (Forgets, "what was told is kept"),
        (BeginsAnew, "a run that goes on does not raise: what the first run has told is gone"),
        (RefusesReruns, "a run that goes on does not raise: FileExistsError"),
        (WantsAValue, "a whole run does not raise: TypeError"),
        (DiesOfFailure, "a run that fails does not raise: AssertionError"),
        (CountsOnAll, "missing events do not raise: KeyError"),
        (KnowsThemAll, "events that it does not know do not raise: TypeError"),
        (NamesFiles, "hostile text does not raise: UnicodeEncodeError"),
        (Prints, "nothing is printed on stdout"),
        (Walks, "the process is left as it is: another working folder"),
        (Draws, "the process is left as it is: another random.random"),
        (Sets, "the process is left as it is: another variable PATH"),
    ],
)
def test_one_that_breaks_a_law_is_found(
    observer: type[Right], law: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", os.environ["PATH"])
    check = kept if issubclass(observer, (Forgets, BeginsAnew)) else None
    with pytest.raises(AssertionError, match=f"law broken: {law}"):
        check_observer(observer, ObserverOptions(), tmp_path / "runs", kept=check)


def test_one_that_never_ends_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import threading

    wake = threading.Event()

    class Sleeps(Right):
        def see(self, event: Event) -> None:
            wake.wait(30)

    monkeypatch.setattr("harness.testing.observer.SECONDS", 0.2)
    with pytest.raises(AssertionError, match=r"has not come to an end after 0\.2 s"):
        check_observer(Sleeps, ObserverOptions(), tmp_path)
    wake.set()
