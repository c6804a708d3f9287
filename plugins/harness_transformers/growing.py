"""Keys and values of one block that grow in place, and whose rows can leave or be multiplied."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Int
from torch import Tensor
from transformers.cache_utils import DynamicLayer

from harness_transformers.memory import Memory


def room_for(tokens: int) -> int:
    """How many tokens a buffer holds that must hold so many: the next square number.

    So it is copied about √tokens times in all, and 1/√tokens of it is empty. It hangs on the tokens
    alone: all layers of a cache have the same room, however they came to it.
    """
    return (math.isqrt(tokens - 1) + 1) ** 2 if tokens else 0


class GrowingLayer(DynamicLayer):  # type: ignore[misc]
    """Keys and values in a buffer with room to spare, Float[Tensor, "row head token head_width"].

    transformers' own layer copies everything at every token. What this one hands out is the filled
    part of the buffer: the same numbers. Nobody looks at them once the next tokens have come.
    """

    def __init__(self, memory: Memory | None = None) -> None:
        super().__init__()
        self._memory = memory
        """Where buffers come from and go to on a CPU; None makes each anew."""
        self._buffers: tuple[Tensor, Tensor] | None = None
        self._among: _Among | None = None

    def update(self, keys: Tensor, values: Tensor, *_: Any, **__: Any) -> tuple[Tensor, Tensor]:
        """Appends the new tokens; returns everything so far."""
        old = self.get_seq_length()
        new = old + keys.shape[-2]
        if not self.is_initialized:
            self.lazy_initialization(keys, values)
            self._buffers = None
        if self._buffers is None or new > self._buffers[0].shape[-2] or self._moved():
            self._grow(keys, values, old, new)
        assert self._buffers is not None
        for buffer, part in zip(self._buffers, (keys, values), strict=True):
            buffer[..., old:new, :] = part
        self._fill(new)
        return self.keys, self.values

    def begin(self, keys: Tensor, values: Tensor) -> None:
        """Starts with these keys and values."""
        self.update(keys, values)

    def whole(self, rows: int, tokens: int) -> Whole:
        """Room for a batch of so many rows, each with so many tokens in the end, that is read in
        parts; what it has of them already stands there."""
        known = self.get_seq_length()
        if known:
            self._grow(self.keys, self.values, known, tokens)
            self._fill(known)
        return Whole(rows, tokens, known, self._buffers if known else None)

    def become(self, whole: Whole) -> None:
        """Goes on with a batch that was read in parts."""
        if whole.buffers is None:
            return  # a layer that keeps nothing of text
        if not self.is_initialized:
            self.lazy_initialization(*whole.buffers)
        self._buffers = whole.buffers
        self._fill(whole.tokens)

    def read_among(self, whole: Whole, rows: slice) -> None:
        """Goes on, in a cache that is empty yet, with these rows of a batch."""
        self._among = _Among(whole, rows)
        if whole.buffers is not None and whole.known:
            self.lazy_initialization(*whole.buffers)
            self._buffers = whole.buffers[0][rows], whole.buffers[1][rows]
            self._fill(whole.known)

    def reorder_cache(self, beam_idx: Int[Tensor, " kept"]) -> None:
        """Goes on with these rows, with room for more tokens beside them.

        Where rows from behind take the places of those that leave, nothing else is moved.
        """
        old = self.get_seq_length()
        if not old:
            return
        index = beam_idx.to(self.keys.device)
        ours = self._buffers is not None and not self._moved()
        again = ours and self._again(self.keys) is not None
        found = holes(index, len(self.keys)) if again else None
        if found is not None and self._buffers is not None:
            places, rows = found
            for x in (self.keys, self.values):
                x.index_copy_(0, places, x.index_select(0, rows))
            keys, values = self._buffers
            self._buffers = keys[: len(index)], values[: len(index)]
        else:
            before = self._buffers if ours else None
            buffers = []
            for at, x in enumerate((self.keys, self.values)):
                buffer = self.buffer(x, len(index), old)
                torch.index_select(x, 0, index, out=buffer[..., :old, :])
                buffers.append(buffer)
                self._give(before, at)
            self._buffers = buffers[0], buffers[1]
        self._fill(old)

    def buffer(self, like: Tensor, rows: int, tokens: int) -> Tensor:
        """A buffer of so many rows for so many tokens and some more; the room is zero, since what
        is masked still is multiplied."""
        memory = self._again(like)
        most = tokens if memory is None else max(tokens, memory.tokens)
        shape, large = (
            (rows, *like.shape[1:-2], room_for(n), like.shape[-1]) for n in (tokens, most)
        )
        buffer = like.new_empty(shape) if memory is None else memory.take(shape, large, like)
        buffer[..., tokens:, :] = 0
        return buffer

    def end(self) -> None:
        """Forgets everything; nobody looks at what it handed out any more."""
        if self._buffers is not None and not self._moved():
            for at in (0, 1):
                self._give(self._buffers, at)
        self.keys = self.values = self._buffers = None
        self.is_initialized = False

    def _grow(self, keys: Tensor, values: Tensor, old: int, new: int) -> None:
        """Makes room for more tokens than there is."""
        among = self._among
        if among is not None and new <= among.whole.tokens:
            self._buffers = among.whole.of(among.rows, self, keys, values)
            return
        before = self._buffers if self._buffers is not None and not self._moved() else None
        buffers = []
        for at, (x, part) in enumerate(zip((self.keys, self.values), (keys, values), strict=True)):
            buffer = self.buffer(part, len(part), new)
            if old:
                buffer[..., :old, :] = x
            buffers.append(buffer)
            self._give(before, at)  # the next one may take it
        self._buffers = buffers[0], buffers[1]

    def _give(self, buffers: tuple[Tensor, Tensor] | None, at: int) -> None:
        if buffers is None or self._among is not None:  # those of a whole are its own
            return
        if (memory := self._again(buffers[at])) is not None:
            memory.give(buffers[at])

    def _again(self, x: Tensor) -> Memory | None:
        """Where memory of such a kind comes from and goes to; None where torch sees to that."""
        return self._memory if x.device.type == "cpu" else None

    def _fill(self, tokens: int) -> None:
        assert self._buffers is not None
        self.keys, self.values = (buffer[..., :tokens, :] for buffer in self._buffers)

    def _moved(self) -> bool:
        """Whether something else put other keys here than the start of our buffer."""
        assert self._buffers is not None
        return bool(self.keys.data_ptr() != self._buffers[0].data_ptr())


class WholeLayer(GrowingLayer):
    """Hands out the whole buffer, room and all; the model's mask leaves out what no token fills.

    Without it each head of each row is followed by a gap, and at every gap a processor stops
    reading ahead: attention of one token then takes up to twice as long.
    """

    def update(self, keys: Tensor, values: Tensor, *_: Any, **__: Any) -> tuple[Tensor, Tensor]:
        """Appends the new tokens; returns all there is, or the new ones where they are the first:
        they have no room behind them yet."""
        first = not self.get_seq_length()
        super().update(keys, values)
        assert self._buffers is not None
        return (keys, values) if first else self._buffers

    def get_mask_sizes(self, query_length: int) -> tuple[int, int]:
        """How many keys the next `update` returns, and where they begin."""
        old = self.get_seq_length()
        return (room_for(old + query_length) if old else query_length), 0


class Whole:
    """The buffers of a layer for all rows of a batch, which caches of some rows fill."""

    def __init__(
        self, rows: int, tokens: int, known: int, buffers: tuple[Tensor, Tensor] | None
    ) -> None:
        self._rows = rows
        self.tokens = tokens
        """How many tokens each row has once it was read."""
        self.known = known
        """How many of them stand in the buffers already."""
        self.buffers = buffers
        """None until the first tokens come."""

    def of(
        self, rows: slice, layer: GrowingLayer, keys: Tensor, values: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Those of some rows; at first the layer makes all, for keys and values like these."""
        if self.buffers is None:
            self.buffers = (
                layer.buffer(keys, self._rows, self.tokens),
                layer.buffer(values, self._rows, self.tokens),
            )
        return self.buffers[0][rows], self.buffers[1][rows]


@dataclass(frozen=True, eq=False)
class _Among:
    """Which rows of a whole a layer fills."""

    whole: Whole
    rows: slice


def holes(kept: Int[Tensor, " kept"], rows: int) -> tuple[Tensor, Tensor] | None:
    """Of so many rows, of which `kept` go on: which of the first places take a row from behind
    them, and which row each takes. None where more is to be moved than that."""
    moved = (kept != torch.arange(len(kept), device=kept.device)).nonzero().squeeze(1)
    of = kept[moved]
    return (moved, of) if bool((of >= len(kept)).all()) and len(kept) <= rows else None
