"""A thread of the head that minds one process beside it: starts it, gives it parts, replaces it."""

from __future__ import annotations

import threading
from contextlib import suppress
from pathlib import Path

from harness.contract import Outfit
from harness.errors import HarnessError, MachineError, UsageError
from harness.text import for_terminal
from harness_executors.local_child import Child, Ended, Lacking
from harness_executors.local_desk import Desk, Job
from harness_executors.local_share import Share

TRIES = 3
"""How many workers a part may end, and how often in a row one may end before it works."""
IN_A_ROW = 10
"""How many workers in one place may end with no reply in between."""
_FEWER = (
    "What was finished is kept; use fewer workers (`workers` in [executor], or --workers), so that "
    "each has more memory, and run the same command again."
)


class Minder:
    """Keeps one place beside the head filled with a worker, from the first part on."""

    def __init__(self, name: str, share: Share, outfit: Outfit, desk: Desk, log: Path) -> None:
        self._name, self._share, self._outfit, self._desk = name, share, outfit, desk
        self._log = log
        self._child: Child | None = None
        self._unborn = self._lost = 0
        self._over = False
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._work, name=f"minds {name}", daemon=True)
        self._thread.start()

    def end(self) -> None:
        """Ends the process. To be called after `Desk.end`, of all minders before any is joined."""
        with self._lock:
            self._over = True
            if self._child is not None:
                self._child.dismiss()

    def join(self) -> None:
        """Waits until the thread has ended, and leaves no empty file behind."""
        self._thread.join()
        with suppress(OSError):
            if not self._log.stat().st_size:
                self._log.unlink()

    def _work(self) -> None:
        try:
            while self._desk.wanted():
                child = self._filled()
                job = self._desk.take() if child is not None else None
                if child is not None and job is not None:
                    self._give(child, job)
        except BaseException as error:  # the head would wait for ever
            self._desk.fail(error)
        finally:
            self._drop()

    def _filled(self) -> Child | None:
        """The worker of this place; None where there is none, after it was said why."""
        if self._child is not None:
            return self._child
        try:
            with self._lock:
                if self._over:
                    return None
                self._child = Child(self._outfit.text, self._share, self._log)
            self._child.ready()
        except Lacking as error:
            self._fail(
                MachineError(
                    f"executor local: worker {self._name}: {error}; a device is gone. What was "
                    "finished is kept; run the same command again, with no more workers than there "
                    "are devices."
                )
            )
        except Ended as error:
            self._unborn += 1
            if self._unborn >= TRIES and not self._over:
                self._fail(self._unstartable(error))
            self._drop()
        except OSError as error:
            self._fail(
                MachineError(
                    f"executor local: worker {self._name} cannot be started: {error.strerror}. "
                    f"{_FEWER}"
                )
            )
        else:
            self._unborn = 0
        return self._child

    def _unstartable(self, ended: Ended) -> HarnessError:
        what = f"executor local: worker {self._name} cannot be started ({ended}). {self._said()}"
        if ended.killed:
            return MachineError(f"{what}{_FEWER}")
        return UsageError(
            f"{what}Workers need the packages that this process has. Mend that, or run the same "
            "command with one worker, which needs no other process."
        )

    def _said(self) -> str:
        """What stands last in the worker's log, as a sentence."""
        with suppress(OSError):
            lines = self._log.read_text("utf-8", "replace").strip().splitlines()
            if lines:
                return f"Its last words: {for_terminal(lines[-1])} (all of them: {self._log}). "
        return ""

    def _give(self, child: Child, job: Job) -> None:
        try:
            reply = child.ask(job.shared, job.content)
        except Ended as error:
            self._drop()
            if not self._over:
                self._mourn(job, error)
        else:
            self._lost = 0
            self._desk.answer(job, self._name, reply)

    def _mourn(self, job: Job, ended: Ended) -> None:
        """What follows from a worker that ended amid a part."""
        self._lost += 1
        ends = (*job.ended, str(ended))
        if len(ends) >= TRIES:
            self._fail(
                MachineError(
                    f"executor local: part {job.part} has ended {len(ends)} workers "
                    f"({'; '.join(dict.fromkeys(ends))}). {self._said()}{_FEWER}"
                )
            )
        elif self._lost >= IN_A_ROW:
            self._fail(
                MachineError(
                    f"executor local: {self._lost} workers have ended one after the other, the "
                    f"last at part {job.part} ({ended}). {self._said()}{_FEWER}"
                )
            )
        else:
            self._desk.bring_back(job, str(ended))
            self._outfit.say(
                f"executor local: worker {self._name} has ended at part {job.part} ({ended}); "
                "another one takes its place, and the part is computed again."
            )

    def _fail(self, error: HarnessError) -> None:
        self._unborn = self._lost = 0
        self._drop()
        self._desk.fail(error)

    def _drop(self) -> None:
        with self._lock:
            child, self._child = self._child, None
        if child is not None:
            child.dismiss()
            child.end()
            child.close()
