"""Completions by transformers' `generate`; of the checkpoint's settings only the stops count."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor
from transformers import GenerationConfig
from transformers.generation import (
    LogitsProcessor,
    LogitsProcessorList,
    StoppingCriteria,
    StoppingCriteriaList,
    TopPLogitsWarper,
)

from harness.contract import Completion, Sampling, Tokens
from harness.errors import ModelError
from harness_transformers.batches import padded
from harness_transformers.cache import own_cache
from harness_transformers.edits import Session
from harness_transformers.places import runs_on
from harness_transformers.thoughts import Parting


class _Live(StoppingCriteria):  # type: ignore[misc]
    """Tells the edits which rows have ended: what such a row still computes is padding."""

    def __init__(self, stops: Tensor, session: Session) -> None:
        self._stops = stops
        self._session = session

    def __call__(self, input_ids: Tensor, scores: Any, **_: Any) -> Tensor:
        ended = torch.isin(input_ids[:, -1], self._stops)
        if self._session.live is not None:
            ended |= ~self._session.live
        self._session.live = ~ended
        return ended


class _Draw(LogitsProcessor):  # type: ignore[misc]
    """Leaves one token of each row, drawn by the row's own random numbers.

    So a row's completion does not depend on the batch, and arms with the same prompt share luck.
    """

    def __init__(self, sampling: Sampling, tokens: Sequence[Tokens], device: torch.device) -> None:
        self._temperature = sampling.temperature
        self._top_p = TopPLogitsWarper(sampling.top_p) if sampling.top_p < 1 else None
        rows = [_uniform(sampling, t) for t in tokens]
        self._luck = torch.stack(rows, dim=1).to(device)
        self._step = 0

    def __call__(
        self, input_ids: Int[Tensor, "row pos"], scores: Float[Tensor, "row vocab"]
    ) -> Float[Tensor, "row vocab"]:
        scores = scores / self._temperature
        if self._top_p is not None:
            scores = self._top_p(input_ids, scores)
        below = scores.softmax(-1).cumsum(-1)
        point = self._luck[self._step, :, None] * below[:, -1:]
        self._step += 1
        # right=True never lands on a token without probability.
        drawn = torch.searchsorted(below, point, right=True).clamp_max(scores.shape[-1] - 1)
        return torch.full_like(scores, -torch.inf).scatter(1, drawn, 0.0)


class _Finite(LogitsProcessor):  # type: ignore[misc]
    """Notes the rows whose logits were not finite while they were written.

    The largest of such logits still is a token, so nothing else would show it.
    """

    def __init__(self, rows: int, stops: Tensor) -> None:
        self._stops = stops
        self._live = torch.ones(rows, dtype=torch.bool, device=stops.device)
        self._broken = ~self._live
        self._begun = False

    def __call__(
        self, input_ids: Int[Tensor, "row pos"], scores: Float[Tensor, "row vocab"]
    ) -> Float[Tensor, "row vocab"]:
        if self._begun:
            self._live &= ~torch.isin(input_ids[:, -1], self._stops)
        self._begun = True
        # NaN and infinity both are their row's largest number.
        self._broken |= self._live & ~scores.amax(-1).isfinite()
        return scores

    def broken(self) -> list[int]:
        """Those rows."""
        return [row for row, one in enumerate(self._broken.tolist()) if one]


def _uniform(sampling: Sampling, tokens: Tokens) -> Tensor:
    """The random numbers of one prompt, the same on every device."""
    words = f"{sampling.seed} {tokens.example} {tokens.ids}".encode()
    seed = int.from_bytes(hashlib.sha256(words).digest()[:7], "big")
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(sampling.max_new_tokens, generator=generator)


def complete(
    hf: Any,
    tokenizer: Any,
    tokens: Sequence[Tokens],
    sampling: Sampling,
    *,
    stops: Sequence[int],
    pad: int,
    limit: int,
    session: Session | None,
    name: str,
    parting: Parting | None = None,
) -> list[Completion]:
    """Completions of one batch, of at most `limit` tokens each; `parting` splits off thoughts."""
    device = runs_on(hf.get_input_embeddings())
    ids, mask = padded(tokens, pad, device, left=True)
    config = GenerationConfig(
        max_new_tokens=limit, do_sample=False, pad_token_id=pad, use_cache=True
    )
    ends = torch.tensor(stops, dtype=torch.long, device=device)
    finite = _Finite(len(tokens), ends)
    draw = LogitsProcessorList([finite])
    if sampling.temperature > 0:
        draw.append(_Draw(sampling, tokens, device))
    watch = StoppingCriteriaList()
    if session is not None:
        watch.append(_Live(ends, session))
    out = hf.generate(
        ids,
        attention_mask=mask,
        generation_config=config,
        logits_processor=draw,
        stopping_criteria=watch,
        **own_cache(hf),
    )
    for row in finite.broken():
        if session is None or not session.told_broken(tokens[row].arm):
            raise ModelError(
                f"{name}: example {tokens[row].example}: its logits are not finite, so the"
                " completion would be made of nothing. Allowed: finite numbers. Try dtype ="
                ' "float32"; where that is not enough, the weights are too large or broken.'
            )
    done = []
    for one, row in zip(tokens, out[:, ids.shape[1] :].tolist(), strict=True):
        at = next((i for i, token in enumerate(row) if token in stops), None)
        # The token that ends a completion was written by the model, too.
        length, stopped = len(row) if at is None else at + 1, at is not None
        if parting is None:
            text = tokenizer.decode(row[:at], skip_special_tokens=True).strip()
            done.append(Completion(text, length, stopped))
        else:
            its = parting(one.ids, row[:at])
            done.append(Completion(its.answer, length, stopped, its.thought, its.finished))
    return done
