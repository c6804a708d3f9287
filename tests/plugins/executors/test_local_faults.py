"""A worker that is killed at any moment changes nothing: each part is answered once, alike."""

from __future__ import annotations

import os
import random
import signal
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from itertools import count, takewhile
from pathlib import Path
from typing import Any

import pytest

from harness.contract import Crew
from harness.testing.support.clerk import Done, Errand
from harness_executors import local_minder
from harness_executors.local import Local
from harness_executors.options import LocalOptions

KILLS = 10
"""In each of three runs."""
SHARED = b"what all have in common"


class Killer(threading.Thread):
    """Kills children of this process at moments that a seed draws: most at work, some starting."""

    def __init__(self, seed: int) -> None:
        super().__init__(daemon=True)
        self._random = random.Random(seed)
        self.worked: set[int] = set()
        """Processes that have replied."""
        self.killed = 0

    def run(self) -> None:
        while self.killed < KILLS:
            starting = self._random.random() < 0.2
            delay = self._random.uniform(0.0, 0.03)
            while not (found := [one for one in _children() if starting or one in self.worked]):
                time.sleep(0.01)
            time.sleep(delay)
            with suppress(ProcessLookupError):
                os.kill(self._random.choice(found), signal.SIGKILL)
                self.killed += 1


def _children() -> list[int]:
    """Processes of ours that live, and have begun to run what a child of `local` runs."""
    found = []
    for file in Path("/proc/self/task").glob("*/children"):
        for word in file.read_text().split():
            try:
                lives = "local_worker" in Path(f"/proc/{word}/cmdline").read_text("utf-8")
            except OSError:
                continue
            if lives:
                found.append(int(word))
    return sorted(found)


def errands(goes_on: Callable[[int], bool]) -> Iterator[tuple[str, bytes]]:
    """Parts that are the same in every run, as long as it goes on."""
    draws = random.Random(1)
    for place in takewhile(goes_on, count()):
        yield f"part-{place}", draws.randbytes(draws.randrange(3000))


def computed(
    crew: Crew, given: Iterable[tuple[str, bytes]], worked: set[int], sleep: float
) -> dict[int, tuple[str, str, bytes]]:
    found: dict[int, tuple[str, str, bytes]] = {}
    parts = (Errand(name, sleep).part(body) for name, body in given)
    for reply in crew.compute(SHARED, parts):
        assert reply.part not in found
        done = Done.of(reply.content)
        worked.add(done.process)
        found[reply.part] = done.name, done.shared, done.body
    return found


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="reads Linux' list of processes")
@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
def test_a_worker_killed_at_any_moment_changes_nothing(
    office: Any, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    # Whoever kills workers all the time ends a run; that is another test's.
    monkeypatch.setattr(local_minder, "TRIES", KILLS)
    monkeypatch.setattr(local_minder, "IN_A_ROW", KILLS)
    killer = Killer(seed)
    with Local(LocalOptions(workers=3)).crew(office.outfit) as crew:
        killer.start()
        found = computed(crew, errands(lambda _: killer.is_alive()), killer.worked, sleep=0.01)
    assert killer.killed == KILLS
    with Local(LocalOptions(workers=1)).crew(office.outfit) as crew:
        alone = computed(crew, errands(lambda place: place < len(found)), set(), sleep=0)
    assert found == alone
    lost = [line for line in office.said if "another one takes its place" in line]
    # One that is killed as it starts has no part that would have to be computed again.
    assert 1 <= len(lost) <= KILLS
    assert _children() == []
