"""Which kind of cache a model can be given: found out by trying, never by its name."""

from __future__ import annotations

from collections.abc import Sequence
from inspect import signature
from typing import Any

import torch
from torch import Tensor
from transformers.cache_utils import DynamicCache

from harness.contract import Tokens
from harness_transformers.batches import out_of_memory, padded
from harness_transformers.cache import GrowingLayer, WholeLayer, cache_name, cache_of
from harness_transformers.edits import Session
from harness_transformers.plans import Stand

_FEW = 8
"""Tokens of each prompt that are tried: the last ones."""


class Caches:
    """Makes the caches of one model."""

    def __init__(self, hf: Any, pad: int) -> None:
        self._hf = hf
        self._pad = pad
        self._whole: bool | None = None if _may_be_whole(hf) else False
        """Whether it says the same with room behind the keys; None until it was tried."""

    def new(self) -> DynamicCache:
        """An empty cache."""
        return cache_of(self._hf, WholeLayer if self._whole else GrowingLayer)

    def try_on(
        self,
        rows: Sequence[Tokens],
        stands: Sequence[Stand],
        session: Session | None,
        device: torch.device,
    ) -> None:
        """Finds out, once, on two rows of a batch under their edits.

        Nothing is found out where they have less than two tokens. What the session noted of it is
        dropped.
        """
        rows, name = rows[:2], cache_name(self._hf)
        if self._whole is not None or name is None or max(len(one.ids) for one in rows) < 2:
            return
        ids, mask = (x[:, -_FEW:] for x in padded(rows, self._pad, device, left=True))
        if session is not None:
            session.stand(tuple(stands[: len(rows)]))
        try:
            ours, other = (self._next(name, kind, ids, mask) for kind in (GrowingLayer, WholeLayer))
        except (RuntimeError, TypeError, ValueError, IndexError, AssertionError) as error:
            if out_of_memory(error):
                raise
            self._whole = False
            return
        finally:
            if session is not None:
                session.forget()
        self._whole = ours.shape == other.shape and agree(ours, other)

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
    there are tokens, too.

    On an accelerator nothing is won by it, and attention without any mask is faster there.
    """
    attention = getattr(model.config.get_text_config(), "_attn_implementation", None)
    return (
        bool(getattr(model, "_can_compile_fullgraph", False))
        and attention in ("sdpa", "eager")
        and model.device.type == "cpu"
        and "attention_mask" in signature(model.forward).parameters
    )
