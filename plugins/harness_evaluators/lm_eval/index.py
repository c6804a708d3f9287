"""Which tasks, groups and tags lm-eval knows, and what they consist of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import accumulate
from pathlib import Path
from typing import Any

import lm_eval.tasks
from lm_eval.tasks import TaskManager

from harness.errors import DataError, listed, suggestion

_SHIPPED = Path(lm_eval.tasks.__file__).parent


def manager_of(names: Sequence[str], include_path: str | None) -> TaskManager:
    """lm-eval's index with these names in it; DataError where one is in no folder.

    Reads the folders that are called like the names; all of lm-eval's, which takes ten seconds,
    only where those do not have everything.
    """
    own = [include_path] if include_path is not None else []
    folders = {str(folder) for name in names if (folder := _shipped_folder(name))}
    manager = TaskManager(include_path=[*sorted(folders), *own], include_defaults=False)
    if all(_complete(manager.task_index, name) for name in names):
        return manager
    manager = TaskManager(include_path=own or None, include_defaults=True)
    for name in names:
        if name not in manager.task_index:
            raise DataError(_unknown(name, manager, include_path))
    return manager


def members(index: Mapping[str, Any], name: str) -> list[str]:
    """The names of the tasks in a group or a tag; of a task, its own name.

    Tasks that a group spells out in place have no name, and are left out.
    """
    entry = index.get(name)
    if entry is None:
        return []
    if entry.kind.name == "TAG":
        return sorted(entry.tags)
    if entry.kind.name != "GROUP":
        return [name]
    inside = [m for m in (entry.cfg or {}).get("task") or () if isinstance(m, str)]
    return [leaf for member in inside for leaf in members(index, member)]


def _unknown(name: str, manager: TaskManager, include_path: str | None) -> str:
    theirs: list[str] = []
    where = ""
    if include_path is not None:
        theirs = TaskManager(include_path=include_path, include_defaults=False).all_tasks
        where = f" and of {include_path} ({listed(theirs)})"
    guess = suggestion(name, theirs) or suggestion(name, manager.all_tasks)
    return (
        f"unknown lm-eval task {name!r}.{guess} Allowed: tasks, groups and tags of lm-eval{where}; "
        "`lm-eval ls tasks` lists its own."
    )


def _shipped_folder(name: str) -> Path | None:
    """The folder of lm-eval that is called like the task, or like the start of its name."""
    starts = [_SHIPPED / start for start in accumulate(name.split("_"), "{}_{}".format)]
    folders = [folder for folder in starts if folder.is_dir() and folder.parent == _SHIPPED]
    return folders[-1] if folders else None


def _complete(index: Mapping[str, Any], name: str) -> bool:
    """Whether the index has the name and all that it consists of."""
    entry = index.get(name)
    if entry is None:
        return False
    inside = (entry.cfg or {}).get("task") if entry.kind.name == "GROUP" else None
    return all(isinstance(m, str) and _complete(index, m) for m in inside or ())
