"""How long a task's prompts are, found out before any model is loaded.

Local data are read and rendered as the run will render them. Where the model's tokenizer is not
here, tokens are estimated from characters. Data that are not here are assumed to have rows of a
usual length, and the assumption is stated.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from harness.contract import Example, Prompt
from harness.planning.documents import Document, Spelled
from harness.planning.offline import NoTokenizer, is_here, offline_prompts
from harness.planning.queries import same_query
from harness.task.data import word
from harness.task.prompts import view_spec
from harness.task.turns import is_answered

if TYPE_CHECKING:
    from harness.planning.steps import Rendering
    from harness.task.data_spec import DataSpec
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


@dataclass(frozen=True)
class Documents:
    """The documents of a rendering, and what was estimated or assumed of them."""

    documents: tuple[Document, ...]
    notes: tuple[str, ...] = ()


class _Asked(NamedTuple):
    """Whose prompts are counted, on which rows."""

    view: str
    data: str
    limit: int | None
    answered: bool
    views: tuple[str, ...]


class PromptLengths:
    """Finds out how many tokens the prompts of a task have; each view on each data set once.

    Raises DataError for local data that cannot be read.
    """

    def __init__(self, task: Task) -> None:
        self.task = task
        self._data, self._prompts = offline_prompts(task)
        self._found: dict[_Asked, Lengths | None] = {}
        self._documents: dict[object, Documents | None] = {}
        self._masked: dict[str, frozenset[int] | None] = {}

    def of(
        self,
        view: str,
        data: str,
        limit: int | None = None,
        *,
        answered: bool = False,
        views: Sequence[str] = (),
    ) -> Lengths | None:
        """The lengths of a view's prompts on the first `limit` rows of some data, shortest first;
        `answered`: of those that an experiment has answered, not of those that a pass reads.
        `views` are all that read the rows together: a row that one refuses, none of them reads.

        None where not even the number of rows is known.
        """
        asked = _Asked(view, data, limit, answered, tuple(views) or (view,))
        if asked not in self._found:
            self._found[asked] = self._count(asked)
        found = self._found[asked]
        if found is None:
            return None
        return replace(found, tokens=tuple(sorted(found.tokens[:limit])))

    def documents(self, which: Rendering, limit: int | None = None) -> Documents | None:
        """The documents of a rendering, in the order of the data, up to the one that spends its
        budget of tokens; None where not even the number of rows is known."""
        key = (which, which.places, limit)
        if key not in self._documents:
            self._documents[key] = self._read(which, limit)
        return self._documents[key]

    def masked(self, model: str) -> frozenset[int] | None:
        """The tokens of a model that are never measured; None where its files do not tell."""
        if model not in self._masked:
            found = self.task.models[model].options.masked_ids()
            self._masked[model] = found if self._tells_tokens(model) else None
        return self._masked[model]

    def _read(self, which: Rendering, limit: int | None) -> Documents | None:
        if self._countable(which.views, which.data, limit):
            with suppress(NoTokenizer):
                return Documents(tuple(_budgeted(self._spelled(which, limit), which.budget)))
        sides = [self.of(view, which.data, limit, views=which.views) for view in which.views]
        known = [side for side in sides if side is not None]
        if len(known) < len(sides):
            return None
        # What is estimated stands by its length, as if the data were in that order.
        each = map(Document, zip(*(side.tokens for side in known), strict=True))
        notes = tuple(dict.fromkeys(side.note for side in known if side.note))
        return Documents(tuple(_budgeted(each, which.budget)), notes)

    def _countable(self, views: Sequence[str], data: str, limit: int | None) -> bool:
        """Whether the prompts of some views can be written here, tokenizers apart."""
        models = [view_spec(self.task.spec, view).model for view in views]
        if not all(is_here(self.task, view, data) for view in views):
            return False
        rows = self._data.examples(data)[:limit]
        return all(map(self._tells_tokens, models)) and sum(len(r.text) for r in rows) <= MOST

    def _spelled(self, which: Rendering, limit: int | None) -> Iterator[Document]:
        models = [view_spec(self.task.spec, view).model for view in which.views]
        every = frozenset[int]().union(*(self.masked(one) or () for one in self.task.models))
        by = self.task.spec.data[which.data].by
        written = self._prompts.chunks(
            which.views, which.data, limit, query=len(models) > 1, places=which.places, held=True
        )
        for some in written:
            for row, *sides in zip(some.rows, *some.sides, strict=True):
                lengths = tuple(len(side.ids) for side in sides)
                category = "" if by is None else word(row.fields[by], row.name)
                if len(sides) > 1:
                    sides = [*same_query(sides[0], sides[1])]
                yield Document(lengths, category, Spelled.of(sides[0], every))

    def text(self, model: str, text: str) -> int:
        """Tokens of a text for a model: by its characters where its tokenizer is not here."""
        options: Any = self.task.models[model].options
        told = text and self._tells_tokens(model)
        rendered = options.render([Example("", text)], Prompt()) if told else ()
        return len(rendered[0].ids) if rendered else len(text) // CHARACTERS

    def _tells_tokens(self, model: str) -> bool:
        """Whether the ids of a model's prompts are its own tokens."""
        return "tokens" in self.task.model_facts[model].capabilities

    def _count(self, asked: _Asked) -> Lengths | None:
        view, data = asked.view, asked.data
        if not is_here(self.task, view, data):
            return self._assumed(view, data)
        rows = self._data.examples(data)[: asked.limit]
        if asked.answered and not any(map(is_answered, rows)):
            return self.of(view, data, asked.limit, views=asked.views)
        if not self._countable((view,), data, asked.limit):
            return self._estimated(view, data)
        try:
            written = [
                *self._prompts.chunks(
                    asked.views,
                    data,
                    asked.limit,
                    query=len(asked.views) > 1,  # they read it as a pair by the query's place
                    answered=asked.answered,
                    held=True,
                )
            ]
        except NoTokenizer:
            return self._estimated(view, data)
        side = asked.views.index(view)
        prompts = [prompt for some in written for prompt in some.sides[side]]
        return Lengths(tuple(len(prompt.ids) for prompt in prompts), "counted")

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
        each = _each(spec)
        rows = _row_count(spec, each)
        if rows is None:
            return None
        shown = prompt.demonstrations
        other = self.task.spec.data[shown.data] if shown else spec
        total = each + (shown.count * _each(other) if shown else 0)
        total += (AROUND if prompt.style == "chat" else 1) + len(prompt.system or "") // CHARACTERS
        guessed = {data: spec, **({shown.data: other} if shown else {})}
        guessed = {name: its for name, its in guessed.items() if not its.expect.tokens}
        note = ", ".join(f"data.{name}" for name in guessed)
        if guessed:
            sizes = ", ".join(f"{one}" for one in dict.fromkeys(map(_each, guessed.values())))
            note += f": not read; each row is taken to hold {sizes} tokens."
        return Lengths((min(total, prompt.max_tokens or total),) * rows, "assumed", note)


def _budgeted(documents: Iterable[Document], budget: int | None) -> Iterator[Document]:
    """The documents up to the one with which the first view has read so many tokens."""
    tokens = 0
    for one in documents:
        yield one
        tokens += one.lengths[0]
        if budget is not None and tokens >= budget:
            return


def _each(spec: DataSpec) -> int:
    """Tokens of a row that is not read: as the task expects, or a guess."""
    return spec.expect.tokens or (LONG if spec.column == "text" else SHORT)


def _row_count(spec: DataSpec, each: int) -> int | None:
    """How many rows of `each` tokens a set has that is not read: as many as the task allows, or as
    fit into the size of its file; None where there is neither."""
    if spec.most is None and spec.file is not None:
        return max(1, Path(spec.file).stat().st_size // (each * CHARACTERS))
    return spec.most
