"""The organism: small models, SAEs and data that come with the harness."""

from __future__ import annotations

from pathlib import Path

from harness.task.file import task_folders


def organism() -> Path:
    """Its folder, for tests that run a task: `organism() / "base"` is a model of 128 x 6.

    Everything is read from the disk. Raises FileNotFoundError where the tasks are not installed.
    """
    for folder in task_folders():
        if (folder / "organism").is_dir():
            return folder / "organism"
    raise FileNotFoundError("the organism is not installed; reinstall sae-harness")
