"""Headers of safetensors files that say something else than their bytes hold."""

from __future__ import annotations

import json
import random
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

from campaign.files.json_damage import junk
from campaign.files.told import Told, shown

Header = dict[str, Any]
DTYPES = ("F64", "F32", "F16", "BF16", "I64", "I32", "I8", "U8", "BOOL", "F8_E4M3", "C64", "F4",
          "f32", "X9", "")  # fmt: skip
_TWIN = "\0twin\0"


def header_damage(file: Path, chance: random.Random) -> Told:
    """One change of the header; the bytes behind it stay."""
    content = file.read_bytes()
    try:
        length = struct.unpack("<Q", content[:8])[0]
        header = json.loads(content[8 : 8 + length])
        rest = content[8 + length :]
        entries = [key for key, value in header.items() if key != "__metadata__" and value["shape"]]
        name = chance.choice(entries)
    except (ValueError, LookupError, TypeError, RecursionError, struct.error):
        return Told("left as it was")
    if chance.random() < 0.2:
        said, what = _length(len(content), chance), "the length of the header"
        file.write_bytes(struct.pack("<Q", said) + content[8:])
        return Told(f"{what} is {said} instead of {length}", "a refusal")
    told = chance.choice(_CHANGES)(header, name, chance)
    text = json.dumps(header, default=str).replace(json.dumps(_TWIN), json.dumps(name), 1).encode()
    text += b" " * (-len(text) % 8)
    file.write_bytes(struct.pack("<Q", len(text)) + text + rest)
    return told


def _length(size: int, chance: random.Random) -> int:
    return chance.choice((0, 1, size, size - 8, size + 1, 2**31, 2**40, 2**63, 2**64 - 1))


Change = Callable[[Header, str, random.Random], Told]


def _dtype(header: Header, name: str, chance: random.Random) -> Told:
    old = header[name]["dtype"]
    header[name]["dtype"] = new = chance.choice(DTYPES)
    return Told(f"{name}: dtype {new!r}", "nothing" if new == old else "a refusal")


def _dtype_that_fits(header: Header, name: str, chance: random.Random) -> Told:
    """Another type of as many bytes: the same bytes are other numbers."""
    same = {"F32": ("I32", "U32"), "F16": ("BF16", "I16"), "BF16": ("F16",), "F64": ("I64", "C64")}
    old = header[name]["dtype"]
    header[name]["dtype"] = new = chance.choice(same.get(old, (old,)))
    return Told(f"{name}: dtype {new!r}, which has as many bytes")


def _shape(header: Header, name: str, chance: random.Random) -> Told:
    old = header[name]["shape"]
    forms = [
        [*old[:-1], old[-1] + 1], [], [0], [-n for n in old], [float(n) for n in old], [2**63],
        [2**32, 2**32], [*old, 1], [True], [str(n) for n in old], {"0": old[0]}, None, 7,
        [10**400], [1] * 200, [10**9, 10**9, 0],
    ]  # fmt: skip
    header[name]["shape"] = new = chance.choice(forms)
    return Told(f"{name}: shape {shown(new)}", "a refusal")


def _other_shape(header: Header, name: str, chance: random.Random) -> Told:
    """As many numbers in another shape."""
    old = header[name]["shape"]
    header[name]["shape"] = new = chance.choice((old[::-1], [*old, 1], [1, *old]))
    return Told(f"{name}: shape {new}", "nothing" if new == old else "a refusal")


def _offsets(header: Header, name: str, chance: random.Random) -> Told:
    start, end = header[name]["data_offsets"]
    forms = [
        [start + 4, end + 4], [start, end - 4], [start, end + 4], [end, start], [0, end - start],
        [-1, end], [start, 2**63], [start], [], None, [start, end, end], [float(start), end],
        [True, end], ["0", str(end)], [2**64, 2**64 + end - start], {}, [start, 1e999],
    ]  # fmt: skip
    new = chance.choice(forms)
    owed = new != [start, end]
    header[name]["data_offsets"] = new
    return Told(f"{name}: offsets {shown(new)}", "a refusal" if owed else "nothing")


def _entry(header: Header, name: str, chance: random.Random) -> Told:
    key = chance.choice(("dtype", "shape", "data_offsets", "more"))
    match chance.randrange(3):
        case 0:
            header[name].pop(key, None)
            return Told(f"{name}: no {key}", "nothing" if key == "more" else "a refusal")
        case 1:
            header[name] = new = junk(chance)
            return Told(f"{name} is {shown(new)}", "a refusal")
    header[name]["more"] = junk(chance)
    return Told(f"{name} has a key more")


def _names(header: Header, name: str, chance: random.Random) -> Told:
    match chance.randrange(4):
        case 0:
            del header[name]
            return Told(f"without {name}, whose bytes are there", "a refusal")
        case 1:
            header[_TWIN] = dict(header[name])
            return Told(f"{name} comes twice", "nothing")
        case 2:
            header["another"] = dict(header[name])
            return Told(f"'another' shares the bytes of {name}", "a word")
    header["\ud800"] = header.pop(name)
    return Told(f"{name} is called by half a character", "a refusal")


def _metadata(header: Header, name: str, chance: random.Random) -> Told:
    new = chance.choice(({"format": "tf"}, {"format": "flax"}, {}, {"a": 1}, [], None, "pt", 7,
                         {"x": "y" * 100_000}, {"format": "nobody"}, {"format": None}))  # fmt: skip
    header["__metadata__"] = new
    return Told(f"__metadata__ is {shown(new)}")


def _swapped(header: Header, name: str, chance: random.Random) -> Told:
    other = chance.choice([key for key in header if key != "__metadata__"])
    one, two = header[name], header[other]
    header[name], header[other] = two, one
    fits = one["shape"] == two["shape"] and one["dtype"] == two["dtype"]
    return Told(f"{name} and {other} change places", "nothing" if fits else "a refusal")


def _nothing_left(header: Header, name: str, chance: random.Random) -> Told:
    header.clear()
    return Told("no tensor at all", "a refusal")


_CHANGES: list[Change] = [
    _dtype, _dtype_that_fits, _shape, _shape, _other_shape, _offsets, _offsets, _entry, _names,
    _names, _metadata, _swapped, _nothing_left,
]  # fmt: skip
