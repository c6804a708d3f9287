"""How long a task's prompts are, found out before any model is loaded.

Local data are read and rendered by what will render them in the run; where the tokenizer is not
here, by their characters. Data that are not here are assumed, and the assumption is stated.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from harness.contract import Example, Model, Prompt
from harness.running.session import Session
from harness.task.fit import LARGEST
from harness.task.spec import DataSpec
from harness.task.task import Task

CHARACTERS = 4
"""Characters of a token, where no tokenizer is here to count: about right for English."""
LONG, SHORT = 512, 32
"""Tokens of a row that is not here: of a column called `text`, and of any other (a prompt)."""
AROUND = 12
"""Tokens that a chat template writes around a prompt, where it is not here."""
MOST = 2**24
"""Characters that are tokenised to be counted; of more, every `CHARACTERS` count as a token."""


@dataclass(frozen=True)
class Lengths:
    """Tokens of each prompt, and how they were found."""

    tokens: tuple[int, ...]
    how: Literal["counted", "estimated", "assumed"]
    note: str = ""
    """What was assumed, in words."""

    def first(self, limit: int | None) -> Lengths:
        """Those of the first documents alone: all are taken to be alike where they are assumed."""
        return Lengths(self.tokens[:limit], self.how, self.note)


@dataclass
class Prompts:
    """The prompts of a task."""

    task: Task
    _found: dict[tuple[str, str], Lengths | None] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._session = _Ahead(self.task, Path())

    def of(self, view: str, data: str, limit: int | None = None) -> Lengths | None:
        """The prompts that a view makes of some data, the first `limit` of them, shortest first.

        None where not even their number is known.
        """
        if (view, data) not in self._found:
            self._found[view, data] = self._count(view, data)
        found = self._found[view, data]
        if found is None:
            return None
        first = found.first(limit)
        return Lengths(tuple(sorted(first.tokens)), first.how, first.note)

    def text(self, model: str, text: str) -> int:
        """Tokens of a text for a model, by its characters where its tokenizer is not here."""
        options: Any = self.task.models[model].options
        rendered = options.render([Example("", text)], Prompt()) if text else ()
        return len(rendered[0].ids) if rendered else len(text) // CHARACTERS

    def _count(self, view: str, data: str) -> Lengths | None:
        prompt = self._session.view(view).prompt
        shown = prompt.demonstrations
        needed = [data, *([shown.data] if shown else [])]
        if not all(map(self._here, needed)):
            return self._assumed(view, data)
        examples = self._session.examples(data)
        if sum(len(example.text) for example in examples) <= MOST:
            rendered: Any = self._session.rendered(view, data)
            if rendered is not None:
                return Lengths(tuple(len(prompt.ids) for prompt in rendered), "counted")
        around = len(prompt.system or "") + len(prompt.template)
        if shown:
            rows = self._session.examples(shown.data)
            text = sum(len(row.text) + len(str(row.fields.get(shown.answer, ""))) for row in rows)
            around += shown.count * text // len(rows)
        more = AROUND if prompt.style == "chat" else 1
        most = prompt.max_tokens or math.inf
        lengths = [int(min(most, more + (len(e.text) + around) // CHARACTERS)) for e in examples]
        note = f"views.{view}: no tokenizer is here; {CHARACTERS} characters count as a token."
        return Lengths(tuple(lengths), "estimated", note)

    def _here(self, name: str) -> bool:
        """Whether rows can be read: from a file of a size that can be read at once."""
        file = self.task.spec.data[name].file
        return file is not None and Path(file).stat().st_size <= LARGEST

    def _assumed(self, view: str, data: str) -> Lengths | None:
        spec, prompt = self.task.spec.data[data], self._session.view(view).prompt
        each = spec.expect.tokens or (LONG if spec.column == "text" else SHORT)
        rows = _rows(spec, each)
        if rows is None:
            return None
        shown = prompt.demonstrations
        total = each * (1 + (shown.count if shown else 0))
        total += (AROUND if prompt.style == "chat" else 1) + len(prompt.system or "") // CHARACTERS
        note = f"data.{data}: not read; each row is taken to hold {each} tokens."
        if spec.expect.tokens:
            note = ""
        return Lengths((min(total, prompt.max_tokens or total),) * rows, "assumed", note)


def _rows(spec: DataSpec, each: int) -> int | None:
    """How many rows a set that is not read has, where the task or the size of its file tells."""
    caps = [n for n in (spec.limit, spec.at_most) if n is not None]
    if caps:
        return min(caps)
    if spec.file is not None:
        return max(1, Path(spec.file).stat().st_size // (each * CHARACTERS))
    return None


class _Ahead(Session):
    """A session whose models are only their options, which render as the models will."""

    def view_model(self, name: str) -> Model:
        options: Any = self.task.models[self.view(name).model].options
        return options  # type: ignore[no-any-return]
