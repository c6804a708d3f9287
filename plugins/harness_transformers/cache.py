"""A key-value cache that grows in place, and whose rows can leave it or be multiplied."""

from __future__ import annotations

import math
from collections.abc import Sequence
from inspect import signature
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor
from transformers import GenerationMixin
from transformers.cache_utils import Cache, DynamicCache, DynamicLayer

_KNOWN = signature(GenerationMixin.prepare_inputs_for_generation).parameters
_ANY = "cache" in _KNOWN
"""Whether `generate` takes a cache whatever the model calls it; transformers 5.23 does not."""

KeysAndValues = tuple[Float[Tensor, "row head token width"], Float[Tensor, "row head token width"]]


def room_for(tokens: int) -> int:
    """How many tokens a buffer holds that must hold so many: the next square number.

    So it is copied about √tokens times in all, and 1/√tokens of it is empty. It hangs on the tokens
    alone: all layers of a cache have the same room, however they came to it.
    """
    return (math.isqrt(tokens - 1) + 1) ** 2 if tokens else 0


class GrowingLayer(DynamicLayer):  # type: ignore[misc]
    """Keys and values in a buffer with room to spare, Float[Tensor, "row head token head_width"].

    transformers' own layer copies everything at every token. What this one hands out is the filled
    part of the buffer: the same numbers.
    """

    def __init__(self) -> None:
        super().__init__()
        self._buffers: tuple[Tensor, Tensor] | None = None

    def update(self, keys: Tensor, values: Tensor, *_: Any, **__: Any) -> tuple[Tensor, Tensor]:
        """Appends the new tokens; returns everything so far."""
        old = self.get_seq_length()
        new = old + keys.shape[-2]
        if not self.is_initialized:
            self.lazy_initialization(keys, values)
            self._buffers = None
        if self._buffers is None or new > self._buffers[0].shape[-2] or self._moved():
            buffers = [_buffer(x, len(x), new) for x in (keys, values)]
            if old:
                buffers[0][..., :old, :], buffers[1][..., :old, :] = self.keys, self.values
            self._buffers = (buffers[0], buffers[1])
        for buffer, part in zip(self._buffers, (keys, values), strict=True):
            buffer[..., old:new, :] = part
        self.keys, self.values = (buffer[..., :new, :] for buffer in self._buffers)
        return self.keys, self.values

    def begin(self, keys: Tensor, values: Tensor) -> None:
        """Starts with these keys and values."""
        self.update(keys, values)

    def join(self, others: Sequence[GrowingLayer]) -> None:
        """Goes on with the rows of others, one after the other, instead of its own."""
        if not others[0].get_seq_length():
            return  # a layer that keeps nothing of text
        rows, tokens = sum(len(one.keys) for one in others), others[0].get_seq_length()
        if not self.is_initialized:
            self.lazy_initialization(others[0].keys, others[0].values)
        self._buffers = (
            _buffer(others[0].keys, rows, tokens),
            _buffer(others[0].values, rows, tokens),
        )
        torch.cat([one.keys for one in others], out=self._buffers[0][..., :tokens, :])
        torch.cat([one.values for one in others], out=self._buffers[1][..., :tokens, :])
        self.keys, self.values = (buffer[..., :tokens, :] for buffer in self._buffers)

    def reorder_cache(self, beam_idx: Int[Tensor, " kept"]) -> None:
        """Goes on with these rows, with room for more tokens beside them."""
        old = self.get_seq_length()
        if not old:
            return
        index = beam_idx.to(self.keys.device)
        buffers = []
        for x in (self.keys, self.values):
            buffer = _buffer(x, len(index), old)
            torch.index_select(x, 0, index, out=buffer[..., :old, :])
            buffers.append(buffer)
        self._buffers = (buffers[0], buffers[1])
        self.keys, self.values = (buffer[..., :old, :] for buffer in self._buffers)

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


def _buffer(like: Tensor, rows: int, tokens: int) -> Tensor:
    """A buffer of so many rows for so many tokens and some more; the room is zero, since what is
    masked still is multiplied."""
    shape = rows, *like.shape[1:-2], room_for(tokens), like.shape[-1]
    buffer = like.new_empty(shape)
    buffer[..., tokens:, :] = 0
    return buffer


def cache_of(model: Any, kind: type[GrowingLayer]) -> DynamicCache:
    """A cache for a model, of such layers; sliding windows stay as transformers has them."""
    cache = DynamicCache(config=model.config)
    # Other kinds of layers (sliding windows, states of linear attention) have rules of their own.
    cache.layers = [kind() if type(x) is DynamicLayer else x for x in cache.layers]
    return cache


def cache_name(model: Any) -> str | None:
    """What a model calls its cache; None where the installed transformers cannot be told of one:
    such a model makes its own."""
    if _ANY:
        return "cache"
    return "past_key_values" if "past_key_values" in signature(model.forward).parameters else None


def is_plain(cache: Any) -> bool:
    """Whether every layer of a cache is one of ours: keys and values of all tokens, no more."""
    return isinstance(cache, Cache) and all(isinstance(x, GrowingLayer) for x in cache.layers)


def needs_mask(cache: Any) -> bool:
    """Whether a model that is given this cache must be given a mask, too, also without padding."""
    return isinstance(cache, Cache) and any(isinstance(x, WholeLayer) for x in cache.layers)


def is_by_row(cache: Any) -> bool:
    """Whether every layer of a cache keeps the keys and values of each row by itself, be it of all
    tokens or of a window."""
    return isinstance(cache, Cache) and all(isinstance(x, DynamicLayer) for x in cache.layers)


def can_lose_rows(given: Any, rows: int) -> bool:
    """Whether of what `generate` hands from step to step rows can be taken: a cache that can be
    told to, tensors with an axis of rows, and what has no rows."""
    if isinstance(given, Cache):
        return all(hasattr(layer, "reorder_cache") for layer in given.layers)
    if isinstance(given, Tensor):
        return given.shape[0] == rows if given.dim() == 2 else given.shape == (1,)
    return given is None or isinstance(given, (bool, int, float, str))


def with_rows(given: Any, index: Int[Tensor, " row"]) -> Any:
    """The same with these of its rows, of what `can_lose_rows`; a cache is changed in place."""
    if isinstance(given, Cache):
        given.reorder_cache(index)
        return given
    by_row = isinstance(given, Tensor) and given.dim() == 2
    return given.index_select(0, index.to(given.device)) if by_row else given


def states(model: Any) -> dict[tuple[int, str], Tensor]:
    """The tensors that modules hold beside their weights and buffers, by module and name. What a
    model keeps there of a batch has its rows."""
    return {
        (id(module), name): value
        for module in model.modules()
        for name, value in vars(module).items()
        if isinstance(value, Tensor)
    }


def are_same(before: dict[tuple[int, str], Tensor], now: dict[tuple[int, str], Tensor]) -> bool:
    """Whether modules hold the very tensors that they held."""
    return before.keys() == now.keys() and all(before[at] is now[at] for at in now)


def begun(cache: Any, parts: Sequence[KeysAndValues]) -> None:
    """Lets a plain cache start with keys and values, one pair for each layer."""
    for layer, (keys, values) in zip(cache.layers, parts, strict=True):
        layer.begin(keys, values)
