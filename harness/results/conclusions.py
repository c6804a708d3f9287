"""What the analyses of a run conclude, in their own words."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from harness.contract import Results

COLUMN = "verdict"
"""The column of an analysis' table that holds a plain sentence."""


def conclusions(results: Results) -> dict[str, list[str]]:
    """The sentences that each table concludes, by the table's name; a sentence appears once.

    Tables without a conclusion are left out. All text is hostile.
    """
    found: dict[str, list[str]] = {}
    for name, rows in results.tables.items():
        if rows and COLUMN in rows[0]:
            sentences = dict.fromkeys(str(row[COLUMN]) for row in rows if row.get(COLUMN))
            if sentences:
                found[name] = list(sentences)
    return found
