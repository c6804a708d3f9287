"""Remembers completions as they are made, so that a run that was cut off continues.

One append-only file per experiment. A completion's key covers everything that it depends on:
the model with its adapter, tokenizer, template and dtype, the sampling, the edits with their
direction, and the token ids of its prompt. What another key made is never read.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

from harness.contract import Completion, Receipt
from harness.store.lines import Lines


class Journal:
    """Completions by key, and the receipts of the batches that made them, by arm."""

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
        """Remembers one batch. It is on disk when this returns: all of it or nothing."""
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


def merged_receipt(arm: str, receipts: Sequence[Receipt]) -> Receipt:
    """One receipt for several batches of the same arm."""
    tokens = sum(receipt.tokens for receipt in receipts)
    weighted = sum((r.relative or 0.0) * r.tokens for r in receipts)
    names = {name for receipt in receipts for name in receipt.checks}
    return Receipt(
        arm=arm,
        fired=sum(receipt.fired for receipt in receipts),
        tokens=tokens,
        changed=sum(receipt.changed for receipt in receipts),
        relative=weighted / tokens if tokens else None,
        checks={
            name: _worst([r.checks[name] for r in receipts if name in r.checks])
            for name in sorted(names)
        },
        broken=tuple(dict.fromkeys(name for receipt in receipts for name in receipt.broken)),
    )


def _worst(values: Sequence[float]) -> float:
    """The largest; a value that is not a number is worse than any."""
    return next((value for value in values if math.isnan(value)), max(values))
