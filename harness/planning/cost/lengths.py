"""How long a task's prompts are, found out before any model is loaded.

Local data are read and rendered as the run will render them. Where the model's tokenizer is not
here, tokens are estimated from characters. Data that are not here are assumed to have rows of a
usual length, and the assumption is stated.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from harness.contract import Example, Prompt, Tokens
from harness.task.fit import LARGEST
from harness.task.prompts import Prompts, TaskData, view_spec
from harness.task.spec import DataSpec
from harness.task.task import Task

CHARACTERS = 4
"""Characters that count as one token where no tokenizer is here: about right for English."""
LONG, SHORT = 512, 32
"""Tokens of a row that is not here: in a column called `text`, and in any other (a prompt)."""
AROUND = 12
"""Tokens that a chat template writes around a prompt, where it is not here."""
MOST = 2**24
"""Characters that are tokenised to be counted; of more, every `CHARACTERS` count as a token."""


@dataclass(frozen=True)
class Lengths:
    """Tokens of each prompt of a view on some data, and how these numbers were found."""

    tokens: tuple[int, ...]
    how: Literal["counted", "estimated", "assumed"]
    """`counted` by the tokenizer, `estimated` from the characters of the rows, or `assumed` of
    rows that are not here."""
    note: str = ""
    """What was estimated or assumed, in words; empty where nothing was."""


class _NoTokenizer(Exception):
    """A model's tokenizer is not on this machine."""


class PromptLengths:
    """Finds out how many tokens the prompts of a task have; each view on each data set once.

    Raises DataError for local data that cannot be read.
    """

    def __init__(self, task: Task) -> None:
        self.task = task
        self._data = TaskData(task.spec, Path())
        self._prompts = Prompts(task.spec, self._data, self._render)
        self._found: dict[tuple[str, str, bool], Lengths | None] = {}

    def of(
        self, view: str, data: str, limit: int | None = None, *, answered: bool = False
    ) -> Lengths | None:
        """The lengths of the first `limit` prompts of a view on some data, shortest first;
        `answered`: of those that an experiment has answered, not of those that a pass reads.

        None where not even the number of rows is known.
        """
        if (view, data, answered) not in self._found:
            self._found[view, data, answered] = self._count(view, data, answered)
        found = self._found[view, data, answered]
        if found is None:
            return None
        return replace(found, tokens=tuple(sorted(found.tokens[:limit])))

    def text(self, model: str, text: str) -> int:
        """Tokens of a text for a model: by its characters where its tokenizer is not here."""
        options: Any = self.task.models[model].options
        rendered = options.render([Example("", text)], Prompt()) if text else ()
        return len(rendered[0].ids) if rendered else len(text) // CHARACTERS

    def _render(self, view: str, examples: Sequence[Example], prompt: Prompt) -> list[Tokens]:
        """Renders as the model will, which is not loaded: its options have the tokenizer."""
        model = view_spec(self.task.spec, view).model
        rendered = self.task.models[model].options.render(examples, prompt)
        if rendered is None:
            raise _NoTokenizer
        return list(rendered)

    def _count(self, view: str, data: str, answered: bool) -> Lengths | None:
        shown = view_spec(self.task.spec, view).prompt.demonstrations
        if not all(map(self._is_here, [data, *([shown.data] if shown else [])])):
            return self._assumed(view, data)
        characters = sum(len(example.text) for example in self._data.examples(data))
        if characters > MOST:
            return self._estimated(view, data)
        try:
            write = self._prompts.to_answer if answered else self._prompts.rendered
            prompts = write(view, data)
        except _NoTokenizer:
            return self._estimated(view, data)
        return Lengths(tuple(len(prompt.ids) for prompt in prompts), "counted")

    def _is_here(self, name: str) -> bool:
        """Whether a data set is a local file, and of a size that can be read at once."""
        file = self.task.spec.data[name].file
        return file is not None and Path(file).stat().st_size <= LARGEST

    def _estimated(self, view: str, data: str) -> Lengths:
        """From the characters of the rows, of what the prompt writes around them, and of the
        demonstrations, which are taken to be of the mean length of their data set."""
        prompt = view_spec(self.task.spec, view).prompt
        around = len(prompt.system or "") + len(prompt.template)
        if shown := prompt.demonstrations:
            rows = self._data.examples(shown.data)
            text = sum(len(row.text) + len(str(row.fields.get(shown.answer, ""))) for row in rows)
            around += shown.count * text // len(rows)
        more = AROUND if prompt.style == "chat" else 1
        most = prompt.max_tokens or math.inf
        lengths = [
            int(min(most, more + (len(example.text) + around) // CHARACTERS))
            for example in self._data.examples(data)
        ]
        note = f"views.{view}: no tokenizer is here; {CHARACTERS} characters count as a token."
        return Lengths(tuple(lengths), "estimated", note)

    def _assumed(self, view: str, data: str) -> Lengths | None:
        """From `expect.tokens` of the task, or from `LONG` or `SHORT`; None without a number of
        rows."""
        spec, prompt = self.task.spec.data[data], view_spec(self.task.spec, view).prompt
        each = spec.expect.tokens or (LONG if spec.column == "text" else SHORT)
        rows = _row_count(spec, each)
        if rows is None:
            return None
        shown = prompt.demonstrations
        total = each * (1 + (shown.count if shown else 0))
        total += (AROUND if prompt.style == "chat" else 1) + len(prompt.system or "") // CHARACTERS
        note = f"data.{data}: not read; each row is taken to hold {each} tokens."
        if spec.expect.tokens:
            note = ""
        return Lengths((min(total, prompt.max_tokens or total),) * rows, "assumed", note)


def _row_count(spec: DataSpec, each: int) -> int | None:
    """How many rows of `each` tokens a set has that is not read: as many as the task allows, or as
    fit into the size of its file; None where there is neither."""
    if spec.most is None and spec.file is not None:
        return max(1, Path(spec.file).stat().st_size // (each * CHARACTERS))
    return spec.most
