"""What a worker of `ray` asks for, what a cluster has, and how many fit. Imports no ray."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from harness_executors.options import RayOptions

Amounts = Mapping[str, float]
"""How much of what, by the names that Ray uses: `CPU`, `GPU`, and names of a cluster's own."""
_FINEST = 10_000
"""Ray counts in ten thousandths."""


@dataclass(frozen=True)
class Room:
    """What a cluster has at one moment."""

    nodes: tuple[Amounts, ...]
    """All that each living node has, whether it is in use or not."""
    free: Amounts
    """What is not in use, of all nodes together; Ray says it with a delay of about a second."""

    @classmethod
    def of(cls, nodes: Iterable[Mapping[str, Any]], free: Amounts) -> Room:
        """From what `ray.nodes()` and `ray.available_resources()` say."""
        return cls(tuple(dict(node["Resources"]) for node in nodes if node["Alive"]), dict(free))

    def ever(self, ask: Amounts) -> int:
        """How many workers fit if nobody else uses the cluster."""
        return sum(places(ask, node) for node in self.nodes)

    def now(self, ask: Amounts) -> int:
        """How many more fit now: at most that many, as what is free may be scattered."""
        return min(self.ever(ask), places(ask, self.free) if any(ask.values()) else 1)

    def total(self, name: str) -> float:
        """How much of one thing all nodes have together."""
        return sum(node.get(name, 0) for node in self.nodes)

    def in_words(self, ask: Amounts) -> str:
        """What the cluster has of what is asked for, such as `2 nodes: CPU 16 (3 free)`."""
        has = "; ".join(
            f"{name} {_number(self.total(name))} ({_number(self.free.get(name, 0))} free)"
            for name in ask
        )
        return f"{counted(len(self.nodes), 'node')}{': ' if has else ''}{has}"


def places(ask: Amounts, have: Amounts) -> int:
    """How many times `ask` is in `have`; once, where nothing is asked for."""
    return min((_units(have.get(name, 0)) // _units(n) for name, n in ask.items() if n), default=1)


def asked(options: RayOptions, room: Room, own: bool) -> Amounts:
    """What each worker asks for. `own`: whether the cluster has nobody else to serve."""
    gpus = options.gpus if options.gpus is not None else float(room.total("GPU") > 0)
    cpus = options.cpus
    if cpus is None:
        beside = places({"GPU": gpus}, {"GPU": room.total("GPU")}) if gpus else 0
        cpus = _share(room.total("CPU"), options.workers or beside) if own else 1.0
    given = {"CPU": cpus, "GPU": gpus, **options.resources}
    return {name: amount for name, amount in given.items() if amount}


def ask_in_words(ask: Amounts) -> str:
    """Such as `CPU 1, GPU 0.5`."""
    return ", ".join(f"{name} {_number(amount)}" for name, amount in ask.items()) or "nothing"


def counted(number: int, what: str) -> str:
    """`1 node`, `2 nodes`."""
    return f"{number} {what}{'' if number == 1 else 's'}"


def _share(cpus: float, workers: int) -> float:
    """CPUs of one of so many workers on one machine, in an amount that Ray takes; 1 for none."""
    if not workers or cpus <= 0:
        return 1.0
    if cpus >= workers:
        return float(cpus // workers)
    return math.floor(cpus * _FINEST / workers) / _FINEST


def _units(amount: float) -> int:
    return round(amount * _FINEST)


def _number(amount: float) -> str:
    return f"{amount:.4f}".rstrip("0").rstrip(".")
