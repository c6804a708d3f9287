"""What a model says at the last position of a prompt: how much it refuses, how far it was moved."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from jaxtyping import Float, Int
from torch import Tensor

from harness.contract import Batch

SCORE_EPSILON = 1e-8
"""Added to both probabilities of a refusal score before their logarithm."""
KL_EPSILON = 1e-6
"""Added to both probabilities of a divergence before their logarithm."""


def refusal_scores(
    logits: Float[Tensor, "prompts vocab"], words: Iterable[int]
) -> Float[Tensor, " prompts"]:
    """The log-odds that the next token begins a refusal, in float64.

    `log(p + 1e-8) − log(1 − p + 1e-8)` with p the sum of the probabilities of these tokens, each
    counted once. In [−18.4, 18.4]. Source: andyrdt/refusal_direction, `select_direction.py`.
    """
    known = torch.tensor(sorted(set(words)), device=logits.device)
    p = _wide(logits).softmax(-1).index_select(-1, known).sum(-1)
    return torch.log(p + SCORE_EPSILON) - torch.log(1 - p + SCORE_EPSILON)


def divergences(
    before: Float[Tensor, "prompts vocab"], after: Float[Tensor, "prompts vocab"]
) -> Float[Tensor, " prompts"]:
    """KL divergence of the predictions after from those before, in nats and float64.

    `Σ_v p_v (log(p_v + 1e-6) − log(q_v + 1e-6))`, p before and q after. Not below 0 by more than
    the 1e-6 bring about. Source: as above.
    """
    p, q = _wide(before).softmax(-1), _wide(after).to(before.device).softmax(-1)
    return (p * (torch.log(p + KL_EPSILON) - torch.log(q + KL_EPSILON))).sum(-1)


def last_tokens(batch: Batch) -> tuple[Int[Tensor, " prompts"], Int[Tensor, " prompts"]]:
    """The documents of a batch that have selected tokens, and the last such token of each."""
    document, place = batch.document[batch.selected], batch.position[batch.selected]
    # In the order of documents, and inside each in that of its tokens, the last one ends a run.
    order = torch.argsort(place, stable=True)
    order = order[torch.argsort(document[order], stable=True)]
    run = document[order]
    ends = torch.ones(len(run), dtype=torch.bool)
    ends[:-1] = run[1:] != run[:-1]
    return run[ends], batch.selected[order[ends]]


def _wide(logits: Tensor) -> Tensor:
    """In float64, where the device knows it, else on the CPU."""
    return (logits.cpu() if logits.device.type == "mps" else logits).double()
