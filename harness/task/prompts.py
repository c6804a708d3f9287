"""The rows of a task's data, and the prompts that its views make of them.

Nothing here loads a model: whoever makes `Prompts` says what renders the prompts of a view. A run
renders with the loaded model, a plan with the tokenizer alone.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from random import Random

from harness.contract import Example, Prompt, Tokens
from harness.errors import DataError, listed, suggestion
from harness.task.data import load_data, read_data, word
from harness.task.spec import DemonstrationsSpec, PromptSpec, TaskSpec, ViewSpec
from harness.task.turns import asked, is_answered

CHUNK = 256
"""Rows that are rendered at a time."""
SMALL = 2**22
"""Bytes of a local file up to which its rows are held in memory."""

RenderWith = Callable[[str, Sequence[Example], Prompt], list[Tokens]]
"""Turns rows into the token ids of a view's prompts: `(view, rows, prompt)`."""


class TaskData:
    """Reads the rows of a task's data sets, each set once where it is small.

    Downloads go to the folder `cache`. Every method raises DataError where the data cannot be
    read, or are not as the task says.
    """

    def __init__(self, spec: TaskSpec, cache: Path) -> None:
        self._spec = spec
        self._cache = cache
        self._held: dict[str, list[Example]] = {}
        self._digests: dict[str, str] = {}

    def examples(self, name: str) -> list[Example]:
        """All rows of a data set, held in memory from now on."""
        if name not in self._held:
            self._held[name] = load_data(name, self._spec.data[name], self._cache)
        return self._held[name]

    def chunks(self, name: str, limit: int | None = None) -> Iterator[list[Example]]:
        """The rows of a data set in order, at most `CHUNK` at a time, the first `limit` of them.

        Of a large set, no more than one chunk is in memory.
        """
        rows = iter(islice(self._rows(name), limit))
        while chunk := list(islice(rows, CHUNK)):
            yield chunk

    def count(self, name: str, limit: int | None = None) -> int:
        """How many rows a data set has, `limit` at most; 0 where only reading it all would tell.

        For a large set this is the number that the task allows, which the set may not reach.
        """
        rows = self._rows(name)
        known = len(rows) if isinstance(rows, list) else self._spec.data[name].most or 0
        return min(known, limit) if limit and known else known

    def digests(self) -> Mapping[str, str]:
        """For each data set that was read to its end, the SHA-256 of the ids of its rows."""
        held = {
            name: hashlib.sha256("".join(row.id for row in rows).encode()).hexdigest()
            for name, rows in self._held.items()
        }
        return {**self._digests, **held}

    def _rows(self, name: str) -> Iterable[Example]:
        """The rows: a list where the set is held in memory, an iterator where it is large."""
        if name in self._held:
            return self._held[name]
        spec = self._spec.data[name]
        small = spec.file is not None and Path(spec.file).stat().st_size <= SMALL
        if small or (spec.most is not None and spec.most <= CHUNK):
            return self.examples(name)
        return self._digested(name, read_data(name, spec, self._cache))

    def _digested(self, name: str, rows: Iterable[Example]) -> Iterator[Example]:
        """The same rows; their digest is known once the last one was taken."""
        digest = hashlib.sha256()
        for row in rows:
            digest.update(row.id.encode())
            yield row
        self._digests[name] = digest.hexdigest()


def view_spec(spec: TaskSpec, name: str) -> ViewSpec:
    """A view of the task. `@model` is the view in which SAEs are checked: a model's plain text."""
    if not name.startswith("@"):
        return spec.views[name]
    longest = spec.preflight.max_tokens if spec.preflight else None
    return ViewSpec(model=name[1:], prompt=PromptSpec(max_tokens=longest))


class Prompts:
    """Renders the prompts of a task's views: demonstrations first, then the rows' own text."""

    def __init__(self, spec: TaskSpec, data: TaskData, render_with: RenderWith) -> None:
        self._spec = spec
        self._data = data
        self._render_with = render_with
        self._rendered: dict[tuple[str, str], list[Tokens]] = {}
        self._asked: dict[tuple[str, str], list[Tokens]] = {}

    def rendered(self, view: str, data: str) -> list[Tokens]:
        """The prompts of a view on all rows of a data set, rendered once and held in memory."""
        if (view, data) not in self._rendered:
            self._rendered[view, data] = self.render(view, self._data.examples(data))
        return self._rendered[view, data]

    def to_answer(self, view: str, data: str) -> list[Tokens]:
        """The prompts that an experiment has answered, rendered once and held in memory.

        Those of `rendered`, but for conversations that end with an answer: that is the reference,
        and the model is to write its own.
        """
        examples = self._data.examples(data)
        if not any(map(is_answered, examples)):
            return self.rendered(view, data)
        if (view, data) not in self._asked:
            try:
                examples = [asked(one) for one in examples]
            except DataError as error:
                raise DataError(f"data.{data}: {error}") from error
            self._asked[view, data] = self.render(view, examples)
        return self._asked[view, data]

    def render(
        self, view: str, examples: Sequence[Example], *, query: bool = False
    ) -> list[Tokens]:
        """The prompts of a view on some rows, in their order; `query`: with the place of the query.

        Where demonstrations must match a column, each row is shown those that share its value.
        Raises DataError where there are too few demonstrations, or a row cannot be rendered.
        """
        spec = view_spec(self._spec, view).prompt
        shown = spec.demonstrations
        if shown is None or shown.match is None:
            rows = self._demonstrations(shown) if shown else []
            return self._write(view, examples, _prompt(spec, rows, query=query))
        groups: dict[str, list[int]] = {}
        for place, example in enumerate(examples):
            groups.setdefault(_value(example, shown.match), []).append(place)
        found: dict[int, Tokens] = {}
        for value, places in groups.items():
            prompt = _prompt(spec, self._matching(shown, shown.match, value), query=query)
            rendered = self._write(view, [examples[place] for place in places], prompt)
            found.update(zip(places, rendered, strict=True))
        return [found[place] for place in range(len(examples))]

    def _write(self, view: str, examples: Sequence[Example], prompt: Prompt) -> list[Tokens]:
        try:
            return self._render_with(view, examples, prompt)
        except DataError as error:
            raise DataError(f"views.{view}: {error}") from error

    def _demonstrations(self, wanted: DemonstrationsSpec) -> list[Example]:
        """The demonstrations that every row is shown."""
        rows = self._data.examples(wanted.data)
        # With --limit fewer are shown on purpose.
        capped = self._spec.data[wanted.data].at_most or wanted.count
        if len(rows) < min(wanted.count, capped):
            raise DataError(
                f"data.{wanted.data}: has {len(rows)} rows, and {wanted.count} demonstrations "
                "are wanted. Lower the count, or add rows."
            )
        return _first(wanted, rows)

    def _matching(self, wanted: DemonstrationsSpec, column: str, value: str) -> list[Example]:
        """The demonstrations for rows with this value in a column: they have it too."""
        examples = self._data.examples(wanted.data)
        rows = [row for row in examples if _value(row, column) == value]
        if len(rows) < wanted.count:
            raise DataError(
                f"data.{wanted.data}: {len(rows)} rows have {column} = {value!r}, and "
                f"{wanted.count} demonstrations of it are wanted. Lower the count, or add rows."
            )
        return _first(wanted, rows)


def _value(example: Example, column: str) -> str:
    """The value of a row by which demonstrations are matched, as text."""
    if column not in example.fields:
        names = list(example.fields)
        raise DataError(
            f"{example.name}: there is no column {column!r}, which `match` names."
            f" Allowed: {listed(names)}.{suggestion(column, names)}"
        )
    return word(example.fields[column], f"{example.name}: column {column!r}, which `match` names,")


def _first(wanted: DemonstrationsSpec, rows: Sequence[Example]) -> list[Example]:
    """As many rows as are wanted, shuffled before where the task gives a seed."""
    order = list(rows)
    if wanted.seed is not None:
        Random(wanted.seed).shuffle(order)
    return order[: wanted.count]


def _prompt(spec: PromptSpec, demonstrations: Sequence[Example], *, query: bool) -> Prompt:
    answer = spec.demonstrations.answer if spec.demonstrations else "answer"
    values = spec.model_dump(exclude={"demonstrations"})
    return Prompt(**values, demonstrations=tuple(demonstrations), answer=answer, query=query)
