"""Asks a model of the task, in batches."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from harness.contract import OneByOne, Sampling

if TYPE_CHECKING:
    from harness.contract import Model, Tokens

LEAST, MOST = 4, 16
"""Prompts of a batch on a CPU, however long or short they are."""
READ = 2048
"""Tokens that a batch on a CPU reads where one token is written: more gain nothing, and leave its
caches."""
HELD = 8192
"""Tokens that a batch on a CPU reads and writes. More would need more memory than the judge itself:
one of 13 billion parameters keeps 1.6 MB for each token."""
ELSEWHERE = 8
"""Prompts of a batch on an accelerator: thousands of tokens, which keep it busy, and as many as
plans count with."""


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

    def each(found: Mapping[int, str]) -> None:
        for index, text in found.items():
            keep(index, text)

    ask_in_batches(model, prompts, each, max_tokens=max_tokens, rows=rows)


def ask_in_batches(
    model: Model,
    prompts: Sequence[Tokens],
    keep: Callable[[Mapping[int, str]], None],
    *,
    max_tokens: int,
    rows: int | None = None,
) -> None:
    """As `ask_model`, but calls `keep` once for each batch, with all of its texts by index."""
    sampling = Sampling(max_new_tokens=max_tokens)
    if isinstance(model, OneByOne):
        model.generate_each(prompts, sampling, lambda index, found: keep({index: found.text}))
        return
    # Prompts of one length need no padding; the longest first, if memory should not suffice.
    order = sorted(range(len(prompts)), key=lambda i: -len(prompts[i].ids))
    while order:
        many = rows or rows_of(model.device, len(prompts[order[0]].ids), max_tokens)
        batch, order = order[:many], order[many:]
        completions = model.generate([prompts[i] for i in batch], sampling)
        keep({i: its.text for i, its in zip(batch, completions, strict=True)})


def rows_of(device: str, longest: int, max_tokens: int) -> int:
    """Prompts of a batch, of which the longest has so many tokens.

    To write a token takes a CPU about as long for many rows as for one, since it waits for the
    weights; to read prompts takes as long for each of them.
    """
    if device != "cpu":
        return ELSEWHERE
    fit = READ // max(1, longest) if max_tokens == 1 else HELD // (longest + max_tokens)
    return min(MOST, max(LEAST, fit))
