"""Who computes the parts of a run: this process alone, or the workers of an executor."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sized
from contextlib import AbstractContextManager, ExitStack
from itertools import chain, islice
from pathlib import Path
from types import TracebackType
from typing import Any

from harness.contract import Crew, Effort, Executor, Outfit
from harness.errors import PluginError
from harness.planning.plan import Plan
from harness.registry import Registry
from harness.running.progress import Tick
from harness.running.session import Session
from harness.running.spread.outcome import Done, Failed, raised
from harness.running.spread.outfit import outfit_text
from harness.running.spread.step import Step, known
from harness.running.spread.wire import pack, unpack
from harness.running.spread.worker import SessionWorker
from harness.running.usage import resident
from harness.store.notes import note

Told = Callable[[str | None, int, Effort], None]
"""Is told of each part that is done: the worker (None: this process), its number, what it took."""


def nobody(worker: str | None, part: int, effort: Effort) -> None:
    """Is told of parts, and does nothing."""


class Team:
    """Does the parts of steps in this process, one after the other."""

    def __init__(self, session: Session, planned: Plan, told: Told = nobody) -> None:
        self._session = session
        self._plan = planned
        self._told = told

    spreads = False
    """Whether parts may be done by several."""

    @property
    def size(self) -> int:
        """How many processes do parts now."""
        return 1

    def alone(self) -> Team:
        """This process, for what is not worth to be spread."""
        return Team(self._session, self._plan, self._told)

    def __enter__(self) -> Team:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        return None

    def map(self, step: Step, parts: Iterable[Sized], tick: Tick) -> Iterator[tuple[int, Any]]:
        """Does every part of a step; yields each one's number and result, in any order.

        `parts` are taken when there is somebody to do them. `tick` is told how much is done, in all
        the length of every part. What goes wrong with a part is raised.
        """
        return self._alone(step, parts, tick)

    def _alone(self, step: Step, parts: Iterable[Any], tick: Tick) -> Iterator[tuple[int, Any]]:
        usage = self._session.usage
        self._session.rest()
        do = step.open(self._session, self._plan, tick)
        for number, part in enumerate(parts):
            begun, before = time.monotonic(), usage.tokens(usage.now)
            result = do(part)
            seconds = time.monotonic() - begun
            self._tell(None, number, seconds, usage.tokens(usage.now) - before, resident())
            yield number, result

    def _tell(
        self, worker: str | None, part: int, seconds: float, tokens: int, memory: int | None
    ) -> None:
        rate = tokens / seconds if tokens and seconds > 0 else None
        self._told(worker, part, Effort(seconds, tokens, rate, memory))


class SpreadTeam(Team):
    """Has parts done by the workers of an executor, who are started when they are first needed.

    `together` says whether this process is one of the workers: it then does alone what is one part.
    """

    spreads = True

    def __init__(
        self,
        session: Session,
        planned: Plan,
        crew: Callable[[], AbstractContextManager[Crew]],
        together: bool,
        told: Told = nobody,
    ) -> None:
        super().__init__(session, planned, told)
        self._start = crew
        self._together = together
        self._stack = ExitStack()
        self._crew: Crew | None = None

    @property
    def size(self) -> int:
        """The workers, once they have been started."""
        return 1 if self._crew is None else self._crew.size

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._crew = None
        self._stack.__exit__(kind, error, trace)

    def map(self, step: Step, parts: Iterable[Sized], tick: Tick) -> Iterator[tuple[int, Any]]:
        """As in a team that is alone."""
        rest = iter(parts)
        first = list(islice(rest, 2))
        if not first:
            return iter(())
        if self._together and len(first) == 1:
            return self._alone(step, first, tick)
        return self._spread(step, chain(first, rest), tick)

    def _spread(self, step: Step, parts: Iterable[Sized], tick: Tick) -> Iterator[tuple[int, Any]]:
        if self._crew is None:
            self._crew = self._stack.enter_context(self._start())
        sizes: dict[int, int] = {}

        def packed() -> Iterator[bytes]:
            for number, part in enumerate(parts):
                sizes[number] = len(part)
                yield pack(part)

        shared = pack((known(self._session), step))
        for reply in self._crew.compute(shared, packed()):
            if reply.part not in sizes:
                raise PluginError(
                    f"executor: part {reply.part} was answered twice, or was never given out. "
                    "Each part is to be answered once. Report it to the executor's author."
                )
            answer = unpack(reply.content)
            if isinstance(answer, Failed):
                raise raised(answer, reply.worker)
            assert isinstance(answer, Done)
            tick(sizes.pop(reply.part))
            self._count(reply.worker, reply.part, answer)
            yield reply.part, answer.result
        if sizes:
            raise PluginError(
                f"executor: {len(sizes)} parts were not answered. Each part is to be answered "
                "once. Report it to the executor's author."
            )

    def _count(self, worker: str, part: int, answer: Done) -> None:
        """Counts what a worker's models did as done in this stage, and tells of it."""
        self._session.workers[worker] += 1
        self._session.usage.spent(answer.spent)
        for text in answer.notes:
            note(text)
        self._tell(worker, part, answer.seconds, answer.tokens, answer.memory)


def team_of(
    session: Session, planned: Plan, registry: Registry, folder: Path, told: Told = nobody
) -> Team:
    """The team that a task asks for; `folder` is that of the run. Workers are not started yet."""
    entry = planned.task.executor
    if entry is None:
        return Team(session, planned, told)

    def crew() -> AbstractContextManager[Crew]:
        executor: Executor = entry.build()
        downloads = folder / "work" / "downloads"
        text = outfit_text(planned, registry, downloads, session.cache)
        here = SessionWorker(session, planned)
        own = folder / "work" / "executor"
        return executor.crew(Outfit(text, here, own, session.say))

    return SpreadTeam(session, planned, crew, entry.options.local, told)
