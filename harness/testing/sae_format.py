"""Laws that every SAE format keeps: of its files, and of the SAE that it loads."""

from __future__ import annotations

import os
import pickle  # to write the trap that no format may spring; nothing is unpickled here
import shutil
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import fields
from pathlib import Path
from typing import IO, Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from harness.contract import Place, SaeFormat, SaeOptions
from harness.errors import HarnessError
from harness.task.validate import marks
from harness.testing.sae import Reference, check_sae
from harness.testing.support.laws import law


def check_sae_format(
    make: Callable[[Any], SaeFormat],
    options: SaeOptions,
    *,
    reference: Reference,
    x: Float[Tensor, "tokens d_in"] | None = None,
    rtol: float = 1e-5,
) -> None:
    """Raises AssertionError, naming the law, where a format or its SAE breaks one.

    `make` is the format's class and `options` where a small SAE is, in local files. `reference` is
    that SAE written down once more, in numpy and float64, from its source's formula: a wrong bias
    cannot be seen without one. `x` and `rtol` are those of `check_sae`, whose laws are checked too.

    Laws: described as it is loaded · loaded twice, the same fingerprint · no pickle is opened (a
    file that would run code when unpickled is put in the place of each) · a bad file is refused in
    words (one that is cut off, empty or a pickle: by an error of `harness.errors`).
    """
    sae = make(options).load("cpu")
    described = options.describe()
    for field in fields(described):
        before, now = getattr(described, field.name), getattr(sae.facts, field.name)
        what = f"{field.name} is {before} before loading and {now} after"
        law(before in (None, now), "described as it is loaded", what)
    again = make(options).load("cpu")
    same = sae.fingerprint == again.fingerprint and bool(sae.fingerprint)
    law(same, "loaded twice, the same fingerprint", f"{sae.fingerprint} and {again.fingerprint}")
    check_sae(sae, reference, x, rtol=rtol)
    with tempfile.TemporaryDirectory() as scratch:
        for number, (moved, file) in enumerate(_copies(options, Path(scratch))):
            _refused(make, moved, file, Path(scratch) / f"ran{number}")


def _copies(options: SaeOptions, scratch: Path) -> Iterator[tuple[SaeOptions, Path]]:
    """For each local file of the options, options of a copy of all files, and that file there."""
    for key, mark in marks(type(options)):
        source = getattr(options, key)
        if not isinstance(mark, Place) or not isinstance(source, str) or not Path(source).exists():
            continue
        origin = Path(source)
        inside = sorted(file for file in (origin, *origin.rglob("*")) if file.is_file())
        for number, file in enumerate(inside):
            copy = scratch / f"{key}{number}" / origin.name
            copy.parent.mkdir()
            if origin.is_dir():
                shutil.copytree(origin, copy)
            else:
                shutil.copyfile(origin, copy)
            moved = options.model_copy(update={key: str(copy)})
            yield moved, copy / file.relative_to(origin)


class _Trap:
    """Makes a folder when it is unpickled."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __reduce__(self) -> tuple[Callable[[str], None], tuple[str]]:
        return os.mkdir, (str(self.folder),)


def _refused(make: Callable[[Any], SaeFormat], options: SaeOptions, file: Path, ran: Path) -> None:
    """Bad content of the file is refused; a pickle runs no code, in whichever shape it comes."""
    kept = file.read_bytes()
    trap = np.empty(1, dtype=object)
    trap[0] = _Trap(ran)
    contents: dict[str, Callable[[IO[bytes]], object]] = {
        "as a pickle": lambda out: pickle.dump(_Trap(ran), out),
        "as torch's .pt": lambda out: torch.save({"W_dec": _Trap(ran)}, out),
        "as numpy's .npz": lambda out: np.savez(out, W_dec=trap),
        "cut off": lambda out: out.write(kept[: len(kept) // 2]),
        "empty": lambda out: None,
    }
    for content, write in contents.items():
        with file.open("wb") as out:
            write(out)
        what = f"{file.name} {content}"
        _load(make, options, what)
        law(not ran.exists(), "no pickle is opened", f"{what} ran its code")
    file.write_bytes(kept)


def _load(make: Callable[[Any], SaeFormat], options: SaeOptions, what: str) -> None:
    """Loads what is no SAE any more: that may go well, where the file does not matter."""
    try:
        make(options).load("cpu")
    except HarnessError:
        pass  # refused in words, as it should be
    except Exception as error:
        raise AssertionError(
            f"law broken: a bad file is refused in words: {what} raises {error!r}. "
            "Raise harness.errors.ModelError, with what is wrong and what to do"
        ) from error
