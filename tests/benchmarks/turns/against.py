"""Runs benchmarks of this checkout in turns with another one: here, there, there, here, …"""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from turns.compare import Change, changes, only
from turns.series import Asked, Series, benchmarks, is_benchmark, read
from turns.tree import Tree

FOLDER = Path("tests") / "benchmarks"
TODAYS = Path("tests") / "benchmarks_of_today"
"""Where today's scripts lie in the other checkout: as deep as their own folder, so that what they
find beside themselves is that checkout's."""


class Failed(Exception):
    """A benchmark did not end well; the words are the last that it said."""


@dataclass(frozen=True)
class Outcome:
    """What one benchmark said of both checkouts."""

    benchmark: str
    changes: tuple[Change, ...] = ()
    note: str = ""
    """Why there is nothing to compare, or what was compared otherwise."""


def against(
    here: Tree,
    there: Tree,
    names: tuple[str, ...],
    asked: Asked,
    turns: int,
    say: Callable[[str], None],
) -> Iterator[Outcome]:
    """Each benchmark of `here` in both trees, so many times in turns. `names`: only these."""
    shutil.copytree(here.root / FOLDER, there.root / TODAYS, dirs_exist_ok=True)
    for name, script in benchmarks(here.root / FOLDER).items():
        if not names or name in names:
            say(f"{name} …")
            yield _compared(here, there, script, asked, turns)


def _compared(here: Tree, there: Tree, script: Path, asked: Asked, turns: int) -> Outcome:
    name, note = script.stem, ""
    try:
        mine = [run(here, script, asked)]
    except Failed as error:
        return Outcome(name, note=f"does not run here: {error}")
    todays, own = there.root / TODAYS / script.name, there.root / FOLDER / script.name
    used = todays
    try:
        theirs = [run(there, todays, asked)]
    except Failed as error:
        if not (own.is_file() and is_benchmark(own)):
            return Outcome(name, note=f"does not run there: {error}")
        used, note = own, "the other commit's own script ran there, as this one does not"
        try:
            theirs = [run(there, own, asked)]
        except Failed as second:
            return Outcome(name, note=f"does not run there: {second}")
    for turn in range(1, turns):
        # Whoever went second goes first: what a machine does ever slower or faster cancels.
        both = [(here, script, mine), (there, used, theirs)]
        try:
            for tree, file, into in both if turn % 2 == 0 else both[::-1]:
                into.append(run(tree, file, asked))
        except Failed as error:
            note = f"{turn} of {turns} turns: {error}"
            break
    if alone := only(mine[0], theirs[0]):
        note = "; ".join(filter(None, [note, f"in one alone: {', '.join(alone)}"]))
    return Outcome(name, tuple(changes(name, mine, theirs)), note)


def run(tree: Tree, script: Path, asked: Asked) -> list[Series]:
    """What a benchmark says of a tree; Failed where it does not end well."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "found.json"
        words = ["--json", str(file), "--repeats", str(asked.repeats)]
        words += ["--toy"] * asked.toy + ["--ours"] * asked.ours
        done = subprocess.run(
            [tree.python, script, *words],
            cwd=tree.root, env=tree.env(), capture_output=True, text=True, check=False,
        )  # fmt: skip
        if done.returncode or not file.is_file():
            last = (done.stderr.strip() or done.stdout.strip()).splitlines()[-1:]
            raise Failed(last[0][:200] if last else f"exit status {done.returncode}")
        return read(file)
