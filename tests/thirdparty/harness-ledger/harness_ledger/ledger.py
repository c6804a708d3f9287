"""The scores of each experiment as lines of JSON."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from hashlib import sha256

from harness.contract import ExportedRun, ExportFile, LeftOut, Record
from harness.errors import DataError
from harness_ledger.options import LedgerOptions


class Ledger:
    """Writes a file for each experiment, with a line for each of its scores.

    `{"score": "refusal_score@1", "arm": {"direction": "none", …}, "value": 0.75, "low": 0.3,
    "high": 0.95, "n": 4}`; all axes are the arm, so an edit is always in it. A score that is
    undefined has null for its value and says why. ASCII, so that nothing in it moves a cursor.

    The files are called after a hash, since an experiment may have any name; `ledger.json` says
    whose they are, and how the run ended. Left out: numbers that are no experiment's.
    """

    def __init__(self, options: LedgerOptions) -> None:
        self.options = options

    def files(self, run: ExportedRun) -> Iterator[ExportFile | LeftOut]:
        """A file for each experiment, then the list of them. DataError where there is none."""
        by_name: dict[str, list[Record]] = {}
        for record in run.results.records:
            if (name := record.axes.get("experiment")) is not None:
                by_name.setdefault(str(name), []).append(record)
        if not by_name:
            raise DataError(
                f"{run.folder}: has no experiment, and a ledger is of scores. Export a run whose "
                "task has one."
            )
        names = {name: f"{sha256(repr(name).encode()).hexdigest()[:12]}.jsonl" for name in by_name}
        for name, records in by_name.items():
            yield ExportFile(f"experiments/{names[name]}", self._lines(records))
        about = {"run": run.results.task.get("name"), "status": run.results.status, "of": names}
        yield ExportFile("ledger.json", json.dumps(about, indent=1) + "\n")
        others = sum("experiment" not in record.axes for record in run.results.records)
        if others:
            yield LeftOut(f"{others} numbers", "they are of no experiment")

    def _lines(self, records: Sequence[Record]) -> str:
        kept = [one for one in records if self.options.undefined or one.value is not None]
        return "".join(json.dumps(_line(one)) + "\n" for one in kept)


def _line(record: Record) -> dict[str, object]:
    low, high = record.ci or (None, None)
    return {
        "score": record.id,
        "arm": dict(record.axes),
        "value": record.value,
        "low": low,
        "high": high,
        "n": record.n,
        **({"why": record.undefined} if record.value is None else {}),
    }
