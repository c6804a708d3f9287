"""Keeps completions on disk as they are made, so that a run that was cut off continues.

There is one append-only file per experiment. A completion's key is a hash of everything that it
depends on: the model with its adapter, tokenizer, template and dtype, the sampling, the edits with
their direction, and the token ids of its prompt. A completion under another key is never used.

A receipt belongs to the completions with which it was made, which is what a batch made of one arm:
either all of that is used, or nothing of it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from harness.contract import Completion, Receipt
from harness.store.lines import Lines
from harness.store.notes import dropped


@dataclass(frozen=True)
class Made:
    """What one batch made of one arm: completions by key, and the receipt of their edits."""

    arm: str
    """The key of the arm."""
    completions: Mapping[str, Completion]
    receipt: Receipt


class Journal:
    """Completions by key, and the receipts of the batches that made them, by the key of the arm.

    Making one reads what the file holds; lines that do not fit their hash are left out.
    """

    def __init__(self, file: Path) -> None:
        self.completions: dict[str, Completion] = {}
        self.receipts: dict[str, list[Receipt]] = {}
        self._together: dict[str, frozenset[str]] = {}
        self._file = file
        self._lines = Lines(file)
        self._made = [made for batch in self._lines.entries(_batch) for made in batch]
        self._use(self._made)

    def keep(self, wanted: Mapping[str, Collection[str]], others: Iterable[Made] = ()) -> int:
        """Uses only what belongs to these completions: their keys, by the key of their arm.

        What a batch made of an arm goes as a whole: where one of its completions is not wanted, or
        is there already, none of them is used, and neither is the receipt. What is left out stays
        in the file. `others` were made by other runs: those that fit, and are not in the file, are
        added to it. Returns how many completions of others that were.
        """
        sets = {arm: set(keys) for arm, keys in wanted.items()}
        taken: set[str] = set()

        def fits(made: Made) -> bool:
            keys = made.completions.keys()
            if not keys or not keys <= sets.get(made.arm, set()) - taken:
                return False
            taken.update(keys)
            return True

        self._use([made for made in self._made if fits(made)])
        if lost := sum(len(made.completions) for made in self._made) - len(taken):
            dropped(
                self._file,
                lost,
                "remembered completion",
                "made, or shared a batch, with other prompts, edits, sampling or models",
            )
        if new := [made for made in others if fits(made)]:
            self.add(new)
        return sum(len(made.completions) for made in new)

    def add(self, batch: Sequence[Made]) -> None:
        """Adds one batch. It is on disk when this returns: all of it or nothing."""
        self._lines.add([as_value(made) for made in batch])
        self._include_all(batch)

    def add_soon(self, batch: Sequence[Made]) -> None:
        """Adds one batch that was written since the last call. No crash loses it, and a power cut
        at most what took a second: see `Lines.add_soon`."""
        self._lines.add_soon([as_value(made) for made in batch])
        self._include_all(batch)

    def made_with(self, key: str) -> frozenset[str]:
        """The keys of what a batch made of one arm, this completion among them; empty where it is
        not there."""
        return self._together.get(key, frozenset())

    def close(self) -> None:
        """Closes the file."""
        self._lines.close()

    def _use(self, many: Sequence[Made]) -> None:
        self.completions, self.receipts, self._together = {}, {}, {}
        for made in many:
            self._include(made)

    def _include_all(self, batch: Sequence[Made]) -> None:
        self._made += batch
        for made in batch:
            self._include(made)

    def _include(self, made: Made) -> None:
        self.completions.update(made.completions)
        self._together |= dict.fromkeys(made.completions, frozenset(made.completions))
        self.receipts.setdefault(made.arm, []).append(made.receipt)


def as_value(made: Made) -> dict[str, Any]:
    """What a batch made as a JSON value: what `asdict` gives, which would copy every text."""
    completions = {key: vars(its) for key, its in made.completions.items()}
    return {"arm": made.arm, "completions": completions, "receipt": asdict(made.receipt)}


def made_from(value: Any) -> Made:
    """What a batch made, before `as_value`; TypeError, KeyError or AttributeError where it is
    something else."""
    return Made(
        value["arm"],
        {key: Completion(**its) for key, its in value["completions"].items()},
        receipt_from(value["receipt"]),
    )


def _batch(value: Any) -> list[Made]:
    return [made_from(one) for one in value]


def receipt_from(value: Any) -> Receipt:
    """A receipt as it was before `asdict`; TypeError or KeyError where it is something else."""
    return Receipt(**{**value, "broken": tuple(value["broken"])})
