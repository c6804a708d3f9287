"""The figures of a run's report as files, with an index that says where each comes from."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.contract import Figure, Record, Results
from harness.drawing import caption as caption, svg, undrawable
from harness.errors import DataError
from harness.registry import Registry
from harness.report.panels import panels
from harness.results.read import load_results
from harness.results.write import strict_json
from harness.store.files import write_text
from harness.text import visible

INDEX = "figures.json"
_LONGEST = 80


@dataclass(frozen=True)
class Exported:
    """One figure of the report: its file, or why it has none."""

    panel: str
    figure: Figure
    file: str | None
    why_not: str | None = None
    picture: str = ""
    """What the file holds."""


def export_figures(run: Path, registry: Registry, folder: Path) -> list[Exported]:
    """Writes every figure of a run's report into a folder, and `figures.json` beside them.

    What an earlier export left there and this one does not make is removed. Raises DataError where
    `run` holds no run, and where the folder holds an index that is none of ours.
    """
    results = load_results(run)
    found = list(_named(results, registry))
    old = _earlier(folder)
    folder.mkdir(parents=True, exist_ok=True)
    for one in found:
        if one.file is not None:
            write_text(folder / one.file, one.picture)
    for name in sorted(old - {one.file for one in found}):
        (folder / name).unlink(missing_ok=True)
    write_text(folder / INDEX, _index(found, results))
    return found


def _named(results: Results, registry: Registry) -> Iterator[Exported]:
    """The figures in the order of the report, each with a file name of its own."""
    taken: set[str] = set()
    for panel in panels(results, registry):
        for block in panel.blocks:
            if not isinstance(block, Figure):
                continue
            picture, why = _drawn(block, results)
            if why:
                yield Exported(panel.title, block, None, why)
                continue
            stem, number = _slug(f"{panel.title} {block.title}"), 1
            name = stem
            while name in taken:
                number += 1
                name = f"{stem}-{number}"
            taken.add(name)
            yield Exported(panel.title, block, f"{name}.svg", picture=picture)


def _drawn(figure: Figure, results: Results) -> tuple[str, str | None]:
    """The picture, or why there is none. A stranger's figure may hold anything."""
    try:
        if why := undrawable(figure.data):
            return "", why
        return svg(figure, caption(figure, results)), None
    except Exception as error:
        return "", f"it could not be drawn ({type(error).__name__}: {visible(error, 200)})"


def _slug(title: str) -> str:
    words = re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-")
    return words[:_LONGEST].strip("-") or "figure"


def _index(found: Sequence[Exported], results: Results) -> str:
    figures = [
        {
            "svg": one.file,
            **({"not_drawn": one.why_not} if one.why_not else {}),
            "panel": visible(one.panel),
            "title": visible(one.figure.title),
            "description": visible(one.figure.description),
            "records": [_shown(record) for record in one.figure.records],
        }
        for one in found
    ]
    whole = {
        "run": results.task.get("name"),
        "status": results.status,
        "command": results.provenance.get("command"),
        "harness": results.provenance.get("harness"),
        "figures": figures,
    }
    return json.dumps(strict_json(whole), indent=1) + "\n"


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


def _earlier(folder: Path) -> set[str]:
    """The files that an earlier export has written into the folder."""
    index = folder / INDEX
    if not index.exists():
        return set()
    try:
        told = json.loads(index.read_text(encoding="utf-8"))["figures"]
        files = [figure["svg"] for figure in told]
    except (OSError, ValueError, TypeError, KeyError, RecursionError) as error:
        raise DataError(
            f"{index}: is no index of figures ({type(error).__name__}), and would be replaced."
            " Choose another folder with --out."
        ) from None
    return {
        name for name in files if isinstance(name, str) and re.fullmatch(r"[a-z0-9-]+\.svg", name)
    }
