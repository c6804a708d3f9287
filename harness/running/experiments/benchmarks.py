"""Benchmarks under interventions: each runs once for every arm, on the edited model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import Any

from harness.contract import BenchmarkOptions, OneByOne, Outcome
from harness.planning.steps import Generation
from harness.running.experiments.arms import ArmOutcome, ReadyArm, ready_arms
from harness.running.experiments.arms_kept import ArmsKept, Measured
from harness.running.experiments.benchmark_arm import ArmAsked, MeasureArms
from harness.running.experiments.benchmark_parts import ask_parts
from harness.running.progress import Tick
from harness.running.session import Session
from harness.running.spread.team import Team
from harness.store.keys import apart, key_of
from harness.task.contents import by_content
from harness.task.task import Entry


@dataclass(frozen=True)
class BenchmarkKey:
    """All that the answers of one arm depend on. `str` of it is their hash."""

    arm: str
    """The edits with their direction; equal arms are told apart."""
    model: str
    """A hash of the model and of the backend that runs it."""
    benchmark: str
    """The plugin and its component."""
    version: str
    """The version of the plugin."""
    options: Mapping[str, Any]
    """Its options, with what is in files in the place of their paths."""
    seed: int
    """The seed of the task."""

    def __str__(self) -> str:
        return key_of(*astuple(self))


def measure(
    session: Session,
    team: Team,
    work: Generation,
    entry: Entry[BenchmarkOptions],
    folder: Path,
    tick: Tick,
) -> list[tuple[ArmOutcome, Outcome]]:
    """What one benchmark finds in each arm, in order; a defined one has a folder of its own in
    `folder`.

    The name of an arm's folder has a hash of all that the answers depend on in it (edits, model,
    options, seed), so that a rerun finds what was answered before, and nothing else. An arm that
    another run has measured is taken from the cache, and has no folder. Raises PluginError
    where the benchmark gives anything but records and tables.
    """
    view = session.task.spec.experiments[work.experiment].view
    others = ArmsKept(session, work.experiment, entry)
    arms = ready_arms(session, work)
    ready = {place: arm for place, arm in enumerate(arms) if isinstance(arm, ReadyArm)}
    names = dict(zip(ready, apart(arm.key for arm in ready.values()), strict=True))
    forwards = entry.options.forwards() or 0
    found: dict[int, Measured] = {}
    asked: list[ArmAsked] = []
    for place, arm in ready.items():
        if (kept := others.find(names[place], arm.planned.label)) is not None:
            found[place] = kept
            session.taken["benchmark arms"] += 1
            tick(forwards)
            continue
        key = BenchmarkKey(
            names[place],
            session.fingerprint(view),
            str(entry.owner),
            entry.owner.plugin.version,
            by_content(entry.options),
            session.task.spec.seed,
        )
        asked.append(ArmAsked(place, arm.key, f"{entry.name}-{key}", forwards))
    if isinstance(session.view_model(view), OneByOne):
        team = team.alone()  # the head asks a server, several questions at a time
    if team.spreads and asked:
        told = ask_parts(session, team, work.experiment, entry, folder, asked, tick)
        if told:
            team, tick = team.alone(), _after(tick, told)
    step = MeasureArms(work.experiment, entry.name, str(folder.absolute()))
    for number, measured in team.map(step, asked, tick):
        place = asked[number].place
        found[place] = measured
        if measured.receipt is not None or not ready[place].edits:
            others.keep(names[place], measured)
    return [
        (arm, Outcome())
        if isinstance(arm, ArmOutcome)
        else (
            ArmOutcome(arm.planned, (), found[place].receipt, arm.arm.idle, arm.arm.gated),
            found[place].outcome,
        )
        for place, arm in enumerate(arms)
    ]


def _after(tick: Tick, told: int) -> Tick:
    """Tells `tick` what is beyond `told`: the answers to that much are found again now."""
    found = 0

    def beyond(done: int) -> None:
        nonlocal found
        before, found = found, found + done
        if (more := found - max(told, before)) > 0:
            tick(more)

    return beyond
