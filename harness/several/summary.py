"""One run in a line: status, task, claims, headline and date."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from harness.contract import Results
from harness.results.folder import IDENTITY, REPORT, RESULTS
from harness.several.headline import headline

State = Literal["complete", "invalid", "unfinished", "unreadable"]


@dataclass(frozen=True)
class Summary:
    """A run in a list. All text is hostile."""

    folder: Path
    state: State
    """`unfinished` where a run was begun and has no results; `unreadable` where it has some that
    are none of this version's."""
    task: str = ""
    claims: str = ""
    """`2/0/1`: how many claims are supported, contradicted and undecided; empty without claims."""
    headline: str = ""
    date: str = ""
    """When its results were written, or where there are none, when it was begun, in UTC."""
    report: Path | None = None
    """Its page, where it has one."""


def summary_of(folder: Path, results: Results) -> Summary:
    """The line of a run whose results were read."""
    return Summary(
        folder,
        results.status,
        str(results.task.get("name") or ""),
        claims_line(results),
        headline(results),
        _written(folder / RESULTS),
        _report(folder),
    )


def without_results(folder: Path, state: State) -> Summary:
    """The line of a folder in which there are no results to be read."""
    return Summary(
        folder, state, date=_written(folder / IDENTITY), report=_report(folder)
    )  # fmt: skip


def claims_line(results: Results) -> str:
    """`2/0/1`, with claims that nothing measures behind it: `2/0/1, 1 unmeasured`."""
    counts = Counter(claim.status for claim in results.claims)
    if not counts:
        return ""
    text = "/".join(str(counts[mark]) for mark in ("supported", "contradicted", "undecided"))
    unmeasured = counts["unmeasured"]
    return f"{text}, {unmeasured} unmeasured" if unmeasured else text


def _report(folder: Path) -> Path | None:
    file = folder / REPORT
    return file if file.is_file() else None


def _written(file: Path) -> str:
    try:
        return f"{datetime.fromtimestamp(file.stat().st_mtime, UTC):%Y-%m-%d %H:%M}"
    except (OSError, ValueError, OverflowError):
        return ""
