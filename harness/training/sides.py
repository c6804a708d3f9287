"""The two sides of a training: the model as it is now, and the base that it is held against."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor

from harness.contract import Activations, Model, Native, Site, Tokens, Wrapping
from harness.errors import UsageError
from harness.training.adapter import adapted, bare, check_is_base, switched_off
from harness.training.asked import BASE, IN_MEMORY, TUNED
from harness.training.sharded import check_whole
from harness.training.untouched import untouched


@dataclass(frozen=True)
class Sides:
    """What is compared, as bare objects."""

    model: Any
    """The model in training, without what peft puts around it."""
    base: Any
    """A second model that is the base; None where it is the model with its adapter off, or is
    loaded by the harness."""
    path: str | None
    """Where the base is to be loaded from; None where it is in memory."""
    layers: Sequence[Any]
    """The layers of the adapter whose being off makes the model its base; none with another base.
    """
    tokenizer: Any

    @property
    def bare(self) -> list[Any]:
        """The models in memory: all that must be left as they are."""
        return [one for one in (self.model, self.base) if one is not None]

    def tables(self, backend: str) -> dict[str, Mapping[str, Any]]:
        """The two models as a task names them."""
        tuned = {"backend": backend, "path": IN_MEMORY}
        if self.path is None:
            place = _place(self.base if self.base is not None else self.model)
            return {BASE: {"backend": backend, "path": place}, TUNED: tuned}
        first = next(self.model.parameters())
        like = {"device": str(first.device), "dtype": str(self.model.dtype).partition(".")[2]}
        return {BASE: {"backend": backend, "path": self.path, **like}, TUNED: tuned}

    def wrapped(self, backend: Wrapping) -> dict[str, Model]:
        """The models in memory as models of the harness, by name; UsageError where the two are on
        different devices."""
        with untouched(self.bare):
            tuned = backend.wrap(Native(self.model, self.tokenizer), "the model in training")
            if self.layers:
                check_is_base(self.model, self.layers)
                off = Checked(tuned, partial(switched_off, self.layers))
                return {BASE: cast(Model, off), TUNED: tuned}
            if self.base is None:
                return {TUNED: tuned}
            base = backend.wrap(Native(self.base, self.tokenizer), "its base")
        if base.device != tuned.device:
            raise UsageError(
                f"base: is on {base.device}, the model in training on {tuned.device}. Allowed: one "
                f'device for both. Call base.to("{tuned.device}") before the training.'
            )
        return {BASE: cast(Model, Checked(base)), TUNED: tuned}


def sides(model: Any, tokenizer: Any, base: Any) -> Sides:
    """The two sides of a training; UsageError where there is no base to hold the model against.

    `base` is a model, the place of one, or None: then it is the model with its adapter off.
    """
    hf = bare(model)
    check_whole(hf)
    if isinstance(base, (str, Path)):
        path = str(Path(base).expanduser().absolute()) if Path(base).is_dir() else str(base)
        return Sides(hf, None, path, (), tokenizer)
    if base is not None:
        other = bare(base)
        if other is hf:
            raise UsageError(
                "base: is the model in training itself, so nothing would ever change. Allowed: a "
                "second model, or nothing where an adapter is trained. Load the base once more."
            )
        return Sides(hf, other, None, (), tokenizer)
    layers = adapted(hf)
    if not layers:
        raise UsageError(
            "base: the model has no adapter, so all of its weights train and nothing is left of "
            "its base. Allowed: a second model, or the folder or hub id of one. Give the model "
            "before the training as base = …."
        )
    return Sides(hf, None, None, layers, tokenizer)


def _place(hf: Any) -> str:
    """Where a model in memory came from; `IN_MEMORY` where it does not say, or that is gone."""
    name = str(getattr(hf, "name_or_path", "") or "")
    if name and Path(name).is_dir():
        return str(Path(name).absolute())
    return name if re.fullmatch(r"[\w-][\w.-]*/[\w.-]+", name) else IN_MEMORY


class Checked:
    """A base that reads in a state of its own, such as with its adapter off, and is watched: what
    it gives for the same tokens must stay the same to the bit. Else it is the model that it reads.
    """

    def __init__(
        self, model: Model, state: Callable[[], AbstractContextManager[None]] | None = None
    ) -> None:
        self._model = model
        self._state = state
        self._seen: dict[object, int] = {}
        self.changed = False
        """Whether it has given other numbers than at first."""

    def __getattr__(self, name: str) -> Any:
        # While an object is copied it has no fields yet, and looking for `_model` would never end.
        if name == "_model":
            raise AttributeError(name)
        return getattr(self._model, name)

    def activations(
        self, tokens: Sequence[Tokens], sites: Sequence[Site], *, logits: bool = False
    ) -> Activations:
        """As the model's own, in the state of the base."""
        if self._state is None:
            found = self._model.activations(tokens, sites, logits=logits)
        else:
            with self._state():
                found = self._model.activations(tokens, sites, logits=logits)
        key = (tuple(one.ids for one in tokens), tuple(sites))
        bits = checksum(found.sites[site] for site in sites)
        self.changed |= self._seen.setdefault(hash(key), bits) != bits
        return found


_BITS = {1: torch.int8, 2: torch.int16, 4: torch.int32, 8: torch.int64}


def checksum(tensors: Iterable[Tensor]) -> int:
    """A number that differs where any bit of these tensors does, but for one chance in 2⁶⁴: the
    sum of all numbers, read as integers and each scrambled with its place. Quick on any device."""
    total = 0
    for number, tensor in enumerate(tensors, 1):
        bits = tensor.contiguous().view(_BITS[tensor.element_size()]).flatten().long()
        places = torch.arange(1, len(bits) + 1, device=bits.device)
        mixed = (bits ^ (places * -7046029254386353131)) * -4417276706812531889
        total += number * int((mixed ^ (mixed >> 29)).sum().item())
    return total & (2**64 - 1)
