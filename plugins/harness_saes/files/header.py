"""Safetensors files: the header is read by hand, without torch or a weight; weights by torch."""

from __future__ import annotations

import json
import math
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.errors import ModelError
from harness.text import for_terminal
from harness_saes.core.origin import read_from, state_before
from harness_saes.core.stored import Stored

if TYPE_CHECKING:
    from torch import Tensor

_LARGEST = 100_000_000
"""Bytes: the limit that safetensors itself puts on a header."""
LONGEST_NAME = 500
"""Characters of a tensor's name: messages quote it."""
MOST_AXES = 8
BYTES = {
    "F64": 8,
    "F32": 4,
    "F16": 2,
    "BF16": 2,
    "I64": 8,
    "I32": 4,
    "I16": 2,
    "I8": 1,
    "U8": 1,
    "BOOL": 1,
    "F8_E4M3": 1,
    "F8_E5M2": 1,
}


def read_header(file: Path) -> dict[str, Stored]:
    """The tensors of a safetensors file by name.

    Format: 8 bytes little-endian, the length of a JSON object, that object, the data.
    Raises ModelError where the file is missing, cut off or something else.
    """
    try:
        size = file.stat().st_size
        with file.open("rb") as stream:
            length = int.from_bytes(stream.read(8), "little")
            if size < 8 or not 2 <= length <= min(_LARGEST, size - 8):
                raise _broken(file, f"its {size} bytes do not hold the header they announce")
            header = json.loads(stream.read(length))
    except OSError as error:
        raise unreadable(file, error) from error
    except (ValueError, RecursionError) as error:  # the latter: lists in lists in lists
        raise _broken(file, "its header is no JSON") from error
    if not isinstance(header, dict):
        raise _broken(file, "its header is no JSON object")
    if any(len(name) > LONGEST_NAME for name in header):
        raise _broken(file, f"its header has a name of more than {LONGEST_NAME} characters")
    found = {name: _stored(file, name, e) for name, e in header.items() if name != "__metadata__"}
    end = max((entry[1] for entry in found.values()), default=0)
    if size != 8 + length + end:
        raise _broken(file, f"it has {size} bytes where its header describes {8 + length + end}")
    return {name: stored for name, (stored, _) in found.items()}


def load_safetensors(file: Path) -> dict[str, Tensor]:
    """The tensors of a safetensors file, mapped on the CPU; ModelError where it cannot be read."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    state = state_before(file)
    try:
        found: dict[str, Tensor] = load_file(file)
    except (SafetensorError, OSError) as error:
        raise ModelError(f"{file}: cannot be read ({error}). Copy it again.") from error
    return read_from(file, state, found)


def _stored(file: Path, name: str, entry: Any) -> tuple[Stored, int]:
    """A tensor and the end of its data; the length of the data must be what its shape needs."""
    try:
        dtype, shape = entry["dtype"], tuple(_size(n) for n in entry["shape"])
        begin, end = (_size(n) for n in entry["data_offsets"])
        if not isinstance(dtype, str) or len(dtype) > 16 or len(shape) > MOST_AXES:
            raise ValueError
    except (KeyError, TypeError, ValueError) as error:
        raise _broken(file, f"its header describes {name} in no known way") from error
    if dtype in BYTES and end - begin != math.prod(shape) * BYTES[dtype]:
        raise _broken(file, f"{name} is {list(shape)} of {dtype}, but has {end - begin} bytes")
    return Stored(dtype, shape), end


def _size(number: Any) -> int:
    """A length or a place in a file; ValueError for anything else, such as 1e999 or -1."""
    if type(number) is not int or not 0 <= number < 2**63:
        raise ValueError
    return number


def unreadable(file: Path, error: OSError) -> ModelError:
    """The error for a file that the system does not let us read, or that ends where it may not."""
    return ModelError(
        f"{file}: cannot be read ({error.strerror or error}). Allowed: a whole file of weights."
        " Copy or download it again, or change the path."
    )


def broken(kind: str, file: Path, what: str) -> ModelError:
    """The error for a file that is not, or not all of, what its name says."""
    return ModelError(f"{file}: {what}. Expected a whole {kind}. Copy or download it again.")


_broken = partial(broken, "safetensors file")


def first_line(error: Exception) -> str:
    """The first line of what an error says, as far as a message takes it."""
    return for_terminal((str(error).strip() or type(error).__name__).splitlines()[0])
