"""Damages what a run has left: bytes flipped, files cut, emptied, swapped or gone."""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

Damage = Callable[[list[Path], list[Path], random.Random], str]
"""Does something to one of the run's files, perhaps with one of another run's; says what."""


def damage(
    run: Path, other: Path, caches: Sequence[Path], chance: random.Random
) -> tuple[str, ...]:
    """One to four damages of a run's folder and its cache; `other` is the folder of another run.

    The lock is left alone: it holds nothing. What was done is returned, a line each.
    """
    done = []
    for _ in range(chance.choice((1, 1, 2, 3, 4))):
        files = [file for folder in (run, *caches) for file in _files(folder)]
        done.append(chance.choice(_DAMAGES)(_likely(files, run, chance), _files(other), chance))
    return tuple(done)


def _files(folder: Path) -> list[Path]:
    """In an order that is the same wherever and whenever the run was made."""
    found = (file for file in folder.rglob("*") if file.is_file() and file.name != ".lock")
    return sorted(found, key=lambda file: str(file.relative_to(folder)))


def _likely(files: list[Path], run: Path, chance: random.Random) -> list[Path]:
    """Mostly what a rerun reads; results and figures are only written anew."""
    read = [file for file in files if not {"tables", "arrays", "directions", "samples"}
            & {*file.parts}]  # fmt: skip
    return read if read and chance.random() < 0.8 else files


def _flip(files: list[Path], others: list[Path], chance: random.Random) -> str:
    file = chance.choice(files)
    content = bytearray(file.read_bytes())
    places = [chance.randrange(len(content)) for _ in range(chance.choice((1, 1, 8)))] * bool(
        content
    )
    for place in places:
        content[place] ^= 1 << chance.randrange(8)
    file.write_bytes(content)
    return f"{len(places)} bits of {file.name} flipped at {places[:3]}"


def _truncate(files: list[Path], others: list[Path], chance: random.Random) -> str:
    file = chance.choice(files)
    content = file.read_bytes()
    size = chance.choice((0, chance.randrange(len(content) + 1), max(0, len(content) - 1)))
    file.write_bytes(content[:size])
    return f"{file.name} cut to {size} of {len(content)} bytes"


def _swap(files: list[Path], others: list[Path], chance: random.Random) -> str:
    one = chance.choice(files)
    like = [file for file in files if file != one and file.parent == one.parent]
    two = chance.choice(like if like and chance.random() < 0.7 else files)
    first, second = one.read_bytes(), two.read_bytes()
    one.write_bytes(second)
    two.write_bytes(first)
    return f"{one.name} and {two.name} swapped"


def _swap_with_other(files: list[Path], others: list[Path], chance: random.Random) -> str:
    one = chance.choice(files)
    like = [file for file in others if file.name == one.name]
    two = chance.choice(like if like and chance.random() < 0.8 else others)
    shutil.copyfile(two, one)
    return f"{one.name} is now {two.name} of another run"


def _remove(files: list[Path], others: list[Path], chance: random.Random) -> str:
    file = chance.choice(files)
    file.unlink()
    return f"{file.name} removed"


def _append(files: list[Path], others: list[Path], chance: random.Random) -> str:
    file = chance.choice(files)
    content = file.read_bytes()
    lines = content.splitlines(keepends=True)
    more = chance.choice([*lines[-3:], b"\0" * 5, b"{\n", content or b"\n"])
    file.write_bytes(content + more)
    return f"{file.name}: {len(more)} bytes more"


def _folder(files: list[Path], others: list[Path], chance: random.Random) -> str:
    file = chance.choice(files)
    file.unlink()
    file.mkdir()
    return f"{file.name} is now a folder"


_DAMAGES: tuple[Damage, ...] = (
    _flip, _flip, _flip, _truncate, _truncate, _swap, _swap, _swap_with_other, _swap_with_other,
    _remove, _append, _folder,
)  # fmt: skip
