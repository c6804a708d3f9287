"""Whether lm-eval's tasks find their questions in a folder beside the task. Reads their files."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from harness_evaluators.lm_eval.code import Config, reached

_LOCAL = ("json", "csv", "text", "parquet", "arrow")
"""What `datasets` calls files, in the place of a data set's name."""


def all_inside(folder: Path, tasks: Sequence[str]) -> bool:
    """Whether all that these tasks consist of lies in a folder: their YAML files, with what they
    include, and the files with their questions.

    False also where that cannot be told, and where a data set is looked up by its name: that has
    other questions once somebody changes it.
    """
    configs, whole = reached(folder, tasks)
    return whole and all(_inside(folder.expanduser().resolve(), one) for one in configs)


def _inside(folder: Path, config: Config) -> bool:
    if not all(file.resolve().is_relative_to(folder) for file in config.files):
        return False
    values = config.values
    if "custom_dataset" in values or "class" in values:
        return False
    if not isinstance(values.get("task"), str):  # a group: its members have files of their own
        return "dataset_path" not in values and not _spells_out(values)
    kwargs = values.get("dataset_kwargs")
    files = list(_texts(kwargs.get("data_files"))) if isinstance(kwargs, Mapping) else []
    home = config.files[0].parent
    return (
        values.get("dataset_path") in _LOCAL
        and bool(files)
        and all((home / file).resolve().is_relative_to(folder) for file in files)
        and all((home / file).is_file() for file in files)
    )


def _spells_out(values: Mapping[str, Any]) -> bool:
    """Whether a group has a member that is more than a name."""
    inside = values.get("task")
    return not isinstance(inside, list) or any(not isinstance(one, str) for one in inside)


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for one in value.values():
            yield from _texts(one)
    elif isinstance(value, list):
        for one in value:
            yield from _texts(one)
