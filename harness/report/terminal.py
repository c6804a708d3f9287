"""The results on the terminal: what a reader wants to see first, as tables."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from rich.console import Console, Group
from rich.table import Table
from rich.text import Text

from harness.contract import Record, Results
from harness.report.profiles import ROWS, profiles
from harness.results.claims import conclusions
from harness.results.numbers import format_number
from harness.text import for_terminal

_DETAILS = ("edit.", "invalid_verdicts")
"""Records that are in the results and not in the tables here."""
_VERDICTS = 40
"""Verdicts that are shown; all are in the tables."""
_CONTEXT = ("experiment", "view", "data", "evaluator", "sae", "site", "against")
"""Axes that a row names only where rows would look alike without them."""


def show(results: Results, console: Console) -> None:
    """Prints the records as tables: experiments first, then directions, then everything else."""
    spec = results.task
    console.print(Text(for_terminal(str(spec.get("title") or spec.get("name", "")), 500), "bold"))
    if spec.get("source"):
        console.print(Text(for_terminal(str(spec["source"]), 500), "dim"))
    records = [r for r in results.records if not r.id.startswith(_DETAILS)]
    arms = [r for r in records if "experiment" in r.axes and "direction" in r.axes]
    for name in dict.fromkeys(r.axes["experiment"] for r in arms):
        if name is not None:
            mine = _headlines([r for r in arms if r.axes["experiment"] == name])
            axes = mine[0].axes
            place = for_terminal(f"{name}: {axes.get('view')} on {axes.get('data')}")
            title = f"Experiment {place}, n = {_n(mine)}"
            console.print(_grid(title, mine))
    rest = [record for record in records if record not in arms]
    if directions := [record for record in rest if "direction" in record.axes]:
        console.print(_grid("Directions", directions))
    if others := [record for record in rest if "direction" not in record.axes]:
        tables, others = profiles(others, _cell)
        for table in tables:
            console.print(table)
    if others:
        console.print(_list("Measurements", others))
    if said := [line for lines in conclusions(results).values() for line in lines]:
        lines = [Text(for_terminal(line, 500)) for line in said[:_VERDICTS]]
        console.print(Group(Text(""), Text("Verdict", "bold"), *lines))
    for warning in results.warnings:
        console.print(Text(f"warning: {for_terminal(warning, 1000)}", "yellow"))
    for problem in results.problems:
        console.print(Text(f"invalid: {for_terminal(problem, 1000)}", "red"))


def _headlines(records: Sequence[Record]) -> list[Record]:
    """Without the variants of numbers that stand there themselves: `x.y` beside `x`."""
    names = {_name(record) for record in records}
    return [record for record in records if _name(record).rpartition(".")[0] not in names]


def _name(record: Record) -> str:
    """Its id without the version."""
    return record.id.partition("@")[0]


def _n(records: Iterable[Record]) -> str:
    counts = sorted({record.n for record in records if record.value is not None})
    return (
        "0" if not counts else str(counts[0]) if len(counts) == 1 else f"{counts[0]}-{counts[-1]}"
    )


def _grid(title: str, records: Sequence[Record]) -> Group:
    """A row for each place, a column for each number; what is undefined is explained below."""
    rows: dict[str, dict[str, Record]] = {}
    columns: dict[str, None] = {}
    skip = _needless(records)
    for record in records:
        column = for_terminal(_name(record))
        columns[column] = None
        place = _place(record.axes, skip=skip)
        if column in rows.get(place, {}):
            place = _place(record.axes, skip=("experiment",))
        rows.setdefault(place, {})[column] = record
    table = Table(pad_edge=False, box=None, padding=(0, 1, 0, 0))
    table.add_column("", no_wrap=True)
    for column in columns:
        table.add_column(Text(_header(column)), justify="right", no_wrap=True)
    reasons: dict[str, list[str]] = {}
    for place, found in list(rows.items())[:ROWS]:
        cells = [_cell(found[column]) if column in found else Text("") for column in columns]
        table.add_row(Text(place), *cells)
        for record in found.values():
            if record.undefined:
                reasons.setdefault(record.undefined, []).append(place)
    notes = [
        Text(f"undefined for {', '.join(dict.fromkeys(places))}: {for_terminal(reason)}", "dim")
        for reason, places in reasons.items()
    ]
    return Group(Text(""), Text(title, "bold"), table, *_more(len(rows)), *notes)


def _needless(records: Sequence[Record]) -> tuple[str, ...]:
    """The context that rows can do without: each is left out unless two rows would look alike."""
    skip: tuple[str, ...] = _CONTEXT
    for axis in ("site", "sae", "view", "data"):
        places = [(_name(record), _place(record.axes, skip=skip)) for record in records]
        if len(set(places)) == len(places):
            break
        if len({record.axes.get(axis) for record in records}) > 1:
            skip = tuple(name for name in skip if name != axis)
    return skip


def _more(rows: int) -> list[Text]:
    return [Text(f"… and {rows - ROWS} more rows in report.html", "dim")] if rows > ROWS else []


def _place(axes: Mapping[str, Any], skip: Sequence[str]) -> str:
    head = [for_terminal(str(axes["direction"]))] if "direction" in axes else []
    rest = [_axis(k, v) for k, v in axes.items() if k not in ("direction", *skip)]
    return " ".join([*head, *rest])


def _axis(name: str, value: object) -> str:
    return f"{for_terminal(name)}={for_terminal(str(value))}"


def _list(title: str, records: Sequence[Record]) -> Group:
    table = Table(pad_edge=False, box=None, padding=(0, 1, 0, 0))
    table.add_column("")
    table.add_column("value", justify="right")
    table.add_column("where")
    for record in records[:ROWS]:
        where = " ".join(_axis(key, value) for key, value in record.axes.items())
        if record.undefined:
            where += f": {for_terminal(record.undefined)}"
        table.add_row(Text(for_terminal(_name(record))), _cell(record), Text(where, "dim"))
    return Group(Text(""), Text(title, "bold"), table, *_more(len(records)))


def _cell(record: Record) -> Text:
    if record.value is None:
        return Text("undefined", "dim")
    text = Text(format_number(record.value))
    if record.ci is not None:
        low, high = (format_number(bound) for bound in record.ci)
        text.append(f" [{low}, {high}]", "dim")
    return text


def _header(column: str) -> str:
    """A column's name on lines short enough for a terminal of 80."""
    lines = column.replace(".", ".\n").split("\n")
    return "\n".join(line if len(line) < 14 else line.replace("_", "_\n") for line in lines)
