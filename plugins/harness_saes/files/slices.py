"""Parts of a tensor of a safetensors file: the rest of a large file is never read."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from harness.errors import ModelError
from harness_saes.core.origin import read_from, state_before

if TYPE_CHECKING:
    from torch import Tensor

Index = Sequence[int | None]
"""For each of the first axes a number that is taken, or None for all of it."""


def load_slice(file: Path, name: str, index: Index = ()) -> Tensor:
    """A tensor, or what stands at some place of its axes; ModelError where it cannot be read.

    `index` (None, 2) of a tensor [a, b, c] gives [a, c], the numbers at 2 of its second axis.
    """
    from safetensors import SafetensorError, safe_open

    state = state_before(file)
    taken = tuple(slice(None) if one is None else slice(one, one + 1) for one in index)
    try:
        with safe_open(file, framework="pt") as stored:
            if not taken:
                whole: Tensor = stored.get_tensor(name)
                return read_from(file, state, {name: whole})[name]
            part: Tensor = stored.get_slice(name)[taken]
    except (SafetensorError, OSError) as error:
        raise ModelError(f"{file}: cannot be read ({error}). Copy it again.") from error
    for axis in range(len(index) - 1, -1, -1):
        if index[axis] is not None:
            part = part.squeeze(axis)
    which = f"{name} {list(index)}"
    return read_from(file, state, {which: part})[which]
