"""The completions of an earlier run of the same task: how long they were, how many differed."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Written:
    """The completions of one experiment."""

    lengths: Sequence[int]
    """Tokens of each."""
    distinct: float = 1.0
    """Share of different ones: of equal completions of one prompt, one is judged."""


def earlier_completions(folder: Path) -> Mapping[str, Written]:
    """Reads the completions of each experiment from the samples of a run; empty without a run."""
    found: dict[str, Written] = {}
    for file in sorted(folder.glob("samples/*.jsonl")):
        with suppress(OSError, ValueError, KeyError, TypeError, OverflowError, RecursionError):
            lines = file.read_text(encoding="utf-8").split("\n")
            rows = [json.loads(line) for line in lines if line]
            lengths = [int(row["tokens"]) for row in rows]
            different = {(row["example"], row["completion"]) for row in rows}
            if lengths:
                found[file.stem] = Written(lengths, len(different) / len(lengths))
    return found
