"""Which kind of cache a model can be given: found out by trying, never by its name."""

from __future__ import annotations

from collections.abc import Sequence
from inspect import signature
from typing import Any

import torch
from torch import Tensor
from transformers.cache_utils import DynamicCache

from harness.contract import Tokens
from harness_transformers.batches import hangs_on_width, out_of_memory, padded
from harness_transformers.cache import (
    are_same,
    cache_name,
    cache_of,
    is_plain,
    states,
)
from harness_transformers.edits import Session
from harness_transformers.growing import GrowingLayer, WholeLayer
from harness_transformers.memory import Memory
from harness_transformers.plans import Stand

_FEW = 8
"""Tokens of each prompt that are tried: the last ones."""


class Caches:
    """Makes the caches of one model."""

    def __init__(self, hf: Any, pad: int) -> None:
        self._hf = hf
        self._pad = pad
        self._tried = False
        self._whole = False
        """Whether it says the same with room behind the keys."""
        self.apart = False
        """Whether rows of a batch can be read one part after the other: it keeps nothing of them
        but in the cache."""
        self.memory = Memory()
        """What one batch leaves to the next."""

    def new(self) -> DynamicCache:
        """An empty cache, in memory that is used again where it is let go by `end`."""
        return cache_of(self._hf, self._kind, self.memory)

    def alone(self) -> DynamicCache:
        """An empty cache whose keys and values stay as long as somebody holds them."""
        return cache_of(self._hf, self._kind)

    @property
    def _kind(self) -> type[GrowingLayer]:
        return WholeLayer if self._whole else GrowingLayer

    def try_on(
        self,
        rows: Sequence[Tokens],
        stands: Sequence[Stand],
        session: Session | None,
        device: torch.device,
    ) -> None:
        """Finds out, once, on two rows of a batch under their edits.

        Nothing is found out on an accelerator, where nothing is won by it, nor where the rows have
        less than two tokens. What the session noted of it is dropped.
        """
        rows, name = rows[:2], cache_name(self._hf)
        if self._tried or name is None or device.type != "cpu":
            return
        if max(len(one.ids) for one in rows) < 2:
            return
        self._tried = True
        ids, mask = (x[:, -_FEW:] for x in padded(rows, self._pad, device, left=True))
        if session is not None:
            session.stand(tuple(stands[: len(rows)]))
        before = states(self._hf)
        try:
            plain = self._next(name, GrowingLayer, ids, mask)
            # A model whose rows hang on the width may drop a cache that it was given (Phi-3).
            mine = is_plain(self.new()) and not hangs_on_width(self._hf)
            self.apart = mine and are_same(before, states(self._hf))
            if _may_be_whole(self._hf):
                whole = self._next(name, WholeLayer, ids, mask)
                self._whole = plain.shape == whole.shape and agree(plain, whole)
        except Exception as error:  # a model of any kind, which may take no such cache
            if out_of_memory(error):
                raise
        finally:
            if session is not None:
                session.forget()

    def _next(self, name: str, kind: type[GrowingLayer], ids: Tensor, mask: Tensor) -> Tensor:
        """The logits behind the last token, which is read by itself."""
        cache = cache_of(self._hf, kind)
        for part in (slice(0, -1), slice(-1, None)):
            seen = mask if part.stop is None else mask[:, part]
            out = self._hf(
                input_ids=ids[:, part], attention_mask=seen, use_cache=True, **{name: cache}
            )
        return out.logits[:, -1]


def agree(one: Tensor, other: Tensor) -> bool:
    """Whether logits differ by rounding alone."""
    off = float((one.float() - other.float()).abs().max())
    return off <= max(1e-4, 8 * torch.finfo(one.dtype).eps) * float(one.float().abs().max())


def _may_be_whole(model: Any) -> bool:
    """Whether a model says that it works with caches of a fixed size, whose keys are more than
    there are tokens, too."""
    attention = getattr(model.config.get_text_config(), "_attn_implementation", None)
    return (
        bool(getattr(model, "_can_compile_fullgraph", False))
        and attention in ("sdpa", "eager")
        and "attention_mask" in signature(model.forward).parameters
    )
