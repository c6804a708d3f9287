"""The header of a GGUF file: what it says of a model, read without its weights. No torch, no numpy.

A file is the word GGUF, counts, key-value pairs, the names, shapes and types of its tensors, and
then their bytes. Everything is little-endian. Source: github.com/ggml-org/ggml/docs/gguf.md.
"""

from __future__ import annotations

import math
import mmap
import struct
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from harness.errors import ModelError

Value = int | float | bool | str | Sequence["Value"]

TYPES = {
    0: ("F32", 1, 4), 1: ("F16", 1, 2), 2: ("Q4_0", 32, 18), 3: ("Q4_1", 32, 20),
    6: ("Q5_0", 32, 22), 7: ("Q5_1", 32, 24), 8: ("Q8_0", 32, 34), 9: ("Q8_1", 32, 40),
    10: ("Q2_K", 256, 84), 11: ("Q3_K", 256, 110), 12: ("Q4_K", 256, 144), 13: ("Q5_K", 256, 176),
    14: ("Q6_K", 256, 210), 15: ("Q8_K", 256, 292), 16: ("IQ2_XXS", 256, 66),
    17: ("IQ2_XS", 256, 74), 18: ("IQ3_XXS", 256, 98), 19: ("IQ1_S", 256, 50),
    20: ("IQ4_NL", 32, 18), 21: ("IQ3_S", 256, 110), 22: ("IQ2_S", 256, 82),
    23: ("IQ4_XS", 256, 136), 24: ("I8", 1, 1), 25: ("I16", 1, 2), 26: ("I32", 1, 4),
    27: ("I64", 1, 8), 28: ("F64", 1, 8), 29: ("IQ1_M", 256, 56), 30: ("BF16", 1, 2),
    34: ("TQ1_0", 256, 54), 35: ("TQ2_0", 256, 66), 39: ("MXFP4", 32, 17), 40: ("NVFP4", 64, 36),
    41: ("Q1_0", 128, 18),
}  # fmt: skip
"""By its number, a type's name, how many numbers a block of it holds, and the block's bytes."""
_SCALARS = {
    0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d",
}  # fmt: skip
"""By the number of a value's type, what `struct` calls it. 8 is a text, 9 an array."""
_TEXT, _ARRAY = 8, 9
_ALIGNMENT = 32
_LONGEST = 1 << 20
"""Arrays of more entries are left unread. Of arrays of texts the length alone is kept."""


@dataclass(frozen=True)
class Tensor:
    """A tensor of the file. `shape` is written as torch does, the slowest dimension first."""

    name: str
    shape: tuple[int, ...]
    type: str
    """How it is stored: `F32`, `Q4_1`, …; the number of a type that is not known here."""

    @property
    def count(self) -> int:
        """How many numbers it has."""
        return math.prod(self.shape)


@dataclass(frozen=True)
class Header:
    """What a GGUF file says before its weights begin."""

    values: Mapping[str, Value]
    """The key-value pairs; an array of texts is its length."""
    tensors: tuple[Tensor, ...]

    @property
    def architecture(self) -> str:
        """What llama.cpp calls the architecture: `llama`, `qwen2`, …"""
        return str(self.values["general.architecture"])

    def of_model(self, key: str) -> Value | None:
        """A value that stands under the architecture's name, such as `block_count`."""
        return self.values.get(f"{self.architecture}.{key}")

    def stored(self) -> dict[str, int]:
        """How many numbers are stored in each type, most first."""
        counts: Counter[str] = Counter()
        for tensor in self.tensors:
            counts[tensor.type] += tensor.count
        return dict(counts.most_common())


def read_header(file: Path, what: str) -> Header:
    """The header of a file; ModelError where it is no GGUF file, or is not all there."""
    try:
        stat = file.stat()
    except OSError as error:
        raise _unreadable(what, error) from None
    return _read(file, what, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns)


@cache
def _read(file: Path, what: str, size: int, *changed: int) -> Header:
    """`changed` are times that make a file that was written anew another one."""
    if size < 4:
        raise _no_gguf(what)
    try:
        with (
            file.open("rb") as stream,
            mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as data,
        ):
            if data[:4] != b"GGUF":
                raise _no_gguf(what)
            return _Reader(data, size).header()
    except (struct.error, _Broken) as error:
        why = str(error) if isinstance(error, _Broken) else f"it ends after {size} bytes"
        raise ModelError(
            f"{what}: it is no whole GGUF file ({why}). Allowed: version 2 or 3, little-endian,"
            " all of it. Download it again."
        ) from None
    except OSError as error:
        raise _unreadable(what, error) from None


def _unreadable(what: str, error: OSError) -> ModelError:
    return ModelError(
        f"{what}: it cannot be read ({error.strerror or error}). Allowed: a GGUF file. Copy or"
        " download it again, or change what the task says."
    )


def _no_gguf(what: str) -> ModelError:
    return ModelError(
        f"{what}: it is no GGUF file: it does not begin with the word GGUF. Allowed: a file that"
        " llama.cpp reads. A folder of transformers is given as path."
    )


class _Broken(Exception):
    """What is wrong with the bytes."""


class _Reader:
    """Reads a header from its beginning to its end."""

    def __init__(self, data: mmap.mmap, size: int) -> None:
        self._data = data
        self._size = size
        self._at = 4

    def header(self) -> Header:
        """Everything before the weights; _Broken where these don't fit the file's size."""
        (version,) = self._unpack("<I")
        if version not in (2, 3):
            raise _Broken(f"its version is {version}")
        tensors, pairs = self._unpack("<QQ")
        values: dict[str, Value] = {}
        for _ in range(pairs):
            key = self._text()
            (kind,) = self._unpack("<I")
            values[key] = self._value(kind)
        if not isinstance(values.get("general.architecture"), str):
            raise _Broken("it does not say general.architecture")
        found = [self._tensor() for _ in range(tensors)]
        alignment = values.get("general.alignment", _ALIGNMENT)
        if not isinstance(alignment, int) or alignment < 1:
            raise _Broken(f"its alignment is {alignment!r}")
        start = -(-self._at // alignment) * alignment
        end = max((start + offset + (_bytes(tensor) or 0) for tensor, offset in found), default=0)
        unknown = any(_bytes(tensor) is None for tensor, _ in found)
        # The last tensor may be filled up like the others; more behind it is a file that was
        # changed, and its tensors perhaps moved.
        padded = -(-end // alignment) * alignment
        if end > self._size or (self._size not in (end, padded) and found and not unknown):
            raise _Broken(f"it should have {end} bytes and has {self._size}")
        _apart(found, alignment)
        return Header(values, tuple(tensor for tensor, _ in found))

    def _unpack(self, form: str) -> tuple[int, ...]:
        found = struct.unpack_from(form, self._data, self._at)
        self._at += struct.calcsize(form)
        return found

    def _skip(self, count: int) -> None:
        self._at += count
        if self._at > self._size:
            raise _Broken(f"it ends after {self._size} bytes, in its header")

    def _text(self) -> str:
        (length,) = self._unpack("<Q")
        start = self._at
        self._skip(length)
        return self._data[start : self._at].decode("utf-8", "replace")

    def _value(self, kind: int) -> Value:
        if kind == _TEXT:
            return self._text()
        if kind == _ARRAY:
            return self._array()
        if kind not in _SCALARS:
            raise _Broken(f"it has a value of the unknown type {kind}")
        return self._unpack(f"<{_SCALARS[kind]}")[0]

    def _array(self) -> Value:
        kind, count = self._unpack("<IQ")
        if kind in _SCALARS and count <= _LONGEST:
            return self._unpack(f"<{count}{_SCALARS[kind]}")
        if kind in _SCALARS:
            self._skip(count * struct.calcsize(_SCALARS[kind]))
            return count
        if kind != _TEXT:
            raise _Broken(f"it has an array of the unknown type {kind}")
        for _ in range(count):  # texts have a length each, so that none can be passed over unread
            (length,) = struct.unpack_from("<Q", self._data, self._at)
            self._at += 8 + length
        self._skip(0)
        return count

    def _tensor(self) -> tuple[Tensor, int]:
        name = self._text()
        (dimensions,) = self._unpack("<I")
        shape = self._unpack(f"<{dimensions}Q") if dimensions <= 8 else None
        if shape is None:
            raise _Broken(f"its tensor {name[:60]!r} has {dimensions} dimensions")
        kind, offset = self._unpack("<IQ")
        known = TYPES[kind][0] if kind in TYPES else str(kind)
        return Tensor(name, tuple(reversed(shape)), known), offset


def _apart(found: Sequence[tuple[Tensor, int]], alignment: int) -> None:
    """_Broken where two tensors share bytes, or one begins where none may."""
    free = 0
    for tensor, offset in sorted(found, key=lambda one: one[1]):
        name = f"its tensor {tensor.name[:60]!r} begins at {offset}"
        if offset % alignment:
            raise _Broken(f"{name}, which is no multiple of {alignment}")
        if offset < free:
            raise _Broken(f"{name}, and the one before it ends at {free}")
        free = offset + (_bytes(tensor) or 0)


_SIZES = {name: (block, size) for name, block, size in TYPES.values()}


def _bytes(tensor: Tensor) -> int | None:
    """The bytes of a tensor; None for a type that is not known here."""
    if tensor.type not in _SIZES:
        return None
    block, size = _SIZES[tensor.type]
    return tensor.count // block * size
