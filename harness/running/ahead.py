"""Reads ahead: files of what the plan needs next are read and hashed while this process computes.

Models and SAEs are made where they are needed, in the thread that needs them: libraries change
settings of the whole process while they load one, such as the dtype of new tensors, and numbers
that are computed meanwhile would be others. What takes long of a load is reading and hashing its
files. That is done here, and what was found of a file is known then (`known_files`); a load that
comes too early waits for the rest of it. So errors come from loads alone, where they always come.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext, suppress
from contextvars import copy_context
from dataclasses import dataclass
from typing import Any, Literal

from harness.contract import ReadsAhead
from harness.planning.plan import Plan
from harness.planning.table import rows
from harness.running.session import Session
from harness.running.usage import Usage
from harness.store.known_files import KnownFiles, knowing
from harness.task.prompts import view_spec
from harness.task.task import Entry


@dataclass(frozen=True)
class Wanted:
    """An entry of the task that is loaded at some time of the run."""

    table: Literal["models", "saes"]
    entry: Entry[Any]


def comes_next(session: Session, planned: Plan) -> list[Wanted]:
    """The models and SAEs that a plan needs, each once, in the order in which it needs them."""
    task, found = planned.task, dict[tuple[str, str], Wanted]()

    def add(table: Literal["models", "saes"], entries: Mapping[str, Entry[Any]], name: str) -> None:
        if name in entries:
            found.setdefault((table, name), Wanted(table, entries[name]))

    for row in rows(task, planned.preflight, planned.passes, planned.generations):
        for view in _names(row["views"]):
            add("models", task.models, view_spec(task.spec, view).model)
        for sae in _names(row["saes"]):
            for model in task.sae_models(sae):
                add("models", task.models, model)
            add("saes", task.saes, sae)
    asking: list[Entry[Any]] = [*task.evaluators.values(), *task.labels.values()]
    asking += [one for many in task.analyses.values() for one in many]
    for entry in asking:
        for model in session.models_named(entry.options):
            add("models", task.models, model)
    return list(found.values())


def _names(listed: str) -> list[str]:
    return listed.split(", ") if listed else []


@contextmanager
def reading_ahead(session: Session, planned: Plan) -> Iterator[None]:
    """In the block, another thread reads ahead; it has ended when the block has.

    Its seconds count as loading.
    """
    thread = _Reader(comes_next(session, planned), session.known, session.usage)
    with session.usage.reading_ahead(thread.seconds):
        thread.start()
        try:
            yield
        finally:
            thread.end()


class _Reader:
    """A thread that reads the files of entries, one after the other, until it is told to end."""

    def __init__(self, wanted: Sequence[Wanted], known: KnownFiles, usage: Usage) -> None:
        self._wanted = wanted
        self._known = known
        self._usage = usage
        self._halt = threading.Event()
        self._done: dict[threading.Thread, float] = {}
        # What is noted of remembered work is heard where the thread was made.
        run = copy_context().run
        self._thread = threading.Thread(target=run, args=(self._read,), daemon=True)

    def start(self) -> None:
        """Starts it."""
        self._thread.start()

    def end(self) -> None:
        """Ends it, within the time of reading some megabytes."""
        self._halt.set()
        self._thread.join()

    def seconds(self) -> float:
        """Seconds of the processor that it took, and the threads that it has read files by
        (`of_each`), but for the pieces that are read just now."""
        return sum(list(self._done.values()))

    def _ended(self) -> bool:
        self._done[threading.current_thread()] = time.thread_time()
        return self._halt.is_set()

    def _read(self) -> None:
        with knowing(self._known, self._ended):
            for one in self._wanted:
                # Also `Halted`. What is wrong with files, whoever loads them says.
                with suppress(Exception):
                    made_by = one.entry.owner.load()
                    if issubclass(made_by, ReadsAhead) and not self._ended():
                        # Pages of an SAE's file that are mapped count as memory of the process.
                        maps = one.table == "saes"
                        with self._usage.steady if maps else nullcontext():
                            made_by(one.entry.options).read_ahead()
                if self._ended():
                    return
