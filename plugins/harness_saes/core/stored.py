"""How a format stores an SAE: under which names, in which shapes, which way round."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from harness.errors import ModelError, listed
from harness_saes.files.header import Stored

if TYPE_CHECKING:
    from torch import Tensor

_FLOATS = ("F32", "BF16", "F16", "F64")
_INTEGERS = ("I64", "I32", "I16", "I8", "U8")


@dataclass(frozen=True)
class Entry:
    """One tensor of a file."""

    shape: tuple[int, ...]
    """As the file has it."""
    name: str | None = None
    """What the core calls it; None for one that decides no number."""
    turned: bool = False
    """Whether the file has it transposed."""
    optional: bool = False
    integer: bool = False


Layout = Mapping[str, Entry]
"""By the names in the file."""


def check_layout(found: Mapping[str, Stored], layout: Layout, where: str, what: str) -> None:
    """Refuses a file with a missing, additional or misshapen tensor, or one of another type.

    `where` begins the messages; `what` says what the shapes follow from, such as `d_in 8 and 32
    latents in cfg.json`.
    """
    needed = {name for name, entry in layout.items() if not entry.optional}
    if missing := needed - found.keys():
        raise ModelError(
            f"{where}: {listed(missing)} not found. Expected {listed(needed)}; "
            f"found {listed(found)}."
        )
    if extra := found.keys() - layout.keys():
        raise ModelError(
            f"{where}: {listed(extra)} is one tensor too many. Expected {listed(needed)} ({what})."
        )
    for name, stored in found.items():
        entry = layout[name]
        if stored.shape != entry.shape:
            turned = ", which is transposed" if stored.shape == entry.shape[::-1] else ""
            raise ModelError(
                f"{where}: {name} is {list(stored.shape)}{turned}. "
                f"Expected {list(entry.shape)} ({what})."
            )
        allowed = _INTEGERS if entry.integer else _FLOATS
        if stored.dtype not in allowed:
            raise ModelError(
                f"{where}: {name} is stored as {stored.dtype}. Expected {', '.join(allowed)}."
            )


def canonical(tensors: Mapping[str, Tensor], layout: Layout) -> dict[str, Tensor]:
    """The tensors under the core's names and the core's way round; others are left out."""
    return {
        entry.name: tensors[name].T if entry.turned else tensors[name]
        for name, entry in layout.items()
        if entry.name is not None and name in tensors
    }
