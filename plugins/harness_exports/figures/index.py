"""What `figures.json` says: for each picture which part of the report it is, and its records."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from harness.contract import ExportedRun, Figure, Record
from harness.text import visible

Row = tuple[str, Figure, str, str]
"""The title of a panel, a figure, the name of its files without suffix, or why it has none."""


def index(found: Sequence[Row], run: ExportedRun, kinds: Sequence[str]) -> dict[str, Any]:
    """The whole of it; `kinds` are the suffixes of the pictures that were made."""
    results = run.results
    return {
        "run": results.task.get("name"),
        "status": results.status,
        "command": results.provenance.get("command"),
        "harness": results.provenance.get("harness"),
        "figures": [
            {
                **{kind: f"{stem}.{kind}" if stem else None for kind in kinds},
                **({"not_drawn": why_not} if why_not else {}),
                "panel": visible(panel),
                "title": visible(figure.title),
                "description": visible(figure.description),
                "records": [_shown(record) for record in figure.records],
            }
            for panel, figure, stem, why_not in found
        ],
    }


def _shown(record: Record) -> dict[str, Any]:
    """What finds a record again in results.json, and its numbers."""
    return {
        "id": record.id,
        "axes": dict(record.axes),
        "options": dict(record.options),
        "value": record.value,
        "ci": record.ci,
        "n": record.n,
        "n_of": record.n_of,
        "unit": record.unit,
        **({"undefined": record.undefined} if record.undefined else {}),
    }
