"""Any file with some of its bytes changed, or with something else in its place."""

from __future__ import annotations

import os
import random
import shutil
from collections.abc import Callable
from pathlib import Path

from campaign.files.told import Told
from campaign.texts import damaged


def byte_damage(file: Path, chance: random.Random) -> Told:
    """One change of the bytes."""
    content = file.read_bytes()
    new, what = chance.choice(_CHANGES)(content, chance)
    file.write_bytes(new)
    return Told(what)


def text_damage(file: Path, chance: random.Random) -> Told:
    """Lines, brackets, encodings and single bytes of a text."""
    file.write_bytes(damaged(file.read_bytes(), chance))
    return Told("damaged text")


def place_damage(file: Path, chance: random.Random) -> Told:
    """Something else than a file of bytes where the file was."""
    kind = chance.choice(("nothing", "empty", "folder", "no end", "itself", "zeros", "short"))
    file.unlink()
    match kind:
        case "empty":
            file.touch()
        case "folder":
            file.mkdir()
        case "no end":
            file.symlink_to("nowhere/at/all")
        case "itself":
            file.symlink_to(file.name)
        case "zeros":
            file.write_bytes(bytes(chance.choice((1, 8, 4096))))
        case "short":
            file.write_bytes(chance.randbytes(chance.choice((1, 7, 8, 9, 100))))
    return Told(f"{kind} in its place", "nothing")


def clear(file: Path) -> None:
    """Takes away whatever is in a file's place."""
    if file.is_dir() and not file.is_symlink():
        shutil.rmtree(file)
    elif os.path.lexists(file):
        file.unlink()


Change = Callable[[bytes, random.Random], tuple[bytes, str]]


def _flip(content: bytes, chance: random.Random) -> tuple[bytes, str]:
    new, places = bytearray(content), []
    for _ in range(chance.choice((1, 1, 3, 20))):
        place = _at(content, chance)
        if place < len(new):
            new[place] ^= 1 << chance.randrange(8)
            places.append(place)
    return bytes(new), f"bits flipped at {places[:3]}{'…' * (len(places) > 3)}"


def _truncate(content: bytes, chance: random.Random) -> tuple[bytes, str]:
    end = chance.choice((_at(content, chance), max(len(content) - chance.choice((1, 4, 100)), 0)))
    return content[:end], f"cut off at {end} of {len(content)}"


def _swap(content: bytes, chance: random.Random) -> tuple[bytes, str]:
    size = chance.choice((1, 4, 64, 1000))
    one, two = sorted((_at(content, chance), _at(content, chance)))
    two = max(two, one + size)
    a, b = content[one : one + size], content[two : two + size]
    new = content[:one] + b + content[one + size : two] + a + content[two + size :]
    return new, f"{size} bytes at {one} and {two} change places"


def _fill(content: bytes, chance: random.Random) -> tuple[bytes, str]:
    start, size = _at(content, chance), chance.choice((1, 4, 8, 200))
    byte = chance.choice((b"\0", b"\xff", b"\x7f", b"\x80", b"9", b"["))
    return content[:start] + byte * size + content[start + size :], f"{size} x {byte!r} at {start}"


def _insert(content: bytes, chance: random.Random) -> tuple[bytes, str]:
    start, size = _at(content, chance), chance.choice((1, 8, 500))
    new = chance.randbytes(size)
    return content[:start] + new + content[start:], f"{size} random bytes put in at {start}"


def _delete(content: bytes, chance: random.Random) -> tuple[bytes, str]:
    start, size = _at(content, chance), chance.choice((1, 8, 500))
    return content[:start] + content[start + size :], f"{size} bytes taken out at {start}"


def _append(content: bytes, chance: random.Random) -> tuple[bytes, str]:
    new = chance.choice((b"\0", b"\n", chance.randbytes(100), content[:1000]))
    return content + new, f"{len(new)} bytes more at the end"


def _at(content: bytes, chance: random.Random) -> int:
    """A place, often in the first or the last bytes: that is where formats say what they are."""
    size = len(content)
    match chance.randrange(4):
        case 0:
            return min(chance.randrange(64), size)
        case 1:
            return max(size - chance.randrange(1, 400), 0)
    return chance.randrange(size + 1)


_CHANGES: list[Change] = [_flip, _flip, _truncate, _swap, _fill, _insert, _delete, _append]
