"""Which numbers of a run were measured under an edit of a view, and so say nothing of a model."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from harness.contract import Record
from harness_exports.arms.edits import edit_of_view
from harness_exports.arms.tables import table

_SIDES = ("left", "right")


def edited_views(task: Mapping[str, Any]) -> dict[str, str]:
    """The views that read under an edit, with what it is: `ablation(refusal, mode=strict)`."""
    found = {view: edit_of_view(task, view) for view in table(task, "views")}
    return {view: edit.words for view, edit in found.items() if edit is not None}


def edited_pairs(task: Mapping[str, Any]) -> dict[str, str]:
    """The pairs of which a side is such a view, with what its edit is."""
    views = edited_views(task)
    found = {}
    for pair in table(task, "pairs"):
        sides = [str(table(task, "pairs", pair).get(side)) for side in _SIDES]
        if words := [views[side] for side in sides if side in views]:
            found[pair] = " + ".join(words)
    return found


def apart(records: Iterable[Record], task: Mapping[str, Any]) -> tuple[list[Record], list[Record]]:
    """The numbers of models as they are, and those of such pairs and views."""
    pairs, views = edited_pairs(task), edited_views(task)
    as_they_are: list[Record] = []
    edited: list[Record] = []
    for one in records:
        under = one.axes.get("pair") in pairs or one.axes.get("view") in views
        (edited if under else as_they_are).append(one)
    return as_they_are, edited
