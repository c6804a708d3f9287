"""Counts how often intervals hold the truth: a cell is a world and a number of documents."""

from __future__ import annotations

import hashlib
import inspect
import io
import json
import tokenize
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path

import numpy as np

from covering import worlds
from covering.worlds import AT_ONCE, WORLDS, World
from harness.results import intervals, replicates

SIZES = (10, 20, 50, 200)
"""Documents in a set."""
FEWEST = 10
"""Documents on either side of a share, on average, from which a cell is counted."""


@dataclass(frozen=True)
class Cell:
    """What came out of many sets."""

    family: str
    name: str
    documents: int
    sets: int
    """0 where a share has too few documents on one of its sides."""
    covered: int
    above: int
    """Sets whose interval lies above the truth; the others that miss lie below it."""
    code: str
    """A hash of the code that made it."""

    @property
    def share(self) -> float:
        """How often the interval held the truth."""
        return self.covered / self.sets


def count(world: World, documents: int, sets: int) -> Cell:
    """Draws sets of documents and counts; the seed is made of the cell's own name."""
    name = f"{world.family}\0{world.name}\0{documents}"
    generator = np.random.default_rng(list(hashlib.sha256(name.encode()).digest()))
    covered, above, hangs = 0, 0, 0.0
    for _ in range(sets // AT_ONCE):
        low, high, on = world.sets(generator, AT_ONCE, documents)
        covered += int(((low <= world.truth) & (world.truth <= high)).sum())
        above += int((low > world.truth).sum())
        hangs += float(on.mean()) / (sets // AT_ONCE)
    if round(hangs, 6) < FEWEST:
        sets, covered, above = 0, 0, 0
    return Cell(world.family, world.name, documents, sets, covered, above, code())


@cache
def code() -> str:
    """A hash of the code that decides a cell, whatever its docstrings and comments say."""
    sources = [
        inspect.getsource(replicates),
        inspect.getsource(intervals.wilson),
        inspect.getsource(intervals.clustered_wilson),
        inspect.getsource(worlds),
    ]
    return hashlib.sha256("".join(map(_bare, sources)).encode()).hexdigest()[:16]


def _bare(source: str) -> str:
    """The source without spaces, comments and docstrings."""
    lines: list[list[tokenize.TokenInfo]] = [[]]
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.NEWLINE:
            lines.append([])
        elif token.type not in (tokenize.COMMENT, tokenize.NL, tokenize.INDENT, tokenize.DEDENT):
            lines[-1].append(token)
    alone = [line for line in lines if [one.type for one in line] != [tokenize.STRING]]
    return "".join(one.string for line in alone for one in line)


def kept(file: Path) -> list[Cell]:
    """The cells that a file has, those of other code left out."""
    if not file.exists():
        return []
    found = [Cell(**json.loads(line)) for line in file.read_text("utf-8").splitlines()]
    return [cell for cell in found if cell.code == code()]


def counted(file: Path, sets: int) -> Iterator[Cell]:
    """All cells; those that the file has not are counted, and added to it."""
    known = {(one.family, one.name, one.documents): one for one in kept(file)}
    lines = [json.dumps(asdict(one), ensure_ascii=False) + "\n" for one in known.values()]
    file.write_text("".join(lines), "utf-8")
    for world in WORLDS:
        for documents in SIZES:
            cell = known.get((world.family, world.name, documents))
            if cell is None:
                cell = count(world, documents, sets)
                with file.open("a", encoding="utf-8") as stream:
                    stream.write(json.dumps(asdict(cell), ensure_ascii=False) + "\n")
            yield cell
