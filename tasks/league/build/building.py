"""The steps of a build: each model is written whole or not at all, and never twice."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import click

from checks import measured
from edited import write_rank_one_edit
from ground import Ground
from truth import Kind, read_truth, write_truth
from written import write_moved_feature, write_written_direction

Write = Callable[[Ground, int, Path], None]
WRITERS: dict[Kind, Write] = {
    "moved_feature": write_moved_feature,
    "written_direction": write_written_direction,
    "rank_one_edit": write_rank_one_edit,
}


class Build:
    """One build in one folder, of what the organism's folder holds."""

    def __init__(self, organism: Path, out: Path) -> None:
        self.ground, self.out = Ground(organism), out

    def organisms(self, names: Sequence[str]) -> None:
        """Build the named models that are not there."""
        for name in names:
            folder = self.out / "organisms" / name
            if (folder / "truth.json").exists():
                continue
            started = time.monotonic()
            self._one(name, folder)
            click.echo(f"{name}: {time.monotonic() - started:.0f} s")

    def _one(self, name: str, folder: Path) -> None:
        """Write a model beside its place, measure it, and move it there."""
        kind, _, seed = name.rpartition("-")
        beside = folder.with_name(f".{name}")
        shutil.rmtree(beside, ignore_errors=True)
        WRITERS[kind](self.ground, int(seed), beside)  # type: ignore[index]
        truth = read_truth(beside)
        found = truth.model_copy(update={"measured": measured(self.ground, truth, beside)})
        write_truth(beside, found, {})
        shutil.rmtree(folder, ignore_errors=True)
        beside.rename(folder)
