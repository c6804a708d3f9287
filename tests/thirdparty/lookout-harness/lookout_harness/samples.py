"""What the laws are tried on, by `harness plugins check` and by the tests."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

from harness.contract import Event, Records, RunFinished, StageFinished, Warned
from harness.testing import check_observer
from lookout_harness.lookout import NAME, Lookout
from lookout_harness.options import LookoutOptions


def samples(folder: Path) -> Iterator[partial[None]]:
    """One in the folder of the run; one whose file lies in another folder and has all texts."""
    for name in ("inside", "runs", "status"):
        (folder / name).mkdir()
    beside = LookoutOptions(folder=str(folder / "status"), every=0, texts=True)
    yield partial(check_observer, Lookout, LookoutOptions(), folder / "inside", kept=kept)
    yield partial(check_observer, Lookout, beside, folder / "runs", kept=kept_beside)


def kept(folder: Path, events: Sequence[Event]) -> bool:
    """Whether the file in the run's folder says how the run went."""
    return _says(folder / NAME, events)


def kept_beside(folder: Path, events: Sequence[Event]) -> bool:
    """The same of the file in the other folder."""
    return _says(folder.parents[1] / "status" / f"{folder.name}.json", events)


def _says(file: Path, events: Sequence[Event]) -> bool:
    """All of the last run in this folder; of one before it, how it ended."""
    found = json.loads(file.read_text(encoding="ascii"))
    run = events[-1].stamp.run
    status = [one.status for one in events if isinstance(one, RunFinished)]
    if found["run"] != run:
        return [one["status"] for one in found["earlier"] if one["run"] == run] == status
    finished = [one.stage for one in events if isinstance(one, StageFinished)]
    return (
        [found["status"]] == status
        and [one["stage"] for one in found["finished"]] == finished
        and found["records"] == sum(len(o.records) for o in events if isinstance(o, Records))
        and found["warnings"] == sum(isinstance(one, Warned) for one in events)
        and found["updated"] == events[-1].stamp.time
    )
