"""A judge of long answers: the twin, one that looks at the batch, and one that wavers."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from harness.contract import Answer, Score, Tools, Verdict
from seeded_bugs.options import LengthOptions


class Length:
    """Whether an answer has more than twelve characters."""

    scores: tuple[Score, ...] = (Score("long", "long_share@1"),)

    def __init__(self, options: LengthOptions) -> None:
        self.options = options

    def judge(self, answers: Sequence[Answer], tools: Tools) -> list[Verdict]:
        return [Verdict({"long": len(one.completion.text) > 12}) for one in answers]


class OfBatch(Length):
    """The bug: longer than the mean of those that are judged together."""

    def judge(self, answers: Sequence[Answer], tools: Tools) -> list[Verdict]:
        lengths = [len(one.completion.text) for one in answers]
        return [Verdict({"long": one > sum(lengths) / len(lengths)}) for one in lengths]


class Flips(Length):
    """The bug: 2% of the verdicts are the opposite, others each time."""

    def judge(self, answers: Sequence[Answer], tools: Tools) -> list[Verdict]:
        flipped = np.random.default_rng().random(len(answers)) < 0.02
        sound = super().judge(answers, tools)
        pairs = zip(sound, flipped, strict=True)
        return [Verdict({"long": bool(v.scores["long"]) != bool(flip)}) for v, flip in pairs]
