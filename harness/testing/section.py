"""Laws that every section of the report keeps."""

from __future__ import annotations

import json
from collections.abc import Mapping
from copy import deepcopy
from dataclasses import replace
from typing import Any

from harness.contract import Figure, Panel, Record, Results, Section
from harness.report.blocks import prepared
from harness.testing.support.laws import law, raises_nothing, untried

HOSTILE = (
    "</script></title><script>alert(1)</script><img src=x onerror=alert(1)>"
    "\x1b[31m\u202e [bold]x[/] {{ 7 * 7 }} %{x} $x$ \ud800 " + "a" * 10_000
)
"""What a model, a task or a data set may hold."""


def check_section(section: Section, results: Results) -> None:
    """Raises AssertionError, naming the law, where a section breaks one.

    Laws: a panel or nothing · the same twice · results are left as they are · an order from 0 to
    100 · every block can be shown · a figure has a description, its numbers as rows, and data that
    are plain JSON · the records that a figure names are those of the results · results with
    nothing in them do not raise · hostile text does not raise.
    """
    before = _copy(results)
    panel = _panel(section, results, "every block can be shown")
    law(_copy(results) == before, "results are left as they are", "they were modified")
    blocks = panel.blocks if panel is not None else ()
    if not blocks:
        why = "it shows nothing of the samples' results"
        untried(why, "an order from 0 to 100", "every block can be shown")
    if not any(isinstance(block, Figure) for block in blocks):
        name = "a figure has a description, its numbers as rows, and data that are plain JSON"
        untried("it shows no figure of the samples' results", name)
    if panel is not None:
        law(0 <= panel.order <= 100, "an order from 0 to 100", str(panel.order))
        for block in panel.blocks:
            if isinstance(block, Figure):
                _figure(block)
                _records(block, results)
    law(section.panel(results) == panel, "the same twice", "the second panel is another")
    empty = replace(results, records=(), tables={}, task={}, provenance={})
    _panel(section, empty, "results with nothing in them do not raise")
    _panel(section, hostile(results), "hostile text does not raise")


def hostile(results: Results) -> Results:
    """The results with hostile text wherever text may stand."""
    records = []
    for number, record in enumerate(results.records):
        # Numbered, so that what was different stays so.
        axes = {
            key: f"{value} {HOSTILE}" if isinstance(value, str) and key != "direction" else value
            for key, value in record.axes.items()
        }
        if number % 7 == 0:
            axes[f"axis {HOSTILE}"] = HOSTILE
        undefined = record.undefined and HOSTILE
        records.append(replace(record, axes=axes, undefined=undefined, unit=HOSTILE))
    return replace(
        results,
        task=_poisoned(results.task),
        provenance=_poisoned(results.provenance),
        records=tuple(records),
        problems=(HOSTILE,),
        warnings=(HOSTILE,),
        tables={name: [_poisoned(row) for row in rows] for name, rows in results.tables.items()},
        claims=tuple(
            replace(
                one, name=HOSTILE, text=HOSTILE, holds=HOSTILE, n_of=HOSTILE, against=HOSTILE,
                why=HOSTILE, source=HOSTILE, written=HOSTILE, method=HOSTILE,
            )
            for one in results.claims
        ),
        families=tuple(
            replace(
                one, name=HOSTILE, text=HOSTILE, of=(HOSTILE,), against=HOSTILE, why=HOSTILE,
                reason=HOSTILE, source=HOSTILE, written=HOSTILE, methods=(HOSTILE,),
            )
            for one in results.families
        ),
    )  # fmt: skip


def _poisoned(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _poisoned(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [_poisoned(inner) for inner in value]
    return f"{value} {HOSTILE}" if isinstance(value, str) else value


def _panel(section: Section, results: Results, name: str) -> Panel | None:
    with raises_nothing(name):
        panel = section.panel(results)
        if panel is not None:
            found = isinstance(panel, Panel)
            law(found, "a panel or nothing", type(panel).__name__)
            for block in panel.blocks:
                prepared(block)
    return panel


def _figure(figure: Figure) -> None:
    law(bool(figure.description.strip()), "a figure has a description", repr(figure.title))
    law(bool(figure.rows), "a figure has its numbers as rows", repr(figure.title))
    try:
        json.dumps([list(figure.data), dict(figure.layout)], allow_nan=False)
    except (TypeError, ValueError) as error:
        why = f"{figure.title!r}: {error}"
        raise AssertionError(f"law broken: a figure has data that are plain JSON: {why}") from error


def _records(figure: Figure, results: Results) -> None:
    known = {_identity(record) for record in results.records}
    others = [record.id for record in figure.records if _identity(record) not in known]
    name = "the records that a figure names are those of the results"
    law(not others, name, f"{figure.title!r}: {others[:3]}")


def _identity(record: Record) -> str:
    return repr((record.id, sorted(record.axes.items(), key=str), record.options, record.value))


def _copy(results: Results) -> Any:
    tables = {name: list(rows) for name, rows in results.tables.items()}
    return deepcopy((results.task, results.provenance, results.records, tables))
