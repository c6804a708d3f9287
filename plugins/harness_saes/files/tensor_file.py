"""Any file of named tensors: safetensors, npz or torch's, told apart by the end of its name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from harness.errors import ModelError, listed
from harness_saes.files.header import load_safetensors, read_header
from harness_saes.files.npz import load_npz, read_npz_header
from harness_saes.files.pt_file import Contents, load_pt, read_pt


def _pt(file: Path) -> dict[str, Any]:
    return load_pt(file, str(file))


_TENSORS = {".safetensors": (read_header, load_safetensors), ".npz": (read_npz_header, load_npz)}
_PICKLED = (".pt", ".pth", ".bin")
"""Files of torch.save, which hold plain values, too."""
SUFFIXES = (*_TENSORS, *_PICKLED)


def read_contents(file: Path) -> Contents:
    """What a file of tensors holds, without torch and without a weight; nothing is unpickled.

    Raises ModelError for a name with another ending, and for a file that is not what its name
    says.
    """
    if file.suffix in _PICKLED:
        return read_pt(file)
    return Contents(_readers(file)[0](file), {})


def load_tensors(file: Path) -> Mapping[str, Any]:
    """The tensors of a file on the CPU, and its plain values; ModelError as `read_contents`."""
    return _pt(file) if file.suffix in _PICKLED else _readers(file)[1](file)


def _readers(file: Path) -> tuple[Callable[[Path], Any], Callable[[Path], Any]]:
    if file.suffix not in _TENSORS:
        raise ModelError(
            f"{file}: is no file of tensors by its name. Allowed: {listed(SUFFIXES)}. Rename it, "
            "or save its tensors with safetensors.torch.save_file."
        )
    return _TENSORS[file.suffix]
