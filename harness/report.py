"""The results on the terminal: what a reader wants to see first, as tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from harness.contract import Record
from harness.results import Results
from harness.safe_text import for_terminal


def show(results: Results, console: Console) -> None:
    """Prints the records as tables: experiments first, then directions, then everything else."""
    spec = results.task
    console.print(Text(for_terminal(str(spec.get("title") or spec.get("name", "")), 500), "bold"))
    if spec.get("source"):
        console.print(Text(for_terminal(str(spec["source"]), 500), "dim"))
    records = [r for r in results.records if not r.id.startswith(("edit.", "invalid_verdicts"))]
    for experiment in dict.fromkeys(r.axes.get("experiment") for r in records):
        if experiment is not None:
            mine = [r for r in records if r.axes.get("experiment") == experiment]
            console.print(_experiment(str(experiment), mine))
    rest = [record for record in records if "experiment" not in record.axes]
    with_direction = [record for record in rest if "direction" in record.axes]
    if with_direction:
        console.print(_grid("Directions", with_direction, ("direction",)))
    if others := [record for record in rest if "direction" not in record.axes]:
        console.print(_list("Measurements", others))
    for warning in results.warnings:
        console.print(Text(f"warning: {for_terminal(warning, 1000)}", "yellow"))
    for problem in results.problems:
        console.print(Text(f"invalid: {for_terminal(problem, 1000)}", "red"))


def _experiment(name: str, records: Sequence[Record]) -> Table:
    one = records[0].axes
    title = f"Experiment {name}: {one.get('view')} on {one.get('data')}"
    return _grid(title, records, ("direction",), drop=("experiment", "view", "data"))


def _grid(
    title: str, records: Sequence[Record], first: Sequence[str], drop: Sequence[str] = ()
) -> Table:
    """A row for each place, a column for each number."""
    rows: dict[tuple[str, ...], dict[str, Record]] = {}
    columns: dict[str, None] = {}
    for record in records:
        column = _column(record)
        columns[column] = None
        rows.setdefault(_place(record.axes, first, drop), {})[column] = record
    table = Table(title=Text(title), title_justify="left", pad_edge=False)
    table.add_column("")
    for column in columns:
        table.add_column(Text(column), justify="right")
    for place, found in rows.items():
        cells = [_cell(found[column]) if column in found else Text("") for column in columns]
        table.add_row(Text(" ".join(place)), *cells)
    return table


def _place(axes: Mapping[str, Any], first: Sequence[str], drop: Sequence[str]) -> tuple[str, ...]:
    head = [for_terminal(str(axes[key])) for key in first if key in axes]
    skip = {*first, *drop, "evaluator"}
    return (*head, *(f"{key}={for_terminal(str(v))}" for key, v in axes.items() if key not in skip))


def _column(record: Record) -> str:
    evaluator = record.axes.get("evaluator")
    name = record.id.partition("@")[0]
    return f"{name}\n{evaluator}" if evaluator else name


def _list(title: str, records: Sequence[Record]) -> Table:
    table = Table(title=Text(title), title_justify="left", pad_edge=False)
    for column in ("", "value", "where"):
        table.add_column(column)
    for record in records:
        where = " ".join(f"{key}={for_terminal(str(v))}" for key, v in record.axes.items())
        table.add_row(Text(record.id.partition("@")[0]), _cell(record), Text(where))
    return table


def _cell(record: Record) -> Text:
    if record.value is None:
        return Text(f"undefined: {for_terminal(record.undefined or '', 60)}", "dim")
    text = Text(_number(record.value))
    if record.ci is not None:
        text.append(f"  [{_number(record.ci[0])}, {_number(record.ci[1])}]", "dim")
    return text


def _number(value: float) -> str:
    if value == int(value) and abs(value) < 1e6:
        return f"{value:.0f}" if abs(value) > 1 else f"{value:.2f}"
    return f"{value:.2f}" if 0.01 <= abs(value) < 1000 else f"{value:.3g}"
