"""What the analyses of a run conclude, in their own words."""

from __future__ import annotations

from harness.results.read import Results

COLUMN = "verdict"
"""The column of an analysis' table that holds a plain sentence."""


def conclusions(results: Results) -> dict[str, list[str]]:
    """The verdicts of each table that has some, each once. All text is hostile."""
    found: dict[str, list[str]] = {}
    for name, rows in results.tables.items():
        if rows and COLUMN in rows[0]:
            said = list(dict.fromkeys(str(row[COLUMN]) for row in rows if row.get(COLUMN)))
            if said:
                found[name] = said
    return found
