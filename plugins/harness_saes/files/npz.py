"""Files of numpy.savez: headers without an array, arrays without a pickle."""

from __future__ import annotations

import math
import zipfile
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from harness.errors import ModelError
from harness_saes.core.origin import read_from, state_before
from harness_saes.core.stored import Stored
from harness_saes.files.header import BYTES, LONGEST_NAME, broken, first_line, unreadable

if TYPE_CHECKING:
    from torch import Tensor

_broken = partial(broken, ".npz file")
_NAMES = {"f8": "F64", "f4": "F32", "f2": "F16", "i8": "I64", "i4": "I32", "u1": "U8", "b1": "BOOL"}


def read_npz_header(file: Path) -> dict[str, Stored]:
    """The arrays of an .npz file by name, without torch and without a weight.

    Raises ModelError where the file is missing, cut off, something else, or holds Python objects,
    which would have to be unpickled.
    """
    try:
        with zipfile.ZipFile(file) as archive:
            if any(len(name) > LONGEST_NAME for name in archive.namelist()):
                raise _broken(file, f"it has a name of more than {LONGEST_NAME} characters")
            return {
                info.filename.removesuffix(".npy"): _stored(file, archive, info)
                for info in archive.infolist()
            }
    except OSError as error:
        raise unreadable(file, error) from error
    except ModelError:
        raise
    except Exception as error:  # zipfile raises almost anything for a damaged file
        raise _broken(file, f"it is cut off or damaged ({first_line(error)})") from error


def load_npz(file: Path) -> dict[str, Tensor]:
    """The arrays as tensors on the CPU; ModelError as `read_npz_header`."""
    read_npz_header(file)
    import numpy as np
    import torch

    state = state_before(file)
    try:
        with np.load(file, allow_pickle=False) as arrays:
            found = {name: arrays[name] for name in arrays.files}
    except Exception as error:
        raise _broken(file, f"it is cut off or damaged ({first_line(error)})") from error
    # torch knows one byte order, whatever machine wrote the file.
    tensors = {
        name: torch.from_numpy(np.ascontiguousarray(array, array.dtype.newbyteorder("=")))
        for name, array in found.items()
    }
    return read_from(file, state, tensors)


def _stored(file: Path, archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> Stored:
    """Type and shape of one member, whose data must be as long as both need."""
    from numpy.lib import format as npy

    name = info.filename.removesuffix(".npy")
    try:
        with archive.open(info) as member:
            version = npy.read_magic(member)
            read = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
            shape, _, dtype = read(member)
            start = member.tell()
    except (ValueError, TypeError) as error:
        raise _broken(file, f"{name} is no array ({first_line(error)})") from error
    if dtype.hasobject:
        raise ModelError(
            f"{file}: {name} holds Python objects, whose pickle could run code. It was not run. "
            "Expected arrays of numbers only."
        )
    kind = _NAMES.get(dtype.str[1:], dtype.str[1:])
    if kind in BYTES and info.file_size - start != math.prod(shape) * BYTES[kind]:
        raise _broken(file, f"{name} is {list(shape)} of {kind}, but has {info.file_size} bytes")
    return Stored(kind, tuple(shape))
