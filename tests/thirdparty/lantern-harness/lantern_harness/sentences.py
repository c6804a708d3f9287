"""Whole sentences."""

from __future__ import annotations

from collections.abc import Sequence

from harness.contract import Answer, Score, Tools, Verdict
from lantern_harness.options import SentencesOptions


class Sentences:
    """Whether an answer ends as a sentence does, and how many words its sentences have in the mean.

    The mean is undefined for an answer without words.
    """

    scores: tuple[Score, ...] = (
        Score("whole", "whole_share@1"),
        Score("words", "words_per_sentence@1", "words"),
    )

    def __init__(self, options: SentencesOptions) -> None:
        self.options = options

    def judge(self, answers: Sequence[Answer], tools: Tools) -> list[Verdict]:
        """One verdict for each answer, by its own text."""
        verdicts = [self._verdict(one.completion.text) for one in answers]
        tools.tick(len(verdicts))
        return verdicts

    def _verdict(self, text: str) -> Verdict:
        words = len(text.split())
        ends = sum(text.count(mark) for mark in self.options.ends)
        whole = bool(words) and text.rstrip()[-1:] in tuple(self.options.ends)
        return Verdict({"whole": whole, "words": words / max(ends, 1) if words else None})
