"""What single jobs of a rendering have counted once it was read to its end: for tasks that grow.

A task with a folder of checkpoints has more jobs at each rerun. Those of before are found again,
each by a key of its own, whatever others there are now.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.running.passes.jobs import RunningJob
from harness.running.passes.resume import DocumentsRead
from harness.store.states import PassStates, Saved


@dataclass(frozen=True)
class FinishedJobs:
    """The states of jobs after all documents of a rendering, each in a file of its own."""

    folder: Path
    keys: Mapping[RunningJob, str]
    """By job, a hash of everything that its states depend on, beside the documents."""

    def known(self, jobs: Sequence[RunningJob]) -> dict[RunningJob, Saved]:
        """What is kept of these jobs, of documents that may have changed since."""
        found = {job: self._store(job).load() for job in jobs}
        return {job: saved for job, saved in found.items() if saved is not None}

    def save(self, jobs: Sequence[RunningJob], read: DocumentsRead) -> None:
        """Keeps the states of jobs that have read all documents."""
        self.folder.mkdir(parents=True, exist_ok=True)
        for job in jobs:
            self._store(job).save(read.saved([job.states]))

    def forget(self, job: RunningJob) -> None:
        """Removes what is kept of a job, which was made with other data."""
        self._store(job).forget("made with other data")

    def _store(self, job: RunningJob) -> PassStates:
        return PassStates(self.folder / self.keys[job][:32], self.keys[job])
