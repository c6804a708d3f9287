"""How long the completions of an earlier run of the same task were."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path


def completion_lengths(folder: Path) -> Mapping[str, Sequence[int]]:
    """Tokens of each completion, by experiment, from the samples of a run; empty without one."""
    found: dict[str, list[int]] = {}
    for file in sorted(folder.glob("samples/*.jsonl")):
        with suppress(OSError, ValueError, KeyError, TypeError):
            lines = file.read_text(encoding="utf-8").split("\n")
            lengths = [int(json.loads(line)["tokens"]) for line in lines if line]
            if lengths:
                found[file.stem] = lengths
    return found
