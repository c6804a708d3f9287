"""An executor whose workers live in this process, and answer in an order of their own."""

from __future__ import annotations

import json
import random
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from importlib.metadata import EntryPoint
from itertools import islice
from pathlib import Path
from typing import ClassVar

from pydantic import Field

from fakes.lab import LAB
from harness.contract import Crew, ExecutorOptions, Outfit, Reply, Worker
from harness.registry import discover
from harness.running.spread.outfit import fresh_task
from harness.running.spread.worker import Refusing, distant


class DeskOptions(ExecutorOptions):
    local: ClassVar[bool] = False

    seed: int = 0
    """Of the order of the replies."""
    window: int = Field(5, ge=1)
    """How many parts are taken before the first reply is given."""
    versions: dict[str, str] = Field(default_factory=dict)
    """Versions that the head is said to have."""
    forgets: bool = False
    """Whether the last reply of each call is lost."""
    repeats: bool = False
    """Whether the first reply of each call comes twice."""


class Desk:
    """Each worker is a session of its own, made of the outfit as in another process."""

    def __init__(self, options: DeskOptions) -> None:
        self.options = options

    @contextmanager
    def crew(self, outfit: Outfit) -> Iterator[Crew]:
        about = json.loads(outfit.text)
        about["versions"] |= self.options.versions
        registry = discover(candidates=[EntryPoint("fake", "fakes", "harness")])
        workers: list[Worker] = []
        for _ in range(self.options.workers or 1):
            try:
                task = fresh_task(about, registry)
                workers.append(distant(task, about, Path(about["downloads"])))
            except Exception as error:
                workers.append(Refusing(error))
        LAB.crews += 1
        yield DeskCrew(self.options, workers)


class DeskCrew:
    def __init__(self, options: DeskOptions, workers: list[Worker]) -> None:
        self.options, self.workers = options, workers
        self.luck = random.Random(options.seed)

    @property
    def size(self) -> int:
        return len(self.workers)

    def compute(self, shared: bytes, parts: Iterable[bytes]) -> Iterator[Reply]:
        rest = enumerate(parts)
        while window := list(islice(rest, self.options.window)):
            self.luck.shuffle(window)
            for place, (number, part) in enumerate(window):
                index = self.luck.randrange(len(self.workers))
                content = self.workers[index].work(shared, part)
                LAB.parts.append((f"desk/{index}", number))
                if self.options.forgets and place == len(window) - 1:
                    continue
                yield Reply(number, f"desk/{index}", content)
                if self.options.repeats:
                    yield Reply(number, f"desk/{index}", content)
