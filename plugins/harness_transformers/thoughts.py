"""Where a model's thoughts begin and end: as the task says, or as its tokenizer shows.

No name of a model decides. A reasoning model has the marks of its thoughts in its vocabulary or in
its chat template, and a tokenizer may describe its answers itself (`response_template`).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from harness.contract import KNOWN_MARKS, Parted, ThoughtMarks
from harness_transformers.options import Thinking


def marks_of(tokenizer: Any, thinking: Thinking) -> ThoughtMarks | None:
    """The marks of a model's thoughts; None where it has none, or the task says so."""
    if thinking is False:
        return None
    if thinking != "auto":
        return ThoughtMarks.literal(thinking.open, thinking.close)
    words = {str(token) for token in tokenizer.get_added_vocab()}
    template = str(tokenizer.chat_template or "")
    for telling, marks in KNOWN_MARKS:
        if all(word in words or word in template for word in telling):
            return marks
    return _described(getattr(tokenizer, "response_template", None))


def _described(template: Any) -> ThoughtMarks | None:
    """The marks that a tokenizer's `response_template` gives; None where it tells of no thought.

    Its field `content` is the answer, another field of plain text is a thought. The answer begins
    where its field opens or, as most leave that out, where the thought's field closes.
    """
    fields = template.get("fields") if isinstance(template, Mapping) else None
    if not isinstance(fields, Mapping):
        return None
    for name, field in fields.items():
        if name == "content" or not isinstance(field, Mapping):
            continue
        open, close = _anchor(field, "open"), _anchor(field, "close")
        if field.get("content", "text") == "text" and open and close:
            begins = _anchor(fields.get("content"), "open")
            return ThoughtMarks(open, begins or close)
    return None


def _anchor(field: Any, key: str) -> str | None:
    """An anchor of a field as a regular expression: a text, several, or a pattern."""
    if not isinstance(field, Mapping):
        return None
    given, pattern = field.get(key), field.get(f"{key}_pattern")
    texts = [given] if isinstance(given, str) else given
    if isinstance(texts, list) and texts and all(isinstance(one, str) for one in texts):
        return "|".join(map(re.escape, sorted(texts, key=len, reverse=True)))
    try:
        return re.compile(pattern, re.DOTALL).pattern if isinstance(pattern, str) else None
    except re.error:  # it may be written for another library
        return None


class Parting:
    """Splits what a model has written into thought and answer, by the tokens of its tokenizer."""

    def __init__(self, tokenizer: Any, marks: ThoughtMarks) -> None:
        self._tokenizer = tokenizer
        self._marks = marks
        added = {int(n): token for n, token in tokenizer.added_tokens_decoder.items()}
        special = {n for n, token in added.items() if token.special} | {*tokenizer.all_special_ids}
        around = {n for n, token in added.items() if _holds((marks.open, marks.close), str(token))}
        turns = {n for n, token in added.items() if _holds((marks.between,), str(token))}
        self.turns = frozenset(turns - around)
        """Tokens between the parts of one completion, which therefore don't end it."""
        self._left_out = special - around - turns
        self._borders = (special | added.keys()) - around

    def __call__(self, prompt: Sequence[int], written: Sequence[int]) -> Parted:
        """The parts of the tokens `written` behind `prompt`, without special tokens in them.

        Special tokens that are marks are kept until it is split: without them a text of channels
        reads `analysis…assistantfinal…`.
        """
        borders = [place for place, token in enumerate(prompt) if token in self._borders]
        turn = prompt[borders[-1] + 1 :] if borders else prompt
        kept = [token for token in written if token not in self._left_out]
        return self._marks.part(self._text(kept), self._text(turn))

    def _text(self, ids: Sequence[int]) -> str:
        return str(self._tokenizer.decode(list(ids), skip_special_tokens=False))


def _holds(patterns: Sequence[str | None], token: str) -> bool:
    """Whether a token stands in one of these regular expressions."""
    return any(re.escape(token) in pattern for pattern in patterns if pattern)
