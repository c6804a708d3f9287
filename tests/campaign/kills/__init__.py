"""Kills: runs that get SIGKILL, SIGTERM or SIGINT, and work folders that are damaged."""

from __future__ import annotations

import os
import random
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from campaign.kills.calm import Shared
from campaign.kills.processes import orphans_are_ours
from campaign.kills.recipes import RECIPES, Recipe
from campaign.kills.tries import Plan, attempt, drawn
from campaign.trial import Tried, Try

ENVIRONMENT = {"HARNESS_CONFIG": "", "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1",
               "TOKENIZERS_PARALLELISM": "false"}  # fmt: skip
"""What all runs have in their environment: nothing of the person's."""


@dataclass(frozen=True)
class Kills:
    """Runs of shipped tasks on small limits, killed at moments drawn by chance."""

    recipes: Sequence[Recipe] = RECIPES
    about: str = "runs that are killed, and work folders that are damaged"

    @contextmanager
    def ready(self, place: Path) -> Iterator[Try]:
        """Undisturbed runs are made in `place` when they are needed first."""
        with carried_out(place) as carry_out:
            yield lambda chance: carry_out(drawn(self.recipes, carry_out.shared, chance))


class CarryOut:
    """Carries plans out, one at a time, each in a folder that is gone afterwards; where a promise
    was broken it is kept."""

    def __init__(self, place: Path, more: Mapping[str, str]) -> None:
        self.shared = Shared(place, more)
        self._folder = place / f"try-{os.getpid()}"

    def __call__(self, plan: Plan) -> Tried:
        """What became of one."""
        shutil.rmtree(self._folder, ignore_errors=True)
        self._folder.mkdir(parents=True)
        tried = attempt(plan, self.shared, self._folder)
        if tried.fault:
            kept = self.shared.place / "kept" / f"{random.randrange(16**8):08x}"
            kept.parent.mkdir(exist_ok=True)
            self._folder.rename(kept)
            return Tried(tried.group, tried.end, f"{tried.what}; {plan}; kept {kept}", tried.fault)
        shutil.rmtree(self._folder)
        return tried


@contextmanager
def carried_out(place: Path) -> Iterator[CarryOut]:
    """What carries out plans, with the undisturbed runs of `place`."""
    with orphans_are_ours():
        yield CarryOut(place, ENVIRONMENT)


CAMPAIGN = Kills()
