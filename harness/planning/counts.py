"""What work of a model is counted in: forwards, prompts, tokens, completions, positions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from harness.contract import GradientPath

NUMBER_BYTES = {"float64": 8, "float32": 4, "bfloat16": 2, "float16": 2}
"""Bytes of one number, by the name of its type."""


@dataclass(frozen=True)
class Counts:
    """What a model does, in numbers that a plan can foresee and a run repeats exactly.

    A prompt is counted for each model that reads it. A batch that runs in halves because memory
    did not suffice counts once, as the harness asked for it.
    """

    forwards: int = 0
    """Runs of a model over a batch; while completions are written, one for each new token."""
    prompts: int = 0
    """Prompts read, completed or not."""
    tokens: int = 0
    """Tokens of these prompts, without padding."""
    completions: int = 0
    """Completions written."""
    completion_tokens: int = 0
    """Their tokens, each completion up to where it ended."""
    positions: int = 0
    """Token positions of the batches, padding included, and those of completions that have ended
    before the last one of their batch. It is the most that is computed: a backend may let such rows
    leave, and read what rows share once. Time and memory follow this number from below."""

    def __add__(self, other: Counts) -> Counts:
        return Counts(
            self.forwards + other.forwards,
            self.prompts + other.prompts,
            self.tokens + other.tokens,
            self.completions + other.completions,
            self.completion_tokens + other.completion_tokens,
            self.positions + other.positions,
        )


def forward_counts(prompts: Sequence[int]) -> Counts:
    """Counts one forward over a batch of prompts; `prompts` are their lengths in tokens."""
    return Counts(1, len(prompts), sum(prompts), positions=len(prompts) * max(prompts))


def path_forwards(path: GradientPath) -> int:
    """Forwards by which one side's upper layers follow a path over a batch: one as they are, one
    for each point, and one for each end that is no point."""
    return 1 + len(path.points) + len({0.0, 1.0} - set(path.points))


def completion_counts(prompts: Sequence[int], completions: Sequence[int]) -> Counts:
    """Counts one batch of completions, which runs until its last row has ended.

    `prompts` and `completions` are the lengths of each row in tokens. The first token of a
    completion comes out of the forward over the prompts; the last one is not read again.
    """
    steps, rows = max(completions), len(prompts)
    width = max(prompts) + max(0, steps - 1)
    return Counts(steps, rows, sum(prompts), rows, sum(completions), rows * width)


def elsewhere_counts(completions: Sequence[int]) -> Counts:
    """Counts completions of a model that runs elsewhere, of `completions` tokens each.

    How it makes batches is not known, nor how long its prompts are in its tokens.
    """
    rows = len(completions)
    return Counts(prompts=rows, completions=rows, completion_tokens=sum(completions))
