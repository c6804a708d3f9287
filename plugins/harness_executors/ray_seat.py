"""One actor of `ray`, as the head sees it. Imports ray."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Sequence
from enum import Enum
from typing import Any

import ray

from harness_executors.ray_actor import actor_class
from harness_executors.ray_parts import Part
from harness_executors.ray_room import Amounts


class Stage(Enum):
    """How far an actor has come."""

    WAITING = "waiting"
    """Ray has not found a place for it."""
    STARTING = "starting"
    """It imports what it needs."""
    READY = "ready"
    """It takes parts."""


class Opener:
    """Asks the cluster for actors that are all alike."""

    def __init__(self, ask: Amounts, path: Sequence[str]) -> None:
        more = {name: n for name, n in ask.items() if name not in ("CPU", "GPU")}
        self._path, self._gpus = list(path), ask.get("GPU", 0)
        self._class = ray.remote(
            num_cpus=ask.get("CPU", 0), num_gpus=self._gpus, resources=more, max_restarts=0,
            max_task_retries=0, concurrency_groups={"drop": 1, "watch": 1},
        )(actor_class())  # fmt: skip

    def open(self) -> Seat:
        """One more; it may have to wait for its place."""
        return Seat(self._class.remote(self._path, self._gpus))


class Seat:
    """One actor, and the parts that it has been given."""

    def __init__(self, actor: Any) -> None:
        self.stage = Stage.WAITING
        self.since = time.monotonic()
        """When it came to this stage."""
        self.node = ""
        self.name = ""
        self.parts: deque[tuple[Any, Part, float]] = deque()
        """What it was given: where the reply will be, the part, when; the first one is computed."""
        self._actor = actor
        self._asked = actor.place.remote()
        self._watch = actor.watch.remote()

    def awaited(self) -> list[Any]:
        """References that tell when something of it is new."""
        if self.stage is not Stage.READY:
            return [self._asked]
        return [self._watch, *(ref for ref, _, _ in list(self.parts)[:1])]

    def start(self, node: str, name: str, text: str) -> None:
        """It has a place: lets it make its worker."""
        self.node, self.name = node, name
        self._go(Stage.STARTING)
        self._asked = self._actor.start.remote(text)

    def ready(self) -> None:
        """It has made its worker."""
        self._go(Stage.READY)

    def said(self) -> str:
        """What came of `start`, or its node's name before; raises what Ray raises if it is gone."""
        return str(ray.get(self._asked))

    def give(self, call: int, shared: Any, part: Part) -> None:
        """Lets it compute a part; the reply is the next one after those of the parts before."""
        ref = self._actor.work.remote(call, [shared], part.content)
        self.parts.append((ref, part, time.monotonic()))

    def reply(self) -> bytes | None:
        """The reply to its first part; raises what Ray raises if it is gone."""
        content: bytes | None = ray.get(self.parts[0][0])
        return content

    def drop(self, call: int) -> None:
        """Lets go of what belongs to this call, now, even if it is at work."""
        self._actor.drop.remote(call)

    def end(self) -> None:
        """Ends the actor, whatever it does."""
        ray.kill(self._actor, no_restart=True)

    def _go(self, stage: Stage) -> None:
        self.stage, self.since = stage, time.monotonic()
