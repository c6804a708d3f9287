"""Sections of a run's report that could not be shown, which an export of it lacks."""

from __future__ import annotations

from collections.abc import Iterator

from harness.contract import ExportedRun, LeftOut, Prose
from harness.text import visible


def unshown(run: ExportedRun) -> Iterator[LeftOut]:
    """One thing left out for each panel that holds warnings alone, which say what went wrong."""
    for panel in run.panels:
        said = [block for block in panel.blocks if isinstance(block, Prose)]
        if said and len(said) == len(panel.blocks) and all(one.tone == "warning" for one in said):
            text = visible(" ".join(one.text for one in said), 600).rstrip(".")
            yield LeftOut(f"a part of the report ({visible(panel.title, 100)})", text)
