"""Whether a run that was disturbed has come to what an undisturbed one has."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from safetensors.numpy import load_file

from compare_runs import differences

_REMADE = re.compile(r".*: dropped [\d,]+ remembered \w+s?, because .* What is missing is redone\.")
_TIMES = ("usage", "command", "from_cache", "git")
"""What in the provenance is of a single run: what it used, how it was called, what it found."""


_STATED = ("claims", "families")
"""What a task states beforehand: each remembers when it was written."""


def different(run: Path, calm: Path, *, damaged: bool = False) -> list[str]:
    """What is not the same, a line each: all of `results.json` but times, samples, tables,
    directions, arrays. `damaged`: the folder's memory of its claims may be gone, too, and a run
    may say so."""
    found = differences(calm, run)
    one, other = (
        json.loads((folder / "results.json").read_text("utf-8")) for folder in (calm, run)
    )
    for name in sorted({*one, *other} - {"records", "schema", "status"}):
        if name == "warnings":
            found += _warnings(one[name], other[name], damaged)
        elif _plain(name, one.get(name), damaged) != _plain(name, other.get(name), damaged):
            found.append(f"results.json: {name} is another: {one.get(name)} and {other.get(name)}")
    arrays = [{file.name: file for file in folder.glob("arrays/*")} for folder in (calm, run)]
    if arrays[0].keys() != arrays[1].keys():
        return [*found, f"arrays: {sorted(arrays[0].keys() ^ arrays[1].keys())} only in one run"]
    return found + [
        f"arrays/{name}" for name in arrays[0] if _other(arrays[0][name], arrays[1][name])
    ]


def remade(run: Path) -> int:
    """How many notes a run has of remembered work that it could not use."""
    warnings = json.loads((run / "results.json").read_text("utf-8"))["warnings"]
    return sum(bool(_REMADE.fullmatch(text)) for text in warnings)


def _warnings(calm: list[str], run: list[str], damaged: bool) -> list[str]:
    missing = [f"a warning is missing: {text}" for text in calm if text not in run]
    more = [text for text in run if text not in calm and not _REMADE.fullmatch(text)]
    return missing + [f"a warning more: {text}" for text in more if not damaged]


def _plain(name: str, value: Any, damaged: bool) -> Any:
    if name == "provenance":
        return {key: its for key, its in value.items() if key not in _TIMES}
    if name in _STATED:
        gone = ("written", "late") if damaged else ("written",)
        return [{key: its for key, its in one.items() if key not in gone} for one in value]
    if name == "task":
        stated = {part: value.get(part, {}) for part in _STATED}
        return value | {
            part: {key: {**its, "written": ""} for key, its in entries.items()}
            for part, entries in stated.items()
        }
    return value


def _other(one: Path, two: Path) -> bool:
    left, right = load_file(one), load_file(two)
    return left.keys() != right.keys() or any(
        left[key].dtype != right[key].dtype or left[key].tobytes() != right[key].tobytes()
        for key in left
    )
