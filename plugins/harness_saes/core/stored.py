"""How a file stores an SAE: under which names, in which shapes, transposed or not."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from harness.errors import ModelError, listed
from harness_saes.core.config import Config

if TYPE_CHECKING:
    from torch import Tensor

_FLOATS = ("F32", "BF16", "F16", "F64")
_INTEGERS = ("I64", "I32", "I16", "I8", "U8")


@dataclass(frozen=True)
class Stored:
    """One tensor of a file: its type as safetensors writes it (`F32`, `BF16`), and its shape."""

    dtype: str
    shape: tuple[int, ...]


@dataclass(frozen=True)
class Entry:
    """One tensor that a format expects in a file."""

    shape: tuple[int, ...]
    """As the file has it."""
    name: str | None = None
    """What `LinearSae` calls it; None for a tensor that decides no number."""
    turned: bool = False
    """Whether the file has it transposed."""
    optional: bool = False
    integer: bool = False


Layout = Mapping[str, Entry]
"""The tensors that a format expects, by their names in the file."""


@dataclass(frozen=True)
class Inspected:
    """What the files of one SAE say before a weight is read; configuration and header agree."""

    weights: Path
    """The file that holds the tensors."""
    config: Config
    layout: Layout


def shapes_of(d_in: int, d_sae: int, d_out: int | None = None) -> dict[str, tuple[int, ...]]:
    """The shape of every tensor that `LinearSae` knows; an SAE has some of them."""
    out = d_in if d_out is None else d_out
    return {
        "W_enc": (d_in, d_sae),
        "W_dec": (d_sae, out),
        "W_skip": (out, d_in),
        "b_dec": (out,),
        "topk_threshold": (),
        **dict.fromkeys(("b_enc", "threshold", "b_gate", "b_mag", "r_mag"), (d_sae,)),
    }


def layout_of(
    names: Mapping[str, str],
    d_in: int,
    d_sae: int,
    d_out: int | None = None,
    *,
    turned: Collection[str] = (),
) -> dict[str, Entry]:
    """The tensors that a format expects: `names` has those of `LinearSae` by the file's.

    `turned` are those that the file has transposed, beside the weights of torch Linears.
    """
    layout = {}
    for name, ours in names.items():
        flip, shape = (
            name in turned or name.endswith(".weight"),
            shapes_of(d_in, d_sae, d_out)[ours],
        )
        layout[name] = Entry(shape[::-1] if flip else shape, ours, turned=flip)
    return layout


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
    """The tensors as `LinearSae` takes them: under its names, transposed where the file is.

    Tensors that decide no number are left out.
    """
    return {
        entry.name: tensors[name].T if entry.turned else tensors[name]
        for name, entry in layout.items()
        if entry.name is not None and name in tensors
    }


def length(found: Mapping[str, Stored], name: str, where: str) -> int:
    """The length of a vector of a file, such as a bias, whose length tells the SAE's width.

    Raises ModelError where it is no vector. 1 where it is missing: `check_layout` refuses such a
    file, with all that is missing.
    """
    if name not in found:
        return 1
    shape = found[name].shape
    if len(shape) != 1 or shape[0] < 1:
        raise ModelError(f"{where}: {name} is {list(shape)}. Expected a vector.")
    return shape[0]
