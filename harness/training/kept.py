"""What a training has measured so far, and the folder of results that holds it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import tomli_w

from harness.contract import JSON, Record, Results
from harness.errors import UsageError
from harness.results.read import load_results
from harness.results.write import unique, write_results
from harness.store.files import write_text
from harness.task.file import plain
from harness.training.asked import PAIR

CHECKPOINT = "checkpoint"
"""The axis that says at which step of the training a record was measured."""
_OURS = ("probe.jsonl", "task.toml", "results.json", "report.html", "tables", "work")

Row = Mapping[str, Any]


def axes_at(step: int) -> dict[str, JSON]:
    """The axes of what is measured at a step: a pair of its own, as for a saved checkpoint."""
    return {"pair": f"{PAIR}.{step}", CHECKPOINT: step}


@dataclass
class Kept:
    """The measurements of a training, by step, in the order in which they were made."""

    folder: Path
    steps: dict[int, tuple[Record, ...]] = field(default_factory=dict)
    tables: dict[str, list[Row]] = field(default_factory=dict)
    """Rows of the tables of statistics, each with its step."""
    notes: list[str] = field(default_factory=list)
    """Warnings of the results, each once."""

    @classmethod
    def at(cls, folder: Path) -> Kept:
        """Nothing yet; UsageError for a folder that holds something else than a training."""
        others = [one.name for one in folder.iterdir()] if folder.is_dir() else []
        foreign = [name for name in others if name not in _OURS and name[0] != "."]
        if foreign or ("results.json" in others and load_results(folder).task.get("name") != PAIR):
            raise UsageError(
                f"{folder}: holds other files than those of a training. Allowed: an empty or a new "
                "folder. Name another one with out = …."
            )
        return cls(folder)

    def resumed(self, step: int) -> Kept:
        """With what the folder holds of the steps before `step`."""
        if not (self.folder / "results.json").is_file():
            return self
        found = load_results(self.folder)
        kept = Kept(self.folder, notes=list(found.warnings))
        for record in found.records:
            at = record.axes.get(CHECKPOINT)
            if isinstance(at, int) and at < step:
                kept.steps[at] = (*kept.steps.get(at, ()), record)
        for name in found.tables:
            rows = [row for row in found.tables[name] if row.get(CHECKPOINT, step) < step]
            kept.tables |= {name: rows} if rows else {}
        return kept

    def add(
        self,
        step: int,
        records: Sequence[Record],
        tables: Mapping[str, Sequence[Row]],
        notes: Sequence[str],
    ) -> None:
        """Adds what was found at a step."""
        self.steps[step] = tuple(records)
        for name, rows in tables.items():
            self.tables.setdefault(name, []).extend({CHECKPOINT: step, **row} for row in rows)
        for text in notes:
            self.note(text)

    def note(self, text: str) -> None:
        """Adds a warning, once."""
        if text not in self.notes:
            self.notes.append(text)

    def records(self, before: Sequence[Record]) -> tuple[Record, ...]:
        """All records: those of the preflight, then those of each step, the last one first: it is
        what a report begins with."""
        steps = sorted(self.steps, reverse=True)
        return unique([*before, *(one for step in steps for one in self.steps[step])])

    def pairs(self, table: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
        """Each step as a pair of its own, as `[pairs.NAME]` has them."""
        return {f"{PAIR}.{n}": {**table, "axes": {CHECKPOINT: n}} for n in sorted(self.steps)}

    def write(self, results: Results) -> None:
        """Writes the results of all steps, each file whole or not at all."""
        self.folder.mkdir(parents=True, exist_ok=True)
        write_text(self.folder / "task.toml", tomli_w.dumps(plain(dict(results.task))))
        write_results(self.folder, results)
