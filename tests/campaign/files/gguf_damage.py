"""GGUF files: counts, keys, values, shapes, types and offsets of the header made wrong."""

from __future__ import annotations

import random
import struct
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from pathlib import Path

from campaign.files.byte_damage import byte_damage
from campaign.files.told import Told

_SIZES = {0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8}
"""Bytes of a value, by the number of its type. 8 is a text, 9 an array."""


@dataclass(frozen=True)
class Spot:
    """A number of the header."""

    at: int
    size: int
    what: str


def gguf_damage(file: Path, chance: random.Random) -> Told:
    """One or two numbers or texts of the header, each of any kind as likely as the others."""
    content = bytearray(file.read_bytes())
    try:
        spots = list(_spots(bytes(content)))
    except (struct.error, KeyError, IndexError, OverflowError, MemoryError):  # damaged before
        return byte_damage(file, chance)
    done = []
    for _ in range(chance.choice((1, 1, 2))):
        kind = chance.choice(sorted({spot.what.partition(" ")[0] for spot in spots}))
        spot = chance.choice([one for one in spots if one.what.startswith(kind)])
        done.append(_changed(content, spot, chance))
    file.write_bytes(content)
    return Told("; ".join(done))


def _changed(content: bytearray, spot: Spot, chance: random.Random) -> str:
    old = bytes(content[spot.at : spot.at + spot.size])
    if spot.size > 8 or spot.what.startswith("text"):
        new = bytes(chance.choice((33, 0, 255, 32, 47)) for _ in range(spot.size))
    else:
        number = int.from_bytes(old, "little")
        most = 2 ** (8 * spot.size) - 1
        near = (number + 1, number - 1, number * 2, number // 2, number ^ 1, number << 16)
        far = (0, 1, 7, 8, 9, 14, 39, 200, 10**5, 10**9, 2**31, 2**40, 2**63, 2**64 - 1)
        new = (chance.choice(near + far) & most).to_bytes(spot.size, "little")
    content[spot.at : spot.at + spot.size] = new
    return f"{spot.what}: {old[:12].hex()} becomes {new[:12].hex()}"


def _spots(data: bytes) -> Iterator[Spot]:
    """Every number of the header with what it is, and its texts."""
    yield Spot(0, 4, "magic")
    yield Spot(4, 4, "version")
    yield Spot(8, 8, "count of tensors")
    yield Spot(16, 8, "count of keys")
    tensors, keys = struct.unpack_from("<QQ", data, 8)
    at = 24
    for _ in range(keys):
        key, at = yield from _text(data, at, "key")
        kind = struct.unpack_from("<I", data, at)[0]
        yield Spot(at, 4, f"type of {key}")
        at += 4
        if kind == 8:
            _, at = yield from _text(data, at, f"text of {key}")
        elif kind == 9:
            inner, count = struct.unpack_from("<IQ", data, at)
            yield Spot(at, 4, f"array of {key}: type")
            yield Spot(at + 4, 8, f"array of {key}: count")
            at += 12
            for number in range(count):
                if inner == 8:
                    length = struct.unpack_from("<Q", data, at)[0]
                    if number in (0, 7, count - 1):
                        yield Spot(at, 8, f"array of {key}: length of {number}")
                        if length:
                            yield Spot(at + 8, length, f"text {number} of {key}")
                    at += 8 + length
                else:
                    at += _SIZES[inner]
        else:
            yield Spot(at, _SIZES[kind], f"value of {key}")
            at += _SIZES[kind]
    for _ in range(tensors):
        name, at = yield from _text(data, at, "tensor")
        axes = struct.unpack_from("<I", data, at)[0]
        yield Spot(at, 4, f"axes of {name}")
        at += 4
        for axis in range(axes):
            yield Spot(at, 8, f"shape of {name}, axis {axis}")
            at += 8
        yield Spot(at, 4, f"quantisation of {name}")
        yield Spot(at + 4, 8, f"offset of {name}")
        at += 12


def _text(data: bytes, at: int, what: str) -> Generator[Spot, None, tuple[str, int]]:
    length = struct.unpack_from("<Q", data, at)[0]
    text = data[at + 8 : at + 8 + length].decode("utf-8", "replace")
    yield Spot(at, 8, f"length of {what} {text[:40]}")
    if length:
        yield Spot(at + 8, length, f"text of {what} {text[:40]}")
    return text, at + 8 + length
