"""Lets tasks of lm-eval read local copies of their data, by configurations that include theirs."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from lm_eval.tasks import TaskManager
from lm_eval.tasks._yaml_loader import load_yaml

from harness.errors import DataError, listed
from harness_evaluators.lm_eval.index import members
from harness_evaluators.lm_eval.options import LmEvalOptions

Files = Mapping[str, Mapping[str, Sequence[str]]]
"""By split, then by kind (`json` or `parquet`)."""


def with_local_data(given: LmEvalOptions, manager: TaskManager, scratch: Path) -> None:
    """Lets the tasks of the options read the files of `data_dir`.

    Writes a configuration for each task into `scratch`. DataError says which split is missing.
    """
    files = given.data_files()
    local = {}
    for name in _asked(given, manager):
        path = manager.task_index[name].yaml_path
        if path is None:
            raise DataError(
                f"lm-eval task {name}: is written in Python, so data_dir cannot replace its "
                "data. Allowed: tasks with a YAML file."
            )
        local[name] = _local(name, path, files, given)
    _replace(manager, local, scratch)


def with_files_beside(given: LmEvalOptions, manager: TaskManager, scratch: Path) -> None:
    """Lets relative `data_files` of the tasks be those beside the task's own YAML file.

    lm-eval by itself looks where the process was started. A name that is of no file beside the
    task stays as it is. Writes into `scratch` what it replaces.
    """
    local = {}
    for name in _asked(given, manager):
        path = manager.task_index[name].yaml_path
        kwargs = load_yaml(path, resolve_func=False).get("dataset_kwargs") if path else None
        if path is not None and isinstance(kwargs, dict) and "data_files" in kwargs:
            files = _beside(kwargs["data_files"], path.parent)
            if files != kwargs["data_files"]:
                own = {"include": str(path), "task": name}
                local[name] = {**own, "dataset_kwargs": {**kwargs, "data_files": files}}
    _replace(manager, local, scratch)


def _asked(given: LmEvalOptions, manager: TaskManager) -> list[str]:
    """The names of all tasks that are asked, in order."""
    return list(dict.fromkeys(n for root in given.tasks for n in members(manager.task_index, root)))


def _replace(manager: TaskManager, local: Mapping[str, Mapping[str, Any]], scratch: Path) -> None:
    """Writes these configurations, by name, and lets the index read them in the tasks' place."""
    scratch.mkdir(parents=True, exist_ok=True)
    for number, (name, config) in enumerate(local.items()):
        # JSON is YAML, too. A task may be called anything, so the file is not called like it.
        file = scratch / f"{number}.yaml"
        file.write_text(json.dumps(config), encoding="utf-8")
        manager.task_index[name].yaml_path = file


def _beside(files: Any, folder: Path) -> Any:
    """Names of files, alone, in a list or by split; with their path where the folder has them."""
    if isinstance(files, dict):
        return {split: _beside(some, folder) for split, some in files.items()}
    if isinstance(files, list):
        return [_beside(one, folder) for one in files]
    there = isinstance(files, str) and "://" not in files and (folder / files).exists()
    return str((folder / files).resolve()) if there else files


def _local(name: str, path: Path, files: Files, given: LmEvalOptions) -> dict[str, Any]:
    config = load_yaml(path, resolve_func=False)
    asked = config.get("test_split") or config.get("validation_split")
    shots = config.get("fewshot_split") or (config.get("fewshot_config") or {}).get("split")
    wanted = config.get("num_fewshot") if given.num_fewshot is None else given.num_fewshot
    there = listed(files)
    if asked not in files:
        raise DataError(
            f"lm-eval task {name}: asks the split {asked!r}, and data_dir has {there}. Name a file "
            f"{asked}.jsonl or {asked}.parquet."
        )
    local: dict[str, Any] = {"include": str(path), "task": name, "dataset_name": None}
    needed = [asked]
    if shots in files:
        needed.append(shots)
    elif wanted:
        raise DataError(
            f"lm-eval task {name}: takes {wanted} solved examples from the split {shots!r}, and "
            f"data_dir has {there}. Set num_fewshot = 0, or add that split."
        )
    else:
        local |= {"fewshot_split": None, "fewshot_config": None, "num_fewshot": 0}
    kinds = {kind for split in needed for kind in files[split]}
    if len(kinds) > 1:
        raise DataError(
            f"lm-eval task {name}: data_dir has both parquet and json files. Allowed: one of them."
        )
    kind = kinds.pop()
    local["dataset_path"] = kind
    local["dataset_kwargs"] = {"data_files": {split: list(files[split][kind]) for split in needed}}
    return local
