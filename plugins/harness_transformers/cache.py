"""The caches of keys and values that a model is given, and what can be done with their rows."""

from __future__ import annotations

from collections.abc import Sequence
from inspect import signature
from typing import Any

from jaxtyping import Float, Int
from torch import Tensor
from transformers import GenerationMixin
from transformers.cache_utils import Cache, DynamicCache, DynamicLayer

from harness_transformers.growing import GrowingLayer, WholeLayer
from harness_transformers.memory import Memory

_KNOWN = signature(GenerationMixin.prepare_inputs_for_generation).parameters
_ANY = "cache" in _KNOWN
"""Whether `generate` takes a cache whatever the model calls it; transformers 5.23 does not."""

KeysAndValues = tuple[Float[Tensor, "row head token width"], Float[Tensor, "row head token width"]]


def cache_of(model: Any, kind: type[GrowingLayer], memory: Memory | None = None) -> DynamicCache:
    """A cache for a model, of such layers; sliding windows stay as transformers has them."""
    cache = DynamicCache(config=model.config)
    # Other kinds of layers (sliding windows, states of linear attention) have rules of their own.
    cache.layers = [kind(memory) if type(x) is DynamicLayer else x for x in cache.layers]
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


def end(cache: Any) -> None:
    """Lets the layers of a cache that are ours give their memory back; it is of no use then."""
    for layer in cache.layers if isinstance(cache, Cache) else ():
        if isinstance(layer, GrowingLayer):
            layer.end()
