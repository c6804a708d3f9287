"""The tokens that all prompts of a batch begin with are read once for each arm.

A batch is padded on the left, so that in its first c columns stand the beginnings of the longest
prompts. Of a beginning that all have in common, the keys and values of these columns are those of
the beginning read by itself, moved to where each row begins.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from inspect import signature
from typing import Any

import torch
from jaxtyping import Int
from torch import Tensor
from transformers.cache_utils import DynamicCache

from harness.contract import Tokens
from harness_transformers.batches import hangs_on_width
from harness_transformers.cache import (
    KeysAndValues,
    are_same,
    begun,
    cache_name,
    is_plain,
    states,
)
from harness_transformers.caches import Caches

STEP = 8
"""A beginning that is remembered is taken in so many tokens: batches of like prompts share one."""
ENOUGH = 256
"""Positions that must be saved where a beginning is read for one batch alone: it is one forward
more."""
_KEPT = 2
"""Beginnings that are remembered, for the batches to come."""
_LONGEST = 1024
"""Tokens of a beginning that is remembered."""


def beginning(rows: Sequence[Tokens], step: int = 1) -> tuple[int, ...]:
    """The tokens that all prompts begin with, in whole steps; of the longest prompt at least one
    token is left to read."""
    first, last = min(one.ids for one in rows), max(one.ids for one in rows)
    pairs = zip(first, last, strict=False)
    shared = next((n for n, (a, b) in enumerate(pairs) if a != b), min(len(first), len(last)))
    most = max(len(one.ids) for one in rows) - 1
    return first[: min(shared, most) // step * step]


def moved(part: Tensor, of: Tensor, pads: Int[Tensor, " row"]) -> Tensor:
    """Keys or values of beginnings, Float[Tensor, "beginning head pos width"], as the first columns
    of rows: each with its beginning, behind so many columns of padding."""
    rows = part.index_select(0, of.to(part.device))
    columns = torch.arange(part.shape[2], device=part.device)
    # What stands in the columns of padding is never looked at, but it must be numbers.
    back = (columns - pads.to(part.device)[:, None]).clamp_min(0)
    return rows.gather(2, back[:, None, :, None].expand_as(rows))


def times(
    arms: Sequence[int], row_arms: Sequence[int], pads: Sequence[int], length: int
) -> Int[Tensor, "arm pos"]:
    """How many rows take each token of the beginning from the one that their arm has read."""
    out = torch.zeros(len(arms), length, dtype=torch.long)
    for arm, pad in zip(row_arms, pads, strict=True):
        out[arms.index(arm), : max(0, length - pad)] += 1
    return out


class Beginnings:
    """Reads beginnings, and remembers the last ones that were read without edits."""

    def __init__(self, hf: Any, caches: Caches) -> None:
        self._hf = hf
        self._caches = caches
        self._kept: OrderedDict[tuple[object, ...], list[KeysAndValues]] = OrderedDict()
        # Read by itself, a beginning is a narrower forward.
        self._can = cache_name(hf) is not None and is_plain(caches.new()) and not hangs_on_width(hf)

    def worth(self, rows: int, arms: int, length: int, *, edited: bool) -> bool:
        """Whether it pays to read a beginning by itself."""
        return self._can and length > 0 and (rows - arms) * length >= (ENOUGH if edited else STEP)

    def remembered(self, ids: tuple[int, ...], device: torch.device) -> list[KeysAndValues] | None:
        """The keys and values of a beginning without edits, by layer; None where it cannot be read
        by itself."""
        weight = self._hf.get_input_embeddings().weight
        key = (ids, device, weight.data_ptr(), weight._version)
        if key not in self._kept:
            found = self.read(ids, 1, device)
            if found is None or len(ids) > _LONGEST:
                return found
            self._kept[key] = found
            while len(self._kept) > _KEPT:
                self._kept.popitem(last=False)
        self._kept.move_to_end(key)
        return self._kept[key]

    def read(
        self, ids: tuple[int, ...], arms: int, device: torch.device
    ) -> list[KeysAndValues] | None:
        """The keys and values of a beginning under each of the arms, by layer; None where a model
        keeps more of it than that."""
        name, cache, before = cache_name(self._hf), self._caches.alone(), states(self._hf)
        given: dict[str, Any] = {str(name): cache, "use_cache": True}
        if "logits_to_keep" in signature(self._hf.forward).parameters:
            given["logits_to_keep"] = 1
        rows = torch.tensor([ids] * arms, device=device)
        self._hf(input_ids=rows, attention_mask=torch.ones_like(rows), **given)
        self._can = are_same(before, states(self._hf)) and all(
            layer.get_seq_length() == len(ids) for layer in cache.layers
        )
        return [(layer.keys, layer.values) for layer in cache.layers] if self._can else None


def start(
    cache: DynamicCache,
    parts: Sequence[KeysAndValues],
    of: Sequence[Tensor],
    pads: Sequence[Tensor],
) -> None:
    """Puts beginnings into an empty cache: of each layer, which beginning is each row's, and by how
    much it is moved."""
    begun(
        cache,
        [
            (moved(keys, its, pad), moved(values, its, pad))
            for (keys, values), its, pad in zip(parts, of, pads, strict=True)
        ],
    )
