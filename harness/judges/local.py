"""Asks a model of the task, in batches."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from harness.contract import OneByOne, Sampling

if TYPE_CHECKING:
    from harness.contract import Model, Tokens

ROWS = {"cpu": 4}
"""Prompts of a batch: few on a CPU, where a batch that stays in its caches is faster by half."""
ELSEWHERE = 8
"""Prompts of a batch on an accelerator: thousands of tokens, which keep it busy. More would need
more memory than the judge itself: one of 13 billion parameters keeps 1.6 MB for each token."""


def ask_model(
    model: Model,
    prompts: Sequence[Tokens],
    keep: Callable[[int, str], None],
    *,
    max_tokens: int,
    rows: int | None = None,
) -> None:
    """Lets the model write at most `max_tokens` tokens after each prompt, greedily.

    Calls `keep(index, text)` for each prompt once its batch is done, or at once where the model
    hands over each completion by itself. A batch has `rows` prompts,
    by default as many as suit the model's device.
    """
    sampling = Sampling(max_new_tokens=max_tokens)
    if isinstance(model, OneByOne):
        model.generate_each(prompts, sampling, lambda index, found: keep(index, found.text))
        return
    # Prompts of one length need no padding; the longest first, if memory should not suffice.
    order = sorted(range(len(prompts)), key=lambda i: -len(prompts[i].ids))
    rows = rows or ROWS.get(model.device, ELSEWHERE)
    for start in range(0, len(order), rows):
        batch = order[start : start + rows]
        completions = model.generate([prompts[i] for i in batch], sampling)
        for i, completion in zip(batch, completions, strict=True):
            keep(i, completion.text)
