"""What a plan costs on several workers: time, memory, traffic, and what is done more than once."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from operator import mul

from harness.planning.cost.devices import CPU, Device
from harness.planning.cost.figures import Cost, Cut

LOADING = 1e9
"""Bytes of weights that a worker reads in a second: from a disk of its own, or a fast network."""
TAKING = 3e8
"""Bytes of replies that the head takes in, adds up and writes to its disk in a second, with one
processor: 45 MB of states took 0.14 s (unpack 15 ms, merge 16 ms, save twice 52 ms)."""


@dataclass(frozen=True)
class Team:
    """Workers, each of which does one part at a time."""

    workers: int
    local: bool
    """Whether all of them are on the head's machine, and the head is one of them."""

    def device(self, device: Device) -> Device:
        """What each worker has of a machine: a GPU of its own, but a share of the processor where
        several are on one machine."""
        if not self.local or device.name != CPU:
            return device
        share = 1 / self.workers
        return replace(
            device,
            half=device.half * share,
            single=device.single * share,
            bandwidth=device.bandwidth * share,
        )


@dataclass(frozen=True)
class SpreadStage:
    """A stage on several workers."""

    stage: str
    parts: int
    """Into how many parts it can be cut: more workers than that have nothing to do."""
    rounds: int
    """How many parts the busiest worker does."""
    seconds: float | None
    """Until its last part is there; None where not all of it is known."""


@dataclass(frozen=True)
class Spread:
    """A plan on several workers.

    Parts of a stage are taken to be of equal work, and a worker without a part waits for the end
    of the stage. So a stage of n parts on w workers takes ⌈n/w⌉ of its parts' time: with more
    workers than parts it gets no faster.
    """

    team: Team
    stages: tuple[SpreadStage, ...]
    worker: int
    """Bytes of memory of each worker: all models and SAEs, and the largest batch."""
    head: int
    """Bytes of memory of the head beside its workers; 0 where it is one of them."""
    sent: int
    """Bytes from the head to the workers."""
    returned: int
    """Bytes from the workers to the head."""
    loading: float
    """Seconds in which each worker reads the models, all of them at the same time. A plan for one
    process does not count them."""

    @property
    def taking(self) -> float:
        """Seconds that the head needs to take in what comes back, meanwhile: the end is not before
        that, however many workers there are. A plan for one process does not count them."""
        return self.returned / TAKING

    @property
    def seconds(self) -> float | None:
        """Seconds of all stages, loading left out; None where not all is known."""
        found = [stage.seconds for stage in self.stages]
        return None if None in found else sum(one for one in found if one is not None)

    @property
    def together(self) -> int:
        """Bytes of memory of all workers, and of the head where it is none of them."""
        return self.team.workers * self.worker + self.head


def spread(cost: Cost, team: Team, device: Device) -> Spread:
    """The cost of a plan on a team, where each worker has a `device` (on one machine, its share of
    the processor)."""
    own = team.device(device)
    models = cost.memory.total - cost.memory.work
    travels = [cut.travels for cut in cost.cuts]
    return Spread(
        team,
        tuple(_stages(cost, team.workers, own)),
        cost.memory.total,
        0 if team.local else models,
        sum(sent for sent, _ in travels),
        sum(returned for _, returned in travels),
        models / LOADING,
    )


def _stages(cost: Cost, workers: int, device: Device) -> Iterator[SpreadStage]:
    """Each stage with all that it is cut into, in the order of the run."""
    stages: dict[str, list[Cut]] = {}
    for cut in cost.cuts:
        stages.setdefault(cut.stage, []).append(cut)
    for stage, cuts in stages.items():
        rounds = [-(-cut.parts // workers) for cut in cuts]
        alone = cost.seconds_of([work for work in cost.work if work.stage == stage], device)
        weights = [cost.seconds_of(cut.work, device) or 0.0 for cut in cuts]
        # ⌈parts / workers⌉ of the parts' time, by cut: all of it for one worker.
        busy = [many / cut.parts for many, cut in zip(rounds, cuts, strict=True)]
        total = sum(weights)
        share = sum(map(mul, weights, busy)) / total if total else 1.0
        seconds = None if alone is None else alone * share
        yield SpreadStage(stage, sum(cut.parts for cut in cuts), sum(rounds), seconds)
