"""One try: a run is killed, perhaps its reruns too, perhaps its files are damaged; then it must
come to what an undisturbed run comes to, or refuse by name."""

from __future__ import annotations

import random
import shutil
import signal
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from campaign.kills.calm import Cache, Calm, Shared
from campaign.kills.damage import damage
from campaign.kills.processes import Ended, command, forked
from campaign.kills.recipes import Recipe
from campaign.kills.same import different, remade
from campaign.kills.watch import Kill, Watch
from campaign.trial import Tried

SIGNALS = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT)
_LATE = ("results.json", "report.html", "/samples/", "/tables/", "/directions/", "/arrays/")
_NEXT = ("--fresh", "--out", "run the same command again", "Remove ", "remove ", "Name ")
"""What a refusal says is to be done."""


@dataclass(frozen=True)
class Plan:
    """What is done to a run."""

    recipe: Recipe
    kills: tuple[Kill, ...]
    """Of the run, then of its reruns; the next one is let through."""
    cache: Cache = "none"
    real: bool = False
    """Whether the first one is a real command."""
    damaged: int | None = None
    """The seed of the damages of what is left then; None for none."""

    @property
    def group(self) -> str:
        """What it is counted under."""
        if self.damaged is not None:
            return f"damaged {self.recipe.name}"
        name = signal.Signals(self.kills[0].signal).name
        return f"{name} {self.recipe.name}{', real command' if self.real else ''}"


def drawn(
    recipes: Sequence[Recipe], shared: Shared, chance: random.Random, *, reals: float = 0.3
) -> Plan:
    """A plan by chance: in six one of damages; of the others three in ten are real commands."""
    recipe = chance.choice(recipes)
    damaged = chance.randrange(2**32) if chance.random() < 1 / 6 else None
    real = damaged is None and chance.random() < reals
    cache: Cache = "none" if real else chance.choice(("none", "none", "none", "own", "warm"))
    calm = shared.as_command(recipe) if real else shared.calm(recipe, cache)
    again = chance.choice((0, 0, 0, 0, 1, 1, 2))
    if damaged is not None and chance.random() < 0.4:
        return Plan(recipe, (), cache, damaged=damaged)  # of a finished run
    kills = [_kill(calm, chance, 1.0), *(_kill(calm, chance, 0.5) for _ in range(again))]
    return Plan(recipe, tuple(kills), cache, real, damaged)


def _kill(calm: Calm, chance: random.Random, part: float) -> Kill:
    """A signal in the first `part` of such a run: at a step on disk, while results are written, or
    after some time of computing."""
    number, steps = chance.choice(SIGNALS), len(calm.steps)
    kind = chance.random()
    if kind < 0.15:
        late = [at for at, step in enumerate(calm.steps, 1) if any(one in step for one in _LATE)]
        return Kill(number, chance.choice(late))
    if kind < 0.7:
        return Kill(number, chance.randrange(1, max(2, int(steps * part))))
    return Kill(number, cpu=round(chance.uniform(0.005, calm.cpu * part), 4))


def attempt(plan: Plan, shared: Shared, place: Path) -> Tried:
    """Does what is planned in an empty folder, and judges."""
    run, cache = place / "run", None if plan.cache == "none" else place / "cache"
    if plan.cache == "warm":
        shutil.copytree(shared.filled(plan.recipe), place / "cache")
    folders = tuple(map(str, (run, *([cache] if cache else ()))))
    arguments, more = shared.arguments(plan.recipe, run), shared.environment(cache)
    calm, told = shared.calm(plan.recipe).folder, [f"cache {plan.cache}"]
    damages: tuple[str, ...] = ()
    met = 0

    def judged(end: str, fault: str = "") -> Tried:
        return Tried(plan.group, end, "; ".join([*told, *damages]), fault)

    for number, kill in enumerate(plan.kills):
        watched = Watch(folders, str(place / "steps.txt"), kill)
        start = command if plan.real and not number else forked
        ended = start(arguments, place, watched, more)
        was_met = len(ended.steps) >= kill.step if kill.step else ended.code != 0
        met += was_met
        told.append(_told(kill, ended))
        if fault := _fault(kill, ended, was_met, start is command) or _half(run, calm):
            return judged("fault", fault)
    if not plan.kills:
        ended = forked(arguments, place, None, more)
        if fault := _through(ended, run, calm):
            return judged("fault", fault)
    if plan.damaged is not None:
        other = shared.other(plan.recipe).folder
        damages = damage(run, other, [cache] if cache else [], random.Random(plan.damaged))
    spoilt = plan.damaged is not None
    ended = forked(arguments, place, None, more)
    end = "same records"
    if spoilt and ended.code in (2, 3, 4):
        if fault := ended.broken() or unclear(ended, place):
            return judged("fault", fault)
        told.append(ended.err.strip())
        end = "refused by name, same records with --fresh"
        ended = forked([*arguments, "--fresh"], place, None, more)
        spoilt = cache is not None
    if fault := _through(ended, run, calm, damaged=spoilt):
        return judged("fault", fault)
    if cache is not None:  # and another run with what is in the cache now
        more_runs = shared.arguments(plan.recipe, place / "second")
        ended = forked(more_runs, place, None, more)
        if fault := _through(ended, place / "second", calm, damaged=spoilt):
            return judged("fault", f"another run with the same cache: {fault}")
    if end == "same records" and remade(run):
        end = "same records, some work made again"
    if plan.kills and not met:
        end = f"came to its end before the moment, {end}"
    return judged(end)


def _told(kill: Kill, ended: Ended) -> str:
    name = signal.Signals(kill.signal).name
    if kill.step:
        where = ended.steps[kill.step - 1] if len(ended.steps) >= kill.step else "not reached"
        return f"{name} at step {kill.step} ({where})"
    return f"{name} after {kill.cpu} s"


def _fault(kill: Kill, ended: Ended, met: bool, real: bool) -> str:
    """What was wrong with a run that got a signal."""
    if broken := ended.broken():
        return broken
    allowed = [130 if kill.signal == signal.SIGINT else -kill.signal]
    if not met or not kill.step:
        allowed.append(0)
        if real:  # Python has begun or ended, the command has not, or has already
            allowed.append(-kill.signal)
    if ended.code not in allowed:
        return f"exit {ended.code}, not {allowed}\n{ended.err[-3000:]}"
    said = [line for line in ended.err.splitlines() if line]
    if ended.code == 130 and said != [
        "harness: interrupted. Run the same command again to continue."
    ]:
        return f"an interrupted run says: {ended.err[-3000:]}"
    if ended.code < 0 and said:
        return f"a killed run says: {ended.err[-3000:]}"
    return ""


def _half(run: Path, calm: Path) -> str:
    """A file of results that is there after a kill is whole, and right."""
    if not (run / "results.json").exists():
        return ""
    try:
        found = [one for one in different(run, calm) if "results.json" in one or "records" in one]
    except (OSError, ValueError) as error:
        return f"results that are not whole: {error}"
    return f"results before the end: {found[:5]}" if found else ""


def _through(ended: Ended, run: Path, calm: Path, *, damaged: bool = False) -> str:
    """What is wrong with a run that nothing has disturbed."""
    if broken := ended.broken():
        return broken
    if ended.code:
        return f"exit {ended.code}: {ended.err[-3000:]}"
    if partial := [*run.rglob("*.partial")]:
        return f"left over: {partial}"
    try:
        found = different(run, calm, damaged=damaged)
    except (OSError, ValueError) as error:
        return f"cannot be read: {error}"
    return "\n".join(["other results:", *found[:10]]) if found else ""


def unclear(ended: Ended, place: Path) -> str:
    """What a refusal does not say: one line, which file, and what to do."""
    said = [line for line in ended.err.splitlines() if line]
    if len(said) != 1 or not said[0].startswith("harness: "):
        return f"a refusal of {len(said)} lines: {ended.err[-3000:]}"
    if str(place) not in said[0] or ".partial" in said[0]:
        return f"a refusal that names no file: {said[0]}"
    if not any(one in said[0] for one in _NEXT):
        return f"a refusal that does not say what to do: {said[0]}"
    return ""
