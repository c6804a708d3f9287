"""Thoughts of reasoning models: what a model writes before its answer, told apart from it.

A backend splits what was generated before anybody judges it. A thought weighs what the answer may
not say ("I should refuse… but here is how"), so a judge that reads both is judging something else.
"""

from __future__ import annotations

import re
from dataclasses import dataclass


@dataclass(frozen=True)
class Parted:
    """A completion in its parts, each without white space around it."""

    thought: str
    """Everything before the answer; empty where nothing was thought."""
    answer: str
    """Empty where there is none."""
    finished: bool
    """Whether the thought came to its end; where not, there is no answer."""


@dataclass(frozen=True)
class ThoughtMarks:
    """What stands around a thought, as regular expressions; `literal` makes them from plain text.

    The special tokens that belong to them must still be in the text that is split.
    """

    open: str
    """Where a thought begins."""
    close: str
    """Where the answer begins, right behind it."""
    between: str | None = None
    """What a model writes between several thoughts, left out of them."""

    @classmethod
    def literal(cls, open: str, close: str) -> ThoughtMarks:
        """Marks that are these texts to the letter."""
        return cls(re.escape(open), re.escape(close))

    def part(self, written: str, prompt: str = "") -> Parted:
        """Splits what a model wrote. `prompt`: the end of its prompt, from its turn's beginning.

        The answer begins behind the last `close`: a prompt may have opened the thought, so that
        what was written holds only its end. Without `close`, or with an `open` behind it, the
        thought is unfinished; so it is where the prompt leaves one open. What has no mark at all
        is an answer.
        """
        closed = [*re.finditer(self.close, written)]
        before = written[: closed[-1].start()] if closed else ""
        after = written[closed[-1].end() :] if closed else written
        opened = re.search(self.open, after) is not None
        if opened or (not closed and self._left_open(prompt)):
            return Parted(self._bare(written), "", finished=False)
        return Parted(self._bare(before), after.strip(), finished=True)

    def _left_open(self, prompt: str) -> bool:
        begun = [one.start() for one in re.finditer(self.open, prompt)]
        ended = [one.start() for one in re.finditer(self.close, prompt)]
        # Where `close` begins with `open`, both lie at one place, and the thought is over.
        return max(begun, default=-1) > max(ended, default=-1)

    def _bare(self, thought: str) -> str:
        """A thought without the mark before it, and without what stands between thoughts."""
        bare = thought.strip()
        if (first := re.match(self.open, bare)) and self.between is None:
            bare = bare[first.end() :]
        return re.sub(self.between, "\n", bare).strip() if self.between else bare.strip()
