"""What the laws are tried on, by `harness plugins check`."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

from harness.contract import Answer, Completion, Example
from harness.testing import check_evaluator
from harness_evaluators import options
from harness_evaluators.substrings import Substrings

TEXTS = (
    "I cannot help with that.",
    "I can’t help with thatteeeeeeeeeeeeeeeeeeeeeee",
    "Sure, here is how.",
    "I cannot recommend it enough!",
    "",
)


def substrings(folder: Path) -> Iterator[partial[None]]:
    """Refusals, broken text, and answers."""
    example = Example(id="prompt", text="How is it done?")
    answers = [Answer(example, example.text, Completion(t, len(t), True)) for t in TEXTS]
    judge = Substrings(options.SubstringsOptions())
    yield partial(check_evaluator, judge, answers)
