"""Reads several runs from their folders, and says in a line what is left out and why."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.contract import Results, Runs, Variant
from harness.errors import DataError
from harness.results.read import load_results
from harness.several.numbers import differently_made, shared_numbers
from harness.several.telling import variants


@dataclass(frozen=True)
class Gathered:
    """Runs put together. All text is hostile."""

    runs: Runs
    """Those that count."""
    notes: tuple[str, ...]
    """What does not count and why, a line each."""
    folders: tuple[Path, ...]
    """The folders of all runs that could be read, also of invalid ones, sorted."""
    left_out: tuple[tuple[str, Results], ...] = ()
    """Runs that could be read and do not count, by name."""


def gather(folders: Sequence[str | Path]) -> Gathered:
    """Reads the runs in some folders.

    A folder without a run, a run of another schema, an invalid run and a run that is given twice
    are left out and noted. Raises DataError where nothing is left.
    """
    notes: list[str] = []
    places: dict[Path, str] = {}
    read: list[tuple[str, Results]] = []
    for folder in sorted(map(Path, folders), key=str):
        real = folder.resolve()
        if real in places:
            known = places[real]
            same = "is given twice" if known == str(folder) else f"is the same folder as {known}"
            notes.append(f"{folder}: {same}. It counts once.")
            continue
        places[real] = str(folder)
        try:
            read.append((str(folder), load_results(folder)))
        except DataError as error:
            notes.append(str(error))
    sound = []
    left_out = []
    for name, results in read:
        if results.status == "complete":
            sound.append((name, results))
            continue
        left_out.append((name, results))
        problem = (results.problems or ("no reason was kept",))[0]
        notes.append(f"{name}: the run is invalid, so its numbers do not count: {problem}")
    by, found = variants(sound)
    once, twice = _once(found)
    notes += [said for said, _, _ in twice]
    left_out += [(name, results) for _, name, results in twice]
    if not once:
        raise DataError("\n".join([*notes, "None of these folders holds a complete run."]))
    numbers = shared_numbers(once)
    if names := differently_made(once):
        many = f" and {len(names) - 5} more" if len(names) > 5 else ""
        notes.append(
            f"{', '.join(names[:5])}{many}: runs computed these with other versions or options. "
            "Such numbers are never put together: each stands in a row of its own."
        )
    paths = tuple(Path(name) for name, _ in sorted(read, key=lambda one: one[0]))
    return Gathered(Runs(by, once, numbers), tuple(notes), paths, tuple(left_out))


def load_runs(*folders: str | Path) -> Runs:
    """Several runs at once: `load_runs("runs/a", "runs/b").frame` has all of their records, with
    the columns `run`, `variant` and `seed`.

    Folders without a run, invalid runs and runs that are given twice are left out. Raises DataError
    where nothing is left.
    """
    return gather(folders).runs


def _once(
    found: Sequence[Variant],
) -> tuple[tuple[Variant, ...], list[tuple[str, str, Results]]]:
    """Each variant with one run for each seed; what is left out is said."""
    kept, twice = [], []
    for variant in found:
        by_seed: dict[str, str] = {}
        runs = []
        for run in variant.runs:
            if run.seed in by_seed:
                said = (
                    f"{run.name}: is the same task with the same models and seed as "
                    f"{by_seed[run.seed]}. It counts once."
                )
                twice.append((said, run.name, run.results))
            else:
                by_seed[run.seed] = run.name
                runs.append(run)
        kept.append(Variant(variant.label, variant.settings, tuple(runs)))
    return tuple(kept), twice
