"""A comparison on the terminal, and as JSON: numbers that differ, then what runs were made from."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from harness.comparison.comparison import ComparedNumber, Comparison, Missing, RunValue
from harness.comparison.many import together
from harness.results.paired import Difference
from harness.results.records import grouped, shared_items
from harness.results.write import strict_json
from harness.text import for_terminal

SCHEMA = 1
_CORRECTION = (
    "p: McNemar's exact test over the prompts, one for each row and not corrected for their "
    "number; + and -: prompts whose score rose and fell. Intervals are 95%."
)
_MOST_CHANGES = 20
_DETAILS = ("edit.", "text.")
"""Numbers that are counted and not listed: how an edit went changes with every rounding."""
_HASH = re.compile(r"\b([0-9a-f]{12})[0-9a-f]{20,}\b")


def as_json(comparison: Comparison) -> str:
    """Strict JSON in plain ASCII, so that no text in it does anything to a terminal."""
    # Options and axes of a foreign file may hold NaN, which is no JSON.
    content = strict_json({"schema": SCHEMA, **asdict(comparison)})
    return json.dumps(content, indent=1, allow_nan=False)


def show_comparison(comparison: Comparison, console: Console, *, every: bool = False) -> None:
    """Prints how many numbers differ, then those in a table by experiment, then what else differs.

    Numbers that are the same in all runs, and details, are counted, and listed only if `every`.
    """
    for number, run in enumerate(comparison.runs, 1):
        base = " (the baseline)" if number == 1 else ""
        console.print(Text(f"run {number}: {_safe(run)}{base}"), soft_wrap=True)
    console.print(Text(_differing(comparison.rows), "bold"))
    rows = [
        row for row in comparison.rows if every or not (row.same or row.id.startswith(_DETAILS))
    ]
    for title, mine in grouped(rows, _group).items():
        console.print(Text(""))
        # The rows of one id below each other, in the order of the ids' first rows.
        by_id = [row for same in grouped(mine, lambda row: row.id).values() for row in same]
        console.print(_table(title, by_id, len(comparison.runs)))
        for note, count in _notes(mine).items():
            console.print(Text(f"{count} of {_count(len(mine), 'row')}: {note}", "dim"))
    console.print(Text(""))
    if any(difference.p is not None for row in rows for difference in row.differences):
        console.print(Text(_CORRECTION, "dim"))
        compared = [difference for row in comparison.rows for difference in row.differences]
        if said := together(compared):
            console.print(Text(said, "dim"))
    same = sum(row.same for row in comparison.rows)
    total = _count(len(comparison.rows), "number")
    line = f"The same in all runs: {same} of {total}."
    if hidden := len(comparison.rows) - len(rows) - (0 if every else same):
        line += f" Also not listed: {_count(hidden, 'detail')} of the edits."
    if len(rows) < len(comparison.rows):
        line += " --only PREFIX lists all of a kind, --json everything."
    console.print(Text(line))
    for line in _missing(comparison.missing):
        console.print(Text(line, "yellow"))
    _show_changes(comparison, console)


def _differing(rows: Sequence[ComparedNumber]) -> str:
    """How many numbers differ, and of how many the difference is known to be no chance."""
    mine = [row for row in rows if not row.id.startswith(_DETAILS)]
    differ = [row for row in mine if not row.same]
    if not differ:
        return f"No number differs, of {len(mine)}."
    intervals = [[found.ci for found in row.differences if found.ci] for row in differ]
    clear = sum(any(low > 0 or high < 0 for low, high in found) for found in intervals)
    known = sum(map(bool, intervals))
    line = f"{len(differ)} of {_count(len(mine), 'number')} differ"
    if known:
        line += f"; of {known} the difference has an interval, and in {clear} it leaves out 0"
    return f"{line}."


def _show_changes(comparison: Comparison, console: Console) -> None:
    if not comparison.changes:
        console.print(Text("Made from the same task, models, data and versions.", "dim"))
        return
    table = _grid("What they were made from")
    table.add_column("", overflow="fold")
    for number in range(1, len(comparison.runs) + 1):
        table.add_column(f"run {number}", overflow="fold")
    for change in comparison.changes[:_MOST_CHANGES]:
        values = [_HASH.sub(r"\1…", value) for value in change.values]
        table.add_row(Text(_safe(change.what)), *(Text(_safe(value, 70)) for value in values))
    console.print(Text(""))
    console.print(table)
    if (more := len(comparison.changes) - _MOST_CHANGES) > 0:
        console.print(Text(f"and {more} more; --json lists them", "dim"))


def _group(row: ComparedNumber) -> str:
    experiment = row.axes.get("experiment")
    return "Measurements" if experiment is None else f"Experiment {_safe(str(experiment))}"


def _table(title: str, rows: Sequence[ComparedNumber], runs: int) -> Table:
    # What all rows have in common stands in the title.
    common = shared_items([row.axes for row in rows])
    shown = {key: value for key, value in common.items() if key != "experiment"}
    table = _grid(f"{title}: {_where(shown)}" if shown else title)
    table.add_column("", overflow="fold")
    table.add_column("where", overflow="fold")
    sides = ("run", "run 1", "other") if runs > 2 else ("run 1", "run 2")
    for header in (*sides, "difference"):
        table.add_column(header, justify="right")
    for header in ("p", "+", "-"):
        table.add_column(header, justify="right", no_wrap=True)
    before = None
    for row in rows:
        name = _safe(row.id.partition("@")[0])
        for number, (base, side, found) in enumerate(row.sides(), 2):
            first = number == 2
            cells = [Text(name if first and name != before else "")]
            axes = {key: value for key, value in row.axes.items() if key not in common}
            cells.append(Text(_where(axes) if first else "", "dim"))
            cells += [Text(str(number))] if runs > 2 else []
            cells += [_value(base), _value(side), _difference(found)]
            cells.append(Text("" if found.p is None else _p(found.p)))
            cells += [Text("" if n is None else str(n)) for n in (found.rose, found.fell)]
            table.add_row(*cells)
            before = name
    return table


def _grid(title: str) -> Table:
    return Table(title=Text(title, "bold"), title_justify="left", pad_edge=False, box=None)


def _where(axes: Mapping[str, Any]) -> str:
    head = [_safe(str(axes["direction"]))] if "direction" in axes else []
    rest = [f"{_safe(k)}={_safe(str(v))}" for k, v in axes.items() if k != "direction"]
    return " ".join([*head, *rest])


def _value(side: RunValue) -> Text:
    return Text("undefined", "dim") if side.value is None else Text(f"{side.value:.3g}")


def _difference(found: Difference) -> Text:
    if found.value is None:
        return Text("undefined", "dim")
    text = Text(_signed(found.value))
    if found.ci is not None:
        low, high = map(_signed, found.ci)
        text.append(f" [{low}, {high}]", "dim")
    return text


def _signed(value: float) -> str:
    return "0" if value == 0 else f"{value:+.2g}"


def _p(value: float) -> str:
    return "<0.0001" if value < 0.0001 else f"{value:.2g}"


def _notes(rows: Sequence[ComparedNumber]) -> dict[str, int]:
    """The notes below a table, each with the number of rows that it concerns."""
    counts: Counter[str] = Counter()
    for row in rows:
        counts.update(sorted({note for found in row.differences for note in _about(found)}))
    return counts


def _about(found: Difference) -> Iterator[str]:
    if found.undefined:
        yield f"undefined, {_safe(found.undefined, 500)}"
    elif found.ci_why:
        yield f"no interval, {_safe(found.ci_why, 500)}"
    if found.note:
        yield _safe(found.note, 500)
    if found.method and not found.paired:
        yield f"unpaired: {_safe(found.p_why or '')}"


def _missing(missing: Sequence[Missing]) -> Iterator[str]:
    """One line for each set of runs that hold what others do not, with the ids counted."""
    for holders, mine in grouped(missing, lambda each: each.runs).items():
        ids = Counter(each.id for each in mine)
        where = " and ".join(str(number + 1) for number in holders)
        listed = ", ".join(f"{_safe(id)} ({count})" for id, count in ids.items())
        runs_ = "run" if len(holders) == 1 else "runs"
        yield f"Only in {runs_} {where}: {_count(len(mine), 'number')}: {listed}"


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'s' * (number != 1)}"


def _safe(text: str, longest: int = 200) -> str:
    return for_terminal(text, longest)
