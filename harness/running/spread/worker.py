"""A worker: does parts of steps in its own process, with models that it loads once."""

from __future__ import annotations

import json
import shutil
import tempfile
import time
import weakref
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from harness.contract import Worker
from harness.errors import PluginError, UsageError, listed
from harness.machine import machine_errors
from harness.planning.plan import Plan
from harness.planning.planner import plan
from harness.registry import discover
from harness.running.code import other_versions
from harness.running.learned import learned
from harness.running.progress import Progress
from harness.running.session import Session
from harness.running.spread.outcome import Done, failure
from harness.running.spread.outfit import fresh_task, signature
from harness.running.spread.step import Known, Step, check_same, learn
from harness.running.spread.wire import pack, unpack
from harness.running.usage import Spent, resident
from harness.store.cache import Cache
from harness.store.known_files import KnownFiles, knowing
from harness.store.notes import hearing
from harness.task.task import Task


class SessionWorker:
    """Does parts with a session. The step that parts share is opened once."""

    def __init__(self, session: Session, planned: Plan) -> None:
        self._session = session
        self._plan = planned
        self._shared = b""
        self._known: Known | None = None
        self._do: Callable[[Any], Any] = lambda part: None

    def work(self, shared: bytes, part: bytes) -> bytes:
        """As `harness.contract.Worker`."""
        begun = time.monotonic()
        try:
            known = knowing(self._session.known)
            with machine_errors(Path.cwd()), hearing() as notes, known:
                if shared != self._shared:
                    self._open(shared)
                    begun = time.monotonic()
                before = self._session.usage.tokens()
                result = self._do(unpack(part))
                tokens = self._session.usage.tokens() - before
                if self._known is not None:
                    check_same(self._session, self._known)
            seconds = time.monotonic() - begun
            done = Done(result, self._spent(), tokens, seconds, resident(), tuple(notes))
            return pack(done)
        except Exception as error:
            self._shared = b""  # whatever was half open is opened anew
            return pack(failure(error))

    def _open(self, shared: bytes) -> None:
        self._shared = b""
        self._known, step = unpack(shared)
        self._do = self._opened(self._known, step)
        self._shared = shared

    def _opened(self, what: Known, step: Step) -> Callable[[Any], Any]:
        self._session.rest()
        return step.open(self._session, self._plan, lambda done: None)

    def _spent(self) -> Spent:
        """What a part took, where the head has not counted it: it has counted this."""
        return Spent()


class DistantWorker(SessionWorker):
    """A worker in a process of its own: it learns what the head has found, and counts."""

    def _opened(self, what: Known, step: Step) -> Callable[[Any], Any]:
        learn(self._session, what)
        do = super()._opened(what, step)
        # What was read to load an SAE belongs to no part: the head has done that, too.
        self._session.usage.take()
        check_same(self._session, what)
        return do

    def _spent(self) -> Spent:
        return self._session.usage.take()


class Refusing:
    """A worker that cannot be: it says why in each of its replies."""

    def __init__(self, error: Exception) -> None:
        self._reply = pack(failure(error))

    def work(self, shared: bytes, part: bytes) -> bytes:
        """As `harness.contract.Worker`."""
        return self._reply


def make(text: str) -> Worker:
    """The worker of an outfit, in a process of its own."""
    try:
        about = json.loads(text)
        registry = discover(about["disabled"])
        task = fresh_task(about, registry)
        return distant(task, about, Path(about["downloads"]))
    except Exception as error:
        return Refusing(error)


def _known(about: Mapping[str, Any]) -> KnownFiles:
    """What the head's cache knows of files, where this machine has the folder, too."""
    folder, limit = about["cache"] or ("", 0)
    return KnownFiles(Cache(Path(folder), limit) if folder and Path(folder).is_dir() else None)


def distant(task: Task, about: Mapping[str, Any], downloads: Path) -> Worker:
    """A worker of a task that was read anew.

    Raises UsageError where its packages are not those of the head, and PluginError where the same
    task does not give the same plan.
    """
    if others := other_versions(about["versions"], task.owners()):
        raise UsageError(
            f"{listed(others)}. All processes of a run need the same packages. Install there what "
            "is installed here, or here what is there."
        )
    for owner in task.owners():
        owner.load()
    own = Path(tempfile.mkdtemp(prefix="harness-worker-"))
    if not downloads.is_dir():  # it is another machine, which does not have the folder of the run
        downloads = own / "downloads"
    session = Session(task, downloads, own / "verdicts", Progress(), known=_known(about))
    weakref.finalize(session, shutil.rmtree, own, ignore_errors=True)
    planned = learned(plan(task), session)
    if signature(planned) != about["plan"]:
        raise PluginError(
            "the task has another plan in this process than at the head, with the same packages. "
            "Run it without other workers, and report it."
        )
    return DistantWorker(session, planned)
