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
        if opened or (not closed and self.left_open(prompt)):
            return Parted(self._bare(written), "", finished=False)
        return Parted(self._bare(before), after.strip(), finished=True)

    def left_open(self, prompt: str) -> bool:
        """Whether a text opens a thought that it does not close, as a prompt may."""
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


_TURN = r"<\|end\|>(<\|start\|>assistant)?|<\|start\|>assistant"
_CHANNEL = r"<\|channel\|>[^<]*(<\|constrain\|>[^<]*)?<\|message\|>"
KNOWN_MARKS: tuple[tuple[tuple[str, ...], ThoughtMarks], ...] = (
    # Channels, as gpt-oss writes them: whatever is not in the channel `final` is no answer.
    (
        ("<|channel|>", "<|message|>"),
        ThoughtMarks(
            r"<\|channel\|>",
            r"<\|channel\|>final[^<]*(?:<\|constrain\|>[^<]*)?<\|message\|>",
            rf"({_TURN})?{_CHANNEL}|({_TURN})$",
        ),
    ),
    # An empty thought has lost the line end behind its name.
    (
        ("<|channel>", "<channel|>"),
        ThoughtMarks(r"<\|channel>(?:thought(?:\n|$))?", r"<channel\|>"),
    ),
    (("[THINK]", "[/THINK]"), ThoughtMarks.literal("[THINK]", "[/THINK]")),
    (
        ("<|START_THINKING|>", "<|END_THINKING|>"),
        ThoughtMarks.literal("<|START_THINKING|>", "<|END_THINKING|>"),
    ),
    (("<seed:think>", "</seed:think>"), ThoughtMarks.literal("<seed:think>", "</seed:think>")),
    # Last: the template of many a model mentions it, and some mention one end alone.
    (("</think>",), ThoughtMarks.literal("<think>", "</think>")),
    (("<think>",), ThoughtMarks.literal("<think>", "</think>")),
)
"""The marks of families of models, each with the texts that its tokenizer or template holds."""
_BARE_CHANNELS = re.compile(r"\s*analysis(.*)assistantfinal(.*)", re.DOTALL)
"""What is left of gpt-oss's channels where somebody decoded them without special tokens."""
_ENDS = re.compile(r"(<\|return\|>|<\|end\|>|<\|im_end\|>|<turn\|>|</s>)\s*$")
"""Ends of a turn, as they are left at the end of an answer that was decoded with special tokens."""


def part_text(written: str, prompt: str = "") -> Parted:
    """Splits text of a model whose tokenizer nobody has, as behind a server, by `KNOWN_MARKS`.

    The first marks count that close a thought in the text, open one at its beginning, or are left
    open by `prompt`, the end of what the model was given. A mark that is only mentioned opens
    nothing; without any, all is the answer. Ends of a turn behind an answer are left out.
    """
    for _, marks in KNOWN_MARKS:
        begun = re.match(rf"\s*(?:{marks.open})", written)
        if begun or re.search(marks.close, written) or marks.left_open(prompt):
            parted = marks.part(written, prompt)
            return Parted(parted.thought, _ENDS.sub("", parted.answer).strip(), parted.finished)
    if bare := _BARE_CHANNELS.fullmatch(written):
        return Parted(bare[1].strip(), bare[2].strip(), finished=True)
    return Parted("", _ENDS.sub("", written).strip(), finished=True)
