"""The numbers of tensors: whether all are finite, and a hash of them. Each is found once a file."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial

import torch
from torch import Tensor

from harness.store.known_files import in_pieces, known_files
from harness_saes.core.origin import Origin, origin_of

_CHUNK = 2**22
"""Numbers whose sum is looked at: where it is not finite, so many are looked at one by one."""


def finite(tensor: Tensor) -> bool:
    """Whether all numbers of a tensor are finite: exact, in one pass at the speed of memory.

    One that is not finite spoils the sum that it is in. A sum of large numbers may overflow, too;
    then they are looked at one by one.
    """
    if not tensor.is_floating_point() or not tensor.numel():
        return True
    # As they lie in memory, however they are numbered.
    laid = tensor.permute(sorted(range(tensor.ndim), key=tensor.stride, reverse=True))
    rows = max(1, _CHUNK // max(1, math.prod(laid.shape[1:])))
    parts = torch.split(laid, rows) if laid.ndim else (laid,)
    wide = _wide(tensor)
    return all(
        bool(part.sum(dtype=wide).isfinite()) or bool(part.to(wide).isfinite().all())
        for part in parts
    )


def odd(tensor: Tensor) -> int:
    """How many numbers of a tensor are not finite."""
    return int((~tensor.to(_wide(tensor)).isfinite()).sum())


def _wide(tensor: Tensor) -> torch.dtype:
    """A type that holds all numbers of a tensor and can be asked whether they are finite: torch
    does not know that of types of one byte."""
    return torch.float64 if tensor.dtype == torch.float64 else torch.float32


def hash_of(told: str, tensors: Mapping[str, Tensor]) -> str:
    """The sha256 of a text and of tensors with their names, types and shapes, in order of names."""
    return found_once(["sha256", told], tensors, partial(_hashed, told, tensors))


def found_once(about: Sequence[str], tensors: Mapping[str, Tensor], find: Callable[[], str]) -> str:
    """What `find` gives of some tensors; remembered where most of their numbers lie in files.

    `about` is all else that it depends on, and the answer as `KnownFiles.fact` takes it. Tensors
    that lie in no file are hashed to look it up.
    """
    placed: dict[str, Origin] = {}
    for name, tensor in tensors.items():
        if (origin := origin_of(tensor)) is not None:
            placed[name] = origin
    others = {name: tensor for name, tensor in tensors.items() if name not in placed}
    if _bytes(others.values()) >= _bytes(tensors[name] for name in placed):
        return find()
    files = sorted({one.file for one in placed.values()}, key=lambda state: state.path)
    where = [f"{name} {files.index(one.file)} {one.numbers}" for name, one in placed.items()]
    return known_files().fact(files, [*about, *sorted(where), _hashed("", others)], find)


def _bytes(tensors: Iterable[Tensor]) -> int:
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)


def _hashed(told: str, tensors: Mapping[str, Tensor]) -> str:
    digest = hashlib.sha256(told.encode())
    for name in sorted(tensors):
        tensor = tensors[name].detach().contiguous().cpu()
        digest.update(f"{name} {tensor.dtype} {list(tensor.shape)}\n".encode())
        for piece in in_pieces(tensor.reshape(-1).view(torch.uint8).numpy().data):
            digest.update(piece)
    return digest.hexdigest()
