"""The pages of several runs: their common report, and the list of the runs under a folder."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from harness.contract import Results
from harness.registry import Registry
from harness.report.blocks import Cell, Table
from harness.report.page import page
from harness.report.panels import Shown, panels_of_runs, shown
from harness.several.gather import Gathered
from harness.several.links import relative_link
from harness.several.listing import Listing
from harness.several.summary import Summary, summary_of
from harness.store.files import write_text
from harness.text import visible

FILE = "several.html"
_CLAIMS = "Claims: supported/contradicted/undecided."


def write_several(found: Gathered, registry: Registry, file: Path) -> Path:
    """Writes the common report of several runs, and returns its path."""
    sections = [_runs(found, file), *shown(panels_of_runs(found.runs, registry))]
    seeds = {run.seed for variant in found.runs.variants for run in variant.runs}
    facts = [f"{_count(len(rows(found)), 'run')}, {len(found.left_out)} left out"]
    if found.runs.by:
        facts.append(f"{len(found.runs.variants)} by {', '.join(found.runs.by)}")
    facts.append(_count(len(seeds), "seed"))
    write_text(file, _html(_title(found), facts, sections, found.notes))
    return file


def write_listing(found: Listing, file: Path) -> Path:
    """Writes the list of the runs under a folder, and returns its path.

    Each row opens the run's own report, where it has one.
    """
    columns = ("run", "status", "task", "claims", "headline", "written (UTC)")
    lines = [
        (
            _opening(str(_below(run.folder, found.folder)), run.report, file),
            *map(_text, (run.state, run.task, run.claims, run.headline, run.date)),
        )
        for run in found.runs
    ]
    table = Table("By path", columns, tuple(lines), _CLAIMS)
    notes = [*found.notes, *without_report(found)]
    facts = [_count(len(found.runs), "run")]
    title = f"Runs in {found.folder}"
    write_text(file, _html(title, facts, [Shown("Runs", (table,))], notes))
    return file


def without_report(found: Listing) -> list[str]:
    """A line for each run whose row on the page opens nothing."""
    return [
        f"{run.folder}: has no report.html, so its row opens nothing. `harness report` writes it."
        for run in found.runs
        if run.report is None and run.state == "complete"
    ]


def rows(found: Gathered) -> list[tuple[str, str, Summary]]:
    """Each run that counts with the label of its variant and its seed, in their order."""
    return [
        (variant.label, run.seed, summary_of(Path(run.name), run.results))
        for variant in found.runs.variants
        for run in variant.runs
    ]


def _runs(found: Gathered, file: Path) -> Shown:
    left_out = [("left out", "", _summary(*one)) for one in found.left_out]
    lines = [
        (
            _opening(str(run.folder), run.report, file),
            *map(_text, (label, seed, run.state, run.claims, run.headline, run.date)),
        )
        for label, seed, run in [*rows(found), *left_out]
    ]
    by = ", ".join(found.runs.by) or "task"
    columns = ("run", by, "seed", "status", "claims", "headline", "written (UTC)")
    table = Table("By what tells them apart", tuple(map(visible, columns)), tuple(lines), _CLAIMS)
    more = [_settings(found)] if len(found.runs.variants) > 1 else []
    return Shown("Runs", (table, *more))


def _settings(found: Gathered) -> Table:
    """Everything that tells the variants apart, a row for each setting."""
    variants = found.runs.variants
    paths = list(dict.fromkeys(path for variant in variants for path in variant.settings))
    lines = [
        (_text(path), *(_text(variant.settings.get(path, "")) for variant in variants))
        for path in paths
    ]
    columns = ("setting", *(visible(variant.label, 200) for variant in variants))
    return Table("Everything that tells them apart", columns, tuple(lines), folded=True)


def _summary(name: str, results: Results) -> Summary:
    return summary_of(Path(name), results)


def _title(found: Gathered) -> str:
    """The title of the task where all runs have one, else their names."""
    tasks = [run.results.task for variant in found.runs.variants for run in variant.runs]
    titles = {str(task.get("title") or task.get("name") or "") for task in tasks}
    names = sorted({str(task.get("name") or "?") for task in tasks})
    return titles.pop() if len(titles) == 1 else f"Runs of {', '.join(names)}"


def _html(title: str, facts: Sequence[str], sections: Sequence[Shown], notes: Sequence[str]) -> str:
    return page(
        "several.html",
        sections,
        title=visible(title, 500),
        source="",
        headline=(),
        facts=[visible(fact, 500) for fact in facts],
        notes=[visible(note, 1000) for note in notes],
    )


def _opening(text: str, report: Path | None, file: Path) -> Cell:
    return Cell(visible(text, 500), "text", relative_link(report, file) if report else "")


def _text(value: str) -> Cell:
    shown = visible(value, 500)
    return Cell(shown, "long" if len(shown) > 40 else "text")


def _below(folder: Path, above: Path) -> Path:
    return folder.relative_to(above) if folder != above else folder


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'s' * (number != 1)}"
