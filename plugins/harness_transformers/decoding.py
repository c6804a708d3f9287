"""The loop that writes completions, in the place of transformers' own; rows that have ended leave.

`generate` prepares everything as ever, and the model says itself what its forwards are given. What
is ours is what happens between them. Which rows sit together at each step hangs on the batch alone.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Int
from torch import Tensor
from transformers.cache_utils import Cache

from harness_transformers.cache import (
    are_same,
    can_lose_rows,
    is_plain,
    needs_mask,
    states,
    with_rows,
)
from harness_transformers.choosing import Chooser
from harness_transformers.edits import Session
from harness_transformers.fanning import Fan
from harness_transformers.pieces import pieces, read

LIVE = 0.8
"""Share of a batch's rows that go on, from which down the others leave it: what is prepared for the
rows of a batch is then prepared anew, and on an accelerator all that stay are copied."""


@dataclass(eq=False)
class Loop:
    """One batch of completions; `generate` calls it in the place of a loop of its own.

    `written` has the tokens of each row once it ran, up to the one that ended it.
    """

    choose: Chooser
    stops: Collection[int]
    limit: int
    """Tokens of a completion at most."""
    pad: int
    rows: int
    """Completions: as many as the prompts it is called with, unless a fan multiplies them."""
    session: Session | None = None
    fan: Fan | None = None
    apart: Callable[[], Cache] | None = None
    """Where rows can be read one part after the other: makes the cache of a part."""

    def __post_init__(self) -> None:
        self.written: list[list[int]] = [[] for _ in range(self.rows)]

    def __call__(self, model: Any, input_ids: Int[Tensor, "prompt pos"], **given: Any) -> Tensor:
        """Writes until all rows have ended; returns the prompts."""
        config = given.pop("generation_config")
        for ours in ("logits_processor", "stopping_criteria"):
            given.pop(ours, None)
        cache = given.get("cache", given.get("past_key_values"))
        if given.get("attention_mask") is None and needs_mask(cache):
            given["attention_mask"] = torch.ones_like(input_ids)  # `generate` drops one of ones
        before = states(model)
        out = self._prompts(model, input_ids, given)
        given = model._update_model_kwargs_for_generation(out, given, is_encoder_decoder=False)
        ids = input_ids
        if self.fan is not None:
            ids, given = self._multiplied(ids, given, self.fan)
        static = config.cache_implementation is not None
        forward = model.get_compiled_call(config.compile_config) if static else model
        # What a model keeps in itself of the rows of a batch cannot leave it.
        leaving = not static and are_same(before, states(model))
        present = list(range(self.rows))
        with model._optimize_model_for_decode():
            while True:
                ids, live = self._step(out.logits[:, -1], ids, present)
                if not any(live) or len(self.written[present[live.index(True)]]) >= self.limit:
                    return input_ids
                if sum(live) <= LIVE * len(live) and leaving:
                    fits = all(can_lose_rows(one, len(live)) for one in given.values())
                    if leaving := fits:
                        rows = staying(live)
                        ids, given = self._without(rows, ids, given)
                        present = [present[row] for row in rows]
                inputs = model.prepare_inputs_for_generation(ids, next_sequence_length=1, **given)
                out = forward(**inputs, return_dict=True)
                given = model._update_model_kwargs_for_generation(
                    out, given, is_encoder_decoder=False
                )

    def _prompts(self, model: Any, ids: Tensor, given: dict[str, Any]) -> Any:
        """The forward over the prompts, or over what no cache has of them yet."""
        cache = given.get("cache", given.get("past_key_values"))
        known = cache.get_seq_length() if is_plain(cache) and cache.layers else 0
        inputs = model.prepare_inputs_for_generation(
            ids,
            next_sequence_length=ids.shape[1] - known if known else None,
            is_first_iteration=True,
            **given,
        )
        if self.apart is not None and len(parts := pieces(inputs)) > 1:
            return read(model, inputs, parts, self.apart, self.session)
        if self.fan is None or self.session is None:
            return model(**inputs, return_dict=True)
        with self.fan.attached(self.session.blocks):
            return model(**inputs, return_dict=True)

    def _step(
        self, logits: Tensor, ids: Tensor, present: Sequence[int]
    ) -> tuple[Tensor, list[bool]]:
        """Writes one token of each row that has not ended; returns all tokens, and which rows go
        on."""
        live = [not self._ended(row) for row in present]
        new = self.choose(logits, live).to(ids.device)
        for row, alive, token in zip(present, live, new.tolist(), strict=True):
            if alive:
                self.written[row].append(token)
        going = [not self._ended(row) for row in present]
        if not all(live):
            new = new.where(torch.tensor(live, device=new.device), self.pad)
        if self.session is not None and (self.session.live is None or going != live):
            self.session.live = torch.tensor(going, device=new.device)
        return torch.cat([ids, new[:, None]], dim=1), going

    def _ended(self, row: int) -> bool:
        written = self.written[row]
        return bool(written) and written[-1] in self.stops

    def _without(
        self, kept: Sequence[int], ids: Tensor, given: dict[str, Any]
    ) -> tuple[Tensor, dict[str, Any]]:
        """Takes out all rows but these."""
        index = torch.tensor(kept, device=ids.device)
        self.choose.keep(index)
        if self.session is not None:
            self.session.keep(kept, index)
        return ids[index], {name: with_rows(one, index) for name, one in given.items()}

    def _multiplied(
        self, ids: Tensor, given: dict[str, Any], fan: Fan
    ) -> tuple[Tensor, dict[str, Any]]:
        """Gives everything of the prompts the rows that stand behind the edits."""
        for name, one in given.items():
            if name in ("cache", "past_key_values"):
                for layer in one.layers:
                    if layer.is_initialized and layer.keys.shape[0] == fan.prompts:
                        layer.reorder_cache(fan.of.to(layer.keys.device))
            elif isinstance(one, Tensor) and one.dim() > 1 and one.shape[-2] == fan.prompts:
                # Positions of models for several media have an axis of kinds before that of rows.
                given[name] = one.index_select(-2, fan.of.to(one.device))
        if self.session is not None:
            self.session.prompt_of = None
        return ids[fan.of], given


def staying(live: Sequence[bool]) -> list[int]:
    """The rows that go on: each where it was, and the last ones in the places of those that leave.

    So no more is moved than must be.
    """
    count = sum(live)
    last = (row for row in range(len(live) - 1, count - 1, -1) if live[row])
    return [row if live[row] else next(last) for row in range(count)]
