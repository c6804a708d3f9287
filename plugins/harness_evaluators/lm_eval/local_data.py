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


def with_local_data(given: LmEvalOptions, manager: TaskManager, scratch: Path) -> TaskManager:
    """lm-eval's index, in which the tasks of the options now read the files of `data_dir`.

    Writes a configuration for each task into `scratch`. DataError says which split is missing.
    """
    files = given.data_files()
    scratch.mkdir(parents=True, exist_ok=True)
    folders = set()
    for root in given.tasks:
        for name in members(manager.task_index, root):
            path = manager.task_index[name].yaml_path
            if path is None:
                raise DataError(
                    f"lm-eval task {name}: is written in Python, so data_dir cannot replace its "
                    "data. Allowed: tasks with a YAML file."
                )
            # JSON is YAML, too.
            text = json.dumps(_local(name, path, files, given))
            (scratch / f"{name}.yaml").write_text(text, encoding="utf-8")
        entry = manager.task_index[root]
        if entry.yaml_path is not None:
            folders.add(str(entry.yaml_path.parent))
    # The last folder counts where two have a task of one name.
    return TaskManager(include_path=[*sorted(folders), str(scratch)], include_defaults=False)


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
