"""Whether two runs have the same numbers: `python tests/compare_runs.py RUN RUN [--within 1e-12]`.

Reads what lies in the folders, with nothing of the harness. Compared are all records in their
order (id, options, axes, n, unit, value, interval, null, reasons), completions with their verdicts,
tables and directions. Numbers are equal to the bit unless `--within` allows a relative difference.
"""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow.parquet as parquet
from safetensors.numpy import load_file


def differences(left: Path, right: Path, within: float = 0.0) -> list[str]:
    """What is not the same in two runs' folders, a line each; empty where nothing is."""
    found: list[str] = []
    one, other = (json.loads((run / "results.json").read_text()) for run in (left, right))
    for key in ("schema", "status"):
        found += _values(key, one[key], other[key], within)
    found += _values("seed", one["task"].get("seed"), other["task"].get("seed"), within)
    found += _rows("records", one["records"], other["records"], within)
    for kind, read in (
        ("samples/*.jsonl", _json_lines),
        ("**/*.parquet", lambda file: parquet.read_table(file).to_pylist()),
        ("directions/*.safetensors", lambda file: [_plain(load_file(file))]),
    ):
        # What a run remembers for itself is no result.
        files = [
            {path.as_posix() for path in inside if path.parts[0] != "work"}
            for inside in ([p.relative_to(run) for p in run.glob(kind)] for run in (left, right))
        ]
        found += [f"{name}: only in one run" for name in sorted(files[0] ^ files[1])]
        for name in sorted(files[0] & files[1]):
            found += _rows(name, read(left / name), read(right / name), within)
    return found


def _json_lines(file: Path) -> list[Any]:
    return [json.loads(line) for line in file.read_text("utf-8").split("\n") if line]


def _plain(arrays: Mapping[str, Any]) -> dict[str, Any]:
    return {name: array.tolist() for name, array in arrays.items()}


def _rows(name: str, left: Sequence[Any], right: Sequence[Any], within: float) -> Iterator[str]:
    if len(left) != len(right):
        yield f"{name}: {len(left)} rows and {len(right)}"
    for number, (one, other) in enumerate(zip(left, right, strict=False)):
        yield from _values(f"{name}[{number}]", one, other, within)


def _values(where: str, left: Any, right: Any, within: float) -> Iterator[str]:
    if isinstance(left, dict) and isinstance(right, dict):
        for key in dict.fromkeys([*left, *right]):
            if key not in left or key not in right:
                yield f"{where}.{key}: only in one run"
            else:
                yield from _values(f"{where}.{key}", left[key], right[key], within)
    elif isinstance(left, list) and isinstance(right, list) and len(left) == len(right):
        for number, (one, other) in enumerate(zip(left, right, strict=True)):
            yield from _values(f"{where}[{number}]", one, other, within)
    elif not _same(left, right, within):
        yield f"{where}: {left!r} and {right!r}"


def _same(left: Any, right: Any, within: float) -> bool:
    if isinstance(left, float) and isinstance(right, float):
        if math.isnan(left) or math.isnan(right):
            return math.isnan(left) and math.isnan(right)
        return left == right or abs(left - right) <= within * max(abs(left), abs(right))
    return type(left) is type(right) and bool(left == right)


def main(arguments: Sequence[str]) -> int:
    """Prints the first differences; 1 where there are any."""
    within = float(arguments[arguments.index("--within") + 1]) if "--within" in arguments else 0.0
    found = differences(Path(arguments[0]), Path(arguments[1]), within)
    for line in found[:20]:
        print(line)
    print(f"{len(found)} differences" if found else "the same")
    return bool(found)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
