"""The tables of an earlier run, read from its folder when they are asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from harness.contract.results import Results
from harness.errors import DataError
from harness.results.json_numbers import not_read, strict_lines, strict_loads

COMPLETIONS = "completions"
"""Every completion of every experiment; kept as `samples/<experiment>.jsonl`, not as a table."""

_AGAIN = "Put back what the run has written, or give the same `harness eval` again for a new one."

Rows = Sequence[Mapping[str, Any]]


def without_damaged(results: Results) -> tuple[Results, tuple[str, ...]]:
    """The results with those tables alone that can be read, and why each other file cannot be.

    Of completions, which have a file for each experiment, those are there whose file can be read.
    """
    if not isinstance(results.tables, SavedTables):
        return results, ()
    whole, lost = results.tables.whole()
    return replace(results, tables=whole) if lost else results, lost


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
            self._read[name] = [row for read in self._parts(name) for row in read()]
        return self._read[name]

    def whole(self) -> tuple[Mapping[str, Rows], tuple[str, ...]]:
        """What can be read, by name, and for each file that cannot what is wrong with it."""
        found: dict[str, Rows] = {}
        lost = []
        for name in self:
            parts = []
            for read in self._parts(name):
                try:
                    parts.append(read())
                except DataError as error:
                    lost.append(str(error))
            if parts:
                found[name] = [row for rows in parts for row in rows]
        return found, tuple(lost)

    def _parts(self, name: str) -> list[Callable[[], Rows]]:
        """What reads each file of a table."""
        if name == COMPLETIONS:
            return [partial(_completions, file) for file in self._samples()]
        return [partial(_parquet, self._folder / "tables" / f"{name}.parquet")]

    def _samples(self) -> list[Path]:
        return sorted(self._folder.glob("samples/*.jsonl"))


def _completions(file: Path) -> Rows:
    try:
        # Not splitlines: a completion may hold any other character that ends a line.
        lines = file.read_text(encoding="utf-8").split("\n")
        named = {"experiment": file.stem}
        return list(strict_lines(lines, lambda line: {**strict_loads(line), **named}))
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
