"""What a run has found as rows: records, claims, families, and the run itself."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields
from typing import Any

from harness.contract import ClaimOutcome, FamilyOutcome, Record, Results
from harness_exports.csv.cells import told_apart

Rows = tuple[list[str], list[list[Any]]]
_RUN = ["run", "run_status"]
"""The first columns of what is about a run's numbers: a row that travels alone says so, too."""
_RECORD = [
    *_RUN, "id", "value", "ci_low", "ci_high", "n", "n_of", "unit", "undefined", "ci_why",
    "clusters", "null_kind", "null_value", "null_p", "options",
]  # fmt: skip


def records(results: Results) -> Rows:
    """A row for each number: its fields, then a column for each axis. An axis that is called like a
    field is in `axis_<name>`, as in `results.frame`."""
    axes = list(dict.fromkeys(axis for record in results.records for axis in record.axes))
    columns = [*_RECORD, *told_apart(axes, _RECORD, "axis_")]
    rows = [[*_run(results), *_record(one), *(one.axes.get(axis) for axis in axes)]
            for one in results.records]  # fmt: skip
    return columns, rows


def _record(record: Record) -> list[Any]:
    low, high = record.ci or (None, None)
    null = record.null or {}
    return [
        record.id, record.value, low, high, record.n, record.n_of, record.unit, record.undefined,
        record.ci_why, record.clusters, null.get("kind"), null.get("value"), null.get("p"),
        _options(record.options),
    ]  # fmt: skip


def _options(options: Mapping[str, Any]) -> str | None:
    if not options:
        return None
    return json.dumps(options, ensure_ascii=False, default=str, sort_keys=True)


def outcomes(results: Results, found: Sequence[ClaimOutcome | FamilyOutcome]) -> Rows:
    """A row for each claim or family: its fields by name; an interval is in two columns."""
    names = [one.name for one in fields(found[0])] if found else []
    rows = [dict(_parted(asdict(one))) for one in found]
    columns = [column for name in names for column in _columns(name)]
    return [*_RUN, *columns], [
        [*_run(results), *(row[column] for column in columns)] for row in rows
    ]


def _columns(name: str) -> list[str]:
    return [f"{name}_low", f"{name}_high"] if _is_interval(name) else [name]


def _is_interval(name: str) -> bool:
    return name == "ci" or name.endswith("_ci")


def _parted(values: Mapping[str, Any]) -> dict[str, Any]:
    parted: dict[str, Any] = {}
    for name, value in values.items():
        if _is_interval(name):
            low, high = value or (None, None)
            parted |= {f"{name}_low": low, f"{name}_high": high}
        else:
            parted[name] = list(value) if isinstance(value, tuple) else value
    return parted


def about(results: Results, files: Mapping[str, str]) -> Rows:
    """Two columns: what the run is, what is wrong with it, how it was made, and which table of the
    run each file is."""
    told: list[list[Any]] = [
        ["run", results.task.get("name")],
        ["title", results.task.get("title")],
        ["status", results.status],
        *(["problem", text] for text in results.problems),
        *(["warning", text] for text in results.warnings),
        ["harness", results.provenance.get("harness")],
        ["command", results.provenance.get("command")],
        ["seed", results.provenance.get("seed")],
        *([f"file {path}", name] for path, name in files.items()),
    ]
    return ["what", "value"], told


def _run(results: Results) -> list[Any]:
    return [results.task.get("name"), results.status]
