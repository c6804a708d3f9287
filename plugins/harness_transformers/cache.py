"""A key-value cache that grows in place."""

from __future__ import annotations

from inspect import signature
from typing import Any

from torch import Tensor
from transformers import GenerationMixin
from transformers.cache_utils import DynamicCache, DynamicLayer

ROOM = 32
"""Tokens of room that a cache has at least when it must grow."""

_KNOWN = signature(GenerationMixin.prepare_inputs_for_generation).parameters
_ANY = "cache" in _KNOWN
"""Whether `generate` takes a cache whatever the model calls it; transformers 5.23 does not."""


class _GrowingLayer(DynamicLayer):  # type: ignore[misc]
    """Keys and values in a buffer with room to spare, Float[Tensor, "row head token head_width"].

    transformers' own layer copies everything at every token; here the copies are as many as
    doublings. What it hands out is the filled part of the buffer: the same numbers.
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
            room = new + max(ROOM, old)
            buffers = [x.new_empty(*x.shape[:-2], room, x.shape[-1]) for x in (keys, values)]
            if old:
                buffers[0][..., :old, :], buffers[1][..., :old, :] = self.keys, self.values
            self._buffers = (buffers[0], buffers[1])
        for buffer, part in zip(self._buffers, (keys, values), strict=True):
            buffer[..., old:new, :] = part
        self.keys, self.values = (buffer[..., :new, :] for buffer in self._buffers)
        return self.keys, self.values

    def _moved(self) -> bool:
        """Whether something else put other keys here than the start of our buffer."""
        assert self._buffers is not None
        return bool(self.keys.data_ptr() != self._buffers[0].data_ptr())


def growing_cache(config: Any) -> DynamicCache:
    """A cache for a model of this configuration; sliding windows stay as transformers has them."""
    cache = DynamicCache(config=config)
    # Other kinds of layers (sliding windows, states of linear attention) have rules of their own.
    cache.layers = [_GrowingLayer() if type(x) is DynamicLayer else x for x in cache.layers]
    return cache


def own_cache(model: Any) -> dict[str, Any]:
    """The argument of `generate` that gives a model a growing cache; none for a model that calls
    its cache otherwise than the installed transformers can be told: it makes its own."""
    name = "cache" if _ANY else "past_key_values"
    if not _ANY and name not in signature(model.forward).parameters:
        return {}
    return {name: growing_cache(model.config)}
