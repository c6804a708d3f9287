"""A run of an export's samples, changed in one way: what its laws are tried on."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from itertools import cycle
from typing import Any

from harness.contract import ExportedRun, Figure, Grid, Panel, Prose, Record

HOSTILE = (
    "=HYPERLINK(\"http://evil.example\"; \"x\") , ; \"",
    "+1-1@SUM(A1)\r\n@second line\n\n# heading\n| a | b |\n|---|---|",
    "-1\t\\input{/etc/passwd}\\end{tabular}}{ % & _ # $ ^ ~ \\",
    "</script><img src=x onerror=alert(1)>\x1b[31m\u202e ]]> --> {{ 7*7 }} %{x} `` ``` \ud800 ",
    "[x](javascript:alert(1)) ![y](http://evil.example/y.png) ../../etc/passwd \x00 "
    + "a" * 3000,
)  # fmt: skip
"""What a model, a task or a data set may hold: for spreadsheets, TeX, pages, Markdown and paths."""


def hostile_run(run: ExportedRun) -> ExportedRun:
    """The run with hostile text before all text in it: names, axes, labels, completions."""
    texts = cycle(HOSTILE)

    def poisoned(value: Any) -> Any:
        if isinstance(value, Mapping):
            return {key: poisoned(inner) for key, inner in value.items()}
        if isinstance(value, Record):
            return record(value)
        if isinstance(value, (list, tuple)):
            return type(value)(poisoned(inner) for inner in value)
        return f"{next(texts)} {value}" if isinstance(value, str) else value

    def record(one: Record) -> Record:
        axes = {key: value if value == "none" else poisoned(value)
                for key, value in one.axes.items()}  # fmt: skip
        return replace(
            one, axes={**axes, f"axis {next(texts)}": next(texts)}, unit=next(texts),
            undefined=one.undefined and next(texts), ci_why=one.ci_why and next(texts),
            options=poisoned(one.options),
        )  # fmt: skip

    results = run.results
    changed = replace(
        results,
        task=poisoned(results.task),
        provenance=poisoned(results.provenance),
        records=tuple(map(record, results.records)),
        warnings=poisoned(results.warnings),
        tables={name: [poisoned(row) for row in rows] for name, rows in results.tables.items()},
        claims=tuple(
            replace(
                one, name=poisoned(one.name), text=poisoned(one.text), holds=poisoned(one.holds)
            )
            for one in results.claims
        ),
        families=tuple(
            replace(one, name=poisoned(one.name), text=poisoned(one.text), of=poisoned(one.of))
            for one in results.families
        ),
    )
    return replace(run, results=changed, panels=[_poisoned(one, poisoned) for one in run.panels])


def with_values(run: ExportedRun, value: float | None) -> ExportedRun:
    """The run with all its numbers replaced, in records and figures; None makes them undefined."""
    records = tuple(_valued(one, value) for one in run.results.records)
    panels = [
        replace(panel, blocks=[_drawn(block, value) for block in panel.blocks])
        for panel in run.panels
    ]
    return replace(run, results=replace(run.results, records=records), panels=panels)


def invalid_run(run: ExportedRun) -> ExportedRun:
    """The run as one whose numbers must not be used."""
    problems = ("the SAE does not fit the model",)
    return replace(run, results=replace(run.results, status="invalid", problems=problems))


def empty_run(run: ExportedRun) -> ExportedRun:
    """A run in which nothing was found, in a folder that holds nothing of it."""
    results = run.results
    nothing = replace(
        results, records=(), tables={}, claims=(), families=(), warnings=(), task={}, provenance={}
    )
    return ExportedRun(nothing, run.folder / "nothing-is-here", ())


def arms(run: ExportedRun) -> tuple[ExportedRun, ExportedRun] | None:
    """Two runs with one score each, which is the same number: of a model as it is, and of it under
    an intervention. None where the run has no two such records."""
    for plain in _plain(run):
        for edited in run.results.records:
            if edited.id == plain.id and edited.axes == {**plain.axes, **_edit(edited)}:
                same = replace(edited, value=plain.value, ci=plain.ci, n=plain.n)
                return _alone(run, plain), _alone(run, same)
    return None


def _plain(run: ExportedRun) -> Iterator[Record]:
    for one in run.results.records:
        if one.axes.get("direction") == "none" and one.value is not None:
            yield one


def _edit(record: Record) -> Mapping[str, Any]:
    direction = record.axes.get("direction", "none")
    return {"direction": direction} if direction != "none" else {"direction": object()}


def _alone(run: ExportedRun, record: Record) -> ExportedRun:
    """The run with one score, and with the completions that are behind it."""
    arm = record.axes.get("direction")
    tables = {
        name: [row for row in rows if row.get("direction", arm) == arm]
        for name, rows in run.results.tables.items()
    }
    results = replace(run.results, records=(record,), claims=(), families=(), tables=tables)
    return replace(run, results=results, panels=())


def _valued(record: Record, value: float | None) -> Record:
    if value is None:
        why = "nothing was measured"
        return replace(record, value=None, ci=None, ci_why=why, undefined=why)
    return replace(record, value=value, ci=None, ci_why="no draws", undefined=None)


def _drawn(block: Figure | Grid | Prose, value: float | None) -> Figure | Grid | Prose:
    if not isinstance(block, Figure):
        return block
    data = [{**trace, "y": [value for _ in trace.get("y") or ()]} for trace in block.data]
    return replace(block, data=data, records=[_valued(one, value) for one in block.records])


def _poisoned(panel: Panel, poisoned: Callable[[Any], Any]) -> Panel:
    blocks: list[Figure | Grid | Prose] = []
    for block in panel.blocks:
        if isinstance(block, Prose):
            blocks.append(replace(block, text=poisoned(block.text)))
        elif isinstance(block, Grid):
            rows = [poisoned(list(row)) for row in block.rows]
            columns = poisoned(list(block.columns))
            title, note = poisoned(block.title), poisoned(block.note)
            blocks.append(replace(block, title=title, columns=columns, rows=rows, note=note))
        else:
            data = [{**trace, "name": poisoned(str(trace.get("name", "")))} for trace in block.data]
            title, told = poisoned(block.title), poisoned(block.description)
            records = [poisoned(one) for one in block.records]
            blocks.append(replace(block, title=title, description=told, data=data, records=records))
    return replace(panel, title=poisoned(panel.title), blocks=blocks)
