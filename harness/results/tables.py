"""The tables of an earlier run, read from its folder when they are asked for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from harness.errors import DataError
from harness.results.json_numbers import not_read, strict_lines, strict_loads

COMPLETIONS = "completions"
"""Every completion of every experiment; kept as `samples/<experiment>.jsonl`, not as a table."""

_AGAIN = "Put back what the run has written, or run the task again into another folder."

Rows = Sequence[Mapping[str, Any]]


class SavedTables(Mapping[str, Rows]):
    """Tables by name. Raises DataError, naming the file, where one cannot be read."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._read: dict[str, Rows] = {}

    def __iter__(self) -> Iterator[str]:
        if self._samples():
            yield COMPLETIONS
        yield from sorted(
            file.name.removesuffix(".parquet") for file in self._folder.glob("tables/*.parquet")
        )

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def __getitem__(self, name: str) -> Rows:
        if name not in self._read:
            if name not in list(self):
                raise KeyError(name)
            self._read[name] = (
                [row for file in self._samples() for row in _completions(file)]
                if name == COMPLETIONS
                else _parquet(self._folder / "tables" / f"{name}.parquet")
            )
        return self._read[name]

    def _samples(self) -> list[Path]:
        return sorted(self._folder.glob("samples/*.jsonl"))


def _completions(file: Path) -> Iterator[dict[str, Any]]:
    try:
        # Not splitlines: a completion may hold any other character that ends a line.
        lines = file.read_text(encoding="utf-8").split("\n")
        yield from strict_lines(lines, lambda line: {**strict_loads(line), "experiment": file.stem})
    except (OSError, ValueError) as error:
        raise DataError(
            f"{file}: is not the completions of a run: {not_read(error)}. {_AGAIN}"
        ) from error


def _parquet(file: Path) -> Rows:
    import pyarrow
    import pyarrow.parquet

    try:
        rows: Rows = pyarrow.parquet.read_table(file).to_pylist()
        return rows
    except (OSError, pyarrow.ArrowException) as error:
        # What pyarrow says next, after the path again, is about its own forms.
        why = "it is no parquet, or cut short" if "arquet" in str(error) else str(error).rstrip(".")
        raise DataError(f"{file}: is not a table of a run: {why}. {_AGAIN}") from error
