"""Where the numbers of a tensor lie: in which file, in which state of it, under which name.

A note of it is put on the storage that a file was mapped or read into. Views of the storage have
it, too (a transposed tensor, one under another name); whatever holds other numbers has a storage
of its own, and no note.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from harness.store.known_files import FileState, state_of

if TYPE_CHECKING:
    from torch import Tensor

_NOTE = "_harness_origin"
V = TypeVar("V")


@dataclass(frozen=True)
class Origin:
    """The numbers of one tensor, as they lie in a file."""

    file: FileState
    numbers: str
    """Which of them, and in what form: the same text in the same state of the file is the same
    tensor, to the bit."""


@dataclass(frozen=True)
class _Note:
    """What is known of a storage: where it was read from, or as what tensor it was copied."""

    origin: Origin
    version: int
    """How often torch had changed the tensor by then; its views count with it."""
    copied_as: str | None = None
    """Of a copy: the form of the one tensor that is `origin`."""


def state_before(file: Path) -> FileState | None:
    """The state of a file that is about to be read; None where a change would not show, or there
    is no such file."""
    now = time.time_ns()
    try:
        state = state_of(file)
    except OSError:  # whoever reads it will say so
        return None
    return state if state.settled(now) else None


def read_from(file: Path, before: FileState | None, stored: dict[str, V]) -> dict[str, V]:
    """What was read from a file that was in this state before: its tensors, with their origins.

    Of tensors that share a storage, all count as parts of the first. Nothing is noted of a file
    that has changed since, nor of a link that points to another by now.
    """
    from torch import Tensor

    if before is not None and state_before(file) == before:
        for name, tensor in stored.items():
            # Whether one of torch.inference_mode is changed later, torch does not count.
            if isinstance(tensor, Tensor) and not tensor.is_inference():
                storage = tensor.untyped_storage().__dict__
                storage.setdefault(_NOTE, _Note(Origin(before, name), tensor._version))
    return stored


def origin_of(tensor: Tensor) -> Origin | None:
    """Where the numbers of a tensor lie; None where they lie in no file, or were changed since."""
    note: _Note | None = tensor.untyped_storage().__dict__.get(_NOTE)
    if note is None or tensor.is_inference() or tensor._version != note.version:
        return None
    if note.copied_as is None:
        return Origin(note.origin.file, f"{note.origin.numbers} {_form(tensor)}")
    return note.origin if note.copied_as == _form(tensor) else None


def on_device(tensor: Tensor, device: str) -> Tensor:
    """The tensor on a device, with its origin."""
    origin, moved = origin_of(tensor), tensor.to(device)
    if origin is not None and moved.untyped_storage() is not tensor.untyped_storage():
        note = _Note(origin, moved._version, _form(moved))
        moved.untyped_storage().__dict__[_NOTE] = note
    return moved


def _form(tensor: Tensor) -> str:
    """How a tensor reads its storage."""
    place = (list(tensor.shape), list(tensor.stride()), tensor.storage_offset())
    return f"{tensor.dtype} {place}"
