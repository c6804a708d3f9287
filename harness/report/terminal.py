"""All results on the terminal, as tables: what `-v` shows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.text import Text

from harness.contract import Record, Results
from harness.report.profiles import profiles
from harness.report.terminal_tables import (
    ROWS,
    estimate_cell,
    new_table,
    record_columns,
    with_notes,
)
from harness.results.answer import answer
from harness.results.claims import claim_line
from harness.results.conclusions import conclusions
from harness.results.experiments import DETAILS, WRITTEN
from harness.results.families import family_line
from harness.results.records import by_axis, count_range, record_name, shared_items
from harness.text import for_terminal

_CONCLUSIONS = 40
"""Conclusions of analyses that are shown; all are in the tables."""
_CONTEXT = ("experiment", "view", "data", "evaluator", "sae", "site", "against")
"""Axes that a row names only where rows would look alike without them."""


def show(results: Results, console: Console) -> None:
    """Prints all that a run found: claims, the answer, then the records as tables.

    Experiments come first, then directions, then everything else; warnings and problems come
    last. How an edit went is not shown.
    """
    for block in (
        *_title(results.task), *_answer(results), *_tables(results.records), *_words(results)
    ):  # fmt: skip
        console.print(block)


def _title(task: Mapping[str, Any]) -> Iterator[Text]:
    yield Text(for_terminal(str(task.get("title") or task.get("name", "")), 500), "bold")
    if task.get("source"):
        yield Text(for_terminal(str(task["source"]), 500), "dim")


def _answer(results: Results) -> Iterator[Group]:
    """Every claim, family and sentence of the answer, each on lines of its own."""
    claims = [claim_line(claim) for claim in results.claims]
    families = [family_line(family) for family in results.families]
    sentences = [sentence.text for sentence in answer(results)]
    for title, texts in (("Claims", claims), ("Discoveries", families), ("Answer", sentences)):
        if texts:
            lines = [Text(f"- {for_terminal(text, 1000)}") for text in texts]
            yield Group(Text(""), Text(title, "bold"), *lines)


def _tables(records: Sequence[Record]) -> Iterator[Group]:
    arms: list[Record] = []
    directions: list[Record] = []
    others: list[Record] = []
    for record in records:
        if record.id.startswith(WRITTEN) or not record.id.startswith(DETAILS):
            of_direction = arms if "experiment" in record.axes else directions
            (of_direction if "direction" in record.axes else others).append(record)
    for name, mine in by_axis(arms, "experiment").items():
        yield _experiment(str(name), mine)
    if directions:
        yield _grid("Directions", directions)
    by_site, single = profiles(others, estimate_cell)
    yield from by_site
    if single:
        yield _list("Measurements", single)


def _words(results: Results) -> Iterator[RenderableType]:
    sentences = [line for lines in conclusions(results).values() for line in lines]
    if sentences:
        lines = [Text(for_terminal(line, 500)) for line in sentences[:_CONCLUSIONS]]
        yield Group(Text(""), Text("Verdict", "bold"), *lines)
    for warning in results.warnings:
        yield Text(f"warning: {for_terminal(warning, 1000)}", "yellow")
    for problem in results.problems:
        yield Text(f"invalid: {for_terminal(problem, 1000)}", "red")


def _experiment(name: str, records: Sequence[Record]) -> Group:
    """The scores of an experiment, without a variant `x.y` of a score `x` that is there itself."""
    names = set(map(record_name, records))
    mine = [r for r in records if record_name(r).rpartition(".")[0] not in names] or records
    axes = mine[0].axes
    place = for_terminal(f"{name}: {axes.get('view')} on {axes.get('data')}")
    scores = [record for record in mine if not record.id.startswith(WRITTEN)] or mine
    return _grid(f"Experiment {place}, n = {count_range(scores)}", mine)


def _grid(title: str, records: Sequence[Record]) -> Group:
    """A row for each place, a column for each number; what is undefined is explained below."""
    by_place: dict[str, dict[str, Record]] = {}
    omitted = (*_omitted_axes(records), *_shared_axes(records))
    for record in records:
        name, place = record_name(record), _place(record, omitted)
        if name in by_place.get(place, {}):
            place = _place(record, ("experiment",))
        by_place.setdefault(place, {})[name] = record
    rows = list(by_place.items())
    columns = list(dict.fromkeys(map(record_name, records)))
    table = record_columns(columns, columns, rows, estimate_cell)
    return with_notes(title, table, len(rows), rows[:ROWS])


def _shared_axes(records: Sequence[Record]) -> tuple[str, ...]:
    """The axes that have one value in all records: no row needs to name them."""
    if len(records) < 2:
        return ()
    return tuple(shared_items([record.axes for record in records]))


def _omitted_axes(records: Sequence[Record]) -> tuple[str, ...]:
    """The axes of the context that no row needs to name: rows differ without them."""
    omitted: tuple[str, ...] = _CONTEXT
    for axis in ("site", "sae", "view", "data"):
        places = {(record_name(record), _place(record, omitted)) for record in records}
        if len(places) == len(records):
            break
        if len({record.axes.get(axis) for record in records}) > 1:
            omitted = tuple(name for name in omitted if name != axis)
    return omitted


def _place(record: Record, omitted: Sequence[str]) -> str:
    """The direction and the axes of a record, without those that are omitted."""
    axes = record.axes
    head = [for_terminal(str(axes["direction"]))] if "direction" in axes else []
    rest = [_axis(k, v) for k, v in axes.items() if k not in ("direction", *omitted)]
    return " ".join([*head, *rest])


def _axis(name: str, value: object) -> str:
    return f"{for_terminal(name)}={for_terminal(str(value))}"


def _list(title: str, records: Sequence[Record]) -> Group:
    """A row for each record: its name, its value and its axes."""
    table = new_table()
    table.add_column("")
    table.add_column("value", justify="right")
    table.add_column("where")
    for record in records[:ROWS]:
        where = " ".join(_axis(key, value) for key, value in record.axes.items())
        if record.undefined:
            where += f": {for_terminal(record.undefined)}"
        name = Text(for_terminal(record_name(record)))
        table.add_row(name, estimate_cell(record), Text(where, "dim"))
    return with_notes(title, table, len(records), ())
