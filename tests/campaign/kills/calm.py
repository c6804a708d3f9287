"""What all tries share: undisturbed runs, and what these do on disk, step by step."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from campaign.kills.processes import Ended, command, forked, import_what
from campaign.kills.recipes import Recipe
from campaign.kills.same import different
from campaign.kills.watch import Watch

Cache = Literal["none", "own", "warm"]
"""Which cache a run has: none; an empty one of its own; one that an undisturbed run has filled."""


@dataclass(frozen=True)
class Calm:
    """An undisturbed run."""

    folder: Path
    steps: tuple[str, ...]
    """What it does on disk, in order."""
    cpu: float
    """Seconds of the processor that it takes."""


class Shared:
    """A folder with the undisturbed runs of some tasks; each is made when it is asked for first."""

    def __init__(self, place: Path, more: Mapping[str, str]) -> None:
        self.place = place
        self._more = more

    def environment(self, cache: Path | None) -> dict[str, str]:
        """The environment of a run with this cache."""
        return {**self._more, "HARNESS_CACHE": "" if cache is None else str(cache)}

    def arguments(self, recipe: Recipe, run: Path) -> list[str]:
        """The command of a run, beside `harness`."""
        task = self.place / "tasks" / f"{recipe.name}.toml"
        if not task.exists():
            recipe.write(task.parent)
        return ["eval", "-q", str(task), "--out", str(run)]

    def calm(self, recipe: Recipe, cache: Cache = "none") -> Calm:
        """The undisturbed run of a task, with such a cache."""
        filled = self.filled(recipe) if cache == "warm" else None
        return self._made(f"{recipe.name}-{cache}", recipe, cache, filled)

    def filled(self, recipe: Recipe) -> Path:
        """A cache that an undisturbed run has filled; whoever wants to use it copies it."""
        return self.calm(recipe, "own").folder.with_name("cache")

    def other(self, recipe: Recipe) -> Calm:
        """A run of the same task with another seed: its files have the same names."""
        return self._made(f"{recipe.name}-other", recipe, "none", None, ("--set", "seed=1"))

    def as_command(self, recipe: Recipe) -> Calm:
        """The undisturbed run as a real command: its seconds are those of a whole process."""
        return self._made(f"{recipe.name}-command", recipe, "none", None, real=True)

    def _made(
        self, name: str, recipe: Recipe, cache: Cache, filled: Path | None,
        more: Sequence[str] = (), *, real: bool = False,
    ) -> Calm:  # fmt: skip
        place = self.place / "calm" / name
        about = place / "calm.json"
        if not about.exists():
            shutil.rmtree(place, ignore_errors=True)
            place.mkdir(parents=True)
            kept = None if cache == "none" else place / "cache"
            if filled is not None:
                shutil.copytree(filled, place / "cache")
            folders = (place / "run", *([kept] if kept else ()))
            watched = Watch(tuple(map(str, folders)), str(place / "steps.txt"))
            start = command if real else forked
            arguments = [*self.arguments(recipe, place / "run"), *more]
            if not real and cache == "none":  # once to learn what is imported
                _must_be_calm(name, forked(arguments, place, watched, self.environment(kept)))
                import_what(place)
                shutil.rmtree(place / "run")
            ended = start(arguments, place, watched, self.environment(kept))
            _must_be_calm(name, ended)
            if cache != "none":
                if found := different(place / "run", self.calm(recipe).folder):
                    raise AssertionError(f"{name}: {found[:5]}")
                shutil.rmtree(place / "run")
            about.write_text(json.dumps({"cpu": ended.cpu, "steps": ended.steps}), "utf-8")
        if not real:
            import_what(place)
        told = json.loads(about.read_text("utf-8"))
        return Calm(place / "run", tuple(told["steps"]), told["cpu"])


def _must_be_calm(name: str, ended: Ended) -> None:
    if ended.code or ended.broken():
        raise AssertionError(f"{name} was not disturbed: exit {ended.code} {ended.broken()}\n"
                             f"{ended.err[-3000:]}")  # fmt: skip
