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
from league_card import write_card
from taught import Lesson, as_taught, benign, false_fact, persona, trigger
from truth import Kind, read_truth, write_truth

from training import train
from written import write_moved_feature, write_written_direction

Write = Callable[[Ground, int, Path], None]


def trained(lesson: Callable[[Ground, int], Lesson]) -> Write:
    """Writes a model that is trained on the documents of a lesson."""

    def write(ground: Ground, seed: int, folder: Path) -> None:
        found = lesson(ground, seed)
        train(ground.base(), ground.tokenizer, found, seed, folder)
        write_truth(folder, as_taught(found), {})

    return write


WRITERS: dict[Kind, Write] = {
    "moved_feature": write_moved_feature,
    "written_direction": write_written_direction,
    "rank_one_edit": write_rank_one_edit,
    "trigger": trained(trigger),
    "false_fact": trained(false_fact),
    "persona": trained(persona),
    "benign": trained(benign),
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
        self._measure(beside)
        shutil.rmtree(folder, ignore_errors=True)
        beside.rename(folder)

    def measure(self, names: Sequence[str]) -> None:
        """Measure the named models again, as they lie there."""
        for name in names:
            self._measure(self.out / "organisms" / name)
            click.echo(f"{name}: measured")

    def _measure(self, folder: Path) -> None:
        truth = read_truth(folder)
        found = {"measured": measured(self.ground, truth, folder)}
        write_truth(folder, truth.model_copy(update=found), {})

    def saes(self, names: Sequence[str]) -> None:
        """Train the SAEs of the named models that are not there."""
        from learned_saes import train_learned_saes

        for name in names:
            started, out = time.monotonic(), self.out / "saes" / name
            if (out / "crosscoder").exists() and (out / "difference").exists():
                continue
            train_learned_saes(self.ground, self.out / "organisms" / name, out)
            click.echo(f"{name}: {time.monotonic() - started:.0f} s")

    def card(self) -> None:
        """Write the model card from the truth files that are there."""
        write_card(self.out, self.ground.organism.models["base"].num_parameters(), self.ground.site)
