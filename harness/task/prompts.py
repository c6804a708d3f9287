"""The rows of a task's data, and the prompts that its views make of them.

Nothing here loads a model: whoever makes `Prompts` says what renders the prompts of a view. A run
renders with the loaded model, a plan with the tokenizer alone.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING

from harness.contract import Example, Prompt, Tokens
from harness.errors import BadRows, DataError, listed, suggestion
from harness.task.data import load_data, read_data, word
from harness.task.left_out import TRIED, BadCount, LeftOut, none_left
from harness.task.spec import PromptSpec, ViewSpec
from harness.task.turns import asked

if TYPE_CHECKING:
    from harness.contract import PromptPart
    from harness.task.spec import DemonstrationsSpec, TaskSpec

CHUNK = 256
"""Rows that are rendered at a time, at most."""
LONG = 2**18
"""Characters of rows after which no more are rendered at a time: a token takes 0.3 kB meanwhile."""
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
        self.left_out = LeftOut()
        """The rows that cannot be read, or of which no prompt can be made, so far, where the task
        leaves such out."""

    def examples(self, name: str) -> list[Example]:
        """All rows of a data set, held in memory from now on."""
        if name not in self._held:
            self._held[name] = load_data(
                name, self._spec.data[name], self._cache, partial(self.left_out.add_unread, name)
            )
        return self._held[name]

    def chunks(self, name: str, limit: int | None = None) -> Iterator[list[Example]]:
        """The rows of a data set in order, the first `limit` of them: at most `CHUNK` at a time,
        and fewer where they are long.

        Of a large set, no more than one chunk is in memory.
        """
        chunk: list[Example] = []
        characters = 0
        for row in islice(self._rows(name), limit):
            chunk.append(row)
            characters += len(row.text)
            if len(chunk) == CHUNK or characters >= LONG:
                yield chunk
                chunk, characters = [], 0
        if chunk:
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
        unread = partial(self.left_out.add_unread, name)
        return self._digested(name, read_data(name, spec, self._cache, unread))

    def _digested(self, name: str, rows: Iterable[Example]) -> Iterator[Example]:
        """The same rows; their digest is known once the last one was taken."""
        digest = hashlib.sha256()
        for row in rows:
            digest.update(row.id.encode())
            yield row
        self._digests[name] = digest.hexdigest()


class FirstRows(TaskData):
    """Rows of which few are looked at: of a set that is not in memory, no more are read."""

    def chunks(self, name: str, limit: int | None = None) -> Iterator[list[Example]]:
        """As `TaskData` does, but the first `limit` rows of a set are read without the rest."""
        if limit is None or limit > CHUNK or name in self._held:
            yield from super().chunks(name, limit)
        elif first := list(islice(read_data(name, self._spec.data[name], self._cache), limit)):
            yield first


def view_spec(spec: TaskSpec, name: str) -> ViewSpec:
    """A view of the task. `@model` is the view in which SAEs are checked: a model's plain text."""
    if not name.startswith("@"):
        return spec.views[name]
    longest = spec.preflight.max_tokens if spec.preflight else None
    return ViewSpec(model=name[1:], prompt=PromptSpec(max_tokens=longest))


@dataclass(frozen=True)
class Written:
    """Some rows of a data set, and the prompts that each of some views makes of them.

    Rows of which one of the views makes none are not among them, where the task leaves such out.
    """

    rows: Sequence[Example]
    sides: tuple[Sequence[Tokens], ...]
    """For each view its prompts, in the order of the rows."""


@dataclass(frozen=True)
class _Wanted:
    """What is asked of prompts beside their tokens: see `Prompts.chunks`."""

    query: bool
    answered: bool
    places: tuple[PromptPart, ...]


class Prompts:
    """Renders the prompts of a task's views: demonstrations first, then the rows' own text."""

    def __init__(self, spec: TaskSpec, data: TaskData, render_with: RenderWith) -> None:
        self._spec = spec
        self._data = data
        self._render_with = render_with
        self._rendered: dict[tuple[str, str], list[Tokens]] = {}
        self._asked: dict[tuple[str, str], Written] = {}
        self.left_out = data.left_out
        """The rows of which no prompt could be made so far, where the task leaves such out."""

    def rendered(self, view: str, data: str) -> list[Tokens]:
        """The prompts of a view on all rows of a data set, rendered once and held in memory."""
        if (view, data) not in self._rendered:
            written = self.chunks((view,), data, held=True)
            self._rendered[view, data] = [one for some in written for one in some.sides[0]]
        return self._rendered[view, data]

    def chunks(
        self,
        views: Sequence[str],
        data: str,
        limit: int | None = None,
        *,
        query: bool = False,
        answered: bool = False,
        places: tuple[PromptPart, ...] = (),
        held: bool = False,
    ) -> Iterator[Written]:
        """The rows of a data set with their prompts in some views, in order, some at a time.

        The first `limit` rows are read; of these, rows of which one of the views makes no prompt
        are left out for all of them, where the task leaves such out. `query`: with the place of
        the query. `answered`: as prompts that are answered, which do not hold the answer that a
        conversation ends with. `places`: what else must be told of where it stands. `held`: all
        rows at once, in memory. Raises DataError with the first such row and their number where the
        task leaves none out, and where nothing is left; what else `render` raises.
        """
        whole = [self._data.examples(data)[:limit]] if held else self._data.chunks(data, limit)
        skip = self._spec.data[data].on_bad_rows == "skip"
        counted, kept = BadCount(data), 0
        wanted = _Wanted(query, answered, places)
        for examples in whole:
            written, bad = self._try(views, data, examples, wanted)
            counted.add(len(examples), bad)
            if bad and skip:
                for view, some in bad.items():
                    self.left_out.add(data, view, ((examples[n], why) for n, why in some.items()))
                out = set().union(*bad.values())
                rows = [one for place, one in enumerate(examples) if place not in out]
                written, _ = self._try(views, data, rows, wanted)
            elif counted.bad and counted.rows >= TRIED:
                raise counted.error(all_tried=False)
            if written is not None and written.rows and (skip or not counted.bad):
                kept += len(written.rows)
                yield written
        if counted.bad and not skip:
            raise counted.error(all_tried=True)
        if counted.bad and not kept:
            raise none_left(data, views, counted.first)

    def _try(
        self,
        views: Sequence[str],
        data: str,
        examples: Sequence[Example],
        wanted: _Wanted,
    ) -> tuple[Written | None, Mapping[str, Mapping[int, str]]]:
        """The prompts of some rows; or, by view, of which it makes no prompt, and why."""
        bad: dict[str, dict[int, str]] = {}
        shown: dict[int, Example] = {}
        for place, example in enumerate(examples):
            try:
                shown[place] = asked(example) if wanted.answered else example
            except DataError as error:
                bad.setdefault(views[0], {})[place] = f"data.{data}: {error}"
        sides: list[Sequence[Tokens]] = []
        numbers = list(shown)
        for view in views:
            try:
                rows = list(shown.values())
                sides.append(self.render(view, rows, query=wanted.query, places=wanted.places))
            except BadRows as error:
                whys = {numbers[place]: why for place, why in error.rows.items()}
                bad[view] = {**bad.get(view, {}), **whys}
        return (None, bad) if bad else (Written(examples, tuple(sides)), bad)

    def to_answer(self, view: str, data: str) -> Sequence[Tokens]:
        """The prompts that an experiment has answered, in the order of `answered`."""
        return self.answered(view, data).sides[0]

    def answered(self, view: str, data: str) -> Written:
        """The rows that an experiment has answered and their prompts, held in memory.

        Those of `rendered`, but for conversations that end with an answer: that is the reference,
        and the model is to write its own.
        """
        if (view, data) not in self._asked:
            (self._asked[view, data],) = self.chunks((view,), data, answered=True, held=True)
        return self._asked[view, data]

    def render(
        self,
        view: str,
        examples: Sequence[Example],
        *,
        query: bool = False,
        places: tuple[PromptPart, ...] = (),
    ) -> list[Tokens]:
        """The prompts of a view on some rows, in their order; `query`: with the place of the query,
        `places`: with where these stand.

        Where demonstrations must match a column, each row is shown those that share its value.
        Raises BadRows with all rows of which no prompt can be made, and DataError where there are
        too few demonstrations.
        """
        spec = view_spec(self._spec, view).prompt
        shown = spec.demonstrations
        if shown is None or shown.match is None:
            rows = self._demonstrations(shown) if shown else []
            prompt = _prompt(spec, rows, query=query, places=places)
            return self._write(view, examples, prompt)
        groups: dict[str, list[int]] = {}
        found: dict[int, Tokens] = {}
        bad: dict[int, str] = {}
        for place, example in enumerate(examples):
            try:
                groups.setdefault(_value(example, shown.match), []).append(place)
            except DataError as error:
                bad[place] = f"views.{view}: {error}"
        for value, numbers in groups.items():
            matching = self._matching(shown, shown.match, value)
            prompt = _prompt(spec, matching, query=query, places=places)
            try:
                rendered = self._write(view, [examples[number] for number in numbers], prompt)
                found.update(zip(numbers, rendered, strict=True))
            except BadRows as error:
                bad |= {numbers[place]: why for place, why in error.rows.items()}
        if bad:
            raise BadRows(bad)
        return [found[place] for place in range(len(examples))]

    def _write(self, view: str, examples: Sequence[Example], prompt: Prompt) -> list[Tokens]:
        try:
            return self._render_with(view, examples, prompt)
        except BadRows as error:
            rows = {place: f"views.{view}: {why}" for place, why in error.rows.items()}
            raise BadRows(rows) from error
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


def _prompt(
    spec: PromptSpec,
    demonstrations: Sequence[Example],
    *,
    query: bool,
    places: tuple[PromptPart, ...],
) -> Prompt:
    answer = spec.demonstrations.answer if spec.demonstrations else "answer"
    values = spec.model_dump(exclude={"demonstrations"})
    shown = tuple(demonstrations)
    return Prompt(**values, demonstrations=shown, answer=answer, query=query, places=places)
