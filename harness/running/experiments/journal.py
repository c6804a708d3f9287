"""Keeps completions on disk as they are made, so that a run that was cut off continues.

There is one append-only file per experiment. A completion's key is a hash of everything that it
depends on: the model with its adapter, tokenizer, template and dtype, the sampling, the edits with
their direction, and the token ids of its prompt. A completion under another key is never used.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

from harness.contract import Completion, Receipt
from harness.store.lines import Lines


class Journal:
    """Completions by key, and the receipts of the batches that made them, by the key of the arm.

    Making one reads what the file holds; a torn last line is left out.
    """

    def __init__(self, file: Path) -> None:
        self.completions: dict[str, Completion] = {}
        self.receipts: dict[str, list[Receipt]] = {}
        self._lines = Lines(file)
        for entry in self._lines.read():
            for key, completion in entry["completions"].items():
                self.completions[key] = Completion(**completion)
            for arm, receipt in entry["receipts"].items():
                receipt["broken"] = tuple(receipt["broken"])
                self.receipts.setdefault(arm, []).append(Receipt(**receipt))

    def add(self, completions: Mapping[str, Completion], receipts: Mapping[str, Receipt]) -> None:
        """Adds one batch. It is on disk when this returns: all of it or nothing."""
        self._lines.add(
            {
                "completions": {key: asdict(value) for key, value in completions.items()},
                "receipts": {arm: asdict(value) for arm, value in receipts.items()},
            }
        )
        self.completions.update(completions)
        for arm, receipt in receipts.items():
            self.receipts.setdefault(arm, []).append(receipt)

    def close(self) -> None:
        """Closes the file."""
        self._lines.close()
