"""What a run tells its observers: that it begins, what it has found since, and how it ended."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from harness.contract import Artifact, Record, Records, Results, RunFinished, RunStarted, Warned
from harness.results.folder import REPORT, RESULTS
from harness.results.write import identity_of, sound
from harness.running.ledger import Ledger
from harness.running.observers.audience import Audience
from harness.version import __version__

FILES = (("results", RESULTS, "application/json"), ("report", REPORT, "text/html"))
"""The files that are told: what each is, its name in the folder of the run, what it holds."""


@dataclass
class News:
    """Tells an audience of a run, of each record and each warning once."""

    audience: Audience
    ledger: Ledger
    _at: int = 0
    """How many records of the ledger were looked at; it only grows."""
    _told: set[str] = field(default_factory=set)

    def begin(self, folder: Path, resumed: bool) -> None:
        """Tells that the run begins, or goes on (`resumed`)."""
        task = self.ledger.task
        self.audience.tell(
            RunStarted(
                self.audience.stamp(),
                task.spec.name,
                task.spec.title,
                str(folder.absolute()),
                resumed,
                task.resolved,
                __version__,
            )
        )

    def end(self, folder: Path, results: Results) -> None:
        """Tells what was not told yet, which files were written, and that the run has ended."""
        self.tell()
        if self.audience.listening:
            self._records(results.records)
        self.warn(results.warnings)
        stamp = self.audience.stamp
        for name, file, holds in FILES:
            path = str((folder / file).absolute())
            self.audience.tell(Artifact(stamp(), name, path, holds))
        ended = RunFinished(stamp(), results.status, results.problems, self.audience.effort())
        self.audience.tell(ended)

    def tell(self) -> None:
        """Tells what the ledger has more than at the last call."""
        if not self.audience.listening:
            return
        fresh, self._at = self.ledger.records[self._at :], len(self.ledger.records)
        self._records(fresh)
        self.warn(self.ledger.warnings)

    def _records(self, fresh: Iterable[Record]) -> None:
        """Tells of records that were not told before."""
        new = tuple(sound(record) for record in fresh if self._is_new(identity_of(record)))
        if new:
            self.audience.tell(Records(self.audience.stamp(), new))

    def warn(self, texts: Iterable[str]) -> None:
        """Tells of warnings that were not told before."""
        for text in texts:
            if self._is_new(text):
                self.audience.tell(Warned(self.audience.stamp(), text))

    def _is_new(self, what: str) -> bool:
        new = what not in self._told
        self._told.add(what)
        return new
