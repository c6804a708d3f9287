"""What the rows of a batch of completions share: blocks below their edits, and how they begin."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from transformers.cache_utils import DynamicCache

from harness.contract import Tokens
from harness_transformers.alike import Distinct
from harness_transformers.batches import out_of_memory, padded
from harness_transformers.cache import are_same, cache_name, is_by_row, states
from harness_transformers.caches import Caches, agree
from harness_transformers.edits import Session
from harness_transformers.fanning import Depth, Fan, fan
from harness_transformers.plans import Stand
from harness_transformers.prefixes import STEP, Beginnings, beginning, start, times


@dataclass(frozen=True)
class Ready:
    """A batch that `generate` can be called with."""

    ids: Tensor
    mask: Tensor
    cache: dict[str, Any]
    fan: Fan | None
    apart: Callable[[], DynamicCache] | None
    """Where rows can be read one part after the other: makes the cache of a part."""


class Sharing:
    """What one model has been found to share."""

    def __init__(self, hf: Any, pad: int) -> None:
        self._hf = hf
        self._pad = pad
        self._caches = Caches(hf, pad)
        self._beginnings = Beginnings(hf, self._caches)
        self._fans: bool | None = None
        """Whether rows can be multiplied within its forward; None until it was tried."""

    def rest(self) -> None:
        """No batch follows at once: what one would leave to the next is given back."""
        self._caches.memory.clear()

    def ready(
        self, batch: Distinct, session: Session | None, device: torch.device, limit: int
    ) -> Ready:
        """The prompts of a batch, with all that they share read; at most `limit` tokens follow."""
        self._caches.memory.tokens = max(len(one.ids) for one in batch.rows) + limit
        self._caches.try_on(batch.rows, batch.stands, session, device)
        found = self._fan(batch, session, device) if session is not None else None
        rows = batch.rows if found is None else batch.prompts[0]
        ids, mask = padded(rows, self._pad, device, left=True)
        cache = self._begin(batch, rows, found, session, device)
        if session is not None:
            session.stand(batch.stands)
            session.prompt_of = None if found is None else found.of
        apart = self._caches.new if self._caches.apart and found is None else None
        return Ready(ids, mask, cache, found, apart)

    # ── How prompts begin ────────────────────────────────────────────────────────────────────────

    def _begin(
        self,
        batch: Distinct,
        rows: Sequence[Tokens],
        found: Fan | None,
        session: Session | None,
        device: torch.device,
    ) -> dict[str, Any]:
        """The argument that gives the model its cache, with what the prompts begin with in it."""
        name = cache_name(self._hf)
        if name is None:
            return {}
        edited = session is not None
        shared = beginning(batch.rows, 1 if edited else STEP)
        own = [arm for stand in batch.stands for arm in stand]
        arms = list(dict.fromkeys(own)) if edited else [0]
        if not self._beginnings.worth(len(batch.rows), len(arms), len(shared), edited=edited):
            return {name: self._caches.new()}
        width = max(len(one.ids) for one in batch.rows)
        pads = [width - len(one.ids) for one in batch.rows]
        if session is None:
            parts = self._beginnings.remembered(shared, device)
        else:
            each = [p for p, stand in zip(pads, batch.stands, strict=True) for _ in stand]
            session.stand(tuple((arm,) for arm in arms))
            session.times = times(arms, own, each, len(shared)).to(device)
            parts = self._beginnings.read(shared, len(arms), device)
            session.times = None
            if parts is None:
                session.forget()
        if parts is None:
            return {name: self._caches.new()}
        of = torch.tensor([arms.index(s[0]) if edited else 0 for s in batch.stands], device=device)
        below = (
            torch.zeros(len(rows), dtype=torch.long, device=device),
            torch.tensor([width - len(one.ids) for one in rows], device=device),
        )
        above = of, torch.tensor(pads, device=device)
        at = 0 if found is None else found.depth.shared
        layers = [below if n < at else above for n in range(len(parts))]
        cache = self._caches.new()
        start(cache, parts, [a for a, _ in layers], [b for _, b in layers])
        return {name: cache}

    # ── Blocks below the edits ───────────────────────────────────────────────────────────────────

    def _fan(self, batch: Distinct, session: Session, device: torch.device) -> Fan | None:
        depth = session.depth({stand[0] for stand in batch.stands})
        if depth is None or self._fans is False:
            return None
        prompts, of = batch.prompts
        found = fan(depth, of, max(len(one.ids) for one in prompts), device)
        if found is not None and self._fans is None:
            self._fans = self._tried(batch, depth, session, device)
        return found if self._fans else None

    def _tried(
        self, batch: Distinct, depth: Depth, session: Session, device: torch.device
    ) -> bool | None:
        """Whether a model says the same where rows are multiplied within its forward as where each
        runs through all blocks; None where this batch cannot tell."""
        if not is_by_row(self._caches.new()) or cache_name(self._hf) is None:
            return False
        prompts, of = batch.prompts
        few = [row for row, prompt in enumerate(of) if prompt < 2][:6]
        rows = [batch.rows[row] for row in few]
        width = max(len(one.ids) for one in rows)
        found = fan(depth, [of[row] for row in few], width, device)
        if found is None:
            return None
        stands, before = tuple(batch.stands[row] for row in few), states(self._hf)
        try:
            plain = self._last(rows, stands, session, None, device)
            fanned = self._last(prompts[: found.prompts], stands, session, found, device)
        except (RuntimeError, TypeError, ValueError, IndexError, AssertionError) as error:
            if out_of_memory(error):
                raise
            return False  # it hands more from block to block than can be multiplied
        finally:
            session.prompt_of = None
            session.forget()
        if plain.shape != fanned.shape or not are_same(before, states(self._hf)):
            return False
        return agree(plain, fanned)

    def _last(
        self,
        rows: Sequence[Tokens],
        stands: tuple[Stand, ...],
        session: Session,
        found: Fan | None,
        device: torch.device,
    ) -> Tensor:
        """The logits behind each prompt."""
        ids, mask = padded(rows, self._pad, device, left=True)
        session.stand(stands)
        if found is None:
            out = self._hf(input_ids=ids, attention_mask=mask, use_cache=False)
        else:
            session.prompt_of = found.of
            with found.attached(session.blocks):
                out = self._hf(input_ids=ids, attention_mask=mask, use_cache=False)
        return out.logits[:, -1]
