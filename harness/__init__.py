"""What did fine-tuning change inside a language model, and does it cause the behaviour we see?

The steps of the command line, as functions::

    import harness

    task = harness.load("tasks/refusal.toml", seed=1)
    results = harness.run(harness.plan(task), "runs/refusal")
    results.frame                                   # the records, as a DataFrame

    harness.compare("runs/refusal", "runs/other").frame     # two runs, paired by prompts

Importing this imports nothing else.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

    from harness.comparison.comparison import Comparison
    from harness.planning.steps import Plan
    from harness.results.read import Results
    from harness.task.task import Task

__version__ = "0.1.0"
__all__ = ["compare", "load", "load_results", "plan", "run"]


def load(task: str | Path, **overrides: Any) -> Task:
    """Loads a task from a file, or the built-in task of that name.

    `overrides` are top-level keys (`seed=1`), or tables that are merged into the task's.
    Raises TaskError with everything that is wrong with the task.
    """
    from harness.task.load import load as load_

    return load_(task, **overrides)


def plan(task: Task) -> Plan:
    """The passes, completions and verdicts of a task; reads nothing."""
    from harness.planning.planner import plan as plan_

    return plan_(task)


def run(
    planned: Plan, folder: str | Path, *, fresh: bool = False, remote_code: bool = False
) -> Results:
    """Runs a plan into a folder and returns the results; continues what is unfinished there.

    `remote_code` allows models for which the task asks for it to run code of their own.

    Raises InvalidRun when a preflight, a sentinel or a receipt fails.
    """
    from pathlib import Path

    from harness.registry import discover
    from harness.running.runner import run as run_

    return run_(planned, discover(), Path(folder), fresh=fresh, remote_code=remote_code)


def load_results(folder: str | Path) -> Results:
    """The results of an earlier run."""
    from harness.results.read import load_results as load_results_

    return load_results_(folder)


def compare(*folders: str | Path, only: str = "", allow_invalid: bool = False) -> Comparison:
    """Compares runs, each with the first; `only` keeps the ids that begin with it.

    Raises UsageError for numbers that do not compare: other versions or options under one name,
    and runs that are invalid, unless `allow_invalid`.
    """
    from harness.comparison.comparison import compare_folders

    return compare_folders(folders, only=only, allow_invalid=allow_invalid)
